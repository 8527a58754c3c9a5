"""A whole network, a few samples at a time: forward, loss and backward while they are in cache.

The loss of a batch is the mean of its samples' losses, so that a sample's backward pass can follow its
forward pass at once. The potential of a few samples fits the caches of a core where that of a batch does not:
it is never written to memory, and every thread has buffers for one group of samples. The layers are those of `layer`,
so the results are the same, except for the rounding of the softmax: its exponential is the compiled code's.
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
from .. import Choices
from .events import add_partials, events_of_times, group_scratch, group_size, most_events, of_samples, prepare
from .jit import inlined, kernel
from .lanes import LANES, load, n_blocks, store, unpadded
from .layer import (
    Parameters,
    backward_layer,
    backward_readout,
    forward_layer,
    forward_readout,
    of_share,
    parameters_of,
    partial_gradients,
    sums_of_shares,
    unpacked,
)
from .products import Spikes
from .records import Events, Floats, Layer, Learning, Network, Onward, Results, Room, Rule, Upstream
from .threads import one_blas_thread, run_shares_in_rooms, shares
from .upstream import BY_BLAS, PROJECTED, RECURSION, onward_of
from .workspace import Workspace


@inlined
def _note_overflow(overflow: Floats, potential: Floats) -> None:
    """Add 0 times the potential of a few samples, (G, K, T, LANES), in the last step to their rows (G, LANES)."""
    for b in range(len(potential)):
        total = load(overflow, b)
        for k in range(potential.shape[1]):
            total = total + load(potential[b, k], potential.shape[2] - 1) * overflow.dtype.type(0)
        store(overflow, b, total)


@inlined
def _part(layer: Layer, start: int) -> Layer:
    """One block of a layer that lies unpacked, cut out where it is."""
    stop = start + LANES
    return Layer(layer.weight[:, :, start:stop], layer.constants[:, start:stop])


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
        _note_overflow(results.overflow[start:stop], potential)
    membrane, signal = room.potentials[depth][:n], _between(room.between, depth - 1)
    logits, peaks = results.logits[start:stop], results.peaks[start:stop]
    forward_readout(membrane, logits, peaks, signal, network.layers[depth], network.use_max)
    logits *= network.logit_scale
    _note_overflow(results.overflow[start:stop], membrane)


@kernel
def _forward_few(incoming: Events, network: Network, results: Results, room: Room) -> bool:
    """Forward for all samples, by layers of `unpacked`; the potential of one block at a time stays in `room`.

    Returns whether no potential and no logit left the range of the dtype. The last block of a layer ends with its
    last neuron, and so may begin in the one before, whose results it repeats.
    """
    depth, n_steps, potential = len(network.sizes) - 1, network.n_steps, room.potentials[0]
    for k in range(depth + 1):
        layer, signal = network.layers[k], incoming if k == 0 else _between(room.between, k - 1)
        width = layer.weight.shape[2]
        for block in range(-(-width // LANES)):
            start = min(block * LANES, width - LANES)
            stop, part = start + LANES, _part(layer, start)
            if k < depth:
                times = results.times[k][:, start:stop]
                forward_layer(potential, times, signal, part, network.rule.theta, len(times), 0, len(times))
            else:
                logits, peaks = results.logits[:, start:stop], results.peaks[:, start:stop]
                forward_readout(potential, logits, peaks, signal, part, network.use_max)
            _note_overflow(results.overflow, potential)
        if k < depth:
            events_of_times(_between(room.between, k), results.times[k], network.sizes[k], n_steps)
    results.logits[:] *= network.logit_scale
    total = results.logits.dtype.type(0)
    for b in range(len(results.logits)):
        for j in range(LANES):
            total += results.overflow[b, j]
        for o in range(network.sizes[-1]):
            total += results.logits[b, o] * results.logits.dtype.type(0)
    return not np.isnan(total)


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
        gradients[depth], learning.currents[depth], scratch, network.use_max, is_first, 0, n,
    )  # fmt: skip
    used = peaks if network.use_max else peaks[:0]
    for k in range(depth - 1, -1, -1):
        current, then = learning.currents[k], learning.currents[k + 1]
        upstream = Upstream(learning.onwards[k], then, current, grad_value, used, learning.reached, None)
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
    """Forward and, in a training step, loss and backward for samples `first` to `last` of the batch."""
    group = len(room.potentials[0])
    for start in range(first, last, group):
        stop = min(start + group, last)
        incoming = of_samples(events, start, stop, network.n_steps)
        _forward_group(incoming, network, results, room, start, stop)
        if learning is not None:
            _backward_group(incoming, network, results, room, learning, start, stop, start == first)


def _onwards(layers: Sequence[Parameters]) -> tuple[Onward, ...]:
    """How the gradient of every hidden layer is made of that of the next."""
    onwards = []
    for k, (weight, _, decay) in enumerate(layers[1:], 2):
        by_recursion = decay.ndim == 0 and k == len(layers)
        recursion = decay[()] if by_recursion else decay.dtype.type(0)
        onwards.append(onward_of(RECURSION if by_recursion else PROJECTED, weight.T, recursion))
    return tuple(onwards)


def _network(
    layers: Sequence[Parameters], choices: Choices, few: bool, batch: int, n_steps: int, workspace: Workspace
) -> Network:
    """The network as kernels take it, its weights packed or, for `few` samples, where they are."""
    if few:
        parameters = tuple(unpacked(*layer) for layer in layers)
    else:
        parameters = tuple(parameters_of(*layer, workspace, f"weight{k}") for k, layer in enumerate(layers))
    sizes, real = tuple(len(bias) for _, bias, _ in layers), layers[0][0].dtype.type
    gated, penalty = choices.gradient == "gated", real(choices.spike_penalty / batch)
    rule = Rule(real(choices.threshold), real(choices.surrogate_scale), gated, penalty)
    return Network(parameters, sizes, n_steps, rule, choices.readout == "max", real(choices.logit_scale))


def _outcome(network: Network, results: Results) -> Outcome:
    """What is kept of the results."""
    times = tuple(unpadded(times, n) for times, n in zip(results.times, network.sizes))
    return Outcome(unpadded(results.logits, network.sizes[-1]), times, network.n_steps)


def _results(network: Network, batch: int, dtype: np.dtype[Any]) -> Results:
    """Room for the results of every sample."""
    widths = [n_blocks(n) * LANES for n in network.sizes]
    logits, grad_logits = np.zeros((2, batch, widths[-1]), dtype)  # zero after the last class
    return Results(
        tuple(np.empty((batch, width), np.int32) for width in widths[:-1]),
        np.zeros((batch, LANES), dtype),
        np.zeros(batch, dtype),
        logits,
        grad_logits,
        np.empty((batch, widths[-1]), np.int32),
    )


def _room(mine: Workspace, network: Network, group: int, dtype: np.dtype[Any], few: bool = False) -> Room:
    """Room of one thread, for a group of samples on its way through the network; `few` take a block at a time."""
    n_steps, sizes = network.n_steps, network.sizes
    blocks = [1] if few else [n_blocks(n) for n in sizes]
    indptr = np.empty((len(sizes) - 1, group * n_steps + 1), np.int64)
    indices = np.empty((len(sizes) - 1, group * max(sizes[:-1])), np.int32)
    potentials = tuple(
        mine.array(f"potential{k}", (group, n, n_steps, LANES), dtype) for k, n in enumerate(blocks)
    )
    return Room(potentials, Events(indptr, indices))


def _learning_room(
    mine: Workspace, network: Network, learning: Learning, group: int, longest: int
) -> Learning:
    """`learning` with room of one thread; samples have up to `longest` events."""
    n_steps, dtype = network.n_steps, learning.batch.dtype
    sources = [onward.source for onward in learning.onwards]
    # The layers whose gI is kept for a product, and the first one if its gS is formed by one.
    kept = [sources[0] == BY_BLAS, *[True] * (len(sources) - 1), sources[-1] != RECURSION]
    currents = tuple(
        mine.array(f"current{k}", (group if keep else 0, n_steps, n), dtype)
        for k, (keep, n) in enumerate(zip(kept, network.sizes))
    )
    widest = max(sums.weight.shape[2] for sums in learning.gradients)
    scratch = group_scratch(mine, dtype, n_steps, group, widest, longest)
    return learning._replace(currents=currents, reached=np.empty((group, n_steps), np.bool_), scratch=scratch)


def run_network(
    spikes: Spikes,
    labels: NDArray[np.int64] | None,
    layers: Sequence[Parameters],
    choices: Choices,
    workspace: Workspace | None = None,
) -> tuple[Outcome, float, list[Gradients]] | None:
    """Forward through a single-spike network and, given labels, mean cross-entropy and backward.

    As `Solver.run_network`; None if the input is so dense that BLAS should take it, all steps of all samples at once.
    """
    signal, incoming = prepare(spikes)
    if len(incoming.indptr) == 0:
        return None
    (batch, n_steps, _), dtype = signal.shape, layers[0][0].dtype
    workspace, parts = workspace or Workspace(), shares(batch, n_steps)
    # A batch too small to share is too small to pack the weights for it.
    few = labels is None and len(parts) == 1
    network = _network(layers, choices, few, batch, n_steps, workspace)
    results = _results(network, batch, dtype)
    if few:
        if not _forward_few(incoming, network, results, _room(workspace, network, batch, dtype, few)):
            check_overflow([results.overflow], results.logits)
        return _outcome(network, results), 0.0, []
    group = group_size(max(len(weight) for weight, _, _ in layers), n_steps)
    learning, longest = None, 0
    if labels is not None:
        longest = max(most_events(incoming, n_steps), *network.sizes)
        partial = [
            partial_gradients(len(parts), weight, workspace, f"grad_weight{k}")
            for k, (weight, _, _) in enumerate(layers)
        ]
        learning = Learning(labels, dtype.type(batch), _onwards(layers), tuple(partial))

    def room(worker: int) -> tuple[Room, Learning | None]:
        mine = workspace.part(f"thread {worker}")
        room = _room(mine, network, group, dtype)
        return room, learning and _learning_room(mine, network, learning, group, longest)

    def task(mine: tuple[Room, Learning | None], share: int, first: int, last: int) -> None:
        room, learning = mine
        if learning is not None:
            learning = learning._replace(
                gradients=tuple(of_share(sums, share) for sums in learning.gradients)
            )
        _share(incoming, network, results, room, learning, first, last)

    by_blas = learning is not None and any(onward.source == BY_BLAS for onward in learning.onwards)
    with one_blas_thread() if by_blas else nullcontext():
        run_shares_in_rooms(task, batch, n_steps, room)
    check_overflow([results.overflow], results.logits)
    outcome = _outcome(network, results)
    if learning is None:
        return outcome, 0.0, []
    gradients = [
        Gradients(add_partials(sums.weight, n, workspace, f"total{k}"), *sums_of_shares(sums, decay, n))
        for k, (sums, n, (_, _, decay)) in enumerate(zip(partial, network.sizes, layers))
    ]
    return outcome, float(results.losses.mean()), gradients
