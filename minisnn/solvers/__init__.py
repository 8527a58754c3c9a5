"""The ways to compute the same layer, by name.

`get` is the one place that chooses. Asked for a solver by name it returns that solver or raises one
line that says why it cannot run here; it never falls back to another.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import lru_cache
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, SolverUnavailableError, one_line
from ..reading import checked_name

__all__ = ["ALL", "AdamRule", "Choices", "Solver", "get", "names", "why_unavailable"]

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


class AdamRule(NamedTuple):
    """The numbers of one step of Adam."""

    lr: float
    beta1: float
    beta2: float
    eps: float
    step: int  # from 1
    weight_decay: float


class Choices(NamedTuple):
    """The settings that all layers of a single-spike network share, as in `minisnn.NetworkConfig`."""

    threshold: float
    surrogate_scale: float
    gradient: str
    readout: str
    logit_scale: float
    spike_penalty: float


class Solver:
    """What a solver offers: functions of arrays, for layers and readout, never for a network object.

    Every solver has the first five functions, and some have those of the conventional layer; it may also replace a
    default. A module either lists all it offers in its ``__all__``, or has a `solver` of a class derived from this one.

    Parameters
    ----------
    name : str
        As in `ALL`, for messages.
    module : module
        Where the functions stand.
    """

    name: str
    has_threads: bool
    on_host: bool
    next_input: Callable[..., Any]
    single_spike_forward: Callable[..., Any]
    single_spike_backward: Callable[..., Any]
    readout_forward: Callable[..., Any]
    readout_backward: Callable[..., Any]
    multi_spike_forward: Callable[..., Any]
    multi_spike_backward: Callable[..., Any]

    def __init__(self, name: str, module: ModuleType) -> None:
        self.name = name
        self.has_threads, self.on_host = "set_threads" in module.__all__, "to_device" not in module.__all__
        vars(self).update((offered, vars(module)[offered]) for offered in module.__all__)

    def to_device(self, values: Any) -> Any:
        """Arrays, events, traces, gradients or dictionaries of arrays, where the solver computes."""
        return values

    def to_host(self, values: Any) -> Any:
        """The same as NumPy arrays."""
        return values

    def synchronise(self) -> None:
        """Wait until everything that was begun is done: before a clock is read."""

    def set_threads(self, n_threads: int) -> None:
        """Set the number of threads; results do not depend on it."""
        raise InputError(f"solver {self.name!r} has no threads to set; BLAS has its own")

    def are_sound(self, layers: Any) -> bool:
        """Whether parameters of their shapes and dtype are seen to be valid at a glance; False if it takes a look."""
        return False

    def run_network(
        self,
        spikes: Any,
        labels: Any,
        layers: Any,
        choices: Choices,
        workspace: Any = None,
    ) -> Any:
        """Run a single-spike network forward at once, and backward too if there are labels (B,) int64.

        `layers` holds weight, bias and decay of every layer, the readout last.

        Returns
        -------
        outcome, loss, gradients : Outcome, float, list of Gradients
            The cross-entropy; the gradients, those of the spike penalty included, by the parameters of every layer.
            Loss 0 and no gradients without labels. None in place of all three if the caller should go layer by layer.

        Raises
        ------
        OverflowError
            If a potential or a logit leaves the range of the dtype.
        """
        return None

    def adam_update(
        self,
        parameter: NDArray[Any],
        gradient: NDArray[Any],
        first: NDArray[Any],
        second: NDArray[Any],
        rule: AdamRule,
    ) -> None:
        """Take one step of Adam, in place.

        Exactly in this order of operations, so that compiled versions can have the same bits::

            first  = beta1 * first  + (1 - beta1) * gradient
            second = beta2 * second + (1 - beta2) * (gradient * gradient)
            move   = (first / (1 - beta1^step)) / (sqrt(second / (1 - beta2^step)) + eps)
            parameter -= lr * (move + weight_decay * parameter)

        Examples
        --------
        >>> p, m, v = np.ones(1), np.zeros(1), np.zeros(1)
        >>> get("numpy-sequential").adam_update(p, np.full(1, 5.0), m, v, AdamRule(0.1, 0.9, 0.999, 0.0, 1, 0.0))
        >>> p.round(12)  # the first step has the length of the learning rate, at any gradient
        array([0.9])
        """
        lr, beta1, beta2, eps, step, weight_decay = rule
        first[...] = beta1 * first + (1 - beta1) * gradient
        second[...] = beta2 * second + (1 - beta2) * (gradient * gradient)
        move = (first / (1 - beta1**step)) / (np.sqrt(second / (1 - beta2**step)) + eps)
        parameter -= lr * (move + weight_decay * parameter)


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
    """The reason why a solver cannot run on this machine, in one line; None if it can."""
    try:
        _module(name)
    except Exception as error:  # a package that is missing, or fails on this machine, may raise anything
        return f"solver {name!r} cannot run here: {one_line(error)}"
    return None


def get(name: str, neuron: str = "single-spike") -> Solver:
    """Return the solver of that name.

    Parameters
    ----------
    name : str
        One of `ALL`.
    neuron : {"single-spike", "multi-spike"}
        The kind of layer it is to compute.

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
    return _offered(name, _module(name))


@lru_cache
def _offered(name: str, module: ModuleType) -> Solver:
    return vars(module).get("solver") or Solver(name, module)


@lru_cache
def _module(name: str) -> ModuleType:
    return importlib.import_module(f".{ALL[name][0]}", __name__)
