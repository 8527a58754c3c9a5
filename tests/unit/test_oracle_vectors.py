"""The golden vectors: hand-made literals against exact arithmetic, and the files that carry them."""

import json
import re
from dataclasses import asdict, replace

import numpy as np
import pytest

from minisnn import NetworkConfig
from minisnn.errors import DataError
from minisnn.oracle import golden, vectors
from minisnn.oracle.cases import Case, from_entry
from minisnn.oracle.golden import flags, hand_entries, mistakes, step_mistakes
from minisnn.oracle.judge import Judge
from minisnn.oracle.reference import rational, reference_backward, reference_forward
from minisnn.oracle.step_cases import AT_THE_START

ENTRIES = hand_entries()
LAYERS = [entry for entry in ENTRIES if "neuron" in entry]
GRADIENTS = {"grad_input": "spikes", "grad_weight": "weight", "grad_bias": "bias", "grad_decay": "decay"}


FILES = vectors.generate()


@pytest.fixture
def made_once(monkeypatch):
    monkeypatch.setattr(vectors, "generate", lambda: FILES)


def _floats(numbers):
    return np.asarray(numbers).astype(float).tolist()


@pytest.mark.parametrize("entry", LAYERS, ids=lambda e: e["id"])
def test_hand_cases_are_right(entry):
    case = from_entry(entry, "float64")
    run = reference_forward(case, lift=rational)
    if case.backward:
        back = reference_backward(run, case, lift=rational)
        for field, name in GRADIENTS.items():
            assert _floats(back.gradients[name]) == entry[field], field
        return
    assert _floats(run.membrane) == entry["membrane"]
    if entry["neuron"] == "single-spike":
        assert run.spike_times.tolist() == entry["spike_times"]
    else:
        assert run.fired.astype(int).tolist() == entry["fired"]


@pytest.mark.parametrize("entry", [e for e in ENTRIES if "readout" in e], ids=lambda e: e["id"])
def test_hand_readouts_are_right(entry):
    arrays = [np.array(entry[name], dtype=float) for name in ("spikes", "weight", "bias", "decay")]
    case = Case(
        entry["id"], "readout", *arrays, threshold=0.0, surrogate_scale=0.0, gradient="detached-reset"
    )
    run = reference_forward(case, lift=rational)
    time = run.potential.argmax(axis=1)
    steps = np.arange(run.potential.shape[1])[:, None]
    value, reached = run.potential.sum(axis=1), np.ones(run.potential.shape)
    if entry["readout"] == "max":
        value, reached = run.potential.max(axis=1), steps == time[:, None]
        assert time.tolist() == entry["peak_times"]
    assert _floats(value * entry["logit_scale"]) == entry["logits"]
    entering = reached * np.array(entry["grad_logits"])[:, None] * entry["logit_scale"]
    back = reference_backward(run, replace(case, grad_spikes=entering), lift=rational)
    for field, name in GRADIENTS.items():
        assert _floats(back.gradients[name]) == entry.get(field, _floats(back.gradients[name])), field


def test_backward_hand_cases_have_other_thresholds_and_many_steps():
    tried = [(len(e["spikes"][0]), e["threshold"], e["neuron"]) for e in LAYERS if "grad_spikes" in e]
    for neuron in ("single-spike", "multi-spike"):
        assert max(steps for steps, _, kind in tried if kind == neuron) == 64
        assert {threshold for _, threshold, kind in tried if kind == neuron} > {1.0, 2.0}


def test_gradients_are_asked_for_only_where_every_port_has_the_same_spikes():
    for entry in LAYERS:
        if "grad_spikes" in entry:
            for bound in ("standard", "fft"):
                assert Judge(bound).decided(from_entry(entry, "float32")), entry["id"]


def test_ids_are_unique_and_every_flag_is_explained_and_used():
    cases = vectors.load()
    assert len({case["id"] for case in cases}) == len(cases)
    # Only the checker's own batteries are wide.
    assert set(flags()) ^ {flag for case in cases for flag in case["flags"]} == {"ManyInputs"}


def test_the_readme_explains_every_field():
    text = (golden.SHIPPED / "README.md").read_text()
    named = set(re.findall(r"`(\w+)`", text))
    fields = {field.removesuffix("_bound") for case in vectors.load() for field in case}
    fields |= {field for mistake in (*mistakes(), *step_mistakes()) for field in mistake}
    fields |= set(asdict(NetworkConfig((1, 1, 1)))) - set(AT_THE_START)
    assert fields - named <= {"dtype"}
    assert "h'(u) = 1 / (1 + s |u|)^2" in text


def test_the_shipped_set_is_current():
    assert vectors.differences() == []


def test_the_set_is_the_same_when_made_again():
    assert vectors.generate() == FILES


def test_a_case_and_a_mistake_stand_on_one_line_each():
    files = {"hand.json": ENTRIES, "mistakes.json": mistakes(), "steps.json": step_mistakes()}
    for name, entries in files.items():
        lines = (golden.SHIPPED / name).read_text().splitlines()
        assert [line.strip().removesuffix(",") for line in lines if line.startswith("  {")] == [
            json.dumps(entry) for entry in entries
        ]


@pytest.mark.parametrize(
    "name", ["README.md", "hand.json", "mistakes.json", "steps.json", "general.json", "network.json"]
)
@pytest.mark.parametrize("damage", ["missing", "changed", "emptied"])
def test_damage_is_reported(tmp_path, made_once, damage, name):
    vectors.write(tmp_path)
    assert vectors.differences(tmp_path) == []
    target = tmp_path / name
    if damage == "missing":
        target.unlink()
    elif damage == "changed":
        target.write_text(target.read_text().replace("0.5", "0.75").replace("single", "several"))
    else:
        target.write_text("")
    assert vectors.differences(tmp_path) == [f"{name}: {'missing' if damage == 'missing' else 'not current'}"]


def test_the_last_bits_of_generated_numbers_may_differ(tmp_path, made_once):
    vectors.write(tmp_path)
    document = json.loads((tmp_path / "general.json").read_text())
    value = document["cases"][0]["membrane_bound"]
    value[0][0][0] *= 1 + 2e-15
    (tmp_path / "general.json").write_text(json.dumps(document))
    assert vectors.differences(tmp_path) == []
    value[0][0][0] *= 1.01
    (tmp_path / "general.json").write_text(json.dumps(document))
    assert vectors.differences(tmp_path) == ["general.json: not current"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "missing"),
        ("", "damaged"),
        ("{}", "damaged"),
        ("[]", "damaged"),
        ('{"schema": "2.0", "cases": 5}', "damaged"),
        ('{"schema": "2.0", "cases": [5]}', "must hold cases"),
        ('{"schema": "1.0", "cases": []}', "schema 2.0, got schema '1.0'"),
        ("\udcff", "damaged"),
    ],
)
def test_loading_names_what_is_wrong(tmp_path, made_once, text, words):
    vectors.write(tmp_path)
    target = tmp_path / "general.json"
    target.unlink()
    if text is not None:
        target.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(DataError, match=words) as caught:
        vectors.load(tmp_path)
    assert "general.json" in str(caught.value)
    assert "\n" not in str(caught.value)
