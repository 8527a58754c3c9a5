"""What a port is tried on: golden vectors, edge cases, drawn cases, long and wide ones.

Random floats practically never touch the threshold, so the drawn cases come in two kinds: *exact* ones, quarters
with decays 0 and 1, where ties happen and the bound is zero; and *general* ones, whose sums round.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from .cases import Case, from_entry
from .hand_cases import HAND_CASES
from .hand_gradients import HAND_GRADIENTS

__all__ = [
    "drawn",
    "edge",
    "golden",
    "golden_gradients",
    "gradient_cases",
    "large",
    "random_case",
    "with_gradient",
]

Floats = NDArray[Any]


@functools.cache
def golden(neuron: str, dtype: str) -> tuple[Case, ...]:
    """The tiny golden vectors of that layer, forward; square and unsymmetric first."""
    cases = [from_entry(entry, dtype) for entry in HAND_CASES if entry["neuron"] == neuron]
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
    comment: str = "",
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
        comment or f"random, {batch} samples, {n_steps} steps, {n_in} inputs, {n_out} neurons",
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
        drawn_case = case(name, (2, 8, 3, 4), gain=1.2, flags=("DecayPerNeuron", "DecayZero", "DecayOne"))
        cases.append(replace(drawn_case, decay=np.array(decays, dtype=dtype)))
    # Only the last step carries input, and only the first.
    for name, step, flag in (("last-step", -1, "LastStep"), ("first-step", 0, "FirstStep")):
        drawn_case = case(name, (2, 6, 3, 3), gain=3.0, bias=0.0, flags=(flag,))
        spikes = np.zeros_like(drawn_case.spikes)
        spikes[:, step] = 1
        cases.append(
            replace(drawn_case, spikes=spikes, weight=np.abs(drawn_case.weight) + drawn_case.dtype.type(0.5))
        )
    return tuple(cases)


@functools.lru_cache(8)
def large(neuron: str, dtype: str, seed: int) -> tuple[Case, ...]:
    """Long and wide cases, drawn from `seed`: rounding adds up, low precision shows."""
    rng = np.random.default_rng([seed, 1])
    shapes = ((4, 100, 30, 20), (2, 300, 6, 8), (16, 20, 60, 12), (1, 512, 3, 4), (3, 33, 1, 17))
    flags = (("LongRun",), ("LongRun",), ("ManyInputs",), ("LongRun",), ("General",))
    return tuple(
        random_case(
            f"large-{k}", neuron, dtype, rng, shape, rate=0.15, decay=(0.8, 0.995), gain=0.5, flags=flag
        )
        for k, (shape, flag) in enumerate(zip(shapes, flags))
    )


def _strategies() -> Any:
    try:
        import hypothesis
    except ImportError:
        raise InputError(
            "the checker draws its cases with hypothesis: pip install 'minisnn[check]'"
        ) from None
    return hypothesis


def drawn(
    neuron: str,
    dtype: Any,
    examples: int,
    seed: int,
    visit: Callable[[Case], bool],
    prepare: Callable[[Case], Case | None],
) -> None:
    """Draw `examples` cases with hypothesis and show each to `visit`, until it returns False.

    Parameters
    ----------
    neuron, dtype
        What the cases are for.
    examples, seed : int
        How many, and from which seed.
    visit : callable
        Takes a case; False ends the battery.
    prepare : callable
        Turns a drawn forward case into the one to visit (a gradient case), or None to discard it.
    """
    hypothesis = _strategies()
    strategies = hypothesis.strategies
    dtype = np.dtype(dtype)

    @strategies.composite  # type: ignore[untyped-decorator]
    def case_strategy(draw: Any) -> Case:
        exact = draw(strategies.booleans())
        batch, n_in, n_out = (draw(strategies.integers(1, 3)) for _ in range(3))
        n_steps = draw(strategies.integers(1, 12))
        if exact:
            unit, limit = 0.25, 6
            choices = [0.0, 0.5, 1.0] if n_steps <= 2 else [0.0, 1.0]
        else:
            unit, limit = 1 / 37, 60
            choices = [0.1, 1 / 3, 0.5, 0.75, 0.9, 0.95, 0.99]

        def floats(shape: tuple[int, ...], low: int, high: int, scale: float) -> Floats:
            numbers = strategies.lists(
                strategies.integers(low, high), min_size=(n := int(np.prod(shape))), max_size=n
            )
            return (np.array(draw(numbers), dtype=np.float64).reshape(shape) * scale).astype(dtype)

        spikes = floats((batch, n_steps, n_in), 0, 1, 1.0)
        weight = floats((n_in, n_out), -limit, limit, unit)
        bias = (
            floats((n_out,), -limit // 4, limit // 4, unit)
            if draw(strategies.booleans())
            else np.zeros(n_out, dtype)
        )
        picks = draw(strategies.lists(strategies.sampled_from(choices), min_size=n_out, max_size=n_out))
        threshold = draw(strategies.sampled_from([1.0, 1.0, 1.0, 0.5, 2.0]))
        kind = "exact" if exact else "general"
        return Case(
            f"drawn-{kind}",
            neuron,
            spikes,
            weight,
            bias,
            np.array(picks, dtype=dtype),
            threshold,
            f"drawn by hypothesis, {kind}",
            ("ThresholdTie",) if exact else ("General",),
        )

    going = True

    def visitor(case: Case) -> None:
        nonlocal going
        if going:
            ready = prepare(case)
            if ready is not None:
                going = visit(ready)

    settings = hypothesis.settings(
        max_examples=examples,
        deadline=None,
        database=None,
        phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    settings(hypothesis.seed(seed)(hypothesis.given(case_strategy())(visitor)))()


def gradient_cases(
    cases: Iterable[Case],
    gradients: tuple[str, ...],
    decided: Callable[[Case], bool],
    rng: np.random.Generator,
) -> Iterator[Case]:
    """Backward cases made of forward cases whose spikes are all decided with room to spare."""
    for case in cases:
        if case.shape[1] <= 400 and decided(case):
            for gradient in gradients:
                yield with_gradient(case, gradient, rng)


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


@functools.cache
def golden_gradients(neuron: str, gradients: tuple[str, ...], dtype: str) -> tuple[Case, ...]:
    """The tiny golden backward vectors of that layer and those choices."""
    entries = [e for e in HAND_GRADIENTS if e["neuron"] == neuron and e["gradient"] in gradients]
    cases = (from_entry(entry, dtype) for entry in entries)
    return tuple(sorted(cases, key=lambda case: "Unsymmetric" not in case.flags))
