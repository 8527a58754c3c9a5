"""Traces of numba-parallel keep their potential in blocks: every solver takes every other's all the same."""

import copy
import dataclasses
import pickle

import numpy as np
import pytest

import minisnn
from minisnn import Network, NetworkConfig, SpikeEvents, solvers
from minisnn.solvers.compiled import events as event_products
from minisnn.solvers.compiled.traces import BlockReadoutTrace, BlockTrace

N_OUT = 70  # three blocks, the last not full


@pytest.fixture(autouse=True)
def keep_product():
    yield
    event_products.set_product("auto")


def exact_layer(rate=0.2):
    """Quarters and a decay of a half over few steps: all solvers have the same bits."""
    rng = np.random.default_rng(3)
    weight, bias = rng.integers(-8, 9, (9, N_OUT)) / 4, rng.integers(-2, 3, N_OUT) / 4
    return (rng.random((5, 7, 9)) < rate), weight, bias, np.full(N_OUT, 0.5)


def exact_gradient():
    return np.random.default_rng(4).integers(-8, 9, (5, 7, N_OUT)) / 4


def test_the_potential_is_formed_when_first_asked_for():
    trace = solvers.get("numba-parallel").single_spike_forward(*exact_layer(), 1.0)
    assert isinstance(trace, BlockTrace)
    assert trace.shape == (5, 7, N_OUT)
    last, spikes = trace.last_potential, trace.spikes
    assert "potential" not in vars(trace)
    right = solvers.get("numpy-sequential").single_spike_forward(*exact_layer(), 1.0)
    assert np.array_equal(last, right.last_potential)
    assert np.array_equal(spikes, right.spikes)
    assert np.array_equal(trace.membrane, right.membrane)
    assert trace.potential is trace.potential


def test_a_network_never_asks_for_it():
    network = Network.random(NetworkConfig((9, N_OUT, 40, 3)), seed=1)
    events = SpikeEvents.from_raster(exact_layer()[0])
    _, _, activity = network.loss_and_gradients(events, np.zeros(5, int), solver="numba-parallel")
    assert activity.spike_counts().shape == (2,)
    assert all("potential" not in vars(trace) for trace in activity.hidden)
    assert isinstance(activity.readout, BlockReadoutTrace)
    assert "membrane" not in vars(activity.readout)
    assert activity.readout.membrane.shape == (5, 7, 3)


@pytest.mark.parametrize("maker", solvers.names())
@pytest.mark.parametrize("taker", solvers.names())
@pytest.mark.parametrize("gradient", minisnn.model.GRADIENTS)
def test_any_solver_takes_the_trace_of_any_other(maker, taker, gradient):
    makes, takes = solvers.get(maker), solvers.get(taker)
    definition = solvers.get("numpy-sequential")
    for rate in (0.2, 0.8):
        layer = exact_layer(rate)
        made, right = (s.single_spike_forward(*layer, 1.0) for s in (makes, definition))
        got, expected = (
            s.single_spike_backward(t, exact_gradient(), exact_gradient(), 0.0, gradient)
            for s, t in ((takes, made), (definition, right))
        )
        for name in ("weight", "bias", "decay", "current", "spikes"):
            np.testing.assert_array_equal(getattr(got, name), getattr(expected, name), err_msg=name)
        readout = makes.readout_forward(
            makes.next_input(made), np.ones((N_OUT, 3)), np.zeros(3), layer[3][:3], "max", 1.0
        )
        of_readout = definition.readout_forward(
            right.spikes, np.ones((N_OUT, 3)), np.zeros(3), layer[3][:3], "max", 1.0
        )
        got, expected = (
            s.readout_backward(t, np.ones((5, 3))) for s, t in ((takes, readout), (definition, of_readout))
        )
        for name in ("weight", "bias", "decay", "current"):
            np.testing.assert_array_equal(getattr(got, name), getattr(expected, name), err_msg=name)


@pytest.mark.parametrize("first", ["events", "dense"])
@pytest.mark.parametrize("then", ["events", "dense"])
def test_the_product_may_change_between_the_passes(first, then):
    solver, layer = solvers.get("numba-parallel"), exact_layer()
    event_products.set_product(first)
    trace = solver.single_spike_forward(*layer, 1.0)
    readout = solver.readout_forward(trace.spikes, np.ones((N_OUT, 3)), np.zeros(3), layer[3][:3], "sum", 1.0)
    event_products.set_product(then)
    got = solver.single_spike_backward(trace, exact_gradient(), None, 0.0, "gated")
    of_readout = solver.readout_backward(readout, np.ones((5, 3)))
    definition = solvers.get("numpy-sequential")
    right = definition.single_spike_forward(*layer, 1.0)
    expected = definition.single_spike_backward(right, exact_gradient(), None, 0.0, "gated")
    assert np.array_equal(got.weight, expected.weight)
    assert np.array_equal(got.current, expected.current)
    right = definition.readout_forward(
        right.spikes, np.ones((N_OUT, 3)), np.zeros(3), layer[3][:3], "sum", 1.0
    )
    assert np.array_equal(readout.membrane, right.membrane)
    assert np.array_equal(of_readout.weight, definition.readout_backward(right, np.ones((5, 3))).weight)


def test_copies_and_traces_built_from_the_fields_are_the_same_trace():
    solver = solvers.get("numba-parallel")
    trace = solver.single_spike_forward(*exact_layer(), 1.0)
    expected = solver.single_spike_backward(trace, exact_gradient(), None, 10.0, "gated")
    for other in (
        copy.copy(trace),
        copy.deepcopy(trace),
        pickle.loads(pickle.dumps(trace)),
        dataclasses.replace(trace),
    ):
        assert np.array_equal(other.potential, trace.potential)
        assert np.array_equal(other.last_potential, trace.last_potential)
        got = solver.single_spike_backward(other, exact_gradient(), None, 10.0, "gated")
        assert np.array_equal(got.weight, expected.weight)


def test_an_overflow_is_seen_without_forming_the_potential():
    raster = np.zeros((1, 4, 2))
    raster[0, :2, 0] = 1
    with pytest.raises(OverflowError, match="the potential left the range of float32"):
        minisnn.single_spike_forward(
            raster, np.full((2, 3), 3e38, np.float32), np.zeros(3, np.float32), 0.5, solver="numba-parallel"
        )
