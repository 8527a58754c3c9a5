"""Whatever a port does, it becomes a finding with the right name, and the checker ends by itself, in time."""

import contextlib
import json
import os
import subprocess
import sys
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minisnn.errors import InputError
from minisnn.oracle.cases import from_entry
from minisnn.oracle.golden import hand_entries
from minisnn.oracle.judge import Judge
from minisnn.oracle.port import Port, read_parts
from minisnn.oracle.protocol import Accident, Message, encode, take
from tests.hostile import AT_IMPORT, HARMLESS, HOSTILE, IN_BACKWARD, SHARED, TAME, source


def limits(name):
    """Short ones for what hangs; the others have time, however busy the machine is."""
    hangs = "timeout" in (HOSTILE | IN_BACKWARD).get(name, [""])[0]
    memory = {"memory": 4000} if name in HOSTILE else {}
    return memory | (
        {"timeout": 0.3, "first_timeout": 1.0} if hangs else {"timeout": 20.0, "first_timeout": 60.0}
    )


CASES = [from_entry(entry, "float32") for entry in hand_entries() if entry.get("neuron") == "single-spike"]
# Of each sort one that goes through the whole command in every run of the tests; all do with -m slow.
SHOWN = ("sys.exit(0)", "os._exit(0) in call 20", "writes to address 0", "takes all memory", "holds the lock in C",
         "forks, and both come back", "is wrong and patches the judge", "exits hard at import")  # fmt: skip


def first_finding(folder, name):
    """Kinds of the first violations that come of calls of a port in a process of its own; none if all is right."""
    path = folder / "port.py"
    path.write_text(source(name))
    backward = f"{path}:backward" if name in IN_BACKWARD else None
    with contextlib.closing(Port(f"{path}:forward", backward, **limits(name))) as port:
        return of_calls(port, name)


def of_calls(port, name):
    """The same of calls of `port`, each made twice."""
    judge = Judge()
    for case in (case for case in CASES if case.backward == (name in IN_BACKWARD)):
        first, again = port.call(case), port.call(case)
        found = [v for answer in (first, again) for v in judge.verdict(case, answer).violations]
        for violation in found:  # it is shown on a terminal
            assert violation.detail.isprintable()
            assert len(violation.detail) < 500
        kinds = {violation.kind for violation in found}
        if kinds or not first.same_as(again):
            return kinds or {"non-deterministic"}
    return set()


@pytest.fixture(scope="module")
def tame(tmp_path_factory):
    """Like `first_finding`, for those that can take turns in one process."""
    path = tmp_path_factory.mktemp("tame") / "port.py"
    path.write_text(SHARED)
    with contextlib.closing(Port(f"{path}:forward", f"{path}:backward", **limits("sys.exit(0)"))) as port:

        def finding(_, name):
            path.with_name("now.py").write_text(source(name))
            return of_calls(port, name)

        yield finding


@pytest.mark.parametrize("name", HOSTILE | IN_BACKWARD)
def test_a_hostile_port_is_a_finding_by_its_name(name, tmp_path, tame):
    expected, started = set((HOSTILE | IN_BACKWARD)[name][0].split()), time.monotonic()
    try:
        kinds = (tame if name in TAME else first_finding)(tmp_path, name)
    except InputError as error:
        assert "\n" not in str(error)
        kinds = {"import"}
    assert kinds & expected
    assert time.monotonic() - started < 60


@pytest.mark.parametrize("name", HARMLESS)
def test_a_harmless_oddity_is_none(name, tmp_path):
    started = time.monotonic()
    assert first_finding(tmp_path, name) == set()
    assert time.monotonic() - started < 60


def test_nothing_is_left_running(tmp_path):
    first_finding(tmp_path, "leaves processes")
    assert "sleep 1234.5" not in subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True).stdout


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[] if name in SHOWN else pytest.mark.slow) for name in HOSTILE | HARMLESS],
)
def test_the_command_ends_with_a_verdict(name, tmp_path):
    (tmp_path / "port.py").write_text(source(name))
    port = str(tmp_path / "port.py:forward")
    command = [sys.executable, "-m", "minisnn", "check", port, "--json=found.json"]
    options = [f"--{option.replace('_', '-')}={value}" for option, value in limits(name).items()]
    environment = os.environ | {"PYTHONPATH": os.getcwd()}
    done = subprocess.run(
        [*command, *options, "--dtype=float32", "--examples=1"],
        cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=90,
    )  # fmt: skip
    assert "Traceback" not in done.stderr
    if done.returncode == 2:  # one line that says what was wrong
        assert "import" in AT_IMPORT[name][0]
        assert len(done.stderr.splitlines()) == 1
        return
    findings = json.loads((tmp_path / "found.json").read_text())["findings"]
    kinds = {violation["kind"] for finding in findings for violation in finding["violations"]}
    assert done.returncode == (0 if name in HARMLESS else 1), done.stdout + done.stderr
    assert name in HARMLESS or kinds & set(HOSTILE[name][0].split()), done.stdout


@given(st.data(), st.booleans())
def test_damaged_answers_are_findings(data, text):
    """Bytes of an answer replaced, cut out and put in: it is incomplete, an accident in a line, or judged."""
    case = data.draw(st.sampled_from([case for case in CASES if not case.backward]))
    times, potential = np.zeros((1, 1), np.int32), np.zeros(case.shape, np.float32)
    answer = bytearray(encode(Message(3, "answer", {"spikes": times, "membrane": potential}), text))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(answer) - 1))
        pieces = st.sampled_from(
            [b"", b"NaN", b"1e999", b"[[", b"null", b'{"a":1}', b"9" * 400, b"\\ud800", b"\xff" * 12]
        )
        answer[at : at + data.draw(st.integers(0, 8))] = data.draw(pieces | st.binary(max_size=8))
    try:
        taken = take(answer + b"\n" * text, text)
    except Accident as accident:
        assert str(accident).isprintable()
        return
    if taken is not None:
        for violation in Judge().verdict(case, read_parts(taken[0].parts, case)).violations:
            assert violation.detail.isprintable()


def test_a_shape_of_no_cells_that_is_too_large_all_the_same_is_an_accident():
    empty = encode(Message(0, "answer", {"spikes": np.zeros((0, 7, 7, 7, 7), np.float32)}))
    with pytest.raises(Accident, match="at most"):
        take(bytearray(empty.replace(bytes([7, 0, 0, 0]), bytes([255] * 4))))
