"""A port in a process of its own: whatever happens there is a finding with its name, and the checker ends by itself."""

import pytest

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
"""
BODY = "\ndef forward(*a):\n    n = next(calls)\n    {}\n    return right(*a)\n"

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
    "modules": "import sys; [sys.modules.pop(m) for m in list(sys.modules) if m.split('.')[0] in ('json', 'minisnn')]",
    "main thread": "import signal; signal.signal(signal.SIGALRM, signal.SIG_IGN)",
    "child left behind": "import subprocess; n == 0 and subprocess.Popen(['sleep', '100'])",
}


def _report(tmp_path, body, **options):
    (tmp_path / "port.py").write_text(HEAD + BODY.format(body))
    options = {"dtype": "float32", "examples": 3, "timeout": 1.0, "first_timeout": 4.0} | options
    return check(f"{tmp_path}/port.py:forward", **options)


@pytest.mark.parametrize(("body", "rules"), ACCIDENTS.values(), ids=ACCIDENTS)
def test_an_accident_is_a_finding(tmp_path, body, rules):
    memory = None if "SIGKILL" in body else 3000  # which would be a reason to be killed
    (finding,) = _report(tmp_path, body, memory=memory).findings
    assert finding.rule in rules
    assert "\n" not in finding.violations[0].detail


@pytest.mark.parametrize("body", HARMLESS.values(), ids=HARMLESS)
def test_what_harms_no_answer_is_no_finding(tmp_path, body):
    report = _report(tmp_path, body)
    assert report.passed, str(report)
