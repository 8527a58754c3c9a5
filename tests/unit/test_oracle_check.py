import threading
import time

import numpy as np
import pytest

from minisnn.errors import InputError
from minisnn.oracle import Case, assert_right, check, load_function
from tests import honest_ports as ports
from tests.helpers import FOR_EVER

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


def test_the_same_seed_gives_the_same_report():
    first, second = (
        check(FORWARD, BACKWARD, examples=10, seed=4, dtype="float32").to_dict() for _ in range(2)
    )
    assert first | {"seconds": 0} == second | {"seconds": 0}


# ---- accidents are findings -------------------------------------------------------------------------


def _raise(*arguments):
    raise RuntimeError("no kernel for this shape\nsecond line")


def test_one_line_of_the_exception_is_shown():
    assert _found(_raise).violations[0].detail.startswith("RuntimeError: no kernel for this shape (line ")


def test_a_hang_is_a_finding_and_ends_the_check():
    calls = []

    def hang(*arguments):
        calls.append(arguments)
        time.sleep(0.5)

    assert _found(hang, timeout=0.1).rule == "timeout"
    assert len(calls) == 2  # the first might have been a compilation


def test_a_call_that_never_ends_is_a_finding_once_no_compilation_takes_so_long():
    never, started = threading.Event(), time.monotonic()
    assert _found(lambda *a: never.wait(FOR_EVER), timeout=0.2, first_timeout=0.4).rule == "timeout"
    never.set()
    assert time.monotonic() - started < 60  # twice as long are allowed by default


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


def test_single_precision_of_a_double_port_is_named():
    def single(*arguments):
        return FORWARD(*(np.asarray(a, np.float32) for a in arguments[:4]), arguments[4])

    assert "float32" in _found(single, dtype="float64").diagnosis.text


def test_a_mistake_nobody_thought_of_is_still_found():
    def odd(spikes, weight, bias, decay, threshold):
        raster, membrane = FORWARD(spikes, weight, bias, decay, threshold)
        membrane[:, ::3] *= np.float32(1.1)
        return raster, membrane

    finding = _found(odd)
    assert finding.rule == "membrane"
    assert finding.case.size <= 4


# ---- files ------------------------------------------------------------------------------------------


def test_a_case_survives_the_way_through_a_file(tmp_path):
    finding = _found(FORWARD, lambda *a: {"bias": -BACKWARD(*a)["bias"]})
    again = Case.from_arrays(finding.case.arrays())
    for name, array in finding.case.arrays().items():
        assert np.array_equal(again.arrays()[name], array), name
    with pytest.raises(AssertionError, match="gradient of bias"):
        assert_right(lambda *a: {"bias": -BACKWARD(*a)["bias"]}, again)
    assert_right(BACKWARD, again)


# ---- wrong use --------------------------------------------------------------------------------------


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
        "x" * 300 + ".py:f": "does not exist",
        "nowhere.py:f": "does not exist",
        "json.py:f": "bad module",
    }.items():
        with pytest.raises(InputError, match=words) as caught:
            load_function(spec)
        assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="must be functions"):
        check(3)
