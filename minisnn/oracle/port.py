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

    Parameters
    ----------
    kind : str
        ``"exception"``, ``"timeout"``, ``"answer"`` (not what a port returns), ``"shape"``, ``"nan"``,
        ``"changed-input"``, ``"non-deterministic"``, ``"raster"`` (values, or more than one spike), ``"spikes"``,
        ``"membrane"`` or ``"gradient of ..."``.
    detail : str
        Where, what was expected, what came.
    """

    kind: str
    detail: str


@dataclass(frozen=True, eq=False)
class Output:
    """What a port answered, as float64 arrays, or why it could not be read.

    Parameters
    ----------
    violations : tuple of Violation
        Accidents; empty if the answer can be judged.
    raster : (B, T, N) bool, optional
        Spikes.
    times : (B, N) int64, optional
        Spike times; only for the single-spike layer.
    membrane : (B, T, N) float64, optional
        Membrane potential, if the port returns it.
    gradients : dict
        Gradients by name, of a backward call.
    """

    violations: tuple[Violation, ...] = ()
    raster: Floats | None = None
    times: Floats | None = None
    membrane: Floats | None = None
    gradients: Mapping[str, Floats] | None = None

    def same_as(self, other: Output) -> bool:
        """Whether both answers have the same bits."""
        pairs = [(self.raster, other.raster), (self.times, other.times), (self.membrane, other.membrane)]
        names = sorted(set(self.gradients or {}) | set(other.gradients or {}))
        pairs += [((self.gradients or {}).get(name), (other.gradients or {}).get(name)) for name in names]
        return all(
            (a is None) == (b is None) and (a is None or b is None or np.array_equal(a, b, equal_nan=True))
            for a, b in pairs
        )


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

    def call(self, case: Case, right: Callable[[Output], bool] | None = None) -> Output:
        """Run the function a case is for, on fresh writable copies.

        A first answer for which `right` is false is asked for again in the thread of the caller.
        """
        if self.in_callers_thread:
            return self._in_time(case, self._here)
        output = self._in_time(case, self._in_worker)
        if right is None or case.backward in self._settled or self.dead or right(output):
            return output
        self._settled.add(case.backward)
        answer = self._in_time(case, lambda task, _: _caught(task))
        if right(answer) and not right(self._in_time(case, self._in_worker)):
            self.in_callers_thread = True
            return answer
        return output

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
        started = time.monotonic()
        output = self._once(case, run, max(self.timeout, _COMPILATION))
        if self.dead or time.monotonic() - started <= self.timeout:
            return output
        started = time.monotonic()
        output = self._once(case, run, self.timeout)
        if time.monotonic() - started <= self.timeout or self.dead:
            return output
        return _wrong("timeout", f"no answer within {self.timeout:g} s")

    def _once(self, case: Case, run: Callable[[Callable[[], Any], float], Any], limit: float) -> Output:
        arrays = [case.spikes.copy(), case.weight.copy(), case.bias.copy(), case.decay.copy()]
        originals = [case.spikes, case.weight, case.bias, case.decay]
        arguments: list[Any] = [*arrays, float(case.threshold)]
        if case.grad_spikes is not None:
            arrays.append(case.grad_spikes.copy())
            originals.append(case.grad_spikes)
            arguments += [float(case.surrogate_scale), case.gradient, arrays[-1]]
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
        for name, given, original in zip((*GRADIENT_NAMES, "grad_spikes"), arrays, originals):
            if not np.array_equal(given, original):
                return _wrong("changed-input", f"the array passed as {name} was changed in place")
        if isinstance(answer, Output):
            return answer
        return _read_gradients(answer, case) if case.backward else _read_forward(answer, case)


def _first_line(error: BaseException) -> str:
    try:
        text = str(error).strip().splitlines()
    except Exception:  # an exception of the port may be unable to say what it is
        text = []
    return text[0] if text else "(no message)"


def _poison(case: Case) -> None:
    """Fill freed memory of the sizes a port will ask for with NaN, so that cells nobody writes are seen."""
    shapes = {
        case.shape,
        case.spikes.shape,
        case.weight.shape,
        case.bias.shape,
        (case.shape[0], case.shape[2]),
    }
    held = [
        np.full(shape, np.nan, dtype=dtype)
        for shape in shapes
        for dtype in (case.dtype, np.float64)
        for _ in "ab"
    ]
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


def _place(wrong: Floats) -> str:
    return str(tuple(int(k) for k in np.argwhere(wrong)[0]))


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
    unknown = [str(name) for name in answer if name not in GRADIENT_NAMES]
    if unknown or not len(answer):
        return _wrong("answer", f"expected any of {known}, got {', '.join(unknown) or 'none'}")
    return {str(name): real_array(f"the gradient of {name}", value) for name, value in answer.items()}


def _read_forward(parts: Mapping[str, Floats], case: Case) -> Output:
    spikes, membrane = parts["spikes"], parts.get("membrane")
    batch, n_steps, n_out = case.shape
    times_allowed = case.neuron == "single-spike"
    expected = f"{case.shape}" + (f" or spike times {(batch, n_out)}" if times_allowed else "")
    is_times = times_allowed and spikes.shape == (batch, n_out)
    if spikes.shape != case.shape and not is_times:
        return _wrong("shape", f"spikes must have shape {expected}, got {spikes.shape}")
    if membrane is not None and membrane.shape != case.shape:
        return _wrong("shape", f"membrane must have shape {case.shape}, got {membrane.shape}")
    for name, array in (("spikes", spikes), ("membrane", membrane)):
        if array is not None and not np.isfinite(array).all():
            return _wrong(
                "nan", f"{name} is not finite at (sample, step, neuron) = {_place(~np.isfinite(array))}"
            )
    if is_times:
        odd = (spikes < 0) | (spikes > n_steps) | (spikes != np.floor(spikes))
        if odd.any():
            return _wrong(
                "raster",
                f"spike times must be whole numbers 0 ... {n_steps} ({n_steps} for never), got {spikes[odd][0]:g}",
            )
        return Output((), None, spikes.astype(np.int64), membrane)
    odd = (spikes != 0) & (spikes != 1)
    if odd.any():
        return _wrong("raster", f"spikes must be 0 or 1, got {spikes[odd][0]:g} at {_place(odd)}")
    raster = spikes != 0
    times = None
    if times_allowed:
        times = np.where(raster.any(axis=1), raster.argmax(axis=1), n_steps).astype(np.int64)
    return Output((), raster, times, membrane)


def _read_gradients(gradients: Mapping[str, Floats], case: Case) -> Output:
    shapes = {
        "spikes": case.spikes.shape,
        "weight": case.weight.shape,
        "bias": case.bias.shape,
        "decay": case.decay.shape,
    }
    for name, array in gradients.items():
        if array.shape != shapes[name]:
            return _wrong(
                "shape", f"the gradient of {name} must have shape {shapes[name]}, got {array.shape}"
            )
        if not np.isfinite(array).all():
            return _wrong("nan", f"the gradient of {name} is not finite at {_place(~np.isfinite(array))}")
    return Output((), gradients=gradients)
