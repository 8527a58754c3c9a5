"""Wrong forward passes by name: what a port probably does, found by doing it and comparing.

Every suspect is the model in float64 with one mistake. A port whose wrong answers, and right ones, are all
reproduced by a suspect has, in all likelihood, made that mistake; `minisnn.oracle.diagnosis` says so in words.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .cases import Case

__all__ = ["FORWARD_SUSPECTS", "Suspect"]

Floats = NDArray[Any]
Answer = tuple[NDArray[np.bool_], Floats]  # raster, membrane


@dataclass(frozen=True)
class Suspect:
    """One mistake.

    Parameters
    ----------
    rule : str
        Short name of the broken rule.
    text : str
        What the port does; what was expected.
    likely : str
        Where to look.
    run : callable
        The model with the mistake: of a case.
    neurons : tuple of str
        Layers in which the mistake can be made.
    """

    rule: str
    text: str
    likely: str
    run: Callable[[Case], Any]
    neurons: tuple[str, ...] = ("single-spike", "multi-spike")


def _integrate(current: Floats, decay: Floats, *, clip: bool = False, scale_new: bool = False) -> Floats:
    membrane, v = np.empty_like(current), np.zeros_like(current[:, 0])
    for t in range(current.shape[1]):
        v = decay * (v + current[:, t]) if scale_new else decay * v + current[:, t]
        if clip:
            v = np.maximum(v, 0)
        membrane[:, t] = v
    return membrane


def _current(case: Case) -> Floats:
    with np.errstate(all="ignore"):
        total: Floats = case.spikes.astype(np.float64) @ case.weight.astype(np.float64) + case.bias
    return total


def _first(above: NDArray[np.bool_]) -> NDArray[np.bool_]:
    first: NDArray[np.bool_] = above & (np.cumsum(above, axis=1) == 1)
    return first


def run_model(
    case: Case,
    *,
    current: Floats | None = None,
    decay: Floats | None = None,
    tie: bool = False,
    every: bool = False,
    last: bool = False,
    clip: bool = False,
    scale_new: bool = False,
    resets: str = "subtract",
    theta: float | None = None,
    compare_with: Floats | None = None,
) -> Answer:
    """The model of `case.neuron` in float64, with the mistakes that the switches name."""
    current = _current(case) if current is None else current
    beta = np.asarray(case.decay if decay is None else decay, np.float64)
    theta = case.threshold if theta is None else theta

    def fires(v: Floats) -> NDArray[np.bool_]:
        above: NDArray[np.bool_] = v >= theta if tie else v > theta
        return above

    if case.neuron == "single-spike":
        membrane = _integrate(current, beta, clip=clip, scale_new=scale_new)
        above = fires(membrane if compare_with is None else compare_with)
        if every:
            return above, membrane
        return (_first(above[:, ::-1])[:, ::-1] if last else _first(above)), membrane
    return _conventional(current, beta, theta, fires, resets, clip, scale_new)


def _conventional(
    current: Floats,
    beta: Floats,
    theta: float,
    fires: Callable[[Floats], NDArray[np.bool_]],
    resets: str,
    clip: bool,
    scale_new: bool,
) -> Answer:
    raster, membrane = np.zeros(current.shape, dtype=bool), np.empty_like(current)
    v = fired = np.zeros_like(current[:, 0])
    silent = np.zeros(v.shape, dtype=bool)
    for t in range(current.shape[1]):
        u = beta * (v + current[:, t]) if scale_new else beta * v + current[:, t]
        if resets == "late":  # subtracted in the step after the spike, when the threshold is passed again
            u = u - theta * fired
        elif resets == "late-zero":
            u = u - beta * v * fired
        if clip:
            u = np.maximum(u, 0)
        now = fires(u) & ~silent
        raster[:, t] = now
        fired = now.astype(np.float64)
        after = {"zero": u * (1 - fired), "one": u - fired}.get(resets, u - theta * fired)
        v = u if resets in ("none", "once", "late", "late-zero") else after
        membrane[:, t] = u if resets == "reports-before" else v
        if resets == "once":
            silent |= now
    return raster, membrane


# ---- mistakes of both layers ------------------------------------------------------------------------


def _transposed(case: Case) -> Answer | None:
    if case.weight.shape[0] != case.weight.shape[1]:
        return None
    return run_model(replace(case, weight=case.weight.T))


def _swapped_axes(case: Case) -> Answer:
    """Batch and time exchanged on the way in, and back on the way out."""
    raster, membrane = run_model(replace(case, spikes=case.spikes.transpose(1, 0, 2)))
    return raster.transpose(1, 0, 2), membrane.transpose(1, 0, 2)


def _swapped_input(case: Case) -> Answer | None:
    if case.shape[0] != case.shape[1]:
        return None
    return run_model(replace(case, spikes=case.spikes.transpose(1, 0, 2)))


def _samples(order: Callable[[Floats], Floats]) -> Callable[[Case], Answer]:
    return lambda case: run_model(replace(case, spikes=order(case.spikes)))


def _outputs_of(order: Callable[[Floats], Floats]) -> Callable[[Case], Answer]:
    def run(case: Case) -> Answer:
        raster, membrane = run_model(case)
        return order(raster), order(membrane)

    return run


def _carried_over(case: Case) -> Answer:
    """Every sample starts where the one before it ended."""
    batch, n_steps, n_in = case.spikes.shape
    raster, membrane = run_model(replace(case, spikes=case.spikes.reshape(1, batch * n_steps, n_in)))
    shape = (batch, n_steps, case.shape[2])
    if case.neuron == "single-spike":
        raster = _first(membrane.reshape(shape) > case.threshold)
    return raster.reshape(shape), membrane.reshape(shape)


def _delayed_input(case: Case) -> Answer:
    current = _current(case)
    return run_model(case, current=np.concatenate([np.zeros_like(current[:, :1]), current[:, :-1]], axis=1))


def _late_spikes(case: Case) -> Answer:
    raster, membrane = run_model(case)
    return np.concatenate([np.zeros_like(raster[:, :1]), raster[:, :-1]], axis=1), membrane


def _early_spikes(case: Case) -> Answer:
    raster, membrane = run_model(case)
    early = np.concatenate([raster[:, 1:], np.zeros_like(raster[:, :1])], axis=1)
    early[:, 0] |= raster[:, 0]
    return early, membrane


def _early_and_lost(case: Case) -> Answer:
    raster, membrane = run_model(case)
    return np.concatenate([raster[:, 1:], np.zeros_like(raster[:, :1])], axis=1), membrane


def _small_counter(case: Case) -> Answer:
    """The double running sum in eight bits: it comes round to 1 again."""
    _, membrane = run_model(case)
    above = (membrane > case.threshold).astype(np.uint8)
    z = np.cumsum(np.cumsum(above, axis=1, dtype=np.uint8), axis=1, dtype=np.uint8)
    return z == 1, membrane


def _without_input(index: int) -> Callable[[Case], Answer]:
    def run(case: Case) -> Answer:
        if case.weight.shape[0] == 1:
            return run_model(case)
        weight = case.weight.copy()
        weight[index] = 0
        return run_model(replace(case, weight=weight))

    return run


def _previous_potential(case: Case) -> Answer:
    _, membrane = run_model(case)
    before = np.concatenate([np.zeros_like(membrane[:, :1]), membrane[:, :-1]], axis=1)
    return _first(before > case.threshold), membrane


def _without_step(step: int) -> Callable[[Case], Answer]:
    def run(case: Case) -> Answer:
        current = _current(case)
        current[:, step] = 0
        return run_model(case, current=current)

    return run


def _last_unfired(case: Case) -> Answer:
    raster, membrane = run_model(case)
    raster = raster.copy()
    raster[:, -1] = False
    return raster, membrane


def _first_unfired(case: Case) -> Answer:
    raster, membrane = run_model(case)
    above = membrane > case.threshold
    above[:, 0] = False
    return _first(above) if case.neuron == "single-spike" else (raster & above), membrane


def _last_unwritten(case: Case) -> Answer:
    raster, membrane = _last_unfired(case)
    membrane = membrane.copy()
    membrane[:, -1] = 0
    return raster, membrane


def _bias_once(case: Case) -> Answer:
    current = _current(case) - case.bias
    current[:, 0] += case.bias
    return run_model(case, current=current)


def _powers(case: Case) -> Answer:
    """A[t,k] = beta^(t-k+1)."""
    return run_model(case, scale_new=True)


def _reset_after_spike(case: Case) -> Answer:
    conventional = run_model(replace(case, neuron="multi-spike"))
    return _first(conventional[0]), conventional[1]


def _reset_of_one(case: Case) -> Answer:
    conventional = run_model(replace(case, neuron="multi-spike", threshold=1.0))
    return _first(conventional[0]), conventional[1]


def _reset_to_zero(case: Case) -> Answer:
    conventional = run_model(replace(case, neuron="multi-spike"), resets="zero")
    return _first(conventional[0]), conventional[1]


def _twice(case: Case) -> Answer:
    _, membrane = run_model(case)
    above = membrane > case.threshold
    return above & (np.cumsum(above, axis=1) <= 2), membrane


def _rising_edges(case: Case) -> Answer:
    _, membrane = run_model(case)
    above = membrane > case.threshold
    edges = above.copy()
    edges[:, 1:] &= ~above[:, :-1]
    return edges, membrane


def _no_less_than(share: float) -> Callable[[Case], Answer]:
    return lambda case: run_model(case, theta=case.threshold + share)


SINGLE = ("single-spike",)
MULTI = ("multi-spike",)


def _suspect(rule: str, text: str, likely: str, run: Callable[[Case], Any], neurons: Any = None) -> Suspect:
    return Suspect(rule, text, likely, run, neurons or (*SINGLE, *MULTI))


FORWARD_SUSPECTS = [
    _suspect(
        "tie",
        "fires at V == threshold; expected strictly above (V > threshold)",
        ">= in place of >; heaviside(V - theta, 1); sign() + 1",
        lambda c: run_model(c, tie=True),
    ),
    _suspect(
        "first-only",
        "fires at every step above threshold; expected the first one only",
        "the selection of the first crossing (Eqs. 4 and 5) is missing",
        lambda c: run_model(c, every=True),
        SINGLE,
    ),
    _suspect(
        "first-only",
        "fires at every upward crossing; expected the first one only",
        "an edge detector in place of the selection of the first crossing",
        _rising_edges,
        SINGLE,
    ),
    _suspect(
        "first-only",
        "fires twice; expected once",
        "the selection of the first crossing tests the wrong running sum",
        _twice,
        SINGLE,
    ),
    _suspect(
        "first-only",
        "fires at the last step above threshold; expected the first",
        "argmax over reversed time",
        lambda c: run_model(c, last=True),
        SINGLE,
    ),
    _suspect(
        "spike-step",
        "the spike comes one step late; expected in the step in which V crosses",
        "V[t-1] compared with the threshold; a shift of the output; the spike of the state before the update",
        _late_spikes,
    ),
    _suspect(
        "spike-step",
        "the spike comes one step late; expected in the step in which V crosses",
        "V[t-1] compared with the threshold",
        _previous_potential,
        SINGLE,
    ),
    _suspect(
        "spike-step",
        "the spike comes one step early; expected in the step in which V crosses",
        "z == 0 next to z == 1; a shift by one",
        _early_spikes,
    ),
    _suspect(
        "spike-step",
        "the spike comes one step early, and is lost in step 0; expected in the step in which V crosses",
        "a shift by one",
        _early_and_lost,
    ),
    _suspect(
        "first-only",
        "the double running sum overflows in eight bits and comes round to 1; expected the first crossing only",
        "a counter of type uint8 or int8",
        _small_counter,
        SINGLE,
    ),
    *(
        _suspect(
            "inputs", f"the {name} input is left out", "a slice that is one too short", _without_input(index)
        )
        for name, index in (("last", -1), ("first", 0))
    ),
    _suspect(
        "last-step",
        "the last step never fires; expected to fire like any other",
        "a loop or slice that ends at T - 1",
        _last_unfired,
    ),
    _suspect(
        "last-step",
        "the last step is not computed; expected to be like any other",
        "a loop or slice that ends at T - 1",
        _last_unwritten,
    ),
    _suspect(
        "last-step",
        "the input of the last step is lost; expected to enter",
        "a loop or slice that ends at T - 1",
        _without_step(-1),
    ),
    _suspect(
        "first-step",
        "the input of the first step is lost; expected to enter",
        "a loop that starts at 1",
        _without_step(0),
    ),
    _suspect(
        "first-step",
        "the first step never fires; expected to fire like any other",
        "a loop that starts at 1",
        _first_unfired,
    ),
    _suspect(
        "input-step",
        "the input acts one step late; expected in its own step",
        "x[t-1] in place of x[t]; the state updated before the input is added",
        _delayed_input,
    ),
    _suspect(
        "reset",
        "the potential is reset after the spike; expected no reset in the single-spike layer",
        "a conventional neuron with its later spikes removed",
        _reset_after_spike,
        SINGLE,
    ),
    _suspect(
        "reset",
        "1 is subtracted after V passed 1; expected no reset in the single-spike layer",
        "a conventional neuron with a literal threshold",
        _reset_of_one,
        SINGLE,
    ),
    _suspect(
        "reset",
        "the potential is set to 0 after the spike; expected no reset in the single-spike layer",
        "a conventional neuron with its later spikes removed",
        _reset_to_zero,
        SINGLE,
    ),
    _suspect(
        "reset",
        "the reset sets the potential to 0; expected threshold subtracted",
        "reset to zero in place of subtraction",
        lambda c: run_model(c, resets="zero"),
        MULTI,
    ),
    _suspect(
        "reset",
        "the reset comes one step late; expected in the step of the spike",
        "the spike of the step before is subtracted (the default of some libraries)",
        lambda c: run_model(c, resets="late"),
        MULTI,
    ),
    _suspect(
        "reset",
        "the reset sets the potential to 0 one step late; expected threshold subtracted at once",
        "reset to zero of the step before",
        lambda c: run_model(c, resets="late-zero"),
        MULTI,
    ),
    _suspect(
        "reset",
        "the reset subtracts 1; expected the threshold",
        "a literal 1, or the spike itself",
        lambda c: run_model(c, resets="one"),
        MULTI,
    ),
    _suspect(
        "reset",
        "there is no reset; expected threshold subtracted in the step of the spike",
        "the reset line is missing, or acts on a copy",
        lambda c: run_model(c, resets="none"),
        MULTI,
    ),
    _suspect(
        "reset",
        "membrane is reported before the reset; expected after it",
        "U returned in place of V",
        lambda c: run_model(c, resets="reports-before"),
        MULTI,
    ),
    _suspect(
        "many-spikes",
        "a neuron fires once only; expected a conventional neuron to go on",
        "a single-spike layer",
        lambda c: run_model(c, resets="once"),
        MULTI,
    ),
    _suspect(
        "leak",
        "nothing leaks (decay taken as 1)",
        "the decay is not applied",
        lambda c: run_model(c, decay=np.ones_like(c.decay)),
    ),
    _suspect(
        "leak",
        "nothing is kept from step to step (decay taken as 0)",
        "the state is made anew in every step",
        lambda c: run_model(c, decay=np.zeros_like(c.decay)),
    ),
    _suspect(
        "leak",
        "the decay acts on the new input too: beta^(t-k+1) for beta^(t-k)",
        "the kernel starts at beta instead of 1; beta * (V + I)",
        _powers,
    ),
    _suspect(
        "leak",
        "the decay is squared",
        "the decay is applied twice a step",
        lambda c: run_model(c, decay=c.decay.astype(np.float64) ** 2),
    ),
    _suspect(
        "leak",
        "1 - decay is used for the decay",
        "decay and leak confused",
        lambda c: run_model(c, decay=1 - c.decay.astype(np.float64)),
    ),
    _suspect(
        "leak",
        "the square root of the decay is used",
        "dt / (2 tau) for dt / tau",
        lambda c: run_model(c, decay=np.sqrt(c.decay.astype(np.float64))),
    ),
    _suspect(
        "leak",
        "exp(-decay) is used for the decay",
        "the decay taken for dt / tau",
        lambda c: run_model(c, decay=np.exp(-c.decay.astype(np.float64))),
    ),
    _suspect(
        "decay-per-neuron",
        "the first neuron's decay serves all; expected one per neuron",
        "decay[0]",
        lambda c: run_model(c, decay=np.full_like(c.decay, c.decay[0])),
    ),
    _suspect(
        "decay-per-neuron",
        "the mean decay serves all; expected one per neuron",
        "decay.mean()",
        lambda c: run_model(c, decay=np.full_like(c.decay, c.decay.mean())),
    ),
    _suspect(
        "decay-per-neuron",
        "decays are assigned in reverse order",
        "an index that runs backwards",
        lambda c: run_model(c, decay=c.decay[::-1]),
    ),
    _suspect(
        "input-scale",
        "the input is scaled by 1 - decay; expected unscaled",
        "another library's convention: --convention scaled-input judges it by its own rule",
        lambda c: run_model(c, current=_current(c) * (1 - c.decay.astype(np.float64))),
    ),
    _suspect(
        "bias",
        "the bias is left out",
        "spikes @ weight without bias",
        lambda c: run_model(c, current=_current(c) - c.bias),
    ),
    _suspect(
        "bias",
        "the bias enters in step 0 only; expected in every step",
        "bias as a starting value",
        _bias_once,
    ),
    _suspect(
        "bias",
        "the bias enters twice",
        "bias added to the current and to the potential",
        lambda c: run_model(c, current=_current(c) + c.bias),
    ),
    _suspect(
        "bias", "the bias is subtracted", "a sign", lambda c: run_model(c, current=_current(c) - 2 * c.bias)
    ),
    _suspect(
        "threshold",
        "the threshold is taken as 1, whatever is passed",
        "a literal 1",
        lambda c: run_model(c, theta=1.0),
    ),
    _suspect(
        "threshold",
        "the potential is compared with 0",
        "the threshold is not subtracted",
        lambda c: run_model(c, theta=0.0),
    ),
    _suspect(
        "threshold",
        "the potential must exceed the threshold by a margin",
        "an epsilon in the comparison",
        _no_less_than(1e-6),
    ),
    _suspect(
        "threshold",
        "a potential a little below the threshold fires",
        "an epsilon in the comparison",
        _no_less_than(-1e-6),
    ),
    _suspect(
        "weight-orientation",
        "the weight is transposed; expected (n_in, n_out), current = spikes @ weight",
        "a weight of (n_out, n_in), as torch.nn.Linear keeps it",
        _transposed,
    ),
    _suspect(
        "axis-order",
        "batch and time are exchanged; expected (batch, time, neuron)",
        "time-first arrays, as many libraries use them",
        _swapped_axes,
    ),
    _suspect(
        "axis-order",
        "batch and time of the input are exchanged; expected (batch, time, neuron)",
        "time-first arrays, as many libraries use them",
        _swapped_input,
    ),
    _suspect(
        "batch",
        "every sample gets the input of sample 0",
        "an index left at 0",
        _samples(lambda x: np.repeat(x[:1], len(x), axis=0)),
    ),
    _suspect(
        "batch", "samples are in reverse order", "an index that runs backwards", _samples(lambda x: x[::-1])
    ),
    _suspect(
        "batch",
        "samples are shifted by one",
        "an index off by one",
        _samples(lambda x: np.roll(x, 1, axis=0)),
    ),
    _suspect(
        "batch",
        "samples are shifted by one",
        "an index off by one",
        _samples(lambda x: np.roll(x, -1, axis=0)),
    ),
    _suspect(
        "batch",
        "samples are mixed: each gets the sum of all",
        "a sum over the batch",
        _samples(lambda x: np.repeat(x.sum(axis=0, keepdims=True), len(x), axis=0)),
    ),
    _suspect(
        "batch",
        "samples are mixed: each gets the mean of all",
        "a mean over the batch",
        _samples(lambda x: np.repeat(x.mean(axis=0, keepdims=True), len(x), axis=0)),
    ),
    _suspect(
        "batch",
        "a sample starts where the one before it ended; expected V = 0",
        "the state is not cleared",
        _carried_over,
    ),
    _suspect(
        "neuron-order",
        "neurons are in reverse order",
        "an index that runs backwards",
        _outputs_of(lambda x: x[:, :, ::-1]),
    ),
    _suspect(
        "time-order",
        "time runs backwards",
        "a kernel that was not flipped (correlation for convolution)",
        lambda c: tuple(a[:, ::-1] for a in run_model(replace(c, spikes=c.spikes[:, ::-1]))),
    ),
    _suspect(
        "clip",
        "the potential is clipped at 0; expected negative values to stay",
        "a relu on the potential",
        lambda c: run_model(c, clip=True),
    ),
    _suspect(
        "clip",
        "negative current is dropped",
        "a relu on the current",
        lambda c: run_model(c, current=np.maximum(_current(c), 0)),
    ),
    _suspect(
        "clip",
        "the sign of the weight is lost",
        "abs(weight)",
        lambda c: run_model(replace(c, weight=np.abs(c.weight))),
    ),
]
