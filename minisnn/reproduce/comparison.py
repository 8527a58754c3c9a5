"""Train the two networks of a recipe with the same seeds, initial weights and budget, and time a step of both."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .. import experiment
from ..bench.timing import Contestant, StepRunner, by_turns, milliseconds, settings
from ..datasets import Dataset
from ..errors import DataError
from ..network import Network, NetworkConfig
from ..recipes import Recipe, default_solver
from ..runs import RunFolder
from ..solvers.compiled.threads import get_threads
from ..training import TrainingConfig
from .published import PUBLISHED, Published

__all__ = ["NEURONS", "Budget", "Comparison", "Speed", "compare", "configuration"]

NEURONS = ("single-spike", "multi-spike")
# The conventional network is trained from the same events; with dense products it is only timed.
_PRODUCTS = {"single-spike": "auto", "multi-spike": "events"}
_TIMED_STEPS = 20


@dataclass(frozen=True)
class Budget:
    """What may be spent on a recipe; None leaves it to the recipe.

    Parameters
    ----------
    seeds : int
        Trainings of each network, with seeds from 0 on.
    folds : int
        Folds of the training part, each validated by a training on the others; 0 for none.
    epochs, train_samples, test_samples, hidden : int, optional
        Instead of the recipe's.
    """

    seeds: int = 1
    folds: int = 0
    epochs: int | None = None
    train_samples: int | None = None
    test_samples: int | None = None
    hidden: int | None = None


@dataclass(frozen=True)
class Speed:
    """Milliseconds of a training step of the trained networks, by turns in one run: (median, smallest, largest).

    `dense` and `events` are the conventional network stepped with dense products, as such networks are
    trained today, and from the same events.
    """

    single_spike: tuple[float, float, float]
    dense: tuple[float, float, float]
    events: tuple[float, float, float]

    @property
    def ratios(self) -> tuple[float, float]:
        """How many times faster the single-spike step is than (a) dense and (b) events, by medians."""
        return self.dense[0] / self.single_spike[0], self.events[0] / self.single_spike[0]


@dataclass(frozen=True)
class Comparison:
    """What came of a recipe on a data set; `absent` says why nothing did.

    `outcomes` holds the outcomes of all trainings of each network, as `minisnn.experiment` gives them.
    """

    dataset: str
    recipe: str
    published: Published | None = None
    sizes: tuple[int, ...] = ()
    n_train: int = 0
    n_test: int = 0
    folds: int = 0
    outcomes: dict[str, list[dict[str, Any]]] | None = None
    speed: Speed | None = None
    absent: str | None = None

    def mean(self, neuron: str, key: str) -> tuple[float, float | None]:
        """Mean and s.d. over the trainings of a network of one entry of their outcomes."""
        values = [run[key] for run in (self.outcomes or {})[neuron]]
        return statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None

    @property
    def accuracy_key(self) -> str:
        """Which accuracy counts: that on the held-out folds, where there are folds."""
        return "validation_accuracy" if self.folds else "test_accuracy"

    @property
    def fewer_spikes(self) -> float:
        """Share of the conventional network's hidden spikes that the single-spike network saves; NaN of none."""
        single, multi = (self.mean(neuron, "spikes_per_sample")[0] for neuron in NEURONS)
        return 1 - single / multi if multi else math.nan

    def to_json(self) -> dict[str, Any]:
        """Everything, with means and standard deviations."""
        values = asdict(self)
        if self.outcomes is not None:
            values["fewer_spikes"] = None if math.isnan(self.fewer_spikes) else self.fewer_spikes
            for neuron in NEURONS:
                for key in ("test_accuracy", "validation_accuracy", "spikes_per_sample", "seconds_per_epoch"):
                    if self.outcomes[neuron][0][key] is None:
                        continue
                    mean, sd = self.mean(neuron, key)
                    values[f"{neuron}_{key}_mean"], values[f"{neuron}_{key}_sd"] = mean, sd
        if self.speed is not None:
            values["speed"]["x_dense"], values["speed"]["x_events"] = self.speed.ratios
        return values


