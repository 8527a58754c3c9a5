"""What a port is tried on: golden vectors, edge cases, drawn cases, long and wide ones.

Random floats practically never touch the threshold, so the drawn cases come in two kinds: *exact* ones, quarters
with decays 0 and 1, where ties happen and the bound is zero; and *general* ones, whose sums round.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from .cases import Case, from_entry
from .golden import hand_entries
from .judge import Judge

__all__ = ["FIXED", "backward", "drawn", "forward", "golden", "random_case", "with_gradient"]

# Batteries that are the same in every check; where one of them fails, they say enough.
FIXED = ("golden", "edge", "golden gradient", "edge gradient")


def forward(neuron: str, dtype: str, examples: int, seed: int) -> Iterator[tuple[str, Iterable[Case]]]:
    """Batteries of a forward pass, by name."""
    first = golden(neuron, dtype)
    yield "golden", first
    yield "edge", edge(neuron, dtype)
    yield "golden", [replace(first[0], id=f"{first[0].id} (again)")]
    yield "drawn", drawn(neuron, dtype, examples, np.random.default_rng([seed, 0]))
    yield "large", large(neuron, dtype, seed)


def backward(
    neuron: str, dtype: str, gradients: tuple[str, ...], examples: int, seed: int, judge: Judge
) -> Iterator[tuple[str, Iterable[Case]]]:
    """Batteries of a backward pass: cases whose spikes are all decided, with room to spare."""
    rng = np.random.default_rng([seed, 2])
    yield "golden gradient", golden(neuron, dtype, gradients)
    yield "edge gradient", _edge_gradients(neuron, dtype, gradients, judge.bound, judge.convention)
    yield (
        "drawn gradient",
        (
            with_gradient(case, gradients[rng.integers(len(gradients))], rng)
            for case in drawn(neuron, dtype, examples, np.random.default_rng([seed, 3]))
            if judge.decided(case)
        ),
    )
    yield (
        "large gradient",
        (
            with_gradient(case, gradient, rng)
            for case in large(neuron, dtype, seed)[1:]
            if case.shape[1] <= 400 and judge.decided(case, 2.0)
            for gradient in gradients
        ),
    )


@functools.cache
def golden(neuron: str, dtype: str, gradients: tuple[str, ...] = ("",)) -> tuple[Case, ...]:
    """The tiny golden vectors of that layer, forward or by some gradients; square and unsymmetric first."""
    entries = [e for e in hand_entries() if e.get("neuron") == neuron and e.get("gradient", "") in gradients]
    cases = [from_entry(entry, dtype) for entry in entries]
    return tuple(sorted(cases, key=lambda case: "Unsymmetric" not in case.flags))


def random_case(
    name: str,
    neuron: str,
    dtype: Any,
    rng: np.random.Generator,
    shape: tuple[int, int, int, int],
    *,
    decay: float | tuple[float, float] = (0.3, 0.98),
    rate: float = 0.4,
    gain: float = 0.8,
    bias: float = 0.1,
    threshold: float = 1.0,
    flags: tuple[str, ...] = ("General",),
) -> Case:
    """A case drawn from `rng`: (batch, steps, inputs, neurons), weights scaled so that about half the neurons fire."""
    batch, n_steps, n_in, n_out = shape
    dtype = np.dtype(dtype)
    decays = np.full(n_out, decay) if isinstance(decay, float) else rng.uniform(*decay, n_out)
    return Case(
        name,
        neuron,
        (rng.random((batch, n_steps, n_in)) < rate).astype(dtype),
        rng.normal(0, gain / np.sqrt(max(1.0, rate * n_in)), (n_in, n_out)).astype(dtype),
        (rng.normal(0, bias, n_out) if bias else np.zeros(n_out)).astype(dtype),
        decays.astype(dtype),
        float(dtype.type(threshold)),
        f"random, {batch} samples, {n_steps} steps, {n_in} inputs, {n_out} neurons",
        flags,
    )


@functools.cache
def edge(neuron: str, dtype: str) -> tuple[Case, ...]:
    """Edge cases: unsymmetric shapes of every kind, decays 0 and 1 mixed, biases, thresholds, near misses."""
    rng = np.random.default_rng(20220530)

    def case(name: str, shape: tuple[int, int, int, int], **options: Any) -> Case:
        return random_case(name, neuron, dtype, rng, shape, **options)

    cases = [
        case("square", (4, 4, 4, 4), flags=("Unsymmetric", "Batch"), gain=1.2),
        case("square-batch", (3, 9, 3, 3), flags=("Unsymmetric", "Batch"), gain=1.2),
        case("wide", (2, 7, 3, 5), flags=("Batch", "DecayPerNeuron")),
        case("narrow", (3, 6, 5, 2), flags=("Batch", "DecayPerNeuron")),
        case("one-step", (3, 1, 4, 3), gain=1.5, flags=("SingleStep", "Batch")),
        case("two-steps", (2, 2, 3, 3), decay=0.5, gain=1.5, flags=("Unsymmetric",)),
        case("no-input", (2, 8, 3, 3), rate=0.0, bias=0.5, flags=("BiasEveryStep",)),
        case("all-input", (2, 8, 3, 3), rate=1.0, flags=("Unsymmetric",)),
        case("high-threshold", (2, 12, 4, 4), threshold=2.5, gain=1.5, flags=("Threshold",)),
        case("low-threshold", (2, 8, 4, 4), threshold=0.3, flags=("Threshold",)),
        case("inhibited", (2, 16, 4, 4), gain=1.5, bias=0.0, flags=("Inhibition", "SecondCrossing")),
        case("strong", (2, 10, 3, 4), gain=4.0, flags=("SecondCrossing", "StaysAbove")),
        case("slow", (2, 40, 3, 3), decay=(0.97, 0.999), gain=0.3, flags=("LongRun",)),
    ]
    # Above threshold in every one of 520 steps: a double running sum kept in eight bits comes round to 1 again.
    steady = case("steady", (1, 520, 1, 2), rate=0.0, decay=0.0, flags=("StaysAbove", "LongRun"))
    cases.append(replace(steady, bias=np.array([1.5, 1.25], dtype=dtype)))
    for decays, name in (
        ([0.0, 1.0, 0.5, 0.9], "mixed-decays"),
        ([0.0] * 4, "no-memory"),
        ([1.0] * 4, "no-leak"),
    ):
        mixed = case(name, (2, 8, 3, 4), gain=1.2, flags=("DecayPerNeuron", "DecayZero", "DecayOne"))
        cases.append(replace(mixed, decay=np.array(decays, dtype=dtype)))
    # Only the last step carries input, and only the first.
    for name, step, flag in (("last-step", -1, "LastStep"), ("first-step", 0, "FirstStep")):
        single = case(name, (2, 6, 3, 3), gain=3.0, bias=0.0, flags=(flag,))
        spikes = np.zeros_like(single.spikes)
        spikes[:, step] = 1
        cases.append(replace(single, spikes=spikes, weight=np.abs(single.weight) + single.dtype.type(0.5)))
    return tuple(cases)


@functools.lru_cache(16)
def _edge_gradients(
    neuron: str, dtype: str, gradients: tuple[str, ...], bound: str, convention: tuple[str, ...]
) -> tuple[Case, ...]:
    """Backward cases made of the golden and edge cases, the same in every check."""
    judge, rng = Judge(bound, convention), np.random.default_rng(3)
    return tuple(
        with_gradient(case, gradient, rng)
        for case in golden(neuron, dtype) + edge(neuron, dtype)
        if case.shape[1] <= 400 and judge.decided(case)
        for gradient in gradients
    )


@functools.lru_cache(8)
def large(neuron: str, dtype: str, seed: int) -> tuple[Case, ...]:
    """Long and wide cases, drawn from `seed`: rounding adds up, low precision shows."""
    rng = np.random.default_rng([seed, 1])
    shapes = ((4, 100, 30, 20), (2, 300, 6, 8), (16, 20, 60, 12), (1, 512, 3, 4), (3, 33, 1, 17))
    flags = ("LongRun", "LongRun", "ManyInputs", "LongRun", "General")
    return tuple(
        random_case(
            f"large-{k}", neuron, dtype, rng, shape, rate=0.15, decay=(0.8, 0.995), gain=0.5, flags=(flag,)
        )
        for k, (shape, flag) in enumerate(zip(shapes, flags))
    )


def drawn(neuron: str, dtype: Any, examples: int, rng: np.random.Generator) -> Iterator[Case]:
    """Small cases drawn from `rng`, exact and general ones by chance."""
    dtype = np.dtype(dtype)
    for _ in range(examples):
        exact = rng.random() < 0.5
        batch, n_in, n_out = rng.integers(1, 4, size=3)
        n_steps = rng.integers(1, 13)
        if exact:
            unit, limit = 0.25, 6
            decays = [0.0, 0.5, 1.0] if n_steps <= 2 else [0.0, 1.0]
        else:
            unit, limit = 1 / 37, 60
            decays = [0.1, 1 / 3, 0.5, 0.75, 0.9, 0.95, 0.99]
        bias = rng.integers(-limit // 4, limit // 4 + 1, n_out) * (rng.random() < 0.5)
        kind = "exact" if exact else "general"
        yield Case(
            f"drawn-{kind}",
            neuron,
            rng.integers(0, 2, (batch, n_steps, n_in)).astype(dtype),
            (rng.integers(-limit, limit + 1, (n_in, n_out)) * unit).astype(dtype),
            (bias * unit).astype(dtype),
            rng.choice(decays, n_out).astype(dtype),
            float(rng.choice([1.0, 1.0, 1.0, 0.5, 2.0])),
            f"drawn, {kind}",
            ("ThresholdTie",) if exact else ("General",),
        )


def with_gradient(case: Case, gradient: str, rng: np.random.Generator) -> Case:
    """A backward case: `case` with a drawn gradient by the spikes and one of the scales in use."""
    grad = rng.normal(size=case.shape)
    if rng.random() < 0.25:  # a single spike's gradient, so that each step can be followed
        only = np.zeros(case.shape)
        only.flat[rng.integers(only.size)] = 1
        grad = only
    scale = float(rng.choice([0.0, 1.0, 10.0, 10.0, 100.0]))
    return replace(
        case,
        grad_spikes=grad.astype(case.dtype),
        surrogate_scale=scale,
        gradient=gradient,
        id=f"{case.id}/{gradient}",
    )
