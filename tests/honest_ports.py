"""Honest ports: the same layer in different orders of arithmetic, none of which the oracle may refuse.

Each is written from the equations in plain NumPy and imports nothing of minisnn. A port is a pair
(forward, backward) with the signatures of `minisnn.oracle.check`.
"""

import numpy as np


def _spikes(membrane, threshold):
    above = membrane > threshold
    return (above & (np.cumsum(above, axis=1) == 1)).astype(membrane.dtype)


def _gate(membrane, threshold, gradient):
    if gradient == "straight-through":
        return np.ones_like(membrane)
    return (np.cumsum(membrane > threshold, axis=1) == 0).astype(membrane.dtype)


def _surrogate(membrane, threshold, scale):
    return 1 / (1 + scale * np.abs(membrane - threshold)) ** 2


def _backward(potential, reverse_integrate, reverse_double_sum):
    """The backward pass made of three functions in which ports differ."""

    def backward(spikes, weight, bias, decay, threshold, surrogate_scale, gradient, grad_spikes):
        membrane = potential(spikes, weight, bias, decay)
        grad_z = grad_spikes * _gate(membrane, threshold, gradient)
        grad_u = reverse_double_sum(grad_z) * _surrogate(
            membrane, threshold, membrane.dtype.type(surrogate_scale)
        )
        grad_i = reverse_integrate(grad_u, decay)
        flat = grad_i.reshape(-1, grad_i.shape[2])
        return {
            "spikes": grad_i @ weight.T,
            "weight": spikes.reshape(-1, spikes.shape[2]).T @ flat,
            "bias": flat.sum(axis=0),
            "decay": (grad_i[:, 1:] * membrane[:, :-1]).sum(axis=(0, 1)),
        }

    return backward


def _forward(potential, as_times=False):
    def forward(spikes, weight, bias, decay, threshold):
        membrane = potential(spikes, weight, bias, decay)
        raster = _spikes(membrane, threshold)
        if not as_times:
            return raster, membrane
        fired = raster.any(axis=1)
        return np.where(fired, raster.argmax(axis=1), raster.shape[1]), membrane

    return forward


def _port(integrate, double_sum_back, current=None, as_times=False):
    """A port from an integration along time and its mirror image."""
    current = current or (lambda x, w, b: x @ w + b)

    def potential(spikes, weight, bias, decay):
        return integrate(current(spikes, weight, bias), decay)

    def reverse(values, decay):
        return integrate(values[:, ::-1], decay)[:, ::-1]

    return _forward(potential, as_times), _backward(potential, reverse, double_sum_back)


def cumsum_back(grad):
    return np.cumsum(np.cumsum(grad[:, ::-1], axis=1), axis=1)[:, ::-1]


def ramp_back(grad):
    steps = np.arange(grad.shape[1])
    ramp = np.triu(steps[None, :] - steps[:, None] + 1).astype(grad.dtype)
    return np.einsum("kt,btn->bkn", ramp, grad)


def loop(current, decay):
    out, v = np.empty_like(current), np.zeros_like(current[:, 0])
    for t in range(current.shape[1]):
        v = decay * v + current[:, t]
        out[:, t] = v
    return out


def triangular(current, decay):
    """The paper's form: a product with the matrix of powers, formed by ``power``."""
    steps = np.arange(current.shape[1])
    age = (steps[:, None] - steps[None, :]).astype(current.dtype)
    powers = np.where(age >= 0, decay[:, None, None] ** np.maximum(age, 0), 0).astype(current.dtype)
    return np.einsum("ntk,bkn->btn", powers, current)


def convolution(current, decay):
    """Direct convolution with the kernel of powers, newest term last."""
    n_steps = current.shape[1]
    kernel = decay[None, :] ** np.arange(n_steps, dtype=current.dtype)[:, None]
    out = np.zeros_like(current)
    for lag in reversed(range(n_steps)):
        out[:, lag:] += kernel[lag] * current[:, : n_steps - lag]
    return out


