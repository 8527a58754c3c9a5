"""The paper: no loop over time, for arrays of any array-API namespace (NumPy, CuPy, ...).

Equal to `numpy_sequential` bit for bit on exact inputs, within the rounding bound elsewhere; the
derivations stand there. Time enters in two linear equations only, (2) and (4). Both are solved here by
running sums: (4) is a running sum of a running sum, and (2) a running sum that forgets, solved by
*recursive doubling* in ceil(log2 T) vectorised passes. Beside each stands the paper's own way, a
product with a triangular matrix (``_matrix``), which costs O(T^2) per neuron and serves reading and proof.
"""

from __future__ import annotations

from typing import Any

import array_api_compat
import numpy as np

from ..model import Array, Gradients, ReadoutTrace, Trace
from ..spikes import SpikeEvents
from ..surrogate import fast_sigmoid_derivative, first_only_derivative

__all__ = [
    "next_input",
    "readout_backward",
    "readout_forward",
    "single_spike_backward",
    "single_spike_forward",
]


def next_input(trace: Trace) -> Array:
    """The input of the next layer: this one's raster."""
    return trace.spikes


def dense(spikes: Array, like: Array) -> Array:
    """The input as a raster, (B, T, n_in), in the dtype, namespace and device of `like`."""
    xp = array_api_compat.array_namespace(like)
    if isinstance(spikes, SpikeEvents):
        raster = spikes.to_raster(np.float32 if like.dtype == xp.float32 else np.float64)
        return xp.asarray(raster, device=array_api_compat.device(like))
    return xp.astype(spikes, like.dtype, copy=False)


def input_current(spikes: Array, weight: Array, bias: Array) -> Array:
    """Input current ``I[t] = x[t] @ W + b`` (Eq. 1), (B, T, n_out), as one matrix product over all steps."""
    xp = array_api_compat.array_namespace(weight)
    x = dense(spikes, weight)
    batch, n_steps, n_in = x.shape
    flat = xp.matmul(xp.reshape(x, (batch * n_steps, n_in)), weight)
    return xp.reshape(flat, (batch, n_steps, weight.shape[1])) + bias


def input_current_backward(grad_current: Array, spikes: Array, weight: Array) -> tuple[Array, Array]:
    """Gradient of Eq. 1 by weight and bias (Eq. 10)."""
    xp = array_api_compat.array_namespace(weight)
    x = dense(spikes, weight)
    batch, n_steps, n_out = grad_current.shape
    flat = xp.reshape(grad_current, (batch * n_steps, n_out))
    grad_weight = xp.matmul(xp.reshape(x, (batch * n_steps, x.shape[2])).T, flat)
    return grad_weight, xp.sum(flat, axis=0)


def integrate(current: Array, decay: Array) -> Array:
    """Leaky integration ``V[t] = beta V[t-1] + I[t]`` from ``V[-1] = 0`` (Eq. 2), by recursive doubling.

    After the pass with distance d, ``v[t]`` holds the last 2d terms of ``V[t] = sum_k beta^k I[t-k]``:
    the d terms it had, plus ``beta^d`` times the d terms that ``v[t-d]`` had. d doubles, beta^d squares.

    Examples
    --------
    >>> integrate(np.ones((1, 3, 1)), np.asarray(0.5)).ravel()
    array([1.  , 1.5 , 1.75])
    """
    xp = array_api_compat.array_namespace(current)
    v, power, distance = current, decay, 1
    while distance < current.shape[1]:
        # (B, d, N) has all its terms already; (B, T - d, N) takes those of d steps before.
        v = xp.concat([v[:, :distance, :], v[:, distance:, :] + power * v[:, :-distance, :]], axis=1)
        power, distance = power * power, 2 * distance
    return v


def integrate_matrix(current: Array, decay: Array) -> Array:
    """Eq. 2 as in the paper: ``V = A I`` with the triangular matrix of `decay_matrix`."""
    return _matmul_over_time(decay_matrix(decay, current.shape[1], current), current)


def integrate_backward(grad_membrane: Array, membrane: Array, decay: Array) -> tuple[Array, Array]:
    """Gradient of Eq. 2 by the current and the decay (Eq. 9): ``A^T`` is ``A`` with time reversed."""
    xp = array_api_compat.array_namespace(grad_membrane)
    grad_current = xp.flip(integrate(xp.flip(grad_membrane, axis=1), decay), axis=1)
    return grad_current, decay_gradient(grad_current, membrane, decay)


def integrate_matrix_backward(grad_membrane: Array, membrane: Array, decay: Array) -> tuple[Array, Array]:
    """Eq. 9 as in the paper: ``gI = A^T gU``."""
    xp = array_api_compat.array_namespace(grad_membrane)
    transposed = xp.matrix_transpose(decay_matrix(decay, grad_membrane.shape[1], grad_membrane))
    grad_current = _matmul_over_time(transposed, grad_membrane)
    return grad_current, decay_gradient(grad_current, membrane, decay)


