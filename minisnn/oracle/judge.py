"""The verdict on one answer of a port: spikes, membrane and gradients, each against its own bound."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from ..reading import checked_name
from .bounds import (
    SpikeVerdict,
    exact_in_any_order,
    gradient_bounds,
    judge_spike_times,
    judge_spikes,
    potential_bound,
)
from .cases import Case
from .port import Output, Violation
from .reference import Forward, reference_backward, reference_forward

__all__ = ["CONVENTIONS", "Judge", "Verdict", "compare", "wrong_value"]

Floats = NDArray[Any]

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


# Results of the reference for cases already met: the golden and edge cases are the same in every check of a process.
_MEMO: WeakKeyDictionary[Case, dict[Any, Any]] = WeakKeyDictionary()


def _remembered(case: Case, key: Any, make: Callable[[], Any]) -> Any:
    known = _MEMO.setdefault(case, {})
    if key not in known:
        known[key] = make()
    return known[key]


class Judge:
    """The rules by which a port is judged.

    Parameters
    ----------
    bound : {"standard", "fft"}
        Any order of summation, or a convolution by FFT.
    convention : str or list of str, optional
        Of `CONVENTIONS`: rules that differ from those of `minisnn.model`.
    """

    def __init__(self, bound: str = "standard", convention: str | Iterable[str] | None = None) -> None:
        self.bound = checked_name("bound", bound, ("standard", "fft"))
        names: Iterable[Any] = () if convention is None else (convention,)
        if isinstance(convention, Iterable) and not isinstance(convention, str):
            names = convention
        self.convention = tuple(checked_name("convention", name, CONVENTIONS) for name in names)
        self.tie_fires = "tie-fires" in self.convention
        self.input_scaled = "scaled-input" in self.convention

    # ---- pieces -------------------------------------------------------------------------------------

    def reference(self, case: Case, fired: NDArray[np.bool_] | None = None) -> Forward:
        """The forward pass by these rules, given spikes in the conventional layer."""
        rules: dict[str, Any] = {"tie_fires": self.tie_fires, "input_scaled": self.input_scaled}
        if fired is not None:
            return reference_forward(case, fired=fired, **rules)
        known: Forward = _remembered(
            case, ("forward", self.convention), lambda: reference_forward(case, **rules)
        )
        return known

    def potential_bound(
        self, case: Case, fired: NDArray[np.bool_] | None = None, dtype: Any = None
    ) -> NDArray[np.float64]:
        """E of `minisnn.oracle.bounds` for a case; zero where every way of computing is exact."""
        exact: Any = False
        if self.bound == "standard" and not self.input_scaled and dtype is None:
            exact = _remembered(case, "exact", lambda: exact_in_any_order(case))
            if exact.all():
                return np.zeros(case.shape)
        bound = potential_bound(
            case.spikes,
            case.weight,
            case.bias,
            case.decay,
            case.dtype if dtype is None else dtype,
            kind=self.bound,
            fired=fired,
            threshold=case.threshold,
            input_scaled=self.input_scaled,
        )
        return np.where(exact, 0.0, bound)

    def decided(self, case: Case, margin: float = 8.0) -> bool:
        """Whether every spike is decided with room to spare: no potential within `margin` bounds of the threshold."""
        forward = self.reference(case)
        fired = forward.fired if case.neuron == "multi-spike" else None
        spikes = self.spikes(
            case,
            Output(raster=fired, times=forward.spike_times),
            forward,
            margin * self.potential_bound(case, fired),
        )
        return not spikes.undecided.any()

    def spikes(self, case: Case, output: Output, forward: Forward, bound: Floats) -> SpikeVerdict:
        """Judge the spikes of an answer: every step in the conventional layer, else the first-spike times."""
        rest = (forward.potential, bound, case.threshold)
        if case.neuron == "multi-spike":
            assert output.raster is not None
            return judge_spikes(output.raster, *rest, tie_fires=self.tie_fires)
        assert output.times is not None
        return judge_spike_times(output.times, *rest, tie_fires=self.tie_fires)

    # ---- verdicts -----------------------------------------------------------------------------------

    @np.errstate(all="ignore")  # an absurd answer may be too large to compare; a warning is no verdict
    def verdict(self, case: Case, output: Output) -> Verdict:
        """Judge what a port answered to a case."""
        if output.violations:
            return Verdict(output.violations)
        return self._gradients(case, output) if case.backward else self._forward(case, output)

    def _forward(self, case: Case, output: Output) -> Verdict:
        conventional = case.neuron == "multi-spike"
        fired = output.raster if conventional else None
        forward = self.reference(case, fired)
        bound = self.potential_bound(case, fired)
        violations: list[Violation] = []
        spikes = self.spikes(case, output, forward, bound)
        detail = _wrong_step if conventional else _wrong_time
        if not conventional and output.raster is not None and (output.raster.sum(axis=1) > 1).any():
            sample, neuron = np.argwhere(output.raster.sum(axis=1) > 1)[0]
            steps = np.flatnonzero(output.raster[sample, :, neuron]).tolist()
            violations.append(
                Violation(
                    "raster",
                    f"sample {sample}, neuron {neuron} spikes in steps {steps}; expected at most one",
                )
            )
        if not spikes.right.all():
            violations.append(Violation("spikes", detail(case, output, forward, bound, ~spikes.right)))
        ratios: dict[str, float] = {}
        if output.membrane is not None:
            # After the reset the conventional layer's potential has met one rounding more, of V or of theta S.
            exact, unit = forward.membrane, float(np.finfo(case.dtype).eps)
            if conventional:
                bound = bound + np.where(bound > 0, unit * (np.abs(exact) + abs(case.threshold)), 0.0)
            wrong, ratios["membrane"] = compare(output.membrane, exact, bound)
            if wrong.any():
                violations.append(
                    Violation("membrane", wrong_value("V", output.membrane, exact, bound, wrong))
                )
        judged = spikes.right.size + (0 if output.membrane is None else output.membrane.size)
        return Verdict(tuple(violations), ratios, judged, int(spikes.undecided.sum()))

    def _reference_gradients(self, case: Case) -> tuple[dict[str, Floats], dict[str, Floats]]:
        forward = self.reference(case)
        backward = reference_backward(forward, case, input_scaled=self.input_scaled)
        bounds = gradient_bounds(backward, forward, case, kind=self.bound, input_scaled=self.input_scaled)
        return backward.gradients, bounds

    def _gradients(self, case: Case, output: Output) -> Verdict:
        assert output.gradients is not None
        expected, bounds = _remembered(
            case, ("backward", self.convention, self.bound), lambda: self._reference_gradients(case)
        )
        violations, ratios = [], {}
        for name, came in output.gradients.items():
            wrong, ratios[name] = compare(came, expected[name], bounds[name])
            if wrong.any():
                text = wrong_value(f"gradient of {name}", came, expected[name], bounds[name], wrong)
                violations.append(Violation(f"gradient of {name}", text))
        return Verdict(tuple(violations), ratios, sum(came.size for came in output.gradients.values()))


def compare(came: Floats, expected: Floats, bound: Floats) -> tuple[NDArray[np.bool_], float]:
    """Where the error exceeds its bound, or is NaN; the largest ratio of error to bound (bounds of zero left out)."""
    error = np.abs(came - expected)
    ratio = np.divide(error, bound, out=np.zeros_like(error), where=bound > 0)
    return ~(error <= bound), float(ratio.max(initial=0.0))


def wrong_value(name: str, came: Floats, expected: Floats, bound: Floats, wrong: NDArray[np.bool_]) -> str:
    """The first of the `wrong` components as text."""
    place = tuple(int(k) for k in np.argwhere(wrong)[0])
    allowed = np.broadcast_to(bound, came.shape)[place]
    where = f"[{', '.join(str(k) for k in place)}]" if place else ""
    return f"{name}{where}: expected {expected[place]:.9g} +- {allowed:.2g}, got {came[place]:.9g}"


def _wrong_time(case: Case, output: Output, forward: Forward, bound: Floats, wrong: NDArray[np.bool_]) -> str:
    sample, neuron = (int(k) for k in np.argwhere(wrong)[0])
    n_steps = case.shape[1]
    assert output.times is not None
    came, expected = int(output.times[sample, neuron]), int(forward.spike_times[sample, neuron])
    potential = forward.potential[sample, :, neuron]
    words = [
        f"sample {sample}, neuron {neuron}: expected {_step(expected, n_steps)}, got {_step(came, n_steps)}"
    ]
    for step in sorted({expected, came}):
        if step < n_steps:
            words.append(f"V[{step}] = {potential[step]:.9g} +- {bound[sample, step, neuron]:.2g}")
    return "; ".join([*words, f"threshold {case.threshold:g}"])


def _step(time: int, n_steps: int) -> str:
    return "no spike" if time == n_steps else f"a spike in step {time}"


def _wrong_step(case: Case, output: Output, forward: Forward, bound: Floats, wrong: NDArray[np.bool_]) -> str:
    sample, step, neuron = (int(k) for k in np.argwhere(wrong)[0])
    assert output.raster is not None
    came = bool(output.raster[sample, step, neuron])
    potential = forward.potential[sample, step, neuron]
    given = "given the port's own earlier spikes " if step else ""
    return (
        f"sample {sample}, step {step}, neuron {neuron}: expected {'no spike' if came else 'a spike'}, "
        f"got {'one' if came else 'none'}; {given}U = {potential:.9g} +- {bound[sample, step, neuron]:.2g}, "
        f"threshold {case.threshold:g}"
    )
