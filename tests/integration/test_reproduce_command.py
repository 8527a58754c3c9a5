"""``minisnn reproduce`` as a user calls it: table, files, going on, and what is absent."""

import json

import pytest

from minisnn.commands.main import main
from minisnn.training import experiment

SMALL = ["--train-samples", "60", "--test-samples", "30", "--epochs", "1", "--hidden", "12", "--quiet"]


def test_quick_says_so_and_writes_everything(tmp_path, capsys):
    out = tmp_path / "out"
    json_file = tmp_path / "result.json"
    assert (
        main(["reproduce", "yin-yang", "--quick", *SMALL, "--out", str(out), "--json", str(json_file)]) == 0
    )
    printed = capsys.readouterr().out
    assert "--quick: this shows that it works; it reproduces nothing" in printed
    assert (out / "table.txt").read_text() in printed
    result = json.loads(json_file.read_text())
    assert result == json.loads((out / "result.json").read_text())
    assert [one["recipe"] for one in result["comparisons"]] == ["v2", "best"]
    for one in result["comparisons"]:
        assert one["sizes"] == [4, 12, 3]
        assert one["speed"]["x_dense"] > 0
        assert len(one["outcomes"]["single-spike"]) == len(one["outcomes"]["multi-spike"]) == 1
        assert 0 <= one["single-spike_test_accuracy_mean"] <= 1
    for picture in ("comparison", "snapshot-v2", "snapshot-best"):
        assert (out / f"{picture}.png").read_bytes().startswith(b"\x89PNG")


def test_a_second_call_goes_on_and_trains_nothing_again(tmp_path, capsys, monkeypatch):
    command = [
        "reproduce",
        "yin-yang",
        *SMALL,
        "--recipes",
        "best",
        "--seeds",
        "2",
        "--out",
        str(tmp_path / "out"),
    ]
    trained = []
    train_run = experiment._train_run

    def watched(run, variant, data, *, quiet):
        if len(trained) == 3:
            raise KeyboardInterrupt
        trained.append(run.path.name)
        return train_run(run, variant, data, quiet=quiet)

    monkeypatch.setattr(experiment, "_train_run", watched)
    assert main(command) == 130
    assert "go on with the same command" in capsys.readouterr().err
    monkeypatch.setattr(experiment, "_train_run", train_run)
    assert main(command) == 0
    assert trained == ["seed-0", "seed-1", "seed-0"]
    text = (tmp_path / "out" / "table.txt").read_text()
    assert "2 trainings of each network" in text
    assert "+-" in text
    with_another = [*command[:-2], "--epochs", "2", *command[-2:]]
    assert main(with_another) == 2
    assert "holds trainings of another configuration: give --out another folder" in capsys.readouterr().err


def test_what_is_absent_is_shown_as_absent(tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("MINISNN_DATA", raising=False)
    assert main(["reproduce", "shd", *SMALL, "--out", str(tmp_path / "out")]) == 0
    text = (tmp_path / "out" / "table.txt").read_text()
    assert text.count("absent  ") == 3
    assert (
        "v1: absent: no folder for shd: give --data-dir DIR or set MINISNN_DATA, and put shd_train.h5" in text
    )
    result = json.loads((tmp_path / "out" / "result.json").read_text())
    assert all(one["outcomes"] is None and "shd_train.h5" in one["absent"] for one in result["comparisons"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["mnits"], "unknown data set 'mnits' (did you mean 'mnist'?)"),
        (["yin-yang", "--recipes", "v1"], "unknown recipe for yin-yang 'v1'"),
        (["yin-yang", "--seeds", "0"], "--seeds must be a whole number >= 1, got 0"),
        (["yin-yang", "--folds", "1"], "--folds must be a whole number >= 2, got 1"),
        (
            ["yin-yang", "--json", "none/x.json"],
            "--json must name a file in an existing folder, got none/x.json",
        ),
    ],
)
def test_wrong_use_is_one_line(arguments, message, capsys):
    assert main(["reproduce", *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_folds_on_real_recordings(tmp_path, data_dir, capsys):
    command = ["reproduce", "nmnist", "--recipes", "best", "--folds", "2", "--data-dir", data_dir]
    assert main([*command, *SMALL, "--out", str(tmp_path / "out")]) == 0
    assert "accuracy on 2 folds of 60 training samples" in capsys.readouterr().out
