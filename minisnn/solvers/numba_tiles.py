"""The fused passes of `numba_parallel` where BLAS takes the input: a few steps of all neurons at a time.

The product of a dense input is a matrix (T, N), and so is what BLAS needs of gI. Read in columns of one block through
all of time, it would leave every row half used; so a pass goes through a tile of a few rows, block after block, and
carries its state to the next tile. Every number of the matrix is fetched once, in its order.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .jit import inlined, kernel
from .lanes import LANES, columns, copy_in, copy_out, n_blocks
from .numba_passes import STATE, backward_pass, forward_pass
from .upstream import GIVEN, mark_peaks, project_sample, upstream_rows

__all__ = ["backward_tiles", "forward_tiles", "tile_scratch"]

Floats = NDArray[np.floating[Any]]

# Numbers of one matrix in a tile, and at least so many steps: three tiles fit the second cache of a core, and there
# are not more rows side by side than a processor reads ahead in at once.
_NUMBERS, _FEWEST = 2**13, 8


def tile_scratch(n_out: int, dtype: np.dtype[Any]) -> tuple[Floats, Floats]:
    """Make `states` (K, STATE, LANES) and `padding`, room for the last block of a tile of four matrices."""
    n_steps = max(_FEWEST, _NUMBERS // n_out)
    return np.empty((n_blocks(n_out), STATE, LANES), dtype), np.empty((4, n_steps, LANES), dtype)


@inlined
def _part(values, start, stop, k, padding):
    """Block `k` of rows `start` to `stop` of a matrix, where it is, or in `padding` where it is not whole."""
    if (k + 1) * LANES <= values.shape[1]:
        return columns(values[start:stop], k)
    part = columns(padding[: stop - start], 0)
    copy_in(part, values[start:stop], k)
    return part


@kernel
def forward_tiles(potential, spike_times, constants, theta, states, padding, first, last):
    """`forward_pass` for samples `first` to `last` of `potential` (B, T, N), which comes as x @ W and leaves as V.

    `spike_times` (B, K * LANES) and `constants` are padded; `states` and `padding` from `tile_scratch`.
    """
    n_steps, n = potential.shape[1:]
    height = padding.shape[1]
    no_rows, no_events, no_weight = np.empty(0, np.int64), np.empty(0, np.int32), states[0, :0]
    for b in range(first, last):
        for start in range(0, n_steps, height):
            stop = min(start + height, n_steps)
            for k in range(len(states)):
                tile = _part(potential[b], start, stop, k, padding[0])
                forward_pass(
                    tile, start, n_steps, states[k], columns(spike_times, k), b, no_rows, 0, no_events, no_weight,
                    columns(constants, k), theta,
                )  # fmt: skip
                if (k + 1) * LANES > n:
                    copy_out(potential[b, start:stop], tile, k)


@kernel
def backward_tiles(
    source, grad, weight, projection, recursion, grad_value, peak_times, grad_membrane,
    potential, spike_times, constants, theta, scale, gated,
    grad_current, sums, projected, states, padding, first, last,
):  # fmt: skip
    """`backward_pass` for samples `first` to `last`, gI into `grad_current` (B, T, N).

    Arguments as of `backward_share`; `projected` (T, N) is scratch, `states` and `padding` are from `tile_scratch`.
    """
    n_steps, n = potential.shape[1:]
    height, project, reached = padding.shape[1], len(projection) > 0, np.empty(n_steps, np.bool_)
    for b in range(first, last):
        mark_peaks(reached, peak_times, b, len(weight))
        if project:
            project_sample(projected, grad[b], projection, spike_times[b, :n], gated)
        for stop in range(n_steps, 0, -height):
            start = max(stop - height, 0)
            for k in range(len(states)):
                tile = _part(potential[b], start, stop, k, padding[0])
                rows = _part(grad_current[b], start, stop, k, padding[1])
                grad_spikes, on_membrane = rows, rows[:0]
                if len(grad_membrane) > 0:
                    on_membrane = _part(grad_membrane[b], start, stop, k, padding[2])
                if project or source == GIVEN:
                    grad_spikes = _part(projected if project else grad[b], start, stop, k, padding[3])
                else:
                    upstream_rows(
                        source, rows, start, n_steps, states[k], grad[b, start:stop], recursion, grad_value, peak_times,
                        reached[start:stop], b, columns(weight, k),
                    )  # fmt: skip
                backward_pass(
                    grad_spikes, on_membrane, tile, start, n_steps, states[k], columns(spike_times, k), b,
                    columns(constants, k), theta, scale, gated, rows, columns(sums, k),
                )  # fmt: skip
                if (k + 1) * LANES > n:
                    copy_out(grad_current[b, start:stop], rows, k)
