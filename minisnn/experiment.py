"""One training or a series of them, over seeds and folds, in one folder that can be gone on with.

A configuration is what ``config.json`` holds. With the entry ``series`` it stands for several trainings, which
differ in their seed and in the fold that validates them; each has a run folder of its own inside.
"""

from __future__ import annotations

import copy
import inspect
import json
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .datasets import Dataset, load_dataset
from .datasets.samples import folds, split
from .errors import DataError
from .evaluation import EpochMetrics, chosen_epoch
from .network import Network
from .runs import RunFolder
from .streams import say
from .training import train

__all__ = ["divided", "load", "outcome", "run_all", "table", "train_run", "variants"]

_EPOCH = (
    "epoch", "train_loss", "train_accuracy", "validation_accuracy", "test_accuracy", "spikes_per_sample", "seconds",
)  # fmt: skip


def load(config: dict[str, Any], data_dir: Path | None = None) -> Dataset:
    """Load the data set of a configuration, undivided."""
    try:
        inspect.signature(load_dataset).bind(config["dataset"], data_dir, **config["data"])
    except TypeError as error:
        raise DataError(
            f"the entry data of the configuration has no options of a data set: {error}"
        ) from None
    return load_dataset(config["dataset"], data_dir, **config["data"])


def divided(data: Dataset, config: dict[str, Any]) -> Dataset:
    """Hold out the validation samples of a configuration: a number of them, a fold, or none."""
    held_out, seed = config.get("split", {}), config["training"]["seed"]
    try:
        if "fold" in held_out:
            part: Dataset = folds(data, held_out["folds"], seed)[held_out["fold"]]
            return part
        return split(data, held_out["validation"], seed) if "validation" in held_out else data
    except (TypeError, KeyError, IndexError) as error:
        raise DataError(f"the entry split of the configuration is damaged: {error!r}") from None


