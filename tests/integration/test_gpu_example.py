"""The script for a machine with a GPU: one line without one; run whole with the stand-in for CuPy."""

import importlib.util
import os
import sys
from pathlib import Path

import pytest

from minisnn import solvers
from tests.cuda_shim import solver as shim
from tests.cuda_shim import stand_in

FILE = Path(__file__).parents[2] / "examples" / "20_gpu_check_and_timing.py"


@pytest.fixture
def script():
    spec = importlib.util.spec_from_file_location("gpu_check_and_timing", FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_without_a_gpu_one_line_and_exit_code_2(script, monkeypatch, capsys):
    for name in ("cupy_parallel", "cupy_sequential"):
        monkeypatch.delitem(sys.modules, f"minisnn.solvers.{name}", raising=False)
    monkeypatch.setitem(sys.modules, "cupy", None)
    assert script.main([]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert "CuPy is missing" in err


@pytest.mark.skipif(
    shim.COMPILER is None and not os.environ.get("CI"),
    reason="g++ is missing, which runs the GPU kernels here",
)
def test_with_the_stand_in(script, capsys):
    with stand_in.installed():
        assert script.main(["--quick"]) == 0
    out = capsys.readouterr().out
    assert out.count("checker passed, exact inputs same bits") == 3
    for row in ("fashion-mnist", "nmnist", "shd", "T = 8", "T = 32"):
        assert row in out


@pytest.mark.skipif(
    shim.COMPILER is None and not os.environ.get("CI"),
    reason="g++ is missing, which runs the GPU kernels here",
)
def test_a_failed_check_is_exit_code_1(script, monkeypatch, capsys):
    with stand_in.installed():
        module = solvers.get("cupy-parallel")
        right = module.single_spike_forward
        monkeypatch.setattr(
            module, "single_spike_forward", lambda s, w, b, d, theta: right(s, w, b, d, theta / 2)
        )
        assert script.main(["--quick"]) == 1
    out = capsys.readouterr().out
    assert "checker FAILED" in out
    assert "BITS DIFFER" in out
