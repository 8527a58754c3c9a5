"""The checker: try a port of the single-spike layer, or of the conventional one, and judge it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..checks import checked_count, checked_float
from ..errors import DataError, InputError, one_line, shown
from ..files import checked_folder, read_npz
from ..reading import checked_name
from . import families
from .cases import Case, reduce_case
from .diagnosis import Record, diagnose
from .judge import Judge, Verdict
from .load import name_of
from .port import GRADIENT_NAMES, Output, Port, Violation
from .report import Finding, Report, Tally

__all__ = ["assert_right", "check"]

_GRADIENTS = {
    "single-spike": ("gated", "straight-through"),
    "multi-spike": ("through-reset", "detached-reset"),
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
    neuron = checked_name("neuron", neuron, _GRADIENTS)
    if not callable(forward) or not (backward is None or callable(backward)):
        raise InputError(
            f"forward and backward must be functions, got {shown(forward)} and {shown(backward)}"
        )
    choices = _GRADIENTS[neuron]
    gradient = checked_name("gradient", gradient, ("both", *choices))
    both = choices if neuron == "single-spike" else choices[:1]  # a port has one of the two resets
    dtype = checked_name("dtype", dtype, _DTYPES)
    examples = checked_count("examples", examples, low=1)
    seed = checked_count("seed", seed)
    try:
        folder = None if save is None else checked_folder(save)
    except (OSError, TypeError, ValueError) as error:
        raise InputError(f"save must be a folder to write to, got {shown(save)}: {one_line(error)}") from None
    judge = Judge(bound, convention)
    settings = {
        "neuron": neuron,
        "dtypes": list(_DTYPES[dtype]),
        "gradients": [] if backward is None else list(both) if gradient == "both" else [gradient],
        "examples": examples,
        "seed": seed,
        "bound": judge.bound,
        "convention": list(judge.convention),
    }
    port = Port(forward, backward, checked_float("timeout", timeout, low=0, open_low=True))
    run = _Run(port, judge, settings)
    try:
        report = run.report()
    finally:
        port.close()
    if folder is not None:
        report.save(folder, name_of(forward), None if backward is None else name_of(backward))
    return report


class _Run:
    """One check: the cases tried so far, and what came of them."""

    def __init__(self, port: Port, judge: Judge, settings: dict[str, Any]) -> None:
        self.port, self.judge, self.settings = port, judge, settings
        self.records: dict[str, list[Record]] = {"forward": [], "backward": []}

    def report(self) -> Report:
        started, asked = time.monotonic(), self.settings
        for dtype in asked["dtypes"]:
            cases = (asked["neuron"], dtype, asked["examples"], asked["seed"], self.judge)
            self.through("forward", families.forward(*cases))
            if asked["gradients"]:
                self.through("backward", families.backward(*cases, tuple(asked["gradients"])))
        findings = [self.finding(d) for d, records in self.records.items() if any(r.kinds for r in records)]
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
        forward, backward = self.records.values()
        if any(r.verdict.judged for r in forward) and not any(
            "membrane" in r.verdict.ratios for r in forward
        ):
            notes.append("the port returns no membrane: V was judged only by the spikes that follow from it")
        names = set[str]().union(*(record.verdict.ratios for record in backward))
        if names and (missing := [name for name in GRADIENT_NAMES if name not in names]):
            notes.append(f"the port returns no gradient of {', '.join(missing)}: not judged")
        tried = {d: _tallies(records) for d, records in self.records.items() if records}
        return Report(
            tuple(findings),
            asked,
            tried,
            _largest_ratios([*forward, *backward]),
            time.monotonic() - started,
            tuple(notes),
        )

    def through(self, direction: str, cases: Iterable[tuple[str, Iterable[Case]]]) -> None:
        """Try families one after the other; once a case failed, in whichever direction, golden and edge will do."""
        failed = sum(bool(record.kinds) for records in self.records.values() for record in records)
        earlier: dict[Case, Record] = {}
        for family, members in cases:
            first = family in ("golden", "edge")
            if failed and not first:
                break
            for case in members:
                if self.port.dead or (failed >= 5 and not first):
                    break
                repeated = family in families.REPEATED
                record = self.record(case, repeated, earlier.get(case))
                if repeated:
                    earlier[case] = record
                elif not record.kinds:  # the numbers are not needed any more
                    record = replace(record, output=Output())
                self.records[direction].append(replace(record, family=family))
                failed += bool(record.kinds)

    def record(self, case: Case, repeat: bool, earlier: Record | None = None) -> Record:
        """Try a case; twice if `repeat`, and beside the answer that came `earlier`."""
        output, verdict = (
            (earlier.output, earlier.verdict) if earlier else _tried(self.port, self.judge, case)
        )
        if (repeat or verdict.violations) and not output.violations:
            calls = 2 if earlier else 1
            if not all(self.port.call(case).same_as(output) for _ in range(calls)):
                changed = Violation(
                    "non-deterministic", "another call with the same arguments gave another answer"
                )
                verdict = replace(verdict, violations=(changed, *verdict.violations))
        return Record(case, output, verdict)

    # ---- the finding --------------------------------------------------------------------------------

    def finding(self, direction: str) -> Finding:
        failing = [record for record in self.records[direction] if record.kinds]
        passing = [record for record in self.records[direction] if not record.kinds]
        diagnosis = diagnose(failing, passing, self.judge)
        telling = [r for r in failing if diagnosis.rule in r.kinds] or [r for r in failing if r.readable]
        smallest = min(telling or failing, key=lambda record: record.case.size)
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
        seen = _tallies(self.records[direction])
        return Finding(direction, diagnosis, record.case, record.verdict.violations, seen)


def _tried(port: Port, judge: Judge, case: Case) -> tuple[Output, Verdict]:
    """What a port answers to a case, in the thread where it is right, and the verdict."""
    output = port.call(case)
    verdict = judge.verdict(case, output)
    if verdict.violations:
        output = port.retried(case, output, lambda other: not judge.verdict(case, other).violations)
        verdict = judge.verdict(case, output)
    return output, verdict


def _tallies(records: Iterable[Record]) -> dict[str, Tally]:
    """What was tried, family by family."""
    tallies: dict[str, Tally] = {}
    for record in records:
        known, verdict = tallies.get(record.family, Tally()), record.verdict
        counts = (1, bool(record.kinds), verdict.judged, verdict.undecided)
        tallies[record.family] = Tally(*(a + b for a, b in zip(known, counts)))
    return tallies


def _largest_ratios(records: Iterable[Record]) -> dict[str, float]:
    """How near the port came to its bounds, by dtype and quantity."""
    largest: dict[str, float] = {}
    for record in records:
        for name, ratio in record.verdict.ratios.items():
            key = f"{record.case.dtype} {name if name == 'membrane' else 'gradient of ' + name}"
            largest[key] = max(largest.get(key, 0.0), ratio)
    return dict(sorted(largest.items()))


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
        raise InputError(f"a port must be a function, got {shown(function)}")
    if not isinstance(case, Case):
        try:
            case = Case.from_arrays(read_npz(case))
        except KeyError as missing:
            raise DataError(
                f"{case} is no case that minisnn check saved: it has no array {missing}"
            ) from None
    port = Port(function, function, checked_float("timeout", timeout, low=0, open_low=True))
    try:
        _, verdict = _tried(port, Judge(bound, convention), case)
    finally:
        port.close()
    if verdict.violations:
        raise AssertionError("\n".join(f"{v.kind}: {v.detail}" for v in verdict.violations))
