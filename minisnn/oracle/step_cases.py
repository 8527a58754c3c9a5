"""A case of a whole training step, and the verdict on what a port answers to it.

Nobody sees the port's hidden spikes, so all of them must be decided with room to spare, and so must the steps of the
readout's maxima. Where one is not, the bias of its neuron is moved until it is.
"""

from __future__ import annotations

import itertools
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..checks import checked_labels
from ..network import Network
from ..parameters import NetworkConfig
from .cases import cut, without_one
from .judge import MARGIN, Judge, Verdict
from .port import Output
from .step import PARTS, Expected, Layer, expected_step, peaks, run_layer

Floats = NDArray[Any]
AT_THE_START = ("hidden_decay", "readout_decay", "hidden_gain")  # of training, and so not of a step


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
        config, of = self.network.config, self.network.config.shapes()
        names = [f"{layer}.{part}" for layer in reversed(config.layers) for part in PARTS]
        shapes: dict[str, Any] = {"logits": [(len(self.labels), config.sizes[-1])], "loss": [()]}
        return shapes | {name: [of[name]] for name in names}

    def arrays(self) -> dict[str, Floats]:
        """Named arrays, for an .npz file: those of a network file, and the batch."""
        return self.network.to_arrays() | {"spikes": self.spikes, "labels": self.labels}

    @classmethod
    def from_arrays(cls, arrays: dict[str, Floats], path: str | Path = "the case") -> StepCase:
        """The case of `arrays`, in the precision of its network; `path` is named in errors."""
        network = Network.from_arrays(arrays, path)
        spikes = arrays["spikes"].astype(network.config.dtype)
        labels = checked_labels(arrays["labels"], len(spikes), network.config.sizes[-1])
        return cls("saved", network, spikes, labels)

    def text(self) -> str:
        """The inputs as lines."""
        fields = asdict(self.network.config).items()
        about = ", ".join(f"{name} = {value!r}" for name, value in fields if name not in AT_THE_START)
        lines = [f"batch, steps = {self.spikes.shape[0]}, {self.spikes.shape[1]}", *textwrap.wrap(about, 96)]
        lines += [f"{name} = {array.tolist()}" for name, array in self.network.parameters.items()]
        lines += [f"spikes[{b}] = {sample.astype(int).tolist()}" for b, sample in enumerate(self.spikes)]
        lines.append(f"labels = {self.labels.tolist()}")
        return cut(lines)

    def smaller(self, refused: dict[Any, int]) -> Iterator[StepCase]:
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
        for spikes in without_one(self.spikes, 48):
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
    parts = [parameters[f"{name}.{part}"] for part in PARTS]
    return run_layer(name, neuron, threshold, spikes, parts, judge=judge)


def settled(case: StepCase, judge: Judge, rng: np.random.Generator | None = None) -> StepCase | None:
    """The case if all in it is decided, with biases moved by draws from `rng` until it is; None if that fails."""
    layers: list[Layer] = []
    for name in case.network.config.layers:
        for attempt in itertools.count():
            layer = _next_layer(case, name, layers, judge)
            undecided = _undecided(layer, case.network.config.readout, judge)
            if not undecided.any():
                break
            if rng is None or attempt == 80:
                return None
            moved = layer.case.bias + undecided * rng.normal(0, 0.02 * 1.1**attempt, len(undecided))
            case = replace(case, network=_changed(case.network, f"{name}.bias", moved))
        layers.append(layer)
    return case


def _undecided(layer: Layer, readout: str, judge: Judge) -> NDArray[np.bool_]:
    """(N,) neurons with a spike, or a maximum, that another implementation may have elsewhere."""
    if layer.case.neuron == "readout":
        undecided = peaks(layer, MARGIN)[1] & (readout == "max")
    else:
        undecided = judge.spikes(layer.case, layer.forward, layer.forward, MARGIN * layer.bound).undecided
    return np.asarray(undecided.reshape(-1, undecided.shape[-1]).any(axis=0))


# ---- the verdict ---------------------------------------------------------------------------------------


class StepJudge(Judge):
    """The rules by which a training step is judged."""

    def decided(self, case: Any) -> bool:
        """Whether no other implementation can have other spikes, or other steps of the maxima."""
        return settled(case, self) is not None

    def verdict(self, case: Any, output: Output) -> Verdict:
        """Judge what a step returned."""
        if output.violations:
            return Verdict(output.violations)
        verdict, came = Verdict(), output.gradients or {}
        for name, expected in self.expected(case).items():
            if name in came:
                verdict = verdict.and_of(name, came[name], *expected)
        return verdict

    def expected(self, case: StepCase, mistake: Mapping[str, Any] = MappingProxyType({})) -> Expected:
        """Values and bounds by name: the right ones, or those of a step with a known mistake."""
        config = replace(case.network.config, **mistake.get("config", {}))
        layers = layers_of(case, self, config)
        potential, reached = layers[-1].forward.potential, None
        if config.readout == "max":
            top = potential == potential.max(axis=1, keepdims=True)
            first, last = (np.cumsum(t, axis=1) * t == 1 for t in (top, top[:, ::-1]))
            shares = {"every": None, "shared": top / top.sum(axis=1, keepdims=True), "last": last[:, ::-1]}
            reached = shares.get(mistake.get("peaks", ""), first)
        expected = expected_step(config, layers, case.labels, reached, kind=self.bound)
        factor = mistake.get("factor", 1.0)
        named = {"batch": len(case.labels), "1 / logit_scale": 1 / config.logit_scale}
        factor = named.get(factor, factor)
        for name in [name for name in expected if any(map(name.endswith, mistake.get("of", ())))]:
            value, bound = expected[name]
            if mistake.get("summed"):
                value, bound = value.sum() + 0 * value, bound.sum() + 0 * bound
            if mistake.get("transposed") and len(set(value.shape)) == 1:
                value, bound = value.T, bound.T
            expected[name] = factor * value, abs(factor) * bound
        return expected
