"""Arguments that belong together in kernels, as named tuples: every field with its shape and unit, once.

B samples of a batch or a share, G of a group; T steps; N neurons, O of the next layer; K blocks of `LANES` neurons
(`lanes`). An empty array stands for "there is none". The
classes stand in a module of their own because Numba's cache finds them by name.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
Ints32 = NDArray[np.int32]
Ints64 = NDArray[np.int64]
Bools = NDArray[np.bool_]


class Events(NamedTuple):
    """The spikes that enter a layer; empty if BLAS takes the input."""

    indptr: Ints64  # (B * T + 1,) events before every row (sample, step), and of all
    indices: Ints32  # (n_events,) input of every event


class Layer(NamedTuple):
    """Parameters of a hidden layer or of the readout."""

    weight: Floats  # (K, n_in, LANES) thresholds per spike; no rows if BLAS takes the input
    constants: Floats  # (2, K * LANES) bias in thresholds per step, decay


class Rule(NamedTuple):
    """Numbers that all hidden layers share."""

    theta: Any  # threshold, in the dtype of the potential
    scale: Any  # of the surrogate, per threshold
    gated: bool  # choice of g' (Eq. 6)
    penalty: Any  # of a spike, lambda / B (Eq. 19)


class Span(NamedTuple):
    """The steps that a pass takes, from `start` on, and the state that it carries to the next of them."""

    start: int
    n_steps: int  # T, of all steps
    state: Floats  # (STATE, LANES), see `passes`


class Gradient(NamedTuple):
    """Gradients of one layer, summed over samples."""

    weight: Floats  # (K, n_in, LANES) by weight; no rows if BLAS takes the input
    sums: Floats  # (2, K * LANES) by bias and by decay


class Onward(NamedTuple):
    """How a layer's gradient by its spikes is made of that of the next layer: see `upstream`."""

    source: int
    weight: Floats  # (O, K * LANES) of the next layer, transposed and padded; (O, N) if BY_BLAS
    recursion: Any  # decay of the readout if RECURSION


class Upstream(NamedTuple):
    """The gradient that arrives at the output of a layer."""

    onward: Onward
    grad: Floats  # (G, T, N) gS if GIVEN; (G, T, O) gI of the next layer if PROJECTED or BY_BLAS
    projected: Floats  # (G, T, N) room for gS if BY_BLAS
    grad_value: Floats  # (G, O) gradient by the maximum or sum of the readout if RECURSION
    peak_times: Ints32  # (G, O) the steps in which it was reached; no samples for a sum over time
    reached: Bools  # (G, T) room for the steps in which any output has its maximum
    grad_membrane: Floats | None  # (G, T, N) gV, if the loss looks at the potential


class Scratch(NamedTuple):
    """Room for the backward pass of a group of samples."""

    rows: Floats  # (T, LANES) gS, then gI, of one block
    on_membrane: Floats  # (T, LANES) gV of one block
    ends: Ints32  # (G, n_in) see `events.group_by_input`
    steps: Ints32  # (G, most events of a sample)


class Network(NamedTuple):
    """A network as kernels take it; tuples hold one entry for every layer, the readout last."""

    layers: tuple[Layer, ...]
    sizes: tuple[int, ...]  # neurons
    n_steps: int
    rule: Rule
    use_max: bool  # the readout takes the maximum over time, otherwise the sum (Eq. 17)
    logit_scale: Any


class Results(NamedTuple):
    """The results of a pass through a network, a row for every sample of the batch."""

    times: tuple[Ints32, ...]  # (B, K * LANES) spike times of every hidden layer
    overflow: Floats  # (B, LANES) 0; NaN if a potential of a neuron of that lane left the range of the dtype
    losses: Floats  # (B,) in nats
    logits: Floats  # (B, K * LANES)
    grad_logits: Floats  # (B, K * LANES) gradient by the readout's value
    peaks: Ints32  # (B, K * LANES) step of the maximum


class Room(NamedTuple):
    """Room for a group of samples on its way through a network: every thread has its own."""

    potentials: tuple[Floats, ...]  # (G, K, T, LANES) of every layer, the readout last
    between: Events  # spikes of the hidden layers, a row for each: (depth, G * T + 1), (depth, G * widest)


class Learning(NamedTuple):
    """Everything a training step needs beyond the forward pass."""

    labels: Ints64  # (B,)
    batch: Any  # B, in the dtype of the logits
    onwards: tuple[Onward, ...]  # of the hidden layers
    gradients: tuple[Gradient, ...]  # of every layer, the readout last
    # Room for a group of samples: every thread has its own.
    currents: tuple[Floats, ...] = ()  # (G, T, N) gI of every layer, if the layer before takes all of it
    reached: Any = None  # (G, T) bool, see `Upstream`
    scratch: Any = None  # `Scratch`


class Neurons(NamedTuple):
    """Parameters of a layer's neurons in `numba_sequential`."""

    bias: Floats  # (N,) thresholds per step
    decay: Floats  # (N,)
    theta: Any  # threshold, in the dtype of the potential
    scale: Any  # of the surrogate, per threshold


class Arriving(NamedTuple):
    """The gradients that arrive at a layer there; an empty one counts as zero."""

    spikes: Floats  # (B, T, N) gS
    membrane: Floats  # (B, T, N) gV


class SampleSums(NamedTuple):
    """Sums over time of every sample, of which the batch's gradients by bias and decay are made."""

    bias: Floats  # (B, N)
    decay: Floats  # (B, N)
