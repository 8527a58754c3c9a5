"""``minisnn bench grid``: the paper's figure, one layer against stepping over time, layer size and batch.

Inputs are Poisson spikes on 1000 inputs, at three densities. For each sample u is drawn uniformly from 0 ... 200.
``dense``: every input has the rate u / 1000 per step. With steps of 1 ms that is 0 ... 200 spikes a second, and 10 %
of all cells on average. ``sparse``: the sample has u events in all over its T steps. ``half``: every input has the rate
u / 200 per step, 50 % on average; there both layers need BLAS.

The conventional layer (`numba-sequential`) steps through time on a float32 raster with BLAS. The single-spike layer
(`numba-parallel`) is given events or the raster, by its density rule. Both forms are made before the clock starts.
The gradient that arrives at the spikes is the same dense array for both.
"""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import solvers
from ..reading import checked_name
from ..solvers.compiled.workspace import Workspace
from ..solvers.settings import settings
from ..spikes import SpikeEvents
from .agreement import layer_disagreement
from .timing import Contestant, Runner, by_turns, exponent
from .workloads import median_peak

N_INPUTS = 1000
DENSITIES = ("dense", "sparse", "half")
SCALE, GRADIENT = 10.0, "straight-through"
_CHECKED_SAMPLES = 2
_FEW_STEPS = 8


# Of the times and ratios of a cell in its JSON.
_NAMES = (
    "conventional_forward_ms", "conventional_backward_ms", "single_spike_forward_ms", "single_spike_backward_ms",
    "forward_ratio", "backward_ratio", "ratio",
)  # fmt: skip


@dataclass(frozen=True)
class Cell:
    """One cell of the grid; without times if `fault` is set."""

    density: str
    batch: int
    n_out: int
    n_steps: int
    share: float
    fault: str | None = None
    times: tuple[float, ...] = ()  # ms: conventional forward and backward, single-spike forward and backward

    @property
    def ratios(self) -> tuple[float, ...]:
        """Conventional over single-spike: forward, backward, both together; empty without times."""
        if not self.times:
            return ()
        forward, backward, fast_forward, fast_backward = self.times
        both = (forward + backward) / (fast_forward + fast_backward)
        return forward / fast_forward, backward / fast_backward, both

    def to_json(self) -> dict[str, Any]:
        """The cell with its ratios."""
        values = asdict(self)
        del values["times"]
        return values | dict(zip(_NAMES, (*self.times, *self.ratios) or (None,) * len(_NAMES)))


def poisson_raster(density: str, batch: int, n_steps: int, n_in: int) -> NDArray[np.float32]:
    """Float32 raster (B, T, n_in) of the density of that name (see the module's text)."""
    density = checked_name("density", density, DENSITIES)
    rng = np.random.default_rng([0, batch, n_steps, n_in])
    raster = np.zeros((batch, n_steps, n_in), dtype=np.float32)
    for sample in raster:
        u = rng.uniform(0, 200)
        if density == "sparse":
            sample.reshape(-1)[rng.integers(0, sample.size, round(u))] = 1
        else:
            rate = u / (1000 if density == "dense" else 200)
            sample[:] = rng.random(sample.shape, dtype=np.float32) < rate
    return raster


def layer_calls(
    way: Contestant,
    spikes: Any,
    parameters: tuple[Any, ...],
    grad_spikes: Any,
    workspace: Workspace | None = None,
) -> tuple[Callable[[Any], Any], Callable[[Any], Any]]:
    """Forward and backward pass of a layer; the second takes the trace that the first returns."""
    module, name = solvers.get(way.solver, way.neuron), way.neuron.replace("-", "_")
    choice: Any = GRADIENT if way.neuron == "single-spike" else False  # the reset is not detached
    forward, backward = getattr(module, f"{name}_forward"), getattr(module, f"{name}_backward")
    return (
        lambda _: forward(spikes, *parameters, 1.0, workspace=workspace),
        lambda trace: backward(
            trace, grad_spikes, None, SCALE, choice, keep_current=False, workspace=workspace
        ),
    )


def layer_fault(
    way: Contestant, spikes: Any, parameters: tuple[NDArray[Any], ...], grad_spikes: NDArray[Any]
) -> str | None:
    """First thing that is wrong with a contestant's answer to some samples; None if it agrees.

    The single-spike layer must keep the rounding bound. The conventional layer must have the bits of the definition:
    its reset feeds errors back, so that the bound is too wide to judge by on long dense input. On a GPU, which sums
    products in another order, it must keep the bound over a few steps.
    """
    conventional, on_device = way.neuron == "multi-spike", way.solver.startswith("cupy")
    raster = spikes.to_raster(np.float32) if isinstance(spikes, SpikeEvents) else spikes
    if conventional and on_device:
        spikes = raster = np.ascontiguousarray(raster[:, :_FEW_STEPS])
        grad_spikes = np.ascontiguousarray(grad_spikes[:, :_FEW_STEPS])

    def answer(one: Contestant) -> tuple[Any, Any]:
        forward, backward = layer_calls(one, spikes, parameters, grad_spikes)
        trace = forward(None)
        return trace, backward(trace)

    trace, gradients = answer(way)
    if conventional and not on_device:
        expected, right = answer(replace(way, solver="numpy-sequential"))
        if not np.array_equal(trace.potential, expected.potential):
            return "bits of potential differ from numpy-sequential"
        for part in ("weight", "bias", "decay"):
            if not np.array_equal(getattr(gradients, part), getattr(right, part)):
                return f"bits of {part} differ from numpy-sequential"
        return None
    rule = "through-reset" if conventional else GRADIENT
    return layer_disagreement(trace, gradients, raster, grad_spikes, SCALE, rule)


