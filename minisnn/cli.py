"""The command ``minisnn``: train, evaluate, reproduce, bench, check, vectors, doctor.

Exit codes: 0 done, 1 a check failed, 2 wrong use (one line says what was expected and what came) or no room on
this machine, 70 a fault of minisnn itself (one line says where its traceback is), 130 interrupted.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
import traceback
from collections.abc import Sequence
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Any

from . import __version__, solvers
from .errors import DataError, InputError, one_line
from .files import checked_file, checked_folder, write_text
from .streams import lasting_streams, say

__all__ = ["main"]

PACKAGES = (
    "numpy",
    "scipy",
    "numba",
    "tqdm",
    "array-api-compat",
    "threadpoolctl",
    "matplotlib",
    "tonic",
    "pooch",
)
# Options of all commands that name what is written.
FOLDERS, FILES = ("out", "plot", "save"), ("json",)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    with lasting_streams() as output:
        code = _run(argv)
        output.flush()
        # Who closes a pipe has seen enough; anything else lost a result.
        if output.fault is not None and not isinstance(output.fault, BrokenPipeError):
            say(f"minisnn: error: standard output: {getattr(output.fault, 'strerror', None) or output.fault}")
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
    """Raise now what would keep a result from being written in the end."""
    folders = [checked_folder(path) for name in FOLDERS if (path := getattr(args, name, None)) is not None]
    for name in FILES:
        path = getattr(args, name, None)
        if path is not None:
            try:
                checked_file(path, to_be_made=folders)
            except InputError as error:
                raise InputError(f"--{name} {error}") from None


def _report_fault(error: BaseException) -> None:
    """Say in one line that minisnn is at fault, and where the traceback is."""
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
    # Imported here, so that an interruption or a fault meanwhile ends as everywhere else.
    from .bench.commands import add_bench_parser, run_bench
    from .oracle.commands import add_check_parser, add_vectors_parser, run_check, run_vectors
    from .reproduce.commands import add_reproduce_parser, run_reproduce
    from .train_command import add_train_parser

    parser = _Parser(prog="minisnn", description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--version", action="version", version=f"minisnn {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND", parser_class=_Parser)
    add_train_parser(commands)
    command = commands.add_parser(
        "evaluate", help="accuracy and spikes of a trained network on the test part"
    )
    command.add_argument("run_dir", type=Path, help="run folder of minisnn train")
    command.add_argument("--data-dir", type=Path, help="folder of the data set, or its parent")
    command.add_argument("--solver", help="solver to use (default: the one of the run)")
    command.add_argument("--json", type=Path, metavar="FILE", help="write the result as JSON")
    command.set_defaults(run=_evaluate)
    add_reproduce_parser(commands).set_defaults(run=run_reproduce)
    add_bench_parser(commands).set_defaults(run=run_bench)
    add_check_parser(commands).set_defaults(run=run_check)
    add_vectors_parser(commands).set_defaults(run=run_vectors)
    command = commands.add_parser("doctor", help="versions, usable solvers, data found")
    command.add_argument("--data-dir", type=Path, help="folder to look for data sets in")
    command.add_argument("--json", type=Path, metavar="FILE", help="write the result as JSON")
    command.set_defaults(run=_doctor)
    return parser


def _evaluate(args: argparse.Namespace) -> int:
    from .evaluation import evaluate
    from .experiment import load
    from .runs import RunFolder

    run = RunFolder.open(args.run_dir)
    config = run.config()
    if "series" in config:
        folders = ", ".join(path.parent.name for path in sorted(run.path.glob("*/config.json")))
        raise DataError(
            f"{run.path} holds several trainings: give one of them, {folders or 'none has begun'}"
        )
    network = run.network()
    data = load(config, args.data_dir)
    solver = args.solver or run.settings()[1].solver
    result = evaluate(network, data.test, solver=solver)
    if args.json is not None:
        values = {"dataset": config["dataset"], "n_samples": len(data.test), "solver": solver}
        values |= {"epoch": run.chosen_epoch()} | asdict(result)
        values |= {k: getattr(result, k) for k in ("spikes_per_sample", "silent_neurons", "always_firing")}
        write_text(args.json, json.dumps(values, indent=2) + "\n")
    print(
        f"{config['dataset']}: test accuracy {100 * result.accuracy:.2f} % of {len(data.test)} samples, "
        f"after epoch {run.chosen_epoch()}, loss {result.loss:.4f}, "
        f"{result.spikes_per_sample:.1f} hidden spikes a sample"
    )
    return 0


def _doctor(args: argparse.Namespace) -> int:
    from . import datasets

    versions: dict[str, str | None] = {"minisnn": __version__, "python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = None
    reasons = {name: solvers.why_unavailable(name) for name in solvers.ALL}
    found: dict[str, str] = {"yin-yang": "generated, needs no files"}
    for name in datasets.NAMES:
        if name not in found:
            try:
                found[name] = str(datasets.find(name, args.data_dir))
            except (InputError, OSError) as error:
                found[name] = f"not found: {one_line(error)}"
    for name, version in versions.items():
        print(f"{name:20s} {version or 'not installed'}")
    for name, reason in reasons.items():
        print(
            f"solver {name:18s} {'usable for ' + ', '.join(solvers.ALL[name][1]) if reason is None else reason}"
        )
    print(f"{'compiled code':25s} {_compiled_code()}")
    for name, place in found.items():
        print(f"data {name:15s} {place}")
    if args.json is not None:
        report = {"versions": versions, "solvers": reasons, "data": found}
        write_text(args.json, json.dumps(report, indent=2) + "\n")
    return 0


def _compiled_code() -> str:
    """Where the compiled solvers keep their code, or why they do not."""
    try:
        from .solvers.compiled.jit import cache_folder
    except Exception as error:  # Numba has its own ways to fail; the solvers' lines say the same
        return f"none: {one_line(error)}"
    nowhere = "kept nowhere, so that every run compiles: set NUMBA_CACHE_DIR to a folder that can be written"
    return cache_folder() or nowhere
