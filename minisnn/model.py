"""The single-spike network: symbols, equations, conventions. Start here.

Source: Taylor, King, Harper, "Accelerating spiking neural network training", arXiv 2205.15286,
versions 1 and 2. Shapes of arrays in time are ``(batch, time, neuron)``, time runs ``t = 0 .. T-1``.

Symbols
-------
==========  ====================  ==============================================================
equation    name in the code      meaning, unit
==========  ====================  ==============================================================
``x``       ``spikes``            input spikes, 0 or 1 (or counts, see `minisnn.spikes`)
``W``       ``weight``            (n_in, n_out), thresholds per spike
``b``       ``bias``              (n_out,), thresholds per step
``I``       ``current``           input current, thresholds per step
``V``       ``membrane``          membrane potential, thresholds
``beta``    ``decay``             share of ``V`` kept from one step to the next, exp(-dt / tau_mem)
``theta``   ``threshold``         threshold of ``V``: 1, the unit here, unless said otherwise
``S~``      ``crossings``         1 at every step with V above threshold ("faulty" spikes)
``z``       ``double_sum``        double running sum of the crossings
``S``       ``spikes``            the one spike of each neuron, or none
``tau``     ``spike_times``       step of the spike, ``T`` for "never"
``s``       ``surrogate_scale``   steepness of the surrogate derivative, per threshold
``h``       ``fast_sigmoid``      ``h(u) = u / (1 + s|u|)``, see `minisnn.surrogate`
``lambda``  ``spike_penalty``     loss of a hidden spike, nats; 0 unless said otherwise
==========  ====================  ==============================================================

Forward, one single-spike layer
-------------------------------
::

    I[t]  = x[t] @ W + b                                  (1)  input_current
    V[t]  = beta * V[t-1] + I[t],   V[-1] = 0             (2)  integrate
    S~[t] = 1 if V[t] > theta else 0                      (3)  crossings
    z[t]  = sum_{k<=t} (t-k+1) * S~[k]                    (4)  double_sum
    S[t]  = g(z[t]) = 1 if z[t] == 1 else 0               (5)  first_only

``z`` is 1 at the first crossing and nowhere else: before it ``z`` is 0, after it ``z`` is at
least 2, because every step adds the number of crossings so far. Equations (2) and (4) are linear
in time, ``V = A I`` with ``A[t,k] = beta^(t-k)`` and ``z = P S~`` with ``P[t,k] = t-k+1`` (both
lower triangular), and the rest is pointwise: nothing has to step through time. That is the paper.

Backward, by hand
-----------------
::

    gz[t]  = gS[t] * g'(z[t])                             (6)  first_only_backward
    gS~    = P^T gz                                       (7)  double_sum_backward
    gU[t]  = gS~[t] * h'(V[t] - theta) + gV[t]            (8)  crossings_backward
    gI     = A^T gU,  gbeta = sum_{t>=1} gI[t] V[t-1]     (9)  integrate_backward
    gW     = sum x[t]^T gI[t],  gb = sum gI[t]            (10) input_current_backward
    gx[t]  = gI[t] @ W^T                                  (11) Gradients.spikes

``gX`` is the gradient of the loss by X; ``gV`` enters if the loss looks at the membrane
potential itself. Two choices of ``g'``: ``gradient="gated"`` (version 1) is 1 where ``z == 0``
and 0 elsewhere, the derivative of the polynomial ``g(z) = relu(z (1 - z) + 1) z`` at whole
numbers, so that only steps before the spike learn; ``gradient="straight-through"`` (version 2) is
1 everywhere. The derivations stand in `minisnn.solvers.numpy_sequential`, once.

The conventional layer (the baseline)
-------------------------------------
Leaky integrate-and-fire, subtractive reset, many spikes::

    U[t]  = beta * V[t-1] + I[t]                          (12)
    S[t]  = 1 if U[t] > theta else 0                      (13)
    V[t]  = U[t] - theta * S[t]                           (14)
    gV[t] = beta * gU[t+1] + (loss on V[t])               (15)
    gU[t] = gV[t] + (gS[t] - theta * gV[t]) h'(U[t] - theta),   gI = gU      (16)

``detach_reset`` drops ``- theta * gV[t]``, the gradient that flows through the reset.

Readout
-------
A leaky integrator without threshold, by equations (1) and (2) with its own weight and decay; its
potential over time gives the logits, by maximum (version 1) or by sum (version 2)::

    logit_o = logit_scale * max_t U_o[t]    or    logit_scale * sum_t U_o[t]         (17)
    gU_o[t] = logit_scale * glogit_o * [t is the first maximum]    or everywhere     (18)

followed by softmax cross-entropy L, mean over the batch of B samples (`minisnn.loss`).

Spike penalty
-------------
Training minimises L and, weighted by lambda, the mean number of hidden spikes per sample::

    L' = L + lambda / B * sum of S[t] over samples, hidden layers, neurons and steps     (19)

So every ``gS[t]`` of a hidden layer gains ``lambda / B`` before Eq. 6 (or Eq. 16), and the surrogate passes it on. Only
the training loss has the penalty; the loss of an evaluation is L.

Conventions on which other libraries differ
-------------------------------------------
``V == theta`` is no spike. The spike belongs to the step in which V crosses. The single-spike
layer never resets: V goes on after the spike. The conventional layer resets in the same step and
reports V after the reset. The input is not scaled by ``1 - beta``.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, TypeAlias

import array_api_compat

__all__ = ["GRADIENTS", "READOUTS", "Array", "Gradients", "ReadoutTrace", "Trace", "first_spike_times"]

# An array of any array-API namespace; a NumPy array if a docstring gives a dtype by NumPy's name.
Array: TypeAlias = Any

Neuron: TypeAlias = Literal["single-spike", "multi-spike"]
GRADIENTS = ("gated", "straight-through")
READOUTS = ("max", "sum")


def first_spike_times(spikes: Array) -> Array:
    """Step of the first spike of every neuron.

    Parameters
    ----------
    spikes : (B, T, N)
        Raster; everything that is not zero counts as a spike.

    Returns
    -------
    spike_times : (B, N) int32
        First step with a spike, in steps; ``T`` for a neuron that stays silent.

    Examples
    --------
    >>> import numpy as np
    >>> raster = np.array([[[0, 0], [1, 0], [1, 0]]])  # neuron 0 fires in steps 1 and 2, neuron 1 never
    >>> first_spike_times(raster)
    array([[1, 3]], dtype=int32)
    """
    xp = array_api_compat.array_namespace(spikes)
    fired = spikes != 0
    silent = ~xp.any(fired, axis=1)
    first = xp.astype(xp.argmax(xp.astype(fired, xp.int8), axis=1), xp.int32)
    return xp.where(silent, xp.asarray(spikes.shape[1], dtype=xp.int32), first)


@dataclass(frozen=True, eq=False)
class Trace:
    """The result of a layer's forward pass: its output, and everything the backward pass needs.

    A trace refers to the arrays it was made with (input and parameters), it does not copy them: run the
    backward pass before the parameters are changed in place.

    Parameters
    ----------
    input : (B, T, n_in) raster or SpikeEvents
        The input spikes, as the solver read them.
    weight, bias, decay : arrays
        The parameters of the layer; `decay` is 0-d or (N,).
    threshold : float
        Firing threshold theta.
    potential : (B, T, N) float32 or float64
        The potential that is compared with the threshold: V of Eq. 2, or U of Eq. 12 in the conventional layer.
    neuron : {"single-spike", "multi-spike"}
        Which of the two layers this is.
    first_spikes : (B, N) int32, optional
        Spike times, if the solver has them at hand; derived from `potential` otherwise.
    """

    input: Any
    weight: Array
    bias: Array
    decay: Array
    threshold: float
    potential: Array
    neuron: Neuron = "single-spike"
    first_spikes: Array | None = None

    @property
    def shape(self) -> tuple[int, int, int]:
        """(B, T, N)."""
        batch, n_steps, _ = self.input.shape
        return batch, n_steps, self.weight.shape[1]

    @property
    def last_potential(self) -> Array:
        """(B, N) potential in the last step: it shows an overflow in any step."""
        return self.potential[:, -1]

    @cached_property
    def spike_times(self) -> Array:
        """(B, N) int32: step of the (first) spike, ``T`` for never."""
        if self.first_spikes is not None:
            return self.first_spikes
        return first_spike_times(self.potential > self.threshold)

    @cached_property
    def spikes(self) -> Array:
        """(B, T, N) spikes, 0 or 1 in the working dtype (Eq. 5, or Eq. 13 in the conventional layer)."""
        if self.neuron == "multi-spike":
            fired = self.potential > self.threshold
            xp = array_api_compat.array_namespace(fired)
        else:
            times = self.spike_times
            xp = array_api_compat.array_namespace(times)
            steps = xp.arange(self.shape[1], dtype=xp.int32, device=array_api_compat.device(times))
            fired = steps[None, :, None] == times[:, None, :]
        return xp.astype(fired, self.weight.dtype)

    @cached_property
    def membrane(self) -> Array:
        """(B, T, N) membrane potential in thresholds: V of Eq. 2, or of Eq. 14 (after the reset)."""
        if self.neuron == "multi-spike":
            return self.potential - self.threshold * self.spikes
        return self.potential


@dataclass(frozen=True, eq=False)
class ReadoutTrace:
    """The result of the readout's forward pass.

    Parameters
    ----------
    input : (B, T, n_in) raster or SpikeEvents
        Spikes of the last hidden layer, as the solver read them.
    weight, bias, decay : arrays
        Parameters of the readout; `decay` is 0-d or (n_out,).
    readout : {"max", "sum"}
        How the potential becomes a logit (Eq. 17).
    logit_scale : float
        Constant factor of the logits.
    membrane : (B, T, n_out)
        Potential U of the leaky integrator, in thresholds.
    logits : (B, n_out)
        Eq. 17.
    peak_times : (B, n_out), integer, optional
        Step of the first maximum; only for the ``"max"`` readout.
    """

    input: Any
    weight: Array
    bias: Array
    decay: Array
    readout: str
    logit_scale: float
    membrane: Array
    logits: Array
    peak_times: Array | None = None

    @property
    def last_potential(self) -> Array:
        """(B, n_out) potential in the last step: it shows an overflow in any step."""
        return self.membrane[:, -1]


@dataclass(frozen=True, eq=False)
class Gradients:
    """Gradients of the loss by everything that entered a layer, each in the shape of its variable.

    Parameters
    ----------
    weight : (n_in, n_out)
        Eq. 10.
    bias : (n_out,)
        Eq. 10.
    decay : 0-d or (n_out,)
        Eq. 9.
    current : (B, T, n_out), optional
        gI of Eq. 9. A solver that was told that nobody will ask for `spikes` may leave it out.
    input_weight : (n_in, n_out), optional
        The weight the layer was run with, for `spikes`.
    spike_penalty : float
        ``lambda / B`` of Eq. 19 if the input spikes are those of a hidden layer: a part of `spikes`.
    """

    weight: Array
    bias: Array
    decay: Array
    current: Array | None = None
    input_weight: Array | None = None
    spike_penalty: float = 0.0

    def with_penalty(self, grad_spikes: Array) -> Array:
        """`grad_spikes`, the product of Eq. 11, with the penalty of Eq. 19."""
        return grad_spikes + self.spike_penalty if self.spike_penalty else grad_spikes

    @cached_property
    def spikes(self) -> Array:
        """(B, T, n_in) gradient by the input spikes (Eqs. 11 and 19), formed when first asked for."""
        if self.current is None or self.input_weight is None:
            raise AttributeError(
                "the gradient by the input spikes was not kept: run the backward pass with keep_current=True"
            )
        xp = array_api_compat.array_namespace(self.current)
        batch, n_steps, n_out = self.current.shape
        flat = xp.matmul(xp.reshape(self.current, (batch * n_steps, n_out)), self.input_weight.T)
        return self.with_penalty(xp.reshape(flat, (batch, n_steps, self.input_weight.shape[0])))
