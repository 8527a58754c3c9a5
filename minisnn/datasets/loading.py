"""One way of loading every data set, by name or path."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError, InputError, shown
from ..reading import checked_count, checked_flag, checked_float, checked_path
from ..spikes import LARGEST
from . import nmnist, places, shd
from .cache import cached
from .encoding import encode_events, latency_linear, pixel_times
from .idx import read_images
from .images import CameraSamples, ImageSamples, checked_augment
from .own import checked_source, read_own
from .places import IMAGES, NAMES, find
from .recordings import encode_recordings
from .samples import Dataset, EventSamples, Samples, Subset
from .yin_yang import yin_yang

Sizes = dict[str, int | None]  # of each part, None for all samples

_STEPS = {"nmnist": 300, "shd": 500}  # 100 for the others
_MILLISECONDS = {"nmnist": 1.0, "shd": 2.0}
_OF_RECORDINGS = ("dt", "counts", "binning", "polarities")
_OF_FILES = ("encoding", "augment", *_OF_RECORDINGS, "download")
# Options that have no meaning for a data set. They are refused, so that nobody believes they did something.
_MEANINGLESS = {
    "yin-yang": _OF_FILES,
    "mnist": _OF_RECORDINGS,
    "fashion-mnist": _OF_RECORDINGS,
    "nmnist": ("encoding", "augment other than shift"),
    "shd": ("encoding", "augment", "polarities"),
}


def load_dataset(
    name: str | Path,
    data_dir: str | Path | None = None,
    *,
    n_steps: int | None = None,
    train_samples: int | None = None,
    test_samples: int | None = None,
    encoding: str = "linear",
    augment: str | Sequence[str] = (),
    dt: float | None = None,
    polarities: str = "merged",
    counts: bool = False,
    binning: str = "floor",
    download: bool = False,
    fingerprint: str | None = None,
) -> Dataset:
    """Load a data set as spike events.

    Parameters
    ----------
    name : str or path
        One of `NAMES`, or a file or folder of your own; see `save_dataset`.
    data_dir : path, optional
        Folder of the data set, or its parent; see `find`. Yin-Yang has no files.
    n_steps : int, optional
        T: 100, or 300 for N-MNIST and 500 for Spiking Heidelberg Digits; data of your own keep theirs.
    train_samples, test_samples : int, optional
        Take only the first so many samples of that part.
    encoding : {"linear", "sparse", "root", "log"}
        Latency encoding of images, see `pixel_times`; Yin-Yang is always encoded linearly.
    augment : one or a sequence of {"flip", "shift", "noise", "drop"}
        Random changes of training images, drawn anew for every batch, see `augment_images`. Recordings of
        N-MNIST can only be shifted, by up to two pixels along each axis.
    dt : float, optional
        Milliseconds per step, of recordings: 1 for N-MNIST, 2 for Spiking Heidelberg Digits.
    polarities : {"merged", "kept"}
        Of N-MNIST: 1156 inputs, or 2312.
    counts : bool
        Of recordings: count the events of a step, see `encode_recordings`.
    binning : {"floor", "round"}
        Of recordings: how times become steps.
    download : bool
        Fetch the files if they are not there.
    fingerprint : str, optional
        Of data of your own: the fingerprint of the data set when it was first loaded. Other content is refused.

    Returns
    -------
    dataset : Dataset

    Raises
    ------
    InputError
        For an unknown name (the nearest is suggested), more samples than there are, or an option that has no
        meaning for the data set.
    DataError
        For missing, damaged, foreign or changed files.

    Examples
    --------
    >>> data = load_dataset("yin-yang", train_samples=100, test_samples=50)
    >>> len(data.train), len(data.test), data.n_inputs, data.n_classes, data.n_steps
    (100, 50, 4, 3, 100)
    """
    data_dir = None if data_dir is None else checked_path("data_dir", data_dir)
    name = checked_source(name, data_dir)
    wanted = {"train": train_samples, "test": test_samples}
    sizes = {p: None if n is None else checked_count(f"{p}_samples", n) for p, n in wanted.items()}
    steps = None if n_steps is None else checked_count("n_steps", n_steps, low=1, high=LARGEST)
    n_steps = steps or _STEPS.get(name, 100)
    if dt is not None:
        dt = checked_float("dt", dt, low=0, open_low=True)
    counts = checked_flag("counts", counts)
    augment = checked_augment(augment)
    given = {
        "encoding": encoding != "linear", "augment": bool(augment),
        "augment other than shift": bool(set(augment) - {"shift"}), "dt": dt is not None, "counts": counts,
        "binning": binning != "floor", "polarities": polarities != "merged", "download": download,
        "fingerprint": fingerprint is not None,
    }  # fmt: skip
    for option in _meaningless(name):
        if given[option]:
            raise InputError(f"{option} has no meaning for {name}: leave it out")
    if name not in NAMES:
        return _load_own(name, sizes, steps, fingerprint)
    if name == "yin-yang":
        return _load_yin_yang(sizes, n_steps)
    folder = places.download(name, data_dir) if download else find(name, data_dir)
    if name in IMAGES:
        return _load_images(name, folder, sizes, n_steps, encoding, augment)
    dt = _MILLISECONDS[name] if dt is None else dt
    options = {"n_steps": n_steps, "dt": dt, "binning": binning, "counts": counts}
    if name == "nmnist":
        return _load_nmnist(folder, sizes, polarities, augment, options)
    return _load_shd(folder, sizes, options)


def options_of(name: str) -> dict[str, Any]:
    """The options of `load_dataset` that have a meaning for a data set, with their defaults."""
    own = {"n_steps": _STEPS.get(name, 100) if name in NAMES else None, "dt": _MILLISECONDS.get(name)}
    values = {key: parameter.default for key, parameter in inspect.signature(load_dataset).parameters.items()}
    meaningless = {"name", "data_dir", "fingerprint", *_meaningless(name)}
    return {key: value for key, value in (values | own).items() if key not in meaningless}


def _meaningless(name: str) -> tuple[str, ...]:
    """Options that have no meaning for a data set; data of your own are a file, and alone have a fingerprint."""
    return (*_MEANINGLESS[name], "fingerprint") if name in NAMES else _OF_FILES


def _size(part: str, wanted: int | None, available: int) -> int:
    if wanted is None:
        return available
    if not 1 <= wanted <= available:
        raise InputError(f"{part}_samples must lie in 1 ... {available}, got {wanted}")
    return wanted


def _load_own(path: str, sizes: Sizes, n_steps: int | None, fingerprint: str | None) -> Dataset:
    data = read_own(path)
    if fingerprint not in (None, data.fingerprint):
        raise DataError(
            f"{path} has changed: its content has the fingerprint {data.fingerprint}, not {shown(fingerprint)}; "
            "bring the file back, or begin a new run"
        )
    if n_steps not in (None, data.n_steps):
        raise InputError(f"{path} has {data.n_steps} steps, got n_steps {n_steps}: leave it out")
    few: dict[str, Any] = {}
    for part, wanted in sizes.items():
        samples = getattr(data, part)
        if wanted is not None:
            few[part] = Subset(samples, np.arange(_size(part, wanted, len(samples))))
    return replace(data, **few)


def _load_yin_yang(sizes: Sizes, n_steps: int) -> Dataset:
    # The seeds of the published data set.
    parts = []
    for (part, wanted), available, seed in zip(sizes.items(), (20000, 10000), (42, 0)):
        features, labels = yin_yang(_size(part, wanted, available), seed)
        spikes = encode_events(features, lambda x: latency_linear(x, n_steps), n_steps)
        parts.append(EventSamples(spikes, labels))
    return Dataset("yin-yang", parts[0], parts[1], n_inputs=4, n_classes=3, n_steps=n_steps)


def _load_images(
    name: str, folder: Path, sizes: Sizes, n_steps: int, encoding: str, augment: Sequence[str]
) -> Dataset:
    parts: dict[str, Samples] = {}
    shape: tuple[int, ...] = ()
    for part, wanted in sizes.items():
        images, labels = read_images(folder, part, name)
        height, width = shape = shape or images.shape[1:]
        if images.shape[1:] != shape:
            raise DataError(
                f"{folder}: images for the test must be {height} x {width} pixels as those for training, "
                f"got {images.shape[1]} x {images.shape[2]}"
            )
        size = _size(part, wanted, len(images))
        images, labels = images[:size], labels[:size]
        if part == "train" and augment:
            parts[part] = ImageSamples(images, labels, n_steps, encoding, augment)
        else:
            # Images that are the same in every epoch are encoded once.
            flat = images.reshape(size, -1)
            spikes = encode_events(flat, lambda x: pixel_times(x, n_steps, encoding), n_steps)
            parts[part] = EventSamples(spikes, labels)
    return Dataset(name, parts["train"], parts["test"], height * width, n_classes=10, n_steps=n_steps)


def _load_nmnist(
    folder: Path, sizes: Sizes, polarities: str, augment: Sequence[str], options: dict[str, Any]
) -> Dataset:
    n_inputs = nmnist.SIDE**2 * (2 if polarities == "kept" else 1)
    parts = []
    for part, wanted in sizes.items():
        paths, labels = nmnist.list_recordings(folder, part)
        size = _size(part, wanted, len(paths))
        paths, labels = paths[:size], labels[:size]

        def make(paths: list[Path] = paths, labels: NDArray[np.int64] = labels) -> EventSamples:
            recordings = (nmnist.read_recording(path, polarities) for path in paths)
            return EventSamples(encode_recordings(recordings, n_inputs, **options), labels)

        parts.append(cached(f"nmnist-{part}", options | {"polarities": polarities}, paths, make))
    train: Samples = CameraSamples(parts[0], nmnist.SIDE, nmnist.SIDE) if augment else parts[0]
    return Dataset("nmnist", train, parts[1], n_inputs, 10, options["n_steps"])


def _load_shd(folder: Path, sizes: Sizes, options: dict[str, Any]) -> Dataset:
    parts = []
    for part, wanted in sizes.items():
        path = folder / shd.FILES[part]

        def make(path: Path = path) -> EventSamples:
            recordings, labels = shd.read_shd(path)
            return EventSamples(encode_recordings(recordings, shd.N_INPUTS, **options), labels)

        samples = cached(f"shd-{part}", options, [path], make) if path.is_file() else make()
        size = _size(part, wanted, len(samples))
        parts.append(EventSamples(samples.spikes[:size], samples.labels[:size]))
    return Dataset("shd", parts[0], parts[1], shd.N_INPUTS, shd.N_CLASSES, options["n_steps"])
