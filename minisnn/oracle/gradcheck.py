"""Checking a backward pass, surrogate and all: complex step on the anchored twin.

A surrogate gradient is not the derivative of the function that was run, so differences of the loss say nothing
about it. It is the derivative of another function, the *anchored twin*: with index 0 for the values of the
hard run and ``G0 = g'(z0)`` (Eq. 6)::

    S_twin(V) = S0 + G0 * (P h(V - theta) - P h(V0 - theta))          single-spike
    S_twin(U) = S0 + h(U - theta) - h(U0 - theta)                     conventional

At the point itself it equals the hard network, and its derivative there is what the backward pass claims to be,
whatever stands before and after it. h takes complex numbers (`minisnn.surrogate.fast_sigmoid`), so ``Im f(p + i e) /
e`` with ``e = 1e-100`` is that derivative to the last bits, and no step size has to be chosen.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import solvers
from ..checks import checked_count, checked_float, checked_gradient, checked_labels
from ..errors import InputError, shown
from ..layers import multi_spike_backward, multi_spike_forward, single_spike_backward, single_spike_forward
from ..model import Gradients, Trace
from ..network import Network
from ..reading import checked_name
from ..spikes import SpikeEvents
from ..surrogate import fast_sigmoid, first_only_derivative
from .calling import real_array
from .reference import leaky_sum, reference_cross_entropy

Floats = NDArray[Any]
Point = Mapping[str, Floats]  # spikes and parameters, or gradients by them
Loss = Callable[[Point], Any]
Question = tuple[Loss, Point, Point]  # a loss, the point at which its derivative is asked for, and the answer
_STEP = 1e-100


@dataclass(frozen=True)
class GradcheckResult:
    """Outcome of a gradient check."""

    # The largest error of each gradient, relative to its largest component (to that of all gradients, where it is
    # zero but for rounding), and the number of components compared.
    errors: dict[str, float]
    checked: dict[str, int]

    @property
    def worst(self) -> float:
        """Largest error of all parameters."""
        return max(self.errors.values())

    def ok(self, tolerance: float = 1e-10) -> bool:
        """Whether every error is at most `tolerance`."""
        return self.worst <= tolerance


def gradcheck(
    target: Any, *args: Any, components: int = 200, seed: int = 0, **options: Any
) -> GradcheckResult:
    """Check the gradients of a layer or of a network.

    Two forms::

        gradcheck("single-spike" | "multi-spike", spikes, weight, bias, decay, *, threshold, surrogate_scale,
                  gradient, detach_reset, grad_spikes, grad_membrane, solver, components, seed, backward)
        gradcheck(network, spikes, labels, *, solver, components, seed)

    A layer is checked under the loss ``sum(grad_spikes * S) + sum(grad_membrane * V)``, `grad_spikes` drawn from `seed`
    if not given; a network under its training loss. Both run in float64 (float32 parameters are converted), because
    the question here is the formula; rounding is judged by `minisnn.oracle.check`.

    Parameters
    ----------
    components : int
        Components compared per parameter, chosen by `seed` where there are more (200).
    solver : str
        Whose backward pass to check (``"numpy-sequential"``).
    backward : callable, optional
        Layers only: a backward pass to check in place of the solver's,
        ``backward(trace, grad_spikes, grad_membrane) -> mapping or Gradients``.

    Returns
    -------
    result : GradcheckResult

    Raises
    ------
    InputError
        For a target of another kind, or arguments that do not fit.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> spikes = (rng.random((2, 12, 3)) < 0.5).astype(float)
    >>> layer = (rng.normal(0, 0.5, (3, 4)), np.zeros(4), np.full(4, 0.8))
    >>> result = gradcheck("single-spike", spikes, *layer, gradient="gated")
    >>> result.worst < 1e-12, sorted(result.errors)
    (True, ['bias', 'decay', 'spikes', 'weight'])
    """
    components, seed = checked_count("components", components, low=1), checked_count("seed", seed)
    if isinstance(target, Network):
        loss, point, claimed = _of_network(target, *args, **options)
    elif isinstance(target, str):
        neuron = checked_name("neuron", target, solvers.NEURONS)
        loss, point, claimed = _of_layer(neuron, np.random.default_rng(seed), *args, **options)
    else:
        raise InputError(f"gradcheck takes the name of a neuron or a Network, got {type(target).__name__}")
    return _compare(loss, point, claimed, components, np.random.default_rng(seed))


# ---- the twin -------------------------------------------------------------------------------------


def _double_running_sum(values: Floats) -> Floats:
    return np.asarray(np.cumsum(np.cumsum(values, axis=1), axis=1))


def _twin_layer(
    anchor: Trace, spikes: Floats, layer: Mapping[str, Floats], scale: float, choice: str | bool
) -> tuple[Floats, Floats]:
    """Spikes and membrane of the anchored twin at complex `spikes` and parameters."""
    current = spikes @ layer["weight"] + layer["bias"] + 0j
    theta, spikes_0 = anchor.threshold, anchor.spikes
    h_0 = fast_sigmoid(anchor.potential - theta, scale)
    if anchor.neuron == "single-spike":
        membrane = leaky_sum(current, layer["decay"])
        z_0 = _double_running_sum(anchor.potential > theta)
        selected = first_only_derivative(z_0, str(choice), spikes_0.dtype)
        change = _double_running_sum(fast_sigmoid(membrane - theta, scale) - h_0)
        return spikes_0 + selected * change, membrane
    twin, membrane = np.empty((2, *current.shape), dtype=complex)
    v = np.zeros_like(current[:, 0])
    for t in range(current.shape[1]):
        u = layer["decay"] * v + current[:, t]
        twin[:, t] = spikes_0[:, t] + fast_sigmoid(u - theta, scale) - h_0[:, t]
        membrane[:, t] = v = u - theta * (spikes_0[:, t] if choice else twin[:, t])
    return twin, membrane


# ---- layer ----------------------------------------------------------------------------------------


def _of_layer(
    neuron: str,
    rng: np.random.Generator,
    spikes: Any,
    weight: Any,
    bias: Any,
    decay: Any,
    *,
    threshold: float = 1.0,
    solver: str = "numpy-sequential",
    **options: Any,
) -> Question:
    given = {"weight": weight, "bias": bias, "decay": decay}
    point = {"spikes": _raster(spikes)} | {name: real_array(name, value) for name, value in given.items()}
    forward: Any = single_spike_forward if neuron == "single-spike" else multi_spike_forward
    trace = forward(**point, threshold=threshold, solver=solver)
    loss, claimed = _backward_of(trace, rng, solver, **options)
    return loss, point, _mapping(claimed, point)


def _backward_of(
    trace: Trace,
    rng: np.random.Generator,
    solver: str,
    *,
    surrogate_scale: float = 10.0,
    gradient: str = "straight-through",
    detach_reset: bool = False,
    grad_spikes: Any = None,
    grad_membrane: Any = None,
    backward: Callable[[Trace, Floats, Floats | None], Any] | None = None,
) -> tuple[Loss, Any]:
    """The loss under which a layer is checked, and what the backward pass returns for it."""
    single, rule = trace.neuron == "single-spike", checked_gradient(gradient)
    own_backward: Any = single_spike_backward if single else multi_spike_backward
    choice: dict[str, Any] = {"gradient": rule} if single else {"detach_reset": detach_reset}
    scale, drawn = checked_float("surrogate_scale", surrogate_scale, low=0), rng.normal(size=trace.shape)
    grad_s = drawn if grad_spikes is None else real_array("grad_spikes", grad_spikes)
    grad_v = None if grad_membrane is None else real_array("grad_membrane", grad_membrane)
    # The solver's own pass looks at the arguments, also where another is checked.
    claimed = own_backward(
        trace, grad_s, grad_membrane=grad_v, surrogate_scale=scale, solver=solver, **choice
    )
    if backward is not None:
        claimed = backward(trace, grad_s, grad_v)

    def loss(values: Point) -> Any:
        twin, membrane = _twin_layer(trace, values["spikes"], values, scale, *choice.values())
        total = (grad_s * twin).sum()
        return total if grad_v is None else total + (grad_v * membrane).sum()

    return loss, claimed


def _mapping(claimed: Any, point: Point) -> Point:
    """What a backward pass returned, as arrays by name; names it leaves out are not checked."""
    if isinstance(claimed, Gradients):
        claimed = {name: getattr(claimed, name) for name in point}
    if not isinstance(claimed, Mapping) or not set(claimed) & set(point):
        expected = f"a mapping with any of {', '.join(point)}"
        raise InputError(f"backward must return {expected}, got {shown(claimed)}")
    return {name: real_array(f"the gradient of {name}", claimed[name]) for name in point if name in claimed}


def _raster(spikes: Any) -> Floats:
    return spikes.to_raster(np.float64) if isinstance(spikes, SpikeEvents) else real_array("spikes", spikes)


# ---- network --------------------------------------------------------------------------------------


def _of_network(network: Network, spikes: Any, labels: Any, *, solver: str = "numpy-sequential") -> Question:
    config = network.config
    parameters = {name: real_array(name, array) for name, array in network.own_parameters().items()}
    double = Network(replace(config, dtype="float64"), parameters)
    raster = _raster(spikes)
    _, claimed, activity = double.loss_and_gradients(raster, labels, solver=solver)
    label = checked_labels(labels, len(raster), config.sizes[-1])
    choice: str | bool = config.gradient if config.neuron == "single-spike" else config.detach_reset
    peaks = activity.readout.membrane.argmax(axis=1)

    def loss(values: Point) -> Any:
        signal, penalty = raster, 0.0
        for layer, trace in zip(config.layers[:-1], activity.hidden):
            part = {key: values[f"{layer}.{key}"] for key in ("weight", "bias", "decay")}
            signal, _ = _twin_layer(trace, signal, part, config.surrogate_scale, choice)
            penalty = penalty + config.spike_penalty * signal.sum() / len(label)
        current = signal @ values["readout.weight"] + values["readout.bias"] + 0j
        membrane = leaky_sum(current, values["readout.decay"])
        value = membrane.sum(axis=1)
        if config.readout == "max":
            value = np.take_along_axis(membrane, peaks[:, None, :], axis=1)[:, 0]
        return reference_cross_entropy(config.logit_scale * value, label)[0].mean() + penalty

    return loss, double.parameters, claimed


# ---- comparison -----------------------------------------------------------------------------------


def _compare(
    loss: Loss, point: Point, claimed: Point, components: int, rng: np.random.Generator
) -> GradcheckResult:
    references: dict[str, tuple[Floats, Floats]] = {}
    for name, gradient in claimed.items():
        base = np.asarray(point[name], dtype=complex)
        if gradient.shape != base.shape:
            raise InputError(f"the gradient of {name} must have shape {base.shape}, got {gradient.shape}")
        places = np.arange(base.size)
        if base.size > components:
            places = np.sort(rng.choice(base.size, components, replace=False))
        reference = np.empty(len(places))
        for k, place in enumerate(places):
            moved = base.copy()
            moved.flat[place] += 1j * _STEP
            reference[k] = complex(loss({**point, name: moved})).imag / _STEP
        references[name] = gradient.ravel()[places], reference
    largest = max(float(np.abs(reference).max()) for _, reference in references.values())
    errors, checked = {}, {}
    for name, (gradient, reference) in references.items():
        scale = float(np.abs(reference).max())
        if max(scale, float(np.abs(gradient).max())) <= 1e-12 * largest or scale == 0.0:
            scale = largest or 1.0  # zero but for rounding: measured against the largest gradient of all
        difference = np.abs(gradient - reference)
        # NaN in a claimed gradient must count as wrong, not vanish in a maximum.
        errors[name] = float(np.where(np.isfinite(difference), difference, np.inf).max()) / scale
        checked[name] = len(reference)
    return GradcheckResult(errors, checked)
