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
    with np.errstate(over="ignore"):  # the square may be too large for a number, and h' then is 0
        return 1 / (1 + scale * np.abs(membrane - threshold)) ** 2


def dense_product(spikes, flat):
    return spikes.reshape(-1, spikes.shape[2]).T @ flat


def _backward(potential, reverse_integrate, reverse_double_sum, by_weight):
    """The backward pass made of the functions in which ports differ."""

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
            "weight": by_weight(spikes, flat),
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


def dense_current(spikes, weight, bias):
    return spikes @ weight + bias


def _port(integrate, double_sum_back, current=dense_current, as_times=False, by_weight=dense_product):
    """A port from an integration along time and its mirror image."""

    def potential(spikes, weight, bias, decay):
        return integrate(current(spikes, weight, bias), decay)

    def reverse(values, decay):
        return integrate(values[:, ::-1], decay)[:, ::-1]

    return _forward(potential, as_times), _backward(potential, reverse, double_sum_back, by_weight)


def twice_back(integrate):
    """The reverse double sum by a port's own integration, without decay."""

    def double_sum_back(grad):
        ones = np.ones(grad.shape[2], grad.dtype)
        return integrate(integrate(grad[:, ::-1], ones), ones)[:, ::-1]

    return double_sum_back


def inside(port, wide):
    """The same port in a wider dtype; the answers alone are rounded to that of the data."""

    def widened(function):
        def run(*arguments):
            dtype = arguments[1].dtype
            answer = function(*(a.astype(wide) if isinstance(a, np.ndarray) else a for a in arguments))
            if isinstance(answer, dict):
                return {name: gradient.astype(dtype) for name, gradient in answer.items()}
            return tuple(part.astype(dtype) for part in answer)

        return run

    return tuple(widened(function) for function in port)


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


def triangular(current, decay, power=np.power):
    """The paper's form: a product with the matrix of powers, formed by `power`."""
    steps = np.arange(current.shape[1])
    age = (steps[:, None] - steps[None, :]).astype(current.dtype)
    powers = np.where(age >= 0, power(decay[:, None, None], np.maximum(age, 0)), 0).astype(current.dtype)
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


def blocked(current, decay, power=np.power):
    """Blocks of eight steps: within a block by the matrix, across blocks by the state."""
    out, state = np.empty_like(current), np.zeros_like(current[:, 0])
    for start in range(0, current.shape[1], 8):
        part = current[:, start : start + 8]
        n = part.shape[1]
        powers = power(decay, np.arange(1, n + 1, dtype=current.dtype)[:, None]).astype(current.dtype)
        out[:, start : start + 8] = triangular(part, decay, power) + powers * state[:, None]
        state = out[:, start + n - 1]
    return out


def log_space(current, decay):
    """Powers by logarithms, in extended precision: ``exp(k log(decay))``."""

    def power(decay, age):
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(age == 0, 1, np.exp(age * np.log(decay.astype(np.longdouble))))

    return blocked(current, decay, power)


def pairwise(current, decay):
    """By halves: each half integrated by itself, and what the first leaves added to the second."""
    half = current.shape[1] // 2
    if not half:
        return current.copy()
    first, second = pairwise(current[:, :half], decay), pairwise(current[:, half:], decay)
    powers = decay ** np.arange(1, second.shape[1] + 1, dtype=current.dtype)[:, None]
    return np.concatenate([first, second + powers * first[:, -1:]], axis=1)


def lfilter(current, decay):
    from scipy import signal

    out = np.empty_like(current)
    for beta in np.unique(decay):
        same, filtered = decay == beta, np.array([1, -beta], current.dtype)
        out[:, :, same] = signal.lfilter(filtered[:1], filtered, current[:, :, same], axis=1)
    return out


