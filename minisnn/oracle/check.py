"""The checker: try a port of the single-spike layer, or of the conventional one, and judge it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..checks import checked_count, checked_float
from ..errors import DataError, InputError, one_line
from ..files import read_npz
from . import batteries
from .cases import Case, reduce_case
from .diagnosis import Record, diagnose
from .judge import Judge, Verdict, known_name
from .load import name_of
from .port import Port, Violation
from .report import Finding, Report

__all__ = ["assert_right", "check"]

_GRADIENTS: dict[str, dict[str, tuple[str, ...]]] = {
    "single-spike": {
        "both": ("gated", "straight-through"),
        "gated": ("gated",),
        "straight-through": ("straight-through",),
    },
    "multi-spike": {
        "both": ("through-reset",),
        "through-reset": ("through-reset",),
        "detached-reset": ("detached-reset",),
    },
}
_DTYPES = {"both": ("float32", "float64"), "float32": ("float32",), "float64": ("float64",)}
_REDUCE_SECONDS = 6.0


def check(
    forward: Callable[..., Any],
    backward: Callable[..., Any] | None = None,
    *,
    neuron: str = "single-spike",
    gradient: str = "both",
    dtype: str = "both",
    examples: int = 100,
    seed: int = 0,
    timeout: float = 10.0,
    bound: str = "standard",
    convention: str | Iterable[str] | None = None,
    save: str | Path | None = None,
) -> Report:
    """Try a port on golden vectors, edge cases, drawn cases and large ones, and judge every number by its bound.

    Parameters
    ----------
    forward : callable
        ``forward(spikes, weight, bias, decay, threshold) -> (spikes, membrane)``: spikes (B, T, n_in) 0 or 1, weight
        (n_in, N), bias (N,), decay (N,), all in the dtype under test and writable copies; threshold a float.
        Returns the raster (B, T, N), or spike times (B, N) with T for never, and the membrane potential or None:
        bool, integer or float, in whatever `numpy.asarray` takes. Complex numbers, objects, text, dates, records and
        masked arrays are findings.
    backward : callable, optional
        ``backward(spikes, weight, bias, decay, threshold, surrogate_scale, gradient, grad_spikes) -> mapping`` with any
        of ``spikes, weight, bias, decay``; `gradient` is ``"gated"`` or ``"straight-through"``, in the
        conventional layer ``"through-reset"`` or ``"detached-reset"``.
    neuron : {"single-spike", "multi-spike"}
        Layer the port computes.
    gradient : {"both", "gated", "straight-through", "through-reset", "detached-reset"}
        Which gradients to check; for the conventional layer "both" means ``"through-reset"``.
    dtype : {"both", "float32", "float64"}
        Precision under test.
    examples : int
        Cases drawn for every dtype and direction.
    seed : int
        Of the drawn cases.
    timeout : float
        Seconds allowed for a call. One that takes longer may have compiled: it is left to end within 120 s and made
        again, and is a finding if it takes longer again.
    bound : {"standard", "fft"}
        What the port may deviate: any order of summation, or a convolution by FFT (`minisnn.oracle.bounds`).
    convention : str or list of str, optional
        Other libraries' rules to judge by: ``"tie-fires"``, ``"scaled-input"``.
    save : path, optional
        Folder for the smallest failing cases, each with a pytest file.

    Returns
    -------
    report : Report
        ``.passed``, ``.findings``, and as text what was tried and how near the bound the port came.

    Raises
    ------
    InputError
        For arguments that make no sense; whatever the port does wrong is a finding instead.

    Examples
    --------
    >>> import minisnn
    >>> def port(spikes, weight, bias, decay, threshold):
    ...     trace = minisnn.single_spike_forward(spikes, weight, bias, decay, threshold=threshold)
    ...     return trace.spike_times, trace.membrane
    >>> check(port, examples=5, dtype="float64").passed
    True
    >>> report = check(lambda *a: (port(*a)[0], port(*a)[1] * 1.001), examples=5, dtype="float64")
    >>> report.passed, report.findings[0].violations[0].kind
    (False, 'membrane')
    """
    known_name("neuron", neuron, _GRADIENTS)
    if not callable(forward) or not (backward is None or callable(backward)):
        raise InputError(
            f"forward and backward must be functions, got {one_line(repr(forward))} and {one_line(repr(backward))}"
        )
    known_name("gradient", gradient, _GRADIENTS[neuron])
    known_name("dtype", dtype, _DTYPES)
    examples = checked_count("examples", examples, low=1)
    seed = checked_count("seed", seed)
    folder = None if save is None else _made(save)
    port = Port(forward, backward, checked_float("timeout", timeout, low=0, open_low=True))
    gradients = _GRADIENTS[neuron][gradient] if backward is not None else ()
    run = _Run(port, Judge(bound, convention), neuron, gradients, _DTYPES[dtype], examples, seed)
    try:
        report = run.report()
    finally:
        port.close()
    if folder is not None:
        report.save(folder, name_of(forward), None if backward is None else name_of(backward))
    return report


def _made(folder: Any) -> Path:
    try:
        path = Path(folder)
        path.mkdir(parents=True, exist_ok=True)
    except (OSError, TypeError, ValueError) as error:
        raise InputError(
            f"save must be a folder that can be made, got {folder!r}: {one_line(error)}"
        ) from None
    return path


class _Run:
    """One check: the cases tried so far, and what came of them."""

    def __init__(
        self,
        port: Port,
        judge: Judge,
        neuron: str,
        gradients: tuple[str, ...],
        dtypes: tuple[str, ...],
        examples: int,
        seed: int,
    ) -> None:
        self.port, self.judge, self.neuron, self.gradients = port, judge, neuron, gradients
        self.dtypes, self.examples, self.seed = dtypes, examples, seed
        self.started = time.monotonic()
        self.failing: dict[str, list[Record]] = {"forward": [], "backward": []}
        self.passing: dict[str, list[Record]] = {"forward": [], "backward": []}
        self.count = {"forward": 0, "backward": 0}
        self.tried: dict[str, int] = {}
        self.ratios: dict[str, float] = {}
        self.neuron_steps = self.judged = self.undecided = 0

    def report(self) -> Report:
        for dtype in self.dtypes:
            self.through(batteries.forward(self.neuron, dtype, self.examples, self.seed))
            if self.gradients:
                self.through(
                    batteries.backward(
                        self.neuron, dtype, self.gradients, self.examples, self.seed, self.judge
                    )
                )
        findings = [
            self.finding(direction) for direction in ("forward", "backward") if self.failing[direction]
        ]
        if len(findings) == 2:
            findings[1] = replace(findings[1], diagnosis=findings[1].diagnosis.after_forward())
        notes = []
        if self.port.dead:
            notes.append("the port did not answer in time; nothing was tried after that")
        if self.port.in_callers_thread:
            notes.append(
                "the port answers rightly only in the thread that loaded it: called there, where a call that "
                "never ends cannot be a finding"
            )
        settings = {
            "neuron": self.neuron,
            "dtypes": list(self.dtypes),
            "gradients": list(self.gradients),
            "examples": self.examples,
            "seed": self.seed,
            "bound": self.judge.bound,
            "convention": list(self.judge.convention),
        }
        return Report(
            tuple(findings),
            settings,
            self.tried,
            self.neuron_steps,
            self.judged,
            self.undecided,
            dict(sorted(self.ratios.items())),
            time.monotonic() - self.started,
            tuple(notes),
        )

    def through(self, cases: Iterable[tuple[str, Iterable[Case]]]) -> None:
        """Try batteries one after the other; where the fixed ones failed, or five drawn cases did, that will do."""
        failed = 0
        for battery, members in cases:
            fixed = battery in batteries.FIXED
            if failed and not fixed:
                break
            for case in members:
                if self.port.dead or (failed >= 5 and not fixed):
                    break
                failed += not self.visit(case, battery, repeat=fixed)

    # ---- one case -----------------------------------------------------------------------------------

    def visit(self, case: Case, battery: str, repeat: bool) -> bool:
        """Try a case, keep the record, and say whether it passed."""
        record = self.record(case, repeat)
        direction = "backward" if case.backward else "forward"
        self.tried[battery] = self.tried.get(battery, 0) + 1
        self.count[direction] += 1
        if record.readable and not case.backward:
            self.neuron_steps += int(np.prod(case.shape))
        self.judged += record.verdict.judged
        self.undecided += record.verdict.undecided
        for name, ratio in record.verdict.ratios.items():
            key = f"{case.dtype} {name if name == 'membrane' else 'gradient of ' + name}"
            self.ratios[key] = max(self.ratios.get(key, 0.0), ratio)
        right = not record.verdict.violations
        (self.passing if right else self.failing)[direction].append(record)
        return right

    def record(self, case: Case, repeat: bool) -> Record:
        output = self.port.call(case, self.judge.accepts(case))
        verdict = self.judge.verdict(case, output)
        if (repeat or verdict.violations) and not output.violations:
            again = self.port.call(case)
            if not again.same_as(output):
                changed = Violation(
                    "non-deterministic", "a second call with the same arguments gave another answer"
                )
                verdict = Verdict(
                    (changed, *verdict.violations), verdict.ratios, verdict.judged, verdict.undecided
                )
        return Record(case, output, verdict)

    # ---- the finding --------------------------------------------------------------------------------

    def finding(self, direction: str) -> Finding:
        failing = self.failing[direction]
        diagnosis = diagnose(failing, self.passing[direction], self.judge)
        shown = (
            [r for r in failing if diagnosis.rule in r.kinds] or [r for r in failing if r.readable] or failing
        )
        smallest = min(shown, key=lambda record: record.case.size)
        kinds = {diagnosis.rule} if diagnosis.rule in smallest.kinds else set(smallest.kinds)
        until = time.monotonic() + _REDUCE_SECONDS

        def fails(candidate: Case) -> bool:
            if candidate.backward and not self.judge.decided(candidate):
                return False
            return bool(kinds & set(self.record(candidate, "non-deterministic" in kinds).kinds))

        def budget() -> bool:
            return time.monotonic() < until and not self.port.dead

        case = smallest.case
        if budget():
            case = reduce_case(case, fails, budget)
        record = smallest if self.port.dead else self.record(case, "non-deterministic" in kinds)
        if not kinds & set(record.kinds):  # it came and went; show what was seen
            record = smallest
        return Finding(
            direction, diagnosis, record.case, record.verdict.violations, len(failing), self.count[direction]
        )


def assert_right(
    function: Callable[..., Any],
    case: Case | str | Path,
    *,
    bound: str = "standard",
    convention: str | Iterable[str] | None = None,
    timeout: float = 10.0,
) -> None:
    """Raise AssertionError, with what is wrong, unless `function` answers a case rightly.

    Parameters
    ----------
    function : callable
        A forward or backward port, as the case demands (see `check`).
    case : Case or path
        A case, or the .npz file of one.
    bound, convention, timeout
        As in `check`.
    """
    if not callable(function):
        raise InputError(f"a port must be a function, got {one_line(repr(function))}")
    if not isinstance(case, Case):
        try:
            case = Case.from_arrays(read_npz(case))
        except KeyError as missing:
            raise DataError(
                f"{case} is no case that minisnn check saved: it has no array {missing}"
            ) from None
    port = Port(function, function, checked_float("timeout", timeout, low=0, open_low=True))
    judge = Judge(bound, convention)
    try:
        verdict = judge.verdict(case, port.call(case, judge.accepts(case)))
    finally:
        port.close()
    if verdict.violations:
        raise AssertionError("\n".join(f"{v.kind}: {v.detail}" for v in verdict.violations))
