"""The definition, compiled: equal to `numpy_sequential` bit for bit, forward and backward.

The layers are those of `numpy_sequential`, in its order. Matrix products and batch sums are the same NumPy calls.
Between them, one loop over time goes through all equations, a row of neurons at a time (`compiled.rows`). This is the
honest baseline: a stepping implementation as fast as stepping gets, on all cores.

If event products were asked for (`compiled.events.set_product`), input current and weight gradient come from events;
then the results equal those of the definition within the rounding bound.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..model import Gradients, ReadoutTrace, Trace
from .compiled import events
from .compiled.adam import adam_update
from .compiled.event_products import event_matmul, event_matmul_transposed
from .compiled.jit import kernel
from .compiled.products import Spikes, decay_row, matmul, matmul_transposed, summed_like
from .compiled.records import Arriving, Floats, Ints32, Ints64, Neurons, SampleSums
from .compiled.rows import (
    add,
    crossings_backward,
    decay_gradient,
    double_sum_backward,
    fetch,
    first_only,
    first_only_backward,
    integrate,
    integrate_backward,
    over_time,
    over_time_backward,
    reset,
)  # fmt: skip
from .compiled.threads import run_shares, set_threads
from .compiled.workspace import buffer

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
    """The input of the next layer: this one's raster (events, if those were asked for)."""
    if events.get_product() == "events":
        return events.events_of(trace)
    spikes: NDArray[Any] = trace.spikes
    return spikes


def input_current(spikes: Spikes, weight: Floats, workspace: Any) -> Floats:
    """Input current without the bias, ``x[t] @ W`` (Eq. 1), (B, T, n_out)."""
    out = buffer(workspace, "potential", (*spikes.shape[:2], weight.shape[1]), weight.dtype)
    if events.get_product() == "events":
        return event_matmul(events.as_events(spikes), weight, out)
    return matmul(spikes, weight, run_shares, out)


def input_current_backward(grad_current: Floats, spikes: Spikes, workspace: Any) -> Floats:
    """Gradient of Eq. 1 by the weight (Eq. 10)."""
    if events.get_product() == "events":
        return event_matmul_transposed(events.as_events(spikes), grad_current)
    return matmul_transposed(spikes, grad_current, run_shares, workspace)


def input_spikes_backward(upstream: Floats | Gradients) -> Floats:
    """Gradient by the spikes of a layer, ``gI[t] @ W^T`` of the next (Eq. 11) and Eq. 19, (B, T, N)."""
    if not isinstance(upstream, Gradients):
        return upstream
    assert upstream.current is not None
    assert upstream.input_weight is not None
    grad_spikes: Floats = upstream.with_penalty(matmul(upstream.current, upstream.input_weight.T, run_shares))
    return grad_spikes


def _neurons(bias: Floats, decay: Floats, threshold: float, surrogate_scale: float = 0.0) -> Neurons:
    real = bias.dtype.type
    return Neurons(bias, decay_row(decay, len(bias)), real(threshold), real(surrogate_scale))


def _arriving(grad_spikes: Floats | Gradients | None, grad_membrane: Floats | None, trace: Trace) -> Arriving:
    none = trace.potential[:0]
    return Arriving(
        none if grad_spikes is None else input_spikes_backward(grad_spikes),
        none if grad_membrane is None else grad_membrane,
    )


def _gradients(
    trace: Trace | ReadoutTrace, steps: Callable[..., None], given: tuple[Any, ...], workspace: Any
) -> Gradients:
    """Run a kernel of the backward pass on the arguments `given`, then form Eq. 10 and the sums over the batch."""
    (batch, n_steps, _), n_out, dtype = trace.input.shape, len(trace.bias), trace.weight.dtype
    current = buffer(workspace, "grad_current", (batch, n_steps, n_out), dtype)
    sums = SampleSums(*np.zeros((2, batch, n_out), dtype))
    run_shares(lambda _, *share: steps(*given, current, sums, *share), batch, n_steps)
    grad_weight = input_current_backward(current, trace.input, workspace)
    grad_decay = summed_like(trace.decay, sums.decay)
    return Gradients(grad_weight, sums.bias.sum(axis=0), grad_decay, current, trace.weight)


