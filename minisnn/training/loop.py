"""Training: batches, epochs, metrics; one seed gives the same bits on any number of threads."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import solvers
from ..datasets.samples import Dataset, Samples, checked_part
from ..errors import InputError, shown
from ..network import Network
from ..reading import checked_count, checked_float, checked_name, checked_type
from ..solvers.compiled.workspace import Workspace
from ..streams import can_say, say
from .evaluation import batches, evaluate
from .metrics import EpochMetrics, chosen_epoch
from .optimiser import MILESTONES, SCHEDULES, Adam, checked_milestones, learning_rate
from .runs import RunFolder

__all__ = ["TrainingConfig", "divergence_named", "progress", "train", "train_epoch"]


@dataclass(frozen=True)
class TrainingConfig:
    """How to train.

    Parameters
    ----------
    epochs : int
        Passes over the training samples.
    batch_size : int
        Samples per step; the last step of an epoch may have fewer.
    lr : float
        Learning rate at the start.
    schedule : {"cosine", "constant", "milestones"}
        How the learning rate changes, see `minisnn.training.optimiser.learning_rate`.
    milestones : tuple of float
        Shares of the training after which the schedule of that name divides the learning rate by 10.
    weight_decay : float
        Decoupled weight decay, on weights only.
    solver : {"numba-parallel", "numba-sequential", "numpy-parallel", "numpy-sequential", "cupy-parallel", \
            "cupy-sequential"}
        How to compute it.
    seed : int
        Seed of the order of samples in every epoch (and of augmentation), together with the epoch's number.
    """

    epochs: int = 10
    batch_size: int = 128
    lr: float = 1e-3
    schedule: str = "cosine"
    milestones: tuple[float, ...] = MILESTONES
    weight_decay: float = 0.0
    solver: str = "numba-parallel"
    seed: int = 0

    def __post_init__(self) -> None:
        # The checked values are kept: Python's own numbers and strings, which a file can hold.
        checked = {
            "epochs": checked_count("epochs", self.epochs, low=1),
            "batch_size": checked_count("batch_size", self.batch_size, low=1),
            "lr": checked_float("lr", self.lr, low=0, open_low=True, dtype=np.float32),
            "schedule": checked_name("schedule", self.schedule, SCHEDULES),
            "milestones": checked_milestones(self.milestones),
            "weight_decay": checked_float("weight_decay", self.weight_decay, low=0, dtype=np.float32),
            "solver": checked_name("solver", self.solver, solvers.ALL),
            "seed": checked_count("seed", self.seed),
        }
        for name, value in checked.items():
            object.__setattr__(self, name, value)


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
        Its parameters are changed in place: to those of the epoch with the best validation accuracy (the first
        of several), or of the last epoch if the data set has no validation part. After an error or an interruption
        they are as if the training had ended with the last finished epoch, or unchanged if there is none.
    dataset : Dataset
        The network is trained on ``dataset.train``, and evaluated on ``dataset.validation`` and ``dataset.test`` after
        every epoch. Nothing depends on the test samples; their accuracy is only reported.
    config : TrainingConfig
        How to train.
    run : RunFolder, optional
        Folder for the metrics and a checkpoint, written after every epoch. If it holds a checkpoint, training
        goes on from there, to the same bits as without the interruption.
    quiet : bool
        Show no progress bar.
    on_epoch : callable, optional
        Called with the metrics of every finished epoch.

    Returns
    -------
    metrics : list of EpochMetrics
        One for every epoch, those before an interruption included; the network ends as it was after the
        `chosen_epoch` of them. `train_loss` is what training minimises, the spike penalty included (Eq. 19).

    Raises
    ------
    InputError
        For a part without samples, labels beyond the classes, spikes or parameters that do not fit.
    OverflowError
        If a potential, a logit or a parameter leaves the range of the dtype.
    """
    checked_type("network", network, Network)
    checked_type("dataset", dataset, Dataset)
    checked_type("config", config, TrainingConfig)
    if run is not None:
        checked_type("run", run, RunFolder)
    if on_epoch is not None and not callable(on_epoch):
        raise InputError(f"on_epoch must be a function, got {shown(on_epoch)}")
    n_inputs, *_, n_classes = network.config.sizes
    if n_inputs != dataset.n_inputs or n_classes != dataset.n_classes:
        raise InputError(
            f"the network must have {dataset.n_inputs} inputs and {dataset.n_classes} classes for "
            f"{dataset.name}, got {n_inputs} and {n_classes}"
        )
    labels = {}
    for part in ("train", "validation", "test"):  # before the first step, not after the first epoch
        samples = getattr(dataset, part)
        if samples is not None:
            labels[part] = checked_part(f"the {part} part of {dataset.name}", samples, n_classes)
    module = solvers.get(config.solver, network.config.neuron)
    optimiser = Adam(network.own_parameters(), network.learns, module, config.weight_decay)
    kept = _copied(network)
    try:
        history = run.restore(network, optimiser) if run is not None else []
        if history and (history[-1].validation_accuracy is None) != (dataset.validation is None):
            raise InputError("a run goes on with a validation part if it began with one, and only then")
        if run is not None and history:
            kept = _copied(network if dataset.validation is None else run.network())
        workspace = Workspace()
        if config.solver.startswith("numba") and len(history) < config.epochs:
            _compile(network, dataset.train, labels["train"], config, quiet)
        for epoch in range(len(history), config.epochs):
            metrics = _epoch(network, dataset, labels["train"], config, epoch, optimiser, workspace, quiet)
            history.append(metrics)
            if chosen_epoch(history) is metrics:
                kept = _copied(network)
            if run is not None:
                run.save_epoch(network, optimiser, history)
            if on_epoch is not None:
                on_epoch(metrics)
        if dataset.validation is not None:
            for name, array in network.own_parameters().items():
                array[...] = kept[name]
    except BaseException:
        network.parameters = kept  # the arrays in there may be the callback's: they are not written to
        raise
    return history


