"""The published recipes and figures, and the table that sets ours beside them."""

import dataclasses
import math

import numpy as np
import pytest

from minisnn.reproduce import comparison
from minisnn.reproduce.comparison import Budget, Comparison, Speed, compare, experiment_of
from minisnn.reproduce.published import PUBLISHED, Published
from minisnn.reproduce.report import table
from minisnn.training.recipes import RECIPES, Recipe, published_recipes
from minisnn.training.runs import RunFolder

SETS = ("yin-yang", "mnist", "fashion-mnist", "nmnist", "shd")


def test_the_recipes_of_the_paper():
    hidden = {(name, v): r.hidden[0] for name in SETS for v, r in published_recipes(name).items()}
    assert hidden == {
        ("fashion-mnist", "v1"): 200,
        ("nmnist", "v1"): 200,
        ("shd", "v1"): 200,
        ("yin-yang", "v2"): 120,
        ("mnist", "v2"): 800,
        ("fashion-mnist", "v2"): 1000,
        ("nmnist", "v2"): 300,
        ("shd", "v2"): 300,
    }
    assert set(hidden) == set(PUBLISHED)
    for name in SETS:
        for version, recipe in published_recipes(name).items():
            experiment = experiment_of(name, recipe, "single-spike", Budget())
            network, training = experiment.network, experiment.training
            first = version == "v1"
            assert network.gradient == ("gated" if first else "straight-through")
            assert network.surrogate_scale == (100 if first else 10)
            assert network.readout == ("max" if first else "sum")
            assert network.learn_decay is not first
            assert network.logit_scale == 1
            assert training.schedule == ("constant" if first else "milestones")
            assert training.batch_size == 128
            step = 2 if name == "shd" else 1
            assert network.hidden_decay == pytest.approx(math.exp(-step / 10))
            assert network.readout_decay == pytest.approx(math.exp(-step / 20))
            assert network.hidden_gain == (4 if name == "yin-yang" else 1)
            assert training.lr == (
                (1e-3 if name == "shd" else 2e-4) if first else (2e-4 if name == "shd" else 1e-3)
            )
            if name in ("nmnist", "shd"):
                assert experiment.data == {"counts": True, "binning": "round"}
    assert set(RECIPES) == set(SETS)


def test_both_networks_get_the_same_but_for_the_neuron():
    budget = Budget(seeds=2, epochs=5, train_samples=100, hidden=9)
    single, multi = (
        experiment_of("fashion-mnist", RECIPES["fashion-mnist"], neuron, budget)
        for neuron in ("single-spike", "multi-spike")
    )
    assert (single.network.neuron, multi.network.neuron) == ("single-spike", "multi-spike")
    assert dataclasses.replace(single.network, neuron="multi-spike") == multi.network
    assert single.network.sizes == (1, 9, 1)
    assert dataclasses.replace(single.training, solver=multi.training.solver) == multi.training
    assert single.training.epochs == 5
    assert single.series == multi.series == {"seeds": 2, "folds": 0}
    assert single.data == multi.data
    assert single.data["train_samples"] == 100


def runs(accuracies, spikes, validation=None):
    return [
        {
            "test_accuracy": a,
            "validation_accuracy": validation,
            "spikes_per_sample": s,
            "seconds_per_epoch": 1.0,
            "epochs": [{}] * 7,
        }
        for a, s in zip(accuracies, spikes)
    ]


COMPARISON = Comparison(
    "fashion-mnist",
    "v1",
    Published(81.0, 85.0, 83.0, 3.9),
    (784, 200, 10),
    60000,
    10000,
    0,
    {"single-spike": runs([0.80, 0.82], [10.0, 20.0]), "multi-spike": runs([0.85, 0.85], [100.0, 50.0])},
    Speed((5.0, 4.0, 9.0), (50.0, 49.0, 60.0), (10.0, 9.0, 12.0)),
)


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


def test_the_result_as_json():
    values = COMPARISON.to_json()
    assert values["fewer_spikes"] == pytest.approx(0.8)
    assert values["single-spike_test_accuracy_mean"] == pytest.approx(0.81)
    assert values["multi-spike_spikes_per_sample_sd"] == pytest.approx(35.355, rel=1e-4)
    assert "single-spike_validation_accuracy_mean" not in values
    assert (values["speed"]["x_dense"], values["speed"]["x_events"]) == (10, 2)


def test_folds_count_on_the_folds():
    folded = dataclasses.replace(
        COMPARISON,
        folds=5,
        outcomes={
            "single-spike": runs([0.5], [1.0], validation=0.7),
            "multi-spike": runs([0.5], [0.0], validation=0.9),
        },
    )
    text = table([folded])
    assert "accuracy on 5 folds of 60000 training samples" in text
    assert "70.00" in text
    assert math.isnan(folded.fewer_spikes)
    assert "nan" not in text
    assert folded.to_json()["fewer_spikes"] is None


def test_validation_samples_are_never_more_than_a_tenth(tmp_path):
    recipe = Recipe((5,), training={"epochs": 1}, validation=5000)
    budget = Budget(train_samples=60, test_samples=10)
    done = compare("yin-yang", "best", recipe, budget, tmp_path, quiet=True)
    config = RunFolder.open(tmp_path / "best-single-spike").config()
    assert config["split"] == {"validation": 6}
    assert done.outcomes["single-spike"][0]["validation_accuracy"] is not None


def test_what_is_timed_is_what_was_trained(tmp_path, monkeypatch):
    timed = {}

    class Watched(comparison.StepRunner):
        def __init__(self, way, network, *rest):
            timed[way.neuron, way.product] = network.parameters
            super().__init__(way, network, *rest)

    monkeypatch.setattr(comparison, "StepRunner", Watched)
    recipe = Recipe((5,), training={"epochs": 1})
    done = compare(
        "yin-yang", "best", recipe, Budget(train_samples=60, test_samples=10), tmp_path, quiet=True
    )
    assert len(timed) == 3
    for (neuron, _), parameters in timed.items():
        trained = RunFolder.open(done.outcomes[neuron][0]["run_dir"]).network().parameters
        assert all(np.array_equal(parameters[name], trained[name]) for name in trained)


def test_more_spikes_than_conventional_are_drawn_below_the_line():
    pytest.importorskip("matplotlib")
    from minisnn.reproduce.pictures import draw_bars

    worse = dataclasses.replace(
        COMPARISON, outcomes={"single-spike": runs([0.5], [30.0]), "multi-spike": runs([0.5], [20.0])}
    )
    saved = draw_bars([COMPARISON, worse]).axes[2]
    heights = [bar.get_height() for bar in saved.patches]
    assert heights == pytest.approx([80, -50])
    assert saved.get_ylim()[0] < -50
