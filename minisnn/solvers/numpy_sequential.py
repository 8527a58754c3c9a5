"""The definition: every equation of `minisnn.model` as one loop over time, and its derivative.

The other solvers are tested against this file: `numba_sequential` gives the same bits, the parallel
solvers the same bits on exact inputs and the same values within the rounding bound elsewhere. Every
backward function stands under its forward function, with its derivation. ``g`` before a name in a
derivation means the gradient of the loss by it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..model import Gradients, ReadoutTrace, Trace
from ..surrogate import fast_sigmoid_derivative, first_only_derivative
from .compiled.products import Spikes, matmul, matmul_transposed, summed_like

__all__ = [
    "multi_spike_backward",
    "multi_spike_forward",
    "next_input",
    "readout_backward",
    "readout_forward",
    "single_spike_backward",
    "single_spike_forward",
]

Floats = NDArray[np.floating[Any]]


def next_input(trace: Trace) -> NDArray[Any]:
    """The input of the next layer: this one's raster."""
    spikes: NDArray[Any] = trace.spikes
    return spikes


def input_current(spikes: Spikes, weight: Floats, bias: Floats) -> Floats:
    """Input current ``I[t] = x[t] @ W + b`` (Eq. 1), (B, T, n_out), as one matrix product over all steps."""
    return matmul(spikes, weight) + bias


def input_current_backward(grad_current: Floats, spikes: Spikes, weight: Floats) -> tuple[Floats, Floats]:
    """Gradient of Eq. 1 by weight and bias (Eq. 10).

    ``I[b,t,j] = sum_i x[b,t,i] W[i,j] + b[j]``, so ``W[i,j]`` enters once per (b, t) with the factor
    ``x[b,t,i]``: ``gW = sum x[b,t]^T gI[b,t]``; the bias with the factor 1: ``gb = sum gI[b,t]``. By
    ``x[b,t,i]`` it is ``sum_j gI[b,t,j] W[i,j]``: `input_spikes_backward`.
    """
    per_sample = np.zeros_like(grad_current[:, 0])
    for t in reversed(range(grad_current.shape[1])):
        per_sample = per_sample + grad_current[:, t]
    return matmul_transposed(spikes, grad_current), per_sample.sum(axis=0)


def input_spikes_backward(upstream: Floats | Gradients) -> Floats:
    """Gradient by the spikes of the layer before, ``gx[t] = gI[t] @ W^T`` (Eq. 11) and Eq. 19, (B, T, n_in)."""
    if not isinstance(upstream, Gradients):
        return upstream
    assert upstream.current is not None
    assert upstream.input_weight is not None
    grad_spikes: Floats = upstream.with_penalty(matmul(upstream.current, upstream.input_weight.T))
    return grad_spikes


def integrate(current: Floats, decay: Floats) -> Floats:
    """Leaky integration ``V[t] = beta V[t-1] + I[t]`` from ``V[-1] = 0`` (Eq. 2).

    Examples
    --------
    >>> integrate(np.ones((1, 3, 1)), np.asarray(0.5)).ravel()
    array([1.  , 1.5 , 1.75])
    """
    membrane = np.empty_like(current)
    v = np.zeros_like(current[:, 0])
    for t in range(current.shape[1]):
        v = decay * v + current[:, t]
        membrane[:, t] = v
    return membrane


def integrate_backward(grad_membrane: Floats, membrane: Floats, decay: Floats) -> tuple[Floats, Floats]:
    """Gradient of Eq. 2 by the current and the decay (Eq. 9).

    Unrolled, ``V[t] = sum_{k<=t} beta^(t-k) I[k]``. A change of ``I[k]`` reaches every later ``V[t]`` with
    ``beta^(t-k)``: ``gI[k] = sum_{t>=k} beta^(t-k) gU[t]``, which is the recursion ``gI[t] = gU[t] +
    beta gI[t+1]`` run backwards. The decay multiplies ``V[t-1]`` in every step, and ``gI[t]`` already holds
    the effect of ``V[t]`` on the loss: ``gbeta = sum_{t>=1} gI[t] V[t-1]``, summed over the batch, and over
    the neurons too if they share one decay.
    """
    grad_current = np.empty_like(grad_membrane)
    g = np.zeros_like(grad_membrane[:, 0])
    for t in reversed(range(grad_membrane.shape[1])):
        g = grad_membrane[:, t] + decay * g
        grad_current[:, t] = g
    return grad_current, decay_gradient(grad_current, membrane, decay)


def decay_gradient(grad_current: Floats, membrane: Floats, decay: Floats) -> Floats:
    """``gbeta = sum_{t>=1} gI[t] V[t-1]`` in the shape of `decay` (in Eq. 9)."""
    per_sample = np.zeros_like(membrane[:, 0])
    for t in reversed(range(1, membrane.shape[1])):
        per_sample = per_sample + grad_current[:, t] * membrane[:, t - 1]
    return summed_like(decay, per_sample)


