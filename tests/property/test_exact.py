"""On exact inputs every solver gives the numbers of the naive reference, bit for bit."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minisnn
from minisnn import SpikeEvents, solvers
from tests import naive
from tests.strategies import DECAY_BITS, MULTI_SOLVERS, SOLVERS, exact_cases

GRADIENTS = ("current", "weight", "bias", "spikes")


def same(got, expected, what):
    np.testing.assert_array_equal(np.asarray(got), np.asarray(expected), err_msg=what)


def decay_gradient_is_exact(case):
    """gbeta multiplies two numbers of the forward pass: it needs their bits twice."""
    p = max(DECAY_BITS[float(d)] for d in np.ravel(case.decay))
    batch, n_steps = case.spikes.shape[:2]
    largest = (np.abs(case.weight).sum(axis=0).max() + 2) * n_steps
    digits = 24 if case.weight.dtype == np.float32 else 53
    return 2 * (2 + p * (n_steps - 1)) + math.log2(batch * n_steps * largest * 2 * n_steps**3) + 1 <= digits


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("solver", SOLVERS)
@given(data=st.data())
def test_single_spike(solver, dtype, data):
    case = data.draw(exact_cases(dtype=dtype))
    v, _, z, s = naive.single_spike_forward(*case.lists(), case.threshold)
    spikes = case.spikes
    if data.draw(st.booleans(), label="as events"):
        spikes = SpikeEvents.from_raster(spikes)
    trace = minisnn.single_spike_forward(spikes, *case.layer[1:], threshold=case.threshold, solver=solver)
    assert trace.membrane.dtype == trace.spikes.dtype == dtype
    same(trace.membrane, v, "membrane")
    same(trace.spikes, s, "spikes")
    n_steps = case.spikes.shape[1]
    times = np.where(np.any(s, axis=1), np.argmax(s, axis=1), n_steps)
    same(trace.spike_times, times, "spike times")
    assert trace.spike_times.dtype == np.int32

    given_ = {"grad_spikes": case.grad_spikes, "grad_membrane": case.grad_membrane}
    left_out = data.draw(st.sampled_from(["neither", *given_]), label="left out")
    if left_out in given_:
        given_[left_out] = None
    grad_spikes, grad_membrane = (np.zeros(trace.shape) if g is None else g for g in given_.values())
    for gradient in minisnn.model.GRADIENTS:
        how = case.threshold, 0.0, gradient, grad_spikes.tolist(), grad_membrane.tolist()
        gz, gfaulty, expected = naive.single_spike_backward(*case.lists(), *how)
        options = {"gradient": gradient, "surrogate_scale": 0.0, "solver": solver}
        got = minisnn.single_spike_backward(trace, **given_, **options)
        for name in GRADIENTS:
            same(getattr(got, name), expected[name], name)
        assert got.decay.shape == case.decay.shape
        if decay_gradient_is_exact(case):
            whole = expected["decay"] if case.decay.ndim else sum(expected["decay"])
            same(got.decay, whole, "gbeta")
        module = solvers.get(solver)
        if hasattr(module, "double_sum"):
            computed_z = module.double_sum(module.crossings(trace.membrane, case.threshold))
            same(computed_z, z, "z")
            same(module.first_only(computed_z), s, "S")
            computed_gz = module.first_only_backward(grad_spikes.astype(dtype), computed_z, gradient)
            same(computed_gz, gz, "gz")
            same(module.double_sum_backward(computed_gz), gfaulty, "gS~")


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("solver", MULTI_SOLVERS)
@given(data=st.data())
def test_multi_spike(solver, dtype, data):
    case = data.draw(exact_cases(dtype=dtype))
    u, s, v = naive.multi_spike_forward(*case.lists(), case.threshold)
    trace = minisnn.multi_spike_forward(*case.layer, threshold=case.threshold, solver=solver)
    same(trace.potential, u, "U")
    same(trace.spikes, s, "S")
    same(trace.membrane, v, "V")
    # Without surrogate steepness the backward recursion has the factor beta (1 - theta): 0 or -beta, or else beta.
    given_ = {"grad_spikes": case.grad_spikes, "grad_membrane": case.grad_membrane}
    lists = [gradient.tolist() for gradient in given_.values()]
    for detach_reset in (False, True):
        expected = naive.multi_spike_backward(*case.lists(), case.threshold, 0.0, detach_reset, *lists)
        options = {"detach_reset": detach_reset, "surrogate_scale": 0.0, "solver": solver}
        got = minisnn.multi_spike_backward(trace, **given_, **options)
        for name in GRADIENTS:
            same(getattr(got, name), expected[name], name)


@pytest.mark.parametrize("readout", ["max", "sum"])
@pytest.mark.parametrize("solver", SOLVERS)
@given(data=st.data())
def test_readout(solver, readout, data):
    case = data.draw(exact_cases())
    module = solvers.get(solver)
    spikes = case.spikes
    if data.draw(st.booleans(), label="as events"):
        spikes = SpikeEvents.from_raster(spikes)
    u, logits, peaks = naive.readout_forward(*case.lists(), readout, 0.5)
    trace = module.readout_forward(spikes, *case.layer[1:], readout, 0.5)
    same(trace.membrane, u, "U")
    same(trace.logits, logits, "logits")
    if readout == "max":
        same(trace.peak_times, peaks, "step of the first maximum")
    glogits = case.grad_spikes[:, 0]
    expected = naive.readout_backward(*case.lists(), readout, 0.5, glogits.tolist())
    got = module.readout_backward(trace, glogits)
    for name in GRADIENTS:
        same(getattr(got, name), expected[name], name)
    if decay_gradient_is_exact(case):
        same(got.decay, expected["decay"] if case.decay.ndim else sum(expected["decay"]), "gbeta")


@given(case=exact_cases())
def test_matrix_forms_equal_recursive_doubling(case):
    from minisnn.solvers import numpy_parallel as parallel

    current = parallel.input_current(case.spikes, case.weight, case.bias)
    membrane = parallel.integrate(current, case.decay)
    same(parallel.integrate_matrix(current, case.decay), membrane, "V = A I")
    faulty = parallel.crossings(membrane, case.threshold)
    same(parallel.double_sum_matrix(faulty), parallel.double_sum(faulty), "z = P S~")
    grad = case.grad_spikes
    same(parallel.double_sum_matrix_backward(grad), parallel.double_sum_backward(grad), "gS~ = P^T gz")
    by_matrix = parallel.integrate_matrix_backward(grad, membrane, case.decay)
    for got, expected in zip(by_matrix, parallel.integrate_backward(grad, membrane, case.decay)):
        same(got, expected, "gI = A^T gU")
