"""The fused passes of `numba_parallel`: everything between input and output of a layer, one sample after the other.

Every pass takes the samples ``first`` to ``last`` of a batch, so that a share of it is one call and so is a
single sample; buffers of one sample have a leading axis of length 1. Readable forms: the functions of the
same names in `numpy_sequential`.
"""

import numpy as np

from .event_products import add_event_rows, add_row_to_events, add_sample_gradient, fires_often
from .jit import fetch, kernel
from .upstream import DENSE, NOWHERE, PROJECTED, RECURSION, project_sample

__all__ = ["backward_pass", "forward_pass", "readout_backward_pass", "readout_pass"]


# One step of one sample. Rows come and go as arguments: a row kept in a variable from one step to the next costs
# an atomic count of references each time, half of a pass over a short row.


@kernel
def _leak(v, decay, bias):
    for j in range(len(v)):
        v[j] = decay[j] * v[j] + bias[j]


@kernel
def _integrate_row(row, v, decay, bias):
    """Eq. 2 with the input current in `row`, which becomes the potential."""
    for j in range(len(v)):
        v[j] = decay[j] * v[j] + (row[j] + bias[j])
        row[j] = v[j]


@kernel
def _first_crossings(row, v, times, theta, step, never):
    """Store the potential; Eqs. 3 to 5 at once: the spike is the smallest step with a crossing."""
    for j in range(len(v)):
        row[j] = v[j]
        times[j] = min(times[j], step if v[j] > theta else never)


@kernel
def forward_pass(
    potential, spike_times, indptr, indices, weight, bias, decay, theta, by_events, v, first, last
):
    """Eqs. 1 to 5 for the samples of a share; v (N,) is the state of one.

    Without `by_events` the buffer `potential` already holds x @ W, from BLAS.
    """
    n_steps = potential.shape[1]
    never = np.int32(n_steps)
    for b in range(first, last):
        v[:] = 0
        spike_times[b, :] = never
        for t in range(n_steps):
            if by_events:
                _leak(v, decay, bias)
                r = b * n_steps + t
                add_event_rows(v, weight, indices, indptr[r], indptr[r + 1])
            else:
                _integrate_row(potential[b, t], v, decay, bias)
            _first_crossings(potential[b, t], v, spike_times[b], theta, np.int32(t), never)


@kernel
def _recur(gs, recursion, grad_value, peak_times, b, weight, t):
    """From gS[t+1] of sample b to gS[t]: see `ReadoutGradients`; `grad_value` is (O,), `peak_times` (B, O) or empty."""
    for j in range(len(gs)):
        gs[j] *= recursion
    for o in range(len(weight)):
        if len(peak_times) == 0 or peak_times[b, o] == t:
            factor = grad_value[o]
            for j in range(len(gs)):
                gs[j] += factor * weight[o, j]


@kernel
def _running_sums(row, incoming, inner, outer):
    """Eq. 7 for one step: the two running sums of gS."""
    for j in range(len(row)):
        inner[j] += incoming[j]
        outer[j] += inner[j]
        row[j] = outer[j]


@kernel
def _gated_running_sums(row, incoming, inner, outer, times, step):
    """Eqs. 6 and 7 for one step of a gated layer: nothing arrives from the spike on."""
    zero = row.dtype.type(0)
    for j in range(len(row)):
        inner[j] += incoming[j] if step < times[j] else zero
    for j in range(len(row)):
        outer[j] += inner[j]
        row[j] = outer[j]


@kernel
def _through_surrogate(row, v, later, decay, theta, scale):
    """Eqs. 8 and 9 for one step: gI[t] in place of gS~[t]."""
    one = row.dtype.type(1)
    for j in range(len(row)):
        root = one / (one + scale * abs(v[j] - theta))
        row[j] = row[j] * (root * root) + decay[j] * later[j]


@kernel
def _add_gradients(grad_bias, grad_decay, later, v):
    for j in range(len(later)):
        grad_decay[j] += later[j] * v[j]
        grad_bias[j] += later[j]


@kernel
def _project_upstream(rows, grad, weight, times, gated, double_sum):
    """The gradient gS of one sample from the next layer's gI (T, O), or its double sum (Eq. 7) where nothing gates it.

    P^T commutes with the projection: the sums are taken of O numbers a step, not of N.
    """
    if gated:
        project_sample(rows, grad, weight, times, True)
        return
    zero = grad.dtype.type(0)
    for o in range(len(weight)):
        once, twice = zero, zero
        for t in range(len(grad) - 1, -1, -1):
            once += grad[t, o]
            twice += once
            double_sum[t, o] = twice
    project_sample(rows, double_sum, weight, times, False)


