"""What `minisnn.oracle.check` found, as text, as JSON and as files to keep."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..files import write_npz, write_text
from .cases import Case
from .diagnosis import Diagnosis
from .port import Violation
from .process import Program

__all__ = ["Finding", "Report"]


@dataclass(frozen=True, eq=False)
class Finding:
    """One broken rule with the smallest case that shows it."""

    direction: str  # "forward" or "backward"
    diagnosis: Diagnosis  # the rule in words
    case: Case  # the smallest failing one found
    violations: tuple[Violation, ...]  # what is wrong in that case
    failing: int  # cases that failed ...
    tried: int  # ... of how many tried in that direction

    @property
    def rule(self) -> str:
        """Short name of the broken rule."""
        return self.diagnosis.rule

    def text(self) -> str:
        """The finding for the terminal."""
        lines = [f"{self.direction}: {self.diagnosis.text}"]
        lines += [f"  likely: {cause}" for cause in self.diagnosis.likely]
        lines += [f"  or: {other}" for other in self.diagnosis.also[:3]]
        lines.append(f"  {self.failing} of {self.tried} cases failed; the smallest found, {self.case.id}:")
        lines += [f"    {line}" for line in self.case.text().splitlines()]
        lines += [f"  {violation.kind}: {violation.detail}" for violation in self.violations]
        return "\n".join(lines)


@dataclass(frozen=True, eq=False)
class Report:
    """Outcome of a check."""

    findings: tuple[Finding, ...]  # empty if the port is right
    settings: dict[str, Any]  # as asked for: neuron, dtypes, gradients, examples, seed, bound, convention
    tried: dict[str, int]  # cases by battery
    neuron_steps: int  # potentials judged
    spikes_judged: int  # spike decisions ...
    undecided: int  # ... and those in which two correct implementations may differ
    ratios: dict[str, float]  # how near the port came: largest error over bound, by dtype and quantity
    seconds: float
    notes: tuple[str, ...] = ()  # what could not be judged
    interrupted: bool = False  # before all was tried

    @property
    def passed(self) -> bool:
        """Whether all was tried and nothing was found."""
        return not (self.findings or self.interrupted)

    def __str__(self) -> str:
        settings = self.settings
        head = f"{settings['neuron']}, {' and '.join(settings['dtypes'])}, bound {settings['bound']}"
        if settings["gradients"]:
            head += f", gradient {' and '.join(settings['gradients'])}"
        if settings["convention"]:
            head += f", convention {' and '.join(settings['convention'])}"
        lines = [f"{'PASS' if self.passed else 'FAIL' if self.findings else 'INTERRUPTED'}: {head}"]
        lines.append(
            "tried: " + ", ".join(f"{count} {name}" for name, count in self.tried.items()) + " cases"
        )
        lines.append(
            f"judged: {self.neuron_steps} neuron-steps, {self.spikes_judged} spike decisions, "
            f"{self.undecided} of them undecidable"
        )
        if self.ratios:
            nearest_to = ", ".join(f"{name} {ratio:.2g}" for name, ratio in self.ratios.items())
            lines.append(f"largest error / bound: {nearest_to}")
        lines += [f"note: {note}" for note in self.notes]
        lines += [f"\n[{k}] {finding.text()}" for k, finding in enumerate(self.findings, 1)]
        lines.append(f"\n{self.seconds:.1f} s, seed {settings['seed']}")
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """The report as plain data, for JSON."""
        return {
            "passed": self.passed,
            "settings": self.settings,
            "tried": self.tried,
            "neuron_steps": self.neuron_steps,
            "spikes_judged": self.spikes_judged,
            "undecided": self.undecided,
            "ratios": self.ratios,
            "seconds": round(self.seconds, 3),
            "notes": list(self.notes),
            "findings": [
                {
                    "direction": finding.direction,
                    "rule": finding.rule,
                    "text": finding.diagnosis.text,
                    "likely": list(finding.diagnosis.likely),
                    "also": list(finding.diagnosis.also),
                    "failing": finding.failing,
                    "tried": finding.tried,
                    "violations": [{"kind": v.kind, "detail": v.detail} for v in finding.violations],
                    "case": {name: value.tolist() for name, value in finding.case.arrays().items()},
                    "dtype": str(finding.case.dtype),
                }
                for finding in self.findings
            ],
        }

    def save(
        self, folder: str | Path, forward: str | Program | None, backward: str | None = None
    ) -> list[Path]:
        """Write every finding's case as .npz with a pytest file that runs it; returns the files.

        `forward` and `backward` are the port as `check` takes it, by name; without one there are no pytest files.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        written = []
        for k, finding in enumerate(self.findings, 1):
            written.append(folder / f"finding_{k}.npz")
            write_npz(written[-1], finding.case.arrays())
            port = forward if finding.direction == "forward" else backward or forward
            if port is None:
                continue
            written.append(folder / f"test_finding_{k}.py")
            write_text(
                written[-1],
                _PYTEST.format(
                    text=_in_quotes(finding.diagnosis.text),
                    k=k,
                    program="Program, " * isinstance(port, Program),
                    port=port,
                    folder=str(Path.cwd()),
                    bound=self.settings["bound"],
                    convention=tuple(self.settings["convention"]),
                ),
            )
        return written


def _in_quotes(text: str) -> str:
    return text.replace('"', "'").replace("\\", "/")


_PYTEST = '''"""The smallest failing case that minisnn check found: {text}."""

from pathlib import Path

from minisnn.oracle import {program}assert_right


def test_finding_{k}(monkeypatch):
    case = Path(__file__).absolute().with_name("finding_{k}.npz")
    monkeypatch.chdir({folder!r})  # from where the port was found
    assert_right({port!r}, case, bound={bound!r}, convention={convention!r})
'''
