"""An error as one line: of wrong use, or of minisnn itself with the file of its traceback."""

from __future__ import annotations

import os
import platform
import re
import tempfile
import traceback

from . import __version__
from .errors import InputError, one_line

__all__ = ["fault", "line_of"]

# NumPy's words for arrays beyond the address space; they come as ValueError or OverflowError.
_TOO_LARGE = re.compile("array is too big|Maximum allowed dimension exceeded|int too large to convert")


def line_of(error: BaseException) -> str | None:
    """The line of an error of use, or of no room on this machine; None for a fault of minisnn.

    Examples
    --------
    >>> print(line_of(FileNotFoundError(2, "No such file or directory", "run")), line_of(KeyError("run")))
    run: No such file or directory None
    """
    if isinstance(error, MemoryError) or _TOO_LARGE.search(str(error)):
        return one_line(f"not enough memory, take fewer neurons, samples or steps: {error}")
    if isinstance(error, OSError) and error.filename and error.strerror:
        return one_line(f"{error.filename}: {error.strerror}")
    return one_line(error) if isinstance(error, (InputError, OverflowError, OSError)) else None


def fault(error: BaseException) -> str:
    """The line of a fault of minisnn; its traceback goes to a file that the line names."""
    line = f"this is a fault of minisnn {__version__}, not of its use: {type(error).__name__}: {error}"
    report = f"minisnn {__version__}, Python {platform.python_version()}, {platform.platform()}\n"
    report += "".join(traceback.format_exception(error))
    try:
        handle, path = tempfile.mkstemp(prefix="minisnn-fault-", suffix=".txt")
        with os.fdopen(handle, "w", errors="backslashreplace") as file:
            file.write(report)
    except OSError:
        return (
            one_line(f"{line} (its traceback could not be written to a file, and follows)")
            + f"\n{report.rstrip()}"
        )
    return one_line(f"{line} (please report it; the traceback is in {path})")