def layer_parameters(raster: NDArray[Any], n_out: int) -> tuple[NDArray[np.float32], ...]:
    """Weight, bias and decay (float32) of a layer that fires in about half of all pairs for this input."""
    rng = np.random.default_rng([0, n_out])
    n_in = raster.shape[2]
    weight = rng.uniform(-1, 1, (n_in, n_out)).astype(np.float32) / np.float32(np.sqrt(n_in))
    bias, decay = np.zeros(n_out, np.float32), np.array(np.exp(-1 / 10), np.float32)
    # The peak is 0 if the samples have no event at all; then there is nothing to scale.
    weight /= np.float32(max(median_peak(raster[:8], weight, bias, decay), 1e-3))
    return weight, bias, decay


def best_input(raster: NDArray[Any]) -> tuple[Any, float]:
    """The input as `numba-parallel` wants it (by its density rule), and its share of cells with an event."""
    from ..solvers.compiled.events import DENSE_FROM  # needs Numba, and takes a while

    share = float(np.count_nonzero(raster)) / raster.size
    return (SpikeEvents.from_raster(raster) if share < DENSE_FROM else raster), share


def measure_grid(
    densities: Sequence[str],
    batches: Sequence[int],
    sizes: Sequence[int],
    steps: Sequence[int],
    repeats: int,
    n_threads: int,
    *,
    gpu: bool = False,
) -> Iterator[Cell]:
    """Check and time cell after cell."""
    kind = "cupy" if gpu else "numba"
    ways = (
        Contestant(f"{kind}-sequential", "multi-spike", "auto", n_threads),
        Contestant(f"{kind}-parallel", "single-spike", "auto", n_threads),
    )
    for density, batch, n_steps in itertools.product(densities, batches, steps):
        raster = poisson_raster(density, batch, n_steps, N_INPUTS)
        best, share = best_input(raster)
        inputs = dict(zip(ways, (raster, best)))
        for n_out in sizes:
            parameters = layer_parameters(raster, n_out)
            # Set once: changing the number of BLAS threads in every turn would disturb the layer timed next.
            with settings("auto", n_threads):
                fault, times = _measure(inputs, parameters, repeats)
            yield Cell(density, batch, n_out, n_steps, share, fault, times)


def _measure(
    inputs: dict[Contestant, Any], parameters: tuple[NDArray[Any], ...], repeats: int
) -> tuple[str | None, tuple[float, ...]]:
    """The fault of an answer; or medians in ms, of every contestant's forward and backward pass."""
    shape = (*next(iter(inputs.values())).shape[:2], parameters[0].shape[1])
    grad_spikes = np.random.default_rng(1).standard_normal(shape, dtype=np.float32)
    runners = []
    for way, spikes in inputs.items():
        few = slice(_CHECKED_SAMPLES)
        fault = layer_fault(way, spikes[few], parameters, grad_spikes[few])
        if fault is not None:
            return fault, ()
        move = solvers.get(way.solver, way.neuron).to_device
        there = move(spikes), tuple(map(move, parameters)), move(grad_spikes)
        runners.append(Runner(way, *layer_calls(way, *there, Workspace())))
    # The layers take turns in one run, so that a disturbance of some seconds hits both.
    times = by_turns([runner.turn for runner in runners], repeats, turn=1)
    return None, tuple(1e3 * statistics.median(seconds) for result in times for seconds in zip(*result))


def exponents(cells: Sequence[Cell]) -> dict[tuple[str, int, int], float]:
    """Exponent of the single-spike layer's time (forward and backward) against T, from T = 128 on.

    One for every (density, batch, n_out) with at least two such T.
    """
    groups: dict[tuple[str, int, int], list[tuple[int, float]]] = {}
    for cell in cells:
        if cell.n_steps >= 128 and cell.times:
            key = cell.density, cell.batch, cell.n_out
            groups.setdefault(key, []).append((cell.n_steps, cell.times[2] + cell.times[3]))
    return {key: exponent(*zip(*points)) for key, points in groups.items() if len(points) > 1}


def line(cell: Cell) -> str:
    """One cell as a line of the table."""
    head = f"{cell.density:7s} {cell.batch:5d} {cell.n_out:5d} {cell.n_steps:5d} {100 * cell.share:7.3f}"
    if cell.fault is not None:
        return f"{head} answers differ, no time: {cell.fault}"
    times = (cell.times[k] for k in (0, 2, 1, 3))
    return " ".join([head, *(f"{ms:9.2f}" for ms in times), *(f"{ratio:7.2f}" for ratio in cell.ratios)])


HEAD = (
    "density batch     n     T  events%  conv.fwd  1spk.fwd  conv.bwd  1spk.bwd  x fwd   x bwd  x both   "
    "(ms; x: conventional over single-spike)"
)


def table(cells: Sequence[Cell]) -> str:
    """Summary of the grid: the smallest ratio, and how time grows with T."""
    timed = [cell for cell in cells if cell.ratios]
    if not timed:
        return "no cell has times"
    worst = min(timed, key=lambda cell: cell.ratios[2])
    forward, backward, both = (min(ratios) for ratios in zip(*(cell.ratios for cell in timed)))
    text = [
        f"smallest ratio, forward and backward together: {both:.2f} ({worst.density}, batch {worst.batch}, "
        f"n {worst.n_out}, T {worst.n_steps}); forward alone {forward:.2f}, backward alone {backward:.2f}"
    ]
    fitted = exponents(cells)
    if fitted:
        key = max(fitted, key=lambda k: fitted[k])
        text.append(
            f"time of the single-spike layer grows as T^p from T = 128: p from {min(fitted.values()):.2f} to "
            f"{fitted[key]:.2f} ({key[0]}, batch {key[1]}, n {key[2]})"
        )
    return "\n".join(text)