def variants(config: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Name and configuration of every training of a series, or ``""`` and the configuration itself."""
    series = config.get("series")
    if series is None:
        yield "", config
        return
    try:
        n_seeds, n_folds = int(series["seeds"]), int(series["folds"])
        first = int(config["training"]["seed"])
    except (TypeError, KeyError, ValueError) as error:
        raise DataError(f"the entry series of the configuration is damaged: {error!r}") from None
    for seed in range(first, first + n_seeds):
        for fold in range(n_folds) if n_folds else (None,):
            variant = copy.deepcopy(config)
            del variant["series"]
            variant["training"]["seed"] = seed
            if fold is not None:
                variant["split"] = {"folds": n_folds, "fold": fold}
            parts = [f"seed-{seed}"] * (n_seeds > 1) + [f"fold-{fold}"] * (fold is not None)
            yield "-".join(parts) or f"seed-{seed}", variant


def run_all(root: RunFolder, config: dict[str, Any], data: Dataset, *, quiet: bool) -> list[dict[str, Any]]:
    """Train every variant of `config` in its folder, going on with what is there; returns their outcomes."""
    outcomes = []
    for name, variant in variants(config):
        run = root
        if name:
            path = root.path / name
            # A run that a kill left without its configuration has not begun.
            started = (path / "config.json").exists()
            run = RunFolder.open(path) if started else RunFolder.create(variant, path)
            if run.config() != json.loads(json.dumps(variant)):
                raise DataError(f"{path} is not of the series in {root.path}: their config.json differ")
            if not quiet:
                print(f"{name}:", flush=True)
        outcomes.append(train_run(run, data, quiet=quiet) | ({"name": name} if name else {}))
    return outcomes


def train_run(run: RunFolder, data: Dataset, *, quiet: bool) -> dict[str, Any]:
    """Train what the folder says, from where it stands, on the undivided data set; returns its outcome."""
    config = run.config()
    network_config, training = run.settings()
    data = divided(data, config)
    network = Network.random(network_config, training.seed)

    def report(metrics: EpochMetrics) -> None:
        validation = metrics.validation_accuracy
        print(
            f"epoch {metrics.epoch:3d}/{training.epochs}  loss {metrics.train_loss:.4f}  "
            f"train {100 * metrics.train_accuracy:6.2f} %  "
            + ("" if validation is None else f"validation {100 * validation:6.2f} %  ")
            + f"test {100 * metrics.test_accuracy:6.2f} %  spikes/sample {metrics.spikes_per_sample:7.1f}  "
            f"{metrics.seconds:6.2f} s  {len(data.train) / metrics.seconds:6.0f} samples/s",
            flush=True,
        )

    history = train(network, data, training, run=run, quiet=quiet, on_epoch=None if quiet else report)
    chosen = chosen_epoch(history)
    _warn_about_activity(chosen, network_config.sizes[1:-1])
    return {
        "dataset": config["dataset"],
        "neuron": network_config.neuron,
        "solver": training.solver,
        "seed": training.seed,
        "n_parameters": network.n_parameters,
        "epochs": [{key: getattr(metrics, key) for key in _EPOCH} for metrics in history],
        "chosen_epoch": chosen.epoch,
        "validation_accuracy": chosen.validation_accuracy,
        "test_accuracy": chosen.test_accuracy,
        "spikes_per_sample": chosen.spikes_per_sample,
        "silent_neurons": chosen.silent_neurons,
        "always_firing": chosen.always_firing,
        "seconds_per_epoch": statistics.median(metrics.seconds for metrics in history),
        "run_dir": str(run.path),
    }


def _warn_about_activity(metrics: EpochMetrics, sizes: tuple[int, ...]) -> None:
    """Say which layers have many neurons that tell nothing about the sample."""
    for counts, what in (
        (metrics.silent_per_layer, "never fire"),
        (metrics.always_firing_per_layer, "fire for every sample"),
    ):
        for k, (count, size) in enumerate(zip(counts, sizes), start=1):
            if count > size / 10:
                say(f"minisnn: warning: {count} of {size} neurons of hidden{k} {what}")


def outcome(outcomes: list[dict[str, Any]], config: dict[str, Any]) -> dict[str, Any]:
    """What ``--json`` writes: the outcome of the one training, or those of a series with mean and s.d."""
    if "series" not in config:
        return outcomes[0]
    result: dict[str, Any] = {
        key: outcomes[0][key] for key in ("dataset", "neuron", "solver", "n_parameters")
    }
    result |= config["series"] | {"runs": outcomes}
    for key in ("test_accuracy", "validation_accuracy", "spikes_per_sample", "seconds_per_epoch"):
        result[f"{key}_mean"], result[f"{key}_sd"] = mean_and_sd([run[key] for run in outcomes])
    return result


def mean_and_sd(values: list[Any]) -> tuple[float | None, float | None]:
    """Mean and standard deviation of the population they are a sample of; None where there is nothing."""
    if None in values:
        return None, None
    return statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None


def table(outcomes: list[dict[str, Any]]) -> str:
    """One line for every training, and their mean and s.d. if there are several.

    Accuracies in %; silent and always: hidden neurons that fire for no test sample, and for every one.
    """
    columns = (
        ("chosen_epoch", "epoch", 1, 0), ("validation_accuracy", "validation", 100, 2),
        ("test_accuracy", "test", 100, 2), ("spikes_per_sample", "spikes/sample", 1, 1),
        ("silent_neurons", "silent", 1, 0), ("always_firing", "always", 1, 0),
        ("seconds_per_epoch", "s/epoch", 1, 2),
    )  # fmt: skip
    rows = [["training", *(head for _, head, _, _ in columns)]]
    for run in outcomes:
        values = [None if run[key] is None else run[key] * factor for key, _, factor, _ in columns]
        rows.append([run.get("name") or Path(run["run_dir"]).name, *_cells(values, columns)])
    if len(outcomes) > 1:
        moments = [mean_and_sd([run[key] for run in outcomes]) for key, _, _, _ in columns]
        for which, name in enumerate(("mean", "s.d.")):
            values = [None if (v := m[which]) is None else v * c[2] for m, c in zip(moments, columns)]
            rows.append([name, *_cells(values, columns, extra=which)])
    widths = [max(map(len, column)) for column in zip(*rows)]
    return "\n".join(
        "  ".join([row[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(row[1:], widths[1:]))])
        for row in rows
    )


def _cells(values: list[Any], columns: Any, extra: int = 0) -> list[str]:
    return ["-" if v is None else f"{v:.{digits + extra}f}" for v, (_, _, _, digits) in zip(values, columns)]
