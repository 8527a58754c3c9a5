"""One check: a port is tried on all that is planned, and every failing direction becomes a finding."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

from ..streams import can_say
from .cases import GRADIENT_NAMES, Case, reduce_case
from .diagnosis import Diagnosis, Record, diagnose
from .judge import Judge, Verdict
from .plan import REPEATED, Batteries
from .port import Output, Port, Violation
from .report import Finding, Report, Tally

_REDUCE_SECONDS = 6.0
# The quantities that a port may leave out in each direction, and what the report says then.
_QUANTITIES = {
    "forward": (
        ("membrane",),
        "the port returns no {}: V was judged only by the spikes that follow from it",
    ),
    "backward": (GRADIENT_NAMES, "the port returns no gradient of {}: not judged"),
    "step": (("logits", "loss", "weight", "bias", "decay"), "not returned, and so not judged: {}"),
}


class Interrupted(KeyboardInterrupt):
    """Somebody interrupted a check: `report` says what was tried until then."""

    def __init__(self, report: Report) -> None:
        super().__init__()
        self.report = report


def judged(
    port: Port,
    judge: Judge,
    settings: dict[str, Any],
    plan: Iterable[Batteries],
    diagnose: Callable[..., Diagnosis] = diagnose,
) -> Report:
    """Try a port on all that is planned, and close it; `Interrupted` has the report of what was tried until then."""
    try:
        report = _Run(port, judge, settings, diagnose).report(plan)
    finally:
        port.close()
    if report.interrupted:
        raise Interrupted(report)
    return report


class _Run:
    """One check: the cases tried so far, and what came of them."""

    def __init__(
        self, port: Port, judge: Judge, settings: dict[str, Any], diagnose: Callable[..., Diagnosis]
    ) -> None:
        self.port, self.judge, self.settings, self.diagnose = port, judge, settings, diagnose
        self.records: dict[str, list[Record]] = {}
        self.wrong = 0  # cases, of both directions

    def report(self, plan: Iterable[Batteries]) -> Report:
        from tqdm import tqdm

        started, interrupted = time.monotonic(), False
        hidden = None if can_say() else True  # None: where it is no terminal
        with tqdm(desc="minisnn check", unit=" cases", leave=False, disable=hidden) as self.progress:
            try:
                for direction, cases in plan:
                    self.through(direction, cases)
                findings = self.findings()
            except KeyboardInterrupt:
                interrupted = True
                self.port.give_up("interrupted: this is of the cases tried until then")
                findings = self.findings()
        return Report(
            tuple(findings),
            self.settings,
            {direction: _tallies(records) for direction, records in self.records.items()},
            _largest_ratios(record for records in self.records.values() for record in records),
            time.monotonic() - started,
            (*self.port.notes, *self.not_judged()),
            interrupted,
        )

    def through(self, direction: str, cases: Iterable[tuple[str, Iterable[Case]]]) -> None:
        """Try families one after the other; once a case failed, in whichever direction, golden and edge will do."""
        earlier: dict[Case, Record] = {}
        before: Case | None = None
        for family, members in cases:
            first = family in ("golden", "edge")
            if self.wrong and not first:
                break
            for case in members:
                if self.port.dead or (self.wrong >= 5 and not first):
                    break
                if case.spikes.shape[1] > 10_000 and self.grows_too_long(before):
                    took = f"4097 took {self.port.took:.1f} s"
                    self.port.notes.append(f"{direction}, {case.dtype}: 32769 steps were not tried, {took}")
                    break
                repeated = family in REPEATED
                record = self.record(case, repeated, earlier.get(case))
                before = case
                if repeated:
                    earlier[case] = record
                elif not record.kinds:  # the numbers are not needed any more
                    record = replace(record, output=Output())
                self.records.setdefault(direction, []).append(replace(record, family=family))
                self.wrong += bool(record.kinds)
                self.progress.set_postfix_str(f"{self.wrong} wrong", refresh=False)
                self.progress.update()

    def grows_too_long(self, case: Case | None) -> bool:
        """Whether eight times as many steps as in that case may take too long, which is 64 times its time."""
        for _ in range(3):  # a machine may be busy for a moment
            if 64 * self.port.took <= self.port.timeout or case is None:
                return False
            self.port.call(case)
        return True

    def record(self, case: Case, repeat: bool, earlier: Record | None = None) -> Record:
        """Try a case; twice if `repeat`, and beside the answer that came `earlier`."""
        if earlier:
            output, verdict = earlier.output, earlier.verdict
        else:
            output, verdict = tried(self.port, self.judge, case)
        if (repeat or verdict.violations) and not output.violations:
            answers = [self.port.call(case) for _ in range(2 if earlier else 1)]
            if not all(answer.same_as(output) for answer in answers):
                text = "another call with the same arguments gave another answer"
                changed = Violation("non-deterministic", text)
                accidents = [violation for answer in answers for violation in answer.violations]
                verdict = replace(verdict, violations=(*accidents, changed, *verdict.violations))
        return Record(case, output, verdict)

    def not_judged(self) -> Iterator[str]:
        """What the port leaves out, and what that means."""
        for direction, records in self.records.items():
            expected, says = _QUANTITIES[direction]
            came = set[str]().union(*(record.verdict.ratios for record in records))
            missing = [name for name in expected if name not in came]
            if missing and any(record.verdict.judged for record in records):
                yield says.format(", ".join(missing))

    def findings(self) -> list[Finding]:
        """One for each direction that fails, and how the second may follow from the first."""
        findings = [self.finding(d) for d, records in self.records.items() if any(r.kinds for r in records)]
        if len(findings) == 2:
            second = findings[1].diagnosis
            first = "this may follow from the mistake of the forward pass: mend that first"
            findings[1] = replace(findings[1], diagnosis=replace(second, likely=(first, *second.likely)))
        return findings

    def finding(self, direction: str) -> Finding:
        failing = [record for record in self.records[direction] if record.kinds]
        passing = [record for record in self.records[direction] if not record.kinds]
        diagnosis = self.diagnose(failing, passing, self.judge)
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

        case = reduce_case(smallest.case, fails, budget)
        record = smallest if self.port.dead else self.record(case, "non-deterministic" in kinds)
        if not kinds & set(record.kinds):  # it came and went; show what was seen
            record = smallest
        seen = _tallies(self.records[direction])
        return Finding(direction, diagnosis, record.case, record.verdict.violations, seen)


def tried(port: Port, judge: Judge, case: Any) -> tuple[Output, Verdict]:
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
        tallies[record.family] = Tally(*map(sum, zip(known, counts)))
    return tallies


def _largest_ratios(records: Iterable[Record]) -> dict[str, float]:
    """How near the port came to its bounds, by dtype and quantity."""
    largest: dict[str, float] = {}
    for record in records:
        for name, ratio in record.verdict.ratios.items():
            key = f"{record.case.dtype} {name if name in ('membrane', 'logits', 'loss') else 'gradient of ' + name}"
            largest[key] = max(largest.get(key, 0.0), ratio)
    return dict(sorted(largest.items()))
