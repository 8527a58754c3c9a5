"""The errors minisnn raises for wrong input: one line that says what was expected and what came."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterable
from types import ModuleType

__all__ = [
    "DataError", "InputError", "SolverUnavailableError", "import_extra", "not_installed", "one_line", "shown",
    "unknown_name",
]  # fmt: skip


class InputError(ValueError):
    """An argument is not what the function takes."""


class DataError(InputError):
    """A file or folder is missing, damaged, or of another format."""


class SolverUnavailableError(InputError):
    """A solver was asked for by name and cannot run here; the message says what is missing."""


def one_line(error: object) -> str:
    """Text of an error in one printable line: what a damaged file or a port says may be part of it."""
    return "".join(c if c.isprintable() else "?" for c in " ".join(str(error).split()))


def shown(value: object) -> str:
    """What came, for an error: its `repr` in one line of at most 80 characters."""
    try:
        text = one_line(repr(value))
    except Exception:  # a whole number of more digits than Python prints, or a foreign object's own fault
        return f"a {type(value).__name__}"
    return text if len(text) <= 80 else f"{text[:77]}..."


def unknown_name(what: str, name: object, known: Iterable[str]) -> InputError:
    """Make the error for a name that is not in a list, with the nearest name as a suggestion.

    Examples
    --------
    >>> print(unknown_name("solver", "numpy-paralel", ["numpy-parallel", "numpy-sequential"]))
    unknown solver 'numpy-paralel' (did you mean 'numpy-parallel'?); known: numpy-parallel, numpy-sequential
    """
    names = list(known)
    close = difflib.get_close_matches(str(name), names, n=1)
    hint = f" (did you mean {close[0]!r}?)" if close else ""
    return InputError(f"unknown {what} {shown(name)}{hint}; known: {', '.join(names)}")


def not_installed(extra: str | None) -> str:
    """The words for a package that is missing, and how to get it if an extra brings it."""
    return f"not installed: pip install '.[{extra}]' in a clone of minisnn" if extra else "not installed"


def import_extra(module: str, package: str, extra: str, task: str = "") -> ModuleType:
    """Import a module that needs an optional package; `task` says what it does, for the error.

    Examples
    --------
    >>> import_extra("json.codec", "json.codec", "plot")
    Traceback (most recent call last):
    ...
    minisnn.errors.InputError: json.codec is not installed: pip install '.[plot]' in a clone of minisnn
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name != package:
            raise
        what = f"{package}, which {task}," if task else package
        raise InputError(f"{what} is {not_installed(extra)}") from None
    except (ImportError, OSError, RuntimeError) as error:  # without a home, or with libraries that do not fit
        raise InputError(f"{package} cannot be used here: {one_line(error)}") from None
