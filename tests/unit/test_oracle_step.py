"""A whole training step judged by derived bounds: right ones pass at every size and setting, wrong ones are named."""

import dataclasses

import numpy as np
import pytest

from minisnn import Network, NetworkConfig, solvers
from minisnn.loss import softmax_cross_entropy, softmax_cross_entropy_backward
from minisnn.oracle.bounds import cross_entropy_bounds
from minisnn.oracle.reference import reference_cross_entropy
from minisnn.oracle.step import step_fault

WAYS = [(name, neuron) for neuron in solvers.NEURONS for name in solvers.names(neuron)]


def _drawn(seed, neuron, dtype):
    """A small network of any settings, and a batch for it."""
    rng = np.random.default_rng(seed)
    pick = lambda *values: values[rng.integers(len(values))]  # noqa: E731
    hidden = tuple(int(n) for n in rng.integers(1, 9, pick(1, 1, 2, 3)))
    config = NetworkConfig(
        sizes=(int(rng.integers(1, 12)), *hidden, int(rng.integers(1, 6))),
        neuron=neuron,
        gradient=pick("gated", "straight-through"),
        surrogate_scale=pick(0.0, 1.0, 10.0, 100.0),
        detach_reset=pick(True, False),
        readout=pick("max", "sum"),
        logit_scale=pick(0.01, 1.0, 8.0),
        threshold=pick(0.3, 1.0, 2.0),
        hidden_decay=pick(0.0, 0.5, 0.9, 1.0),
        readout_decay=pick(0.0, 0.8, 0.95, 1.0),
        learn_decay=pick(True, False),
        hidden_gain=pick(0.0, 1.0, 3.0, 8.0),
        dtype=dtype,
    )
    network = Network.random(config, seed)
    for name, array in network.parameters.items():
        if name.endswith("bias"):
            array[:] = rng.normal(0, pick(0.0, 0.3), array.shape)
    batch, n_steps = int(rng.integers(1, 5)), pick(1, 2, 7, 40)
    spikes = rng.random((batch, n_steps, config.sizes[0])) < pick(0.0, 0.1, 0.6)
    return network, spikes.astype(dtype), rng.integers(0, config.sizes[-1], batch)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("solver", "neuron"), WAYS)
def test_right_steps_pass(solver, neuron, dtype):
    for seed in range(40):
        network, spikes, labels = _drawn(seed, neuron, dtype)
        loss, gradients, activity = network.loss_and_gradients(spikes, labels, solver=solver)
        answers = {"": (loss, gradients)}
        if (solver, neuron) == ("numba-parallel", "single-spike"):
            answers["at once: "] = network.training_step(spikes, labels, solver=solver)[:2]
        assert step_fault(network.config, activity, spikes, labels, answers) is None, seed


def _step(neuron="single-spike", **choices):
    sizes = choices.pop("sizes", (12, 9, 4))
    network = Network.random(NetworkConfig(sizes=sizes, neuron=neuron, hidden_gain=3.0, **choices), 3)
    for name in network.config.layers[1:]:
        network.parameters[f"{name}.weight"] *= 4  # so that every layer fires
    rng = np.random.default_rng(5)
    spikes = (rng.random((3, 30, 12)) < 0.3).astype("float32")
    labels = rng.integers(0, 4, 3)
    loss, gradients, activity = network.loss_and_gradients(spikes, labels, solver="numpy-sequential")
    return network.config, activity, spikes, labels, loss, gradients


@pytest.mark.parametrize("neuron", solvers.NEURONS)
@pytest.mark.parametrize("layer", ["hidden1", "hidden2", "readout"])
@pytest.mark.parametrize("part", ["weight", "bias", "decay"])
def test_every_gradient_of_every_layer_is_judged(neuron, layer, part):
    config, *step, loss, gradients = _step(neuron, sizes=(12, 9, 7, 4), hidden_decay=0.7)
    wrong = gradients | {f"{layer}.{part}": gradients[f"{layer}.{part}"] * np.float32(1.01)}
    place = layer.replace("hidden", "hidden layer ")
    fault = step_fault(config, *step, {"": (loss, gradients), "again: ": (loss, wrong)})
    assert fault.startswith(f"again: {place}: gradient of {part}[")


def test_a_loss_that_is_not_that_of_the_logits_is_named():
    config, *step, loss, gradients = _step()
    assert step_fault(config, *step, {"": (loss * (1 + 1e-4), gradients)}).startswith("loss[]: expected")
    assert step_fault(config, *step, {"": (float("nan"), gradients)}).startswith("loss[]: expected")


@pytest.mark.parametrize("neuron", solvers.NEURONS)
def test_other_rules_than_those_of_the_network_are_found(neuron):
    config, *step, loss, gradients = _step(neuron, surrogate_scale=2.0)
    answers = {"": (loss, gradients)}
    assert step_fault(config, *step, answers) is None
    other = {"gradient": "gated"} if neuron == "single-spike" else {"detach_reset": True}
    for change in (other, {"surrogate_scale": 4.0}):
        assert "hidden layer: gradient" in step_fault(dataclasses.replace(config, **change), *step, answers)


def test_a_peak_that_is_none_is_named():
    config, activity, *rest, loss, gradients = _step(readout="max")
    late = dataclasses.replace(activity.readout, peak_times=(activity.readout.peak_times + 7) % 30)
    activity = dataclasses.replace(activity, readout=late)
    assert "step of the maximum" in step_fault(config, activity, *rest, {"": (loss, gradients)})


@pytest.mark.parametrize("size", [0.0, 1.0, 30.0, 300.0])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_softmax_keeps_its_bound_and_is_not_loose(dtype, size):
    for seed in range(50):
        rng = np.random.default_rng(seed)
        logits, labels = (size * rng.normal(size=(6, 5))).astype(dtype), rng.integers(0, 5, 6)
        loss, probabilities = softmax_cross_entropy(logits, labels)
        gradient = 6 * softmax_cross_entropy_backward(probabilities, labels)
        exact = reference_cross_entropy(logits.astype("float64"), labels)
        of_loss, of_gradient = cross_entropy_bounds(logits.astype("float64"), *exact, dtype, np.zeros(1))
        assert abs(loss - exact[0].mean()) <= of_loss < 1e-3 * (1 + loss)
        assert (np.abs(gradient - exact[2]) <= of_gradient).all()
        assert (of_gradient < 1e-3).all()
