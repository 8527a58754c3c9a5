"""Golden vectors: the model as numbers, for any language.

A set is a folder with ``README.md``, which says what the fields mean, ``hand.json`` and ``mistakes.json``, which are
written by hand and copied (`minisnn.oracle.golden`), and two that are made here with results and bounds:
``general.json``, drawn cases of a layer, and ``network.json``, losses and whole training steps. The expected values
come from arithmetic with rational numbers, or with 60 digits (`minisnn.oracle.reference`), rounded once to float64,
never from a solver.
"""

from __future__ import annotations

import itertools
import json
from dataclasses import asdict, replace
from decimal import Decimal, localcontext
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..files import write_text
from . import bounds
from .batteries import random_case, with_gradient
from .cases import GRADIENTS, Case
from .golden import SCHEMA, SHIPPED, flags, read_list
from .reference import double, rational, reference_backward, reference_cross_entropy, reference_forward
from .step import PARTS, backward_rule, entered
from .step_cases import StepCase, StepJudge, layers_of
from .step_check import drawn_steps

_COPIED = ("README.md", "hand.json", "mistakes.json", "steps.json")
_MADE = ("general.json", "network.json")
_LOGITS = {
    "equal logits": [[0.0, 0.0]],
    "two samples, certain: rightly and wrongly": [[40.0, 0.0, -8.5], [40.0, 0.0, -8.5]],
    "exponentials that overflow": [[-800.0, 1000.0, 3.25, 999.5]],
    "one class": [[1.5], [-2.0]],
}
_FIELDS = {"spikes": "grad_input", "weight": "grad_weight", "bias": "grad_bias", "decay": "grad_decay"}


def _general() -> list[Case]:
    """The drawn cases of the set: both layers, both dtypes, forward and every gradient."""
    cases: list[Case] = []
    for dtype, (neuron, gradients) in itertools.product(("float32", "float64"), GRADIENTS.items()):
        rng = np.random.default_rng([2205, 15286, len(cases)])
        for name, shape, gain in (
            ("small", (2, 6, 3, 2), 1.2),
            ("square", (4, 4, 4, 4), 1.2),
            ("long", (2, 64, 5, 6), 0.5),
        ):
            numbers: dict[str, Any] = {"gain": gain, "rate": 0.3, "decay": (0.7, 0.97)}
            case = random_case(f"{name}-{neuron}-{dtype}", shape, neuron, dtype, rng, **numbers)
            cases.append(replace(case, flags=("General", "LongRun" if name == "long" else "Batch")))
            for gradient in gradients if name != "long" else ():
                back = with_gradient(replace(case, flags=cases[-1].flags), gradient, rng)
                cases.append(replace(back, surrogate_scale=10.0))
    return cases


def _entry(case: Case) -> dict[str, Any]:
    """A drawn case with its exact results and bounds."""
    forward = reference_forward(case, lift=rational)
    entry: dict[str, Any] = {"id": case.id, "comment": case.comment, "flags": case.flags}
    entry |= {"dtype": str(case.dtype), "compare": "bound"} | case.arrays()
    entry["spikes"] = case.spikes.astype(int)
    if case.backward:
        backward, in_double = reference_backward(forward, case, lift=rational), reference_forward(case)
        allowed = bounds.gradient_bounds(reference_backward(in_double, case), in_double, case)
        for name, field in _FIELDS.items():
            entry |= {field: backward.gradients[name], f"{field}_bound": _upward(allowed[name])}
        return entry
    resets = forward.fired if case.neuron == "multi-spike" else None
    bound = bounds.potential_bound(case, resets)
    close = abs(double(forward.potential) - case.threshold) <= bound
    if resets is None:
        times = forward.spike_times
        relevant = close & (np.arange(case.shape[1])[None, :, None] <= times[:, None, :])
        entry |= {"spike_times": times, "undecided": relevant.any(axis=1).astype(int)}
    else:
        entry |= {"fired": resets.astype(int), "undecided": close.astype(int)}
        bound = bound + float(np.finfo(case.dtype).eps) * (abs(double(forward.membrane)) + case.threshold)
    return entry | {"membrane": forward.membrane, "membrane_bound": _upward(bound)}


def _decimal(array: Any) -> NDArray[Any]:
    """Floats as exact decimal numbers; decimal numbers as they are."""
    return np.asarray(np.vectorize(Decimal, otypes=[object])(array))


