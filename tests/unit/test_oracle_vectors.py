"""The golden vectors: hand-made literals against exact arithmetic, and the files that carry them."""

import hashlib
import json
import struct

import numpy as np
import pytest

from minisnn.errors import DataError
from minisnn.oracle import vectors
from minisnn.oracle.exact import exact_backward, exact_forward, rational
from minisnn.oracle.hand_cases import FLAGS, HAND_CASES
from minisnn.oracle.hand_gradients import HAND_GRADIENTS, HAND_READOUTS


def _arrays(entry):
    return [np.array(entry[name], dtype=float) for name in ("spikes", "weight", "bias", "decay")]


def _floats(numbers):
    return np.asarray(numbers).astype(float).tolist()


@pytest.mark.parametrize("entry", HAND_CASES, ids=lambda e: e["id"])
def test_hand_cases_are_right(entry):
    run = exact_forward(*_arrays(entry), entry["threshold"], neuron=entry["neuron"], lift=rational)
    assert _floats(run.membrane) == entry["membrane"]
    if entry["neuron"] == "single-spike":
        assert run.spike_times.tolist() == entry["spike_times"]
    else:
        assert run.fired.astype(int).tolist() == entry["fired"]
    assert set(entry["flags"]) <= set(FLAGS)


@pytest.mark.parametrize("entry", HAND_GRADIENTS, ids=lambda e: e["id"])
def test_hand_gradients_are_right(entry):
    x, w, b, d = _arrays(entry)
    run = exact_forward(x, w, b, d, entry["threshold"], neuron=entry["neuron"], lift=rational)
    back = exact_backward(
        run,
        x,
        w,
        d,
        entry["threshold"],
        entry["surrogate_scale"],
        entry["gradient"],
        np.array(entry["grad_spikes"]),
        neuron=entry["neuron"],
        detach_reset=entry["gradient"] == "detached-reset",
        lift=rational,
    )
    for name, field in (
        ("spikes", "grad_input"),
        ("weight", "grad_weight"),
        ("bias", "grad_bias"),
        ("decay", "grad_decay"),
    ):
        assert _floats(back.gradients[name]) == entry[field], field


@pytest.mark.parametrize("entry", HAND_READOUTS, ids=lambda e: e["id"])
def test_hand_readouts_are_right(entry):
    x, w, b, d = _arrays(entry)
    v = exact_forward(x, w, b, d, lift=rational).potential
    time = v.argmax(axis=1) if entry["readout"] == "max" else None
    value = v.max(axis=1) if entry["readout"] == "max" else v.sum(axis=1)
    assert _floats(value * entry["logit_scale"]) == entry["logits"]
    assert time is None or time.tolist() == entry["peak_times"]


def test_ids_are_unique_and_every_flag_is_used():
    cases = vectors.load()
    assert len({case["id"] for case in cases}) == len(cases)
    # Only the checker's own batteries are wide.
    assert set(FLAGS) - {flag for case in cases for flag in case["flags"]} == {"ManyInputs"}


def test_the_shipped_set_is_current():
    assert vectors.differences() == []


def test_the_set_is_the_same_when_made_again():
    assert vectors.generate() == vectors.generate()


def test_arrays_can_be_read_by_hand(tmp_path):
    """As a C program would: magic, version, header length, then little-endian numbers."""
    vectors.write(tmp_path)
    general = json.loads((tmp_path / "general.json").read_text())
    case = next(case for case in general["cases"] if isinstance(case.get("membrane"), dict))
    raw = (tmp_path / case["membrane"]["file"]).read_bytes()
    assert raw[:8] == b"\x93NUMPY\x01\x00"
    (length,) = struct.unpack("<H", raw[8:10])
    header = raw[10 : 10 + length].decode()
    assert "'<f8'" in header
    assert "'fortran_order': False" in header
    numbers = np.frombuffer(raw[10 + length :], dtype="<f8")
    loaded = {case["id"]: case for case in vectors.load(tmp_path)}
    assert np.array_equal(numbers, loaded[case["id"]]["membrane"].ravel())


@pytest.mark.parametrize("damage", ["missing", "changed", "number", "extra", "no-manifest", "bad-manifest"])
def test_damage_is_reported(tmp_path, damage):
    vectors.write(tmp_path)
    target = tmp_path / "forward.json"
    if damage == "missing":
        target.unlink()
    elif damage == "changed":
        target.write_text(target.read_text().replace("1.125", "1.126"))
    elif damage == "number":
        npy = next((tmp_path / "general").glob("*membrane.npy"))
        npy.write_bytes(npy.read_bytes()[:-8] + struct.pack("<d", 5.0))
    elif damage == "extra":
        manifest = json.loads((tmp_path / "manifest.json").read_text())
        manifest["files"]["more.json"] = {"sha256": hashlib.sha256(b"").hexdigest(), "bytes": 0}
        (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    elif damage == "no-manifest":
        (tmp_path / "manifest.json").unlink()
    else:
        (tmp_path / "manifest.json").write_text("[]")
    assert vectors.differences(tmp_path)


def test_loading_checks_every_file(tmp_path):
    vectors.write(tmp_path)
    (tmp_path / "readout.json").write_text("{}")
    with pytest.raises(DataError, match="damaged"):
        vectors.load(tmp_path)
    (tmp_path / "readout.json").unlink()
    with pytest.raises(DataError, match="missing"):
        vectors.load(tmp_path)
