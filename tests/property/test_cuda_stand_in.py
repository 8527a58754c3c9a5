"""Both GPU solvers, whole, with a stand-in for CuPy: the properties of every other solver."""

import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minisnn import Network, NetworkConfig, SpikeEvents, oracle, solvers
from tests import ports
from tests.cuda_shim import solver as shim
from tests.cuda_shim import stand_in
from tests.property import test_exact, test_gradients
from tests.strategies import exact_cases

pytestmark = pytest.mark.skipif(
    shim.COMPILER is None and not os.environ.get("CI"),
    reason="g++ is missing, which runs the GPU kernels here",
)
SINGLE = ["cupy-sequential", "cupy-parallel"]


@pytest.fixture(scope="module", autouse=True)
def cupy():
    with stand_in.installed() as module:
        yield module


def inner(test):
    """The function under `given` of a property of tests/property/test_exact.py."""
    return test.hypothesis.inner_test


def test_the_stand_in_refuses_what_cupy_refuses(cupy):
    there, here = cupy.asarray(np.ones(3)), np.ones(3)
    for mixed in (lambda: there + here, lambda: here * there, lambda: np.where(there > 0, here, there)):
        with pytest.raises(TypeError, match="Unsupported type"):
            mixed()
    with pytest.raises(TypeError, match="Unsupported type"):
        there[...] = here
    with pytest.raises(TypeError, match="Unsupported type"):
        cupy.searchsorted(here, there)
    assert type(there + 1) is type(there.sum()) is type(np.zeros_like(there)) is cupy.ndarray
    assert np.isnan(cupy.empty(2, np.float32)).all()


def test_both_are_listed():
    assert set(SINGLE) <= set(solvers.names())
    assert "cupy-sequential" in solvers.names("multi-spike")


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("solver", SINGLE)
@given(data=st.data())
def test_single_spike_on_exact_inputs(solver, dtype, data):
    inner(test_exact.test_single_spike)(solver, dtype, data)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@given(data=st.data())
def test_multi_spike_on_exact_inputs(dtype, data):
    inner(test_exact.test_multi_spike_forward)("cupy-sequential", dtype, data)
    inner(test_exact.test_multi_spike_backward)("cupy-sequential", data.draw(st.booleans()), data)


@pytest.mark.parametrize("readout", ["max", "sum"])
@pytest.mark.parametrize("solver", SINGLE)
@given(data=st.data())
def test_readout_on_exact_inputs(solver, readout, data):
    inner(test_exact.test_readout)(solver, readout, data)


@pytest.mark.parametrize("solver", SINGLE)
@given(case=exact_cases(), seed=st.integers(0, 2**31))
@settings(max_examples=20)
def test_permuting_the_batch(solver, case, seed):
    inner(test_exact.test_permuting_the_batch_permutes_the_result)(solver, case, seed)


@pytest.mark.parametrize("scale", [0.0, 10.0])
@pytest.mark.parametrize("gradient", ["gated", "straight-through"])
@pytest.mark.parametrize("solver", SINGLE)
def test_gradient_of_the_single_spike_layer(solver, gradient, scale):
    test_gradients.test_single_spike_layer(solver, gradient, scale)


@pytest.mark.parametrize("learn_decay", [False, True])
@pytest.mark.parametrize("readout", ["max", "sum"])
@pytest.mark.parametrize("gradient", ["gated", "straight-through"])
@pytest.mark.parametrize("solver", SINGLE)
def test_gradient_of_a_deep_network(solver, gradient, readout, learn_decay):
    config = NetworkConfig(
        (5, 7, 6, 4, 3), gradient=gradient, readout=readout, learn_decay=learn_decay, dtype="float64"
    )
    test_gradients.check_network(config, solver)


@pytest.mark.parametrize("detach_reset", [False, True])
def test_gradient_of_the_conventional_network(detach_reset):
    test_gradients.test_conventional_network("cupy-sequential", detach_reset)


@pytest.mark.parametrize(
    ("solver", "neuron"), [*((s, "single-spike") for s in SINGLE), ("cupy-sequential", "multi-spike")]
)
def test_the_oracle_lets_them_pass(solver, neuron):
    report = oracle.check(
        ports.forward_of(solver, neuron), ports.backward_of(solver, neuron), neuron=neuron, examples=10
    )
    assert report.passed, str(report)


@pytest.mark.parametrize("solver", SINGLE)
def test_counts_are_read_as_counts(solver):
    raster = np.random.default_rng(0).integers(0, 4, (2, 5, 3))
    events = SpikeEvents.from_raster(raster, counts=True)
    network = Network.random(NetworkConfig((3, 8, 2), dtype="float64", hidden_gain=3), seed=2)
    runs = [
        network.loss_and_gradients(events, np.array([0, 1]), solver=name)
        for name in (solver, "numpy-sequential")
    ]
    assert runs[0][0] == pytest.approx(runs[1][0], rel=1e-13)
    for name, expected in runs[1][1].items():
        assert type(runs[0][1][name]) is np.ndarray
        np.testing.assert_allclose(runs[0][1][name], expected, rtol=1e-10, atol=1e-13, err_msg=name)


def test_events_of_a_layer_are_those_of_its_raster(cupy):
    module = solvers.get("cupy-parallel")
    rng = np.random.default_rng(3)
    raster = rng.random((4, 9, 5)) < 0.3
    arguments = rng.normal(0, 0.8, (5, 17)), np.zeros(17), np.asarray(0.8), 1.0
    trace = module.single_spike_forward(raster, *arguments)
    assert 0 < trace.spikes.sum() < 4 * 17
    expected, events = SpikeEvents.from_raster(trace.spikes), module.next_input(trace)
    for name in ("indptr", "indices"):
        got = getattr(events, name)
        assert type(got) is np.ndarray
        assert got.dtype == getattr(expected, name).dtype
        np.testing.assert_array_equal(got, getattr(expected, name))
    silent = module.single_spike_forward(raster * 0, *arguments)
    assert module.next_input(silent).n_events == 0
