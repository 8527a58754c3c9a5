"""Two experiments and a timing: both networks of a recipe, with the same seeds, initial weights and budget."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..bench.timing import Contestant, StepRunner, by_turns, milliseconds
from ..datasets import NAMES, Dataset
from ..errors import DataError
from ..solvers.compiled.threads import get_threads
from ..solvers.settings import settings
from ..training.experiment import Experiment, moments, run_all
from ..training.recipes import Recipe, default_solver
from ..training.runs import RunFolder
from .published import PUBLISHED, Published

__all__ = ["NEURONS", "Budget", "Comparison", "Speed", "compare", "experiment_of"]

NEURONS = ("single-spike", "multi-spike")
# The conventional network is trained from the same events; with dense products it is only timed.
_PRODUCTS = {"single-spike": "auto", "multi-spike": "events"}
_TIMED_STEPS = 20


@dataclass(frozen=True)
class Budget:
    """The budget of a recipe; None leaves an entry to the recipe.

    Parameters
    ----------
    seeds : int
        Trainings of each network, with seeds from 0 on.
    folds : int
        Folds of the training part, each validated by a training on the others; 0 for none.
    epochs : int, optional
        Passes over the training samples, in place of the recipe's.
    train_samples, test_samples : int, optional
        Only the first so many samples of a part.
    hidden : int, optional
        Hidden neurons, in place of the recipe's.
    """

    seeds: int = 1
    folds: int = 0
    epochs: int | None = None
    train_samples: int | None = None
    test_samples: int | None = None
    hidden: int | None = None


@dataclass(frozen=True)
class Speed:
    """Milliseconds of a training step of the trained networks, by turns in one run: (median, smallest, largest)."""

    single_spike: tuple[float, float, float]
    dense: tuple[float, float, float]  # conventional, with dense products, as such networks are trained today
    events: tuple[float, float, float]  # conventional, from the same events

    @property
    def ratios(self) -> tuple[float, float]:
        """How many times faster the single-spike step is than (a) dense and (b) events, by medians."""
        return self.dense[0] / self.single_spike[0], self.events[0] / self.single_spike[0]


@dataclass(frozen=True)
class Comparison:
    """Results of a recipe on a data set: the outcomes of all trainings of each network, and the time of a step."""

    dataset: str
    recipe: str
    published: Published | None = None
    sizes: tuple[int, ...] = ()
    n_train: int = 0
    n_test: int = 0
    folds: int = 0
    outcomes: dict[str, list[dict[str, Any]]] | None = None
    speed: Speed | None = None
    absent: str | None = None  # the reason why there are no results

    def mean(self, neuron: str, key: str) -> tuple[float, float | None]:
        """Mean and s.d. over the trainings of a network of one entry of their outcomes."""
        mean, sd = moments((self.outcomes or {})[neuron])[key]
        return mean or 0.0, sd

    @property
    def accuracy_key(self) -> str:
        """Which accuracy counts: if there are folds, that on the held-out folds."""
        return "validation_accuracy" if self.folds else "test_accuracy"

    @property
    def fewer_spikes(self) -> float:
        """Share of the conventional network's hidden spikes that the single-spike network saves; NaN if it has none."""
        single, multi = (self.mean(neuron, "spikes_per_sample")[0] for neuron in NEURONS)
        return 1 - single / multi if multi else math.nan

    def to_json(self) -> dict[str, Any]:
        """Everything, with means and standard deviations."""
        values = asdict(self)
        if self.outcomes is not None:
            values["fewer_spikes"] = None if math.isnan(self.fewer_spikes) else self.fewer_spikes
            for neuron in NEURONS:
                for key, (mean, sd) in moments(self.outcomes[neuron]).items():
                    if mean is not None:
                        values[f"{neuron}_{key}_mean"], values[f"{neuron}_{key}_sd"] = mean, sd
        if self.speed is not None:
            values["speed"]["x_dense"], values["speed"]["x_events"] = self.speed.ratios
        return values


def experiment_of(dataset: str, recipe: Recipe, neuron: str, budget: Budget) -> Experiment:
    """A series of trainings of one of the networks."""
    samples = {"train_samples": budget.train_samples, "test_samples": budget.test_samples}
    return Experiment.of_recipe(
        dataset,
        recipe,
        hidden=() if budget.hidden is None else (budget.hidden,),
        data={name: n for name, n in samples.items() if n is not None},
        training={"solver": default_solver(neuron)} | ({"epochs": budget.epochs} if budget.epochs else {}),
        network={"neuron": neuron},
        product=_PRODUCTS[neuron],
        series={"seeds": budget.seeds, "folds": budget.folds},
    )


def compare(
    dataset: str,
    name: str,
    recipe: Recipe,
    budget: Budget,
    folder: Path,
    *,
    data_dir: Path | None = None,
    quiet: bool = False,
) -> Comparison:
    """Train both networks of a recipe, from where they stand in `folder`, and time a step of each.

    The comparison is `absent` if the files of the data set are missing. `DataError` is raised if `folder` holds
    trainings of another configuration.
    """
    published = PUBLISHED.get((dataset, name))
    experiments = {neuron: experiment_of(dataset, recipe, neuron, budget) for neuron in NEURONS}
    try:
        data = experiments["single-spike"].load_data(data_dir)
    except DataError as error:
        if dataset not in NAMES:  # a file of the user's own is wrong, not missing
            raise
        return Comparison(dataset, name, published, absent=str(error))
    outcomes: dict[str, list[dict[str, Any]]] = {}
    for neuron, of_recipe in experiments.items():
        experiment = of_recipe.fitted(data, 0 if budget.folds else recipe.held_out(len(data.train)))
        sizes = experiment.network.sizes
        if not quiet:
            print(f"{data.name}, recipe {name}: {neuron}, {'-'.join(map(str, sizes))}")
        refusal = "holds trainings of another configuration: give --out another folder"
        root = experiment.run_folder(folder / f"{name}-{neuron}", refusal)
        with settings(_PRODUCTS[neuron], get_threads()):
            outcomes[neuron] = run_all(root, experiment, data, quiet=quiet)
    speed = _measure(outcomes, data, experiment.training.batch_size)
    return Comparison(
        data.name, name, published, sizes, len(data.train), len(data.test), budget.folds, outcomes, speed
    )


def _measure(outcomes: dict[str, list[dict[str, Any]]], data: Dataset, batch: int) -> Speed:
    """Time training steps of both networks on the first batch of the training samples, by turns.

    They are timed as trained: a network spikes more than with its initial weights.
    """
    indices = np.arange(min(batch, len(data.train)))
    events, labels = data.train.batch(indices), data.train.labels[indices]
    runners = []
    for neuron, product in (("single-spike", "auto"), ("multi-spike", "dense"), ("multi-spike", "events")):
        network = RunFolder.open(outcomes[neuron][0]["run_dir"]).network()
        way = Contestant(default_solver(neuron), neuron, product, get_threads())
        runners.append(StepRunner(way, network, events, labels))
    times = by_turns([runner.step.turn for runner in runners], _TIMED_STEPS)
    return Speed(*(milliseconds([seconds for (seconds,) in result]) for result in times))
