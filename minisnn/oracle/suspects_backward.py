"""Wrong backward passes by name; see `minisnn.oracle.suspects_forward`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .cases import Case
from .suspects_forward import Suspect, run_model

__all__ = ["BACKWARD_SUSPECTS", "run_backward"]

Floats = NDArray[Any]
Gradients = dict[str, Floats]
Surrogate = Callable[[Floats, float, float], Floats]  # of V, theta, s


def _paper(v: Floats, theta: float, scale: float) -> Floats:
    value: Floats = 1 / (1 + scale * np.abs(v - theta)) ** 2
    return value


def _gate(case: Case, raster: NDArray[np.bool_], shift: int) -> Floats:
    """1 at the steps t with t < spike time + shift (Eq. 6, gated, for shift 0)."""
    n_steps = case.shape[1]
    times = np.where(raster.any(axis=1), raster.argmax(axis=1), 2 * n_steps)
    open_: Floats = (np.arange(n_steps)[None, :, None] < times[:, None, :] + shift).astype(np.float64)
    return open_


def _double_sum(grad: Floats) -> Floats:
    total: Floats = np.cumsum(np.cumsum(grad[:, ::-1], axis=1), axis=1)[:, ::-1]
    return total


def _single_sum(grad: Floats) -> Floats:
    total: Floats = np.cumsum(grad[:, ::-1], axis=1)[:, ::-1]
    return total


def _strict_sum(grad: Floats) -> Floats:
    """The factor t-k in place of t-k+1."""
    return _double_sum(grad) - _single_sum(grad)


def _forward_sum(grad: Floats) -> Floats:
    total: Floats = np.cumsum(np.cumsum(grad, axis=1), axis=1)
    return total


def run_backward(
    case: Case,
    *,
    gradient: str | None = None,
    gate_shift: int = 0,
    gate: Callable[[Case, NDArray[np.bool_]], Floats] | None = None,
    to_crossings: Callable[[Floats], Floats] = _double_sum,
    surrogate: Surrogate = _paper,
    scale: float | None = None,
    decay: Floats | None = None,
    causal: bool = False,
    scale_new: bool = False,
    sign: float = 1.0,
    of_decay: str = "previous",
    of_input: str = "current",
    reset: float = 1.0,
    steps: slice | None = None,
) -> Gradients:
    """The backward pass of `case.neuron` in float64, with the mistakes that the switches name."""
    gradient = case.gradient if gradient is None else gradient
    raster, membrane = run_model(case)
    beta = np.asarray(case.decay if decay is None else decay, np.float64)
    scale = case.surrogate_scale if scale is None else scale
    assert case.grad_spikes is not None
    grad_s = sign * case.grad_spikes.astype(np.float64)
    if case.neuron == "single-spike":
        if gradient == "gated":
            grad_s = grad_s * (_gate(case, raster, gate_shift) if gate is None else gate(case, raster))
        grad_u = to_crossings(grad_s) * surrogate(membrane, case.threshold, scale)
        if causal:
            grad_i = _leaky(grad_u, beta)
        else:
            grad_i = _leaky(grad_u[:, ::-1], beta)[:, ::-1]
    else:
        potential = membrane + case.threshold * raster
        h = surrogate(potential, case.threshold, scale)
        theta = 0.0 if gradient == "detached-reset" else reset * case.threshold
        grad_i = np.empty_like(h)
        state = np.zeros_like(h[:, 0])
        for t in reversed(range(h.shape[1])):
            grad_v = beta * state
            state = grad_v + (grad_s[:, t] - theta * grad_v) * h[:, t]
            grad_i[:, t] = state
        grad_u = grad_i
        if of_decay == "before-reset":
            membrane = potential
    if scale_new:
        grad_i = grad_i * beta
    return _parameters(case, grad_i, grad_u, membrane, of_decay, of_input, steps)


def _leaky(values: Floats, beta: Floats) -> Floats:
    out, state = np.empty_like(values), np.zeros_like(values[:, 0])
    for t in range(values.shape[1]):
        state = values[:, t] + beta * state
        out[:, t] = state
    return out


def _parameters(
    case: Case,
    grad_i: Floats,
    grad_u: Floats,
    membrane: Floats,
    of_decay: str,
    of_input: str,
    steps: slice | None,
) -> Gradients:
    x, w = case.spikes.astype(np.float64), case.weight.astype(np.float64)
    summed = grad_i if steps is None else grad_i[:, steps]
    before = np.concatenate([np.zeros_like(membrane[:, :1]), membrane[:, :-1]], axis=1)
    other = {"same": membrane, "none": np.zeros_like(before)}.get(of_decay, before)
    by_decay = (grad_u if of_decay == "direct" else grad_i) * other
    source = grad_u if of_input == "potential" else grad_i
    by_input = (
        source
        if of_input == "raw"
        else source @ (w if of_input == "transposed" and w.shape[0] == w.shape[1] else w.T)
    )
    return {
        "spikes": by_input,
        "weight": np.einsum("bti,btn->in", x if steps is None else x[:, steps], summed),
        "bias": summed.sum(axis=(0, 1)),
        "decay": (by_decay if steps is None else by_decay[:, steps]).sum(axis=(0, 1)),
    }


def _scaled(**factors: Callable[[Case], float]) -> Callable[[Case], Gradients]:
    """The right gradients, some of them times a factor of the case."""

    def run(case: Case) -> Gradients:
        return {
            name: value * factors[name](case) if name in factors else value
            for name, value in run_backward(case).items()
        }

    return run


def _all_scaled(factor: Callable[[Case], float]) -> Callable[[Case], Gradients]:
    return _scaled(weight=factor, bias=factor, decay=factor)


def _one_sample(which: int) -> Callable[[Case], Gradients]:
    def run(case: Case) -> Gradients:
        assert case.grad_spikes is not None
        part = replace(case, spikes=case.spikes[[which]], grad_spikes=case.grad_spikes[[which]])
        return run_backward(part) | {"spikes": run_backward(case)["spikes"]}

    return run


def _bias_of_step(step: int) -> Callable[[Case], Gradients]:
    return lambda case: (
        run_backward(case)
        | {"bias": run_backward(case, steps=slice(step, None if step == -1 else step + 1))["bias"]}
    )


def _weight_transposed(case: Case) -> Gradients | None:
    gradients = run_backward(case)
    if case.weight.shape[0] != case.weight.shape[1]:
        return None
    return gradients | {"weight": gradients["weight"].T}


def _from_forward(**mistakes: Any) -> Callable[[Case], Gradients]:
    """Backward of a case that is wrong from the start: another weight, threshold, decay or bias."""

    def run(case: Case) -> Gradients:
        changed = {name: change(case) for name, change in mistakes.items()}
        return run_backward(replace(case, **changed))

    return run


def _rolled_weight(axis: int, shift: int) -> Callable[[Case], Gradients]:
    """Gradient by the input made of the weights of a neighbour."""

    def run(case: Case) -> Gradients:
        right = run_backward(case)
        return right | {
            "spikes": _input_gradient(case, np.roll(case.weight.astype(np.float64), shift, axis=axis))
        }

    return run


def _input_gradient(case: Case, weight: Floats) -> Floats:
    """Gradient by the input made with another weight."""
    result: Floats = run_backward(case, of_input="raw")["spikes"] @ weight.T
    return result


def _shifted_input(roll: bool) -> Callable[[Case], Gradients]:
    """The weight gradient pairs gI[t] with x[t-1]."""

    def run(case: Case) -> Gradients:
        before = np.roll(case.spikes, 1, axis=1)
        if not roll:
            before[:, 0] = 0
        grad_i = run_backward(case, of_input="raw")["spikes"]
        return run_backward(case) | {"weight": np.einsum("bti,btn->in", before.astype(np.float64), grad_i)}

    return run


def _before_and_at(case: Case, raster: NDArray[np.bool_]) -> Floats:
    """Open only at the spike."""
    return raster.astype(np.float64)


def _after(case: Case, raster: NDArray[np.bool_]) -> Floats:
    return 1 - _gate(case, raster, 1)


def _closed_if_silent(case: Case, raster: NDArray[np.bool_]) -> Floats:
    return _gate(case, raster, 0) * raster.any(axis=1, keepdims=True)


SINGLE = ("single-spike",)
MULTI = ("multi-spike",)
GATE = "before the spike only: z == 0"


def _suspect(rule: str, text: str, likely: str, run: Callable[[Case], Any], neurons: Any = None) -> Suspect:
    return Suspect(rule, text, likely, run, neurons or (*SINGLE, *MULTI))


def _switched(rule: str, text: str, likely: str, neurons: Any = None, **switches: Any) -> Suspect:
    return _suspect(rule, text, likely, lambda case: run_backward(case, **switches), neurons)


BACKWARD_SUSPECTS = [
    _switched(
        "gate",
        "the gated gradient passes at the spike too; expected before it only",
        "z <= 1 in place of z == 0; a gate shifted by one",
        SINGLE,
        gate_shift=1,
    ),
    _switched(
        "gate",
        "the gated gradient stops a step early; expected up to the step before the spike",
        "a gate shifted by one",
        SINGLE,
        gate_shift=-1,
    ),
    _switched(
        "gate", "the gated gradient passes two steps too many", "a gate shifted by two", SINGLE, gate_shift=2
    ),
    _switched(
        "gate",
        "gradient='gated' is computed as 'straight-through'",
        "the argument gradient is not used",
        SINGLE,
        gradient="straight-through",
    ),
    _switched(
        "gate",
        "gradient='straight-through' is computed as 'gated'",
        "the argument gradient is not used",
        SINGLE,
        gradient="gated",
    ),
    _suspect(
        "gate",
        "straight-through and gated are exchanged",
        "the two choices of g' are confused",
        lambda c: run_backward(c, gradient="gated" if c.gradient != "gated" else "straight-through"),
        SINGLE,
    ),
    _switched(
        "gate",
        "the gate is open at the spike only; expected " + GATE,
        "z == 1 in place of z == 0",
        SINGLE,
        gate=_before_and_at,
    ),
    _switched(
        "gate",
        "the gate is open after the spike only; expected " + GATE,
        "z > 1 in place of z == 0",
        SINGLE,
        gate=_after,
    ),
    _switched(
        "gate",
        "silent neurons get no gradient; expected: their gate stays open",
        "z == 0 confused with silence",
        SINGLE,
        gate=_closed_if_silent,
    ),
    _switched(
        "double-sum",
        "one running sum in place of two: factor 1 for t-k+1",
        "a cumsum is missing (Eq. 7)",
        SINGLE,
        to_crossings=_single_sum,
    ),
    _switched(
        "double-sum",
        "no running sum: the gradient of z is taken for that of S~",
        "P^T is missing (Eq. 7)",
        SINGLE,
        to_crossings=lambda g: g,
    ),
    _switched(
        "double-sum",
        "the factor is t-k; expected t-k+1",
        "the kernel starts at 0",
        SINGLE,
        to_crossings=_strict_sum,
    ),
    _switched(
        "double-sum",
        "the running sums go forward in time; expected from the end",
        "P in place of P^T",
        SINGLE,
        to_crossings=_forward_sum,
    ),
    _switched(
        "surrogate",
        "the surrogate is centred at 0; expected at the threshold",
        "h'(V) for h'(V - theta)",
        surrogate=lambda v, theta, s: _paper(v, 0.0, s),
    ),
    _switched(
        "surrogate",
        "the surrogate is centred at 1; expected at the threshold",
        "a literal 1",
        surrogate=lambda v, theta, s: _paper(v, 1.0, s),
    ),
    _switched(
        "surrogate",
        "the surrogate is not squared: 1 / (1 + s|u|)",
        "the square is missing",
        surrogate=lambda v, theta, s: np.sqrt(_paper(v, theta, s)),
    ),
    _switched(
        "surrogate",
        "the surrogate is 1 / (1 + (s u)^2); expected 1 / (1 + s|u|)^2",
        "the square inside, or another surrogate (arctan)",
        surrogate=lambda v, theta, s: 1 / (1 + (s * (v - theta)) ** 2),
    ),
    _switched(
        "surrogate",
        "the surrogate is 1 / (1 + s|u|^2); expected 1 / (1 + s|u|)^2",
        "the square inside",
        surrogate=lambda v, theta, s: 1 / (1 + s * (v - theta) ** 2),
    ),
    _switched(
        "surrogate",
        "the absolute value is missing in the surrogate: 1 / (1 + s u)^2",
        "abs is missing",
        surrogate=lambda v, theta, s: 1 / (1 + s * (v - theta)) ** 2,
    ),
    _switched(
        "surrogate",
        "the surrogate is multiplied by the scale",
        "s / (1 + s|u|)^2",
        surrogate=lambda v, theta, s: s * _paper(v, theta, s),
    ),
    _switched(
        "surrogate",
        "the surrogate is divided by the scale",
        "1 / (s (1 + s|u|)^2)",
        surrogate=lambda v, theta, s: _paper(v, theta, s) / max(s, 1.0),
    ),
    _switched(
        "surrogate",
        "the fast sigmoid itself in place of its derivative",
        "h for h'",
        surrogate=lambda v, theta, s: (v - theta) / (1 + s * np.abs(v - theta)),
    ),
    _switched(
        "surrogate",
        "there is no surrogate: the derivative is taken as 1",
        "a plain straight-through step",
        surrogate=lambda v, theta, s: np.ones_like(v),
    ),
    *(
        _switched(
            "surrogate",
            f"the surrogate scale is {s:g}, whatever is passed",
            "the argument is not used",
            scale=s,
        )
        for s in (1.0, 10.0, 25.0, 100.0)
    ),
    _suspect(
        "surrogate",
        "the surrogate scale enters squared",
        "scale ** 2",
        lambda c: run_backward(c, scale=c.surrogate_scale**2),
    ),
    _suspect(
        "leak-gradient",
        "the decay is missing in the gradient: gI = gU",
        "A^T is missing (Eq. 9)",
        lambda c: run_backward(c, decay=np.zeros_like(c.decay)),
    ),
    _suspect(
        "leak-gradient",
        "the gradient does not decay on its way back (decay taken as 1)",
        "the decay is missing",
        lambda c: run_backward(c, decay=np.ones_like(c.decay)),
    ),
    _suspect(
        "leak-gradient",
        "the decay is squared in the gradient",
        "the decay is applied twice a step",
        lambda c: run_backward(c, decay=c.decay.astype(np.float64) ** 2),
    ),
    _suspect(
        "leak-gradient",
        "1 - decay is used in the gradient",
        "decay and leak confused",
        lambda c: run_backward(c, decay=1 - c.decay.astype(np.float64)),
    ),
    _suspect(
        "leak-gradient",
        "the first neuron's decay serves all in the gradient",
        "decay[0]",
        lambda c: run_backward(c, decay=np.full_like(c.decay, c.decay[0])),
    ),
    _switched(
        "leak-gradient",
        "the gradient decays by beta^(k-t+1); expected beta^(k-t)",
        "the kernel starts at beta",
        scale_new=True,
    ),
    _switched(
        "leak-gradient",
        "the gradient runs forward in time; expected from the end",
        "A in place of A^T",
        SINGLE,
        causal=True,
    ),
    _switched("sign", "every gradient has the wrong sign", "a sign", sign=-1.0),
    _switched(
        "reset-gradient",
        "the gradient through the reset is left out",
        "the reset is detached",
        MULTI,
        gradient="detached-reset",
    ),
    _switched(
        "reset-gradient",
        "the gradient through the reset is there; expected detached",
        "the reset is not detached",
        MULTI,
        gradient="through-reset",
    ),
    _switched(
        "reset-gradient", "the gradient through the reset has the wrong sign", "a sign", MULTI, reset=-1.0
    ),
    _suspect(
        "reset-gradient",
        "the gradient through the reset has the factor 1; expected the threshold",
        "a literal 1",
        lambda c: run_backward(c, reset=1 / c.threshold),
        MULTI,
    ),
    _switched(
        "decay-gradient",
        "gbeta pairs gI[t] with V[t]; expected V[t-1]",
        "the potential after the step",
        of_decay="same",
    ),
    _switched(
        "decay-gradient",
        "gbeta is made of gU; expected gI",
        "A^T is missing in gbeta (Eq. 9)",
        SINGLE,
        of_decay="direct",
    ),
    _switched(
        "decay-gradient",
        "gbeta pairs gI[t] with U[t-1], before the reset; expected V[t-1]",
        "U stored in place of V",
        MULTI,
        of_decay="before-reset",
    ),
    _switched("decay-gradient", "gbeta is 0", "no gradient by the decay", of_decay="none"),
    _switched(
        "input-gradient",
        "gx is made of gU; expected gI",
        "A^T is missing in gx",
        SINGLE,
        of_input="potential",
    ),
    _switched(
        "input-gradient", "gx uses the weight untransposed", "gI @ W for gI @ W^T", of_input="transposed"
    ),
    *(
        _suspect(
            "input-gradient",
            f"gx uses the weights of another {which}",
            "an index off by one",
            _rolled_weight(axis, shift),
        )
        for which, axis in (("neuron", 1), ("input", 0))
        for shift in (1, -1)
    ),
    *(
        _suspect(
            "input-step", "gW pairs gI[t] with x[t-1]; expected x[t]", "a shift by one", _shifted_input(roll)
        )
        for roll in (True, False)
    ),
    _suspect(
        "weight-orientation",
        "the gradient of the weight is transposed",
        "gI^T x for x^T gI",
        _weight_transposed,
    ),
    _suspect(
        "batch-sum",
        "gradients are averaged over the batch; expected summed",
        "mean for sum",
        _all_scaled(lambda c: 1 / c.shape[0]),
    ),
    _suspect(
        "batch-sum",
        "gradients are averaged over time; expected summed",
        "mean for sum",
        _all_scaled(lambda c: 1 / c.shape[1]),
    ),
    _suspect(
        "batch-sum",
        "gradients are averaged over batch and time; expected summed",
        "mean for sum",
        _all_scaled(lambda c: 1 / (c.shape[0] * c.shape[1])),
    ),
    *(
        _suspect(
            "batch-sum",
            f"the gradient of {name} is averaged over {over}; expected summed",
            "mean for sum",
            _scaled(**{name: factor}),
        )
        for name in ("weight", "bias", "decay")
        for over, factor in (
            ("the batch", lambda c: 1 / c.shape[0]),
            ("time", lambda c: 1 / c.shape[1]),
            ("batch and time", lambda c: 1 / (c.shape[0] * c.shape[1])),
        )
    ),
    *(
        _suspect(
            "sign", f"the gradient of {name} has the wrong sign", "a sign", _scaled(**{name: lambda c: -1.0})
        )
        for name in ("weight", "bias", "decay", "spikes")
    ),
    _suspect("batch-sum", "only the first sample enters the gradient", "an index left at 0", _one_sample(0)),
    _suspect("batch-sum", "only the last sample enters the gradient", "= in place of +=", _one_sample(-1)),
    _suspect(
        "bias-gradient",
        "the gradient of the bias is that of step 0 only",
        "the bias as a starting value",
        _bias_of_step(0),
    ),
    _suspect(
        "bias-gradient",
        "the gradient of the bias is that of the last step only",
        "= in place of +=",
        _bias_of_step(-1),
    ),
    _switched(
        "last-step",
        "the last step is left out of the sums",
        "a loop or slice that ends at T - 1",
        steps=slice(None, -1),
    ),
    _switched(
        "first-step",
        "the first step is left out of the sums",
        "a loop that starts at 1",
        steps=slice(1, None),
    ),
    _suspect(
        "threshold",
        "the threshold is taken as 1, whatever is passed",
        "a literal 1",
        _from_forward(threshold=lambda c: 1.0),
    ),
    _suspect(
        "bias",
        "the bias is left out of the forward pass inside backward",
        "spikes @ weight without bias",
        _from_forward(bias=lambda c: np.zeros_like(c.bias)),
    ),
]