@kernel
def _single_spike_steps(
    potential: Floats, spike_times: Ints32, neurons: Neurons, first: int, last: int
) -> None:
    """Eqs. 1 to 5 in place: `potential` (B, T, N) comes as x @ W and leaves as V."""
    n_steps = potential.shape[1]
    for b in range(first, last):
        spike_times[b, :] = n_steps
        before = np.zeros_like(neurons.bias)
        for t in range(n_steps):
            integrate(potential[b, t], before, neurons)
            before = potential[b, t]
            first_only(spike_times[b], before, neurons.theta, t)


def single_spike_forward(
    spikes: Spikes, weight: Floats, bias: Floats, decay: Floats, threshold: float, workspace: Any = None
) -> Trace:
    """The single-spike layer, Eqs. 1 to 5."""
    potential, neurons = input_current(spikes, weight, workspace), _neurons(bias, decay, threshold)
    spike_times = np.empty((len(potential), len(bias)), np.int32)
    run_shares(
        lambda _, *share: _single_spike_steps(potential, spike_times, neurons, *share), *spikes.shape[:2]
    )
    return Trace(spikes, weight, bias, decay, threshold, potential, "single-spike", spike_times)


@kernel
def _single_spike_steps_backward(
    arriving: Arriving,
    potential: Floats,
    spike_times: Ints32,
    neurons: Neurons,
    gated: bool,
    grad_current: Floats,
    sums: SampleSums,
    first: int,
    last: int,
) -> None:
    """Eqs. 6 to 9, from the last step to the first."""
    n_steps, n_out = potential.shape[1:]
    state = np.empty((4, n_out), potential.dtype)
    gz, inner, outer = state[0], state[1], state[2]
    for b in range(first, last):
        state[:] = 0
        gz[0] = fetch(potential[b])
        later = state[3]
        for t in range(n_steps - 1, -1, -1):
            g = grad_current[b, t]
            g[:] = 0
            if len(arriving.spikes) > 0:
                first_only_backward(gz, arriving.spikes[b, t], spike_times[b], t, gated)
                double_sum_backward(outer, inner, gz)
                crossings_backward(g, outer, potential[b, t], neurons)
            if len(arriving.membrane) > 0:
                add(g, arriving.membrane[b, t])
            integrate_backward(g, later, neurons.decay)
            add(sums.bias[b], g)
            if t > 0:
                decay_gradient(sums.decay[b], g, potential[b, t - 1])
            later = g


def single_spike_backward(
    trace: Trace,
    grad_spikes: Floats | Gradients | None,
    grad_membrane: Floats | None,
    surrogate_scale: float,
    gradient: str,
    keep_current: bool = True,
    workspace: Any = None,
) -> Gradients:
    """Backward through the single-spike layer, Eqs. 6 to 10."""
    arriving = _arriving(grad_spikes, grad_membrane, trace)
    neurons = _neurons(trace.bias, trace.decay, trace.threshold, surrogate_scale)
    given = arriving, trace.potential, trace.spike_times, neurons, gradient == "gated"
    return _gradients(trace, _single_spike_steps_backward, given, workspace)


@kernel
def _multi_spike_steps(potential: Floats, neurons: Neurons, first: int, last: int) -> None:
    """Eqs. 12 to 14 in place: `potential` (B, T, N) comes as x @ W and leaves as U."""
    n_steps, n_out = potential.shape[1:]
    v = np.empty(n_out, potential.dtype)
    for b in range(first, last):
        v[:] = 0
        for t in range(n_steps):
            integrate(potential[b, t], v, neurons)
            reset(v, potential[b, t], neurons.theta)


def multi_spike_forward(
    spikes: Spikes, weight: Floats, bias: Floats, decay: Floats, threshold: float, workspace: Any = None
) -> Trace:
    """The conventional layer, Eqs. 12 to 14."""
    potential, neurons = input_current(spikes, weight, workspace), _neurons(bias, decay, threshold)
    run_shares(lambda _, *share: _multi_spike_steps(potential, neurons, *share), *spikes.shape[:2])
    return Trace(spikes, weight, bias, decay, threshold, potential, "multi-spike")


