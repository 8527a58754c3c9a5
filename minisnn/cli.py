"""The command ``minisnn``: train, evaluate, reproduce, bench, check, vectors, doctor.

Exit codes: 0 done, 1 a check failed, 2 wrong use (one line says what was expected and what came), 130
interrupted.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
from collections.abc import Sequence
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Any

from . import __version__, datasets, solvers
from .bench.commands import add_bench_parser, run_bench
from .errors import DataError, InputError
from .evaluation import evaluate
from .experiment import load
from .files import write_text
from .oracle.commands import add_check_parser, add_vectors_parser, run_check, run_vectors
from .reproduce.commands import add_reproduce_parser, run_reproduce
from .runs import RunFolder
from .train_command import add_train_parser

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


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    parser = _parser()
    try:
        args = parser.parse_args(argv)
        result: int = args.run(args)
    except SystemExit as stop:  # argparse has printed its line already
        return int(stop.code or 0)
    except KeyboardInterrupt:
        print("minisnn: interrupted", file=sys.stderr)
        return 130
    except OSError as error:
        fault = f"{error.filename}: {error.strerror}" if error.filename and error.strerror else error
        print(f"minisnn: error: {fault}", file=sys.stderr)
        return 2
    except (InputError, OverflowError) as error:
        print(f"minisnn: error: {error}", file=sys.stderr)
        return 2
    return result


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one line."""

    def error(self, message: str) -> Any:
        print(f"{self.prog}: error: {message} (see {self.prog} --help)", file=sys.stderr)
        raise SystemExit(2)


def _parser() -> argparse.ArgumentParser:
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
            except InputError as error:
                found[name] = f"not found: {error}"
    for name, version in versions.items():
        print(f"{name:20s} {version or 'not installed'}")
    for name, reason in reasons.items():
        print(
            f"solver {name:18s} {'usable for ' + ', '.join(solvers.ALL[name][1]) if reason is None else reason}"
        )
    for name, place in found.items():
        print(f"data {name:15s} {place}")
    if args.json is not None:
        report = {"versions": versions, "solvers": reasons, "data": found}
        write_text(args.json, json.dumps(report, indent=2) + "\n")
    return 0
