"""Trainings, each in a run folder of its own: one after the other here, or side by side on a cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from .. import solvers
from ..datasets import Dataset
from ..faults import fault, line_of
from ..files import locked
from ..network import Network
from ..solvers.settings import settings
from ..streams import say
from .experiment import Experiment, outcome_of
from .loop import train
from .metrics import EpochMetrics
from .runs import RunFolder

__all__ = ["How", "Results", "Training", "accuracy_of", "placed", "run_all", "train_run"]


class Training(NamedTuple):
    """One training: its name in a series (empty if it is none), folder, and experiment."""

    name: str
    run: RunFolder
    experiment: Experiment


class Results:
    """The outcomes of trainings so far, and one line for each that failed; by name."""

    def __init__(self) -> None:
        self.outcomes: dict[str, dict[str, Any]] = {}
        self.failed: dict[str, str] = {}

    def add(self, training: Training, error: Exception | None = None) -> None:
        """Take in that a training has ended; outside a series its error is raised."""
        name = training.name
        try:
            if error is not None:
                raise error
            named = {"name": name} if name else {}
            self.outcomes[name] = outcome_of(training.run, training.experiment, name) | named
        except Exception as error:
            if not name:
                raise
            self.failed[name] = line_of(error) or fault(error)
            say(f"minisnn: {name} failed: {self.failed[name]}")

    def of(self, names: Iterable[str]) -> list[dict[str, Any]]:
        """The outcomes of those of the trainings that did not fail."""
        return [self.outcomes[name] for name in names if name in self.outcomes]


@dataclass(frozen=True)
class How:
    """How trainings are run; nothing of it changes a bit of them."""

    data_dir: Path | None = None  # of the data set, or its parent
    threads: int | None = None  # of the compiled solvers, in each training
    quiet: bool = False  # print nothing but warnings and failures
    # Runs trainings side by side (see `minisnn.training.cluster`); None runs them one after the other here.
    cluster: Callable[[Sequence[Training], How, Results], None] | None = field(default=None, repr=False)


def placed(root: Path, variants: Iterable[tuple[str, Experiment]], refusal: str = "") -> list[Training]:
    """Every training in its folder below `root`, which is made if need be; `DataError` if it holds another."""
    refusal = refusal or f"is not of the series in {root}: their config.json differ"
    return [Training(name, one.run_folder(root / name, refusal), one) for name, one in variants]


def run_all(trainings: Sequence[Training], how: How, data: Dataset | None = None) -> Results:
    """Train all from where they stand; `data` is the undivided data set of all of them, if they run here.

    In a series, a training that fails is reported and does not stop the others.
    """
    results = Results()
    if how.cluster is not None:
        how.cluster(trainings, how, results)
        return results
    assert data is not None
    for training in trainings:
        if training.name and not how.quiet:
            print(f"{training.name}:", flush=True)
        error = None
        try:
            with locked(training.run.path / "config.json"):
                train_run(training.run, training.experiment, data, threads=how.threads, quiet=how.quiet)
        except Exception as failure:
            error = failure
        results.add(training, error)
    return results


def train_run(
    run: RunFolder,
    experiment: Experiment,
    data: Dataset,
    *,
    threads: int | None,
    quiet: bool,
    on_epoch: Callable[[EpochMetrics], None] | None = None,
) -> None:
    """Train in a folder, from where it stands, on the undivided data set."""
    training, data = experiment.training, experiment.divided(data)
    network = Network.random(experiment.network, training.seed)

    def report(metrics: EpochMetrics) -> None:
        validation = metrics.validation_accuracy
        validated = "" if validation is None else f"validation {100 * validation:6.2f} %  "
        print(
            f"epoch {metrics.epoch:3d}/{training.epochs}  loss {metrics.train_loss:.4f}  "
            f"train {100 * metrics.train_accuracy:6.2f} %  {validated}"
            f"test {100 * metrics.test_accuracy:6.2f} %  spikes/sample {metrics.spikes_per_sample:7.1f}  "
            f"{metrics.seconds:6.2f} s  {len(data.train) / metrics.seconds:6.0f} samples/s",
            flush=True,
        )

    product = None if experiment.product == "auto" else experiment.product
    # BLAS adds in another order on another number of threads; solvers with threads of their own hold it to one.
    has_threads = solvers.get(training.solver, experiment.network.neuron).has_threads
    with settings(product, threads if has_threads else 1):
        train(network, data, training, run=run, quiet=quiet, on_epoch=on_epoch if quiet else report)


def accuracy_of(outcome: dict[str, Any]) -> float:
    """The accuracy by which trainings are compared: on the validation samples, or on the test samples without them."""
    validation = outcome["validation_accuracy"]
    accuracy: float = outcome["test_accuracy"] if validation is None else validation
    return accuracy
