"""From wrong answers to the broken rule in words.

``golden/mistakes.json`` lists known mistakes, each with its literal answers to a few of the tiny cases: enough of
them to tell it from every other. A mistake is named if the port gives all of its answers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .cases import GRADIENT_NAMES, Case
from .families import FAMILIES
from .golden import flags, mistakes
from .judge import Judge, Verdict
from .port import LOST, Output

# Rules for what is seen before any number is judged: what it is, where to look.
ACCIDENTS = {
    "exception": (
        "raises an exception",
        "shapes (batch, time, neuron) and (n_in, n_out); T = 1; no input spike",
    ),
    "timeout": (
        "does not answer in time",
        "an endless loop, a deadlock, or --timeout is too short; a program must flush each answer",
    ),
    "crash": ("ends its process by a signal", "memory outside an array; an assertion of native code"),
    "exit": ("ends its process before it answers", "a call of exit; the program's loop over its cases"),
    "memory": ("takes more memory than there is", "a product of all shapes; --memory is too small"),
    "fork": ("lets a forked process come back from the call", "os.fork without os._exit in the child"),
    "protocol": ("sends what is no answer", "the order of bytes; what is printed goes to standard error"),
    "reused-buffer": ("overwrites an answer in a later call", "a buffer kept between calls; return a copy"),
    "missing": ("leaves cases without an answer", "the recording was cut off, or the program left its loop"),
    "answer": ("does not return what a port returns", "(spikes, membrane), or a mapping of gradients"),
    "shape": (
        "returns an array of the wrong shape",
        "axis order (batch, time, neuron); weight (n_in, n_out); bias and decay, and their gradients, of each neuron",
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

# The accidents that are the rule wherever they are seen, in this order.
_FIRST = (*LOST, "reused-buffer", "changed-input", "non-deterministic", "nan")

# Gradients as the known mistakes call them.
_FIELD = {f"gradient of {name}": f"grad_{name}" for name in GRADIENT_NAMES}
_FIELD["gradient of spikes"] = "grad_input"
_SEEN_IN = {
    "membrane": "so the membrane; the spikes do not follow from it",
    "spikes": "so the spikes; the membrane does not follow from it",
}


@dataclass(frozen=True, eq=False)
class Record:
    """A case that was tried, what came, and the verdict."""

    case: Case
    output: Output
    verdict: Verdict
    family: str = ""  # of `minisnn.oracle.families`, or "golden", "edge", "drawn"

    @property
    def kinds(self) -> tuple[str, ...]:
        """Kinds of its violations."""
        return tuple(violation.kind for violation in self.verdict.violations)

    @property
    def wrong(self) -> set[str]:
        """What is wrong in it: ``"spikes"``, ``"membrane"``, or gradients as ``"gradient of weight"``."""
        return {"spikes" if kind == "raster" else kind for kind in self.kinds}

    @property
    def readable(self) -> bool:
        """Whether the answer could be judged as numbers."""
        return not self.output.violations


@dataclass(frozen=True)
class Diagnosis:
    """The broken rule."""

    rule: str  # its short name
    text: str  # what the port does, and what was expected
    likely: tuple[str, ...]  # where to look
    also: tuple[str, ...] = ()  # other mistakes that explain the same answers


@np.errstate(all="ignore")
def diagnose(failing: Sequence[Record], passing: Sequence[Record], judge: Judge) -> Diagnosis:
    """Name the rule that the port breaks, from the failing (at least one) and passing cases of one direction."""
    found, names = _rule(failing, passing, judge), dict.fromkeys(record.family for record in failing)
    if names.keys() <= FAMILIES.keys():
        only = (f"only the family {name!r} shows it: {FAMILIES[name][1]}" for name in names)
        found = replace(found, likely=(*found.likely, *only))
    return found


def _rule(failing: Sequence[Record], passing: Sequence[Record], judge: Judge) -> Diagnosis:
    for kind in _FIRST:
        if any(kind in record.kinds for record in failing):
            return accident(kind)
    readable = [record for record in failing if record.readable]
    unread = [record for record in failing if not record.readable]
    if len(unread) > len(readable):  # where most answers cannot be judged, the others do not tell much
        return accident(unread[0].kinds[0])
    backward, judged = readable[0].case.backward, [r for r in (*failing, *passing) if r.readable]
    known = _whole(judged) or (_in_parts(judged) if backward else None)
    if known is not None:
        return known
    if unread:  # more telling than numbers that no known mistake explains
        return accident(unread[0].kinds[0])
    if any("raster" in record.kinds for record in readable):  # no rounding makes a second spike
        return _in_parts(judged) or accident("raster")
    if judge.bound == "standard":
        looser = Judge("fft", judge.convention)
        if not any(looser.verdict(record.case, record.output).violations for record in readable):
            text = "errors are larger than any order of summation makes them, but within what a convolution by FFT "
            look = "if time is convolved by FFT, --bound fft judges it by its own bound"
            return Diagnosis("bound", f"{text}makes", (look,))
    if backward:
        return gradient_precision(readable) or _symptom(readable)
    return _potential_precision(readable, judge) or _in_parts(judged) or _symptom(readable)


def accident(kind: str) -> Diagnosis:
    """The rule that is broken by what is seen before any number is judged."""
    return Diagnosis(kind, ACCIDENTS[kind][0], (ACCIDENTS[kind][1],))


# ---- known mistakes -----------------------------------------------------------------------------------


def _whole(records: Sequence[Record]) -> Diagnosis | None:
    """The first mistake that explains all that is wrong, and the others that do."""
    matching = list(_matching(records))
    if not matching:
        return None
    first, *others = matching
    also = dict.fromkeys(other["says"] for other in others if other["says"] != first["says"])
    return Diagnosis(first["rule"], first["says"], (first["look"],), tuple(also))


def _in_parts(records: Sequence[Record]) -> Diagnosis | None:
    """Several mistakes at once: those that explain one quantity each."""
    wrong = sorted(set[str]().union(*(record.wrong for record in records)))
    fewest = {name: min(_matching(records, name), key=_spoiled, default=None) for name in wrong}
    found = {name: mistake for name, mistake in fewest.items() if mistake is not None}
    if not found:
        return None
    seen = ((mistake["says"], _SEEN_IN.get(name, f"seen in the {name}")) for name, mistake in found.items())
    texts = [f"{says} ({where})" for says, where in seen]
    if records[0].case.backward:
        texts += [f"the {name} is wrong too" for name in wrong if name not in found]
    likely = tuple(dict.fromkeys(mistake["look"] for mistake in found.values()))
    return Diagnosis(next(iter(found.values()))["rule"], "; ".join(texts), likely)


def _spoiled(mistake: dict[str, Any]) -> int:
    """In how many quantities a mistake shows."""
    answers = [answer for answer in mistake["answers"].values() if answer != "right"]
    return len({name for answer in answers for name, value in answer.items() if value != "right"})


def _matching(records: Sequence[Record], quantity: str | None = None) -> Iterator[dict[str, Any]]:
    """Mistakes whose answers the port gives, in all quantities or in one of them."""
    tried: dict[str, list[Record]] = {}
    for record in records:
        tried.setdefault(record.case.id, []).append(record)
    for mistake in mistakes():
        pairs = [(r, answer) for id, answer in mistake["answers"].items() for r in tried.get(id, ())]
        if any(r.wrong & ({quantity} if quantity else r.wrong) for r, _ in pairs) and all(
            _gives(r, answer, quantity) for r, answer in pairs
        ):
            yield mistake


def _gives(record: Record, answer: Any, quantity: str | None) -> bool:
    """Whether an answer of the port is that of the mistake, as near as single precision tells."""
    came = _quantities(record.output)
    tolerance = 2e-4 if record.case.dtype == np.float32 else 1e-9
    for name in came if quantity is None else came.keys() & {quantity}:
        expected = answer if answer == "right" else answer[_FIELD.get(name, name)]
        if expected == "right":
            same = name not in record.wrong
        elif name == "spikes":  # the steps of every neuron, or of their first ones
            times = [[steps[0] if steps else record.case.shape[1] for steps in sample] for sample in expected]
            same = came[name] == (times if record.output.fired is None else expected)
        else:
            size = float(np.abs(expected).max(initial=0.0))
            scale = 1 + size if name == "membrane" else 5 * (size + 1e-6)
            same = np.abs(came[name] - np.asarray(expected)).max(initial=0.0) <= tolerance * scale
        if not same:
            return False
    return True


def _quantities(output: Output) -> dict[str, Any]:
    """What a port returned, by the kinds of what may be wrong in it."""
    gradients = (output.gradients or {}).items()
    values: dict[str, Any] = {f"gradient of {name}": value for name, value in gradients}
    if output.membrane is not None:
        values["membrane"] = output.membrane
    if output.fired is not None:
        values["spikes"] = [[np.flatnonzero(n).tolist() for n in sample.T] for sample in output.fired]
    elif output.spike_times is not None:
        values["spikes"] = output.spike_times.tolist()
    return values


# ---- where no known mistake explains it -----------------------------------------------------------------


_UNITS = {"float32": 2.0**-24, "float16": 2.0**-11, "bfloat16": 2.0**-8}


def _precision(
    failing: Sequence[Record], explains: Callable[[float], bool], *likely: str
) -> Diagnosis | None:
    """Whether all that is wrong is as wrong as rounding in a lower precision, told by its unit, would make it."""
    dtype = failing[0].case.dtype
    for name, unit in _UNITS.items():
        if unit > float(np.finfo(dtype).eps) and explains(unit):
            text = f"errors are as large as rounding to {name} would make them; expected {dtype} throughout"
            return Diagnosis("precision", text, tuple(cause.format(name) for cause in likely))
    return None


def gradient_precision(failing: Sequence[Record]) -> Diagnosis | None:
    """The same for quantities whose bounds grow with the unit of rounding, such as gradients."""
    # Error over bound, times the unit of the record's own precision: the unit that would explain the error.
    explaining = max(
        ratio * float(np.finfo(record.case.dtype).eps) / 2
        for record in failing
        for ratio in record.verdict.ratios.values()
    )
    likely = "an intermediate result or an accumulator in {}"
    return _precision(failing, lambda unit: explaining <= 2 * unit, likely)


def _potential_precision(failing: Sequence[Record], judge: Judge) -> Diagnosis | None:
    """The same for potentials and spikes."""

    def explains(unit: float) -> bool:
        verdicts = [within for record in failing if (within := _within(record, judge, unit)) is not None]
        return bool(verdicts) and all(verdicts)

    likely = "an intermediate result, the kernel of powers, or an accumulator in {}"
    return _precision(failing, explains, likely, "an approximate exp")


def _within(record: Record, judge: Judge, unit: float) -> bool | None:
    """Whether an answer is right to that unit of rounding; None if such rounding could explain anything."""
    case, output = record.case, record.output
    forward = judge.reference(case, output.fired if case.neuron == "multi-spike" else None)
    in_double = replace(case, weight=case.weight.astype(np.float64))
    bound, exact = judge.rounding(in_double, forward) / 2.0**-53 * unit, forward.membrane
    if float(bound.max()) > 0.1 * max(abs(case.threshold), float(np.abs(exact).max())):
        return None
    if output.membrane is not None and (np.abs(output.membrane - exact) > 2 * bound).any():
        return False
    return bool(judge.spikes(case, output, forward, bound).right.all())


def _symptom(failing: Sequence[Record]) -> Diagnosis:
    """What is wrong, where no known mistake reproduces it."""
    wrong = set[str]().union(*(record.wrong for record in failing))
    case = failing[0].case
    shared = set(case.flags).intersection(*(record.case.flags for record in failing))
    likely = tuple(text for flag, text in flags().items() if flag in shared - {"General", "Probe"})
    if case.backward:
        equation = {"weight": "Eq. 10", "bias": "Eq. 10", "decay": "Eq. 9", "spikes": "Eq. 11"}
        parts = sorted(kind.removeprefix("gradient of ") for kind in wrong)
        names = ", ".join(f"{part} ({equation[part]})" for part in parts)
        text = f"the gradient is wrong by more than any rounding explains: {names}"
        return Diagnosis("gradient", text, likely)
    if "membrane" in wrong:
        equations = "Eqs. 1 and 2" if case.neuron == "single-spike" else "Eqs. 1 and 12 to 14"
        text = f"the membrane potential differs from {equations} by more than any order of summation explains"
        return Diagnosis("membrane", text, likely)
    membrane_known = all(record.output.membrane is not None for record in failing)
    where = "though the membrane is right" if membrane_known else "(the port returns no membrane to look at)"
    likely = ("the comparison with the threshold (Eq. 3)", *likely)
    return Diagnosis("spikes", f"spikes fall into wrong steps {where}", likely)
