"""What a port of a whole training step is tried on: small networks of every kind, or one that is given.

Nobody sees the port's hidden spikes, so all of them must be decided with room to spare, and so must the steps of the
readout's maxima. Where one is not, the bias of its neuron is moved until it is.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..network import Network
from ..parameters import NetworkConfig
from . import bounds
from .judge import Judge
from .step import Layer, peaks, run_layer

__all__ = ["AT_THE_START", "StepCase", "drawn_steps", "layers_of", "settled", "steps_of"]

Floats = NDArray[Any]
_MARGIN = 8.0  # bounds that a potential keeps from the threshold, and from the maximum
# Sizes, samples, steps: few of them, because a port that is compiled is compiled anew for each.
_SHAPES = (
    ((3, 4, 3), 3, 8),
    ((4, 4, 4, 4), 2, 6),
    ((2, 3, 2, 3, 3), 1, 9),
    ((3, 5, 1), 2, 4),
    ((4, 3, 2), 2, 1),
    ((2, 3, 4), 4, 30),
)
AT_THE_START = ("hidden_decay", "readout_decay", "hidden_gain")  # of training, and so not of a step
_MOODS = ("general", "exact", "silent", "strong")


@dataclass(frozen=True, eq=False)
class StepCase:
    """Inputs of one training step; what it offers beside them is as in `Case`."""

    kind, backward = "step", True  # like backward cases, they are all decided

    id: str
    network: Network
    spikes: Floats  # (B, T, n_inputs), in the dtype of the network
    labels: NDArray[np.int64]  # (B,)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Dtype under test."""
        return self.spikes.dtype

    @property
    def shape(self) -> tuple[int, ...]:
        """(B, T, neurons of all layers)."""
        return (*self.spikes.shape[:2], sum(self.network.config.sizes[1:]))

    @property
    def size(self) -> int:
        """How much there is to look at."""
        return int(np.prod(self.shape)) + int(self.spikes.size)

    def request(self) -> dict[str, Any]:
        """The arguments of the step, members of a mapping behind its name."""
        config = asdict(self.network.config) | {"sizes": np.array(self.network.config.sizes)}
        parts = {"spikes": self.spikes, "labels": self.labels}
        parts |= {f"parameters/{name}": array for name, array in self.network.parameters.items()}
        return parts | {f"config/{k}": v if isinstance(v, str) else np.asarray(v) for k, v in config.items()}

    def shapes(self) -> dict[str, list[tuple[int, ...]]]:
        """What an answer may hold, in the order of a backward pass, and in which shape."""
        config = self.network.config
        shapes: dict[str, list[tuple[int, ...]]] = {
            "logits": [(len(self.labels), config.sizes[-1])],
            "loss": [()],
        }
        of = config.shapes()
        names = (
            f"{layer}.{part}" for layer in reversed(config.layers) for part in ("weight", "bias", "decay")
        )
        return shapes | {name: [of[name]] for name in names}

    def arrays(self) -> dict[str, Floats]:
        """Named arrays, for an .npz file: those of a network file, and the batch."""
        return self.network.to_arrays() | {"spikes": self.spikes, "labels": self.labels}

    def text(self) -> str:
        """The inputs as lines."""
        fields = asdict(self.network.config).items()
        about = ", ".join(f"{name} = {value!r}" for name, value in fields if name not in AT_THE_START)
        lines = [f"batch, steps = {self.spikes.shape[0]}, {self.spikes.shape[1]}", about]
        lines += [f"{name} = {array.tolist()}" for name, array in self.network.parameters.items()]
        lines += [f"spikes[{b}] = {sample.astype(int).tolist()}" for b, sample in enumerate(self.spikes)]
        lines.append(f"labels = {self.labels.tolist()}")
        return "\n".join(line if len(line) <= 400 else f"{line[:390]} ..." for line in lines)

    def smaller(self) -> Iterator[StepCase]:
        """Candidates that are simpler: fewer samples, steps or spikes, rounder parameters."""
        batch, n_steps, _ = self.spikes.shape
        for b in range(batch if batch > 1 else 0):
            yield replace(self, spikes=self.spikes[b : b + 1], labels=self.labels[b : b + 1])
        for until in {n_steps // 2, n_steps - 1} - {0}:
            yield replace(self, spikes=self.spikes[:, :until])
        for name, array in self.network.parameters.items():
            rounded = np.round(array * 4) / 4 + 0.0
            if not np.array_equal(rounded, array):
                yield replace(self, network=_changed(self.network, name, rounded))
        for k in np.flatnonzero(self.spikes).tolist() if self.spikes.size <= 48 else ():
            spikes = self.spikes.copy()
            spikes.flat[k] = 0
            yield replace(self, spikes=spikes)


def _changed(network: Network, name: str, array: Floats) -> Network:
    return Network(network.config, network.parameters | {name: array.astype(network.config.dtype)})


# ---- decided cases ------------------------------------------------------------------------------------


def layers_of(case: StepCase, judge: Judge, config: NetworkConfig | None = None) -> list[Layer]:
    """All layers by the reference's own spikes; `config` may have other rules than that of the network."""
    layers: list[Layer] = []
    for name in case.network.config.layers:
        layers.append(_next_layer(case, name, layers, judge, config))
    return layers


def _next_layer(
    case: StepCase, name: str, before: list[Layer], judge: Judge, config: NetworkConfig | None = None
) -> Layer:
    config, parameters = config or case.network.config, case.network.parameters
    neuron, threshold = ("readout", 0.0) if name == "readout" else (config.neuron, config.threshold)
    spikes = before[-1].forward.fired.astype(case.dtype) if before else case.spikes
    parts = [parameters[f"{name}.{part}"] for part in ("weight", "bias", "decay")]
    return run_layer(name, neuron, threshold, spikes, parts, judge=judge)


def settled(case: StepCase, judge: Judge, rng: np.random.Generator | None = None) -> StepCase | None:
    """The case if all in it is decided, with biases moved by draws from `rng` until it is; None if that fails."""
    layers: list[Layer] = []
    for name in case.network.config.layers:
        for attempt in itertools.count():
            layer = _next_layer(case, name, layers, judge)
            undecided = _undecided(layer, case.network.config.readout)
            if not undecided.any():
                break
            if rng is None or attempt == 80:
                return None
            bias = layer.case.bias + np.where(
                undecided, rng.normal(0, 0.02 * 1.1**attempt, len(undecided)), 0
            )
            case = replace(case, network=_changed(case.network, f"{name}.bias", bias))
        layers.append(layer)
    return case


def _undecided(layer: Layer, readout: str) -> NDArray[np.bool_]:
    """(N,) neurons with a spike, or a maximum, that another implementation may have elsewhere."""
    rest = (layer.forward.potential, _MARGIN * layer.bound, layer.case.threshold)
    if layer.case.neuron == "single-spike":
        undecided = bounds.judge_spike_times(layer.forward.spike_times, *rest).undecided
    elif layer.case.neuron == "multi-spike":
        undecided = bounds.judge_spikes(layer.forward.fired, *rest).undecided
    else:
        undecided = peaks(layer, _MARGIN)[1] & (readout == "max")
    return np.asarray(undecided.reshape(-1, undecided.shape[-1]).any(axis=0))


# ---- drawn cases --------------------------------------------------------------------------------------


def drawn_steps(
    dtype: str, examples: int, seed: int, judge: Judge
) -> Iterator[tuple[str, Iterator[StepCase]]]:
    """Batteries by mood, of networks of every kind, each `examples` times."""
    for mood in _MOODS:
        yield (
            mood,
            _battery(mood, dtype, examples, np.random.default_rng([seed, 4, _MOODS.index(mood)]), judge),
        )


def _battery(
    mood: str, dtype: str, examples: int, rng: np.random.Generator, judge: Judge
) -> Iterator[StepCase]:
    kinds = itertools.product(("single-spike", "multi-spike"), ("sum", "max"), (False, True), (True, False))
    for k, (neuron, readout, other, learn) in enumerate(kinds):
        sizes, batch, n_steps = _SHAPES[(k + k // 8) % len(_SHAPES)]
        config = NetworkConfig(
            sizes,
            neuron=neuron,
            gradient="gated" if other else "straight-through",
            surrogate_scale=(10.0, 100.0, 0.0, 2.5, 10.0)[k % 5],
            detach_reset=other,
            readout=readout,
            logit_scale=(1.0, 0.25, 3.0)[k % 3],
            threshold=(1.0, 0.5, 1.0, 2.0, 1.0, 1.0, 0.75)[k % 7],
            learn_decay=learn,
            dtype=dtype,
        )
        for _ in range(examples):
            drawn = (_drawn(config, mood, (batch, n_steps), rng) for _ in range(50))
            yield from itertools.islice(filter(None, (settled(case, judge, rng) for case in drawn)), 1)


def _drawn(config: NetworkConfig, mood: str, shape: tuple[int, int], rng: np.random.Generator) -> StepCase:
    """Exact twins are quarters with decays 0 and 1; the strong ones have logits whose exponentials overflow."""
    parameters, theta, batch = {}, config.threshold, shape[0]
    for name, wanted in config.shapes().items():
        layer, part = name.split(".")
        readout, first = layer == "readout", layer == "hidden1"
        if mood == "exact":
            choices = {"weight": np.arange(-4, 7) / 4, "bias": np.arange(-1, 2) / 4, "decay": np.arange(2.0)}
            array = rng.choice(choices[part], wanted)
            array = array * 0 if part == "bias" and rng.random() < 0.6 else array
        elif part == "decay":
            array = rng.uniform(0.5 if readout else 0.2, 0.98, wanted)
        elif part == "bias":
            array = rng.normal(0, 0.1 * theta, wanted) * (rng.random() < 0.6)
            array = array - 3 * theta * (mood == "silent" and first) * np.arange(1, 1 + wanted[0])
        else:
            gain = 1.0 if readout else theta * (3.0 if mood == "strong" else 1.5)
            array = rng.normal(0.3 * gain, gain, wanted) * (
                2000 / shape[1] if mood == "strong" and readout else 1
            )
        parameters[name] = np.asarray(array, config.dtype)
    spikes = rng.random((*shape, config.sizes[0])) < rng.choice([0.2, 0.5, 0.8], (batch, 1, 1))
    labels = rng.integers(config.sizes[-1], size=batch)
    return StepCase(f"{mood}", Network(config, parameters), spikes.astype(config.dtype), labels)


def steps_of(
    network: Network, batch: tuple[Any, Any], dtype: str, examples: int, seed: int, judge: Judge
) -> Iterator[tuple[str, Iterator[StepCase]]]:
    """Batteries of a given network, with its own parameters and others near them, on a given batch or drawn ones."""
    rng, config = np.random.default_rng([seed, 5]), replace(network.config, dtype=dtype)

    def case(name: str, noise: float) -> StepCase:
        parameters = {}
        for part, array in network.own_parameters().items():
            near = array * rng.normal(1, noise, array.shape)
            parameters[part] = np.asarray(np.clip(near, 0, 1) if part.endswith("decay") else near, dtype)
        spikes = rng.random((3, 24, config.sizes[0])) < rng.choice([0.02, 0.1, 0.3], (3, 1, 1))
        labels = rng.integers(config.sizes[-1], size=3)
        if batch[0] is not None:
            spikes, labels = batch
        return StepCase(name, Network(config, parameters), np.asarray(spikes, dtype), labels)

    for name, noise in (("own parameters", 0.0), ("parameters near by", 0.1)):
        drawn = (settled(case(name, noise), judge, rng) for _ in range(examples))
        yield name, filter(None, drawn)
