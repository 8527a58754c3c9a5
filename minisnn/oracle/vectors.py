"""Golden vectors: the model as numbers, for any language.

A set is a folder::

    manifest.json     schema version, and for every file its sha256 and size
    README.md         this schema
    forward.json      tiny single-spike cases worked by hand         (minisnn.oracle.hand_cases)
    conventional.json tiny cases of the conventional layer, by hand
    gradients.json    tiny backward cases, both layers, by hand      (minisnn.oracle.hand_gradients)
    readout.json      tiny readout cases, by hand
    general.json      drawn cases: inputs, exact results, bounds; the larger arrays stand beside it as
    general/*.npy     little-endian float32 / float64 / int32 / uint8 arrays, C order, .npy format version 1.0

Numbers in JSON are written so that reading them as float64 gives the bits that were meant. The expected values of
`general` come from exact arithmetic (`minisnn.oracle.exact`) rounded once to float64, never from a solver.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from ..files import write_atomically, write_text
from . import batteries
from .bounds import gradient_bounds, potential_bound
from .cases import Case
from .exact import exact_backward, exact_forward, nearest
from .hand_cases import FLAGS, HAND_CASES
from .hand_gradients import HAND_GRADIENTS, HAND_READOUTS

__all__ = ["SCHEMA", "SHIPPED", "differences", "generate", "load", "write"]

SCHEMA = "1.0"
SHIPPED = Path(__file__).with_name("golden")
_SMALL = 64  # arrays of at most so many numbers stand in the JSON itself

_README = """# Golden vectors of the single-spike layer

Schema {schema}. Every .json file but the manifest is `{{"schema", "flags", "cases": [...]}}`; `flags` says what
each flag of a case probes and what is usually wrong when it fails. Shapes are (batch, time, neuron), C order; a
number means the exact value of the float64 it parses to (which is a float32 where `dtype` is float32).

The layer: `current = spikes @ weight + bias`, `V[t] = decay * V[t-1] + current[t]` from `V[-1] = 0`, spike in the
first step with `V > threshold`, strictly; no reset. `neuron` = `multi-spike` is the conventional layer: in every
step with `U > threshold` a spike, and `V = U - threshold`.

| field | shape | meaning |
|---|---|---|
| `id`, `comment`, `flags` | | name, what happens, what it probes |
| `neuron` | | `single-spike` or `multi-spike` |
| `spikes` | (B, T, n_in) | input, 0 or 1 |
| `weight`, `bias`, `decay` | (n_in, N), (N), (N) | parameters |
| `threshold` | number | firing threshold |
| `spike_times` | (B, N) | step of the spike, T for never |
| `fired` | (B, T, N) | raster of the conventional layer |
| `membrane` | (B, T, N) | V; in the conventional layer after the reset |
| `membrane_bound` | (B, T, N) | largest error of a correct implementation in `dtype` |
| `undecided` | (B, N) or (B, T, N) | 1 where two correct implementations may differ |
| `gradient`, `surrogate_scale` | name, number | backward: which g', and s of h'(u) = 1 / (1 + s abs(u))^2 |
| `grad_spikes` | (B, T, N) | gradient of the loss by the output spikes |
| `grad_input`, `grad_weight`, `grad_bias`, `grad_decay` | as the variable | expected; `*_bound` beside them |
| `readout`, `logit_scale` | name, number | leaky integrator without threshold; max or sum over time |
| `logits`, `peak_times` | (B, N) | result; step of the first maximum |
| `grad_logits` | (B, N) | gradient of the loss by the logits; `grad_weight` and `grad_bias` follow |
| `compare` | | how to compare, see below |

`exact`: bit for bit. `exact-powers`: bit for bit if powers of the decay are formed by multiplying, else within
rounding. `bound`: within the bound beside the field.

