"""Encoded recordings kept on disk, so that a data set is binned once.

The name of a cache file is a digest of everything that its content depends on: the parameters of the encoding, and
name, size and time of last change of every file that was read. (Digesting the content of these files would take as
long as encoding them.) The digested text also stands in the cache file, so that two texts with one digest are noticed.
"""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DataError, InputError
from ..files import read_npz, write_npz
from ..spikes import SpikeEvents
from .samples import EventSamples

_FORMAT = 2  # 2: recordings outside the steps are refused, overflows are read


def cache_folder() -> Path | None:
    """The folder of downloads and encoded data sets: ``MINISNN_CACHE``, or ``minisnn`` in the user's cache.

    None if neither is known, as for a user without a home.
    """
    if given := os.environ.get("MINISNN_CACHE"):
        return Path(given)
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "minisnn"
    except RuntimeError:
        return None


def cached(
    name: str, parameters: Mapping[str, Any], files: Sequence[Path], make: Callable[[], EventSamples]
) -> EventSamples:
    """Samples from the cache, or else made by `make` and put there.

    `name`, of the data set and part, begins the file's name. `parameters`, numbers and strings, are everything that the
    samples depend on apart from the `files` that `make` reads. If a cache file cannot be read, it is made anew, with a
    warning; if there is no cache or it cannot be written, the samples are not kept.
    """
    folder = cache_folder()
    if folder is None:
        return make()
    stamps = [(str(path.resolve()), path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    key = json.dumps([_FORMAT, name, dict(parameters), stamps], sort_keys=True, default=repr)
    place = folder / "encoded" / f"{name}-{hashlib.sha256(key.encode()).hexdigest()[:32]}.npz"
    if os.path.exists(place):  # unlike Path.exists, False if the folder may not be searched
        try:
            return _read(place, key)
        except InputError as error:
            warnings.warn(f"encoding {name} again: {error}", stacklevel=2)
    samples = make()
    spikes = samples.spikes
    arrays = {
        "key": np.array(key),
        "indptr": spikes.indptr,
        "indices": spikes.indices,
        "shape": np.array([spikes.n_steps, spikes.n_neurons, int(spikes.counts)]),
        "labels": samples.labels,
    }
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        write_npz(place, arrays)
    except OSError as error:
        warnings.warn(f"{name} was encoded, but not kept: {error}", stacklevel=2)
    return samples


def _read(place: Path, key: str) -> EventSamples:
    arrays = read_npz(place)
    missing = {"key", "indptr", "indices", "shape", "labels"} - set(arrays)
    if missing:
        raise DataError(f"{place} is no encoded data set: {', '.join(sorted(missing))} missing")
    if arrays["key"].shape != () or str(arrays["key"]) != key:
        raise DataError(f"{place} was made from other files or parameters")
    shape = arrays["shape"]
    if shape.shape != (3,) or shape.dtype.kind not in "iu":
        raise DataError(f"{place}: shape must be three integers, got {shape.dtype} of shape {shape.shape}")
    n_steps, n_neurons, counts = shape.tolist()
    try:
        spikes = SpikeEvents(arrays["indptr"], arrays["indices"], n_steps, n_neurons, bool(counts))
        return EventSamples(spikes, arrays["labels"])
    except InputError as error:
        raise DataError(f"{place} is damaged: {error}") from None
