"""Finding a port by name: ``module:function`` or ``path/to/file.py:function``."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..errors import InputError, one_line

__all__ = ["load_function", "name_of"]


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
    module = _load_file(Path(where)) if where.endswith(".py") else _load_module(where)
    try:
        found = functools.reduce(getattr, name.split("."), module)
    except AttributeError:
        names = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
        raise InputError(f"{where} has no {name!r}; its functions: {', '.join(names) or 'none'}") from None
    if not callable(found):
        raise InputError(f"{spec} is not a function but {type(found).__name__}")
    function: Callable[..., Any] = found
    return function


def _load_module(name: str) -> Any:
    return _imported(name, Path.cwd(), lambda: importlib.import_module(name))


def _load_file(path: Path) -> Any:
    if not path.is_file():
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
