"""Whole spike trains at once on a CPU: event-driven, fused, on several cores.

Equal to `numpy_parallel` bit for bit on exact inputs, within the rounding bound elsewhere, and to itself bit
for bit on any number of threads. It is fast for three reasons. A spike costs one weight row instead of its share of
a dense product over all steps. One pass per direction does everything between input and output, with the state of
neighbouring neurons in registers and their weights in cache (`compiled.lanes`). And a neuron that fires at most once
hands on at most one event. The passes stand in `compiled.passes`: read them next.

Inputs with many spikes are better served by BLAS; the measured density decides (`compiled.events.set_product`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..model import Gradients, ReadoutTrace, Trace
from ..spikes import SpikeEvents
from .compiled import events, layer
from .compiled.adam import adam_update
from .compiled.lanes import LANES, n_blocks, padded, unpadded
from .compiled.layer import are_sound
from .compiled.products import (
    Spikes,
    add_in_order,
    matmul,
    matmul_samples,
    matmul_transposed,
    matmul_transposed_samples,
    share_products,
)
from .compiled.records import Floats, Rule, Scratch, Upstream
from .compiled.step import run_network
from .compiled.threads import one_blas_thread, run_shares, run_shares_in_rooms, set_threads, shares
from .compiled.tiles import backward_tiles, forward_tiles, tiles_for
from .compiled.traces import BlockReadoutTrace, BlockTrace, in_blocks, packed
from .compiled.upstream import BY_BLAS, GIVEN, PROJECTED, RECURSION, onward_of
from .compiled.workspace import buffer, part

__all__ = [
    "adam_update",
    "are_sound",
    "next_input",
    "readout_backward",
    "readout_forward",
    "run_network",
    "set_threads",
    "single_spike_backward",
    "single_spike_forward",
]


def next_input(trace: Trace) -> SpikeEvents:
    """The input of the next layer: at most one event per neuron."""
    return events.events_of(trace)


def single_spike_forward(
    spikes: Spikes, weight: Floats, bias: Floats, decay: Floats, threshold: float, workspace: Any = None
) -> Trace:
    """The single-spike layer, Eqs. 1 to 5, in one pass."""
    signal, incoming = events.prepare(spikes)
    (batch, n_steps, n_in), n_out, dtype = signal.shape, weight.shape[1], weight.dtype
    by_events, n_rows = len(incoming.indptr) > 0, n_blocks(n_out)
    shape = (batch, n_rows, n_steps, LANES) if by_events else (batch, n_steps, n_out)
    potential = buffer(workspace, "potential", shape, dtype)
    times = np.empty((batch, n_rows * LANES), np.int32)
    parameters = layer.parameters_of(weight if by_events else weight[:0], bias, decay, workspace)
    theta, group = dtype.type(threshold), events.group_size(n_in, n_steps)

    def from_events(_: int, first: int, last: int) -> None:
        layer.forward_layer(potential, times, incoming, parameters, theta, group, first, last)

    def from_products(_: int, first: int, last: int) -> None:
        matmul_samples(signal, weight, potential, first, last)
        forward_tiles(potential, times, incoming, parameters, theta, tiles_for(n_out, dtype), first, last)

    with one_blas_thread():
        run_shares(from_events if by_events else from_products, batch, n_steps)
    kind = BlockTrace.of if by_events else Trace
    return kind(signal, weight, bias, decay, threshold, potential, "single-spike", unpadded(times, n_out))


def single_spike_backward(
    trace: Trace,
    grad_spikes: Floats | Gradients | None,
    grad_membrane: Floats | None,
    surrogate_scale: float,
    gradient: str,
    keep_current: bool = True,
    workspace: Any = None,
) -> Gradients:
    """Backward through the single-spike layer, Eqs. 6 to 10, in one pass."""
    signal, incoming = events.prepare(trace.input)
    (batch, n_steps, n_out), weight, dtype = trace.shape, trace.weight, trace.weight.dtype
    by_events = len(incoming.indptr) > 0
    potential, times = in_blocks(trace) if by_events else trace.potential, padded(trace.spike_times)
    parameters = layer.parameters_of(weight[:0], trace.bias, trace.decay)
    real, penalty = dtype.type, grad_spikes.spike_penalty if isinstance(grad_spikes, Gradients) else 0
    rule = Rule(real(trace.threshold), real(surrogate_scale), gradient == "gated", real(penalty))
    arriving = as_upstream(grad_spikes, grad_membrane, trace)
    keep = keep_current or not by_events  # BLAS takes all of gI at once
    current = buffer(workspace, "grad_current", (batch if keep else 0, n_steps, n_out), dtype)
    rows = weight if by_events else weight[:0]
    partial = layer.partial_gradients(len(shares(batch, n_steps)), rows, workspace, "grad_weight")
    products = current[:0] if by_events else share_products(signal, current, workspace)
    group = events.group_size(len(weight), n_steps) if by_events else 1
    longest = events.most_events(incoming, n_steps)

    def room(worker: int) -> tuple[Upstream, Any]:
        """The arriving gradient with room for a group of samples, and the scratch of one thread."""
        projected = np.empty((group, n_steps, n_out if arriving.onward.source == BY_BLAS else 0), dtype)
        mine = arriving._replace(projected=projected, reached=np.empty((group, n_steps), np.bool_))
        if not by_events:
            return mine, tiles_for(n_out, dtype)
        own = part(workspace, f"thread {worker}")
        return mine, events.group_scratch(own, dtype, n_steps, group, len(weight), longest)

    def task(room: tuple[Upstream, Any], share: int, first: int, last: int) -> None:
        (upstream, scratch), mine = room, layer.of_share(partial, share)
        if by_events:
            layer.backward_layer(
                potential, times, incoming, parameters, rule, upstream, mine, current, scratch, True, first, last
            )  # fmt: skip
        else:
            backward_tiles(potential, times, parameters, rule, upstream, mine, current, scratch, first, last)
            matmul_transposed_samples(signal, current, products[share], first, last)

    with one_blas_thread():
        run_shares_in_rooms(task, batch, n_steps, room)
    if by_events:
        grad_weight = events.add_partials(partial.weight, n_out, workspace)
    else:
        grad_weight = add_in_order(products, workspace)
    sums = layer.sums_of_shares(partial, trace.decay, n_out)
    return Gradients(grad_weight, *sums, current if keep_current else None, weight)


def readout_forward(
    spikes: Spikes,
    weight: Floats,
    bias: Floats,
    decay: Floats,
    readout: str,
    logit_scale: float,
    workspace: Any = None,
) -> ReadoutTrace:
    """The readout, Eqs. 1, 2 and 17, in one pass."""
    signal, incoming = events.prepare(spikes)
    (batch, n_steps, _), n_out, dtype = signal.shape, weight.shape[1], weight.dtype
    by_events, n_rows = len(incoming.indptr) > 0, n_blocks(n_out)
    if by_events:
        membrane = buffer(workspace, "membrane", (batch, n_rows, n_steps, LANES), dtype)
    else:
        membrane = packed(matmul(signal, weight, run_shares))
    parameters = layer.parameters_of(weight if by_events else weight[:0], bias, decay, workspace)
    value, peaks = np.empty((batch, n_rows * LANES), dtype), np.empty((batch, n_rows * LANES), np.int32)

    def task(_: int, first: int, last: int) -> None:
        layer.forward_readout(
            membrane[first:last], value[first:last], peaks[first:last],
            events.of_samples(incoming, first, last, n_steps), parameters, readout == "max",
        )  # fmt: skip

    run_shares(task, batch, n_steps)
    logits = dtype.type(logit_scale) * unpadded(value, n_out)
    peak_times = unpadded(peaks, n_out).astype(np.int64) if readout == "max" else None
    return BlockReadoutTrace.of(
        signal, weight, bias, decay, readout, logit_scale, membrane, logits, peak_times
    )


def readout_backward(trace: ReadoutTrace, grad_logits: Floats, workspace: Any = None) -> Gradients:
    """Backward through the readout: Eq. 18, then Eqs. 9 and 10 (its spikes are the input of Eq. 6)."""
    signal, incoming = events.prepare(trace.input)
    (batch, n_steps, _), weight, dtype = signal.shape, trace.weight, trace.weight.dtype
    by_events, n_out, membrane = len(incoming.indptr) > 0, weight.shape[1], in_blocks(trace)
    grad_value = dtype.type(trace.logit_scale) * grad_logits
    use_max = trace.peak_times is not None
    peaks = None if trace.peak_times is None else trace.peak_times.astype(np.int32)
    values = padded(grad_value)
    reached = np.zeros(values.shape, np.int32) if peaks is None else padded(peaks)
    current = buffer(workspace, "grad_current", (batch, n_steps, n_out), dtype)
    parameters = layer.parameters_of(weight[:0], trace.bias, trace.decay)
    rows = weight if by_events else weight[:0]
    partial = layer.partial_gradients(len(shares(batch, n_steps)), rows, workspace, "grad_weight")
    group, longest = events.group_size(len(weight), n_steps), events.most_events(incoming, n_steps)

    def room(worker: int) -> Scratch:
        own = part(workspace, f"thread {worker}")
        return events.group_scratch(own, dtype, n_steps, group, len(weight), longest)

    def task(scratch: Scratch, share: int, first: int, last: int) -> None:
        mine = layer.of_share(partial, share)
        layer.backward_readout(
            membrane, values, reached, incoming, parameters, mine, current, scratch, use_max, True, first, last
        )  # fmt: skip

    run_shares_in_rooms(task, batch, n_steps, room)
    if by_events:
        grad_weight = events.add_partials(partial.weight, n_out, workspace)
    else:
        grad_weight = matmul_transposed(signal, current, run_shares, workspace)
    common = (grad_weight, *layer.sums_of_shares(partial, trace.decay, n_out), current, weight)
    if trace.decay.ndim:
        return Gradients(*common)
    adjoint = {"readout_decay": trace.decay[()], "grad_value": grad_value, "peak_times": peaks}
    return ReadoutGradients(*common, **adjoint)


@dataclass(frozen=True, eq=False)
class ReadoutGradients(Gradients):
    """Gradients of a readout with one decay for all outputs, with the factors of its adjoint.

    There ``gx[t] = beta gx[t+1] + sum_o W[:, o] gvalue_o [o is reached in step t]``: a recursion of one row,
    and no product per step (`grad_value` is (B, n_out); `peak_times` as in `ReadoutTrace`).
    """

    readout_decay: Any = None
    grad_value: Floats | None = None
    peak_times: NDArray[np.int32] | None = None


def as_upstream(
    grad_spikes: Floats | Gradients | None, grad_membrane: Floats | None, trace: Trace
) -> Upstream:
    """The gradient that arrives, in its cheapest form: an array, a product (of nothing for None), or a recursion."""
    (_, n_steps, n_out), dtype = trace.shape, trace.weight.dtype
    source, weight, recursion = PROJECTED, np.zeros((0, n_out), dtype), dtype.type(0)
    none = np.zeros((0, n_steps, n_out), dtype)
    grad = np.zeros((*trace.shape[:2], 0), dtype)
    grad_value, peaks = np.zeros((0, 0), dtype), np.zeros((0, 0), np.int32)
    if isinstance(grad_spikes, ReadoutGradients) and grad_spikes.grad_value is not None:
        assert grad_spikes.input_weight is not None
        source, weight, recursion = RECURSION, grad_spikes.input_weight.T, grad_spikes.readout_decay
        grad_value = grad_spikes.grad_value
        peaks = peaks if grad_spikes.peak_times is None else grad_spikes.peak_times
    elif isinstance(grad_spikes, Gradients):
        assert grad_spikes.current is not None
        assert grad_spikes.input_weight is not None
        grad, weight = grad_spikes.current, grad_spikes.input_weight.T
    elif grad_spikes is not None:
        source, grad = GIVEN, np.ascontiguousarray(grad_spikes)
    membrane = None if grad_membrane is None else np.ascontiguousarray(grad_membrane)
    onward = onward_of(source, weight, recursion)
    return Upstream(onward, grad, none, grad_value, peaks, np.empty((0, 0), np.bool_), membrane)
