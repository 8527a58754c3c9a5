"""Small cases: golden vectors, edge cases, drawn ones; and how a case becomes exact, or one for the backward pass.

Random floats practically never touch the threshold, so most cases come in two kinds: *exact* ones, short dyadic
numbers with decays 0 and 1, where ties happen and the bound is zero; and *general* ones, whose sums round.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from .cases import Case, from_entry
from .golden import hand_entries

# (batch, steps, inputs, neurons) of small cases: few, because some ports compile for every shape.
SMALL = ((2, 8, 3, 5), (4, 4, 4, 4), (3, 6, 5, 2), (3, 1, 4, 3), (2, 12, 4, 4), (3, 3, 3, 3), (2, 2, 2, 2))


@functools.cache
def golden(neuron: str, dtype: str, gradients: tuple[str, ...] = ("",)) -> tuple[Case, ...]:
    """The tiny golden vectors of that layer, forward or by some gradients; square and unsymmetric first."""
    entries = [e for e in hand_entries() if e.get("neuron") == neuron and e.get("gradient", "") in gradients]
    cases = [from_entry(entry, dtype) for entry in entries]
    return tuple(sorted(cases, key=lambda case: "Unsymmetric" not in case.flags))


def random_case(
    name: str,
    shape: tuple[int, int, int, int],
    neuron: str,
    dtype: Any,
    rng: np.random.Generator,
    *,
    decay: float | tuple[float, float] = (0.3, 0.98),
    rate: float = 0.4,
    gain: float = 0.8,
    bias: float = 0.1,
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
        comment=f"random, {batch} samples, {n_steps} steps, {n_in} inputs, {n_out} neurons",
        flags=("General",),
    )


def exact_twin(case: Case) -> Case:
    """A case like it in which every sum is exact and ties happen: weights of few bits, decays 0 and 1."""
    largest = float(np.abs(case.weight).max(initial=0.0)) or 1.0
    unit = float(2.0 ** (np.ceil(np.log2(largest)) - 3))
    short = {n: (np.round(getattr(case, n) / unit) * unit).astype(case.dtype) for n in ("weight", "bias")}
    decay = (np.arange(len(case.decay)) % 2).astype(case.dtype)
    threshold = float(np.round(case.threshold / unit) * unit)
    return replace(case, **short, decay=decay, threshold=threshold, id=f"{case.id}, exact")


@functools.cache
def edge(neuron: str, dtype: str) -> tuple[Case, ...]:
    """Edge cases: unsymmetric shapes of every kind, decays 0 and 1 mixed, biases, thresholds, near misses."""
    rng = np.random.default_rng(20220530)
    wide, square, narrow, one, long, cube, two = SMALL

    def case(name: str, shape: Any, flags: Any, threshold: float = 1.0, **options: Any) -> Case:
        drawn_case = random_case(name, shape, neuron, dtype, rng, **options)
        return replace(drawn_case, flags=flags, threshold=float(drawn_case.dtype.type(threshold)))

    cases = [
        case("square", square, flags=("Unsymmetric", "Batch"), gain=1.2),
        case("square-batch", cube, flags=("Unsymmetric", "Batch"), gain=1.2),
        case("wide", wide, flags=("Batch", "DecayPerNeuron")),
        case("narrow", narrow, flags=("Batch", "DecayPerNeuron")),
        case("one-step", one, gain=1.5, flags=("SingleStep", "Batch")),
        case("two-steps", two, decay=0.5, gain=1.5, flags=("Unsymmetric",)),
        case("no-input", wide, rate=0.0, bias=0.5, flags=("BiasEveryStep",)),
        case("all-input", wide, rate=1.0, flags=("Unsymmetric",)),
        case("high-threshold", long, threshold=2.5, gain=1.5, flags=("Threshold",)),
        case("low-threshold", wide, threshold=0.3, flags=("Threshold",)),
        case("inhibited", long, gain=1.5, bias=0.0, flags=("Inhibition", "SecondCrossing")),
        case("strong", wide, gain=4.0, flags=("SecondCrossing", "StaysAbove")),
        case("slow", long, decay=(0.97, 0.999), gain=0.5, flags=("LongRun",)),
    ]
    decays_of = {"mixed-decays": [0.0, 1.0, 0.5, 0.9, 0.2], "no-memory": [0.0] * 5, "no-leak": [1.0] * 5}
    for name, decays in decays_of.items():
        mixed = case(name, wide, gain=1.2, flags=("DecayPerNeuron", "DecayZero", "DecayOne"))
        cases.append(replace(mixed, decay=np.array(decays, dtype=dtype)))
    # Only the last step carries input, and only the first.
    for name, step, flag in (("last-step", -1, "LastStep"), ("first-step", 0, "FirstStep")):
        single = case(name, wide, gain=3.0, bias=0.0, flags=(flag,))
        spikes = np.zeros_like(single.spikes)
        spikes[:, step] = 1
        cases.append(replace(single, spikes=spikes, weight=np.abs(single.weight) + single.dtype.type(0.5)))
    return tuple(cases)


def drawn(neuron: str, dtype: Any, examples: int, rng: np.random.Generator) -> Iterator[Case]:
    """Small cases drawn from `rng`, exact and general ones by chance."""
    dtype = np.dtype(dtype)
    for _ in range(examples):
        exact = rng.random() < 0.5
        batch, n_steps, n_in, n_out = SMALL[rng.integers(len(SMALL))]
        unit, limit, decays = 1 / 37, 60, [0.1, 1 / 3, 0.5, 0.75, 0.9, 0.95, 0.99]
        if exact:
            unit, limit, decays = 0.25, 6, [0.0, 0.5, 1.0] if n_steps <= 2 else [0.0, 1.0]
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
        grad[...] = 0
        grad.flat[rng.integers(grad.size)] = 1
    scale = float(rng.choice([0.0, 1.0, 10.0, 10.0, 100.0]))
    back = replace(case, grad_spikes=grad.astype(case.dtype), surrogate_scale=scale)
    return replace(back, gradient=gradient, id=f"{case.id}/{gradient}")
