"""Every wrong layer is caught, by the rule it breaks."""

import time

import numpy as np
import pytest

from minisnn.oracle import Case, check
from minisnn.oracle.suspects_backward import BACKWARD_SUSPECTS, run_backward
from minisnn.oracle.suspects_forward import FORWARD_SUSPECTS, run_model
from tests.mutants import MUTANTS, Layer, MultiLayer

RULES = {
    "TieFires": "tie",
    "FiresAgain": "first-only",
    "FiresTwice": "first-only",
    "OneStepLate": "spike-step",
    "OneStepEarly": "spike-step",
    "LastCrossing": "first-only",
    "MissesLastStep": "last-step",
    "MissesFirstStep": "first-step",
    "NoDecay": "leak",
    "DecaysTooEarly": "leak",
    "FirstDecay": "decay-per-neuron",
    "ScaledInput": "input-scale",
    "BiasOnce": "bias",
    "NoBias": "bias",
    "TransposedWeight": "weight-orientation",
    "DropsLastInput": "inputs",
    "BatchMixed": "batch",
    "KeepsState": "non-deterministic",
    "HalfPrecision": "precision",
    "HalfDecay": "precision",
    "Resets": "reset",
    "Rectifies": "clip",
    "FixedThreshold": "threshold",
    "Uninitialised": "nan",
    "SmallCounter": "first-only",
    "BackwardNoDecay": "leak-gradient",
    "BackwardMemoryless": "leak-gradient",
    "BackwardForward": "leak-gradient",
    "GateLate": "gate",
    "GateEarly": "gate",
    "GateSwapped": "gate",
    "SumsOnce": "double-sum",
    "SumShifted": "double-sum",
    "SurrogateAtZero": "surrogate",
    "SurrogateNotSquared": "surrogate",
    "SurrogateScaled": "surrogate",
    "WrongSign": "sign",
    "DecayShifted": "decay-gradient",
    "AveragesBatch": "batch-sum",
    "BiasMissesStep": "last-step",
    "WrongWeight": "input-gradient",
    "InputShifted": "input-step",
    "HalfGradient": "precision",
    "ResetsToZero": "reset",
    "NeverResets": "reset",
    "MultiTieFires": "tie",
    "ReportsBeforeReset": "reset",
    "ResetSwapped": "reset-gradient",
    "ResetSign": "reset-gradient",
    "MultiBackwardNoDecay": "leak-gradient",
}


def _assert_caught(mutant, report):
    assert not report.passed, f"{mutant.name} ({mutant.lie}) was not caught"
    found = {finding.direction: finding.rule for finding in report.findings}
    assert list(found) == [mutant.breaks], str(report)
    # A mutant nobody has named a rule for must be caught all the same.
    assert found[mutant.breaks] == RULES.get(mutant.name, found[mutant.breaks]), str(report)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda m: m.name)
def test_mutant_is_caught_by_the_right_rule(mutant):
    # The two precisions by turns; the default options, both and more examples, run with -m slow.
    dtype = ("float32", "float64")[len(mutant.name) % 2]
    _assert_caught(
        mutant, check(mutant.forward, mutant.backward, neuron=mutant.neuron, dtype=dtype, examples=10)
    )


@pytest.mark.slow
def test_mutants_are_caught_with_default_options_within_a_minute_each():
    for mutant in MUTANTS:
        started = time.monotonic()
        _assert_caught(mutant, check(mutant.forward, mutant.backward, neuron=mutant.neuron))
        assert time.monotonic() - started < 60, mutant.name


@pytest.mark.parametrize(("layer", "neuron"), [(Layer(), "single-spike"), (MultiLayer(), "multi-spike")])
def test_the_layer_without_a_lie_passes(layer, neuron):
    report = check(layer.forward, layer.backward, neuron=neuron, examples=20)
    assert report.passed, str(report)


# ---- the checker's own list of mistakes -------------------------------------------------------------


def _forward_port(run, neuron):
    def forward(spikes, weight, bias, decay, threshold):
        case = Case("call", neuron, spikes, weight, bias, decay, threshold)
        with np.errstate(all="ignore"):
            answer = run(case) or run_model(case)
        return tuple(np.asarray(part, dtype=weight.dtype) for part in answer)

    return forward


def _backward_port(run, neuron):
    def backward(spikes, weight, bias, decay, threshold, surrogate_scale, gradient, grad_spikes):
        case = Case(
            "call",
            neuron,
            spikes,
            weight,
            bias,
            decay,
            threshold,
            grad_spikes=grad_spikes,
            surrogate_scale=surrogate_scale,
            gradient=gradient,
        )
        with np.errstate(all="ignore"):
            answer = run(case) or run_backward(case)
            return {name: value.astype(weight.dtype) for name, value in answer.items()}

    return backward


SUSPECTS = [
    (suspect, neuron, backward)
    for backward, suspects in ((False, FORWARD_SUSPECTS), (True, BACKWARD_SUSPECTS))
    for suspect in suspects
    for neuron in suspect.neurons
]


def _check_suspect(suspect, neuron, backward, **options):
    if neuron == "multi-spike" and "expected detached" in suspect.text:
        options["gradient"] = "detached-reset"
    truth = _forward_port(run_model, neuron)
    ports = (
        (truth, _backward_port(suspect.run, neuron)) if backward else (_forward_port(suspect.run, neuron),)
    )
    report = check(*ports, neuron=neuron, **options)
    assert not report.passed, suspect.text
    # 1 / (1 + s u) has a pole: NaN is named before the formula.
    assert report.findings[0].rule in (suspect.rule, "nan"), str(report)


@pytest.mark.parametrize(
    ("suspect", "neuron", "backward"),
    SUSPECTS[::16],
    ids=lambda v: v.text[:40] if hasattr(v, "text") else str(v),
)
def test_known_mistakes_are_told_apart(suspect, neuron, backward):
    _check_suspect(suspect, neuron, backward, dtype="float32", examples=10)


@pytest.mark.slow
def test_all_known_mistakes_are_told_apart():
    for suspect, neuron, backward in SUSPECTS:
        _check_suspect(suspect, neuron, backward)
