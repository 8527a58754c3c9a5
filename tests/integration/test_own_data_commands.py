"""Data of one's own in every command that trains: by its path, from any folder, and never after it has changed."""

import json

import numpy as np
import pytest

from minisnn.datasets import save_dataset
from minisnn.training import RunFolder
from tests.data_files import own_samples
from tests.helpers import run

OPTIONS = "--epochs 2 --hidden 8 --quiet"


@pytest.fixture
def own(new_folder):
    """A small data set in a file and a folder of one name, in a folder of its own."""
    (new_folder / "data").mkdir()
    for name in ("own.npz", "own"):
        save_dataset(new_folder / "data" / name, own_samples())
    return new_folder / "data"


@pytest.mark.parametrize("name", ["own.npz", "own"])
def test_train_and_evaluate(name, own, new_folder, capsys):
    assert run(f"train data/{name} {OPTIONS} --validation 6 --out run --json result.json") == 0
    assert "own: test accuracy" in capsys.readouterr().out
    config = json.loads((new_folder / "run/config.json").read_text())
    assert config["dataset"] == str(own / name)
    assert config["data"].keys() == {"n_steps", "fingerprint"}
    result = json.loads((new_folder / "result.json").read_text())
    assert run("evaluate run --json evaluated.json") == 0
    evaluated = json.loads((new_folder / "evaluated.json").read_text())
    assert (evaluated["dataset"], evaluated["n_samples"]) == (result["dataset"], 12) == ("own", 12)
    assert evaluated["accuracy"] == result["test_accuracy"]
    assert run(f"train data/{name} {OPTIONS}") == 0
    assert [path.name[:4] for path in (new_folder / "runs").iterdir()] == ["own-"]


def test_resume_from_another_folder(own, new_folder, monkeypatch, refused):
    assert run(f"train data/own.npz {OPTIONS} --out whole") == 0
    save_epoch = RunFolder.save_epoch

    def interrupted(*arguments):
        save_epoch(*arguments)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(RunFolder, "save_epoch", interrupted)
        assert run(f"train data/own.npz {OPTIONS} --out run") == 130
    (new_folder / "there").mkdir()
    monkeypatch.chdir("there")
    own.rename(new_folder / "moved")
    message = "own.npz does not exist (if it has moved, give --data-dir its folder)"
    refused("train --resume ../run --quiet", message)
    assert run("train --resume ../run --quiet --data-dir ../moved") == 0
    whole, resumed = ((new_folder / name / "checkpoint.npz").read_bytes() for name in ("whole", "run"))
    assert whole == resumed


def test_a_file_that_changed_is_refused(own, refused):
    assert run(f"train data/own.npz {OPTIONS} --out run") == 0
    with np.load(own / "own.npz") as archive:
        arrays = dict(archive)
    arrays["labels"][0] ^= 1
    np.savez(own / "own.npz", **arrays)
    for command in ("train --resume run", "evaluate run"):
        refused(command, "own.npz has changed")


def test_seeds_and_the_comparison_of_both_neurons(own, new_folder, refused, capsys):
    command = "reproduce data/own.npz --epochs 1 --hidden 5 --seeds 2 --quiet"
    assert run(command) == 0
    assert "own, recipe own: 48 training samples, 1 epochs, 2 trainings" in capsys.readouterr().out
    assert (new_folder / "reproduce/own/table.txt").exists()
    (own / "own.npz").write_bytes(b"damaged")
    refused(command, "own.npz is not a readable .npz file")


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("train owm", "unknown data set 'owm' (did you mean"),
        ("train data/own --n-steps 9", "has 10 steps, got n_steps 9"),
        ("train data", "data: one of raster, spike_times, and indptr with indices must be there"),
        ("reproduce data/own --recipes v1", "unknown recipe for own 'v1'; known: own"),
        ("reproduce dat", "unknown data set 'dat' (did you mean 'data'?)"),
    ],
)
def test_one_line_for_every_mistake(command, message, own, new_folder, refused):
    (new_folder / "own").mkdir()
    refused(command, message)
