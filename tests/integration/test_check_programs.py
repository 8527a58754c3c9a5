"""Programs and recorded answers: a port that needs no Python, judged like any other."""

import json
import shutil
import subprocess
import sys

import pytest

from minisnn.commands.main import main

# Written from PROTOCOL.md alone. An argument says how it goes wrong.
PROGRAM = """
import os, struct, sys, time
import numpy as np

fault = sys.argv[1] if len(sys.argv) > 1 else ""

def read(n):
    data = sys.stdin.buffer.read(n)
    if len(data) < n:
        sys.exit(0)
    return data

def text(data):
    return data.rstrip(b"\\0").decode()

def array():
    name, code, axes = struct.unpack("<32s4sI", read(40))
    shape = struct.unpack(f"<{axes}I", read(4 * axes))
    code = text(code).replace("t1", "S1")
    return np.frombuffer(read(int(np.prod(shape)) * int(code[1])), "<" + code).reshape(shape)

def send(number, arrays):
    out = struct.pack("<4sIII", b"mSNN", number, 0, len(arrays))
    for name, a in arrays.items():
        code = a.dtype.str[1:].replace("S1", "t1")
        out += struct.pack("<32s4sI", name.encode(), code.encode(), a.ndim)
        out += struct.pack(f"<{a.ndim}I", *a.shape) + a.tobytes()
    sys.stdout.buffer.write(out)
    sys.stdout.buffer.flush()

asked = 0
while True:
    _, number, kind, count = struct.unpack("<4sIII", read(16))
    x, w, b, decay, theta, *more = [array() for _ in range(count)]
    v = np.zeros((len(x), x.shape[1], len(b)), w.dtype)
    for t in range(x.shape[1]):
        v[:, t] = x[:, t] @ w + b + (decay * v[:, t - 1] if t else 0)
    above = v > theta
    times = np.where(above.any(1), above.argmax(1), x.shape[1]).astype("i4")
    answer = {"spikes": times, "membrane": v}
    if kind == 2:
        scale, rule, gs = more
        gated = rule.tobytes() == b"gated"
        gz = np.where((np.arange(x.shape[1])[:, None] >= times[:, None]) & gated, 0, gs)
        far = 1 + w.dtype.type(scale) * abs(v - w.dtype.type(theta))
        gi = np.cumsum(np.cumsum(gz[:, ::-1], 1), 1)[:, ::-1] / far**2
        for t in reversed(range(x.shape[1] - 1)):
            gi[:, t] += decay * gi[:, t + 1]
        answer = {"weight": np.einsum("bti,btn->in", x, gi), "bias": gi.sum((0, 1)), "spikes": gi @ w.T}
        answer["decay"] = (gi[:, 1:] * v[:, :-1]).sum((0, 1))
    asked += 1
    if fault == "number":
        number += 1
    elif fault == "garbage":
        print("V = 0.5", flush=True)
    elif fault == "endless":
        while True:
            os.write(1, bytes(10**6))
    elif fault == "unflushed":
        time.sleep(60)
    elif fault == "assertion":
        sys.exit("layer.c:12: assertion failed: n <= 4")
    elif fault == "one" and asked > 1:
        sys.exit(0)
    elif fault == "closes":
        os.close(1); time.sleep(60)
    elif fault == "deaf":
        os.close(0); send(number, answer); time.sleep(60)
    elif fault == "refuses":
        answer = {"exception": np.frombuffer(b"no fourth neuron", "S1")}
    elif fault == "complex":
        answer["membrane"] = v.astype("c8")
    elif fault == "voltage" and kind == 1:
        answer["membrane"] = v * w.dtype.type(1.01)
    elif fault == "twice":
        send(number, answer)
    elif fault == "noise":
        os.write(2, b"x" * 200_000 + b"\\n")
    send(number, answer)
"""

TEXT = """
import json, sys
for line in sys.stdin:
    case = json.loads(line)
    times = []
    for sample in case["spikes"]:
        v, when = [0.0] * len(case["bias"]), [len(sample)] * len(case["bias"])
        for t, x in enumerate(sample):
            for n, bias in enumerate(case["bias"]):
                current = sum(x[i] * case["weight"][i][n] for i in range(len(x))) + bias
                v[n] = case["decay"][n] * v[n] + current
                if v[n] > case["threshold"] and when[n] == len(sample):
                    when[n] = t
        times.append(when)
    print(json.dumps({"number": case["number"], "spikes": times}), flush=True)
"""
QUICK = ["--examples", "2", "--dtype", "float64"]


pytestmark = pytest.mark.usefixtures("few_families")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, source in (("port", PROGRAM), ("text", TEXT)):
        (tmp_path / name).write_text(f"#!{sys.executable}\n{source}")
        (tmp_path / name).chmod(0o755)
    return tmp_path


