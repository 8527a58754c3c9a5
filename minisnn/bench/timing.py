"""Timing: contestants take turns, so that noise hits all alike."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import threadpoolctl
from numpy.typing import NDArray

from .. import solvers
from ..loss import softmax_cross_entropy, softmax_cross_entropy_backward
from ..network import Activity, Network
from ..solvers.compiled.workspace import Workspace
from ..solvers.settings import settings
from ..spikes import SpikeEvents
from ..training.optimiser import Adam

_LR = 1e-5  # small, so that the network hardly changes while it is timed
TURN = 4  # timed calls in one turn, after an untimed one that brings its data back into the caches


@dataclass(frozen=True)
class Contestant:
    """One way to compute a layer or a training step."""

    solver: str
    neuron: str
    product: str  # of the compiled solvers; with "dense", the input of a step is a raster instead of events
    threads: int  # of the compiled solvers, or of BLAS under the NumPy solvers
    label: str = ""  # in tables


class Runner:
    """Calls of a contestant, timed one by one; each is given the result of the one before."""

    def __init__(self, way: Contestant, *calls: Callable[[Any], Any]) -> None:
        self.way, self.calls = way, calls
        self.synchronise = solvers.get(way.solver, way.neuron).synchronise

    def __call__(self) -> tuple[float, ...]:
        """Run the calls once; returns the seconds of each."""
        result: Any = None
        seconds = []
        for call in self.calls:
            self.synchronise()
            started = time.perf_counter()
            result = call(result)
            self.synchronise()
            seconds.append(time.perf_counter() - started)
        return tuple(seconds)

    def turn(self, n_timed: int = TURN) -> list[tuple[float, ...]]:
        """One untimed run, then `n_timed` timed ones, with the contestant's settings."""
        with settings(self.way.product, self.way.threads):
            self()
            return [self() for _ in range(n_timed)]


class StepRunner:
    """Training steps as the training loop takes them: forward, loss, backward, Adam; buffers are reused.

    `step` times them whole; `passes` times forward pass, loss and backward pass, layer by layer. These do not add up
    to a step if the solver takes all of it sample by sample. `predictions` times those of the batch and of its first
    sample, as a user calls them. A copy of the network is trained. The input is `events`, or the same made dense if
    the contestant takes it dense: `raster`, if the caller has it.
    """

    def __init__(
        self,
        way: Contestant,
        network: Network,
        events: SpikeEvents,
        labels: NDArray[np.int64],
        raster: NDArray[Any] | None = None,
    ) -> None:
        config = replace(network.config, neuron=way.neuron)
        checked = Network(config, network.parameters)
        signal: SpikeEvents | NDArray[Any] = events
        if way.product == "dense":
            signal = events.to_raster(config.dtype) if raster is None else raster
        # As in training, the input is checked and everything moved to the device before the clock starts.
        solver = solvers.get(way.solver, way.neuron)
        self.signal, self.sample = (
            solver.to_device(checked.checked_input(part)) for part in (signal, signal[:1])
        )
        self.optimiser = Adam(checked.parameters, checked.learns, solver)
        self.network = checked.on_device(way.solver)
        self.optimiser.move(self.network.parameters)
        self.labels, workspace = labels, Workspace()
        self._how: dict[str, Any] = {"solver": way.solver, "workspace": workspace, "checked": True}
        self._layered = self._how | {"workspace": workspace.part("layers")}
        self.step = Runner(way, self._step)
        self.passes = Runner(way, self._forward, self._loss, self._backward)
        predict = partial(self.network.predict, solver=way.solver)
        self.predictions = Runner(way, lambda _: predict(self.signal), lambda _: predict(self.sample))

    def _step(self, _: None) -> None:
        gradients = self.network.training_step(self.signal, self.labels, **self._how)[1]
        self.optimiser.step(gradients, _LR)

    def _forward(self, _: None) -> Activity:
        return self.network.forward(self.signal, **self._layered)

    def _loss(self, activity: Activity) -> tuple[Activity, NDArray[Any]]:
        _, probabilities = softmax_cross_entropy(activity.logits, self.labels)
        return activity, softmax_cross_entropy_backward(probabilities, self.labels)

    def _backward(self, known: tuple[Activity, NDArray[Any]]) -> None:
        self.network.backward(*known, **self._layered)

    def turn(self, n_timed: int = TURN) -> list[tuple[float, float, float]]:
        """Seconds of `n_timed` steps, with those of the two passes, taken once."""
        steps = self.step.turn(n_timed)
        ((forward, _, backward),) = self.passes.turn(1)
        return [(step, forward, backward) for (step,) in steps]


class DenseProducts:
    """The dense float32 matrix products that a dense implementation of a training step needs, and nothing else.

    Forward and weight gradient of both layers, input gradient of the readout; contiguous arrays, NumPy's
    BLAS with `n_threads` threads.
    """

    def __init__(self, raster: NDArray[Any], n_hidden: int, n_classes: int, n_threads: int) -> None:
        rng = np.random.default_rng(0)

        def drawn(*shape: int) -> NDArray[np.float32]:
            return rng.uniform(-1, 1, shape).astype(np.float32)

        x = np.ascontiguousarray(raster, dtype=np.float32).reshape(-1, raster.shape[2])
        self.w1, self.w2 = drawn(raster.shape[2], n_hidden), drawn(n_hidden, n_classes)
        hidden, out = self.hidden, self.out = drawn(len(x), n_hidden), drawn(len(x), n_classes)
        self.n_threads = n_threads
        self.factors = (x, self.w1), (hidden, self.w2), (hidden.T, out), (out, self.w2.T), (x.T, hidden)
        self.results = [np.empty((len(a), b.shape[1]), np.float32) for a, b in self.factors]

    def __call__(self) -> float:
        """Form all five products once; returns seconds."""
        started = time.perf_counter()
        for (a, b), result in zip(self.factors, self.results):
            np.matmul(a, b, out=result)
        return time.perf_counter() - started

    def turn(self, n_timed: int = 1) -> list[float]:
        """One untimed run, then `n_timed` timed ones."""
        with threadpoolctl.threadpool_limits(limits=self.n_threads, user_api="blas"):
            self()
            return [self() for _ in range(n_timed)]


def by_turns(
    contestants: Sequence[Callable[[int], list[Any]]], repeats: int, turn: int = TURN
) -> list[list[Any]]:
    """Let the contestants take turns (A B C A B C ...) of `turn` results until each has `repeats`."""
    results: list[list[Any]] = [[] for _ in contestants]
    done = 0
    while done < repeats:
        n_timed = min(turn, repeats - done)
        for result, contestant in zip(results, contestants):
            result.extend(contestant(n_timed))
        done += n_timed
    return results


def milliseconds(seconds: Sequence[float]) -> tuple[float, float, float]:
    """Median, smallest and largest of some times, in ms."""
    return 1e3 * statistics.median(seconds), 1e3 * min(seconds), 1e3 * max(seconds)


def exponent(sizes: Sequence[float], seconds: Sequence[float]) -> float:
    """Slope of the straight line through log time against log size, least squares."""
    return float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])
