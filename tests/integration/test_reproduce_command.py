"""``minisnn reproduce`` as a user calls it: table, files, going on, and what is absent."""

import json

import pytest

from minisnn.commands import options
from minisnn.reproduce.comparison import PENALTIES
from minisnn.training import series
from tests.helpers import is_picture, run

SMALL = "--train-samples 60 --test-samples 30 --epochs 1 --hidden 12 --quiet --out out"

DRAW = options.draw

pytestmark = pytest.mark.usefixtures("new_folder")


def test_quick_says_so_and_writes_everything(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(options, "draw", DRAW)
    assert run(f"reproduce yin-yang --quick {SMALL} --json result.json") == 0
    printed, out = capsys.readouterr().out, tmp_path / "out"
    assert "--quick: this shows that it works; it reproduces nothing" in printed
    assert (out / "table.txt").read_text() in printed
    result = json.loads((tmp_path / "result.json").read_text())
    assert result == json.loads((out / "result.json").read_text())
    assert [one["recipe"] for one in result["comparisons"]] == ["v2", "best"]
    for one in result["comparisons"]:
        assert one["sizes"] == [4, 12, 3]
        assert one["speed"]["x_dense"] > 0
        assert len(one["outcomes"]["single-spike"]) == len(one["outcomes"]["multi-spike"]) == 1
        assert 0 <= one["single-spike_test_accuracy_mean"] <= 1
    assert [one["spike_penalty"] for one in result["curve"]] == list(PENALTIES)
    assert result["curve"][0]["outcomes"] == result["comparisons"][1]["outcomes"]  # trained once
    assert "Trade-off of recipe best" in printed
    for picture in ("comparison", "curve", "snapshot-v2", "snapshot-best"):
        assert is_picture(out / f"{picture}.png")


def test_a_second_call_goes_on_and_trains_nothing_again(tmp_path, capsys, monkeypatch, refused):
    command = f"reproduce yin-yang {SMALL} --recipes best best --seeds 2"  # named twice, reported once
    trained, train_run = [], series.train_run

    def watched(folder, *arguments, **options):
        if len(trained) == 3:
            raise KeyboardInterrupt
        trained.append(folder.path.name)
        train_run(folder, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(series, "train_run", watched)
        assert run(command) == 130
    assert "go on with the same command" in capsys.readouterr().err
    assert run(command) == 0
    assert trained == ["seed-0", "seed-1", "seed-0"]
    text = (tmp_path / "out" / "table.txt").read_text()
    assert text.count("2 trainings of each network") == 1
    assert "+-" in text
    message = "holds trainings of another configuration: give --out another folder"
    refused(f"{command} --epochs 2", message)


def test_what_is_absent_is_shown_as_absent(tmp_path, empty_cache):
    assert run(f"reproduce shd {SMALL}") == 0
    text = (tmp_path / "out" / "table.txt").read_text()
    assert text.count("absent  ") == 3
    assert "trade-off curve: absent: no folder for shd" in text
    where = "no folder for shd: give --data-dir DIR or set MINISNN_DATA, and put shd_train.h5"
    assert f"v1: absent: {where}" in text
    result = json.loads((tmp_path / "out" / "result.json").read_text())
    assert all(one["outcomes"] is None and "shd_train.h5" in one["absent"] for one in result["comparisons"])


def test_folds_on_real_recordings(data_dir, capsys):
    assert run(f"reproduce nmnist --recipes best --folds 2 --data-dir {data_dir} {SMALL}") == 0
    assert "accuracy on 2 folds of 60 training samples" in capsys.readouterr().out
