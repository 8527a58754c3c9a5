"""A port that is asked: requests out, within their time; answers in, as arrays or as the accident that came instead.

A function of this process is called in a worker thread, where a call that never ends can be left behind; it stops
the checker if it hangs *without releasing the interpreter lock*. Some functions answer only in the thread that loaded
them (signals, event loops, state kept for each thread). So a wrong answer is asked for again in the thread of the
caller before it counts; if it is right there, and wrong in the worker again, all further calls are made in the
caller's thread, where nobody can end a call that hangs. A port in a process of its own (`minisnn.oracle.process`) has
none of these limits.
"""

from __future__ import annotations

import queue
import shlex
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..checks import checked_count, checked_float
from ..errors import InputError, one_line, shown
from .calling import Caller, real_array
from .cases import Case
from .process import Process, Program, python_command
from .protocol import Message
from .reference import first_spikes

Floats = NDArray[Any]
_COMPILATION = 30.0  # seconds beyond `timeout` that a later call may take
# Kinds of violations that say why there is nothing to judge; the port is lost after the first of them.
LOST = ("crash", "exit", "memory", "fork", "protocol", "timeout")
_UNANSWERED = (*LOST, "exception", "answer", "changed-input", "reused-buffer", "missing")


@dataclass(frozen=True)
class Violation:
    """One way in which an answer is wrong.

    The kinds: ``"exception"``, ``"timeout"``, ``"memory"``, ``"crash"`` (killed by a signal), ``"exit"``, ``"fork"``,
    ``"protocol"``, ``"missing"`` (of a recording), ``"answer"`` (not what a port returns), ``"shape"``, ``"nan"``,
    ``"changed-input"``, ``"reused-buffer"``, ``"non-deterministic"``, ``"raster"`` (values, or more than one spike),
    ``"spikes"``, ``"membrane"`` and ``"gradient of ..."``.
    """

    kind: str
    detail: str  # where, what was expected, what came


@dataclass(frozen=True, eq=False)
class Output:
    """What a port answered, as arrays, or why it could not be read."""

    violations: tuple[Violation, ...] = ()  # accidents; empty if the answer can be judged
    fired: Floats | None = None  # (B, T, N) bool, if the port returns a raster
    spike_times: Floats | None = None  # (B, N) int64
    membrane: Floats | None = None  # (B, T, N) float64, if the port returns it
    gradients: Mapping[str, Floats] | None = None  # by name, of a backward call

    def same_as(self, other: Output) -> bool:
        """Whether both answers have the same numbers."""
        ours, theirs = self._arrays(), other._arrays()
        return ours.keys() == theirs.keys() and all(np.array_equal(ours[k], theirs[k]) for k in ours)

    def _arrays(self) -> dict[str, Floats]:
        named = vars(self) | dict(self.gradients or {})
        return {name: value for name, value in named.items() if isinstance(value, np.ndarray)}


class _Here:
    """Functions of this process, in a thread that is abandoned when a call takes too long; otherwise as `Process`."""

    def __init__(self, functions: Mapping[str, Callable[..., Any]]) -> None:
        self.dead = False
        self.caller = Caller(functions)
        # What is no answer when it is raised in the caller's thread; None while calls are made in the worker.
        self.passing: tuple[type[BaseException], ...] | None = None
        self._requests: queue.SimpleQueue[Message | None] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        threading.Thread(target=self._serve, daemon=True, name="minisnn-check").start()

    def _serve(self) -> None:
        while (request := self._requests.get()) is not None:
            self._answers.put(self.caller.answer(request))

    def exchange(self, request: Message, limit: float) -> Mapping[str, Any]:
        if self.passing is not None:
            return self.caller.answer(request, self.passing)
        self._requests.put(request)
        try:
            return self._answers.get(timeout=limit)
        except queue.Empty:
            self.dead = True
            return {"timeout": f"no answer within {limit:g} s"}

    def close(self) -> None:
        self._requests.put(None)


