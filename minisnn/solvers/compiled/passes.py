"""The method, compiled: everything between input and output of a layer in one pass, for one sample and one block.

A pass takes `LANES` neurons through all of time, their state in registers (`lanes`); arrays of a block have a row
for every step, (T, LANES). The equations are those of `minisnn.model`, their readable forms the functions of the
same names in `numpy_sequential`. No output enters a later step, which is the paper's point: so a pass needs no
reset, no raster and no second look. The spike is the first crossing, and the two running sums of Eq. 7 ride along.
`layer` takes passes over samples and blocks; `tiles` over a few steps at a time, where BLAS takes the input.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .jit import inlined
from .lanes import columns, full, load, store, where
from .records import Events, Floats, Gradient, Ints32, Layer, Rule, Span

# Rows of a layer's constants, and of the sums that make up their gradients.
BIAS, DECAY = 0, 1
# Rows of the state that a pass carries on: forward the potential; backward the sums of Eqs. 7 and 9, and gS
# (`upstream`).
V = 0
INNER, OUTER, LATER, GS = 0, 1, 2, 3
STATE = 4


@inlined
def forward_pass(
    potential: Floats, times: Ints32, b: int, span: Span, events: Events, layer: Layer, k: int, theta: Any
) -> None:
    """Eqs. 1 to 5 for sample `b` and block `k`: V of the steps of `span` to `potential`, the spike time to `times`.

    Without events `potential` comes as x @ W, from BLAS.
    """
    indptr, indices, weight = events.indptr, events.indices, layer.weight[k]
    by_events, row = len(indptr) > 0, b * span.n_steps + span.start
    bias, decay = load(columns(layer.constants, k), BIAS), load(columns(layer.constants, k), DECAY)
    begins = span.start == 0
    v = full(potential.dtype.type(0)) if begins else load(span.state, V)
    first = full(np.int32(span.n_steps)) if begins else load(columns(times, k), b)
    for t in range(len(potential)):
        if by_events:
            v = decay * v + bias  # Eqs. 1 and 2: one weight row for every spike
            for e in range(indptr[row + t], indptr[row + t + 1]):
                v = v + load(weight, indices[e])
        else:
            v = decay * v + (load(potential, t) + bias)
        store(potential, t, v)
        # Eqs. 3 to 5: z is 1 in the first step with a crossing and only there.
        step = np.int32(span.start + t)
        first = where(v > theta, where(first > step, full(step), first), first)
    store(span.state, V, v)
    store(columns(times, k), b, first)


@inlined
def backward_pass(
    rows: Floats,
    on_membrane: Floats | None,
    potential: Floats,
    times: Ints32,
    b: int,
    span: Span,
    layer: Layer,
    k: int,
    rule: Rule,
    gradient: Gradient,
) -> None:
    """Eqs. 6 to 9 for sample `b` and block `k`, the last step first: `rows` come as gS and leave as gI.

    `on_membrane` is gV or None, which is its type: no code is made for it. The sums over time are added to those
    of `gradient`.
    """
    one, nothing = potential.dtype.type(1), full(potential.dtype.type(0))
    decay, first = load(columns(layer.constants, k), DECAY), load(columns(times, k), b)
    begins, sums = span.start + len(potential) == span.n_steps, columns(gradient.sums, k)
    inner = nothing if begins else load(span.state, INNER)
    outer = nothing if begins else load(span.state, OUTER)
    later = nothing if begins else load(span.state, LATER)
    bias_sum, decay_sum = load(sums, BIAS), load(sums, DECAY)
    for t in range(len(potential) - 1, -1, -1):
        gs, v = load(rows, t) + rule.penalty, load(potential, t)  # Eq. 19
        if rule.gated:  # Eq. 6: nothing arrives from the spike on
            gs = where(first > np.int32(span.start + t), gs, nothing)
        inner = inner + gs
        outer = outer + inner  # Eq. 7: gS~[t]
        root = one / (one + rule.scale * abs(v - rule.theta))
        decay_sum = decay_sum + later * v  # Eq. 9: gbeta; later is still gI[t+1]
        later = outer * (root * root) + decay * later  # Eqs. 8 and 9: gI[t]
        if on_membrane is not None:
            later = later + load(on_membrane, t)
        bias_sum = bias_sum + later  # Eq. 10: gb
        store(rows, t, later)
    store(span.state, INNER, inner)
    store(span.state, OUTER, outer)
    store(span.state, LATER, later)
    store(sums, BIAS, bias_sum)
    store(sums, DECAY, decay_sum)


@inlined
def readout_pass(
    membrane: Floats,
    value: Floats,
    peak_times: Ints32,
    b: int,
    use_max: bool,
    events: Events,
    layer: Layer,
    k: int,
) -> None:
    """Eqs. 1, 2 and 17 for sample `b` and block `k`: U to `membrane`, maximum or sum to `value`.

    Without events `membrane` comes as x @ W, from BLAS.
    """
    indptr, indices, weight = events.indptr, events.indices, layer.weight[k]
    by_events, row = len(indptr) > 0, b * len(membrane)
    bias, decay = load(columns(layer.constants, k), BIAS), load(columns(layer.constants, k), DECAY)
    nothing = full(membrane.dtype.type(0))
    u, total, peak = nothing, nothing, full(np.int32(0))
    for t in range(len(membrane)):
        if by_events:
            u = decay * u + bias  # Eqs. 1 and 2
            for e in range(indptr[row + t], indptr[row + t + 1]):
                u = u + load(weight, indices[e])
        else:
            u = decay * u + (load(membrane, t) + bias)
        store(membrane, t, u)
        if not use_max:  # Eq. 17
            total = total + u
        elif t == 0:
            total = u
        else:
            peak = where(u > total, full(np.int32(t)), peak)
            total = where(u > total, u, total)
    store(columns(value, k), b, total)
    store(columns(peak_times, k), b, peak)


@inlined
def readout_backward_pass(
    rows: Floats,
    grad_value: Floats,
    peak_times: Ints32,
    b: int,
    use_max: bool,
    membrane: Floats,
    layer: Layer,
    k: int,
    gradient: Gradient,
) -> None:
    """Eqs. 18 and 9 for sample `b` and block `k`, the last step first: gU to `rows`, its sums to `gradient`."""
    decay, value = load(columns(layer.constants, k), DECAY), load(columns(grad_value, k), b)
    peak, g = load(columns(peak_times, k), b), full(membrane.dtype.type(0))
    sums = columns(gradient.sums, k)
    bias_sum, decay_sum = load(sums, BIAS), load(sums, DECAY)
    for t in range(len(membrane) - 1, -1, -1):
        decay_sum = decay_sum + g * load(membrane, t)  # Eq. 9: g is still gU[t+1]
        g = g * decay
        g = where(peak == np.int32(t), g + value, g) if use_max else g + value  # Eq. 18
        bias_sum = bias_sum + g
        store(rows, t, g)
    store(sums, BIAS, bias_sum)
    store(sums, DECAY, decay_sum)
