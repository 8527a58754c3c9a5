"""Sparse spikes: as events, and their products with one weight row per event instead of a dense product.

``x @ W`` adds row ``W[i]`` for every event of input i, and ``x^T @ gI`` adds row ``gI[b, t]`` to row i.
The sums stay in registers, `LANES` neurons at a time, from the first event to the last (`lanes`). Samples are taken
in groups: a block of the weights serves all samples of a group before the next block is fetched.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import unknown_name
from ...model import Trace
from ...spikes import SpikeEvents
from .jit import inlined, kernel
from .lanes import LANES, ROWS_COPIED, copy_out, load, n_blocks, pack, store
from .products import Spikes
from .records import Events, Floats, Ints32, Ints64, Scratch
from .threads import run_rows
from .workspace import Workspace, buffer

PRODUCTS = ("auto", "events", "dense")
# Share of all (step, input) pairs with an event from which on BLAS does a product faster than rows do, as
# measured with 50 to 1000 neurons. Converting costs time, so the input stays in the form it has unless the density
# clearly favours the other. Hence two limits.
DENSE_FROM = 0.3
DENSE_FROM_EVENTS = 0.45
_ROWS_READ = 32
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
        ``numba-parallel`` rows of events below `DENSE_FROM` (`DENSE_FROM_EVENTS` if the input comes as
        events); in ``numba-sequential`` always BLAS, whose bits are those of the definition.
    """
    if product not in PRODUCTS:
        raise unknown_name("product", product, PRODUCTS)
    _settings["product"] = product


# ---- the form of the input ----------------------------------------------------------------------