def _checked(*arguments):
    """Exit code and, as JSON has it, the report of a check."""
    code = main(["check", *arguments, "--json", "report.json"])
    with open("report.json") as file:
        return code, json.load(file)


def test_a_program_is_judged_in_both_passes_and_as_text(capsys):
    code, report = _checked("--program", "./port noise", "--gradient", "both", *QUICK)
    assert code == 0, capsys.readouterr().out
    assert report["tried"]["backward"]["golden"]["cases"] > 10
    assert _checked("--program", "./text", "--text", *QUICK)[0] == 0
    code, report = _checked("--program", "'./port' voltage", *QUICK, "--save", "found")
    assert (code, report["findings"][0]["violations"][0]["kind"]) == (1, "membrane")


@pytest.mark.parametrize(
    ("fault", "rule", "said"),
    [
        ("number", "protocol", "expected the answer to request"),
        ("garbage", "protocol", "got 'V = 0.5"),
        ("endless", "protocol", "got '\\x00"),
        ("twice", "protocol", "expected the answer to request"),
        ("unflushed", "timeout", "no answer within"),
        ("closes", "exit", "closed its standard output"),
        ("deaf", "timeout", "no answer within"),
        ("assertion", "exit", "exit code 1 without an answer; its last line: layer.c:12: assertion failed"),
        ("one", "exit", "ended with exit code 0 without an answer"),
        ("refuses", "exception", "no fourth neuron"),
        ("complex", "protocol", "'c8'"),
    ],
)
def test_a_program_that_goes_wrong_is_a_finding(fault, rule, said):
    limits = ["--timeout", "0.5", "--first-timeout", "1.5"] if rule == "timeout" else []
    code, report = _checked("--program", f"./port {fault}", *QUICK, *limits)
    assert (code, report["findings"][0]["rule"]) == (1, rule)
    assert any(said in violation["detail"] for violation in report["findings"][0]["violations"])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "give one port"),
        (["port.py:f", "--program", "./port"], "give one port"),
        (["--program", "./port", "--answers", "."], "give one port"),
        (["--program", "./port", "--backward", "port.py:f"], "leave out backward"),
        (["--program", ""], "got nothing"),
        (["--program", "./port 'open"], "No closing quotation"),
        (["--program", "./nowhere"], "cannot run ./nowhere: No such file"),
        (["--program", "."], "cannot run .: Permission denied"),
        (["--program", "./port", "--memory", "0"], "memory must be"),
        (["--program", "./port", "--first-timeout", "-1"], "first_timeout must be"),
        (["--answers", ".", "--dtype", "float32"], "leave out --dtype"),
        (["--answers", "."], "cases.json: No such file"),
        (["port.py:f", "--text"], "--text is for --program"),
    ],
)
def test_wrong_use_is_one_line(arguments, said, capsys):
    assert main(["check", *arguments]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


def test_options_of_cases_go_with_cases(capsys):
    for arguments in (["d", "--seed", "3"], ["d", "--cases", "--check"], ["d", "--text"], ["--cases"]):
        assert main(["vectors", *arguments]) == 2
        assert capsys.readouterr().err.count("\n") == 1


# ---- recorded answers -------------------------------------------------------------------------------


def _answers(folder, program="./port", cases="cases.bin", answers="answers.bin"):
    with open(folder / cases, "rb") as given, open(folder / answers, "wb") as taken:
        subprocess.run(program.split(), stdin=given, stdout=taken, check=True)
    return folder / answers


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """A folder with all cases and the answers of the right program, float64, both gradients."""
    folder = tmp_path_factory.mktemp("recorded")
    (folder / "port").write_text(PROGRAM)
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr("minisnn.oracle.families.FAMILIES", {})
        assert main(["vectors", str(folder), "--cases", *QUICK, "--gradient", "both", "--text"]) == 0
    _answers(folder, f"{sys.executable} {folder}/port")
    return folder


@pytest.fixture
def copied(recorded, folder):
    return shutil.copytree(recorded, folder / "d")


def test_recorded_answers_are_judged_like_the_program(copied, capsys):
    names = {"cases.bin", "cases.json", "cases.jsonl", "PROTOCOL.md"}
    assert {path.name for path in copied.iterdir()} >= names
    code, report = _checked("--answers", "d")
    assert (code, report["notes"]) == (0, [])
    assert report["tried"] == _checked("--program", "./port", "--gradient", "both", *QUICK)[1]["tried"]
    _answers(copied, "./port voltage")
    code, report = _checked("--answers", "d", "--save", "found")
    assert (code, [f["direction"] for f in report["findings"]]) == (1, ["forward"])
    assert [path.name for path in (copied.parent / "found").iterdir()] == ["finding_1.npz"]
    (copied / "answers.bin").unlink()
    assert main(["check", "--answers", "d"]) == 2
    assert "your program writes it" in capsys.readouterr().err


def test_recorded_answers_may_be_text(folder, copied):
    assert main(["vectors", "e", "--cases", *QUICK, "--text"]) == 0
    path = _answers(folder / "e", "./text", "cases.jsonl", "answers.jsonl")
    path.write_bytes(path.read_bytes().rstrip())
    assert _checked("--answers", "e")[0] == 0


def _forward(data):
    """Where the answers to the first three cases begin."""
    return [k for k in range(len(data)) if data.startswith(b"mSNN", k)][:4]


@pytest.mark.parametrize(
    ("spoil", "rule", "note"),
    [
        (lambda data, at: data[: at[3]], "missing", "(3, 4, 5, 6, 7, 8, 9, 10, ...)"),
        (lambda data, at: data[: at[3] - 1], "missing", "ends within a message, which begins at byte"),
        (lambda data, at: b"", "missing", "(0, 1, 2,"),
        (lambda data, at: data[: at[1]] + data[at[2] :], "missing", "cases without an answer: 1 (1)"),
        (lambda data, at: data + data[: at[1]], "protocol", "cases answered twice: 1 (0)"),
        (lambda data, at: data[at[1] :] + data[: at[1]], None, None),
        (
            lambda data, at: data + data[:4] + b"\xff" * 4 + data[8 : at[1]],
            None,
            "never asked: 1 (4294967295)",
        ),
        (lambda data, at: data + b"goodbye", None, "was read up to byte"),
    ],
)
def test_a_recording_that_is_not_whole(copied, spoil, rule, note):
    data = (copied / "answers.bin").read_bytes()
    (copied / "answers.bin").write_bytes(spoil(data, _forward(data)))
    code, report = _checked("--answers", "d")
    assert code == (rule is not None)
    assert {finding["rule"] for finding in report["findings"]} == {rule} - {None}
    assert any(note in line for line in report["notes"]) if note else not report["notes"]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("cases.json", b"{"),
        ("cases.json", b"[]"),
        ("cases.json", b"{}"),
        ("cases.bin", b"mSNN"),
        ("cases.bin", b""),
    ],
)
def test_damaged_cases_are_wrong_use(copied, name, content, capsys):
    (copied / name).write_bytes(content)
    assert main(["check", "--answers", "d"]) == 2
    error = capsys.readouterr().err
    assert "holds no cases" in error
    assert error.count("\n") == 1