def configuration(dataset: str, recipe: Recipe, neuron: str, budget: Budget) -> dict[str, Any]:
    """The configuration of a series of trainings; sizes of input and output are 1 until the data are known."""
    data = {
        key: getattr(budget, key)
        for key in ("train_samples", "test_samples")
        if getattr(budget, key) is not None
    }
    epochs = {} if budget.epochs is None else {"epochs": budget.epochs}
    hidden = recipe.hidden if budget.hidden is None else (budget.hidden,)
    network = NetworkConfig(**(recipe.network | {"neuron": neuron, "sizes": (1, *hidden, 1)}))
    training = TrainingConfig(**(recipe.training | epochs | {"solver": default_solver(neuron), "seed": 0}))
    held_out = {"validation": recipe.validation} if recipe.validation and not budget.folds else {}
    return {
        "dataset": dataset,
        "data": recipe.data | data,
        "split": held_out,
        "product": _PRODUCTS[neuron],
        "training": asdict(training),
        "network": asdict(network),
        "series": {"seeds": budget.seeds, "folds": budget.folds},
    }


def compare(
    dataset: str,
    name: str,
    recipe: Recipe,
    budget: Budget,
    folder: Path,
    *,
    data_dir: Path | None = None,
    quiet: bool = False,
    say: Callable[[str], None] = print,
) -> Comparison:
    """Train both networks of a recipe, going on with what `folder` holds of them, and time a step of each.

    Returns
    -------
    comparison : Comparison
        With `absent` where the files of the data set are not there.

    Raises
    ------
    DataError
        If `folder` holds trainings of another configuration.
    """
    published = PUBLISHED.get((dataset, name))
    configs = {neuron: configuration(dataset, recipe, neuron, budget) for neuron in NEURONS}
    try:
        data = experiment.load(configs["single-spike"], data_dir)
    except DataError as error:
        return Comparison(dataset, name, published, absent=str(error))
    outcomes, sizes = {}, ()
    for neuron, config in configs.items():
        config["data"]["n_steps"] = data.n_steps
        held_out = min(config["split"].get("validation", 0), len(data.train) // 10)
        config["split"] = {"validation": held_out} if held_out else {}
        sizes = (data.n_inputs, *config["network"]["sizes"][1:-1], data.n_classes)
        config["network"]["sizes"] = sizes
        for _, variant in experiment.variants(config):
            experiment.divided(data, variant)  # says now what does not fit
        if not quiet:
            say(f"{dataset}, recipe {name}: {neuron}, {'-'.join(map(str, sizes))}")
        root = _opened(folder / f"{name}-{neuron}", config)
        with settings(_PRODUCTS[neuron], get_threads()):
            outcomes[neuron] = experiment.run_all(root, config, data, quiet=quiet)
    # A network spikes more after training than with its initial weights: what is timed is what was trained.
    networks = {neuron: RunFolder.open(outcomes[neuron][0]["run_dir"]).network() for neuron in NEURONS}
    batch = int(configs["single-spike"]["training"]["batch_size"])
    return Comparison(
        dataset, name, published, sizes, len(data.train), len(data.test), budget.folds, outcomes,
        _measure(networks, data, batch),
    )  # fmt: skip


def _opened(path: Path, config: dict[str, Any]) -> RunFolder:
    """The folder of a series: made, or found with the same configuration."""
    if not (path / "config.json").exists():
        return RunFolder.create(config, path)
    root = RunFolder.open(path)
    there = root.config()
    wanted = {key: list(value) if isinstance(value, tuple) else value for key, value in config.items()}
    if there != _as_json(wanted):
        raise DataError(f"{path} holds trainings of another configuration: give --out another folder")
    return root


def _as_json(value: Any) -> Any:
    """`value` as it comes back from a JSON file."""
    if isinstance(value, dict):
        return {key: _as_json(entry) for key, entry in value.items()}
    return [_as_json(entry) for entry in value] if isinstance(value, (list, tuple)) else value


def _measure(networks: dict[str, Network], data: Dataset, batch: int) -> Speed:
    """Time training steps of both networks on the first batch of the training samples, by turns."""
    indices = np.arange(min(batch, len(data.train)))
    events, labels = data.train.batch(indices), data.train.labels[indices]
    threads = get_threads()
    ways = (
        Contestant("numba-parallel", "single-spike", "auto", threads),
        Contestant("numba-sequential", "multi-spike", "dense", threads),
        Contestant("numba-sequential", "multi-spike", "events", threads),
    )
    runners = [StepRunner(way, networks[way.neuron], events, labels) for way in ways]
    times = by_turns([runner.steps for runner in runners], _TIMED_STEPS)
    return Speed(*(milliseconds(result) for result in times))
