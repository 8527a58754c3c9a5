"""Recordings of event sensors, in microseconds, to spike events in steps."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError, InputError, shown
from ..reading import check_within, checked_count, checked_flag, checked_float, checked_name, read_array
from ..spikes import LARGEST, SpikeEvents

BINNINGS = ("floor", "round")
POLARITIES = ("merged", "kept")

# Times in microseconds and input neurons of all events, and the name of the recording in errors.
Recording = tuple[NDArray[Any], NDArray[Any], str]


def encode_recordings(
    recordings: Iterable[Recording],
    n_neurons: int,
    *,
    n_steps: int,
    dt: float,
    binning: str = "floor",
    counts: bool = False,
) -> SpikeEvents:
    """Bin recordings into steps.

    Parameters
    ----------
    recordings : iterable of (times, neurons, name)
        Of every recording the times of its events in microseconds from its start, never decreasing, and their
        input neurons (both (n_events,)); `name` is used in errors. A recording without events is silent.
    n_neurons : int
        Input neurons.
    n_steps : int
        T. Events in step T and later are left out.
    dt : float
        Length of a step, in milliseconds.
    binning : {"floor", "round"}
        An event at time t belongs to step ``floor(t / dt)``, or to the step nearest to ``t / dt`` (the
        published rule).
    counts : bool
        Keep how often an input fires within a step; otherwise it fires once or not at all.

    Returns
    -------
    spikes : SpikeEvents
        One sample for every recording.

    Raises
    ------
    DataError
        For times that run backwards, are negative or not finite, and for neurons that do not exist. Also for
        times of another unit or origin: if a recording has events and none falls within the steps, or if all
        recordings last no longer than step 0.

    Examples
    --------
    >>> times, neurons = np.array([0, 1400, 1600, 1900]), np.array([1, 0, 0, 2])
    >>> for binning in ("floor", "round"):
    ...     events = encode_recordings([(times, neurons, "one")], 3, n_steps=3, dt=1, binning=binning)
    ...     print(events.to_raster()[0].tolist())
    [[0, 1, 0], [1, 0, 1], [0, 0, 0]]
    [[0, 1, 0], [1, 0, 0], [1, 0, 1]]
    """
    binning = checked_name("binning", binning, BINNINGS)
    n_steps = checked_count("n_steps", n_steps, low=1, high=LARGEST)
    n_neurons = checked_count("n_neurons", n_neurons, low=1, high=LARGEST)
    counts = checked_flag("counts", counts)
    dt = checked_float("dt", dt, low=0, open_low=True)
    pieces, lengths = [], []
    last_step, last_time, lasting = 0.0, 0.0, False
    for recording in recordings:
        times, neurons, name = _checked(recording, n_neurons)
        with np.errstate(over="ignore"):  # infinitely late is late enough
            steps = (np.floor if binning == "floor" else np.rint)(times.astype(np.float64) / (1000 * dt))
        if len(times):
            if steps[0] >= n_steps:
                raise DataError(
                    f"{name}: none of its {len(times)} events falls within the {n_steps} steps of dt = {dt:g} ms; "
                    "times must be microseconds from the start of the recording, got "
                    f"{times[0]} ... {times[-1]}: subtract the start, convert the unit, or take more or longer steps"
                )
            last_step, last_time = max(last_step, steps[-1]), max(last_time, times[-1])
            lasting = lasting or times[0] != times[-1]
        within = steps < n_steps  # before they become integers, which reach less far
        cells = np.sort(steps[within].astype(np.int64) * n_neurons + neurons[within].astype(np.int64))
        if not counts:
            cells = cells[np.diff(cells, prepend=-1) > 0]  # np.unique takes far longer
        pieces.append((cells % n_neurons).astype(np.int32))
        lengths.append(np.bincount(cells // n_neurons, minlength=n_steps))
    if not pieces:
        raise InputError("there must be at least one recording, got none")
    if lasting and last_step == 0 and n_steps > 1:
        raise DataError(
            f"{name}: all events, and those of every recording before it, fall into step 0 of {n_steps} with "
            f"dt = {dt:g} ms; times must be microseconds, got none above {last_time}: convert them from seconds or "
            "milliseconds, or take a smaller dt"
        )
    indptr = np.concatenate([[0], np.cumsum(np.concatenate(lengths))]).astype(np.int64)
    return SpikeEvents._unchecked(indptr, np.concatenate(pieces), n_steps, n_neurons, counts)


def _checked(recording: Recording, n_neurons: int) -> Recording:
    """The arrays of a recording in any form, or the error that names their fault."""
    try:
        times, neurons, name = recording
    except (TypeError, ValueError):
        raise InputError(f"a recording must be (times, neurons, name), got {shown(recording)}") from None
    times, neurons = read_array(f"{name}: times", times), read_array(f"{name}: neurons", neurons)
    if not neurons.size:
        neurons = neurons.astype(np.int64)  # NumPy reads an empty list as floats
    if times.shape != neurons.shape or times.ndim != 1 or neurons.dtype.kind not in "iu":
        raise DataError(
            f"{name}: every event needs one time and one neuron, got {times.dtype} of shape {times.shape} and "
            f"{neurons.dtype} of shape {neurons.shape}"
        )
    if not len(times):
        return times, neurons, name
    if times.dtype.kind not in "iuf" or not np.isfinite(times).all():
        raise DataError(f"{name}: times must be finite numbers, got {times.dtype}")
    if times[0] < 0 or np.any(times[1:] < times[:-1]):
        backwards = int(np.argmax(times[1:] < times[:-1])) + 1 if times[0] >= 0 else 0
        raise DataError(
            f"{name}: times must start at 0 or later and never run backwards, got {times[backwards]} us "
            f"as event {backwards}"
        )
    check_within(f"{name}: events beyond the sensor: inputs", neurons, n_neurons, error=DataError)
    return times, neurons, name


def pixel_neurons(
    x: NDArray[Any],
    y: NDArray[Any],
    polarity: NDArray[Any],
    width: int,
    height: int,
    polarities: str,
    name: str,
) -> NDArray[np.int64]:
    """Input neurons of the events of a sensor of pixels.

    Column, row and polarity (0 or 1) are integers, one of each for every event. The neuron is ``y * width + x``, plus
    ``width * height`` if polarities are kept and the polarity is 1. `name` is used in errors.
    """
    polarities = checked_name("choice of polarities", polarities, POLARITIES)
    for what, values, size in (("x", x, width), ("y", y, height), ("polarity", polarity, 2)):
        if values.dtype.kind not in "iu":
            raise DataError(f"{name}: {what} must be integers, got {values.dtype}")
        check_within(f"{name}: events beyond the sensor: {what}", values, size, error=DataError)
    pixel: NDArray[np.int64] = y.astype(np.int64) * width + x.astype(np.int64)
    return pixel if polarities == "merged" else pixel + width * height * polarity.astype(np.int64)
