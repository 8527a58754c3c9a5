"""Data sets of tonic as minisnn's events; tonic itself is not needed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ..errors import DataError, InputError, shown
from ..reading import read_array, whole_number
from .recordings import Recording, encode_recordings, pixel_neurons
from .samples import EventSamples


def from_tonic(
    dataset: Any,
    *,
    n_steps: int,
    dt: float = 1.0,
    binning: str = "floor",
    counts: bool = False,
    polarities: str = "kept",
    sensor_size: tuple[int, int, int] | None = None,
) -> EventSamples:
    """Turn a data set of tonic into samples.

    Parameters
    ----------
    dataset : sized, indexable
        Item k is (events, label): a structured array with the fields ``t`` (microseconds), ``x``, and ``y`` and
        ``p`` if the sensor has them; and an integer.
    n_steps, dt, binning, counts
        See `minisnn.datasets.encode_recordings`.
    polarities : {"kept", "merged"}
        Whether the polarity of an event chooses its input.
    sensor_size : (width, height, polarities), optional
        ``dataset.sensor_size`` if not given.

    Returns
    -------
    samples : EventSamples
        Input ``p * width * height + y * width + x``.

    Raises
    ------
    InputError
        If the sensor's size is not known, or there are no samples.
    DataError
        For recordings that do not fit the sensor.
    """
    size = sensor_size if sensor_size is not None else getattr(dataset, "sensor_size", None)
    sizes = read_array("sensor_size", size)
    if sizes.shape != (3,) or sizes.dtype.kind not in "iu" or sizes.min() < 1:
        raise InputError(
            f"sensor_size must be (width, height, polarities), and the data set does not say it; "
            f"got {shown(size)}"
        )
    width, height, n_polarities = sizes.tolist()
    if n_polarities == 1:
        polarities = "merged"
    if n_polarities > 2:
        raise InputError(f"sensor_size must have 1 or 2 polarities, got {n_polarities}")
    n_neurons = width * height * (2 if polarities == "kept" else 1)
    labels: list[int] = []

    def stream() -> Iterator[Recording]:
        for k in range(len(dataset)):
            events, label = dataset[k]
            name = f"recording {k}"
            fields = getattr(getattr(events, "dtype", None), "names", None) or ()
            if "t" not in fields or "x" not in fields:
                raise DataError(
                    f"{name}: events must be a structured array with fields t and x, got {fields}"
                )
            times, x = np.asarray(events["t"]), np.asarray(events["x"])
            y = np.asarray(events["y"]) if "y" in fields else np.zeros_like(x)
            p = np.asarray(events["p"]) if "p" in fields and n_polarities > 1 else np.zeros_like(x)
            p = p.astype(np.int64) if p.dtype == np.bool_ else p
            number = whole_number(label)
            if number is None:
                raise DataError(f"{name}: the label must be an integer, got {shown(label)}")
            labels.append(number)
            yield times, pixel_neurons(x, y, p, width, height, polarities, name), name

    spikes = encode_recordings(stream(), n_neurons, n_steps=n_steps, dt=dt, binning=binning, counts=counts)
    return EventSamples(spikes, np.array(labels, dtype=np.int64))
