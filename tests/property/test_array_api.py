"""numpy_parallel keeps to the array API, and agrees with a filter nobody here wrote."""

import array_api_strict as xp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import signal

from minisnn.solvers import numpy_parallel as parallel
from minisnn.solvers import numpy_sequential as sequential
from tests.strategies import float_cases


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("gradient", ["gated", "straight-through"])
@given(data=st.data())
@settings(max_examples=20)
def test_strict_namespace_gives_numpys_numbers(dtype, gradient, data):
    case = data.draw(float_cases(dtype=dtype))
    spikes = case.spikes.astype(dtype)
    expected = parallel.single_spike_forward(spikes, *case.layer[1:], 1.0)
    arrays = [xp.asarray(a) for a in (spikes, *case.layer[1:])]
    trace = parallel.single_spike_forward(*arrays, 1.0)
    for name in ("membrane", "spike_times", "spikes"):
        assert np.array_equal(np.asarray(getattr(trace, name)), getattr(expected, name))
    grads = [case.grad_spikes, case.grad_membrane]
    want = parallel.single_spike_backward(expected, *grads, 10.0, gradient)
    got = parallel.single_spike_backward(trace, *[xp.asarray(g) for g in grads], 10.0, gradient)
    for name in ("spikes", "weight", "bias", "decay"):
        rtol = 1e-4 if dtype == np.float32 else 1e-12
        np.testing.assert_allclose(np.asarray(getattr(got, name)), getattr(want, name), rtol, err_msg=name)


@pytest.mark.parametrize("readout", ["max", "sum"])
def test_strict_namespace_readout_and_matrices(readout):
    rng = np.random.default_rng(0)
    x, w, b, beta = rng.random((3, 8, 4)), rng.random((4, 2)), rng.random(2), np.array([0.5, 0.9])
    arrays = [xp.asarray(a) for a in (x, w, b, beta)]
    want, got = (parallel.readout_forward(*args, readout, 0.5) for args in ((x, w, b, beta), arrays))
    np.testing.assert_allclose(np.asarray(got.logits), want.logits)
    glogits = rng.random((3, 2))
    back = parallel.readout_backward(got, xp.asarray(glogits))
    np.testing.assert_allclose(np.asarray(back.spikes), parallel.readout_backward(want, glogits).spikes)
    np.testing.assert_allclose(np.asarray(parallel.integrate_matrix(arrays[0][:, :, :2], arrays[3])),
                               parallel.integrate(x[:, :, :2], beta))  # fmt: skip


@pytest.mark.parametrize("module", [parallel, sequential])
@given(case=float_cases())
def test_a_foreign_filter_agrees(module, case):
    current = module.input_current(case.spikes, case.weight, case.bias)
    membrane = module.integrate(current, case.decay)
    decays = np.broadcast_to(case.decay, case.bias.shape)
    for j, beta in enumerate(decays):
        witness = signal.lfilter([1.0], [1.0, -beta], current[:, :, j], axis=1)
        size = np.abs(current[:, :, j]).sum(axis=1, keepdims=True)
        assert np.all(np.abs(membrane[:, :, j] - witness) <= 200 * np.finfo(float).eps * size + 1e-300)
