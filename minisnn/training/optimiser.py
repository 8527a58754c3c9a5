"""Adam (Kingma and Ba, 2015) with decoupled weight decay, and learning-rate schedules."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..checks import checked_parameter
from ..errors import InputError, shown
from ..reading import checked_float, checked_name, checked_type
from ..solvers import AdamRule, Solver
from ..solvers import get as get_solver

__all__ = ["MILESTONES", "SCHEDULES", "Adam", "checked_milestones", "learning_rate"]

SCHEDULES = ("constant", "cosine", "milestones")
MILESTONES = (0.5, 0.75)
Parameters = dict[str, NDArray[Any]]


class Adam:
    """Adam over named parameters; learned decays are clipped to [0, 1] after every step.

    Parameters
    ----------
    parameters : dict of name to array
        Changed in place by `step`: C-contiguous, writable, float32 or float64.
    learns : callable
        Whether a parameter of that name is trained.
    solver : Solver, optional
        Its ``adam_update`` is used; all solvers have the same bits.
    weight_decay : float
        Decoupled, on weights only.
    """

    beta1, beta2, eps = 0.9, 0.999, 1e-8

    def __init__(
        self,
        parameters: Parameters,
        learns: Callable[[str], bool] = lambda _: True,
        solver: Solver | None = None,
        weight_decay: float = 0.0,
    ) -> None:
        checked_type("parameters", parameters, dict)
        self.parameters = parameters
        self.names = [name for name in parameters if learns(name)]
        self.first = {name: np.zeros_like(parameters[name]) for name in self.names}
        self.second = {name: np.zeros_like(parameters[name]) for name in self.names}
        self.steps = 0
        self.weight_decay = weight_decay
        self.solver = solver or get_solver("numpy-sequential")

    def step(self, gradients: Parameters, lr: float) -> None:
        """Change the parameters in place, one step against `gradients`."""
        checked_type("gradients", gradients, dict)
        lr = checked_float("lr", lr, low=0)
        checked: dict[str, Any] = {name: gradients.get(name) for name in self.names}
        if self.solver.on_host:
            checked = {name: _checked_gradient(name, g, self.parameters[name]) for name, g in checked.items()}
        self.steps += 1
        for name, gradient in checked.items():
            parameter = self.parameters[name]
            weight_decay = self.weight_decay if name.endswith(".weight") else 0.0
            rule = AdamRule(lr, self.beta1, self.beta2, self.eps, self.steps, weight_decay)
            self.solver.adam_update(parameter, gradient, self.first[name], self.second[name], rule)
            if name.endswith(".decay"):
                np.clip(parameter, 0, 1, out=parameter)

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Moments and step count as named arrays, for a checkpoint."""
        arrays: dict[str, NDArray[Any]] = {"adam/steps": np.array(self.steps)}
        for name in self.names:
            arrays[f"adam/first/{name}"] = self.solver.to_host(self.first[name])
            arrays[f"adam/second/{name}"] = self.solver.to_host(self.second[name])
        return arrays

    def check_finite(self) -> None:
        """Raise `OverflowError` if a number has left the range of its dtype: its parameter would never change again."""
        for what, arrays in (("", self.parameters), ("the square of the gradient of ", self.second)):
            for name in self.names:
                if not np.isfinite(self.solver.to_host(arrays[name])).all():
                    raise OverflowError(f"{what}{name} left the range of {arrays[name].dtype}")

    def move(self, parameters: Parameters) -> None:
        """Continue with copies of the parameters on the solver's device, and move the moments there too."""
        self.parameters = parameters
        self.first, self.second = self.solver.to_device(self.first), self.solver.to_device(self.second)

    def load_arrays(self, arrays: dict[str, NDArray[Any]]) -> None:
        """Take over the arrays that `to_arrays` made; every name and shape is checked."""
        for name in self.names:
            for moments, kind in ((self.first, "first"), (self.second, "second")):
                entry, moment = f"adam/{kind}/{name}", moments[name]
                array = arrays.get(entry)
                if array is None or array.shape != moment.shape or array.dtype != moment.dtype:
                    raise InputError(f"entry {entry} of shape {moment.shape} is missing or differs")
                if not np.isfinite(array).all() or (kind == "second" and (array < 0).any()):
                    raise InputError(f"entry {entry} must be finite, and not negative if second")
                moments[name] = array.copy()
        steps = arrays.get("adam/steps")
        if steps is None or steps.shape != () or steps.dtype.kind not in "iu" or steps < 0:
            raise InputError("entry adam/steps must be a whole number >= 0")
        self.steps = int(steps)


def _checked_gradient(name: str, gradient: Any, parameter: NDArray[Any]) -> NDArray[Any]:
    """`gradient` as the update takes it; an error if it, or the `parameter` to be changed, is not fit for that."""
    flags = parameter.flags
    if not (flags.c_contiguous and flags.aligned and flags.writeable and parameter.dtype.isnative):
        raise InputError(
            f"{name} is changed in place: it must be C-contiguous, writable and of native byte order; pass a copy"
        )
    if gradient is None:
        raise InputError(f"gradients must have an entry {name}")
    return checked_parameter(
        f"the gradient of {name}", gradient, parameter.dtype, parameter.shape, finite=False
    )


def checked_milestones(milestones: Iterable[float]) -> tuple[float, ...]:
    """`milestones` as rising shares of a training, between 0 and 1."""
    try:
        shares = tuple(checked_float("a milestone", share) for share in milestones)
    except (TypeError, InputError):
        shares = ()
    if not shares or not all(low < high for low, high in zip((0.0, *shares), (*shares, 1.0))):
        raise InputError(f"milestones must be rising shares between 0 and 1, got {shown(milestones)}")
    return shares


def learning_rate(
    schedule: str, lr: float, step: int, n_steps: int, milestones: tuple[float, ...] = MILESTONES
) -> float:
    """Learning rate of the step with that number, from 0, of all steps of a run.

    The schedule is constant, half a cosine from `lr` down to 0, or a tenth after every one of the `milestones`, which
    are rising shares of the steps.

    Examples
    --------
    >>> [round(learning_rate("cosine", 1.0, k, 4), 3) for k in range(4)]
    [1.0, 0.854, 0.5, 0.146]
    >>> [learning_rate("milestones", 1.0, k, 4, milestones=(0.25, 0.75)) for k in range(4)]
    [1.0, 0.1, 0.1, 0.01]
    """
    checked_name("schedule", schedule, SCHEDULES)
    progress = step / max(n_steps, 1)
    if schedule == "cosine":
        return lr * 0.5 * (1 + math.cos(math.pi * progress))
    if schedule == "milestones":
        return lr / 10.0 ** sum(progress >= share for share in milestones)
    return lr