# ---- an interruption, and what is kept --------------------------------------------------------------

INTERRUPTS = """
import os
import signal
from right import forward as right

def forward(spikes, weight, *rest):
    if weight.dtype == "f8":  # the second half of a check
        os.kill(os.getppid(), signal.SIGINT)
    return right(spikes, weight, *rest)

def wrong(*arguments):
    return forward(*arguments)[0] * 0, None
"""
RIGHT = """
import minisnn

def forward(spikes, weight, bias, decay, threshold):
    trace = minisnn.single_spike_forward(spikes, weight, bias, decay, threshold=threshold)
    return trace.spikes, trace.membrane

def wrong(*arguments):
    return forward(*arguments)[0] * 0, None
"""


@pytest.mark.parametrize(("function", "head"), [("forward", "INTERRUPTED"), ("wrong", "FAIL")])
def test_an_interruption_gives_the_report_of_what_was_tried(folder, function, head, capsys):
    (folder / "interrupts.py").write_text(INTERRUPTS)
    (folder / "right.py").write_text(RIGHT)
    code, report = _checked(f"interrupts:{function}")
    out, error = capsys.readouterr()
    assert (code, error) == (130, "minisnn: interrupted\n")
    assert out.startswith(f"{head}: single-spike")
    assert "note: interrupted" in out
    assert not report["passed"]


def test_saved_tests_run_from_any_folder_and_fail_until_the_port_is_right(folder, monkeypatch):
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # they need none
    (folder / "right.py").write_text(RIGHT)
    for k, port in enumerate((["right:wrong"], ["--program", "./port voltage"])):
        assert main(["check", *port, *QUICK, "--save", f"found/{k}"]) == 1
    options = "-m pytest -q -p no:cacheprovider --import-mode=importlib"
    command = [sys.executable, *options.split(), folder]
    failed = subprocess.run(command, cwd="/", capture_output=True, text=True)
    assert "2 failed" in failed.stdout, failed.stdout + failed.stderr
    assert "AssertionError: spikes: sample 0" in failed.stdout
    (folder / "right.py").write_text(RIGHT.replace("* 0, None", ", None"))
    (folder / "port").write_text((folder / "port").read_text().replace("1.01", "1.00"))
    done = subprocess.run(command, cwd="/", capture_output=True, text=True)
    assert "2 passed" in done.stdout, done.stdout + done.stderr
