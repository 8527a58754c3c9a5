"""The verdict on a layer at any size, and on a whole training step: each number within its derived bound.

The reference takes over what the bounds leave open: the spikes that came, and the steps of the readout's maxima. Given
them, all that follows is a sum of known terms. The bounds of a layer's gx are handed down to the layer below.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..model import Gradients, ReadoutTrace, Trace
from ..network import Activity
from ..parameters import NetworkConfig, Parameters
from . import bounds
from .cases import Case
from .judge import compare, wrong_value
from .reference import Forward, reference_backward, reference_cross_entropy, reference_forward

__all__ = ["layer_fault", "step_fault"]

Floats = NDArray[Any]


def layer_fault(
    trace: Trace, gradients: Gradients, spikes: Floats, grad_spikes: Floats, scale: float, gradient: str
) -> str | None:
    """First thing that is wrong with a layer's trace or its gradients by parameters; None if nothing is.

    `spikes` (B, T, n_in) are the input raster, `grad_spikes` (B, T, N) the gradient that arrived, `scale` the
    surrogate's, and `gradient` the rule, as in `Case`.
    """
    judged = _Judgement()
    case, forward, _ = judged.forward("layer", trace, spikes)
    case = replace(case, grad_spikes=grad_spikes, surrogate_scale=scale, gradient=gradient)
    judged.backward(case, forward, {"": vars(gradients)}, trace.decay)
    return judged.fault


def step_fault(
    config: NetworkConfig,
    activity: Activity,
    spikes: Floats,
    labels: NDArray[np.int64],
    answers: Mapping[str, tuple[float, Parameters]],
) -> str | None:
    """First thing that is wrong with a training step; None if nothing is.

    Parameters
    ----------
    config : NetworkConfig
        Of the network.
    activity : Activity
        Of its forward pass; the parameters are those that the traces refer to.
    spikes, labels : (B, T, n_inputs), (B,)
        Input raster, and classes.
    answers : dict of (mean loss, gradients by name)
        As they came, in one or several ways; the keys are put before what is wrong.
    """
    judged = _Judgement()
    layers = []
    for k, trace in enumerate(activity.hidden, start=1):
        name = "hidden layer" if len(activity.hidden) == 1 else f"hidden layer {k}"
        layers.append((f"hidden{k}", trace.decay, *judged.forward(name, trace, spikes)))
        spikes = trace.spikes
    readout = activity.readout
    layers.append(("readout", readout.decay, *judged.forward("readout", readout, spikes)))
    losses = {how: loss for how, (loss, _) in answers.items()}
    gradient, incoming = judged.loss(readout, *layers[-1][-2:], labels, losses)
    for name, decay, case, forward, _ in reversed(layers):
        if case.neuron == "single-spike":
            rule = config.gradient
        else:
            rule = "detached-reset" if config.detach_reset or case.neuron == "readout" else "through-reset"
        scale = 0.0 if case.neuron == "readout" else config.surrogate_scale
        case = replace(case, grad_spikes=gradient, surrogate_scale=scale, gradient=rule)
        came = {
            how: {part: gradients[f"{name}.{part}"] for part in ("weight", "bias", "decay")}
            for how, (_, gradients) in answers.items()
        }
        gradient, incoming = judged.backward(case, forward, came, decay, incoming)
    return judged.fault


@dataclass
class _Judgement:
    """What is wrong, in the order in which it was found."""

    faults: list[str] = field(default_factory=list)

    @property
    def fault(self) -> str | None:
        return self.faults[0] if self.faults else None

    def within(self, name: str, came: Any, expected: Any, bound: Any) -> None:
        came = np.asarray(came)
        wrong, _ = compare(came, expected, bound)
        if wrong.any():
            self.faults.append(wrong_value(name, came, expected, bound, wrong))

    def forward(self, name: str, trace: Trace | ReadoutTrace, spikes: Floats) -> tuple[Case, Forward, Floats]:
        """A layer's case, without the gradient that arrives; its forward pass given the spikes that came; its bound."""
        decay = np.broadcast_to(trace.decay, trace.bias.shape)
        layer = (np.asarray(spikes), trace.weight, trace.bias, decay)
        if isinstance(trace, ReadoutTrace):
            case, potential, fired = Case(name, "readout", *layer, threshold=0.0), trace.membrane, None
        else:
            case = Case(name, trace.neuron, *layer, threshold=float(trace.threshold))
            potential, fired = trace.potential, trace.spikes.astype(bool)
        resets = fired if case.neuron == "multi-spike" else None
        bound = bounds.potential_bound(*layer, case.dtype, fired=resets, threshold=case.threshold)
        forward = reference_forward(case, fired=fired)
        self.within(f"{name}: potential", potential, forward.potential, bound)
        if isinstance(trace, Trace):
            rest = (forward.potential, bound, case.threshold)
            if resets is None:
                right = bounds.judge_spike_times(trace.spike_times, *rest).right
            else:
                right = bounds.judge_spikes(resets, *rest).right
            if not right.all():
                self.faults.append(f"{name}: spikes: {int((~right).sum())} of {right.size} wrong")
        return case, forward, bound

    def loss(
        self,
        trace: ReadoutTrace,
        forward: Forward,
        bound: Floats,
        labels: NDArray[np.int64],
        losses: Mapping[str, float],
    ) -> tuple[Floats, Floats]:
        """Logits and losses; the gradient that arrives at the readout's potential, and how far it may be off."""
        potential, dtype, scale = forward.potential, trace.weight.dtype, trace.logit_scale
        value, reached = potential.sum(axis=1), np.ones_like(potential)
        if trace.readout == "max":
            value, peaks = potential.max(axis=1), trace.peak_times[:, None, :]  # type: ignore[index]
            low = np.take_along_axis(potential, peaks, axis=1)[:, 0] < value - 2 * bound.max(axis=1)
            if low.any():
                self.faults.append(f"readout: step of the maximum: {int(low.sum())} of {low.size} wrong")
            reached = (np.arange(potential.shape[1])[:, None] == peaks).astype(np.float64)
        allowed = bounds.logit_bound(potential, bound, trace.readout, scale, dtype)
        self.within("logits", trace.logits, scale * value, allowed)
        logits = np.asarray(trace.logits, np.float64)
        loss, probabilities, gradient = reference_cross_entropy(logits, labels)
        of_loss, of_gradient = bounds.cross_entropy_bounds(logits, loss, probabilities, gradient, dtype)
        for how, came in losses.items():
            self.within(f"{how}loss", came, loss.mean(), of_loss)
        share = scale / len(labels) * reached
        return share * gradient[:, None], share * of_gradient[:, None]

    def backward(
        self,
        case: Case,
        forward: Forward,
        answers: Mapping[str, Mapping[str, Any]],
        decay: Floats,
        incoming: Any = 0.0,
    ) -> tuple[Floats, Floats]:
        """Gradients by a layer's parameters; gx of the reference, and how far a right one may be from it."""
        backward = reference_backward(forward, case)
        allowed = bounds.gradient_bounds(backward, forward, case, incoming=incoming, from_membrane=True)
        expected = dict(backward.gradients)
        if decay.ndim == 0:  # one decay for all neurons: the sum over them
            each, error = expected["decay"], allowed["decay"]
            expected["decay"] = each.sum()
            rounded = bounds.gamma(len(each), case.dtype) * (np.abs(each) + error)
            allowed["decay"] = (error + rounded).sum()
        for how, came in answers.items():
            for part in ("weight", "bias", "decay"):
                name = f"{how}{case.id}: gradient of {part}"
                self.within(name, came[part], expected[part], allowed[part])
        return backward.gradients["spikes"], allowed["spikes"]