class Port:
    """A port under test, called safely; the arguments are those of `check`, `kind` that of the cases for `forward`."""

    took = 0.0  # seconds, by the last call

    def __init__(
        self,
        forward: Callable[..., Any] | str | Program,
        backward: Callable[..., Any] | str | None,
        timeout: float,
        first_timeout: float = 120.0,
        memory: int | None = None,
        kind: str = "forward",
    ) -> None:
        self.timeout = checked_float("timeout", timeout, low=0, open_low=True)
        self._first_timeout = checked_float("first_timeout", first_timeout, low=0)
        self._patience: dict[Any, float] = {}  # what is left of it, by kind and dtype
        functions = {kind: forward} | ({} if backward is None else {"backward": backward})
        self._transport = _transport(functions, memory)
        self._given_up = False
        self._asked = 0
        self._settled: set[str] = set()  # whether the thread matters has been asked, by kind
        self.notes: list[str] = []  # of what a report should say

    @property
    def dead(self) -> bool:
        """Whether it has been given up."""
        return self._given_up or self._transport.dead

    def give_up(self, note: str) -> None:
        """Ask nothing more; the report says why."""
        self._given_up = True
        self.notes.append(note)

    def close(self) -> None:
        """Release the worker thread, or end the process."""
        self._transport.close()

    def call(self, case: Case) -> Output:
        """Ask what a case is for, a second time where the first took long, because it may have compiled."""
        key = case.kind, case.dtype
        longest = max(self.timeout, self._first_timeout)
        if key in self._patience:
            longest = self.timeout + min(_COMPILATION, self._patience[key])
        for limit in (longest, self.timeout):
            started = time.monotonic()
            request = Message(self._asked, case.kind, case.request())
            parts = self._transport.exchange(request, limit)
            self.took = took = time.monotonic() - started
            self._asked += 1
            if "import" in parts:
                if self._asked == 1:
                    raise InputError(parts["import"])
                parts = {"exit": parts["import"]}  # it was loaded before, and cannot be started anew
            left = self._patience.setdefault(key, self._first_timeout)
            self._patience[key] = max(0.0, left - took * (took > self.timeout))
            output = read_parts(parts, case)
            if took <= self.timeout or any(v.kind in LOST for v in output.violations):
                break
        else:
            output = _wrong("timeout", f"no answer within {self.timeout:g} s")
        hint = parts.get("hint")
        if isinstance(hint, str) and hint not in self.notes:
            self.notes.append(hint)
        if self.dead:
            self.give_up("the port did not answer and was given up; nothing was tried after that")
        return output

    def retried(self, case: Case, wrong: Output, right: Callable[[Output], bool]) -> Output:
        """The answer `wrong` once more, or the one for which `right` is true that only the caller's thread gets."""
        here, kind = self._transport, case.kind
        if not isinstance(here, _Here) or here.passing is not None or here.dead or kind in self._settled:
            return wrong
        self._settled.add(kind)
        here.passing = ()
        answer = self.call(case)
        here.passing = None
        if right(answer) and not right(self.call(case)):
            here.passing = (KeyboardInterrupt,)  # somebody else's, now that the port is known to answer there
            self.notes.append(
                "the port answers rightly only in the thread that loaded it: called there, where a call that "
                "never ends cannot be a finding"
            )
            return answer
        return wrong


def _transport(functions: Mapping[str, Any], memory: int | None) -> Process | _Here:
    forward, *others = functions.values()
    if memory is not None:
        memory = checked_count("memory", memory, low=1)
    if isinstance(forward, Program):
        if others:
            raise InputError("a program answers both passes: ask by gradient, and leave out backward")
        try:
            words = shlex.split(forward.command)
        except ValueError as error:
            came = f"{shown(forward.command)}: {error}"
            raise InputError(f"a program is given as in a shell, got {came}") from None
        if not words:
            raise InputError("a program is given as in a shell, got nothing")
        return Process(words, text=forward.text, memory=memory)
    if all(isinstance(name, str) for name in functions.values()):
        return Process(python_command(functions), memory=memory)
    if not all(callable(function) for function in functions.values()):
        came = " and ".join(shown(function) for function in functions.values())
        raise InputError(f"{' and '.join(functions)} must be functions, or names of functions, got {came}")
    if memory is not None:
        raise InputError("memory is for a port in a process of its own: give its name, module:function")
    return _Here(functions)


def _wrong(kind: str, detail: str) -> Output:
    return Output((Violation(kind, one_line(detail)[:400]),))


def read_parts(parts: Mapping[str, Any], case: Case) -> Output:
    """The parts of an answer as arrays; shapes and values that no rounding explains are judged here."""
    for kind in _UNANSWERED:
        if isinstance(parts.get(kind), str):
            return _wrong(kind, parts[kind])
    shapes = case.shapes()
    unknown = [name for name in parts if name not in (*shapes, "hint")]
    if unknown or not ("spikes" in parts or (case.backward and parts)):
        expected = f"{'any of ' * case.backward}{', '.join(shapes)}"
        return _wrong("answer", f"expected {expected}, got {one_line(', '.join(unknown or parts)) or 'none'}")
    n_steps = case.shape[1]
    arrays: dict[str, Floats] = {}
    for name in filter(parts.__contains__, shapes):
        title = f"the gradient of {name}" if case.kind == "backward" else name
        try:
            array = arrays[name] = real_array(title, parts[name])
        except InputError as error:
            return _wrong("answer", str(error))
        if array.shape not in shapes[name]:
            expected = " or spike times ".join(str(shape) for shape in shapes[name])
            return _wrong("shape", f"{title} must have shape {expected}, got {array.shape}")
        if not np.isfinite(array).all():
            axes = "" if case.backward else "(sample, step, neuron) = "
            return _wrong("nan", f"{title} is not finite at {axes}{_place(~np.isfinite(array))}")
    if case.backward:
        return Output(gradients=arrays)
    spikes, membrane = arrays["spikes"], arrays.get("membrane")
    if spikes.ndim == 2:
        odd = (spikes < 0) | (spikes > n_steps) | (spikes != np.floor(spikes))
        if odd.any():
            expected = f"whole numbers 0 ... {n_steps} ({n_steps} for never)"
            return _wrong("raster", f"spike times must be {expected}, got {spikes[odd][0]:g}")
        return Output(spike_times=spikes.astype(np.int64), membrane=membrane)
    odd = (spikes != 0) & (spikes != 1)
    if odd.any():
        return _wrong("raster", f"spikes must be 0 or 1, got {spikes[odd][0]:g} at {_place(odd)}")
    return Output((), spikes != 0, first_spikes(spikes != 0), membrane)


def _place(wrong: Floats) -> str:
    return str(tuple(int(k) for k in np.argwhere(wrong)[0]))
