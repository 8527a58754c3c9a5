"""A port in a process of its own: whatever happens there is a finding with its name, and the checker ends by itself."""

import time

import pytest

from minisnn.errors import InputError
from minisnn.oracle import check

HEAD = """
import numpy as np

def forward(spikes, weight, bias, decay, threshold):
    v = np.zeros((len(spikes), len(bias)), dtype=weight.dtype)
    membrane = []
    for t in range(spikes.shape[1]):
        v = decay * v + (spikes[:, t] @ weight + bias)
        membrane.append(v)
    membrane = np.stack(membrane, axis=1)
    above = membrane > threshold
    return np.where(above.any(1), above.argmax(1), spikes.shape[1]), membrane

right = forward
calls = iter(range(10**6))
import builtins, os, struct, warnings
OWN = [(vars(m), dict(vars(m))) for m in (builtins, os, struct, warnings, np)]
"""
BODY = "\ndef forward(*a):\n    n = calls.__next__()\n    {}\n    return right(*a)\n"

# What a port does in a call (the first is number 0), and the findings it may be.
ACCIDENTS = {
    "exit": ("import os; os._exit(0)", {"exit"}),
    "exit later": ("if n == 9: import os; os._exit(3)", {"exit"}),
    "SystemExit": ("import sys; sys.exit(0)", {"exception"}),
    "crash": ("import ctypes; ctypes.string_at(0)", {"crash"}),
    "killed": ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", {"crash"}),
    "hang": ("if n == 3: import time; time.sleep(60)", {"timeout"}),
    "interpreter lock": ("if n == 3: import ctypes; ctypes.PyDLL(None).sleep(60)", {"timeout"}),
    "memory": ("raise MemoryError", {"memory"}),
    "much memory": ("np.ones(2**29)", {"memory"}),
    "fork": ("import os; os.fork()", {"fork", "protocol"}),
    "closed descriptors": ("import os; os.closerange(0, 100)", {"exit"}),
    "lazy array": (
        "class Lazy:\n        def __array__(self, *_, **__):\n            import time; time.sleep(60)\n"
        "    return right(*a)[0], Lazy()",
        {"timeout"},
    ),
    "reused buffer": (
        "global kept; s, v = right(*a); kept = globals().get('kept', np.zeros(10**5))\n"
        "    kept[: v.size] = v.ravel(); return s, kept[: v.size].reshape(v.shape)",
        {"reused-buffer"},
    ),
}  # fmt: skip
# What a right port may do as well.
HARMLESS = {
    "noise": "import os; os.write(1, b'x' * 10**5); os.write(2, b'y' * 10**5); print('mSNN')",
    "closed streams": "import sys, os; sys.stdout.close(); os.close(2) if n == 0 else None",
    "folder": "import os; os.chdir('/')",
    "patches": "import json, os, time, sys, builtins; np.array_equal = np.asarray = np.asanyarray = time.monotonic = "
    "json.loads = os.write = os.read = os._exit = sys.exit = builtins.print = lambda *a, **k: 0",
    "everything": "[names.update(own) for names, own in OWN]; answer = right(*a)\n"
    "    for names, own in OWN:\n        for name in own:\n            if name[0] != '_': names[name] = None\n"
    "    return answer",
    "modules": "import sys; [sys.modules.pop(m) for m in list(sys.modules) if m.split('.')[0] in ('json', 'minisnn')]",
    "main thread": "import signal; signal.signal(signal.SIGALRM, signal.SIG_IGN)",
    "child left behind": "import subprocess; n == 0 and subprocess.Popen(['sleep', '100'])",
}


IMPORTS = {
    "exit": ("import os; os._exit(0)", "exit"),
    "crash": ("import os; os.abort()", "crash"),
    "hang": ("import time; time.sleep(60)", "timeout"),
    "KeyboardInterrupt": ("raise KeyboardInterrupt", "crash"),  # by SIGINT, as Python ends then
    "atexit": ("import atexit, os; atexit.register(os._exit, 3)", None),
    "atexit hang": ("import atexit, time; atexit.register(time.sleep, 60)", None),
    "thread": ("import threading, time; threading.Thread(target=time.sleep, args=(60,)).start()", None),
}


pytestmark = pytest.mark.usefixtures("few_families")


def _report(tmp_path, body, before="", **options):
    (tmp_path / "port.py").write_text(before + HEAD + BODY.format(body))
    options = {"dtype": "float32", "examples": 3, "timeout": 1.0, "first_timeout": 4.0} | options
    return check(f"{tmp_path}/port.py:forward", **options)


@pytest.mark.parametrize(("body", "rules"), ACCIDENTS.values(), ids=ACCIDENTS)
def test_an_accident_is_a_finding(tmp_path, body, rules):
    memory = None if "SIGKILL" in body else 3000  # which would be a reason to be killed
    limits = {"timeout": 0.5, "first_timeout": 2.0} if "timeout" in rules else {}
    (finding,) = _report(tmp_path, body, memory=memory, **limits).findings
    assert finding.rule in rules
    assert "\n" not in finding.violations[0].detail


@pytest.mark.parametrize("body", HARMLESS.values(), ids=HARMLESS)
def test_what_harms_no_answer_is_no_finding(tmp_path, body):
    report = _report(tmp_path, body)
    assert report.passed, str(report)


@pytest.mark.parametrize(("body", "rule"), IMPORTS.values(), ids=IMPORTS)
def test_a_module_may_end_its_process_when_it_is_imported_and_when_it_ends(tmp_path, body, rule):
    started = time.monotonic()
    findings = _report(tmp_path, "pass", before=body, first_timeout=2.0).findings
    assert [finding.rule for finding in findings] == [rule] * (rule is not None)
    assert time.monotonic() - started < 30


@pytest.mark.parametrize("body", ["raise SystemExit(0)", "import nothing_4711", "1 / 0", "syntax error"])
def test_a_module_that_cannot_be_imported_is_wrong_use(tmp_path, body):
    with pytest.raises(InputError, match="cannot import .*port.py: ") as caught:
        _report(tmp_path, "pass", before=body + "\n")
    assert "\n" not in str(caught.value)


def test_single_precision_of_jax_is_told_how_to_be_double(tmp_path):
    body = "import sys; sys.modules['jax'] = sys; s, v = right(*a); return s, v.astype('f4')"
    report = _report(tmp_path, body, dtype="float64")
    assert report.findings[0].rule == "precision"
    assert report.notes == ("float32 came for float64: set jax_enable_x64, or check with --dtype float32",)


def test_the_line_of_the_port_is_shown(tmp_path):
    (finding,) = _report(tmp_path, "w, x = np.ones(3), np.ones(4)\n    return np.linalg.solve(w, x)").findings
    assert finding.violations[0].detail.endswith("of port.py: return np.linalg.solve(w, x))")
