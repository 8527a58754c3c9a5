"""The ways to compute the same layer, by name.

`get` is the one place that chooses. Asked for a solver by name it returns that solver or raises one
line that says why it cannot run here; it never falls back to another.
"""

from __future__ import annotations

import importlib
from types import ModuleType

from ..errors import InputError, SolverUnavailableError, one_line
from ..reading import checked_name

__all__ = ["ALL", "get", "names", "why_unavailable"]

# Name, module, neurons it computes.
ALL: dict[str, tuple[str, tuple[str, ...]]] = {
    "numpy-sequential": ("numpy_sequential", ("single-spike", "multi-spike")),
    "numpy-parallel": ("numpy_parallel", ("single-spike",)),
    "numba-sequential": ("numba_sequential", ("single-spike", "multi-spike")),
    "numba-parallel": ("numba_parallel", ("single-spike",)),
    "cupy-sequential": ("cupy_sequential", ("single-spike", "multi-spike")),
    "cupy-parallel": ("cupy_parallel", ("single-spike",)),
}
NEURONS = ("single-spike", "multi-spike")


def names(neuron: str = "single-spike") -> list[str]:
    """Names of the solvers that are usable on this machine for that kind of neuron.

    Examples
    --------
    >>> "numpy-parallel" in names() and "numpy-parallel" not in names(neuron="multi-spike")
    True
    """
    neuron = checked_name("neuron", neuron, NEURONS)
    return [name for name, (_, neurons) in ALL.items() if neuron in neurons and why_unavailable(name) is None]


def why_unavailable(name: str) -> str | None:
    """What keeps a solver from running on this machine, in one line; None if it runs."""
    try:
        _module(name)
    except (
        Exception
    ) as error:  # a package that is not there, or one that fails on this machine in its own way
        return f"solver {name!r} cannot run here: {one_line(error)}"
    return None


def get(name: str, neuron: str = "single-spike") -> ModuleType:
    """Return the solver of that name: a module of functions of arrays.

    Parameters
    ----------
    name : str
        One of `ALL`.
    neuron : {"single-spike", "multi-spike"}
        What it is to compute.

    Raises
    ------
    InputError
        For an unknown name (with the nearest one), or a solver that does not compute that neuron.
    SolverUnavailableError
        If the solver cannot run on this machine.
    """
    name, neuron = checked_name("solver", name, ALL), checked_name("neuron", neuron, NEURONS)
    if neuron not in ALL[name][1]:
        usable = [other for other, (_, neurons) in ALL.items() if neuron in neurons]
        raise InputError(
            f"solver {name!r} does not compute {neuron} layers; those that do: {', '.join(usable)}"
        )
    reason = why_unavailable(name)
    if reason is not None:
        raise SolverUnavailableError(reason)
    return _module(name)


def _module(name: str) -> ModuleType:
    return importlib.import_module(f".{ALL[name][0]}", __name__)
