"""The command ``minisnn bench``: step, grid, scaling; exit code 1 if answers differ anywhere."""

from __future__ import annotations

import argparse
from typing import Any

from .. import solvers
from ..bench import grid, scaling, step
from ..bench.workloads import WORKLOADS, Workload, workload
from ..errors import InputError, import_extra
from ..reading import checked_count
from ..solvers.compiled.threads import get_threads
from ..training.recipes import RULES
from .options import FOLDER, WHOLE, add_json, choices, write_json

__all__ = ["add_parser"]

# Of every kind its help, its repeats, and those with --quick.
KINDS = {
    "step": ("one training step on three workloads, and what every idea contributes", 20, 4),
    "grid": ("the paper's figure: one layer against stepping, over T, n and batch", 5, 2),
    "scaling": ("time of a training step against T, n, batch and threads", 10, 4),
}

SIMULATED = (1, 2, 4, 8, 16, 32)  # cores


def add_parser(subparsers: Any) -> None:
    """Add the command ``bench`` to the subparsers of an argparse parser."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "bench",
        help="measure how fast it is, after checking that the answers agree",
        description="Time training steps, one layer over a grid of sizes, or scaling. Every line first checks that "
        "the answers agree: exit code 0 if they do, 1 if not (that line has no time), 2 for wrong use.",
    )
    kinds = parser.add_subparsers(dest="bench", required=True, metavar="KIND")
    for name, (text, repeats, _) in KINDS.items():
        kind = kinds.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        add = kind.add_argument
        add_json(add)
        add("--plot", **FOLDER, help="draw them into this folder")
        add("--quick", action="store_true", help="fewer sizes and repeats")
        add("--threads", **WHOLE, help="threads (default: the cores)")
        add("--repeats", **WHOLE, help=f"timed repeats of each (default {repeats})")
        if name == "grid":
            which = "of the input (default: all three)"
            add("--density", action="append", choices=grid.DENSITIES, help=which)
            add("--batch", **WHOLE, action="append", help="batch size (default 32, 64, 128)")
            add("--neurons", **WHOLE, action="append", help="default 100, 200, 500, 1000")
            add("--n-steps", **WHOLE, action="append", help="default 8, 16, ... 2048")
            add("--gpu", action="store_true", help="both layers on the GPU: cupy-sequential, cupy-parallel")
            continue
        which = "only this workload (may be repeated)"
        add("--workload", action="append", metavar=choices(WORKLOADS), help=which)
        add("--rule", action="append", choices=("v1", "v2"), help="only this version's rules")
        if name == "scaling":
            usual = "numba-parallel"
            add("--solver", default=usual, metavar=choices(solvers.ALL), help=f"default {usual}")
            which = "lay the tasks of a step out on 1 to 32 simulated cores instead"
            add("--simulate", action="store_true", help=which)
            add("--batch", **WHOLE, help="batch size (default 128, or 16 with --quick)")
            add("--neurons", **WHOLE, help="hidden neurons (default 200)")
        else:
            which = "only this solver; may add a NumPy or GPU one"
            add("--solver", action="append", metavar=choices(solvers.ALL), help=which)
            add("--no-memory", action="store_true", help="do not measure peak memory")
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    """Measure, print, write; returns the exit code."""
    if getattr(args, "simulate", False):
        _check_simulated(args)
        args.threads = 1
    threads = get_threads() if args.threads is None else args.threads
    _, usual, quick = KINDS[args.bench]
    repeats = (quick if args.quick else usual) if args.repeats is None else args.repeats
    for name, value in (("threads", threads), ("repeats", repeats)):
        if value < 1:
            raise InputError(f"--{name} must be a whole number >= 1, got {value}")
    pictures = None
    if args.plot is not None:  # a missing package is found out before minutes of measuring
        try:
            pictures = import_extra("minisnn.bench.pictures", "matplotlib", "plot")
        except InputError as error:
            raise InputError(f"--plot draws with matplotlib: {error}") from None
    results = {"step": _step, "grid": _grid, "scaling": _scaling}[args.bench](args, repeats, threads)
    write_json(args.json, [one.to_json() for one in results])
    if pictures is not None:
        mark = "--quick (fewer sizes and repeats): " if args.quick else ""
        if args.bench == "step":
            mark += f"batch {_chosen(args)[0][0].batch}, "
        budget = f"{mark}{repeats} repeats, {threads} threads"
        print(f"picture {pictures.write(args.bench, results, budget, args.plot)}")
    return 1 if any(one.fault is not None for one in results) else 0


def _check_simulated(args: argparse.Namespace) -> None:
    """Refuse options that mean nothing to a simulation, which measures the tasks of a solver on one thread."""
    if args.threads is not None:
        raise InputError("--simulate measures on one thread: leave --threads out")
    if not solvers.get(args.solver).has_threads:
        raise InputError(f"--simulate is for solvers with threads, got {args.solver!r}")


def _chosen(args: argparse.Namespace) -> list[tuple[Workload, str]]:
    """Every workload with every rule."""
    sizes = {"batch": 16} if args.quick else {}
    if args.bench == "scaling":
        for name, size, value in (("--batch", "batch", args.batch), ("--neurons", "n_hidden", args.neurons)):
            if value is not None:
                sizes[size] = checked_count(name, value, low=1)
    workloads = [workload(name, **sizes) for name in args.workload or WORKLOADS]
    return [(what, rule) for what in workloads for rule in args.rule or RULES]


def _step(args: argparse.Namespace, repeats: int, threads: int) -> list[Any]:
    ways = step.contestants(threads, args.solver or ())
    lines = []
    for what, rule in _chosen(args):
        measured = step.measure_steps(what, rule, ways, repeats, threads, memory=not args.no_memory)
        print(step.table(measured), flush=True)
        lines += measured
    return lines


def _grid(args: argparse.Namespace, repeats: int, threads: int) -> list[Any]:
    steps = args.n_steps or ([8, 64, 256] if args.quick else [2**k for k in range(3, 12)])
    sizes = args.neurons or ([100, 200] if args.quick else [100, 200, 500, 1000])
    batches = args.batch or ([32] if args.quick else [32, 64, 128])
    for name, values in (("--n-steps", steps), ("--neurons", sizes), ("--batch", batches)):
        if min(values) < 1:
            raise InputError(f"{name} must be a whole number >= 1, got {min(values)}")
    print(grid.HEAD)
    cells, densities = [], args.density or grid.DENSITIES
    for cell in grid.measure_grid(densities, batches, sizes, steps, repeats, threads, gpu=args.gpu):
        print(grid.line(cell), flush=True)
        cells.append(cell)
    print(grid.table(cells))
    return cells


def _scaling(args: argparse.Namespace, repeats: int, threads: int) -> list[Any]:
    series = []
    for what, rule in _chosen(args):
        if args.simulate:
            series.append(scaling.simulate(what, rule, args.solver, SIMULATED, repeats))
            print(scaling.line(series[-1]), flush=True)
            continue
        for axis, sizes in scaling.default_sizes(args.quick, threads).items():
            one = scaling.measure_axis(what, rule, args.solver, axis, sizes, repeats, threads)
            print(scaling.line(one), flush=True)
            series.append(one)
    return series
