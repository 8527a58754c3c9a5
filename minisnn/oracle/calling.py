"""Finding somebody else's function and calling it: copies in, plain arrays out, every accident told by its name."""

from __future__ import annotations

import contextlib
import functools
import importlib
import importlib.util
import inspect
import itertools
import os
import sys
import sysconfig
import traceback
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy import asanyarray
from numpy.typing import NDArray

from ..errors import InputError, one_line
from ..reading import read_array
from .protocol import LARGEST, Message

Floats = NDArray[Any]
# Files that are not the port's: its own lines are the ones to show.
_LIBRARIES = (
    str(Path(__file__).parents[1]) + os.sep,
    "<",
    *(sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")),
)
_REUSED = "an answer changed after the next call: return a copy, not a buffer that is written again"
_JAX = "float32 came for float64: set jax_enable_x64, or check with --dtype float32"


def load_function(spec: str) -> Callable[..., Any]:
    """Import the function that `spec` names; modules are looked for in the current folder first.

    Parameters
    ----------
    spec : str
        ``module:function``, ``package.module:object.function`` or ``path/to/file.py:function``.

    Raises
    ------
    InputError
        If there is no such module or function, or importing it fails; one line says which.

    Examples
    --------
    >>> load_function("math:sqrt")(9.0)
    3.0
    """
    where, colon, name = spec.rpartition(":")
    if not colon or not where or not name:
        raise InputError(f"a port is given as MODULE:FUNCTION or path/to/file.py:FUNCTION, got {spec!r}")
    if where.endswith(".py"):
        module = _load_file(Path(where))
    else:
        module = _imported(where, Path.cwd(), lambda: importlib.import_module(where))
    try:
        found = functools.reduce(getattr, name.split("."), module)
    except AttributeError:
        names = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
        raise InputError(f"{where} has no {name!r}; its functions: {', '.join(names) or 'none'}") from None
    if not callable(found):
        raise InputError(f"{spec} is not a function but {type(found).__name__}")
    return cast(Callable[..., Any], found)


def _load_file(path: Path) -> Any:
    if not os.path.isfile(path):  # also of a name that is too long
        raise InputError(f"{path} does not exist (looked for it from {Path.cwd().name or '/'})")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise InputError(f"{path} is not a Python file")
    module, loader = importlib.util.module_from_spec(spec), spec.loader
    sys.modules.setdefault(path.stem, module)
    try:
        _imported(path, path.resolve().parent, lambda: loader.exec_module(module))
    except InputError:
        if sys.modules.get(path.stem) is module:
            del sys.modules[path.stem]
        raise
    return module


def _imported(name: object, folder: Path, load: Callable[[], Any]) -> Any:
    """What `load` returns; `folder` stays first on the path, because a port may import when it is called."""
    if sys.path[:1] != [str(folder)]:
        sys.path.insert(0, str(folder))
    try:
        return load()
    except (Exception, SystemExit) as error:
        # Whatever the port's module does on import is the user's to see, in one line.
        raise InputError(f"cannot import {name}: {type(error).__name__}: {one_line(error)}") from error


def name_of(function: Any) -> Any:
    """A name by which `load_function` finds `function` again, as well as one can be told; others by themselves."""
    if not callable(function):
        return function
    name = getattr(function, "__qualname__", type(function).__name__)
    module = getattr(function, "__module__", None) or "__main__"
    try:
        importable = module != "__main__" and importlib.util.find_spec(module.partition(".")[0]) is not None
    except (ImportError, ValueError):  # of a module that somebody made without a specification
        importable = False
    try:
        return f"{module if importable else inspect.getsourcefile(function)}:{name}"
    except TypeError:
        return f"{module}:{name}"


class Caller:
    """Calls the function for each kind of request with its parts, in their order, and reads what it returns."""

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
                parts = {"answer": f"the answer cannot be read: {_said(error)}"}
        except passing:
            raise
        except BaseException as error:
            kind = "memory" if isinstance(error, MemoryError) else "exception"
            return {kind: f"{type(error).__name__}: {_said(error)}"}
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


def _said(error: BaseException) -> str:
    """The first line of an exception's text, and the last line of the port that it came through."""
    place, text = "", ["(no message)"]
    with contextlib.suppress(BaseException):  # an exception of the port may be unable to say what it is
        text = str(error).strip().splitlines() or text
    with contextlib.suppress(Exception):
        for frame in traceback.extract_tb(error.__traceback__, limit=-100):
            if not frame.filename.startswith(_LIBRARIES):
                place = f" (line {frame.lineno} of {Path(frame.filename).name}: {frame.line})"
    return f"{text[0]}{place}"


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

    `InputError` for all that is not real numbers (complex ones without an imaginary part too): nothing is cast to one.
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
