"""The definition, compiled: equal to `numpy_sequential` bit for bit, forward and backward.

Matrix products and batch sums are the same NumPy calls; what lies between them is fused into one loop over
time per sample. This is the honest baseline: a stepping implementation as fast as stepping gets, on all
cores. Asked for event products (`compiled.events.set_product`), it keeps its loops and takes the input
current and the weight gradient from events; then it equals the definition within the rounding bound.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..model import Gradients, ReadoutTrace, Trace
from .compiled import events
from .compiled.adam import adam_update
from .compiled.jit import kernel
from .compiled.products import Spikes, decay_row, matmul, matmul_transposed, summed_like
from .compiled.records import Floats, Ints32, Ints64, Rule, SampleSums
from .compiled.threads import run_shares, set_threads
from .compiled.workspace import Workspace, buffer

__all__ = [
    "adam_update",
    "multi_spike_backward",
    "multi_spike_forward",
    "next_input",
    "readout_backward",
    "readout_forward",
    "set_threads",
    "single_spike_backward",
    "single_spike_forward",
]


def next_input(trace: Trace) -> Spikes:
    """What the next layer reads of this one: its raster (events, if those were asked for)."""
    if events.get_product() == "events":
        return events.events_of(trace)
    spikes: NDArray[Any] = trace.spikes
    return spikes


def input_current(spikes: Spikes, weight: Floats, out: Floats) -> Floats:
    """Input current without the bias, ``x[t] @ W`` (Eq. 1), into `out`."""
    if events.get_product() == "events":
        return events.event_matmul(events.as_events(spikes), weight, out)
    return matmul(spikes, weight, run_shares, out)


def _gradients(
    trace: Trace | ReadoutTrace, grad_current: Floats, sums: SampleSums, workspace: Workspace | None
) -> Gradients:
    """Gradient of Eq. 1 by weight and bias (Eq. 10), and the decay's part of Eq. 9."""
    if events.get_product() == "events":
        grad_weight = events.event_matmul_transposed(events.as_events(trace.input), grad_current)
    else:
        grad_weight = matmul_transposed(trace.input, grad_current, run_shares, workspace)
    grad_decay = summed_like(trace.decay, sums.decay)
    return Gradients(grad_weight, sums.bias.sum(axis=0), grad_decay, grad_current, trace.weight)


def input_spikes_backward(upstream: Floats | Gradients | None, like: Floats) -> Floats:
    """Gradient by the spikes of a layer, ``gI[t] @ W^T`` of the next (Eq. 11), (B, T, N); empty for None."""
    if upstream is None:
        return like[:0]
    if not isinstance(upstream, Gradients):
        return upstream
    assert upstream.current is not None
    assert upstream.input_weight is not None
    return matmul(upstream.current, upstream.input_weight.T, run_shares)


@kernel
def fetch(sample: Floats) -> Any:
    """Read one number of every cache line of `sample` (T, N), in order, and return their sum.

    A pass from the last step to the first jumps back after every row, which memory prefetchers do not
    follow; read forwards once, the sample waits in the cache (a third less time for the whole backward pass).
    The sum only keeps the compiler from dropping the reads.
    """
    flat = sample.reshape(-1)
    line = 64 // flat.itemsize
    total = flat[0]
    for k in range(line, flat.size, line):
        total += flat[k]
    return total


@kernel
def _single_spike_steps(
    potential: Floats, bias: Floats, decay: Floats, theta: Any, spike_times: Ints32, first: int, last: int
) -> None:
    """Eqs. 2 to 5 in place: `potential` (B, T, N) comes as x @ W and leaves as V."""
    n_steps, n_out = potential.shape[1:]
    v = np.empty(n_out, potential.dtype)
    for b in range(first, last):
        v[:] = 0
        spike_times[b, :] = n_steps
        for t in range(n_steps):
            step = np.int32(t)
            for j in range(n_out):
                v[j] = decay[j] * v[j] + (potential[b, t, j] + bias[j])
            for j in range(n_out):
                potential[b, t, j] = v[j]
            for j in range(n_out):
                # A spike time is the smallest step with a crossing: later crossings change nothing.
                if v[j] > theta:
                    spike_times[b, j] = min(spike_times[b, j], step)


