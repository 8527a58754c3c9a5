"""``minisnn sweep`` as a user calls it: the grid, its results, going on, and every wrong use in one line."""

import contextlib
import csv
import json
import statistics
import sys

import pytest

from minisnn.commands.options import draw
from minisnn.datasets import save_dataset
from minisnn.errors import InputError
from minisnn.files import locked
from minisnn.training.series import train_run
from tests.data_files import own_samples
from tests.helpers import arrays, is_picture, run

SMALL = "--train-samples 120 --test-samples 50 --epochs 2 --n-steps 20"
SWEEP = f"sweep yin-yang {SMALL} --out out"

pytestmark = pytest.mark.usefixtures("new_folder")


@pytest.fixture
def here(monkeypatch):
    """In place of a cluster, this process; yields the names of what was trained."""
    trained = []

    class Here:
        dashboard = None

        def __call__(self, trainings, how, results):
            for training in trainings:
                error = None
                try:
                    if training.run.finished_epochs() < training.experiment.training.epochs:
                        trained.append(training.name)
                        data = training.experiment.load_data(how.data_dir)
                        train_run(training.run, training.experiment, data, threads=how.threads, quiet=True)
                except Exception as failure:
                    error = failure
                results.add(training, error)

    monkeypatch.setattr("minisnn.training.cluster.opened", lambda *_: contextlib.nullcontext(Here()))
    return trained


@pytest.fixture
def no_cluster(monkeypatch):
    """A mistake is found before anything starts."""

    def opened(*_):
        raise AssertionError("a cluster was started")

    monkeypatch.setattr("minisnn.training.cluster.opened", opened)


