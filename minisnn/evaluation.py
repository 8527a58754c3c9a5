"""What a network does on samples it is not trained on, and what is written down about every epoch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import solvers
from .checks import checked_labels
from .datasets import Samples
from .errors import InputError
from .network import Network
from .reading import checked_type
from .readout import softmax_cross_entropy
from .solvers.compiled.workspace import Workspace
from .spikes import SpikeEvents

__all__ = ["EpochMetrics", "Evaluation", "batches", "chosen_epoch", "evaluate", "part_labels"]

_EVALUATION_BATCH = 256


class _Counts:
    """Neurons that say nothing, over all hidden layers."""

    silent_per_layer: tuple[int, ...]
    always_firing_per_layer: tuple[int, ...]

    @property
    def silent_neurons(self) -> int:
        """Hidden neurons that fire for no sample."""
        return sum(self.silent_per_layer)

    @property
    def always_firing(self) -> int:
        """Hidden neurons that fire for every sample."""
        return sum(self.always_firing_per_layer)


@dataclass(frozen=True)
class Evaluation(_Counts):
    """What a network does on a set of samples it is not trained on.

    Parameters
    ----------
    loss : float
        Mean cross-entropy, in nats.
    accuracy : float
        Share of samples classified right, 0 to 1.
    spikes_per_layer : tuple of float
        Mean number of spikes per sample of every hidden layer.
    silent_per_layer, always_firing_per_layer : tuple of int
        Neurons of every hidden layer that fire for no sample, and for every one.
    """

    loss: float
    accuracy: float
    spikes_per_layer: tuple[float, ...]
    silent_per_layer: tuple[int, ...]
    always_firing_per_layer: tuple[int, ...]

    @property
    def spikes_per_sample(self) -> float:
        """Mean number of hidden spikes per sample."""
        return sum(self.spikes_per_layer)


@dataclass(frozen=True)
class EpochMetrics(_Counts):
    """One line of metrics.jsonl.

    Accuracies are shares, 0 to 1; `validation_accuracy` is None where nothing was held out for validation.
    Spikes and counts of neurons are those on the test samples; `seconds` is the time of training alone,
    without evaluation.
    """

    epoch: int
    train_loss: float
    train_accuracy: float
    validation_accuracy: float | None
    test_accuracy: float
    spikes_per_sample: float
    spikes_per_layer: tuple[float, ...]
    silent_per_layer: tuple[int, ...]
    always_firing_per_layer: tuple[int, ...]
    learning_rate: float
    seconds: float


def chosen_epoch(history: Sequence[EpochMetrics]) -> EpochMetrics:
    """The epoch a training stands for: the first of the best validation accuracy, or the last without validation.

    The test samples have no say in it.
    """
    if history[-1].validation_accuracy is None:
        return history[-1]
    return max(history, key=lambda metrics: metrics.validation_accuracy or 0.0)


def evaluate(network: Network, samples: Samples, *, solver: str = "numba-parallel") -> Evaluation:
    """Loss, accuracy and activity of a network on samples.

    Parameters
    ----------
    network : Network
        Left unchanged.
    samples : Samples
        One part of a data set.
    solver : str
        One of ``minisnn.solvers.names(network.config.neuron)``.

    Returns
    -------
    evaluation : Evaluation

    Raises
    ------
    InputError
        If there are no samples, or labels beyond the classes of the network, or spikes that do not fit it.
    """
    checked_type("network", network, Network)
    module = solvers.get(solver, network.config.neuron)
    network = network.on_device(solver)
    workspace = Workspace()
    loss, correct = 0.0, 0
    spikes = np.zeros(len(network.config.sizes) - 2)
    fired = [np.zeros(n, dtype=np.int64) for n in network.config.sizes[1:-1]]
    n, labels = len(samples), part_labels("the samples", samples, network)
    chosen = [np.arange(k, min(k + _EVALUATION_BATCH, n)) for k in range(0, n, _EVALUATION_BATCH)]
    for indices, batch in batches(network, samples, chosen, module):
        outcome = network.predict(batch, solver=solver, workspace=workspace, checked=True)
        logits = module.to_host(outcome.logits)
        loss += softmax_cross_entropy(logits, labels[indices])[0] * len(indices)
        correct += int((logits.argmax(axis=1) == labels[indices]).sum())
        spikes += outcome.spike_counts()
        for total, times in zip(fired, outcome.spike_times):
            total += module.to_host((times < outcome.n_steps).sum(axis=0))
    return Evaluation(
        loss / n,
        correct / n,
        tuple(float(s) / n for s in spikes),
        tuple(int((total == 0).sum()) for total in fired),
        tuple(int((total == n).sum()) for total in fired),
    )


def part_labels(part: str, samples: Samples, network: Network) -> NDArray[np.int64]:
    """Labels of a part of a data set, at least one, all of them classes of the network."""
    if not len(samples):
        raise InputError(f"{part} must hold at least one sample, got none")
    return checked_labels(samples.labels, len(samples), network.config.sizes[-1], f"labels of {part}")


def batches(
    network: Network,
    samples: Samples,
    chosen: Sequence[NDArray[np.int64]],
    solver: solvers.Solver,
    rng: np.random.Generator | None = None,
) -> Iterator[tuple[NDArray[np.int64], NDArray[Any] | SpikeEvents]]:
    """Numbers of the samples of batches, and their spikes, checked, where `solver` computes.

    The next batch is prepared while the last is in use; `rng` drives augmentation, None turns it off.
    """

    def prepare(indices: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[Any] | SpikeEvents]:
        spikes = network.checked_input(samples.batch(indices, rng))
        if len(spikes) != len(indices):
            raise InputError(f"batch() must return the {len(indices)} samples asked for, got {len(spikes)}")
        return indices, solver.to_device(spikes)

    # One worker takes the batches in order, so that augmentation draws its numbers in order too.
    with ThreadPoolExecutor(max_workers=1) as worker:
        upcoming = worker.submit(prepare, chosen[0])
        for indices in chosen[1:]:
            ready, upcoming = upcoming.result(), worker.submit(prepare, indices)
            yield ready
        yield upcoming.result()
