"""Dense products over all steps, in fixed shares of the batch, and sums in the order of the shares.

The step-by-step solvers share the products, so that the compiled one gets the bits of the definition: the same
NumPy calls on the same blocks with BLAS held to one thread, whoever runs them and on however many threads.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...spikes import SpikeEvents
from .records import Floats
from .threads import one_blas_thread, run_rows, shares
from .workspace import Workspace, buffer

Spikes = NDArray[Any] | SpikeEvents
Run = Callable[[Callable[[int, int, int], None], int, int], None]


def in_turn(task: Callable[[int, int, int], None], batch: int, n_steps: int) -> None:
    """Run the tasks of all shares one after the other."""
    for k, (first, last) in enumerate(shares(batch, n_steps)):
        task(k, first, last)


def matmul(x: Spikes, weight: Floats, run: Run = in_turn, out: Floats | None = None) -> Floats:
    """``x @ weight`` for x of shape (B, T, n_in), share by share: (B, T, n_out)."""
    batch, n_steps, _ = x.shape
    result = np.empty((batch, n_steps, weight.shape[1]), dtype=weight.dtype) if out is None else out
    with one_blas_thread():
        run(lambda _, first, last: matmul_samples(x, weight, result, first, last), batch, n_steps)
    return result


def matmul_samples(x: Spikes, weight: Floats, out: Floats, first: int, last: int) -> None:
    """``x @ weight`` of samples `first` to `last`, into those of `out`; the caller holds BLAS to one thread."""
    rows = (last - first) * x.shape[1]
    np.matmul(_rows(x[first:last], weight.dtype), weight, out=out[first:last].reshape(rows, -1))


def matmul_transposed(
    x: Spikes, grad: Floats, run: Run = in_turn, workspace: Workspace | None = None
) -> Floats:
    """``sum_b x[b]^T @ grad[b]``, (n_in, n_out): a partial sum per share, added in order."""
    partial = share_products(x, grad, workspace)
    with one_blas_thread():
        run(lambda k, first, last: matmul_transposed_samples(x, grad, partial[k], first, last), *x.shape[:2])
    return add_in_order(partial, workspace)


def share_products(x: Spikes, grad: Floats, workspace: Workspace | None) -> Floats:
    """Room for a product of every share of the batch, (S, n_in, n_out)."""
    return buffer(workspace, "products", (len(shares(*x.shape[:2])), x.shape[2], grad.shape[2]), grad.dtype)


def matmul_transposed_samples(x: Spikes, grad: Floats, out: Floats, first: int, last: int) -> None:
    """``sum_b x[b]^T @ grad[b]`` over samples `first` to `last`; the caller holds BLAS to one thread."""
    rows = (last - first) * x.shape[1]
    np.matmul(_rows(x[first:last], grad.dtype).T, grad[first:last].reshape(rows, -1), out=out)


def add_in_order(partial: Floats, workspace: Workspace | None = None) -> Floats:
    """Sum of the shares' partial results (S, R, N), in the order of the shares."""
    total = buffer(workspace, "sum of products", partial.shape[1:], partial.dtype)

    def task(_: int, first: int, last: int) -> None:
        total[first:last] = partial[0, first:last]
        for part in partial[1:]:
            total[first:last] += part[first:last]

    run_rows(task, len(total), total.size)
    return total


def decay_row(decay: Floats, n_out: int) -> Floats:
    """Give every neuron its decay, (N,), also if one serves them all."""
    return np.array(np.broadcast_to(decay, (n_out,)))


def summed_like(decay: Floats, sums: Floats) -> Floats:
    """``gbeta`` in the shape of `decay` (in Eq. 9), from sums over time of samples or shares, (K, N)."""
    per_neuron = sums.sum(axis=0)
    return np.asarray(per_neuron if decay.ndim else per_neuron.sum())


def _rows(x: Spikes, dtype: np.dtype[Any]) -> Floats:
    """One row per (sample, step), (B * T, n_in), in the working dtype."""
    raster = x.to_raster(dtype) if isinstance(x, SpikeEvents) else x.astype(dtype, copy=False)
    rows: Floats = raster.reshape(-1, x.shape[2])
    return rows
