"""Where the gradient by a layer's spikes comes from, in the cheapest form.

The next layer hands back ``gS[t] = gI[t] @ W^T`` (Eq. 11), an array as large as all of this layer's activity. Here its
factors are kept apart until the backward pass needs a block of the product.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .jit import inlined, kernel
from .lanes import columns, copy_in, full, load, padded, store
from .passes import GS
from .records import Floats, Onward, Span, Upstream

# An array; the product of the next layer's gI and weights, on the way or by BLAS for a sample at once; the recursion
# of a readout with one decay for all outputs.
GIVEN, PROJECTED, BY_BLAS, RECURSION = 0, 1, 2, 3
# Up to so many neurons of the next layer the product is taken on the way, from there on by BLAS.
FEW = 32


def onward_of(source: int, weight: Floats, recursion: Any) -> Onward:
    """How a layer's gradient is handed on from a next layer with transposed `weight` (O, N)."""
    if source == PROJECTED and len(weight) > FEW:
        return Onward(BY_BLAS, np.ascontiguousarray(weight), recursion)
    return Onward(source, padded(weight), recursion)


@inlined
def _some(values: Floats | None, start: int, stop: int) -> Floats | None:
    if values is None:
        return None
    return values[start:stop]


@inlined
def upstream_of(upstream: Upstream, start: int, stop: int) -> Upstream:
    """The part of some samples."""
    return Upstream(
        upstream.onward,
        upstream.grad[start:stop],
        upstream.projected,
        upstream.grad_value[start:stop],
        upstream.peak_times[start:stop],
        upstream.reached,
        _some(upstream.grad_membrane, start, stop),
    )


@kernel
def begin_group(upstream: Upstream) -> None:
    """Form what all blocks of a group of samples share: the product by BLAS, or the steps with a maximum."""
    if upstream.onward.source == BY_BLAS:
        for b in range(len(upstream.grad)):
            np.dot(upstream.grad[b], upstream.onward.weight, upstream.projected[b])
    elif upstream.onward.source == RECURSION:
        for b in range(len(upstream.peak_times)):
            upstream.reached[b] = False
            for o in range(len(upstream.onward.weight)):
                upstream.reached[b, upstream.peak_times[b, o]] = True


@inlined
def membrane_rows(on_membrane: Floats, grad_membrane: Floats | None, b: int, k: int) -> Floats | None:
    """Make `on_membrane` gV of sample `b` and block `k`, if there is any."""
    if grad_membrane is None:
        return None
    copy_in(on_membrane, grad_membrane[b], k)
    return on_membrane


@inlined
def projection_rows(rows: Floats, factors: Floats, weight: Floats) -> None:
    """``rows = factors @ weight`` for factors (T, O) and weight (O, LANES): two steps at a time share the weights."""
    n_steps, n_next = factors.shape
    nothing = full(rows.dtype.type(0))
    for t in range(0, n_steps, 2):
        also = min(t + 1, n_steps - 1)  # of an odd number of steps the last is taken twice
        gs, gs_also = nothing, nothing
        for o in range(n_next):
            row = load(weight, o)
            gs = gs + factors[t, o] * row
            gs_also = gs_also + factors[also, o] * row
        store(rows, t, gs)
        store(rows, also, gs_also)


@inlined
def recursion_rows(rows: Floats, upstream: Upstream, b: int, k: int, span: Span) -> None:
    """``gS[t] = beta gS[t+1] + sum_o W[:, o] gvalue_o [o is reached in step t]`` (`ReadoutGradients`), from the end."""
    weight, recursion = columns(upstream.onward.weight, k), upstream.onward.recursion
    peak_times, reached, value = upstream.peak_times, upstream.reached, upstream.grad_value[b]
    use_max = len(peak_times) > 0
    nothing = full(rows.dtype.type(0))
    always = nothing
    if not use_max:
        for o in range(len(weight)):
            always = always + value[o] * load(weight, o)
    gs = nothing if span.start + len(rows) == span.n_steps else load(span.state, GS)
    for t in range(len(rows) - 1, -1, -1):
        gs = gs * recursion + always
        if use_max and reached[b, span.start + t]:
            for o in range(len(weight)):
                if peak_times[b, o] == span.start + t:
                    gs = gs + value[o] * load(weight, o)
        store(rows, t, gs)
    store(span.state, GS, gs)
