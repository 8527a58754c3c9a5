"""The command as a user types it: training, evaluating, resuming, and one line for every mistake."""

import dataclasses
import json
import re

import numpy as np
import pytest

from minisnn import SpikeEvents, datasets
from minisnn.commands import train as train_command
from minisnn.commands.main import main

DRAW = train_command._draw

SMALL = [
    "--train-samples",
    "200",
    "--test-samples",
    "50",
    "--epochs",
    "2",
    "--n-steps",
    "20",
    "--hidden",
    "10",
]


@pytest.fixture(autouse=True)
def in_a_new_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(train_command, "_draw", lambda *_: None)  # pictures take most of the time


def test_train_and_evaluate(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(train_command, "_draw", DRAW)
    assert main(["train", *SMALL, "--out", "run", "--json", "result.json"]) == 0
    printed = capsys.readouterr().out
    assert printed.count("\nepoch ") + printed.startswith("epoch ") == 2
    assert re.search(
        r"^training +epoch +validation +test +spikes/sample +silent +always +s/epoch$", printed, re.M
    )
    assert re.search(r"^run +2 +- +\d+\.\d\d ", printed, re.M)
    assert "yin-yang: test accuracy" in printed
    result = json.loads((tmp_path / "result.json").read_text())
    assert list(result) == [
        "dataset", "neuron", "solver", "seed", "n_parameters", "epochs", "chosen_epoch", "validation_accuracy",
        "test_accuracy", "spikes_per_sample", "silent_neurons", "always_firing", "seconds_per_epoch", "run_dir",
    ]  # fmt: skip
    assert [list(epoch) for epoch in result["epochs"]] == 2 * [
        [
            "epoch", "train_loss", "train_accuracy", "validation_accuracy", "test_accuracy", "spikes_per_sample",
            "seconds",
        ]
    ]  # fmt: skip
    assert (result["chosen_epoch"], result["validation_accuracy"]) == (2, None)
    assert result["test_accuracy"] == result["epochs"][-1]["test_accuracy"]
    assert result["n_parameters"] == 4 * 10 + 20 + 30 + 6
    assert result["solver"] == "numba-parallel"
    files = {path.name for path in (tmp_path / "run").iterdir()}
    assert {"config.json", "metrics.jsonl", "checkpoint.npz"} <= files
    assert {"learning_curves.png", "activity.png", "decision_regions.png"} <= files
    assert all((tmp_path / "run" / f).read_bytes()[:4] == b"\x89PNG" for f in files if f.endswith("png"))
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [1, 2]

    assert main(["evaluate", "run", "--json", "evaluated.json"]) == 0
    evaluated = json.loads((tmp_path / "evaluated.json").read_text())
    assert evaluated["accuracy"] == result["test_accuracy"]
    assert evaluated["spikes_per_sample"] == result["spikes_per_sample"]
    for solver in ("numpy-parallel", "numpy-sequential", "numba-sequential"):
        assert main(["evaluate", "run", "--solver", solver, "--json", "other.json"]) == 0
        other = json.loads((tmp_path / "other.json").read_text())
        assert abs(other["accuracy"] - result["test_accuracy"]) <= 0.02


def test_options_reach_the_run(tmp_path, monkeypatch):
    from minisnn.solvers.compiled import events as event_products
    from minisnn.solvers.compiled import threads
    from minisnn.training import experiment

    before, used, train = (event_products.get_product(), threads.get_threads()), [], experiment.train

    def watched(*arguments, **options):
        used.append((event_products.get_product(), threads.get_threads()))
        return train(*arguments, **options)

    monkeypatch.setattr(experiment, "train", watched)
    options = (
        "--neuron multi-spike --solver numba-sequential --product events --threads 3 --batch-size 50 --lr 0.01 "
        "--schedule constant --surrogate-scale 7 --readout max --logit-scale 2 --no-learn-decay --dtype float64 "
        "--seed 5 --weight-decay 0.1 --detach-reset --quiet"
    )
    assert main(["train", *SMALL, *options.split(), "--hidden", "8", "6", "--out", "run"]) == 0
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["network"]["sizes"] == [4, 8, 6, 3]
    expected = {
        "neuron": "multi-spike", "surrogate_scale": 7, "readout": "max", "logit_scale": 2, "learn_decay": False,
        "dtype": "float64", "detach_reset": True,
    }  # fmt: skip
    assert {key: config["network"][key] for key in expected} == expected
    expected = {
        "batch_size": 50,
        "lr": 0.01,
        "schedule": "constant",
        "seed": 5,
        "weight_decay": 0.1,
        "epochs": 2,
    }
    assert {key: config["training"][key] for key in expected} == expected
    with np.load(tmp_path / "run" / "checkpoint.npz") as checkpoint:
        assert checkpoint["parameters/hidden1.decay"].shape == ()
        assert not any(name.endswith("decay") for name in checkpoint.files if name.startswith("adam"))
    assert used == [("events", 3)]
    assert (event_products.get_product(), threads.get_threads()) == before


def test_milestones_and_validation_reach_the_run(tmp_path):
    options = (
        "--schedule milestones --milestones 0.25 0.8 --validation 40 --epochs 4 --json result.json --quiet"
    )
    assert main(["train", *SMALL, *options.split(), "--out", "run"]) == 0
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["training"]["milestones"] == [0.25, 0.8]
    assert config["split"] == {"validation": 40}
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [line["learning_rate"] / lines[0]["learning_rate"] for line in lines] == pytest.approx(
        [1, 0.1, 0.1, 0.01]
    )
    result = json.loads((tmp_path / "result.json").read_text())
    accuracies = [line["validation_accuracy"] for line in lines]
    best = accuracies.index(max(accuracies))
    assert result["chosen_epoch"] == best + 1
    assert result["validation_accuracy"] == accuracies[best]
    assert result["test_accuracy"] == lines[best]["test_accuracy"]
    assert result["spikes_per_sample"] == lines[best]["spikes_per_sample"]
    assert main(["evaluate", "run", "--json", "evaluated.json"]) == 0
    evaluated = json.loads((tmp_path / "evaluated.json").read_text())
    assert (evaluated["epoch"], evaluated["accuracy"]) == (best + 1, result["test_accuracy"])


def test_data_options_reach_the_loader(tmp_path, monkeypatch):
    asked = []

    def load(name, data_dir=None, **options):
        asked.append(options)
        return datasets.load_dataset("yin-yang", n_steps=20, train_samples=100, test_samples=20)

    monkeypatch.setattr("minisnn.training.experiment.load_dataset", load)
    options = (
        "--augment flip shift --dt 2 --polarities kept --counts --binning round --download --encoding sparse "
        "--n-steps 20 --hidden 7 --epochs 1 --out run --quiet"
    )
    assert main(["train", *options.split()]) == 0
    assert main(["train", "--resume", "run", "--quiet"]) == 0
    assert main(["evaluate", "run"]) == 0
    expected = {
        "augment": ["flip", "shift"], "dt": 2.0, "polarities": "kept", "counts": True, "binning": "round",
        "download": True, "encoding": "sparse", "n_steps": 20,
    }  # fmt: skip
    assert asked == [expected] * 3


def test_layers_that_say_nothing_are_warned_about(tmp_path, capsys):
    """A small layer too, in which a tenth of all neurons would never be reached."""
    options = "--hidden 30 3 --lr 1e-9 --epochs 1 --validation 20 --out run --quiet"
    assert main(["train", *SMALL, *options.split()]) == 0
    warnings = capsys.readouterr().err.splitlines()
    line = json.loads((tmp_path / "run" / "metrics.jsonl").read_text())
    expected = [
        f"minisnn: warning: {count} of {size} neurons of hidden{k} {what}"
        for key, what in (("silent", "never fire"), ("always_firing", "fire for every sample"))
        for k, (size, count) in enumerate(zip((30, 3), line[f"{key}_per_layer"]), start=1)
        if count > size / 10
    ]
    assert warnings == expected
    assert any("of 3 neurons of hidden2" in warning for warning in warnings)


def test_the_network_fits_what_was_loaded(tmp_path, monkeypatch):
    """However many inputs the options leave a data set with, polarities kept apart for one."""
    whole = datasets.load_dataset("yin-yang", n_steps=20, train_samples=100, test_samples=20)
    wide = {}
    for part in ("train", "test"):
        spikes = getattr(whole, part).spikes
        spikes = SpikeEvents(spikes.indptr, spikes.indices, spikes.n_steps, n_neurons=9)
        wide[part] = datasets.EventSamples(spikes, getattr(whole, part).labels)
    data = dataclasses.replace(whole, name="own", **wide, n_inputs=9)
    monkeypatch.setattr("minisnn.training.experiment.load_dataset", lambda *args, **options: data)
    assert main(["train", "--hidden", "7", "6", "--epochs", "1", "--out", "run", "--quiet"]) == 0
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["network"]["sizes"] == [9, 7, 6, 3]


def test_two_runs_of_one_seed_write_the_same_bytes(tmp_path):
    for name, threads in (("one", "1"), ("two", "4")):
        assert main(["train", *SMALL, "--out", name, "--threads", threads, "--quiet"]) == 0
    one, two = ((tmp_path / name / "checkpoint.npz").read_bytes() for name in ("one", "two"))
    assert one == two


MISTAKES = [
    (["train", "fashion-mnst"], "unknown data set 'fashion-mnst' (did you mean 'fashion-mnist'?)"),
    (
        ["train", "mnist"],
        "no folder for mnist: give --data-dir DIR or set MINISNN_DATA, and put train-images",
    ),
    (["train", "mnist", "--data-dir", "nowhere"], "no mnist files in nowhere: put train-images-idx3-ubyte"),
    (
        ["train", "--solver", "numba-paralel"],
        "unknown solver 'numba-paralel' (did you mean 'numba-parallel'?)",
    ),
    (
        ["train", "--neuron", "multi-spike", "--solver", "numpy-parallel"],
        "does not compute multi-spike layers",
    ),
    (["train", "--gradient", "gates"], "unknown gradient 'gates' (did you mean 'gated'?)"),
    (["train", "--readout", "mean"], "unknown readout 'mean'"),
    (["train", "--schedule", "cos"], "unknown schedule 'cos'"),
    (["train", "--epochs", "0"], "epochs must be a whole number >= 1, got 0"),
    (["train", "--lr", "-1"], "lr must be a finite number > 0"),
    (["train", "--hidden", "0"], "sizes must be at least (inputs, hidden, classes)"),
    (["train", "--n-steps", "0"], "n_steps must be a whole number >= 1, got 0"),
    (["train", "--train-samples", "0"], "train_samples must lie in 1 ... 20000, got 0"),
    (
        ["train", "--train-samples", "99", "--validation", "99"],
        "must number 1 ... 98 of the 99 for training, got 99",
    ),
    (
        ["train", "--train-samples", "99", "--validation", "-1"],
        "must number 1 ... 98 of the 99 for training, got -1",
    ),
    (["train", "--folds", "1"], "--folds must be a whole number >= 2, got 1"),
    (["train", "--train-samples", "99", "--folds", "50"], "folds must number at least 2 and at most"),
    (["train", "--folds", "2", "--validation", "9"], "--folds validates every training on its fold"),
    (["train", "--seeds", "0"], "--seeds must be a whole number >= 1, got 0"),
    (["train", "--milestones", "0.5"], "--milestones is for --schedule milestones, got cosine"),
    (
        ["train", "--schedule", "milestones", "--milestones", "0.5", "0.5"],
        "must be rising shares between 0 and 1",
    ),
    (["train", "--schedule", "milestones", "--milestones", "1"], "must be rising shares between 0 and 1"),
    (["train", "--augment", "flip"], "augment has no meaning for yin-yang"),
    (["train", "--threads", "0"], "threads must be a whole number >= 1, got 0"),
    (["train", "--solver", "numpy-parallel", "--threads", "2"], "has no threads to set"),
    (["train", "--solver", "numpy-parallel", "--product", "events"], "--product is for the compiled solvers"),
    (["train", "--epochs", "many"], "invalid int value: 'many'"),
    (["train", "--resume", "nowhere"], "nowhere is no run folder: it has no config.json"),
    (["evaluate", "nowhere"], "nowhere is no run folder"),
    (["evaluate"], "required: run_dir"),
    (["tarin"], "invalid choice: 'tarin'"),
    ([], "COMMAND"),
]


@pytest.mark.parametrize(
    ("arguments", "message"), MISTAKES, ids=lambda value: " ".join(value)[:40] if value else "-"
)
def test_one_line_for_every_mistake(arguments, message, capsys, monkeypatch):
    monkeypatch.delenv("MINISNN_DATA", raising=False)
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1, error


def test_a_run_is_not_written_over(capsys):
    assert main(["train", *SMALL, "--out", "run", "--quiet"]) == 0
    assert main(["train", *SMALL, "--out", "run", "--quiet"]) == 2
    assert "run exists already: give --out a new folder, or --resume run to go on" in capsys.readouterr().err


def test_a_run_goes_on_as_it_began(capsys):
    assert main(["train", *SMALL, "--out", "run", "--quiet"]) == 0
    assert main(["train", "--resume", "run", "--epochs", "5", "--no-learn-decay"]) == 2
    assert (
        "--resume goes on with the run as it is; it takes no --learn-decay, --epochs"
        in capsys.readouterr().err
    )


def test_an_unwritable_folder(tmp_path, capsys):
    (tmp_path / "file").write_text("not a folder")
    assert main(["train", *SMALL, "--out", "file/run", "--quiet"]) == 2
    assert capsys.readouterr().err == "minisnn: error: file/run: Not a directory\n"


def test_doctor(capsys, tmp_path):
    assert main(["doctor", "--json", "doctor.json"]) == 0
    printed = capsys.readouterr().out
    for word in (
        "minisnn",
        "numpy",
        "numba-parallel",
        "usable for single-spike",
        "yin-yang",
        "fashion-mnist",
    ):
        assert word in printed
    report = json.loads((tmp_path / "doctor.json").read_text())
    assert set(report) == {"versions", "solvers", "data"}


def test_check_and_vectors(capsys, tmp_path):
    (tmp_path / "port.py").write_text(
        "import minisnn\n"
        "def forward(spikes, weight, bias, decay, threshold):\n"
        "    trace = minisnn.single_spike_forward(spikes, weight, bias, decay, threshold=threshold)\n"
        "    return trace.spikes, trace.membrane\n"
        "def wrong(spikes, weight, bias, decay, threshold):\n"
        "    trace = minisnn.single_spike_forward(spikes, weight, bias, decay, threshold=threshold)\n"
        "    return trace.membrane >= threshold, trace.membrane\n"
    )
    assert main(["check", "port.py:forward", "--examples", "5"]) == 0
    assert main(["check", "port.py:wrong", "--examples", "5"]) == 1
    assert main(["check", "port.py:nothing"]) == 2
    assert main(["vectors", "--check"]) == 0
    capsys.readouterr()