def single_spike_forward(
    spikes: Spikes,
    weight: Floats,
    bias: Floats,
    decay: Floats,
    threshold: float,
    workspace: Workspace | None = None,
) -> Trace:
    """The single-spike layer, Eqs. 1 to 5."""
    batch, n_steps, _ = spikes.shape
    n_out = weight.shape[1]
    potential = buffer(workspace, "potential", (batch, n_steps, n_out), weight.dtype)
    spike_times = np.empty((batch, n_out), dtype=np.int32)
    input_current(spikes, weight, potential)
    row, theta = decay_row(decay, n_out), weight.dtype.type(threshold)

    def task(_: int, first: int, last: int) -> None:
        _single_spike_steps(potential, bias, row, theta, spike_times, first, last)

    run_shares(task, batch)
    return Trace(spikes, weight, bias, decay, threshold, potential, "single-spike", spike_times)


@kernel
def _single_spike_steps_backward(
    grad_spikes: Floats,
    grad_membrane: Floats,
    potential: Floats,
    spike_times: Ints32,
    decay: Floats,
    rule: Rule,
    grad_current: Floats,
    sums: SampleSums,
    first: int,
    last: int,
) -> None:
    """Eqs. 6 to 9, from the last step to the first; an empty gradient counts as zero."""
    n_steps, n_out = potential.shape[1:]
    theta, scale, gated = rule
    bias_sums, decay_sums = sums
    state = np.empty((4, n_out), potential.dtype)
    inner, outer, g = state[0], state[1], state[2]
    one, zero = potential.dtype.type(1), potential.dtype.type(0)
    for b in range(first, last):
        state[:] = 0
        state[3, 0] = fetch(potential[b])
        bias_sums[b, :] = 0
        decay_sums[b, :] = 0
        for t in range(n_steps - 1, -1, -1):
            step = np.int32(t)
            v = potential[b, t]
            row = grad_current[b, t]
            row[:] = 0
            if len(grad_spikes) > 0:
                gs = grad_spikes[b, t]
                for j in range(n_out):
                    inner[j] += zero if gated and step >= spike_times[b, j] else gs[j]
                    outer[j] += inner[j]
                for j in range(n_out):
                    root = one / (one + scale * abs(v[j] - theta))
                    row[j] = outer[j] * (root * root)
            if len(grad_membrane) > 0:
                gv = grad_membrane[b, t]
                for j in range(n_out):
                    row[j] += gv[j]
            for j in range(n_out):
                g[j] = row[j] + decay[j] * g[j]
                bias_sums[b, j] += g[j]
            row[:] = g
            if t > 0:
                before = potential[b, t - 1]
                for j in range(n_out):
                    decay_sums[b, j] += g[j] * before[j]


def single_spike_backward(
    trace: Trace,
    grad_spikes: Floats | Gradients | None,
    grad_membrane: Floats | None,
    surrogate_scale: float,
    gradient: str,
    keep_current: bool = True,
    workspace: Workspace | None = None,
) -> Gradients:
    """Backward through the single-spike layer, Eqs. 6 to 10."""
    potential = trace.potential
    batch, _, n_out = potential.shape
    dtype = potential.dtype
    grad_s = input_spikes_backward(grad_spikes, potential)
    grad_v = potential[:0] if grad_membrane is None else grad_membrane
    grad_current = buffer(workspace, "grad_current", potential.shape, dtype)
    sums = SampleSums(*np.empty((2, batch, n_out), dtype))
    rule = Rule(dtype.type(trace.threshold), dtype.type(surrogate_scale), gradient == "gated")
    row = decay_row(trace.decay, n_out)

    def task(_: int, first: int, last: int) -> None:
        _single_spike_steps_backward(
            grad_s, grad_v, potential, trace.spike_times, row, rule, grad_current, sums, first, last
        )

    run_shares(task, batch)
    return _gradients(trace, grad_current, sums, workspace)