def _copied(network: Network) -> dict[str, NDArray[Any]]:
    return {name: array.copy() for name, array in network.parameters.items()}


def _epoch(
    network: Network,
    dataset: Dataset,
    labels: NDArray[np.int64],
    config: TrainingConfig,
    epoch: int,
    optimiser: Adam,
    workspace: Workspace,
    quiet: bool,
) -> EpochMetrics:
    """Train for an epoch (from 0), and evaluate."""
    started = time.perf_counter()
    # On the CPU this is the network itself; on a device a copy, fetched after every epoch.
    there = network.on_device(config.solver)
    optimiser.move(there.parameters)
    with divergence_named(network, optimiser, epoch):
        loss, accuracy, lr = train_epoch(
            there, dataset.train, labels, config, epoch, optimiser, workspace, quiet
        )
        seconds = time.perf_counter() - started
        if there is not network:
            for name, array in there.parameters.items():
                network.parameters[name][...] = optimiser.solver.to_host(array)
        held_out = dataset.validation
        validation = None if held_out is None else evaluate(there, held_out, solver=config.solver).accuracy
        test = evaluate(there, dataset.test, solver=config.solver)
    counts = {name: value for name, value in vars(test).items() if name not in ("loss", "accuracy")}
    counts |= {"spikes_per_sample": test.spikes_per_sample, "learning_rate": lr, "seconds": seconds}
    return EpochMetrics(epoch + 1, loss, accuracy, validation, test.accuracy, **counts)


@contextmanager
def divergence_named(network: Network, optimiser: Adam, epoch: int) -> Iterator[None]:
    """Say of an overflow after the first step that the training diverged, and which settings to lower."""
    try:
        yield
    except OverflowError as error:
        if not optimiser.steps:
            raise
        settings = "lr or spike_penalty" if network.config.spike_penalty else "lr"
        fault = str(error).split(":")[0]
        raise OverflowError(f"training diverged in epoch {epoch + 1}, {fault}: lower {settings}") from None


def train_epoch(
    network: Network,
    samples: Samples,
    labels: NDArray[np.int64],
    config: TrainingConfig,
    epoch: int,
    optimiser: Adam,
    workspace: Workspace,
    quiet: bool,
) -> tuple[float, float, float]:
    """Take every step of an epoch (from 0); returns mean loss, accuracy and the last learning rate."""
    module = solvers.get(config.solver, network.config.neuron)
    rng = np.random.default_rng([config.seed, epoch])
    order = rng.permutation(len(samples))
    chosen = [order[k : k + config.batch_size] for k in range(0, len(order), config.batch_size)]
    n_steps = config.epochs * len(chosen)
    loss, correct, seen, spiked, lr = 0.0, 0, 0, 0, config.lr
    with progress(len(samples), f"epoch {epoch + 1}/{config.epochs}", quiet) as bar:
        for indices, spikes in batches(network, samples, chosen, module, rng):
            lr = learning_rate(config.schedule, config.lr, optimiser.steps, n_steps, config.milestones)
            batch_loss, gradients, activity = network.training_step(
                spikes, labels[indices], solver=config.solver, workspace=workspace, checked=True
            )
            optimiser.step(gradients, lr)
            loss += batch_loss * len(indices)
            correct += int((module.to_host(activity.logits).argmax(axis=1) == labels[indices]).sum())
            seen += len(indices)
            if not bar.disable:
                spiked += int(activity.spike_counts().sum())
                bar.set_postfix_str(
                    f"loss {loss / seen:.4f}, accuracy {100 * correct / seen:.2f} %, "
                    f"{spiked / seen:.1f} spikes/sample",
                    refresh=False,
                )
                bar.update(len(indices))
    optimiser.check_finite()
    return loss / seen, correct / seen, lr


def _compile(
    network: Network, samples: Samples, labels: NDArray[np.int64], config: TrainingConfig, quiet: bool
) -> None:
    """Take one step with a copy of the network, so that compilation is over before the clock starts."""
    started = time.perf_counter()
    if not quiet:
        say("loading compiled kernels (the first run compiles them, about 15 s) ...")
    copy = Network(network.config, network.parameters)
    few = np.arange(min(config.batch_size, len(samples)))
    _, gradients, _ = copy.training_step(samples.batch(few), labels[few], solver=config.solver)
    module = solvers.get(config.solver, copy.config.neuron)
    Adam(copy.parameters, copy.learns, module, config.weight_decay).step(gradients, config.lr)
    if not quiet:
        say(f"... ready after {time.perf_counter() - started:.1f} s")


def progress(total: int, description: str, quiet: bool, unit: str = " samples") -> Any:
    """Progress bar on standard error, gone when done; none if there is no standard error, or it is no terminal."""
    from tqdm import tqdm

    hidden = True if quiet or not can_say() else None
    return tqdm(total=total, desc=description, leave=False, disable=hidden, unit=unit)
