"""The verdict on a layer at any size, and on a whole training step: each number within its derived bound.

The reference takes over what the bounds leave open: the spikes that came, and the steps of the readout's maxima. Given
them, all that follows is a sum of known terms. The bounds of a layer's gx are handed down to the layer below.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..model import Gradients, ReadoutTrace, Trace
from ..network import Activity
from ..parameters import NetworkConfig, Parameters
from . import bounds
from .cases import GRADIENT_NAMES, Case
from .judge import Judge, compare, wrong_value
from .reference import Forward, reference_backward, reference_cross_entropy, reference_forward

Floats = NDArray[Any]
Expected = dict[str, tuple[Any, Any]]  # value and bound, by name
PARTS = GRADIENT_NAMES[1:]
_STANDARD = Judge()


@dataclass(frozen=True)
class Layer:
    """A layer in a step: what it was given, the reference's forward pass, and how far another may be off."""

    case: Case  # the gradient that arrives is not in it yet
    forward: Forward
    bound: Floats  # (B, T, N), of the potential
    shared: bool  # whether its neurons have one decay


def run_layer(
    name: str,
    neuron: str,
    threshold: float,
    spikes: Floats,
    parameters: Sequence[Floats],
    *,
    judge: Judge = _STANDARD,
    fired: NDArray[np.bool_] | None = None,
) -> Layer:
    """A layer of `neuron` or ``"readout"``, given weight, bias and decay; `fired` are spikes to take over."""
    weight, bias, decay = parameters
    each = np.broadcast_to(decay, bias.shape)
    case = Case(name, neuron, np.asarray(spikes), weight, bias, each, threshold=threshold)
    forward = reference_forward(case, fired=fired)
    return Layer(case, forward, judge.potential_bound(case, forward), decay.ndim == 0)


def peaks(layer: Layer, margin: float = 1.0) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """(B, N) step of the first maximum of the potential, and whether another may be it within `margin` bounds.

    A potential to which no term contributes is 0 however it is computed.
    """
    case, potential = layer.case, layer.forward.potential
    absolute, _ = bounds.absolute_potential(case)
    room = np.where(absolute > 0, margin * layer.bound, 0.0)
    first = potential.argmax(axis=1)
    at_peak = [np.take_along_axis(values, first[:, None], axis=1) for values in (potential, room)]
    near = (potential + room >= at_peak[0] - at_peak[1]) & (room + at_peak[1] > 0)
    near &= np.arange(potential.shape[1])[:, None] != first[:, None]
    return first, near.any(axis=1)


# ---- solvers, whose traces are known ------------------------------------------------------------------


def layer_fault(
    trace: Trace, gradients: Gradients, spikes: Floats, grad_spikes: Floats, scale: float, gradient: str
) -> str | None:
    """First thing that is wrong with a layer's trace or its gradients by parameters; None if nothing is.

    `spikes` (B, T, n_in) are the input raster, `grad_spikes` (B, T, N) the gradient that arrived, `scale` the
    surrogate's, and `gradient` the rule, as in `Case`.
    """
    layer = _traced("layer", trace, spikes)
    expected, *_ = _gradients(layer, grad_spikes, 0.0, (scale, gradient), {"from_membrane": True})
    faults = [*_wrong_trace(layer, trace), *_wrong(expected, vars(gradients), "layer: gradient of ")]
    return next(iter(faults), None)


def step_fault(
    config: NetworkConfig,
    activity: Activity,
    spikes: Floats,
    labels: NDArray[np.int64],
    answers: Mapping[str, tuple[float, Parameters]],
) -> str | None:
    """First thing that is wrong with a training step; None if nothing is.

    `activity` is that of the forward pass, whose traces refer to the parameters; `spikes` (B, T, n_inputs) the input
    raster. `answers` are mean losses and gradients by name, as they came in one or several ways; their keys are put
    before what is wrong.
    """
    layers: list[Layer] = []
    faults: list[str] = []
    traces: list[Trace | ReadoutTrace] = [*activity.hidden, activity.readout]
    for k, trace in enumerate(traces, start=1):
        name = "hidden layer" if len(activity.hidden) == 1 else f"hidden layer {k}"
        layers.append(_traced("readout" if isinstance(trace, ReadoutTrace) else name, trace, spikes))
        faults += _wrong_trace(layers[-1], trace)
        spikes = trace.spikes if isinstance(trace, Trace) else spikes
    logits, reached = activity.readout.logits, None
    if activity.readout.peak_times is not None:
        reached = np.arange(spikes.shape[1])[:, None] == activity.readout.peak_times[:, None]
    expected = expected_step(config, layers, labels, reached, logits, from_membrane=True)
    faults += _wrong(expected, {"logits": logits})
    for how, (loss, _) in answers.items():
        faults += _wrong(expected, {"loss": loss}, how)
    for name, layer in reversed(list(zip(config.layers, layers))):
        for how, (_, gradients) in answers.items():
            parts = {part: expected[f"{name}.{part}"] for part in PARTS}
            came = {part: gradients[f"{name}.{part}"] for part in PARTS}
            faults += _wrong(parts, came, f"{how}{layer.case.id}: gradient of ")
    return next(iter(faults), None)


def _traced(name: str, trace: Trace | ReadoutTrace, spikes: Floats) -> Layer:
    """A layer with the spikes that came."""
    parameters = trace.weight, trace.bias, trace.decay
    if isinstance(trace, ReadoutTrace):
        return run_layer(name, "readout", 0.0, spikes, parameters)
    fired = trace.spikes.astype(bool)
    return run_layer(name, trace.neuron, float(trace.threshold), spikes, parameters, fired=fired)


