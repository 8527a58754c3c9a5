"""The three workloads of the benchmarks: their input, their networks, all from one seed."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import solvers
from ..datasets import latency_log
from ..errors import InputError
from ..network import Network
from ..parameters import NetworkConfig
from ..reading import checked_name
from ..spikes import SpikeEvents
from ..training.recipes import RULES


@dataclass(frozen=True)
class Workload:
    """A network and its input, with the shape and the sparseness of the data set of that name."""

    name: str
    n_inputs: int
    n_hidden: int
    n_classes: int
    n_steps: int
    latency: bool = False  # as of latency-coded images: about 45 % of the inputs spike, once each
    n_events: int = 0  # without `latency`: about so many per sample, anywhere (a cell takes only one)
    batch: int = 128


WORKLOADS = {
    w.name: w
    for w in (
        Workload("fashion-mnist", 784, 200, 10, 100, latency=True),
        Workload("nmnist", 2312, 200, 10, 300, n_events=4000),
        Workload("shd", 700, 200, 20, 500, n_events=8000),
    )
}


def workload(name: str, **sizes: Any) -> Workload:
    """The workload of that name, with the given sizes in place of its own."""
    return replace(WORKLOADS[checked_name("workload", name, WORKLOADS)], **sizes)


def make_batch(what: Workload, seed: int = 0) -> tuple[SpikeEvents, NDArray[np.int64]]:
    """Input events (B, T, n_inputs) and labels (B,), int64, of one batch."""
    rng = np.random.default_rng([seed, what.n_inputs, what.n_steps])
    labels = rng.integers(0, what.n_classes, what.batch)
    if what.latency:
        # Bytes that spike within T: their time is about 4000 / p (version 1's encoding).
        darkest = min(255, math.ceil(4000 / what.n_steps) + 1)
        pixels = rng.integers(darkest, 256, (what.batch, what.n_inputs)).astype(np.uint8)
        times = np.minimum(latency_log(pixels, what.n_steps), what.n_steps - 1)
        times[rng.random(times.shape) >= 0.45] = what.n_steps
        return SpikeEvents.from_spike_times(times, what.n_steps), labels
    shape = what.batch, what.n_steps, what.n_inputs
    per_sample = what.n_steps * what.n_inputs
    drawn = rng.integers(0, per_sample, (what.batch, what.n_events))
    cells = np.unique(drawn + per_sample * np.arange(what.batch)[:, None])
    sample, step, neuron = np.unravel_index(cells, shape)
    return SpikeEvents.from_lists(sample, step, neuron, shape), labels


def make_network(what: Workload, rule: str, neuron: str, events: SpikeEvents) -> Network:
    """Network of a workload, with weights scaled so that half of all (sample, neuron) pairs fire.

    Biases are zero, so the potential is proportional to the weights. Dividing the weights by the median over all
    pairs of the largest potential puts the threshold at that median. Up to its first spike a neuron of the conventional
    layer has the same potential, so the share is the same there.
    """
    rules = RULES[checked_name("rule", rule, RULES)]
    sizes = (what.n_inputs, what.n_hidden, what.n_classes)
    # A sum over hundreds of steps would saturate the softmax, and subnormal gradients would be timed.
    logit_scale = 1 / what.n_steps if rules["readout"] == "sum" else 1.0
    config = NetworkConfig(sizes=sizes, neuron=neuron, logit_scale=logit_scale, **rules)
    network = Network.random(config, seed=0)
    weight, bias, decay = (network.parameters[f"hidden1.{part}"] for part in ("weight", "bias", "decay"))
    median = median_peak(events, weight, bias, decay)
    if median <= 0:
        raise InputError(
            f"half of all potentials must rise above 0 to be scaled to the threshold, got {median:g}"
        )
    weight *= weight.dtype.type(config.threshold / median)
    return network


def median_peak(spikes: Any, weight: NDArray[Any], bias: NDArray[Any], decay: NDArray[Any]) -> float:
    """Median over all (sample, neuron) pairs of the largest potential: with the threshold there, half of them fire."""
    layer = solvers.get("numba-sequential", "single-spike").single_spike_forward
    return float(np.median(layer(spikes, weight, bias, decay, 1.0).potential.max(axis=1)))
