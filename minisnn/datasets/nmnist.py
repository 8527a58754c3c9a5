"""Neuromorphic MNIST (Orchard et al. 2015) from its own files, all of them or a part.

``Train/<digit>/<id>.bin`` and ``Test/<digit>/<id>.bin``, one recording each; an event is 5 bytes, big endian:
x, y, and 24 bits that are the polarity (1 bit) and the time in microseconds (23 bits). An entry with y = 240 is not an
event. It means that the clock has overflowed: 2^13 microseconds must be added to all later times.
"""

from __future__ import annotations

import itertools
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from .recordings import Recording, pixel_neurons

_OVERFLOW_ROW, _OVERFLOW = 240, 2**13

PARTS = {"train": "Train", "test": "Test"}
SIDE = 34  # pixels


def read_bin(path: str | Path) -> tuple[NDArray[np.int64], NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Read one recording.

    Parameters
    ----------
    path : path
        A ``.bin`` file.

    Returns
    -------
    times : (n_events,) int64
        In microseconds, overflows of the clock added.
    x, y, polarity : (n_events,) uint8
        Column, row, and 0 (off) or 1 (on).

    Raises
    ------
    DataError
        If the file is missing, empty, or does not consist of whole events.
    """
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from None
    if len(content) % 5 or set(content[1::5]) <= {_OVERFLOW_ROW}:
        raise DataError(f"{path} must hold at least one event of 5 bytes, got {len(content)} bytes")
    events = np.frombuffer(content, dtype=np.uint8).reshape(-1, 5)
    high, middle, low = (events[:, k].astype(np.int64) for k in (2, 3, 4))
    overflow = events[:, 1] == _OVERFLOW_ROW
    times = ((high & 127) << 16 | middle << 8 | low) + _OVERFLOW * np.cumsum(overflow)
    events = events[~overflow]
    return times[~overflow], events[:, 0], events[:, 1], events[:, 2] >> 7


def read_recording(path: Path, polarities: str) -> Recording:
    """Times, input neurons (1156 merged, 2312 kept) and name of a recording."""
    times, x, y, polarity = read_bin(path)
    return times, pixel_neurons(x, y, polarity, SIDE, SIDE, polarities, str(path)), str(path)


def list_recordings(folder: Path, part: str) -> tuple[list[Path], NDArray[np.int64]]:
    """Files of a part, in the order of their numbers, and the digits they show.

    Files that macOS adds (``._00001.bin``) are skipped, with a warning that counts them. `DataError` is raised if there
    are no recordings, a folder of recordings is not named after a digit, or a number occurs twice.
    """
    root = folder / PARTS[part]
    found, skipped = [], 0
    for path in root.glob("*/*.bin"):
        if path.name.startswith("._"):
            skipped += 1
            continue
        digit, number = path.parent.name, path.stem
        if digit not in "0123456789" or len(digit) != 1 or not number.isdecimal():
            raise DataError(f"{path} must be {PARTS[part]}/<digit 0 to 9>/<number>.bin")
        found.append((int(number), int(digit), path))
    if skipped:
        warnings.warn(
            f"{root}: {skipped} files of macOS (._*.bin), which are no recordings, skipped", stacklevel=2
        )
    if not found:
        raise DataError(f"{root} holds no recordings: expected {PARTS[part]}/<digit>/<number>.bin")
    found.sort()
    for one, other in itertools.pairwise(found):
        if one[0] == other[0]:
            raise DataError(f"{one[2]} and {other[2]} are the same recording of {PARTS[part]}: keep one")
    return [path for _, _, path in found], np.array([digit for _, digit, _ in found], dtype=np.int64)
