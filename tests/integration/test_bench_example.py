"""The example that measures other libraries runs without them and says so."""

import importlib.util
import runpy
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "03_beside_other_libraries.py"


def test_it_runs_whatever_is_installed(monkeypatch, capsys):
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *rest: None if name in ("snntorch", "spikingjelly", "spyx") else find_spec(name, *rest),
    )
    monkeypatch.setattr(sys, "argv", [str(EXAMPLE), "fashion-mnist", "--batch", "8", "--repeats", "2"])
    with pytest.raises(SystemExit) as stop:
        runpy.run_path(str(EXAMPLE), run_name="__main__")
    assert stop.value.code == 0
    out = capsys.readouterr().out
    assert out.count("not installed") == 3
    assert "minisnn, single-spike" in out


def test_a_library_whose_loss_differs_gets_no_time(monkeypatch, capsys):
    example = runpy.run_path(str(EXAMPLE))
    monkeypatch.setitem(example["LIBRARIES"], "wrong", ("json", lambda *_: lambda: 123.0))
    for name in ("snnTorch", "SpikingJelly", "Spyx"):
        monkeypatch.delitem(example["LIBRARIES"], name)
    monkeypatch.setattr(sys, "argv", [str(EXAMPLE), "fashion-mnist", "--batch", "8", "--repeats", "2"])
    assert example["main"]() == 1
    out = capsys.readouterr().out
    assert "answers differ, no time: loss 123.0" in out
    assert out.count("wrong") == 1
