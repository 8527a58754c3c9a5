"""The record of an experiment: through JSON and back, completed by the data, taken apart into its trainings."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from minisnn import NetworkConfig, TrainingConfig
from minisnn.errors import DataError, InputError
from minisnn.training.experiment import Experiment
from minisnn.training.recipes import RECIPES
from tests.helpers import one_line

PLACE = Path("run")
PLAIN = Experiment("yin-yang", TrainingConfig(), NetworkConfig((1, 2, 1)))


def experiments():
    change = {"hidden": (5, 4), "training": {"milestones": (0.1, 0.2)}}
    yield (whole := Experiment.of_recipe("mnist", RECIPES["mnist"], **change))
    yield replace(whole, series={"seeds": 2, "folds": 3}, split={"validation": 3}, product="dense")
    yield replace(PLAIN, split={"folds": 4, "fold": 3})


@pytest.mark.parametrize("experiment", list(experiments()))
def test_through_json_and_back(experiment):
    config = json.loads(json.dumps(experiment.to_json()))
    assert Experiment.from_json(config, PLACE) == experiment
    assert Experiment.from_json(config, PLACE) != replace(experiment, product="events")
    order = ["dataset", "data", "split", "product", "training", "network", "series"]
    assert list(config) == order[: len(config)]


def test_options_of_the_data_are_kept_as_a_file_gives_them_back():
    options = {
        "augment": ("flip", np.str_("shift")), "n_steps": np.int64(20), "dt": np.float32(0.5), "download": None,
        "counts": np.bool_(True), "train_samples": np.array([90]), "encoding": np.array("sparse"),
    }  # fmt: skip
    experiment = replace(PLAIN, data=options)
    assert Experiment.from_json(json.loads(json.dumps(experiment.to_json())), PLACE) == experiment
    assert experiment.data["augment"] == ["flip", "shift"]
    for value in (np.nan, object(), 1j, {"a": 1}, b"x", np.ma.masked):
        with one_line(InputError, "data: dt must"):
            replace(experiment, data={"dt": value})
    config = experiment.to_json() | {"data": {"dt": {"a": 1}}}
    with one_line(DataError, "config.json is damaged: data: dt must be a number"):
        Experiment.from_json(config, PLACE)


def test_a_file_from_before_there_was_a_split():
    config = next(experiments()).to_json()
    del config["split"]
    assert Experiment.from_json(config, PLACE).split == {}


def test_the_data_complete_it(data):
    experiment = Experiment.of_recipe("yin-yang", RECIPES["yin-yang"], hidden=(6,))
    fitted = experiment.fitted(data, 9)
    assert fitted.network.sizes == (4, 6, 3)
    assert fitted.data == {"n_steps": 20}
    assert len(fitted.divided(data).validation.labels) == 9
    assert experiment.fitted(data).divided(data).validation is None
    with one_line(InputError, "must number 1 ... 299"):
        experiment.fitted(data, 300)
    with one_line(InputError, "folds must number"):
        replace(experiment, series={"seeds": 1, "folds": 200}).fitted(data)


def test_its_trainings(data):
    experiment = replace(next(experiments()), dataset="yin-yang", data={}).fitted(data, 9)
    assert list(experiment.variants()) == [("", experiment)]
    names = {
        (2, 0): ["seed-0", "seed-1"], (1, 2): ["fold-0", "fold-1"],
        (2, 2): ["seed-0-fold-0", "seed-0-fold-1", "seed-1-fold-0", "seed-1-fold-1"], (1, 0): ["seed-0"],
    }  # fmt: skip
    for (seeds, folds), expected in names.items():
        variants = dict(replace(experiment, series={"seeds": seeds, "folds": folds}).variants())
        assert list(variants) == expected
        for name, variant in variants.items():
            assert variant.series is None
            assert variant.training.seed == ("seed-1" in name)
            fold = {"folds": folds, "fold": int("fold-1" in name)}
            assert variant.split == (fold if folds else experiment.split)


@pytest.mark.parametrize(
    ("entry", "value", "message"),
    [
        ("split", {"validation": "many"}, "split: validation must be a whole number >= 0, got 'many'"),
        ("split", {"folds": 2}, "split"),
        ("split", None, "split"),
        ("series", {"seeds": 2}, "series"),
        ("series", {}, "series"),
        ("series", {"seeds": 0, "folds": 2}, "series: seeds must be a whole number >= 1"),
        ("product", "x", "unknown product 'x'"),
        ("series", [], "series"),
        ("series", {"seeds": 2, "folds": -1}, "series: folds must be a whole number >= 0"),
        ("data", {"colour": "red"}, "entry data has no options of a data set: .*colour"),
        ("data", 5, "entry data has no options"),
        ("training", {"lr": "fast"}, "not of this version of minisnn: lr must be"),
        ("network", {}, "not of this version of minisnn"),
        ("network", 5, "not of this version of minisnn"),
    ],
)
def test_a_damaged_entry_is_named_with_its_file(entry, value, message):
    config = next(experiments()).to_json() | {entry: value}
    with one_line(DataError, rf"run/config.json.*{message}"):
        Experiment.from_json(config, PLACE)
    if entry in ("split", "series", "product"):
        with one_line(InputError, message):
            replace(PLAIN, **{entry: value})
