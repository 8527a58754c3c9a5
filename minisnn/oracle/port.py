"""Calling somebody else's function: copies in, arrays out, and every accident a finding instead of a crash.

Calls run in a worker thread. One that exceeds its time is a finding, and its thread is abandoned (a thread cannot
be ended from outside; it dies with the process, and no further call is made). A port that hangs in native code
*without releasing the interpreter lock* stops the checker too; ctypes, cffi, torch and JAX do release it.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .cases import Case

__all__ = ["GRADIENT_NAMES", "Output", "Port", "Violation"]

Floats = NDArray[Any]
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
        self._answers: queue.SimpleQueue[tuple[bool, Any]] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._serve, daemon=True, name="minisnn-check")
        self._thread.start()

    def _serve(self) -> None:
        while (task := self._tasks.get()) is not None:
            try:
                self._answers.put((True, task()))
            except BaseException as error:
                # Whatever a port raises, SystemExit included, is an answer to report.
                self._answers.put((False, error))

    def run(self, task: Callable[[], Any], timeout: float) -> tuple[bool, Any]:
        """(True, result) or (False, exception); raises `queue.Empty` after `timeout` seconds."""
        self._tasks.put(task)
        return self._answers.get(timeout=timeout)

    def close(self) -> None:
        """Let the thread end once it is idle."""
        self._tasks.put(None)


class Port:
    """Functions under test, called safely.

    Parameters
    ----------
    forward : callable
        ``forward(spikes, weight, bias, decay, threshold) -> (spikes, membrane)``.
    backward : callable, optional
        ``backward(spikes, weight, bias, decay, threshold, surrogate_scale, gradient, grad_spikes) -> mapping``.
    timeout : float
        Seconds allowed for a call.
    """

    def __init__(
        self, forward: Callable[..., Any], backward: Callable[..., Any] | None, timeout: float
    ) -> None:
        self.forward, self.backward, self.timeout = forward, backward, timeout
        self.dead = False
        self.calls = 0
        self._worker = Worker()

    def close(self) -> None:
        """Release the worker thread."""
        self._worker.close()

    def call(self, case: Case) -> Output:
        """Run the function a case is for, on fresh writable copies."""
        arrays = [case.spikes.copy(), case.weight.copy(), case.bias.copy(), case.decay.copy()]
        originals = [case.spikes, case.weight, case.bias, case.decay]
        arguments: list[Any] = [*arrays, float(case.threshold)]
        if case.grad_spikes is not None:
            arrays.append(case.grad_spikes.copy())
            originals.append(case.grad_spikes)
            arguments += [float(case.surrogate_scale), case.gradient, arrays[-1]]
        function = self.backward if case.backward else self.forward
        assert function is not None

        def task() -> Any:
            _poison(case)
            return function(*arguments)

        self.calls += 1
        try:
            finished, answer = self._worker.run(task, self.timeout)
        except queue.Empty:
            self.dead = True
            return _wrong("timeout", f"no answer within {self.timeout:g} s")
        if not finished:
            text = str(answer).strip().splitlines()
            return _wrong("exception", f"{type(answer).__name__}: {text[0] if text else '(no message)'}")
        for name, given, original in zip((*GRADIENT_NAMES, "grad_spikes"), arrays, originals):
            if not np.array_equal(given, original):
                return _wrong("changed-input", f"the array passed as {name} was changed in place")
        try:
            return _read_gradients(answer, case) if case.backward else _read_forward(answer, case)
        except (TypeError, ValueError, RuntimeError) as error:
            return _wrong("answer", f"the answer cannot be read as arrays: {error}")


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


def _array(value: Any) -> Floats:
    """`value` as float64; torch tensors are detached and fetched first."""
    if hasattr(value, "detach"):
        value = value.detach()
    if hasattr(value, "cpu"):
        value = value.cpu()
    return np.asarray(np.asarray(value), dtype=np.float64)


def _place(wrong: Floats) -> str:
    return str(tuple(int(k) for k in np.argwhere(wrong)[0]))


def _read_forward(answer: Any, case: Case) -> Output:
    if not isinstance(answer, (tuple, list)) or len(answer) != 2:
        return _wrong("answer", f"expected (spikes, membrane), got {type(answer).__name__}")
    spikes = _array(answer[0])
    membrane = None if answer[1] is None else _array(answer[1])
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


def _read_gradients(answer: Any, case: Case) -> Output:
    if not isinstance(answer, Mapping):
        return _wrong(
            "answer",
            f"expected a mapping with any of {', '.join(GRADIENT_NAMES)}, got {type(answer).__name__}",
        )
    unknown = [str(name) for name in answer if name not in GRADIENT_NAMES]
    if unknown or not len(answer):
        return _wrong(
            "answer", f"expected any of {', '.join(GRADIENT_NAMES)}, got {', '.join(unknown) or 'none'}"
        )
    shapes = {
        "spikes": case.spikes.shape,
        "weight": case.weight.shape,
        "bias": case.bias.shape,
        "decay": case.decay.shape,
    }
    gradients = {name: _array(value) for name, value in answer.items()}
    for name, array in gradients.items():
        if array.shape != shapes[name]:
            return _wrong(
                "shape", f"the gradient of {name} must have shape {shapes[name]}, got {array.shape}"
            )
        if not np.isfinite(array).all():
            return _wrong("nan", f"the gradient of {name} is not finite at {_place(~np.isfinite(array))}")
    return Output((), gradients=gradients)
