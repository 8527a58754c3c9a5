"""The commands ``minisnn check`` and ``minisnn vectors``."""

from __future__ import annotations

import argparse
import inspect
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..files import checked_folder
from ..oracle import Program, check_answers, check_step, golden, vectors, write_cases
from ..oracle.check import check
from ..oracle.judge import CONVENTIONS
from ..oracle.trial import Interrupted
from .options import add_json, add_options, given, write_json

__all__ = ["add_parser", "run_check", "run_vectors"]

# Options of `check` that say which cases are written.
_OF_CASES = ("neuron", "gradient", "dtype", "examples", "seed", "bound")
# Parameters of `check` that are no options of their own name and type.
_OWN = ("forward", "backward", "convention", "save")


def add_parser(subparsers: Any) -> None:
    """Add the commands ``check`` and ``vectors`` to the subparsers of an argparse parser."""
    check_parser = subparsers.add_parser(
        "check",
        help="check another implementation of the layer",
        description="Check another implementation of the single-spike layer (or of the conventional one): "
        "exit code 0 if it is right, 1 with the broken rule and the smallest failing case if not, 2 for wrong use. "
        "The port is loaded and called in a process of its own, where it may crash, hang or exit; what it prints is "
        "not shown.",
    )
    add = check_parser.add_argument
    port = (
        "FORWARD(spikes, weight, bias, decay, threshold) -> (spikes or spike times, membrane or None); also "
    )
    add("forward", metavar="MODULE:FORWARD", nargs="?", help=f"{port}path/to/file.py:FORWARD")
    add(
        "--backward",
        metavar="MODULE:BACKWARD",
        help="BACKWARD(spikes, weight, bias, decay, threshold, surrogate_scale, gradient, grad_spikes) -> mapping "
        "with any of spikes, weight, bias, decay",
    )
    add(
        "--program",
        metavar="COMMAND",
        help="a program that reads cases and writes answers, in any language (PROTOCOL.md beside the golden vectors)",
    )
    add("--text", action="store_true", help="the program speaks JSON, a case a line")
    recorded = "judge recorded answers to the cases of minisnn vectors DIR --cases"
    add("--answers", metavar="DIR", help=recorded)
    add(
        "--network",
        metavar="NETWORK.npz",
        help="check a whole training step, STEP(spikes, labels, parameters, config) -> mapping with any of logits, "
        "loss and gradients by name, on that network or finding; on small ones of every kind: any",
    )
    add_options(check_parser, check, leave_out=_OWN)
    add("--save", metavar="DIR", help="write the smallest failing cases, each with a pytest file")

    vectors_parser = subparsers.add_parser(
        "vectors",
        help="write the golden vectors, or check them",
        description="Write the golden vectors (JSON, readable without Python) to a folder; "
        "with --check compare a folder, or the shipped set, with what this version makes.",
    )
    add = vectors_parser.add_argument
    add("folder", metavar="DIR", nargs="?", help="folder to write, or to check")
    current = "write nothing; exit code 1 if a file is missing, damaged or not current"
    add("--check", action="store_true", help=current)
    add("--cases", action="store_true", help="write the cases of a check, for minisnn check --answers DIR")
    add_options(vectors_parser, check, leave_out={*inspect.signature(check).parameters} - set(_OF_CASES))
    add("--text", action="store_true", default=None, help="write the cases as JSON lines, too")

    conventions = "; ".join(f"{name}: {text}" for name, text in CONVENTIONS.items())
    for parser, run in ((check_parser, run_check), (vectors_parser, run_vectors)):
        parser.add_argument("--convention", action="append", choices=tuple(CONVENTIONS), help=conventions)
        add_json(parser.add_argument)
        parser.set_defaults(run=run)


def run_check(args: argparse.Namespace) -> int:
    """Run ``minisnn check``: 0 if the port is right, 1 if not."""
    if sum(port is not None for port in (args.forward, args.program, args.answers)) != 1:
        raise InputError("give one port: MODULE:FORWARD, or --program COMMAND, or --answers DIR")
    if args.text and args.program is None:
        raise InputError("--text is for --program; recorded answers are text if they are in answers.jsonl")
    options = given(args, check, leave_out=("forward", "save"))
    port = args.forward if args.program is None else Program(args.program, args.text)
    try:
        if args.network is not None:
            odd = options.keys() - inspect.signature(check_step).parameters
            if odd or args.answers is not None:
                raise InputError(
                    f"--network is for a training step: leave out --{min(odd, default='answers')}"
                )
            report = check_step(port, None if args.network == "any" else args.network, **options)
        elif args.answers is None:
            report = check(port, **options)
        elif options:
            raise InputError(f"--answers takes the settings of its folder: leave out --{min(options)}")
        else:
            report = check_answers(args.answers)
    except Interrupted as stop:
        report = stop.report
    print(report)
    if args.save is not None and report.findings:
        for path in report.save(args.save, port, args.backward):
            print(f"wrote {path}")
    write_json(args.json, report.to_dict())
    if report.interrupted:
        raise KeyboardInterrupt
    return 0 if report.passed else 1


def run_vectors(args: argparse.Namespace) -> int:
    """Run ``minisnn vectors``: 0 if written or current, 1 if ``--check`` found a difference."""
    if args.folder is None and not args.check:
        raise InputError("give a folder to write the golden vectors to, or --check to check the shipped set")
    options = given(args, write_cases, leave_out=("folder",))
    if (args.cases and args.check) or (options and not args.cases):
        raise InputError(
            "--cases is for writing the cases of a check, and the options of cases go with it alone"
        )
    if args.check:
        folder = golden.SHIPPED if args.folder is None else Path(args.folder)
        wrong = vectors.differences(folder)
        for line in wrong:
            print(line)
        print(f"{'FAIL' if wrong else 'PASS'}: the golden vectors are {'not ' if wrong else ''}current")
        outcome: dict[str, Any] = {"passed": not wrong, "differences": wrong}
    else:
        folder = checked_folder(args.folder)
        written = write_cases(folder, **options) if args.cases else vectors.write(folder)
        print(f"wrote {len(written)} files to {args.folder}")
        outcome = {"passed": True, "files": [path.name for path in written]}
    write_json(args.json, outcome)
    return 0 if outcome["passed"] else 1
