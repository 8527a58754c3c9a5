"""Every example runs and ends in its picture, its table or the verdict that it announces."""

import ast
import importlib.util
import re
import runpy
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from minisnn import solvers
from minisnn.bench.workloads import make_batch, make_network, workload
from minisnn.oracle import Program, assert_right, check
from minisnn.oracle.batteries import golden
from tests.helpers import EXAMPLES, example, is_picture

LIBRARIES = EXAMPLES / "03_beside_other_libraries.py"


@pytest.mark.parametrize(
    ("name", "arguments", "picture"),
    [
        ("01_one_neuron", [], "one_neuron.png"),
        ("02_from_loop_to_no_loop", ["--longest", "32"], "from_loop_to_no_loop.png"),
    ],
)
def test_an_example_ends_in_its_picture(name, arguments, picture, tmp_path, capsys):
    example(name).main([*arguments, "--out", str(tmp_path)])
    assert is_picture(tmp_path / picture)
    assert str(tmp_path / picture) in capsys.readouterr().out


MATPLOTLIB = "matplotlib.figure", "matplotlib: pip install '.[plot]' in a clone of minisnn"
MISSING = {
    "01_one_neuron": MATPLOTLIB,
    "02_from_loop_to_no_loop": MATPLOTLIB,
    "10_check_a_pytorch_port": ("torch", "PyTorch: pip install torch"),
    "13_check_a_jax_port": ("jax", "JAX: pip install jax"),
    "30_own_time_series": MATPLOTLIB,
    "31_digits_beside_an_mlp": ("sklearn.datasets", "scikit-learn: pip install '.[sklearn]' in a clone of minisnn"),
}  # fmt: skip


def test_an_example_says_what_it_lacks_and_stops(monkeypatch):
    """Every example that imports what minisnn does without."""
    needy = {path.stem for path in EXAMPLES.glob("*.py") if "except ImportError" in path.read_text()}
    assert needy == set(MISSING)
    for name, (module, advice) in MISSING.items():
        monkeypatch.setitem(sys.modules, module, None)
        with pytest.raises(SystemExit, match=re.escape(f"needs {advice} (")) as stop:
            example(name)
        assert "\n" not in stop.value.code


def test_no_example_imports_what_minisnn_does_without_unguarded():
    """Neither at its top nor, but for the libraries it looks for first, anywhere."""
    own = set(sys.stdlib_module_names) | {"minisnn", "numpy"}
    for path in EXAMPLES.glob("*.py"):
        for node in ast.parse(path.read_text()).body:
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) else []
            assert {name.split(".")[0] for name in names} <= own, path
            assert not {"minisnn.training.plotting", "minisnn.sklearn"} & set(names), path


# ---- beside other libraries -------------------------------------------------------------------------


@pytest.fixture
def eight_samples(monkeypatch):
    monkeypatch.setattr(sys, "argv", [str(LIBRARIES), "fashion-mnist", "--batch", "8", "--repeats", "2"])


def test_it_runs_without_the_libraries_and_says_so(eight_samples, monkeypatch, capsys):
    find_spec, absent = importlib.util.find_spec, ("snntorch", "spikingjelly", "spyx")
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name in absent else find_spec(name, *rest)
    )
    with pytest.raises(SystemExit) as stop:
        runpy.run_path(str(LIBRARIES), run_name="__main__")
    assert stop.value.code == 0
    out = capsys.readouterr().out
    assert out.count("not installed") == 3
    assert "minisnn, single-spike" in out


def test_a_library_whose_loss_differs_gets_no_time(eight_samples, monkeypatch, capsys):
    script = runpy.run_path(str(LIBRARIES))
    monkeypatch.setitem(script["LIBRARIES"], "wrong", ("json", lambda *_: lambda: 123.0, False))
    for name in ("snnTorch", "SpikingJelly", "Spyx"):
        monkeypatch.delitem(script["LIBRARIES"], name)
    assert script["main"]() == 1
    out = capsys.readouterr().out
    assert "answers differ, no time: loss 123.0" in out
    assert out.count("wrong") == 1


