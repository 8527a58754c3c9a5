"""Every wrong layer is caught, by the rule it breaks."""

import time

import numpy as np
import pytest

from minisnn.oracle import check
from minisnn.oracle.cases import from_entry
from minisnn.oracle.golden import hand_entries, mistakes
from tests import mutants_of_order, mutants_of_value, ports  # noqa: F401 - they put their mutants into HIDDEN
from tests.mutants import MUTANTS, Layer, MultiLayer
from tests.mutants_of_size import HIDDEN, call, first_spikes
from tests.prepared import ALL, prepared


def _assert_caught(mutant, report):
    assert not report.passed, f"{mutant.name} ({mutant.lie}) was not caught"
    found = {finding.direction: finding.rule for finding in report.findings}
    assert list(found) == [mutant.breaks], str(report)
    assert found[mutant.breaks] == mutant.rule, str(report)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda m: m.name)
def test_mutant_is_caught_by_the_right_rule(mutant):
    # The two precisions by turns; the default options, all families, both and more examples, run with -m slow.
    dtype = ("float32", "float64")[len(mutant.name) % 2]
    _assert_caught(mutant, prepared(mutant.neuron, "both", dtype)(mutant.forward, mutant.backward))


@pytest.mark.slow
def test_mutants_are_caught_with_default_options_within_a_minute_each():
    for mutant in MUTANTS:
        started = time.monotonic()
        _assert_caught(mutant, check(mutant.forward, mutant.backward, neuron=mutant.neuron))
        assert time.monotonic() - started < 60, mutant.name


@pytest.mark.parametrize(("layer", "neuron"), [(Layer(), "single-spike"), (MultiLayer(), "multi-spike")])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_layer_without_a_lie_passes(layer, neuron, dtype):
    report = prepared(neuron, "both", dtype)(layer.forward, layer.backward)
    assert report.passed, str(report)


def test_there_are_enough_of_them():
    assert len(MUTANTS) >= 53
    assert len(HIDDEN) >= 42
    assert len({mutant.name for mutant in MUTANTS + HIDDEN}) == len(MUTANTS + HIDDEN)
    for table in (MUTANTS, HIDDEN):
        assert {(m.breaks, m.neuron) for m in table} == {
            (breaks, neuron)
            for breaks in ("forward", "backward")
            for neuron in ("single-spike", "multi-spike")
        }


# What is named by other means than the table: accidents and low precision.
BY_OTHER_MEANS = {"KeepsState", "Uninitialised", "HalfPrecision", "HalfDecay", "HalfGradient"}


def _answer(mutant, case):
    with np.errstate(all="ignore"):
        arguments = [case.spikes, case.weight, case.bias, case.decay, case.threshold]
        if not case.backward:
            raster, membrane = mutant.forward(*arguments)
            steps = [[np.flatnonzero(neuron).tolist() for neuron in sample.T] for sample in raster]
            return {"spikes": steps, "membrane": membrane}
        gradients = mutant.backward(*arguments, case.surrogate_scale, case.gradient, case.grad_spikes)
    return {"grad_input": gradients.pop("spikes")} | {f"grad_{k}": v for k, v in gradients.items()}


def _says(line, right, came, name):
    """Whether one quantity of an answer is what a line of the table says."""
    expected = line if line == "right" else line[name]
    expected = right[name] if expected == "right" else expected
    return (
        came[name] == expected
        if name == "spikes"
        else np.allclose(came[name], expected, rtol=1e-8, atol=1e-11)
    )


@pytest.mark.parametrize("mutant", [m for m in MUTANTS if m.name not in BY_OTHER_MEANS], ids=lambda m: m.name)
def test_the_table_of_mistakes_says_what_the_mutant_answers(mutant):
    """The literal answers in mistakes.json, proven by wrong layers that share no code with them."""
    truth = (MultiLayer if mutant.neuron == "multi-spike" else Layer)()
    cases = {e["id"]: from_entry(e, "float64") for e in hand_entries() if e.get("neuron") == mutant.neuron}
    cases = {k: case for k, case in cases.items() if case.backward == (mutant.breaks == "backward")}
    right = {k: _answer(truth, case) for k, case in cases.items()}
    came = {k: _answer(mutant, case) for k, case in cases.items()}
    # A mutant may spoil one gradient only; Resets compares V after the reset besides.
    wrong = {name for k in cases for name in came[k] if not _says("right", right[k], came[k], name)}
    wrong -= {"spikes"} if mutant.name == "Resets" else set()
    lines = [
        {k: line for k, line in mistake["answers"].items() if k in cases}
        for mistake in mistakes()
        if mistake["rule"] == mutant.rule
    ]
    assert wrong
    assert any(
        line and all(_says(answer, right[k], came[k], name) for k, answer in line.items() for name in wrong)
        for line in lines
    )


def _all_answers(port, calls):
    """Answers by name to calls one after the other, read only after the last one."""
    given = [[np.copy(a) if isinstance(a, np.ndarray) else a for a in arguments] for arguments in calls]
    came = [(port.forward if len(a) == 5 else port.backward)(*a) for a in given]
    for k, answer in enumerate(came):
        if isinstance(answer, tuple):
            came[k] = {
                name: array for name, array in zip(("spikes", "membrane"), answer) if array is not None
            }
    return came


