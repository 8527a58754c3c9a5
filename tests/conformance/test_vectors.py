"""Every solver meets the shipped golden vectors, read as a stranger would read them: from the files."""

import numpy as np
import pytest

import minisnn
from minisnn import solvers
from minisnn.loss import softmax_cross_entropy, softmax_cross_entropy_backward
from minisnn.oracle import vectors

CASES = vectors.load()
SOLVERS = [(neuron, solver) for neuron in solvers.NEURONS for solver in solvers.names(neuron)]


def _run(case, neuron, solver, dtype):
    run = minisnn.single_spike_forward if neuron == "single-spike" else minisnn.multi_spike_forward
    spikes = np.asarray(case["spikes"], dtype=np.uint8)
    parameters = [np.array(case[name], dtype=dtype) for name in ("weight", "bias", "decay")]
    return run(spikes, *parameters, threshold=case["threshold"], solver=solver)


def _close(came, case, field, exact):
    expected = np.asarray(case[field])
    if exact:
        assert np.array_equal(came, expected), field
    else:
        assert (np.abs(came - expected) <= np.asarray(case[f"{field}_bound"]) * (1 + 1e-9)).all(), field


@pytest.mark.parametrize(("neuron", "solver"), SOLVERS)
def test_layers(neuron, solver):
    seen = 0
    for case in CASES:
        if case.get("neuron") != neuron:
            continue
        exact = case["compare"] != "bound"
        for dtype in ["float32", "float64"] if exact else [case["dtype"]]:
            trace = _run(case, neuron, solver, dtype)
            if "grad_spikes" in case:
                _gradients(case, trace, neuron, solver, dtype, exact)
            else:
                _close(trace.membrane.astype(np.float64), case, "membrane", exact)
                name, came = (
                    ("spike_times", trace.spike_times)
                    if neuron == "single-spike"
                    else ("fired", trace.spikes)
                )
                decided = ~np.asarray(case.get("undecided", np.zeros(np.shape(case[name]))), dtype=bool)
                assert np.array_equal(came[decided], np.asarray(case[name])[decided]), case["id"]
            seen += 1
    assert seen > 20


def _gradients(case, trace, neuron, solver, dtype, exact):
    grad = np.array(case["grad_spikes"], dtype=dtype)
    options = {"surrogate_scale": case["surrogate_scale"], "solver": solver}
    if neuron == "single-spike":
        gradients = minisnn.single_spike_backward(trace, grad, gradient=case["gradient"], **options)
    else:
        detach = case["gradient"] == "detached-reset"
        gradients = minisnn.multi_spike_backward(trace, grad, detach_reset=detach, **options)
    for name, field in (("spikes", "input"), ("weight", "weight"), ("bias", "bias"), ("decay", "decay")):
        _close(getattr(gradients, name).astype(np.float64), case, f"grad_{field}", exact)


@pytest.mark.parametrize("solver", solvers.names())
def test_readout(solver):
    module = solvers.get(solver)
    cases = [case for case in CASES if "readout" in case]
    assert len(cases) >= 6
    for case in cases:
        for dtype in (np.float32, np.float64):
            arrays = [np.array(case[name], dtype=dtype) for name in ("spikes", "weight", "bias", "decay")]
            trace = module.readout_forward(*arrays, case["readout"], case["logit_scale"])
            assert trace.logits.tolist() == case["logits"]
            if "peak_times" in case:
                assert np.asarray(trace.peak_times).tolist() == case["peak_times"]
            gradients = module.readout_backward(trace, np.array(case["grad_logits"], dtype=dtype))
            assert gradients.weight.tolist() == case["grad_weight"]
            assert gradients.bias.tolist() == case["grad_bias"]
            assert gradients.decay.tolist() == case.get("grad_decay", gradients.decay.tolist())
            assert gradients.spikes.tolist() == case.get("grad_input", gradients.spikes.tolist())


def test_loss():
    cases = [case for case in CASES if case["id"].startswith("loss")]
    assert len(cases) == 4
    for case in cases:
        labels = np.array(case["labels"])
        loss, probabilities = softmax_cross_entropy(np.array(case["logits"]), labels)
        _close(loss, case, "loss", False)
        _close(softmax_cross_entropy_backward(probabilities, labels), case, "grad_logits", False)


@pytest.mark.parametrize("solver", solvers.names())
def test_training_step(solver):
    cases = [case for case in CASES if "config" in case]
    assert len(cases) > 10
    for case in cases:
        config = minisnn.NetworkConfig(**case["config"])
        parameters = {name: np.array(a, dtype=config.dtype) for name, a in case["parameters"].items()}
        network = minisnn.Network(config, parameters)
        way = solver if solver in solvers.names(config.neuron) else "numpy-sequential"
        spikes, labels = np.array(case["spikes"], dtype=np.uint8), np.array(case["labels"])
        loss, gradients, activity = network.loss_and_gradients(spikes, labels, solver=way)
        _close(loss, case, "loss", False)
        _close(activity.logits.astype(np.float64), case, "logits", False)
        for name, gradient in gradients.items():
            assert np.shape(case["gradients"][name]) == gradient.shape
            error = np.abs(gradient - np.array(case["gradients"][name]))
            assert (error <= np.array(case["gradients_bound"][name]) * (1 + 1e-9)).all(), (case["id"], name)
