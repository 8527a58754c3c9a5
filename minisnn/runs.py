"""A run folder: configuration, one line of metrics an epoch, and the checkpoint.

``config.json`` is written once, ``metrics.jsonl`` and ``checkpoint.npz`` after every epoch, each whole or not
at all. The checkpoint holds only what the next step depends on, so that two runs of one seed write equal bytes.
"""

from __future__ import annotations

import datetime
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import DataError, InputError
from .files import read_npz, write_npz, write_text
from .network import Network, NetworkConfig
from .optimiser import Adam
from .training import EpochMetrics, TrainingConfig

__all__ = ["RunFolder"]

# What config.json says about a run.
ENTRIES = ("dataset", "data", "product", "training", "network")


class RunFolder:
    """The folder of one training run.

    Parameters
    ----------
    path : Path
        An existing folder; `create` makes a new one, `open` checks that it holds a run.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

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
        if out is not None:
            path = Path(out)
            if path.exists() and (not path.is_dir() or any(path.iterdir())):
                raise InputError(
                    f"{path} exists already: give --out a new folder, or --resume {path} to go on"
                )
            path.mkdir(parents=True, exist_ok=True)
        else:
            path = _new_folder(Path("runs"), dataset)
        write_text(path / "config.json", json.dumps(config, indent=2) + "\n")
        return cls(path)

    @classmethod
    def open(cls, path: str | Path) -> RunFolder:
        """Open the folder of an existing run, or raise `DataError`."""
        run = cls(Path(path))
        run.config()
        return run

    def config(self) -> dict[str, Any]:
        """Contents of ``config.json``."""
        path = self.path / "config.json"
        try:
            config: dict[str, Any] = json.loads(path.read_text())
        except (FileNotFoundError, NotADirectoryError):
            raise DataError(f"{self.path} is no run folder: it has no config.json") from None
        except ValueError as error:
            raise DataError(f"{path} is not valid JSON: {error}") from None
        missing = [key for key in ENTRIES if not isinstance(config, dict) or key not in config]
        if missing:
            raise DataError(f"{path} must hold {', '.join(ENTRIES)}; missing: {', '.join(missing)}")
        return config

    def settings(self) -> tuple[NetworkConfig, TrainingConfig]:
        """Network and training of ``config.json``, checked."""
        config = self.config()
        try:
            network = NetworkConfig(**{**config["network"], "sizes": tuple(config["network"]["sizes"])})
            return network, TrainingConfig(**config["training"])
        except (TypeError, KeyError, ValueError) as error:
            raise DataError(
                f"{self.path / 'config.json'} is not of this version of minisnn: {error}"
            ) from None

    def checkpoint(self) -> dict[str, NDArray[Any]]:
        """Arrays of the last finished epoch."""
        path = self.path / "checkpoint.npz"
        if not path.exists():
            raise DataError(f"{self.path} holds no finished epoch yet: it has no checkpoint.npz")
        return read_npz(path)

    def finished_epochs(self) -> int:
        """Number of epochs that are safe in the checkpoint."""
        return int(self.checkpoint().get("epoch", 0)) if (self.path / "checkpoint.npz").exists() else 0

    def network(self) -> Network:
        """Network of the last finished epoch."""
        return Network.from_arrays(self.checkpoint(), self.path / "checkpoint.npz")

    def metrics(self) -> list[EpochMetrics]:
        """Metrics of the finished epochs."""
        path = self.path / "metrics.jsonl"
        if not path.exists():
            return []
        try:
            values = [json.loads(line) for line in path.read_text().splitlines()]
            return [EpochMetrics(**{**v, "spikes_per_layer": tuple(v["spikes_per_layer"])}) for v in values]
        except (ValueError, TypeError, KeyError) as error:
            raise DataError(f"{path} is damaged: {error}") from None

    def save_epoch(self, network: Network, optimiser: Adam, history: list[EpochMetrics]) -> None:
        """Write the metrics so far, then the checkpoint: what it holds is what counts after an interruption."""
        lines = [json.dumps(asdict(metrics)) + "\n" for metrics in history]
        write_text(self.path / "metrics.jsonl", "".join(lines))
        arrays = network.to_arrays() | optimiser.to_arrays() | {"epoch": np.array(len(history))}
        write_npz(self.path / "checkpoint.npz", arrays)

    def restore(self, network: Network, optimiser: Adam) -> list[EpochMetrics]:
        """Bring network and optimiser to the last finished epoch; return its metrics and those before."""
        path = self.path / "checkpoint.npz"
        if not path.exists():
            return []
        arrays = read_npz(path)
        stored = Network.from_arrays(arrays, path)
        if stored.config != network.config:
            raise DataError(f"{path} is of another network: {stored.config} instead of {network.config}")
        try:
            optimiser.load_arrays(arrays)
            epoch = int(arrays["epoch"])
        except (InputError, KeyError, TypeError) as error:
            raise DataError(f"{path} is no training checkpoint: {error}") from None
        for name, array in stored.parameters.items():
            network.parameters[name][...] = array
        history = self.metrics()[:epoch]
        if len(history) != epoch:
            raise DataError(f"{self.path / 'metrics.jsonl'} must have {epoch} lines, got {len(history)}")
        return history


def _new_folder(parent: Path, dataset: str) -> Path:
    """A folder that did not exist before: runs/<dataset>-<date>-<number>."""
    today = datetime.date.today().isoformat()
    number = 1
    while True:
        path = parent / f"{dataset}-{today}-{number}"
        try:
            path.mkdir(parents=True)
            return path
        except FileExistsError:
            number += 1
