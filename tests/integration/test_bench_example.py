"""The example that measures other libraries runs without them and says so."""

import importlib.util
import runpy
import sys
from pathlib import Path

import pytest

from minisnn.bench.workloads import make_batch, make_network, workload

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
    monkeypatch.setitem(example["LIBRARIES"], "wrong", ("json", lambda *_: lambda: 123.0, False))
    for name in ("snnTorch", "SpikingJelly", "Spyx"):
        monkeypatch.delitem(example["LIBRARIES"], name)
    monkeypatch.setattr(sys, "argv", [str(EXAMPLE), "fashion-mnist", "--batch", "8", "--repeats", "2"])
    assert example["main"]() == 1
    out = capsys.readouterr().out
    assert "answers differ, no time: loss 123.0" in out
    assert out.count("wrong") == 1


def test_the_plain_loop_of_the_example_has_the_loss_of_the_conventional_network():
    example = runpy.run_path(str(EXAMPLE))
    what = workload("shd", batch=4, n_steps=60)
    events, labels = make_batch(what)
    network = make_network(what, "v1", "multi-spike", events)
    loss, _, _ = network.loss_and_gradients(events, labels, solver="numpy-sequential")
    raster = events.to_raster("float32")
    assert example["expected_loss"](network, raster, labels, False) == pytest.approx(loss, rel=1e-5)
    assert example["expected_loss"](network, raster, labels, True) != pytest.approx(loss, rel=1e-5)
