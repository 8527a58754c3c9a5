"""Which cases every order of summation computes without rounding, so that their bound is zero."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .bounds import absolute_potential
from .cases import Case

Floats = NDArray[np.float64]


def _fractional_bits(values: Any) -> Floats:
    """Smallest q with all `values` of a column whole multiples of 2^-q (negative for large ones, -inf for zeros)."""
    mantissa, exponent = np.frexp(np.atleast_2d(np.asarray(values, np.float64)))
    whole = np.ldexp(mantissa, 53).astype(np.int64)
    with np.errstate(divide="ignore"):
        trailing = np.log2((whole & -whole).astype(np.float64))
    return np.asarray(np.where(whole == 0, -np.inf, 53 - trailing - exponent).max(axis=0))


def sums_are_exact(case: Case) -> NDArray[np.bool_]:
    """Of every neuron, (N,): whether every operation of a forward pass is exact, in whatever order.

    With q fractional bits in the data and p in the decay every number met is a multiple of
    ``2^-(q + p(T-1))`` and at most ``max A``; it fits if ``q + p (T-1) + log2 max A + 1`` is within the
    precision, and that unit is a normal number. In the conventional layer the resets are data too.

    Examples
    --------
    >>> x, w = np.ones((1, 8, 1), np.float32), np.array([[0.75]], np.float32)
    >>> [sums_are_exact(Case("", "single-spike", x, w, 0 * w[0], np.array([d]))).item() for d in (0.5, 0.9)]
    [True, False]
    """
    info, threshold = np.finfo(case.dtype), case.threshold if case.neuron == "multi-spike" else 0.0
    resets = np.ones(case.shape, dtype=bool) if threshold else None
    absolute, _ = absolute_potential(case, resets)
    q = np.max(
        [_fractional_bits(part) + 0 * case.bias for part in (case.weight, case.bias, threshold)], axis=0
    )
    unit = q + np.maximum(_fractional_bits(case.decay), 0) * (case.shape[1] - 1)
    with np.errstate(divide="ignore"):
        bits = unit + np.log2(absolute.max(axis=(0, 1)) + abs(threshold)) + 1  # the last reset too
    return np.asarray((bits <= info.nmant + 1) & (unit <= -info.minexp))


def powers_are_exact(decay: Any, n_steps: int) -> NDArray[np.bool_]:
    """Whether every way of forming ``decay^k``, k < T, is exact: decay 0 or 1, or 1/2 over a single step."""
    beta = np.asarray(decay)
    return np.asarray((beta == 0) | (beta == 1) | ((beta == 0.5) & (n_steps <= 2)))


def exact_in_any_order(case: Case) -> NDArray[np.bool_]:
    """(N,): whether every way of computing the forward pass of a neuron is exact, so that its bound is zero."""
    exact = powers_are_exact(case.decay, case.shape[1])
    return exact & sums_are_exact(case) if exact.any() else exact
