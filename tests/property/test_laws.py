"""Laws of the model that hold whatever the input, on every solver."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minisnn
from tests.strategies import SOLVERS, float_cases

parametrize_solver = pytest.mark.parametrize("solver", SOLVERS)


@parametrize_solver
@given(case=float_cases())
def test_at_most_one_spike_at_the_first_step_above_threshold(solver, case):
    trace = minisnn.single_spike_forward(*case.layer, solver=solver)
    assert trace.spikes.sum(axis=1).max() <= 1
    above = trace.membrane > 1
    assert np.array_equal(trace.spikes.any(axis=1), above.any(axis=1))
    assert np.array_equal(trace.spike_times, minisnn.model.first_spike_times(above))


@parametrize_solver
@pytest.mark.parametrize("power", [-3, 5])
@given(case=float_cases())
def test_a_power_of_two_is_only_a_unit(solver, power, case):
    # The smallest numbers lose bits when they are scaled down further; they are not what this law is about.
    if np.abs(case.weight).max() < 1e-200:
        return
    factor = 2.0**power
    trace = minisnn.single_spike_forward(*case.layer, threshold=1.0, solver=solver)
    scaled = minisnn.single_spike_forward(
        case.spikes, factor * case.weight, factor * case.bias, case.decay, threshold=factor, solver=solver
    )
    assert np.array_equal(trace.spike_times, scaled.spike_times)
    assert np.array_equal(factor * trace.membrane, scaled.membrane)


@parametrize_solver
@given(case=float_cases(), scale=st.sampled_from([0.0, 10.0, 100.0]))
def test_gated_gradient_ends_with_the_last_first_spike(solver, case, scale):
    # A strong bias makes every neuron fire, each at a step of its own.
    bias = np.abs(case.bias) + 0.3
    trace = minisnn.single_spike_forward(case.spikes, np.abs(case.weight), bias, 1.0, solver=solver)
    grads = minisnn.single_spike_backward(
        trace, case.grad_spikes, surrogate_scale=scale, gradient="gated", solver=solver
    )
    for sample, times in enumerate(trace.spike_times):
        assert np.all(grads.spikes[sample, times.max() :] == 0)


@parametrize_solver
@pytest.mark.parametrize("gradient", minisnn.model.GRADIENTS)
@given(case=float_cases())
def test_a_silent_network_has_finite_gradients(solver, gradient, case):
    silent = np.zeros_like(case.spikes)
    trace = minisnn.single_spike_forward(
        silent, case.weight, np.zeros_like(case.bias), case.decay, solver=solver
    )
    assert trace.spikes.sum() == 0
    assert np.all(trace.spike_times == case.spikes.shape[1])
    grads = minisnn.single_spike_backward(trace, case.grad_spikes, gradient=gradient, solver=solver)
    assert all(np.isfinite(getattr(grads, name)).all() for name in ("spikes", "weight", "bias", "decay"))
    assert np.all(grads.weight == 0)
    assert np.all(grads.decay == 0)
    assert np.any(grads.bias != 0)
