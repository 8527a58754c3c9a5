"""The published recipes and figures, and the table that sets ours beside them."""

import dataclasses
import math

import pytest

from minisnn.reproduce import comparison
from minisnn.reproduce.comparison import NEURONS, Budget, Comparison, Speed, compare, experiment_of
from minisnn.reproduce.published import PUBLISHED, Published
from minisnn.reproduce.report import curve, table
from minisnn.training.experiment import OPERATIONS
from minisnn.training.recipes import RECIPES, Recipe, published_recipes
from minisnn.training.runs import RunFolder
from minisnn.training.series import How
from tests.helpers import same_dict

SETS = ("yin-yang", "mnist", "fashion-mnist", "nmnist", "shd")


HIDDEN = {
    "v1": {"fashion-mnist": 200, "nmnist": 200, "shd": 200},
    "v2": {"yin-yang": 120, "mnist": 800, "fashion-mnist": 1000, "nmnist": 300, "shd": 300},
}
RULES = {  # gradient, surrogate_scale, readout, learn_decay; schedule; lr, lr of SHD
    "v1": ("gated", 100, "max", False, "constant", 2e-4, 1e-3),
    "v2": ("straight-through", 10, "sum", True, "milestones", 1e-3, 2e-4),
}


def test_the_recipes_of_the_paper():
    assert set(RECIPES) == set(SETS)
    found = {(name, v): r.hidden[0] for name in SETS for v, r in published_recipes(name).items()}
    assert found == {(name, v): n for v, sizes in HIDDEN.items() for name, n in sizes.items()}
    assert set(found) == set(PUBLISHED)
    for name, version in found:
        experiment = experiment_of(name, published_recipes(name)[version], "single-spike", Budget())
        network, training = experiment.network, experiment.training
        *rule, schedule, lr, lr_of_shd = RULES[version]
        assert [network.gradient, network.surrogate_scale, network.readout, network.learn_decay] == rule
        assert network.logit_scale == 1
        assert (training.schedule, training.batch_size) == (schedule, 128)
        assert training.lr == (lr_of_shd if name == "shd" else lr)
        step = 2 if name == "shd" else 1
        assert network.hidden_decay == pytest.approx(math.exp(-step / 10))
        assert network.readout_decay == pytest.approx(math.exp(-step / 20))
        assert network.hidden_gain == (4 if name == "yin-yang" else 1)
        if name in ("nmnist", "shd"):
            assert experiment.data == {"counts": True, "binning": "round"}


def test_both_networks_get_the_same_but_for_the_neuron():
    budget = Budget(seeds=2, epochs=5, train_samples=100, hidden=9)
    neurons, recipe = ("single-spike", "multi-spike"), RECIPES["fashion-mnist"]
    single, multi = (experiment_of("fashion-mnist", recipe, neuron, budget) for neuron in neurons)
    assert (single.network.neuron, multi.network.neuron) == neurons
    assert dataclasses.replace(single.network, neuron="multi-spike") == multi.network
    assert single.network.sizes == (1, 9, 1)
    assert dataclasses.replace(single.training, solver=multi.training.solver) == multi.training
    assert single.training.epochs == 5
    assert single.series == multi.series == {"seeds": 2, "folds": 0}
    assert single.data == multi.data
    assert single.data["train_samples"] == 100


def runs(accuracies, spikes, validation=None):
    common = {"validation_accuracy": validation, "seconds_per_epoch": 1.0, "epochs": [{}] * 7}
    return [{"test_accuracy": a, "spikes_per_sample": s} | common for a, s in zip(accuracies, spikes)]


def outcomes(single, multi):
    return {"single-spike": runs(*single), "multi-spike": runs(*multi)}


COMPARISON = Comparison(
    "fashion-mnist", "v1", Published(81.0, 85.0, 83.0, 3.9), (784, 200, 10), 60000, 10000, 0,
    outcomes(([0.80, 0.82], [10.0, 20.0]), ([0.85, 0.85], [100.0, 50.0])),
    Speed((5.0, 4.0, 9.0), (50.0, 49.0, 60.0), (10.0, 9.0, 12.0)),
)  # fmt: skip


def test_the_table_by_hand():
    lines = table([COMPARISON, Comparison("fashion-mnist", "v2", absent="no files")]).splitlines()
    assert lines[0] == (
        "fashion-mnist, recipe v1: 60000 training samples, 7 epochs, 2 trainings of each network, "
        "accuracy on 10000 test samples"
    )
    assert lines[2].split() == [
        "v1", "784-200-10", "single-spike", "81.00", "+-", "1.41", "81", "15.0", "80.0", "83",
        "5.0", "10.0", "2.0", "3.9",
    ]  # fmt: skip
    assert lines[3].split() == [
        "v1", "784-200-10", "multi-spike", "85.00", "+-", "0.00", "85", "75.0", "50.0", "/", "10.0", "1", "1",
    ]  # fmt: skip
    assert lines[4].split()[:3] == ["v2", "absent", "-"]
    assert lines[-1] == "v2: absent: no files"


