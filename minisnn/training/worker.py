"""The part of a worker: it trains in a run folder, of which it is told the path.

It reads the configuration there, loads the data set (kept for the next task), and trains from the checkpoint on. If it
only seemed dead, and another worker has its task too, the lock of the folder lets the other wait until this one ends.
"""

from __future__ import annotations

import json
import logging
import os
import threading
from functools import lru_cache
from typing import Any

from .. import __version__
from ..datasets import Dataset, load_dataset
from ..errors import InputError
from ..files import locked
from .experiment import Experiment
from .metrics import EpochMetrics
from .runs import RunFolder
from .series import train_run

__all__ = ["check_version", "dask_setup", "data_of", "train"]

# Threads, BLAS and products with spikes are settings of the whole process.
_ONE_AT_A_TIME = threading.Lock()


def dask_setup(worker: Any) -> None:
    """Dask calls it when a worker of our own starts."""
    logging.disable(logging.CRITICAL)


def train(folder: str, task: dict[str, Any]) -> None:
    """Train in a run folder, on a worker."""
    from distributed import get_worker

    worker = get_worker()
    key = worker.get_current_task()
    check_version(worker.address, task["version"])

    def stop_if_cancelled(_: EpochMetrics) -> None:
        state = worker.state.tasks.get(key)
        if state is None or state.state == "cancelled":
            raise InterruptedError("nobody waits for this training any more")

    run = RunFolder.open(folder)
    experiment = Experiment.of_run(run)
    data_dir, data_home = task["places"]
    if data_home is not None:
        os.environ.setdefault("MINISNN_DATA", data_home)
    with _ONE_AT_A_TIME, locked(run.path / "config.json", wait=True):
        worker.log_event(task["topic"], task["name"])
        data = _loaded(data_of(experiment), data_dir)
        threads = task["threads"] or worker.state.nthreads
        train_run(run, experiment, data, threads=threads, quiet=True, on_epoch=stop_if_cancelled)


def check_version(address: str, version: str) -> None:
    """Raise `InputError` if a worker and the command have different versions of minisnn."""
    if version != __version__:
        raise InputError(
            f"worker {address} must have the minisnn of the command: {__version__} is not {version}"
        )


def data_of(experiment: Experiment) -> str:
    """The data set of an experiment and its options, as text."""
    return json.dumps([experiment.dataset, experiment.data], sort_keys=True)


@lru_cache(maxsize=1)
def _loaded(what: str, data_dir: str | None) -> Dataset:
    """The data set of `data_of`."""
    name, options = json.loads(what)
    return load_dataset(name, data_dir, **options)
