"""The check before every time: it passes what is right and finds what is wrong, however small."""

import dataclasses

import numpy as np
import pytest
import threadpoolctl

import minisnn
from minisnn import solvers
from minisnn.bench.agreement import disagreement, layer_disagreement, same_bits
from minisnn.bench.grid import GRADIENT, SCALE, layer_calls, layer_fault, layer_parameters, poisson_raster
from minisnn.bench.timing import Contestant
from minisnn.bench.workloads import RULES, make_batch, make_network, workload
from minisnn.solvers.settings import settings

WAYS = [
    ("numpy-sequential", "single-spike", "auto"),
    ("numpy-parallel", "single-spike", "auto"),
    ("numba-sequential", "single-spike", "dense"),
    ("numba-sequential", "single-spike", "events"),
    ("numba-parallel", "single-spike", "events"),
    ("numba-parallel", "single-spike", "dense"),
    ("numpy-sequential", "multi-spike", "auto"),
    ("numba-sequential", "multi-spike", "dense"),
    ("numba-sequential", "multi-spike", "events"),
]
SMALL = workload("shd", batch=3, n_steps=40, n_inputs=30, n_hidden=9, n_classes=4, n_events=150)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(("solver", "neuron", "product"), WAYS)
def test_every_solver_agrees(rule, solver, neuron, product):
    events, labels = make_batch(SMALL)
    network = make_network(SMALL, rule, neuron, events)
    with settings(product, 2):
        assert disagreement(network, events, labels, solver) is None


def test_no_blas_thread_is_left_spinning_into_the_first_timed_runs(monkeypatch):
    events, labels = make_batch(SMALL)
    network = make_network(SMALL, "v1", "single-spike", events)
    module, seen = solvers.get("numpy-sequential"), []
    right = module.single_spike_forward

    def watched(*args, **kwargs):
        libraries = threadpoolctl.threadpool_info()
        seen.extend(library["num_threads"] for library in libraries if library["user_api"] == "blas")
        return right(*args, **kwargs)

    monkeypatch.setattr(module, "single_spike_forward", watched)
    with settings("auto", 2):
        assert disagreement(network, events, labels, "numpy-sequential") is None
    assert seen
    assert set(seen) == {1}


def _wrong(monkeypatch, solver, function, change):
    """Let a function of a solver return something slightly different."""
    module = solvers.get(solver)
    right = getattr(module, function)
    monkeypatch.setattr(module, function, lambda *a, **k: change(right(*a, **k)))


def _scaled(part, factor):
    return lambda result: dataclasses.replace(result, **{part: getattr(result, part) * np.float32(factor)})


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(
    ("function", "change", "what"),
    [
        ("single_spike_forward", _scaled("potential", 1.001), "potential"),
        ("single_spike_forward", lambda t: dataclasses.replace(t, first_spikes=t.first_spikes + 1), "spike"),
        ("single_spike_backward", _scaled("weight", 1.01), "hidden layer: gradient of weight"),
        ("single_spike_backward", _scaled("bias", 1.01), "hidden layer: gradient of bias"),
        ("single_spike_backward", _scaled("decay", 1.01), "hidden layer: gradient of decay"),
        ("readout_forward", _scaled("logits", 1.001), "logits"),
        ("readout_backward", _scaled("weight", 1.01), "readout: gradient of weight"),
        ("readout_backward", _scaled("decay", 1.01), "readout: gradient of decay"),
        ("single_spike_backward", _scaled("weight", np.nan), "hidden layer: gradient of weight"),
    ],
)
def test_a_wrong_solver_is_found(monkeypatch, rule, function, change, what):
    events, labels = make_batch(SMALL)
    network = make_network(SMALL, rule, "single-spike", events)
    _wrong(monkeypatch, "numpy-sequential", function, change)
    fault = disagreement(network, events, labels, "numpy-sequential")
    assert fault is not None
    assert what in fault


def test_a_wrong_conventional_layer_is_found(monkeypatch):
    events, labels = make_batch(SMALL)
    # With version 1's steep surrogate, rounding alone may change this gradient by more than 1 %.
    network = make_network(SMALL, "v2", "multi-spike", events)
    _wrong(monkeypatch, "numba-sequential", "multi_spike_backward", _scaled("decay", 1.01))
    assert "gradient of decay" in disagreement(network, events, labels, "numba-sequential")


