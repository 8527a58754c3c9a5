"""Training: batches, epochs, metrics; one seed gives the same bits on any number of threads."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from . import solvers
from .checks import checked_float
from .errors import InputError, unknown_name
from .network import Network
from .optimiser import SCHEDULES, Adam, learning_rate
from .readout import softmax_cross_entropy
from .solvers.workspace import Workspace
from .spikes import SpikeEvents

if TYPE_CHECKING:
    from .datasets import Dataset, Samples
    from .runs import RunFolder

__all__ = ["EpochMetrics", "Evaluation", "TrainingConfig", "evaluate", "train"]

_EVALUATION_BATCH = 256


@dataclass(frozen=True)
class TrainingConfig:
    """How to train.

    Parameters
    ----------
    epochs, batch_size : int
        Passes over the training samples, and samples per step (the last step of an epoch may have fewer).
    lr : float
        Learning rate at the start.
    schedule : {"cosine", "constant", "milestones"}
        See `minisnn.optimiser.learning_rate`.
    weight_decay : float
        Decoupled weight decay, on weights only.
    solver : str
        One of ``minisnn.solvers.names(neuron)``.
    seed : int
        Of the order of samples in every epoch (and of augmentation), together with the epoch's number.
    """

    epochs: int = 10
    batch_size: int = 128
    lr: float = 1e-3
    schedule: str = "cosine"
    weight_decay: float = 0.0
    solver: str = "numba-parallel"
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise InputError(f"{name} must be a whole number >= 1, got {value!r}")
        if not isinstance(self.seed, int) or self.seed < 0:
            raise InputError(f"seed must be a whole number >= 0, got {self.seed!r}")
        checked_float("lr", self.lr, low=0, open_low=True)
        checked_float("weight_decay", self.weight_decay, low=0)
        if self.schedule not in SCHEDULES:
            raise unknown_name("schedule", self.schedule, SCHEDULES)


@dataclass(frozen=True)
class Evaluation:
    """What a network does on a set of samples it is not trained on.

    Parameters
    ----------
    loss : float
        Mean cross-entropy, in nats.
    accuracy : float
        Share of samples classified right, 0 to 1.
    spikes_per_layer : tuple of float
        Mean number of spikes per sample of every hidden layer.
    silent_neurons, always_firing : int
        Hidden neurons that fire for no sample, and for every one.
    """

    loss: float
    accuracy: float
    spikes_per_layer: tuple[float, ...]
    silent_neurons: int
    always_firing: int

    @property
    def spikes_per_sample(self) -> float:
        """Mean number of hidden spikes per sample."""
        return sum(self.spikes_per_layer)


@dataclass(frozen=True)
class EpochMetrics:
    """One line of metrics.jsonl; `seconds` is the time of training alone, without evaluation."""

    epoch: int
    train_loss: float
    train_accuracy: float
    test_accuracy: float
    spikes_per_sample: float
    spikes_per_layer: tuple[float, ...]
    silent_neurons: int
    always_firing: int
    learning_rate: float
    seconds: float


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
    """
    module = solvers.get(solver, network.config.neuron)
    to_device = getattr(module, "to_device", lambda arrays: arrays)
    to_host = getattr(module, "to_host", lambda arrays: arrays)
    network = network.on_device(solver)
    workspace = Workspace()
    loss, correct = 0.0, 0
    spikes = np.zeros(len(network.config.sizes) - 2)
    fired = [np.zeros(n, dtype=np.int64) for n in network.config.sizes[1:-1]]
    for first in range(0, len(samples), _EVALUATION_BATCH):
        indices = np.arange(first, min(first + _EVALUATION_BATCH, len(samples)))
        labels = samples.labels[indices]
        batch = to_device(samples.batch(indices))
        activity = network.forward(batch, solver=solver, workspace=workspace)
        logits = to_host(activity.logits)
        loss += softmax_cross_entropy(logits, labels)[0] * len(indices)
        correct += int((logits.argmax(axis=1) == labels).sum())
        spikes += activity.spike_counts()
        for total, trace in zip(fired, activity.hidden):
            total += to_host((trace.spike_times < trace.potential.shape[1]).sum(axis=0))
    n = len(samples)
    return Evaluation(
        loss / n,
        correct / n,
        tuple(float(s) / n for s in spikes),
        sum(int((total == 0).sum()) for total in fired),
        sum(int((total == n).sum()) for total in fired),
    )


