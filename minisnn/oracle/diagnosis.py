"""From wrong answers to the broken rule in words: which mistake reproduces them all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .bounds import judge_spike_times, judge_spikes
from .cases import Case
from .exact import nearest
from .judge import Judge, Verdict
from .port import Output
from .suspects_backward import BACKWARD_SUSPECTS
from .suspects_forward import FORWARD_SUSPECTS, Suspect

__all__ = ["Diagnosis", "Record", "diagnose"]

Floats = NDArray[Any]

# Rules for what is seen before any number is judged: what it is, where to look.
ACCIDENTS = {
    "exception": (
        "raises an exception",
        "shapes (batch, time, neuron) and (n_in, n_out); T = 1; no input spike",
    ),
    "timeout": ("does not answer in time", "an endless loop, a deadlock, or --timeout is too short"),
    "answer": ("does not return what a port returns", "(spikes, membrane), or a mapping of gradients"),
    "shape": (
        "returns an array of the wrong shape",
        "axis order (batch, time, neuron); weight (n_in, n_out)",
    ),
    "nan": (
        "returns NaN or infinity for finite input",
        "memory that nobody wrote; 0 ** 0; a division by the decay",
    ),
    "changed-input": ("changes its input in place", "+= on an argument; copy it first"),
    "raster": ("returns spikes that are not spikes", "0 and 1 in the raster, at most one spike per neuron"),
    "non-deterministic": (
        "answers differently when asked again",
        "state kept between calls; memory that nobody wrote; atomic additions in another order",
    ),
}


@dataclass(frozen=True, eq=False)
class Record:
    """A case that was tried, what came, and the verdict."""

    case: Case
    output: Output
    verdict: Verdict

    @property
    def kinds(self) -> tuple[str, ...]:
        """Kinds of its violations."""
        return tuple(violation.kind for violation in self.verdict.violations)

    @property
    def readable(self) -> bool:
        """Whether the answer could be judged as numbers."""
        return not self.output.violations


@dataclass(frozen=True)
class Diagnosis:
    """The broken rule.

    Parameters
    ----------
    rule : str
        Short name.
    text : str
        What the port does, and what was expected.
    likely : tuple of str
        Where to look.
    also : tuple of str
        Other mistakes that explain the same answers.
    """

    rule: str
    text: str
    likely: tuple[str, ...]
    also: tuple[str, ...] = ()


@np.errstate(all="ignore")
def diagnose(failing: Sequence[Record], passing: Sequence[Record], judge: Judge) -> Diagnosis:
    """Name the rule that the port breaks.

    Parameters
    ----------
    failing, passing : sequences of Record
        Of one direction (forward or backward), at least one failing. A mistake is named only if it reproduces the
        wrong answers and the right ones.
    judge : Judge
        The rules in force.
    """
    for kind in ("timeout", "changed-input", "non-deterministic", "nan"):
        if any(kind in record.kinds for record in failing):
            return Diagnosis(kind, ACCIDENTS[kind][0], (ACCIDENTS[kind][1],))
    readable = [record for record in failing if record.readable]
    if readable:
        others = [record for record in passing if record.readable and record.case.size <= 2000][:60]
        matching = [s for s in _matching(readable[:20], others) if _breaks_the_same(s, readable[:20], judge)]
        if matching:
            first, *rest = matching
            also = tuple(dict.fromkeys(other.text for other in rest if other.text != first.text))
            return Diagnosis(first.rule, first.text, (first.likely,), also)
        if readable[0].case.backward:
            by_name = _by_name(readable[:20], others, judge)
            if by_name is not None:
                return by_name
        unread = next((record.kinds[0] for record in failing if not record.readable), None)
        if unread is not None:  # more telling than numbers that no known mistake explains
            return Diagnosis(unread, ACCIDENTS[unread][0], (ACCIDENTS[unread][1],))
        if judge.bound == "standard":
            looser = Judge("fft", judge.convention)
            if not any(looser.verdict(record.case, record.output).violations for record in readable):
                return Diagnosis(
                    "bound",
                    "errors are larger than any order of summation makes them, but within what a convolution by "
                    "FFT makes",
                    ("if time is convolved by FFT, --bound fft judges it by its own bound",),
                )
        if readable[0].case.backward:
            return _gradient_precision(readable) or _symptom(readable)
        return _precision(readable, judge) or _by_membrane(readable[:20], others, judge) or _symptom(readable)
    kind = failing[0].kinds[0]
    return Diagnosis(kind, ACCIDENTS[kind][0], (ACCIDENTS[kind][1],))


def _by_name(failing: Sequence[Record], passing: Sequence[Record], judge: Judge) -> Diagnosis | None:
    """Several mistakes at once: the gradients one by one, each explained by a mistake of its own."""
    names = sorted({kind.removeprefix("gradient of ") for record in failing for kind in record.kinds})
    found: dict[str, Suspect] = {}
    for name in names:
        alone = [_only(record, name) for record in failing if f"gradient of {name}" in record.kinds]
        fine = [_only(record, name) for record in passing if name in (record.output.gradients or {})]
        matching = [s for s in _matching(alone, fine) if _breaks_the_same(s, alone, judge)] if alone else []
        if matching:
            found[name] = matching[0]
    if not found:
        return None
    texts = [f"{suspect.text} (seen in the gradient of {name})" for name, suspect in found.items()]
    texts += [f"the gradient of {name} is wrong too" for name in names if name not in found]
    first = next(iter(found.values()))
    likely = tuple(dict.fromkeys(suspect.likely for suspect in found.values()))
    return Diagnosis(first.rule, "; ".join(texts), likely)


def _only(record: Record, name: str) -> Record:
    """The record of a port that returns that one gradient."""
    gradients = {key: value for key, value in (record.output.gradients or {}).items() if key == name}
    violations = tuple(v for v in record.verdict.violations if v.kind == f"gradient of {name}")
    return Record(record.case, Output(gradients=gradients), Verdict(violations))


def _matching(failing: Sequence[Record], passing: Sequence[Record]) -> list[Suspect]:
    neuron, backward = failing[0].case.neuron, failing[0].case.backward
    suspects = BACKWARD_SUSPECTS if backward else FORWARD_SUSPECTS
    reproduces = _same_gradients if backward else _same_answer
    return [
        suspect
        for suspect in suspects
        if neuron in suspect.neurons and _explains(suspect, failing, passing, reproduces)
    ]


def _explains(
    suspect: Suspect, failing: Sequence[Record], passing: Sequence[Record], reproduces: Any
) -> bool:
    seen = 0
    for record in (*failing, *passing):
        with np.errstate(all="ignore"):
            answer = suspect.run(record.case)
        if answer is None:
            continue
        if not reproduces(record, answer):
            return False
        seen += record.verdict.violations != ()
    return seen > 0


def _breaks_the_same(suspect: Suspect, failing: Sequence[Record], judge: Judge) -> bool:
    """Whether the mistake breaks in every case what the port breaks: agreement within a tolerance is not enough."""
    for record in failing:
        with np.errstate(all="ignore"):
            answer = suspect.run(record.case)
        if answer is None:
            continue
        output = record.output
        if record.case.backward:
            theirs = {name: answer[name] for name in output.gradients or {}}
            verdict = judge.verdict(record.case, Output(gradients=theirs))
        else:
            raster, membrane = answer
            if output.times is None and output.raster is None:
                return True
            times = np.where(raster.any(axis=1), raster.argmax(axis=1), raster.shape[1])
            verdict = judge.verdict(
                record.case,
                Output(
                    raster=raster if output.raster is not None else None,
                    times=times,
                    membrane=None if output.membrane is None else membrane,
                ),
            )
        if not set(record.kinds) <= {violation.kind for violation in verdict.violations}:
            return False
    return True


def _tolerance(case: Case) -> float:
    return 2e-4 if case.dtype == np.float32 else 1e-9


def _same_answer(record: Record, answer: tuple[Floats, Floats]) -> bool:
    raster, membrane = answer
    output, tolerance = record.output, _tolerance(record.case)
    if output.membrane is not None:
        scale = 1 + float(np.abs(membrane).max())
        if not np.abs(output.membrane - membrane).max() <= tolerance * scale:
            return False
    # A potential within rounding of the threshold may go either way, here as in the port.
    n_close = 0 if record.case.exact else raster.size // 500
    if output.raster is not None:
        return int((output.raster != raster).sum()) <= 2 * n_close
    if output.times is None:  # only the membrane is asked about
        return True
    times = np.where(raster.any(axis=1), raster.argmax(axis=1), raster.shape[1])
    return int((output.times != times).sum()) <= n_close


def _same_gradients(record: Record, answer: dict[str, Floats]) -> bool:
    tolerance = 5 * _tolerance(record.case)
    for name, came in (record.output.gradients or {}).items():
        scale = float(np.abs(answer[name]).max(initial=0.0)) + 1e-6
        if not np.isfinite(answer[name]).all() or np.abs(came - answer[name]).max() > tolerance * scale:
            return False
    return True


def _precision(failing: Sequence[Record], judge: Judge) -> Diagnosis | None:
    """Whether all that is wrong is as wrong as rounding in a lower precision would make it."""
    dtype = failing[0].case.dtype
    for name, unit in (("float32", 2.0**-24), ("float16", 2.0**-11), ("bfloat16", 2.0**-8)):
        if unit <= float(np.finfo(dtype).eps):
            continue
        verdicts = [within for record in failing if (within := _within(record, judge, unit)) is not None]
        if verdicts and all(verdicts):
            return Diagnosis(
                "precision",
                f"errors are as large as rounding to {name} would make them; expected {dtype} throughout",
                (
                    f"an intermediate result, the kernel of powers, or an accumulator in {name}",
                    "an approximate exp",
                ),
            )
    return None


def _gradient_precision(failing: Sequence[Record]) -> Diagnosis | None:
    """The same for gradients, whose bounds grow with the unit of rounding."""
    dtype = failing[0].case.dtype
    # Error over bound, times the unit of the record's own precision: the unit that would explain the error.
    explaining = max(
        ratio * float(np.finfo(record.case.dtype).eps) / 2
        for record in failing
        for ratio in record.verdict.ratios.values()
    )
    for name, unit in (("float32", 2.0**-24), ("float16", 2.0**-11), ("bfloat16", 2.0**-8)):
        if unit > float(np.finfo(dtype).eps) and explaining <= 2 * unit:
            return Diagnosis(
                "precision",
                f"errors are as large as rounding to {name} would make them; expected {dtype} throughout",
                (f"an intermediate result or an accumulator in {name}",),
            )
    return None


def _by_membrane(failing: Sequence[Record], passing: Sequence[Record], judge: Judge) -> Diagnosis | None:
    """Several mistakes at once: what explains the membrane, the spikes left aside."""
    if any(record.output.membrane is None for record in (*failing, *passing)):
        return None
    alone = [record for record in failing if "membrane" in record.kinds]
    seen = [
        Record(record.case, Output(membrane=record.output.membrane), Verdict(_of(record, "membrane")))
        for record in (*alone, *passing)
    ]
    matching = (
        [
            suspect
            for suspect in _matching(seen[: len(alone)], seen[len(alone) :])
            if _breaks_the_same(suspect, seen[: len(alone)], judge)
        ]
        if alone
        else []
    )
    if not matching:
        return None
    first = matching[0]
    return Diagnosis(
        first.rule, f"{first.text} (so the membrane; the spikes do not follow from it)", (first.likely,)
    )


def _of(record: Record, kind: str) -> tuple[Any, ...]:
    return tuple(violation for violation in record.verdict.violations if violation.kind == kind)


def _within(record: Record, judge: Judge, unit: float) -> bool | None:
    """Whether an answer is right to that unit of rounding; None if such rounding could explain anything."""
    case, output = record.case, record.output
    fired = output.raster if case.neuron == "multi-spike" else None
    forward = judge.reference(case, fired)
    per_unit = judge.potential_bound(case, fired, dtype=np.float64) / 2.0**-53
    bound = per_unit * unit
    exact = nearest(forward.membrane)[0]
    if float(bound.max()) > 0.1 * max(case.threshold, float(np.abs(exact).max())):
        return None
    if output.membrane is not None and (np.abs(output.membrane - exact) > 2 * bound).any():
        return False
    if fired is not None:
        return bool(judge_spikes(fired, forward.potential, bound, case.threshold).right.all())
    assert output.times is not None
    return bool(judge_spike_times(output.times, forward.potential, bound, case.threshold).right.all())


def _symptom(failing: Sequence[Record]) -> Diagnosis:
    """What is wrong, where no known mistake reproduces it."""
    kinds = {kind for record in failing for kind in record.kinds}
    if failing[0].case.backward:
        names = sorted(kind.removeprefix("gradient of ") for kind in kinds)
        equation = {"weight": "Eq. 10", "bias": "Eq. 10", "decay": "Eq. 9", "spikes": "Eq. 11"}
        wrong = ", ".join(f"{name} ({equation[name]})" for name in names if name in equation)
        return Diagnosis("gradient", f"the gradient is wrong by more than any rounding explains: {wrong}", ())
    if "membrane" in kinds:
        equation_of = {"single-spike": "Eqs. 1 and 2", "multi-spike": "Eqs. 1 and 12 to 14"}[
            failing[0].case.neuron
        ]
        return Diagnosis(
            "membrane",
            f"the membrane potential differs from {equation_of} by more than any order of summation explains",
            (),
        )
    if "raster" in kinds:
        return Diagnosis("raster", ACCIDENTS["raster"][0], (ACCIDENTS["raster"][1],))
    membrane_known = all(record.output.membrane is not None for record in failing)
    where = "though the membrane is right" if membrane_known else "(the port returns no membrane to look at)"
    return Diagnosis(
        "spikes", f"spikes fall into wrong steps {where}", ("the comparison with the threshold (Eq. 3)",)
    )