@kernel
def _multi_spike_steps_backward(
    arriving: Arriving,
    potential: Floats,
    neurons: Neurons,
    detach_reset: bool,
    grad_current: Floats,
    sums: SampleSums,
    first: int,
    last: int,
) -> None:
    """Eqs. 15, 16 and 9, from the last step to the first."""
    n_steps, n_out = potential.shape[1:]
    state = np.empty((4, n_out), potential.dtype)
    gv, fired, v = state[0], state[1], state[2]
    for b in range(first, last):
        state[:] = 0
        gv[0] = fetch(potential[b])
        later = state[3]
        for t in range(n_steps - 1, -1, -1):
            g = grad_current[b, t]
            for j in range(n_out):
                gv[j] = neurons.decay[j] * later[j]
            if len(arriving.membrane) > 0:
                add(gv, arriving.membrane[b, t])
            fired[:] = 0
            if len(arriving.spikes) > 0:
                fired[:] = arriving.spikes[b, t]
            if not detach_reset:
                for j in range(n_out):
                    fired[j] -= neurons.theta * gv[j]
            crossings_backward(g, fired, potential[b, t], neurons)
            add(g, gv)
            add(sums.bias[b], g)
            if t > 0:
                reset(v, potential[b, t - 1], neurons.theta)
                decay_gradient(sums.decay[b], g, v)
            later = g


def multi_spike_backward(
    trace: Trace,
    grad_spikes: Floats | Gradients | None,
    grad_membrane: Floats | None,
    surrogate_scale: float,
    detach_reset: bool,
    keep_current: bool = True,
    workspace: Any = None,
) -> Gradients:
    """Backward through time of the conventional layer, Eqs. 15 and 16."""
    arriving = _arriving(grad_spikes, grad_membrane, trace)
    neurons = _neurons(trace.bias, trace.decay, trace.threshold, surrogate_scale)
    given = arriving, trace.potential, neurons, detach_reset
    return _gradients(trace, _multi_spike_steps_backward, given, workspace)


@kernel
def _readout_steps(
    membrane: Floats,
    value: Floats,
    peak_times: Ints64,
    neurons: Neurons,
    use_max: bool,
    first: int,
    last: int,
) -> None:
    """Eqs. 1, 2 and 17 in place: `membrane` (B, T, n_out) comes as x @ W and leaves as U."""
    for b in range(first, last):
        before = np.zeros_like(neurons.bias)
        for t in range(membrane.shape[1]):
            integrate(membrane[b, t], before, neurons)
            before = membrane[b, t]
            over_time(value[b], peak_times[b], before, t, use_max)


def readout_forward(
    spikes: Spikes,
    weight: Floats,
    bias: Floats,
    decay: Floats,
    readout: str,
    logit_scale: float,
    workspace: Any = None,
) -> ReadoutTrace:
    """The readout: Eqs. 1 and 2 with its own parameters, then Eq. 17."""
    membrane, use_max = input_current(spikes, weight, workspace), readout == "max"
    value, peak_times = (np.empty((len(membrane), len(bias)), dtype) for dtype in (weight.dtype, np.int64))
    given = membrane, value, peak_times, _neurons(bias, decay, 0.0), use_max
    run_shares(lambda _, *share: _readout_steps(*given, *share), *membrane.shape[:2])
    peaks = peak_times if use_max else None
    return ReadoutTrace(
        spikes, weight, bias, decay, readout, logit_scale, membrane, logit_scale * value, peaks
    )


@kernel
def _readout_steps_backward(
    grad_value: Floats,
    peak_times: Ints64,
    membrane: Floats,
    neurons: Neurons,
    use_max: bool,
    grad_current: Floats,
    sums: SampleSums,
    first: int,
    last: int,
) -> None:
    """Eqs. 18 and 9, from the last step to the first."""
    for b in range(first, last):
        later = np.zeros_like(neurons.decay)
        for t in range(membrane.shape[1] - 1, -1, -1):
            g = grad_current[b, t]
            over_time_backward(g, grad_value[b], peak_times[b], t, use_max)
            integrate_backward(g, later, neurons.decay)
            add(sums.bias[b], g)
            if t > 0:
                decay_gradient(sums.decay[b], g, membrane[b, t - 1])
            later = g


def readout_backward(trace: ReadoutTrace, grad_logits: Floats, workspace: Any = None) -> Gradients:
    """Backward through the readout: Eq. 18, then Eqs. 9 and 10 (its spikes are the input of Eq. 6)."""
    use_max = trace.peak_times is not None
    peak_times = trace.peak_times if use_max else np.empty(grad_logits.shape, np.int64)  # not read
    neurons = _neurons(trace.bias, trace.decay, 0.0)
    given = trace.logit_scale * grad_logits, peak_times, trace.membrane, neurons, use_max
    return _gradients(trace, _readout_steps_backward, given, workspace)
