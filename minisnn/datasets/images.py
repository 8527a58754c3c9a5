"""Samples that are changed at random for training: images, and recordings of an event camera.

Images are kept as bytes. Augmentation comes before their encoding, so that a shifted image has the spike times of an
image taken there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..checks import checked_labels
from ..errors import InputError
from ..reading import checked_count, checked_indices, checked_name, read_array
from ..spikes import LARGEST, SpikeEvents
from .encoding import pixel_times
from .samples import EventSamples

AUGMENTATIONS = ("flip", "shift", "noise", "drop")

_NOISE = 8.0  # standard deviation of "noise", in grey levels of 255
_DROPPED = 0.1  # share of the pixels that "drop" sets to 0
_REACH = 2  # pixels by which a recording is moved at most along each axis


def augment_images(
    images: NDArray[np.uint8], augment: str | Sequence[str], rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Change every image a little, at random.

    Parameters
    ----------
    images : (B, height, width) uint8
        Left unchanged.
    augment : one or a sequence of {"flip", "shift", "noise", "drop"}
        Mirrored left to right with probability 1/2; with probability 1/2 moved by -1, 0 or 1 pixel along each
        axis, pixels from outside being 0; normal noise of standard deviation 8 grey levels on every pixel that is
        not 0; every pixel set to 0 with probability 1/10.
    rng : numpy.random.Generator
        Source of the random numbers.

    Returns
    -------
    augmented : (B, height, width) uint8

    Examples
    --------
    >>> image = np.array([[[1, 2], [3, 4]]], dtype=np.uint8)
    >>> augment_images(image, ["flip"], np.random.default_rng(2))
    array([[[2, 1],
            [4, 3]]], dtype=uint8)
    """
    images, augment = _checked_images(images), checked_augment(augment)
    if not isinstance(rng, np.random.Generator):
        raise InputError(f"rng must be a numpy.random.Generator, got {type(rng).__name__}")
    batch, height, width = images.shape
    if "flip" in augment:
        flips = np.asarray(rng.random((batch, 1, 1)) < 0.5)
        images = np.where(flips, images[:, :, ::-1], images)
    if "shift" in augment:
        framed = np.pad(images, ((0, 0), (1, 1), (1, 1)))
        down, right = rng.integers(0, 3, size=(2, batch, 1, 1))
        stays = rng.random((batch, 1, 1)) < 0.5
        down, right = np.where(stays, 1, down), np.where(stays, 1, right)
        rows, columns = down + np.arange(height)[:, None], right + np.arange(width)
        images = framed[np.arange(batch)[:, None, None], rows, columns]
    if "noise" in augment:
        noise = rng.standard_normal(images.shape, dtype=np.float32) * np.float32(_NOISE)
        noisy = np.clip(np.rint(images + noise), 0, 255).astype(np.uint8)
        images = np.where(images > 0, noisy, images)
    if "drop" in augment:
        images = np.where(rng.random(images.shape, dtype=np.float32) < _DROPPED, np.uint8(0), images)
    return images


def _checked_images(images: Any) -> NDArray[np.uint8]:
    array: NDArray[np.uint8] = read_array("images", images)
    if array.ndim != 3 or array.dtype != np.uint8:
        raise InputError(
            f"images must be uint8 of shape (samples, height, width), got {array.dtype} of shape {array.shape}"
        )
    return array


def checked_augment(augment: str | Sequence[str]) -> tuple[str, ...]:
    """`augment` as names of augmentations, one or several."""
    names = (augment,) if isinstance(augment, str) else tuple(augment)
    return tuple(checked_name("augmentation", name, AUGMENTATIONS) for name in names)


class ImageSamples:
    """Labelled images that are augmented, if at all, and encoded when `batch` is called.

    Parameters
    ----------
    images : (samples, height, width) uint8
    labels : (samples,) int64
        Their classes.
    n_steps : int
        T.
    encoding : str
        See `minisnn.datasets.pixel_times`.
    augment : str or sequence of str
        See `augment_images`; applied only if `batch` is given random numbers.

    Raises
    ------
    InputError
        For images of another shape or dtype, an unknown augmentation, or labels that do not fit.

    Examples
    --------
    >>> samples = ImageSamples(np.array([[[255, 0]]], dtype=np.uint8), np.array([7]), n_steps=5)
    >>> samples.batch(np.array([0])).first_spike_times()
    array([[0, 4]], dtype=int32)
    """

    def __init__(
        self,
        images: NDArray[np.uint8],
        labels: NDArray[np.int64],
        n_steps: int,
        encoding: str = "linear",
        augment: str | Sequence[str] = (),
    ) -> None:
        self.images = _checked_images(images)
        self.labels = checked_labels(labels, len(self.images), 2**31)
        self.n_steps = checked_count("n_steps", n_steps, low=1, high=LARGEST)
        self.encoding = encoding
        self.augment = checked_augment(augment)
        pixel_times(self.images[:1], n_steps, encoding)  # raises now if the encoding is unknown

    def __len__(self) -> int:
        return len(self.images)

    def batch(self, indices: NDArray[np.integer[Any]], rng: np.random.Generator | None = None) -> SpikeEvents:
        """Events of the images with these numbers, augmented first if there is an `rng`."""
        chosen = self.images[checked_indices(indices, len(self))]
        if rng is not None and self.augment:
            chosen = augment_images(chosen, self.augment, rng)
        times = pixel_times(chosen.reshape(len(chosen), -1), self.n_steps, self.encoding)
        return SpikeEvents.from_spike_times(times, self.n_steps)


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
