"""Calling somebody else's function: copies in, plain arrays out, and every accident told by its name."""

from __future__ import annotations

import contextlib
import itertools
import os
import sys
import sysconfig
import traceback
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy import asanyarray
from numpy.typing import NDArray

from ..errors import InputError
from ..reading import read_array
from .protocol import LARGEST, Message

__all__ = ["Caller", "real_array"]

Floats = NDArray[Any]
# Files that are not the port's: its own lines are the ones to show.
_LIBRARIES = (
    str(Path(__file__).parents[1]) + os.sep,
    "<",
    *(sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")),
)
_REUSED = "an answer changed after the next call: return a copy, not a buffer that is written again"
_JAX = "float32 came for float64: set jax_enable_x64, or check with --dtype float32"


class Caller:
    """Calls functions with the parts of a request, in their order, and reads what they return.

    Parameters
    ----------
    functions : mapping
        The function for each kind of request.
    """

    def __init__(self, functions: Mapping[str, Callable[..., Any]]) -> None:
        self._functions = functions
        self._previous: tuple[str, Any, dict[str, Floats]] | None = None

    def answer(self, request: Message, passing: tuple[type[BaseException], ...] = ()) -> dict[str, Any]:
        """The arrays of an answer by name, or an accident: its kind and, as text, its detail.

        Whatever the function raises, `SystemExit` included, is an accident, exceptions in `passing` aside.
        """
        given: dict[str, Any] = {}
        copies = []
        for name, part in request.parts.items():
            if not isinstance(part, str):
                copies.append((name, part.copy(), part.tobytes()))
                part = copies[-1][1] if part.ndim or name.startswith("parameters/") else part.item()
            group, _, member = name.rpartition("/")  # "parameters/bias" is a member of a mapping
            (given.setdefault(group, {}) if group else given)[member] = part
        _poison(request.parts)
        try:
            returned = self._functions[request.kind](*given.values())
            try:
                parts = _parts_of(request.kind, returned)
            except InputError as error:
                parts = {"answer": str(error)}
            except Exception as error:  # objects that NumPy asks for their numbers run code of the port
                parts = {"answer": f"the answer cannot be read: {_first_line(error)}{_place(error)}"}
        except passing:
            raise
        except MemoryError as error:
            return {"memory": f"MemoryError: {_first_line(error)}{_place(error)}"}
        except BaseException as error:
            return {"exception": f"{type(error).__name__}: {_first_line(error)}{_place(error)}"}
        for name, copy, before in copies:
            if copy.tobytes() != before:
                return {"changed-input": f"the array passed as {name} was changed in place"}
        if "answer" in parts:
            return parts
        reused, self._previous = self._reused(), (request.kind, returned, parts)
        if reused:
            return {"reused-buffer": _REUSED}
        dtypes = {part.dtype for part in parts.values() if part.dtype.kind == "f"}
        if "jax" in sys.modules and dtypes == {np.dtype("f4")} and copies[0][1].dtype == np.float64:
            return parts | {"hint": _JAX}
        return parts

    def _reused(self) -> bool:
        """Whether the previous answer, read once more, is another."""
        if self._previous is None:
            return False
        kind, returned, parts = self._previous
        try:
            again = _parts_of(kind, returned)
        except Exception:  # of an object that can be read only once
            return False
        if again.keys() != parts.keys():
            return True
        return any(again[name].tobytes() != part.tobytes() for name, part in parts.items())


def _first_line(error: BaseException) -> str:
    try:
        text = str(error).strip().splitlines()
    except BaseException:  # an exception of the port may be unable to say what it is
        text = []
    return text[0] if text else "(no message)"


def _place(error: BaseException) -> str:
    """The last line of the port that an exception came through."""
    with contextlib.suppress(Exception):
        frames = traceback.extract_tb(error.__traceback__, limit=-100)
        for frame in reversed(frames):
            if not frame.filename.startswith(_LIBRARIES):
                return f" (line {frame.lineno} of {Path(frame.filename).name}: {frame.line})"
    return ""


def _poison(parts: Mapping[str, Any]) -> None:
    """Fill freed memory of the sizes a port will ask for with NaN, so that cells nobody writes are seen."""
    shapes = {part.shape for part in parts.values() if not isinstance(part, str)}
    if "weight" in parts:
        (batch, n_steps, _), n_out = parts["spikes"].shape, len(parts["bias"])
        shapes |= {(batch, n_steps, n_out), (batch, n_out)}
    held = [np.full(shape, np.nan, t) for shape in shapes for t in (np.float32, np.float64) for _ in "ab"]
    del held


def _parts_of(kind: str, returned: Any) -> dict[str, Any]:
    """The arrays of what a function returned, each of its own; a membrane that is not reported is left out."""
    if kind == "forward":
        pair = list(itertools.islice(returned, 3)) if isinstance(returned, (tuple, list)) else []
        if len(pair) != 2:  # counted here: a class of the port's own may say any length
            raise InputError(f"expected (spikes, membrane), got {type(returned).__name__}")
        parts = dict(zip(("spikes", "membrane"), pair))
        return {
            name: _real(name, part) for name, part in parts.items() if name == "spikes" or part is not None
        }
    if not isinstance(returned, Mapping):
        raise InputError(f"expected a mapping of arrays by name, got {type(returned).__name__}")
    title = "the gradient of " if kind == "backward" else ""
    items = itertools.islice(returned.items(), 1000)
    return {str(name): _real(f"{title}{name}", part) for name, part in items}


def real_array(name: str, value: Any) -> Floats:
    """`value` as a float64 array of its own; lists may hold tensors and arrays.

    Raises
    ------
    InputError
        For numbers that are not real (complex ones too if the imaginary part is zero), objects, text, dates, records,
        masked arrays: nothing becomes a number by being cast.
    """
    with np.errstate(all="ignore"):
        return _real(name, value).astype(np.float64)


def _real(name: str, value: Any) -> Floats:
    """The same in a dtype that a message has, the one it came in if that is one."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        # A warning of a conversion says nothing that the dtype does not say; as an error it would leave the checker.
        warnings.simplefilter("ignore")
        array = _array(name, value)
        if array.dtype.kind not in "biuf":
            raise InputError(f"{name} must be real numbers (bool, integer or float), got {array.dtype}")
        if array.size > LARGEST // 8:
            raise InputError(f"{name} must be of a size that a case can have, got shape {array.shape}")
        dtype = array.dtype.newbyteorder("=") if array.dtype.itemsize <= 8 else np.float64
        return np.array(array, dtype, order="C")


def _array(name: str, value: Any) -> NDArray[Any]:
    if isinstance(value, (list, tuple)):
        value = [v if isinstance(v, (int, float)) else _array(name, v) for v in value]
    elif hasattr(value, "__array__") and not hasattr(value, "detach"):
        value = asanyarray(value)  # so that a masked array is still one
    return read_array(name, value)
