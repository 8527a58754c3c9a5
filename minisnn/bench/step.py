"""``minisnn bench step``: one training step on the three workloads, and what each idea contributes to it."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import solvers
from ..errors import InputError
from ..solvers.settings import settings
from .agreement import disagreement, same_bits, step_disagreement
from .memory import peak_rss_mb
from .timing import Contestant, GemmFloor, StepRunner, by_turns, milliseconds
from .workloads import Workload, make_batch, make_network

__all__ = ["StepLine", "contestants", "measure_steps", "table"]

_FLOOR_RUNS = 5
_CHECKED_SAMPLES = 4


@dataclass(frozen=True)
class StepLine:
    """One line of the table: a contestant on a workload under one paper's rules; times in ms.

    `fault` says where the answers differ; then there are no times.
    """

    workload: str
    rule: str
    contestant: Contestant
    fault: str | None
    gemm_floor_ms: float
    median_ms: float | None = None
    min_ms: float | None = None
    max_ms: float | None = None
    forward_ms: float | None = None
    backward_ms: float | None = None
    peak_rss_mb: float | None = None

    def to_json(self) -> dict[str, Any]:
        """The line as it stands in the file of ``--json``."""
        times = ("median_ms", "min_ms", "max_ms", "forward_ms", "backward_ms", "gemm_floor_ms", "peak_rss_mb")
        line: dict[str, Any] = {
            "workload": self.workload,
            "solver": self.contestant.solver,
            "neuron": self.contestant.neuron,
        }
        line |= {name: getattr(self, name) for name in times}
        line |= {"threads": self.contestant.threads, "rule": self.rule, "product": self.contestant.product}
        return line if self.fault is None else line | {"disagreement": self.fault}


def contestants(n_threads: int, only: Sequence[str] = ()) -> list[Contestant]:
    """The ways to compute a step, from how such networks are trained today to all ideas together.

    The NumPy and the GPU solvers take part only where `only` names them.
    """
    ways = [
        Contestant("numba-sequential", "multi-spike", "dense", n_threads, "conventional, stepped, dense"),
        Contestant("numba-sequential", "multi-spike", "events", n_threads, "conventional, stepped, events"),
        Contestant("numba-sequential", "single-spike", "dense", n_threads, "single-spike, stepped, dense"),
        Contestant("numba-sequential", "single-spike", "events", n_threads, "single-spike, stepped, events"),
        Contestant("numba-parallel", "single-spike", "dense", n_threads, "single-spike, fused, dense"),
    ]
    if n_threads > 1:
        ways.append(Contestant("numba-parallel", "single-spike", "auto", 1, "single-spike, fused, events"))
    ways.append(
        Contestant("numba-parallel", "single-spike", "auto", n_threads, "single-spike, fused, events")
    )
    if not only:
        return ways
    for name in only:
        solvers.get(name, solvers.ALL[name][1][-1] if name in solvers.ALL else "single-spike")
    for name in ("numpy-sequential", "numpy-parallel", "cupy-sequential", "cupy-parallel"):
        for neuron in solvers.ALL[name][1]:
            product = "events" if name.startswith("cupy") else "dense"
            ways.append(Contestant(name, neuron, product, n_threads, f"{neuron}, {name}"))
    return [way for way in ways if way.solver in only]


def measure_steps(
    what: Workload,
    rule: str,
    ways: Sequence[Contestant],
    repeats: int,
    n_threads: int,
    *,
    memory: bool = True,
) -> list[StepLine]:
    """Check and time one training step of a workload, all contestants by turns in one run."""
    if repeats < 1:
        raise InputError(f"repeats must be at least 1, got {repeats}")
    events, labels = make_batch(what)
    raster = events.to_raster(np.float32)
    runners = []
    faults = []
    for way in ways:
        network = make_network(what, rule, way.neuron, events)
        few = min(_CHECKED_SAMPLES, what.batch)
        sample = raster[:few] if way.product == "dense" else events[:few]
        with settings(way.product, way.threads):
            fault = disagreement(network, sample, labels[:few], way.solver)
            if fault is None:
                fault = step_disagreement(network, sample, labels[:few], way.solver)
            if fault is None and way.solver == "numba-sequential" and way.product == "dense":
                fault = same_bits(network, sample, labels[:few], way.solver, "numpy-sequential")
        faults.append(fault)
        runners.append(StepRunner(way, network, events, labels, raster))
    floor = GemmFloor(raster, what.n_hidden, what.n_classes, n_threads)
    fit = [k for k, fault in enumerate(faults) if fault is None]
    *times, floors = by_turns([*(runners[k].turn for k in fit), lambda _: floor.turn()], repeats)
    while len(floors) < _FLOOR_RUNS:
        floors += floor.turn()
    gemm_ms = 1e3 * min(floors)
    taken = dict(zip(fit, times))
    lines = []
    for k, way in enumerate(ways):
        if k not in taken:
            lines.append(StepLine(what.name, rule, way, faults[k], gemm_ms))
            continue
        total, forward, backward = zip(*taken[k])
        lines.append(
            StepLine(
                what.name, rule, way, None, gemm_ms, *milliseconds(total),
                1e3 * statistics.median(forward), 1e3 * statistics.median(backward),
                peak_rss_mb(what, rule, way) if memory else None,
            )
        )  # fmt: skip
    return lines


def table(lines: Sequence[StepLine]) -> str:
    """The lines of one workload and rule as text, every ratio with the name of its baseline."""
    floor = lines[0].gemm_floor_ms
    (dense, stepped) = (_find(lines, product) for product in ("dense", "events"))
    text = [
        f"{lines[0].workload}, rules {lines[0].rule}: gemm floor {floor:.2f} ms (the dense float32 products alone)",
        f"  {'one training step':38s} {'threads':>7s} {'median':>9s} {'min':>9s} {'max':>9s} {'forward':>9s} "
        f"{'backward':>9s} {'peak MB':>8s} {'x floor':>8s} {'x (a)':>7s} {'x (b)':>7s}",
    ]
    for line in lines:
        way = line.contestant
        if line.fault is not None or line.median_ms is None:
            text.append(f"  {way.label:38s} {way.threads:7d} answers differ, no time: {line.fault}")
            continue
        peak = "-" if line.peak_rss_mb is None else f"{line.peak_rss_mb:.1f}"
        ratios = [base / line.median_ms if base else None for base in (floor, dense, stepped)]
        cells = ["-" if r is None else f"{r:.2f}" for r in ratios]
        text.append(
            f"  {way.label:38s} {way.threads:7d} {line.median_ms:9.2f} {line.min_ms:9.2f} {line.max_ms:9.2f} "
            f"{line.forward_ms:9.2f} {line.backward_ms:9.2f} {peak:>8s} {cells[0]:>8s} {cells[1]:>7s} {cells[2]:>7s}"
        )
    text.append(
        "  forward, backward: layer by layer; the fused step takes both sample by sample and is one call"
    )
    text.append(
        "  x: how many times faster than the gemm floor, (a) conventional stepped dense, (b) the same"
    )
    text.append("     from events")
    return "\n".join(text)


def _find(lines: Sequence[StepLine], product: str) -> float | None:
    for line in lines:
        if line.contestant.neuron == "multi-spike" and line.contestant.product == product:
            return line.median_ms
    return None
