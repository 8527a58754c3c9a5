"""The model in numbers that are exact, or as good as exact: what every port is measured against.

The functions here are Eqs. 1 to 16 of `minisnn.model` once more, written for *numbers* instead of floats.
Two kinds of number serve:

- `fractions.Fraction` in object arrays (`rational`): exact, for small cases;
- `DoubleDouble` (`double_double`): a number as the unevaluated sum of two float64, about 32 decimal
  digits, for large cases. Its own error is bounded in `minisnn.oracle.bounds` and added to every verdict.

Method: error-free sum and product of Dekker (1971) and Knuth; see Higham, Accuracy and Stability of
Numerical Algorithms, 2nd ed., SIAM 2002, sections 4.3 and 27.9.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "DoubleDouble",
    "ExactBackward",
    "ExactForward",
    "double_double",
    "exact_backward",
    "exact_forward",
    "nearest",
    "rational",
]

Numbers = Any  # DoubleDouble, or an object array of Fraction
Floats = NDArray[np.float64]
_SPLITTER = 134217729.0  # 2^27 + 1: cuts a float64 into two halves of 26 bits


def _two_sum(a: Floats, b: Floats) -> tuple[Floats, Floats]:
    """Sum and its rounding error: ``a + b == s + e`` exactly."""
    s = a + b
    b_part = s - a
    return s, (a - (s - b_part)) + (b - b_part)


def _two_product(a: Floats, b: Floats) -> tuple[Floats, Floats]:
    """Product and its rounding error: ``a * b == p + e`` exactly, short of underflow."""
    p = a * b
    a_high = _SPLITTER * a - (_SPLITTER * a - a)
    b_high = _SPLITTER * b - (_SPLITTER * b - b)
    a_low, b_low = a - a_high, b - b_high
    return p, ((a_high * b_high - p) + a_high * b_low + a_low * b_high) + a_low * b_low


class DoubleDouble:
    """Array of numbers ``hi + lo`` with ``|lo|`` at most half a unit in the last place of ``hi``.

    Parameters
    ----------
    hi, lo : float64 arrays of one shape
        Leading and trailing part.

    Examples
    --------
    >>> third = double_double(np.array([1.0])) / double_double(np.array([3.0]))
    >>> float((third * 3.0 - 1.0).hi[0]) == 0.0 or abs(float((third * 3.0 - 1.0).hi[0])) < 1e-31
    True
    """

    def __init__(self, hi: Floats, lo: Floats | None = None) -> None:
        self.hi = np.asarray(hi, dtype=np.float64)
        self.lo = np.zeros_like(self.hi) if lo is None else lo

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of both parts."""
        return self.hi.shape

    def __getitem__(self, key: Any) -> DoubleDouble:
        return DoubleDouble(self.hi[key], self.lo[key])

    def __setitem__(self, key: Any, value: DoubleDouble) -> None:
        self.hi[key], self.lo[key] = value.hi, value.lo

    def __add__(self, other: DoubleDouble | Any) -> DoubleDouble:
        other = _as_double_double(other)
        s, e = _two_sum(self.hi, other.hi)
        low, low_error = _two_sum(self.lo, other.lo)
        s, e = _quick_sum(s, e + low)
        return DoubleDouble(*_quick_sum(s, e + low_error))

    def __neg__(self) -> DoubleDouble:
        return DoubleDouble(-self.hi, -self.lo)

    def __sub__(self, other: DoubleDouble | Any) -> DoubleDouble:
        return self + (-_as_double_double(other))

    def __mul__(self, other: DoubleDouble | Any) -> DoubleDouble:
        other = _as_double_double(other)
        p, e = _two_product(self.hi, other.hi)
        return DoubleDouble(*_quick_sum(p, e + (self.hi * other.lo + self.lo * other.hi)))

    def __truediv__(self, other: DoubleDouble | Any) -> DoubleDouble:
        other = _as_double_double(other)
        first = self.hi / other.hi
        rest = self - other * first
        second = rest.hi / other.hi
        rest = rest - other * second
        return DoubleDouble(*_quick_sum(*_quick_sum(first, second))) + rest.hi / other.hi

    def __gt__(self, other: float) -> NDArray[np.bool_]:
        difference = self - other
        above: NDArray[np.bool_] = (difference.hi > 0) | ((difference.hi == 0) & (difference.lo > 0))
        return above

    def __abs__(self) -> DoubleDouble:
        sign = np.where(self.hi < 0, -1.0, 1.0)
        return DoubleDouble(self.hi * sign, self.lo * sign)

    def sum(self, axis: tuple[int, ...]) -> DoubleDouble:
        """Sum over the leading axes `axis` = (0, ..., k), by halves."""
        flat = DoubleDouble(
            self.hi.reshape((-1, *self.shape[len(axis) :])), self.lo.reshape((-1, *self.shape[len(axis) :]))
        )
        while len(flat.hi) > 1:
            half = len(flat.hi) // 2
            paired = flat[:half] + flat[half : 2 * half]
            if len(flat.hi) % 2:
                paired = DoubleDouble(
                    np.concatenate([paired.hi, flat.hi[-1:]]), np.concatenate([paired.lo, flat.lo[-1:]])
                )
            flat = paired
        return flat[0]


