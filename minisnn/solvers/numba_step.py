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
from .decays import decay_gradient, decay_row
from .jit import kernel
from .numba_passes import backward_pass, forward_pass, readout_backward_pass, readout_pass
from .products import Spikes
from .threads import one_blas_thread, run_shares, shares
from .upstream import PROJECTED, RECURSION
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
    indptr, indices, labels, batch, n_steps,
    weights, biases, decays, onwards, theta, scale, gated, use_max, by_recursion, logit_scale,
    times, last_potential, losses, logits, peaks, potentials, rows, longest,
    grad_weights, grad_biases, grad_decays, first, last,
):  # fmt: skip
    """Samples `first` to `last`; tuples hold one array for every layer, the readout last.

    `onwards` are the transposed weights of the layers after the first, `potentials` and `rows` (gI) have room
    for one sample, `longest` is the most events one sample has at any layer.
    """
    depth, n_classes = len(times), logits.shape[1]
    widest, most_inputs = n_classes, 0
    for k in range(depth + 1):
        most_inputs = max(most_inputs, len(weights[k]))
        widest = max(widest, len(biases[k]))
    states, double_sum = np.empty((depth, 5 * widest), logits.dtype), np.empty(n_steps * widest, logits.dtype)
    # Events between two layers.
    pointers, neurons = np.empty((depth, n_steps + 1), np.int64), np.empty((depth, widest), np.int32)
    ends, steps = np.empty(most_inputs + 1, np.int64), np.empty(longest, np.int64)
    membrane = np.empty((1, n_steps, n_classes), logits.dtype)
    grad_membrane = np.empty((1, n_steps, n_classes), logits.dtype)
    grad_value, g = np.empty((1, n_classes), logits.dtype), np.empty(n_classes, logits.dtype)
    no_grad, no_membrane = membrane[:0], potentials[0][:0]
    no_row, no_peaks = g.reshape(1, -1)[:0], peaks[:0]
    zero = g.dtype.type(0)
    for b in range(first, last):
        row = b * n_steps
        sample_indptr = indptr[row : row + n_steps + 1]
        last_hidden = neurons[depth - 1, : len(biases[depth - 1])]
        for k in range(depth):
            n = len(biases[k])
            forward_pass(
                potentials[k], times[k][b : b + 1],
                sample_indptr if k == 0 else pointers[k - 1], indices if k == 0 else neurons[k - 1],
                weights[k], biases[k], decays[k], theta, True, states[k, :n], 0, 1,
            )  # fmt: skip
            last_potential[k][b] = potentials[k][0, n_steps - 1]
            _sample_events(times[k][b], pointers[k], neurons[k], n_steps)
        value, peak = logits[b : b + 1], peaks[b : b + 1]
        readout_pass(
            membrane, value, peak, use_max, pointers[depth - 1], last_hidden,
            weights[depth], biases[depth], decays[depth], True, g, 0, 1,
        )  # fmt: skip
        last_potential[depth][b] = membrane[0, n_steps - 1]
        value[0] *= logit_scale
        losses[b] = _loss_and_gradient(grad_value[0], value[0], labels[b], batch, logit_scale)
        readout_backward_pass(
            grad_value, peak if use_max else no_peaks, membrane, decays[depth], grad_membrane, True,
            pointers[depth - 1], last_hidden, ends[: len(weights[depth]) + 1], steps,
            grad_weights[depth], grad_biases[depth], grad_decays[depth], g, 0, 1,
        )  # fmt: skip
        for k in range(depth - 1, -1, -1):
            top = k == depth - 1
            recursive = top and by_recursion
            n, n_next = len(biases[k]), len(onwards[k])
            backward_pass(
                RECURSION if recursive else PROJECTED,
                no_grad if recursive else grad_membrane if top else rows[k + 1],
                onwards[k], decays[depth][0] if recursive else zero,
                grad_value if recursive else no_row, peak if recursive and use_max else no_peaks, no_membrane,
                potentials[k], times[k][b : b + 1], decays[k], theta, scale, gated,
                rows[k], k > 0, True,
                sample_indptr if k == 0 else pointers[k - 1], indices if k == 0 else neurons[k - 1],
                ends[: len(weights[k]) + 1], steps, grad_weights[k], grad_biases[k], grad_decays[k],
                states[k, : 5 * n].reshape(5, n), double_sum[: n_steps * n_next].reshape(n_steps, n_next), 0, 1,
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
    dtype = layers[0][0].dtype
    sizes = [weight.shape[1] for weight, _, _ in layers]
    weights = tuple(weight for weight, _, _ in layers)
    biases = tuple(bias for _, bias, _ in layers)
    decays = tuple(decay_row(decay, n) for (_, _, decay), n in zip(layers, sizes))
    onwards = tuple(np.ascontiguousarray(weight.T) for weight in weights[1:])
    hidden, n_classes = sizes[:-1], sizes[-1]
    n_shares = len(shares(batch))
    times = tuple(np.empty((batch, n), np.int32) for n in hidden)
    last_potential = tuple(np.empty((batch, n), dtype) for n in sizes)
    losses, logits = np.empty(batch, dtype), np.empty((batch, n_classes), dtype)
    peaks = np.empty((batch, n_classes), np.int64)
    longest = max(event_products.most_events(signal), *sizes)
    partial_weights = [
        buffer(workspace, f"grad_weight{k}", (n_shares, *weight.shape), dtype)
        for k, weight in enumerate(weights)
    ]
    partial_biases, partial_decays = ([np.zeros((n_shares, n), dtype) for n in sizes] for _ in range(2))

    def scratch(name: str, share: int, n: int) -> Floats:
        return buffer(workspace, f"{name} of share {share}", (1, n_steps, n), dtype)

    def task(share: int, first: int, last: int) -> None:
        grad_weights = tuple(partial[share] for partial in partial_weights)
        for partial in grad_weights:
            partial[:] = 0
        _step_pass(
            signal.indptr, signal.indices, labels, dtype.type(batch), n_steps,
            weights, biases, decays, onwards, dtype.type(threshold), dtype.type(surrogate_scale),
            gradient == "gated", readout == "max", layers[-1][2].ndim == 0, dtype.type(logit_scale),
            times, last_potential, losses, logits, peaks,
            tuple(scratch(f"potential{k}", share, n) for k, n in enumerate(hidden)),
            tuple(scratch(f"grad_current{k}", share, n) for k, n in enumerate(hidden)), longest,
            grad_weights, tuple(partial[share] for partial in partial_biases),
            tuple(partial[share] for partial in partial_decays), first, last,
        )  # fmt: skip

    with one_blas_thread():
        run_shares(task, batch)
    gradients = [
        (event_products.add_partials(weight).copy(), bias.sum(axis=0), decay_gradient(decay, layer[2]))
        for weight, bias, decay, layer in zip(partial_weights, partial_biases, partial_decays, layers)
    ]
    return Step(float(losses.mean()), logits, times, gradients, last_potential)
