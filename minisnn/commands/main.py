"""The command ``minisnn``: train, evaluate, export, recipes, reproduce, bench, check, vectors, doctor.

Exit codes: 0 done, 1 a check failed, 2 wrong use (one line says what was expected and what came) or no room on
this machine, 70 a fault of minisnn itself (one line says where its traceback is), 130 interrupted.
"""

from __future__ import annotations

import argparse
import os
import platform
import tempfile
import traceback
from collections.abc import Sequence
from typing import Any

from .. import __version__
from ..errors import InputError, one_line
from ..files import checked_file, checked_folder
from ..streams import lasting_streams, say

__all__ = ["main"]

# Options of all commands that name folders and files to be written.
FOLDERS, FILES = ("out", "plot", "save"), {"json": "--json", "out_file": "--out"}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    with lasting_streams() as output:
        code = _run(argv)
        output.flush()
        # A reader that closes the stream wants no more of it; any other fault lost a result.
        if isinstance(output.fault, OSError) and not isinstance(output.fault, BrokenPipeError):
            say(f"minisnn: error: standard output: {output.fault.strerror}")
            code = code or 2
    return code


def _run(argv: Sequence[str] | None) -> int:
    try:
        try:
            args = _parser().parse_args(argv)
        except SystemExit as stop:  # argparse has printed its line already
            return int(stop.code or 0)
        _look_at_outputs(args)
        result: int = args.run(args)
        return result
    except KeyboardInterrupt:
        say("minisnn: interrupted")
        return 130
    except MemoryError as error:
        fault = f"not enough memory, take fewer samples or steps a batch: {error}"
    except OSError as error:
        fault = f"{error.filename}: {error.strerror}" if error.filename and error.strerror else str(error)
    except (InputError, OverflowError) as error:
        fault = str(error)
    except (Exception, SystemExit) as error:
        _report_fault(error)
        return 70
    say(f"minisnn: error: {one_line(fault)}")
    return 2


def _look_at_outputs(args: argparse.Namespace) -> None:
    """Raise now any error that would keep a result from being written in the end."""
    folders = [checked_folder(path) for name in FOLDERS if (path := getattr(args, name, None)) is not None]
    for name, option in FILES.items():
        path = getattr(args, name, None)
        if path is not None:
            try:
                checked_file(path, to_be_made=folders)
            except InputError as error:
                raise InputError(f"{option} {error}") from None


def _report_fault(error: BaseException) -> None:
    """Name the fault of minisnn in one line, with the file of its traceback."""
    line = (
        f"minisnn: this is a fault of minisnn {__version__}, not of its use: {type(error).__name__}: {error}"
    )
    report = f"minisnn {__version__}, Python {platform.python_version()}, {platform.platform()}\n"
    report += "".join(traceback.format_exception(error))
    try:
        handle, path = tempfile.mkstemp(prefix="minisnn-fault-", suffix=".txt")
        with os.fdopen(handle, "w", errors="backslashreplace") as file:
            file.write(report)
    except OSError:
        say(one_line(f"{line} (its traceback could not be written to a file, and follows)"))
        say(report.rstrip())
    else:
        say(one_line(f"{line} (please report it; the traceback is in {path})"))


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one line."""

    def error(self, message: str) -> Any:
        say(one_line(f"{self.prog}: error: {message} (see {self.prog} --help)"))
        raise SystemExit(2)


def _parser() -> argparse.ArgumentParser:
    # Imported here, so that an interruption or a fault during the import ends as everywhere else.
    from .bench import add_bench_parser
    from .check import add_check_parser, add_vectors_parser
    from .doctor import add_doctor_parser
    from .evaluate import add_evaluate_parser
    from .export import add_export_parser
    from .recipes import add_recipes_parser
    from .reproduce import add_reproduce_parser
    from .train import add_train_parser

    parser = _Parser(prog="minisnn", description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--version", action="version", version=f"minisnn {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND", parser_class=_Parser)
    for add in (
        add_train_parser, add_evaluate_parser, add_export_parser, add_recipes_parser, add_reproduce_parser,
        add_bench_parser, add_check_parser, add_vectors_parser, add_doctor_parser,
    ):  # fmt: skip
        add(commands)
    return parser