def _quick_sum(a: Floats, b: Floats) -> tuple[Floats, Floats]:
    """`_two_sum` where ``|a| >= |b|`` or ``a == 0``."""
    s = a + b
    return s, b - (s - a)


def _as_double_double(value: Any) -> DoubleDouble:
    return value if isinstance(value, DoubleDouble) else DoubleDouble(np.asarray(value, dtype=np.float64))


def double_double(array: Any) -> DoubleDouble:
    """Floats (float32 or float64) as `DoubleDouble`, exactly."""
    return DoubleDouble(np.array(array, dtype=np.float64))


def rational(array: Any) -> NDArray[np.object_]:
    """Floats as an object array of `fractions.Fraction`, exactly.

    Examples
    --------
    >>> rational(np.array([0.75, 0.5])) * 3
    array([Fraction(9, 4), Fraction(3, 2)], dtype=object)
    """
    array = np.asarray(array, dtype=np.float64)
    out = np.empty(array.shape, dtype=object)
    for place in np.ndindex(array.shape):
        out[place] = Fraction(float(array[place]))
    return out


def nearest(numbers: Numbers) -> tuple[Floats, Floats]:
    """Numbers as a float64 and what it lacks, also as float64: ``number == hi + lo`` to about 106 bits."""
    if isinstance(numbers, DoubleDouble):
        return numbers.hi, numbers.lo
    numbers = np.asarray(numbers, dtype=object)
    hi = numbers.astype(np.float64)
    lo = np.empty_like(hi)
    for place in np.ndindex(hi.shape):
        lo[place] = float(Fraction(numbers[place]) - Fraction(float(hi[place])))
    return hi, lo


Lift = Callable[[Any], Numbers]


def _zeros(like: Numbers, shape: tuple[int, ...]) -> Numbers:
    if isinstance(like, DoubleDouble):
        return DoubleDouble(np.zeros(shape))
    out = np.empty(shape, dtype=object)
    out[...] = Fraction(0)
    return out


def _current(spikes: Floats, weight: Numbers, bias: Numbers, lift: Lift) -> Numbers:
    """Eq. 1, (B, T, N)."""
    batch, n_steps, n_in = spikes.shape
    total = _zeros(bias, (batch, n_steps, bias.shape[0])) + bias
    for i in range(n_in):
        if spikes[:, :, i].any():
            total = total + lift(spikes[:, :, i, None]) * weight[i]
    return total


@dataclass(frozen=True, eq=False)
class ExactForward:
    """A forward pass in numbers.

    Parameters
    ----------
    potential : (B, T, N) numbers
        V of Eq. 2, or U of Eq. 12: what is compared with the threshold.
    fired : (B, T, N) bool
        S of Eq. 5 or Eq. 13; for the conventional layer, what was given, if spikes were given.
    membrane : (B, T, N) numbers
        V of Eq. 2 or of Eq. 14.
    """

    potential: Numbers
    fired: NDArray[np.bool_]
    membrane: Numbers

    @property
    def spike_times(self) -> NDArray[np.int32]:
        """(B, N) int32 step of the first spike, T for never."""
        n_steps = self.fired.shape[1]
        times = np.where(self.fired.any(axis=1), self.fired.argmax(axis=1), n_steps)
        return np.asarray(times, dtype=np.int32)


