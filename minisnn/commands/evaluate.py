"""The commands ``minisnn evaluate`` and ``minisnn doctor``."""

from __future__ import annotations

import argparse
import platform
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Any

from .. import __version__, datasets, solvers
from ..errors import DataError, InputError, one_line
from ..training import RunFolder, evaluate
from ..training.experiment import Experiment
from .options import add_data_dir, add_json, write_json

__all__ = ["add_doctor_parser", "add_evaluate_parser"]

PACKAGES = (
    "numpy", "scipy", "numba", "tqdm", "array-api-compat", "threadpoolctl", "matplotlib", "tonic", "pooch",
)  # fmt: skip


def add_evaluate_parser(subparsers: Any) -> None:
    """Add the command ``evaluate`` to the subparsers of an argparse parser."""
    text = "accuracy and spikes of a trained network on the test part"
    command = subparsers.add_parser("evaluate", help=text)
    command.add_argument("run_dir", type=Path, help="run folder of minisnn train")
    add_data_dir(command.add_argument)
    command.add_argument("--solver", help="solver to use (default: the one of the run)")
    add_json(command.add_argument)
    command.set_defaults(run=_evaluate)


def add_doctor_parser(subparsers: Any) -> None:
    """Add the command ``doctor`` to the subparsers of an argparse parser."""
    command = subparsers.add_parser("doctor", help="versions, usable solvers, data found")
    add_data_dir(command.add_argument)
    add_json(command.add_argument)
    command.set_defaults(run=_doctor)


def _evaluate(args: argparse.Namespace) -> int:
    run = RunFolder.open(args.run_dir)
    experiment = Experiment.from_json(run.config(), run.path)
    if experiment.series is not None:
        folders = ", ".join(path.parent.name for path in sorted(run.path.glob("*/config.json")))
        raise DataError(
            f"{run.path} holds several trainings: give one of them, {folders or 'none has begun'}"
        )
    network, epoch = run.network(), run.chosen_epoch()
    data = experiment.load_data(args.data_dir)
    test = data.test
    solver = args.solver or experiment.training.solver
    result = evaluate(network, test, solver=solver)
    values = {"dataset": data.name, "n_samples": len(test), "solver": solver, "epoch": epoch}
    values |= asdict(result)
    values |= {k: getattr(result, k) for k in ("spikes_per_sample", "silent_neurons", "always_firing")}
    write_json(args.json, values)
    print(
        f"{data.name}: test accuracy {100 * result.accuracy:.2f} % of {len(test)} samples, after epoch "
        f"{epoch}, loss {result.loss:.4f}, {result.spikes_per_sample:.1f} hidden spikes a sample"
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
    found = {"yin-yang": "generated, needs no files"}
    for name in datasets.NAMES[1:]:  # all but yin-yang
        try:
            found[name] = str(datasets.find(name, args.data_dir))
        except (InputError, OSError) as error:
            found[name] = f"not found: {one_line(error)}"
    for name, version in versions.items():
        print(f"{name:20s} {version or 'not installed'}")
    for name, reason in reasons.items():
        print(f"solver {name:18s} {reason or 'usable for ' + ', '.join(solvers.ALL[name][1])}")
    print(f"{'compiled code':25s} {_compiled_code()}")
    for name, place in found.items():
        print(f"data {name:15s} {place}")
    write_json(args.json, {"versions": versions, "solvers": reasons, "data": found})
    return 0


def _compiled_code() -> str:
    """The folder in which the compiled solvers keep their code, or the reason why they do not."""
    try:
        from ..solvers.compiled.jit import cache_folder
    except Exception as error:  # any fault of Numba's import; the lines of the solvers name it too
        return f"none: {one_line(error)}"
    nowhere = "kept nowhere, so that every run compiles: set NUMBA_CACHE_DIR to a folder that can be written"
    return cache_folder() or nowhere
