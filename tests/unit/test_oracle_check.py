import json
import subprocess
import sys
import time

import numpy as np
import pytest

from minisnn.errors import InputError
from minisnn.oracle import Case, assert_right, check, load_function
from tests import honest_ports as ports

FORWARD, BACKWARD = ports.SINGLE["loop"]
QUICK = {"dtype": "float32", "examples": 10}


# test_oracle_families.py has the rest.
pytestmark = pytest.mark.usefixtures("few_families")


def _found(forward, backward=None, **options):
    report = check(forward, backward, **(QUICK | options))
    assert not report.passed
    return report.findings[0]


def test_a_right_port_passes_and_the_report_says_what_was_tried():
    report = check(FORWARD, BACKWARD, examples=20)
    assert report.passed, str(report)
    forward, backward = report.tried["forward"], report.tried["backward"]
    assert forward["golden"].cases > 40
    assert forward["drawn"].cases == 40
    assert backward["drawn"].cases > 10
    assert forward["drawn"].judged > 1000
    assert not any(tally.failing for tally in (*forward.values(), *backward.values()))
    assert 0.01 < report.ratios["float32 membrane"] < 1
    assert "PASS: single-spike, float32 and float64" in str(report)
    assert "undecidable" in str(report)


def test_spike_times_without_membrane_are_enough():
    def times(*arguments):
        raster, _ = FORWARD(*arguments)
        fired = raster.any(axis=1)
        return np.where(fired, raster.argmax(axis=1), raster.shape[1]).astype(np.int32), None

    assert check(times, **QUICK).passed


def test_the_same_seed_gives_the_same_report():
    first, second = (
        check(FORWARD, BACKWARD, examples=10, seed=4, dtype="float32").to_dict() for _ in range(2)
    )
    assert first | {"seconds": 0} == second | {"seconds": 0}


# ---- accidents are findings -------------------------------------------------------------------------


def _raise(*arguments):
    raise RuntimeError("no kernel for this shape\nsecond line")


def _exit(*arguments):
    sys.exit(3)


def _change_input(spikes, weight, bias, decay, threshold):
    weight *= 1
    weight += 1
    return FORWARD(spikes, weight - 1, bias, decay, threshold)


ACCIDENTS = {
    "exception": [_raise, _exit],
    "answer": [
        lambda *a: FORWARD(*a)[1],
        lambda *a: ("spikes", None),
        lambda *a: None,
        lambda *a: ([[1], [2, 3]], None),
    ],
    "shape": [lambda *a: (FORWARD(*a)[0][0], None), lambda *a: (FORWARD(*a)[0], FORWARD(*a)[1][:, :, :0])],
    "nan": [lambda *a: (FORWARD(*a)[0], FORWARD(*a)[1] * np.float32(np.nan))],
    "raster": [lambda *a: (2 * FORWARD(*a)[0], None), lambda *a: (np.full((len(a[0]), len(a[2])), -1), None)],
    "changed-input": [_change_input],
}


@pytest.mark.parametrize(
    ("rule", "port"), [(rule, port) for rule, cases in ACCIDENTS.items() for port in cases]
)
def test_accidents(rule, port):
    finding = _found(port)
    assert finding.rule == rule
    assert finding.violations[0].kind == rule
    assert "\n" not in finding.violations[0].detail


def test_one_line_of_the_exception_is_shown():
    assert _found(_raise).violations[0].detail.startswith("RuntimeError: no kernel for this shape (line ")


def test_a_hang_is_a_finding_and_ends_the_check():
    def hang(*arguments):
        time.sleep(1.5)

    started = time.monotonic()
    finding = _found(hang, timeout=0.2)
    assert finding.rule == "timeout"
    assert time.monotonic() - started < 3.0  # 1.5 s for what might have been a compilation


def test_a_call_that_never_ends_is_a_finding_once_no_compilation_takes_so_long():
    started = time.monotonic()
    assert _found(lambda *a: time.sleep(5), timeout=0.2, first_timeout=0.4).rule == "timeout"
    assert time.monotonic() - started < 1.4


