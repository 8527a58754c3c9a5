"""Standard output and error that may be absent, closed, full, or unable to show a character."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import Any

__all__ = ["can_say", "lasting_streams", "say"]


def can_say() -> bool:
    """Whether there is a standard error to write to: a service or a closed terminal leaves none."""
    return sys.stderr is not None and not getattr(sys.stderr, "closed", False)


def say(text: str) -> None:
    """Print a line on standard error, if there is one that takes it."""
    if can_say():
        with contextlib.suppress(OSError, ValueError):
            print(text, file=sys.stderr, flush=True)


class _Lasting:
    """A text stream that goes on after a fault: it keeps the first in `fault`, and writes no more."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream
        self.fault: Exception | None = None

    def write(self, text: str) -> int:
        self._try(self.stream.write, text)
        return len(text)

    def flush(self) -> None:
        self._try(self.stream.flush)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    def _try(self, method: Any, *arguments: str) -> None:
        if self.fault is None:
            try:
                method(*arguments)
            except (OSError, ValueError) as error:  # ValueError: somebody closed it
                self.fault = error


@contextlib.contextmanager
def lasting_streams() -> Iterator[_Lasting]:
    """Standard output and error that stop no work and take every character; yields standard output.

    A character that the terminal cannot show is escaped. If there is no stream, text that is written is lost.
    """
    before = sys.stdout, sys.stderr
    with contextlib.ExitStack() as stack:
        for name in ("stdout", "stderr"):
            setattr(sys, name, stack.enter_context(_lasting(getattr(sys, name))))
        try:
            yield sys.stdout  # type: ignore[misc]
        finally:
            sys.stdout, sys.stderr = before


@contextlib.contextmanager
def _lasting(stream: Any) -> Iterator[_Lasting]:
    if stream is None or stream.closed:
        with open(os.devnull, "w") as nowhere:
            yield _Lasting(nowhere)
        return
    escapes = hasattr(stream, "reconfigure")
    errors = stream.errors
    if escapes:
        stream.reconfigure(errors="backslashreplace")
    lasting = _Lasting(stream)
    try:
        yield lasting
    finally:
        lasting.flush()
        if lasting.fault is not None:
            # A broken stream leads nowhere, so that Python does not fail on the rest in its buffer when it ends.
            with contextlib.suppress(OSError, ValueError), open(os.devnull, "wb") as nowhere:
                os.dup2(nowhere.fileno(), stream.fileno())
        if escapes:
            with contextlib.suppress(OSError, ValueError):
                stream.reconfigure(errors=errors)
