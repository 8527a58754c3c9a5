"""Every example runs and ends in its picture, or in the verdict that it announces."""

import importlib.util
import shutil
from pathlib import Path

import pytest

from minisnn.oracle import Program, assert_right, check
from minisnn.oracle.batteries import golden

FOLDER = Path(__file__).parents[2] / "examples"


def load(name):
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("name", "arguments", "picture"),
    [
        ("01_one_neuron", [], "one_neuron.png"),
        ("02_from_loop_to_no_loop", ["--longest", "32"], "from_loop_to_no_loop.png"),
    ],
)
def test_example(name, arguments, picture, tmp_path, capsys):
    load(name).main([*arguments, "--out", str(tmp_path)])
    assert (tmp_path / picture).read_bytes()[:4] == b"\x89PNG"
    assert str(tmp_path / picture) in capsys.readouterr().out


def right_on_golden_vectors(forward, backward=None, most=100):
    """The whole check takes its time, and is what the example itself runs."""
    for case in golden("single-spike", "float32")[:most]:
        assert_right(forward, case)
    for case in golden("single-spike", "float32", ("gated", "straight-through"))[:most] if backward else ():
        assert_right(backward, case)


def test_a_jax_port_is_right():
    pytest.importorskip("jax", reason="needs JAX")
    port = load("13_check_a_jax_port")
    right_on_golden_vectors(port.forward, port.backward, most=3)


@pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")
def test_a_program_in_c_is_right(tmp_path):
    program = Program(str(load("14_check_a_program").build(tmp_path)))
    right_on_golden_vectors(program, program)


@pytest.fixture
def few_families(monkeypatch):
    """Golden, edge and drawn cases: the others take longer, and are what the examples themselves run."""
    monkeypatch.setattr("minisnn.oracle.families.FAMILIES", {})


def test_a_fixed_point_simulation_is_refused_and_told_how_far_it_is_off(few_families, capsys):
    load("15_recorded_answers").main(16)
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
    report = check(*load("16_exercises").EXERCISES[number], dtype="float32", examples=5)
    assert [finding.rule for finding in report.findings] == [rule], str(report)
    text = (FOLDER / "16_exercises.py").read_text()
    begin = text.index(f"def {('first', 'second', 'third', 'fourth', 'fifth')[number - 1]}_")
    (tmp_path / "repaired.py").write_text(text[:begin] + text[begin:].replace(wrong, right, 1))
    monkeypatch.setattr("tests.integration.test_examples.FOLDER", tmp_path)
    repaired = load("repaired").EXERCISES[number]
    assert_right(repaired[-1], report.findings[0].case)
    right_on_golden_vectors(repaired[0])
