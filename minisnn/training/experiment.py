"""An experiment: everything a training, or a series of them over seeds and folds, depends on.

``config.json`` holds an `Experiment`. With a series it stands for several trainings, which differ in their seed and in
the fold that validates them; each has a run folder of its own inside.
"""

from __future__ import annotations

import inspect
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from ..datasets import Dataset, load_dataset
from ..datasets.own import title_of
from ..datasets.samples import folds, split
from ..errors import DataError, InputError, one_line, shown
from ..parameters import NetworkConfig
from ..reading import checked_count, checked_name, checked_type, plain
from ..streams import say
from ..table import table as text_table
from .loop import TrainingConfig
from .metrics import EpochMetrics, chosen_epoch, mean_and_sd
from .recipes import Recipe
from .runs import RunFolder, difference

__all__ = ["Experiment", "moments", "outcome", "outcome_of", "summary", "table"]

_EPOCH = (
    "epoch", "train_loss", "train_accuracy", "validation_accuracy", "test_accuracy", "spikes_per_sample", "seconds",
)  # fmt: skip
# Said of layers in which many neurons fire never or always.
SILENT = "never fire and say nothing: if accuracy is low, start with larger weights (--hidden-gain)"
ALWAYS = "fire for every sample: no fault, when they fire tells samples apart; it only costs spikes"
OPERATIONS = ("input_events", "effective_acs", "membrane_updates", "dense", "activation_sparsity")
# The entries of `split` and `series`, all of them whole numbers.
_FORMS = {"split": (set(), {"validation"}, {"fold", "folds"}), "series": ({"folds", "seeds"},)}
PRODUCTS = ("auto", "events", "dense")


