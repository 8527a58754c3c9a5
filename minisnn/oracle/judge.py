"""The verdict on one answer of a port: spikes, membrane and gradients, each against its own bound."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple, cast
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from ..reading import checked_name
from . import bounds
from .cases import Case
from .exact import exact_in_any_order
from .port import Output, Violation
from .reference import Forward, reference_backward, reference_forward

Floats = NDArray[Any]
MARGIN = 8.0  # bounds that a potential keeps from the threshold where a spike is decided with room to spare

CONVENTIONS = {
    "tie-fires": "a potential equal to the threshold fires (V >= theta)",
    "scaled-input": "the input is scaled by 1 - decay: V[t] = beta V[t-1] + (1 - beta) (x[t] @ W + b)",
}


@dataclass(frozen=True)
class Verdict:
    """What is wrong with an answer, and how near it came to what is allowed."""

    violations: tuple[Violation, ...] = ()  # empty for a right answer
    ratios: dict[str, float] = field(default_factory=dict)  # largest error over bound: membrane, weight, ...
    judged: int = 0  # numbers: spike decisions, potentials, components of gradients
    undecided: int = 0  # of them spike decisions in which two correct implementations may differ

    def and_of(self, kind: str, came: Floats, expected: Floats, bound: Floats, title: str = "") -> Verdict:
        """The verdict on these numbers too."""
        wrong, ratio = compare(came, expected, bound)
        violations, part = self.violations, kind.rpartition(".")[2].removeprefix("gradient of ")
        if wrong.any():
            violations += (Violation(kind, wrong_value(title or kind, came, expected, bound, wrong)),)
        ratios = self.ratios | {part: max(ratio, self.ratios.get(part, 0.0))}
        return Verdict(violations, ratios, self.judged + wrong.size, self.undecided)


# ---- spikes ---------------------------------------------------------------------------------------


class SpikeVerdict(NamedTuple):
    """What the bound says about spikes, (B, N) for spike times, (B, T, N) for the conventional layer."""

    right: NDArray[np.bool_]
    undecided: NDArray[np.bool_]  # where two correct implementations may differ


def _crossings(potential: Any, bound: Floats, threshold: float, tie_fires: bool) -> list[NDArray[np.bool_]]:
    """(B, T, N) where the potential certainly crosses the threshold, and where it possibly does."""
    distance = np.asarray(potential, np.float64) - threshold
    crosses = np.greater_equal if tie_fires else np.greater
    return [crosses(distance - bound, 0), crosses(distance + bound, 0)]


def judge_spike_times(
    spike_times: NDArray[Any],
    potential: Any,
    bound: Floats,
    threshold: float = 1.0,
    *,
    tie_fires: bool = False,
) -> SpikeVerdict:
    """Judge first-spike times (B, N), T for never, given the potential of the reference and its bound (B, T, N).

    Examples
    --------
    >>> v = np.array([[[0.5], [1.0 + 1e-9], [2.0]]])
    >>> bound = np.full((1, 3, 1), 1e-8)  # step 1 is undecided, step 2 certainly crosses
    >>> [bool(judge_spike_times(np.array([[t]]), v, bound).right[0, 0]) for t in range(4)]
    [False, True, True, False]
    """
    times, n_steps = np.asarray(spike_times), np.shape(potential)[1]
    never = np.ones((len(times), 1, times.shape[1]), dtype=bool)  # a step T, in which every neuron crosses
    certain, possible = (
        np.concatenate([crosses, never], axis=1)
        for crosses in _crossings(potential, bound, threshold, tie_fires)
    )
    at_spike = np.take_along_axis(possible, np.clip(times, 0, n_steps)[:, None].astype(np.int64), axis=1)
    first_certain, first_possible = certain.argmax(axis=1), possible.argmax(axis=1)
    right = (times >= 0) & (times <= first_certain) & at_spike[:, 0]
    return SpikeVerdict(right, first_certain != first_possible)


def judge_spikes(
    fired: NDArray[np.bool_],
    potential: Any,
    bound: Floats,
    threshold: float = 1.0,
    *,
    tie_fires: bool = False,
) -> SpikeVerdict:
    """Judge every step of the conventional layer; `potential` and `bound` must be those given `fired`.

    Examples
    --------
    >>> v = np.array([[[0.5], [1.0], [2.0]]])
    >>> judge_spikes(np.array([[[0], [1], [1]]], dtype=bool), v, np.zeros((1, 3, 1))).right.ravel()
    array([ True, False,  True])
    """
    certain, possible = _crossings(potential, bound, threshold, tie_fires)
    return SpikeVerdict(np.where(fired, possible, ~certain), certain != possible)


# ---- answers --------------------------------------------------------------------------------------


# Results of the reference for cases already met: the golden and edge cases are the same in every check of a process.
_MEMO: WeakKeyDictionary[Case, dict[Any, Any]] = WeakKeyDictionary()


def _remembered(case: Case, key: Any, make: Callable[[], Any]) -> Any:
    known = _MEMO.setdefault(case, {})
    if key not in known:
        known[key] = make()
    return known[key]


class Judge:
    """The rules by which a port is judged; `bound` and `convention` as in `minisnn.oracle.check`."""

    def __init__(self, bound: str = "standard", convention: str | Iterable[str] | None = None) -> None:
        self.bound = checked_name("bound", bound, bounds.KINDS)
        several = isinstance(convention, Iterable) and not isinstance(convention, str)
        names: Any = () if convention is None else convention if several else (convention,)
        self.convention = tuple(checked_name("convention", name, CONVENTIONS) for name in names)
        self.tie_fires = "tie-fires" in self.convention
        self.input_scaled = "scaled-input" in self.convention

    # ---- pieces -------------------------------------------------------------------------------------

    def reference(self, case: Case, fired: NDArray[np.bool_] | None = None) -> Forward:
        """The forward pass by these rules, given spikes in the conventional layer."""
        rules: dict[str, Any] = {"tie_fires": self.tie_fires, "input_scaled": self.input_scaled}
        if fired is not None:
            return reference_forward(case, fired=fired, **rules)
        known = _remembered(case, ("forward", self.convention), lambda: reference_forward(case, **rules))
        return cast(Forward, known)

    def potential_bound(self, case: Case, forward: Forward) -> Floats:
        """E of `minisnn.oracle.bounds` for a case, given its spikes; zero where every way of computing is exact."""
        if self.bound != "standard" or self.input_scaled:
            return self.rounding(case, forward)
        exact = _remembered(case, "exact", lambda: exact_in_any_order(case))
        return np.zeros(case.shape) if exact.all() else np.where(exact, 0.0, self.rounding(case, forward))

    def rounding(self, case: Case, forward: Forward) -> Floats:
        """The same, if something rounds."""
        resets = forward.fired if case.neuron == "multi-spike" else None
        return bounds.potential_bound(case, resets, kind=self.bound, input_scaled=self.input_scaled)

    def decided(self, case: Case) -> bool:
        """Whether every spike is decided with room to spare (`MARGIN`)."""
        forward = self.reference(case)
        room = MARGIN * self.potential_bound(case, forward)
        return not self.spikes(case, forward, forward, room).undecided.any()

    def spikes(self, case: Case, came: Any, forward: Forward, bound: Floats) -> SpikeVerdict:
        """Judge `came.spike_times`, or in the conventional layer every step of `came.fired`."""
        rest = (forward.potential, bound, case.threshold)
        if case.neuron == "multi-spike":
            return judge_spikes(came.fired, *rest, tie_fires=self.tie_fires)
        return judge_spike_times(came.spike_times, *rest, tie_fires=self.tie_fires)

    # ---- verdicts -----------------------------------------------------------------------------------

    @np.errstate(all="ignore")  # an absurd answer may be too large to compare; a warning is no verdict
    def verdict(self, case: Case, output: Output) -> Verdict:
        """Judge what a port answered to a case."""
        if output.violations:
            return Verdict(output.violations)
        return self._gradients(case, output) if case.backward else self._forward(case, output)

    def _forward(self, case: Case, output: Output) -> Verdict:
        conventional, fired, membrane = case.neuron == "multi-spike", output.fired, output.membrane
        forward = self.reference(case, fired if conventional else None)
        bound = self.potential_bound(case, forward)
        violations: list[Violation] = []
        spikes = self.spikes(case, output, forward, bound)
        if not conventional and fired is not None and (fired.sum(axis=1) > 1).any():
            sample, neuron = np.argwhere(fired.sum(axis=1) > 1)[0]
            steps = np.flatnonzero(fired[sample, :, neuron]).tolist()
            text = f"sample {sample}, neuron {neuron} spikes in steps {steps}; expected at most one"
            violations.append(Violation("raster", text))
        if not spikes.right.all():
            detail = _wrong_step if conventional else _wrong_time
            violations.append(Violation("spikes", detail(case, output, forward, bound, ~spikes.right)))
        verdict = Verdict(tuple(violations), {}, spikes.right.size, int(spikes.undecided.sum()))
        if membrane is None:
            return verdict
        if conventional:  # the potential after the reset has met one rounding more, of V or of theta S
            unit = float(np.finfo(case.dtype).eps)
            more = unit * (np.abs(forward.membrane) + abs(case.threshold))
            bound = bound + np.where(bound > 0, more, 0.0)
        return verdict.and_of("membrane", membrane, forward.membrane, bound, "V")

    def _gradients(self, case: Case, output: Output) -> Verdict:
        def make() -> Any:
            forward = self.reference(case)
            backward = reference_backward(forward, case, input_scaled=self.input_scaled)
            rules: dict[str, Any] = {"kind": self.bound, "input_scaled": self.input_scaled}
            return backward.gradients, bounds.gradient_bounds(backward, forward, case, **rules)

        expected, allowed = _remembered(case, ("backward", self.convention, self.bound), make)
        verdict = Verdict()
        for name, came in (output.gradients or {}).items():
            verdict = verdict.and_of(f"gradient of {name}", came, expected[name], allowed[name])
        return verdict


def compare(came: Floats, expected: Floats, bound: Floats) -> tuple[NDArray[np.bool_], float]:
    """Where the error exceeds its bound, or is NaN; the largest ratio of error to bound (bounds of zero left out)."""
    error = np.abs(came - expected)
    ratio = np.divide(error, bound, out=np.zeros_like(error), where=bound > 0)
    return ~(error <= bound), float(ratio.max(initial=0.0))


def wrong_value(name: str, came: Floats, expected: Floats, bound: Floats, wrong: NDArray[np.bool_]) -> str:
    """The first of the `wrong` components as text."""
    place = tuple(int(k) for k in np.argwhere(wrong)[0])
    allowed = np.broadcast_to(bound, came.shape)[place]
    where = f"[{', '.join(map(str, place))}]" if place else ""
    return f"{name}{where}: expected {expected[place]:.9g} +- {allowed:.2g}, got {came[place]:.9g}"


def _wrong_time(case: Case, output: Any, forward: Forward, bound: Floats, wrong: NDArray[np.bool_]) -> str:
    sample, neuron = (int(k) for k in np.argwhere(wrong)[0])
    expected, came = (int(run.spike_times[sample, neuron]) for run in (forward, output))
    steps = ["no spike" if t == case.shape[1] else f"a spike in step {t}" for t in (expected, came)]
    words = [f"sample {sample}, neuron {neuron}: expected {steps[0]}, got {steps[1]}"]
    for t in sorted({expected, came} - {case.shape[1]}):
        potential = forward.potential[sample, t, neuron]
        words.append(f"V[{t}] = {potential:.9g} +- {bound[sample, t, neuron]:.2g}")
    return "; ".join([*words, f"threshold {case.threshold:g}"])


def _wrong_step(case: Case, output: Any, forward: Forward, bound: Floats, wrong: NDArray[np.bool_]) -> str:
    sample, step, neuron = place = tuple(int(k) for k in np.argwhere(wrong)[0])
    answers = ("a spike", "none") if not output.fired[place] else ("no spike", "one")
    given = "given the port's own earlier spikes " if step else ""
    return (
        f"sample {sample}, step {step}, neuron {neuron}: expected {answers[0]}, got {answers[1]}; "
        f"{given}U = {forward.potential[place]:.9g} +- {bound[place]:.2g}, threshold {case.threshold:g}"
    )
