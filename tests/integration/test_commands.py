"""The command as a user types it: training, evaluating, resuming, and one line for every mistake."""

import json
import re

import numpy as np
import pytest

from minisnn import SpikeEvents, datasets
from minisnn.commands import train as train_command
from minisnn.solvers.compiled import events, threads
from tests.helpers import is_picture, run

DRAW = train_command._draw
SMALL = "train --train-samples 200 --test-samples 50 --epochs 2 --n-steps 20 --hidden 10"

pytestmark = pytest.mark.usefixtures("new_folder")


@pytest.fixture
def read(tmp_path):
    """What a JSON file holds; of metrics, a list of lines."""

    def load(name):
        text = (tmp_path / name).read_text()
        return [json.loads(line) for line in text.splitlines()] if name.endswith("l") else json.loads(text)

    return load


def test_train_and_evaluate(tmp_path, capsys, monkeypatch, read):
    monkeypatch.setattr(train_command, "_draw", DRAW)
    assert run(f"{SMALL} --out run --json result.json") == 0
    printed = capsys.readouterr().out
    assert len(re.findall(r"^epoch ", printed, re.M)) == 2
    header = "training +epoch +validation +test +spikes/sample +silent +always +s/epoch"
    assert re.search(rf"^{header}$", printed, re.M)
    assert re.search(r"^run +2 +- +\d+\.\d\d ", printed, re.M)
    assert "yin-yang: test accuracy" in printed
    result = read("result.json")
    assert list(result) == [
        "dataset", "neuron", "solver", "seed", "n_parameters", "epochs", "chosen_epoch", "validation_accuracy",
        "test_accuracy", "spikes_per_sample", "silent_neurons", "always_firing", "seconds_per_epoch", "run_dir",
    ]  # fmt: skip
    keys = "epoch train_loss train_accuracy validation_accuracy test_accuracy spikes_per_sample seconds"
    assert [" ".join(epoch) for epoch in result["epochs"]] == [keys] * 2
    assert (result["chosen_epoch"], result["validation_accuracy"]) == (2, None)
    assert result["test_accuracy"] == result["epochs"][-1]["test_accuracy"]
    assert result["n_parameters"] == 4 * 10 + 20 + 30 + 6
    assert result["solver"] == "numba-parallel"
    files = {path.name for path in (tmp_path / "run").iterdir()}
    pictures = {"learning_curves.png", "activity.png", "decision_regions.png"}
    assert {"config.json", "metrics.jsonl", "checkpoint.npz"} | pictures <= files
    assert all(is_picture(tmp_path / "run" / name) for name in files if name.endswith("png"))
    assert [line["epoch"] for line in read("run/metrics.jsonl")] == [1, 2]

    assert run("evaluate run --json evaluated.json") == 0
    evaluated = read("evaluated.json")
    assert evaluated["accuracy"] == result["test_accuracy"]
    assert evaluated["spikes_per_sample"] == result["spikes_per_sample"]
    for solver in ("numpy-parallel", "numpy-sequential", "numba-sequential"):
        assert run(f"evaluate run --solver {solver} --json other.json") == 0
        assert abs(read("other.json")["accuracy"] - result["test_accuracy"]) <= 0.02


def test_options_reach_the_run(tmp_path, monkeypatch, read):
    from minisnn.training import experiment

    def in_force():
        return events.get_product(), threads.get_threads()

    before, used, train = in_force(), [], experiment.train
    monkeypatch.setattr(experiment, "train", lambda *a, **o: used.append(in_force()) or train(*a, **o))
    options = (
        "--neuron multi-spike --solver numba-sequential --product events --threads 3 --batch-size 50 --lr 0.01 "
        "--schedule constant --surrogate-scale 7 --readout max --logit-scale 2 --no-learn-decay --dtype float64 "
        "--seed 5 --weight-decay 0.1 --detach-reset --spike-penalty 1e-3 --quiet --hidden 8 6 --out run"
    )
    assert run(f"{SMALL} {options}") == 0
    config = read("run/config.json")
    assert config["network"].items() >= {
        "sizes": [4, 8, 6, 3], "neuron": "multi-spike", "surrogate_scale": 7, "readout": "max", "logit_scale": 2,
        "learn_decay": False, "dtype": "float64", "detach_reset": True, "spike_penalty": 0.001,
    }.items()  # fmt: skip
    assert config["training"].items() >= {
        "batch_size": 50, "lr": 0.01, "schedule": "constant", "seed": 5, "weight_decay": 0.1, "epochs": 2,
    }.items()  # fmt: skip
    with np.load(tmp_path / "run" / "checkpoint.npz") as checkpoint:
        assert checkpoint["parameters/hidden1.decay"].shape == ()
        assert not any(name.endswith("decay") for name in checkpoint.files if name.startswith("adam"))
    assert used == [("events", 3)]
    assert in_force() == before


