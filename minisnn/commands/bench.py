"""The command ``minisnn bench``: step, grid, scaling; exit code 1 if answers differ anywhere."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..errors import InputError, import_extra
from .options import add_json, write_json

__all__ = ["add_bench_parser"]

DENSITIES = ("dense", "sparse", "half")


def add_bench_parser(subparsers: Any) -> argparse.ArgumentParser:
    """Add the command ``bench`` to the subparsers of an argparse parser."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "bench",
        help="measure how fast it is, after checking that the answers agree",
        description="Time training steps, one layer over a grid of sizes, or scaling. Every line first checks that "
        "the answers agree: exit code 0 if they do, 1 if not (that line has no time), 2 for wrong use.",
    )
    kinds = parser.add_subparsers(dest="bench", required=True, metavar="KIND")
    for name, text, repeats in (
        ("step", "one training step on three workloads, and what every idea contributes", 20),
        ("grid", "the paper's figure: one layer against stepping, over T, n and batch", 5),
        ("scaling", "time of a training step against T, n, batch and threads", 10),
    ):
        kind = kinds.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        add = kind.add_argument
        add_json(add)
        add("--plot", type=Path, metavar="DIR", help="draw them into this folder")
        add("--quick", action="store_true", help="fewer sizes and repeats")
        add("--threads", type=int, metavar="N", help="threads (default: the cores)")
        add("--repeats", type=int, metavar="N", help=f"timed repeats of each (default {repeats})")
        if name == "grid":
            add(
                "--density",
                action="append",
                choices=DENSITIES,
                help="of the input (default: all three)",
            )
            add("--batch", type=int, action="append", metavar="B", help="batch size (default 32, 64, 128)")
            add("--neurons", type=int, action="append", metavar="N", help="default 100, 200, 500, 1000")
            add("--n-steps", type=int, action="append", metavar="T", help="default 8, 16, ... 2048")
            add("--gpu", action="store_true", help="both layers on the GPU: cupy-sequential, cupy-parallel")
            continue
        add("--workload", action="append", metavar="NAME", help="only this workload (may be repeated)")
        add("--rule", action="append", choices=("v1", "v2"), help="only this version's rules")
        if name == "scaling":
            add("--solver", default="numba-parallel", metavar="NAME", help="default numba-parallel")
        else:
            add(
                "--solver",
                action="append",
                metavar="NAME",
                help="only this solver; may add a NumPy or GPU one",
            )
            add("--no-memory", action="store_true", help="do not measure peak memory")
    parser.set_defaults(run=_run)
    return parser


def _run(args: argparse.Namespace) -> int:
    """Measure, print, write; returns the exit code."""
    from ..solvers.compiled.threads import get_threads

    threads = get_threads() if args.threads is None else args.threads
    for name, value in (("threads", threads), ("repeats", args.repeats)):
        if value is not None and value < 1:
            raise InputError(f"--{name} must be a whole number >= 1, got {value}")
    if args.plot is not None:
        _pictures()  # so that a missing package is not found out after minutes of measuring
    measure = {"step": _step, "grid": _grid, "scaling": _scaling}[args.bench]
    records, faults, draw = measure(args, threads)
    write_json(args.json, records)
    if args.plot is not None:
        path = _pictures().save(draw(), args.plot / f"bench_{args.bench}.png")
        print(f"picture {path}")
    return 1 if faults else 0


def _pictures() -> Any:
    try:
        return import_extra("minisnn.bench.pictures", "matplotlib", "plot")
    except InputError as error:
        raise InputError(f"--plot draws with matplotlib: {error}") from None


def _chosen(args: argparse.Namespace) -> tuple[list[Any], list[str]]:
    from ..bench.workloads import RULES, WORKLOADS, workload

    small = {"batch": 16} if args.quick else {}
    names = args.workload or list(WORKLOADS)
    return [workload(name, **small) for name in names], args.rule or list(RULES)


def _step(args: argparse.Namespace, threads: int) -> tuple[list[Any], bool, Any]:
    from ..bench.step import contestants, measure_steps, table

    workloads, rules = _chosen(args)
    repeats = args.repeats or (4 if args.quick else 20)
    ways = contestants(threads, args.solver or ())
    lines = []
    for what in workloads:
        for rule in rules:
            measured = measure_steps(what, rule, ways, repeats, threads, memory=not args.no_memory)
            print(table(measured), flush=True)
            lines += measured
    faults = any(line.fault is not None for line in lines)
    return [line.to_json() for line in lines], faults, lambda: _pictures().draw_steps(lines)


def _grid(args: argparse.Namespace, threads: int) -> tuple[list[Any], bool, Any]:
    from ..bench import grid

    repeats = args.repeats or (2 if args.quick else 5)
    steps = args.n_steps or ([8, 64, 256] if args.quick else [2**k for k in range(3, 12)])
    sizes = args.neurons or ([100, 200] if args.quick else [100, 200, 500, 1000])
    batches = args.batch or ([32] if args.quick else [32, 64, 128])
    for name, values in (("--n-steps", steps), ("--neurons", sizes), ("--batch", batches)):
        if min(values) < 1:
            raise InputError(f"{name} must be a whole number >= 1, got {min(values)}")
    print(grid.HEAD)
    cells, densities = [], args.density or DENSITIES
    for cell in grid.measure_grid(densities, batches, sizes, steps, repeats, threads, gpu=args.gpu):
        print(grid.line(cell), flush=True)
        cells.append(cell)
    print(grid.table(cells))
    faults = any(cell.fault is not None for cell in cells)
    return [cell.to_json() for cell in cells], faults, lambda: _pictures().draw_grid(cells)


def _scaling(args: argparse.Namespace, threads: int) -> tuple[list[Any], bool, Any]:
    from ..bench.scaling import default_sizes, measure_axis, table

    workloads, rules = _chosen(args)
    repeats = args.repeats or (4 if args.quick else 10)
    series = []
    for what in workloads:
        for rule in rules:
            for axis, sizes in default_sizes(args.quick, threads).items():
                one = measure_axis(what, rule, args.solver, axis, sizes, repeats, threads)
                print(table([one]), flush=True)
                series.append(one)
    faults = any(one.fault is not None for one in series)
    return [one.to_json() for one in series], faults, lambda: _pictures().draw_scaling(series)