def decay_matrix(decay: Array, n_steps: int, like: Array) -> Array:
    """Triangular matrices ``A[t,k] = beta^(t-k)`` for ``t >= k``, else 0: (T, T), or (N, T, T) by neuron.

    Examples
    --------
    >>> decay_matrix(np.asarray(0.5), 3, np.zeros(1))
    array([[1.  , 0.  , 0.  ],
           [0.5 , 1.  , 0.  ],
           [0.25, 0.5 , 1.  ]])
    """
    xp = array_api_compat.array_namespace(like)
    steps = xp.arange(n_steps, dtype=like.dtype, device=array_api_compat.device(like))
    age = steps[:, None] - steps[None, :]
    beta = xp.reshape(decay, (*decay.shape, 1, 1))
    power = beta ** xp.where(age >= 0, age, xp.zeros_like(age))
    return xp.where(age >= 0, power, xp.zeros_like(power))


def decay_gradient(grad_current: Array, membrane: Array, decay: Array) -> Array:
    """``gbeta = sum_{t>=1} gI[t] V[t-1]`` in the shape of `decay` (in Eq. 9)."""
    xp = array_api_compat.array_namespace(membrane)
    per_neuron = xp.sum(grad_current[:, 1:, :] * membrane[:, :-1, :], axis=(0, 1))
    return per_neuron if decay.ndim else xp.asarray(xp.sum(per_neuron))


def crossings(membrane: Array, threshold: float) -> Array:
    """Faulty spikes: True at every step with the potential strictly above threshold (Eq. 3)."""
    return membrane > threshold


def crossings_backward(
    grad_crossings: Array, membrane: Array, threshold: float, surrogate_scale: float
) -> Array:
    """Surrogate gradient of Eq. 3 by the potential, ``gS~[t] h'(V[t] - theta)`` (in Eq. 8)."""
    return grad_crossings * fast_sigmoid_derivative(membrane - threshold, surrogate_scale)


def double_sum(faulty: Array) -> Array:
    """Double running sum of the crossings, ``z[t] = sum_{k<=t} (t-k+1) S~[k]`` (Eq. 4), int64.

    Examples
    --------
    >>> double_sum(np.array([[[False], [True], [False], [True]]])).ravel()
    array([0, 1, 2, 4])
    """
    xp = array_api_compat.array_namespace(faulty)
    count = xp.cumulative_sum(xp.astype(faulty, xp.int64), axis=1)
    return xp.cumulative_sum(count, axis=1)


def double_sum_matrix(faulty: Array) -> Array:
    """Eq. 4 as in the paper: ``z = P S~`` with the triangular matrix of `sum_matrix`.

    The product is taken in float64: BLAS has no integers, and whole numbers are exact up to 2^53.
    """
    xp = array_api_compat.array_namespace(faulty)
    matrix = sum_matrix(faulty.shape[1], xp.float64, faulty)
    return xp.astype(_matmul_over_time(matrix, xp.astype(faulty, xp.float64)), xp.int64)


def double_sum_backward(grad_double_sum: Array) -> Array:
    """Gradient of Eq. 4 by the crossings, ``gS~ = P^T gz`` (Eq. 7): two running sums from the end."""
    xp = array_api_compat.array_namespace(grad_double_sum)
    reversed_sum = xp.cumulative_sum(xp.flip(grad_double_sum, axis=1), axis=1)
    return xp.flip(xp.cumulative_sum(reversed_sum, axis=1), axis=1)


def double_sum_matrix_backward(grad_double_sum: Array) -> Array:
    """Eq. 7 as in the paper: ``gS~ = P^T gz``."""
    xp = array_api_compat.array_namespace(grad_double_sum)
    matrix = sum_matrix(grad_double_sum.shape[1], grad_double_sum.dtype, grad_double_sum)
    return _matmul_over_time(xp.matrix_transpose(matrix), grad_double_sum)


def sum_matrix(n_steps: int, dtype: Any, like: Array) -> Array:
    """Triangular matrix ``P[t,k] = t-k+1`` for ``t >= k``, else 0: (T, T).

    Examples
    --------
    >>> sum_matrix(3, np.int64, np.zeros(1))
    array([[1, 0, 0],
           [2, 1, 0],
           [3, 2, 1]])
    """
    xp = array_api_compat.array_namespace(like)
    steps = xp.arange(n_steps, dtype=xp.int64, device=array_api_compat.device(like))
    return xp.astype(xp.tril(steps[:, None] - steps[None, :] + 1), dtype)


