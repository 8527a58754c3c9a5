"""``minisnn bench`` on a device, with a stand-in for CuPy: answers checked, data there before the clock starts."""

import os

import pytest

from minisnn import solvers
from minisnn.bench.timing import Contestant, StepRunner
from minisnn.bench.workloads import make_batch, make_network, workload
from minisnn.commands.main import main
from tests.cuda_shim import solver as shim
from tests.cuda_shim import stand_in

pytestmark = pytest.mark.skipif(
    shim.COMPILER is None and not os.environ.get("CI"),
    reason="g++ is missing, which runs the GPU kernels here",
)
TINY = {"batch": 4, "n_steps": 20, "n_inputs": 12, "n_hidden": 6, "n_classes": 3, "n_events": 40}


@pytest.fixture(scope="module", autouse=True)
def cupy():
    with stand_in.installed() as module:
        yield module


@pytest.mark.parametrize(
    ("solver", "neuron"),
    [
        ("cupy-parallel", "single-spike"),
        ("cupy-sequential", "single-spike"),
        ("cupy-sequential", "multi-spike"),
    ],
)
def test_everything_is_on_the_device_before_the_clock_starts(solver, neuron, cupy, monkeypatch):
    what = workload("shd", **TINY)
    events, labels = make_batch(what)
    runner = StepRunner(
        Contestant(solver, neuron, "events", 1), make_network(what, "v2", neuron, events), events, labels
    )
    arrays = [runner.signal.indptr, *runner.network.parameters.values(), *runner.optimiser.first.values()]
    assert {type(array) for array in arrays} == {cupy.ndarray}
    waited = []
    runner.synchronise = lambda: waited.append(1)
    assert all(seconds > 0 for turn in runner.turn(2) for seconds in turn)
    assert len(waited) >= 2 * 3 + 2 * 2
    assert hasattr(solvers.get(solver, neuron), "synchronise")


def test_the_grid_on_the_device(capsys):
    sizes = ["--batch", "3", "--neurons", "5", "--n-steps", "12", "--density", "dense", "--repeats", "1"]
    assert main(["bench", "grid", "--gpu", *sizes]) == 0
    printed = capsys.readouterr().out
    assert "smallest ratio" in printed
    assert "differ" not in printed
