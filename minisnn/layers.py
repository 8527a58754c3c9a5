"""The public layer functions: check the arguments, choose the solver, call it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import solvers
from .checks import (
    check_overflow,
    checked_gradient,
    checked_layer,
    checked_parameter,
    checked_trace,
    made_here,
)
from .errors import InputError
from .model import Gradients, Trace
from .reading import checked_flag, checked_float
from .spikes import SpikeEvents

__all__ = ["multi_spike_backward", "multi_spike_forward", "single_spike_backward", "single_spike_forward"]


def single_spike_forward(
    spikes: ArrayLike | SpikeEvents,
    weight: NDArray[Any],
    bias: NDArray[Any],
    decay: float | NDArray[Any],
    *,
    threshold: float = 1.0,
    solver: str = "numpy-parallel",
) -> Trace:
    """Run a layer of neurons that spike at most once (Eqs. 1 to 5 in `minisnn.model`).

    Parameters
    ----------
    spikes : (B, T, n_in) bool, integer or float, or SpikeEvents
        Input spikes, 0 or 1; counts only as `SpikeEvents` built with ``counts=True``.
    weight : (n_in, n_out) float32 or float64
        Weight, in thresholds per spike. Its dtype is the working dtype.
    bias : (n_out,)
        Current that enters in every step, in thresholds per step.
    decay : float or (n_out,) in [0, 1]
        Share of the potential kept from one step to the next, ``exp(-dt / tau_mem)``.
    threshold : float
        Firing threshold; a potential equal to it is no spike.
    solver : str
        One of ``minisnn.solvers.names()``.

    Returns
    -------
    trace : Trace
        ``.spikes`` (B, T, n_out) 0 or 1, ``.membrane`` (B, T, n_out) in thresholds, and ``.spike_times``
        (B, n_out) int32 in steps, T for never.

    Raises
    ------
    InputError
        For shapes, dtypes or values that do not fit (it is a ValueError).
    OverflowError
        If the potential leaves the range of the dtype.

    Examples
    --------
    >>> spikes = np.array([[[1], [1], [0], [1]]])  # one sample, four steps, one input
    >>> trace = single_spike_forward(spikes, np.array([[0.75]]), np.zeros(1), decay=0.5)
    >>> trace.membrane.ravel()
    array([0.75   , 1.125  , 0.5625 , 1.03125])
    >>> trace.spike_times, trace.spikes.ravel()
    (array([[1]], dtype=int32), array([0., 1., 0., 0.]))
    """
    module = solvers.get(solver, "single-spike")
    arguments = checked_layer(spikes, weight, bias, decay)
    threshold = checked_float("threshold", threshold, dtype=arguments[1].dtype)
    return _finite_trace(module.single_spike_forward(*arguments, threshold))


def single_spike_backward(
    trace: Trace,
    grad_spikes: NDArray[Any] | None = None,
    *,
    grad_membrane: NDArray[Any] | None = None,
    surrogate_scale: float = 10.0,
    gradient: str = "straight-through",
    solver: str = "numpy-parallel",
) -> Gradients:
    """Gradients of a loss by everything that entered the single-spike layer (Eqs. 6 to 11).

    Parameters
    ----------
    trace : Trace
        Of `single_spike_forward`; its parameters must not have been changed since.
    grad_spikes : (B, T, n_out), optional
        Gradient of the loss by the layer's spikes.
    grad_membrane : (B, T, n_out), optional
        Gradient of the loss by the membrane potential, if the loss looks at it.
    surrogate_scale : float >= 0
        Steepness s of the surrogate derivative, per threshold.
    gradient : {"straight-through", "gated"}
        Choice of g' (Eq. 6): everywhere, or only before the spike.
    solver : str
        One of ``minisnn.solvers.names()``; need not be the one that made the trace.

    Returns
    -------
    gradients : Gradients
        ``.spikes``, ``.weight``, ``.bias``, ``.decay``, each in the shape of its variable.

    Examples
    --------
    >>> trace = single_spike_forward(np.array([[[1], [0]]]), np.array([[0.5]]), np.zeros(1), decay=0.5)
    >>> gradients = single_spike_backward(trace, np.ones((1, 2, 1)), surrogate_scale=0.0)
    >>> gradients.weight, gradients.bias  # gS~ = (3, 1), gI = (3.5, 1)
    (array([[3.5]]), array([4.5]))
    """
    module = solvers.get(solver, "single-spike")
    checked = _checked_backward(trace, "single-spike", grad_spikes, grad_membrane, surrogate_scale)
    return _finite_gradients(module.single_spike_backward(*checked, checked_gradient(gradient)))


def multi_spike_forward(
    spikes: ArrayLike | SpikeEvents,
    weight: NDArray[Any],
    bias: NDArray[Any],
    decay: float | NDArray[Any],
    *,
    threshold: float = 1.0,
    solver: str = "numpy-sequential",
) -> Trace:
    """Run a conventional layer: leaky integrate-and-fire, subtractive reset, many spikes (Eqs. 12 to 14).

    Parameters, returns and errors are those of `single_spike_forward`; ``.membrane`` is the potential
    after the reset, ``.spike_times`` the step of the first spike.

    Examples
    --------
    >>> spikes = np.array([[[1], [1], [1]]])
    >>> trace = multi_spike_forward(spikes, np.array([[0.75]]), np.zeros(1), decay=1.0)
    >>> trace.spikes.ravel(), trace.membrane.ravel()
    (array([0., 1., 1.]), array([0.75, 0.5 , 0.25]))
    """
    module = solvers.get(solver, "multi-spike")
    arguments = checked_layer(spikes, weight, bias, decay)
    threshold = checked_float("threshold", threshold, dtype=arguments[1].dtype)
    return _finite_trace(module.multi_spike_forward(*arguments, threshold))


def multi_spike_backward(
    trace: Trace,
    grad_spikes: NDArray[Any] | None = None,
    *,
    grad_membrane: NDArray[Any] | None = None,
    surrogate_scale: float = 10.0,
    detach_reset: bool = False,
    solver: str = "numpy-sequential",
) -> Gradients:
    """Backward through time of the conventional layer (Eqs. 15, 16, 9 to 11).

    Parameters
    ----------
    trace, grad_spikes, grad_membrane, surrogate_scale, solver
        As for `single_spike_backward`; `grad_membrane` is by the potential after the reset.
    detach_reset : bool
        Leave out the gradient that flows through the reset.

    Examples
    --------
    >>> trace = multi_spike_forward(np.array([[[1], [1]]]), np.array([[0.75]]), np.zeros(1), decay=1.0)
    >>> multi_spike_backward(trace, np.ones((1, 2, 1)), surrogate_scale=0.0).bias  # gU = (1, 1)
    array([2.])
    """
    module = solvers.get(solver, "multi-spike")
    checked = _checked_backward(trace, "multi-spike", grad_spikes, grad_membrane, surrogate_scale)
    return _finite_gradients(
        module.multi_spike_backward(*checked, checked_flag("detach_reset", detach_reset))
    )


def _checked_backward(
    trace: Trace, neuron: str, grad_spikes: Any, grad_membrane: Any, surrogate_scale: float
) -> tuple[Trace, NDArray[Any] | None, NDArray[Any] | None, float]:
    trace = checked_trace(trace, neuron)
    if grad_spikes is None and grad_membrane is None:
        raise InputError("give grad_spikes, grad_membrane, or both; got neither")
    shape = (*trace.input.shape[:2], len(trace.bias))
    grad_spikes, grad_membrane = (
        None if grad is None else checked_parameter(name, grad, trace.weight.dtype, shape)
        for name, grad in (("grad_spikes", grad_spikes), ("grad_membrane", grad_membrane))
    )
    scale = checked_float("surrogate_scale", surrogate_scale, low=0, dtype=trace.weight.dtype)
    return trace, grad_spikes, grad_membrane, scale


def _finite_trace(trace: Trace) -> Trace:
    check_overflow([trace.last_potential])
    made_here(trace)
    return trace


def _finite_gradients(gradients: Gradients) -> Gradients:
    for name in ("weight", "bias", "decay"):
        if not np.isfinite(getattr(gradients, name)).all():
            raise OverflowError(
                f"the gradient of {name} left the range of {gradients.weight.dtype}: scale the incoming gradient down"
            )
    return gradients
