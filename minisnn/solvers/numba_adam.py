"""Adam's update compiled: one pass over a parameter, on all cores, with the bits of the NumPy version."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .jit import kernel
from .threads import run_shares

__all__ = ["adam_update"]

Floats = NDArray[np.floating[Any]]

# Below this many elements waking the other threads takes longer than the update.
SMALL = 2**14


@kernel
def _adam(parameter, gradient, first, second, numbers, start, stop):
    """One step for the elements from `start` to `stop`; everything is one-dimensional."""
    lr, beta1, new1, beta2, new2, eps, scale1, scale2, weight_decay = numbers
    for i in range(start, stop):
        g = gradient[i]
        first[i] = beta1 * first[i] + new1 * g
        second[i] = beta2 * second[i] + new2 * (g * g)
        step = (first[i] / scale1) / (np.sqrt(second[i] / scale2) + eps)
        parameter[i] -= lr * (step + weight_decay * parameter[i])


def adam_update(
    parameter: Floats,
    gradient: Floats,
    first: Floats,
    second: Floats,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    step: int,
    weight_decay: float,
) -> None:
    """Change `parameter` and its two moments in place, as `minisnn.optimiser` says."""
    numbers = (lr, beta1, 1 - beta1, beta2, 1 - beta2, eps, 1 - beta1**step, 1 - beta2**step, weight_decay)
    typed = tuple(parameter.dtype.type(number) for number in numbers)
    # Views of contiguous arrays: the update reaches the arrays themselves.
    arrays = [array.reshape(-1) for array in (parameter, np.ascontiguousarray(gradient), first, second)]
    if parameter.size < SMALL:
        _adam(*arrays, typed, 0, parameter.size)
    else:
        run_shares(lambda _, start, stop: _adam(*arrays, typed, start, stop), parameter.size)
