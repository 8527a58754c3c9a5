"""A case: what is given to a port, in the dtype under test, and how to make a failing one smaller."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[Any]
# Rules by which a gradient goes on, by the layer; a conventional port has one of the two.
GRADIENTS = {
    "single-spike": ("gated", "straight-through"),
    "multi-spike": ("through-reset", "detached-reset"),
}
GRADIENT_NAMES = ("spikes", "weight", "bias", "decay")  # what a layer is given, too
_FORWARD = ("neuron", *GRADIENT_NAMES, "threshold")
_BACKWARD = ("grad_spikes", "surrogate_scale", "gradient")
_TYPES: dict[str, Any] = {"neuron": str, "gradient": str, "threshold": float, "surrogate_scale": float}


@dataclass(frozen=True, eq=False)
class Case:
    """Inputs of one call; the arrays are all in the dtype under test."""

    id: str
    # "single-spike" or "multi-spike"; "readout", which never fires (with scale 0, "detached-reset").
    neuron: str
    spikes: Floats  # (B, T, n_in)
    weight: Floats  # (n_in, N)
    bias: Floats  # (N,)
    decay: Floats  # (N,)
    threshold: float = 1.0
    comment: str = ""  # what it is about
    flags: tuple[str, ...] = ()  # what it probes (`minisnn.oracle.golden.flags`)
    # Only for a backward case: the gradient by the spikes (B, T, N), and by which of `GRADIENTS` it goes on.
    grad_spikes: Floats | None = None
    surrogate_scale: float = 10.0
    gradient: str = ""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Dtype under test."""
        return self.weight.dtype

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of the output, (B, T, N)."""
        return (self.spikes.shape[0], self.spikes.shape[1], self.weight.shape[1])

    @property
    def backward(self) -> bool:
        """Whether this is a case for the backward pass."""
        return self.grad_spikes is not None

    @property
    def kind(self) -> str:
        """Which function is asked."""
        return "backward" if self.backward else "forward"

    def request(self) -> dict[str, Any]:
        """The arguments of that function by name, in their order."""
        parts = {name: getattr(self, name) for name in GRADIENT_NAMES}
        parts["threshold"] = np.float64(self.threshold)
        if self.backward:
            parts |= {"surrogate_scale": np.float64(self.surrogate_scale), "gradient": self.gradient}
            parts["grad_spikes"] = self.grad_spikes
        return parts

    def shapes(self) -> dict[str, list[tuple[int, ...]]]:
        """What an answer may hold, and in which shapes."""
        if self.backward:
            return {name: [getattr(self, name).shape] for name in GRADIENT_NAMES}
        times = [(self.shape[0], self.shape[2])] if self.neuron == "single-spike" else []
        return {"spikes": [self.shape, *times], "membrane": [self.shape]}

    @property
    def size(self) -> int:
        """How much there is to look at: the measure by which a case is made smaller."""
        batch, n_steps, n_out = self.shape
        return batch * n_steps * (n_out + int(self.weight.shape[0]))

    def arrays(self) -> dict[str, Floats]:
        """Named arrays, for an .npz file."""
        names = _FORWARD + (_BACKWARD if self.backward else ())
        return {name: np.asarray(getattr(self, name)) for name in names}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Any], dtype: Any = None, **about: Any) -> Case:
        """The case of named arrays or lists, in `dtype` if one is given; `about` is what else there is to say."""
        names = _FORWARD + (_BACKWARD if "grad_spikes" in arrays else ())
        values = {name: _TYPES.get(name, lambda v: np.asarray(v, dtype))(arrays[name]) for name in names}
        return cls(**({"id": "saved"} | about | values))

    def smaller(self, refused: dict[Any, int]) -> Iterator[Case]:
        """Candidates that are simpler, the boldest first; `refused` remembers those that did not fail."""
        yield from _shorter(self, refused)
        yield from _simpler(self)

    def text(self) -> str:
        """The inputs as lines that can be worked by hand."""
        lines = [f"batch, steps, inputs, neurons = {(*self.spikes.shape, self.shape[2])}, {self.dtype}"]
        lines += [f"{name} = {getattr(self, name).tolist()}" for name in GRADIENT_NAMES[1:]]
        lines.append(f"threshold = {self.threshold}")
        if self.grad_spikes is not None:
            lines.append(f"surrogate_scale = {self.surrogate_scale}, gradient = {self.gradient!r}")
        for b in range(min(len(self.spikes), 3)):
            lines.append(f"spikes[{b}] = {self.spikes[b].astype(int).tolist()}")
            if self.grad_spikes is not None:
                lines.append(f"grad_spikes[{b}] = {self.grad_spikes[b].tolist()}")
        if len(self.spikes) > 3:
            lines.append(f"... and {len(self.spikes) - 3} samples more")
        return cut(lines)


def cut(lines: Iterable[str]) -> str:
    """Lines as text, long ones cut off."""
    return "\n".join(line if len(line) <= 96 else f"{line[:92]} ..." for line in lines)


def from_entry(entry: Mapping[str, Any], dtype: Any) -> Case:
    """The case of an entry of the golden vectors (lists of numbers) in `dtype`."""
    about = {"id": entry["id"], "comment": entry["comment"], "flags": tuple(entry["flags"])}
    return Case.from_arrays(entry, dtype, **about)


# ---- smaller ----------------------------------------------------------------------------------------


_AXES = {
    "spikes": ("batch", "steps", "inputs"),
    "weight": ("inputs", "neurons"),
    "bias": ("neurons",),
    "decay": ("neurons",),
    "grad_spikes": ("batch", "steps", "neurons"),
}


def _take(case: Case, axis: str, kept: Any) -> Case:
    """The part of a case at the indices `kept` along an axis."""
    arrays = {name: getattr(case, name) for name, axes in _AXES.items() if axis in axes}
    shorter = {n: a.take(kept, _AXES[n].index(axis)) for n, a in arrays.items() if a is not None}
    return replace(case, **shorter)


def _shorter(case: Case, refused: dict[Any, int]) -> Iterator[Case]:
    """Candidates with less along an axis, by bisection; none like those that were asked for and did not fail."""
    batch, n_steps, n_out = case.shape
    n_in = case.weight.shape[0]
    for axis, size in (("batch", batch), ("neurons", n_out), ("steps", n_steps), ("inputs", n_in)):
        every = np.arange(size)
        for kept in ("first", "last"):
            while (middle := (refused.get((axis, kept), 0) + size) // 2) > refused.get((axis, kept), 0):
                yield _take(case, axis, every[:middle] if kept == "first" else every[size - middle :])
                refused[axis, kept] = middle
        for k in every if 1 < size <= 24 else ():
            if refused.setdefault((axis, size, k), 0) == 0:
                refused[axis, size, k] = 1
                yield _take(case, axis, np.delete(every, k))


def _simpler(case: Case) -> Iterator[Case]:
    """Candidates with simpler numbers, the boldest first."""
    if case.bias.any():
        yield replace(case, bias=np.zeros_like(case.bias))
    for step in (1.0, 0.25, 1 / 64):
        for name in ("weight", "bias", "grad_spikes"):
            value = getattr(case, name)
            if value is not None:
                rounded = (np.round(value / step) * step).astype(value.dtype)
                if not np.array_equal(rounded, value):
                    changed: Any = {name: rounded}
                    yield replace(case, **changed)
    if not np.isin(case.decay, (0.0, 0.5, 1.0)).all():
        for decay in (0.5, 0.0, 1.0):
            yield replace(case, decay=np.full_like(case.decay, decay))
    for spikes in without_one(case.spikes, 48):
        yield replace(case, spikes=spikes)
    if case.grad_spikes is not None:
        for grad in without_one(case.grad_spikes, 32):
            yield replace(case, grad_spikes=grad)


def without_one(array: Floats, largest: int) -> Iterator[Floats]:
    """Copies with one of the numbers 0, if there are `largest` numbers at most."""
    for k in np.flatnonzero(array).tolist() if array.size <= largest else ():
        changed = array.copy()
        changed.flat[k] = 0
        yield changed


def reduce_case(case: Case, fails: Callable[[Case], bool], budget: Callable[[], bool]) -> Case:
    """The smallest case found that still fails: one simplification after another, as long as `budget()` is true."""
    first, progress, refused = case, True, dict[Any, int]()
    while progress:
        progress = False
        for candidate in case.smaller(refused):
            if not budget():
                break
            if fails(candidate):
                case, progress = candidate, True
                break
    return case if case is first else replace(case, id=f"{first.id}, reduced")
