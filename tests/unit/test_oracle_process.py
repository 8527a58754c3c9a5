"""A port in a process of its own: what a module may be, and what is told of it (`tests/hostile.py` has accidents)."""

import pytest

from minisnn.errors import InputError
from minisnn.oracle import check

PORT = """
import sys
import numpy as np

def forward(spikes, weight, bias, decay, threshold):
    v = spikes @ weight + bias
    for t in range(1, v.shape[1]):
        v[:, t] += decay * v[:, t - 1]
    above = v > threshold
    times = np.where(above.any(1), above.argmax(1), spikes.shape[1])
    {}
    return times, v
"""


pytestmark = pytest.mark.usefixtures("few_families")


def _report(tmp_path, body, before="", **options):
    (tmp_path / "port.py").write_text(before + PORT.format(body))
    return check(f"{tmp_path}/port.py:forward", **({"dtype": "float32", "examples": 3} | options))


@pytest.mark.parametrize("body", ["raise SystemExit(0)", "import nothing_4711", "1 / 0", "syntax error"])
def test_a_module_that_cannot_be_imported_is_wrong_use(tmp_path, body):
    with pytest.raises(InputError, match="cannot import .*port.py: ") as caught:
        _report(tmp_path, "pass", before=body + "\n")
    assert "\n" not in str(caught.value)


def test_a_call_that_is_slow_once_because_it_compiles_is_no_finding(tmp_path):
    body = "key = spikes.shape[1] > 8\n    if key not in seen: seen.add(key); time.sleep(0.5)"
    assert _report(tmp_path, body, before="import time\nseen = set()\n", timeout=0.4).passed


def test_single_precision_of_jax_is_told_how_to_be_double(tmp_path):
    body = "sys.modules['jax'] = sys; v = v.astype('f4')"
    report = _report(tmp_path, body, dtype="float64")
    assert report.findings[0].rule == "precision"
    assert report.notes == ("float32 came for float64: set jax_enable_x64, or check with --dtype float32",)


def test_the_line_of_the_port_is_shown(tmp_path):
    (finding,) = _report(tmp_path, "return np.linalg.solve(np.ones(3), v)").findings
    assert finding.violations[0].detail.endswith("of port.py: return np.linalg.solve(np.ones(3), v))")
