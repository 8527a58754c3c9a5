"""The checker of a whole training step: logits, loss and all gradients of a network, each within its bound."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from ..errors import InputError, one_line, shown
from ..network import Network
from ..reading import checked_count, checked_name
from .check import DTYPES, Run
from .diagnosis import ACCIDENTS, Diagnosis, Record, accident
from .golden import step_mistakes
from .judge import Judge, Verdict, compare, wrong_value
from .port import Output, Violation, real_array
from .report import Report
from .step import Expected, expected_step
from .step_cases import StepCase, drawn_steps, layers_of, settled, steps_of

__all__ = ["StepJudge", "check_step"]

# Where to look if a mistake shows only in cases of one sort.
_ONLY = {
    "exact": "a potential equal to the threshold is no spike; of equal maxima the first gets the gradient",
    "silent": "a hidden layer without a spike: the surrogate passes the gradient on all the same",
    "strong": "logits whose exponentials overflow: subtract the largest one of each sample first",
}
# What is wrong first, in the order of a backward pass, tells where to look.
_LOOK = {
    "logits": "Eqs. 1 to 5 (12 to 14 for multi-spike) and 17; minisnn check tries a hidden layer by itself",
    "loss": "the mean over the samples of -log softmax(logits)[label]",
    "readout": "(softmax - onehot) / batch, then Eqs. 18, 9 and 10",
    "hidden": "Eq. 11 (gI @ W^T) of the layer above, then Eqs. 6 to 10 (15 and 16); minisnn check --backward tries a layer",
}


def check_step(
    step: Callable[..., Any],
    network: Network | str | Path | None = None,
    spikes: Any = None,
    labels: Any = None,
    *,
    dtype: str = "both",
    examples: int = 2,
    seed: int = 0,
    bound: str = "standard",
) -> Report:
    """Try a whole training step on networks of every kind, or on one, and judge every number by its derived bound.

    Parameters
    ----------
    step : callable
        ``step(spikes, labels, parameters, config) -> mapping`` with any of ``"logits"`` (B, n_classes), ``"loss"`` and
        the gradients by the names of the parameters. `spikes` (B, T, n_inputs) are 0 or 1, `labels` (B,) classes,
        `parameters` a dict of arrays such as ``"hidden1.weight"``, `config` a dict of the fields of `NetworkConfig`.
    network : Network or path, optional
        The architecture and its parameters; further cases have parameters near them. Without it: small networks of
        both neurons and readouts, with one to three hidden layers, learned and fixed decays.
    spikes, labels : (B, T, n_inputs), (B,), optional
        A batch for `network` in place of drawn ones.
    dtype : {"both", "float32", "float64"}
        Precision under test.
    examples : int
        Cases for every dtype and kind of network.
    seed : int
        Of the drawn cases.
    bound : {"standard", "fft"}
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
    ...     loss, gradients, activity = network.loss_and_gradients(spikes, labels)
    ...     return {"logits": activity.logits, "loss": loss} | gradients
    >>> check_step(step, examples=1, dtype="float64").passed
    True
    >>> summed = lambda spikes, *rest: step(spikes, *rest) | {"loss": len(spikes) * step(spikes, *rest)["loss"]}
    >>> check_step(summed, examples=1, dtype="float64").findings[0].diagnosis.text
    'the loss is summed over the batch; expected its mean'
    """
    if not callable(step):
        raise InputError(f"step must be a function, got {shown(step)}")
    judge = StepJudge(bound)
    settings: dict[str, Any] = {
        "neuron": "training step",
        "dtypes": list(DTYPES[checked_name("dtype", dtype, DTYPES)]),
        "gradients": [],
        "examples": checked_count("examples", examples, low=1),
        "seed": checked_count("seed", seed),
        "bound": judge.bound,
        "convention": [],
    }
    run = Run(_StepPort(step), judge, settings, _diagnose)  # type: ignore[arg-type]
    report = run.report(_steps(network, spikes, labels, settings, judge))
    records = run.records["step"]
    came = set[str]().union(*(record.output.gradients or () for record in records))
    missing = [name for name in records[0].case.names if name not in came]
    if missing and came:
        report = replace(report, notes=(*report.notes, f"not returned, so not judged: {', '.join(missing)}"))
    return report


def _steps(
    network: Any, spikes: Any, labels: Any, settings: Mapping[str, Any], judge: Judge
) -> Iterator[tuple[str, Any]]:
    """What a step is tried on."""
    rest = settings["examples"], settings["seed"], judge
    if network is None and not (spikes is None and labels is None):
        raise InputError("spikes and labels are a batch for a network: give the network too")
    if not (network is None or isinstance(network, Network)):
        network = Network.load(network)
    for dtype in settings["dtypes"]:
        cases = drawn_steps(dtype, *rest) if network is None else steps_of(network, (spikes, labels), dtype, *rest)
        yield "step", cases  # type: ignore[misc]


class StepJudge(Judge):
    """The rules by which a training step is judged."""

    def decided(self, case: Any, margin: float = 8.0) -> bool:
        """Whether no other implementation can have other spikes, or other steps of the maxima."""
        return settled(case, self) is not None

    def verdict(self, case: Any, output: Output) -> Verdict:
        """Judge what a step returned."""
        if output.violations:
            return Verdict(output.violations)
        violations, ratios = [], dict[str, float]()
        for name, (value, bound) in self.expected(case).items():
            came = (output.gradients or {}).get(name)
            if came is not None:
                wrong, ratio = compare(came, value, bound)
                part = name.rpartition(".")[2]
                ratios[part] = max(ratio, ratios.get(part, 0.0))
                if wrong.any():
                    violations.append(Violation(name, wrong_value(name, came, value, bound, wrong)))
        return Verdict(tuple(violations), ratios)

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
        factor = {"batch": len(case.labels), "1 / logit_scale": 1 / config.logit_scale}.get(
            mistake.get("factor", ""), mistake.get("factor", 1.0)
        )
        for name in [name for name in expected if any(map(name.endswith, mistake.get("of", ())))]:
            value, bound = expected[name]
            if mistake.get("summed"):
                value, bound = value.sum() + 0 * value, bound.sum() + 0 * bound
            expected[name] = factor * value, abs(factor) * bound
        return expected


def _diagnose(failing: Sequence[Record], passing: Sequence[Record], judge: StepJudge) -> Diagnosis:
    """Name the rule that a step breaks."""
    sort = {record.case.id for record in failing}
    only = (_ONLY[min(sort)],) if len(sort) == 1 and sort & _ONLY.keys() and passing else ()
    for record in failing:
        if record.kinds[0] in ACCIDENTS:
            found = accident(record.kinds[0])
            return replace(found, likely=(*only, *found.likely))
    known = [mistake for mistake in step_mistakes() if all(_gives(record, mistake, judge) for record in failing)]
    if known:
        also = tuple(mistake["says"] for mistake in known[1:])
        return Diagnosis(known[0]["rule"], known[0]["says"], (known[0]["look"], *only), also)
    wrong = [name for name in failing[0].case.names if any(name in record.kinds for record in failing)]
    layer = wrong[0].partition(".")[0]
    here = [name for name in wrong if name.partition(".")[0] == layer]
    text = f"wrong by more than any rounding explains: {', '.join(here)}"
    if wrong[len(here) :]:
        text += f" (and, perhaps because of that, {', '.join(wrong[len(here) :])})"
    return Diagnosis(layer, text, (_LOOK[layer.rstrip("0123456789")], *only))


def _gives(record: Record, mistake: Mapping[str, Any], judge: StepJudge) -> bool:
    """Whether all that is wrong in an answer is as the mistake makes it."""
    expected, came = judge.expected(record.case, mistake), record.output.gradients or {}
    return all(not compare(came[name], *expected[name])[0].any() for name in record.kinds)


class _StepPort:
    """Stage 1: called here."""

    dead = in_callers_thread = False

    def __init__(self, step: Callable[..., Any]) -> None:
        self.step = step

    def call(self, case: StepCase) -> Output:
        config = asdict(case.network.config)
        parameters = {name: array.copy() for name, array in case.network.parameters.items()}
        try:
            answer = self.step(case.spikes.copy(), case.labels.copy(), parameters, config)
            answer = {name: real_array(name, value) for name, value in answer.items()}
        except Exception as error:
            return Output((Violation("exception", f"{type(error).__name__}: {one_line(error)}"),))
        odd = answer.keys() - set(case.names)
        if odd or not answer:
            return Output((Violation("answer", f"expected any of {', '.join(case.names)}, got {', '.join(odd)}"),))
        shapes = {"logits": (len(case.labels), case.network.config.sizes[-1]), "loss": ()}
        shapes |= case.network.config.shapes()
        for name, array in answer.items():
            if array.shape != shapes[name]:
                return Output((Violation("shape", f"{name} must have shape {shapes[name]}, got {array.shape}"),))
            if not np.isfinite(array).all():
                return Output((Violation("nan", f"{name} is not finite"),))
        return Output(gradients=answer)

    def retried(self, case: StepCase, wrong: Output, right: Any) -> Output:
        return wrong
