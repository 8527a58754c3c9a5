"""The GPU kernels, run on the CPU, against the definition."""

import os

import numpy as np
import pytest

from minisnn import SpikeEvents, solvers
from minisnn.solvers import numpy_sequential as definition
from tests.cuda_shim import solver as shim

pytestmark = pytest.mark.skipif(
    shim.COMPILER is None and not os.environ.get("CI"),
    reason="g++ is missing, which runs the GPU kernels here",
)
SIZES = [(1, 1, 1, 1), (3, 1, 5, 7), (2, 7, 3, 129), (5, 6, 17, 33)]
INPUTS = ["random", "none", "one step"]


def case(size, dtype, scalar, inputs, seed=0):
    """Exact inputs: quarters, decays 0, 1/2 and 1, few steps; column 0 lands on the threshold at step 0."""
    batch, n_steps, n_in, n_out = size
    rng = np.random.default_rng(seed)
    raster = np.zeros((batch, n_steps, n_in), np.uint8)
    if inputs == "random":
        raster[:] = rng.random(raster.shape) < 0.4
    elif inputs == "one step":
        raster[:, n_steps // 2] = 1
    weight = rng.integers(-4, 6, (n_in, n_out)).astype(dtype) / 4
    bias = rng.integers(-1, 2, n_out).astype(dtype) / 4
    raster[0, 0, 0] = inputs != "none"
    weight[:, 0], weight[0, 0], bias[0] = 0, 1, 0
    decay = np.asarray(0.5, dtype) if scalar else rng.choice([0, 0.5, 1], n_out).astype(dtype)
    return raster, weight, bias, decay, rng


def same(one, other):
    assert one.shape == other.shape
    assert one.dtype == other.dtype
    np.testing.assert_array_equal(one, other)


def same_gradients(one, other, exact=True):
    for name in ("weight", "bias", "decay", "current"):
        a, b = getattr(one, name), getattr(other, name)
        assert a.shape == b.shape
        if exact:
            same(a, b)
        else:
            scale = 1 + float(np.abs(b).max())
            np.testing.assert_allclose(a, b, rtol=0, atol=200 * np.finfo(b.dtype).eps * scale)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("inputs", INPUTS)
@pytest.mark.parametrize("form", ["events", "raster"])
@pytest.mark.parametrize("scalar", [True, False])
def test_single_spike_layer_on_exact_inputs(dtype, size, inputs, form, scalar):
    raster, weight, bias, decay, rng = case(size, dtype, scalar, inputs)
    spikes = SpikeEvents.from_raster(raster) if form == "events" else raster
    ours = shim.single_spike_forward(spikes, weight, bias, decay, 1.0)
    theirs = definition.single_spike_forward(raster, weight, bias, decay, 1.0)
    same(ours.membrane, theirs.membrane)
    same(ours.spike_times, theirs.spike_times)
    same(ours.spikes, theirs.spikes)
    grads = [rng.integers(-2, 3, ours.membrane.shape).astype(dtype) for _ in range(2)]
    for given in (grads, [grads[0], None], [None, grads[1]]):
        for gradient in ("gated", "straight-through"):
            for scale in (0.0, 10.0):
                pair = [
                    module.single_spike_backward(trace, *given, scale, gradient)
                    for module, trace in ((shim, ours), (definition, theirs))
                ]
                same_gradients(*pair, exact=scale == 0)
                # gI is the same recursion with the same roundings, the surrogate's division included.
                same(pair[0].current, pair[1].current)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("form", ["events", "raster"])
@pytest.mark.parametrize("readout", ["max", "sum"])
@pytest.mark.parametrize("scalar", [True, False])
def test_readout_on_exact_inputs(dtype, size, form, readout, scalar):
    raster, weight, bias, decay, rng = case(size, dtype, scalar, "random")
    spikes = SpikeEvents.from_raster(raster) if form == "events" else raster
    ours = shim.readout_forward(spikes, weight, bias, decay, readout, 0.5)
    theirs = definition.readout_forward(raster, weight, bias, decay, readout, 0.5)
    same(ours.membrane, theirs.membrane)
    same(ours.logits, theirs.logits)
    if readout == "max":
        same(ours.peak_times, theirs.peak_times)
    grad = rng.integers(-2, 3, ours.logits.shape).astype(dtype)
    same_gradients(shim.readout_backward(ours, grad), definition.readout_backward(theirs, grad))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_counts_add_up(dtype):
    raster = np.array([[[2, 0], [1, 3]]])
    weight = np.array([[0.25, 0.5], [0.5, 0.25]], dtype)
    events = SpikeEvents.from_raster(raster, counts=True)
    arguments = (weight, np.zeros(2, dtype), np.asarray(0.5, dtype), 1.0)
    ours, theirs = (m.single_spike_forward(events, *arguments) for m in (shim, definition))
    same(ours.membrane, theirs.membrane)
    grad = np.ones_like(ours.membrane)
    same_gradients(
        *(
            m.single_spike_backward(t, grad, None, 0.0, "gated")
            for m, t in ((shim, ours), (definition, theirs))
        )
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_adam_has_the_bits_of_the_optimiser(dtype):
    rng = np.random.default_rng(1)
    in_numpy = solvers.get("numpy-sequential").adam_update
    ours = [rng.standard_normal((3, 50)).astype(dtype), np.zeros((3, 50), dtype), np.zeros((3, 50), dtype)]
    theirs = [array.copy() for array in ours]
    for step in range(1, 4):
        gradient = rng.standard_normal((3, 50)).astype(dtype)
        for update, (parameter, first, second) in ((shim.adam_update, ours), (in_numpy, theirs)):
            update(parameter, gradient, first, second, solvers.AdamRule(0.01, 0.9, 0.999, 1e-8, step, 0.1))
        for one, other in zip(ours, theirs):
            same(one, other)
