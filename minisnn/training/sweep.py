"""A sweep: a grid of options, with a series of seeds and folds for every combination, and what came of it."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from ..datasets.own import title_of
from ..errors import InputError
from ..table import table as text_table
from ..table import with_sd
from .experiment import Experiment, summary
from .series import Results

__all__ = ["Setting", "Sweep", "spelled"]

_COLUMNS = (
    "validation_accuracy", "test_accuracy", "spikes_per_sample", "silent_neurons", "always_firing",
    "chosen_epoch", "n_parameters", "seconds_per_epoch", "run_dir",
)  # fmt: skip


def spelled(value: Any) -> str:
    """The value of an option as it is given to a command."""
    if isinstance(value, list):
        return " ".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


class Setting(NamedTuple):
    """A combination of the varied options, and its training or series."""

    values: dict[str, Any]
    experiment: Experiment

    @property
    def name(self) -> str:
        """As in ``hidden-100-n-steps-50``."""
        parts = [
            f"{option}-{spelled(value).replace(' ', '+') or 'none'}" for option, value in self.values.items()
        ]
        return "-".join(parts).replace("_", "-")

    def variants(self) -> Iterator[tuple[str, Experiment]]:
        """Name and experiment of every training."""
        for name, variant in self.experiment.variants():
            yield f"{self.name}-{name}" if name else self.name, variant


@dataclass(frozen=True)
class Sweep:
    """Varied options with their values, and every combination of them."""

    over: dict[str, list[Any]]
    settings: list[Setting]  # each fitted to its data; no two may be the same

    def __post_init__(self) -> None:
        for k, one in enumerate(self.settings):
            for other in self.settings[:k]:
                if one.experiment == other.experiment:
                    raise InputError(
                        f"--over: {other.name} and {one.name} are the same training: leave one out"
                    )

    def to_json(self) -> dict[str, Any]:
        """Contents of ``sweep.json``: everything that the trainings depend on."""
        return {
            "over": {option: [spelled(value) for value in values] for option, values in self.over.items()},
            "settings": {setting.name: setting.experiment.to_json() for setting in self.settings},
        }

    def variants(self) -> Iterable[tuple[str, Experiment]]:
        """Name and experiment of every training of every setting."""
        return (variant for setting in self.settings for variant in setting.variants())

    def csv(self, results: Results) -> str:
        """A record for every training as CSV: options, seed, fold, and its outcome or the line of its failure."""
        rows = []
        for setting in self.settings:
            for name, variant in setting.variants():
                outcome = results.outcomes.get(name, {})
                row = {"name": name, **setting.values, "seed": variant.training.seed}
                row |= {"fold": variant.split.get("fold")}
                row |= {column: outcome.get(column) for column in _COLUMNS}
                rows.append(row | {"failed": results.failed.get(name)})
        file = io.StringIO()
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows({key: "" if v is None else spelled(v) for key, v in row.items()} for row in rows)
        return file.getvalue()

    def result(self, results: Results) -> dict[str, Any]:
        """Contents of ``results.json``: mean and s.d. of every setting, and the outcomes of all trainings."""
        settings: list[dict[str, Any]] = []
        runs: list[dict[str, Any]] = []
        for setting in self.settings:
            names = [name for name, _ in setting.variants()]
            outcomes = results.of(names)
            entry = {"name": setting.name, **setting.values}
            entry |= {"trainings": len(names), "finished": len(outcomes)}
            settings.append(entry | (summary(outcomes) if outcomes else {}))
            runs += outcomes
        first = self.settings[0].experiment
        series = first.series or {"seeds": 1, "folds": 0}
        head = {"dataset": title_of(first.dataset), "over": self.over, **series, "settings": settings}
        return head | {"runs": runs, "failed": results.failed}

    def table(self, result: dict[str, Any]) -> str:
        """A line for every setting of a `result`: mean +- s.d. over seeds and folds; accuracies in %."""
        columns = (
            ("validation_accuracy", "validation", 100, 2), ("test_accuracy", "test", 100, 2),
            ("spikes_per_sample", "spikes/sample", 1, 1), ("seconds_per_epoch", "s/epoch", 1, 2),
        )  # fmt: skip
        rows = [[*self.over, "trainings", *(head for _, head, _, _ in columns)]]
        for entry in result["settings"]:
            finished, trainings = entry["finished"], entry["trainings"]
            row = [spelled(entry[option]) for option in self.over]
            row.append(str(finished) if finished == trainings else f"{finished} of {trainings}")
            for key, _, factor, digits in columns:
                mean, sd = entry.get(f"{key}_mean"), entry.get(f"{key}_sd")
                row.append("-" if mean is None else with_sd(mean, sd, digits, factor))
            rows.append(row)
        return text_table(rows, left=0)
