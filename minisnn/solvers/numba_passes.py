"""The fused passes of `numba_parallel`: everything between input and output of a layer, for one sample and one block.

A pass takes `LANES` neurons through all of time, their state in registers (`lanes`). Arrays of a block have a row
for every step, (T, LANES), or for every input; of constants and sums, one row for each. Readable forms: the
functions of the same names in `numpy_sequential`. From events, a share of a batch is taken in groups of samples:
block by block, and in a block sample by sample through all of time, so that weights are fetched once a group and not
once a sample. A pass over fewer steps can go on where another ended (`numba_tiles`).
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .decays import decay_gradient
from .event_products import add_sample_gradient, group_by_input
from .jit import inlined, kernel
from .lanes import LANES, columns, copy_in, copy_out, full, load, n_blocks, store, where
from .upstream import GIVEN, GS, mark_peaks, project_sample, upstream_rows

__all__ = [
    "BIAS",
    "DECAY",
    "STATE",
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
# Rows of what a pass carries from some steps to the next: the potential; backward, beside GS, the sums of Eqs. 7 and 9.
V = 0
INNER, OUTER, LATER = GS + 1, GS + 2, GS + 3
STATE = GS + 4


def constants(bias: Floats, decay: Floats) -> Floats:
    """Bias and decay of every neuron, padded: (2, K * LANES)."""
    result = np.zeros((2, n_blocks(len(bias)) * LANES), bias.dtype)
    result[BIAS, : len(bias)], result[DECAY, : len(bias)] = bias, decay
    return result


def sums_of_shares(sums: Floats, decay: Floats, n: int) -> tuple[Floats, Floats]:
    """Gradients by bias and decay of `n` neurons from the sums of all shares, (S, 2, K * LANES)."""
    return sums[:, BIAS, :n].sum(axis=0), decay_gradient(sums[:, DECAY, :n], decay)


@inlined
def forward_pass(
    potential, start, n_steps, state, spike_times, row, indptr, first_row, indices, weight, constants, theta
):
    """Eqs. 1 to 5 for the steps from `start` on, as many as `potential` has rows, of `n_steps`.

    The spike times are row `row` of `spike_times`; the events start at row `first_row` of `indptr`. Without any
    (an empty `indptr`) `potential` already holds x @ W, from BLAS. `state` carries the potential to the next steps.
    """
    by_events, never = len(indptr) > 0, full(np.int32(n_steps))
    bias, decay = load(constants, BIAS), load(constants, DECAY)
    v = load(state, V) if start > 0 else full(potential.dtype.type(0))
    first = load(spike_times, row) if start > 0 else never
    for t in range(len(potential)):
        if by_events:
            v = decay * v + bias
            for e in range(indptr[first_row + t], indptr[first_row + t + 1]):
                v = v + load(weight, indices[e])
        else:
            v = decay * v + (load(potential, t) + bias)
        store(potential, t, v)
        # Eqs. 3 to 5 at once: the spike is the smallest step with a crossing.
        step = np.int32(start + t)
        first = where(v > theta, where(first > step, full(step), first), first)
    store(state, V, v)
    store(spike_times, row, first)


@inlined
def backward_pass(
    grad_spikes, grad_membrane, potential, start, n_steps, state, spike_times, row, constants, theta, scale, gated,
    rows, sums,
):  # fmt: skip
    """Eqs. 6 to 9 for the steps from `start` on, the last first; gI goes to `rows`, its sums are added to `sums`.

    `grad_spikes` (it may be `rows`), `grad_membrane` (or none) and `potential` have a row for each of these steps.
    `state` carries the running sums to the steps before.
    """
    one, nothing = potential.dtype.type(1), full(potential.dtype.type(0))
    decay, first = load(constants, DECAY), load(spike_times, row)
    is_last = start + len(potential) == n_steps
    inner = nothing if is_last else load(state, INNER)
    outer = nothing if is_last else load(state, OUTER)
    later = nothing if is_last else load(state, LATER)
    bias_sum, decay_sum = load(sums, BIAS), load(sums, DECAY)
    for t in range(len(potential) - 1, -1, -1):
        gs = load(grad_spikes, t)
        if gated:  # nothing arrives from the spike on
            inner = inner + where(first > np.int32(start + t), gs, nothing)
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
    store(state, INNER, inner)
    store(state, OUTER, outer)
    store(state, LATER, later)
    store(sums, BIAS, bias_sum)
    store(sums, DECAY, decay_sum)


@inlined
def readout_pass(membrane, value, peak_times, row, use_max, indptr, first_row, indices, weight, constants):
    """Eqs. 1, 2 and 17; what is reached, and when, are row `row` of `value` and `peak_times`.

    Without events (an empty `indptr`) `membrane` already holds x @ W, from BLAS.
    """
    nothing = full(membrane.dtype.type(0))
    bias, decay = load(constants, BIAS), load(constants, DECAY)
    u, total, peak = nothing, nothing, full(np.int32(0))
    by_events = len(indptr) > 0
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


@inlined
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
    potential, spike_times, indptr, indices, weight, constants, theta, group, sample, state, first, last
):
    """`forward_pass` from events for samples `first` to `last` of a batch, (B, T, N), `group` of them at a time.

    `spike_times` (B, K * LANES) and `constants` are padded; `sample` (T, LANES) and `state` (STATE, LANES) are scratch.
    """
    n_steps = len(sample)
    for start in range(first, last, group):
        for k in range(len(weight)):
            for b in range(start, min(start + group, last)):
                forward_pass(
                    sample, 0, n_steps, state, columns(spike_times, k), b, indptr, b * n_steps, indices, weight[k],
                    columns(constants, k), theta,
                )  # fmt: skip
                copy_out(potential[b], sample, k)


@kernel
def backward_share(
    source, grad, weight, projection, recursion, grad_value, peak_times, grad_membrane,
    potential, spike_times, constants, theta, scale, gated,
    grad_current, indptr, indices, ends, steps, grad_weight, sums, projected, buffers, state, first, last,
):  # fmt: skip
    """`backward_pass` and Eq. 10 by events for samples `first` to `last`; `grad` is (B, T, N or O).

    gI is kept where `grad_current` (B, T, N) is not empty. The next layer's `weight` comes padded, and as
    `projection`, (O, N), where it has more than `FEW` rows. Scratch for a group of samples: `ends` and `steps` (see
    `group_by_input`) and `projected` (G, T, N); for a block: `buffers` (3, T, LANES) and `state` (STATE, LANES).
    """
    n_steps, group = potential.shape[1], len(projected)
    sample, rows = buffers[0], buffers[1]
    on_membrane = buffers[2, : n_steps if len(grad_membrane) > 0 else 0]
    reached = np.empty((group, n_steps), np.bool_)
    project = len(projection) > 0
    for start in range(first, last, group):
        stop = min(start + group, last)
        for b in range(start, stop):
            mark_peaks(reached[b - start], peak_times, b, len(weight))
            if project:
                project_sample(
                    projected[b - start], grad[b], projection, spike_times[b, : potential.shape[2]], gated
                )
            group_by_input(indptr, b * n_steps, n_steps, indices, ends[b - start], steps[b - start])
        for k in range(len(grad_weight)):
            if start == first:  # here, where it stays in cache
                grad_weight[k] = 0
            for b in range(start, stop):
                copy_in(sample, potential[b], k)
                if len(grad_membrane) > 0:
                    copy_in(on_membrane, grad_membrane[b], k)
                if project or source == GIVEN:
                    copy_in(rows, projected[b - start] if project else grad[b], k)
                else:
                    upstream_rows(
                        source, rows, 0, n_steps, state, grad[b], recursion, grad_value, peak_times,
                        reached[b - start], b, columns(weight, k),
                    )  # fmt: skip
                backward_pass(
                    rows, on_membrane, sample, 0, n_steps, state, columns(spike_times, k), b, columns(constants, k),
                    theta, scale, gated, rows, columns(sums, k),
                )  # fmt: skip
                add_sample_gradient(
                    grad_weight[k], rows, indptr, b * n_steps, indices, ends[b - start], steps[b - start]
                )
                if len(grad_current) > 0:
                    copy_out(grad_current[b], rows, k)


@kernel
def readout_share(
    membrane, value, peak_times, use_max, indptr, indices, weight, constants, sample, first, last
):
    """`readout_pass` for samples `first` to `last`; `value` and `peak_times` are padded, `sample` is scratch."""
    for b in range(first, last):
        row = b * len(sample)
        for k in range(len(weight)):
            if len(indptr) == 0:
                copy_in(sample, membrane[b], k)
            readout_pass(
                sample, columns(value, k), columns(peak_times, k), b, use_max, indptr, row, indices, weight[k],
                columns(constants, k),
            )  # fmt: skip
            copy_out(membrane[b], sample, k)


@kernel
def readout_backward_share(
    grad_value, peak_times, use_max, membrane, constants, grad_current, indptr, indices, ends, steps,
    grad_weight, sums, buffers, first, last,
):  # fmt: skip
    """`readout_backward_pass` and Eq. 10 for samples `first` to `last`; `buffers` (2, T, LANES) are scratch."""
    n_steps, sample, rows = membrane.shape[1], buffers[0], buffers[1]
    by_events = len(indptr) > 0
    for b in range(first, last):
        if by_events:
            group_by_input(indptr, b * n_steps, n_steps, indices, ends, steps)
        for k in range(len(grad_weight)):
            copy_in(sample, membrane[b], k)
            readout_backward_pass(
                columns(grad_value, k), columns(peak_times, k), b, use_max, sample, columns(constants, k), rows,
                columns(sums, k),
            )  # fmt: skip
            if by_events:
                add_sample_gradient(grad_weight[k], rows, indptr, b * n_steps, indices, ends, steps)
            copy_out(grad_current[b], rows, k)
