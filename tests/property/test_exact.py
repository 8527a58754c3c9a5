"""On exact inputs every solver gives the numbers of the naive reference, bit for bit."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minisnn
from minisnn import SpikeEvents, solvers
from tests import naive
from tests.strategies import DECAY_BITS, MULTI_SOLVERS, SOLVERS, THRESHOLD, exact_cases

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
    v, _, z, s = naive.single_spike_forward(*case.lists(), THRESHOLD)
    spikes = case.spikes
    if data.draw(st.booleans(), label="as events"):
        spikes = SpikeEvents.from_raster(spikes)
    trace = minisnn.single_spike_forward(spikes, *case.layer[1:], solver=solver)
    assert trace.membrane.dtype == trace.spikes.dtype == dtype
    same(trace.membrane, v, "membrane")
    same(trace.spikes, s, "spikes")
    n_steps = case.spikes.shape[1]
    times = np.where(np.any(s, axis=1), np.argmax(s, axis=1), n_steps)
    same(trace.spike_times, times, "spike times")
    assert trace.spike_times.dtype == np.int32

    for gradient in minisnn.model.GRADIENTS:
        gz, gfaulty, expected = naive.single_spike_backward(
            *case.lists(), THRESHOLD, 0.0, gradient, case.grad_spikes.tolist(), case.grad_membrane.tolist()
        )
        options = {"grad_membrane": case.grad_membrane, "surrogate_scale": 0.0, "solver": solver}
        got = minisnn.single_spike_backward(trace, case.grad_spikes, gradient=gradient, **options)
        for name in GRADIENTS:
            same(getattr(got, name), expected[name], name)
        assert got.decay.shape == case.decay.shape
        if decay_gradient_is_exact(case):
            whole = expected["decay"] if case.decay.ndim else sum(expected["decay"])
            same(got.decay, whole, "gbeta")
        module = solvers.get(solver)
        if hasattr(module, "double_sum"):
            computed_z = module.double_sum(module.crossings(trace.membrane, THRESHOLD))
            same(computed_z, z, "z")
            same(module.first_only(computed_z), s, "S")
            computed_gz = module.first_only_backward(case.grad_spikes, computed_z, gradient)
            same(computed_gz, gz, "gz")
            same(module.double_sum_backward(computed_gz), gfaulty, "gS~")


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("solver", MULTI_SOLVERS)
@given(data=st.data())
def test_multi_spike_forward(solver, dtype, data):
    case = data.draw(exact_cases(dtype=dtype))
    u, s, v = naive.multi_spike_forward(*case.lists(), THRESHOLD)
    trace = minisnn.multi_spike_forward(*case.layer, solver=solver)
    same(trace.potential, u, "U")
    same(trace.spikes, s, "S")
    same(trace.membrane, v, "V")


@pytest.mark.parametrize("detach_reset", [False, True])
@pytest.mark.parametrize("solver", MULTI_SOLVERS)
@given(data=st.data())
def test_multi_spike_backward(solver, detach_reset, data):
    # Without surrogate steepness the backward recursion has the factor beta (1 - theta): zero, or beta.
    case = data.draw(exact_cases())
    expected = naive.multi_spike_backward(
        *case.lists(), THRESHOLD, 0.0, detach_reset, case.grad_spikes.tolist(), case.grad_membrane.tolist()
    )
    trace = minisnn.multi_spike_forward(*case.layer, solver=solver)
    options = {"grad_membrane": case.grad_membrane, "surrogate_scale": 0.0, "solver": solver}
    got = minisnn.multi_spike_backward(trace, case.grad_spikes, detach_reset=detach_reset, **options)
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
    faulty = parallel.crossings(membrane, THRESHOLD)
    same(parallel.double_sum_matrix(faulty), parallel.double_sum(faulty), "z = P S~")
    grad = case.grad_spikes
    same(parallel.double_sum_matrix_backward(grad), parallel.double_sum_backward(grad), "gS~ = P^T gz")
    by_matrix = parallel.integrate_matrix_backward(grad, membrane, case.decay)
    for got, expected in zip(by_matrix, parallel.integrate_backward(grad, membrane, case.decay)):
        same(got, expected, "gI = A^T gU")


@pytest.mark.parametrize("solver", SOLVERS)
@given(case=exact_cases(), seed=st.integers(0, 2**31))
def test_permuting_the_batch_permutes_the_result(solver, case, seed):
    order = np.random.default_rng(seed).permutation(len(case.spikes))
    straight = minisnn.single_spike_forward(*case.layer, solver=solver)
    permuted = minisnn.single_spike_forward(case.spikes[order], *case.layer[1:], solver=solver)
    same(permuted.membrane, straight.membrane[order], "membrane")
    grads = [
        minisnn.single_spike_backward(trace, grad, surrogate_scale=0.0, solver=solver)
        for trace, grad in ((straight, case.grad_spikes), (permuted, case.grad_spikes[order]))
    ]
    same(grads[1].weight, grads[0].weight, "gW")
    same(grads[1].spikes, grads[0].spikes[order], "gx")
