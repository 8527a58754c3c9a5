"""``minisnn bench grid``: the paper's figure, one layer against stepping over time, layer size and batch.

Input are Poisson spikes on 1000 inputs, at three densities. ``dense``: every input of a sample has the
rate u / 1000 per step, u uniform in 0 ... 200, which with steps of 1 ms is 0 ... 200 spikes a second, and 10 %
of all cells on average. ``sparse``: a sample has u events in all over its T steps, u uniform in 0 ... 200.
``half`` has the rate u / 200 per step, 50 % on average, where both layers need BLAS.

The conventional layer steps through time on a float32 raster with BLAS (`numba-sequential`); the single-spike layer
is `numba-parallel`, which is given events or the raster, whichever its density rule picks; both forms are made
before the clock starts. The gradient that arrives at the spikes is the same dense array for both.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import solvers
from ..errors import unknown_name
from ..solvers.compiled import events
from ..solvers.compiled.workspace import Workspace
from ..solvers.settings import settings
from ..spikes import SpikeEvents
from .agreement import layer_disagreement
from .timing import by_turns, exponent
from .workloads import median_peak

__all__ = ["DENSITIES", "Cell", "exponents", "measure_grid", "poisson_raster", "table"]

N_INPUTS = 1000
DENSITIES = ("dense", "sparse", "half")
SCALE, GRADIENT = 10.0, "straight-through"
_CHECKED_SAMPLES = 2
_FEW_STEPS = 8


@dataclass(frozen=True)
class Cell:
    """One cell of the grid; times in ms, ratios conventional over single-spike. No times where `fault` is set."""

    density: str
    batch: int
    n_out: int
    n_steps: int
    share: float
    fault: str | None = None
    conventional_forward_ms: float | None = None
    conventional_backward_ms: float | None = None
    single_spike_forward_ms: float | None = None
    single_spike_backward_ms: float | None = None

    @property
    def ratios(self) -> tuple[float, float, float] | None:
        """Conventional over single-spike: forward, backward, both together; None without times."""
        if self.conventional_forward_ms is None:
            return None
        slow = (self.conventional_forward_ms, self.conventional_backward_ms or 0.0)
        fast = (self.single_spike_forward_ms or 0.0, self.single_spike_backward_ms or 0.0)
        return slow[0] / fast[0], slow[1] / fast[1], sum(slow) / sum(fast)

    def to_json(self) -> dict[str, Any]:
        """The cell with its ratios."""
        names = ("forward_ratio", "backward_ratio", "ratio")
        return asdict(self) | dict(zip(names, self.ratios or (None, None, None)))


def poisson_raster(density: str, batch: int, n_steps: int, n_in: int, seed: int = 0) -> NDArray[np.float32]:
    """Float32 raster (B, T, n_in) of the density of that name (see the module's text)."""
    if density not in DENSITIES:
        raise unknown_name("density", density, DENSITIES)
    rng = np.random.default_rng([seed, batch, n_steps, n_in])
    raster = np.zeros((batch, n_steps, n_in), dtype=np.float32)
    for sample in raster:
        u = rng.uniform(0, 200)
        if density == "sparse":
            sample.reshape(-1)[rng.integers(0, sample.size, round(u))] = 1
        else:
            rate = u / (1000 if density == "dense" else 200)
            sample[:] = rng.random(sample.shape, dtype=np.float32) < rate
    return raster


class LayerRunner:
    """One layer forward and backward, with the training loop's buffers; called with a number, it times that many runs.

    Parameters
    ----------
    solver, neuron : str
        As everywhere.
    spikes : raster or SpikeEvents
        Input, checked already.
    parameters : (weight, bias, decay)
        Of the layer.
    grad_spikes : (B, T, n_out)
        Gradient that arrives at its spikes.
    """

    def __init__(
        self,
        solver: str,
        neuron: str,
        spikes: Any,
        parameters: tuple[NDArray[Any], ...],
        grad_spikes: NDArray[Any],
    ) -> None:
        module = solvers.get(solver, neuron)
        move, self.synchronise = module.to_device, module.synchronise
        single = neuron == "single-spike"
        self.forward = module.single_spike_forward if single else module.multi_spike_forward
        self.backward = module.single_spike_backward if single else module.multi_spike_backward
        self.choice: Any = GRADIENT if single else False
        self.neuron, self.solver = neuron, solver
        self.spikes, self.parameters, self.grad_spikes = spikes, parameters, grad_spikes
        self.timed = move(spikes), tuple(map(move, parameters)), move(grad_spikes)
        self.workspace = Workspace()

    def run(
        self, spikes: Any, parameters: tuple[Any, ...], grad_spikes: Any, workspace: Workspace | None
    ) -> tuple[Any, ...]:
        """Forward and backward once: trace, gradients, seconds of forward, seconds of backward."""
        self.synchronise()
        started = time.perf_counter()
        trace = self.forward(spikes, *parameters, 1.0, workspace=workspace)
        self.synchronise()
        forward = time.perf_counter()
        gradients = self.backward(
            trace, grad_spikes, None, SCALE, self.choice, keep_current=False, workspace=workspace
        )
        self.synchronise()
        return trace, gradients, forward - started, time.perf_counter() - forward

    def __call__(self, n_timed: int) -> list[tuple[float, float]]:
        """Time runs, after one that is not timed."""
        self.run(*self.timed, self.workspace)
        return [self.run(*self.timed, self.workspace)[2:] for _ in range(n_timed)]

    def check(self, n_samples: int) -> str | None:
        """Where the answer to the first samples is wrong; None if it agrees.

        The single-spike layer must keep the rounding bound, the conventional one must have the bits of the
        definition (its reset feeds errors back, which leaves a bound too wide to judge by on long dense input).
        On a GPU, whose products are summed in another order, it must keep the bound over a few steps.
        """
        spikes, grad_spikes = self.spikes[:n_samples], self.grad_spikes[:n_samples]
        raster = spikes.to_raster(np.float32) if isinstance(spikes, SpikeEvents) else spikes
        if self.neuron == "multi-spike" and not self.solver.startswith("cupy"):
            trace, gradients, _, _ = self.run(spikes, self.parameters, grad_spikes, None)
            definition = LayerRunner("numpy-sequential", self.neuron, spikes, self.parameters, grad_spikes)
            expected, right, _, _ = definition.run(spikes, self.parameters, grad_spikes, None)
            pairs = {"potential": (trace.potential, expected.potential)}
            pairs |= {p: (getattr(gradients, p), getattr(right, p)) for p in ("weight", "bias", "decay")}
            wrong = [name for name, (came, want) in pairs.items() if not np.array_equal(came, want)]
            return f"bits of {wrong[0]} differ from numpy-sequential" if wrong else None
        if self.neuron == "multi-spike":
            spikes = raster = np.ascontiguousarray(raster[:, :_FEW_STEPS])
            grad_spikes = np.ascontiguousarray(grad_spikes[:, :_FEW_STEPS])
        trace, gradients, _, _ = self.run(spikes, self.parameters, grad_spikes, None)
        return layer_disagreement(trace, gradients, raster, grad_spikes, SCALE, GRADIENT)


def layer_parameters(raster: NDArray[Any], n_out: int, seed: int = 0) -> tuple[NDArray[np.float32], ...]:
    """Weight, bias and decay (float32) of a layer that fires in about half of all pairs for this input."""
    rng = np.random.default_rng([seed, n_out])
    n_in = raster.shape[2]
    weight = rng.uniform(-1, 1, (n_in, n_out)).astype(np.float32) / np.float32(np.sqrt(n_in))
    bias, decay = np.zeros(n_out, np.float32), np.array(np.exp(-1 / 10), np.float32)
    # A sample may have no event at all: then there is nothing to scale.
    weight /= np.float32(max(median_peak(raster[:8], weight, bias, decay, 1.0), 1e-3))
    return weight, bias, decay


def best_input(raster: NDArray[Any]) -> tuple[Any, float]:
    """The input as `numba-parallel` wants it (by its density rule), and its share of cells with an event."""
    share = float(np.count_nonzero(raster)) / raster.size
    return (SpikeEvents.from_raster(raster) if share < events.DENSE_FROM else raster), share


def measure_grid(
    densities: Sequence[str],
    batches: Sequence[int],
    sizes: Sequence[int],
    steps: Sequence[int],
    repeats: int,
    n_threads: int,
    *,
    n_in: int = N_INPUTS,
    gpu: bool = False,
    progress: Callable[[Cell], None] | None = None,
) -> list[Cell]:
    """Check and time every cell."""
    cells = []
    for density in densities:
        for batch in batches:
            for n_steps in steps:
                raster = poisson_raster(density, batch, n_steps, n_in)
                events, share = best_input(raster)
                for n_out in sizes:
                    cell = _measure_cell(density, raster, events, share, n_out, repeats, n_threads, gpu)
                    cells.append(cell)
                    if progress is not None:
                        progress(cell)
    return cells


def _measure_cell(
    density: str,
    raster: NDArray[Any],
    events: Any,
    share: float,
    n_out: int,
    repeats: int,
    n_threads: int,
    gpu: bool,
) -> Cell:
    batch, n_steps, _ = raster.shape
    grad_spikes = np.random.default_rng(1).standard_normal((batch, n_steps, n_out), dtype=np.float32)
    parameters = layer_parameters(raster, n_out)
    kind = "cupy" if gpu else "numba"
    with settings("auto", n_threads):
        runners = (
            LayerRunner(f"{kind}-sequential", "multi-spike", raster, parameters, grad_spikes),
            LayerRunner(f"{kind}-parallel", "single-spike", events, parameters, grad_spikes),
        )
        faults = [fault for runner in runners if (fault := runner.check(_CHECKED_SAMPLES)) is not None]
        if faults:
            return Cell(density, batch, n_out, n_steps, share, faults[0])
        # Turns of one run: a disturbance of seconds, as other users of a machine make, then hits both layers.
        slow, fast = by_turns(runners, repeats, turn=1)
    medians = [1e3 * statistics.median(times) for result in (slow, fast) for times in zip(*result)]
    return Cell(density, batch, n_out, n_steps, share, None, *medians)


def exponents(cells: Sequence[Cell], first: int = 128) -> dict[tuple[str, int, int], float]:
    """Exponent of the single-spike layer's time (forward and backward) against T, from T = `first` on.

    One for every (density, batch, n_out) with at least two such T.
    """
    groups: dict[tuple[str, int, int], list[tuple[int, float]]] = {}
    for cell in cells:
        if cell.n_steps >= first and cell.single_spike_forward_ms is not None:
            total = cell.single_spike_forward_ms + (cell.single_spike_backward_ms or 0.0)
            groups.setdefault((cell.density, cell.batch, cell.n_out), []).append((cell.n_steps, total))
    return {
        key: exponent([n for n, _ in points], [ms for _, ms in points])
        for key, points in groups.items()
        if len(points) > 1
    }


def line(cell: Cell) -> str:
    """One cell as a line of the table."""
    head = f"{cell.density:7s} {cell.batch:5d} {cell.n_out:5d} {cell.n_steps:5d} {100 * cell.share:7.3f}"
    if cell.ratios is None:
        return f"{head} answers differ, no time: {cell.fault}"
    times = (
        cell.conventional_forward_ms, cell.single_spike_forward_ms,
        cell.conventional_backward_ms, cell.single_spike_backward_ms,
    )  # fmt: skip
    return " ".join([head, *(f"{ms:9.2f}" for ms in times), *(f"{ratio:7.2f}" for ratio in cell.ratios)])


HEAD = (
    "density batch     n     T  events%  conv.fwd  1spk.fwd  conv.bwd  1spk.bwd  x fwd   x bwd  x both   "
    "(ms; x: conventional over single-spike)"
)


def table(cells: Sequence[Cell]) -> str:
    """What the grid says: smallest ratio, and how time grows with T."""
    timed = [cell for cell in cells if cell.ratios is not None]
    if not timed:
        return "no cell has times"
    worst = min(timed, key=lambda cell: (cell.ratios or (0.0, 0.0, 0.0))[2])
    text = [
        f"smallest ratio, forward and backward together: {(worst.ratios or (0.0, 0.0, 0.0))[2]:.2f} ({worst.density}, "
        f"batch {worst.batch}, n {worst.n_out}, T {worst.n_steps}); forward alone "
        f"{min((c.ratios or (0.0,))[0] for c in timed):.2f}, backward alone "
        f"{min((c.ratios or (0.0, 0.0))[1] for c in timed):.2f}"
    ]
    fitted = exponents(cells)
    if fitted:
        key = max(fitted, key=lambda k: fitted[k])
        text.append(
            f"time of the single-spike layer grows as T^p from T = 128: p from {min(fitted.values()):.2f} to "
            f"{fitted[key]:.2f} ({key[0]}, batch {key[1]}, n {key[2]})"
        )
    return "\n".join(text)
