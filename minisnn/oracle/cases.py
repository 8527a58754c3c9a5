"""A case: what is given to a port, in the dtype under test, and how to make a failing one smaller."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Case", "from_entry", "reduce_case"]

Floats = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Case:
    """Inputs of one call.

    Parameters
    ----------
    id : str
        Name of the case.
    neuron : {"single-spike", "multi-spike"}
        Layer it is for.
    spikes, weight, bias, decay : (B, T, n_in), (n_in, N), (N,), (N,)
        All in the dtype under test.
    threshold : float
        Firing threshold.
    comment : str
        What it is about.
    flags : tuple of str
        What it probes (`minisnn.oracle.golden.flags`).
    grad_spikes : (B, T, N), optional
        Only for a backward case: gradient of the loss by the spikes.
    surrogate_scale : float
        Only for a backward case.
    gradient : str
        Only for a backward case: ``"gated"`` or ``"straight-through"``; ``"through-reset"`` or ``"detached-reset"``
        for the conventional layer.
    """

    id: str
    neuron: str
    spikes: Floats
    weight: Floats
    bias: Floats
    decay: Floats
    threshold: float = 1.0
    comment: str = ""
    flags: tuple[str, ...] = field(default=())
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
    def size(self) -> int:
        """How much there is to look at: the measure by which a case is made smaller."""
        batch, n_steps, n_out = self.shape
        return batch * n_steps * (n_out + int(self.weight.shape[0]))

    def arrays(self) -> dict[str, Floats]:
        """Named arrays, for an .npz file."""
        named: dict[str, Floats] = {
            "neuron": np.array(self.neuron),
            "spikes": self.spikes,
            "weight": self.weight,
            "bias": self.bias,
            "decay": self.decay,
            "threshold": np.array(self.threshold),
        }
        if self.grad_spikes is not None:
            named |= {
                "grad_spikes": self.grad_spikes,
                "surrogate_scale": np.array(self.surrogate_scale),
                "gradient": np.array(self.gradient),
            }
        return named

    @classmethod
    def from_arrays(cls, arrays: dict[str, Floats]) -> Case:
        """The case of `arrays`."""
        more: dict[str, Any] = {}
        if "grad_spikes" in arrays:
            more = {
                "grad_spikes": arrays["grad_spikes"],
                "surrogate_scale": float(arrays["surrogate_scale"]),
                "gradient": str(arrays["gradient"]),
            }
        return cls(
            "saved",
            str(arrays["neuron"]),
            arrays["spikes"],
            arrays["weight"],
            arrays["bias"],
            arrays["decay"],
            threshold=float(arrays["threshold"]),
            **more,
        )

    def text(self) -> str:
        """The inputs as lines that can be worked by hand."""
        lines = [f"batch, steps, inputs, neurons = {(*self.spikes.shape, self.shape[2])}, {self.dtype}"]
        for name in ("weight", "bias", "decay"):
            lines.append(f"{name} = {getattr(self, name).tolist()}")
        lines.append(f"threshold = {self.threshold}")
        if self.grad_spikes is not None:
            lines.append(f"surrogate_scale = {self.surrogate_scale}, gradient = {self.gradient!r}")
        for b in range(self.spikes.shape[0]):
            lines.append(f"spikes[{b}] = {self.spikes[b].astype(int).tolist()}")
            if self.grad_spikes is not None:
                lines.append(f"grad_spikes[{b}] = {self.grad_spikes[b].tolist()}")
        return "\n".join(line if len(line) <= 200 else f"{line[:190]} ..." for line in lines)


def from_entry(entry: dict[str, Any], dtype: Any) -> Case:
    """The case of an entry of the golden vectors (lists of numbers) in `dtype`."""
    values: dict[str, Floats] = {
        name: np.array(entry[name], dtype=dtype)
        for name in ("spikes", "weight", "bias", "decay", "grad_spikes")
        if name in entry
    }
    return Case(
        entry["id"],
        entry["neuron"],
        **values,
        threshold=float(entry["threshold"]),
        comment=entry["comment"],
        flags=tuple(entry["flags"]),
        surrogate_scale=float(entry.get("surrogate_scale", 10.0)),
        gradient=entry.get("gradient", ""),
    )


# ---- smaller ----------------------------------------------------------------------------------------


def _take(
    case: Case, *, batch: Any = None, steps: Any = None, inputs: Any = None, neurons: Any = None
) -> Case:
    """The part of a case at those indices along its axes."""
    spikes, weight, bias, decay, grad = case.spikes, case.weight, case.bias, case.decay, case.grad_spikes
    if batch is not None:
        spikes, grad = spikes[batch], None if grad is None else grad[batch]
    if steps is not None:
        spikes, grad = spikes[:, steps], None if grad is None else grad[:, steps]
    if inputs is not None:
        spikes, weight = spikes[:, :, inputs], weight[inputs]
    if neurons is not None:
        weight, bias, decay = weight[:, neurons], bias[neurons], decay[neurons]
        grad = None if grad is None else grad[:, :, neurons]
    return replace(case, spikes=spikes, weight=weight, bias=bias, decay=decay, grad_spikes=grad)


def _smaller(case: Case) -> Iterator[Case]:
    """Candidates that are simpler than `case`, the boldest first."""
    batch, n_steps, n_out = case.shape
    n_in = case.weight.shape[0]
    for axis, size in (("batch", batch), ("neurons", n_out), ("steps", n_steps), ("inputs", n_in)):
        if size > 3:
            yield _take(case, **{axis: np.arange(size // 2)})
            yield _take(case, **{axis: np.arange(size // 2, size)})
        if 1 < size <= 24:
            for k in reversed(range(size)):
                yield _take(case, **{axis: np.delete(np.arange(size), k)})
        elif size > 24:
            yield _take(case, **{axis: np.arange(size - size // 8)})
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
    if case.spikes.size <= 48:
        for k in np.flatnonzero(case.spikes).tolist():
            spikes = case.spikes.copy()
            spikes.flat[k] = 0
            yield replace(case, spikes=spikes)
    if case.grad_spikes is not None and case.grad_spikes.size <= 32:
        for k in np.flatnonzero(case.grad_spikes).tolist():
            grad = case.grad_spikes.copy()
            grad.flat[k] = 0
            yield replace(case, grad_spikes=grad)


def reduce_case(case: Case, fails: Callable[[Case], bool], budget: Callable[[], bool]) -> Case:
    """The smallest case found that still fails: one simplification after another, as long as `budget()` is true."""
    first, progress = case, True
    while progress:
        progress = False
        for candidate in _smaller(case):
            if not budget():
                break
            if fails(candidate):
                case, progress = candidate, True
                break
    return case if case is first else replace(case, id=f"{first.id}, reduced")
