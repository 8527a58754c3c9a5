"""The shipped data: cases with their right answers, and known mistakes with their wrong ones.

``golden/hand.json`` and ``golden/mistakes.json`` are the sources, a case or a mistake on a line; nothing generates
them. ``golden/README.md`` says what their fields mean.
"""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

from ..errors import DataError, one_line

SCHEMA = "2.0"
SHIPPED = Path(__file__).with_name("golden")


def read_list(path: Path, name: str) -> list[dict[str, Any]]:
    """The list `name` of a JSON file of the set; `DataError` if it is missing, damaged, or of another schema."""
    if not path.is_file():
        raise DataError(f"{path} is missing: write the set anew with minisnn vectors DIR")
    try:
        document = json.loads(path.read_bytes())
        entries = document[name]
        schema = document["schema"]
        complete = all(isinstance(entry, dict) for entry in entries)
    except (ValueError, LookupError, TypeError) as error:
        raise DataError(f"{path} is damaged: {one_line(error)}") from None
    if schema != SCHEMA or not complete:
        raise DataError(f"{path} must hold {name} of schema {SCHEMA}, got schema {schema!r}")
    return list(entries)


@functools.cache
def hand_entries() -> tuple[dict[str, Any], ...]:
    """The tiny cases, forward, backward and readout, as they stand in ``hand.json``."""
    return tuple(read_list(SHIPPED / "hand.json", "cases"))


@functools.cache
def flags() -> dict[str, str]:
    """What each flag of a case probes, and what is usually wrong when it fails."""
    return dict(json.loads((SHIPPED / "hand.json").read_bytes())["flags"])


@functools.cache
def mistakes() -> tuple[dict[str, Any], ...]:
    """Known mistakes: ``rule``, ``says``, ``look`` and ``answers`` by the id of a case of ``hand.json``."""
    return tuple(read_list(SHIPPED / "mistakes.json", "mistakes"))


@functools.cache
def step_mistakes() -> tuple[dict[str, Any], ...]:
    """Known mistakes of a training step: ``rule``, ``says``, ``look``, and how they change the right numbers."""
    return tuple(read_list(SHIPPED / "steps.json", "mistakes"))
