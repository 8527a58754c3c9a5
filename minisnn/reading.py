"""How a number, a name or an array from outside is read: once, here, before anything is asked of it."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Iterable
from decimal import Decimal
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
from numpy import asarray  # as it is now: a port under test may replace what numpy names
from numpy.typing import DTypeLike, NDArray

from .errors import InputError, one_line, shown, unknown_name

__all__ = [
    "check_within", "checked_count", "checked_flag", "checked_float", "checked_indices", "checked_name",
    "checked_path", "checked_type", "kernel_array", "plain", "read_array", "refuse_masked", "whole_number",
]  # fmt: skip


def read_array(name: str, value: Any) -> NDArray[Any]:
    """`value` as an array, in the dtype and layout it has; tensors of other libraries come to the CPU."""
    refuse_masked(name, value)
    try:
        for method in ("detach", "cpu"):  # of a tensor that requires gradients or lies on a device
            value = getattr(value, method, lambda value=value: value)()
        return asarray(value)
    except Exception as error:  # a foreign object may raise anything when it is read
        uneven = "inhomogeneous" in str(error)
        came = "rows of different lengths" if uneven else f"{type(value).__name__}: {one_line(error)}"
        raise InputError(f"{name} must be an array of numbers, got {came}") from None


def refuse_masked(name: str, value: Any) -> None:
    """Raise `InputError` for a masked array, because its masked values would count as values."""
    if _is_masked(value):
        raise InputError(f"{name} must not be a masked array: fill it, or leave out what is masked")


def whole_number(value: Any) -> int | None:
    """`value` as a Python int if it is an integer, or an array that holds one; else None."""
    if isinstance(value, int):
        return None if isinstance(value, bool) else int(value)
    if not hasattr(value, "dtype") or _is_masked(value):
        return None
    array = read_array("number", value)
    return int(array.item()) if array.dtype.kind in "iu" and array.size == 1 else None


def _is_masked(value: Any) -> bool:
    """Whether NumPy would forget a mask in reading `value`, also that of an array in a list."""
    if isinstance(value, (list, tuple)):
        return any(_is_masked(part) for part in value)
    return isinstance(value, np.ndarray) and hasattr(value, "mask")  # numpy.ma itself is slow to import


def kernel_array(array: NDArray[Any], dtype: DTypeLike | None = None, *, owned: bool = False) -> NDArray[Any]:
    """`array` as compiled code takes it: C-contiguous, aligned, writable, in native byte order.

    The same array if it is that already, otherwise a copy; in any case a copy if `owned`, for an array that is kept and
    changed in place. One form of every array also means one compiled version of every kernel.

    Examples
    --------
    >>> swapped = np.arange(3, dtype=">i4")[::-1]
    >>> kernel_array(swapped), kernel_array(swapped).dtype.isnative
    (array([2, 1, 0], dtype=int32), True)
    """
    native = (array.dtype if dtype is None else np.dtype(dtype)).newbyteorder("=")
    flags = array.flags
    if not owned and array.dtype == native and flags.c_contiguous and flags.aligned and flags.writeable:
        return array
    return np.array(array, dtype=native, order="C", copy=True)


def checked_count(name: str, value: Any, *, low: int = 0, high: int | None = None) -> int:
    """`value` as a Python int between `low` and `high`."""
    number = whole_number(value)
    if number is None or number < low or (high is not None and number > high):
        upper = f" and <= {high}" if high is not None and number is not None and number > high else ""
        raise InputError(f"{name} must be a whole number >= {low}{upper}, got {shown(value)}")
    return number


def check_within(
    what: str,
    numbers: NDArray[Any],
    n: int,
    *,
    low: int = 0,
    note: str = "",
    error: type[InputError] = InputError,
) -> None:
    """Raise an `error` unless all `numbers` lie in 0 ... n - 1; negative ones down to `low` are let pass."""
    if numbers.size and (int(numbers.min()) < low or int(numbers.max()) >= n):
        raise error(f"{what} must lie in 0 ... {n - 1}{note}, got {numbers.min()} ... {numbers.max()}")


def checked_indices(samples: Any, n: int) -> NDArray[np.int64]:
    """Numbers of the chosen ones of n samples: by a slice, a list of numbers (-1 is the last) or a mask."""
    if isinstance(samples, slice):
        try:
            return np.arange(*samples.indices(n))
        except TypeError as error:  # a float in it
            raise InputError(f"samples cannot be selected by {samples}: {error}") from None
    array = read_array("samples", samples)
    if array.dtype.kind == "b" and array.shape == (n,):
        return np.flatnonzero(array)
    if array.ndim != 1 or (array.dtype.kind not in "iu" and array.size):
        raise InputError(
            "samples must be selected by a slice or a list of numbers; for one use [k:k+1]; "
            f"got {array.dtype} of shape {array.shape} for {n} samples"
        )
    check_within("samples", array, n, low=-n)
    numbers = array.astype(np.int64)
    return np.where(numbers < 0, numbers + n, numbers)


def checked_float(
    name: str,
    value: Any,
    *,
    low: float = -math.inf,
    high: float = math.inf,
    open_low: bool = False,
    dtype: DTypeLike | None = None,
) -> float:
    """`value` as a Python float between `low` and `high`: of a real number, or of an array that holds one.

    With `dtype`, also within the range of that type, in which kernels take it.
    """
    if dtype is not None:
        largest = float(np.finfo(dtype).max)
        low, high = max(low, -largest), min(high, largest)
    number = value
    if hasattr(value, "dtype"):
        array = read_array(name, value)
        number = array.item() if array.dtype.kind in "iuf" and array.size == 1 else None
    try:
        # Text that spells a number, True and complex numbers without an imaginary part are no numbers here.
        wrong_kind = isinstance(number, bool) or not isinstance(number, (Real, Decimal, np.floating))
        read = math.nan if wrong_kind else float(number)
    except (TypeError, ValueError, OverflowError):  # of a signalling NaN or a whole number that is too large
        wrong_kind, read = False, math.nan
    if wrong_kind:
        raise InputError(f"{name} must be a number, got {shown(value)}")
    if not (math.isfinite(read) and low <= read <= high) or (open_low and read == low):
        above = "" if low == -math.inf else f" {'>' if open_low else '>='} {low:g}"
        upper = "" if high == math.inf or (dtype is not None and not read > high) else f" and <= {high:g}"
        raise InputError(f"{name} must be a finite number{above}{upper}, got {shown(value)}")
    return read


def checked_flag(name: str, value: Any) -> bool:
    """`value` as a Python bool: of a bool, of 0 or 1, or of an array that holds one of these."""
    flag = value
    if hasattr(value, "dtype"):
        array = read_array(name, value)
        flag = array.item() if array.dtype.kind in "biu" and array.size == 1 else None
    if not isinstance(flag, int) or flag not in (0, 1):
        raise InputError(f"{name} must be True or False, got {shown(value)}")
    return bool(flag)


def checked_name(what: str, value: Any, known: Iterable[str]) -> str:
    """`value` as one of the strings `known`; the error suggests the nearest of them."""
    if isinstance(value, np.ndarray) and value.size == 1:
        value = value.item()
    if not isinstance(value, str) or value not in known:
        raise unknown_name(what, value, known)
    return str(value)


def plain(name: str, value: Any) -> Any:
    """`value` as JSON gives it back: a Python number, text, True, False or None, or a list of these.

    Examples
    --------
    >>> plain("augment", (np.str_("flip"), np.array(2)))
    ['flip', 2]
    """
    if isinstance(value, np.ndarray):
        value = read_array(name, value)  # refuses a masked one
        value = value.item() if value.size == 1 else value
    if isinstance(value, (list, tuple, np.ndarray)):
        return [plain(name, part) for part in value]
    if value is None or isinstance(value, (bool, np.bool_)):
        return None if value is None else bool(value)
    if isinstance(value, str):
        return str(value)
    number = whole_number(value)
    return checked_float(name, value) if number is None else number


def checked_path(name: str, value: Any) -> Path:
    """`value` as a path, if the system can take it as one."""
    with contextlib.suppress(TypeError, UnicodeEncodeError):
        if b"\0" not in os.fsencode(value):
            return Path(value)
    raise InputError(f"{name} must be a path, without characters that no name can have, got {shown(value)}")


def checked_type(name: str, value: Any, kind: type) -> None:
    """Raise `InputError` unless `value` is of the class `kind`."""
    if not isinstance(value, kind):
        raise InputError(f"{name} must be a {kind.__name__}, got {shown(value)}")
