"""``minisnn bench`` end to end, at tiny sizes: figures, files, and no time where answers differ."""

import dataclasses
import json

import pytest

from minisnn.bench import workloads
from minisnn.bench.memory import peak_rss_mb
from minisnn.bench.timing import Contestant
from tests.helpers import is_picture, one_up, run, scaled

KEYS = {
    "workload", "solver", "neuron", "median_ms", "min_ms", "max_ms", "forward_ms", "backward_ms", "predict_ms",
    "predict_one_ms", "dense_products_ms", "peak_rss_mb", "threads",
}  # fmt: skip
TWICE_THE_BIAS = "numba-parallel", "single_spike_backward", scaled("bias", 2)
STEP = "bench step --quick --no-memory --repeats 1"


@pytest.fixture(autouse=True)
def tiny(new_folder, monkeypatch):
    small = {"n_steps": 30, "n_inputs": 40, "n_hidden": 8}
    for name, what in workloads.WORKLOADS.items():
        events = {} if what.latency else {"n_events": 200}
        monkeypatch.setitem(workloads.WORKLOADS, name, dataclasses.replace(what, **small, **events))


@pytest.fixture
def bench(tmp_path, capsys):
    """Runs a command; returns its exit code, what it printed, and what it wrote to its file."""

    def call(line):
        code = run(f"{line} --json result.json")
        return code, capsys.readouterr().out, json.loads((tmp_path / "result.json").read_text())

    return call


def test_step_measures_every_way_on_every_workload(bench, tmp_path):
    code, out, lines = bench("bench step --quick --no-memory --repeats 2 --threads 2 --plot pictures")
    assert code == 0
    assert {line["workload"] for line in lines} == set(workloads.WORKLOADS)
    assert {line["rule"] for line in lines} == {"v1", "v2"}
    assert len(lines) == 3 * 2 * 7
    for line in lines:
        assert set(line) >= KEYS
        assert 0 < line["min_ms"] <= line["median_ms"] <= line["max_ms"]
        assert min(line[name] for name in KEYS if name.endswith("_ms")) > 0
        assert line["peak_rss_mb"] is None
    ways = {(line["solver"], line["neuron"], line["product"], line["threads"]) for line in lines}
    assert {("numba-sequential", "multi-spike", product, 2) for product in ("dense", "events")} <= ways
    assert {("numba-parallel", "single-spike", "auto", n) for n in (1, 2)} <= ways
    assert is_picture(tmp_path / "pictures" / "bench_step.png")
    assert out.count("ms for the dense float32 products alone") == 6
    assert f"{lines[0]['median_ms']:.2f}" in out


def test_step_can_be_limited_to_a_solver_and_reaches_the_numpy_ones(bench):
    code, _, lines = bench(f"{STEP} --workload shd --rule v2 --solver numpy-sequential")
    assert code == 0
    ways = {(line["solver"], line["neuron"]) for line in lines}
    assert ways == {("numpy-sequential", "single-spike"), ("numpy-sequential", "multi-spike")}


def test_a_line_whose_answers_differ_has_no_time_and_fails(bench, wrong):
    wrong(*TWICE_THE_BIAS)
    code, out, lines = bench(f"{STEP} --workload nmnist --rule v1 --threads 1")
    assert code == 1
    faulty = [line for line in lines if line["solver"] == "numba-parallel"]
    assert len(faulty) == 2
    for line in faulty:
        assert line["median_ms"] is line["forward_ms"] is line["backward_ms"] is None
        assert "gradient of bias" in line["disagreement"]
    assert all(line["median_ms"] > 0 for line in lines if line["solver"] != "numba-parallel")
    assert out.count("answers differ, no time") == 2


def test_other_bits_of_the_compiled_loop_fail_too(bench, wrong):
    wrong("numba-sequential", "multi_spike_backward", one_up)
    code, out, _ = bench(f"{STEP} --workload nmnist --rule v1 --threads 1")
    assert code == 1
    assert "bits differ" in out


def test_grid_measures_every_cell(bench, tmp_path):
    sizes = "--batch 3 --neurons 5 --n-steps 8 --n-steps 128 --n-steps 256"
    code, out, cells = bench(f"bench grid --repeats 1 --threads 2 {sizes} --plot .")
    assert code == 0
    assert len(cells) == 3 * 3
    assert {cell["density"] for cell in cells} == {"dense", "sparse", "half"}
    for cell in cells:
        slow = cell["conventional_forward_ms"] + cell["conventional_backward_ms"]
        fast = cell["single_spike_forward_ms"] + cell["single_spike_backward_ms"]
        assert cell["ratio"] == pytest.approx(slow / fast)
    assert (tmp_path / "bench_grid.png").stat().st_size > 10_000
    assert "smallest ratio" in out
    assert "grows as T^p" in out


def test_a_cell_whose_answers_differ_fails(bench, wrong):
    wrong(*TWICE_THE_BIAS)
    code, out, _ = bench("bench grid --repeats 1 --batch 2 --neurons 4 --n-steps 16")
    assert code == 1
    assert out.count("answers differ, no time") == 3
    assert "no cell has times" in out


def test_scaling_fits_exponents(bench, tmp_path):
    code, out, series = bench(
        "bench scaling --quick --repeats 1 --threads 2 --workload nmnist --rule v2 --plot ."
    )
    assert code == 0
    assert {one["axis"] for one in series} == {"n_steps", "n_hidden", "batch", "threads"}
    for one in series:
        assert len(one["median_ms"]) == len(one["sizes"])
        assert one["fitted"] is not None
    assert "faster than 1: 2: " in out
    assert (tmp_path / "bench_scaling.png").exists()


def test_cores_are_simulated(bench):
    code, out, (one,) = bench(
        "bench scaling --simulate --quick --repeats 2 --batch 64 --neurons 40 --workload fashion-mnist --rule v2"
    )
    assert code == 0
    assert (one["axis"], one["sizes"][-1]) == ("cores", 32)
    times = one["median_ms"]
    assert times == sorted(times, reverse=True)
    assert 1 < times[0] / times[1] <= 2
    assert times[3:] == times[3:4] * 3  # six shares
    assert "time against simulated cores" in out


def test_scaling_with_a_wrong_solver_fails(bench, wrong):
    wrong(*TWICE_THE_BIAS)
    code, out, _ = bench("bench scaling --quick --repeats 1 --threads 1 --workload shd --rule v1")
    assert code == 1
    assert out.count("answers differ, no time") == 4


def test_memory_of_a_step_is_measured_in_its_own_process():
    # The potential alone has 64 * 200 * 100 * 4 bytes = 5.1 MB.
    what = workloads.workload("shd", batch=64, n_steps=200, n_hidden=100, n_events=300)
    peak = peak_rss_mb(what, "v2", Contestant("numba-sequential", "multi-spike", "dense", 1), n_steps=1)
    if peak is None:
        pytest.skip("no /proc on this machine, or its high-water mark cannot be reset")
    assert 5.1 < peak < 100