def test_a_call_that_is_slow_once_because_it_compiles_is_no_finding():
    """As a compiler does it: for every function, dtype and number of steps anew."""
    compiled = set()

    def compiling(function):
        def call(*arguments):
            key = (function, arguments[1].dtype, arguments[0].shape[1] > 8)
            if key not in compiled:
                compiled.add(key)
                time.sleep(0.5)
            return function(*arguments)

        return call

    report = check(compiling(FORWARD), compiling(BACKWARD), examples=5, timeout=0.4)
    assert report.passed, str(report)
    assert len(compiled) == 8


def test_uninitialised_memory_is_seen():
    def unwritten(spikes, weight, bias, decay, threshold):
        raster, membrane = FORWARD(spikes, weight, bias, decay, threshold)
        out = np.empty_like(membrane)
        out[:, :-1] = membrane[:, :-1]
        return raster, out

    assert _found(unwritten).rule in ("nan", "non-deterministic", "membrane")


def test_state_kept_between_calls_is_seen():
    state = {}

    def stateful(spikes, weight, bias, decay, threshold):
        offset = state.get("v", 0.0)
        raster, membrane = FORWARD(spikes, weight, bias + np.float32(offset), decay, threshold)
        state["v"] = float(membrane.ravel()[-1]) * 0.01
        return raster, membrane

    assert _found(stateful).rule == "non-deterministic"


@pytest.mark.parametrize(
    ("answer", "rule"),
    [
        (lambda g: [g], "answer"),
        (lambda g: {}, "answer"),
        (lambda g: {"weights": g["weight"]}, "answer"),
        (lambda g: {"weight": g["weight"][None]}, "shape"),
        (lambda g: {"bias": g["bias"] * np.nan}, "nan"),
    ],
)
def test_accidents_of_backward(answer, rule):
    finding = _found(FORWARD, lambda *a: answer(BACKWARD(*a)))
    assert (finding.direction, finding.rule) == ("backward", rule)


def test_any_subset_of_the_gradients_will_do():
    assert check(FORWARD, lambda *a: {"bias": BACKWARD(*a)["bias"]}, **QUICK).passed


# ---- the rule in words ------------------------------------------------------------------------------


def test_the_tie_is_named_and_shown_small():
    finding = _found(ports.tie_fires)
    assert finding.diagnosis.text == "fires at V == threshold; expected strictly above (V > threshold)"
    assert ">=" in finding.diagnosis.likely[0]
    assert finding.case.spikes.size <= 4
    assert "expected no spike, got a spike" in finding.violations[0].detail


def test_conventions_of_other_libraries_are_judged_by_their_own_rule():
    assert check(ports.tie_fires, convention="tie-fires", **QUICK).passed
    assert check(ports.scaled_input, convention=["scaled-input"], **QUICK).passed
    assert not check(FORWARD, convention="tie-fires", **QUICK).passed
    assert _found(ports.scaled_input).rule == "input-scale"
    assert "--convention scaled-input" in _found(ports.scaled_input).diagnosis.likely[0]


def test_fft_needs_its_own_bound_and_is_told_so():
    forward, backward = ports.FFT["fft"]
    assert check(forward, backward, bound="fft", **QUICK).passed
    finding = _found(forward)
    assert finding.rule == "bound"
    assert "--bound fft" in finding.diagnosis.likely[0]


def test_low_precision_is_named():
    def half(spikes, weight, bias, decay, threshold):
        raster, membrane = FORWARD(spikes, weight, bias, decay, threshold)
        return raster, membrane.astype(np.float16).astype(membrane.dtype)

    finding = _found(half)
    assert finding.rule == "precision"
    assert "float16" in finding.diagnosis.text
    single = _found(
        lambda *a: tuple(
            np.asarray(v, np.float64) for v in FORWARD(*(np.asarray(x, np.float32) for x in a[:4]), a[4])
        ),
        dtype="float64",
    )
    assert "float32" in single.diagnosis.text


