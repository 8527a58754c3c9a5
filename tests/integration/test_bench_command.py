"""``minisnn bench`` end to end, at tiny sizes: figures, files, and no time where answers differ."""

import argparse
import dataclasses
import json

import numpy as np
import pytest

from minisnn import solvers
from minisnn.bench import workloads
from minisnn.bench.memory import peak_rss_mb
from minisnn.bench.timing import Contestant
from minisnn.commands.bench import add_bench_parser
from minisnn.errors import InputError

KEYS = {
    "workload", "solver", "neuron", "median_ms", "min_ms", "max_ms", "forward_ms", "backward_ms",
    "gemm_floor_ms", "peak_rss_mb", "threads",
}  # fmt: skip


@pytest.fixture(autouse=True)
def _tiny(monkeypatch):
    small = {"n_steps": 30, "n_inputs": 40, "n_hidden": 8}
    for name, what in workloads.WORKLOADS.items():
        events = {} if what.latency else {"n_events": 200}
        monkeypatch.setitem(workloads.WORKLOADS, name, dataclasses.replace(what, **small, **events))


def bench(*words):
    parser = argparse.ArgumentParser()
    add_bench_parser(parser.add_subparsers())
    args = parser.parse_args(["bench", *map(str, words)])
    return args.run(args)


def _double_bias_gradient(monkeypatch):
    module = solvers.get("numba-parallel")
    right = module.single_spike_backward

    def wrong(*args, **kwargs):
        gradients = right(*args, **kwargs)
        return dataclasses.replace(gradients, bias=2 * gradients.bias)

    monkeypatch.setattr(module, "single_spike_backward", wrong)


def test_step_measures_every_way_on_every_workload(tmp_path, capsys):
    code = bench(
        "step", "--quick", "--no-memory", "--repeats", 3, "--threads", 2,
        "--json", tmp_path / "step.json", "--plot", tmp_path / "pictures",
    )  # fmt: skip
    assert code == 0
    lines = json.loads((tmp_path / "step.json").read_text())
    assert {line["workload"] for line in lines} == set(workloads.WORKLOADS)
    assert {line["rule"] for line in lines} == {"v1", "v2"}
    assert len(lines) == 3 * 2 * 7
    for line in lines:
        assert set(line) >= KEYS
        assert 0 < line["min_ms"] <= line["median_ms"] <= line["max_ms"]
        assert line["forward_ms"] > 0
        assert line["backward_ms"] > 0
        assert line["gemm_floor_ms"] > 0
        assert line["peak_rss_mb"] is None
    ways = {(line["solver"], line["neuron"], line["product"], line["threads"]) for line in lines}
    assert ("numba-sequential", "multi-spike", "dense", 2) in ways
    assert ("numba-sequential", "multi-spike", "events", 2) in ways
    assert {("numba-parallel", "single-spike", "auto", n) for n in (1, 2)} <= ways
    assert (tmp_path / "pictures" / "bench_step.png").read_bytes().startswith(b"\x89PNG")
    out = capsys.readouterr().out
    assert out.count("gemm floor") >= 6
    assert f"{lines[0]['median_ms']:.2f}" in out


def test_step_can_be_limited_to_a_solver_and_reaches_the_numpy_ones(tmp_path):
    words = ("step", "--quick", "--no-memory", "--repeats", 1, "--workload", "shd", "--rule", "v2")
    assert bench(*words, "--solver", "numpy-sequential", "--json", tmp_path / "a.json") == 0
    lines = json.loads((tmp_path / "a.json").read_text())
    assert {(line["solver"], line["neuron"]) for line in lines} == {
        ("numpy-sequential", "single-spike"),
        ("numpy-sequential", "multi-spike"),
    }


def test_a_line_whose_answers_differ_has_no_time_and_fails(monkeypatch, tmp_path, capsys):
    _double_bias_gradient(monkeypatch)
    words = ("step", "--quick", "--no-memory", "--repeats", 1, "--workload", "nmnist", "--rule", "v1")
    assert bench(*words, "--threads", 1, "--json", tmp_path / "step.json") == 1
    lines = json.loads((tmp_path / "step.json").read_text())
    wrong = [line for line in lines if line["solver"] == "numba-parallel"]
    assert len(wrong) == 2
    for line in wrong:
        assert line["median_ms"] is line["forward_ms"] is line["backward_ms"] is None
        assert "gradient of bias" in line["disagreement"]
    assert all(line["median_ms"] > 0 for line in lines if line["solver"] != "numba-parallel")
    assert capsys.readouterr().out.count("answers differ, no time") == 2


