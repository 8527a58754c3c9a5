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
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...activity import Outcome
from ...checks import check_overflow
from ...model import Gradients
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
from .records import Events, Floats, Learning, Network, Results, Room, Rule, Scratch, Upstream
from .threads import one_blas_thread, run_shares_in_rooms, shares
from .upstream import BY_BLAS, PROJECTED, RECURSION, onward_of
from .workspace import Workspace

Parameters = tuple[Floats, Floats, Floats]  # weight (n_in, n_out), bias (n_out,), decay scalar or (n_out,)


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
    incoming: Events, network: Network, results: Results, room: Room, start: int, stop: int
) -> None:
    """Forward for samples `start` to `stop`; potentials and spikes stay in `room`."""
    depth, n_steps, n = len(network.sizes) - 1, network.n_steps, stop - start
    for k in range(depth):
        potential, times = room.potentials[k][:n], results.times[k][start:stop]
        signal = incoming if k == 0 else _between(room.between, k - 1)
        forward_layer(potential, times, signal, network.layers[k], network.rule.theta, n, 0, n)
        events_of_times(_between(room.between, k), times, network.sizes[k], n_steps)
        _keep_last(results.last[k][start:stop], potential)
    membrane, signal = room.potentials[depth][:n], _between(room.between, depth - 1)
    logits, peaks = results.logits[start:stop], results.peaks[start:stop]
    forward_readout(membrane, logits, peaks, signal, network.layers[depth], network.use_max)
    logits *= network.logit_scale
    _keep_last(results.last[depth][start:stop], membrane)


@kernel
def _loss_and_gradient(network: Network, results: Results, learning: Learning, b: int) -> None:
    """Cross-entropy of sample `b`, and the gradient of the batch's mean by the readout's value.

    That is ``(p - onehot(label)) / B``, scaled.
    """
    n_classes, label = network.sizes[-1], learning.labels[b]
    logits, grad = results.logits[b], results.grad_logits[b]
    total = grad.dtype.type(0)
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
        grad[o] = network.logit_scale * (share / learning.batch)
    results.losses[b] = np.log(total) - (logits[label] - peak)


@kernel
def _backward_group(
    incoming: Events,
    network: Network,
    results: Results,
    room: Room,
    learning: Learning,
    start: int,
    stop: int,
    is_first: bool,
) -> None:
    """Loss and backward for samples `start` to `stop`, as `_forward_group` left them."""
    depth, n, gradients, scratch = len(network.sizes) - 1, stop - start, learning.gradients, learning.scratch
    for b in range(start, stop):
        _loss_and_gradient(network, results, learning, b)
    grad_value, peaks = results.grad_logits[start:stop], results.peaks[start:stop]
    backward_readout(
        room.potentials[depth], grad_value, peaks, _between(room.between, depth - 1), network.layers[depth],
        gradients[depth], room.currents[depth], scratch, network.use_max, is_first, 0, n,
    )  # fmt: skip
    used = peaks if network.use_max else peaks[:0]
    for k in range(depth - 1, -1, -1):
        current = room.currents[k]
        upstream = Upstream(
            network.onwards[k], room.currents[k + 1], current, grad_value, used, room.reached, None
        )
        backward_layer(
            room.potentials[k], results.times[k][start:stop],
            incoming if k == 0 else _between(room.between, k - 1), network.layers[k], network.rule, upstream,
            gradients[k], current if k > 0 else current[:0], scratch, is_first, 0, n,
        )  # fmt: skip


@kernel
def _share(
    events: Events,
    network: Network,
    results: Results,
    room: Room,
    learning: Learning | None,
    first: int,
    last: int,
) -> None:
    """Forward and, if there is anything to learn, loss and backward for samples `first` to `last` of the batch."""
    group = len(room.potentials[0])
    for start in range(first, last, group):
        stop = min(start + group, last)
        incoming = of_samples(events, start, stop, network.n_steps)
        _forward_group(incoming, network, results, room, start, stop)
        if learning is not None:
            _backward_group(incoming, network, results, room, learning, start, stop, start == first)


