"""Products of sparse spikes over all steps, for the solver that steps: a weight row for every event."""

from __future__ import annotations

from ...spikes import SpikeEvents
from .events import (
    add_partials,
    add_sample_gradient,
    group_by_input,
    group_scratch,
    group_size,
    most_events,
    of_samples,
    weight_blocks,
)
from .jit import kernel
from .lanes import LANES, copy_in, copy_out, full, load, n_blocks, store
from .records import Events, Floats, Scratch
from .threads import run_shares, shares
from .workspace import buffer


@kernel
def _matmul(
    out: Floats, events: Events, weight: Floats, sample: Floats, group: int, first: int, last: int
) -> None:
    n_steps, indptr, indices = len(sample), events.indptr, events.indices
    for start in range(first, last, group):
        for k in range(len(weight)):
            for b in range(start, min(start + group, last)):
                for t in range(n_steps):
                    total = full(sample.dtype.type(0))
                    for e in range(indptr[b * n_steps + t], indptr[b * n_steps + t + 1]):
                        total = total + load(weight[k], indices[e])
                    store(sample, t, total)
                copy_out(out[b], sample, k)


def event_matmul(events: SpikeEvents, weight: Floats, out: Floats) -> Floats:
    """``x @ weight`` from events, into `out` (B, T, n_out)."""
    blocks, group = weight_blocks(weight, None), group_size(len(weight), events.n_steps)
    incoming = Events(events.indptr, events.indices)

    def task(_: int, first: int, last: int) -> None:
        sample = buffer(None, "sample", (events.n_steps, LANES), weight.dtype)
        _matmul(out, incoming, blocks, sample, group, first, last)

    run_shares(task, len(events), events.n_steps)
    return out


@kernel
def _matmul_transposed(
    grad_weight: Floats, grad: Floats, events: Events, scratch: Scratch, first: int, last: int
) -> None:
    n_steps, group = len(scratch.rows), len(scratch.ends)
    for start in range(first, last, group):
        stop = min(start + group, last)
        mine = of_samples(events, start, stop, n_steps)
        for b in range(stop - start):
            group_by_input(mine, b, n_steps, scratch, grad_weight.shape[1])
        for k in range(len(grad_weight)):
            if start == first:  # here, while it is in cache
                grad_weight[k] = 0
            for b in range(stop - start):
                copy_in(scratch.rows, grad[start + b], k)
                add_sample_gradient(grad_weight[k], scratch, mine, b)


def event_matmul_transposed(events: SpikeEvents, grad: Floats) -> Floats:
    """``sum_b x[b]^T @ grad[b]`` from events, (n_in, n_out): a partial sum per share, added in order."""
    n_in, n_out, n_steps = events.n_neurons, grad.shape[2], events.n_steps
    partial = buffer(
        None, "partial", (len(shares(len(events), n_steps)), n_blocks(n_out), n_in, LANES), grad.dtype
    )
    incoming, group = Events(events.indptr, events.indices), group_size(n_in, n_steps)
    longest = most_events(incoming, n_steps)

    def task(k: int, first: int, last: int) -> None:
        scratch = group_scratch(None, grad.dtype, n_steps, group, n_in, longest)
        _matmul_transposed(partial[k], grad, incoming, scratch, first, last)

    run_shares(task, len(events), events.n_steps)
    return add_partials(partial, n_out, None)
