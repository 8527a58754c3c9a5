"""Whatever clothes the arguments wear: the same bits, nothing changed that belongs to somebody else."""

import copy
import dataclasses
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minisnn
from minisnn import Network, NetworkConfig, SpikeEvents, Trace, solvers
from minisnn.datasets import Dataset, EventSamples
from minisnn.model import ReadoutTrace
from minisnn.network import Activity
from minisnn.training.optimiser import Adam
from tests.disguises import INTEGER_DTYPES, RASTER_DTYPES, disguises
from tests.helpers import same, same_dict
from tests.strategies import exact_cases

LAYERS = [(neuron, solver) for neuron in solvers.NEURONS for solver in solvers.names(neuron)]
NAMES = ("spikes", "weight", "bias", "decay")
FORWARD = ("spikes", "membrane", "spike_times")


def functions(neuron):
    name = neuron.replace("-", "_")
    return getattr(minisnn, f"{name}_forward"), getattr(minisnn, f"{name}_backward")


@pytest.mark.parametrize(("neuron", "solver"), LAYERS)
@given(data=st.data(), dtype=st.sampled_from([np.float32, np.float64]))
@settings(max_examples=30)
def test_layers(neuron, solver, data, dtype):
    case = data.draw(exact_cases(dtype=dtype, max_decay_bits=1))
    forward, backward = functions(neuron)
    dressed = [data.draw(disguises(RASTER_DTYPES))(case.spikes)]
    dressed += [data.draw(disguises())(array) for array in (case.weight, case.bias, case.decay)]
    gradients = [data.draw(disguises())(array) for array in (case.grad_spikes, case.grad_membrane)]
    plain = forward(*case.layer, solver=solver)
    trace = forward(*(array for array, _ in dressed), solver=solver)
    same(plain, trace, FORWARD)
    # Exact input: the definition's bits, whoever computed them.
    same(forward(*case.layer, solver="numpy-sequential"), trace, FORWARD)
    expected = backward(plain, case.grad_spikes, grad_membrane=case.grad_membrane, solver=solver)
    (grad_spikes, _), (grad_membrane, _) = gradients
    same(expected, backward(trace, grad_spikes, grad_membrane=grad_membrane, solver=solver), NAMES)
    # A trace that somebody else made, of the same numbers.
    potential = data.draw(disguises())(plain.potential)
    times = data.draw(disguises(("i4", "i8")))(plain.spike_times)
    first = times[0] if neuron == "single-spike" else None
    foreign = Trace(*(array for array, _ in dressed), 1.0, potential[0], neuron, first)
    same(expected, backward(foreign, grad_spikes, grad_membrane=grad_membrane, solver=solver), NAMES)
    assert all(unchanged() for _, unchanged in [*dressed, *gradients, potential, times])


@st.composite
def networks(draw):
    config = NetworkConfig(
        draw(st.sampled_from([(3, 5, 2), (2, 33, 4, 3), (4, 64, 2)])),
        neuron=draw(st.sampled_from(solvers.NEURONS)),
        readout=draw(st.sampled_from(["max", "sum"])),
        learn_decay=draw(st.booleans()),
        dtype=draw(st.sampled_from(["float32", "float64"])),
        hidden_gain=3.0,
    )
    return Network.random(config, draw(st.integers(0, 100)))


def batch_of(network, data):
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    n_in, n_classes = network.config.sizes[0], network.config.sizes[-1]
    times = rng.integers(0, 7, (9, n_in))
    return SpikeEvents.from_spike_times(times, 6), rng.integers(0, n_classes, 9)


