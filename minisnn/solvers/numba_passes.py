"""The fused passes of `numba_parallel`: everything between input and output of a layer, for one sample.

A pass takes `LANES` neurons at a time through all of time, their state in registers (`lanes`). Arrays of one
sample have a row for every step, (T, M), M the layer's `width` in lanes; of constants and sums, one row for each.
Readable forms: the functions of the same names in `numpy_sequential`.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .event_products import add_sample_gradient, copy_in, copy_out
from .jit import kernel
from .lanes import LANES, full, load, padded, store, where
from .upstream import FEW, GIVEN, PROJECTED, RECURSION, project_sample

__all__ = [
    "BIAS",
    "DECAY",
    "backward_pass",
    "backward_share",
    "constants",
    "forward_pass",
    "forward_share",
    "readout_backward_pass",
    "readout_backward_share",
    "readout_pass",
    "readout_share",
]

Floats = NDArray[np.floating[Any]]

# Rows of a layer's constants, and of the sums that make up their gradients.
BIAS, DECAY = 0, 1


def constants(bias: Floats, decay: Floats) -> Floats:
    """Bias and decay of every neuron in lanes, (2, M)."""
    return padded(np.stack([bias, np.broadcast_to(decay, bias.shape)]))


@kernel
def forward_pass(
    potential, spike_times, row, indptr, first_row, indices, weight, constants, theta, by_events
):
    """Eqs. 1 to 5. The spike times are row `row` of `spike_times`; the events start at row `first_row` of `indptr`.

    Without `by_events` the buffer `potential` already holds x @ W, from BLAS.
    """
    n_steps = len(potential)
    nothing, never = full(potential.dtype.type(0)), full(np.int32(n_steps))
    for column in range(0, potential.shape[1], LANES):
        bias, decay = load(constants, BIAS, column), load(constants, DECAY, column)
        v, first = nothing, never
        for t in range(n_steps):
            if by_events:
                v = decay * v + bias
                for e in range(indptr[first_row + t], indptr[first_row + t + 1]):
                    v = v + load(weight, indices[e], column)
            else:
                v = decay * v + (load(potential, t, column) + bias)
            store(potential, t, column, v)
            # Eqs. 3 to 5 at once: the spike is the smallest step with a crossing.
            step = np.int32(t)
            first = where(v > theta, where(first > step, full(step), first), first)
        store(spike_times, row, column, first)


@kernel
def backward_pass(
    source, factors, n_next, weight, recursion, grad_value, peak_times, reached, grad_membrane,
    potential, spike_times, row, constants, theta, scale, gated, rows, sums,
):  # fmt: skip
    """Eqs. 6 to 9, from the last step to the first; gI goes to `rows`, its sums are added to `sums` (2, M).

    gS is in `rows` already (GIVEN), or ``factors @ weight`` of factors (T, O) and weight (O, M), of which the first
    `n_next` count (PROJECTED), or a recursion of one row (RECURSION, see `ReadoutGradients`) with row `row` of
    `grad_value` and `peak_times`, both (., O), the latter empty for a readout's sum. `reached` (T,) is scratch.
    """
    n_steps = len(potential)
    zero, one = potential.dtype.type(0), potential.dtype.type(1)
    use_max = len(peak_times) > 0
    if source == RECURSION and use_max:
        reached[:] = False
        for o in range(n_next):
            reached[peak_times[row, o]] = True
    for column in range(0, potential.shape[1], LANES):
        decay, first = load(constants, DECAY, column), load(spike_times, row, column)
        nothing = full(zero)
        gs, inner, outer, later, always = nothing, nothing, nothing, nothing, nothing
        bias_sum, decay_sum = load(sums, BIAS, column), load(sums, DECAY, column)
        if source == RECURSION and not use_max:
            for o in range(n_next):
                always = always + grad_value[row, o] * load(weight, o, column)
        for t in range(n_steps - 1, -1, -1):
            if source == RECURSION:
                gs = gs * recursion + always
                if use_max and reached[t]:
                    for o in range(n_next):
                        if peak_times[row, o] == t:
                            gs = gs + grad_value[row, o] * load(weight, o, column)
            elif source == PROJECTED:
                gs = nothing
                for o in range(n_next):
                    gs = gs + factors[t, o] * load(weight, o, column)
            elif source == GIVEN:
                gs = load(rows, t, column)
            if gated:  # nothing arrives from the spike on
                inner = inner + where(first > np.int32(t), gs, nothing)
            else:
                inner = inner + gs
            outer = outer + inner  # gS~[t], Eq. 7
            v = load(potential, t, column)
            decay_sum = decay_sum + later * v  # later is still gI[t+1]
            root = one / (one + scale * abs(v - theta))
            later = outer * (root * root) + decay * later
            if len(grad_membrane) > 0:
                later = later + load(grad_membrane, t, column)
            bias_sum = bias_sum + later
            store(rows, t, column, later)
        store(sums, BIAS, column, bias_sum)
        store(sums, DECAY, column, decay_sum)


@kernel
def readout_pass(
    membrane, value, peak_times, row, use_max, indptr, first_row, indices, weight, constants, by_events
):
    """Eqs. 1, 2 and 17; what is reached, and when, are row `row` of `value` and `peak_times`."""
    nothing = full(membrane.dtype.type(0))
    for column in range(0, membrane.shape[1], LANES):
        bias, decay = load(constants, BIAS, column), load(constants, DECAY, column)
        u, total, peak = nothing, nothing, full(np.int32(0))
        for t in range(len(membrane)):
            if by_events:
                u = decay * u + bias
                for e in range(indptr[first_row + t], indptr[first_row + t + 1]):
                    u = u + load(weight, indices[e], column)
            else:
                u = decay * u + (load(membrane, t, column) + bias)
            store(membrane, t, column, u)
            if not use_max:
                total = total + u
            elif t == 0:
                total = u
            else:
                peak = where(u > total, full(np.int32(t)), peak)
                total = where(u > total, u, total)
        store(value, row, column, total)
        store(peak_times, row, column, peak)


@kernel
def readout_backward_pass(grad_value, peak_times, row, use_max, membrane, constants, rows, sums):
    """Eqs. 18 and 9, from the last step to the first: gU to `rows`, and its sums added to `sums`."""
    for column in range(0, membrane.shape[1], LANES):
        decay, value = load(constants, DECAY, column), load(grad_value, row, column)
        peak, g = load(peak_times, row, column), full(membrane.dtype.type(0))
        bias_sum, decay_sum = load(sums, BIAS, column), load(sums, DECAY, column)
        for t in range(len(membrane) - 1, -1, -1):
            decay_sum = decay_sum + g * load(membrane, t, column)  # g is still gU[t+1]
            g = g * decay
            g = where(peak == np.int32(t), g + value, g) if use_max else g + value
            bias_sum = bias_sum + g
            store(rows, t, column, g)
        store(sums, BIAS, column, bias_sum)
        store(sums, DECAY, column, decay_sum)


@kernel
def forward_share(
    potential, spike_times, indptr, indices, weight, constants, theta, by_events, sample, when, first, last
):
    """`forward_pass` for a share of a batch, (B, T, N); `sample` (T, M) and `when` (1, M) are scratch."""
    for b in range(first, last):
        if not by_events:
            copy_in(sample, potential[b])
        row = b * potential.shape[1]
        forward_pass(sample, when, 0, indptr, row, indices, weight, constants, theta, by_events)
        copy_out(potential[b], sample)
        spike_times[b] = when[0, : spike_times.shape[1]]


@kernel
def backward_share(
    source, grad, weight, recursion, grad_value, peak_times, reached, grad_membrane,
    potential, spike_times, constants, theta, scale, gated,
    grad_current, by_events, indptr, indices, ends, steps, grad_weight, sums, buffers, when, first, last,
):  # fmt: skip
    """`backward_pass` and Eq. 10 for a share; `grad` is (B, T, N or O), `buffers` (3, T, M) and `when` (1, M) scratch.

    gI is kept where `grad_current` (B, T, N) is not empty; without `by_events` BLAS takes the weight's gradient of it.
    """
    n_steps, n_out = potential.shape[1:]
    sample, rows = buffers[0], buffers[1]
    on_membrane = buffers[2, : n_steps if len(grad_membrane) > 0 else 0]
    n_next = grad_value.shape[1] if source == RECURSION else grad.shape[2]
    for b in range(first, last):
        copy_in(sample, potential[b])
        when[0, :n_out] = spike_times[b]
        when[0, n_out:] = n_steps
        if len(grad_membrane) > 0:
            copy_in(on_membrane, grad_membrane[b])
        way, factors = source, rows if source == RECURSION else grad[b]
        if source == GIVEN:
            copy_in(rows, grad[b])
        elif source == PROJECTED and n_next > FEW:
            project_sample(rows, grad[b], weight, when[0], gated)
            way = GIVEN
        backward_pass(
            way, factors, n_next, weight, recursion, grad_value[b : b + 1] if source == RECURSION else rows,
            peak_times[b : b + 1], reached, on_membrane,
            sample, when, 0, constants, theta, scale, gated, rows, sums,
        )  # fmt: skip
        if by_events:
            add_sample_gradient(grad_weight, rows, indptr, b * n_steps, indices, ends, steps)
        if len(grad_current) > 0:
            copy_out(grad_current[b], rows)


@kernel
def readout_share(
    membrane, value, peak_times, use_max, indptr, indices, weight, constants, by_events, sample, reached, when,
    first, last,
):  # fmt: skip
    """`readout_pass` for a share; `sample` (T, M), `reached` (1, M) and `when` (1, M) are scratch."""
    n_steps, n_out = membrane.shape[1:]
    for b in range(first, last):
        if not by_events:
            copy_in(sample, membrane[b])
        readout_pass(
            sample, reached, when, 0, use_max, indptr, b * n_steps, indices, weight, constants, by_events
        )
        copy_out(membrane[b], sample)
        value[b] = reached[0, :n_out]
        peak_times[b] = when[0, :n_out]


@kernel
def readout_backward_share(
    grad_value, peak_times, membrane, constants, grad_current, by_events, indptr, indices, ends, steps,
    grad_weight, sums, buffers, reached, when, first, last,
):  # fmt: skip
    """`readout_backward_pass` and Eq. 10 for a share; `buffers` (2, T, M), `reached` and `when` (1, M) are scratch."""
    n_steps, n_out = membrane.shape[1:]
    sample, rows = buffers[0], buffers[1]
    use_max = len(peak_times) > 0
    when[:] = 0
    reached[:] = 0
    for b in range(first, last):
        copy_in(sample, membrane[b])
        reached[0, :n_out] = grad_value[b]
        if use_max:
            when[0, :n_out] = peak_times[b]
        readout_backward_pass(reached, when, 0, use_max, sample, constants, rows, sums)
        if by_events:
            add_sample_gradient(grad_weight, rows, indptr, b * n_steps, indices, ends, steps)
        copy_out(grad_current[b], rows)
