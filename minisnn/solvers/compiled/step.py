"""A whole network, a few samples at a time: forward, loss and backward while they are in cache.

The loss of a batch is the mean of its samples' losses, so that a sample's backward pass can follow its
forward pass at once. The potential of a few samples fits the caches of a core where that of a batch does not:
it is never written to memory, and buffers are those of one group of samples a thread. The layers are those of
`layer`, and so are the results, but for the rounding of the softmax, which is taken here by the
compiled code's exponential.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .events import add_partials, events_of_times, group_scratch, group_size, most_events, of_samples, prepare
from .jit import inlined, kernel
from .lanes import LANES, columns, load, n_blocks, store, unpadded
from .layer import (
    backward_layer,
    backward_readout,
    forward_layer,
    forward_readout,
    of_share,
    parameters_of,
    partial_gradients,
    sums_of_shares,
)
from .products import Spikes
from .records import (
    Events,
    Floats,
    Gradient,
    Loss,
    Network,
    Results,
    Room,
    Rule,
    Scratch,
    Upstream,
)
from .threads import one_blas_thread, run_shares_in_rooms, shares
from .upstream import BY_BLAS, PROJECTED, RECURSION, onward_of
from .workspace import Workspace

Parameters = tuple[Floats, Floats, Floats]  # weight (n_in, n_out), bias (n_out,), decay scalar or (n_out,)


@dataclass(frozen=True, eq=False)
class Step:
    """What a pass through a network leaves behind.

    Parameters
    ----------
    logits : (B, n_classes)
        Of Eq. 17.
    spike_times : tuple of (B, N) int32
        Of every hidden layer; ``n_steps`` is never.
    last_potential : tuple of (B, N)
        Potential of every hidden layer and, last, of the readout in the last step, which tells of an overflow.
    loss : float, optional
        Mean cross-entropy, in nats, after a training step.
    gradients : list of (weight, bias, decay), optional
        Of every layer, the readout last, after a training step.
    """

    logits: Floats
    spike_times: tuple[NDArray[np.int32], ...]
    last_potential: tuple[Floats, ...]
    loss: float | None = None
    gradients: Sequence[Parameters] = ()


@inlined
def _keep_last(last: Floats, potential: Floats) -> None:
    """Potential of a few samples, (G, K, T, LANES), in the last step."""
    for k in range(potential.shape[1]):
        for b in range(len(potential)):
            store(columns(last, k), b, load(potential[b, k], potential.shape[2] - 1))


@inlined
def _between(events: Events, k: int) -> Events:
    """Spikes of hidden layer `k`; `events` hold those of all, a row for each."""
    return Events(events.indptr[k], events.indices[k])


@kernel
def _forward_group(
    incoming: Events, network: Network, results: Results, room: Room, between: Events, start: int, stop: int
) -> None:
    """Forward for samples `start` to `stop`; potentials stay in `room`, spikes in `between`."""
    depth, n_steps = len(network.sizes) - 1, network.n_steps
    for k in range(depth):
        potential, times = room.potentials[k][: stop - start], results.times[k][start:stop]
        signal = incoming if k == 0 else _between(between, k - 1)
        forward_layer(potential, times, signal, network.layers[k], network.rule.theta)
        events_of_times(_between(between, k), times, network.sizes[k], n_steps)
        _keep_last(results.last[k][start:stop], potential)
    membrane, signal = room.potentials[depth][: stop - start], _between(between, depth - 1)
    logits, peaks = results.logits[start:stop], results.peaks[start:stop]
    forward_readout(membrane, logits, peaks, signal, network.layers[depth], network.use_max)
    _keep_last(results.last[depth][start:stop], membrane)


@kernel
def _loss_and_gradient(results: Results, loss: Loss, b: int, n_classes: int) -> None:
    """Cross-entropy of sample `b`, and the gradient of the batch's mean by the readout's value.

    That is ``(p - onehot(label)) / B``, scaled. The logits come as the readout's value.
    """
    logits, grad, label = results.logits[b], results.grad_logits[b], loss.labels[b]
    total = grad.dtype.type(0)
    logits *= loss.logit_scale
    peak = logits[0]
    for o in range(n_classes):
        peak = max(peak, logits[o])
    for o in range(n_classes):
        grad[o] = np.exp(logits[o] - peak)
        total += grad[o]
    for o in range(n_classes):
        share = grad[o] / total
        if o == label:
            share -= grad.dtype.type(1)
        grad[o] = loss.logit_scale * (share / loss.batch)
    results.losses[b] = np.log(total) - (logits[label] - peak)


@kernel
def _room_between(network: Network, group: int) -> Events:
    """Room for the spikes of all hidden layers."""
    depth, widest = len(network.sizes) - 1, 0
    for k in range(depth):
        widest = max(widest, network.sizes[k])
    indptr = np.empty((depth, group * network.n_steps + 1), np.int64)
    return Events(indptr, np.empty((depth, group * widest), np.int32))


@kernel
def _predict_share(
    events: Events, network: Network, results: Results, room: Room, first: int, last: int
) -> None:
    """Forward for samples `first` to `last`."""
    group = len(room.potentials[0])
    between = _room_between(network, group)
    for start in range(first, last, group):
        stop = min(start + group, last)
        incoming = of_samples(events, start, stop, network.n_steps)
        _forward_group(incoming, network, results, room, between, start, stop)


@kernel
def _step_share(
    events: Events,
    network: Network,
    loss: Loss,
    results: Results,
    gradients: tuple[Gradient, ...],
    room: Room,
    scratch: Scratch,
    share: int,
    first: int,
    last: int,
) -> None:
    """Forward, loss and backward for samples `first` to `last`, a share of the batch."""
    depth, group = len(network.sizes) - 1, len(room.potentials[0])
    between = _room_between(network, group)
    reached = np.empty((group, network.n_steps), np.bool_)
    for start in range(first, last, group):
        stop = min(start + group, last)
        n, is_first = stop - start, start == first
        incoming = of_samples(events, start, stop, network.n_steps)
        _forward_group(incoming, network, results, room, between, start, stop)
        for b in range(start, stop):
            _loss_and_gradient(results, loss, b, network.sizes[depth])
        grad_value, peaks = results.grad_logits[start:stop], results.peaks[start:stop]
        backward_readout(
            room.potentials[depth][:n], grad_value, peaks, _between(between, depth - 1), network.layers[depth],
            of_share(gradients[depth], share), room.currents[depth], scratch, network.use_max, is_first,
        )  # fmt: skip
        used = peaks if network.use_max else peaks[:0]
        for k in range(depth - 1, -1, -1):
            current = room.currents[k][:n]
            upstream = Upstream(
                network.onwards[k], room.currents[k + 1][:n], current, grad_value, used, reached, None
            )
            backward_layer(
                room.potentials[k][:n], results.times[k][start:stop],
                incoming if k == 0 else _between(between, k - 1), network.layers[k], network.rule, upstream,
                of_share(gradients[k], share), current if k > 0 else current[:0], scratch, is_first,
            )  # fmt: skip


def _network(
    layers: Sequence[Parameters], n_steps: int, rule: Rule, readout: str, workspace: Workspace | None
) -> Network:
    """The network as kernels take it."""
    blocks = tuple(parameters_of(*parameters, workspace, f"weight{k}") for k, parameters in enumerate(layers))
    by_recursion = layers[-1][2].ndim == 0
    onwards = []
    for k, (weight, _, decay) in enumerate(layers[1:], 2):
        recursive = by_recursion and k == len(layers)
        recursion = decay[()] if recursive else decay.dtype.type(0)
        onwards.append(onward_of(RECURSION if recursive else PROJECTED, weight.T, recursion))
    sizes = tuple(weight.shape[1] for weight, _, _ in layers)
    return Network(blocks, tuple(onwards), sizes, n_steps, rule, readout == "max")


def _results(network: Network, batch: int, dtype: np.dtype[Any]) -> Results:
    """Room for what is left of every sample."""
    widths = [n_blocks(n) * LANES for n in network.sizes]
    logits, grad_logits = np.zeros((2, batch, widths[-1]), dtype)  # zero after the last class
    return Results(
        tuple(np.empty((batch, width), np.int32) for width in widths[:-1]),
        tuple(np.empty((batch, width), dtype) for width in widths),
        np.empty(batch, dtype),
        logits,
        grad_logits,
        np.empty((batch, widths[-1]), np.int32),
    )


def _room(workspace: Workspace, worker: int, network: Network, group: int, dtype: np.dtype[Any]) -> Room:
    """Room of one thread, for a group of samples on its way through the network."""
    mine = workspace.part(f"thread {worker}")
    n_steps, sizes, sources = network.n_steps, network.sizes, [o.source for o in network.onwards]
    # The layers whose gI is kept for a product, and the first one if its gS is formed by one.
    kept = [sources[0] == BY_BLAS, *[True] * (len(sources) - 1), sources[-1] != RECURSION]
    return Room(
        tuple(
            mine.array(f"potential{k}", (group, n_blocks(n), n_steps, LANES), dtype)
            for k, n in enumerate(sizes)
        ),
        tuple(
            mine.array(f"current{k}", (group if keep else 0, n_steps, n), dtype)
            for k, (keep, n) in enumerate(zip(kept, sizes))
        ),
        mine.array("rows", (n_steps, LANES), dtype),
    )


def _step(network: Network, results: Results, loss: float | None, gradients: Sequence[Parameters]) -> Step:
    sizes = network.sizes
    return Step(
        unpadded(results.logits, sizes[-1]),
        tuple(unpadded(times, n) for times, n in zip(results.times, sizes)),
        tuple(last[:, :n] for last, n in zip(results.last, sizes)),
        loss,
        gradients,
    )


def predict(
    spikes: Spikes,
    layers: Sequence[Parameters],
    *,
    threshold: float,
    readout: str,
    logit_scale: float,
    workspace: Workspace | None = None,
) -> Step | None:
    """Forward through a single-spike network: no potential is kept.

    Parameters, returns and None as for `training_step`, without loss and gradients.
    """
    signal, incoming = prepare(spikes)
    if len(incoming.indptr) == 0:
        return None
    (batch, n_steps, _), dtype = signal.shape, layers[0][0].dtype
    workspace = workspace or Workspace()
    rule = Rule(dtype.type(threshold), dtype.type(0), False)
    network = _network(layers, n_steps, rule, readout, workspace)
    results = _results(network, batch, dtype)
    group = group_size(max(len(weight) for weight, _, _ in layers), n_steps)

    def task(room: Room, _: int, first: int, last: int) -> None:
        _predict_share(incoming, network, results, room, first, last)

    run_shares_in_rooms(task, batch, lambda worker: _room(workspace, worker, network, group, dtype))
    np.multiply(results.logits, dtype.type(logit_scale), out=results.logits)
    return _step(network, results, None, ())


def training_step(
    spikes: Spikes,
    labels: NDArray[np.int64],
    layers: Sequence[Parameters],
    *,
    threshold: float,
    surrogate_scale: float,
    gradient: str,
    readout: str,
    logit_scale: float,
    workspace: Workspace | None = None,
) -> Step | None:
    """Forward, mean cross-entropy and backward of a single-spike network.

    Parameters
    ----------
    spikes : (B, T, n_in) raster or SpikeEvents
        Input spikes.
    labels : (B,) int64
        Classes.
    layers : sequence of (weight, bias, decay)
        Hidden layers in order, the readout last.
    threshold, surrogate_scale, gradient, readout, logit_scale
        As of `minisnn.NetworkConfig`.
    workspace : Workspace, optional
        Buffers to reuse.

    Returns
    -------
    step : Step or None
        None if the input is so dense that BLAS should take it, all steps of all samples at once.
    """
    signal, incoming = prepare(spikes)
    if len(incoming.indptr) == 0:
        return None
    (batch, n_steps, _), dtype = signal.shape, layers[0][0].dtype
    workspace = workspace or Workspace()
    rule = Rule(dtype.type(threshold), dtype.type(surrogate_scale), gradient == "gated")
    network = _network(layers, n_steps, rule, readout, workspace)
    loss = Loss(labels, dtype.type(batch), dtype.type(logit_scale))
    results, widest = _results(network, batch, dtype), max(len(weight) for weight, _, _ in layers)
    group, longest = group_size(widest, n_steps), max(most_events(incoming, n_steps), *network.sizes)
    n_shares = len(shares(batch))
    partial = tuple(
        partial_gradients(n_shares, weight, workspace, f"grad_weight{k}")
        for k, (weight, _, _) in enumerate(layers)
    )

    def room(worker: int) -> tuple[Room, Scratch]:
        room = _room(workspace, worker, network, group, dtype)
        return room, group_scratch(room.rows, room.rows[:0], group, widest, longest)

    def task(room: tuple[Room, Scratch], share: int, first: int, last: int) -> None:
        _step_share(incoming, network, loss, results, partial, *room, share, first, last)

    by_blas = any(onward.source == BY_BLAS for onward in network.onwards)
    with one_blas_thread() if by_blas else nullcontext():
        run_shares_in_rooms(task, batch, room)
    gradients = [
        (add_partials(sums.weight, n, workspace, f"total{k}"), *sums_of_shares(sums, decay, n))
        for k, (sums, n, (_, _, decay)) in enumerate(zip(partial, network.sizes, layers))
    ]
    return _step(network, results, float(results.losses.mean()), gradients)