def test_milestones_and_validation_reach_the_run(read):
    options = (
        "--schedule milestones --milestones 0.25 0.8 --validation 40 --epochs 4 --json result.json --quiet"
    )
    assert run(f"{SMALL} {options} --out run") == 0
    config, result, lines = read("run/config.json"), read("result.json"), read("run/metrics.jsonl")
    assert config["training"]["milestones"] == [0.25, 0.8]
    assert config["split"] == {"validation": 40}
    rates = [line["learning_rate"] / lines[0]["learning_rate"] for line in lines]
    assert rates == pytest.approx([1, 0.1, 0.1, 0.01])
    best = max(lines, key=lambda line: line["validation_accuracy"])
    assert result["chosen_epoch"] == best["epoch"]
    for key in ("validation_accuracy", "test_accuracy", "spikes_per_sample"):
        assert result[key] == best[key]
    assert run("evaluate run --json evaluated.json") == 0
    evaluated = read("evaluated.json")
    assert (evaluated["epoch"], evaluated["accuracy"]) == (best["epoch"], result["test_accuracy"])


def test_data_options_reach_the_loader(monkeypatch):
    asked = []

    def load(name, data_dir=None, **options):
        asked.append(options)
        return datasets.load_dataset("yin-yang", n_steps=20, train_samples=100, test_samples=20)

    monkeypatch.setattr("minisnn.training.experiment.load_dataset", load)
    options = (
        "--augment flip shift --dt 2 --polarities kept --counts --binning round --download --encoding sparse "
        "--n-steps 20 --hidden 7 --epochs 1 --out run --quiet"
    )
    for command in (f"train {options}", "train --resume run --quiet", "evaluate run"):
        assert run(command) == 0
    expected = {
        "augment": ["flip", "shift"], "dt": 2.0, "polarities": "kept", "counts": True, "binning": "round",
        "download": True, "encoding": "sparse", "n_steps": 20,
    }  # fmt: skip
    assert asked == [expected] * 3


def test_layers_that_say_nothing_are_warned_about(capsys, read):
    """A small layer too, in which a tenth of all neurons would never be reached."""
    options = "--hidden 30 3 --lr 1e-9 --epochs 1 --validation 20 --out run --quiet"
    assert run(f"{SMALL} {options}") == 0
    warnings = capsys.readouterr().err.splitlines()
    (line,) = read("run/metrics.jsonl")
    assert warnings == [
        f"minisnn: warning: {count} of {size} neurons of hidden{k} {what}"
        for key, what in (("silent", "never fire"), ("always_firing", "fire for every sample"))
        for k, (size, count) in enumerate(zip((30, 3), line[f"{key}_per_layer"]), start=1)
        if count > size / 10
    ]
    assert any("of 3 neurons of hidden2" in warning for warning in warnings)


def test_the_network_fits_what_was_loaded(monkeypatch, read):
    """However many inputs the options leave a data set with, polarities kept apart for one."""
    narrow = datasets.load_dataset("yin-yang", n_steps=20, train_samples=100, test_samples=20).train
    spikes = SpikeEvents(narrow.spikes.indptr, narrow.spikes.indices, 20, n_neurons=9)
    wide = datasets.EventSamples(spikes, narrow.labels)
    data = datasets.Dataset("own", wide, wide, 9, 3, 20)
    monkeypatch.setattr("minisnn.training.experiment.load_dataset", lambda *args, **options: data)
    assert run("train --hidden 7 6 --epochs 1 --out run --quiet") == 0
    assert read("run/config.json")["network"]["sizes"] == [9, 7, 6, 3]