@dataclass(frozen=True)
class Experiment:
    """Everything a training, or a series of them, depends on."""

    dataset: str  # name of the data set, or the absolute path of your own
    training: TrainingConfig
    network: NetworkConfig  # its sizes of input and output are 1 until `fitted`
    data: dict[str, Any] = field(default_factory=dict)  # options of `load_dataset`
    # Held-out training samples: ``validation``, a number of them, or ``folds`` and ``fold``; or none.
    split: dict[str, int] = field(default_factory=dict)
    product: str = "auto"  # how the compiled solvers multiply with spikes: auto, events or dense
    series: dict[str, int] | None = None  # numbers of ``seeds``, and of ``folds`` (0 for none)

    def __post_init__(self) -> None:
        checked_name("product", self.product, PRODUCTS)
        # As in the two configurations, values are kept as a file gives them back.
        for name in ("data", "split", "series")[: 2 if self.series is None else 3]:
            value = getattr(self, name)
            checked_type(name, value, dict)
            kept = {str(key): plain(f"{name}: {key}", entry) for key, entry in value.items()}
            if set(kept) not in _FORMS.get(name, (set(kept),)):
                raise InputError(f"the entries of {name} must be those of one kind, got {shown(kept)}")
            for key, number in kept.items() if name in _FORMS else ():
                checked_count(f"{name}: {key}", number, low=int(key == "seeds"))
            object.__setattr__(self, name, kept)

    @classmethod
    def of_recipe(
        cls,
        dataset: str,
        recipe: Recipe,
        *,
        hidden: tuple[int, ...] = (),
        data: dict[str, Any] | None = None,
        training: dict[str, Any] | None = None,
        network: dict[str, Any] | None = None,
        **others: Any,
    ) -> Experiment:
        """The experiment of a recipe; the arguments replace entries of the recipe."""
        sizes = {"sizes": (1, *(hidden or recipe.hidden), 1)}
        return cls(
            dataset,
            TrainingConfig(**(recipe.training | (training or {}))),
            NetworkConfig(**(recipe.network | (network or {}) | sizes)),
            recipe.data | (data or {}),
            **others,
        )

    @classmethod
    def from_json(cls, config: dict[str, Any], place: Path) -> Experiment:
        """The experiment of the contents of ``config.json`` in the folder `place`, or `DataError`."""
        path = place / "config.json"
        try:
            network = NetworkConfig(**config["network"])
            training = TrainingConfig(**config["training"])
        except (TypeError, KeyError, ValueError, OverflowError) as error:
            raise DataError(f"{path} is not of this version of minisnn: {one_line(error)}") from None
        config = {"split": {}, "series": None} | config
        try:
            inspect.signature(load_dataset).bind(config["dataset"], None, **config["data"])
        except TypeError as error:
            raise DataError(f"{path}: the entry data has no options of a data set: {error}") from None
        others = {name: config[name] for name in ("data", "split", "product", "series")}
        try:
            return cls(config["dataset"], training, network, **others)
        except InputError as error:
            raise DataError(f"{path} is damaged: {error}") from None

    @classmethod
    def of_run(cls, run: RunFolder) -> Experiment:
        """The experiment of a run folder."""
        return cls.from_json(run.config(), run.path)

    def to_json(self) -> dict[str, Any]:
        """Contents of ``config.json``."""
        values = asdict(self)
        order = ("dataset", "data", "split", "product", "training", "network", "series")
        return {name: values[name] for name in order if values[name] is not None}

    def run_folder(self, path: Path, refusal: str) -> RunFolder:
        """The run folder at `path`, made if need be; if it is of another experiment, an error with the `refusal`.

        The error names the first setting that differs.
        """
        # If a process was killed before it wrote config.json, the run has not begun.
        if not (path / "config.json").exists():
            return RunFolder.create(self.to_json(), path)
        run = RunFolder.open(path)
        there = Experiment.of_run(run)
        if there != self:
            raise DataError(f"{path} {refusal} ({difference(there.to_json(), self.to_json())})")
        return run

    def load_data(self, data_dir: Path | None = None) -> Dataset:
        """Load the data set, undivided."""
        return load_dataset(self.dataset, data_dir, **self.data)

    def fitted(self, data: Dataset, held_out: int = 0) -> Experiment:
        """The experiment with the sizes of `data` and `held_out` validation samples; an error if it does not fit."""
        sizes = (data.n_inputs, *self.network.sizes[1:-1], data.n_classes)
        fingerprint = {"fingerprint": data.fingerprint} if data.fingerprint else {}
        experiment = replace(
            self,
            data=self.data | {"n_steps": data.n_steps} | fingerprint,
            split={"validation": held_out} if held_out else {},
            network=replace(self.network, sizes=sizes),
        )
        for _, variant in experiment.variants():
            variant.divided(data)
        return experiment

    def divided(self, data: Dataset) -> Dataset:
        """The data set with the validation samples held out: a number of them, a fold, or none."""
        if "validation" in self.split:
            return split(data, self.split["validation"], self.training.seed)
        if not self.split:
            return data
        parts = folds(data, self.split["folds"], self.training.seed)
        if self.split["fold"] >= len(parts):
            raise DataError(f"the fold must be one of 0 ... {len(parts) - 1}, got {self.split['fold']}")
        return parts[self.split["fold"]]

    def variants(self) -> Iterator[tuple[str, Experiment]]:
        """Name and experiment of every training of a series; ``""`` and itself if it is none."""
        if self.series is None:
            yield "", self
            return
        n_seeds, n_folds, first = self.series["seeds"], self.series["folds"], self.training.seed
        for seed in range(first, first + n_seeds):
            for fold in range(n_folds) if n_folds else (None,):
                parts = [f"seed-{seed}"] * (n_seeds > 1) + [f"fold-{fold}"] * (fold is not None)
                training = replace(self.training, seed=seed)
                held_out = self.split if fold is None else {"folds": n_folds, "fold": fold}
                variant = replace(self, training=training, split=held_out, series=None)
                yield "-".join(parts) or f"seed-{seed}", variant


