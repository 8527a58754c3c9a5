"""Calling somebody else's function: copies in, arrays out, and every accident a finding instead of a crash.

Calls run in a worker thread, where a call that never ends can be left behind: it is a finding, and no further call
is made. A call may take long once, because it compiles; it is too slow if it takes as long again. A port that hangs
in native code *without releasing the interpreter lock* stops the checker too; ctypes, cffi, torch and JAX release it.

Some ports answer only in the thread that loaded them (signals, event loops, state kept for each thread). So a wrong
answer is asked for again in the thread of the caller before it counts; if it is right there, and wrong in the worker
again, all further calls are made in the caller's thread, where nobody can end a call that hangs.
"""

from __future__ import annotations

import queue
import threading
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..reading import read_array
from .cases import Case

__all__ = ["GRADIENT_NAMES", "Output", "Port", "Violation", "real_array"]

Floats = NDArray[Any]
_COMPILATION = 120.0  # seconds that any call may take once
GRADIENT_NAMES = ("spikes", "weight", "bias", "decay")


@dataclass(frozen=True)
class Violation:
    """One way in which an answer is wrong.

    The kinds: ``"exception"``, ``"timeout"``, ``"answer"`` (not what a port returns), ``"shape"``, ``"nan"``,
    ``"changed-input"``, ``"non-deterministic"``, ``"raster"`` (values, or more than one spike), ``"spikes"``,
    ``"membrane"`` and ``"gradient of ..."``.
    """

    kind: str
    detail: str  # where, what was expected, what came


@dataclass(frozen=True, eq=False)
class Output:
    """What a port answered, as arrays, or why it could not be read."""

    violations: tuple[Violation, ...] = ()  # accidents; empty if the answer can be judged
    raster: Floats | None = None  # (B, T, N) bool
    times: Floats | None = None  # (B, N) int64 spike times, only for the single-spike layer
    membrane: Floats | None = None  # (B, T, N) float64, if the port returns it
    gradients: Mapping[str, Floats] | None = None  # by name, of a backward call

    def same_as(self, other: Output) -> bool:
        """Whether both answers have the same bits."""
        ours, theirs = self._arrays(), other._arrays()
        return ours.keys() == theirs.keys() and all(
            np.array_equal(array, theirs[name], equal_nan=True) for name, array in ours.items()
        )

    def _arrays(self) -> dict[str, Floats]:
        named = {"raster": self.raster, "times": self.times, "membrane": self.membrane}
        return {k: v for k, v in named.items() if v is not None} | dict(self.gradients or {})


class Worker:
    """A thread that runs one call after another; abandoned when a call takes too long."""

    def __init__(self) -> None:
        self._tasks: queue.SimpleQueue[Callable[[], Any] | None] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._serve, daemon=True, name="minisnn-check")
        self._thread.start()

    def _serve(self) -> None:
        while (task := self._tasks.get()) is not None:
            self._answers.put(_caught(task))

    def run(self, task: Callable[[], Any], timeout: float) -> Any:
        """What `task` returns or raises; raises `queue.Empty` after `timeout` seconds."""
        self._tasks.put(task)
        return self._answers.get(timeout=timeout)

    def close(self) -> None:
        """Let the thread end once it is idle."""
        self._tasks.put(None)


def _caught(task: Callable[[], Any]) -> Any:
    try:
        return task()
    except BaseException as error:
        # Whatever a port raises, SystemExit included, is an answer to report.
        return error