def test_the_plain_loop_of_the_example_has_the_loss_of_the_conventional_network():
    expected_loss = runpy.run_path(str(LIBRARIES))["expected_loss"]
    what = workload("shd", batch=4, n_steps=60)
    events, labels = make_batch(what)
    network = make_network(what, "v1", "multi-spike", events)
    loss, _, _ = network.loss_and_gradients(events, labels, solver="numpy-sequential")
    one, other = (expected_loss(network, events.to_raster("float32"), labels, way) for way in (False, True))
    assert one == pytest.approx(loss, rel=1e-5)
    assert other != pytest.approx(loss, rel=1e-5)


# ---- on a GPU ---------------------------------------------------------------------------------------


def test_without_a_gpu_one_line_and_exit_code_2(monkeypatch, capsys):
    for name in ("cupy_parallel", "cupy_sequential"):
        monkeypatch.delitem(sys.modules, f"minisnn.solvers.{name}", raising=False)
    monkeypatch.setitem(sys.modules, "cupy", None)
    assert example("20_gpu_check_and_timing").main([]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert "CuPy is missing" in err


@pytest.mark.usefixtures("cupy", "few_families")
class TestWithTheStandIn:
    def test_every_check_passes(self, capsys):
        assert example("20_gpu_check_and_timing").main(["--quick"]) == 0
        out = capsys.readouterr().out
        assert out.count("checker passed, exact inputs same bits") == 3
        for row in ("fashion-mnist", "nmnist", "shd", "T = 8", "T = 32"):
            assert row in out

    def test_a_failed_check_is_exit_code_1(self, monkeypatch, capsys):
        module = solvers.get("cupy-parallel")
        right = module.single_spike_forward
        monkeypatch.setattr(module, "single_spike_forward", lambda *args: right(*args[:4], args[4] / 2))
        script = example("20_gpu_check_and_timing")
        passed = script.check("cupy-parallel", "single-spike", examples=5)
        out = capsys.readouterr().out
        assert "checker FAILED" in out
        assert "BITS DIFFER" in out
        monkeypatch.setattr(script, "check", lambda *_: passed)
        assert script.main(["--quick"]) == 1


# ---- one's own time series --------------------------------------------------------------------------


@pytest.fixture
def series(capsys):
    """Runs the example; returns what it printed."""

    def run(*arguments):
        example("30_own_time_series").main([str(word) for word in arguments])
        return capsys.readouterr().out

    return run


def accuracy(printed):
    return float(re.search(r"([\d.]+) % of \d+ test samples", printed)[1])


def test_without_the_recordings_it_makes_series_up(series, tmp_path, monkeypatch):
    monkeypatch.setenv("MINISNN_DATA", str(tmp_path))
    out = tmp_path / "new" / "folder"
    printed = series("--epochs", 3, "--out", out)
    assert "made up" in printed
    assert accuracy(printed) > 50  # of six orders; guessing gives 17
    assert re.search(r"[\d.]+ of 200 hidden neurons fire per test sample", printed)
    assert is_picture(out / "own_time_series.png")


def test_it_reads_a_file_of_that_form(series, tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    label, repetition = (np.repeat([0, 1], 50), np.tile(np.arange(50), 2).astype(np.uint8))
    data = rng.integers(90, 95, (100, 20, 2), dtype=np.uint8)
    for c in (0, 1):
        data[label == c, 8:12, c] += 60
    (tmp_path / "braille").mkdir()
    file = tmp_path / "braille" / "braille_taxels.npz"
    np.savez(file, data=data, label=label.astype(np.uint8), repetition=repetition, letters=["A", "B"])
    monkeypatch.setenv("MINISNN_DATA", str(tmp_path))
    by_environment = series("--epochs", 4, "--out", tmp_path)
    assert f"time series: {file}, shape (100, 20, 2)" in by_environment
    assert "of 80 training samples" in by_environment
    assert "100.00 % of 20 test samples" in by_environment
    monkeypatch.delenv("MINISNN_DATA")
    by_option = series("--epochs", 4, "--out", tmp_path, "--data", file)
    assert by_option == by_environment  # one seed, same figures


def test_a_file_that_is_not_there(series, tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        series("--data", tmp_path / "none.npz")
    assert stop.value.code == 2
    assert "none.npz is not there: --data must be the file braille_taxels.npz" in capsys.readouterr().err


def test_it_learns_to_read_braille(series, tmp_path, data_dir):
    file = Path(data_dir) / "braille" / "braille_taxels.npz"
    if not file.is_file():
        pytest.skip(f"needs the Braille recordings: no {file}")
    printed = series("--epochs", 12, "--out", tmp_path, "--data", file)
    assert "of 1080 training samples" in printed
    assert accuracy(printed) >= 93


# ---- scikit-learn -----------------------------------------------------------------------------------


def test_digits_beside_an_mlp(capsys):
    example("31_digits_beside_an_mlp").main(["--folds", "2", "--epochs", "5", "--hidden", "30"])
    single, other = (
        float(line.split("accuracy ")[1].split()[0]) for line in capsys.readouterr().out.splitlines()[1:3]
    )
    assert single > 60
    assert other > 60


# ---- the oracle -------------------------------------------------------------------------------------


def right_on_golden_vectors(forward, backward=None, most=100):
    """The whole check takes its time, and is what the example itself runs."""
    for case in golden("single-spike", "float32")[:most]:
        assert_right(forward, case)
    for case in golden("single-spike", "float32", ("gated", "straight-through"))[:most] if backward else ():
        assert_right(backward, case)


def test_a_jax_port_is_right():
    pytest.importorskip("jax", reason="needs JAX")
    port = example("13_check_a_jax_port")
    right_on_golden_vectors(port.forward, port.backward, most=3)


@pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")
def test_a_program_in_c_is_right(tmp_path):
    program = Program(str(example("14_check_a_program").build(tmp_path)))
    right_on_golden_vectors(program, program)


def test_a_fixed_point_simulation_is_refused_and_told_how_far_it_is_off(few_families, capsys):
    example("15_recorded_answers").main(16)
    printed = capsys.readouterr().out
    assert "FAIL: single-spike, float32, forward: errors are as large as rounding to float16" in printed
    bits, off = printed.splitlines()[-1].split()
    assert (bits, float(off) > 100) == ("16", True)


ONCE = "np.cumsum(grad_spikes[:, ::-1], axis=1)"
EXERCISES = {
    1: ("first-only", "fired[:, 1:] &= ~fired[:, :-1]", "fired &= np.cumsum(fired, axis=1) == 1"),
    2: ("threshold", "membrane > 1\n", "membrane > threshold\n"),
    3: ("decay-per-neuron", "decay[0]", "decay"),
    4: ("double-sum", ONCE, f"np.cumsum({ONCE}, axis=1)"),
    5: ("leak-gradient", "integrate(grad_u, decay)", "integrate(grad_u[:, ::-1], decay)[:, ::-1]"),
}


@pytest.mark.parametrize("number", EXERCISES)
def test_an_exercise_names_its_rule_and_passes_once_it_is_repaired(
    number, few_families, tmp_path, monkeypatch
):
    rule, wrong, right = EXERCISES[number]
    report = check(*example("16_exercises").EXERCISES[number], dtype="float32", examples=5)
    assert [finding.rule for finding in report.findings] == [rule], str(report)
    text = (EXAMPLES / "16_exercises.py").read_text()
    begin = text.index(f"def {('first', 'second', 'third', 'fourth', 'fifth')[number - 1]}_")
    (tmp_path / "repaired.py").write_text(text[:begin] + text[begin:].replace(wrong, right, 1))
    monkeypatch.setattr("tests.helpers.EXAMPLES", tmp_path)
    repaired = example("repaired").EXERCISES[number]
    assert_right(repaired[-1], report.findings[0].case)
    right_on_golden_vectors(repaired[0])
