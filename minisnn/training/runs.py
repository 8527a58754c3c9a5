"""A run folder: configuration, a line of metrics for every epoch, the checkpoint, and the best epoch's parameters.

``config.json`` is written once, ``metrics.jsonl`` and ``checkpoint.npz`` after every epoch, each whole or not
at all. The checkpoint holds only the values that the next step depends on, so that two runs of one seed write equal
bytes. If there are validation samples, ``best-<epoch>.npz`` holds the parameters of the best epoch so far; it is
written before the checkpoint that names it, and removed after the checkpoint that names another.
"""

from __future__ import annotations

import contextlib
import datetime
import itertools
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from ..checkpoints import best_file, checkpoint_file, read_checkpoint
from ..datasets.own import title_of
from ..errors import DataError, InputError, one_line, shown
from ..files import checked_folder, write_npz, write_text
from ..network import Network
from ..reading import checked_path
from .metrics import EpochMetrics, chosen_epoch
from .optimiser import Adam

__all__ = ["RunFolder", "difference", "read_json"]

ENTRIES = ("dataset", "data", "product", "training", "network")  # of config.json
RUNS = Path("runs")  # where run folders without a name of their own are made


class RunFolder:
    """The folder of one training run.

    Parameters
    ----------
    path : Path
        An existing folder; `create` makes a new one, `open` checks that it holds a run.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._checkpoint = checkpoint_file(path)

    @classmethod
    def create(cls, config: dict[str, Any], out: str | Path | None = None, dataset: str = "run") -> RunFolder:
        """Make a new run folder with its configuration.

        Parameters
        ----------
        config : dict
            Written as ``config.json``.
        out : path, optional
            The folder; must be new or empty. Without it: ``runs/<dataset>-<date>-<number>``.

        Raises
        ------
        InputError
            If there is something in the folder already.
        OSError
            If it cannot be written.
        """
        cls.check_new(out)
        path = _new_folder(dataset) if out is None else Path(out)
        path.mkdir(parents=True, exist_ok=True)
        write_text(path / "config.json", json.dumps(config, indent=2) + "\n")
        return cls(path)

    @staticmethod
    def check_new(out: str | Path | None) -> None:
        """Raise, as `create` does, if no new run folder can be made at `out`."""
        path = RUNS if out is None else checked_path("out", out)
        # Files that were half-written when a process was killed do not count.
        in_use = set(path.iterdir()) - set(_half_written(path)) if path.is_dir() else path.exists()
        if out is not None and in_use:
            raise InputError(f"{path} exists already: give --out a new folder, or --resume {path} to go on")
        checked_folder(path)

    @classmethod
    def open(cls, path: str | Path) -> RunFolder:
        """Open the folder of an existing run, or raise `DataError`."""
        run = cls(checked_path("path", path))
        run.config()
        return run

    def config(self) -> dict[str, Any]:
        """Contents of ``config.json``."""
        path = self.path / "config.json"
        if not path.exists() and (self.path / "sweep.json").exists():
            raise DataError(
                f"{self.path} holds a sweep: name one of the folders in it, or call minisnn sweep to go on"
            )
        config: dict[str, Any] = read_json(path)
        missing = [key for key in ENTRIES if not isinstance(config, dict) or key not in config]
        if missing:
            raise DataError(f"{path} must hold {', '.join(ENTRIES)}; missing: {', '.join(missing)}")
        return config

    def finished_epochs(self) -> int:
        """Number of epochs that are safe in the checkpoint."""
        return read_checkpoint(self.path)[1] if self._checkpoint.exists() else 0

    def chosen_epoch(self) -> int:
        """Epoch of `network`: the best so far on the validation samples, or the last if there are none."""
        return read_checkpoint(self.path)[2]

    def network(self) -> Network:
        """Network of the chosen epoch; `DataError` if it is not the one of ``config.json``."""
        (network, checkpoint), wanted = Network.of_run(self.path), self.config()["network"]
        made = json.loads(json.dumps(asdict(network.config)))
        # Settings that the version of the run did not have yet are missing there.
        self._refuse(difference(made, made | wanted if isinstance(wanted, dict) else wanted, "network"))
        self._check_own(checkpoint)
        return network

    def _identity(self) -> dict[str, Any]:
        """Settings that tell the run from others of its network, wherever its data lie; none without config.json."""
        if not (self.path / "config.json").exists():
            return {}
        config = self.config()
        del config["network"]
        return config | {"dataset": title_of(str(config["dataset"]))}

    def _check_own(self, arrays: dict[str, Any]) -> None:
        """Raise `DataError` if the checkpoint is of another run; those of earlier versions do not say of which."""
        if "run" in arrays:
            there: Any = str(arrays["run"])
            with contextlib.suppress(ValueError, RecursionError):  # damaged text differs as it is
                there = json.loads(there)
            self._refuse(difference(there, self._identity(), "the run"))

    def _refuse(self, fault: str) -> None:
        if fault:
            raise DataError(f"{self._checkpoint} is not of the run of config.json: {fault}")

    def metrics(self) -> list[EpochMetrics]:
        """Metrics of the finished epochs."""
        path = self.path / "metrics.jsonl"
        if not path.exists():
            return []
        lines = _read(path).splitlines()
        try:
            history = [_checked_metrics(json.loads(line)) for line in lines]
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise DataError(f"{path} is damaged: {one_line(error)}") from None
        if [metrics.epoch for metrics in history] != list(range(1, len(history) + 1)):
            raise DataError(f"{path} is damaged: its lines must be of epoch 1, 2, 3 and so on")
        return history

    def save_epoch(self, network: Network, optimiser: Adam, history: list[EpochMetrics]) -> None:
        """Write the state after the last epoch of `history`, in which `network` and `optimiser` are.

        The checkpoint comes last: a training that was interrupted goes on from there.

        Raises
        ------
        OSError
            If it cannot be written; the previous checkpoint, and all it names, is then still there.
        """
        epoch, chosen = len(history), chosen_epoch(history)
        lines = [json.dumps(asdict(metrics)) + "\n" for metrics in history]
        counts = {"epoch": np.array(epoch), "chosen_epoch": np.array(chosen.epoch)}
        arrays = network.to_arrays() | {"run": np.array(json.dumps(self._identity()))}
        try:
            if chosen.epoch == epoch and chosen.validation_accuracy is not None:
                write_npz(best_file(self.path, epoch), arrays | {"epoch": np.array(epoch)})
            write_text(self.path / "metrics.jsonl", "".join(lines))
            write_npz(self._checkpoint, arrays | optimiser.to_arrays() | counts)
            self._tidy(chosen.epoch)
        except OSError as error:
            raise self._unsaved(epoch, error) from error

    def check_writable(self) -> None:
        """Raise, as `save_epoch` would after an epoch, if the folder cannot be written to."""
        try:
            checked_folder(self.path)
        except OSError as error:
            raise self._unsaved(self.finished_epochs() + 1, error) from error

    def _unsaved(self, epoch: int, error: OSError) -> OSError:
        return OSError(
            f"cannot save epoch {epoch} in {self.path}: {error.strerror or error}; the epochs before it are "
            f"safe (go on with: minisnn train --resume {self.path})"
        )

    def restore(self, network: Network, optimiser: Adam) -> list[EpochMetrics]:
        """Bring network and optimiser to the last finished epoch; return its metrics and those before."""
        path = self._checkpoint
        if not path.exists():
            self._tidy()
            return []
        arrays, epoch, chosen = read_checkpoint(self.path)
        stored = Network.from_arrays(arrays, path)
        if stored.config != network.config:
            differs = difference(asdict(stored.config), asdict(network.config))
            raise DataError(f"{path} is of another network: {differs}")
        self._check_own(arrays)
        try:
            optimiser.load_arrays(arrays)
        except InputError as error:
            raise DataError(f"{path} is no training checkpoint: {error}") from None
        history = self.metrics()[:epoch]
        if len(history) != epoch:
            raise DataError(f"{self.path / 'metrics.jsonl'} must have {epoch} lines, got {len(history)}")
        if chosen_epoch(history).epoch != chosen:
            raise DataError(f"{path} and metrics.jsonl differ about the best epoch: one of them is damaged")
        self._tidy(chosen)
        for name, array in stored.parameters.items():
            network.parameters[name][...] = array
        return history

    def _tidy(self, chosen: int | None = None) -> None:
        """Remove files of epochs that the checkpoint does not name, and files that are half-written."""
        kept = None if chosen is None else best_file(self.path, chosen)
        for path in (*_half_written(self.path), *self.path.glob("best-*.npz")):
            if path != kept:
                path.unlink()


def difference(there: Any, here: Any, place: str = "") -> str:
    """The first place at which two contents of JSON files differ, in words; nothing if they are the same.

    Examples
    --------
    >>> difference({"training": {"lr": 0.1, "epochs": 3}}, {"training": {"lr": 0.1, "epochs": 4}})
    'training: epochs is 3 there and 4 here'
    """
    if isinstance(there, dict) and isinstance(here, dict):
        parts = ((there.get(key), here.get(key), f"{place}{': ' * bool(place)}{key}") for key in there | here)
        return next(filter(None, (difference(*part) for part in parts)), "")
    return "" if there == here else f"{place} is {shown(there)} there and {shown(here)} here"


def _half_written(folder: Path) -> list[Path]:
    """Files that a killed process left."""
    return list(folder.glob(".*.part"))


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise DataError(f"{path.parent} is no run folder: it has no {path.name}") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from None


def read_json(path: Path) -> Any:
    """Content of a JSON file in a run folder, or of a sweep, or a `DataError` that names it."""
    content = _read(path)
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is not valid JSON: {one_line(error)}") from None


def _checked_metrics(values: Any) -> EpochMetrics:
    """Metrics of a line of metrics.jsonl, if every entry is there and a number, or numbers."""
    if not isinstance(values, dict):
        raise ValueError(f"a line must be an object, got {values!r}")
    for name, value in values.items():
        per_layer = name.endswith("_per_layer")
        if value is None and name in ("validation_accuracy", "input_events"):
            continue
        if isinstance(value, list) != per_layer:
            raise ValueError(f"{name} must be {'a list' if per_layer else 'a number'}, got {value!r}")
        # A bool is an int for isinstance.
        if any(type(number) not in (int, float) for number in (value if per_layer else [value])):
            raise ValueError(f"{name} must hold numbers, got {value!r}")
    entries: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
    return EpochMetrics(**entries)


def _new_folder(dataset: str) -> Path:
    """Make a folder that did not exist before: runs/<dataset>-<date>-<number>."""
    for number in itertools.count(1):
        path = RUNS / f"{dataset}-{datetime.date.today().isoformat()}-{number}"
        with contextlib.suppress(FileExistsError):
            path.mkdir(parents=True)
            break
    return path
