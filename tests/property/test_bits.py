"""The compiled time loop has the bits of the definition; threads change no bit of anything."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minisnn
from minisnn import Network, NetworkConfig
from minisnn.solvers.compiled import events as event_products
from minisnn.solvers.compiled.threads import set_threads
from minisnn.solvers.compiled.workspace import Workspace
from tests.helpers import UnwrittenIsSeen, same_dict
from tests.strategies import float_cases


def network_for(case, **choices):
    n_in, n_out = case.weight.shape
    network = Network.random(
        NetworkConfig((n_in, n_out, 7, 3), dtype=str(case.weight.dtype), **choices), seed=3
    )
    rng = np.random.default_rng(0)
    for name, array in network.parameters.items():
        if not name.endswith("decay"):
            array[...] = rng.standard_normal(array.shape)
    return network, rng.integers(0, 3, len(case.spikes))


def assert_same_bits(first, second):
    assert first[0] == second[0]
    same_dict(first[1], second[1])
    for one, other in zip(first[2].hidden, second[2].hidden):
        np.testing.assert_array_equal(one.potential, other.potential)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("neuron", ["single-spike", "multi-spike"])
@given(data=st.data())
@settings(max_examples=25)
def test_compiled_loop_equals_the_definition(neuron, dtype, data):
    case = data.draw(float_cases(dtype=dtype))
    choices = {
        "neuron": neuron,
        "readout": data.draw(st.sampled_from(["max", "sum"])),
        "gradient": data.draw(st.sampled_from(minisnn.model.GRADIENTS)),
        "detach_reset": data.draw(st.booleans()),
        "learn_decay": data.draw(st.booleans()),
        "spike_penalty": data.draw(st.sampled_from([0.0, 0.3])),
        "threshold": data.draw(st.sampled_from([1.0, 0.5])),
    }
    network, labels = network_for(case, **choices)
    definition = network.loss_and_gradients(case.spikes, labels, solver="numpy-sequential")
    compiled = network.loss_and_gradients(case.spikes, labels, solver="numba-sequential")
    assert_same_bits(definition, compiled)


@pytest.mark.parametrize("kind", ["auto", "events", "dense"])
@pytest.mark.parametrize("solver", ["numba-sequential", "numba-parallel"])
@given(data=st.data())
@settings(max_examples=15)
def test_threads_and_workspaces_change_no_bit(solver, kind, data):
    case = data.draw(float_cases(dtype=np.float32))
    network, labels = network_for(case, gradient=data.draw(st.sampled_from(minisnn.model.GRADIENTS)))
    event_products.set_product(kind)
    workspace, results = Workspace(), []
    for threads in (1, 2, 4):
        set_threads(threads)
        results.append(network.loss_and_gradients(case.spikes, labels, solver=solver))
    # Buffers that hold the rubbish of an earlier, different batch change nothing either.
    network.loss_and_gradients(1 - case.spikes, labels, solver=solver, workspace=workspace)
    for used in (workspace, UnwrittenIsSeen()):
        results.append(network.loss_and_gradients(case.spikes, labels, solver=solver, workspace=used))
    for other in results[1:]:
        assert_same_bits(results[0], other)


@pytest.mark.parametrize("kind", ["events", "dense"])
@given(data=st.data())
@settings(max_examples=20)
def test_event_and_dense_products_agree(kind, data):
    case = data.draw(float_cases())
    network, labels = network_for(case, readout=data.draw(st.sampled_from(["max", "sum"])))
    expected = network.loss_and_gradients(case.spikes, labels, solver="numpy-sequential")
    event_products.set_product(kind)
    for solver in ("numba-parallel", "numba-sequential"):
        got = network.loss_and_gradients(case.spikes, labels, solver=solver)
        assert abs(got[0] - expected[0]) <= 1e-9 * max(1, abs(expected[0]))
        for name, gradient in expected[1].items():
            scale = np.abs(gradient).max() + 1e-30
            np.testing.assert_allclose(got[1][name] / scale, gradient / scale, atol=1e-8, err_msg=name)
