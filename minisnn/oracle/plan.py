"""Which cases a check tries, and in which order."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from ..checks import checked_count
from ..reading import checked_name
from . import families
from .batteries import drawn, edge, golden, random_case, with_gradient
from .cases import GRADIENTS, Case
from .judge import Judge

Named = Iterator[tuple[str, Iterable[Any]]]  # the cases of a battery or a family, by its name
Batteries = tuple[str, Named]  # those of one direction, "forward" or "backward"

# Of a battery's name: asked twice in a row, and compared with earlier answers to the same case.
REPEATED = ("golden", "edge", "calls")
SURROGATE_SCALES = (10.0, 0.0, 0.3, 1e-3, 12345.678, 2.0**20, 2.5, 100.0)
_DTYPES = {"both": ("float32", "float64"), "float32": ("float32",), "float64": ("float64",)}


def checked_settings(
    judge: Judge, neuron: str, gradient: str | None, dtype: str, examples: int, seed: int
) -> dict[str, Any]:
    """What `check` was asked for, as plain data; without a `gradient` there is no backward pass."""
    neuron = checked_name("neuron", neuron, GRADIENTS)
    choices = GRADIENTS[neuron]
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
        yield "forward", _forward(settings, dtype, judge)
        if settings["gradients"]:
            yield "backward", _backward(settings, dtype, judge)


def made(neuron: str, dtype: str, seed: int, judge: Judge) -> Named:
    """The forward cases of all families."""
    for name, (make, _) in families.FAMILIES.items():
        rng = _stream(seed, 1, dtype)
        yield name, make(functools.partial(random_case, neuron=neuron, dtype=dtype, rng=rng), judge)


def _stream(seed: int, purpose: int, dtype: str) -> np.random.Generator:
    return np.random.default_rng([seed, purpose, np.dtype(dtype).itemsize])


def _forward(settings: dict[str, Any], dtype: str, judge: Judge) -> Named:
    neuron, seed = settings["neuron"], settings["seed"]
    first = golden(neuron, dtype)
    yield "golden", first
    yield "edge", edge(neuron, dtype)
    yield "golden", first[:1]
    yield "drawn", drawn(neuron, dtype, settings["examples"], np.random.default_rng([seed, 0]))
    yield from made(neuron, dtype, seed, judge)


def _backward(settings: dict[str, Any], dtype: str, judge: Judge) -> Named:
    """Cases whose spikes are all decided, with room to spare."""
    neuron, seed, gradients = settings["neuron"], settings["seed"], tuple(settings["gradients"])
    yield "golden", [case for case in golden(neuron, dtype, gradients) if judge.decided(case)]
    yield "edge", _edge_gradients(neuron, dtype, gradients, judge.bound, judge.convention)
    rng = _stream(seed, 2, dtype)
    small = drawn(neuron, dtype, settings["examples"], np.random.default_rng([seed, 3]))
    for name, cases in (("drawn", small), *made(neuron, dtype, seed, judge)):
        if name != "sharp":  # where no spike is decided with room to spare
            yield name, _gradients(name, cases, gradients, judge, rng)


@functools.lru_cache(16)
def _edge_gradients(
    neuron: str, dtype: str, gradients: tuple[str, ...], bound: str, convention: tuple[str, ...]
) -> tuple[Case, ...]:
    """Backward cases made of the golden and edge cases, the same in every check."""
    judge, rng = Judge(bound, convention), np.random.default_rng(3)
    return tuple(
        with_gradient(case, gradient, rng)
        for case in golden(neuron, dtype) + edge(neuron, dtype)
        if judge.decided(case)
        for gradient in gradients
    )


def _gradients(
    name: str, cases: Iterable[Case], gradients: tuple[str, ...], judge: Judge, rng: np.random.Generator
) -> Iterator[Case]:
    """Backward cases of a family, by one of the gradients each; of a forward case that comes again, the same again."""
    made: dict[Case, Case] = {}
    for case in cases:
        if case in made:
            yield made[case]
            continue
        if not judge.decided(case):
            continue
        rule = gradients[(len(made) + case.dtype.itemsize // 4) % len(gradients)]
        back = with_gradient(case, rule, rng)
        if name == "late":  # all of one sign, so that the double running sum grows as large as it can
            back = replace(back, grad_spikes=np.abs(rng.normal(size=case.shape)).astype(case.dtype))
        if name == "calls":  # where the layer is called with one argument different, all others stay
            alike = next(reversed(made.values())) if made and " with another " in case.id else back
            back = replace(back, grad_spikes=alike.grad_spikes, gradient=alike.gradient, surrogate_scale=10.0)
            yield case  # a forward pass: the next call is the backward pass of another
        made[case] = back
        if name == "scales":
            yield from _scaled_gradients(back, rng)
        else:
            yield back
        if name == "calls":
            yield from _other_gradients(back, gradients)


def _scaled_gradients(case: Case, rng: np.random.Generator) -> Iterator[Case]:
    """A backward case with its gradient times a power of two, or one for each neuron, and another surrogate scale."""
    scale = SURROGATE_SCALES[rng.integers(len(SURROGATE_SCALES))]
    factor = np.exp2(rng.choice(families.POWERS, case.shape[2] if "mixed" in case.id else 1))
    grad = (np.asarray(case.grad_spikes) * factor).astype(case.dtype)
    case = replace(case, grad_spikes=grad, surrogate_scale=float(np.float32(scale)))
    if case.id.startswith("scale-"):  # all scaled alike, and the surrogate with them
        yield replace(case, surrogate_scale=float(np.float32(scale / case.threshold)))
    yield case


def _other_gradients(case: Case, gradients: tuple[str, ...]) -> Iterator[Case]:
    """Calls with one argument of the backward pass alone different, each followed by the first again."""
    grads = [{"grad_spikes": other} for other in families.others(case.grad_spikes)]
    for other in [{"surrogate_scale": 3.0}, *grads, *({"gradient": rule} for rule in gradients)]:
        changed: Any = other
        yield replace(case, **changed, id=f"{case.id} with another {next(iter(other))}")
        yield case
