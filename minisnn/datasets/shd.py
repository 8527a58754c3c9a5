"""Spiking Heidelberg Digits (Cramer et al. 2020) from its HDF5 files.

``shd_train.h5`` and ``shd_test.h5``: ``spikes/times`` (seconds) and ``spikes/units``, a list of lists each,
and ``labels``. The extra ``data`` brings h5py.
"""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError, import_extra, one_line
from ..reading import check_within
from .recordings import Recording

FILES = {"train": "shd_train.h5", "test": "shd_test.h5"}
N_INPUTS, N_CLASSES = 700, 20
_SLACK = 2**20  # bytes by which compressed lists may be larger than their file
_LISTS = ("spikes/times", "spikes/units", "labels")


def read_shd(path: str | Path) -> tuple[list[Recording], NDArray[np.int64]]:
    """Read one part.

    Parameters
    ----------
    path : path
        An HDF5 file of the set.

    Returns
    -------
    recordings : list of (times in microseconds, input neurons, name)
    labels : (n_recordings,) int64
        0 ... 19: digits in English, then in German.

    Raises
    ------
    DataError
        If the file is missing, damaged, or has another layout.
    InputError
        If h5py is not installed.
    """
    h5py = import_extra("h5py", "h5py", "data", "reads Spiking Heidelberg Digits")
    try:
        with h5py.File(path, "r") as file:
            lists = [_find(file, name, os.path.getsize(path)) for name in _LISTS]
            times, units, labels = (one[()] for one in lists)
    except DataError as error:
        raise DataError(f"{path} {error}") from None
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, MemoryError) as error:
        raise DataError(f"{path} cannot be read as HDF5: {one_line(error)}") from None
    if not len(labels) or not len(times) == len(units) == len(labels):
        raise DataError(
            f"{path} must hold equally many times, units and labels, at least one of each, "
            f"got {len(times)}, {len(units)} and {len(labels)}"
        )
    if labels.dtype.kind not in "iu" or labels.ndim != 1:
        raise DataError(
            f"{path}: labels must be a list of integers, got {labels.dtype} of shape {labels.shape}"
        )
    check_within(f"{path}: labels", labels, N_CLASSES, error=DataError)
    recordings = [
        (_microseconds(t, name := f"recording {k} of {path} (seconds)"), np.asarray(u), name)
        for k, (t, u) in enumerate(zip(times, units))
    ]
    return recordings, labels.astype(np.int64)


def _find(file: Any, name: str, n_bytes: int) -> Any:
    """One list of an open file of so many bytes, not read yet."""
    if name not in file or not hasattr(file[name], "shape"):
        raise DataError(f"must hold spikes/times, spikes/units and labels; {name} is missing")
    shape, dtype = file[name].shape, file[name].dtype
    if not shape:
        raise DataError(f"must hold a list in {name}, got a single value")
    if math.prod(shape) * dtype.itemsize > n_bytes + _SLACK:
        # HDF5 returns zeros for values that were never written, however many.
        raise DataError(f"of {n_bytes} bytes cannot hold {name}, {dtype} of shape {shape}")
    return file[name]


def _microseconds(seconds: Any, name: str) -> NDArray[np.float64]:
    """Times in microseconds, in float64: the half precision of the files would overflow at 0.066 s."""
    times = np.asarray(seconds)
    if times.dtype.kind not in "f":
        raise DataError(f"{name}: times must be seconds as floating point numbers, got {times.dtype}")
    with np.errstate(over="ignore", invalid="ignore"):  # binning checks that they are finite
        microseconds: NDArray[np.float64] = times.astype(np.float64) * 1e6
    return microseconds