def exact_forward(
    spikes: NDArray[Any],
    weight: NDArray[Any],
    bias: NDArray[Any],
    decay: NDArray[Any],
    threshold: float = 1.0,
    *,
    neuron: str = "single-spike",
    fired: NDArray[np.bool_] | None = None,
    lift: Lift = double_double,
    tie_fires: bool = False,
    input_scaled: bool = False,
) -> ExactForward:
    """Eqs. 1 to 5, or 12 to 14, in numbers.

    Parameters
    ----------
    spikes : (B, T, n_in) 0/1 (or counts)
        Input raster.
    weight, bias, decay : (n_in, N), (N,), (N,) or scalar
        Parameters, float32 or float64; taken as the exact numbers they are.
    threshold : float
        Firing threshold.
    neuron : {"single-spike", "multi-spike"}
        Which layer.
    fired : (B, T, N) bool, optional
        Conventional layer: resets to take instead of the layer's own, so that every step can be judged given
        the earlier spikes of the port.
    lift : function
        `double_double` or `rational`.
    tie_fires : bool
        Convention ``V >= theta`` instead of ``V > theta``.
    input_scaled : bool
        Convention ``I[t] = (1 - beta) (x[t] @ W + b)``.

    Returns
    -------
    forward : ExactForward

    Examples
    --------
    >>> run = exact_forward(np.ones((1, 3, 1)), np.array([[0.75]]), np.zeros(1), np.array([0.5]), lift=rational)
    >>> run.potential.ravel(), run.spike_times
    (array([Fraction(3, 4), Fraction(9, 8), Fraction(21, 16)], dtype=object), array([[1]], dtype=int32))
    """
    spikes = np.asarray(spikes, dtype=np.float64)
    n_out = np.shape(bias)[0]
    beta = lift(np.broadcast_to(np.asarray(decay), (n_out,)))
    current = _current(spikes, lift(weight), lift(bias), lift)
    if input_scaled:
        current = current * (lift(np.ones(n_out)) - beta)
    theta = float(threshold)
    reset = lift(np.full(n_out, theta))
    potential, membrane = _zeros(current, current.shape), _zeros(current, current.shape)
    own = np.zeros(current.shape, dtype=bool)
    v = _zeros(current, (spikes.shape[0], n_out))
    for t in range(spikes.shape[1]):
        u = v * beta + current[:, t]
        own[:, t] = ~((-u) > -theta) if tie_fires else u > theta
        potential[:, t] = u
        if neuron == "multi-spike":
            used = own[:, t] if fired is None else fired[:, t]
            u = u - lift(used.astype(np.float64)) * reset
        membrane[:, t] = u
        v = u
    if neuron == "single-spike":
        own &= np.cumsum(own, axis=1) == 1
    return ExactForward(potential, own if fired is None else fired, membrane)


@dataclass(frozen=True, eq=False)
class ExactBackward:
    """A backward pass in numbers: gradients by name, and what the bounds need of the way there.

    Parameters
    ----------
    gradients : dict
        ``spikes`` (B, T, n_in), ``weight`` (n_in, N), ``bias`` (N,), ``decay`` (N,).
    grad_crossings : (B, T, N) float64
        gS~ of Eq. 7, or gS in the conventional layer.
    distance : (B, T, N) float64
        Potential minus threshold.
    surrogate : (B, T, N) float64
        h' at `distance`.
    grad_potential : (B, T, N) float64
        gU.
    """

    gradients: dict[str, Numbers]
    grad_crossings: Floats
    distance: Floats
    surrogate: Floats
    grad_potential: Floats