def _network(
    layers: Sequence[Parameters],
    n_steps: int,
    rule: Rule,
    readout: str,
    logit_scale: Any,
    workspace: Workspace,
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
    return Network(blocks, tuple(onwards), sizes, n_steps, rule, readout == "max", logit_scale)


def _results(network: Network, batch: int, dtype: np.dtype[Any]) -> Results:
    """Room for what is left of every sample."""
    widths = [n_blocks(n) * LANES for n in network.sizes]
    logits, grad_logits = np.zeros((2, batch, widths[-1]), dtype)  # zero after the last class
    return Results(
        tuple(np.empty((batch, width), np.int32) for width in widths[:-1]),
        tuple(np.empty((batch, width), dtype) for width in widths),
        np.zeros(batch, dtype),
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
        Events(
            np.empty((len(sizes) - 1, group * n_steps + 1), np.int64),
            np.empty((len(sizes) - 1, group * max(sizes[:-1])), np.int32),
        ),
        np.empty((group, n_steps), np.bool_),
    )


def run_network(
    spikes: Spikes,
    labels: NDArray[np.int64] | None,
    layers: Sequence[Parameters],
    *,
    threshold: float,
    surrogate_scale: float,
    gradient: str,
    readout: str,
    logit_scale: float,
    workspace: Workspace | None = None,
) -> tuple[Outcome, float, list[Gradients]] | None:
    """Forward through a single-spike network and, given labels, mean cross-entropy and backward.

    Parameters
    ----------
    spikes : (B, T, n_in) raster or SpikeEvents
        Input spikes.
    labels : (B,) int64, optional
        Classes.
    layers : sequence of (weight, bias, decay)
        Hidden layers in order, the readout last.
    threshold, surrogate_scale, gradient, readout, logit_scale
        As of `minisnn.NetworkConfig`.
    workspace : Workspace, optional
        Buffers to reuse.

    Returns
    -------
    outcome : Outcome
    loss : float
        In nats; 0 without labels.
    gradients : list of Gradients
        Of every layer, by its parameters; none without labels.

    None in place of all if the input is so dense that BLAS should take it, all steps of all samples at once.

    Raises
    ------
    OverflowError
        If a potential or a logit leaves the range of the dtype.
    """
    signal, incoming = prepare(spikes)
    if len(incoming.indptr) == 0:
        return None
    (batch, n_steps, _), dtype = signal.shape, layers[0][0].dtype
    workspace = workspace or Workspace()
    rule = Rule(dtype.type(threshold), dtype.type(surrogate_scale), gradient == "gated")
    network = _network(layers, n_steps, rule, readout, dtype.type(logit_scale), workspace)
    results, widest = _results(network, batch, dtype), max(len(weight) for weight, _, _ in layers)
    group, longest = group_size(widest, n_steps), max(most_events(incoming, n_steps), *network.sizes)
    partial = (
        ()
        if labels is None
        else tuple(
            partial_gradients(len(shares(batch)), weight, workspace, f"grad_weight{k}")
            for k, (weight, _, _) in enumerate(layers)
        )
    )

    def room(worker: int) -> tuple[Room, Scratch]:
        room = _room(workspace, worker, network, group, dtype)
        mine = workspace.part(f"thread {worker}")
        return room, group_scratch(mine, dtype, n_steps, group, widest, longest)

    def task(mine: tuple[Room, Scratch], share: int, first: int, last: int) -> None:
        room, scratch = mine
        gradients = tuple(of_share(sums, share) for sums in partial)
        learning = None if labels is None else Learning(labels, dtype.type(batch), gradients, scratch)
        _share(incoming, network, results, room, learning, first, last)

    by_blas = labels is not None and any(onward.source == BY_BLAS for onward in network.onwards)
    with one_blas_thread() if by_blas else nullcontext():
        run_shares_in_rooms(task, batch, room)
    check_overflow(results.last, results.logits)
    gradients = [
        Gradients(add_partials(sums.weight, n, workspace, f"total{k}"), *sums_of_shares(sums, decay, n))
        for k, (sums, n, (_, _, decay)) in enumerate(zip(partial, network.sizes, layers))
    ]
    times = tuple(unpadded(times, n) for times, n in zip(results.times, network.sizes))
    outcome = Outcome(unpadded(results.logits, network.sizes[-1]), times, n_steps)
    return outcome, float(results.losses.mean()), gradients
