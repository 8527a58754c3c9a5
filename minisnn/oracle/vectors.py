"""Golden vectors: the model as numbers, for any language.

A set is a folder with ``README.md``, which says what the fields mean, ``hand.json`` and ``mistakes.json``, which are
written by hand and copied (`minisnn.oracle.golden`), and ``general.json``: drawn cases with their results and bounds,
made here. The expected values come from rational arithmetic (`minisnn.oracle.reference`) rounded once to float64,
never from a solver.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..files import write_text
from . import batteries
from .bounds import gradient_bounds, potential_bound
from .cases import Case
from .golden import SCHEMA, SHIPPED, flags, read_list
from .reference import double, rational, reference_backward, reference_forward

__all__ = ["differences", "generate", "load", "write"]

_COPIED = ("README.md", "hand.json", "mistakes.json")
_FIELDS = {"spikes": "grad_input", "weight": "grad_weight", "bias": "grad_bias", "decay": "grad_decay"}


def _general() -> list[Case]:
    """The drawn cases of the set: both layers, both dtypes, forward and every gradient."""
    cases: list[Case] = []
    for dtype in ("float32", "float64"):
        for neuron, gradients in (
            ("single-spike", ("gated", "straight-through")),
            ("multi-spike", ("through-reset", "detached-reset")),
        ):
            rng = np.random.default_rng([2205, 15286, len(cases)])
            for name, shape, gain in (
                ("small", (2, 6, 3, 2), 1.2),
                ("square", (4, 4, 4, 4), 1.2),
                ("long", (2, 64, 5, 6), 0.5),
            ):
                title, flag = f"{name}-{neuron}-{dtype}", "LongRun" if name == "long" else "Batch"
                case = batteries.random_case(
                    title,
                    neuron,
                    dtype,
                    rng,
                    shape,
                    gain=gain,
                    rate=0.3,
                    decay=(0.7, 0.97),
                    flags=("General", flag),
                )
                cases.append(case)
                if name != "long":
                    cases += [
                        replace(batteries.with_gradient(case, gradient, rng), surrogate_scale=10.0)
                        for gradient in gradients
                    ]
    return cases


def _entry(case: Case) -> dict[str, Any]:
    """A drawn case with its exact results and bounds."""
    forward = reference_forward(case, lift=rational)
    entry: dict[str, Any] = {
        "id": case.id,
        "comment": case.comment,
        "flags": list(case.flags),
        "neuron": case.neuron,
        "dtype": str(case.dtype),
        "compare": "bound",
        "spikes": case.spikes.astype(int),
        "weight": case.weight,
        "bias": case.bias,
        "decay": case.decay,
        "threshold": case.threshold,
    }
    if case.backward:
        backward = reference_backward(forward, case, lift=rational)
        in_double = reference_forward(case)
        bounds = gradient_bounds(reference_backward(in_double, case), in_double, case)
        entry |= {"gradient": case.gradient, "surrogate_scale": case.surrogate_scale}
        entry["grad_spikes"] = case.grad_spikes
        for name, field in _FIELDS.items():
            entry[field] = backward.gradients[name]
            entry[f"{field}_bound"] = _upward(bounds[name])
    else:
        resets = forward.fired if case.neuron == "multi-spike" else None
        terms = (case.spikes, case.weight, case.bias, case.decay)
        bound = potential_bound(*terms, case.dtype, fired=resets, threshold=case.threshold)
        close = abs(double(forward.potential) - case.threshold) <= bound
        if resets is None:
            times = forward.spike_times
            relevant = close & (np.arange(case.shape[1])[None, :, None] <= times[:, None, :])
            entry |= {"spike_times": times, "undecided": relevant.any(axis=1).astype(int)}
        else:
            entry |= {"fired": resets.astype(int), "undecided": close.astype(int)}
            bound = bound + float(np.finfo(case.dtype).eps) * (abs(double(forward.membrane)) + case.threshold)
        entry |= {"membrane": forward.membrane, "membrane_bound": _upward(bound)}
    return {name: _plain(value) for name, value in entry.items()}


def _upward(bound: NDArray[np.float64]) -> NDArray[Any]:
    """Bounds to four digits, rounded up."""
    return np.array([float(f"{1.001 * value:.3e}") for value in bound.flat]).reshape(bound.shape)


def _plain(value: Any) -> Any:
    if not isinstance(value, np.ndarray):
        return value
    return value.astype(np.float64).tolist() if value.dtype.kind in "Of" else value.tolist()


def generate() -> dict[str, bytes]:
    """All files of the set by name, as bytes; the same on every machine."""
    files = {name: (SHIPPED / name).read_bytes() for name in _COPIED}
    entries = [_entry(case) for case in _general()]
    used = sorted({flag for entry in entries for flag in entry["flags"]})
    head = json.dumps({"schema": SCHEMA, "flags": {flag: flags()[flag] for flag in used}}, indent=1)
    cases = ",\n  ".join(json.dumps(entry) for entry in entries)
    files["general.json"] = f'{head[:-2]},\n "cases": [\n  {cases}\n ]\n}}\n'.encode()
    return files


def write(folder: str | Path) -> list[Path]:
    """Write the set to `folder`; returns the files."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, data in generate().items():
        write_text(folder / name, data.decode())
        written.append(folder / name)
    return written


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
        elif path.read_bytes() != data and not (name == "general.json" and _equal_numbers(path, data)):
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
        return len(a) == len(b) and all(_near(x, y) for x, y in zip(a, b))
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
    return [
        case for name in ("hand.json", "general.json") for case in read_list(Path(folder) / name, "cases")
    ]