def test_the_operations_of_both_networks():
    counted = dict.fromkeys(OPERATIONS, 1000.0) | {"activation_sparsity": 0.75}
    trained = {neuron: [run | counted for run in runs([0.8], [10.0])] for neuron in NEURONS}
    lines = table([dataclasses.replace(COMPARISON, outcomes=trained), COMPARISON]).splitlines()
    (head,) = (k for k, line in enumerate(lines) if "effective ACs" in line)
    for neuron, line, old in zip(NEURONS, lines[head + 1 : head + 3], lines[head + 3 : head + 5]):
        assert line.split() == ["v1", "784-200-10", neuron, *["1000"] * 4, "0.7500", "5.5", "9.2"]
        assert old.split() == ["v1", "784-200-10", neuron, *["-"] * 7]
    assert "Horowitz" in lines[head + 8]
    absent = table([Comparison("fashion-mnist", "v2", absent="no files")])
    assert "effective ACs" not in absent


def test_the_result_as_json():
    values = COMPARISON.to_json()
    assert values["fewer_spikes"] == pytest.approx(0.8)
    assert values["single-spike_test_accuracy_mean"] == pytest.approx(0.81)
    assert values["multi-spike_spikes_per_sample_sd"] == pytest.approx(35.355, rel=1e-4)
    assert "single-spike_validation_accuracy_mean" not in values
    assert (values["speed"]["x_dense"], values["speed"]["x_events"]) == (10, 2)


CURVE = [
    COMPARISON,
    dataclasses.replace(
        COMPARISON, recipe="v1-0.001", spike_penalty=0.001, outcomes=outcomes(([0.8], [6.0]), ([0.86], [0.0]))
    ),
]


def test_the_trade_off_curve_by_hand():
    title, head, *rows = (line.split() for line in curve(CURVE).splitlines())
    assert title[:4] == ["Trade-off", "of", "recipe", "v1,"]
    assert " ".join(head) == "spike penalty network accuracy % points lost spikes/sample fewer %"
    assert rows == [
        ["0", "single-spike", "81.00", "4.00", "15.0", "80.0"],
        ["0", "multi-spike", "85.00", "0.00", "75.0", "0.0"],
        ["0.001", "single-spike", "80.00", "5.00", "6.0", "92.0"],
        ["0.001", "multi-spike", "86.00", "-1.00", "0.0", "100.0"],
    ]
    failed = Comparison("fashion-mnist", "v1-0.003", absent="trainings failed: x", spike_penalty=0.003)
    assert curve([*CURVE, failed]) == f"{curve(CURVE)}\n0.003: absent: trainings failed: x"
    silent = dataclasses.replace(COMPARISON, outcomes=outcomes(([0.8], [0.0]), ([0.8], [0.0])))
    assert "nan" not in curve([silent])
    assert curve([Comparison("mnist", "best", absent="no files")]) == "trade-off curve: absent: no files"


def test_the_trade_off_curve_is_drawn_with_every_penalty_and_silence():
    pytest.importorskip("matplotlib")
    from minisnn.reproduce.pictures import draw_curve

    failed = Comparison("fashion-mnist", "v1-0.003", absent="trainings failed: x", spike_penalty=0.003)
    axes = draw_curve([*CURVE, failed]).axes[0]
    assert [text.get_text() for text in axes.texts] == ["0", "0.001"] * 2
    single = next(line for line in axes.lines if len(line.get_xdata()) == 2)
    assert single.get_xdata().tolist() == [15.0, 6.0]


def test_folds_count_on_the_folds():
    folded = outcomes(([0.5], [1.0], 0.7), ([0.5], [0.0], 0.9))
    folded = dataclasses.replace(COMPARISON, folds=5, outcomes=folded)
    text = table([folded])
    assert "accuracy on 5 folds of 60000 training samples" in text
    assert "70.00" in text
    assert math.isnan(folded.fewer_spikes)
    assert "nan" not in text
    assert folded.to_json()["fewer_spikes"] is None


def test_what_is_timed_is_what_was_trained_and_validation_takes_a_tenth(tmp_path, monkeypatch):
    timed = {}

    class Watched(comparison.StepRunner):
        def __init__(self, way, network, *rest):
            timed[way.neuron, way.product] = network.parameters
            super().__init__(way, network, *rest)

    monkeypatch.setattr(comparison, "StepRunner", Watched)
    recipe = Recipe((5,), training={"epochs": 1}, validation=5000)
    budget = Budget(train_samples=60, test_samples=10)
    done = compare("yin-yang", "best", recipe, budget, tmp_path, How(quiet=True))
    assert len(timed) == 3
    for (neuron, _), parameters in timed.items():
        (outcome,) = done.outcomes[neuron]
        same_dict(parameters, RunFolder.open(outcome["run_dir"]).network().parameters)
        assert outcome["validation_accuracy"] is not None
    assert RunFolder.open(tmp_path / "best-single-spike").config()["split"] == {"validation": 6}
