"""Whole spike trains at once on a CPU: event-driven, fused, all cores.

Equal to `numpy_parallel` bit for bit on exact inputs, within the rounding bound elsewhere, and to itself bit
for bit on any number of threads. What makes it fast: a spike costs one weight row instead of its share of a
dense product over all steps; one pass per direction does everything that lies between input and output,
with the state of a sample in cache; and a neuron that fires at most once hands on at most one event. Since
no output enters a later step (the paper's point), a pass needs no reset, no raster and no second look: the
spike time is the first crossing, and the two running sums of Eq. 7 ride along.

Inputs with many spikes are better served by BLAS; the measured density decides (`event_products.set_product`).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..model import Gradients, ReadoutTrace, Trace
from ..spikes import SpikeEvents
from . import event_products
from .decays import decay_gradient, decay_row
from .event_products import (
    add_event_rows,
    add_partials,
    add_row_to_events,
    add_sample_gradient,
    fires_often,
    most_events,
)
from .jit import fetch, kernel
from .numba_adam import adam_update
from .products import Spikes, matmul, matmul_transposed
from .threads import one_blas_thread, run_shares, set_threads, shares
from .upstream import DENSE, NOWHERE, PROJECTED, RECURSION, ReadoutGradients, as_upstream, project_sample
from .workspace import Workspace, buffer

__all__ = ["adam_update", "set_threads"]

Floats = NDArray[np.floating[Any]]


def next_input(trace: Trace) -> SpikeEvents:
    """What the next layer reads of this one: at most one event a neuron."""
    return event_products.events_of(trace)


def prepare(spikes: Spikes) -> tuple[Spikes, bool]:
    """The input in the form whose product is faster, and whether that is events (otherwise BLAS)."""
    product = event_products.get_product()
    if product == "auto":
        if isinstance(spikes, SpikeEvents):
            size = spikes.shape[0] * spikes.shape[1] * spikes.shape[2]
            is_dense = spikes.n_events >= event_products.DENSE_FROM_EVENTS * size
        else:
            # A sample of the raster: reading all of it would cost as much as the decision saves.
            part = spikes[:: max(1, len(spikes) // 8)]
            is_dense = int(np.count_nonzero(part)) >= event_products.DENSE_FROM * part.size
        product = "dense" if is_dense else "events"
    return (event_products.as_events(spikes), True) if product == "events" else (spikes, False)


def _pointers(signal: Spikes, by_events: bool) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Row pointers and neurons of the events; of none where BLAS takes the input."""
    if by_events and isinstance(signal, SpikeEvents):
        return signal.indptr, signal.indices
    return np.zeros(signal.shape[0] * signal.shape[1] + 1, np.int64), np.zeros(0, np.int32)


@kernel
def _forward_pass(
    potential, spike_times, indptr, indices, weight, bias, decay, theta, by_events, v, first, last
):
    """Eqs. 1 to 5 for the samples of a share; v (N,) is the state of one.

    Without `by_events` the buffer `potential` already holds x @ W, from BLAS.
    """
    n_steps, n_out = potential.shape[1:]
    never = np.int32(n_steps)
    for b in range(first, last):
        v[:] = 0
        times = spike_times[b]
        times[:] = never
        for t in range(n_steps):
            row = potential[b, t]
            if by_events:
                for j in range(n_out):
                    v[j] = decay[j] * v[j] + bias[j]
                r = b * n_steps + t
                add_event_rows(v, weight, indices, indptr[r], indptr[r + 1])
                for j in range(n_out):
                    row[j] = v[j]
            else:
                for j in range(n_out):
                    v[j] = decay[j] * v[j] + (row[j] + bias[j])
                    row[j] = v[j]
            step = np.int32(t)
            for j in range(n_out):
                # Eqs. 3 to 5 at once: the spike is the smallest step with a crossing.
                times[j] = min(times[j], step if v[j] > theta else never)


