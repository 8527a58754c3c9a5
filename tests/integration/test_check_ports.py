"""Honest ports are never refused, minisnn's own solvers included; the bound is met and not idle."""

import os
import shutil
import subprocess
import sys

import numpy as np
import pytest

from minisnn import solvers
from minisnn.oracle.batteries import random_case
from minisnn.oracle.cases import GRADIENTS
from minisnn.oracle.judge import Judge
from minisnn.oracle.port import Port
from tests import honest_ports as ports
from tests import ports as own
from tests.helpers import example
from tests.prepared import ALL, prepared

pytest_plugins = ["pytester"]
ALL = tuple(ALL)
QUICK = ("values", "scales", "memory", "sharp")  # the others take many times as long


@pytest.fixture(params=[pytest.param(ALL, marks=pytest.mark.slow, id="all"), pytest.param(QUICK, id="quick")])
def tried(request):
    """The families that are tried beside golden, edge and drawn cases."""
    return request.param


@pytest.mark.parametrize("name", sorted(ports.SINGLE))
def test_single_spike_ports_pass(name, tried):
    if name == "triangular" and tried == QUICK:
        tried = ("values", "scales")  # a matrix of 2100 steps takes its time
    report = prepared(tried=tried)(*ports.SINGLE[name])
    assert report.passed, str(report)
    assert all(ratio < 1 for ratio in report.ratios.values())
    # In float64 a port may have the very bits of the reference.
    assert all(ratio > 0 for name, ratio in report.ratios.items() if name.startswith("float32"))


def test_fft_port_passes_by_its_own_bound(tried):
    report = prepared(tried=tried, bound="fft")(*ports.FFT["fft"])
    assert report.passed, str(report)


@pytest.mark.parametrize("gradient", ["through-reset", "detached-reset"])
@pytest.mark.parametrize("name", sorted(ports.MULTI))
def test_conventional_ports_pass(name, gradient, tried):
    report = prepared("multi-spike", gradient, tried=tried)(*ports.MULTI[name])
    assert report.passed, str(report)


@pytest.mark.parametrize(
    ("neuron", "solver"), [(neuron, name) for neuron in solvers.NEURONS for name in solvers.names(neuron)]
)
def test_own_solvers_pass(neuron, solver, tried):
    ways = own.forward_of(solver, neuron), own.backward_of(solver, neuron)
    for gradient in ("both",) if neuron == "single-spike" else GRADIENTS[neuron]:
        report = prepared(neuron, gradient, tried=tried)(*ways)
        assert report.passed, str(report)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", sorted(ports.SINGLE | ports.FFT))
def test_the_membrane_bound_holds_over_long_runs(name, dtype):
    """Up to 2048 steps; the largest ratio of error to bound is below 1, and in float32 not 0."""
    forward, _ = (ports.SINGLE | ports.FFT)[name]
    judge = Judge("fft" if name == "fft" else "standard")
    port, rng = Port(forward, None, 60.0), np.random.default_rng(8)
    for n_steps in (33, 300) if name in ("events", "triangular") else (33, 300, 2048):
        case = random_case(
            "long", (1, n_steps, 4, 4), "single-spike", dtype, rng, rate=0.1, gain=0.4, decay=(0.8, 0.999)
        )
        verdict = judge.verdict(case, port.call(case))
        assert not verdict.violations, verdict.violations
        assert (0 if dtype == "float32" else -1) < verdict.ratios["membrane"] < 1
    port.close()


@pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler (cc) on the path")
def test_c_example_with_fused_multiply_add_passes(few_families, capsys):
    assert example("11_check_a_c_port").main() == 0
    assert "PASS" in capsys.readouterr().out


def test_wrong_port_example_shows_its_report(few_families, capsys):
    assert not example("12_a_wrong_port").main()
    out = capsys.readouterr().out
    assert "fires at V == threshold" in out
    assert "the surrogate is centred at 0" in out


def test_fixture_passes_and_fails(few_families, pytester):
    pytester.makeconftest("from minisnn.pytest_plugin import minisnn_check  # found by itself once installed")
    pytester.makepyfile(
        """
        import minisnn

        def port(spikes, weight, bias, decay, threshold):
            trace = minisnn.single_spike_forward(spikes, weight, bias, decay, threshold=threshold)
            return trace.spikes, trace.membrane

        def test_right(minisnn_check):
            assert minisnn_check(port, dtype="float32", examples=5).passed

        def test_wrong(minisnn_check):
            minisnn_check(lambda *a: (port(*a)[0], 2 * port(*a)[1]), dtype="float32", examples=5)
        """
    )
    result = pytester.runpytest_inprocess("-p", "no:cacheprovider")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*FAIL: single-spike, float32*", "*smallest cases saved in*"])


@pytest.mark.slow
def test_a_port_that_compiles_passes_with_an_empty_cache(tmp_path):
    """The layer by numba-parallel, compiled in the course of the check: every call of it may take long once."""
    (tmp_path / "port.py").write_text(
        "import minisnn\n\ndef forward(spikes, weight, bias, decay, threshold):\n"
        "    trace = minisnn.single_spike_forward(\n"
        "        spikes, weight, bias, decay, threshold=threshold, solver='numba-parallel')\n"
        "    return trace.spike_times, trace.membrane\n"
    )
    command = [sys.executable, "-m", "minisnn", "check", "port.py:forward", "--examples", "5"]
    options = ["--dtype", "float32", "--timeout", "0.5"]
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    done = subprocess.run(command + options, capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
