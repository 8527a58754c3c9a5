"""Two experiments and a timing: both networks of a recipe, with the same seeds, initial weights and budget."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..bench.timing import Contestant, StepRunner, by_turns, milliseconds
from ..datasets import NAMES, Dataset
from ..errors import DataError
from ..solvers.compiled.threads import get_threads
from ..solvers.settings import settings
from ..training.experiment import Experiment, moments
from ..training.metrics import mean_and_sd
from ..training.recipes import Recipe, default_solver
from ..training.runs import RunFolder
from ..training.series import How, Training, placed, run_all
from .published import PUBLISHED, Published

NEURONS = ("single-spike", "multi-spike")
# The conventional network is trained from the same events; with dense products it is only timed.
_PRODUCTS = {"single-spike": "auto", "multi-spike": "events"}
_TIMED_STEPS = 20
PENALTIES = (0.0, 3e-4, 6e-4, 1e-3, 3e-3)  # of a spike, along the trade-off curve


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
    spike_penalty: float = 0.0
    failed: dict[str, str] | None = None  # trainings that failed, and the line of each

    def mean(self, neuron: str, key: str) -> tuple[float, float | None]:
        """Mean and s.d. over the trainings of a network of one entry of their outcomes."""
        mean, sd = mean_and_sd([run[key] for run in (self.outcomes or {})[neuron]])
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
    dataset: str, name: str, recipe: Recipe, budget: Budget, folder: Path, how: How, *, timed: bool = True
) -> Comparison:
    """Train both networks of a recipe, from where they stand in `folder`, and time a step of each if asked.

    The comparison is `absent` if the files of the data set are missing, or if trainings failed. `DataError` is raised
    if `folder` holds trainings of another configuration.
    """
    about, penalty = (dataset, name, PUBLISHED.get((dataset, name))), recipe.network.get("spike_penalty", 0.0)
    experiments = {neuron: experiment_of(dataset, recipe, neuron, budget) for neuron in NEURONS}
    try:
        data = experiments["single-spike"].load_data(how.data_dir)
    except DataError as error:
        if dataset not in NAMES:  # a file of the user's own is wrong, not missing
            raise
        return Comparison(*about, absent=str(error), spike_penalty=penalty)
    trainings: dict[str, list[Training]] = {}
    for neuron, of_recipe in experiments.items():
        experiment = of_recipe.fitted(data, 0 if budget.folds else recipe.held_out(len(data.train)))
        sizes = experiment.network.sizes
        if not how.quiet:
            print(f"{data.name}, recipe {name}: {neuron}, {'-'.join(map(str, sizes))}")
        refusal = "holds trainings of another configuration: give --out another folder"
        root = f"{name}-{neuron}"
        experiment.run_folder(folder / root, refusal)
        variants = [(f"{root}/{variant}", one) for variant, one in experiment.variants()]
        trainings[neuron] = placed(folder, variants, refusal)
    results = run_all([one for both in trainings.values() for one in both], how, data)
    if results.failed:
        absent = f"trainings failed: {', '.join(results.failed)}"
        return Comparison(*about, absent=absent, failed=results.failed, spike_penalty=penalty)
    outcomes = {neuron: results.of(one.name for one in both) for neuron, both in trainings.items()}
    speed = None
    if timed:
        with settings(n_threads=how.threads):
            speed = _measure(outcomes, data, experiment.training.batch_size)
    numbers = len(data.train), len(data.test), budget.folds
    return Comparison(data.name, *about[1:], sizes, *numbers, outcomes, speed, spike_penalty=penalty)


def trade_off(
    dataset: str, name: str, recipe: Recipe, budget: Budget, folder: Path, how: How
) -> list[Comparison]:
    """The comparisons, untimed, of a recipe with each of `PENALTIES`; one of them may be that of the recipe itself."""
    points = []
    for penalty in PENALTIES:
        is_recipe = penalty == recipe.network.get("spike_penalty", 0.0)
        penalised = replace(recipe, network=recipe.network | {"spike_penalty": penalty})
        called = name if is_recipe else f"{name}-{penalty:g}"
        points.append(compare(dataset, called, penalised, budget, folder, how, timed=False))
    return points


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
