"""Every solver meets the shipped golden vectors, read as a stranger would read them: from the files."""

import numpy as np
import pytest

import minisnn
from minisnn import solvers
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
    assert len(cases) >= 3
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
