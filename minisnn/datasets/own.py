"""Data sets of your own: a file or folder of arrays, which `load_dataset` and every command take by its path.

The file is an ``.npz``; a folder has ``.npy`` files of the same names. Nothing in them is pickled. The training samples
are ``labels``, (B,) integers from 0 on, and their spikes in one of three forms:

========================  ======================================================================================
``raster``                (B, T, N), 0 or 1, of any numeric dtype
``spike_times``           (B, N) integers, ``n_steps`` where an input stays silent; with ``n_steps``
``indptr``, ``indices``   rows of events as in `minisnn.SpikeEvents`; with ``n_steps`` and ``n_inputs``
========================  ======================================================================================

The test samples are ``test_labels``, and ``test_raster`` or another of these forms. If there are none, a fifth of the
training samples is held out for the test: of every class its share, always the same ones. (A folder that has the name
of a data set, such as ``mnist``, is meant by ``./mnist``.)

These may be added: ``n_steps`` and ``n_inputs`` where they are not needed; ``n_classes`` (by default one more than the
largest label); ``class_names``, a text for every class; ``counts``, true if values above 1 of a raster, or inputs that
are listed several times in a row of events, are counts.
"""

from __future__ import annotations

import contextlib
import difflib
import hashlib
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..checks import checked_labels
from ..errors import DataError, InputError, unknown_name
from ..files import read_folder, read_npz, write_folder, write_npz
from ..reading import checked_count, checked_flag, checked_name, read_array
from ..spikes import LARGEST, SpikeEvents
from .places import NAMES
from .samples import Dataset, EventSamples, Samples, checked_part, split

Arrays = dict[str, NDArray[Any]]

# The arrays that each form of spikes needs.
_FORMS = {
    "raster": ("raster",),
    "spike_times": ("spike_times", "n_steps"),
    "indptr": ("indptr", "indices", "n_steps", "n_inputs"),
}
_OF_A_PART = ("labels", "raster", "spike_times", "indptr", "indices")
_OF_ALL = ("n_steps", "n_inputs", "n_classes", "class_names", "counts")
_DEFLATE = 1032  # the most that its compression can save, as for a raster with few spikes


def checked_source(name: Any, data_dir: str | Path | None = None) -> str:
    """`name` if it is one of `NAMES`; otherwise the absolute path of a file or folder, which is there.

    With `data_dir`, the file or folder of that name in there.
    """
    name = os.fspath(name) if isinstance(name, os.PathLike) else name
    if not isinstance(name, str) or name in NAMES:
        return checked_name("data set", name, NAMES)
    path = Path(name) if data_dir is None else Path(data_dir) / Path(name).name
    if name and os.path.exists(path):
        return os.path.abspath(path)
    beside: list[str] = []
    with contextlib.suppress(OSError, ValueError):
        beside = difflib.get_close_matches(path.name, os.listdir(path.parent), n=1)
    if name.endswith(".npz") or path.name != name:
        moved = " (if it has moved, give --data-dir its folder)" if path.is_absolute() else ""
        hint = f" (did you mean {str(path.parent / beside[0])!r}?)" if beside else moved
        raise DataError(f"{path} does not exist{hint}")
    error = unknown_name("data set", name, [*NAMES, *beside])
    raise InputError(f"{error}, and the path of an .npz file or a folder of arrays")


def title_of(source: str | Path) -> str:
    """Name of a data set; of a file or folder of your own, without where it lies and its ending."""
    return Path(source).name.removesuffix(".npz") or Path(source).name


def read_own(path: str | Path) -> Dataset:
    """Read a data set from a file or folder in the layout of this module, or raise a `DataError` with its fault."""
    path = Path(path)
    arrays = read_folder(path) if path.is_dir() else read_npz(path, ratio=_DEFLATE)
    try:
        return _dataset(title_of(path), arrays)
    except InputError as error:
        raise DataError(f"{path}: {error}") from None


def save_dataset(
    path: str | Path,
    train: Dataset | Samples,
    test: Samples | None = None,
    *,
    class_names: Sequence[str] = (),
) -> None:
    """Write a data set for `load_dataset` and the commands, whole or not at all.

    Parameters
    ----------
    path : path
        A file, if it ends in ``.npz``; otherwise a folder, which must be new or empty.
    train : Dataset or Samples
        A whole data set, or its training samples: ``EventSamples(spikes, labels)``, or those of `from_tonic`.
        `from_features` makes a data set of a table.
    test : Samples, optional
        Test samples; without them, some training samples are held out when the file is read.
    class_names : sequence of str
        A name for every class.

    Raises
    ------
    InputError
        If the parts do not fit each other, or a data set has been divided.
    OSError
        If the file cannot be written.

    Examples
    --------
    >>> import tempfile, minisnn
    >>> spikes = SpikeEvents.from_spike_times(np.zeros((10, 3), dtype=int), n_steps=2)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_dataset(f"{folder}/own.npz", EventSamples(spikes, np.arange(10) % 2), class_names=["a", "b"])
    ...     data = minisnn.load_dataset(f"{folder}/own.npz")
    >>> data.name, len(data.train), len(data.test), data.class_names
    ('own', 8, 2, ('a', 'b'))
    """
    names = read_array("class_names", class_names)
    if isinstance(train, Dataset):
        if test is not None or names.size:
            raise InputError("a Dataset has its own test samples and class names: give it alone")
        if train.validation is not None:
            raise InputError(f"{train.name} has a validation part: save the data set as it was loaded")
        data, parts = train, {"": train.train, "test_": train.test}
    else:
        parts = {"": train} | ({} if test is None else {"test_": test})
        largest = int(checked_part("the train part", train, LARGEST).max())
        n_classes = max(names.size, 1 + largest)
        _, n_steps, n_inputs = _events(train.batch(np.arange(1))).shape
        data = Dataset("own", train, test or train, n_inputs, n_classes, n_steps, class_names=names.tolist())
    arrays: Arrays = {"n_steps": np.array(data.n_steps), "n_inputs": np.array(data.n_inputs)}
    arrays["n_classes"] = np.array(data.n_classes)
    if data.class_names:
        arrays["class_names"] = np.array(data.class_names)
    counts = False
    for key, part in parts.items():
        spikes = _events(part.batch(np.arange(len(part))))
        counts = counts or spikes.counts
        arrays |= {f"{key}indptr": spikes.indptr, f"{key}indices": spikes.indices}
        arrays[f"{key}labels"] = checked_labels(part.labels, len(part), data.n_classes)
    arrays["counts"] = np.array(counts)
    (write_npz if str(path).endswith(".npz") else write_folder)(path, arrays)


