"""How a number or an array from outside is read: once, here, before anything is asked of it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import InputError, one_line

__all__ = ["checked_count", "read_array"]


def read_array(name: str, value: Any) -> NDArray[Any]:
    """`value` as an array, in whatever dtype and layout it has; tensors of other libraries come to the CPU.

    Raises
    ------
    InputError
        For masked arrays, whose masked values would count as values, and for what NumPy cannot take.

    Examples
    --------
    >>> read_array("labels", [0, 2])
    array([0, 2])
    """
    if isinstance(value, np.ndarray) and hasattr(value, "mask"):
        raise InputError(f"{name} must not be a masked array: fill it, or leave the masked samples out")
    for method in ("detach", "cpu"):  # of a tensor that requires gradients or lies on a device
        value = getattr(value, method, lambda value=value: value)()
    try:
        return np.asarray(value)
    except (TypeError, ValueError) as error:  # rows of different lengths, among others
        raise InputError(f"{name} must be an array, got {type(value).__name__}: {one_line(error)}") from None


def checked_count(name: str, value: Any, *, low: int = 0, high: int | None = None) -> int:
    """`value` as a Python int between `low` and `high`: of an integer, or of an array that holds one.

    Examples
    --------
    >>> checked_count("epochs", np.int64(3), low=1)
    3
    """
    number = value if isinstance(value, int) else read_array(name, value) if hasattr(value, "dtype") else None
    if isinstance(number, np.ndarray):
        number = number.item() if number.dtype.kind in "iu" and number.size == 1 else None
    upper = "" if high is None else f" and <= {high}"
    if number is None or isinstance(value, bool) or number < low or (high is not None and number > high):
        raise InputError(f"{name} must be a whole number >= {low}{upper}, got {one_line(repr(value))}")
    return int(number)
