"""From intensities to spike times, as in the paper, and from time series to events at threshold crossings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..checks import check_finite
from ..errors import InputError
from ..reading import checked_count, checked_name, read_array
from ..spikes import LARGEST, SpikeEvents

ENCODINGS = ("linear", "sparse", "root", "log")
# Samples encoded at a time: keeps the scratch of a whole training set to a few megabytes.
_CHUNK = 2048


def latency_linear(intensity: NDArray[np.floating[Any]], n_steps: int) -> NDArray[np.int32]:
    """Encode intensities linearly, ``t = floor((1 - x) (T - 1))``: every input fires once (version 2).

    Parameters
    ----------
    intensity : array in [0, 1]
        1 fires in the first step, 0 in the last.
    n_steps : int
        T.

    Returns
    -------
    spike_times : int32, shape of `intensity`
        In steps.

    Examples
    --------
    >>> latency_linear(np.array([1.0, 0.5, 0.0]), n_steps=100)
    array([ 0, 49, 99], dtype=int32)
    """
    n_steps = checked_count("n_steps", n_steps, low=1, high=LARGEST)
    x = read_array("intensities", intensity)
    if x.dtype.kind not in "biuf":
        raise InputError(f"intensities must be numbers, got {x.dtype}")
    x = x.astype(np.float64, order="C")
    if not np.all((x >= 0) & (x <= 1)):
        raise InputError(f"intensities must lie in [0, 1], got {np.min(x)} ... {np.max(x)}")
    times: NDArray[np.int32] = np.floor((1 - x) * (n_steps - 1)).astype(np.int32)
    return times


def latency_log(pixels: NDArray[np.uint8], n_steps: int) -> NDArray[np.int32]:
    """Encode bytes as the charging time of a leaky neuron, ``t = round(20000 ln(p / (p - 0.2)))`` (version 1).

    The time is about ``4000 / p``. A pixel fires if its time is below T; pixels of value 0 never fire.

    Parameters
    ----------
    pixels : uint8 array
        Bytes p of an image.
    n_steps : int
        T.

    Returns
    -------
    spike_times : int32, shape of `pixels`
        In steps, ``n_steps`` for never.

    Examples
    --------
    >>> latency_log(np.array([255, 100, 10, 0], dtype=np.uint8), n_steps=100)
    array([ 16,  40, 100, 100], dtype=int32)
    """
    n_steps = checked_count("n_steps", n_steps, low=1, high=LARGEST)
    p = np.arange(1, 256, dtype=np.float64)
    table = np.full(256, n_steps, dtype=np.int32)
    table[1:] = np.minimum(np.rint(20000 * np.log(p / (p - 0.2))), n_steps)
    return _look_up(table, pixels)


def pixel_times(pixels: NDArray[np.uint8], n_steps: int, encoding: str) -> NDArray[np.int32]:
    """Spike times of the bytes of images, by the name of the encoding.

    Parameters
    ----------
    pixels : uint8 array
        Bytes p.
    n_steps : int
        T.
    encoding : {"linear", "sparse", "root", "log"}
        `latency_linear` of p / 255; the same with pixels of value 0 silent; that of the square root of p / 255, so that
        dark pixels fire sooner; `latency_log`.

    Returns
    -------
    spike_times : int32, shape of `pixels`
        In steps, ``n_steps`` for never.

    Examples
    --------
    >>> pixels = np.array([255, 100, 0], dtype=np.uint8)
    >>> [pixel_times(pixels, 100, name).tolist() for name in ("linear", "sparse", "root", "log")]
    [[0, 60, 99], [0, 60, 100], [0, 37, 100], [16, 40, 100]]
    """
    encoding = checked_name("encoding", encoding, ENCODINGS)
    if encoding == "log":
        return latency_log(pixels, n_steps)
    n_steps = checked_count("n_steps", n_steps, low=1, high=LARGEST)
    intensity = np.arange(256) / 255
    table = latency_linear(np.sqrt(intensity) if encoding == "root" else intensity, n_steps)
    if encoding != "linear":
        table[0] = n_steps
    return _look_up(table, pixels)


def encode_events(
    values: NDArray[Any], encode: Callable[[NDArray[Any]], NDArray[np.int32]], n_steps: int
) -> SpikeEvents:
    """Events of a whole part: `encode` turns `values` (samples, neurons) into spike times, chunk by chunk."""
    values, n_steps = read_array("values", values), checked_count("n_steps", n_steps, low=1, high=LARGEST)
    if values.ndim != 2 or not values.size:
        raise InputError(f"values must have shape (samples, neurons), none empty, got {values.shape}")
    parts = [values[k : k + _CHUNK] for k in range(0, len(values), _CHUNK)]
    chunks = [SpikeEvents.from_spike_times(encode(part), n_steps) for part in parts]
    offsets = np.cumsum([0] + [chunk.n_events for chunk in chunks])
    pointers = [chunk.indptr[:-1] + offset for chunk, offset in zip(chunks, offsets)]
    indptr = np.concatenate([*pointers, offsets[-1:]])
    indices = np.concatenate([chunk.indices for chunk in chunks])
    return SpikeEvents._unchecked(indptr, indices, n_steps, values.shape[1], False)


def threshold_crossings(series: NDArray[Any], thresholds: NDArray[Any]) -> SpikeEvents:
    """Encode time series as events: a neuron fires when its channel crosses its threshold in its direction.

    Channel c has two neurons for its k-th threshold: number ``2 (c K + k)`` fires in every step in which the
    channel has risen above the threshold since the step before, the next number in every step in which it has
    fallen back. As for a neuron, a value equal to the threshold is not above it. Nothing fires in step 0: there
    is no step before.

    Parameters
    ----------
    series : (B, T, C) integer or float
        T values of C channels for each of B samples, in any unit.
    thresholds : (K,) or (C, K), integer or float
        The same thresholds for all channels, or a row for each channel; in the unit of `series`.

    Returns
    -------
    events : SpikeEvents
        Of shape (B, T, 2 C K).

    Raises
    ------
    InputError
        For another shape, no sample, step, channel or threshold, or values that are not finite numbers.

    Examples
    --------
    >>> series = np.array([[[0], [3], [5], [1]]])
    >>> threshold_crossings(series, [2, 4]).to_raster()
    array([[[0, 0, 0, 0],
            [1, 0, 0, 0],
            [0, 0, 1, 0],
            [0, 1, 0, 1]]], dtype=uint8)
    """
    series, thresholds = finite_numbers("series", series), finite_numbers("thresholds", thresholds)
    if series.ndim != 3 or not series.size:
        raise InputError(f"series must have shape (samples, steps, channels), none empty, got {series.shape}")
    batch, n_steps, channels = series.shape
    if thresholds.ndim not in (1, 2) or not thresholds.size or thresholds.shape[:-1] not in ((), (channels,)):
        raise InputError(
            f"thresholds must have shape (K,) or ({channels}, K) with K >= 1, got {thresholds.shape}"
        )
    thresholds = np.broadcast_to(thresholds, (channels, thresholds.shape[-1]))
    found = []
    # One threshold at a time, so that temporary arrays are no larger than the series.
    for k in range(thresholds.shape[1]):
        above = series > thresholds[:, k]
        for down, crossed in enumerate((above[:, 1:] & ~above[:, :-1], above[:, :-1] & ~above[:, 1:])):
            sample, step, channel = np.nonzero(crossed)
            found.append((sample, step + 1, 2 * (channel * thresholds.shape[1] + k) + down))
    sample, step, neuron = (np.concatenate(column) for column in zip(*found))
    return SpikeEvents.from_lists(sample, step, neuron, (batch, n_steps, 2 * thresholds.size))


def finite_numbers(name: str, values: Any) -> NDArray[Any]:
    """`values` as an array of finite whole or real numbers, or the error that names the first that is none."""
    array = read_array(name, values)
    if array.dtype.kind not in "iuf":
        raise InputError(f"{name} must be whole or real numbers, got {array.dtype}")
    check_finite(name, array)
    return array


def _look_up(table: NDArray[np.int32], pixels: NDArray[np.uint8]) -> NDArray[np.int32]:
    pixels = read_array("pixels", pixels)
    if pixels.dtype != np.uint8:
        raise InputError(f"pixels must be uint8, got {pixels.dtype}")
    return np.ascontiguousarray(table[pixels])  # pixels in Fortran order would give times in Fortran order