def _differ(came, right):
    """Whether an answer is further from the right one than any rounding of a few well-conditioned float64 terms."""
    pairs = [
        (a, first_spikes(e[k]) if a.ndim < e[k].ndim else e[k])
        for c, e in zip(came, right)
        for k, a in c.items()
    ]
    return any((np.abs(answer - expected) > 1e-8 * np.abs(expected)).any() for answer, expected in pairs)


def _ordinary():
    rng = np.random.default_rng(8)
    size = {"batch": 3, "n_steps": 6, "n_in": 5, "n_out": 4}
    data = {"x": rng.random((3, 6, 5)) < 0.4, "w": rng.normal(size=(5, 4)), "b": rng.normal(0, 0.1, 4)}
    return [call(**size, **data, decay=0.9), call(**size, **data, decay=0.9, grad=rng.normal(size=(3, 6, 4)))]


@pytest.mark.parametrize("mutant", HIDDEN, ids=lambda m: m.name)
def test_a_hidden_mutant_is_wrong_where_its_witness_says_and_nowhere_ordinary(mutant):
    port, right = type(mutant.port), MultiLayer() if mutant.neuron == "multi-spike" else Layer()
    assert not _differ(_all_answers(port(), _ordinary()), _all_answers(right, _ordinary()))
    assert _differ(_all_answers(port(), mutant.witness), _all_answers(right, mutant.witness))
    direction = [len(arguments) > 5 for arguments in mutant.witness]
    assert direction[-1] == (mutant.breaks == "backward")


# The families that take longest; whom they show is tried by them alone.
SHOWN_BY = {
    name: (family,)
    for family, names in {
        "sizes": "InputTail TailTwice StepEvents8Bits NotSynchronised NeuronTail ActiveList InputIndex8Bits "
        "GradientRow8Bits LostUpdate SumTail ThousandThreads",
        "late": "Times16Bits Ramp16Bits ClipsDoubleSum",
        "calls": "KeyWithoutBias KeyOfFirstBytes KeyOfSpikeCount DirtyPadding GradientKeyWithoutGradient "
        "PotentialOfLastCall GradientKeyWithoutThreshold",
    }.items()
    for name in names.split()
}


@pytest.mark.parametrize("neuron", ["single-spike", "multi-spike"])
@pytest.mark.parametrize(("breaks", "dtype"), [("forward", "float64"), ("backward", "float32")])
def test_no_mutant_hides_from_a_check(neuron, breaks, dtype):
    """And in all that finds them the layer without a lie passes, and so does the fastest solver."""
    tried = prepared(neuron, "both", dtype, tried=tuple(ALL), breaks=breaks)
    layer, solver = (
        (MultiLayer(), "numba-sequential") if neuron == "multi-spike" else (Layer(), "numba-parallel")
    )
    for right in (
        (layer.forward, layer.backward),
        (ports.forward_of(solver, neuron), ports.backward_of(solver, neuron)),
    ):
        report = tried(*right)
        assert report.passed, str(report)
        assert report.tried[breaks].keys() > ALL.keys() - {"sharp"}  # where gradients are undecided
    for mutant in HIDDEN:
        if (mutant.neuron, mutant.breaks) == (neuron, breaks):
            port = type(mutant.port)()
            way = tried
            if mutant.name == "Ramp16Bits":  # float32 rounds by as much
                way = prepared(neuron, "both", "float64", tried=("late",), breaks=breaks)
            findings = way(port.forward, port.backward, SHOWN_BY.get(mutant.name)).findings
            assert [finding.direction for finding in findings] == [breaks], mutant.name
            accidents = {"exception", "timeout", "answer"}  # they are wrong, they do not fail
            assert not accidents & {violation.kind for violation in findings[0].violations}, mutant.name


@pytest.mark.slow
@pytest.mark.parametrize("mutant", HIDDEN, ids=lambda m: m.name)
def test_a_hidden_mutant_is_caught_with_default_options(mutant):
    port = type(mutant.port)()
    report = check(port.forward, port.backward, neuron=mutant.neuron)
    assert [finding.direction for finding in report.findings] == [mutant.breaks], str(report)


def test_a_wrong_forward_pass_is_said_to_be_what_gradients_may_follow_from():
    class NoBiasAnywhere(Layer):
        def forward(self, spikes, weight, bias, decay, threshold):
            return super().forward(spikes, weight, 0 * bias, decay, threshold)

        def backward(self, spikes, weight, bias, *rest):
            return super().backward(spikes, weight, 0 * bias, *rest)

    port = NoBiasAnywhere()
    first, second = check(port.forward, port.backward, dtype="float32", examples=5).findings
    assert (first.rule, second.rule) == ("bias", "bias")
    assert "may follow from the mistake of the forward pass" in second.diagnosis.likely[0]
    assert "may follow" not in first.text()
