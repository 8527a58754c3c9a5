"""The checker of a whole training step: logits, loss and all gradients of a network, each within its bound."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..checks import checked_labels
from ..errors import InputError
from ..files import read_npz
from ..network import Network
from ..parameters import NetworkConfig
from ..spikes import SpikeEvents
from .diagnosis import ACCIDENTS, Diagnosis, accident, gradient_precision
from .golden import step_mistakes
from .judge import Judge, compare
from .plan import checked_settings
from .port import Port
from .process import Program
from .report import Report
from .step import Expected
from .step_cases import StepCase, StepJudge, settled
from .trial import judged

# Sizes, samples, steps: few of them, because a port that is compiled is compiled anew for each.
_SHAPES = (
    ((3, 4, 3), 3, 8),
    ((4, 4, 4, 4), 2, 6),
    ((2, 3, 2, 3, 3), 1, 9),
    ((3, 5, 1), 2, 4),
    ((4, 3, 2), 2, 1),
    ((2, 3, 4), 4, 30),
)
MOODS = ("general", "exact", "silent", "strong")
# Where to look if a mistake shows only in cases of one sort.
_ONLY = {
    "exact": "a potential equal to the threshold is no spike; of equal maxima the first gets the gradient",
    "silent": "a hidden layer without a spike: the surrogate passes the gradient on all the same",
    "strong": "logits whose exponentials overflow: subtract the largest one of each sample first",
}
# What is wrong first, in the order of a backward pass, tells where to look.
_LOOK = {
    "logits": "Eqs. 1 to 5 (12 to 14 for multi-spike) and 17; minisnn check tries a layer by itself",
    "loss": "the mean over the samples of -log softmax(logits)[label]",
    "readout": "(softmax - onehot) / batch, then Eqs. 18, 9 and 10",
    "hidden": "Eq. 11 of the layer above, then Eqs. 6 to 10 (15 and 16); minisnn check tries a layer by itself",
}


def check_step(
    step: Callable[..., Any] | str | Program,
    network: Network | str | Path | None = None,
    spikes: Any = None,
    labels: Any = None,
    *,
    dtype: str = "both",
    examples: int = 2,
    seed: int = 0,
    timeout: float = 10.0,
    first_timeout: float = 120.0,
    memory: int | None = None,
    bound: str = "standard",
) -> Report:
    """Try a whole training step on networks of every kind, or on one, and judge every number by its derived bound.

    Parameters
    ----------
    step : callable, str or Program
        ``step(spikes, labels, parameters, config) -> mapping``, given as in `check`. `spikes` (B, T, n_inputs) are 0 or
        1, `labels` (B,) classes, `parameters` a dict of arrays by the names of the network's, such as
        ``"hidden1.weight"``, `config` a dict of the fields of `NetworkConfig`. It returns any of ``"logits"`` (B,
        n_classes), ``"loss"`` and the gradients by the names of the parameters.
    network : Network or path, optional
        The architecture and its parameters; further cases have parameters near them. Without it: small networks of
        both neurons and readouts, with one to three hidden layers, learned and fixed decays, no spike penalty.
    spikes, labels : (B, T, n_inputs), (B,), optional
        A batch for `network` in place of drawn ones.
    dtype : {"both", "float32", "float64"}
        Precision under test.
    examples : int
        Cases for every dtype and kind of network.
    seed : int
        Of the drawn cases.
    timeout, first_timeout, memory, bound
        As in `check`.

    Returns
    -------
    report : Report
        As of `check`. Nobody sees the hidden spikes: biases are moved until each of them is decided.

    Raises
    ------
    InputError
        For arguments that make no sense; whatever the step does wrong is a finding instead.

    Examples
    --------
    >>> from minisnn import NetworkConfig
    >>> def step(spikes, labels, parameters, config):
    ...     network = Network(NetworkConfig(**config), parameters)
    ...     loss, gradients, activity = network.loss_and_gradients(spikes, labels, solver="numpy-sequential")
    ...     return {"logits": activity.logits, "loss": loss} | gradients
    >>> check_step(step, examples=1, dtype="float64").passed
    True
    >>> summed = lambda spikes, *rest: step(spikes, *rest) | {"loss": len(spikes) * step(spikes, *rest)["loss"]}
    >>> check_step(summed, examples=1, dtype="float64").findings[0].diagnosis.text
    'the loss is summed over the batch; expected its mean'
    """
    judge = StepJudge(bound)
    settings = checked_settings(judge, "single-spike", None, dtype, examples, seed)
    settings["neuron"] = "training step"
    port = Port(step, None, timeout, first_timeout, memory, kind="step")
    tries = _steps(network, spikes, labels, settings, judge)
    report = judged(port, judge, settings, tries, _diagnose)
    if not report.tried:
        text = "no batch was found in which every hidden spike is decided: give fewer samples or steps"
        raise InputError(text)
    return report


def _steps(
    network: Any, spikes: Any, labels: Any, settings: Mapping[str, Any], judge: Judge
) -> Iterator[tuple[str, Any]]:
    """What a step is tried on."""
    if not (network is None or isinstance(network, Network)):
        arrays = read_npz(network)
        spikes = arrays.get("spikes") if spikes is None else spikes
        labels = arrays.get("labels") if labels is None else labels
        network = Network.from_arrays(arrays, network)
    if (spikes is None) != (labels is None) or (network is None and spikes is not None):
        raise InputError("a batch is spikes and labels, for a network: give all three")
    if spikes is not None:
        spikes = network.checked_input(spikes)
        labels = checked_labels(labels, len(spikes), network.config.sizes[-1])
        spikes = spikes.to_raster(np.float64) if isinstance(spikes, SpikeEvents) else spikes
    for dtype in settings["dtypes"]:
        rest = dtype, settings["examples"], settings["seed"], judge
        yield "step", drawn_steps(*rest) if network is None else _steps_of(network, (spikes, labels), *rest)


# ---- drawn cases --------------------------------------------------------------------------------------


def drawn_steps(
    dtype: str, examples: int, seed: int, judge: Judge
) -> Iterator[tuple[str, Iterator[StepCase]]]:
    """Batteries by mood, of networks of every kind, each `examples` times."""
    for k, mood in enumerate(MOODS):
        yield mood, _battery(mood, dtype, examples, np.random.default_rng([seed, 4, k]), judge)


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
            array = rng.normal(0.3 * gain, gain, wanted)
            array = array * (2000 / shape[1]) if mood == "strong" and readout else array
        parameters[name] = np.asarray(array + 0.0, config.dtype)  # no -0
    spikes = rng.random((*shape, config.sizes[0])) < rng.choice([0.2, 0.5, 0.8], (batch, 1, 1))
    labels = rng.integers(config.sizes[-1], size=batch)
    return StepCase(f"{mood}", Network(config, parameters), spikes.astype(config.dtype), labels)


def _steps_of(
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


# ---- the broken rule -----------------------------------------------------------------------------------


def _diagnose(failing: Sequence[Any], passing: Sequence[Any], judge: StepJudge) -> Diagnosis:
    """Name the rule that a step breaks."""
    sorts = {record.case.id for record in failing}
    if all(np.abs(judge.expected(record.case)["logits"][0]).max() > 80 for record in failing):
        sorts = {"strong"}
    only = (_ONLY[min(sorts)],) if len(sorts) == 1 and sorts & _ONLY.keys() and passing else ()
    for record in failing:
        if record.kinds[0] in ACCIDENTS:
            found = accident(record.kinds[0])
            return replace(found, likely=(*only, *found.likely))
    known = []
    for mistake in step_mistakes():
        unlike = [_unlike(record, mistake, judge) for record in failing]
        if not any(names & set(record.kinds) for names, record in zip(unlike, failing)):
            known.append((sum(map(len, unlike)), mistake))
    if known:
        (_, best), *others = sorted(known, key=lambda pair: pair[0])
        also = tuple(mistake["says"] for _, mistake in others)
        return Diagnosis(best["rule"], best["says"], (best["look"], *only), also)
    precision = gradient_precision(failing)
    if precision is not None and all(_near(record, judge.expected(record.case)) for record in failing):
        return precision
    wrong = [name for name in failing[0].case.shapes() if any(name in record.kinds for record in failing)]
    first, *later = dict.fromkeys(name.partition(".")[0] for name in wrong)
    text = ", ".join(name for name in wrong if name.partition(".")[0] == first)
    text = f"wrong by more than any rounding explains: {text}"
    if later:
        text += f" (and, perhaps because of that, {', '.join(later)})"
    return Diagnosis(first, text, (_LOOK[first.rstrip("0123456789")], *only))


def _near(record: Any, expected: Expected) -> bool:
    """Whether all that is wrong is wrong by a few per cent at most."""
    came = record.output.gradients or {}
    errors = ((np.abs(came[name] - expected[name][0]).max(), expected[name][0]) for name in record.kinds)
    return all(error <= 0.05 * np.abs(value).max() for error, value in errors)


def _unlike(record: Any, mistake: Mapping[str, Any], judge: StepJudge) -> set[str]:
    """In which quantities an answer is not as the mistake makes it."""
    expected, came = judge.expected(record.case, mistake), record.output.gradients or {}
    return {name for name in came if compare(came[name], *expected[name])[0].any()}
