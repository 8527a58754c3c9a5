"""Products with sparse spikes: one weight row per event instead of a dense product over all steps.

``x @ W`` adds row ``W[i]`` for every event of input i, and ``x^T @ gI`` adds row ``gI[b, t]`` to row i.
The sums stay in registers, `LANES` neurons at a time, from the first event to the last (`lanes`). Samples are taken
in groups: a block of the weights serves all samples of a group before the next block is fetched.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import unknown_name
from ..model import Trace
from ..spikes import SpikeEvents
from .jit import kernel
from .lanes import LANES, copy_in, copy_out, full, load, n_blocks, store
from .products import Spikes
from .threads import run_rows, run_shares, shares
from .workspace import Workspace, buffer

__all__ = [
    "DENSE_FROM",
    "DENSE_FROM_EVENTS",
    "add_partials",
    "add_sample_gradient",
    "as_events",
    "events_of",
    "get_product",
    "group_by_input",
    "group_scratch",
    "group_size",
    "matmul",
    "matmul_transposed",
    "most_events",
    "pointers",
    "prepare",
    "set_product",
    "weight_blocks",
]

Floats = NDArray[np.floating[Any]]

PRODUCTS = ("auto", "events", "dense")
# Share of all (step, input) pairs with an event from which on BLAS does a product faster than rows do, as
# measured with 50 to 1000 neurons. Events that have to become a raster for BLAS first, and a raster that has
# to become events for the rows, each speak for leaving the input as it is.
DENSE_FROM = 0.3
DENSE_FROM_EVENTS = 0.45
_ROWS_READ = 32
# Rows of all blocks that are copied together: what lies side by side in a wide matrix is then read and written so.
_ROWS_COPIED = 16
_LARGEST_GROUP = 4

_settings = {"product": "auto"}


def get_product() -> str:
    """How the compiled solvers form products with spikes: see `set_product`."""
    return _settings["product"]


def set_product(product: str) -> None:
    """Choose how the compiled solvers form products with spikes.

    Parameters
    ----------
    product : {"auto", "events", "dense"}
        By events, by BLAS on the raster, or by whichever the measured density favours: in
        ``numba-parallel`` rows of events below `DENSE_FROM` (`DENSE_FROM_EVENTS` where the input comes as
        events); in ``numba-sequential`` always BLAS, whose bits are those of the definition.
    """
    if product not in PRODUCTS:
        raise unknown_name("product", product, PRODUCTS)
    _settings["product"] = product


@kernel
def _density(raster, n_rows):
    """Share of cells with an event in up to `n_rows` rows of all samples and steps, (B * T, n_in).

    Reading the whole raster would cost more than the choice saves.
    """
    n_rows, n = min(n_rows, len(raster)), 0
    for k in range(n_rows):
        row = raster[k * len(raster) // n_rows]
        for i in range(len(row)):
            n += row[i] != 0
    return n / (n_rows * raster.shape[1])


def prepare(spikes: Spikes) -> tuple[Spikes, bool]:
    """The input in the form whose product is faster, and whether that is events (otherwise BLAS)."""
    product = get_product()
    if product == "auto":
        if isinstance(spikes, SpikeEvents):
            size = spikes.shape[0] * spikes.shape[1] * spikes.shape[2]
            is_dense = spikes.n_events >= DENSE_FROM_EVENTS * size
        else:
            is_dense = _density(spikes.reshape(-1, spikes.shape[2]), _ROWS_READ) >= DENSE_FROM
        product = "dense" if is_dense else "events"
    return (as_events(spikes), True) if product == "events" else (spikes, False)


def pointers(signal: Spikes, by_events: bool) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Row pointers and neurons of the events; empty where BLAS takes the input."""
    if by_events and isinstance(signal, SpikeEvents):
        return signal.indptr, signal.indices
    return np.empty(0, np.int64), np.empty(0, np.int32)


