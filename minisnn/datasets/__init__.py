"""Data sets as spike events, by name.

``yin-yang`` is generated; ``mnist`` and ``fashion-mnist`` are read from their idx files in a folder.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError, InputError, unknown_name
from .encoding import latency_linear, latency_log, pixel_times
from .idx import FILES, find_idx, read_idx, read_images
from .images import ImageSamples, augment_images
from .samples import Dataset, EventSamples, Samples, encode_events
from .yin_yang import yin_yang

__all__ = [
    "NAMES",
    "Dataset",
    "EventSamples",
    "ImageSamples",
    "Samples",
    "augment_images",
    "find",
    "latency_linear",
    "latency_log",
    "load_dataset",
    "pixel_times",
    "read_idx",
    "read_images",
    "yin_yang",
]

NAMES = ("yin-yang", "mnist", "fashion-mnist")

_SOURCES = {
    "mnist": "the four idx files of MNIST, from http://yann.lecun.com/exdb/mnist or a mirror",
    "fashion-mnist": "the four idx files of Fashion-MNIST, from https://github.com/zalandoresearch/fashion-mnist",
}


def find(name: str, data_dir: str | Path | None = None) -> Path:
    """Folder with the files of an image data set.

    Parameters
    ----------
    name : {"mnist", "fashion-mnist"}
        The data set.
    data_dir : path, optional
        Its folder, or the folder that folder is in; without it the environment variable ``MINISNN_DATA``.

    Raises
    ------
    DataError
        If no such folder has the files; the error names them and where to get them.
    """
    given = data_dir if data_dir is not None else os.environ.get("MINISNN_DATA")
    wanted = [file for part in FILES.values() for file in part]
    advice = f"put {', '.join(wanted)} (.gz or not) there: {_SOURCES[name]}"
    if given is None:
        raise DataError(f"no folder for {name}: give --data-dir DIR or set MINISNN_DATA, and {advice}")
    for folder in (Path(given) / name, Path(given)):
        if folder.is_dir() and any(find_idx(folder, file) for file in wanted):
            return folder
    raise DataError(f"no {name} files in {given}: {advice}")


def load_dataset(
    name: str,
    data_dir: str | Path | None = None,
    *,
    n_steps: int = 100,
    encoding: str = "linear",
    train_samples: int | None = None,
    test_samples: int | None = None,
    augment: Sequence[str] = (),
) -> Dataset:
    """Load a data set as spike events.

    Parameters
    ----------
    name : str
        One of `NAMES`.
    data_dir : path, optional
        Folder of the data set, or its parent; see `find`. Yin-Yang needs none.
    n_steps : int
        T.
    encoding : {"linear", "sparse", "log"}
        Latency encoding of images, see `pixel_times`; Yin-Yang is always encoded linearly.
    train_samples, test_samples : int, optional
        Take only the first so many samples of a part.
    augment : sequence of {"flip", "shift", "noise"}
        What happens to training images at random every time they are used, see `augment_images`.

    Returns
    -------
    dataset : Dataset

    Raises
    ------
    InputError
        For an unknown name (the nearest is suggested) or more samples than there are.
    DataError
        For missing, damaged or foreign files.

    Examples
    --------
    >>> data = load_dataset("yin-yang", train_samples=100, test_samples=50)
    >>> len(data.train), len(data.test), data.n_inputs, data.n_classes, data.n_steps
    (100, 50, 4, 3, 100)
    """
    if name not in NAMES:
        raise unknown_name("data set", name, NAMES)
    if name == "yin-yang":
        if augment:
            raise InputError(f"augmentation is for images, {name} has none")
        sizes = [_size("train_samples", train_samples, 20000), _size("test_samples", test_samples, 10000)]
        drawn = [yin_yang(size, seed) for size, seed in zip(sizes, (42, 0))]
        train, test = (_encode(*part, lambda x: latency_linear(x, n_steps), n_steps) for part in drawn)
        return Dataset(name, train, test, n_inputs=4, n_classes=3, n_steps=n_steps)
    folder = find(name, data_dir)
    parts: dict[str, Samples] = {}
    for part, wanted in (("train", train_samples), ("test", test_samples)):
        images, labels = read_images(folder, part)
        size = _size(f"{part}_samples", wanted, len(images))
        images, labels = images[:size], labels[:size]
        if part == "train" and augment:
            parts[part] = ImageSamples(images, labels, n_steps, encoding, augment)
        else:
            # What is the same in every epoch is encoded once.
            flat = images.reshape(size, -1)
            parts[part] = _encode(flat, labels, lambda x: pixel_times(x, n_steps, encoding), n_steps)
    return Dataset(name, **parts, n_inputs=images[0].size, n_classes=10, n_steps=n_steps)


def _encode(
    values: NDArray[Any],
    labels: NDArray[Any],
    encode: Callable[[NDArray[Any]], NDArray[np.int32]],
    n_steps: int,
) -> EventSamples:
    return EventSamples(encode_events(values, encode, n_steps), labels)


def _size(what: str, wanted: int | None, available: int) -> int:
    if wanted is None:
        return available
    if not 1 <= wanted <= available:
        raise InputError(f"{what} must lie in 1 ... {available}, got {wanted}")
    return wanted
