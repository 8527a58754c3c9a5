"""Which cases a check tries, and in which order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from ..checks import checked_count
from ..reading import checked_name
from . import families
from .cases import Case
from .judge import Judge

__all__ = ["Batteries", "checked_settings", "plan"]

# The batteries of one direction, "forward" or "backward": each a name and its cases.
Batteries = tuple[str, Iterable[tuple[str, Iterable[Case]]]]

_GRADIENTS = {
    "single-spike": ("gated", "straight-through"),
    "multi-spike": ("through-reset", "detached-reset"),
}
_DTYPES = {"both": ("float32", "float64"), "float32": ("float32",), "float64": ("float64",)}


def checked_settings(
    judge: Judge, *, neuron: str, gradient: str | None, dtype: str, examples: int, seed: int
) -> dict[str, Any]:
    """What `check` was asked for, as plain data; without a `gradient` there is no backward pass."""
    neuron = checked_name("neuron", neuron, _GRADIENTS)
    choices = _GRADIENTS[neuron]
    gradients = [] if gradient is None else [checked_name("gradient", gradient, ("both", *choices))]
    if gradients == ["both"]:  # a port has one of the two resets
        gradients = list(choices if neuron == "single-spike" else choices[:1])
    return {
        "neuron": neuron,
        "dtypes": list(_DTYPES[checked_name("dtype", dtype, _DTYPES)]),
        "gradients": gradients,
        "examples": checked_count("examples", examples, low=1),
        "seed": checked_count("seed", seed),
        "bound": judge.bound,
        "convention": list(judge.convention),
    }


def plan(settings: dict[str, Any], judge: Judge) -> Iterator[Batteries]:
    """All that a check with these settings tries."""
    for dtype in settings["dtypes"]:
        asked = (settings["neuron"], dtype, settings["examples"], settings["seed"], judge)
        yield "forward", families.forward(*asked)
        if settings["gradients"]:
            yield "backward", families.backward(*asked, tuple(settings["gradients"]))
