"""A training step taken at once, sample by sample, is the one taken layer by layer."""

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minisnn import Network, NetworkConfig, SpikeEvents, solvers
from minisnn.network import Outcome
from minisnn.solvers.compiled import events as event_products
from minisnn.solvers.compiled import threads
from minisnn.solvers.compiled.workspace import Workspace
from tests.helpers import UnwrittenIsSeen, same_dict


@st.composite
def steps(draw):
    """A network of depth 1 to 3 with odd sizes, and a batch of events for it."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    sizes = tuple(draw(st.lists(st.sampled_from([1, 3, 8, 17, 40]), min_size=3, max_size=5)))
    config = NetworkConfig(
        sizes,
        gradient=draw(st.sampled_from(["gated", "straight-through"])),
        readout=draw(st.sampled_from(["max", "sum"])),
        learn_decay=draw(st.booleans()),
        surrogate_scale=draw(st.sampled_from([0.0, 10.0, 100.0])),
        logit_scale=draw(st.sampled_from([0.1, 1.0])),
        spike_penalty=draw(st.sampled_from([0.0, 0.02])),
        dtype=draw(st.sampled_from(["float32", "float64"])),
    )
    network = Network.random(config, seed=int(rng.integers(1000)))
    for name, array in network.parameters.items():
        if name.endswith("weight"):
            array *= 3
        if name.endswith("bias"):
            array += rng.normal(0, 0.1, array.shape).astype(config.dtype)
    batch, n_steps = draw(st.sampled_from([1, 3, 9, 45])), draw(st.sampled_from([1, 2, 7, 30]))
    rate = draw(st.sampled_from([0.0, 0.05, 0.3, 1.0]))
    raster = rng.random((batch, n_steps, sizes[0])) < rate
    if draw(st.booleans()):
        raster[:, 1:] = False  # all events in one step
    return network, SpikeEvents.from_raster(raster), rng.integers(0, sizes[-1], batch)


def relative(got, expected):
    return float(np.abs(got - expected).max() / max(np.abs(expected).max(), 1e-30))


def same_outcome(outcome, activity):
    assert np.array_equal(outcome.logits, activity.logits)
    assert np.array_equal(outcome.spike_counts(), activity.spike_counts())
    for times, trace in zip(outcome.spike_times, activity.hidden, strict=True):
        assert np.array_equal(times, trace.spike_times)


@given(case=steps())
def test_it_is_the_step_layer_by_layer(case):
    network, events, labels = case
    event_products.set_product("events")
    loss, gradients, outcome = network.training_step(events, labels, workspace=UnwrittenIsSeen())
    layered = network.loss_and_gradients(events, labels, solver="numba-parallel")
    assert isinstance(outcome, Outcome)
    assert loss == pytest.approx(layered[0], rel=1e-5)
    same_outcome(outcome, layered[2])
    assert gradients.keys() == network.parameters.keys()
    rounding = np.finfo(network.config.dtype).eps
    for name, expected in layered[1].items():
        assert gradients[name].shape == network.parameters[name].shape
        assert relative(gradients[name], expected) < 1000 * rounding


@given(case=steps())
def test_predicting_is_the_forward_pass_layer_by_layer(case):
    network, events, _ = case
    event_products.set_product("events")
    expected = network.forward(events, solver="numba-parallel")
    for n_threads, workspace in ((1, UnwrittenIsSeen()), (2, None), (4, Workspace())):
        threads.set_threads(n_threads)
        same_outcome(network.predict(events, workspace=workspace), expected)


@pytest.mark.parametrize("neuron", solvers.NEURONS)
@pytest.mark.parametrize("density", [0.1, 0.9])
def test_every_solver_predicts_what_it_computes_forward(neuron, density):
    network = Network.random(NetworkConfig((6, 5, 4, 3), neuron=neuron, hidden_gain=4.0), seed=1)
    raster = np.random.default_rng(0).random((7, 9, 6)) < density
    for solver in solvers.names(neuron):
        same_outcome(*(run(raster, solver=solver) for run in (network.predict, network.forward)))


@given(case=steps())
def test_threads_workspaces_and_repeats_change_no_bit(case):
    network, events, labels = case
    workspace = Workspace()
    results = []
    for n_threads in (1, 2, 4, 2):
        threads.set_threads(n_threads)
        _, gradients, _ = network.training_step(events, labels, workspace=workspace)
        results.append({name: gradient.copy() for name, gradient in gradients.items()})
    for other in results[1:]:
        same_dict(results[0], other)


@given(case=steps())
def test_how_many_samples_share_a_block_of_weights_changes_no_bit(case):
    network, events, labels = case
    results = []
    for largest in (1, 3, 4):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(event_products, "_LARGEST_GROUP", largest)
            at_once = network.training_step(events, labels)[1]
            layered = network.loss_and_gradients(events, labels, solver="numba-parallel")[1]
        results.append((at_once, layered))
    for other in results[1:]:
        for first, then in zip(results[0], other):
            same_dict(first, then)


def test_dense_input_and_other_solvers_go_layer_by_layer():
    network = Network.random(NetworkConfig((6, 5, 3)))
    raster = np.ones((4, 8, 6), dtype=np.float32)
    labels = np.array([0, 1, 2, 0])
    for solver in ("numba-parallel", "numpy-parallel"):
        loss, gradients, activity = network.training_step(raster, labels, solver=solver)
        expected = network.loss_and_gradients(raster, labels, solver=solver)
        assert not isinstance(activity, Outcome)
        assert loss == expected[0]
        same_dict(gradients, expected[1])


def _own_weight(network):
    return network.parameters["hidden1.weight"]


CHANGES = {
    "nothing": lambda n: None,
    "one number of the first row": lambda n: _own_weight(n).__setitem__((0, 0), 3),
    "the last number": lambda n: _own_weight(n).__setitem__((-1, -1), 3),
    "a row": lambda n: _own_weight(n).__setitem__(2, 1),
    "the sign of zero": lambda n: _own_weight(n).__setitem__((1, 1), -_own_weight(n)[1, 1]),
    "a bias": lambda n: n.parameters["hidden1.bias"].__setitem__(-1, 1),
    "a decay": lambda n: n.parameters["hidden1.decay"].__setitem__(..., 0.25),
    "the readout": lambda n: n.parameters["readout.weight"].__imul__(2),
    "the readout's decay": lambda n: n.parameters["readout.decay"].__setitem__(..., 0.5),
    "assigned": lambda n: n.parameters.update({"hidden1.weight": _own_weight(n) * 2}),
    "assigned transposed": lambda n: n.parameters.update({"hidden1.weight": (_own_weight(n) * 2).T.copy().T}),
    "all assigned": lambda n: setattr(n, "parameters", {k: v * 0.5 for k, v in n.parameters.items()}),
    "locked": lambda n: (_own_weight(n).__imul__(2), _own_weight(n).setflags(write=False)),
    "two layers exchanged": lambda n: n.parameters.update(
        {"hidden1.weight": n.parameters["hidden2.weight"], "hidden2.weight": n.parameters["hidden1.weight"]}
    ),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("workspace", [None, Workspace()], ids=["own", "lent"])
@pytest.mark.parametrize("learn_decay", [True, False])
def test_a_prediction_is_by_the_parameters_of_now(change, workspace, learn_decay):
    network = Network.random(NetworkConfig((40, 40, 40, 3), learn_decay=learn_decay), seed=2)
    for name in ("hidden1.weight", "hidden2.weight", "readout.weight"):
        network.parameters[name] *= 4
    _own_weight(network)[1, 1], rng = 0, np.random.default_rng(0)
    batches = [SpikeEvents.from_spike_times(rng.integers(0, 30, (n, 40)), 30) for n in (1, 7, 40)]
    kept = [network.predict(events, workspace=workspace) for events in batches]
    right = [network.forward(events, solver="numba-parallel") for events in batches]
    for turn in range(2):
        for outcome, activity in zip(kept, right):
            assert np.array_equal(outcome.logits, activity.logits)
        CHANGES[change](network)
        again = [network.predict(events, workspace=workspace) for events in (*batches, *batches)]
        now = [network.forward(events, solver="numba-parallel") for events in (*batches, *batches)]
        for outcome, activity in zip(again, now):
            assert np.array_equal(outcome.logits, activity.logits)
            assert all(np.array_equal(t, h.spike_times) for t, h in zip(outcome.spike_times, activity.hidden))
        same = np.array_equal(again[1].logits, kept[1].logits)
        assert turn == 1 or same == (change in ("nothing", "the sign of zero"))


def test_networks_may_share_a_workspace_and_threads_a_network():
    workspace, rng = Workspace(), np.random.default_rng(0)
    networks = [Network.random(NetworkConfig((40, 40, 3), hidden_gain=6.0), seed=k) for k in range(2)]
    batches = [SpikeEvents.from_spike_times(rng.integers(0, 30, (3, 40)), 30) for _ in range(24)]
    right = [
        [network.forward(events, solver="numba-parallel").logits for events in batches]
        for network in networks
    ]
    for events, *expected in zip(batches, *right):
        for network, logits in zip(networks, expected):
            assert np.array_equal(network.predict(events, workspace=workspace).logits, logits)
    with ThreadPoolExecutor(4) as pool:
        for logits, outcome in zip(right[0], pool.map(networks[0].predict, batches)):
            assert np.array_equal(outcome.logits, logits)
    # What predictions keep is of no copy's concern.
    assert len(pickle.dumps(networks[0])) < 2 * networks[0].n_parameters * 4 + 4000
    for other in (copy.copy(networks[0]), pickle.loads(pickle.dumps(networks[0]))):
        other.parameters["hidden1.weight"][:] *= 2
        assert not np.array_equal(other.predict(batches[0]).logits, right[0][0])
    assert np.array_equal(networks[0].predict(batches[0]).logits, right[0][0])
