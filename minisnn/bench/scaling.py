"""``minisnn bench scaling``: how the time of a training step grows with T, n, batch and threads, or cores simulated."""

from __future__ import annotations

import heapq
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from ..solvers.compiled.threads import recorded_tasks
from ..solvers.settings import settings
from .agreement import disagreement
from .timing import Contestant, StepRunner, by_turns, exponent
from .workloads import Workload, make_batch, make_network

# The axes: the field of the workload, and its name in tables.
AXES = {"n_steps": "T", "n_hidden": "n", "batch": "batch", "threads": "threads", "cores": "simulated cores"}
_CHECKED_SAMPLES = 2


@dataclass(frozen=True)
class Series:
    """Times of a training step along one axis; `fitted` is the exponent p of time ~ size^p.

    If the answers differ, `fault` says where, and there are no times and no exponent.
    """

    workload: str
    rule: str
    solver: str
    axis: str
    sizes: tuple[int, ...]
    median_ms: tuple[float, ...] | None
    fitted: float | None
    fault: str | None = None

    def to_json(self) -> dict[str, Any]:
        """The series as a dictionary."""
        return asdict(self)


def measure_axis(
    what: Workload, rule: str, solver: str, axis: str, sizes: Sequence[int], repeats: int, n_threads: int
) -> Series:
    """Check and time a training step at every size along one axis, by turns.

    The events of a sample grow with T, so that all sizes have the same density.
    """
    series = Series(what.name, rule, solver, axis, tuple(sizes), None, None)
    runners = []
    for size in sizes:
        changed: dict[str, Any] = {} if axis == "threads" else {axis: size}
        scaled = replace(what, **changed)
        if axis == "n_steps" and not what.latency:
            scaled = replace(scaled, n_events=max(1, what.n_events * size // what.n_steps))
        way = Contestant(solver, "single-spike", "auto", size if axis == "threads" else n_threads)
        runner, fault = _checked_runner(scaled, rule, way)
        if fault is not None:
            return replace(series, fault=f"at {AXES[axis]} {size}: {fault}")
        runners.append(runner)
    times = by_turns([runner.turn for runner in runners], repeats)
    medians = [1e3 * statistics.median(total for total, _, _ in result) for result in times]
    fitted = exponent(sizes, medians) if len(set(sizes)) > 1 else None
    return replace(series, median_ms=tuple(medians), fitted=fitted)


def _checked_runner(what: Workload, rule: str, way: Contestant) -> tuple[StepRunner, str | None]:
    """Training steps of a workload, and where its answers differ."""
    events, labels = make_batch(what)
    network, few = make_network(what, rule, way.neuron, events), slice(_CHECKED_SAMPLES)
    with settings(way.product, way.threads):
        fault = disagreement(network, events[few], labels[few], way.solver)
    return StepRunner(way, network, events, labels), fault


def simulate(what: Workload, rule: str, solver: str, cores: Sequence[int], repeats: int) -> Series:
    """Time the tasks of a training step on one thread, medians of `repeats` steps, and lay them out on `cores`.

    That is a simulation: the cores take the tasks of a call in the order in which threads take them, and wait for each
    other before the next call; code between the calls runs on one core. Waking threads and sharing the memory's
    bandwidth cost nothing.
    """
    series = Series(what.name, rule, solver, "cores", tuple(cores), None, None)
    way = Contestant(solver, "single-spike", "auto", 1)
    runner, fault = _checked_runner(what, rule, way)
    if fault is not None:
        return replace(series, fault=fault)
    runner.step.turn()
    between, steps = [], []
    with settings(way.product, way.threads):
        for _ in range(repeats):
            with recorded_tasks() as calls:
                (whole,) = runner.step()
            between.append(whole - sum(map(sum, calls)))
            steps.append(calls)
    usual = [[statistics.median(times) for times in zip(*same)] for same in zip(*steps)]
    alone = statistics.median(between)
    seconds = [alone + sum(makespan(tasks, n) for tasks in usual) for n in cores]
    return replace(series, median_ms=tuple(1e3 * one for one in seconds))


def makespan(seconds: Sequence[float], cores: int) -> float:
    """Time until tasks of so many seconds are done, if a core that is free takes the next one.

    Examples
    --------
    >>> makespan([3.0, 2.0, 2.0, 1.0], cores=2)
    4.0
    """
    free = [0.0] * cores
    for one in seconds:
        heapq.heapreplace(free, free[0] + one)
    return max(free)


def line(series: Series) -> str:
    """The series as a line of text."""
    head = f"{series.workload} {series.rule} {series.solver}, time against {AXES[series.axis]}"
    if series.median_ms is None:
        return f"{head}: answers differ, no time: {series.fault}"
    ms = dict(zip(series.sizes, series.median_ms))
    text = f"{head}: " + "  ".join(f"{size}: {value:.2f} ms" for size, value in ms.items())
    if series.fitted is not None:
        text += f"  exponent {series.fitted:.2f}"
    if series.axis in ("threads", "cores") and 1 in ms:
        faster = (f"{size}: {ms[1] / value:.2f}x" for size, value in ms.items() if size > 1)
        text += "  faster than 1: " + "  ".join(faster)
    return text


def default_sizes(quick: bool, threads: int) -> dict[str, tuple[int, ...]]:
    """Sizes along every axis."""
    sizes: dict[str, tuple[int, ...]] = {
        "n_steps": (64, 128, 256) if quick else (128, 256, 512, 1024, 2048),
        "n_hidden": (100, 200) if quick else (100, 200, 400, 800),
        "batch": (32, 64) if quick else (32, 64, 128, 256),
    }
    return sizes | {"threads": tuple(2**k for k in range(threads.bit_length()))}
