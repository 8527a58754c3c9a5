"""The commands ``minisnn check`` and ``minisnn vectors``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..files import checked_folder
from ..oracle import golden, vectors
from ..oracle.check import check
from ..oracle.judge import CONVENTIONS
from .options import add_json, add_options, given, write_json

__all__ = ["add_check_parser", "add_vectors_parser", "run_check", "run_vectors"]

# Parameters of `check` that are no options of their own name and type.
_OWN = ("forward", "backward", "convention", "save")


def add_check_parser(subparsers: Any) -> argparse.ArgumentParser:
    """Add the command ``check`` to the subparsers of an argparse parser."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "check",
        help="check another implementation of the layer",
        description="Check another implementation of the single-spike layer (or of the conventional one): "
        "exit code 0 if it is right, 1 with the broken rule and the smallest failing case if not, 2 for wrong use. "
        "The port is loaded and called in a process of its own, where it may crash, hang or exit; what it prints is "
        "not shown.",
    )
    parser.add_argument(
        "forward",
        metavar="MODULE:FORWARD",
        help="FORWARD(spikes, weight, bias, decay, threshold) -> (spikes or spike times, membrane or None); "
        "also path/to/file.py:FORWARD",
    )
    parser.add_argument(
        "--backward",
        metavar="MODULE:BACKWARD",
        help="BACKWARD(spikes, weight, bias, decay, threshold, surrogate_scale, gradient, grad_spikes) -> mapping "
        "with any of spikes, weight, bias, decay",
    )
    add_options(parser, check, leave_out=_OWN)
    parser.add_argument(
        "--convention",
        action="append",
        choices=tuple(CONVENTIONS),
        help="; ".join(f"{name}: {text}" for name, text in CONVENTIONS.items()),
    )
    add_json(parser.add_argument)
    parser.add_argument(
        "--save", metavar="DIR", help="write the smallest failing cases, each with a pytest file"
    )
    parser.set_defaults(run=run_check)
    return parser


def run_check(args: argparse.Namespace) -> int:
    """Run ``minisnn check``: 0 if the port is right, 1 if not.

    Raises
    ------
    InputError
        If the port cannot be imported or the arguments make no sense.
    """
    report = check(
        args.forward, args.backward, convention=args.convention, **given(args, check, leave_out=_OWN)
    )
    print(report)
    if args.save is not None and report.findings:
        for path in report.save(args.save, args.forward, args.backward):
            print(f"wrote {path}")
    write_json(args.json, report.to_dict())
    return 0 if report.passed else 1


def add_vectors_parser(subparsers: Any) -> argparse.ArgumentParser:
    """Add the command ``vectors`` to the subparsers of an argparse parser."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "vectors",
        help="write the golden vectors, or check them",
        description="Write the golden vectors (JSON, readable without Python) to a folder; "
        "with --check compare a folder, or the shipped set, with what this version makes.",
    )
    parser.add_argument("folder", metavar="DIR", nargs="?", help="folder to write, or to check")
    parser.add_argument(
        "--check",
        action="store_true",
        help="write nothing; exit code 1 if a file is missing, damaged or not current",
    )
    add_json(parser.add_argument)
    parser.set_defaults(run=run_vectors)
    return parser


def run_vectors(args: argparse.Namespace) -> int:
    """Run ``minisnn vectors``: 0 if written or current, 1 if ``--check`` found a difference.

    Raises
    ------
    InputError
        If neither a folder nor ``--check`` is given, or the folder cannot be written.
    """
    if args.folder is None and not args.check:
        raise InputError("give a folder to write the golden vectors to, or --check to check the shipped set")
    if args.check:
        folder = golden.SHIPPED if args.folder is None else Path(args.folder)
        wrong = vectors.differences(folder)
        for line in wrong:
            print(line)
        print(f"{'FAIL' if wrong else 'PASS'}: the golden vectors are {'not ' if wrong else ''}current")
        outcome: dict[str, Any] = {"passed": not wrong, "differences": wrong}
    else:
        written = vectors.write(checked_folder(args.folder))
        print(f"wrote {len(written)} files to {args.folder}")
        outcome = {"passed": True, "files": [path.name for path in written]}
    write_json(args.json, outcome)
    return 0 if outcome["passed"] else 1
