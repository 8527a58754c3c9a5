"""Adam's update compiled: one pass over a parameter, on several cores, with the bits of the NumPy version."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...errors import InputError
from ...reading import kernel_array
from .. import AdamRule
from .jit import kernel
from .lanes import LANES, load, root, store
from .records import Floats
from .threads import run_rows


@kernel
def _adam(
    parameter: Floats,
    gradient: Floats,
    first: Floats,
    second: Floats,
    numbers: tuple[Any, ...],
    start: int,
    stop: int,
) -> None:
    """One step for the rows from `start` to `stop`; arrays are (R, LANES)."""
    lr, beta1, new1, beta2, new2, eps, scale1, scale2, weight_decay = numbers
    for r in range(start, stop):
        p, g = load(parameter, r), load(gradient, r)
        m = beta1 * load(first, r) + new1 * g
        v = beta2 * load(second, r) + new2 * (g * g)
        step = (m / scale1) / (root(v / scale2) + eps)
        store(first, r, m)
        store(second, r, v)
        store(parameter, r, p - lr * (step + weight_decay * p))


def adam_update(parameter: Floats, gradient: Floats, first: Floats, second: Floats, rule: AdamRule) -> None:
    """Change `parameter` and its two moments in place, as `Solver.adam_update` says."""
    for array in (parameter, first, second):  # a view with gaps would be copied, and the copy updated
        if kernel_array(array, parameter.dtype) is not array or array.shape != gradient.shape:
            raise InputError(
                "parameter and moments are changed in place: they must be C-contiguous and writable, of one dtype and "
                f"the shape of the gradient, {gradient.shape}, got {array.dtype} of shape {array.shape}"
            )
    lr, beta1, beta2, eps, step, weight_decay = rule
    numbers = (lr, beta1, 1 - beta1, beta2, 1 - beta2, eps, 1 - beta1**step, 1 - beta2**step, weight_decay)
    typed = tuple(parameter.dtype.type(number) for number in numbers)
    # Views of contiguous arrays: the update reaches the arrays themselves.
    flat = [
        array.reshape(-1) for array in (parameter, kernel_array(gradient, parameter.dtype), first, second)
    ]
    n_rows = parameter.size // LANES
    whole = [array[: n_rows * LANES].reshape(n_rows, LANES) for array in flat]
    run_rows(lambda _, start, stop: _adam(*whole, typed, start, stop), n_rows, parameter.size)
    # The numbers that do not fill a row go through one of their own.
    n_left = parameter.size - n_rows * LANES
    if n_left:
        last_rows = np.ones((4, 1, LANES), parameter.dtype)
        for row, array in zip(last_rows, flat):
            row[0, :n_left] = array[n_rows * LANES :]
        _adam(*last_rows, typed, 0, 1)
        for row, array in zip(last_rows, flat):
            array[n_rows * LANES :] = row[0, :n_left]