@kernel
def _multi_spike_steps(
    potential: Floats, bias: Floats, decay: Floats, theta: Any, first: int, last: int
) -> None:
    """Eqs. 12 to 14 in place: `potential` (B, T, N) comes as x @ W and leaves as U."""
    n_steps, n_out = potential.shape[1:]
    v = np.empty(n_out, potential.dtype)
    zero = theta - theta
    for b in range(first, last):
        v[:] = 0
        for t in range(n_steps):
            u = potential[b, t]
            for j in range(n_out):
                u[j] = decay[j] * v[j] + (u[j] + bias[j])
            for j in range(n_out):
                v[j] = u[j] - (theta if u[j] > theta else zero)


def multi_spike_forward(
    spikes: Spikes,
    weight: Floats,
    bias: Floats,
    decay: Floats,
    threshold: float,
    workspace: Workspace | None = None,
) -> Trace:
    """The conventional layer, Eqs. 12 to 14."""
    batch, n_steps, _ = spikes.shape
    n_out = weight.shape[1]
    potential = buffer(workspace, "potential", (batch, n_steps, n_out), weight.dtype)
    input_current(spikes, weight, potential)
    row, theta = decay_row(decay, n_out), weight.dtype.type(threshold)

    def task(_: int, first: int, last: int) -> None:
        _multi_spike_steps(potential, bias, row, theta, first, last)

    run_shares(task, batch)
    return Trace(spikes, weight, bias, decay, threshold, potential, "multi-spike")


@kernel
def _multi_spike_steps_backward(
    grad_spikes: Floats,
    grad_membrane: Floats,
    potential: Floats,
    decay: Floats,
    theta: Any,
    scale: Any,
    detach_reset: bool,
    grad_current: Floats,
    sums: SampleSums,
    first: int,
    last: int,
) -> None:
    """Eqs. 15 and 16, from the last step to the first; an empty gradient counts as zero."""
    n_steps, n_out = potential.shape[1:]
    bias_sums, decay_sums = sums
    state = np.empty((4, n_out), potential.dtype)
    gu, gv, fired = state[0], state[1], state[2]
    one, zero = potential.dtype.type(1), potential.dtype.type(0)
    for b in range(first, last):
        state[:] = 0
        state[3, 0] = fetch(potential[b])
        bias_sums[b, :] = 0
        decay_sums[b, :] = 0
        for t in range(n_steps - 1, -1, -1):
            u = potential[b, t]
            for j in range(n_out):
                gv[j] = decay[j] * gu[j]
            if len(grad_membrane) > 0:
                loss = grad_membrane[b, t]
                for j in range(n_out):
                    gv[j] += loss[j]
            fired[:] = 0
            if len(grad_spikes) > 0:
                fired[:] = grad_spikes[b, t]
            if not detach_reset:
                for j in range(n_out):
                    fired[j] -= theta * gv[j]
            for j in range(n_out):
                root = one / (one + scale * abs(u[j] - theta))
                gu[j] = gv[j] + fired[j] * (root * root)
            grad_current[b, t, :] = gu
            for j in range(n_out):
                bias_sums[b, j] += gu[j]
            if t > 0:
                before = potential[b, t - 1]
                for j in range(n_out):
                    decay_sums[b, j] += gu[j] * (before[j] - (theta if before[j] > theta else zero))


def multi_spike_backward(
    trace: Trace,
    grad_spikes: Floats | Gradients | None,
    grad_membrane: Floats | None,
    surrogate_scale: float,
    detach_reset: bool,
    keep_current: bool = True,
    workspace: Workspace | None = None,
) -> Gradients:
    """Backward through time of the conventional layer, Eqs. 15 and 16."""
    potential = trace.potential
    batch, _, n_out = potential.shape
    dtype = potential.dtype
    grad_s = input_spikes_backward(grad_spikes, potential)
    grad_v = potential[:0] if grad_membrane is None else grad_membrane
    grad_current = buffer(workspace, "grad_current", potential.shape, dtype)
    sums = SampleSums(*np.empty((2, batch, n_out), dtype))
    row, theta, scale = (
        decay_row(trace.decay, n_out),
        dtype.type(trace.threshold),
        dtype.type(surrogate_scale),
    )

    def task(_: int, first: int, last: int) -> None:
        _multi_spike_steps_backward(
            grad_s, grad_v, potential, row, theta, scale, detach_reset, grad_current, sums, first, last
        )

    run_shares(task, batch)
    return _gradients(trace, grad_current, sums, workspace)


