"""The equations one step and one sample at a time, for the solver that steps (`numba_sequential`).

The functions are those of `numpy_sequential`, in its order. Each takes rows (N,) and changes the first of them in
place, so that one loop over time goes through all equations while the rows are in cache. Eqs. 3 to 5 are one function,
`first_only`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .jit import inlined, kernel
from .records import Floats, Ints32, Ints64, Neurons


@inlined
def integrate(current: Floats, before: Floats, neurons: Neurons) -> None:
    """Eqs. 1 and 2: ``x[t] @ W`` becomes V[t], from V[t-1]."""
    bias, decay = neurons.bias, neurons.decay
    for j in range(len(current)):
        current[j] = decay[j] * before[j] + (current[j] + bias[j])


@inlined
def integrate_backward(grad_membrane: Floats, later: Floats, decay: Floats) -> None:
    """Eq. 9: gU[t] becomes gI[t], from gI[t+1]."""
    for j in range(len(later)):
        grad_membrane[j] += decay[j] * later[j]


@inlined
def decay_gradient(total: Floats, grad_current: Floats, before: Floats) -> None:
    """Eq. 9: one step of gbeta."""
    for j in range(len(total)):
        total[j] += grad_current[j] * before[j]


@inlined
def crossings_backward(
    grad_membrane: Floats, grad_crossings: Floats, membrane: Floats, neurons: Neurons
) -> None:
    """Eq. 8 without gV: gS~[t] becomes gU[t]."""
    theta, scale, one = neurons.theta, neurons.scale, membrane.dtype.type(1)
    for j in range(len(membrane)):
        root = one / (one + scale * abs(membrane[j] - theta))
        grad_membrane[j] = grad_crossings[j] * (root * root)


@inlined
def double_sum_backward(outer: Floats, inner: Floats, grad_double_sum: Floats) -> None:
    """Eq. 7: one step of the two running sums, of which `outer` is gS~[t]."""
    for j in range(len(outer)):
        inner[j] += grad_double_sum[j]
        outer[j] += inner[j]


@inlined
def first_only(spike_times: Ints32, membrane: Floats, theta: Any, t: int) -> None:
    """Eqs. 3 to 5: z is 1 first in the smallest step with a crossing, and later crossings change nothing."""
    step = np.int32(t)
    for j in range(len(membrane)):
        if membrane[j] > theta:
            spike_times[j] = min(spike_times[j], step)


@inlined
def first_only_backward(
    grad_double_sum: Floats, grad_spikes: Floats, spike_times: Ints32, t: int, gated: bool
) -> None:
    """Eq. 6: gS[t] becomes gz[t]; z is 0 before the spike."""
    step, zero = np.int32(t), grad_spikes.dtype.type(0)
    for j in range(len(grad_spikes)):
        grad_double_sum[j] = zero if gated and step >= spike_times[j] else grad_spikes[j]


@inlined
def reset(membrane: Floats, potential: Floats, theta: Any) -> None:
    """Eqs. 13 and 14: V[t] from U[t]."""
    zero = theta - theta
    for j in range(len(membrane)):
        membrane[j] = potential[j] - (theta if potential[j] > theta else zero)


@inlined
def over_time(value: Floats, peak_times: Ints64, membrane: Floats, t: int, use_max: bool) -> None:
    """Eq. 17: one step of the maximum, with the step it is first reached in, or of the sum."""
    for j in range(len(value)):
        if t == 0:
            value[j], peak_times[j] = membrane[j], 0
        elif not use_max:
            value[j] += membrane[j]
        elif membrane[j] > value[j]:
            value[j], peak_times[j] = membrane[j], t


@inlined
def over_time_backward(
    grad_membrane: Floats, grad_value: Floats, peak_times: Ints64, t: int, use_max: bool
) -> None:
    """Eq. 18: gU[t] without the part that later steps add."""
    zero = grad_value.dtype.type(0)
    for j in range(len(grad_value)):
        grad_membrane[j] = zero if use_max and peak_times[j] != t else grad_value[j]


@inlined
def add(total: Floats, row: Floats) -> None:
    """``total += row``."""
    for j in range(len(total)):
        total[j] += row[j]


@kernel
def fetch(sample: Floats) -> Any:
    """Read one number of every cache line of `sample` (T, N), in order, and return their sum.

    A pass from the last step to the first jumps back after every row, which memory prefetchers do not
    follow; read forwards once, the sample waits in the cache (a third less time for the whole backward pass).
    The sum only keeps the compiler from dropping the reads.
    """
    flat = sample.reshape(-1)
    line = 64 // flat.itemsize
    total = flat[0]
    for k in range(line, flat.size, line):
        total += flat[k]
    return total
