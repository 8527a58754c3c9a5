"""The table of known mistakes: every line is told from every other by its literal answers."""

import functools

import numpy as np
import pytest

from minisnn.oracle.cases import from_entry
from minisnn.oracle.diagnosis import Record, diagnose
from minisnn.oracle.golden import hand_entries, mistakes
from minisnn.oracle.judge import Judge
from minisnn.oracle.port import Output
from minisnn.oracle.reference import first_spikes, reference_backward, reference_forward

ENTRIES = {entry["id"]: entry for entry in hand_entries()}
# What a check asks for at once: a layer forward, or by a choice of gradients.
ASKED = [
    ("single-spike", ("",)),
    ("multi-spike", ("",)),
    ("single-spike", ("gated", "straight-through")),
    ("single-spike", ("gated",)),
    ("single-spike", ("straight-through",)),
    ("multi-spike", ("through-reset",)),
    ("multi-spike", ("detached-reset",)),
]
NAMES = {"grad_input": "spikes", "grad_weight": "weight", "grad_bias": "bias", "grad_decay": "decay"}


@functools.cache
def _case(name, dtype):
    return from_entry(ENTRIES[name], dtype)


@functools.cache
def _right(case):
    run = reference_forward(case)
    if case.backward:
        return Output(gradients=reference_backward(run, case).gradients)
    return Output((), run.fired, run.spike_times, run.membrane)


def _output(case, answer):
    """What a port with the mistake returns to a case."""
    right = _right(case)
    if answer == "right":
        return right
    if case.backward:
        expected = right.gradients
        gradients = {
            NAMES[field]: expected[NAMES[field]] if value == "right" else np.array(value)
            for field, value in answer.items()
        }
        return Output(gradients=gradients)
    raster = right.fired
    if answer["spikes"] != "right":
        raster = np.zeros(case.shape, dtype=bool)
        for b, sample in enumerate(answer["spikes"]):
            for n, steps in enumerate(sample):
                raster[b, steps, n] = True
    membrane = right.membrane if answer["membrane"] == "right" else np.array(answer["membrane"])
    return Output((), raster, first_spikes(raster), membrane)


def _records(mistake, neuron, gradients, dtype):
    judge, records = Judge(), []
    for entry in ENTRIES.values():
        if entry.get("neuron") == neuron and entry.get("gradient", "") in gradients:
            case = _case(entry["id"], dtype)
            output = _output(case, mistake["answers"].get(case.id, "right"))
            records.append(Record(case, output, judge.verdict(case, output)))
    return [r for r in records if r.wrong], [r for r in records if not r.wrong]


@pytest.mark.parametrize("mistake", mistakes(), ids=lambda m: m["says"][:50])
def test_every_mistake_is_named(mistake):
    assert set(mistake) == {"rule", "says", "look", "answers"}
    assert set(mistake["answers"]) <= set(ENTRIES)
    named = 0
    for neuron, gradients in ASKED:
        asked = [
            ENTRIES[k]["neuron"] == neuron and ENTRIES[k].get("gradient", "") in gradients
            for k, answer in mistake["answers"].items()
            if answer != "right"
        ]
        if not any(asked):
            continue
        failing, passing = _records(mistake, neuron, gradients, "float32")
        assert failing
        found = diagnose(failing, passing, Judge())
        # Where its line has no answer this port is right, as no port with the mistake is: a second one may fit.
        assert mistake["says"] in (found.text, *found.also), found
        named += 1
    assert named


def test_no_mistake_is_named_where_all_is_right():
    for neuron, gradients in ASKED:
        failing, passing = _records({"answers": {}}, neuron, gradients, "float64")
        assert not failing
        assert len(passing) >= 7


def _only(record, keep):
    """The record of a port that returns no membrane, and times or a raster."""
    kept = {name: getattr(record.output, name) for name in {"spike_times", keep}}
    return Record(record.case, Output(**kept), record.verdict)


def test_spikes_or_membrane_alone_name_a_mistake_too():
    tie = next(mistake for mistake in mistakes() if mistake["rule"] == "tie")
    failing, passing = _records(tie, "single-spike", ("",), "float32")
    for keep in ("spike_times", "fired"):
        alone = [[_only(record, keep) for record in some] for some in (failing, passing)]
        assert diagnose(*alone, Judge()).text == tie["says"]


def test_two_mistakes_at_once_are_named_apart():
    by_says = {mistake["says"]: mistake for mistake in mistakes()}
    sign = by_says["the gradient of bias has the wrong sign"]
    other = by_says["gbeta pairs gI[t] with V[t]; expected V[t-1]"]
    both = {}
    for k in set(sign["answers"]) | set(other["answers"]):
        if ENTRIES[k]["neuron"] == "single-spike":
            case = _case(k, "float64")
            right = _right(case).gradients
            parts = {field: right[name] for field, name in NAMES.items()}
            parts["grad_bias"] = -right["bias"]
            grad_i = np.linalg.lstsq(
                case.weight, right["spikes"].reshape(-1, case.weight.shape[0]).T, rcond=None
            )[0]
            if case.weight.shape[0] < case.weight.shape[1]:
                continue
            grad_i = grad_i.T.reshape(case.shape)
            parts["grad_decay"] = (grad_i * reference_forward(case).membrane).sum(axis=(0, 1))
            both[k] = {field: value.tolist() for field, value in parts.items()}
    failing, passing = _records({"answers": both}, "single-spike", ("gated", "straight-through"), "float32")
    found = diagnose(failing, passing, Judge())
    assert "the gradient of bias has the wrong sign (seen in the gradient of bias)" in found.text
    assert "gbeta pairs gI[t] with V[t]; expected V[t-1] (seen in the gradient of decay)" in found.text