def single_spike_forward(
    spikes: Spikes,
    weight: Floats,
    bias: Floats,
    decay: Floats,
    threshold: float,
    workspace: Workspace | None = None,
) -> Trace:
    """The single-spike layer, Eqs. 1 to 5, in one pass."""
    signal, by_events = prepare(spikes)
    batch, n_steps, _ = signal.shape
    n_out, dtype = weight.shape[1], weight.dtype
    potential = buffer(workspace, "potential", (batch, n_steps, n_out), dtype)
    spike_times = np.empty((batch, n_out), dtype=np.int32)
    if not by_events:
        matmul(signal, weight, run_shares, potential)
    indptr, indices = _pointers(signal, by_events)
    row, theta = decay_row(decay, n_out), dtype.type(threshold)

    def task(_: int, first: int, last: int) -> None:
        v = np.empty(n_out, dtype)
        _forward_pass(
            potential, spike_times, indptr, indices, weight, bias, row, theta, by_events, v, first, last
        )

    run_shares(task, batch)
    return Trace(signal, weight, bias, decay, threshold, potential, "single-spike", spike_times)


@kernel
def _backward_pass(
    source, grad, weight, recursion, grad_value, peak_times, grad_membrane,
    potential, spike_times, decay, theta, scale, gated,
    rows, keep, by_events, indptr, indices, ends, steps,
    grad_weight, grad_bias, grad_decay, state, double_sum, first, last,
):  # fmt: skip
    """Eqs. 6 to 10 for the samples of a share, from the last step to the first, gradients added up.

    gS comes from `grad` (DENSE), from ``grad @ weight`` with (O, N) weight (PROJECTED), or by a recursion
    of one row (RECURSION, see `ReadoutGradients`). `rows` receives gI: (B, T, N) with `keep`, else (1, T, N)
    to be used up sample by sample. `state` (5, N) and `double_sum` (T, O) are scratch.
    """
    n_steps, n_out = potential.shape[1:]
    inner, outer, nothing, gs = state[0], state[1], state[2], state[3]
    one, zero = potential.dtype.type(1), potential.dtype.type(0)
    n_next = len(weight)
    summed = source == PROJECTED and not gated
    for b in range(first, last):
        state[:] = 0
        state[4, 0] = fetch(potential[b])
        sample_rows = rows[b if keep else 0]
        times = spike_times[b]
        if summed:
            # P^T commutes with the projection: the double sum is taken of O numbers a step, not of N.
            for o in range(n_next):
                once, twice = zero, zero
                for t in range(n_steps - 1, -1, -1):
                    once += grad[b, t, o]
                    twice += once
                    double_sum[t, o] = twice
            project_sample(sample_rows, double_sum, weight, times, False)
        elif source == PROJECTED:
            project_sample(sample_rows, grad[b], weight, times, gated)
        base = indptr[b * n_steps]
        often = fires_often(indptr[(b + 1) * n_steps] - base, len(grad_weight))
        # Rows that nobody reads again need no room of their own: two that take turns stay in cache.
        take_turns = by_events and not (keep or often or source == PROJECTED)
        later = nothing  # gI[t+1]
        for t in range(n_steps - 1, -1, -1):
            v = potential[b, t]
            row = sample_rows[t % 2 if take_turns else t]
            if source == NOWHERE:
                row[:] = 0
            elif source == RECURSION:
                for j in range(n_out):
                    gs[j] *= recursion
                for o in range(n_next):
                    if len(peak_times) == 0 or peak_times[b, o] == t:
                        factor = grad_value[b, o]
                        for j in range(n_out):
                            gs[j] += factor * weight[o, j]
                for j in range(n_out):
                    row[j] = gs[j]
            step = np.int32(t)
            if source == DENSE:
                incoming = grad[b, t]
                if gated:
                    for j in range(n_out):
                        inner[j] += incoming[j] if step < times[j] else zero  # Eqs. 6 and 7
                else:
                    for j in range(n_out):
                        inner[j] += incoming[j]
                for j in range(n_out):
                    outer[j] += inner[j]
                    row[j] = outer[j]
            elif gated and source != NOWHERE:
                for j in range(n_out):
                    inner[j] += row[j] if step < times[j] else zero
                for j in range(n_out):
                    outer[j] += inner[j]
                    row[j] = outer[j]
            elif not summed and source != NOWHERE:
                for j in range(n_out):
                    inner[j] += row[j]
                    outer[j] += inner[j]
                    row[j] = outer[j]
            for j in range(n_out):
                root = one / (one + scale * abs(v[j] - theta))
                row[j] = row[j] * (root * root) + decay[j] * later[j]  # Eqs. 8 and 9
            if len(grad_membrane) > 0:
                gv = grad_membrane[b, t]
                for j in range(n_out):
                    row[j] += gv[j]
            for j in range(n_out):
                grad_decay[j] += later[j] * v[j]
                grad_bias[j] += later[j]
            if take_turns:
                r = b * n_steps + t
                add_row_to_events(grad_weight, row, indices, indptr[r], indptr[r + 1])  # Eq. 10
            later = row
        for j in range(n_out):
            grad_bias[j] += later[j]
        if by_events and not take_turns:
            add_sample_gradient(grad_weight, sample_rows, indptr, indices, b, ends, steps)