@kernel
def _density(raster: NDArray[Any], n_rows: int) -> Any:
    """Share of cells with an event in up to `n_rows` rows of all samples and steps, (B * T, n_in).

    Reading the whole raster would cost more than the choice saves.
    """
    n_rows, n = min(n_rows, len(raster)), 0
    for k in range(n_rows):
        row = raster[k * len(raster) // n_rows]
        for i in range(len(row)):
            n += row[i] != 0
    return n / (n_rows * raster.shape[1])


def prepare(spikes: Spikes) -> tuple[Spikes, Events]:
    """The input in the form whose product is faster, and its events as kernels take them: none if that is BLAS."""
    product = get_product()
    if product == "auto":
        if isinstance(spikes, SpikeEvents):
            size = spikes.shape[0] * spikes.shape[1] * spikes.shape[2]
            is_dense = spikes.n_events >= DENSE_FROM_EVENTS * size
        else:
            is_dense = _density(spikes.reshape(-1, spikes.shape[2]), _ROWS_READ) >= DENSE_FROM
        product = "dense" if is_dense else "events"
    if product == "dense":
        return spikes, Events(np.empty(0, np.int64), np.empty(0, np.int32))
    events = as_events(spikes)
    return events, Events(events.indptr, events.indices)


@inlined
def of_samples(events: Events, start: int, stop: int, n_steps: int) -> Events:
    """The events of some samples; no events stay none."""
    return Events(events.indptr[start * n_steps : stop * n_steps + 1], events.indices)


@kernel
def _count_events(raster: NDArray[Any], counts: Ints64, first: int, last: int) -> None:
    """Number of events in every row of the raster, (B * T, n_in)."""
    for r in range(first, last):
        n = 0
        for i in range(raster.shape[1]):
            n += raster[r, i] != 0
        counts[r + 1] = n


@kernel
def _list_events(
    raster: NDArray[Any], indptr: Ints64, indices: Ints32, row: Ints32, first: int, last: int
) -> None:
    """Inputs with an event, row by row; `row` (n_in + 1,) is scratch.

    Every input is written down, and only an event moves on to the next place: no branch to be guessed wrong.
    """
    for r in range(first, last):
        n = 0
        for i in range(raster.shape[1]):
            row[n] = i
            n += raster[r, i] != 0
        indices[indptr[r] : indptr[r + 1]] = row[:n]


def as_events(spikes: Spikes) -> SpikeEvents:
    """Events of a 0/1 raster (events stay as they are)."""
    if isinstance(spikes, SpikeEvents):
        return spikes
    batch, n_steps, n_in = spikes.shape
    raster = np.ascontiguousarray(spikes).reshape(batch * n_steps, n_in)
    indptr = np.zeros(batch * n_steps + 1, np.int64)
    run_rows(lambda _, first, last: _count_events(raster, indptr, first, last), len(raster), raster.size)
    np.cumsum(indptr, out=indptr)
    indices = np.empty(indptr[-1], np.int32)

    def task(_: int, first: int, last: int) -> None:
        _list_events(raster, indptr, indices, np.empty(n_in + 1, np.int32), first, last)

    run_rows(task, len(raster), raster.size)
    return SpikeEvents._unchecked(indptr, indices, n_steps, n_in, False)


@kernel
def events_of_times(events: Events, times: Ints32, n: int, n_steps: int) -> None:
    """Fill `events` from the spike times (G, N) of the first `n` neurons, by a counting sort."""
    indptr, indices = events.indptr[: len(times) * n_steps + 1], events.indices
    indptr[:] = 0
    for b in range(len(times)):
        for j in range(n):
            if times[b, j] < n_steps:
                indptr[b * n_steps + times[b, j] + 1] += 1
    for r in range(1, len(indptr)):
        indptr[r] += indptr[r - 1]
    # Filling moves every pointer to the end of its row, which is the start of the next.
    for b in range(len(times)):
        for j in range(n):
            if times[b, j] < n_steps:
                r = b * n_steps + times[b, j]
                indices[indptr[r]] = j
                indptr[r] += 1
    for r in range(len(indptr) - 1, 0, -1):
        indptr[r] = indptr[r - 1]
    indptr[0] = 0


def events_of(trace: Trace) -> SpikeEvents:
    """Spikes of a layer as events: at most one a neuron after a single-spike layer."""
    batch, n_steps, n_out = trace.shape
    if trace.neuron == "multi-spike":
        return as_events(trace.potential > trace.threshold)
    times = trace.spike_times
    indptr, indices = np.empty(batch * n_steps + 1, np.int64), np.empty(times.size, np.int32)
    events_of_times(Events(indptr, indices), times, n_out, n_steps)
    return SpikeEvents._unchecked(indptr, indices[: indptr[-1]], n_steps, n_out, False)


# ---- products -----------------------------------------------------------------------------------


def group_size(n_in: int, n_steps: int) -> int:
    """Samples that share a block of the weights while it is in cache.

    Between two blocks the potentials of a group wait in a farther cache. That pays while they are not larger
    than the weights that need not be fetched again.
    """
    return max(1, min(_LARGEST_GROUP, -(-n_in // n_steps)))


def most_events(events: Events, n_steps: int) -> int:
    """Number of events of the sample that has most."""
    bounds = events.indptr[::n_steps]
    return int((bounds[1:] - bounds[:-1]).max(initial=0))


@kernel
def group_by_input(events: Events, b: int, n_steps: int, scratch: Scratch, n_in: int) -> None:
    """Sort the events of sample `b` by input: those of input i are ``steps[ends[i-1]:ends[i]]``, by time.

    Only if inputs fire more than once, so that `add_sample_gradient` then fetches every row of the gradient
    once a sample instead of once an event; otherwise ``ends[0]`` becomes -1.
    """
    indptr, indices, ends, steps = events.indptr, events.indices, scratch.ends[b, :n_in], scratch.steps[b]
    base, stop = indptr[b * n_steps], indptr[(b + 1) * n_steps]
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
        for e in range(indptr[b * n_steps + t], indptr[b * n_steps + t + 1]):
            i = indices[e]
            steps[ends[i]] = t
            ends[i] += 1


@kernel
def add_sample_gradient(grad_weight: Floats, scratch: Scratch, events: Events, b: int) -> None:
    """``grad_weight += x[b]^T @ rows`` for one sample and one block (Eq. 10).

    grad_weight is (n_in, LANES), ``scratch.rows`` (T, LANES) its gI; the events are as `group_by_input` left them.
    """
    rows, ends, steps = scratch.rows, scratch.ends[b, : len(grad_weight)], scratch.steps[b]
    indptr, indices, row_of = events.indptr, events.indices, b * len(scratch.rows)
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
            start, stop = indptr[row_of + t], indptr[row_of + t + 1]
            if start < stop:
                row = load(rows, t)
                for e in range(start, stop):
                    i = indices[e]
                    store(grad_weight, i, load(grad_weight, i) + row)


@kernel
def _add_partials(total: Floats, partial: Floats, first: int, last: int) -> None:
    """Rows `first` to `last` of `total` (R, N) from those of all shares (S, K, R, LANES), the first overwritten."""
    for start in range(first, last, ROWS_COPIED):
        stop = min(start + ROWS_COPIED, last)
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


def weight_blocks(weight: Floats, workspace: Workspace | None, name: str = "weight") -> Floats:
    """The weights in blocks, (K, n_in, LANES), in the buffer of that name."""
    n_in, n_out = weight.shape
    blocks = buffer(workspace, name, (n_blocks(n_out), n_in, LANES), weight.dtype)
    run_rows(lambda _, first, last: pack(blocks, weight, first, last), n_in, weight.size)
    return blocks


def group_scratch(
    workspace: Workspace | None, dtype: Any, n_steps: int, group: int, n_in: int, longest: int
) -> Scratch:
    """Room for the backward pass of a group of samples with up to `longest` events each."""
    rows, on_membrane = buffer(workspace, "blocks", (2, n_steps, LANES), dtype)
    return Scratch(rows, on_membrane, np.empty((group, n_in), np.int32), np.empty((group, longest), np.int32))