def _softmax(logits: NDArray[Any], labels: NDArray[np.int64]) -> tuple[Any, NDArray[Any]]:
    """Mean loss, and its gradient by the logits, of decimal numbers."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_total = np.vectorize(Decimal.ln, otypes=[object])(np.exp(shifted).sum(axis=1, keepdims=True))
    picked = np.arange(logits.shape[1]) == labels[:, None]
    loss = (log_total - shifted)[picked].sum() / len(labels)
    return loss, (np.exp(shifted - log_total) - picked.astype(int)) / len(labels)


def _losses() -> list[dict[str, Any]]:
    """Cases of the loss by itself."""
    entries = []
    for k, (comment, rows) in enumerate(_LOGITS.items(), start=1):
        logits = np.array(rows)
        labels = np.arange(len(rows)) % logits.shape[1]
        exact = reference_cross_entropy(logits, labels)
        of_loss, of_logits = bounds.cross_entropy_bounds(logits, *exact, "float64", np.zeros(1))
        loss, gradient = _softmax(_decimal(logits), labels)
        entry: dict[str, Any] = {
            "id": f"loss-{k:03}",
            "comment": comment,
            "flags": ["Loss"],
            "dtype": "float64",
        }
        entry |= {"compare": "bound", "logits": logits, "labels": labels}
        entry |= {"loss": loss, "loss_bound": _upward(of_loss)}
        entries.append(entry | {"grad_logits": gradient, "grad_logits_bound": _upward(of_logits)})
    return entries


def _step(case: StepCase) -> dict[str, Any]:
    """The exact numbers of a training step, by name."""
    config, layers = case.network.config, layers_of(case, StepJudge())
    scale = Decimal(config.logit_scale)
    runs = [reference_forward(layer.case, fired=layer.forward.fired, lift=_decimal) for layer in layers]
    potential = runs[-1].potential
    value, reached = potential.sum(axis=1), np.ones(potential.shape, dtype=int)
    if config.readout == "max":
        value, first = potential.max(axis=1), potential.argmax(axis=1)
        reached = (np.arange(len(reached[0]))[:, None] == first[:, None]).astype(int)
    loss, gradient = _softmax(scale * value, case.labels)
    answer = {"logits": scale * value, "loss": loss}
    gradient = (scale * gradient)[:, None] * reached
    for name, layer, run in reversed(list(zip(config.layers, layers, runs))):
        layer_case = entered(layer, gradient, backward_rule(config, name))
        gradients = reference_backward(run, layer_case, lift=_decimal).gradients
        gradient = gradients["spikes"]
        gradients["decay"] = gradients["decay"].sum() if layer.shared else gradients["decay"]
        answer |= {f"{name}.{part}": gradients[part] for part in PARTS}
    return answer


def _step_entry(case: StepCase, number: int) -> dict[str, Any]:
    """A training step with its exact results and bounds."""
    exact, network = _step(case), case.network
    allowed = {name: _upward(bound) for name, (_, bound) in StepJudge().expected(case).items()}
    entry: dict[str, Any] = {"id": f"step-{number:03}", "comment": case.id, "flags": ["Step"]}
    entry |= {"dtype": str(case.dtype), "compare": "bound", "config": asdict(network.config)}
    entry |= {"parameters": network.parameters, "spikes": case.spikes.astype(int), "labels": case.labels}
    for name in ("logits", "loss"):
        entry |= {name: exact.pop(name), f"{name}_bound": allowed.pop(name)}
    return entry | {"gradients": exact, "gradients_bound": allowed}


def _upward(bound: Any) -> NDArray[Any]:
    """Bounds to four digits, rounded up."""
    return np.asarray(np.vectorize(lambda value: float(f"{1.001 * value:.3e}"), otypes=[float])(bound))


def _plain(value: Any) -> Any:
    """What JSON has no form for; exact numbers are rounded to float64."""
    array = np.asarray(value)
    return (array.astype(np.float64) if array.dtype == object else array).tolist()


def generate() -> dict[str, bytes]:
    """All files of the set by name, as bytes; the same on every machine."""
    files = {name: (SHIPPED / name).read_bytes() for name in _COPIED}
    judge = StepJudge()
    batteries = itertools.chain(*(drawn_steps(dtype, 1, 0, judge) for dtype in ("float32", "float64")))
    steps = [case for _, cases in batteries for case in cases][::7]
    with localcontext() as context:
        context.prec = 60
        network = _losses() + [_step_entry(case, k) for k, case in enumerate(steps, start=1)]
    for name, entries in (("general.json", [_entry(case) for case in _general()]), ("network.json", network)):
        used = sorted({flag for entry in entries for flag in entry["flags"]})
        head = json.dumps({"schema": SCHEMA, "flags": {flag: flags()[flag] for flag in used}}, indent=1)
        cases = ",\n  ".join(json.dumps(entry, default=_plain) for entry in entries)
        files[name] = f'{head[:-2]},\n "cases": [\n  {cases}\n ]\n}}\n'.encode()
    return files


def write(folder: str | Path) -> list[Path]:
    """Write the set to `folder`; returns the files."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    files = generate()
    for name, data in files.items():
        write_text(folder / name, data.decode())
    return [folder / name for name in files]


def differences(folder: str | Path = SHIPPED) -> list[str]:
    """What in `folder` is not what this version makes: one line for every file; empty if all is current.

    Generated numbers are compared to 12 digits, since the last bits may differ between machines (the C
    library's ``pow`` and ``log2``); everything else must have the same bytes.
    """
    wrong = []
    for name, data in generate().items():
        path = Path(folder) / name
        if not path.is_file():
            wrong.append(f"{name}: missing")
        elif path.read_bytes() != data and not (name in _MADE and _equal_numbers(path, data)):
            wrong.append(f"{name}: not current")
    return wrong


def _equal_numbers(path: Path, data: bytes) -> bool:
    try:
        return _near(json.loads(path.read_bytes()), json.loads(data))
    except ValueError:
        return False


def _near(a: Any, b: Any) -> bool:
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_near(a[key], b[key]) for key in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(_near, a, b))
    if isinstance(a, float) and isinstance(b, float):
        return abs(a - b) <= 1e-12 * abs(b) + 1e-300
    return type(a) is type(b) and bool(a == b)


def load(folder: str | Path = SHIPPED) -> list[dict[str, Any]]:
    """All cases of a set.

    Raises
    ------
    DataError
        If a file is missing or damaged.
    """
    return [case for name in ("hand.json", *_MADE) for case in read_list(Path(folder) / name, "cases")]