def test_the_wrong_choice_of_gradient_is_found():
    raster = poisson_raster("dense", 3, 20, 30)
    parameters = layer_parameters(raster, 7)
    grad_spikes = np.random.default_rng(0).standard_normal((3, 20, 7)).astype(np.float32)
    way = Contestant("numba-parallel", "single-spike", "auto", 1)
    assert layer_fault(way, raster, parameters, grad_spikes) is None
    forward, backward = layer_calls(way, raster, parameters, grad_spikes)
    trace = forward(None)
    gradients = backward(trace)
    assert layer_disagreement(trace, gradients, raster, grad_spikes, SCALE, GRADIENT) is None
    assert layer_disagreement(trace, gradients, raster, grad_spikes, SCALE, "gated") is not None
    assert layer_disagreement(trace, gradients, raster, grad_spikes, 2 * SCALE, GRADIENT) is not None


def test_the_conventional_layer_of_the_grid_must_have_the_bits_of_the_definition(monkeypatch):
    raster = poisson_raster("half", 3, 20, 30)
    parameters = layer_parameters(raster, 7)
    grad_spikes = np.random.default_rng(0).standard_normal((3, 20, 7)).astype(np.float32)
    layer = (raster, parameters, grad_spikes)
    way = Contestant("numba-sequential", "multi-spike", "auto", 1)
    assert layer_fault(way, *layer) is None
    _wrong(monkeypatch, "numba-sequential", "multi_spike_backward", _scaled("decay", 1 + 1e-6))
    assert "bits of decay" in layer_fault(way, *layer)
    _wrong(monkeypatch, "numba-sequential", "multi_spike_forward", _scaled("potential", 1 + 1e-6))
    assert "bits of potential" in layer_fault(way, *layer)


def test_one_bit_is_a_difference(monkeypatch):
    events, labels = make_batch(SMALL)
    network = make_network(SMALL, "v2", "single-spike", events)
    names = ("numba-sequential", "numpy-sequential")
    assert same_bits(network, events, labels, *names) is None
    one_up = lambda g: dataclasses.replace(g, bias=np.nextafter(g.bias, np.float32(np.inf)))  # noqa: E731
    _wrong(monkeypatch, "numba-sequential", "single_spike_backward", one_up)
    assert "bits differ" in same_bits(network, events, labels, *names)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda outcome, loss, gradients: (outcome, loss * 1.001, gradients), "taken at once: loss"),
        (
            lambda outcome, *rest: (_scaled("logits", 1 + 2e-7)(outcome), *rest),
            "other logits",
        ),
        (
            lambda outcome, *rest: (
                dataclasses.replace(outcome, spike_times=tuple(t - 1 for t in outcome.spike_times)),
                *rest,
            ),
            "other spikes",
        ),
        (
            lambda outcome, loss, gradients: (
                outcome,
                loss,
                [_scaled("weight", 1.001)(gradients[0]), *gradients[1:]],
            ),
            "hidden layer: gradient of weight",
        ),
    ],
)
def test_a_wrong_step_taken_at_once_is_found(monkeypatch, rule, change, what):
    events, labels = make_batch(SMALL)
    network = make_network(SMALL, rule, "single-spike", events)
    _wrong(monkeypatch, "numba-parallel", "run_network", lambda step: change(*step))
    assert what in disagreement(network, events, labels, "numba-parallel")


def test_a_wrong_gradient_that_a_layer_hands_down_is_found(monkeypatch):
    events, labels = make_batch(SMALL)
    network = make_network(SMALL, "v2", "single-spike", events)
    _wrong(monkeypatch, "numpy-sequential", "readout_backward", _scaled("current", 1.001))
    assert "hidden layer: gradient of weight" in disagreement(network, events, labels, "numpy-sequential")


def test_a_wrong_loss_is_found(monkeypatch):
    events, labels = make_batch(SMALL)
    network = make_network(SMALL, "v2", "single-spike", events)
    right = minisnn.network.softmax_cross_entropy
    wrong = lambda *a: (right(*a)[0] * 1.001, right(*a)[1])  # noqa: E731
    monkeypatch.setattr(minisnn.network, "softmax_cross_entropy", wrong)
    assert disagreement(network, events, labels, "numpy-sequential").startswith("loss")
