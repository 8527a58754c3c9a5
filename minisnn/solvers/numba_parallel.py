"""Whole spike trains at once on a CPU: event-driven, fused, on several cores.

Equal to `numpy_parallel` bit for bit on exact inputs, within the rounding bound elsewhere, and to itself bit
for bit on any number of threads. What makes it fast: a spike costs one weight row instead of its share of a
dense product over all steps; one pass per direction does everything that lies between input and output,
with the state of neighbouring neurons in registers and their weights in cache (`lanes`); and a neuron that fires at
most once hands on at most one event. Since no output enters a later step (the paper's point), a pass needs no
reset, no raster and no second look: the spike time is the first crossing, and the two running sums of Eq. 7 ride
along.

Inputs with many spikes are better served by BLAS; the measured density decides (`event_products.set_product`).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..model import Gradients, ReadoutTrace, Trace
from ..spikes import SpikeEvents
from . import event_products
from .lanes import LANES, n_blocks, padded, unpadded
from .numba_adam import adam_update
from .numba_passes import (
    STATE,
    backward_share,
    constants,
    forward_share,
    readout_backward_share,
    readout_share,
    sums_of_shares,
)
from .numba_step import training_step
from .numba_tiles import backward_tiles, forward_tiles, tile_scratch
from .products import (
    Spikes,
    add_in_order,
    matmul,
    matmul_samples,
    matmul_transposed,
    matmul_transposed_samples,
    share_products,
)
from .threads import one_blas_thread, run_shares, set_threads, shares
from .upstream import FEW, PROJECTED, ReadoutGradients, as_upstream
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
    batch, n_steps, n_in = signal.shape
    n_out, dtype = weight.shape[1], weight.dtype
    potential = buffer(workspace, "potential", (batch, n_steps, n_out), dtype)
    spike_times = np.empty((batch, n_blocks(n_out) * LANES), np.int32)
    indptr, indices = event_products.pointers(signal, by_events)
    blocks, both = input_blocks(weight, by_events, workspace), constants(bias, decay)
    theta, group = dtype.type(threshold), event_products.group_size(n_in, n_steps)

    def from_events(share: int, first: int, last: int) -> None:
        (sample,) = buffer(workspace, f"blocks{share}", (1, n_steps, LANES), dtype)
        state = np.empty((STATE, LANES), dtype)
        forward_share(
            potential, spike_times, indptr, indices, blocks, both, theta, group, sample, state, first, last
        )  # fmt: skip

    def from_products(share: int, first: int, last: int) -> None:
        matmul_samples(signal, weight, potential, first, last)
        forward_tiles(potential, spike_times, both, theta, *tile_scratch(n_out, dtype), first, last)

    with one_blas_thread():
        run_shares(from_events if by_events else from_products, batch)
    times = unpadded(spike_times, n_out)
    return Trace(signal, weight, bias, decay, threshold, potential, "single-spike", times)


def input_blocks(weight: Floats, by_events: bool, workspace: Workspace | None) -> Floats:
    """The weights as events take them, (K, n_in, LANES); without rows where BLAS does the product."""
    return event_products.weight_blocks(weight if by_events else weight[:0], workspace)


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
    n_in, dtype, n_shares, k = len(weight), potential.dtype, len(shares(batch)), n_blocks(n_out)
    up = as_upstream(grad_spikes, potential)
    projection = np.ascontiguousarray(up.weight[: len(up.weight) if up.source == PROJECTED else 0])
    if len(projection) <= FEW:
        projection = projection[:0]
    onwards = padded(up.weight[: 0 if len(projection) else len(up.weight)])
    gv = potential[:0] if grad_membrane is None else np.ascontiguousarray(grad_membrane)
    common = (
        up.source, up.grad, onwards, projection, up.recursion, up.grad_value, up.peak_times, gv,
        potential, padded(trace.spike_times), constants(trace.bias, trace.decay),
        dtype.type(trace.threshold), dtype.type(surrogate_scale), gradient == "gated",
    )  # fmt: skip
    keep = keep_current or not by_events  # BLAS takes all of gI at once
    kept = buffer(workspace, "grad_current", potential.shape if keep else (0, n_steps, n_out), dtype)
    sums = np.zeros((n_shares, 2, k * LANES), dtype)
    indptr, indices = event_products.pointers(signal, by_events)
    group = event_products.group_size(n_in, n_steps) if by_events else 1
    longest = event_products.most_events(signal) if by_events and isinstance(signal, SpikeEvents) else 0
    partial_weight = buffer(workspace, "grad_weight", (n_shares, k, n_in if by_events else 0, LANES), dtype)
    products = kept[:0] if by_events else share_products(signal, kept, workspace)

    def projected() -> Floats:
        return np.empty((group, n_steps if len(projection) else 0, n_out), dtype)

    def from_events(share: int, first: int, last: int) -> None:
        backward_share(
            *common, kept, indptr, indices, *event_products.group_scratch(group, n_in, longest),
            partial_weight[share], sums[share], projected(),
            buffer(workspace, f"blocks{share}", (3, n_steps, LANES), dtype), np.empty((STATE, LANES), dtype),
            first, last,
        )  # fmt: skip

    def from_products(share: int, first: int, last: int) -> None:
        backward_tiles(*common, kept, sums[share], projected()[0], *tile_scratch(n_out, dtype), first, last)
        matmul_transposed_samples(signal, kept, products[share], first, last)

    with one_blas_thread():
        run_shares(from_events if by_events else from_products, batch)
    if by_events:
        grad_weight = event_products.add_partials(partial_weight, n_out, workspace)
    else:
        grad_weight = add_in_order(products, workspace)
    grad_bias, grad_decay = sums_of_shares(sums, trace.decay, n_out)
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
    blocks, both = input_blocks(weight, by_events, workspace), constants(bias, decay)
    value = np.empty((batch, len(blocks) * LANES), dtype)
    peak_times = np.empty((batch, len(blocks) * LANES), np.int32)

    def task(share: int, first: int, last: int) -> None:
        sample = buffer(workspace, f"blocks{share}", (1, n_steps, LANES), dtype)[0]
        readout_share(
            membrane, value, peak_times, readout == "max", indptr, indices, blocks, both, sample, first, last
        )  # fmt: skip

    run_shares(task, batch)
    logits = dtype.type(logit_scale) * unpadded(value, n_out)
    peaks = unpadded(peak_times, n_out).astype(np.int64) if readout == "max" else None
    return ReadoutTrace(signal, weight, bias, decay, readout, logit_scale, membrane, logits, peaks)


def readout_backward(
    trace: ReadoutTrace, grad_logits: Floats, workspace: Workspace | None = None
) -> Gradients:
    """Backward through the readout: Eq. 18, then Eqs. 9 and 10 (its spikes are the input of Eq. 6)."""
    membrane, weight = trace.membrane, trace.weight
    signal, by_events = event_products.prepare(trace.input)
    batch, n_steps, n_out = membrane.shape
    n_in, dtype, n_shares, k = len(weight), membrane.dtype, len(shares(batch)), n_blocks(n_out)
    grad_value = dtype.type(trace.logit_scale) * grad_logits
    use_max = trace.peak_times is not None
    peaks = None if trace.peak_times is None else trace.peak_times.astype(np.int32)
    values = padded(grad_value)
    reached = np.zeros(values.shape, np.int32) if peaks is None else padded(peaks)
    grad_current = buffer(workspace, "grad_current", membrane.shape, dtype)
    indptr, indices = event_products.pointers(signal, by_events)
    longest = event_products.most_events(signal) if by_events and isinstance(signal, SpikeEvents) else 0
    partial_weight = np.zeros((n_shares, k, n_in if by_events else 0, LANES), dtype)
    sums, both = np.zeros((n_shares, 2, k * LANES), dtype), constants(trace.bias, trace.decay)

    def task(share: int, first: int, last: int) -> None:
        (ends,), (steps,) = event_products.group_scratch(1, n_in, longest)
        readout_backward_share(
            values, reached, use_max, membrane, both, grad_current, indptr, indices, ends, steps,
            partial_weight[share], sums[share],
            buffer(workspace, f"blocks{share}", (2, n_steps, LANES), dtype), first, last,
        )  # fmt: skip

    run_shares(task, batch)
    if by_events:
        grad_weight = event_products.add_partials(partial_weight, n_out, workspace)
    else:
        grad_weight = matmul_transposed(signal, grad_current, run_shares, workspace)
    common = (grad_weight, *sums_of_shares(sums, trace.decay, n_out), grad_current, weight)
    if trace.decay.ndim:
        return Gradients(*common)
    return ReadoutGradients(*common, trace.decay[()], grad_value, peaks)