def _dataset(name: str, arrays: Arrays) -> Dataset:
    """The data set of the arrays of a file."""
    known = [prefix + array for prefix in ("", "test_") for array in _OF_A_PART] + list(_OF_ALL)
    for array in arrays:
        checked_name("array", array, known)
    train = _part(arrays, "")
    test = _part(arrays, "test_") if any(array.startswith("test_") for array in arrays) else None
    names = arrays.get("class_names", np.array([]))
    largest = int(train.labels.max())
    if "n_classes" in arrays:
        n_classes = checked_count("n_classes", arrays["n_classes"], low=1, high=LARGEST)
    elif names.size or largest < len(train):
        n_classes = names.size or 1 + largest
    else:
        raise InputError(
            f"labels must number the classes 0, 1, 2 and so on, got up to {largest} in {len(train)} samples; "
            "if there are that many classes, add n_classes"
        )
    spikes = train.spikes
    data = Dataset(
        name, train, test or train, spikes.n_neurons, n_classes, spikes.n_steps,
        class_names=names.tolist(), fingerprint=_fingerprint(arrays),
    )  # fmt: skip
    return data if test else holding_out(data)


def _part(arrays: Arrays, prefix: str) -> EventSamples:
    """The samples whose arrays have that prefix."""

    def array(name: str) -> NDArray[Any]:
        name = name if name in _OF_ALL else prefix + name
        if name not in arrays:
            held = ", ".join(arrays) or "no array"
            raise InputError(f"{name} is missing; found {held}; help('minisnn.datasets.own') has the layout")
        return arrays[name]

    forms = [form for form in _FORMS if prefix + form in arrays]
    if len(forms) != 1:
        wanted = f"one of {prefix}raster, {prefix}spike_times, and {prefix}indptr with {prefix}indices"
        raise InputError(
            f"{wanted} must be there, got {' and '.join(forms) or ', '.join(arrays) or 'no array (.npy)'}"
        )
    (form,) = forms
    sizes: dict[str, int] = {}
    for size in ("n_steps", "n_inputs"):
        if size in arrays or size in _FORMS[form]:
            sizes[size] = checked_count(size, array(size), low=1, high=LARGEST)
    counts = checked_flag("counts", arrays.get("counts", False))
    given = {name: array(name) for name in _FORMS[form] if name in _OF_A_PART}
    try:
        if form == "raster":
            spikes = SpikeEvents.from_raster(given[form], counts=counts)
        elif form == "spike_times":
            spikes = SpikeEvents.from_spike_times(given[form], sizes["n_steps"])
        else:
            spikes = SpikeEvents(given[form], given["indices"], sizes["n_steps"], sizes["n_inputs"], counts)
    except InputError as error:
        raise InputError(f"{' and '.join(prefix + name for name in given)}: {error}") from None
    for size, got in (("n_steps", spikes.n_steps), ("n_inputs", spikes.n_neurons)):
        if sizes.get(size, got) != got:
            raise InputError(f"{prefix}{form} must have {size} = {sizes[size]}, got {got}")
    return EventSamples(spikes, checked_labels(array("labels"), len(spikes), LARGEST, f"{prefix}labels"))


def holding_out(data: Dataset) -> Dataset:
    """The data set with a fifth of its training samples as its test part."""
    if len(data.train) < 2:
        raise InputError("there must be at least two samples where there are none for the test, got one")
    parts = split(data, max(1, len(data.train) // 5))
    held_out: Any = parts.validation
    return replace(parts, test=held_out, validation=None)


def _events(spikes: Any) -> SpikeEvents:
    return spikes if isinstance(spikes, SpikeEvents) else SpikeEvents.from_raster(spikes)


def _fingerprint(arrays: Arrays) -> str:
    """Digest of the names, dtypes, shapes and values of arrays, however they are kept."""
    digest = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        digest.update(f"{name} {array.dtype.str} {array.shape} ".encode())
        digest.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return digest.hexdigest()[:32]