MISTAKES = [
    ("train fashion-mnst", "unknown data set 'fashion-mnst' (did you mean 'fashion-mnist'?)"),
    ("train mnist", "no folder for mnist: give --data-dir DIR or set MINISNN_DATA, and put train-images"),
    ("train mnist --data-dir nowhere", "no mnist files in nowhere: put train-images-idx3-ubyte"),
    ("train --solver numba-paralel", "unknown solver 'numba-paralel' (did you mean 'numba-parallel'?)"),
    ("train --neuron multi-spike --solver numpy-parallel", "does not compute multi-spike layers"),
    ("train --gradient gates", "unknown gradient 'gates' (did you mean 'gated'?)"),
    ("train --readout mean", "unknown readout 'mean'"),
    ("train --schedule cos", "unknown schedule 'cos'"),
    ("train --epochs 0", "epochs must be a whole number >= 1, got 0"),
    ("train --lr -1", "lr must be a finite number > 0"),
    ("train --spike-penalty -1", "spike_penalty must be a finite number >= 0"),
    ("train --spike-penalty inf", "spike_penalty must be a finite number >= 0"),
    ("train --spike-penalty few", "invalid float value: 'few'"),
    ("train --hidden 0", "sizes must be at least (inputs, hidden, classes)"),
    ("train --n-steps 0", "n_steps must be a whole number >= 1, got 0"),
    ("train --train-samples 0", "train_samples must lie in 1 ... 20000, got 0"),
    ("train --train-samples 99 --validation 99", "must number 1 ... 98 of the 99 for training, got 99"),
    ("train --train-samples 99 --validation -1", "must number 1 ... 98 of the 99 for training, got -1"),
    ("train --folds 1", "--folds must be a whole number >= 2, got 1"),
    ("train --train-samples 99 --folds 50", "folds must number at least 2 and at most"),
    ("train --folds 2 --validation 9", "--folds validates every training on its fold"),
    ("train --seeds 0", "--seeds must be a whole number >= 1, got 0"),
    ("train --milestones 0.5", "--milestones is for --schedule milestones, got cosine"),
    ("train --schedule milestones --milestones 0.5 0.5", "must be rising shares between 0 and 1"),
    ("train --schedule milestones --milestones 1", "must be rising shares between 0 and 1"),
    ("train --augment flip", "augment has no meaning for yin-yang"),
    ("train --threads 0", "threads must be a whole number >= 1, got 0"),
    ("train --solver numpy-parallel --threads 2", "has no threads to set"),
    ("train --solver numpy-parallel --product events", "--product is for the compiled solvers"),
    ("train --epochs many", "invalid int value: 'many'"),
    ("train --resume nowhere", "nowhere is no run folder: it has no config.json"),
    ("evaluate nowhere", "nowhere is no run folder"),
    ("evaluate", "required: run_dir"),
    ("tarin", "invalid choice: 'tarin'"),
    ("", "COMMAND"),
    ("reproduce mnits", "unknown data set 'mnits' (did you mean 'mnist'?)"),
    ("reproduce yin-yang --recipes v1", "unknown recipe for yin-yang 'v1'"),
    ("reproduce yin-yang --seeds 0", "--seeds must be a whole number >= 1, got 0"),
    ("reproduce yin-yang --folds 1", "--folds must be a whole number >= 2, got 1"),
    ("bench step --threads 0", "--threads must be a whole number >= 1, got 0"),
    ("bench step --repeats 0", "--repeats must be"),
    ("bench step --workload shdd", "did you mean 'shd'"),
    ("bench step --solver numba-paralel", "did you mean 'numba-parallel'"),
    ("bench grid --n-steps 0", "--n-steps must be"),
]


@pytest.mark.parametrize(("command", "message"), MISTAKES, ids=lambda value: value[:40])
def test_one_line_for_every_mistake(command, message, capsys, monkeypatch):
    monkeypatch.delenv("MINISNN_DATA", raising=False)
    assert run(command) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1, error


def test_a_run_goes_on_as_it_began(capsys):
    assert run(f"{SMALL} --out run --quiet") == 0
    assert run("train --resume run --epochs 5 --no-learn-decay") == 2
    message = "--resume goes on with the run as it is; it takes no --learn-decay, --epochs"
    assert message in capsys.readouterr().err


def test_doctor(capsys, read):
    assert run("doctor --json doctor.json") == 0
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
    assert set(read("doctor.json")) == {"versions", "solvers", "data"}


def test_check_and_vectors(tmp_path):
    (tmp_path / "port.py").write_text(
        "import minisnn\n"
        "def forward(spikes, weight, bias, decay, threshold):\n"
        "    trace = minisnn.single_spike_forward(spikes, weight, bias, decay, threshold=threshold)\n"
        "    return trace.spikes, trace.membrane\n"
        "def wrong(*arguments):\n"
        "    spikes, membrane = forward(*arguments)\n"
        "    return membrane >= arguments[-1], membrane\n"
    )
    assert run("check port.py:forward --examples 5") == 0
    assert run("check port.py:wrong --examples 5") == 1
    assert run("check port.py:nothing") == 2
    assert run("vectors --check") == 0