def test_a_mistake_nobody_thought_of_is_still_found():
    def odd(spikes, weight, bias, decay, threshold):
        raster, membrane = FORWARD(spikes, weight, bias, decay, threshold)
        membrane[:, ::3] *= np.float32(1.1)
        return raster, membrane

    finding = _found(odd)
    assert finding.rule == "membrane"
    assert finding.case.size <= 4


# ---- files ------------------------------------------------------------------------------------------


def test_saved_findings_come_with_a_pytest_that_fails_until_the_port_is_right(tmp_path):
    port = tmp_path / "port.py"
    wrong = """
import numpy as np

def forward(spikes, weight, bias, decay, threshold):
    v = np.zeros((len(spikes), len(bias)), dtype=weight.dtype)
    times = np.full(v.shape, spikes.shape[1])
    for t in range(spikes.shape[1]):
        v = decay * v + spikes[:, t] @ weight + bias
        times[(v >= threshold) & (times == spikes.shape[1])] = t
    return times, None
"""
    port.write_text(wrong)
    report = check(load_function(f"{port}:forward"), **QUICK)
    written = report.save(tmp_path / "found", f"{port}:forward", None)
    assert sorted(path.name for path in written) == ["finding_1.npz", "test_finding_1.py"]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path / "found")]
    failed = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert failed.returncode == 1
    assert "expected no spike" in failed.stdout
    port.write_text(wrong.replace(">= threshold", "> threshold"))
    assert subprocess.run(command, capture_output=True, text=True, cwd=tmp_path).returncode == 0


def test_a_case_survives_the_way_through_a_file(tmp_path):
    finding = _found(FORWARD, lambda *a: {"bias": -BACKWARD(*a)["bias"]})
    again = Case.from_arrays(finding.case.arrays())
    for name, array in finding.case.arrays().items():
        assert np.array_equal(again.arrays()[name], array), name
    with pytest.raises(AssertionError, match="gradient of bias"):
        assert_right(lambda *a: {"bias": -BACKWARD(*a)["bias"]}, again)
    assert_right(BACKWARD, again)


def test_report_is_json():
    report = check(ports.tie_fires, **QUICK)
    data = json.loads(json.dumps(report.to_dict()))
    assert data["passed"] is False
    assert data["findings"][0]["rule"] == "tie"
    assert data["findings"][0]["case"]["threshold"] in (0.5, 1.0, 2.0)


# ---- wrong use --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {"neuron": "single"},
        {"gradient": "through-reset"},
        {"neuron": "multi-spike", "gradient": "gated"},
        {"dtype": "float16"},
        {"examples": 0},
        {"seed": -1},
        {"timeout": 0.0},
        {"bound": "loose"},
        {"convention": "tie"},
    ],
)
def test_wrong_use(options):
    with pytest.raises(InputError) as caught:
        check(FORWARD, BACKWARD, **options)
    assert "\n" not in str(caught.value)


def test_ports_are_found_by_name(tmp_path, monkeypatch):
    (tmp_path / "json.py").write_text("raise ValueError('bad module')\n")
    (tmp_path / "mine_4711.py").write_text("def forward(*a):\n    return 1\n\nx = 3\n")
    monkeypatch.chdir(tmp_path)
    assert load_function("mine_4711:forward")() == 1
    assert load_function("mine_4711.py:forward")() == 1
    for spec, words in {
        "mine_4711": "MODULE:FUNCTION",
        "mine_4711:backward": "its functions: forward",
        "mine_4711:x": "not a function",
        "nowhere_4711:f": "cannot import",
        "nowhere.py:f": "does not exist",
        "json.py:f": "bad module",
    }.items():
        with pytest.raises(InputError, match=words) as caught:
            load_function(spec)
        assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="must be functions"):
        check(3)
