"""What a worker does with a task: once loaded, data serve all trainings on them; nobody waits for a cancelled one."""

import sys
from dataclasses import replace
from types import SimpleNamespace

import pytest

from minisnn import NetworkConfig, TrainingConfig, __version__, load_dataset
from minisnn.errors import InputError
from minisnn.training import RunFolder, worker
from minisnn.training.experiment import Experiment
from tests.helpers import one_line

TRAINING = TrainingConfig(epochs=3, solver="numpy-sequential")
DATA = {"n_steps": 10, "train_samples": 40, "test_samples": 10}
EXPERIMENT = Experiment("yin-yang", TRAINING, NetworkConfig((4, 3, 3)), DATA)


@pytest.fixture
def dask(monkeypatch):
    """Dask's side: the state of the task, and the names that were told."""
    told = []
    here = SimpleNamespace(
        address="tcp://here", told=told, get_current_task=lambda: "key",
        state=SimpleNamespace(nthreads=1, tasks={"key": SimpleNamespace(state="executing")}),
        log_event=lambda topic, name: told.append((topic, name)),
    )  # fmt: skip
    monkeypatch.setitem(sys.modules, "distributed", SimpleNamespace(get_worker=lambda: here))
    worker._loaded.cache_clear()
    return here


def train(folder, experiment=EXPERIMENT, version=__version__):
    run = experiment.run_folder(folder, "")
    places = [None, None]
    worker.train(
        str(folder),
        {"name": folder.name, "topic": "t", "version": version, "threads": None, "places": places},
    )
    return run


def test_the_data_are_loaded_once(dask, tmp_path, monkeypatch):
    loaded = []
    monkeypatch.setattr(worker, "load_dataset", lambda *a, **o: loaded.append(a) or load_dataset(*a, **o))
    for seed in range(3):
        run = train(tmp_path / str(seed), replace(EXPERIMENT, training=replace(TRAINING, seed=seed)))
        assert run.finished_epochs() == 3
    assert len(loaded) == 1
    train(tmp_path / "other", replace(EXPERIMENT, data=DATA | {"n_steps": 11}))
    assert len(loaded) == 2
    assert dask.told == [("t", name) for name in ("0", "1", "2", "other")]


@pytest.mark.parametrize("cancelled", [{}, {"key": SimpleNamespace(state="cancelled")}])
def test_a_cancelled_training_stops_after_the_epoch_and_can_go_on(dask, tmp_path, cancelled):
    tasks, dask.state.tasks = dask.state.tasks, cancelled
    with pytest.raises(InterruptedError):
        train(tmp_path / "run")
    assert RunFolder(tmp_path / "run").finished_epochs() == 1
    dask.state.tasks = tasks
    train(tmp_path / "run")
    whole = train(tmp_path / "whole")
    assert (tmp_path / "run" / "checkpoint.npz").read_bytes() == (whole.path / "checkpoint.npz").read_bytes()


def test_a_worker_of_another_version_trains_nothing(dask, tmp_path):
    with one_line(
        InputError, f"worker tcp://here must have the minisnn of the command: {__version__} is not 9"
    ):
        train(tmp_path / "run", version="9")
    assert RunFolder(tmp_path / "run").finished_epochs() == 0
