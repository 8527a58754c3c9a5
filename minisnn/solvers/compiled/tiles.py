"""The passes where BLAS takes the input: a few steps of all neurons at a time.

The product of a dense input is a matrix (T, N), and so is what BLAS needs of gI. A pass over one block through all of
time would read a narrow column of this matrix and waste most of every cache line. So a pass handles a tile: a few
rows, all blocks. Its state is carried to the next tile, and the matrix is read once, in its order.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from .jit import inlined, kernel
from .lanes import LANES, columns, copy_in, copy_out, n_blocks
from .passes import STATE, backward_pass, forward_pass
from .records import Events, Floats, Gradient, Ints32, Layer, Rule, Span, Upstream
from .upstream import BY_BLAS, PROJECTED, RECURSION, begin_group, projection_rows, recursion_rows, upstream_of

# Numbers of one matrix in a tile, and at least so many steps: three tiles fit the second cache of a core, and there
# are not more rows side by side than a processor reads ahead in at once.
_NUMBERS, _FEWEST = 2**13, 8


class Tiles(NamedTuple):
    """Scratch of the passes over tiles."""

    states: Floats  # (K, STATE, LANES) what passes carry to the next tile
    padding: Floats  # (3, steps of a tile, LANES) room for the last block of three matrices


def tiles_for(n_out: int, dtype: np.dtype[Any]) -> Tiles:
    """Scratch for a layer of `n_out` neurons."""
    n_steps = max(_FEWEST, _NUMBERS // n_out)
    return Tiles(np.empty((n_blocks(n_out), STATE, LANES), dtype), np.empty((3, n_steps, LANES), dtype))


@inlined
def _part(values: Floats, start: int, stop: int, k: int, padding: Floats) -> Any:
    """Block `k` of rows `start` to `stop` of a matrix: where it is, or copied to `padding` if it is not whole."""
    if (k + 1) * LANES <= values.shape[1]:
        return columns(values[start:stop], k)
    part = columns(padding[: stop - start], 0)
    copy_in(part, values[start:stop], k)
    return part


@inlined
def _membrane_part(grad_membrane: Floats | None, start: int, stop: int, k: int, padding: Floats) -> Any:
    if grad_membrane is None:
        return None
    return _part(grad_membrane[0], start, stop, k, padding)


@kernel
def forward_tiles(
    potential: Floats,
    times: Ints32,
    events: Events,
    layer: Layer,
    theta: Any,
    tiles: Tiles,
    first: int,
    last: int,
) -> None:
    """`forward_pass` for samples `first` to `last` of `potential` (B, T, N), which comes as x @ W and leaves as V.

    `times` is (B, K * LANES); `events` are none.
    """
    n_steps, height = potential.shape[1], tiles.padding.shape[1]
    for b in range(first, last):
        for start in range(0, n_steps, height):
            stop = min(start + height, n_steps)
            for k in range(len(tiles.states)):
                span = Span(start, n_steps, tiles.states[k])
                tile = _part(potential[b], start, stop, k, tiles.padding[0])
                forward_pass(tile, times, b, span, events, layer, k, theta)
                if (k + 1) * LANES > potential.shape[2]:
                    copy_out(potential[b, start:stop], tile, k)


@kernel
def backward_tiles(
    potential: Floats,
    times: Ints32,
    layer: Layer,
    rule: Rule,
    upstream: Upstream,
    gradient: Gradient,
    current: Floats,
    tiles: Tiles,
    first: int,
    last: int,
) -> None:
    """`backward_pass` for samples `first` to `last`; gI into `current` (B, T, N)."""
    source, weight = upstream.onward.source, upstream.onward.weight
    n_steps, height = potential.shape[1], tiles.padding.shape[1]
    for b in range(first, last):
        mine = upstream_of(upstream, b, b + 1)
        begin_group(mine)
        grad = mine.projected[0] if source == BY_BLAS else mine.grad[0]
        for stop in range(n_steps, 0, -height):
            start = max(stop - height, 0)
            for k in range(len(tiles.states)):
                span = Span(start, n_steps, tiles.states[k])
                tile = _part(potential[b], start, stop, k, tiles.padding[0])
                rows = _part(current[b], start, stop, k, tiles.padding[1])
                on_membrane = _membrane_part(mine.grad_membrane, start, stop, k, tiles.padding[2])
                if source == PROJECTED:
                    projection_rows(rows, grad[start:stop], columns(weight, k))
                elif source == RECURSION:
                    recursion_rows(rows, mine, 0, k, span)
                else:
                    copy_in(rows, grad[start:stop], k)
                backward_pass(rows, on_membrane, tile, times, b, span, layer, k, rule, gradient)
                if (k + 1) * LANES > potential.shape[2]:
                    copy_out(current[b, start:stop], rows, k)