class Port:
    """Functions under test, called safely.

    Parameters
    ----------
    forward : callable
        ``forward(spikes, weight, bias, decay, threshold) -> (spikes, membrane)``.
    backward : callable, optional
        ``backward(spikes, weight, bias, decay, threshold, surrogate_scale, gradient, grad_spikes) -> mapping``.
    timeout : float
        Seconds allowed for a call that does not compile.
    """

    def __init__(
        self, forward: Callable[..., Any], backward: Callable[..., Any] | None, timeout: float
    ) -> None:
        self.forward, self.backward, self.timeout = forward, backward, timeout
        self.dead = False
        self.in_callers_thread = False
        self._settled: set[bool] = set()  # whether the thread matters has been asked, backward and forward
        self._worker = Worker()

    def close(self) -> None:
        """Release the worker thread."""
        self._worker.close()

    def call(self, case: Case) -> Output:
        """Run the function a case is for, on fresh writable copies."""
        return self._in_time(case, self._here if self.in_callers_thread else self._in_worker)

    def retried(self, case: Case, wrong: Output, right: Callable[[Output], bool]) -> Output:
        """The answer `wrong` once more, or the one for which `right` is true that only the caller's thread gets."""
        if self.in_callers_thread or self.dead or case.backward in self._settled:
            return wrong
        self._settled.add(case.backward)
        answer = self._in_time(case, lambda task, _: _caught(task))
        if right(answer) and not right(self._in_time(case, self._in_worker)):
            self.in_callers_thread = True
            return answer
        return wrong

    def _in_worker(self, task: Callable[[], Any], limit: float) -> Any:
        try:
            return self._worker.run(task, limit)
        except queue.Empty:
            self.dead = True
            return _wrong("timeout", f"no answer within {limit:g} s")

    @staticmethod
    def _here(task: Callable[[], Any], limit: float) -> Any:
        """In the thread of the caller, who may interrupt."""
        answer = _caught(task)
        if isinstance(answer, KeyboardInterrupt):
            raise answer
        return answer

    def _in_time(self, case: Case, run: Callable[[Callable[[], Any], float], Any]) -> Output:
        for limit in (max(self.timeout, _COMPILATION), self.timeout):
            started = time.monotonic()
            output = self._once(case, run, limit)
            if self.dead or time.monotonic() - started <= self.timeout:
                return output
        return _wrong("timeout", f"no answer within {self.timeout:g} s")

    def _once(self, case: Case, run: Callable[[Callable[[], Any], float], Any], limit: float) -> Output:
        originals = {name: getattr(case, name) for name in (*GRADIENT_NAMES, "grad_spikes")}
        given = {name: array.copy() for name, array in originals.items() if array is not None}
        arguments: list[Any] = [*(given[name] for name in GRADIENT_NAMES), float(case.threshold)]
        if case.backward:
            arguments += [float(case.surrogate_scale), case.gradient, given["grad_spikes"]]
        function = self.backward if case.backward else self.forward
        assert function is not None

        def task() -> dict[str, Floats] | Output:
            _poison(case)
            answer = function(*arguments)
            try:
                return _gradients_of(answer) if case.backward else _parts_of(answer)
            except Exception as error:  # objects that NumPy asks for their numbers run code of the port
                return _wrong("answer", f"the answer cannot be read: {_first_line(error)}")

        answer = run(task, limit)
        if isinstance(answer, BaseException):
            return _wrong("exception", f"{type(answer).__name__}: {_first_line(answer)}")
        if isinstance(answer, Output) and answer.violations[0].kind == "timeout":
            return answer
        for name, array in given.items():
            if not np.array_equal(array, originals[name]):
                return _wrong("changed-input", f"the array passed as {name} was changed in place")
        if isinstance(answer, Output):
            return answer
        return _read(answer, case)


def _first_line(error: BaseException) -> str:
    try:
        text = str(error).strip().splitlines()
    except Exception:  # an exception of the port may be unable to say what it is
        text = []
    return text[0] if text else "(no message)"


def _poison(case: Case) -> None:
    """Fill freed memory of the sizes a port will ask for with NaN, so that cells nobody writes are seen."""
    shapes = {case.shape, (case.shape[0], case.shape[2])} | {getattr(case, n).shape for n in GRADIENT_NAMES}
    held = [np.full(shape, np.nan, t) for shape in shapes for t in (case.dtype, np.float64) for _ in "ab"]
    del held


def _wrong(kind: str, detail: str) -> Output:
    return Output((Violation(kind, detail),))


