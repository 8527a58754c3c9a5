"""What `minisnn.oracle.check` found, as text, as JSON and as files to keep."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from ..files import write_npz, write_text
from .cases import Case
from .diagnosis import Diagnosis
from .port import Violation
from .process import Program


class Tally(NamedTuple):
    """What came of one family of cases."""

    cases: int = 0
    failing: int = 0
    judged: int = 0  # numbers: spike decisions, potentials, components of gradients
    undecided: int = 0  # spike decisions among them in which two correct implementations may differ


@dataclass(frozen=True, eq=False)
class Finding:
    """One broken rule with the smallest case that shows it."""

    direction: str  # "forward" or "backward"
    diagnosis: Diagnosis  # the rule in words
    case: Case  # the smallest failing one found
    violations: tuple[Violation, ...]  # what is wrong in that case
    tried: dict[str, Tally]  # the cases of that direction, by family

    @property
    def rule(self) -> str:
        """Short name of the broken rule."""
        return self.diagnosis.rule

    def text(self) -> str:
        """The finding for the terminal: the rule, the smallest case, what else was seen."""
        lines = [f"{self.direction}: {self.diagnosis.text}"]
        lines += [f"  likely: {cause}" for cause in self.diagnosis.likely]
        lines.append(f"  the smallest found, {self.case.id}:")
        lines += [f"    {line}" for line in self.case.text().splitlines()]
        lines += [f"  {violation.kind}: {violation.detail}" for violation in self.violations]
        seen = (f"{t.failing} of {t.cases} {name}" for name, t in self.tried.items() if t.failing)
        lines.append(f"  cases that failed: {', '.join(seen)}")
        lines += [f"  or: {other}" for other in self.diagnosis.also[:3]]
        return "\n".join(lines)


@dataclass(frozen=True, eq=False)
class Report:
    """Outcome of a check."""

    findings: tuple[Finding, ...]  # empty if the port is right
    settings: dict[str, Any]  # as asked for: neuron, dtypes, gradients, examples, seed, bound, convention
    tried: dict[str, dict[str, Tally]]  # by direction and family
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
        head = f"{settings['neuron']}, {' and '.join(settings['dtypes'])}"
        rest = f"bound {settings['bound']}"
        if settings["gradients"]:
            rest += f", gradient {' and '.join(settings['gradients'])}"
        if settings["convention"]:
            rest += f", convention {' and '.join(settings['convention'])}"
        if self.passed:
            lines = [f"PASS: {head}, {rest}"]
        elif self.findings:
            lines = [f"FAIL: {head}, " + "\n".join(finding.text() for finding in self.findings), "", rest]
        else:
            lines = [f"INTERRUPTED: {head}, {rest}"]
        lines += self._table()
        for dtype in settings["dtypes"]:
            near = {n.removeprefix(f"{dtype} "): r for n, r in self.ratios.items() if n.startswith(dtype)}
            if near:
                text = ", ".join(f"{name} {ratio:.2g}" for name, ratio in near.items())
                lines.append(f"{dtype}, largest error / bound: {text.replace('gradient of ', 'g_')}")
        lines += [f"note: {note}" for note in self.notes]
        lines.append(f"{self.seconds:.1f} s, seed {settings['seed']}")
        return "\n".join(lines)

    def _table(self) -> list[str]:
        """Cases and numbers judged, a line for every family."""
        names = list(dict.fromkeys(name for tallies in self.tried.values() for name in tallies))
        width = max(map(len, ("family  ", *names))) + 1
        lines = [f"{'family':{width}}" + "".join(f"{d:>10} cases   judged  undecidable" for d in self.tried)]
        for name in names:
            line = f"{name:{width}}"
            for tallies in self.tried.values():
                tally = tallies.get(name, Tally())
                line += f"{tally.cases:>16}{tally.judged:>9}{tally.undecided:>13}"
            lines.append(line)
        return lines

    def to_dict(self) -> dict[str, Any]:
        """The report as plain data, for JSON."""
        return {
            "passed": self.passed,
            "settings": self.settings,
            "tried": {d: {name: t._asdict() for name, t in by.items()} for d, by in self.tried.items()},
            "ratios": self.ratios,
            "seconds": round(self.seconds, 3),
            "notes": list(self.notes),
            "findings": [
                {
                    "direction": finding.direction,
                    **asdict(finding.diagnosis),
                    "failing": sum(tally.failing for tally in finding.tried.values()),
                    "tried": sum(tally.cases for tally in finding.tried.values()),
                    "violations": [asdict(violation) for violation in finding.violations],
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
            about = {"k": k, "port": port, "program": "Program, " * isinstance(port, Program)}
            about["text"] = finding.diagnosis.text.replace('"', "'").replace("\\", "/")
            about |= {name: self.settings[name] for name in ("bound", "convention")}
            write_text(written[-1], _PYTEST.format(**about, folder=str(Path.cwd())))
        return written


_PYTEST = '''"""The smallest failing case that minisnn check found: {text}."""

from pathlib import Path

from minisnn.oracle import {program}assert_right


def test_finding_{k}(monkeypatch):
    case = Path(__file__).absolute().with_name("finding_{k}.npz")
    monkeypatch.chdir({folder!r})  # from where the port was found
    assert_right({port!r}, case, bound={bound!r}, convention={convention!r})
'''