@kernel
def _readout_steps(
    potential: Floats,
    bias: Floats,
    decay: Floats,
    use_max: bool,
    value: Floats,
    peak_times: Ints64,
    first: int,
    last: int,
) -> None:
    """Eqs. 2 and 17 in place: `potential` (B, T, n_out) comes as x @ W and leaves as U."""
    n_steps, n_out = potential.shape[1:]
    for b in range(first, last):
        for j in range(n_out):
            u = potential[b, 0, j] + bias[j]
            potential[b, 0, j] = u
            total, peak = u, 0
            for t in range(1, n_steps):
                u = decay[j] * u + (potential[b, t, j] + bias[j])
                potential[b, t, j] = u
                if not use_max:
                    total += u
                elif u > total:
                    total, peak = u, t
            value[b, j] = total
            peak_times[b, j] = peak


def readout_forward(
    spikes: Spikes,
    weight: Floats,
    bias: Floats,
    decay: Floats,
    readout: str,
    logit_scale: float,
    workspace: Workspace | None = None,
) -> ReadoutTrace:
    """The readout: Eqs. 1 and 2 with its own parameters, then Eq. 17."""
    batch, n_steps, _ = spikes.shape
    n_out = weight.shape[1]
    membrane = buffer(workspace, "membrane", (batch, n_steps, n_out), weight.dtype)
    input_current(spikes, weight, membrane)
    value = np.empty((batch, n_out), weight.dtype)
    peak_times = np.empty((batch, n_out), np.int64)
    row, use_max = decay_row(decay, n_out), readout == "max"

    def task(_: int, first: int, last: int) -> None:
        _readout_steps(membrane, bias, row, use_max, value, peak_times, first, last)

    run_shares(task, batch)
    peaks = peak_times if use_max else None
    return ReadoutTrace(
        spikes, weight, bias, decay, readout, logit_scale, membrane, logit_scale * value, peaks
    )


@kernel
def _readout_steps_backward(
    grad_value: Floats,
    use_max: bool,
    peak_times: Ints64,
    membrane: Floats,
    decay: Floats,
    grad_current: Floats,
    sums: SampleSums,
    first: int,
    last: int,
) -> None:
    """Eqs. 18 and 9, from the last step to the first."""
    n_steps, n_out = membrane.shape[1:]
    for b in range(first, last):
        for j in range(n_out):
            zero = decay[j] - decay[j]
            g, bias_sum, decay_sum = zero, zero, zero
            for t in range(n_steps - 1, -1, -1):
                reaches = not use_max or peak_times[b, j] == t
                g = (grad_value[b, j] if reaches else zero) + decay[j] * g
                grad_current[b, t, j] = g
                bias_sum += g
                if t > 0:
                    decay_sum += g * membrane[b, t - 1, j]
            sums.bias[b, j] = bias_sum
            sums.decay[b, j] = decay_sum


def readout_backward(
    trace: ReadoutTrace, grad_logits: Floats, workspace: Workspace | None = None
) -> Gradients:
    """Backward through the readout: Eq. 18, then Eqs. 9 and 10 (its spikes are the input of Eq. 6)."""
    membrane = trace.membrane
    batch, _, n_out = membrane.shape
    dtype = membrane.dtype
    grad_value = trace.logit_scale * grad_logits
    use_max = trace.peak_times is not None
    peak_times = np.empty((0, 0), np.int64) if trace.peak_times is None else trace.peak_times
    grad_current = buffer(workspace, "grad_current", membrane.shape, dtype)
    sums = SampleSums(*np.empty((2, batch, n_out), dtype))
    row = decay_row(trace.decay, n_out)

    def task(_: int, first: int, last: int) -> None:
        _readout_steps_backward(
            grad_value, use_max, peak_times, membrane, row, grad_current, sums, first, last
        )

    run_shares(task, batch)
    return _gradients(trace, grad_current, sums, workspace)
