"""Inputs on which exactness can be demanded, with the edge cases that random floats never meet."""

import math
from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st

from minisnn import solvers

SOLVERS = solvers.names("single-spike")
MULTI_SOLVERS = solvers.names("multi-spike")
# Bits of a decay, p: beta * 2^p is a whole number.
DECAY_BITS = {0.0: 0, 1.0: 0, 0.5: 1, 0.25: 2, 0.75: 2}


@dataclass
class Case:
    spikes: np.ndarray  # (B, T, n_in) 0/1
    weight: np.ndarray
    bias: np.ndarray
    decay: np.ndarray  # 0-d or (N,)
    threshold: float
    grad_spikes: np.ndarray
    grad_membrane: np.ndarray

    @property
    def layer(self):
        return self.spikes, self.weight, self.bias, self.decay

    def lists(self):
        """The layer's arguments for tests/naive.py."""
        decays = np.broadcast_to(self.decay, self.bias.shape)
        return [a.astype(float).tolist() for a in (self.spikes, self.weight, self.bias, decays)]


def bits_needed(case, fractional_bits=2):
    """Left side of the rule for exact inputs: q + p (T - 1) + log2 max A + 1, for the forward pass."""
    p = max(DECAY_BITS[float(d)] for d in np.ravel(case.decay))
    largest = np.abs(case.weight).sum(axis=0).max() + np.abs(case.bias).max()
    bound = max(largest, np.abs(case.grad_spikes).max(), case.threshold) * case.spikes.shape[1] ** 3
    return fractional_bits + p * (case.spikes.shape[1] - 1) + math.log2(bound) + 1


@st.composite
def exact_cases(draw, dtype=np.float64, max_decay_bits=2):
    """Quarter-integers and dyadic decays, T limited so that every sum is exact, edge cases forced."""
    batch, n_in, n_out = draw(st.integers(1, 5)), draw(st.integers(1, 5)), draw(st.integers(1, 19))
    decays = [d for d, bits in DECAY_BITS.items() if bits <= max_decay_bits]
    kinds = draw(st.lists(st.sampled_from(decays), min_size=1, max_size=4))
    p = max(DECAY_BITS[d] for d in kinds)
    longest = {0: 16, 1: 7, 2: 4}[p] if dtype == np.float32 else {0: 24, 1: 18, 2: 13}[p]
    n_steps = draw(st.integers(1, longest))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))

    def quarters(*shape, top=6):
        return (rng.integers(-top, top + 1, shape) / 4).astype(dtype)

    spikes = (rng.random((batch, n_steps, n_in)) < draw(st.sampled_from([0.0, 0.1, 0.4, 1.0]))).astype(
        np.uint8
    )
    weight, bias = quarters(n_in, n_out), quarters(n_out, top=draw(st.integers(0, 2)))
    decay = np.asarray(kinds[0], dtype) if len(kinds) == 1 else rng.choice(kinds, n_out).astype(dtype)
    threshold = draw(st.sampled_from([1.0, 2.0]))
    edge = draw(st.sampled_from(["none", "tie", "first step", "last step", "silent", "one step"]))
    if edge == "tie":  # V == theta in the first step of neuron 0
        spikes[0, 0] = 0
        spikes[0, 0, 0] = 1
        weight[0, 0], bias[0] = threshold, 0
    elif edge == "first step":
        spikes[:, 0, 0] = 1
        weight[0, 0], weight[1:, 0], bias[0] = threshold + 1, 0, 0
    elif edge == "last step":
        spikes[:] = 0
        spikes[:, -1, 0] = 1
        weight[0], bias[:] = threshold + 0.25, 0
    elif edge == "silent":
        weight[:, -1], bias[-1] = 0, -0.25
    elif edge == "one step":
        spikes = spikes[:, :1]
    shape = (batch, spikes.shape[1], n_out)
    case = Case(spikes, weight, bias, decay, threshold, quarters(*shape), quarters(*shape))
    assert bits_needed(case) <= (24 if dtype == np.float32 else 53)
    return case


@st.composite
def float_cases(draw, dtype=np.float64):
    """Any floats, subnormal ones included, any decay in [0, 1]."""
    batch, n_in, n_out, n_steps = (draw(st.integers(1, top)) for top in (4, 6, 9, 40))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    scale = draw(st.sampled_from([1.0, 0.2, 30.0, 1e-6, float(np.finfo(dtype).smallest_normal)]))
    spikes = (rng.random((batch, n_steps, n_in)) < draw(st.sampled_from([0.0, 0.1, 0.5]))).astype(np.uint8)
    weight = (rng.standard_normal((n_in, n_out)) * scale).astype(dtype)
    bias = (rng.standard_normal(n_out) * 0.1 * scale).astype(dtype)
    decay = draw(st.sampled_from(["scalar", "per neuron"]))
    decay = np.asarray(rng.random(), dtype) if decay == "scalar" else rng.random(n_out).astype(dtype)
    shape = (batch, n_steps, n_out)
    grads = [rng.standard_normal(shape).astype(dtype) for _ in range(2)]
    return Case(spikes, weight, bias, decay, 1.0, *grads)
