"""Recordings of an event camera, moved a little at random for training."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..reading import checked_count
from ..spikes import SpikeEvents
from .samples import EventSamples

__all__ = ["CameraSamples", "shift_events"]

_REACH = 2  # pixels by which a recording is moved at most along each axis


def shift_events(
    spikes: SpikeEvents, width: int, height: int, right: NDArray[np.int64], down: NDArray[np.int64]
) -> SpikeEvents:
    """Move the events of every sample on the sensor; events that leave it are lost.

    The inputs are the ``width * height`` pixels, one polarity after the other; `right` and `down`, (B,), are the pixels
    by which each sample is moved.

    Examples
    --------
    >>> events = SpikeEvents.from_raster(np.array([[[1, 1, 0, 0], [0, 0, 1, 0]]]))
    >>> shift_events(events, 2, 2, np.array([1]), np.array([0])).to_raster()
    array([[[0, 1, 0, 0],
            [0, 0, 0, 1]]], dtype=uint8)
    """
    lengths = np.diff(spikes.indptr)
    sample = np.repeat(np.arange(len(spikes)), lengths.reshape(len(spikes), -1).sum(axis=1))
    pixel = spikes.indices % (width * height)
    x, y = pixel % width + right[sample], pixel // width + down[sample]
    seen = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    # Within a step all events move alike, so that they stay in order.
    moved = (spikes.indices + (down * width + right)[sample])[seen].astype(np.int32)
    indptr = np.concatenate([[0], np.cumsum(seen)])[spikes.indptr].astype(np.int64)
    return SpikeEvents._unchecked(indptr, moved, spikes.n_steps, spikes.n_neurons, spikes.counts)


class CameraSamples:
    """Recordings of a sensor of ``width * height`` pixels; training moves each by up to two pixels along each axis."""

    def __init__(self, samples: EventSamples, width: int, height: int) -> None:
        width, height = checked_count("width", width, low=1), checked_count("height", height, low=1)
        if samples.spikes.n_neurons % (width * height):
            raise InputError(
                f"a sensor of {width} x {height} pixels has a multiple of {width * height} inputs, "
                f"got {samples.spikes.n_neurons}"
            )
        self.samples, self.width, self.height = samples, width, height
        self.labels = samples.labels

    def __len__(self) -> int:
        return len(self.samples)

    def batch(self, indices: NDArray[np.integer[Any]], rng: np.random.Generator | None = None) -> SpikeEvents:
        """Events of the recordings with these numbers; if there is an `rng`, each is moved at random."""
        spikes = self.samples.batch(indices)
        if rng is None:
            return spikes
        right, down = rng.integers(-_REACH, _REACH + 1, size=(2, len(spikes)))
        return shift_events(spikes, self.width, self.height, right, down)