def fft(current, decay):
    """Convolution by FFT, in the precision of the data."""
    from scipy import fft as scipy_fft

    n_steps = current.shape[1]
    length = 1 << max(1, (2 * n_steps - 1).bit_length())
    kernel = decay[None, :] ** np.arange(n_steps, dtype=current.dtype)[:, None]
    product = scipy_fft.rfft(kernel, length, axis=0)[None] * scipy_fft.rfft(current, length, axis=1)
    return scipy_fft.irfft(product, length, axis=1)[:, :n_steps].astype(current.dtype)


def doubling(current, decay):
    v, power, distance = current.copy(), decay.copy(), 1
    while distance < current.shape[1]:
        v = np.concatenate([v[:, :distance], v[:, distance:] + power * v[:, :-distance]], axis=1)
        power, distance = power * power, 2 * distance
    return v


def blocked(current, decay):
    """Blocks of eight steps: within a block by the matrix, across blocks by the state."""
    out, state = np.empty_like(current), np.zeros_like(current[:, 0])
    for start in range(0, current.shape[1], 8):
        part = current[:, start : start + 8]
        n = part.shape[1]
        power = decay[None, :] ** np.arange(1, n + 1, dtype=current.dtype)[:, None]
        out[:, start : start + 8] = triangular(part, decay) + power[None] * state[:, None]
        state = out[:, start + n - 1]
    return out


def fused(current, decay):
    """A fused multiply-add: the product is not rounded before the sum (exact for float32 in float64)."""
    if current.dtype == np.float64:
        return _fused_double(current, decay)
    out, v = np.empty_like(current), np.zeros_like(current[:, 0])
    for t in range(current.shape[1]):
        v = (decay.astype(np.float64) * v + current[:, t]).astype(current.dtype)
        out[:, t] = v
    return out


def _fused_double(current, decay):
    """The same for float64: the product's rounding error by Dekker, added back before rounding."""
    out, v = np.empty_like(current), np.zeros_like(current[:, 0])
    for t in range(current.shape[1]):
        product = decay * v
        split = [134217729.0 * a - (134217729.0 * a - a) for a in (decay, v)]
        low = [a - high for a, high in zip((decay, v), split)]
        error = ((split[0] * split[1] - product) + split[0] * low[1] + low[0] * split[1]) + low[0] * low[1]
        total = product + current[:, t]
        part = total - product
        v = total + (((product - (total - part)) + (current[:, t] - part)) + error)
        out[:, t] = v
    return out


def _reversed_current(spikes, weight, bias):
    """Inputs added one by one, the last first, and the bias before all."""
    total = np.zeros((*spikes.shape[:2], weight.shape[1]), dtype=weight.dtype) + bias
    for i in reversed(range(weight.shape[0])):
        total = total + spikes[:, :, i : i + 1] * weight[i]
    return total


def _event_potential(spikes, weight, bias, decay):
    """Every event adds its own decaying trace, every bias step too: no current is ever formed."""
    batch, n_steps, _ = spikes.shape
    out = np.zeros((batch, n_steps, weight.shape[1]), dtype=weight.dtype)
    powers = np.ones((n_steps, len(decay)), dtype=weight.dtype)
    for k in range(1, n_steps):
        powers[k] = powers[k - 1] * decay
    for k in range(n_steps):
        out[:, k:] += bias * powers[: n_steps - k]
    for sample, step, index in np.argwhere(spikes):
        out[sample, step:] += weight[index] * powers[: n_steps - step]
    return out


def _event_backward(spikes, weight, bias, decay, threshold, surrogate_scale, gradient, grad_spikes):
    """Eligibility traces forward in time: gW without gI, other sums of the same terms."""
    membrane = _event_potential(spikes, weight, bias, decay)
    grad_z = grad_spikes * _gate(membrane, threshold, gradient)
    scale = membrane.dtype.type(surrogate_scale)
    grad_u = ramp_back(grad_z) * _surrogate(membrane, threshold, scale)
    ones = np.ones((*spikes.shape[:2], 1), dtype=spikes.dtype)
    of_weight = np.zeros_like(weight)
    for j in range(weight.shape[1]):
        trace = loop(spikes, np.full(spikes.shape[2], decay[j]))
        of_weight[:, j] = np.einsum("bti,bt->i", trace, grad_u[:, :, j])
    of_bias = (loop(np.repeat(ones, weight.shape[1], axis=2), decay) * grad_u).sum(axis=(0, 1))
    before = np.concatenate([np.zeros_like(membrane[:, :1]), membrane[:, :-1]], axis=1)
    return {"weight": of_weight, "bias": of_bias, "decay": (loop(before, decay) * grad_u).sum(axis=(0, 1))}


