"""Several seeds and folds: a run folder each, one table, mean and s.d., and going on where it stopped."""

import json
import statistics

import pytest

from minisnn.commands.main import main
from minisnn.training import experiment

SIZES = "--train-samples 120 --test-samples 50 --epochs 2 --n-steps 20 --hidden 10"
SMALL = ["train", *SIZES.split()]


@pytest.fixture(autouse=True)
def in_a_new_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("minisnn.commands.train._draw", lambda *_: None)  # pictures take most of the time


def checkpoints(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*.npz")}


def test_folds_and_seeds(tmp_path, capsys):
    options = ["--folds", "3", "--seeds", "2", "--seed", "5", "--out", "series", "--json", "result.json"]
    assert main([*SMALL, *options]) == 0
    printed = capsys.readouterr().out
    result = json.loads((tmp_path / "result.json").read_text())
    names = [f"seed-{seed}-fold-{fold}" for seed in (5, 6) for fold in range(3)]
    assert [run["name"] for run in result["runs"]] == names
    assert (result["seeds"], result["folds"]) == (2, 3)
    for key in ("test_accuracy", "validation_accuracy", "spikes_per_sample"):
        values = [run[key] for run in result["runs"]]
        assert result[f"{key}_mean"] == statistics.fmean(values)
        assert result[f"{key}_sd"] == statistics.stdev(values)
    for name, run in zip(names, result["runs"], strict=True):
        assert any(line.startswith(f"{name} ") for line in printed.splitlines())
        folder = tmp_path / "series" / name
        assert run["run_dir"] == str(folder.relative_to(tmp_path))
        lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
        assert run["validation_accuracy"] == max(line["validation_accuracy"] for line in lines)
        assert json.loads((folder / "config.json").read_text())["training"]["seed"] == run["seed"]
    table = [line.split()[0] for line in printed.splitlines() if line]
    assert table[table.index("training") :][-3:-1] == ["mean", "s.d."]
    last = printed.splitlines()[-1]
    mean, sd = (100 * result[f"test_accuracy_{which}"] for which in ("mean", "sd"))
    assert last.startswith(f"yin-yang: test accuracy {mean:.2f} +- {sd:.2f} % of 50 samples")
    assert last.endswith("mean +- s.d. of 6 trainings, run folder series")
    assert main(["evaluate", "series/seed-5-fold-0"]) == 0
    assert main(["evaluate", "series"]) == 2
    assert "series holds several trainings: give one of them, seed-5-fold-0," in capsys.readouterr().err


def test_a_seed_of_a_series_is_a_training_with_that_seed(tmp_path):
    assert main([*SMALL, "--seeds", "2", "--validation", "30", "--out", "series", "--quiet"]) == 0
    assert main([*SMALL, "--seed", "1", "--validation", "30", "--out", "one", "--quiet"]) == 0
    assert checkpoints(tmp_path / "series" / "seed-1") == checkpoints(tmp_path / "one")
    assert checkpoints(tmp_path / "series" / "seed-0") != checkpoints(tmp_path / "one")


class StopError(Exception):
    pass


@pytest.mark.parametrize("finished", [0, 1, 2, 4, 5])
def test_an_interrupted_series_goes_on(tmp_path, monkeypatch, capsys, finished):
    options = ["--folds", "3", "--quiet"]
    assert main([*SMALL, *options, "--out", "whole"]) == 0
    save, saved = experiment.RunFolder.save_epoch, []

    def stop(self, *arguments):
        if len(saved) == finished:
            raise KeyboardInterrupt
        saved.append(self.path)
        save(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(experiment.RunFolder, "save_epoch", stop)
        assert main([*SMALL, *options, "--out", "part"]) == 130
    assert "go on with: minisnn train --resume part" in capsys.readouterr().err
    assert main(["train", "--resume", "part", "--quiet", "--json", "result.json"]) == 0
    assert checkpoints(tmp_path / "part") == checkpoints(tmp_path / "whole")
    assert len(json.loads((tmp_path / "result.json").read_text())["runs"]) == 3


def test_a_series_with_a_foreign_run_inside(tmp_path, capsys):
    assert main([*SMALL, "--seeds", "2", "--out", "series", "--quiet"]) == 0
    path = tmp_path / "series" / "seed-1" / "config.json"
    path.write_text((tmp_path / "series" / "seed-0" / "config.json").read_text())
    assert main(["train", "--resume", "series"]) == 2
    assert "series/seed-1 is not of the series in series: their config.json differ" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("entry", "value"),
    [
        ("series", {"seeds": "two"}),
        ("series", []),
        ("split", {"validation": "many"}),
        ("split", {"folds": 2, "fold": 7}),
        ("split", {"folds": 2, "fold": "x"}),
        ("split", 5),
        ("data", {"colour": "red"}),
        ("data", 5),
        ("training", {"seed": -1}),
        ("network", {}),
        ("product", "nothing"),
        ("dataset", ["yin-yang"]),
    ],
)
def test_a_damaged_configuration_is_one_line(tmp_path, capsys, entry, value):
    assert main([*SMALL, "--out", "run", "--quiet", "--epochs", "1"]) == 0
    path = tmp_path / "run" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {entry: value}))
    capsys.readouterr()
    assert main(["train", "--resume", "run", "--quiet"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
