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
from tests.helpers import same

N_OUT = 70  # three blocks, the last not full
READOUT = np.ones((N_OUT, 3)), np.zeros(3), np.full(3, 0.5)
GRADIENT = np.random.default_rng(4).integers(-8, 9, (5, 7, N_OUT)) / 4
DEFINITION, COMPILED = solvers.get("numpy-sequential"), solvers.get("numba-parallel")


def exact_layer(rate=0.2):
    """Quarters and a decay of a half over few steps: all solvers have the same bits."""
    rng = np.random.default_rng(3)
    weight, bias = rng.integers(-8, 9, (9, N_OUT)) / 4, rng.integers(-2, 3, N_OUT) / 4
    return rng.random((5, 7, 9)) < rate, weight, bias, np.full(N_OUT, 0.5), 1.0


def test_the_potential_is_formed_when_first_asked_for():
    trace, right = (solver.single_spike_forward(*exact_layer()) for solver in (COMPILED, DEFINITION))
    assert isinstance(trace, BlockTrace)
    assert trace.shape == (5, 7, N_OUT)
    same(trace, right, ("last_potential", "spikes"))
    assert "potential" not in vars(trace)
    same(trace, right, ["membrane"])
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
    makers, takers = (solvers.get(maker), DEFINITION), (solvers.get(taker), DEFINITION)
    for rate in (0.2, 0.8):
        made = [s.single_spike_forward(*exact_layer(rate)) for s in makers]
        pair = (s.single_spike_backward(t, GRADIENT, GRADIENT, 0.0, gradient) for s, t in zip(takers, made))
        same(*pair, ("weight", "bias", "decay", "current", "spikes"))
        made = [s.readout_forward(s.next_input(t), *READOUT, "max", 1.0) for s, t in zip(makers, made)]
        pair = (s.readout_backward(t, np.ones((5, 3))) for s, t in zip(takers, made))
        same(*pair, ("weight", "bias", "decay", "current"))


@pytest.mark.parametrize("first", ["events", "dense"])
@pytest.mark.parametrize("then", ["events", "dense"])
def test_the_product_may_change_between_the_passes(first, then):
    layers, readouts = [], []
    for solver in (COMPILED, DEFINITION):
        event_products.set_product(first)
        trace = solver.single_spike_forward(*exact_layer())
        readout = solver.readout_forward(trace.spikes, *READOUT, "sum", 1.0)
        event_products.set_product(then)
        layers.append(solver.single_spike_backward(trace, GRADIENT, None, 0.0, "gated"))
        readouts.append((readout, solver.readout_backward(readout, np.ones((5, 3)))))
    same(*layers, ("weight", "current"))
    (readout, gradients), (right, expected) = readouts
    same(readout, right, ["membrane"])
    same(gradients, expected, ["weight"])


@pytest.mark.parametrize(
    "make", [copy.copy, copy.deepcopy, lambda trace: pickle.loads(pickle.dumps(trace)), dataclasses.replace]
)
def test_copies_and_traces_built_from_the_fields_are_the_same_trace(make):
    trace = COMPILED.single_spike_forward(*exact_layer())
    other = make(trace)
    same(other, trace, ("potential", "last_potential"))
    same(
        *(COMPILED.single_spike_backward(t, GRADIENT, None, 10.0, "gated") for t in (other, trace)),
        ["weight"],
    )
