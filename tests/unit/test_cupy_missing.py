"""Without a GPU everything else works, and asking for one says in one line what is missing."""

import sys
import types
from importlib.machinery import ModuleSpec

import pytest

from minisnn import solvers
from minisnn.errors import InputError, SolverUnavailableError

GPU = {"single-spike": ["cupy-sequential", "cupy-parallel"], "multi-spike": ["cupy-sequential"]}


@pytest.fixture
def fresh(monkeypatch):
    for name in ("cupy_parallel", "cupy_sequential"):
        monkeypatch.delitem(sys.modules, f"minisnn.solvers.{name}", raising=False)


def reasons():
    for neuron, names in GPU.items():
        for name in names:
            assert name not in solvers.names(neuron)
            with pytest.raises(SolverUnavailableError) as caught:
                solvers.get(name, neuron)
            message = str(caught.value)
            assert message == solvers.why_unavailable(name)
            assert message.startswith(f"solver '{name}' cannot run here: ")
            assert "\n" not in message
            yield message


def test_without_cupy(monkeypatch, fresh):
    monkeypatch.setitem(sys.modules, "cupy", None)
    for message in reasons():
        assert ".[gpu-cuda12]" in message
        assert ".[gpu-cuda13]" in message


def test_cupy_without_a_device(monkeypatch, fresh):
    cupy = types.ModuleType("cupy")
    cupy.__spec__ = ModuleSpec("cupy", None)
    cupy.cuda = types.SimpleNamespace(is_available=lambda: False)
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    for message in reasons():
        assert "no CUDA device" in message
        assert "driver" in message


def test_the_parallel_solver_has_no_multi_spike_layer():
    with pytest.raises(InputError, match="does not compute multi-spike layers"):
        solvers.get("cupy-parallel", "multi-spike")


@pytest.mark.parametrize("error", [RuntimeError("two\nlines"), OSError("libcuda.so"), AttributeError("x")])
def test_a_solver_that_fails_in_its_own_way(monkeypatch, error):
    """Not only by a package that is missing: a driver, a library or a rule of the machine may be in the way."""

    def fail(name):
        raise error

    monkeypatch.setattr(solvers, "_module", fail)
    assert solvers.names() == []
    with pytest.raises(SolverUnavailableError, match="solver 'numba-parallel' cannot run here: ") as caught:
        solvers.get("numba-parallel")
    assert "\n" not in str(caught.value)
