"""One training step of a whole network, one sample after the other: forward, loss and backward while it is in cache.

The loss of a batch is the mean of its samples' losses, so that a sample's backward pass can follow its
forward pass at once. The potential of one sample fits the cache of a core where that of a batch does not:
it is never written to memory, and buffers are those of one sample a share. The passes are those of
`numba_parallel`, and so are the results, but for the rounding of the softmax, which is taken here by the
compiled code's exponential.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..spikes import SpikeEvents
from . import event_products
from .decays import decay_gradient
from .event_products import add_sample_gradient
from .jit import kernel
from .lanes import padded, width
from .numba_passes import (
    BIAS,
    DECAY,
    backward_pass,
    constants,
    forward_pass,
    readout_backward_pass,
    readout_pass,
)
from .products import Spikes
from .threads import one_blas_thread, run_shares, shares
from .upstream import FEW, GIVEN, PROJECTED, RECURSION, project_sample
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
def _sample_events(times, indptr, indices, n_steps):
    """Events of one sample from the spike times (N,) of a layer, by a counting sort."""
    indptr[:] = 0
    for time in times:
        if time < n_steps:
            indptr[time + 1] += 1
    for t in range(n_steps):
        indptr[t + 1] += indptr[t]
    # Filling moves every pointer to the end of its row, which is the start of the next.
    for j in range(len(times)):
        t = times[j]
        if t < n_steps:
            indices[indptr[t]] = j
            indptr[t] += 1
    for t in range(n_steps, 0, -1):
        indptr[t] = indptr[t - 1]
    indptr[0] = 0


@kernel
def _loss_and_gradient(grad, logits, label, batch, logit_scale):
    """Cross-entropy of one sample; `grad` becomes the gradient of the batch's mean by the readout's value.

    That is ``(p - onehot(label)) / B``, scaled.
    """
    peak = logits.max()
    total = logits.dtype.type(0)
    for o in range(len(logits)):
        grad[o] = np.exp(logits[o] - peak)
        total += grad[o]
    for o in range(len(logits)):
        share = grad[o] / total
        if o == label:
            share -= logits.dtype.type(1)
        grad[o] = logit_scale * (share / batch)
    return np.log(total) - (logits[label] - peak)


@kernel
def _step_pass(
    indptr, indices, labels, batch, n_steps, sizes,
    weights, constants, onwards, readout_decay, theta, scale, gated, use_max, by_recursion, logit_scale,
    times, last_potential, losses, logits, grad_logits, peaks, potentials, rows, longest,
    grad_weights, sums, first, last,
):  # fmt: skip
    """Samples `first` to `last`; tuples hold one array for every layer, in lanes, the readout last.

    `onwards` are the transposed weights of the layers after the first, `potentials` and `rows` (gI) have room
    for one sample, `longest` is the most events one sample has at any layer.
    """
    depth, n_classes = len(times), sizes[-1]
    widest, most_inputs = 0, 0
    for k in range(depth + 1):
        most_inputs = max(most_inputs, len(weights[k]))
        widest = max(widest, sizes[k])
    # Events between two layers.
    pointers, neurons = np.empty((depth, n_steps + 1), np.int64), np.empty((depth, widest), np.int32)
    ends, steps = np.empty(most_inputs + 1, np.int64), np.empty(longest, np.int64)
    reached = np.empty(n_steps, np.bool_)
    no_membrane, no_peaks = potentials[0][:0], peaks[:0]
    membrane, grad_membrane = potentials[depth], rows[depth]
    for b in range(first, last):
        row = b * n_steps
        for k in range(depth):
            forward_pass(
                potentials[k], times[k], b, indptr if k == 0 else pointers[k - 1], row if k == 0 else 0,
                indices if k == 0 else neurons[k - 1], weights[k], constants[k], theta, True,
            )  # fmt: skip
            last_potential[k][b] = potentials[k][n_steps - 1]
            _sample_events(times[k][b, : sizes[k]], pointers[k], neurons[k], n_steps)
        pointer, neuron = pointers[depth - 1], neurons[depth - 1]
        readout_pass(
            membrane, logits, peaks, b, use_max, pointer, 0, neuron, weights[depth], constants[depth], True
        )  # fmt: skip
        last_potential[depth][b] = membrane[n_steps - 1]
        logits[b] *= logit_scale
        losses[b] = _loss_and_gradient(
            grad_logits[b, :n_classes], logits[b, :n_classes], labels[b], batch, logit_scale
        )
        readout_backward_pass(
            grad_logits, peaks, b, use_max, membrane, constants[depth], grad_membrane, sums[depth]
        )
        hidden_ends = ends[: sizes[depth - 1] + 1]
        add_sample_gradient(grad_weights[depth], grad_membrane, pointer, 0, neuron, hidden_ends, steps)
        for k in range(depth - 1, -1, -1):
            way, n_next = RECURSION if by_recursion and k == depth - 1 else PROJECTED, sizes[k + 1]
            if way == PROJECTED and n_next > FEW:
                project_sample(rows[k], rows[k + 1], onwards[k], times[k][b], gated)
                way = GIVEN
            backward_pass(
                way, rows[k + 1], n_next, onwards[k], readout_decay, grad_logits, peaks if use_max else no_peaks,
                reached, no_membrane, potentials[k], times[k], b, constants[k], theta, scale, gated, rows[k], sums[k],
            )  # fmt: skip
            add_sample_gradient(
                grad_weights[k], rows[k], indptr if k == 0 else pointers[k - 1], row if k == 0 else 0,
                indices if k == 0 else neurons[k - 1], ends[: len(weights[k]) + 1], steps,
            )  # fmt: skip


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
    dtype, n_shares = layers[0][0].dtype, len(shares(batch))
    sizes = tuple(weight.shape[1] for weight, _, _ in layers)
    widths = [width(n) for n in sizes]

    def room(name: str, *shape: int) -> Floats:
        return buffer(workspace, name, shape, dtype)

    weights = tuple(
        padded(weight, room(f"weight{k}", len(weight), m))
        for k, ((weight, _, _), m) in enumerate(zip(layers, widths))
    )
    both = tuple(constants(bias, decay) for _, bias, decay in layers)
    onwards = tuple(padded(padded(weight).T) for weight, _, _ in layers[1:])
    times = tuple(np.empty((batch, m), np.int32) for m in widths[:-1])
    last_potential = tuple(np.empty((batch, m), dtype) for m in widths)
    losses, peaks = np.empty(batch, dtype), np.empty((batch, widths[-1]), np.int32)
    logits, grad_logits = np.zeros((2, batch, widths[-1]), dtype)
    longest = max(event_products.most_events(signal), *sizes)
    partial_weights = [room(f"grad_weight{k}", n_shares, *weight.shape) for k, weight in enumerate(weights)]
    sums = [np.zeros((n_shares, 2, m), dtype) for m in widths]
    readout_decay = layers[-1][2]
    by_recursion = readout_decay.ndim == 0

    def task(share: int, first: int, last: int) -> None:
        grad_weights = tuple(partial[share] for partial in partial_weights)
        for partial in grad_weights:
            partial[:] = 0
        _step_pass(
            signal.indptr, signal.indices, labels, dtype.type(batch), n_steps, sizes,
            weights, both, onwards, readout_decay[()] if by_recursion else dtype.type(0), dtype.type(threshold),
            dtype.type(surrogate_scale), gradient == "gated", readout == "max", by_recursion, dtype.type(logit_scale),
            times, last_potential, losses, logits, grad_logits, peaks,
            tuple(room(f"potential{k} of share {share}", n_steps, m) for k, m in enumerate(widths)),
            tuple(room(f"grad_current{k} of share {share}", n_steps, m) for k, m in enumerate(widths)), longest,
            grad_weights, tuple(total[share] for total in sums), first, last,
        )  # fmt: skip

    with one_blas_thread():
        run_shares(task, batch)
    gradients = [
        (
            event_products.add_partials(weight, n),
            total[:, BIAS, :n].sum(axis=0),
            decay_gradient(total[:, DECAY, :n], decay),
        )
        for weight, total, n, (_, _, decay) in zip(partial_weights, sums, sizes, layers)
    ]
    return Step(
        float(losses.mean()),
        logits[:, : sizes[-1]].copy(),
        tuple(time[:, :n].copy() for time, n in zip(times, sizes)),
        gradients,
        tuple(row[:, :n] for row, n in zip(last_potential, sizes)),
    )
