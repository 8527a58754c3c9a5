"""A port in a process of its own: requests go to its standard input, answers come from its standard output.

Whatever happens there, here it is an `Accident` with a name. After one the process is started anew, a few times.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import InputError, one_line
from .protocol import Accident, Message, encode, take

_ACCIDENTS, _SECONDS = 5, 15.0  # so many are let pass, and so much time may be lost after the first
_WORDS_OF_MEMORY = ("bad_alloc", "memory")  # in the last line of who could not get any


@dataclass(frozen=True)
class Program:
    """A port in any language: a program that answers the cases it reads (``golden/PROTOCOL.md``).

    Parameters
    ----------
    command : str
        The program and its arguments, as a shell splits them; no shell is run.
    text : bool
        Whether it speaks JSON, a case a line.
    """

    command: str
    text: bool = False


def python_command(functions: Mapping[str, str]) -> list[str]:
    """The command that serves functions given by name (``module:function``), each by the kind of request it answers."""
    here = str(Path(__file__).parents[2])
    # Its own imports are not looked for in the folders of the port, which may hold a json.py.
    start = (
        f"import sys; own = [path for path in sys.path if path]; here = {here!r}\n"
        f"sys.path[:] = [here] * (here not in own) + own + {sys.path!r}\n"
        f"from minisnn.oracle.child import serve; serve({functions!r}, {sys.path!r})"
    )
    return [sys.executable, *(f"-W{option}" for option in sys.warnoptions), "-c", start]


class Process:
    """A process that answers one request after the other; `memory` is in megabytes of address space."""

    def __init__(self, command: Sequence[str], *, text: bool = False, memory: int | None = None) -> None:
        self._command, self._text, self._memory = command, text, memory
        self._process: subprocess.Popen[bytes] | None = None
        self._accidents, self._lost = 0, 0.0

    @property
    def dead(self) -> bool:
        """Whether it has been started often enough."""
        return self._accidents >= _ACCIDENTS or self._lost >= _SECONDS

    def exchange(self, request: Message, limit: float) -> Mapping[str, Any]:
        """The parts of the answer; after an accident its kind and, as text, its detail."""
        started = time.monotonic()
        if self._accidents:
            limit = min(limit, _SECONDS - self._lost)
        try:
            if self._process is None:
                self._start()
            answer = self._answer(request, limit)
            if answer.number != request.number and "fork" not in answer.parts:
                text = f"expected the answer to request {request.number}, got that to {answer.number}"
                raise Accident("protocol", text)
            return answer.parts
        except Accident as accident:
            self._end()
            self._lost += time.monotonic() - started if self._accidents else 0.0
            self._accidents += 1
            return {accident.kind: str(accident)}

    def close(self) -> None:
        """Let the process end, and end what is left of it."""
        self._end(patience=2.0)

    def _start(self) -> None:
        names = ("stdin", "stdout", "stderr")
        pipes: dict[str, Any] = dict.fromkeys(names, subprocess.PIPE)
        try:
            process = subprocess.Popen(self._command, bufsize=0, start_new_session=True, **pipes)
        except OSError as error:
            raise InputError(f"cannot run {self._command[0]}: {error.strerror}") from None
        self._process = process
        if self._memory is not None:
            import resource  # which not every system has

            with contextlib.suppress(ProcessLookupError):
                resource.prlimit(process.pid, resource.RLIMIT_AS, (self._memory * 2**20,) * 2)
        self._selector = selectors.DefaultSelector()
        self._input, self._output, self._noise = (getattr(process, name).fileno() for name in names)
        for pipe in (self._input, self._output, self._noise):
            os.set_blocking(pipe, False)
        self._selector.register(self._output, selectors.EVENT_READ)
        self._selector.register(self._noise, selectors.EVENT_READ)
        self._to_send, self._received, self._said = bytearray(), bytearray(), bytearray()
        self._ended = False  # no answer can come any more

    def _answer(self, request: Message, limit: float) -> Message:
        if not self._to_send:
            self._selector.register(self._input, selectors.EVENT_WRITE)
        self._to_send += encode(request, self._text)
        until = time.monotonic() + limit
        while (taken := take(self._received, self._text)) is None:
            left = until - time.monotonic()
            if self._ended:
                raise self._death()
            if left <= 0:
                raise Accident("timeout", f"no answer within {limit:.3g} s")
            ready = self._selector.select(min(left, 0.5))
            for key, _ in ready:
                self._serve(key.fd)
            if not ready and self._process is not None:  # it may have left its output open to others
                self._ended = self._process.poll() is not None
        message, n_bytes = taken
        del self._received[:n_bytes]
        return message

    def _serve(self, pipe: int) -> None:
        """Write to the process, or read from it, as much as goes without waiting."""
        came = b""
        try:
            if pipe == self._input:
                del self._to_send[: os.write(pipe, self._to_send[: 2**20])]
            else:
                came = os.read(pipe, 2**20)
        except BlockingIOError:
            return
        except OSError:  # nobody reads any more
            self._to_send.clear()
        if pipe == self._input and self._to_send:
            return
        if not came:
            self._selector.unregister(pipe)
            self._ended |= pipe == self._output
        elif pipe == self._output:
            self._received += came
        else:
            self._said = (self._said + came)[-4096:]

    def _death(self) -> Accident:
        """Why no answer can come any more."""
        assert self._process is not None
        try:
            code = self._process.wait(1.0)
        except subprocess.TimeoutExpired:
            return Accident("exit", "it closed its standard output without an answer")
        for key, _ in self._selector.select(0):
            if key.fd == self._noise:
                self._serve(key.fd)
        lines = self._said.decode(errors="replace").strip().splitlines() or [""]
        last = one_line(lines[-1][:200])
        kind, how = "exit", f"ended with exit code {code} without an answer"
        if code < 0:
            names = {number.value: number.name for number in signal.Signals}
            kind, how = "crash", f"was killed by {names.get(-code, f'signal {-code}')}"
        killed = self._memory is not None and code == -signal.SIGKILL
        if killed or any(word in last.lower() for word in _WORDS_OF_MEMORY):
            kind = "memory"
        return Accident(kind, f"the process {how}" + f"; its last line: {last}" * bool(last))

    def _end(self, patience: float = 0.0) -> None:
        """Kill the process and those that it started, once it had `patience` seconds to end by itself."""
        process, self._process = self._process, None
        if process is None:
            return
        self._selector.close()
        process.stdin.close()  # type: ignore[union-attr]
        try:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(patience)
        finally:  # however impatient the user is
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
        process.stdout.close()  # type: ignore[union-attr]
        process.stderr.close()  # type: ignore[union-attr]
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(5.0)
