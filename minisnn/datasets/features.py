"""Tables of features as data sets: every feature becomes the time of a spike."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, shown
from ..reading import checked_count, read_array
from ..spikes import LARGEST
from .encoding import encode_events, finite_numbers, pixel_times
from .own import holding_out
from .samples import Dataset, EventSamples


def from_features(
    features: Any,
    labels: Any,
    test: tuple[Any, Any] | None = None,
    *,
    n_steps: int = 100,
    encoding: str = "linear",
) -> Dataset:
    """Make a data set of a table of features, such as a pandas DataFrame: each becomes the time of a spike.

    Parameters
    ----------
    features : (B, N) numbers
        Every feature is scaled to [0, 1] by its smallest and largest value here, and read to 1/255 of that range.
    labels : (B,) integers or text
        The classes, sorted, become 0, 1, 2 and so on, and their names are kept.
    test : (features, labels), optional
        Test samples, scaled as the others; without them, a fifth of the samples is held out.
    n_steps : int
        T.
    encoding : {"linear", "sparse", "root", "log"}
        See `pixel_times`: a large value fires early, and except in "linear" the smallest is silent.

    Raises
    ------
    InputError
        For values that are not finite numbers, labels of another kind, or test labels that are new.

    Examples
    --------
    >>> table = np.array([[0.0, 5.0], [1.0, 7.0], [0.5, 9.0], [0.0, 5.0]])
    >>> data = from_features(table, ["no", "yes", "yes", "no"], n_steps=11)
    >>> data.class_names, data.n_inputs, len(data.train), len(data.test)
    (('no', 'yes'), 2, 3, 1)
    """
    n_steps = checked_count("n_steps", n_steps, low=1, high=LARGEST)
    values = _table("features", features)
    low, spread = feature_range(values)
    targets = _names("labels", labels)
    classes = np.unique(targets).tolist()
    codes = {label: k for k, label in enumerate(classes)}

    def part(table: NDArray[np.float64], labels: NDArray[Any]) -> EventSamples:
        spikes = encode_events(table, lambda x: feature_times(x, low, spread, n_steps, encoding), n_steps)
        return EventSamples(spikes, np.array([codes[label] for label in labels.tolist()]))

    train, tested = part(values, targets), None
    if test is not None:
        if not isinstance(test, (tuple, list)) or len(test) != 2:
            raise InputError(f"test must be (features, labels), got {shown(test)}")
        table, labels = _table("test features", test[0]), _names("test labels", test[1])
        if table.shape[1] != len(low):
            raise InputError(f"test features must have {len(low)} columns, got {table.shape[1]}")
        new = [label for label in labels.tolist() if label not in codes]
        if new:
            raise InputError(f"test labels must be among {shown(classes)}, got {shown(new[0])}")
        tested = part(table, labels)
    names = [str(name) for name in classes]
    data = Dataset("features", train, tested or train, len(low), len(names), n_steps, class_names=names)
    return data if tested else holding_out(data)


def _table(name: str, features: Any) -> NDArray[np.float64]:
    """Features as finite numbers (B, N); the error names the columns of a DataFrame."""
    is_frame = hasattr(features, "columns")
    columns = zip(features.columns, features.dtypes) if is_frame else ()
    odd = [str(column) for column, dtype in columns if dtype.kind not in "biuf"]
    if odd:
        raise InputError(f"{name} must be numbers, got other values in the columns {', '.join(odd)}")
    array = read_array(name, features)
    if is_frame and array.dtype.kind == "O":  # of columns of several dtypes
        try:
            array = array.astype(np.float64)
        except (TypeError, ValueError) as error:
            raise InputError(f"{name} must be finite numbers: {error}") from None
    if array.dtype.kind == "b":
        array = array.astype(np.uint8)
    table = finite_numbers(name, array).astype(np.float64)
    if table.ndim != 2 or not table.size:
        raise InputError(f"{name} must have shape (samples, features), none empty, got {table.shape}")
    return table


def _names(name: str, labels: Any) -> NDArray[Any]:
    """Labels as integers or text (B,)."""
    array = read_array(name, labels)
    if array.dtype.kind == "O" and all(isinstance(label, str) for label in array.ravel()):
        array = array.astype(np.str_)
    if array.ndim != 1 or array.dtype.kind not in "biuU" or not array.size:
        raise InputError(
            f"{name} must be integers or text, one for every sample, got {array.dtype} of shape {array.shape}"
        )
    return array


def feature_range(features: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Smallest value and range of every feature (B, N); the range is 1 where a feature is constant."""
    low = features.min(axis=0)
    with np.errstate(over="ignore"):
        spread = features.max(axis=0) - low
    if not np.isfinite(spread).all():
        raise InputError(f"feature {int(np.argmax(spread))} spans more than float64 holds: scale it down")
    return low, np.where(spread > 0, spread, 1.0)


def feature_times(
    features: NDArray[np.float64],
    low: NDArray[np.float64],
    spread: NDArray[np.float64],
    n_steps: int,
    encoding: str,
) -> NDArray[np.int32]:
    """Spike times of features (B, N), see `pixel_times`; those beyond the range count as its ends."""
    scaled = np.clip((features - low) / spread, 0, 1)
    return pixel_times(np.rint(255 * scaled).astype(np.uint8), n_steps, encoding)
