"""The command ``minisnn``: train, sweep, evaluate, export, recipes, reproduce, bench, check, vectors, doctor.

Exit codes: 0 done, 1 a check, or a training of a series, failed, 2 wrong use (one line says what was expected and
what came) or no room on this machine, 70 a fault of minisnn itself (one line says where its traceback is), 130
interrupted.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .. import __version__
from ..checkpoints import is_kept
from ..errors import InputError, one_line
from ..faults import fault, line_of
from ..files import checked_file, checked_folder
from ..reading import checked_path
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
            for word in argv or ():  # those of a shell are all right, a caller's may be otherwise
                checked_path("an argument", word)
            args = _parser().parse_args(argv)
        except SystemExit as stop:  # argparse has printed its line already
            return int(stop.code or 0)
        _look_at_outputs(args)
        result: int = args.run(args)
        return result
    except KeyboardInterrupt:
        say("minisnn: interrupted")
        return 130
    except (Exception, SystemExit) as error:
        line = line_of(error)
        say(f"minisnn: error: {line}" if line is not None else f"minisnn: {fault(error)}")
        return 70 if line is None else 2


def _look_at_outputs(args: argparse.Namespace) -> None:
    """Raise now any error that would keep a result from being written in the end."""
    folders = [checked_folder(path) for name in FOLDERS if (path := getattr(args, name, None)) is not None]
    if not (folders or getattr(args, "resume", None)):
        folders = list(getattr(args, "usual_out", ()))
    if getattr(args, "folder", None) is not None:  # of `vectors`, which may only read it
        folders.append(Path(args.folder))
    for name, option in FILES.items():
        path = getattr(args, name, None)
        if path is not None:
            try:
                checked_file(path, to_be_made=folders)
                _check_apart(Path(path), folders, [v for other, v in vars(args).items() if other != name])
            except InputError as error:
                raise InputError(f"{option} {error}") from None


def _check_apart(path: Path, folders: Sequence[Path], others: Sequence[Any]) -> None:
    """Raise `InputError` if a file would stand where a run or another argument has its own."""
    target, made = Path(os.path.realpath(path)), [Path(os.path.realpath(folder)) for folder in folders]
    if any(target == folder or target in folder.parents for folder in made):
        raise InputError(f"must name a file, got {path}, which is to be a folder")
    # Other names in there may be those of trainings and pictures.
    if target.parent in made and target.suffix != ".json":
        raise InputError(f"must end in .json to lie in the folder of the results, got {path}")
    beside = (file for pattern in ("*", "*/config.json") for file in target.parent.glob(pattern))
    if is_kept(target) and (target.parent in made or any(is_kept(f) and f != target for f in beside)):
        raise InputError(f"must not name a file that a run keeps in its folder, got {path}")
    paths = [
        other
        for other in others
        if isinstance(other, Path) or (isinstance(other, str) and os.path.isfile(other))
    ]
    if (path.is_file() or not path.exists()) and str(target) in map(os.path.realpath, paths):
        raise InputError(f"must name a file of its own, got {path}, which another argument names too")


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one line."""

    def error(self, message: str) -> Any:
        say(one_line(f"{self.prog}: error: {message} (see {self.prog} --help)"))
        raise SystemExit(2)


def _parser() -> argparse.ArgumentParser:
    # Imported here, so that an interruption or a fault during the import ends as everywhere else.
    from . import bench, check, doctor, evaluate, export, recipes, reproduce, sweep, train

    parser = _Parser(prog="minisnn", description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--version", action="version", version=f"minisnn {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND", parser_class=_Parser)
    for module in (train, sweep, evaluate, export, recipes, reproduce, bench, check, doctor):
        module.add_parser(commands)
    return parser