def _matmul_over_time(matrix: Array, values: Array) -> Array:
    """``out[b,t,n] = sum_k matrix[t,k] values[b,k,n]``; `matrix` is (T, T), or (N, T, T) by neuron."""
    xp = array_api_compat.array_namespace(values)
    if matrix.ndim == 2:
        return xp.matmul(matrix, values)
    by_neuron = xp.permute_dims(values, (2, 1, 0))  # (N, T, B)
    return xp.permute_dims(xp.matmul(matrix, by_neuron), (2, 1, 0))


def first_only(z: Array) -> Array:
    """Keep the first crossing: ``S[t] = g(z[t])``, True where z is 1 (Eq. 5)."""
    return z == 1


def first_only_backward(grad_spikes: Array, z: Array, gradient: str) -> Array:
    """Gradient of Eq. 5 by z, ``gz[t] = gS[t] g'(z[t])`` (Eq. 6), with the chosen ``g'``."""
    return grad_spikes * first_only_derivative(z, gradient, grad_spikes.dtype)


def single_spike_forward(
    spikes: Array, weight: Array, bias: Array, decay: Array, threshold: float, workspace: Any = None
) -> Trace:
    """The single-spike layer, Eqs. 1 to 5."""
    xp = array_api_compat.array_namespace(weight)
    membrane = integrate(input_current(spikes, weight, bias), decay)
    z = double_sum(crossings(membrane, threshold))
    # z is 0 exactly at the steps before the spike, and always in a neuron that stays silent.
    spike_times = xp.sum(xp.astype(z == 0, xp.int32), axis=1, dtype=xp.int32)
    return Trace(spikes, weight, bias, decay, threshold, membrane, "single-spike", spike_times)


def single_spike_backward(
    trace: Trace,
    grad_spikes: Array | Gradients | None,
    grad_membrane: Array | None,
    surrogate_scale: float,
    gradient: str,
    keep_current: bool = True,
    workspace: Any = None,
) -> Gradients:
    """Backward through the single-spike layer, Eqs. 6 to 10: the chain of the functions above, reversed."""
    membrane = trace.membrane
    xp = array_api_compat.array_namespace(membrane)
    grad_v = xp.zeros_like(membrane) if grad_membrane is None else grad_membrane
    if grad_spikes is not None:
        grad_s = grad_spikes.spikes if isinstance(grad_spikes, Gradients) else grad_spikes
        z = double_sum(crossings(membrane, trace.threshold))
        grad_faulty = double_sum_backward(first_only_backward(grad_s, z, gradient))
        grad_v = crossings_backward(grad_faulty, membrane, trace.threshold, surrogate_scale) + grad_v
    grad_current, grad_decay = integrate_backward(grad_v, membrane, trace.decay)
    grad_weight, grad_bias = input_current_backward(grad_current, trace.input, trace.weight)
    return Gradients(grad_weight, grad_bias, grad_decay, grad_current, trace.weight)


def over_time(membrane: Array, readout: str) -> tuple[Array, Array | None]:
    """Maximum over time with the step it is first reached in, or the sum over time (Eq. 17): (B, n_out)."""
    xp = array_api_compat.array_namespace(membrane)
    if readout == "sum":
        return xp.sum(membrane, axis=1), None
    return xp.max(membrane, axis=1), xp.argmax(membrane, axis=1)


def over_time_backward(grad_value: Array, peak_times: Array | None, n_steps: int) -> Array:
    """Gradient of Eq. 17 by the potential (Eq. 18): to the first maximum, or to every step alike."""
    xp = array_api_compat.array_namespace(grad_value)
    steps = xp.arange(n_steps, dtype=xp.int64, device=array_api_compat.device(grad_value))[None, :, None]
    chosen = steps >= 0 if peak_times is None else steps == peak_times[:, None, :]
    return grad_value[:, None, :] * xp.astype(chosen, grad_value.dtype)


def readout_forward(
    spikes: Array,
    weight: Array,
    bias: Array,
    decay: Array,
    readout: str,
    logit_scale: float,
    workspace: Any = None,
) -> ReadoutTrace:
    """The readout: Eqs. 1 and 2 with its own parameters, then Eq. 17."""
    membrane = integrate(input_current(spikes, weight, bias), decay)
    value, peak_times = over_time(membrane, readout)
    return ReadoutTrace(
        spikes, weight, bias, decay, readout, logit_scale, membrane, logit_scale * value, peak_times
    )


def readout_backward(trace: ReadoutTrace, grad_logits: Array, workspace: Any = None) -> Gradients:
    """Backward through the readout: Eq. 18, then Eqs. 9 and 10 (its spikes are the input of Eq. 6)."""
    grad_membrane = over_time_backward(
        trace.logit_scale * grad_logits, trace.peak_times, trace.membrane.shape[1]
    )
    grad_current, grad_decay = integrate_backward(grad_membrane, trace.membrane, trace.decay)
    grad_weight, grad_bias = input_current_backward(grad_current, trace.input, trace.weight)
    return Gradients(grad_weight, grad_bias, grad_decay, grad_current, trace.weight)