def outcome_of(run: RunFolder, experiment: Experiment, name: str = "") -> dict[str, Any]:
    """The outcome of a finished training; a warning with its name tells of layers in which many neurons say nothing."""
    training, network = experiment.training, run.network()
    history = run.metrics()[: run.finished_epochs()]
    if len(history) != training.epochs:
        raise DataError(f"{run.path} holds {len(history)} of {training.epochs} epochs")
    chosen = chosen_epoch(history)
    _warn_about_activity(chosen, experiment.network.sizes[1:-1], f"{name}: " if name else "")
    return {
        "dataset": title_of(experiment.dataset),
        "neuron": experiment.network.neuron,
        "solver": training.solver,
        "seed": training.seed,
        "n_parameters": network.n_parameters,
        "spike_penalty": experiment.network.spike_penalty,  # a part of the training loss
        "epochs": [{key: getattr(metrics, key) for key in _EPOCH} for metrics in history],
        "chosen_epoch": chosen.epoch,
        "validation_accuracy": chosen.validation_accuracy,
        "test_accuracy": chosen.test_accuracy,
        "spikes_per_sample": chosen.spikes_per_sample,
        "silent_neurons": chosen.silent_neurons,
        "always_firing": chosen.always_firing,
        **{key: getattr(chosen, key) for key in OPERATIONS},
        "seconds_per_epoch": statistics.median(metrics.seconds for metrics in history),
        "run_dir": str(run.path),
    }


def _warn_about_activity(metrics: EpochMetrics, sizes: tuple[int, ...], whose: str) -> None:
    """Name the layers in which many neurons fire never or always, and say whether to care."""
    for counts, kind, what in (
        (metrics.silent_per_layer, "warning", SILENT),
        (metrics.always_firing_per_layer, "note", ALWAYS),
    ):
        for k, (count, size) in enumerate(zip(counts, sizes), start=1):
            if count > size / 10:
                say(f"minisnn: {kind}: {whose}{count} of {size} neurons of hidden{k} {what}")


def outcome(outcomes: list[dict[str, Any]], experiment: Experiment, failed: dict[str, str]) -> dict[str, Any]:
    """The contents of ``--json``: the outcome of the one training, or those of a series with mean and s.d.

    If trainings of a series failed, also the line of each, by name.
    """
    if experiment.series is None:
        return outcomes[0]
    network, training = experiment.network, experiment.training
    result: dict[str, Any] = {"dataset": title_of(experiment.dataset), "neuron": network.neuron}
    result |= {"solver": training.solver, "spike_penalty": network.spike_penalty}
    result |= {**experiment.series, "runs": outcomes}
    if outcomes:
        result |= {"n_parameters": outcomes[0]["n_parameters"]} | summary(outcomes)
    return result | ({"failed": failed} if failed else {})


def summary(outcomes: list[dict[str, Any]]) -> dict[str, float | None]:
    """The `moments` as entries of a file."""
    parts = ("mean", "sd")
    return {f"{key}_{part}": x for key, pair in moments(outcomes).items() for part, x in zip(parts, pair)}


def moments(outcomes: list[dict[str, Any]]) -> dict[str, tuple[float | None, float | None]]:
    """Mean and s.d. over trainings of accuracies, spikes, operations and time; None if there is none."""
    keys = ("test_accuracy", "validation_accuracy", "spikes_per_sample", "seconds_per_epoch", *OPERATIONS)
    return {key: mean_and_sd([run.get(key) for run in outcomes]) for key in keys}


def table(outcomes: list[dict[str, Any]]) -> str:
    """One line for every training, and their mean and s.d. if there are several.

    Accuracies in %; silent and always: hidden neurons that fire for no test sample, and for all of them.
    """
    columns = (
        ("chosen_epoch", "epoch", 1, 0), ("validation_accuracy", "validation", 100, 2),
        ("test_accuracy", "test", 100, 2), ("spikes_per_sample", "spikes/sample", 1, 1),
        ("silent_neurons", "silent", 1, 0), ("always_firing", "always", 1, 0),
        ("seconds_per_epoch", "s/epoch", 1, 2),
    )  # fmt: skip
    lines: list[tuple[str, Sequence[Any], int]] = []  # name, values, additional digits
    for run in outcomes:
        lines.append((run.get("name") or Path(run["run_dir"]).name, [run[key] for key, *_ in columns], 0))
    if len(outcomes) > 1:
        means, sds = zip(*(mean_and_sd([run[key] for run in outcomes]) for key, *_ in columns))
        lines += [("mean", means, 0), ("s.d.", sds, 1)]
    rows = [["training", *(head for _, head, _, _ in columns)]]
    for name, values, more in lines:
        cells = [
            "-" if value is None else f"{factor * value:.{digits + more}f}"
            for value, (_, _, factor, digits) in zip(values, columns)
        ]
        rows.append([name, *cells])
    return text_table(rows)
