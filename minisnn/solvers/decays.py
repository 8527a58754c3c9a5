"""One decay for all neurons or one for each: the two shapes behind one form for the kernels."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["decay_gradient", "decay_row"]

Floats = NDArray[np.floating[Any]]


def decay_row(decay: Floats, n_out: int) -> Floats:
    """Give every neuron its decay, (N,), also where one serves them all."""
    return np.array(np.broadcast_to(decay, (n_out,)))


def decay_gradient(sums: Floats, decay: Floats) -> Floats:
    """``gbeta`` in the shape of `decay` (in Eq. 9), from sums over time of samples or shares, (K, N)."""
    per_neuron = sums.sum(axis=0)
    return np.asarray(per_neuron if decay.ndim else per_neuron.sum())