def test_other_bits_of_the_compiled_loop_fail_too(monkeypatch, capsys):
    module = solvers.get("numba-sequential", "multi-spike")
    right = module.multi_spike_backward

    def other(*args, **kwargs):
        gradients = right(*args, **kwargs)
        return dataclasses.replace(gradients, bias=np.nextafter(gradients.bias, np.float32(np.inf)))

    monkeypatch.setattr(module, "multi_spike_backward", other)
    words = ("step", "--quick", "--no-memory", "--repeats", 1, "--workload", "nmnist", "--rule", "v1")
    assert bench(*words, "--threads", 1) == 1
    assert "bits differ" in capsys.readouterr().out


def test_grid_measures_every_cell(tmp_path, capsys):
    code = bench(
        "grid", "--repeats", 2, "--threads", 2, "--batch", 3, "--neurons", 5, "--neurons", 9,
        "--n-steps", 8, "--n-steps", 128, "--n-steps", 256,
        "--json", tmp_path / "grid.json", "--plot", tmp_path,
    )  # fmt: skip
    assert code == 0
    cells = json.loads((tmp_path / "grid.json").read_text())
    assert len(cells) == 3 * 2 * 3
    assert {cell["density"] for cell in cells} == {"dense", "sparse", "half"}
    for cell in cells:
        slow = cell["conventional_forward_ms"] + cell["conventional_backward_ms"]
        fast = cell["single_spike_forward_ms"] + cell["single_spike_backward_ms"]
        assert cell["ratio"] == pytest.approx(slow / fast)
    assert (tmp_path / "bench_grid.png").stat().st_size > 10_000
    out = capsys.readouterr().out
    assert "smallest ratio" in out
    assert "grows as T^p" in out


def test_a_cell_whose_answers_differ_fails(monkeypatch, capsys):
    _double_bias_gradient(monkeypatch)
    assert bench("grid", "--repeats", 1, "--batch", 2, "--neurons", 4, "--n-steps", 16) == 1
    out = capsys.readouterr().out
    assert out.count("answers differ, no time") == 3
    assert "no cell has times" in out


def test_scaling_fits_exponents(tmp_path, capsys):
    words = ("scaling", "--quick", "--repeats", 1, "--threads", 2, "--workload", "nmnist", "--rule", "v2")
    assert bench(*words, "--json", tmp_path / "scaling.json", "--plot", tmp_path) == 0
    series = {one["axis"]: one for one in json.loads((tmp_path / "scaling.json").read_text())}
    assert set(series) == {"n_steps", "n_hidden", "batch", "threads"}
    for one in series.values():
        assert len(one["median_ms"]) == len(one["sizes"])
        assert one["fitted"] is not None
    assert "2 threads over 1" in capsys.readouterr().out
    assert (tmp_path / "bench_scaling.png").exists()


def test_scaling_with_a_wrong_solver_fails(monkeypatch, capsys):
    _double_bias_gradient(monkeypatch)
    words = ("scaling", "--quick", "--repeats", 1, "--threads", 1, "--workload", "shd", "--rule", "v1")
    assert bench(*words) == 1
    assert capsys.readouterr().out.count("answers differ, no time") == 4


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("step", "--threads", "0"), "--threads must be a whole number >= 1, got 0"),
        (("step", "--repeats", "0"), "--repeats must be"),
        (("step", "--workload", "shdd"), "did you mean 'shd'"),
        (("step", "--solver", "numba-paralel"), "did you mean 'numba-parallel'"),
        (("grid", "--n-steps", "0"), "--n-steps must be"),
    ],
)
def test_wrong_use_is_one_line(words, message):
    with pytest.raises(InputError, match=message):
        bench(*words)


def test_memory_of_a_step_is_measured_in_its_own_process():
    # The potential alone has 64 * 200 * 100 * 4 bytes = 5.1 MB.
    what = workloads.workload("shd", batch=64, n_steps=200, n_hidden=100, n_events=300)
    peak = peak_rss_mb(what, "v2", Contestant("numba-sequential", "multi-spike", "dense", 1), n_steps=1)
    if peak is None:
        pytest.skip("no /proc on this machine, or its high-water mark cannot be reset")
    assert 5.1 < peak < 100
