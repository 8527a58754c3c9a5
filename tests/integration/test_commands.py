"""The command as a user types it: training, evaluating, resuming, and one line for every mistake."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from minisnn import SpikeEvents, datasets
from minisnn.commands import options
from minisnn.commands.doctor import PACKAGES
from minisnn.commands.main import _parser
from minisnn.commands.options import text_of
from minisnn.commands.recipes import recipes_of, values_of
from minisnn.commands.train import experiment_of
from minisnn.datasets.loading import options_of
from minisnn.solvers.compiled import events, threads
from minisnn.training.experiment import ALWAYS, SILENT
from minisnn.training.recipes import recipe_of
from tests.helpers import is_picture, run

DRAW = options.draw
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
    monkeypatch.setattr(options, "draw", DRAW)
    assert run(f"{SMALL} --out run --json result.json") == 0
    printed = capsys.readouterr().out
    assert len(re.findall(r"^epoch ", printed, re.M)) == 2
    header = "training +epoch +validation +test +spikes/sample +silent +always +s/epoch"
    assert re.search(rf"^{header}$", printed, re.M)
    assert re.search(r"^run +2 +- +\d+\.\d\d ", printed, re.M)
    assert "yin-yang: test accuracy" in printed
    result = read("result.json")
    assert list(result) == [
        "dataset", "neuron", "solver", "seed", "n_parameters", "spike_penalty", "epochs", "chosen_epoch",
        "validation_accuracy", "test_accuracy", "spikes_per_sample", "silent_neurons", "always_firing",
        "input_events", "effective_acs", "membrane_updates", "dense", "activation_sparsity", "seconds_per_epoch",
        "run_dir",
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

    assert run("evaluate run --energy --json evaluated.json") == 0
    evaluated = read("evaluated.json")
    assert evaluated["accuracy"] == result["test_accuracy"]
    for key in ("spikes_per_sample", "input_events", "effective_acs", "membrane_updates", "dense"):
        assert evaluated[key] == result[key]
    assert (evaluated["membrane_updates"], evaluated["dense"]) == (20 * 13, 20 * (4 * 10 + 10 * 3))
    assert evaluated["effective_acs"] == pytest.approx(4 * 10 + 3 * result["spikes_per_sample"])
    assert evaluated["footprint"] == 4 * result["n_parameters"]
    assert 0 < evaluated["nanojoules"] < evaluated["nanojoules_dense"]
    printed = capsys.readouterr().out
    assert re.search(r"^all( +[\d.]+){3} +260 +1400 +[\d.]+ +[\d.]+$", printed, re.M)
    assert "(Horowitz, ISSCC 2014); moving weights and potentials" in printed
    assert run("evaluate run --solver numpy-sequential --json other.json") == 0
    assert read("other.json")["solver"] == "numpy-sequential"
    assert read("other.json")["accuracy"] == pytest.approx(result["test_accuracy"], abs=0.02)


def test_options_reach_the_run(tmp_path, monkeypatch, read):
    from minisnn.training import series

    def in_force():
        return events.get_product(), threads.get_threads()

    before, used, train = in_force(), [], series.train
    monkeypatch.setattr(series, "train", lambda *a, **o: used.append(in_force()) or train(*a, **o))
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
        f"minisnn: {what[0]}: {count} of {size} neurons of hidden{k} {what[1]}"
        for key, what in (("silent", ("warning", SILENT)), ("always_firing", ("note", ALWAYS)))
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
    ("train fashion-mnst --help", "unknown data set 'fashion-mnst' (did you mean 'fashion-mnist'?)"),
    ("recipes fashion-mnst", "unknown data set 'fashion-mnst' (did you mean 'fashion-mnist'?)"),
    ("train mnist", "no folder for mnist: give --data-dir DIR or set MINISNN_DATA, and put train-images"),
    ("train mnist --data-dir nowhere", "no mnist files in nowhere: put train-images-idx3-ubyte"),
    ("train --solver numba-paralel", "unknown solver 'numba-paralel' (did you mean 'numba-parallel'?)"),
    ("train --neuron multi-spike --solver numpy-parallel", "does not compute multi-spike layers"),
    ("train --gradient gates", "unknown gradient 'gates' (did you mean 'gated'?)"),
    ("train --epochs 0", "epochs must be a whole number >= 1, got 0"),
    ("train --hidden 0", "sizes must be at least (inputs, hidden, classes)"),
    (
        "train --hidden 3000000000",
        "sizes must be at least (inputs, hidden, classes), whole numbers from 1 to",
    ),
    ("train --train-samples 0", "train_samples must lie in 1 ... 20000, got 0"),
    (
        "train --train-samples 99 --validation 99",
        "must number 1 ... 98 of the 99 for training, got 99",
    ),
    (
        "train --train-samples 99 --validation -1",
        "--validation must be a whole number >= 0, got -1",
    ),
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
    ("bench scaling --batch 0", "--batch must be a whole number >= 1, got 0"),
    ("bench scaling --simulate --neurons -1", "--neurons must be a whole number >= 1, got -1"),
    ("bench scaling --simulate --threads 2", "--simulate measures on one thread: leave --threads out"),
    ("bench scaling --simulate --solver numpy-parallel", "--simulate is for solvers with threads, got"),
    ("bench step --repeats 0", "--repeats must be"),
    ("bench step --workload shdd", "did you mean 'shd'"),
    ("bench step --solver numba-paralel", "did you mean 'numba-parallel'"),
    ("bench grid --n-steps 0", "--n-steps must be"),
]


@pytest.mark.parametrize(("command", "message"), MISTAKES, ids=lambda value: value[:40])
def test_one_line_for_every_mistake(command, message, refused, monkeypatch):
    monkeypatch.delenv("MINISNN_DATA", raising=False)
    refused(command, message)


def test_a_run_goes_on_as_it_began(refused):
    assert run(f"{SMALL} --epochs 1 --out run --quiet") == 0
    message = "--resume goes on with the run as it is; it takes no --learn-decay, --epochs"
    refused("train --resume run --epochs 5 --no-learn-decay", message)


@pytest.mark.parametrize(
    "words", ["fashion-mnist --help", "-h fashion-mnist --epochs 3", "nmnist -h", "--help"]
)
def test_help_names_the_choices_and_the_defaults_of_the_data_set(words, capsys):
    name = next((name for name in datasets.NAMES if name in words.split()), "yin-yang")
    assert run(f"train {words}") == 0
    text = " ".join(capsys.readouterr().out.partition("positional arguments")[2].split())
    text = re.sub(r", --no-[a-z-]+", "", text)
    options = dict(re.findall(r"(--[a-z-]+)(.*?)(?=--[a-z]|$)", text))
    for option, value in values_of(name, recipe_of(name)).items():
        if value not in (False, (), []):
            assert f"(default {text_of(value)})" in options["--" + option.replace("_", "-")], option
    assert "{cosine,constant,milestones}" in options["--schedule"]
    assert "{numba-parallel,numba-sequential," in options["--solver"]


def _typed(values):
    """Every value as an option, but switches that are off."""
    for name, value in values.items():
        if value is not False:
            yield "--" + name.replace("_", "-")
            yield from (
                [] if value is True else map(str, value if isinstance(value, (list, tuple)) else [value])
            )


@pytest.mark.parametrize("name", datasets.NAMES)
def test_a_recipe_typed_out_is_the_default(name, capsys, read):
    assert run(f"recipes {name} --json recipes.json") == 0
    header, *rows = capsys.readouterr().out.splitlines()
    shown = read("recipes.json")
    assert header.split() == ["option", *recipes_of(name)] == ["option", *shown]
    best = shown["best"]
    assert {f"--{option.replace('_', '-')}" for option in best} <= {row.split()[0] for row in rows}

    def parsed(*words):
        experiment = experiment_of(_parser().parse_args(["train", name, *words]))
        data = options_of(name) | experiment.data
        return experiment.training, experiment.network, {key: value or None for key, value in data.items()}

    assert parsed(*_typed(best)) == parsed()


def test_recipes_of_all_data_sets(capsys, read):
    assert run("recipes --json recipes.json") == 0
    header, *rows = (re.split(r"  +", line) for line in capsys.readouterr().out.splitlines())
    shown = read("recipes.json")
    assert header == ["option", *shown] == ["option", *datasets.NAMES, "own"]
    for option, *cells in rows:
        values = [shown[name].get(option[2:].replace("-", "_")) for name in shown]
        assert cells == ["-" if value is None else text_of(value) for value in values]
    assert {"--hidden", "--encoding", "--dt", "--lr"} <= {option for option, *_ in rows}
    assert not {"encoding", "dt"} & set(shown["yin-yang"])


def test_doctor(capsys, read):
    assert run("doctor --json doctor.json") == 0
    printed = capsys.readouterr().out
    for word in (
        "minisnn", "numpy", "numba-parallel", "usable for single-spike", "yin-yang", "fashion-mnist", "processor",
        "of them for this process", f"{threads.get_threads()} in the compiled solvers",
    ):  # fmt: skip
        assert word in printed
    assert re.search(r"^blas +\w+ [\d.]+ \(.*\), threads: \d+, /", printed, re.M)
    result = read("doctor.json")
    assert set(result) == {"versions", "machine", "solvers", "compiled", "data"}
    assert set(result["machine"]) == {"processor", "cores", "threads", "blas"}


def test_doctor_looks_for_a_package_of_every_extra_of_a_user():
    text = (Path(__file__).parents[2] / "pyproject.toml").read_text()
    text = text.partition("[project.optional-dependencies]")[2].partition("\n[")[0]
    extras = dict(re.findall(r"^([a-z]+) = \[(\".*)\]$", text, re.M))
    for package, extra in PACKAGES.items():
        assert not extra or f'"{package}>=' in extras[extra], package
    assert set(extras) - {"dev", "docs", "browser"} == set(PACKAGES.values()) - {""}


def test_doctor_says_what_brings_a_missing_package(capsys, monkeypatch):
    from importlib import metadata

    version = metadata.version

    def without(name):
        if name == "matplotlib":
            raise metadata.PackageNotFoundError
        return version(name)

    monkeypatch.setattr(metadata, "version", without)
    assert run("doctor") == 0
    line = r"^matplotlib +not installed: pip install '\.\[plot\]' in a clone of minisnn$"
    assert re.search(line, capsys.readouterr().out, re.M)
