"""Several seeds and folds: a run folder each, one table, mean and s.d., and going on where it stopped."""

import json
import shutil
import statistics

import pytest
import threadpoolctl

from minisnn.files import locked
from minisnn.training import experiment
from tests.helpers import arrays, run

SMALL = "train --train-samples 120 --test-samples 50 --epochs 2 --n-steps 20 --hidden 10"

pytestmark = pytest.mark.usefixtures("new_folder")


def test_folds_and_seeds(tmp_path, capsys, refused):
    assert run(f"{SMALL} --folds 3 --seeds 2 --seed 5 --out series --json result.json") == 0
    printed = capsys.readouterr().out
    result = json.loads((tmp_path / "result.json").read_text())
    names = [f"seed-{seed}-fold-{fold}" for seed in (5, 6) for fold in range(3)]
    assert [one["name"] for one in result["runs"]] == names
    assert (result["seeds"], result["folds"]) == (2, 3)
    for key in ("test_accuracy", "validation_accuracy", "spikes_per_sample"):
        values = [one[key] for one in result["runs"]]
        assert result[f"{key}_mean"] == statistics.fmean(values)
        assert result[f"{key}_sd"] == statistics.stdev(values)
    for name, one in zip(names, result["runs"], strict=True):
        assert f"\n{name} " in printed
        assert one["run_dir"] == f"series/{name}"
        folder = tmp_path / "series" / name
        lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
        assert one["validation_accuracy"] == max(line["validation_accuracy"] for line in lines)
        assert json.loads((folder / "config.json").read_text())["training"]["seed"] == one["seed"]
    table = [line.split()[0] for line in printed.splitlines() if line]
    assert table[table.index("training") :][-3:-1] == ["mean", "s.d."]
    mean, sd = (100 * result[f"test_accuracy_{which}"] for which in ("mean", "sd"))
    last = printed.splitlines()[-1]
    assert last.startswith(f"yin-yang: test accuracy {mean:.2f} +- {sd:.2f} % of 50 samples")
    assert last.endswith("mean +- s.d. of 6 trainings, run folder series")
    assert run("evaluate series/seed-5-fold-0") == 0
    refused("evaluate series", "series holds several trainings: give one of them, seed-5-fold-0,")


def test_a_seed_of_a_series_is_a_training_with_that_seed(tmp_path, capsys, refused):
    assert run(f"{SMALL} --seeds 2 --validation 30 --out series --quiet") == 0
    assert run(f"{SMALL} --seed 1 --validation 30 --out one --quiet") == 0
    zero, one = (tmp_path / "series" / f"seed-{seed}" for seed in (0, 1))
    assert arrays(one) == arrays(tmp_path / "one")
    assert arrays(zero) != arrays(tmp_path / "one")
    with locked(zero / "config.json"):
        assert run("train --resume series --quiet --json result.json") == 1
    error = "minisnn: seed-0 failed: another process is at work in series/seed-0: let it end, or stop it\n"
    assert error in capsys.readouterr().err
    result = json.loads((tmp_path / "result.json").read_text())
    assert (len(result["runs"]), list(result["failed"])) == (1, ["seed-0"])
    with locked(zero / "config.json"), locked(one / "config.json"):  # all fail
        assert run("train --resume series --quiet --json result.json") == 1
    result = json.loads((tmp_path / "result.json").read_text())
    assert (result["dataset"], result["runs"], list(result["failed"])) == (
        "yin-yang",
        [],
        ["seed-0", "seed-1"],
    )
    assert "another process is at work" in result["failed"]["seed-1"]
    shutil.copy(zero / "config.json", one)
    message = "series/seed-1 is not of the series in series: their config.json differ (training: seed is 0 there and"
    refused("train --resume series", message)


def test_more_threads_of_blas_change_no_bit(tmp_path):
    options = "--train-samples 256 --test-samples 20 --n-steps 30 --epochs 1 --hidden 200 100 --quiet"
    for n in (1, 2):
        with threadpoolctl.threadpool_limits(n, user_api="blas"):
            assert run(f"train {options} --solver numpy-parallel --out on-{n}") == 0
    assert arrays(tmp_path / "on-1") == arrays(tmp_path / "on-2")


def test_a_series_without_validation_has_no_accuracy_of_it(tmp_path):
    assert run(f"{SMALL} --seeds 2 --out series --quiet --json result.json") == 0
    result = json.loads((tmp_path / "result.json").read_text())
    assert result.get("validation_accuracy_mean") is None
    assert result["test_accuracy_sd"] is not None


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("series") / "whole"
    assert run(f"{SMALL} --folds 3 --quiet --out {folder}") == 0
    return arrays(folder)


@pytest.mark.parametrize("finished", [0, 2, 5])
def test_an_interrupted_series_goes_on(tmp_path, monkeypatch, capsys, whole, finished):
    save, saved = experiment.RunFolder.save_epoch, []

    def stop(self, *arguments):
        if len(saved) == finished:
            raise KeyboardInterrupt
        saved.append(self.path)
        save(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(experiment.RunFolder, "save_epoch", stop)
        assert run(f"{SMALL} --folds 3 --quiet --out part") == 130
    assert "go on with: minisnn train --resume part" in capsys.readouterr().err
    assert run("train --resume part --quiet --json result.json") == 0
    assert arrays(tmp_path / "part") == whole
    assert len(json.loads((tmp_path / "result.json").read_text())["runs"]) == 3


def test_a_damaged_configuration_is_one_line(tmp_path, refused):
    assert run(f"{SMALL} --out run --quiet --epochs 1") == 0
    path = tmp_path / "run" / "config.json"
    good = json.loads(path.read_text())
    for entry, value, message in [
        ("network", {}, "run/config.json"),
        ("split", {"folds": 2, "fold": 7}, "the fold must be one of 0 ... 1, got 7"),
        ("product", "nothing", "unknown product 'nothing'"),
        ("dataset", ["yin-yang"], "unknown data set"),
    ]:
        path.write_text(json.dumps(good | {entry: value}))
        refused("train --resume run --quiet", message)
