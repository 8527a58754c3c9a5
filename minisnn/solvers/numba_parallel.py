"""Whole spike trains at once on a CPU: event-driven, fused, all cores.

Equal to `numpy_parallel` bit for bit on exact inputs, within the rounding bound elsewhere, and to itself bit
for bit on any number of threads. What makes it fast: a spike costs one weight row instead of its share of a
dense product over all steps; one pass per direction does everything that lies between input and output,
with the state of neighbouring neurons in registers (`lanes`); and a neuron that fires at most once hands on
at most one event. Since no output enters a later step (the paper's point), a pass needs no reset, no raster
and no second look: the spike time is the first crossing, and the two running sums of Eq. 7 ride along.

Inputs with many spikes are better served by BLAS; the measured density decides (`event_products.set_product`).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..model import Gradients, ReadoutTrace, Trace
from ..spikes import SpikeEvents
from . import event_products
from .decays import decay_gradient
from .lanes import padded, width
from .numba_adam import adam_update
from .numba_passes import (
    BIAS,
    DECAY,
    backward_share,
    constants,
    forward_share,
    readout_backward_share,
    readout_share,
)
from .numba_step import training_step
from .products import (
    Spikes,
    add_in_order,
    matmul,
    matmul_samples,
    matmul_transposed,
    matmul_transposed_samples,
)
from .threads import one_blas_thread, run_shares, set_threads, shares
from .upstream import ReadoutGradients, as_upstream
from .workspace import Workspace, buffer

__all__ = ["adam_update", "set_threads", "training_step"]

Floats = NDArray[np.floating[Any]]


def next_input(trace: Trace) -> SpikeEvents:
    """What the next layer reads of this one: at most one event a neuron."""
    return event_products.events_of(trace)


def single_spike_forward(
    spikes: Spikes,
    weight: Floats,
    bias: Floats,
    decay: Floats,
    threshold: float,
    workspace: Workspace | None = None,
) -> Trace:
    """The single-spike layer, Eqs. 1 to 5, in one pass."""
    signal, by_events = event_products.prepare(spikes)
    batch, n_steps, _ = signal.shape
    n_out, dtype = weight.shape[1], weight.dtype
    potential = buffer(workspace, "potential", (batch, n_steps, n_out), dtype)
    spike_times = np.empty((batch, n_out), dtype=np.int32)
    indptr, indices = event_products.pointers(signal, by_events)
    rows = weight_rows(weight, by_events, workspace)
    both, theta = constants(bias, decay), dtype.type(threshold)
    m = rows.shape[1]

    def task(k: int, first: int, last: int) -> None:
        sample, when = buffer(workspace, f"samples{k}", (n_steps, m), dtype), np.empty((1, m), np.int32)
        if not by_events:
            matmul_samples(signal, weight, potential, first, last)
        forward_share(
            potential, spike_times, indptr, indices, rows, both, theta, by_events, sample, when, first, last
        )

    with one_blas_thread():
        run_shares(task, batch)
    return Trace(signal, weight, bias, decay, threshold, potential, "single-spike", spike_times)


def weight_rows(weight: Floats, by_events: bool, workspace: Workspace | None) -> Floats:
    """The weights in lanes, (n_in, M), as events take them; without rows where BLAS has done the product."""
    n_in, n_out = weight.shape if by_events else (0, weight.shape[1])
    return padded(weight[:n_in], buffer(workspace, "weight", (n_in, width(n_out)), weight.dtype))


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
    signal, by_events = event_products.prepare(trace.input)
    batch, n_steps, n_out = potential.shape
    n_in, dtype, n_shares, m = weight.shape[0], potential.dtype, len(shares(batch)), width(n_out)
    up = as_upstream(grad_spikes, potential)
    onwards = padded(up.weight)
    gv = potential[:0] if grad_membrane is None else np.ascontiguousarray(grad_membrane)
    indptr, indices = event_products.pointers(signal, by_events)
    keep = keep_current or not by_events  # BLAS takes all of gI at once
    longest = event_products.most_events(signal) if by_events and isinstance(signal, SpikeEvents) else 0
    kept = buffer(workspace, "grad_current", potential.shape if keep else (0, n_steps, n_out), dtype)
    partial_weight = buffer(workspace, "grad_weight", (n_shares, n_in if by_events else 0, m), dtype)
    products: list[Floats] = [kept[:0]] * n_shares  # of BLAS
    sums = np.zeros((n_shares, 2, m), dtype)
    both = constants(trace.bias, trace.decay)

    def task(k: int, first: int, last: int) -> None:
        partial_weight[k] = 0
        backward_share(
            up.source, up.grad, onwards, up.recursion, up.grad_value, up.peak_times, np.empty(n_steps, np.bool_), gv,
            potential, trace.spike_times, both, dtype.type(trace.threshold), dtype.type(surrogate_scale),
            gradient == "gated", kept, by_events, indptr, indices, np.empty(n_in + 1, np.int64),
            np.empty(longest, np.int64), partial_weight[k], sums[k],
            buffer(workspace, f"samples{k}", (3, n_steps, m), dtype), np.empty((1, m), np.int32), first, last,
        )  # fmt: skip
        if not by_events:
            products[k] = matmul_transposed_samples(signal, kept, first, last)

    with one_blas_thread():
        run_shares(task, batch)
    grad_weight = event_products.add_partials(partial_weight, n_out) if by_events else add_in_order(products)
    grad_bias, grad_decay = (
        sums[:, BIAS, :n_out].sum(axis=0),
        decay_gradient(sums[:, DECAY, :n_out], trace.decay),
    )
    return Gradients(grad_weight, grad_bias, grad_decay, kept if keep_current else None, weight)


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
    signal, by_events = event_products.prepare(spikes)
    batch, n_steps, _ = signal.shape
    n_out, dtype = weight.shape[1], weight.dtype
    membrane = buffer(workspace, "membrane", (batch, n_steps, n_out), dtype)
    if not by_events:
        matmul(signal, weight, run_shares, membrane)
    indptr, indices = event_products.pointers(signal, by_events)
    value, peak_times = np.empty((batch, n_out), dtype), np.empty((batch, n_out), np.int64)
    rows, both = weight_rows(weight, by_events, workspace), constants(bias, decay)
    m = rows.shape[1]

    def task(k: int, first: int, last: int) -> None:
        sample = buffer(workspace, f"samples{k}", (n_steps, m), dtype)
        reached, when = np.empty((1, m), dtype), np.empty((1, m), np.int32)
        readout_share(
            membrane, value, peak_times, readout == "max", indptr, indices, rows, both, by_events,
            sample, reached, when, first, last,
        )  # fmt: skip

    run_shares(task, batch)
    logits = dtype.type(logit_scale) * value
    peaks = peak_times if readout == "max" else None
    return ReadoutTrace(signal, weight, bias, decay, readout, logit_scale, membrane, logits, peaks)


def readout_backward(
    trace: ReadoutTrace, grad_logits: Floats, workspace: Workspace | None = None
) -> Gradients:
    """Backward through the readout: Eq. 18, then Eqs. 9 and 10 (its spikes are the input of Eq. 6)."""
    membrane, weight = trace.membrane, trace.weight
    signal, by_events = event_products.prepare(trace.input)
    batch, n_steps, n_out = membrane.shape
    n_in, dtype, n_shares, m = len(weight), membrane.dtype, len(shares(batch)), width(n_out)
    grad_value = dtype.type(trace.logit_scale) * grad_logits
    peaks = None if trace.peak_times is None else trace.peak_times.astype(np.int32)
    no_peaks = np.zeros((0, 0), np.int32)
    grad_current = buffer(workspace, "grad_current", membrane.shape, dtype)
    indptr, indices = event_products.pointers(signal, by_events)
    longest = event_products.most_events(signal) if by_events and isinstance(signal, SpikeEvents) else 0
    partial_weight = np.zeros((n_shares, n_in if by_events else 0, m), dtype)
    sums = np.zeros((n_shares, 2, m), dtype)
    both = constants(trace.bias, trace.decay)

    def task(k: int, first: int, last: int) -> None:
        readout_backward_share(
            grad_value, no_peaks if peaks is None else peaks, membrane, both, grad_current, by_events, indptr, indices,
            np.empty(n_in + 1, np.int64), np.empty(longest, np.int64), partial_weight[k], sums[k],
            buffer(workspace, f"samples{k}", (2, n_steps, m), dtype), np.empty((1, m), dtype),
            np.empty((1, m), np.int32), first, last,
        )  # fmt: skip

    run_shares(task, batch)
    if by_events:
        grad_weight = event_products.add_partials(partial_weight, n_out)
    else:
        grad_weight = matmul_transposed(signal, grad_current, run_shares)
    grad_decay = decay_gradient(sums[:, DECAY, :n_out], trace.decay)
    common = (grad_weight, sums[:, BIAS, :n_out].sum(axis=0), grad_decay, grad_current, weight)
    if trace.decay.ndim:
        return Gradients(*common)
    return ReadoutGradients(*common, trace.decay[()], grad_value, peaks)
