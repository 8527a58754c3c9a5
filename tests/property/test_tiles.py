"""Dense input goes through a layer in tiles of a few steps: how many they are changes no bit."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minisnn
from minisnn.model import Gradients
from minisnn.solvers import numba_parallel
from minisnn.solvers.compiled import events as event_products
from minisnn.solvers.compiled import tiles
from minisnn.solvers.compiled.upstream import FEW
from minisnn.solvers.numba_parallel import ReadoutGradients
from tests.helpers import UnwrittenIsSeen

SOURCES = ("given", "few outputs", "many outputs", "readout max", "readout sum", "none")


@pytest.fixture(autouse=True)
def products_of_blas():
    event_products.set_product("dense")


def upstream(source, rng, shape, dtype):
    """Gradient by the spikes of a layer, in one of the forms in which the next layer hands it back."""
    batch, n_steps, n_out = shape
    if source == "none":
        return None
    if source == "given":
        return rng.standard_normal(shape).astype(dtype)
    n_next = {"few outputs": 3, "many outputs": FEW + 1}.get(source, 5)
    weight = rng.standard_normal((n_out, n_next)).astype(dtype)
    current = rng.standard_normal((batch, n_steps, n_next)).astype(dtype)
    common = (weight, weight[0], weight[0], current, weight)
    if not source.startswith("readout"):
        return Gradients(*common)
    peaks = rng.integers(0, n_steps, (batch, n_next)).astype(np.int32) if source == "readout max" else None
    value = rng.standard_normal((batch, n_next)).astype(dtype)
    adjoint = {"readout_decay": np.array(0.75, dtype)[()], "grad_value": value, "peak_times": peaks}
    return ReadoutGradients(*common, **adjoint)


def run(raster, parameters, grad_spikes, grad_membrane, gradient):
    """Everything a layer computes, forward and backward."""
    workspace = UnwrittenIsSeen()
    trace = numba_parallel.single_spike_forward(raster, *parameters, 1.0, workspace=workspace)
    potential = trace.potential.copy()
    gradients = numba_parallel.single_spike_backward(
        trace, grad_spikes, grad_membrane, 10.0, gradient, workspace=UnwrittenIsSeen()
    )
    assert gradients.current is not None
    return (
        potential, trace.spike_times, gradients.current, gradients.weight, gradients.bias, gradients.decay
    )  # fmt: skip


@pytest.mark.parametrize("source", SOURCES)
@given(data=st.data())
@settings(max_examples=12)
def test_the_height_of_a_tile_changes_no_bit(source, data):
    dtype = data.draw(st.sampled_from([np.float32, np.float64]))
    batch, n_steps = data.draw(st.sampled_from([1, 3])), data.draw(st.sampled_from([1, 2, 7, 16, 23]))
    n_out = data.draw(st.sampled_from([1, 31, 32, 33, 70]))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    raster = (rng.random((batch, n_steps, 4)) < 0.6).astype(dtype)
    decay = np.array(0.8) if data.draw(st.booleans()) else rng.random(n_out)
    parameters = (
        rng.standard_normal((4, n_out)).astype(dtype), rng.standard_normal(n_out).astype(dtype), decay.astype(dtype)
    )  # fmt: skip
    shape = (batch, n_steps, n_out)
    grad_spikes = upstream(source, rng, shape, dtype)
    grad_membrane = rng.standard_normal(shape).astype(dtype) if data.draw(st.booleans()) else None
    gradient = data.draw(st.sampled_from(minisnn.model.GRADIENTS))
    results = []
    for height in (1, 5, 8, n_steps):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(tiles, "_NUMBERS", 1)
            patch.setattr(tiles, "_FEWEST", height)
            results.append(run(raster, parameters, grad_spikes, grad_membrane, gradient))
    for other in results[1:]:
        for first, then in zip(results[0], other):
            np.testing.assert_array_equal(first, then)


@pytest.mark.parametrize("source", SOURCES)
def test_a_tall_and_wide_layer_in_tiles_is_the_definition(source):
    """The tiles as they are in use: several of them, the last of few steps, the last block of few neurons."""
    rng = np.random.default_rng(5)
    shape = (2, 700, 70)
    assert tiles.tiles_for(70, np.dtype(np.float64)).padding.shape[1] < 700
    raster = (rng.random((2, 700, 6)) < 0.5).astype(np.float64)
    parameters = (0.1 * rng.standard_normal((6, 70)), 0.05 * rng.standard_normal(70), np.array(0.9))
    grad_spikes = upstream(source, rng, shape, np.float64)
    grad_membrane = rng.standard_normal(shape)
    for gradient in minisnn.model.GRADIENTS:
        got = run(raster, parameters, grad_spikes, grad_membrane, gradient)
        written_out = grad_spikes.spikes if isinstance(grad_spikes, Gradients) else grad_spikes
        if isinstance(grad_spikes, ReadoutGradients):
            written_out = adjoint(grad_spikes, shape)
        trace = minisnn.single_spike_forward(raster, *parameters, solver="numpy-sequential")
        right = minisnn.single_spike_backward(
            trace, written_out, grad_membrane=grad_membrane, gradient=gradient, solver="numpy-sequential"
        )
        expected = (
            trace.potential, trace.spike_times, right.current, right.weight, right.bias, right.decay
        )  # fmt: skip
        assert 0 < (trace.spike_times < 700).mean() < 1
        for came, want in zip(got, expected):
            np.testing.assert_allclose(came, want, rtol=0, atol=1e-10 * np.abs(want).max())


def adjoint(readout, shape):
    """The gradient that a readout hands back, step by step (Eqs. 18 and 11)."""
    grad_spikes, g = np.empty(shape), np.zeros_like(readout.grad_value)
    for t in range(shape[1] - 1, -1, -1):
        reached = 1.0 if readout.peak_times is None else readout.peak_times == t
        g = readout.readout_decay * g + readout.grad_value * reached
        grad_spikes[:, t] = g @ readout.input_weight.T
    return grad_spikes
