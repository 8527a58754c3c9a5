"""``minisnn bench step``: one training step on the three workloads, and the contribution of each idea."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from .. import solvers
from ..solvers.settings import settings
from ..table import table as text_table
from .agreement import disagreement, same_bits
from .memory import peak_rss_mb
from .timing import Contestant, DenseProducts, StepRunner, by_turns, milliseconds
from .workloads import Workload, make_batch, make_network

_HEAD = (
    "one training step", "threads", "median", "min", "max", "forward", "backward", "predict", "one", "peak MB",
    "x dense", "x (a)", "x (b)",
)  # fmt: skip
_NOTES = (
    "forward, backward: layer by layer; the fused step takes both sample by sample and is one call",
    "predict, one: a prediction of the batch and of one sample, input and parameters checked",
    "x: how many times faster than the dense products alone, (a) conventional stepped dense, (b) the same from events",
)
_DENSE_RUNS = 5
_CHECKED_SAMPLES = 4


@dataclass(frozen=True)
class StepLine:
    """One line of the table: a contestant on a workload under one paper's rules; times in ms.

    If the answers differ, `fault` says where, and there are no times.
    """

    workload: str
    rule: str
    contestant: Contestant
    fault: str | None
    dense_products_ms: float = math.nan
    median_ms: float | None = None
    min_ms: float | None = None
    max_ms: float | None = None
    forward_ms: float | None = None
    backward_ms: float | None = None
    predict_ms: float | None = None
    predict_one_ms: float | None = None
    peak_rss_mb: float | None = None

    def to_json(self) -> dict[str, Any]:
        """The line, as ``--json`` writes it."""
        line: dict[str, Any] = asdict(self)
        way, fault = line.pop("contestant"), line.pop("fault")
        del way["label"]
        line |= way
        return line if fault is None else line | {"disagreement": fault}


def contestants(n_threads: int, only: Sequence[str] = ()) -> list[Contestant]:
    """The ways to compute a step, from how such networks are trained today to all ideas together.

    The NumPy and the GPU solvers take part only if `only` names them.
    """
    stepped, fused, single = "numba-sequential", "numba-parallel", "single-spike"
    ways = [
        Contestant(stepped, "multi-spike", "dense", n_threads, "conventional, stepped, dense"),
        Contestant(stepped, "multi-spike", "events", n_threads, "conventional, stepped, events"),
        Contestant(stepped, single, "dense", n_threads, "single-spike, stepped, dense"),
        Contestant(stepped, single, "events", n_threads, "single-spike, stepped, events"),
        Contestant(fused, single, "dense", n_threads, "single-spike, fused, dense"),
    ]
    for n in sorted({1, n_threads}):
        ways.append(Contestant(fused, single, "auto", n, "single-spike, fused, events"))
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
    events, labels = make_batch(what)
    raster, few = events.to_raster(np.float32), slice(_CHECKED_SAMPLES)
    lines: dict[Contestant, StepLine] = {}
    runners: dict[Contestant, StepRunner] = {}
    for way in ways:
        network = make_network(what, rule, way.neuron, events)
        sample = (raster if way.product == "dense" else events)[few], labels[few]
        with settings(way.product, way.threads):
            fault = disagreement(network, *sample, way.solver)
            if fault is None and way.solver == "numba-sequential" and way.product == "dense":
                fault = same_bits(network, *sample, way.solver, "numpy-sequential")
        lines[way] = StepLine(what.name, rule, way, fault)
        if fault is None:
            runners[way] = StepRunner(way, network, events, labels, raster)
    dense = DenseProducts(raster, what.n_hidden, what.n_classes, n_threads)
    *times, products = by_turns([*(one.turn for one in runners.values()), lambda _: dense.turn()], repeats)
    while len(products) < _DENSE_RUNS:
        products += dense.turn()
    predictions = by_turns([one.predictions.turn for one in runners.values()], repeats)
    for way, seconds, predicted in zip(runners, times, predictions):
        total, forward, backward = map(milliseconds, zip(*seconds))
        batch, one = map(milliseconds, zip(*predicted))
        lines[way] = replace(
            lines[way], median_ms=total[0], min_ms=total[1], max_ms=total[2], forward_ms=forward[0],
            backward_ms=backward[0], predict_ms=batch[0], predict_one_ms=one[0],
            peak_rss_mb=peak_rss_mb(what, rule, way) if memory else None,
        )  # fmt: skip
    return [replace(line, dense_products_ms=1e3 * min(products)) for line in lines.values()]


def table(lines: Sequence[StepLine]) -> str:
    """The lines of one workload and rule as text, every ratio with the name of its baseline."""
    dense = lines[0].dense_products_ms
    stepped = {
        line.contestant.product: line.median_ms
        for line in reversed(lines)  # of two, the first counts
        if line.contestant.neuron == "multi-spike"
    }
    text = [
        f"{lines[0].workload}, rules {lines[0].rule}: {dense:.2f} ms for the dense float32 products alone"
    ]
    rows = [list(_HEAD)]
    for line in lines:
        way = line.contestant
        if line.median_ms is None:
            text.append(f"{way.label}, {way.threads} threads: answers differ, no time: {line.fault}")
            continue
        times = (
            line.median_ms, line.min_ms, line.max_ms, line.forward_ms, line.backward_ms, line.predict_ms,
            line.predict_one_ms,
        )  # fmt: skip
        bases = (dense, stepped.get("dense"), stepped.get("events"))
        ratios = [base / line.median_ms if base else None for base in bases]
        cells = [*((ms, 2) for ms in times), (line.peak_rss_mb, 1), *((ratio, 2) for ratio in ratios)]
        shown = ["-" if value is None else f"{value:.{digits}f}" for value, digits in cells]
        rows.append([way.label, str(way.threads), *shown])
    return "\n".join([*text, text_table(rows), *_NOTES])