@given(data=st.data(), network=networks())
def test_networks(data, network):
    solver = data.draw(st.sampled_from(solvers.names(network.config.neuron)))
    events, labels = batch_of(network, data)
    raster = data.draw(disguises(RASTER_DTYPES))(events.to_raster())
    dressed_labels = data.draw(disguises(INTEGER_DTYPES))(labels)
    dressed = {name: data.draw(disguises())(array) for name, array in network.parameters.items()}
    other = Network(network.config, {name: array for name, (array, _) in dressed.items()})
    spikes, y = raster[0], dressed_labels[0]
    activity = network.forward(events.to_raster(), solver=solver)
    there = other.forward(spikes, solver=solver)
    assert np.array_equal(activity.logits, there.logits)
    logits = activity.logits
    grad = np.linspace(-1, 1, logits.size, dtype=logits.dtype).reshape(logits.shape)
    dressed_grad = data.draw(disguises())(grad)
    expected = network.backward(activity, grad, solver=solver)
    for made in (there, _foreign(data, activity)):
        same_dict(other.backward(made, dressed_grad[0], solver=solver), expected)
    for step in ("loss_and_gradients", "training_step"):
        one = getattr(network, step)(events.to_raster(), labels, solver=solver)
        two = getattr(other, step)(spikes, y, solver=solver)
        assert one[0] == two[0], step
        same_dict(one[1], two[1])
    # An update by gradients in any clothes, once each of the two has been assigned parameters anew.
    for net in (network, other):
        for name, (array, _) in dressed.items():
            net.parameters[name] = array
    for net, clothes in ((network, False), (other, True)):
        optimiser = Adam(net.own_parameters(), net.learns, solvers.get(solver, net.config.neuron))
        optimiser.step({k: data.draw(disguises())(v)[0] if clothes else v for k, v in expected.items()}, 0.01)
    same_dict(network.parameters, other.parameters)
    assert all(unchanged() for _, unchanged in (raster, dressed_labels, dressed_grad, *dressed.values()))


def _foreign(data, activity):
    """An activity of the same numbers that somebody else made."""

    def dress(array):
        return data.draw(disguises())(array)[0]

    parts = ("weight", "bias", "potential")
    hidden = [dataclasses.replace(t, **{n: dress(getattr(t, n)) for n in parts}) for t in activity.hidden]
    readout = activity.readout
    values = {name: dress(getattr(readout, name)) for name in ("weight", "bias", "decay", "membrane")}
    rest = {"readout": readout.readout, "logit_scale": 1.0, "logits": 0}
    return Activity(hidden, ReadoutTrace(readout.input, **rest, **values))


@pytest.mark.parametrize("how", ["init", "assigned", "replaced", "unpickled", "copied"])
@given(data=st.data(), network=networks())
@settings(max_examples=15)
def test_training_changes_its_own_arrays_only(how, data, network):
    solver = data.draw(st.sampled_from(solvers.names(network.config.neuron)))
    events, labels = batch_of(network, data)
    part = EventSamples(events, data.draw(disguises(INTEGER_DTYPES))(labels)[0])
    dataset = Dataset("own", part, part, network.config.sizes[0], network.config.sizes[-1], 6)
    config = minisnn.TrainingConfig(epochs=1, batch_size=4, solver=solver)
    dressed = {name: data.draw(disguises())(array) for name, array in network.parameters.items()}
    arrays = {name: array for name, (array, _) in dressed.items()}
    start = {name: array.copy() for name, array in network.parameters.items()}
    other = Network(network.config, arrays if how == "init" else None or {})
    if how == "assigned":
        for name, array in arrays.items():
            other.parameters[name] = array
    elif how == "replaced":
        other.parameters = arrays
    elif how == "unpickled":
        other = pickle.loads(pickle.dumps(network))
    elif how == "copied":
        other = copy.copy(network)
    one, two = (minisnn.train(net, dataset, config)[-1] for net in (other, Network(network.config, start)))
    assert dataclasses.replace(one, seconds=0) == dataclasses.replace(two, seconds=0)
    assert minisnn.evaluate(other, part, solver=solver).accuracy == one.test_accuracy
    assert any((array != start[name]).any() for name, array in other.parameters.items())
    assert all(np.array_equal(array, network.parameters[name]) for name, array in start.items())
    assert all(unchanged() for _, unchanged in dressed.values())
    if how == "replaced":
        assert arrays.keys() == start.keys()
        assert all(arrays[name] is dressed[name][0] for name in arrays)
