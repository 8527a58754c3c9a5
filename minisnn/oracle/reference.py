"""The model in exact arithmetic, or in float64: what every port is measured against.

The functions here are Eqs. 1 to 16 of `minisnn.model` once more, for arrays of two kinds of number:

- `fractions.Fraction` in object arrays (`rational`): exact, for small cases;
- float64 (`double`): an implementation like any other, whose own error `minisnn.oracle.bounds` adds to every bound.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .cases import Case

Numbers = NDArray[Any]  # float64, or objects of Fraction
Lift = Callable[[Any], Numbers]


def double(array: Any) -> Numbers:
    """Numbers as float64."""
    return np.asarray(array, dtype=np.float64)


def rational(array: Any) -> Numbers:
    """Floats as an object array of `fractions.Fraction`, exactly.

    Examples
    --------
    >>> rational(np.array([0.75, 0.5])) * 3
    array([Fraction(9, 4), Fraction(3, 2)], dtype=object)
    """
    return np.asarray(np.vectorize(Fraction, otypes=[object])(double(array)))


def leaky_sum(values: Numbers, decay: Any) -> Numbers:
    """``v[t] = decay[t] v[t-1] + values[t]`` along the time axis of (B, T, N)."""
    if np.ndim(decay) == 0 and decay == 1:
        return np.cumsum(values, axis=1)
    out, beta = np.empty_like(values), np.broadcast_to(decay, values.shape)
    if values.shape[0] * values.shape[2] <= 16:  # few lanes: a list of numbers each is faster than arrays
        for b, n in np.ndindex(values.shape[0], values.shape[2]):
            pairs = zip(beta[b, :, n].tolist(), values[b, :, n].tolist())
            sums: Any = accumulate(pairs, lambda v, pair: pair[0] * v + pair[1], initial=0)
            next(sums)
            out[b, :, n] = list(sums)
        return out
    state = 0 * values[:, 0]
    for t in range(values.shape[1]):
        out[:, t] = state = beta[:, t] * state + values[:, t]
    return out


def first_spikes(fired: NDArray[np.bool_]) -> NDArray[np.int32]:
    """(B, N) step of the first spike in (B, T, N), T for never."""
    times = np.where(fired.any(axis=1), fired.argmax(axis=1), fired.shape[1])
    return np.asarray(times, dtype=np.int32)


@dataclass(frozen=True, eq=False)
class Forward:
    """A forward pass."""

    potential: Numbers  # (B, T, N): V of Eq. 2 or U of Eq. 12, which is compared with the threshold
    fired: NDArray[np.bool_]  # (B, T, N): S of Eq. 5 or 13; the spikes that were given, if any were
    membrane: Numbers  # (B, T, N): V of Eq. 2 or 14

    @property
    def spike_times(self) -> NDArray[np.int32]:
        """(B, N) int32 step of the first spike, T for never."""
        return first_spikes(self.fired)


def reference_forward(
    case: Case,
    *,
    fired: NDArray[np.bool_] | None = None,
    lift: Lift = double,
    tie_fires: bool = False,
    input_scaled: bool = False,
) -> Forward:
    """Eqs. 1 to 5, or 12 to 14, of a case's numbers as the exact numbers they are, `lift`ed to one of the two kinds.

    `fired` (B, T, N) are spikes to take over instead of the layer's own, so that every step of a conventional layer can
    be judged given the port's earlier ones. Conventions: with `tie_fires` ``V >= theta`` fires too, with `input_scaled`
    ``I[t] = (1 - beta) (x[t] @ W + b)``.

    Examples
    --------
    >>> case = Case("three", "single-spike", np.ones((1, 3, 1)), np.array([[0.75]]), np.zeros(1), np.array([0.5]))
    >>> run = reference_forward(case, lift=rational)
    >>> run.potential.ravel(), run.spike_times
    (array([Fraction(3, 4), Fraction(9, 8), Fraction(21, 16)], dtype=object), array([[1]], dtype=int32))
    """
    beta, theta = lift(case.decay), lift(case.threshold)[()]
    current = lift(case.spikes) @ lift(case.weight) + lift(case.bias)
    if input_scaled:
        current = current * (1 - beta)
    if case.neuron != "multi-spike":
        potential = leaky_sum(current, beta)
        if fired is None:
            fired = np.asarray(potential >= theta if tie_fires else potential > theta)
            if case.neuron == "single-spike":
                fired &= np.cumsum(fired, axis=1) == 1
        return Forward(potential, fired, potential)
    if fired is not None:  # the resets of earlier steps are one more current
        current[:, 1:] -= np.where(fired[:, :-1], beta * theta, 0 * theta)
        potential = leaky_sum(current, beta)
        return Forward(potential, fired, potential - np.where(fired, theta, 0 * theta))
    potential, membrane = np.empty_like(current), np.empty_like(current)
    own = np.zeros(current.shape, dtype=bool)
    v = 0 * current[:, 0]
    for t in range(current.shape[1]):
        potential[:, t] = v = beta * v + current[:, t]
        own[:, t] = v >= theta if tie_fires else v > theta
        membrane[:, t] = v = np.where(own[:, t], v - theta, v)
    return Forward(potential, own, membrane)


@dataclass(frozen=True, eq=False)
class Backward:
    """A backward pass: gradients by name, and the values on the way there that the bounds need."""

    gradients: dict[str, Numbers]  # spikes (B, T, n_in), weight (n_in, N), bias (N,), decay (N,)
    grad_crossings: Numbers  # (B, T, N): gS~ of Eq. 7, or gS in the conventional layer
    distance: Numbers  # (B, T, N): potential minus threshold
    surrogate: Numbers  # (B, T, N): h' at that distance


def reference_backward(
    forward: Forward, case: Case, *, lift: Lift = double, input_scaled: bool = False
) -> Backward:
    """Eqs. 6 to 11, or 15 and 16.

    With `input_scaled` the decay scales the current too: ``d I / d beta = -(x @ W + b)``.

    Examples
    --------
    >>> x, w, half = np.array([[[1.0], [0.0]]]), np.array([[0.5]]), np.array([0.5])
    >>> case = Case("two", "single-spike", x, w, np.zeros(1), half, grad_spikes=np.ones((1, 2, 1)), surrogate_scale=0.0)
    >>> back = reference_backward(reference_forward(case, lift=rational), case, lift=rational)
    >>> back.gradients["weight"], back.gradients["bias"]
    (array([[Fraction(7, 2)]], dtype=object), array([Fraction(9, 2)], dtype=object))
    """
    x, w, beta, theta = (lift(a) for a in (case.spikes, case.weight, case.decay, case.threshold))
    grad_s = lift(case.grad_spikes)
    distance = forward.potential - theta
    surrogate = (1 / (1 + lift(case.surrogate_scale) * abs(distance))) ** 2
    if case.neuron == "single-spike":
        if case.gradient == "gated":
            grad_s = np.where(np.cumsum(forward.fired, axis=1) == 0, grad_s, 0 * grad_s)
        crossings = np.cumsum(np.cumsum(grad_s[:, ::-1], axis=1), axis=1)[:, ::-1]
        grad_i = leaky_sum((crossings * surrogate)[:, ::-1], beta)[:, ::-1]
    else:
        crossings = grad_s
        through = 0 * theta if case.gradient == "detached-reset" else theta
        kept = beta * (1 - through * surrogate)
        grad_i = leaky_sum((grad_s * surrogate)[:, ::-1], kept[:, ::-1])[:, ::-1]
    before = np.concatenate([0 * forward.membrane[:, :1], forward.membrane[:, :-1]], axis=1)
    by_decay = (grad_i * before).sum(axis=(0, 1))
    if input_scaled:
        by_decay = by_decay - (grad_i * (x @ w + lift(case.bias))).sum(axis=(0, 1))
        grad_i = grad_i * (1 - beta)
    gradients = {
        "spikes": grad_i @ w.T,
        "weight": x.reshape(-1, len(w)).T @ grad_i.reshape(-1, w.shape[1]),
        "bias": grad_i.sum(axis=(0, 1)),
        "decay": by_decay,
    }
    return Backward(gradients, crossings, distance, surrogate)


def reference_cross_entropy(logits: Any, labels: NDArray[np.int64]) -> tuple[Numbers, Numbers, Numbers]:
    """``-log p[label]`` (B,), ``p = softmax(logits)`` and ``p - onehot(label)`` (B, n_classes), of every sample.

    Examples
    --------
    >>> reference_cross_entropy(np.zeros((1, 2)), np.array([1]))
    (array([0.69314718]), array([[0.5, 0.5]]), array([[ 0.5, -0.5]]))
    """
    shifted = logits - logits.max(axis=1, keepdims=True)
    total = np.exp(shifted).sum(axis=1, keepdims=True)
    probabilities = np.exp(shifted) / total
    samples = np.arange(len(labels))
    gradient = probabilities.copy()
    gradient[samples, labels] -= 1
    return np.log(total[:, 0]) - shifted[samples, labels], probabilities, gradient
