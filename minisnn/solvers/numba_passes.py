"""The fused passes of `numba_parallel`: everything between input and output of a layer, for one sample and one block.

A pass takes `LANES` neurons through all of time, their state in registers (`lanes`). Arrays of a block have a row
for every step, (T, LANES), or for every input; of constants and sums, one row for each. Readable forms: the
functions of the same names in `numpy_sequential`. A share of a batch is taken in groups of samples: block by block,
and in a block sample by sample, so that weights are fetched once a group and not once a sample.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .decays import decay_gradient
from .event_products import add_sample_gradient, group_by_input
from .jit import kernel
from .lanes import LANES, blocked, copy_in, copy_out, full, load, store, where
from .upstream import GIVEN, PROJECTED, RECURSION, project_sample

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
    "sums_of_shares",
]

Floats = NDArray[np.floating[Any]]

# Rows of a layer's constants, and of the sums that make up their gradients.
BIAS, DECAY = 0, 1


def constants(bias: Floats, decay: Floats) -> Floats:
    """Bias and decay of every neuron, (K, 2, LANES)."""
    return blocked(np.stack([bias, np.broadcast_to(decay, bias.shape)]))


def sums_of_shares(sums: Floats, decay: Floats, n: int) -> tuple[Floats, Floats]:
    """Gradients by bias and decay of `n` neurons from the sums of all shares, (S, K, 2, LANES)."""
    bias, decays = sums.transpose(2, 0, 1, 3).reshape(2, len(sums), -1)[:, :, :n]
    return bias.sum(axis=0), decay_gradient(decays, decay)


@kernel
def forward_pass(
    potential, spike_times, row, indptr, first_row, indices, weight, constants, theta, by_events
):
    """Eqs. 1 to 5. The spike times are row `row` of `spike_times`; the events start at row `first_row` of `indptr`.

    Without `by_events` the buffer `potential` already holds x @ W, from BLAS.
    """
    n_steps = len(potential)
    nothing, never = full(potential.dtype.type(0)), full(np.int32(n_steps))
    bias, decay = load(constants, BIAS), load(constants, DECAY)
    v, first = nothing, never
    for t in range(n_steps):
        if by_events:
            v = decay * v + bias
            for e in range(indptr[first_row + t], indptr[first_row + t + 1]):
                v = v + load(weight, indices[e])
        else:
            v = decay * v + (load(potential, t) + bias)
        store(potential, t, v)
        # Eqs. 3 to 5 at once: the spike is the smallest step with a crossing.
        step = np.int32(t)
        first = where(v > theta, where(first > step, full(step), first), first)
    store(spike_times, row, first)


@kernel
def backward_pass(
    source, factors, weight, recursion, grad_value, peak_times, reached, grad_membrane,
    potential, spike_times, row, constants, theta, scale, gated, rows, sums,
):  # fmt: skip
    """Eqs. 6 to 9, from the last step to the first; gI goes to `rows`, its sums are added to `sums`.

    gS is in `rows` already (GIVEN), or ``factors @ weight`` of factors (T, O) and weight (O, LANES) (PROJECTED), or
    a recursion of one row (RECURSION, see `ReadoutGradients`) with row `row` of `grad_value` and `peak_times`, both
    in blocks and the latter empty for a readout's sum. `reached` (T,) is scratch.
    """
    n_steps = len(potential)
    zero, one = potential.dtype.type(0), potential.dtype.type(1)
    n_next, use_max = len(weight), len(peak_times) > 0
    if source == RECURSION and use_max:
        reached[:] = False
        for o in range(n_next):
            reached[peak_times[o // LANES, row, o % LANES]] = True
    decay, first = load(constants, DECAY), load(spike_times, row)
    nothing = full(zero)
    gs, inner, outer, later, always = nothing, nothing, nothing, nothing, nothing
    bias_sum, decay_sum = load(sums, BIAS), load(sums, DECAY)
    if source == RECURSION and not use_max:
        for o in range(n_next):
            always = always + grad_value[o // LANES, row, o % LANES] * load(weight, o)
    for t in range(n_steps - 1, -1, -1):
        if source == RECURSION:
            gs = gs * recursion + always
            if use_max and reached[t]:
                for o in range(n_next):
                    if peak_times[o // LANES, row, o % LANES] == t:
                        gs = gs + grad_value[o // LANES, row, o % LANES] * load(weight, o)
        elif source == PROJECTED:
            gs = nothing
            for o in range(n_next):
                gs = gs + factors[t, o] * load(weight, o)
        elif source == GIVEN:
            gs = load(rows, t)
        if gated:  # nothing arrives from the spike on
            inner = inner + where(first > np.int32(t), gs, nothing)
        else:
            inner = inner + gs
        outer = outer + inner  # gS~[t], Eq. 7
        v = load(potential, t)
        decay_sum = decay_sum + later * v  # later is still gI[t+1]
        root = one / (one + scale * abs(v - theta))
        later = outer * (root * root) + decay * later
        if len(grad_membrane) > 0:
            later = later + load(grad_membrane, t)
        bias_sum = bias_sum + later
        store(rows, t, later)
    store(sums, BIAS, bias_sum)
    store(sums, DECAY, decay_sum)


@kernel
def readout_pass(
    membrane, value, peak_times, row, use_max, indptr, first_row, indices, weight, constants, by_events
):
    """Eqs. 1, 2 and 17; what is reached, and when, are row `row` of `value` and `peak_times`."""
    nothing = full(membrane.dtype.type(0))
    bias, decay = load(constants, BIAS), load(constants, DECAY)
    u, total, peak = nothing, nothing, full(np.int32(0))
    for t in range(len(membrane)):
        if by_events:
            u = decay * u + bias
            for e in range(indptr[first_row + t], indptr[first_row + t + 1]):
                u = u + load(weight, indices[e])
        else:
            u = decay * u + (load(membrane, t) + bias)
        store(membrane, t, u)
        if not use_max:
            total = total + u
        elif t == 0:
            total = u
        else:
            peak = where(u > total, full(np.int32(t)), peak)
            total = where(u > total, u, total)
    store(value, row, total)
    store(peak_times, row, peak)


@kernel
def readout_backward_pass(grad_value, peak_times, row, use_max, membrane, constants, rows, sums):
    """Eqs. 18 and 9, from the last step to the first: gU to `rows`, and its sums added to `sums`."""
    decay, value = load(constants, DECAY), load(grad_value, row)
    peak, g = load(peak_times, row), full(membrane.dtype.type(0))
    bias_sum, decay_sum = load(sums, BIAS), load(sums, DECAY)
    for t in range(len(membrane) - 1, -1, -1):
        decay_sum = decay_sum + g * load(membrane, t)  # g is still gU[t+1]
        g = g * decay
        g = where(peak == np.int32(t), g + value, g) if use_max else g + value
        bias_sum = bias_sum + g
        store(rows, t, g)
    store(sums, BIAS, bias_sum)
    store(sums, DECAY, decay_sum)


@kernel
def forward_share(
    potential, spike_times, indptr, indices, weight, constants, theta, by_events, group, sample, first, last
):
    """`forward_pass` for samples `first` to `last` of a batch, (B, T, N), `group` of them at a time.

    `spike_times` (K, B, LANES) in blocks; `sample` (T, LANES) is scratch.
    """
    for start in range(first, last, group):
        for k in range(len(weight)):
            for b in range(start, min(start + group, last)):
                if not by_events:
                    copy_in(sample, potential[b], k)
                row = b * len(sample)
                forward_pass(
                    sample, spike_times[k], b, indptr, row, indices, weight[k], constants[k], theta, by_events
                )
                copy_out(potential[b], sample, k)


@kernel
def backward_share(
    source, grad, weight, projection, recursion, grad_value, peak_times, grad_membrane,
    potential, spike_times, blocked_times, constants, theta, scale, gated,
    grad_current, by_events, indptr, indices, ends, steps, grad_weight, sums, projected, buffers, first, last,
):  # fmt: skip
    """`backward_pass` and Eq. 10 for samples `first` to `last`; `grad` is (B, T, N or O).

    gI is kept where `grad_current` (B, T, N) is not empty; without `by_events` BLAS takes the weight's gradient of it.
    The next layer's `weight` comes in blocks, and as `projection`, (O, N), where it has more than `FEW` rows. Scratch
    for a group of samples: `ends` and `steps` (see `group_by_input`) and `projected` (G, T, N); for a block:
    `buffers` (3, T, LANES).
    """
    n_steps, group = potential.shape[1], len(projected)
    sample, rows = buffers[0], buffers[1]
    on_membrane = buffers[2, : n_steps if len(grad_membrane) > 0 else 0]
    reached = np.empty(n_steps, np.bool_)
    project = len(projection) > 0
    way = GIVEN if project else source
    for start in range(first, last, group):
        stop = min(start + group, last)
        for b in range(start, stop):
            if project:
                project_sample(projected[b - start], grad[b], projection, spike_times[b], gated)
            if by_events:
                group_by_input(indptr, b * n_steps, n_steps, indices, ends[b - start], steps[b - start])
        for k in range(len(constants)):
            for b in range(start, stop):
                copy_in(sample, potential[b], k)
                if len(grad_membrane) > 0:
                    copy_in(on_membrane, grad_membrane[b], k)
                if way == GIVEN:
                    copy_in(rows, projected[b - start] if project else grad[b], k)
                backward_pass(
                    way, grad[b], weight[k], recursion, grad_value, peak_times, reached, on_membrane,
                    sample, blocked_times[k], b, constants[k], theta, scale, gated, rows, sums[k],
                )  # fmt: skip
                if by_events:
                    add_sample_gradient(
                        grad_weight[k], rows, indptr, b * n_steps, indices, ends[b - start], steps[b - start]
                    )
                if len(grad_current) > 0:
                    copy_out(grad_current[b], rows, k)


@kernel
def readout_share(
    membrane, value, peak_times, use_max, indptr, indices, weight, constants, by_events, sample, first, last
):
    """`readout_pass` for samples `first` to `last`; `value` and `peak_times` in blocks, `sample` is scratch."""
    for b in range(first, last):
        row = b * len(sample)
        for k in range(len(weight)):
            if not by_events:
                copy_in(sample, membrane[b], k)
            readout_pass(
                sample, value[k], peak_times[k], b, use_max, indptr, row, indices, weight[k], constants[k], by_events
            )  # fmt: skip
            copy_out(membrane[b], sample, k)


@kernel
def readout_backward_share(
    grad_value, peak_times, use_max, membrane, constants, grad_current, by_events, indptr, indices, ends, steps,
    grad_weight, sums, buffers, first, last,
):  # fmt: skip
    """`readout_backward_pass` and Eq. 10 for samples `first` to `last`; `buffers` (2, T, LANES) are scratch."""
    n_steps, sample, rows = membrane.shape[1], buffers[0], buffers[1]
    for b in range(first, last):
        if by_events:
            group_by_input(indptr, b * n_steps, n_steps, indices, ends, steps)
        for k in range(len(constants)):
            copy_in(sample, membrane[b], k)
            readout_backward_pass(
                grad_value[k], peak_times[k], b, use_max, sample, constants[k], rows, sums[k]
            )
            if by_events:
                add_sample_gradient(grad_weight[k], rows, indptr, b * n_steps, indices, ends, steps)
            copy_out(grad_current[b], rows, k)