def exact_backward(
    forward: ExactForward,
    spikes: NDArray[Any],
    weight: NDArray[Any],
    decay: NDArray[Any],
    threshold: float,
    surrogate_scale: float,
    gradient: str,
    grad_spikes: NDArray[Any],
    *,
    grad_membrane: NDArray[Any] | None = None,
    neuron: str = "single-spike",
    detach_reset: bool = False,
    bias: NDArray[Any] | None = None,
    input_scaled: bool = False,
    lift: Lift = double_double,
) -> ExactBackward:
    """Eqs. 6 to 11, or 15 and 16, in numbers; arguments as in `exact_forward` and `minisnn.single_spike_backward`.

    With `input_scaled` the bias is needed too: the decay then scales the current, ``d I / d beta = -(x @ W + b)``.

    Examples
    --------
    >>> x, w, decay = np.array([[[1.0], [0.0]]]), np.array([[0.5]]), np.array([0.5])
    >>> run = exact_forward(x, w, np.zeros(1), decay, lift=rational)
    >>> back = exact_backward(run, x, w, decay, 1.0, 0.0, "gated", np.ones((1, 2, 1)), lift=rational)
    >>> back.gradients["weight"], back.gradients["bias"]
    (array([[Fraction(7, 2)]], dtype=object), array([Fraction(9, 2)], dtype=object))
    """
    spikes = np.asarray(spikes, dtype=np.float64)
    batch, n_steps, n_in = spikes.shape
    n_out = np.shape(weight)[1]
    beta, w = lift(np.broadcast_to(np.asarray(decay), (n_out,))), lift(weight)
    grad_s = lift(grad_spikes)
    distance = forward.potential - lift(np.full(n_out, float(threshold)))
    one = lift(np.ones(distance.shape))
    root = one / (one + abs(distance) * lift(np.full(n_out, float(surrogate_scale))))
    surrogate = root * root
    grad_v = (
        _zeros(grad_s, distance.shape)
        if grad_membrane is None
        else _zeros(grad_s, distance.shape) + lift(grad_membrane)
    )
    grad_u, grad_i = _zeros(grad_s, distance.shape), _zeros(grad_s, distance.shape)
    state = _zeros(grad_s, (batch, n_out))
    if neuron == "single-spike":
        if gradient == "gated":
            before = np.cumsum(forward.fired, axis=1) == 0
            grad_s = grad_s * lift(before.astype(np.float64))
        grad_crossings = _zeros(grad_s, distance.shape)
        inner = outer = state
        for t in reversed(range(n_steps)):
            inner = inner + grad_s[:, t]
            outer = outer + inner
            grad_crossings[:, t] = outer
        grad_u = grad_crossings * surrogate + grad_v
        for t in reversed(range(n_steps)):
            state = grad_u[:, t] + state * beta
            grad_i[:, t] = state
    else:
        grad_crossings = grad_s
        theta = lift(np.full(n_out, 0.0 if detach_reset else float(threshold)))
        for t in reversed(range(n_steps)):
            from_membrane = state * beta + grad_v[:, t]
            state = from_membrane + (grad_s[:, t] - from_membrane * theta) * surrogate[:, t]
            grad_u[:, t] = grad_i[:, t] = state
    products = grad_i * _shifted(forward.membrane, grad_s)
    grad_decay = products.sum(axis=(0, 1))
    if input_scaled:
        unscaled = _current(spikes, w, lift(np.zeros(n_out) if bias is None else bias), lift)
        grad_decay = grad_decay - (grad_i * unscaled).sum(axis=(0, 1))
        grad_i = grad_i * (lift(np.ones(n_out)) - beta)
    grad_weight = _zeros(grad_s, (n_in, n_out))
    for i in range(n_in):
        grad_weight[i] = (grad_i * lift(spikes[:, :, i, None])).sum(axis=(0, 1))
    grad_input = _zeros(grad_s, (batch, n_steps, n_in))
    for n in range(n_out):
        grad_input = grad_input + grad_i[:, :, n : n + 1] * w[:, n]
    gradients = {
        "spikes": grad_input,
        "weight": grad_weight,
        "bias": grad_i.sum(axis=(0, 1)),
        "decay": grad_decay,
    }
    parts = (nearest(part)[0] for part in (grad_crossings, distance, surrogate, grad_u))
    return ExactBackward(gradients, *parts)


def _shifted(membrane: Numbers, like: Numbers) -> Numbers:
    """V[t-1] in the place of V[t], and 0 in the first step."""
    out = _zeros(like, membrane.shape)
    out[:, 1:] = membrane[:, :-1]
    return out