def real_array(name: str, value: Any) -> Floats:
    """`value` as a float64 array of its own; lists may hold tensors and arrays.

    Raises
    ------
    InputError
        For numbers that are not real (complex ones too if the imaginary part is zero), objects, text, dates, records,
        masked arrays: nothing becomes a number by being cast.
    """
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        # A warning of a conversion says nothing that the dtype does not say; as an error it would leave the checker.
        warnings.simplefilter("ignore")
        array = _array(name, value)
        if array.dtype.kind not in "biuf":
            raise InputError(f"{name} must be real numbers (bool, integer or float), got {array.dtype}")
        return array.astype(np.float64)


def _array(name: str, value: Any) -> NDArray[Any]:
    if isinstance(value, (list, tuple)):
        value = [v if isinstance(v, (int, float)) else _array(name, v) for v in value]
    elif hasattr(value, "__array__") and not hasattr(value, "detach"):
        value = np.asanyarray(value)  # so that a masked array is still one
    return read_array(name, value)


def _parts_of(answer: Any) -> dict[str, Floats] | Output:
    """The arrays of a forward answer, by name; a membrane that is not reported is left out."""
    if not isinstance(answer, (tuple, list)) or len(answer) != 2:
        return _wrong("answer", f"expected (spikes, membrane), got {type(answer).__name__}")
    parts = dict(zip(("spikes", "membrane"), answer))
    return {
        name: real_array(name, part) for name, part in parts.items() if name == "spikes" or part is not None
    }


def _gradients_of(answer: Any) -> dict[str, Floats] | Output:
    """The arrays of a backward answer, by name."""
    known = ", ".join(GRADIENT_NAMES)
    if not isinstance(answer, Mapping):
        return _wrong("answer", f"expected a mapping with any of {known}, got {type(answer).__name__}")
    unknown = [str(name) for name in answer if str(name) not in GRADIENT_NAMES]
    if unknown or not len(answer):
        return _wrong("answer", f"expected any of {known}, got {', '.join(unknown) or 'none'}")
    return {str(name): real_array(f"the gradient of {name}", value) for name, value in answer.items()}


def _read(parts: Mapping[str, Floats], case: Case) -> Output:
    """Judge shapes and values that no rounding explains."""
    batch, n_steps, n_out = case.shape
    shapes = {"spikes": [case.shape], "membrane": [case.shape]}
    if case.backward:
        shapes = {name: [getattr(case, name).shape] for name in GRADIENT_NAMES}
    elif case.neuron == "single-spike":
        shapes["spikes"] = [case.shape, (batch, n_out)]  # type: ignore[list-item]
    for name, array in parts.items():
        title = f"the gradient of {name}" if case.backward else name
        if array.shape not in shapes[name]:
            expected = " or spike times ".join(str(shape) for shape in shapes[name])
            return _wrong("shape", f"{title} must have shape {expected}, got {array.shape}")
        if not np.isfinite(array).all():
            axes = "" if case.backward else "(sample, step, neuron) = "
            return _wrong("nan", f"{title} is not finite at {axes}{_place(~np.isfinite(array))}")
    if case.backward:
        return Output(gradients=parts)
    spikes, membrane = parts["spikes"], parts.get("membrane")
    if spikes.ndim == 2:
        odd = (spikes < 0) | (spikes > n_steps) | (spikes != np.floor(spikes))
        if odd.any():
            expected = f"whole numbers 0 ... {n_steps} ({n_steps} for never)"
            return _wrong("raster", f"spike times must be {expected}, got {spikes[odd][0]:g}")
        return Output(times=spikes.astype(np.int64), membrane=membrane)
    odd = (spikes != 0) & (spikes != 1)
    if odd.any():
        return _wrong("raster", f"spikes must be 0 or 1, got {spikes[odd][0]:g} at {_place(odd)}")
    raster, times = spikes != 0, None
    if case.neuron == "single-spike":
        times = np.where(raster.any(axis=1), raster.argmax(axis=1), n_steps).astype(np.int64)
    return Output((), raster, times, membrane)


def _place(wrong: Floats) -> str:
    return str(tuple(int(k) for k in np.argwhere(wrong)[0]))