def single_spike_backward(
    trace: Trace,
    grad_spikes: Floats | Gradients | None,
    grad_membrane: Floats | None,
    surrogate_scale: float,
    gradient: str,
    keep_current: bool = True,
    workspace: Workspace | None = None,
) -> Gradients:
    """Backward through the single-spike layer, Eqs. 6 to 10, in one pass."""
    potential, weight = trace.potential, trace.weight
    signal, by_events = prepare(trace.input)
    batch, n_steps, n_out = potential.shape
    n_in, dtype, n_shares = weight.shape[0], potential.dtype, len(shares(batch))
    up = as_upstream(grad_spikes, potential)
    gv = potential[:0] if grad_membrane is None else np.ascontiguousarray(grad_membrane)
    indptr, indices = _pointers(signal, by_events)
    keep = keep_current or not by_events  # BLAS takes all of gI at once
    longest = most_events(signal) if by_events and isinstance(signal, SpikeEvents) else 0
    kept = buffer(workspace, "grad_current", potential.shape if keep else (n_shares, n_steps, n_out), dtype)
    partial_weight = buffer(
        workspace, "grad_weight", (n_shares, *(weight.shape if by_events else (0, 0))), dtype
    )
    partial_bias, partial_decay = np.zeros((2, n_shares, n_out), dtype)
    row = decay_row(trace.decay, n_out)

    def task(k: int, first: int, last: int) -> None:
        partial_weight[k] = 0
        _backward_pass(
            up.source, up.grad, up.weight, up.recursion, up.grad_value, up.peak_times, gv,
            potential, trace.spike_times, row, dtype.type(trace.threshold), dtype.type(surrogate_scale),
            gradient == "gated", kept if keep else kept[k : k + 1], keep, by_events, indptr, indices,
            np.empty(n_in + 1, np.int64), np.empty(longest, np.int64),
            partial_weight[k], partial_bias[k], partial_decay[k],
            np.empty((5, n_out), dtype), np.empty((n_steps, len(up.weight)), dtype), first, last,
        )  # fmt: skip

    with one_blas_thread():
        run_shares(task, batch)
    grad_weight = (
        add_partials(partial_weight).copy() if by_events else matmul_transposed(signal, kept, run_shares)
    )
    grad_bias, grad_decay = partial_bias.sum(axis=0), decay_gradient(partial_decay, trace.decay)
    return Gradients(grad_weight, grad_bias, grad_decay, kept if keep_current else None, weight)


@kernel
def _readout_pass(
    membrane, value, peak_times, use_max, indptr, indices, weight, bias, decay, by_events, u, first, last
):
    """Eqs. 1, 2 and 17 for the samples of a share; u (O,) is the state of one."""
    n_steps, n_out = membrane.shape[1:]
    for b in range(first, last):
        u[:] = 0
        total, peak = value[b], peak_times[b]
        for t in range(n_steps):
            row = membrane[b, t]
            for j in range(n_out):
                u[j] = decay[j] * u[j] + bias[j]
            if by_events:
                r = b * n_steps + t
                if indptr[r] < indptr[r + 1]:
                    add_event_rows(u, weight, indices, indptr[r], indptr[r + 1])
            else:
                for j in range(n_out):
                    u[j] += row[j]
            row[:] = u
            if t == 0:
                total[:] = u
                peak[:] = 0
            elif use_max:
                for j in range(n_out):
                    if u[j] > total[j]:
                        total[j] = u[j]
                        peak[j] = t
            else:
                for j in range(n_out):
                    total[j] += u[j]