def two_product(a, b):
    """The product and its rounding error (Dekker)."""
    split = a.dtype.type(2 ** ((np.finfo(a.dtype).nmant + 2) // 2) + 1)
    product, high = a * b, [split * x - (split * x - x) for x in (a, b)]
    low = [x - h for x, h in zip((a, b), high)]
    return product, ((high[0] * high[1] - product) + high[0] * low[1] + low[0] * high[1]) + low[0] * low[1]


def two_sum(a, b):
    """The sum and its rounding error (Knuth)."""
    total = a + b
    part = total - a
    return total, (a - (total - part)) + (b - part)


def fma(a, b, c):
    """A fused multiply-add: the product is not rounded before the sum."""
    product, error = two_product(a, b)
    total, lost = two_sum(product, c)
    return total + (lost + error)


def fused(current, decay):
    out, v = np.empty_like(current), np.zeros_like(current[:, 0])
    for t in range(current.shape[1]):
        out[:, t] = v = fma(decay, v, current[:, t])
    return out


def compensated(current, decay):
    """All that rounding loses is carried along beside the potential (Neumaier)."""
    out, v = np.empty_like(current), np.zeros_like(current[:, 0])
    low = v
    for t in range(current.shape[1]):
        product, error = two_product(decay, v)
        v, lost = two_sum(product, current[:, t])
        low = decay * low + (lost + error)
        out[:, t] = v + low
    return out


def sparse_current(spikes, weight, bias):
    from scipy import sparse

    flat = sparse.csr_array(spikes.reshape(-1, spikes.shape[2])) @ weight
    return flat.reshape(*spikes.shape[:2], -1) + bias


def sparse_product(spikes, flat):
    from scipy import sparse

    return sparse.csc_array(spikes.reshape(-1, spikes.shape[2])).T @ flat


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
    "log-space": _port(log_space, cumsum_back),
    "pairwise": _port(pairwise, twice_back(pairwise)),
    "compensated": _port(compensated, twice_back(compensated)),
    "lfilter": _port(lfilter, twice_back(lfilter)),
    "sparse": _port(loop, cumsum_back, sparse_current, by_weight=sparse_product),
}
SINGLE |= {
    "float64": inside(SINGLE["loop"], np.float64),
    "long-double": inside(SINGLE["loop"], np.longdouble),
}
FFT = {"fft": _port(fft, cumsum_back)}


# ---- the conventional layer -------------------------------------------------------------------------


def _lif(spikes, weight, bias, decay, threshold, current=dense_current, add=None):
    """Spikes and potential before the reset; `add` is a multiply-add of the port's own."""
    current = current(spikes, weight, bias)
    raster, potential = np.zeros_like(current), np.empty_like(current)
    v = np.zeros_like(current[:, 0])
    theta = current.dtype.type(threshold)
    for t in range(current.shape[1]):
        u = add(decay, v, current[:, t]) if add else decay * v + current[:, t]
        raster[:, t] = u > theta
        potential[:, t] = u
        v = u - theta * raster[:, t]
    return raster, potential


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


def _lif_port(by_weight=dense_product, **choice):
    def forward(spikes, weight, bias, decay, threshold):
        raster, potential = _lif(spikes, weight, bias, decay, threshold, **choice)
        return raster, potential - potential.dtype.type(threshold) * raster

    def backward(spikes, weight, bias, decay, threshold, surrogate_scale, gradient, grad_spikes):
        raster, potential = _lif(spikes, weight, bias, decay, threshold, **choice)
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
            "weight": by_weight(spikes, grad_i.reshape(-1, grad_i.shape[2])),
            "bias": grad_i.sum(axis=(0, 1)),
            "decay": (grad_i[:, 1:] * membrane[:, :-1]).sum(axis=(0, 1)),
        }

    return forward, backward


MULTI = {
    "loop": _lif_port(),
    "rearranged": (lif_forward_rearranged, _lif_port()[1]),
    "fused": _lif_port(add=fma),
    "sparse": _lif_port(sparse_product, current=sparse_current),
}
MULTI |= {"float64": inside(MULTI["loop"], np.float64), "long-double": inside(MULTI["loop"], np.longdouble)}


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
