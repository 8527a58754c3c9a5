"""The check before every time: it passes what is right and finds what is wrong, however small."""

import dataclasses

import numpy as np
import pytest
import threadpoolctl

import minisnn
from minisnn.bench.agreement import disagreement, layer_disagreement, same_bits
from minisnn.bench.grid import GRADIENT, SCALE, layer_calls, layer_fault, layer_parameters, poisson_raster
from minisnn.bench.timing import Contestant
from minisnn.bench.workloads import RULES, make_batch, make_network, workload
from minisnn.solvers.settings import settings
from tests.helpers import one_up, scaled

SMALL = workload("shd", batch=3, n_steps=40, n_inputs=30, n_hidden=9, n_classes=4, n_events=150)
BATCH = make_batch(SMALL)
BOTH_RULES = pytest.mark.parametrize("rule", RULES)


def network_by(rule="v2", neuron="single-spike"):
    return make_network(SMALL, rule, neuron, BATCH[0])


@BOTH_RULES
@pytest.mark.parametrize(
    ("solver", "neuron", "product"),
    [
        ("numpy-sequential", "single-spike", "auto"),
        ("numpy-parallel", "single-spike", "auto"),
        ("numba-sequential", "single-spike", "dense"),
        ("numba-sequential", "single-spike", "events"),
        ("numba-parallel", "single-spike", "events"),
        ("numba-parallel", "single-spike", "dense"),
        ("numpy-sequential", "multi-spike", "auto"),
        ("numba-sequential", "multi-spike", "dense"),
        ("numba-sequential", "multi-spike", "events"),
    ],
)
def test_every_solver_agrees(rule, solver, neuron, product):
    with settings(product, 2):
        assert disagreement(network_by(rule, neuron), *BATCH, solver) is None


def test_no_blas_thread_is_left_spinning_into_the_first_timed_runs(wrong):
    seen = []

    def watched(trace):
        libraries = threadpoolctl.threadpool_info()
        seen.extend(library["num_threads"] for library in libraries if library["user_api"] == "blas")
        return trace

    wrong("numpy-sequential", "single_spike_forward", watched)
    with settings("auto", 2):
        assert disagreement(network_by("v1"), *BATCH, "numpy-sequential") is None
    assert set(seen) == {1}


def louder(step):
    outcome, loss, gradients = step
    return outcome, loss * 1.001, gradients


def other_logits(step):
    return scaled("logits", 1 + 2e-7)(step[0]), *step[1:]


def earlier(step):
    return dataclasses.replace(step[0], spike_times=tuple(t - 1 for t in step[0].spike_times)), *step[1:]


def first_weight_scaled(step):
    outcome, loss, (first, *others) = step
    return outcome, loss, [scaled("weight", 1.001)(first), *others]


def later(trace):
    return dataclasses.replace(trace, first_spikes=trace.first_spikes + 1)


@pytest.mark.parametrize(
    ("solver", "function", "change", "what"),
    [
        ("numpy-sequential", "single_spike_forward", scaled("potential", 1.001), "potential"),
        ("numpy-sequential", "single_spike_forward", later, "spike"),
        ("numpy-sequential", "single_spike_backward", scaled("weight", 1.01), "hidden layer: gradient of weight"),
        ("numpy-sequential", "single_spike_backward", scaled("bias", 1.01), "hidden layer: gradient of bias"),
        ("numpy-sequential", "single_spike_backward", scaled("decay", 1.01), "hidden layer: gradient of decay"),
        ("numpy-sequential", "single_spike_backward", scaled("weight", np.nan), "hidden layer: gradient of weight"),
        ("numba-sequential", "multi_spike_backward", scaled("decay", 1.01), "gradient of decay"),
        ("numpy-sequential", "readout_forward", scaled("logits", 1.001), "logits"),
        ("numpy-sequential", "readout_backward", scaled("weight", 1.01), "readout: gradient of weight"),
        ("numpy-sequential", "readout_backward", scaled("decay", 1.01), "readout: gradient of decay"),
        ("numpy-sequential", "readout_backward", scaled("current", 1.001), "hidden layer: gradient of weight"),
        # The step taken at once.
        ("numba-parallel", "run_network", louder, "taken at once: loss"),
        ("numba-parallel", "run_network", other_logits, "other logits"),
        ("numba-parallel", "run_network", earlier, "other spikes"),
        ("numba-parallel", "run_network", first_weight_scaled, "hidden layer: gradient of weight"),
    ],
)  # fmt: skip
def test_a_wrong_solver_is_found(wrong, solver, function, change, what):
    wrong(solver, function, change)
    # With version 1's steep surrogate, rounding alone may change a gradient of decay by more than 1 %.
    neuron = "multi-spike" if function.startswith("multi") else "single-spike"
    assert what in disagreement(network_by(neuron=neuron), *BATCH, solver)


def test_a_wrong_loss_is_found(monkeypatch):
    right = minisnn.network.softmax_cross_entropy
    monkeypatch.setattr(
        minisnn.network, "softmax_cross_entropy", lambda *a: (right(*a)[0] * 1.001, right(*a)[1])
    )
    assert disagreement(network_by(), *BATCH, "numpy-sequential").startswith("loss")


def test_one_bit_is_a_difference(wrong):
    compared = network_by(), *BATCH, "numba-sequential", "numpy-sequential"
    assert same_bits(*compared) is None
    wrong("numba-sequential", "single_spike_backward", one_up)
    assert "bits differ" in same_bits(*compared)


# ---- a layer of the grid ----------------------------------------------------------------------------


def layer(density):
    raster = poisson_raster(density, 3, 20, 30)
    grad_spikes = np.random.default_rng(0).standard_normal((3, 20, 7)).astype(np.float32)
    return raster, layer_parameters(raster, 7), grad_spikes


def test_the_wrong_choice_of_gradient_is_found():
    raster, parameters, grad_spikes = layer("dense")
    way = Contestant("numba-parallel", "single-spike", "auto", 1)
    assert layer_fault(way, raster, parameters, grad_spikes) is None
    forward, backward = layer_calls(way, raster, parameters, grad_spikes)
    trace = forward(None)
    for scale, gradient in ((SCALE, GRADIENT), (SCALE, "gated"), (2 * SCALE, GRADIENT)):
        fault = layer_disagreement(trace, backward(trace), raster, grad_spikes, scale, gradient)
        assert (fault is None) == ((scale, gradient) == (SCALE, GRADIENT))


def test_the_conventional_layer_of_the_grid_must_have_the_bits_of_the_definition(wrong):
    way, compared = Contestant("numba-sequential", "multi-spike", "auto", 1), layer("half")
    assert layer_fault(way, *compared) is None
    for function, part in (("multi_spike_backward", "decay"), ("multi_spike_forward", "potential")):
        wrong("numba-sequential", function, scaled(part, 1 + 1e-6))
        assert f"bits of {part}" in layer_fault(way, *compared)