def readout_forward(
    spikes: Spikes,
    weight: Floats,
    bias: Floats,
    decay: Floats,
    readout: str,
    logit_scale: float,
    workspace: Workspace | None = None,
) -> ReadoutTrace:
    """The readout, Eqs. 1, 2 and 17, in one pass."""
    signal, by_events = prepare(spikes)
    batch, n_steps, _ = signal.shape
    n_out, dtype = weight.shape[1], weight.dtype
    membrane = buffer(workspace, "membrane", (batch, n_steps, n_out), dtype)
    if not by_events:
        matmul(signal, weight, run_shares, membrane)
    indptr, indices = _pointers(signal, by_events)
    value, peak_times = np.empty((batch, n_out), dtype), np.empty((batch, n_out), np.int64)
    use_max, row = readout == "max", decay_row(decay, n_out)

    def task(_: int, first: int, last: int) -> None:
        u = np.empty(n_out, dtype)
        _readout_pass(
            membrane,
            value,
            peak_times,
            use_max,
            indptr,
            indices,
            weight,
            bias,
            row,
            by_events,
            u,
            first,
            last,
        )

    run_shares(task, batch)
    logits = dtype.type(logit_scale) * value
    peaks = peak_times if use_max else None
    return ReadoutTrace(signal, weight, bias, decay, readout, logit_scale, membrane, logits, peaks)


@kernel
def _readout_backward_pass(
    grad_value, peak_times, membrane, decay, grad_current, by_events, indptr, indices, ends, steps,
    grad_weight, grad_bias, grad_decay, g, first, last,
):  # fmt: skip
    """Eqs. 18, 9 and 10 for the samples of a share, from the last step to the first; g (O,) is scratch."""
    n_steps, n_out = membrane.shape[1:]
    use_max = len(peak_times) > 0
    for b in range(first, last):
        g[:] = 0
        value = grad_value[b]
        for t in range(n_steps - 1, -1, -1):
            u, row = membrane[b, t], grad_current[b, t]
            for j in range(n_out):
                grad_decay[j] += g[j] * u[j]  # g is still gU[t+1]
            for j in range(n_out):
                g[j] *= decay[j]
            if use_max:
                for j in range(n_out):
                    if peak_times[b, j] == t:
                        g[j] += value[j]
            else:
                for j in range(n_out):
                    g[j] += value[j]
            for j in range(n_out):
                grad_bias[j] += g[j]
                row[j] = g[j]
        if by_events:
            add_sample_gradient(grad_weight, grad_current[b], indptr, indices, b, ends, steps)


def readout_backward(
    trace: ReadoutTrace, grad_logits: Floats, workspace: Workspace | None = None
) -> Gradients:
    """Backward through the readout: Eq. 18, then Eqs. 9 and 10 (its spikes are the input of Eq. 6)."""
    membrane, weight = trace.membrane, trace.weight
    signal, by_events = prepare(trace.input)
    batch, _, n_out = membrane.shape
    dtype, n_shares = membrane.dtype, len(shares(batch))
    grad_value = dtype.type(trace.logit_scale) * grad_logits
    peaks = np.zeros((0, 0), np.int64) if trace.peak_times is None else trace.peak_times
    grad_current = buffer(workspace, "grad_current", membrane.shape, dtype)
    indptr, indices = _pointers(signal, by_events)
    longest = most_events(signal) if by_events and isinstance(signal, SpikeEvents) else 0
    partial_weight = np.zeros((n_shares, *(weight.shape if by_events else (0, 0))), dtype)
    partial_bias, partial_decay = np.zeros((2, n_shares, n_out), dtype)
    row = decay_row(trace.decay, n_out)

    def task(k: int, first: int, last: int) -> None:
        ends, steps = np.empty(len(weight) + 1, np.int64), np.empty(longest, np.int64)
        _readout_backward_pass(
            grad_value, peaks, membrane, row, grad_current, by_events, indptr, indices, ends, steps,
            partial_weight[k], partial_bias[k], partial_decay[k], np.empty(n_out, dtype), first, last,
        )  # fmt: skip

    run_shares(task, batch)
    if by_events:
        grad_weight = partial_weight.sum(axis=0)
    else:
        grad_weight = matmul_transposed(signal, grad_current, run_shares)
    grad_decay = decay_gradient(partial_decay, trace.decay)
    common = (grad_weight, partial_bias.sum(axis=0), grad_decay, grad_current, weight)
    if trace.decay.ndim:
        return Gradients(*common)
    return ReadoutGradients(*common, trace.decay[()], grad_value, trace.peak_times)
