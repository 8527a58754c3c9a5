"""Spikes in memory: dense raster, time-sorted events, first-spike times.

Three forms of the same thing, with exact round trips between them:

- a *raster*, (B, T, N), 0 or 1 (bool, integer or float);
- `SpikeEvents`, the sparse form: for every (sample, step) the list of neurons that fire in it;
- *spike times*, (B, N) int32 with ``T`` for "never", for trains of at most one spike per neuron.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from .errors import InputError, one_line, shown
from .reading import check_within, checked_count, checked_flag, checked_indices, read_array

__all__ = ["LARGEST", "SpikeEvents", "check_raster"]

IntArray = NDArray[np.integer[Any]]

# Steps, neurons and counts are int32 in the arrays.
LARGEST = 2**31 - 1


def check_raster(raster: NDArray[Any], *, counts: bool = False) -> None:
    """Raise `InputError` unless `raster` is (B, T, N) with values 0 and 1 (whole numbers >= 0 with `counts`)."""
    if raster.ndim != 3:
        raise InputError(f"spikes must have shape (batch, time, neuron), got {raster.shape}")
    if 0 in raster.shape:
        raise InputError(f"spikes must have at least one sample, step and neuron, got shape {raster.shape}")
    if raster.dtype == np.bool_:
        return
    if raster.dtype.kind not in "iuf":
        raise InputError(f"spikes must be bool, integer or float, got dtype {raster.dtype}")
    if counts:
        allowed = (raster >= 0) & (raster == np.floor(raster)) & (raster <= np.float64(LARGEST))
    else:
        allowed = (raster == 0) | (raster == 1)
    if not allowed.all():
        where = np.unravel_index(int(np.argmin(allowed)), raster.shape)
        value = raster[where]
        expected = (
            f"whole numbers >= 0 and <= {LARGEST}"
            if counts
            else "0 or 1 (for counts: SpikeEvents.from_raster(..., counts=True))"
        )
        place = ", ".join(str(int(k)) for k in where)
        raise InputError(f"spikes must be {expected}, got {value} at (sample, step, neuron) = ({place})")


def _row_pointers(rows: IntArray, n_rows: int) -> NDArray[np.int64]:
    """CSR row pointers of events whose row numbers are `rows`: (n_rows + 1,) int64."""
    indptr = np.zeros(n_rows + 1, dtype=np.int64)
    np.cumsum(np.bincount(rows, minlength=n_rows), out=indptr[1:])
    return indptr


@dataclass(frozen=True, eq=False)
class SpikeEvents:
    """Spike events of a batch, sorted by sample, step and neuron (compressed sparse rows).

    Row ``r = sample * n_steps + step`` lists the neurons ``indices[indptr[r]:indptr[r+1]]`` that fire in it.

    Parameters
    ----------
    indptr : (B * n_steps + 1,) integer
        Row pointers; kept as an int64 array of its own.
    indices : (n_events,) integer
        Neuron of every event, ascending within a row; kept as an int32 array of its own.
    n_steps, n_neurons : int
        T and N.
    counts : bool
        Whether a neuron may be listed several times in a row, which makes the input a count.

    Raises
    ------
    InputError
        If the arrays do not describe events of that shape.

    Examples
    --------
    >>> raster = np.array([[[0, 1], [1, 1], [0, 0]]])
    >>> events = SpikeEvents.from_raster(raster)
    >>> events.indptr, events.indices
    (array([0, 1, 3, 3]), array([1, 0, 1], dtype=int32))
    >>> np.array_equal(events.to_raster(), raster)
    True
    """

    indptr: NDArray[np.int64]
    indices: NDArray[np.int32]
    n_steps: int
    n_neurons: int
    counts: bool = False

    def __post_init__(self) -> None:
        for name in ("n_steps", "n_neurons"):
            object.__setattr__(self, name, checked_count(name, getattr(self, name), high=LARGEST))
        object.__setattr__(self, "counts", checked_flag("counts", self.counts))
        indptr, indices = read_array("indptr", self.indptr), read_array("indices", self.indices)
        if self.n_steps < 1 or self.n_neurons < 1:
            raise InputError(
                f"events need at least one step and neuron, got n_steps {self.n_steps}, n_neurons {self.n_neurons}"
            )
        if any(a.ndim != 1 or (a.dtype.kind not in "iu" and a.size) for a in (indptr, indices)):
            raise InputError(
                "indptr and indices must be lists of integers, got "
                f"{indptr.dtype} of shape {indptr.shape} and {indices.dtype} of shape {indices.shape}"
            )
        if len(indptr) < 1 or (len(indptr) - 1) % self.n_steps or len(indptr) == 1:
            raise InputError(
                f"indptr must have batch * {self.n_steps} + 1 entries with at least one sample, got {len(indptr)}"
            )
        # Compared, not subtracted: differences of 64 bits can wrap around and look right.
        if indptr[0] != 0 or indptr[-1] != len(indices) or np.any(indptr[1:] < indptr[:-1]):
            raise InputError(f"indptr must rise from 0 to the number of events, {len(indices)}")
        check_within("events out of range: neurons", indices, self.n_neurons)
        indptr, indices = indptr.astype(np.int64, order="C"), indices.astype(np.int32, order="C")
        rows = np.repeat(np.arange(len(indptr) - 1), np.diff(indptr))
        same_row = rows[1:] == rows[:-1]
        step_up = np.diff(indices)
        if np.any(same_row & (step_up < 0)):
            raise InputError(
                "the neurons of a step must be listed in ascending order; use SpikeEvents.from_lists"
            )
        if not self.counts and np.any(same_row & (step_up == 0)):
            raise InputError("a neuron is listed twice in one step; pass counts=True if that is a count")
        object.__setattr__(self, "indptr", indptr)
        object.__setattr__(self, "indices", indices)

    # ---- building -------------------------------------------------------------------------------

    @classmethod
    def _unchecked(
        cls, indptr: NDArray[np.int64], indices: NDArray[np.int32], n_steps: int, n_neurons: int, counts: bool
    ) -> SpikeEvents:
        """Build from arrays that are right by construction, without reading them again."""
        events = object.__new__(cls)
        for name, value in zip(cls.__dataclass_fields__, (indptr, indices, n_steps, n_neurons, counts)):
            object.__setattr__(events, name, value)
        return events

    @classmethod
    def from_raster(cls, raster: NDArray[Any], *, counts: bool = False) -> SpikeEvents:
        """Events of a dense raster.

        Parameters
        ----------
        raster : (B, T, N) bool, integer or float
            0 or 1; with `counts` any whole number >= 0.
        counts : bool
            Take values above 1 as counts: the neuron is listed that many times.
        """
        raster, counts = read_array("spikes", raster), checked_flag("counts", counts)
        check_raster(raster, counts=counts)
        batch, n_steps, n_neurons = raster.shape
        flat = raster.reshape(batch * n_steps, n_neurons)
        rows, neurons = np.nonzero(flat)
        if counts:
            times = flat[rows, neurons].astype(np.int64)
            rows, neurons = np.repeat(rows, times), np.repeat(neurons, times)
        indptr = _row_pointers(rows, batch * n_steps)
        return cls._unchecked(indptr, neurons.astype(np.int32), n_steps, n_neurons, counts)

    @classmethod
    def from_spike_times(cls, spike_times: IntArray, n_steps: int) -> SpikeEvents:
        """Events of trains with at most one spike per neuron.

        Parameters
        ----------
        spike_times : (B, N) integer
            Step of the spike; ``n_steps`` for a neuron that stays silent.
        n_steps : int
            T.
        """
        times = read_array("spike_times", spike_times)
        n_steps = checked_count("n_steps", n_steps, high=LARGEST)
        if times.ndim != 2 or times.dtype.kind not in "iu":
            raise InputError(
                f"spike_times must be integers of shape (batch, neuron), got {times.dtype} of shape {times.shape}"
            )
        if 0 in times.shape or n_steps < 1:
            raise InputError(
                f"there must be at least one sample, neuron and step, got shape {times.shape}, n_steps {n_steps}"
            )
        check_within("spike_times", times, n_steps + 1, note=f" ({n_steps} = never)")
        times = times.astype(np.int32, copy=False)
        # Two-byte keys make NumPy's stable sort a radix sort, so that encoding takes little time.
        keys = times.astype(np.uint16) if n_steps < 2**16 else times
        order = np.argsort(keys, axis=1, kind="stable")
        fires = np.take_along_axis(times, order, axis=1) < n_steps
        rows = (np.arange(len(times), dtype=np.int64)[:, None] * n_steps + times)[times < n_steps]
        indptr, indices = _row_pointers(rows, len(times) * n_steps), order[fires].astype(np.int32)
        return cls._unchecked(indptr, indices, n_steps, times.shape[1], False)

    @classmethod
    def from_lists(
        cls,
        sample: IntArray,
        step: IntArray,
        neuron: IntArray,
        shape: tuple[int, int, int],
        *,
        counts: bool = False,
    ) -> SpikeEvents:
        """Events from three lists of equal length, in any order.

        Parameters
        ----------
        sample, step, neuron : (n_events,) integer
            Where each event lies.
        shape : (B, T, N)
            Shape of the batch.
        counts : bool
            Allow the same (sample, step, neuron) several times.

        Examples
        --------
        >>> events = SpikeEvents.from_lists([0, 0], [1, 0], [2, 0], shape=(1, 2, 3))
        >>> events.to_raster()
        array([[[1, 0, 0],
                [0, 0, 1]]], dtype=uint8)
        """
        sizes = tuple(shape if isinstance(shape, (list, tuple)) else read_array("shape", shape).ravel())
        if len(sizes) != 3:
            raise InputError(f"shape must be (batch, time, neuron), got {shown(shape)}")
        sizes = tuple(checked_count("every size of shape", size, high=LARGEST) for size in sizes)
        if 0 in sizes:
            raise InputError(f"there must be at least one sample, step and neuron, got shape {sizes}")
        batch, n_steps, n_neurons = sizes
        columns = []
        for name, values, size in zip(("sample", "step", "neuron"), (sample, step, neuron), sizes):
            column = read_array(name, values)
            if column.ndim != 1 or (column.dtype.kind not in "iu" and column.size):
                raise InputError(
                    f"{name} must be a list of integers, got {column.dtype} of shape {column.shape}"
                )
            check_within(f"events out of range: {name}", column, size)
            columns.append(column.astype(np.int64))
        if len({len(c) for c in columns}) > 1:
            raise InputError(f"sample, step and neuron must be equally long, got {[len(c) for c in columns]}")
        rows = columns[0] * n_steps + columns[1]
        order = np.lexsort((columns[2], rows))
        indices = columns[2][order].astype(np.int32)
        return cls(_row_pointers(rows, batch * n_steps), indices, n_steps, n_neurons, counts)

    # ---- reading --------------------------------------------------------------------------------

    @property
    def shape(self) -> tuple[int, int, int]:
        """(B, T, N)."""
        return len(self), self.n_steps, self.n_neurons

    @property
    def n_events(self) -> int:
        """Number of events in the whole batch."""
        return len(self.indices)

    def __len__(self) -> int:
        return (len(self.indptr) - 1) // self.n_steps

    def __getitem__(self, samples: slice | IntArray | NDArray[np.bool_]) -> SpikeEvents:
        """Select samples: by a slice without copying the events, or by an array of numbers (or a mask)."""
        if isinstance(samples, tuple):
            raise InputError(
                "samples must be selected alone, events[samples]; steps and neurons cannot be selected"
            )
        chosen = checked_indices(samples, len(self))
        if isinstance(samples, slice) and samples.step in (None, 1):
            first, last = (chosen[0], chosen[-1] + 1) if len(chosen) else (0, 0)
            indptr = self.indptr[first * self.n_steps : last * self.n_steps + 1]
            indptr, indices = indptr - indptr[0], self.indices[indptr[0] : indptr[-1]]
        else:
            # (K, T + 1) row pointers of the chosen samples, then as if they lay one behind the other.
            pointers = self.indptr[chosen[:, None] * self.n_steps + np.arange(self.n_steps + 1)]
            lengths = pointers[:, -1] - pointers[:, 0]
            starts = np.cumsum(lengths) - lengths
            indptr = np.empty(len(chosen) * self.n_steps + 1, dtype=np.int64)
            indptr[:-1] = (pointers[:, :-1] + (starts - pointers[:, 0])[:, None]).ravel()
            indptr[-1] = lengths.sum()
            pieces = [self.indices[first:last] for first, last in pointers[:, [0, -1]].tolist()]
            indices = np.concatenate(pieces) if pieces else self.indices[:0]
        return SpikeEvents._unchecked(indptr, indices, self.n_steps, self.n_neurons, self.counts)

    def __array__(self, dtype: Any = None, copy: Any = None) -> NDArray[Any]:
        raise InputError(
            "SpikeEvents are no array: pass them as they are, one batch at a time, or as events.to_raster()"
        )

    def to_raster(self, dtype: DTypeLike = np.uint8) -> NDArray[Any]:
        """Dense (B, T, N) raster of the events, in `dtype` (bool, integer or float); counts add up."""
        try:
            dtype = np.dtype(dtype)
        except (TypeError, ValueError) as error:
            raise InputError(f"dtype must be bool, integer or float: {one_line(error)}") from None
        if dtype.kind not in "biuf":
            raise InputError(f"dtype must be bool, integer or float, got {dtype}")
        batch, n_steps, n_neurons = self.shape
        flat = np.zeros(batch * n_steps * n_neurons, dtype=dtype)
        rows = np.repeat(np.arange(batch * n_steps, dtype=np.int64), np.diff(self.indptr))
        cells = rows * n_neurons + self.indices
        if self.counts:
            cells, number = np.unique(cells, return_counts=True)
            with np.errstate(over="ignore"):
                flat[cells] = number
            if not np.array_equal(flat[cells], number):
                raise InputError(f"a count of {number.max()} does not fit into {dtype}")
        else:
            flat[cells] = 1
        return flat.reshape(batch, n_steps, n_neurons)

    def first_spike_times(self) -> NDArray[np.int32]:
        """(B, N) int32 step of the first spike of every neuron, ``n_steps`` for a silent one."""
        times = np.full((len(self), self.n_neurons), self.n_steps, dtype=np.int32)
        rows = np.repeat(np.arange(len(self) * self.n_steps, dtype=np.int64), np.diff(self.indptr))
        np.minimum.at(times, (rows // self.n_steps, self.indices), (rows % self.n_steps).astype(np.int32))
        return times