@kernel
def backward_pass(
    source, grad, weight, recursion, grad_value, peak_times, grad_membrane,
    potential, spike_times, decay, theta, scale, gated,
    rows, keep, by_events, indptr, indices, ends, steps,
    grad_weight, grad_bias, grad_decay, state, double_sum, first, last,
):  # fmt: skip
    """Eqs. 6 to 10 for the samples of a share, from the last step to the first, gradients added up.

    gS comes from `grad` (DENSE), from ``grad @ weight`` with (O, N) weight (PROJECTED), or by a recursion
    of one row (RECURSION, see `ReadoutGradients`). `rows` receives gI: (B, T, N) with `keep`, else (1, T, N)
    to be used up sample by sample. `state` (5, N) and `double_sum` (T, O) are scratch.
    """
    n_steps = potential.shape[1]
    inner, outer, nothing, gs = state[0], state[1], state[2], state[3]
    for b in range(first, last):
        state[:] = 0
        state[4, 0] = fetch(potential[b])
        sample = b if keep else 0
        times = spike_times[b]
        if source == PROJECTED:
            _project_upstream(rows[sample], grad[b], weight, times, gated, double_sum)
        often = fires_often(indptr[(b + 1) * n_steps] - indptr[b * n_steps], len(grad_weight))
        # Rows that nobody reads again need no room of their own: two that take turns stay in cache.
        take_turns = by_events and not (keep or often or source == PROJECTED)
        for t in range(n_steps - 1, -1, -1):
            place = t % 2 if take_turns else t
            row, step = rows[sample, place], np.int32(t)
            if source == NOWHERE:
                row[:] = 0
            elif source == DENSE:
                if gated:
                    _gated_running_sums(row, grad[b, t], inner, outer, times, step)
                else:
                    _running_sums(row, grad[b, t], inner, outer)
            elif source == RECURSION:
                _recur(gs, recursion, grad_value[b], peak_times, b, weight, t)
                if gated:
                    _gated_running_sums(row, gs, inner, outer, times, step)
                else:
                    _running_sums(row, gs, inner, outer)
            elif gated:
                gs[:] = row
                _gated_running_sums(row, gs, inner, outer, times, step)
            if t == n_steps - 1:
                _through_surrogate(row, potential[b, t], nothing, decay, theta, scale)
            else:
                later = rows[sample, 1 - place if take_turns else t + 1]  # gI[t+1]
                _through_surrogate(row, potential[b, t], later, decay, theta, scale)
                _add_gradients(grad_bias, grad_decay, later, potential[b, t])
            if len(grad_membrane) > 0:
                for j in range(len(row)):
                    row[j] += grad_membrane[b, t, j]
            if take_turns:
                r = b * n_steps + t
                add_row_to_events(grad_weight, row, indices, indptr[r], indptr[r + 1])  # Eq. 10
        for j in range(len(grad_bias)):
            grad_bias[j] += rows[sample, 0, j]
        if by_events and not take_turns:
            add_sample_gradient(grad_weight, rows[sample], indptr, indices, b, ends, steps)


@kernel
def readout_pass(
    membrane, value, peak_times, use_max, indptr, indices, weight, bias, decay, by_events, u, first, last
):
    """Eqs. 1, 2 and 17 for the samples of a share; u (O,) is the state of one."""
    n_steps, n_out = membrane.shape[1:]
    for b in range(first, last):
        u[:] = 0
        total, peak = value[b], peak_times[b]
        for t in range(n_steps):
            row = membrane[b, t]
            for j in range(n_out):
                u[j] = decay[j] * u[j] + bias[j]
            if by_events:
                r = b * n_steps + t
                if indptr[r] < indptr[r + 1]:
                    add_event_rows(u, weight, indices, indptr[r], indptr[r + 1])
            else:
                for j in range(n_out):
                    u[j] += row[j]
            row[:] = u
            if t == 0:
                total[:] = u
                peak[:] = 0
            elif use_max:
                for j in range(n_out):
                    if u[j] > total[j]:
                        total[j] = u[j]
                        peak[j] = t
            else:
                for j in range(n_out):
                    total[j] += u[j]


@kernel
def readout_backward_pass(
    grad_value, peak_times, membrane, decay, grad_current, by_events, indptr, indices, ends, steps,
    grad_weight, grad_bias, grad_decay, g, first, last,
):  # fmt: skip
    """Eqs. 18, 9 and 10 for the samples of a share, from the last step to the first; g (O,) is scratch."""
    n_steps, n_out = membrane.shape[1:]
    use_max = len(peak_times) > 0
    for b in range(first, last):
        g[:] = 0
        value = grad_value[b]
        for t in range(n_steps - 1, -1, -1):
            u, row = membrane[b, t], grad_current[b, t]
            for j in range(n_out):
                grad_decay[j] += g[j] * u[j]  # g is still gU[t+1]
            for j in range(n_out):
                g[j] *= decay[j]
            if use_max:
                for j in range(n_out):
                    if peak_times[b, j] == t:
                        g[j] += value[j]
            else:
                for j in range(n_out):
                    g[j] += value[j]
            for j in range(n_out):
                grad_bias[j] += g[j]
                row[j] = g[j]
        if by_events:
            add_sample_gradient(grad_weight, grad_current[b], indptr, indices, b, ends, steps)