def train(
    network: Network,
    dataset: Dataset,
    config: TrainingConfig,
    *,
    run: RunFolder | None = None,
    quiet: bool = True,
    on_epoch: Callable[[EpochMetrics], None] | None = None,
) -> list[EpochMetrics]:
    """Train a network in place.

    Parameters
    ----------
    network : Network
        Its parameters are changed in place.
    dataset : Dataset
        Trained on ``dataset.train``, evaluated on ``dataset.test`` after every epoch.
    config : TrainingConfig
        How.
    run : RunFolder, optional
        Where metrics and a checkpoint are written after every epoch. If it holds a checkpoint, training
        goes on from there, to the same bits as without the interruption.
    quiet : bool
        Show no progress bar.
    on_epoch : callable, optional
        Called with the metrics of every finished epoch.

    Returns
    -------
    metrics : list of EpochMetrics
        One for every epoch, those before an interruption included.
    """
    if network.config.sizes[0] != dataset.n_inputs or network.config.sizes[-1] != dataset.n_classes:
        raise InputError(
            f"the network must have {dataset.n_inputs} inputs and {dataset.n_classes} classes for "
            f"{dataset.name}, got {network.config.sizes[0]} and {network.config.sizes[-1]}"
        )
    module = solvers.get(config.solver, network.config.neuron)
    optimiser = Adam(network.parameters, network.learns, module, config.weight_decay)
    history = run.restore(network, optimiser) if run is not None else []
    to_host = getattr(module, "to_host", lambda arrays: arrays)
    # On the CPU that is the network itself; on a device a copy, fetched after every epoch.
    there = network.on_device(config.solver)
    optimiser.move(there.parameters)
    steps_per_epoch = -(-len(dataset.train) // config.batch_size)
    workspace = Workspace()
    if config.solver.startswith("numba") and len(history) < config.epochs:
        _compile(network, dataset.train, config, quiet)
    for epoch in range(len(history), config.epochs):
        started = time.perf_counter()
        loss, correct, seen, lr = 0.0, 0, 0, config.lr
        with _progress(steps_per_epoch, f"epoch {epoch + 1}/{config.epochs}", quiet) as bar:
            for labels, spikes in _batches(dataset.train, config, epoch, module):
                lr = learning_rate(
                    config.schedule, config.lr, optimiser.steps, config.epochs * steps_per_epoch
                )
                batch_loss, gradients, activity = there.loss_and_gradients(
                    spikes, labels, solver=config.solver, workspace=workspace
                )
                optimiser.step(gradients, lr)
                loss += batch_loss * len(labels)
                correct += int((to_host(activity.logits).argmax(axis=1) == labels).sum())
                seen += len(labels)
                bar.update()
                bar.set_postfix(loss=f"{loss / seen:.4f}", accuracy=f"{correct / seen:.4f}", refresh=False)
        seconds = time.perf_counter() - started
        test = evaluate(there, dataset.test, solver=config.solver)
        if there is not network:
            for name, array in there.parameters.items():
                network.parameters[name][...] = to_host(array)
        metrics = EpochMetrics(
            epoch + 1,
            loss / seen,
            correct / seen,
            test.accuracy,
            test.spikes_per_sample,
            test.spikes_per_layer,
            test.silent_neurons,
            test.always_firing,
            lr,
            seconds,
        )
        history.append(metrics)
        if run is not None:
            run.save_epoch(network, optimiser, history)
        if on_epoch is not None:
            on_epoch(metrics)
    return history


def _batches(
    samples: Samples, config: TrainingConfig, epoch: int, module: ModuleType
) -> Iterator[tuple[NDArray[np.int64], SpikeEvents]]:
    """Labels and events of every batch of an epoch; the next is prepared while the last is in use."""
    rng = np.random.default_rng([config.seed, epoch])
    order = rng.permutation(len(samples))
    chosen = [order[k : k + config.batch_size] for k in range(0, len(order), config.batch_size)]

    to_device = getattr(module, "to_device", lambda arrays: arrays)

    def prepare(indices: NDArray[np.int64]) -> tuple[NDArray[np.int64], SpikeEvents]:
        return samples.labels[indices], to_device(samples.batch(indices, rng))

    # One worker takes the batches in order, so that augmentation draws its numbers in order too.
    with ThreadPoolExecutor(max_workers=1) as worker:
        upcoming = worker.submit(prepare, chosen[0])
        for indices in chosen[1:]:
            ready, upcoming = upcoming.result(), worker.submit(prepare, indices)
            yield ready
        yield upcoming.result()


def _compile(network: Network, samples: Samples, config: TrainingConfig, quiet: bool) -> None:
    """Take one step with a copy of the network, so that compilation is over before the clock starts."""
    started = time.perf_counter()
    if not quiet:
        print(
            "loading compiled kernels (the first run compiles them, about 15 s) ...",
            file=sys.stderr,
            flush=True,
        )
    copy = Network(network.config, {name: array.copy() for name, array in network.parameters.items()})
    indices = np.arange(min(config.batch_size, len(samples)))
    _, gradients, _ = copy.loss_and_gradients(
        samples.batch(indices), samples.labels[indices], solver=config.solver
    )
    module = solvers.get(config.solver, copy.config.neuron)
    Adam(copy.parameters, copy.learns, module, config.weight_decay).step(gradients, config.lr)
    if not quiet:
        print(f"... ready after {time.perf_counter() - started:.1f} s", file=sys.stderr, flush=True)


def _progress(total: int, description: str, quiet: bool) -> Any:
    """Progress bar on standard error, gone when done; nothing where that is not a terminal."""
    from tqdm import tqdm

    return tqdm(total=total, desc=description, leave=False, disable=True if quiet else None, unit="step")
