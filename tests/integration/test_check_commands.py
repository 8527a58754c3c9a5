"""The commands check and vectors: exit codes, files, errors of one line."""

import argparse
import json

import pytest

from minisnn.commands import check as commands
from minisnn.errors import InputError
from minisnn.oracle import assert_right
from tests.helpers import one_line

PORT = """
import numpy as np

def forward(spikes, weight, bias, decay, threshold):
    v = np.zeros((len(spikes), len(bias)), dtype=weight.dtype)
    times = np.full(v.shape, spikes.shape[1])
    for t in range(spikes.shape[1]):
        v = decay * v + (spikes[:, t] @ weight + bias)
        times[(v > threshold) & (times == spikes.shape[1])] = t
    return times, None

def wrong(*arguments):
    return forward(*arguments)[0] * 0, None
"""


pytestmark = pytest.mark.usefixtures("few_families")


@pytest.fixture
def parse(tmp_path, monkeypatch):
    (tmp_path / "port_0815.py").write_text(PORT)
    monkeypatch.chdir(tmp_path)
    parser = argparse.ArgumentParser()
    subparsers = parser.add_subparsers(dest="command")
    commands.add_parser(subparsers)
    return parser.parse_args


def test_right_port(parse, capsys, tmp_path):
    arguments = "check port_0815.py:forward --examples 5 --dtype float32 --json report.json"
    assert commands.run_check(parse(arguments.split())) == 0
    assert "PASS: single-spike, float32" in capsys.readouterr().out
    assert json.loads((tmp_path / "report.json").read_text())["passed"] is True


def test_wrong_port(parse, capsys, tmp_path):
    arguments = "check port_0815:wrong --examples 5 --dtype float32 --save out/found --json r.json"
    assert commands.run_check(parse(arguments.split())) == 1
    out = capsys.readouterr().out
    assert "FAIL" in out
    assert "the smallest found" in out
    found = tmp_path / "out" / "found"
    assert {path.name for path in found.iterdir()} == {"finding_1.npz", "test_finding_1.py"}
    assert "port_0815:wrong" in (found / "test_finding_1.py").read_text()
    assert json.loads((tmp_path / "r.json").read_text())["findings"][0]["direction"] == "forward"


STEP = """
from tests.step_mutants import MUTANTS, Step

right, wrong = Step(), MUTANTS["SumsLoss"][0]()
"""


def test_a_training_step(parse, capsys, tmp_path):
    """Of every kind; what was found is a network with its batch, which can be tried again."""
    (tmp_path / "step_0815.py").write_text(STEP)
    check = ["check", "--examples", "1", "--network"]
    assert commands.run_check(parse([*check, "any", "step_0815:right"])) == 0
    assert "PASS: training step" in capsys.readouterr().out
    assert commands.run_check(parse([*check, "any", "step_0815:wrong", "--save", "out"])) == 1
    found = str(tmp_path / "out" / "finding_1.npz")
    assert commands.run_check(parse([*check, found, "step_0815:wrong"])) == 1
    assert "the loss is summed over the batch" in capsys.readouterr().out
    assert commands.run_check(parse([*check, found, "step_0815:right"])) == 0
    assert_right("step_0815:right", found)
    with pytest.raises(AssertionError, match="loss: expected"):
        assert_right("step_0815:wrong", found)
    for odd in (["step_0815:right", "--neuron", "multi-spike"], ["--answers", "."]):
        with pytest.raises(InputError, match="leave out --"):
            commands.run_check(parse([*check, "any", *odd]))


def test_wrong_use_is_one_line(parse):
    with one_line(InputError, "nothing"):
        commands.run_check(parse(["check", "port_0815:nothing"]))
    with one_line(InputError, "give a folder"):
        commands.run_vectors(parse(["vectors"]))


def test_vectors_are_written_and_checked(parse, capsys, tmp_path):
    assert commands.run_vectors(parse(["vectors", "golden", "--json", "written.json"])) == 0
    assert "hand.json" in json.loads((tmp_path / "written.json").read_text())["files"]
    assert commands.run_vectors(parse(["vectors", "golden", "--check"])) == 0
    (tmp_path / "golden" / "hand.json").write_text("{}")
    assert commands.run_vectors(parse(["vectors", "golden", "--check"])) == 1
    assert "hand.json: not current" in capsys.readouterr().out
    assert commands.run_vectors(parse(["vectors", "--check"])) == 0
