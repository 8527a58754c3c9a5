import numpy as np
import pytest

import minisnn
from minisnn.errors import InputError
from minisnn.oracle import gradcheck


@pytest.fixture
def raster():
    return (np.random.default_rng(1).random((3, 16, 4)) < 0.4).astype(float)


def test_float32_parameters_are_checked_in_float64(raster):
    w = np.random.default_rng(0).normal(0, 0.6, (4, 3)).astype(np.float32)
    assert gradcheck("single-spike", raster, w, np.zeros(3, np.float32), 0.9).worst < 1e-12


@pytest.mark.parametrize("name", ["weight", "bias", "decay", "spikes"])
def test_a_wrong_gradient_is_reported_and_named(name, raster):
    w = np.random.default_rng(0).normal(0, 0.6, (4, 3))

    def wrong(trace, grad_spikes, grad_membrane):
        gradients = minisnn.single_spike_backward(trace, grad_spikes)
        right = {key: getattr(gradients, key) for key in ("spikes", "weight", "bias", "decay")}
        return right | {name: right[name] * 1.001}

    result = gradcheck("single-spike", raster, w, np.zeros(3), 0.9, backward=wrong)
    assert not result.ok()
    assert [key for key, error in result.errors.items() if error > 1e-10] == [name]
    assert result.errors[name] == pytest.approx(1e-3, rel=0.01)


def test_nan_is_wrong(raster):
    def nothing(trace, grad_spikes, grad_membrane):
        return {"bias": np.full(3, np.nan)}

    assert (
        gradcheck("single-spike", raster, np.ones((4, 3)), np.zeros(3), 0.9, backward=nothing).worst == np.inf
    )


def test_wrong_use():
    with pytest.raises(InputError, match="name of a neuron"):
        gradcheck(3)
    with pytest.raises(InputError, match="unknown neuron"):
        gradcheck("single-spikes", 1)
    layer = (np.ones((2, 3, 4)), np.ones((4, 2)), np.zeros(2), 0.5)
    with pytest.raises(InputError, match=r"the gradient of bias must have shape \(2,\), got \(3,\)"):
        gradcheck("single-spike", *layer, backward=lambda *a: {"bias": np.ones(3)})