SINGLE = {
    "loop": _port(loop, cumsum_back),
    "triangular": _port(triangular, ramp_back),
    "convolution": _port(convolution, ramp_back),
    "doubling": _port(doubling, cumsum_back, as_times=True),
    "blocked": _port(blocked, cumsum_back),
    "fused": _port(fused, cumsum_back),
    "reversed-inputs": _port(loop, ramp_back, _reversed_current),
    "events": (_forward(_event_potential, as_times=True), _event_backward),
}
FFT = {"fft": _port(fft, cumsum_back)}


# ---- the conventional layer -------------------------------------------------------------------------


def _lif(spikes, weight, bias, decay, threshold, current=None):
    current = (spikes @ weight + bias) if current is None else current(spikes, weight, bias)
    raster, potential = np.zeros_like(current), np.empty_like(current)
    v = np.zeros_like(current[:, 0])
    theta = current.dtype.type(threshold)
    for t in range(current.shape[1]):
        u = decay * v + current[:, t]
        raster[:, t] = u > theta
        potential[:, t] = u
        v = u - theta * raster[:, t]
    return raster, potential


def lif_forward(spikes, weight, bias, decay, threshold):
    raster, potential = _lif(spikes, weight, bias, decay, threshold)
    return raster, potential - potential.dtype.type(threshold) * raster


def lif_forward_rearranged(spikes, weight, bias, decay, threshold):
    """Inputs in another order, and the reset taken off before the current comes in."""
    current = _reversed_current(spikes, weight, bias)
    raster, membrane = np.zeros_like(current), np.empty_like(current)
    v = np.zeros_like(current[:, 0])
    fired = v > 1
    theta = current.dtype.type(threshold)
    for t in range(current.shape[1]):
        v = (decay * v - np.where(fired, decay * theta, 0).astype(v.dtype)) + current[:, t]
        fired = v > theta
        raster[:, t] = fired
        membrane[:, t] = v - theta * fired
    return raster, membrane


def lif_backward(spikes, weight, bias, decay, threshold, surrogate_scale, gradient, grad_spikes):
    raster, potential = _lif(spikes, weight, bias, decay, threshold)
    theta = potential.dtype.type(threshold)
    membrane = potential - theta * raster
    h = _surrogate(potential, theta, potential.dtype.type(surrogate_scale))
    through = 0 if gradient == "detached-reset" else theta
    factor = 1 - through * h
    grad_i, state = np.empty_like(potential), np.zeros_like(potential[:, 0])
    for t in reversed(range(potential.shape[1])):
        state = factor[:, t] * (decay * state) + grad_spikes[:, t] * h[:, t]
        grad_i[:, t] = state
    return {
        "spikes": grad_i @ weight.T,
        "weight": np.einsum("bti,btn->in", spikes, grad_i),
        "bias": grad_i.sum(axis=(0, 1)),
        "decay": (grad_i[:, 1:] * membrane[:, :-1]).sum(axis=(0, 1)),
    }


MULTI = {"loop": (lif_forward, lif_backward), "rearranged": (lif_forward_rearranged, lif_backward)}


# ---- other libraries' conventions -------------------------------------------------------------------


def scaled_input(spikes, weight, bias, decay, threshold):
    """V += (1 - beta) (I - V), as SpikingJelly writes it with tau = 1 / (1 - beta)."""
    current = spikes @ weight + bias
    out, v = np.empty_like(current), np.zeros_like(current[:, 0])
    rate = 1 - decay
    for t in range(current.shape[1]):
        v = decay * v + rate * current[:, t]
        out[:, t] = v
    return _spikes(out, threshold), out


def tie_fires(spikes, weight, bias, decay, threshold):
    membrane = loop(spikes @ weight + bias, decay)
    above = membrane >= threshold
    return above & (np.cumsum(above, axis=1) == 1), membrane
