"""Adam's update compiled: one pass over a parameter, on all cores, with the bits of the NumPy version."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .jit import kernel
from .lanes import LANES, load, root, store
from .threads import WORTH_WAKING, run_shares

__all__ = ["adam_update"]

Floats = NDArray[np.floating[Any]]


@kernel
def _adam_lanes(parameter, gradient, first, second, numbers, column):
    """One step for `LANES` elements; arrays are (1, size)."""
    lr, beta1, new1, beta2, new2, eps, scale1, scale2, weight_decay = numbers
    p, g = load(parameter, 0, column), load(gradient, 0, column)
    m = beta1 * load(first, 0, column) + new1 * g
    v = beta2 * load(second, 0, column) + new2 * (g * g)
    step = (m / scale1) / (root(v / scale2) + eps)
    store(first, 0, column, m)
    store(second, 0, column, v)
    store(parameter, 0, column, p - lr * (step + weight_decay * p))


@kernel
def _adam(parameter, gradient, first, second, numbers, start, stop):
    """One step for the elements from `start` to `stop`."""
    arrays = parameter, gradient, first, second
    end = stop - (stop - start) % LANES
    for column in range(start, end, LANES):
        _adam_lanes(parameter, gradient, first, second, numbers, column)
    if end < stop:
        rest = np.ones((4, 1, LANES), parameter.dtype)
        for k in range(4):
            rest[k, 0, : stop - end] = arrays[k][0, end:stop]
        _adam_lanes(rest[0], rest[1], rest[2], rest[3], numbers, 0)
        for k in range(4):
            if k != 1:
                arrays[k][0, end:stop] = rest[k, 0, : stop - end]


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
    arrays = [array.reshape(1, -1) for array in (parameter, np.ascontiguousarray(gradient), first, second)]
    if parameter.size < WORTH_WAKING:
        _adam(*arrays, typed, 0, parameter.size)
    else:
        run_shares(lambda _, start, stop: _adam(*arrays, typed, start, stop), parameter.size)