def crossings(membrane: Floats, threshold: float) -> NDArray[np.bool_]:
    """Faulty spikes: True at every step with the potential strictly above threshold (Eq. 3).

    Examples
    --------
    >>> crossings(np.array([[[0.5], [1.0], [1.5]]]), 1.0).ravel()
    array([False, False,  True])
    """
    above: NDArray[np.bool_] = membrane > threshold
    return above


def crossings_backward(
    grad_crossings: Floats, membrane: Floats, threshold: float, surrogate_scale: float
) -> Floats:
    """Surrogate gradient of Eq. 3 by the potential, ``gS~[t] h'(V[t] - theta)`` (in Eq. 8).

    The step has no useful derivative; the paper puts that of the fast sigmoid in its place.
    """
    grad_membrane: Floats = grad_crossings * fast_sigmoid_derivative(membrane - threshold, surrogate_scale)
    return grad_membrane


def double_sum(faulty: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Double running sum of the crossings, ``z[t] = sum_{k<=t} (t-k+1) S~[k]`` (Eq. 4).

    Examples
    --------
    >>> double_sum(np.array([[[False], [True], [False], [True]]])).ravel()
    array([0, 1, 2, 4])
    """
    z = np.empty(faulty.shape, dtype=np.int64)
    count = np.zeros_like(z[:, 0])
    total = np.zeros_like(z[:, 0])
    for t in range(faulty.shape[1]):
        count = count + faulty[:, t]
        total = total + count
        z[:, t] = total
    return z


def double_sum_backward(grad_double_sum: Floats) -> Floats:
    """Gradient of Eq. 4 by the crossings, ``gS~ = P^T gz`` (Eq. 7).

    ``S~[k]`` enters ``z[t]`` of every ``t >= k`` with the factor ``t-k+1``, so ``gS~[k] = sum_{t>=k}
    (t-k+1) gz[t]``: a running sum of a running sum, both from the end.
    """
    grad_faulty = np.empty_like(grad_double_sum)
    inner = np.zeros_like(grad_double_sum[:, 0])
    outer = np.zeros_like(grad_double_sum[:, 0])
    for t in reversed(range(grad_double_sum.shape[1])):
        inner = inner + grad_double_sum[:, t]
        outer = outer + inner
        grad_faulty[:, t] = outer
    return grad_faulty


def first_only(z: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Keep the first crossing: ``S[t] = g(z[t])``, True where z is 1 (Eq. 5).

    Examples
    --------
    >>> first_only(np.array([0, 1, 2, 4]))
    array([False,  True, False, False])
    """
    is_first: NDArray[np.bool_] = z == 1
    return is_first


def first_only_backward(grad_spikes: Floats, z: NDArray[np.int64], gradient: str) -> Floats:
    """Gradient of Eq. 5 by z, ``gz[t] = gS[t] g'(z[t])`` (Eq. 6), with the chosen ``g'``."""
    grad_z: Floats = grad_spikes * first_only_derivative(z, gradient, grad_spikes.dtype)
    return grad_z


def single_spike_forward(
    spikes: Spikes, weight: Floats, bias: Floats, decay: Floats, threshold: float, workspace: Any = None
) -> Trace:
    """The single-spike layer, Eqs. 1 to 5."""
    membrane = integrate(input_current(spikes, weight, bias), decay)
    z = double_sum(crossings(membrane, threshold))
    # z is 0 exactly at the steps before the spike, and always in a neuron that stays silent.
    spike_times = (z == 0).sum(axis=1, dtype=np.int32)
    return Trace(spikes, weight, bias, decay, threshold, membrane, "single-spike", spike_times)


def single_spike_backward(
    trace: Trace,
    grad_spikes: Floats | Gradients | None,
    grad_membrane: Floats | None,
    surrogate_scale: float,
    gradient: str,
    keep_current: bool = True,
    workspace: Any = None,
) -> Gradients:
    """Backward through the single-spike layer, Eqs. 6 to 10: the chain of the functions above, reversed."""
    membrane = trace.membrane
    grad_v = np.zeros_like(membrane) if grad_membrane is None else grad_membrane
    if grad_spikes is not None:
        grad_s = input_spikes_backward(grad_spikes)
        z = double_sum(crossings(membrane, trace.threshold))
        grad_faulty = double_sum_backward(first_only_backward(grad_s, z, gradient))
        grad_v = crossings_backward(grad_faulty, membrane, trace.threshold, surrogate_scale) + grad_v
    grad_current, grad_decay = integrate_backward(grad_v, membrane, trace.decay)
    grad_weight, grad_bias = input_current_backward(grad_current, trace.input, trace.weight)
    return Gradients(grad_weight, grad_bias, grad_decay, grad_current, trace.weight)


def fire_and_reset(current: Floats, decay: Floats, threshold: float) -> Floats:
    """Potential U of Eqs. 12 to 14: the reset makes every step wait for the one before it.

    Examples
    --------
    >>> fire_and_reset(np.full((1, 3, 1), 0.75), np.asarray(1.0), 1.0).ravel()
    array([0.75, 1.5 , 1.25])
    """
    potential = np.empty_like(current)
    v = np.zeros_like(current[:, 0])
    for t in range(current.shape[1]):
        u = decay * v + current[:, t]
        v = u - threshold * (u > threshold).astype(u.dtype)
        potential[:, t] = u
    return potential


def fire_and_reset_backward(
    grad_spikes: Floats | None,
    grad_membrane: Floats | None,
    trace: Trace,
    surrogate_scale: float,
    detach_reset: bool,
) -> Floats:
    """Gradient of Eqs. 12 to 14 by the current (Eqs. 15 and 16).

    ``V[t]`` feeds ``U[t+1]`` with the factor beta, and the loss may look at it: ``gV[t] = beta gU[t+1] +
    loss``. ``U[t]`` reaches the loss by ``V[t] = U[t] - theta S[t]`` directly, and by ``S[t]``, whose own
    gradient is ``gS[t] - theta gV[t]`` (the second term is the reset) times the surrogate ``h'``.
    """
    potential: Floats = trace.potential
    surrogate = fast_sigmoid_derivative(potential - trace.threshold, surrogate_scale)
    grad_current = np.empty_like(potential)
    grad_u = np.zeros_like(potential[:, 0])
    for t in reversed(range(potential.shape[1])):
        grad_v = trace.decay * grad_u
        if grad_membrane is not None:
            grad_v = grad_v + grad_membrane[:, t]
        grad_fired = np.zeros_like(grad_v) if grad_spikes is None else grad_spikes[:, t]
        if not detach_reset:
            grad_fired = grad_fired - trace.threshold * grad_v
        grad_u = grad_v + grad_fired * surrogate[:, t]
        grad_current[:, t] = grad_u
    return grad_current


def multi_spike_forward(
    spikes: Spikes, weight: Floats, bias: Floats, decay: Floats, threshold: float, workspace: Any = None
) -> Trace:
    """The conventional layer, Eqs. 12 to 14."""
    potential = fire_and_reset(input_current(spikes, weight, bias), decay, threshold)
    return Trace(spikes, weight, bias, decay, threshold, potential, "multi-spike")


def multi_spike_backward(
    trace: Trace,
    grad_spikes: Floats | Gradients | None,
    grad_membrane: Floats | None,
    surrogate_scale: float,
    detach_reset: bool,
    keep_current: bool = True,
    workspace: Any = None,
) -> Gradients:
    """Backward through time of the conventional layer, Eqs. 15 and 16."""
    grad_s = None if grad_spikes is None else input_spikes_backward(grad_spikes)
    grad_current = fire_and_reset_backward(grad_s, grad_membrane, trace, surrogate_scale, detach_reset)
    grad_decay = decay_gradient(grad_current, trace.membrane, trace.decay)
    grad_weight, grad_bias = input_current_backward(grad_current, trace.input, trace.weight)
    return Gradients(grad_weight, grad_bias, grad_decay, grad_current, trace.weight)


def over_time(membrane: Floats, readout: str) -> tuple[Floats, NDArray[np.int64] | None]:
    """Maximum over time with the step it is first reached in, or the sum over time (Eq. 17): (B, n_out).

    Examples
    --------
    >>> over_time(np.array([[[1.0], [3.0], [3.0]]]), "max")
    (array([[3.]]), array([[1]]))
    """
    value = membrane[:, 0].copy()
    peak = np.zeros(value.shape, dtype=np.int64)
    for t in range(1, membrane.shape[1]):
        if readout == "sum":
            value += membrane[:, t]
        else:
            higher = membrane[:, t] > value
            value = np.where(higher, membrane[:, t], value)
            peak[higher] = t
    return value, peak if readout == "max" else None


def over_time_backward(grad_value: Floats, peak_times: NDArray[np.int64] | None, n_steps: int) -> Floats:
    """Gradient of Eq. 17 by the potential (Eq. 18): to the first maximum, or to every step alike."""
    grad_membrane = np.zeros((len(grad_value), n_steps, grad_value.shape[1]), dtype=grad_value.dtype)
    for t in range(n_steps):
        grad_membrane[:, t] = grad_value if peak_times is None else grad_value * (peak_times == t)
    return grad_membrane


def readout_forward(
    spikes: Spikes,
    weight: Floats,
    bias: Floats,
    decay: Floats,
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


def readout_backward(trace: ReadoutTrace, grad_logits: Floats, workspace: Any = None) -> Gradients:
    """Backward through the readout: Eq. 18, then Eqs. 9 and 10 (its spikes are the input of Eq. 6)."""
    grad_membrane = over_time_backward(
        trace.logit_scale * grad_logits, trace.peak_times, trace.membrane.shape[1]
    )
    grad_current, grad_decay = integrate_backward(grad_membrane, trace.membrane, trace.decay)
    grad_weight, grad_bias = input_current_backward(grad_current, trace.input, trace.weight)
    return Gradients(grad_weight, grad_bias, grad_decay, grad_current, trace.weight)
