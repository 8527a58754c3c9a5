"""How times are taken: contestants by turns, so that noise hits all alike; and NumPy's matrix products as the floor."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import threadpoolctl
from numpy.typing import NDArray

from .. import solvers
from ..loss import softmax_cross_entropy, softmax_cross_entropy_backward
from ..network import Network
from ..solvers.compiled.workspace import Workspace
from ..solvers.settings import settings
from ..spikes import SpikeEvents
from ..training.optimiser import Adam

__all__ = ["Contestant", "GemmFloor", "StepRunner", "by_turns", "exponent"]

_LR = 1e-5  # small, so that the network stays what it is while it is timed
TURN = 4  # timed calls in one turn, after an untimed one that brings its data back into the caches


@dataclass(frozen=True)
class Contestant:
    """One way to compute a training step.

    Parameters
    ----------
    solver, neuron : str
        As everywhere.
    product : {"auto", "events", "dense"}
        Of the compiled solvers; with "dense" a float32 raster is the input, otherwise events.
    threads : int
        Of the compiled solvers, or of BLAS under the NumPy solvers.
    label : str
        One line for the table.
    """

    solver: str
    neuron: str
    product: str
    threads: int
    label: str = ""


class StepRunner:
    """Training steps as the training loop takes them: forward, loss, backward, Adam; buffers reused.

    Parameters
    ----------
    contestant : Contestant
        How.
    network : Network
        Copied; the copy is trained.
    events : SpikeEvents
        Input; made dense here where the contestant takes it dense.
    labels : (B,) int64
        Classes.
    raster : float32 raster, optional
        The input made dense, if it is at hand already.
    """

    def __init__(
        self,
        contestant: Contestant,
        network: Network,
        events: SpikeEvents,
        labels: NDArray[np.int64],
        raster: NDArray[Any] | None = None,
    ) -> None:
        self.contestant = contestant
        config = replace(network.config, neuron=contestant.neuron)
        checked = Network(config, network.parameters)
        self.labels = labels
        self.signal: SpikeEvents | NDArray[Any] = events
        if contestant.product == "dense":
            self.signal = events.to_raster(config.dtype) if raster is None else raster
        # As in training the input is read before the clock starts: for a dense raster that takes longer than a step.
        self.signal = checked.checked_input(self.signal)
        module = solvers.get(contestant.solver, contestant.neuron)
        self.optimiser = Adam(checked.parameters, checked.learns, module)
        # As in training: on a device, parameters, moments and input are there before the clock starts.
        self.network = checked.on_device(contestant.solver)
        self.optimiser.move(self.network.parameters)
        self.signal, self.synchronise = module.to_device(self.signal), module.synchronise
        self.workspace = Workspace()

    def __call__(self) -> float:
        """Take one step; returns seconds."""
        self.synchronise()
        started = time.perf_counter()
        _, gradients, _ = self.network.training_step(
            self.signal,
            self.labels,
            solver=self.contestant.solver,
            workspace=self.workspace,
            checked=True,
        )
        self.optimiser.step(gradients, _LR)
        self.synchronise()
        return time.perf_counter() - started

    def parts(self) -> tuple[float, float]:
        """Seconds of the forward and of the backward pass, layer by layer.

        They do not add up to a step where the solver takes all of it sample by sample.
        """
        network, solver, workspace = self.network, self.contestant.solver, self.workspace.part("layers")
        started = time.perf_counter()
        activity = network.forward(self.signal, solver=solver, workspace=workspace, checked=True)
        self.synchronise()
        forward = time.perf_counter() - started
        _, probabilities = softmax_cross_entropy(activity.logits, self.labels)
        grad_logits = softmax_cross_entropy_backward(probabilities, self.labels)
        started = time.perf_counter()
        network.backward(activity, grad_logits, solver=solver, workspace=workspace, checked=True)
        self.synchronise()
        return forward, time.perf_counter() - started

    def steps(self, n_timed: int = TURN) -> list[float]:
        """One untimed step, then `n_timed` timed ones; seconds."""
        with settings(self.contestant.product, self.contestant.threads):
            self()
            return [self() for _ in range(n_timed)]

    def turn(self, n_timed: int = TURN) -> list[tuple[float, float, float]]:
        """As `steps`, with the times of the two passes, taken once."""
        steps = self.steps(n_timed)
        with settings(self.contestant.product, self.contestant.threads):
            self.parts()
            parts = self.parts()
            return [(step, *parts) for step in steps]


class GemmFloor:
    """The dense float32 matrix products a dense implementation of a training step needs, and nothing else.

    Forward and weight gradient of both layers, input gradient of the readout; contiguous arrays, NumPy's
    BLAS with `n_threads` threads.
    """

    def __init__(self, raster: NDArray[Any], n_hidden: int, n_classes: int, n_threads: int) -> None:
        rng = np.random.default_rng(0)
        n_in = raster.shape[2]
        self.x = np.ascontiguousarray(raster, dtype=np.float32).reshape(-1, n_in)
        rows = len(self.x)
        self.n_threads = n_threads
        self.w1, self.w2 = (
            rng.uniform(-1, 1, shape).astype(np.float32)
            for shape in ((n_in, n_hidden), (n_hidden, n_classes))
        )
        self.hidden = rng.uniform(-1, 1, (rows, n_hidden)).astype(np.float32)
        self.out = rng.uniform(-1, 1, (rows, n_classes)).astype(np.float32)
        self.results = [
            np.empty(shape, np.float32)
            for shape in (
                (rows, n_hidden),
                (rows, n_classes),
                self.w2.shape,
                (rows, n_hidden),
                self.w1.shape,
            )
        ]

    def __call__(self) -> float:
        """Run all five products once; returns seconds."""
        current, logits, grad_w2, grad_hidden, grad_w1 = self.results
        started = time.perf_counter()
        np.matmul(self.x, self.w1, out=current)
        np.matmul(self.hidden, self.w2, out=logits)
        np.matmul(self.hidden.T, self.out, out=grad_w2)
        np.matmul(self.out, self.w2.T, out=grad_hidden)
        np.matmul(self.x.T, self.hidden, out=grad_w1)
        return time.perf_counter() - started

    def turn(self, n_timed: int = 1) -> list[float]:
        """One untimed run, then `n_timed` timed ones."""
        with threadpoolctl.threadpool_limits(limits=self.n_threads, user_api="blas"):
            self()
            return [self() for _ in range(n_timed)]


def by_turns(
    contestants: Sequence[Callable[[int], list[Any]]], repeats: int, turn: int = TURN
) -> list[list[Any]]:
    """Let the contestants take turns (A B C A B C ...) of `turn` results until each has `repeats`.

    Examples
    --------
    >>> by_turns([lambda n: ["a"] * n, lambda n: ["b"] * n], repeats=5)
    [['a', 'a', 'a', 'a', 'a'], ['b', 'b', 'b', 'b', 'b']]
    """
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
    """Slope of the straight line through log time against log size, least squares.

    Examples
    --------
    >>> round(exponent([1, 2, 4], [3.0, 6.0, 12.0]), 6)
    1.0
    """
    return float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])
