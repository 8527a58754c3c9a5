"""Where the gradient by a layer's spikes comes from, in the cheapest form for `numba_parallel`.

The layer after hands back ``gS[t] = gI[t] @ W^T`` (Eq. 11). Written out that is a dense array as large as
the layer's whole activity; here it stays what it was made of until the backward pass needs a sample of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..model import Gradients
from .jit import inlined, kernel
from .lanes import full, load, store

__all__ = [
    "FEW",
    "GIVEN",
    "GS",
    "PROJECTED",
    "RECURSION",
    "ReadoutGradients",
    "Upstream",
    "as_upstream",
    "mark_peaks",
    "project_sample",
    "upstream_rows",
]

Floats = NDArray[np.floating[Any]]

# Where the gradient by the spikes comes from in the backward pass: a dense array, the product with the next layer's
# weights, or the recursion of a readout.
GIVEN, PROJECTED, RECURSION = 0, 1, 2
# Row of what a pass carries from some steps to those before: gS.
GS = 0
# Up to so many neurons of the next layer the product is taken on the way, from there on by BLAS.
FEW = 32


@dataclass(frozen=True, eq=False)
class ReadoutGradients(Gradients):
    """Gradients of a readout with one decay for all outputs, with what its adjoint is made of.

    There ``gS[t] = beta gS[t+1] + sum_o W[:, o] gvalue_o [o is reached in step t]``: a recursion of one row,
    and no product per step (`grad_value` is (B, n_out); `peak_times` as in `ReadoutTrace`).
    """

    readout_decay: Floats | None = None
    grad_value: Floats | None = None
    peak_times: NDArray[np.int32] | None = None


@dataclass(frozen=True, eq=False)
class Upstream:
    """The gradient by a layer's spikes as the backward pass takes it."""

    source: int
    grad: Floats
    weight: Floats  # (O, N)
    recursion: Any
    grad_value: Floats
    peak_times: NDArray[np.int32]


def as_upstream(grad_spikes: Floats | Gradients | None, like: Floats) -> Upstream:
    """Choose the cheapest form: a dense array, a projection (of nothing for None), or the recursion of a readout."""
    none = np.zeros((*like.shape[:2], 0), like.dtype)
    no_row, no_value = np.zeros((0, like.shape[2]), like.dtype), np.zeros((0, 0), like.dtype)
    zero, no_peaks = like.dtype.type(0), np.zeros((0, 0), np.int32)
    if grad_spikes is None:
        return Upstream(PROJECTED, none, no_row, zero, no_value, no_peaks)
    if not isinstance(grad_spikes, Gradients):
        return Upstream(GIVEN, np.ascontiguousarray(grad_spikes), no_row, zero, no_value, no_peaks)
    assert grad_spikes.current is not None
    assert grad_spikes.input_weight is not None
    weight = grad_spikes.input_weight.T
    if isinstance(grad_spikes, ReadoutGradients) and grad_spikes.grad_value is not None:
        value, decay, peaks = grad_spikes.grad_value, grad_spikes.readout_decay, grad_spikes.peak_times
        return Upstream(RECURSION, none, weight, decay, value, no_peaks if peaks is None else peaks)
    return Upstream(PROJECTED, grad_spikes.current, weight, zero, no_value, no_peaks)


@kernel
def mark_peaks(reached, peak_times, sample, n_next):
    """Steps of a sample in which any of `n_next` outputs has its maximum; none where `peak_times` is empty."""
    reached[:] = False
    if len(peak_times) > 0:
        for o in range(n_next):
            reached[peak_times[sample, o]] = True


@inlined
def upstream_rows(
    source, rows, start, n_steps, state, factors, recursion, grad_value, peak_times, reached, sample, weight
):
    """Make `rows` gS of the steps from `start` on, as PROJECTED or RECURSION says; GIVEN is there already."""
    if source == PROJECTED:
        _projection_rows(rows, factors, weight)
    elif source == RECURSION:
        _recursion_rows(
            rows, start, n_steps, state, recursion, grad_value, peak_times, reached, sample, weight
        )


@inlined
def _recursion_rows(rows, start, n_steps, state, recursion, grad_value, peak_times, reached, sample, weight):
    """Make `rows` gS of the steps from `start` on, the last first, by the recursion of a readout.

    See `ReadoutGradients`; weight is (O, LANES), `peak_times` empty for a readout's sum, `reached` (of these steps)
    from `mark_peaks`. `state` carries gS to the steps before.
    """
    nothing, use_max = full(rows.dtype.type(0)), len(peak_times) > 0
    always = nothing
    if not use_max:
        for o in range(len(weight)):
            always = always + grad_value[sample, o] * load(weight, o)
    gs = load(state, GS) if start + len(rows) < n_steps else nothing
    for t in range(len(rows) - 1, -1, -1):
        gs = gs * recursion + always
        if use_max and reached[t]:
            for o in range(len(weight)):
                if peak_times[sample, o] == start + t:
                    gs = gs + grad_value[sample, o] * load(weight, o)
        store(rows, t, gs)
    store(state, GS, gs)


@inlined
def _projection_rows(rows, factors, weight):
    """``rows = factors @ weight`` for factors (T, O) and weight (O, LANES): two steps at a time share the weights."""
    n_steps, n_next = factors.shape
    nothing = full(rows.dtype.type(0))
    for t in range(0, n_steps, 2):
        also = min(t + 1, n_steps - 1)  # of an odd number of steps the last is taken twice
        gs, gs_also = nothing, nothing
        for o in range(n_next):
            row = load(weight, o)
            gs = gs + factors[t, o] * row
            gs_also = gs_also + factors[also, o] * row
        store(rows, t, gs)
        store(rows, also, gs_also)


@kernel
def project_sample(rows, factors, weight, times, gated):
    """``rows = factors @ weight``: gS of one sample, (T, N), from the next layer's gI, (T, O), and weights (O, N).

    A gated layer uses only the steps before the spike of each neuron. Where that saves more than it costs,
    neurons are taken in the order of their spikes, and in every block of steps only those yet to fire.
    """
    n_steps, n_out = rows.shape
    if not gated or weight.size < 2**15:
        np.dot(factors, weight, rows)
        return
    order = np.argsort(-times)
    ordered = np.empty((n_out, len(weight)), weight.dtype)
    for j in range(n_out):
        ordered[j] = weight[:, order[j]]
    block = max(8, n_steps // 8)
    waiting = n_out
    for start in range(0, n_steps, block):
        stop = min(start + block, n_steps)
        while waiting > 0 and times[order[waiting - 1]] <= start:
            waiting -= 1
        part = np.dot(factors[start:stop], ordered[:waiting].T)
        for t in range(start, stop):
            for j in range(waiting):
                rows[t, order[j]] = part[t - start, j]
