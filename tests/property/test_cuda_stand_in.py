"""Both GPU solvers, whole, with a stand-in for CuPy: the properties of every other solver."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minisnn import Network, NetworkConfig, SpikeEvents, oracle, solvers
from tests import ports
from tests.helpers import one_line, same
from tests.property import test_exact, test_gradients
from tests.unit import test_solvers

pytestmark = pytest.mark.usefixtures("cupy")
SINGLE = ["cupy-sequential", "cupy-parallel"]
DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])
SOLVERS = pytest.mark.parametrize("solver", SINGLE)
GRADIENTS = ("weight", "bias", "decay", "current")


def inner(test):
    """The function under `given` of a property of tests/property/test_exact.py."""
    return test.hypothesis.inner_test


def test_the_stand_in_refuses_what_cupy_refuses(cupy):
    there, here = cupy.asarray(np.ones(3)), np.ones(3)
    for mixed in (
        lambda: there + here,
        lambda: here * there,
        lambda: np.where(there > 0, here, there),
        lambda: there.__setitem__(..., here),
        lambda: cupy.searchsorted(here, there),
    ):
        with one_line(TypeError, "Unsupported type"):
            mixed()
    assert type(there + 1) is type(there.sum()) is type(np.zeros_like(there)) is cupy.ndarray
    assert np.isnan(cupy.empty(2, np.float32)).all()


@DTYPES
@SOLVERS
@given(data=st.data())
def test_single_spike_on_exact_inputs(solver, dtype, data):
    inner(test_exact.test_single_spike)(solver, dtype, data)


@DTYPES
@given(data=st.data())
def test_multi_spike_on_exact_inputs(dtype, data):
    inner(test_exact.test_multi_spike)("cupy-sequential", dtype, data)


@pytest.mark.parametrize("readout", ["max", "sum"])
@SOLVERS
@given(data=st.data())
def test_readout_on_exact_inputs(solver, readout, data):
    inner(test_exact.test_readout)(solver, readout, data)


def wide_case(size, dtype, scalar, inputs):
    """Exact inputs: quarters, decays 0, 1/2 and 1, few steps; column 0 lands on the threshold at step 0."""
    batch, n_steps, n_in, n_out = size
    rng = np.random.default_rng(0)
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
    return rng, raster, weight, bias, decay


@DTYPES
@SOLVERS
@pytest.mark.parametrize("size", [(1, 1, 1, 1), (3, 1, 5, 7), (2, 7, 3, 129), (5, 6, 17, 33)])
def test_layers_wider_than_a_block_on_exact_inputs(solver, dtype, size):
    ours, theirs = solvers.get(solver), solvers.get("numpy-sequential")
    for scalar, inputs in itertools.product((True, False), ("random", "none", "one step")):
        rng, raster, *parameters = wide_case(size, dtype, scalar, inputs)
        grads = [rng.integers(-2, 3, (*raster.shape[:2], size[3])).astype(dtype) for _ in range(2)]
        for spikes in (SpikeEvents.from_raster(raster), raster):
            traces = (
                ours.single_spike_forward(spikes, *parameters, 1.0),
                theirs.single_spike_forward(raster, *parameters, 1.0),
            )
            same(*traces, ("membrane", "spike_times", "spikes"))
            for given_, gradient, scale in itertools.product(
                (grads, [grads[0], None], [None, grads[1]]), ("gated", "straight-through"), (0.0, 10.0)
            ):
                one, other = (
                    solver.single_spike_backward(trace, *given_, scale, gradient)
                    for solver, trace in zip((ours, theirs), traces)
                )
                # gI is the same recursion with the same roundings, the surrogate's division included.
                same(one, other, GRADIENTS if scale == 0 else ("current",))
                for name in GRADIENTS:
                    right = getattr(other, name)
                    atol = 200 * np.finfo(dtype).eps * (1 + np.abs(right).max())
                    np.testing.assert_allclose(getattr(one, name), right, rtol=0, atol=atol, err_msg=name)
            for readout in ("max", "sum"):
                traces = [
                    s.readout_forward(x, *parameters, readout, 0.5)
                    for s, x in ((ours, spikes), (theirs, raster))
                ]
                same(*traces, ("membrane", "logits", *(["peak_times"] if readout == "max" else [])))
                grad = grads[0][:, 0]
                same(*(s.readout_backward(t, grad) for s, t in zip((ours, theirs), traces)), GRADIENTS)


@DTYPES
def test_adam_has_the_bits_of_the_default(dtype):
    test_solvers.test_every_adam_has_the_bits_of_the_default(dtype, 70)


@pytest.mark.parametrize("readout", ["max", "sum"])
@pytest.mark.parametrize("gradient", ["gated", "straight-through"])
@SOLVERS
def test_gradient_of_a_deep_network(solver, gradient, readout):
    options = {
        "gradient": gradient,
        "readout": readout,
        "learn_decay": (gradient == "gated") == (readout == "max"),
    }
    test_gradients.check_network(NetworkConfig((5, 7, 6, 4, 3), dtype="float64", **options), solver)


@pytest.mark.parametrize("detach_reset", [False, True])
def test_gradient_of_the_conventional_network(detach_reset):
    readout = "max" if detach_reset else "sum"
    test_gradients.test_conventional_network("cupy-sequential", detach_reset, not detach_reset, readout)


@pytest.mark.parametrize(
    ("solver", "neuron"), [*((s, "single-spike") for s in SINGLE), ("cupy-sequential", "multi-spike")]
)
def test_the_oracle_lets_them_pass(solver, neuron, few_families):
    run = ports.forward_of(solver, neuron), ports.backward_of(solver, neuron)
    report = oracle.check(*run, neuron=neuron, examples=10)
    assert report.passed, str(report)


@SOLVERS
def test_counts_are_read_as_counts(solver):
    raster = np.random.default_rng(0).integers(0, 4, (2, 5, 3))
    events = SpikeEvents.from_raster(raster, counts=True)
    network = Network.random(NetworkConfig((3, 8, 2), dtype="float64", hidden_gain=3), seed=2)
    one, other = (
        network.loss_and_gradients(events, np.array([0, 1]), solver=name)
        for name in (solver, "numpy-sequential")
    )
    assert one[0] == pytest.approx(other[0], rel=1e-13)
    for name, expected in other[1].items():
        assert type(one[1][name]) is np.ndarray
        np.testing.assert_allclose(one[1][name], expected, rtol=1e-10, atol=1e-13, err_msg=name)


def test_events_of_a_layer_are_those_of_its_raster():
    module, rng = solvers.get("cupy-parallel"), np.random.default_rng(3)
    raster = rng.random((4, 9, 5)) < 0.3
    arguments = rng.normal(0, 0.8, (5, 17)), np.zeros(17), np.asarray(0.8), 1.0
    trace = module.single_spike_forward(raster, *arguments)
    assert 0 < trace.spikes.sum() < 4 * 17
    events = module.next_input(trace)
    same(events, SpikeEvents.from_raster(trace.spikes), ("indptr", "indices"))
    assert type(events.indptr) is type(events.indices) is np.ndarray
    silent = module.single_spike_forward(raster * 0, *arguments)
    assert module.next_input(silent).n_events == 0
