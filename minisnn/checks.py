"""Checks of the arguments of the public functions: what was expected, what came, in one line."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import InputError, unknown_name
from .model import GRADIENTS
from .reading import checked_count
from .spikes import SpikeEvents, check_raster

__all__ = [
    "check_overflow",
    "checked_count",
    "checked_decay",
    "checked_float",
    "checked_gradient",
    "checked_labels",
    "checked_layer",
    "checked_output_gradient",
]

Floats = NDArray[np.floating[Any]]


def checked_float(
    name: str, value: Any, *, low: float, high: float = math.inf, open_low: bool = False
) -> float:
    """`value` as a Python float between `low` and `high`."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        raise InputError(f"{name} must be a number, got {value!r}") from None
    if not (math.isfinite(number) and low <= number <= high) or (open_low and number == low):
        above = f"> {low:g}" if open_low else f">= {low:g}"
        upper = "" if high == math.inf else f" and <= {high:g}"
        raise InputError(f"{name} must be a finite number {above}{upper}, got {value!r}")
    return number


def checked_gradient(gradient: str) -> str:
    """`gradient` if it is one of the two choices of g' (Eq. 6)."""
    if gradient not in GRADIENTS:
        raise unknown_name("gradient", gradient, GRADIENTS)
    return gradient


def _finite(name: str, array: NDArray[Any]) -> None:
    if not np.isfinite(array).all():
        place = tuple(int(k) for k in np.unravel_index(int(np.argmin(np.isfinite(array))), array.shape))
        raise InputError(f"{name} must be finite, got {array[place]} at {place}")


def _parameter(name: str, value: Any, dtype: np.dtype[Any], shape: tuple[int, ...]) -> Floats:
    array = np.asarray(value)
    if array.dtype != dtype:
        raise InputError(f"{name} must have the dtype of weight, {dtype}, got {array.dtype}")
    if array.shape != shape:
        raise InputError(f"{name} must have shape {shape}, got {array.shape}")
    _finite(name, array)
    return array


def checked_decay(decay: Any, dtype: np.dtype[Any], n_out: int) -> Floats:
    """`decay` as a 0-d or (n_out,) array of `dtype`, within [0, 1]; a Python number takes the dtype."""
    array = np.asarray(decay, dtype=dtype) if isinstance(decay, (int, float)) else np.asarray(decay)
    if array.dtype != dtype:
        raise InputError(f"decay must have the dtype of weight, {dtype}, got {array.dtype}")
    if array.shape not in ((), (n_out,)):
        raise InputError(f"decay must be a scalar or have shape ({n_out},), got {array.shape}")
    if not np.all((array >= 0) & (array <= 1)):
        wrong = array[~((array >= 0) & (array <= 1))].flat[0]
        raise InputError(f"decay must lie in [0, 1], got {wrong}")
    return array


def checked_layer(
    spikes: Any, weight: Any, bias: Any, decay: Any
) -> tuple[NDArray[Any] | SpikeEvents, Floats, Floats, Floats]:
    """Input and parameters of a layer, or the error that says what is wrong with them."""
    weight = np.asarray(weight)
    if weight.dtype not in (np.float32, np.float64):
        raise InputError(f"weight must be float32 or float64, got {weight.dtype}")
    if weight.ndim != 2 or 0 in weight.shape:
        raise InputError(f"weight must have shape (n_in, n_out), got {weight.shape}")
    _finite("weight", weight)
    weight = np.ascontiguousarray(
        weight
    )  # kernels are compiled for this layout; a copy only where it differs
    n_in, n_out = weight.shape
    bias = _parameter("bias", bias, weight.dtype, (n_out,))
    decay = checked_decay(decay, weight.dtype, n_out)
    if not isinstance(spikes, SpikeEvents):
        spikes = np.asarray(spikes)
        check_raster(spikes)
    elif len(spikes) == 0:
        raise InputError("spikes must have at least one sample, got none")
    if spikes.shape[2] != n_in:
        raise InputError(f"spikes must have shape (batch, time, {n_in}) to fit weight, got {spikes.shape}")
    return spikes, weight, bias, decay


def checked_output_gradient(name: str, gradient: Any, like: NDArray[Any]) -> Floats | None:
    """`gradient` if it has the shape and dtype of the layer's output `like` (None stays None)."""
    return None if gradient is None else _parameter(name, gradient, like.dtype, like.shape)


def check_overflow(potential: Floats) -> None:
    """Raise `OverflowError` if a potential (B, T, N) left the range of its dtype.

    The last step tells of all: with a decay in [0, 1] what is infinite stays infinite or becomes NaN, and
    NaN stays, since 0 * inf and 0 * NaN are NaN.
    """
    if not np.isfinite(potential[:, -1]).all():
        raise OverflowError(f"the potential left the range of {potential.dtype}: scale weight and bias down")


def checked_labels(labels: Any, n_samples: int, n_classes: int) -> NDArray[np.int64]:
    """`labels` as (n_samples,) int64 within 0 ... n_classes - 1."""
    array = np.asarray(labels)
    if array.dtype.kind not in "iu" or array.shape != (n_samples,):
        raise InputError(f"labels must be {n_samples} integers, got {array.dtype} of shape {array.shape}")
    if n_samples and (int(array.min()) < 0 or int(array.max()) >= n_classes):
        raise InputError(f"labels must lie in 0 ... {n_classes - 1}, got {array.min()} ... {array.max()}")
    return array.astype(np.int64)
