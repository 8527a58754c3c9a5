"""How a number or an array from outside is read: once, here, before anything is asked of it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import InputError, one_line

__all__ = ["checked_count", "checked_flag", "read_array", "whole_number"]


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
    if _is_masked(value):
        raise InputError(f"{name} must not be a masked array: fill it, or leave out what is masked")
    try:
        for method in ("detach", "cpu"):  # of a tensor that requires gradients or lies on a device
            value = getattr(value, method, lambda value=value: value)()
        return np.asarray(value)
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:
        uneven = "inhomogeneous" in str(error)
        came = "rows of different lengths" if uneven else f"{type(value).__name__}: {one_line(error)}"
        raise InputError(f"{name} must be an array of numbers, got {came}") from None


def whole_number(value: Any) -> int | None:
    """`value` as a Python int if it is an integer, or an array that holds one; else None.

    Examples
    --------
    >>> [whole_number(value) for value in (3, np.int8(3), np.array([3]), 3.0, True)]
    [3, 3, 3, None, None]
    """
    if isinstance(value, int):
        return None if isinstance(value, bool) else int(value)
    if not hasattr(value, "dtype") or _is_masked(value):
        return None
    array = read_array("number", value)
    return int(array.item()) if array.dtype.kind in "iu" and array.size == 1 else None


def checked_count(name: str, value: Any, *, low: int = 0, high: int | None = None) -> int:
    """`value` as a Python int between `low` and `high`.

    Examples
    --------
    >>> checked_count("epochs", np.int64(3), low=1)
    3
    """
    number = whole_number(value)
    if number is None or number < low or (high is not None and number > high):
        upper = f" and <= {high}" if high is not None and number is not None and number > high else ""
        raise InputError(f"{name} must be a whole number >= {low}{upper}, got {one_line(repr(value))}")
    return number


def checked_flag(name: str, value: Any) -> bool:
    """`value` as a Python bool: of True, False, 0 or 1, or an array that holds one of them."""
    array = read_array(name, value)
    if array.dtype.kind not in "biu" or array.size != 1 or array.item() not in (0, 1):
        raise InputError(f"{name} must be True or False, got {one_line(repr(value))}")
    return bool(array.item())


def _is_masked(value: Any) -> bool:
    """Whether `value` is a masked array, or a list with one in it; numpy.ma itself is slow to import."""
    if isinstance(value, (list, tuple)):
        return any(map(_is_masked, value))
    return isinstance(value, np.ndarray) and hasattr(value, "mask")