A field whose value is `{{"file": name}}` stands in that .npy file: magic `\\x93NUMPY`, version 1.0, a header that
names dtype and shape, then the numbers, little-endian.
"""


def _general() -> list[Case]:
    """The drawn cases of the set: both layers, both dtypes, forward and every gradient."""
    cases: list[Case] = []
    for dtype in ("float32", "float64"):
        for neuron, gradients in (
            ("single-spike", ("gated", "straight-through")),
            ("multi-spike", ("through-reset", "detached-reset")),
        ):
            rng = np.random.default_rng([2205, 15286, len(cases)])
            shapes = (
                ("small", (2, 6, 3, 2), 1.2),
                ("square", (4, 4, 4, 4), 1.2),
                ("long", (2, 200, 5, 6), 0.5),
            )
            for name, shape, gain in shapes:
                case = batteries.random_case(
                    f"{name}-{neuron}-{dtype}",
                    neuron,
                    dtype,
                    rng,
                    shape,
                    gain=gain,
                    rate=0.3,
                    decay=(0.7, 0.97),
                    flags=("General", "LongRun") if name == "long" else ("General", "Batch"),
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
    conventional = case.neuron == "multi-spike"
    terms = (case.spikes, case.weight, case.bias, case.decay)
    forward = exact_forward(*terms, case.threshold, neuron=case.neuron)
    entry: dict[str, Any] = {
        "id": case.id,
        "comment": case.comment,
        "flags": list(case.flags),
        "neuron": case.neuron,
        "dtype": str(case.dtype),
        "compare": "bound",
        "spikes": case.spikes.astype(np.uint8),
        "weight": case.weight,
        "bias": case.bias,
        "decay": case.decay,
        "threshold": case.threshold,
    }
    if case.grad_spikes is None:
        resets = forward.fired if conventional else None
        bound = potential_bound(*terms, case.dtype, fired=resets, threshold=case.threshold)
        distance = np.abs(nearest(forward.potential)[0] - case.threshold)
        close = distance <= bound
        if conventional:
            bound = bound + float(np.finfo(case.dtype).eps) * (
                np.abs(nearest(forward.membrane)[0]) + case.threshold
            )
            entry["fired"] = forward.fired.astype(np.uint8)
            entry["undecided"] = close.astype(np.uint8)
        else:
            steps = np.arange(case.shape[1])[None, :, None]
            entry["spike_times"] = forward.spike_times
            relevant = close & (steps <= forward.spike_times[:, None, :])
            entry["undecided"] = relevant.any(axis=1).astype(np.uint8)
        entry |= {"membrane": nearest(forward.membrane)[0], "membrane_bound": bound}
        return entry
    choice: dict[str, Any] = {"neuron": case.neuron, "detach_reset": case.gradient == "detached-reset"}
    rest = (case.threshold, case.surrogate_scale, case.gradient, case.grad_spikes)
    backward = exact_backward(forward, case.spikes, case.weight, case.decay, *rest, **choice)
    bounds = gradient_bounds(backward, forward, *terms, *rest, case.dtype, **choice)
    entry |= {
        "gradient": case.gradient,
        "surrogate_scale": case.surrogate_scale,
        "grad_spikes": case.grad_spikes,
    }
    for name, field in (("spikes", "input"), ("weight", "weight"), ("bias", "bias"), ("decay", "decay")):
        entry[f"grad_{field}"] = nearest(backward.gradients[name])[0]
        entry[f"grad_{field}_bound"] = bounds[name]
    return entry


def _npy(array: NDArray[Any]) -> bytes:
    buffer = io.BytesIO()
    little = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    np.lib.format.write_array(buffer, little, version=(1, 0), allow_pickle=False)
    return buffer.getvalue()


def _document(cases: list[dict[str, Any]]) -> bytes:
    used = sorted({flag for case in cases for flag in case["flags"]})
    head = {"schema": SCHEMA, "flags": {flag: FLAGS[flag] for flag in used}}
    lines = [json.dumps(case) for case in cases]
    text = json.dumps(head, indent=1)[:-2] + ',\n "cases": [\n  ' + ",\n  ".join(lines) + "\n ]\n}\n"
    return text.encode()


def generate() -> dict[str, bytes]:
    """All files of the set by name, as bytes; the same on every machine."""
    files = {
        "README.md": _README.format(schema=SCHEMA).encode(),
        "forward.json": _document([case for case in HAND_CASES if case["neuron"] == "single-spike"]),
        "conventional.json": _document([case for case in HAND_CASES if case["neuron"] == "multi-spike"]),
        "gradients.json": _document(HAND_GRADIENTS),
        "readout.json": _document(HAND_READOUTS),
    }
    general = []
    for case in _general():
        entry = _entry(case)
        for name, value in entry.items():
            if not isinstance(value, np.ndarray):
                continue
            if value.size <= _SMALL:
                entry[name] = value.tolist()
            else:
                file = f"general/{case.id.replace('/', '-')}-{name}.npy"
                files[file] = _npy(value)
                entry[name] = {"file": file}
        general.append(entry)
    files["general.json"] = _document(general)
    listed = {
        name: {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
        for name, data in sorted(files.items())
    }
    files["manifest.json"] = (json.dumps({"schema": SCHEMA, "files": listed}, indent=1) + "\n").encode()
    return files


def write(folder: str | Path) -> list[Path]:
    """Write the set to `folder`; returns the files."""
    folder = Path(folder)
    written = []
    for name, data in generate().items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        _write_bytes(path, data)
        written.append(path)
    return written


def _write_bytes(path: Path, data: bytes) -> None:
    if path.suffix == ".npy":
        write_atomically(path, lambda file: file.write(data))
    else:
        write_text(path, data.decode())


def differences(folder: str | Path = SHIPPED) -> list[str]:
    """What in `folder` is not what this version makes: one line for every file; empty if all is current.

    Expected values are compared to 12 digits, since the last bits of a bound may differ between machines
    (the C library's ``pow`` and ``log2``); inputs and everything worked by hand must have the same bytes.
    """
    folder, wrong = Path(folder), []
    files = generate()
    manifest = files.pop("manifest.json")
    for name, data in files.items():
        path = folder / name
        if not path.is_file():
            wrong.append(f"{name}: missing")
        elif path.read_bytes() != data and not _equal_numbers(path, data):
            wrong.append(f"{name}: not current")
    if not (folder / "manifest.json").is_file():
        return [*wrong, "manifest.json: missing"]
    try:
        listed = json.loads((folder / "manifest.json").read_text())["files"]
    except (ValueError, KeyError, TypeError):
        return [*wrong, "manifest.json: not a manifest"]
    expected = json.loads(manifest)["files"]
    for name in sorted(set(listed) ^ set(expected)):
        wrong.append(f"{name}: {'not part of the set' if name in listed else 'not in the manifest'}")
    for name in sorted(set(listed) & set(expected)):
        path = folder / name
        if path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() != listed[name]["sha256"]:
            wrong.append(f"{name}: damaged (its sha256 is not that of the manifest)")
    return wrong


def _equal_numbers(path: Path, data: bytes) -> bool:
    """Whether a file of generated numbers holds the same ones up to the last bits."""
    if not path.name.endswith(".npy") and path.name != "general.json":
        return False
    try:
        if path.suffix == ".npy":
            theirs = np.load(path, allow_pickle=False)
            ours = np.load(io.BytesIO(data), allow_pickle=False)
            return theirs.dtype == ours.dtype and theirs.shape == ours.shape and _near(theirs, ours)
        return _near_tree(json.loads(path.read_text()), json.loads(data))
    except (ValueError, OSError):
        return False


def _near(a: Any, b: Any) -> bool:
    return bool(np.allclose(a, b, rtol=1e-12, atol=1e-300))


def _near_tree(a: Any, b: Any) -> bool:
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_near_tree(a[key], b[key]) for key in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(_near_tree(x, y) for x, y in zip(a, b))
    if isinstance(a, float) and isinstance(b, float):
        return _near(a, b)
    return type(a) is type(b) and a == b


def load(folder: str | Path = SHIPPED) -> list[dict[str, Any]]:
    """All cases of a set, arrays read from their files; every file checked against the manifest.

    Raises
    ------
    DataError
        If a file is missing or damaged.
    """
    folder = Path(folder)
    manifest = json.loads(_checked(folder, "manifest.json", None))
    names = [name for name in manifest["files"] if name.endswith(".json")]
    cases: list[dict[str, Any]] = []
    read: Callable[[str], bytes] = lambda name: _checked(folder, name, manifest["files"].get(name))  # noqa: E731
    for name in names:
        for case in json.loads(read(name))["cases"]:
            for field, value in case.items():
                if isinstance(value, dict) and "file" in value:
                    case[field] = np.load(io.BytesIO(read(value["file"])), allow_pickle=False)
            cases.append(case)
    return cases


def _checked(folder: Path, name: str, listed: dict[str, Any] | None) -> bytes:
    path = folder / name
    if not path.is_file():
        raise DataError(f"{path} is missing: write the set anew with minisnn vectors DIR")
    data = path.read_bytes()
    if name != "manifest.json" and (listed is None or hashlib.sha256(data).hexdigest() != listed["sha256"]):
        raise DataError(f"{path} is damaged: its sha256 is not that of the manifest")
    return data
