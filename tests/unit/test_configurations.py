"""Configurations: any number that is one, of any library; anything else is refused with the field's name."""

import dataclasses
import json
from fractions import Fraction

import numpy as np
import pytest

from minisnn import Network, NetworkConfig, TrainingConfig
from minisnn.errors import InputError
from tests.helpers import one_line


def configured(name, value):
    kind = NetworkConfig if name in NetworkConfig.__dataclass_fields__ else TrainingConfig
    return kind(**({"sizes": (6, 64, 3)} if kind is NetworkConfig else {}) | {name: value})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("logit_scale", np.float32(0.05)), ("surrogate_scale", np.int64(10)), ("hidden_gain", 2),
        ("threshold", np.array(1.0)), ("threshold", np.array([2.0])), ("threshold", Fraction(1, 2)),
        ("threshold", np.longdouble(1)), ("hidden_decay", np.exp(np.float32(-0.1))),
        ("readout_decay", np.array(0.5, ">f4")), ("learn_decay", np.bool_(False)), ("detach_reset", np.array([True])),
        ("dtype", np.dtype("float32")), ("dtype", np.float64), ("readout", np.str_("max")),
        ("gradient", np.array("gated")), ("sizes", np.array([6, 64, 3], np.uint8)), ("sizes", [np.int64(6), 64, 3]),
        ("epochs", np.int64(3)), ("batch_size", np.array([32])), ("seed", np.uint64(2**63)), ("lr", np.float32(1e-2)),
        ("milestones", np.array([0.25, 0.5], np.float32)), ("weight_decay", np.array([0])),
        ("solver", np.str_("numpy-parallel")), ("spike_penalty", np.array([0.5], "f4")),
    ],
    ids=lambda v: v if isinstance(v, str) else type(v).__name__,
)  # fmt: skip
def test_a_configuration_can_be_written_and_read_back_equal(name, value, tmp_path):
    config = configured(name, value)
    assert type(config)(**json.loads(json.dumps(dataclasses.asdict(config)))) == config
    for kept in dataclasses.asdict(config).values():
        assert type(kept) in (int, float, bool, str, tuple)
    if isinstance(config, NetworkConfig):
        Network.random(config).save(tmp_path / "network.npz")
        assert Network.load(tmp_path / "network.npz").config == config


def each(names, values):
    return [(name, value, "") for name in names for value in values]


RISING = "milestones must be rising shares between 0 and 1"


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        *each(("logit_scale", "threshold", "hidden_decay", "spike_penalty", "lr", "weight_decay"),
              ("0.5", b"1", None, True, 1 + 0j, np.complex64(1), np.ma.masked, np.nan, 10**400,
               np.timedelta64(1, "s"), object(), [0.5], np.array([1, 2]))),
        *each(("epochs", "batch_size", "seed"),
              (3.0, "3", True, None, np.float32(3), np.array([1, 2]), np.timedelta64(3, "ns"), -1, 2.5)),
        *each(("learn_decay", "detach_reset"), ("no", None, 2, 1.0, np.array([0, 1]))),
        *each(("readout", "gradient", "neuron", "solver", "schedule", "dtype"),
              (None, 1, [], {}, "x" * 500, np.array(["max", "sum"]))),
        *each(("sizes",), (5, "643", (6, 64.0, 3), (6, True, 3), None)),
        ("sizes", (6, 3), "sizes must be at least"),
        ("sizes", (6, 0, 3), "whole numbers from 1 to 2147483647"),
        ("neuron", "single", "unknown neuron 'single'"),
        ("readout", "mean", "unknown readout"),
        ("gradient", "gate", "did you mean 'gated'"),
        ("dtype", "float16", "unknown dtype"),
        ("surrogate_scale", -1, ""),
        ("spike_penalty", -1e-9, "spike_penalty must be a finite number >= 0"),
        ("spike_penalty", np.inf, ""),
        *(
            (name, 1e39, r"<= 3.40282e\+38, got 1e\+39")
            for name in (
                "spike_penalty", "threshold", "logit_scale", "surrogate_scale", "hidden_gain", "lr", "weight_decay",
            )
        ),
        ("logit_scale", 0, "logit_scale must be a finite number > 0"),
        ("hidden_decay", 1.2, "hidden_decay must be a finite number >= 0 and <= 1"),
        ("epochs", 0, "epochs must be a whole number >= 1, got 0"),
        ("lr", 0, "lr must be a finite number > 0"),
        ("schedule", "step", "unknown schedule"),
        ("weight_decay", -1, ""),
        ("milestones", (), rf"{RISING}, got \(\)"),
        *(("milestones", wrong, RISING)
          for wrong in (5, 0.5, "0.5", "half", (0.5, "1"), (0.5, np.nan), (0.7, 0.2), (0, 0.2))),
    ],
)  # fmt: skip
def test_what_is_none_is_refused_with_the_field_s_name(name, value, message):
    with one_line(InputError, message) as caught:
        configured(name, value)
    assert name in str(caught.value)
    assert len(str(caught.value)) < 300