def group_size(n_in: int, n_steps: int) -> int:
    """Samples that share a block of the weights while it is in cache.

    Between two blocks the potentials of a group wait in a farther cache. That pays while they are not larger
    than the weights that need not be fetched again.
    """
    return max(1, min(_LARGEST_GROUP, -(-n_in // n_steps)))


def group_scratch(group: int, n_in: int, longest: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Make `ends` and `steps` of `group_by_input` for a group of samples with at most `longest` events."""
    return np.empty((group, n_in), np.int32), np.empty((group, longest), np.int32)


@kernel
def group_by_input(indptr, first_row, n_steps, indices, ends, steps):
    """Sort the events of one sample by input: those of input i are ``steps[ends[i-1]:ends[i]]``, by time.

    Only where inputs fire more than once, so that `add_sample_gradient` then fetches every row of the gradient
    once a sample instead of once an event; otherwise ``ends[0]`` becomes -1. The events start at row `first_row`.
    """
    n_in, base, stop = len(ends), indptr[first_row], indptr[first_row + n_steps]
    if stop - base <= n_in:
        ends[0] = -1
        return
    ends[:] = 0
    for e in range(base, stop):
        i = indices[e] + 1
        if i < n_in:
            ends[i] += 1
    for i in range(1, n_in):
        ends[i] += ends[i - 1]
    # Filling moves ends[i] from the start of group i to its end.
    for t in range(n_steps):
        for e in range(indptr[first_row + t], indptr[first_row + t + 1]):
            i = indices[e]
            steps[ends[i]] = t
            ends[i] += 1


@kernel
def add_sample_gradient(grad_weight, rows, indptr, first_row, indices, ends, steps):
    """``grad_weight += x[b]^T @ rows`` for one sample and one block (Eq. 10).

    grad_weight is (n_in, LANES), rows (T, LANES) its gI; `ends` and `steps` are as `group_by_input` left them.
    """
    if ends[0] >= 0:
        start = 0
        for i in range(len(ends)):
            stop = ends[i]
            if start < stop:
                total = load(grad_weight, i)
                for e in range(start, stop):
                    total = total + load(rows, steps[e])
                store(grad_weight, i, total)
            start = stop
    else:
        for t in range(len(rows)):
            start, stop = indptr[first_row + t], indptr[first_row + t + 1]
            if start < stop:
                row = load(rows, t)
                for e in range(start, stop):
                    i = indices[e]
                    store(grad_weight, i, load(grad_weight, i) + row)


@kernel
def _event_matmul(out, sample, weight, zero, indptr, indices, group, first, last):
    n_steps = len(sample)
    for start in range(first, last, group):
        for k in range(len(weight)):
            for b in range(start, min(start + group, last)):
                for t in range(n_steps):
                    total = full(zero)
                    for e in range(indptr[b * n_steps + t], indptr[b * n_steps + t + 1]):
                        total = total + load(weight[k], indices[e])
                    store(sample, t, total)
                copy_out(out[b], sample, k)


def matmul(events: SpikeEvents, weight: Floats, out: Floats) -> Floats:
    """``x @ weight`` from events, into `out` (B, T, n_out)."""
    blocks, group = weight_blocks(weight, None), group_size(len(weight), events.n_steps)

    def task(_: int, first: int, last: int) -> None:
        sample, zero = buffer(None, "sample", (events.n_steps, LANES), weight.dtype), weight.dtype.type(0)
        _event_matmul(out, sample, blocks, zero, events.indptr, events.indices, group, first, last)

    run_shares(task, len(events))
    return out


@kernel
def _fill_blocks(blocks, values, first, last):
    """Rows `first` to `last` of `values` (R, N) into blocks (K, R, LANES), a few rows of all blocks at a time."""
    for start in range(first, last, _ROWS_COPIED):
        stop = min(start + _ROWS_COPIED, last)
        for k in range(len(blocks)):
            copy_in(blocks[k, start:stop], values[start:stop], k)


def weight_blocks(weight: Floats, workspace: Workspace | None, name: str = "weight") -> Floats:
    """The weights in blocks, (K, n_in, LANES), in the buffer of that name."""
    n_in, n_out = weight.shape
    blocks = buffer(workspace, name, (n_blocks(n_out), n_in, LANES), weight.dtype)
    run_rows(lambda _, first, last: _fill_blocks(blocks, weight, first, last), n_in, weight.size)
    return blocks


@kernel
def _event_matmul_transposed(grad_weight, grad, sample, indptr, indices, ends, steps, first, last):
    n_steps, group = len(sample), len(ends)
    for start in range(first, last, group):
        stop = min(start + group, last)
        for b in range(start, stop):
            group_by_input(indptr, b * n_steps, n_steps, indices, ends[b - start], steps[b - start])
        for k in range(len(grad_weight)):
            if start == first:  # here, where it stays in cache
                grad_weight[k] = 0
            for b in range(start, stop):
                copy_in(sample, grad[b], k)
                add_sample_gradient(
                    grad_weight[k], sample, indptr, b * n_steps, indices, ends[b - start], steps[b - start]
                )


def most_events(events: SpikeEvents) -> int:
    """Number of events of the sample that has most."""
    return int(np.diff(events.indptr[:: events.n_steps]).max())


def matmul_transposed(events: SpikeEvents, grad: Floats) -> Floats:
    """``sum_b x[b]^T @ grad[b]`` from events, (n_in, n_out): a partial sum per share, added in order."""
    n_in, n_out, n_steps = events.n_neurons, grad.shape[2], events.n_steps
    group, longest = group_size(n_in, n_steps), most_events(events)
    partial = buffer(None, "partial", (len(shares(len(events))), n_blocks(n_out), n_in, LANES), grad.dtype)

    def task(k: int, first: int, last: int) -> None:
        sample = buffer(None, "sample", (n_steps, LANES), grad.dtype)
        ends, steps = group_scratch(group, n_in, longest)
        _event_matmul_transposed(
            partial[k], grad, sample, events.indptr, events.indices, ends, steps, first, last
        )

    run_shares(task, len(events))
    return add_partials(partial, n_out, None)


@kernel
def _add_partials(total, partial, first, last):
    """Rows `first` to `last` of `total` (R, N) from those of all shares (S, K, R, LANES), the first overwritten."""
    for start in range(first, last, _ROWS_COPIED):
        stop = min(start + _ROWS_COPIED, last)
        for k in range(partial.shape[1]):
            block = partial[0, k]
            for r in range(start, stop):
                row = load(block, r)
                for share in range(1, len(partial)):
                    row = row + load(partial[share, k], r)
                store(block, r, row)
            copy_out(total[start:stop], block[start:stop], k)


def add_partials(partial: Floats, n_out: int, workspace: Workspace | None, name: str = "total") -> Floats:
    """Sum of the shares' results (S, K, n_in, LANES) in their order: (n_in, n_out), in the buffer of that name."""
    n_in = partial.shape[2]
    total = buffer(workspace, name, (n_in, n_out), partial.dtype)
    run_rows(lambda _, first, last: _add_partials(total, partial, first, last), n_in, partial[0].size)
    return total


@kernel
def _count_events(raster, counts, first, last):
    """Number of events in every row of the raster, (B * T, n_in)."""
    for r in range(first, last):
        n = 0
        for i in range(raster.shape[1]):
            n += raster[r, i] != 0
        counts[r + 1] = n


@kernel
def _list_events(raster, indptr, indices, row, first, last):
    """Inputs with an event, row by row; `row` (n_in + 1,) is scratch.

    Every input is written down, and only an event moves on to the next place: no branch to be guessed wrong.
    """
    for r in range(first, last):
        n = 0
        for i in range(raster.shape[1]):
            row[n] = i
            n += raster[r, i] != 0
        indices[indptr[r] : indptr[r + 1]] = row[:n]


def as_events(spikes: NDArray[Any] | SpikeEvents) -> SpikeEvents:
    """Events of a 0/1 raster (events stay as they are)."""
    if isinstance(spikes, SpikeEvents):
        return spikes
    batch, n_steps, n_in = spikes.shape
    raster = np.ascontiguousarray(spikes).reshape(batch * n_steps, n_in)
    indptr = np.zeros(batch * n_steps + 1, np.int64)
    run_shares(lambda _, first, last: _count_events(raster, indptr, first, last), len(raster))
    np.cumsum(indptr, out=indptr)
    indices = np.empty(indptr[-1], np.int32)

    def task(_: int, first: int, last: int) -> None:
        _list_events(raster, indptr, indices, np.empty(n_in + 1, np.int32), first, last)

    run_shares(task, len(raster))
    return SpikeEvents._unchecked(indptr, indices, n_steps, n_in, False)


@kernel
def _events_from_times(spike_times, indptr, indices, n_steps):
    """Counting sort of the spike times of every sample into rows."""
    batch, n_neurons = spike_times.shape
    for b in range(batch):
        for j in range(n_neurons):
            if spike_times[b, j] < n_steps:
                indptr[b * n_steps + spike_times[b, j] + 1] += 1
    for r in range(1, len(indptr)):
        indptr[r] += indptr[r - 1]
    for b in range(batch):
        for j in range(n_neurons):
            if spike_times[b, j] < n_steps:
                r = b * n_steps + spike_times[b, j]
                indices[indptr[r]] = j
                indptr[r] += 1
    for r in range(len(indptr) - 1, 0, -1):  # every pointer moved on to the end of its row: move them back
        indptr[r] = indptr[r - 1]
    indptr[0] = 0


def events_of(trace: Trace) -> SpikeEvents:
    """Spikes of a layer as events: at most one a neuron after a single-spike layer."""
    batch, n_steps, n_out = trace.potential.shape
    if trace.neuron == "multi-spike":
        return as_events(trace.potential > trace.threshold)
    times = trace.spike_times
    indptr = np.zeros(batch * n_steps + 1, np.int64)
    indices = np.empty(int((times < n_steps).sum()), np.int32)
    _events_from_times(times, indptr, indices, n_steps)
    return SpikeEvents._unchecked(indptr, indices, n_steps, n_out, False)
