"""Cases written to a folder, and the verdict on answers that somebody recorded elsewhere.

``cases.bin`` is exactly the stream that a program reads (``golden/PROTOCOL.md``), ``answers.bin`` the one that it
writes. ``cases.json`` keeps the settings, and of each case what the stream does not hold.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import chain, groupby
from pathlib import Path
from typing import Any

from ..errors import DataError, one_line
from ..files import write_atomically, write_text
from .cases import Case
from .golden import SHIPPED
from .judge import Judge
from .plan import Batteries, checked_settings, plan
from .port import Output, Port, read_parts
from .protocol import Accident, Message, encode, take
from .report import Report
from .trial import judged


def write_cases(
    folder: str | Path,
    *,
    neuron: str = "single-spike",
    gradient: str | None = None,
    dtype: str = "both",
    examples: int = 100,
    seed: int = 0,
    bound: str = "standard",
    convention: str | Iterable[str] | None = None,
    text: bool = False,
) -> list[Path]:
    """Write all cases of a check to a folder: ``cases.bin``, with `text` also ``cases.jsonl``; returns the files.

    The other parameters are those of `check`; without `gradient` there are no backward cases.
    """
    judge = Judge(bound, convention)
    settings = checked_settings(judge, neuron, gradient, dtype, examples, seed)
    batteries = chain.from_iterable(batteries for _, batteries in plan(settings, judge))
    cases = [(battery, case) for battery, members in batteries for case in members]
    requests = [Message(number, case.kind, case.request()) for number, (_, case) in enumerate(cases)]
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for as_text in (False, True) if text else (False,):
        written.append(folder / ("cases.jsonl" if as_text else "cases.bin"))
        lines = (encode(request, as_text) for request in requests)
        write_atomically(written[-1], lambda file, lines=lines: file.writelines(lines))  # type: ignore[misc]
    about = [[battery, case.id, case.flags] for battery, case in cases]
    for name, content in (
        ("cases.json", json.dumps({"settings": settings, "cases": about})),
        ("PROTOCOL.md", (SHIPPED / "PROTOCOL.md").read_text()),
    ):
        written.append(folder / name)
        write_text(written[-1], content)
    return written


def check_answers(folder: str | Path) -> Report:
    """Judge ``answers.bin``, or ``answers.jsonl``, in a folder of `write_cases`, as `check` judges a port.

    Raises
    ------
    DataError
        If a file is missing, or the cases are damaged.
    """
    folder = Path(folder)
    try:
        head = json.loads((folder / "cases.json").read_bytes())
        settings, about = head["settings"], head["cases"]
        judge = Judge(settings["bound"], settings["convention"])
        requests, fault = _messages(folder / "cases.bin")
        if fault or len(requests) != len(about):
            raise ValueError(fault or f"{len(about)} cases expected, {len(requests)} found")
        neuron = {"neuron": settings["neuron"]}
        cases = [
            (battery, Case.from_arrays(neuron | dict(parts), id=name, flags=tuple(flags)))
            for (battery, name, flags), (_, _, parts) in zip(about, requests)
        ]
    except OSError as error:
        text = f"{error.filename}: {error.strerror} (minisnn vectors DIR --cases writes it)"
        raise DataError(text) from None
    except (ValueError, LookupError, TypeError) as error:
        text = f"{folder} holds no cases of minisnn vectors DIR --cases: {one_line(error)}"
        raise DataError(text) from None
    path = folder / "answers.bin"
    if not path.is_file() and (folder / "answers.jsonl").is_file():
        path = folder / "answers.jsonl"
    try:
        port = _Recorded([case for _, case in cases], *_messages(path))
    except OSError as error:
        raise DataError(f"{error.filename}: {error.strerror} (your program writes it)") from None
    return judged(port, judge, settings, _grouped(cases, port))


def _messages(path: Path) -> tuple[list[Message], str]:
    """All messages of a file, and what is wrong with it."""
    data, text = bytearray(path.read_bytes()), path.suffix == ".jsonl"
    if text and not data.endswith(b"\n"):
        data += b"\n"
    messages: list[Message] = []
    size = len(data)
    while data:
        try:
            taken = take(data, text)
        except Accident as accident:
            return messages, f"{path.name} was read up to byte {size - len(data)}: {accident}"
        if taken is None:
            return messages, f"{path.name} ends within a message, which begins at byte {size - len(data)}"
        messages.append(taken[0])
        del data[: taken[1]]
    return messages, ""


class _Recorded(Port):
    """Answers by case; nothing can be asked again."""

    def __init__(self, cases: list[Case], answers: list[Message], fault: str) -> None:
        self._given_up, self.notes = False, [fault] if fault else []
        parts = {number: parts for number, _, parts in answers}
        counts = Counter(number for number, _, _ in answers)
        missing = [number for number in range(len(cases)) if number not in parts]
        twice = [number for number, count in counts.items() if count > 1 and number < len(cases)]
        parts |= {number: {"missing": f"no answer to case {number}"} for number in missing}
        parts |= {number: {"protocol": f"case {number} was answered twice"} for number in twice}
        self._answers = {case: parts[number] for number, case in enumerate(cases)}
        unknown = [number for number in counts if number >= len(cases)]
        named = {"without an answer": missing, "answered twice": twice, "answered but never asked": unknown}
        for what, numbers in named.items():
            if numbers:
                some = ", ".join(map(str, numbers[:8])) + ", ..." * (len(numbers) > 8)
                self.notes.append(f"cases {what}: {len(numbers)} ({some})")

    @property
    def dead(self) -> bool:
        return self._given_up

    def call(self, case: Case) -> Output:
        return read_parts(self._answers[case], case)

    def retried(self, case: Case, wrong: Output, right: Any) -> Output:
        return wrong

    def close(self) -> None:
        pass


def _grouped(cases: list[tuple[str, Case]], port: _Recorded) -> Iterator[Batteries]:
    """The cases as `plan` has them; then the port is given up, so that no case is made smaller."""
    for (backward, _), members in groupby(cases, key=lambda pair: (pair[1].backward, pair[1].dtype)):
        batteries = groupby(members, key=lambda pair: pair[0])
        direction = "backward" if backward else "forward"
        yield direction, ((battery, (case for _, case in group)) for battery, group in batteries)
    port._given_up = True
