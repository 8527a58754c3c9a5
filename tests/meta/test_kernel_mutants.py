"""Proof that the checks of the GPU kernels can fail: every kernel with one lie is caught."""

import pytest

from minisnn import SpikeEvents, oracle
from minisnn.solvers.cuda import kernels
from tests import cupy_stand_in, ports

pytestmark = pytest.mark.usefixtures("cupy")
LIES = {
    "fires at the threshold": ("v > threshold", "v >= threshold"),
    "keeps the last crossing": ("first == n_steps && v > threshold", "v > threshold"),
    "forgets the bias": ("(current + constant)", "current"),
    "reads the neighbour's decay": ("decay[n * decay_stride]", "decay[(n ? n - 1 : n) * decay_stride]"),
    "skips the last event of a step": ("e < indptr[row + 1];", "e + 1 < indptr[row + 1];"),
    "one sample for all": ("b = cell / n_out, n", "b = 0, n"),
    "gate one step late": ("t < tau", "t <= tau"),
    "one running sum": ("outer += inner", "outer = inner"),
    "surrogate not squared": ("outer * (root * root)", "outer * root"),
    "no decay in the gradient": ("g = grad_v + beta * g", "g = grad_v + g"),
    "decay gradient without shift": ("g * before", "g * v"),
    "batch sum leaves out a sample": ("r = 0; r < rows", "r = 1; r < rows"),
    "weight gradient of the row before": ("current[rows[e] * n", "current[(rows[e] ? rows[e] - 1 : 0) * n"),
}  # fmt: skip


@pytest.mark.parametrize("lie", [None, *LIES])
def test_the_oracle_catches(lie, monkeypatch, few_families):
    right = kernels.source
    if lie is not None:
        old, new = LIES[lie]
        assert old in right("float32")
        monkeypatch.setattr(kernels, "source", lambda dtype: right(dtype).replace(old, new))
    cupy_stand_in.library.cache_clear()
    try:
        run = ports.forward_of("cupy-parallel"), ports.backward_of("cupy-parallel")
        dtype = "both" if lie is None else "float32"  # the same text, of which one is compiled sooner
        report = oracle.check(*map(of_events, run), examples=8, dtype=dtype)
    finally:
        cupy_stand_in.library.cache_clear()
    assert report.passed == (lie is None), str(report)


def of_events(function):
    """Let a port read its input as events, which have kernels of their own."""
    return lambda spikes, *rest: function(SpikeEvents.from_raster(spikes), *rest)