def read_csv(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_a_grid_with_seeds_and_folds(tmp_path, capsys, here, monkeypatch):
    monkeypatch.setattr("minisnn.commands.options.draw", draw)
    over = ["--over", "hidden=10,10 5", "--over", "learn-decay=true,false"]
    assert run(f"{SWEEP} --seeds 2 --folds 2 --json copy.json", *over) == 0
    printed, out = capsys.readouterr().out, tmp_path / "out"
    settings = [f"hidden-{h}-learn-decay-{d}" for h in ("10", "10+5") for d in ("true", "false")]
    names = [f"{setting}-seed-{s}-fold-{f}" for setting in settings for s in (0, 1) for f in (0, 1)]
    rows = read_csv(out / "results.csv")
    assert here == [row["name"] for row in rows] == names
    assert list(rows[5].values())[:5] == [names[5], "10", "false", "0", "1"]
    result = json.loads((out / "results.json").read_text())
    assert result == json.loads((tmp_path / "copy.json").read_text())
    assert [one["name"] for one in result["settings"]] == settings
    assert [one["name"] for one in result["runs"]] == names
    assert result["over"] == {"hidden": [[10], [10, 5]], "learn_decay": [True, False]}
    table = printed[printed.index("hidden ") :].splitlines()
    for k, setting in enumerate(result["settings"]):
        for key in ("validation_accuracy", "test_accuracy", "spikes_per_sample"):
            values = [float(row[key]) for row in rows[4 * k : 4 * k + 4]]
            mean, sd = setting[f"{key}_mean"], setting[f"{key}_sd"]
            assert mean == pytest.approx(statistics.fmean(values))
            assert sd == pytest.approx(statistics.stdev(values))
            factor, digits = (1, 1) if key[0] == "s" else (100, 2)
            assert f"{factor * mean:.{digits}f} +- {factor * sd:.{digits}f}" in table[1 + k]
    for picture in ("options", "spikes"):
        assert is_picture(out / f"{picture}.png")
    # A training of a sweep is the training with these options, alone.
    assert run(f"train {SMALL} --hidden 10 5 --no-learn-decay --seed 1 --folds 2 --out alone --quiet") == 0
    for fold in ("fold-0", "fold-1"):
        there = out / f"hidden-10+5-learn-decay-false-seed-1-{fold}"
        assert arrays(there) == arrays(tmp_path / "alone" / fold)


def test_the_same_command_goes_on_and_another_is_refused(tmp_path, refused, here):
    command = f"{SWEEP} --over lr=1e-3,2e-3 --hidden 5 --quiet"
    assert run(command) == 0
    assert here == ["lr-0.001", "lr-0.002"]
    (tmp_path / "out" / "lr-0.002" / "checkpoint.npz").unlink()
    assert run(command) == 0
    assert here[2:] == ["lr-0.002"]
    setting = "settings: lr-0.001: "
    for words, message in [
        (f"{command} --epochs 3", setting + "training: epochs is 2 there and 3 here"),
        (f"{command} --seeds 2", setting + "series is None there and {'seeds': 2, 'folds': 0} here"),
        (f"{command} --hidden 6", setting + "network: sizes is [4, 5, 3] there and [4, 6, 3] here"),
        (f"{SWEEP} --over lr=1e-3", "over: lr is ['0.001', '0.002'] there and ['0.001'] here"),
    ]:
        assert "give --out another folder" in refused(words, f"out holds another sweep: {message}")
    config = tmp_path / "out" / "lr-0.001" / "config.json"
    config.write_text(config.read_text().replace('"batch_size": 128', '"batch_size": 64'))
    refused(command, "training: batch_size is 64 there and 128 here")
    with locked(tmp_path / "out" / "sweep.json"):
        refused(command, "another process is at work in out")
    (tmp_path / "out" / "sweep.json").write_text("{")
    refused(command, "out/sweep.json is not valid JSON")
    assert len(here) == 3


def test_a_training_that_fails_does_not_stop_the_others(tmp_path, capsys, here):
    command = f"{SWEEP} --over lr=1e-3,2e-3 --hidden 5 --seeds 2"
    assert run(command) == 0
    damaged = [tmp_path / "out" / f"lr-0.001-seed-{seed}" / "checkpoint.npz" for seed in (0, 1)]
    for path in damaged:
        path.write_bytes(b"no checkpoint")
    capsys.readouterr()
    assert run(command) == 1
    printed = capsys.readouterr()
    lines = [line for line in printed.err.splitlines() if "failed" in line]
    assert [line.split()[1] for line in lines] == ["lr-0.001-seed-0", "lr-0.001-seed-1"]
    assert "checkpoint.npz is not a readable .npz file" in lines[0]
    assert "\n0.001     0 of 2           -" in printed.out
    assert "2 of 4 trainings finished" in printed.out
    rows = read_csv(tmp_path / "out" / "results.csv")
    assert ["not a readable" in row["failed"] for row in rows] == [1, 1, 0, 0]
    assert rows[0]["test_accuracy"] == ""
    result = json.loads((tmp_path / "out" / "results.json").read_text())
    assert list(result["failed"]) == ["lr-0.001-seed-0", "lr-0.001-seed-1"]
    assert [one["finished"] for one in result["settings"]] == [0, 2]
    for path in (tmp_path / "out").glob("*/checkpoint.npz"):
        path.write_bytes(b"no checkpoint")
    assert run(command) == 1
    assert "0 of 4 trainings finished" in capsys.readouterr().out


def test_without_matplotlib_one_line_says_so(capsys, here, monkeypatch):
    def absent(*_):
        raise InputError("matplotlib is not installed")

    monkeypatch.setattr("minisnn.commands.options.import_extra", absent)
    monkeypatch.setattr("minisnn.commands.options.draw", draw)
    assert run(f"{SWEEP} --over lr=1e-3 --hidden 5 --quiet") == 0
    assert "no pictures: matplotlib" in capsys.readouterr().err


def test_data_of_ones_own(tmp_path, capsys, here):
    save_dataset(tmp_path / "own.npz", own_samples())
    assert run("sweep own.npz --over hidden=5,6 --epochs 1 --out out --quiet") == 0
    assert capsys.readouterr().out == "own: 2 of 2 trainings finished, folder out\n"
    assert json.loads((tmp_path / "out" / "results.json").read_text())["dataset"] == "own"
    assert run("evaluate out/hidden-6") == 0


def test_a_sweep_is_no_run(refused, here):
    assert run(f"{SWEEP} --over seed=3,4 --hidden 5 --quiet") == 0
    for command in ("evaluate out", "train --resume out"):
        refused(command, "out holds a sweep: name one of the folders in it, or call minisnn sweep")
    assert run("evaluate out/seed-4") == 0


MISTAKES = [
    ("--over lerning-rate=1", "unknown option in --over 'lerning-rate'"),
    ("--over n-step=1", "(did you mean 'n-steps'?)"),
    ("--over lr", "--over must be NAME=V,V,... with at least one value, got 'lr'"),
    ("--over lr=", "with at least one value"),
    ("--over =1", "unknown option in --over ''"),
    ("--over lr=fast", "argument --lr: invalid float value: 'fast'"),
    ("--over lr=1e-3,", "argument --lr: invalid float value: ''"),
    ("--over lr=1e-3,-1", "lr must be a finite number > 0, got -1.0"),
    ("--over hidden=10,x", "argument --hidden: invalid int value: 'x'"),
    ("--over hidden=,10", "argument --hidden: expected at least one argument"),
    ("--over hidden=--out", "--hidden has no value '--out'"),
    ("--over solver=--out", "unknown solver '--out'"),
    ("--over learn-decay=yes,no", "--learn-decay must be true or false, got 'yes'"),
    ("--over product=fast", "argument --product: invalid choice: 'fast'"),
    ("--over schedule=cosine,milestones --milestones 0.5", "--milestones is for --schedule milestones"),
    ("--over validation=10 --folds 2", "leave --validation out"),
    ("--over product=auto,dense --solver numpy-parallel", "--product is for the compiled solvers"),
    ("--over solver=numba-parallel,numpy-parallel --threads 2", "has no threads to set"),
    ("--over lr=1,2 --over lr=3", "lr is varied twice"),
    ("--over n_steps=5 --over n-steps=6", "n-steps is varied twice"),
    ("--over lr=1,2 --lr 3", "--lr is varied by --over: leave it out"),
    ("--over seed=1,2 --seeds 2", "--over seed and --seeds both choose the seeds"),
    ("--over epochs=1 --seeds 0", "--seeds must be a whole number >= 1"),
    ("--over epochs=1 --folds 1", "--folds must be a whole number >= 2"),
    ("--over epochs=1 --workers 1 --scheduler x", "give one of them"),
    ("--seeds 3", "the following arguments are required: --over"),
    *[
        (f"--over {name}=1", f"--{name} is the same for all trainings of a sweep: it cannot vary")
        for name in
        ("seeds", "folds", "out", "json", "threads", "quiet", "data-dir", "download", "workers", "scheduler")
    ],
]  # fmt: skip


@pytest.mark.parametrize(("options", "message"), MISTAKES, ids=[options for options, _ in MISTAKES])
def test_a_mistake_is_one_line_before_anything_starts(options, message, refused, no_cluster, tmp_path):
    refused(f"sweep yin-yang --out out {options}", message)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--over lr=1e-3,0.001", "lr-0.001 and lr-0.001 are the same training"),
        ("--over train-samples=99,0", "train_samples must lie in 1 ... 20000, got 0"),
        ("--over n-steps=20 --over validation=10,400 --train-samples 120", "must number 1 ... 119"),
        ("--over encoding=log,linear", "encoding has no meaning for yin-yang"),
    ],
)
def test_a_mistake_that_the_data_show(options, message, refused, here, tmp_path):
    refused(f"sweep yin-yang --out out {options}", message)
    assert not list(tmp_path.iterdir())


def test_a_folder_of_something_else(tmp_path, refused, no_cluster):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "notes").write_text("mine")
    refused(f"{SWEEP} --over lr=1", "out exists already and holds no sweep: give --out a new folder")
    refused("train --workers 2 --hidden 5", "give --seeds or --folds too")


def test_dask_is_an_extra(refused, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    for command in (f"{SWEEP} --over lr=1", "train --seeds 2 --workers 2", "reproduce yin-yang --workers 2"):
        message = "runs trainings side by side, is not installed: pip install '.[sweep]'"
        refused(command, f"distributed, which {message}")