def _wrong_trace(layer: Layer, trace: Trace | ReadoutTrace) -> Iterator[str]:
    """What is wrong in a trace: its potential, its spikes, or the steps of its maxima."""
    name, (case, forward, bound) = layer.case.id, (layer.case, layer.forward, layer.bound)
    potential = trace.membrane if isinstance(trace, ReadoutTrace) else trace.potential
    yield from _wrong({"potential": (forward.potential, bound)}, {"potential": potential}, f"{name}: ")
    if isinstance(trace, Trace):
        fired = forward if case.neuron == "multi-spike" else trace
        right, what = _STANDARD.spikes(case, fired, forward, bound).right, "spikes"
    elif trace.readout == "max":
        first, undecided = peaks(layer)
        came = np.take_along_axis(forward.potential, trace.peak_times[:, None, :], axis=1)[:, 0]  # type: ignore[index]
        right = came >= forward.potential.max(axis=1) - 2 * bound.max(axis=1)
        right &= undecided | (trace.peak_times == first)
        what = "step of the maximum"
    else:
        return
    if not right.all():
        yield f"{name}: {what}: {int((~right).sum())} of {right.size} wrong"


def _wrong(expected: Expected, came: Mapping[str, Any], title: str = "") -> Iterator[str]:
    """What is wrong in the values that `came`, by name."""
    for name in [name for name in expected if name in came]:
        value = np.asarray(came[name])
        wrong, _ = compare(value, *expected[name])
        if wrong.any():
            yield wrong_value(f"{title}{name}", value, *expected[name], wrong)


# ---- any step -----------------------------------------------------------------------------------------


def expected_step(
    config: NetworkConfig,
    layers: Sequence[Layer],
    labels: NDArray[np.int64],
    reached: Floats | None = None,
    logits: Floats | None = None,
    **how: Any,
) -> Expected:
    """Logits, loss, and gradients from the readout downwards, by the names of the parameters, with their bounds.

    `layers` lead from the first hidden one to the readout. `reached` (B, T, n_classes) is the share of the gradient by
    a logit that enters the readout in a step, if it is not all of it in every step. The softmax is that of `logits`, or
    of such as are as far off as the bound allows. `how` goes on to `bounds.gradient_bounds`.
    """
    readout, scale = layers[-1], config.logit_scale
    potential, dtype = readout.forward.potential, readout.case.dtype
    value = potential.max(axis=1) if config.readout == "max" else potential.sum(axis=1)
    allowed = bounds.logit_bound(potential, readout.bound, config.readout, scale, dtype)
    expected: Expected = {"logits": (scale * value, allowed)}
    if logits is None:
        logits, error = scale * value, allowed
    else:
        logits, error = np.asarray(logits, np.float64), np.zeros(1)
    loss, probabilities, by_logits = reference_cross_entropy(logits, labels)
    of_loss, of_logits = bounds.cross_entropy_bounds(logits, loss, probabilities, by_logits, dtype, error)
    penalty = config.spike_penalty / len(labels)
    n_spikes = sum(int(layer.forward.fired.sum()) for layer in layers[:-1])
    of_loss = bounds.penalised_bound(loss.mean(), of_loss, penalty * n_spikes, n_spikes + 4, dtype)
    expected["loss"] = loss.mean() + penalty * n_spikes, of_loss
    share = scale / len(labels) * (np.ones_like(potential) if reached is None else reached)
    gradient, incoming = share * by_logits[:, None], share * of_logits[:, None]
    for name, layer in reversed(list(zip(config.layers, layers))):
        parts, gradient, incoming = _gradients(layer, gradient, incoming, backward_rule(config, name), how)
        expected |= {f"{name}.{part}": value for part, value in parts.items()}
        allowed = bounds.penalised_bound(gradient, incoming, penalty, layer.case.shape[2] + 4, dtype)
        gradient, incoming = gradient + penalty, allowed  # of the layer below
    return expected


def backward_rule(config: NetworkConfig, name: str) -> tuple[float, str]:
    """The surrogate's scale in a layer, and the rule by which the gradient goes on, as in `Case`."""
    if name == "readout":
        return 0.0, "detached-reset"
    rule = "detached-reset" if config.detach_reset else "through-reset"
    return config.surrogate_scale, config.gradient if config.neuron == "single-spike" else rule


def entered(layer: Layer, gradient: Any, rule: tuple[float, str]) -> Case:
    """The backward case of a layer that a gradient enters."""
    return replace(layer.case, grad_spikes=gradient, surrogate_scale=rule[0], gradient=rule[1])


def _gradients(
    layer: Layer, gradient: Floats, incoming: Any, rule: tuple[float, str], how: Mapping[str, Any]
) -> tuple[Expected, Floats, Floats]:
    """Gradients by a layer's parameters; gx, and how far a right one may be from it."""
    case = entered(layer, gradient, rule)
    backward = reference_backward(layer.forward, case)
    allowed = bounds.gradient_bounds(backward, layer.forward, case, incoming=incoming, **how)
    parts = {part: (backward.gradients[part], allowed[part]) for part in PARTS}
    if layer.shared:
        parts["decay"] = shared_by_all(*parts["decay"], case.dtype)
    return parts, backward.gradients["spikes"], allowed["spikes"]


def shared_by_all(each: Floats, error: Floats, dtype: Any) -> tuple[Any, Any]:
    """Gradient of one decay for all neurons, and its bound, from those of every neuron: the sum, in any order."""
    rounded = bounds.gamma(len(each), dtype) * (np.abs(each) + error)
    return each.sum(), (error + rounded).sum()
