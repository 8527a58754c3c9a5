"""One training step of a whole network, a few samples at a time: forward, loss and backward while they are in cache.

The loss of a batch is the mean of its samples' losses, so that a sample's backward pass can follow its
forward pass at once. The potential of a few samples fits the caches of a core where that of a batch does not:
it is never written to memory, and buffers are those of one group of samples a thread. The passes are those of
`numba_parallel`, and so are the results, but for the rounding of the softmax, which is taken here by the
compiled code's exponential.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..spikes import SpikeEvents
from . import event_products
from .event_products import add_sample_gradient, group_by_input, group_scratch, group_size
from .jit import kernel
from .lanes import LANES, columns, copy_in, copy_out, n_blocks, padded, unpadded
from .numba_passes import (
    STATE,
    backward_pass,
    constants,
    forward_pass,
    readout_backward_pass,
    readout_pass,
    sums_of_shares,
)
from .products import Spikes
from .threads import one_blas_thread, run_shares, shares
from .upstream import FEW, PROJECTED, RECURSION, mark_peaks, project_sample, upstream_rows
from .workspace import Workspace, buffer

__all__ = ["Step", "training_step"]

Floats = NDArray[np.floating[Any]]
Layer = tuple[Floats, Floats, Floats]  # weight (n_in, n_out), bias (n_out,), decay scalar or (n_out,)


@dataclass(frozen=True, eq=False)
class Step:
    """What a training step leaves behind.

    Parameters
    ----------
    loss : float
        Mean cross-entropy, in nats.
    logits : (B, n_classes)
        Of Eq. 17.
    spike_times : tuple of (B, N) int32
        Of every hidden layer; ``n_steps`` is never.
    gradients : list of (weight, bias, decay)
        Of every layer, the readout last.
    last_potential : tuple of (B, N)
        Potential of every hidden layer and, last, of the readout in the last step, which tells of an overflow.
    """

    loss: float
    logits: Floats
    spike_times: tuple[NDArray[np.int32], ...]
    gradients: list[Layer]
    last_potential: tuple[Floats, ...]


@kernel
def _sample_events(times, n, indptr, indices, n_steps):
    """Events of one sample from the spike times of a layer of `n` neurons, by a counting sort."""
    indptr[:] = 0
    for j in range(n):
        if times[j] < n_steps:
            indptr[times[j] + 1] += 1
    for t in range(n_steps):
        indptr[t + 1] += indptr[t]
    # Filling moves every pointer to the end of its row, which is the start of the next.
    for j in range(n):
        t = times[j]
        if t < n_steps:
            indices[indptr[t]] = j
            indptr[t] += 1
    for t in range(n_steps, 0, -1):
        indptr[t] = indptr[t - 1]
    indptr[0] = 0


@kernel
def _loss_and_gradient(grad, logits, label, n_classes, batch, logit_scale):
    """Cross-entropy of one sample; its `grad` becomes the gradient of the batch's mean by the readout's value.

    That is ``(p - onehot(label)) / B``, scaled. `logits` still is the readout's value.
    """
    total = grad.dtype.type(0)
    logits *= logit_scale
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
        grad[o] = logit_scale * (share / batch)
    return np.log(total) - (logits[label] - peak)


@kernel
def _step_pass(
    indptr, indices, labels, batch, n_steps, sizes,
    weights, constants, onwards, projections, readout_decay, theta, scale, gated, use_max, by_recursion, logit_scale,
    times, last_potential, losses, logits, grad_logits, peaks, potentials, currents, rows, ends, steps,
    grad_weights, sums, first, last,
):  # fmt: skip
    """Samples `first` to `last`; tuples hold one array for every layer, the readout last.

    `onwards` are the transposed weights of the layers after the first, padded, or in `projections`, (O, N), where
    all of gS is formed at once. `potentials` (G, K, T, LANES) have room for a group of samples; so have
    `currents` (G, T, N) where all of a layer's gS or gI is needed. `rows` (T, LANES), `ends` and `steps` (see
    `group_by_input`) are scratch.
    """
    depth, n_classes, group = len(times), sizes[-1], len(ends)
    widest = 0
    for k in range(depth):
        widest = max(widest, sizes[k])
    # Events between two layers.
    pointers = np.empty((depth, group, n_steps + 1), np.int64)
    neurons = np.empty((depth, group, widest), np.int32)
    reached, state = np.empty((group, n_steps), np.bool_), np.empty((STATE, LANES), rows.dtype)
    no_membrane, peaks_used = rows[:0], peaks if use_max else peaks[:0]
    for start in range(first, last, group):
        n_samples = min(group, last - start)
        for k in range(depth):
            for block in range(len(weights[k])):
                for g in range(n_samples):
                    b, v = start + g, potentials[k][g, block]
                    forward_pass(
                        v, 0, n_steps, state, columns(times[k], block), b, indptr if k == 0 else pointers[k - 1, g],
                        b * n_steps if k == 0 else 0, indices if k == 0 else neurons[k - 1, g], weights[k][block],
                        columns(constants[k], block), theta,
                    )  # fmt: skip
                    columns(last_potential[k], block)[b] = v[n_steps - 1]
            for g in range(n_samples):
                _sample_events(times[k][start + g], sizes[k], pointers[k, g], neurons[k, g], n_steps)
        for g in range(n_samples):
            b, pointer, neuron = start + g, pointers[depth - 1, g], neurons[depth - 1, g]
            membrane, hidden_ends = potentials[depth][g], ends[g, : sizes[depth - 1]]
            for block in range(len(membrane)):
                readout_pass(
                    membrane[block], columns(logits, block), columns(peaks, block), b, use_max, pointer, 0, neuron,
                    weights[depth][block], columns(constants[depth], block),
                )  # fmt: skip
                columns(last_potential[depth], block)[b] = membrane[block, n_steps - 1]
            losses[b] = _loss_and_gradient(
                grad_logits[b], logits[b], labels[b], n_classes, batch, logit_scale
            )
            mark_peaks(reached[g], peaks_used, b, n_classes)
            group_by_input(pointer, 0, n_steps, neuron, hidden_ends, steps[g])
            for block in range(len(membrane)):
                readout_backward_pass(
                    columns(grad_logits, block), columns(peaks, block), b, use_max, membrane[block],
                    columns(constants[depth], block), rows, columns(sums[depth], block),
                )  # fmt: skip
                if b == first:
                    grad_weights[depth][block] = 0
                add_sample_gradient(
                    grad_weights[depth][block], rows, pointer, 0, neuron, hidden_ends, steps[g]
                )
                if len(currents[depth]) > 0:
                    copy_out(currents[depth][g], rows, block)
        for k in range(depth - 1, -1, -1):
            n_in, project = weights[k].shape[1], len(projections[k]) > 0
            for g in range(n_samples):
                b = start + g
                if project:
                    project_sample(
                        currents[k][g], currents[k + 1][g], projections[k], times[k][b, : sizes[k]], gated
                    )
                group_by_input(
                    indptr if k == 0 else pointers[k - 1, g], b * n_steps if k == 0 else 0, n_steps,
                    indices if k == 0 else neurons[k - 1, g], ends[g, :n_in], steps[g],
                )  # fmt: skip
            for block in range(len(weights[k])):
                if start == first:  # here, where it stays in cache
                    grad_weights[k][block] = 0
                for g in range(n_samples):
                    b = start + g
                    if project:
                        copy_in(rows, currents[k][g], block)
                    else:
                        upstream_rows(
                            RECURSION if by_recursion and k == depth - 1 else PROJECTED, rows, 0, n_steps, state,
                            currents[k + 1][g] if len(currents[k + 1]) > 0 else rows, readout_decay, grad_logits,
                            peaks_used, reached[g], b, columns(onwards[k], block),
                        )  # fmt: skip
                    backward_pass(
                        rows, no_membrane, potentials[k][g, block], 0, n_steps, state, columns(times[k], block), b,
                        columns(constants[k], block), theta, scale, gated, rows, columns(sums[k], block),
                    )  # fmt: skip
                    add_sample_gradient(
                        grad_weights[k][block], rows, indptr if k == 0 else pointers[k - 1, g],
                        b * n_steps if k == 0 else 0, indices if k == 0 else neurons[k - 1, g], ends[g, :n_in],
                        steps[g],
                    )  # fmt: skip
                    if k > 0:
                        copy_out(currents[k][g], rows, block)


def training_step(
    spikes: Spikes,
    labels: NDArray[np.int64],
    layers: Sequence[Layer],
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
        None where the input is so dense that BLAS should take it, all steps of all samples at once.
    """
    signal, by_events = event_products.prepare(spikes)
    if not by_events or not isinstance(signal, SpikeEvents):
        return None
    batch, n_steps, _ = signal.shape
    dtype, n_shares, depth = layers[0][0].dtype, len(shares(batch)), len(layers) - 1
    sizes = tuple(weight.shape[1] for weight, _, _ in layers)
    n_inputs = tuple(len(weight) for weight, _, _ in layers)
    counts = [n_blocks(n) for n in sizes]
    group, longest = group_size(max(n_inputs), n_steps), max(event_products.most_events(signal), *sizes)

    def room(name: str, *shape: int) -> Floats:
        return buffer(workspace, name, shape, dtype)

    weights = tuple(
        event_products.weight_blocks(weight, workspace, f"weight{k}")
        for k, (weight, _, _) in enumerate(layers)
    )
    both = tuple(constants(bias, decay) for _, bias, decay in layers)
    readout_decay = layers[-1][2]
    by_recursion = readout_decay.ndim == 0
    # Hidden layers whose gS is formed all at once, and layers whose gI is kept for such a product or a shorter one.
    projects = [n > FEW and not (by_recursion and k == depth) for k, n in enumerate(sizes) if k > 0]
    kept = [projects[0], *[True] * (depth - 1), not by_recursion]
    onwards = tuple(
        padded(weight.T[: 0 if project else n])
        for project, n, (weight, _, _) in zip(projects, sizes[1:], layers[1:])
    )
    projections = tuple(
        np.ascontiguousarray(weight.T[: n if project else 0])
        for project, n, (weight, _, _) in zip(projects, sizes[1:], layers[1:])
    )
    widths = [m * LANES for m in counts]
    times = tuple(np.empty((batch, width), np.int32) for width in widths[:-1])
    last_potential = tuple(np.empty((batch, width), dtype) for width in widths)
    losses, peaks = np.empty(batch, dtype), np.empty((batch, widths[-1]), np.int32)
    logits, grad_logits = np.zeros((2, batch, widths[-1]), dtype)
    partial_weights = [
        room(f"grad_weight{k}", n_shares, m, n, LANES) for k, (m, n) in enumerate(zip(counts, n_inputs))
    ]
    sums = [np.zeros((n_shares, 2, width), dtype) for width in widths]

    free: list[tuple[Any, ...]] = []
    workers = itertools.count()

    def scratch() -> tuple[Any, ...]:
        """Room for a group of samples, for as long as a share takes: every thread has its own."""
        try:
            return free.pop()
        except IndexError:
            worker = next(workers)
        potentials = tuple(
            room(f"potential{k} of worker {worker}", group, m, n_steps, LANES) for k, m in enumerate(counts)
        )
        currents = tuple(
            room(f"current{k} of worker {worker}", group if keep else 0, n_steps, n)
            for k, (keep, n) in enumerate(zip(kept, sizes))
        )
        rows = room(f"rows of worker {worker}", n_steps, LANES)
        return potentials, currents, rows, *group_scratch(group, max(n_inputs), longest)

    def task(share: int, first: int, last: int) -> None:
        mine = scratch()
        _step_pass(
            signal.indptr, signal.indices, labels, dtype.type(batch), n_steps, sizes,
            weights, both, onwards, projections, readout_decay[()] if by_recursion else dtype.type(0),
            dtype.type(threshold), dtype.type(surrogate_scale), gradient == "gated", readout == "max",
            by_recursion, dtype.type(logit_scale), times, last_potential, losses, logits, grad_logits, peaks, *mine,
            tuple(partial[share] for partial in partial_weights), tuple(total[share] for total in sums), first, last,
        )  # fmt: skip
        free.append(mine)

    with one_blas_thread():
        run_shares(task, batch)
    gradients = [
        (
            event_products.add_partials(partial, n, workspace, f"total{k}"),
            *sums_of_shares(total, decay, n),
        )
        for k, (partial, total, n, (_, _, decay)) in enumerate(zip(partial_weights, sums, sizes, layers))
    ]
    return Step(
        float(losses.mean()),
        unpadded(logits, sizes[-1]),
        tuple(unpadded(time, n) for time, n in zip(times, sizes)),
        gradients,
        tuple(unpadded(row, n) for row, n in zip(last_potential, sizes)),
    )
