"""What a solver offers: functions of its own, defaults for the rest, or one line that says what is missing."""

import sys
import types
from importlib.machinery import ModuleSpec

import numpy as np
import pytest

import minisnn
from minisnn import solvers
from minisnn.errors import InputError, SolverUnavailableError
from tests import cupy_stand_in
from tests.helpers import one_line

LAYER = np.ones((1, 2, 1)), np.ones((1, 1)), np.ones(1), 0.5
GPU = [
    ("cupy-sequential", "single-spike"),
    ("cupy-parallel", "single-spike"),
    ("cupy-sequential", "multi-spike"),
]


def test_defaults_on_the_cpu():
    solver, values = solvers.get("numpy-parallel"), {"a": np.ones(2)}
    assert solver.to_device(values) is values
    assert solver.to_host(values) is values
    assert solver.synchronise() is None
    assert solver.on_host
    assert not solver.has_threads
    assert solver.run_network(None, None, [], None) is None
    assert not solver.are_sound([])
    with one_line(InputError, "solver 'numpy-parallel' has no threads to set; BLAS has its own"):
        solver.set_threads(2)


@pytest.mark.parametrize("size", [1, 31, 32, 70, 40000])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_adam_has_the_bits_of_the_default(dtype, size):
    answers = {}
    for name in ("numpy-sequential", *solvers.names()):
        solver, rng = solvers.get(name), np.random.default_rng(size)
        start = [rng.standard_normal(size).astype(dtype), np.zeros(size, dtype), np.zeros(size, dtype)]
        held = solver.to_device(dict(enumerate(start)))
        for step in (1, 2, 3):
            gradient = solver.to_device({0: rng.standard_normal(size).astype(dtype)})[0]
            rule = solvers.AdamRule(0.01, 0.9, 0.999, 1e-8, step, 0.1)
            solver.adam_update(held[0], gradient, held[1], held[2], rule)
        answers[name] = solver.to_host(held)
    for name, answer in answers.items():
        for k, right in answers["numpy-sequential"].items():
            np.testing.assert_array_equal(answer[k], right, err_msg=name)


# ---- what is missing --------------------------------------------------------------------------------


@pytest.fixture
def no_cupy(monkeypatch):
    """As where no GPU solver was asked for before, and the package is missing."""
    for name in ("cupy_parallel", "cupy_sequential"):
        monkeypatch.delitem(sys.modules, f"minisnn.solvers.{name}", raising=False)
    monkeypatch.setitem(sys.modules, "cupy", None)


def reasons():
    for name, neuron in GPU:
        assert name not in solvers.names(neuron)
        with one_line(SolverUnavailableError, f"^solver '{name}' cannot run here: ") as caught:
            solvers.get(name, neuron)
        assert str(caught.value) == solvers.why_unavailable(name)
        yield str(caught.value)


def test_the_stand_in_for_cupy_leaves_no_solver_behind():
    before = solvers.names()
    with cupy_stand_in.installed():
        assert solvers.names()[-2:] == ["cupy-sequential", "cupy-parallel"]
    assert solvers.names() == before


def test_without_cupy(no_cupy):
    for message in reasons():
        assert ".[gpu-cuda12]" in message
        assert ".[gpu-cuda13]" in message


def test_cupy_without_a_device(monkeypatch, no_cupy):
    cupy = types.ModuleType("cupy")
    cupy.__spec__ = ModuleSpec("cupy", None)
    cupy.cuda = types.SimpleNamespace(is_available=lambda: False)
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    for message in reasons():
        assert "no CUDA device" in message
        assert "driver" in message


@pytest.mark.parametrize(
    "error",
    [ImportError("no module 'x'"), RuntimeError("two\nlines"), OSError("libcuda.so"), AttributeError("x")],
    ids=repr,
)
def test_a_solver_that_fails_in_its_own_way(monkeypatch, error):
    """Not only by a package that is missing: a driver, a library or a rule of the machine may be in the way."""

    def fail(name):
        raise error

    monkeypatch.setattr(solvers, "_module", fail)
    assert solvers.names() == []
    reason = "no module 'x'" if isinstance(error, ImportError) else ""
    with one_line(SolverUnavailableError, f"solver 'numba-parallel' cannot run here: {reason}"):
        solvers.get("numba-parallel")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: minisnn.multi_spike_forward(*LAYER, solver="numpy-parallel"),
         "does not compute multi-spike layers; those that do: numpy-sequential"),
        (lambda: solvers.get("cupy-parallel", "multi-spike"), "does not compute multi-spike layers"),
        (lambda: solvers.names("triple-spike"), "unknown neuron"),
        (lambda: solvers.get("numpy-parallel", "triple-spike"), "unknown neuron"),
    ],
)  # fmt: skip
def test_a_solver_computes_what_it_computes(call, message):
    with one_line(InputError, message):
        call()
