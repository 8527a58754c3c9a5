"""What a port is tried on, family by family: every one goes where a mistake of its own sort shows.

Each family is a small table and a function that makes its forward cases, general ones and their exact twins; the
backward cases are made of those whose spikes are decided. Together they keep to few shapes, see `SIZES`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from .batteries import SMALL, drawn, edge, exact_twin, golden, random_case, with_gradient
from .cases import Case
from .judge import Judge

__all__ = ["FAMILIES", "REPEATED", "backward", "forward"]

# Of a battery's name: asked twice in a row, and compared with earlier answers to the same case.
REPEATED = ("golden", "edge", "calls")

# (batch, steps, inputs, neurons). In each axis: multiples of 8, 32, 64, 128, 256, and one more or less; 1025, 4097.
# Among them: aligned in every axis, 10^5 cells, more than 65536 cells, weights and (sample, step) pairs.
SIZES = (
    (8, 129, 33, 9),
    (9, 128, 31, 33),
    (31, 255, 8, 5),
    (32, 65, 129, 8),
    (33, 127, 9, 31),
    (65, 9, 257, 128),
    (127, 31, 65, 4),
    (128, 5, 32, 65),
    (129, 64, 4, 8),
    (255, 3, 128, 127),
    (256, 2, 127, 257),
    (257, 257, 1, 1),
    (32, 32, 256, 64),
    (5, 33, 257, 256),
    (1, 256, 1025, 3),
    (1025, 4, 5, 32),
    (1, 7, 3, 1025),
    (4097, 2, 3, 8),
    (3, 2, 4097, 5),
    (1, 3, 2, 4097),
)
# Steps of the first spike: one before, at and after the ends of 7, 8, 11, 12 bits.
LATE = (0, 126, 127, 128, 254, 255, 256, 2047, 2049, 4095, 4096)
DECAYS = (0.0, 0.01, 0.1, 0.5, 0.9, 0.99, 0.9999, 1.0)
POWERS = (-100, -60, -30, -14, 10)
SURROGATE_SCALES = (10.0, 0.0, 0.3, 1e-3, 12345.678, 2.0**20, 2.5, 100.0)


def sizes(neuron: str, dtype: str, rng: np.random.Generator, judge: Judge) -> Iterator[Case]:
    """One axis after the other beyond what hardware and data types hold."""
    for shape in SIZES:
        rate = 1.0 if shape == (257, 257, 1, 1) else 0.4 if shape[2] > 1000 else 0.08
        gain = 0.1 if rate == 1.0 else 0.6
        case = random_case(
            f"size-{shape}", neuron, dtype, rng, shape, rate=rate, gain=gain, decay=(0.6, 0.98)
        )
        yield case
        yield exact_twin(case)


def late(neuron: str, dtype: str, rng: np.random.Generator, judge: Judge) -> Iterator[Case]:
    """First spikes in each boundary step, in every step, and crossings in every step thereafter."""
    for decay in (0.9, 1.0):
        for steps, length in ((LATE, 4097), ((32767 + int(decay),), 32769)):
            case = _empty(
                f"late-{length}", neuron, dtype, (len(steps) + (length < 5000), length, 1, 1), decay
            )
            case.spikes[np.arange(len(steps)), steps] = 1
            case.weight[:] = 1.3 if decay < 1 else 1.5
            case.bias[:] = 0.001 if decay < 1 else 0.0
            yield case
    every = _empty("every-step", neuron, dtype, (1, 257, 257, 257), 0.9)
    every.spikes[0] = np.eye(257)
    every.weight[:] = 1.5 * np.eye(257) + 0.03 * rng.normal(size=(257, 257))
    yield every
    yield exact_twin(every)
    # Above threshold in every step; and so that a double running sum of crossings is 2^16 + 1 in step 1087.
    steady = _empty("stays-above", neuron, dtype, (1, 2100, 2, 8), 0.0)
    steady.spikes[0, :, 0] = 1
    steady.spikes[0, [0, *range(34, 97)], 1] = 1
    steady.weight[:] = [[1.5, 1.25, 0, 0, 1.1, -0.5, 0.5, 0], [0, 0, 1.5, 1.3, -0.5, 2, 0.25, 9]]
    yield steady
    yield replace(steady, decay=np.arange(8, dtype=dtype) % 2)


def memory(neuron: str, dtype: str, rng: np.random.Generator, judge: Judge) -> Iterator[Case]:
    """One event, remembered by each decay, and a second one that crosses only if the first is."""
    for shape in ((129, 64, 4, 8), (1, 2100, 2, 8)):
        for decays in (DECAYS, (0, 1, 1, 0, 1, 0, 1, 1)):
            case = _empty(f"memory-{shape[1]}", neuron, dtype, shape, 0.0)
            case.decay[:] = decays
            samples = np.arange(shape[0])
            case.spikes[samples, samples % 32, 0] = case.spikes[:, -2, 1] = 1
            case.weight[:] = 0.0
            case.weight[:2] = 0.75
            yield case


def scales(neuron: str, dtype: str, rng: np.random.Generator, judge: Judge) -> Iterator[Case]:
    """Weights, biases and thresholds times powers of two; and neurons of very different scale side by side."""
    for power in POWERS:
        case = random_case(f"scale-2^{power}", neuron, dtype, rng, SMALL[0], gain=1.2)
        for each in (case, exact_twin(case)):
            yield _scaled(each, power, 2.0**power)
    mixed = random_case("scales-mixed", neuron, dtype, rng, SMALL[0], gain=1.2)
    for each in (mixed, exact_twin(mixed)):
        for threshold in (1.0, 2.0**-60):
            yield _scaled(each, np.array([0, -100, 10, -60, -21]), threshold)


def sharp(neuron: str, dtype: str, rng: np.random.Generator, judge: Judge) -> Iterator[Case]:
    """Thresholds just beyond the bound above or below a neuron's largest potential."""
    kind = np.dtype(dtype).type
    for shape in (SMALL[0], SMALL[4], (1, 2100, 2, 8)):
        case = random_case(f"sharp-{shape[1]}", neuron, dtype, rng, shape, gain=1.0, decay=(0.5, 0.999))
        for each in (case, exact_twin(case)):
            # As long as nobody spikes, the layers agree: where a potential is largest, both are as sharp.
            silent = replace(each, neuron="single-spike")
            potential, bound = judge.reference(silent).potential, judge.potential_bound(silent)
            for n in range(0, shape[3], 1 + shape[1] // 1000):
                step = int(potential[0, :, n].argmax())
                top, error = float(potential[0, step, n]), float(bound[0, step, n])
                for side in (-1, 1):
                    theta = kind(top + side * 1.01 * error)
                    yield replace(each, threshold=float(np.nextafter(theta, kind(side * np.inf))))
                if not error:
                    yield replace(each, threshold=top)


def values(neuron: str, dtype: str, rng: np.random.Generator, judge: Judge) -> Iterator[Case]:
    """Thresholds of 0 and below, inhibition, a bias that crosses after the last event, -0.0, subnormal weights."""
    for threshold in (0.0, -0.25, -2.0):
        case = random_case(f"threshold {threshold}", neuron, dtype, rng, SMALL[4], gain=1.2, bias=0.4)
        for each in (case, exact_twin(case)):
            yield replace(each, threshold=threshold)
    inhibited = random_case("inhibited", neuron, dtype, rng, SMALL[4], gain=1.2)
    held = replace(inhibited, weight=-np.abs(inhibited.weight), bias=np.full_like(inhibited.bias, 1.25))
    last = replace(
        inhibited,
        weight=inhibited.weight / 4,
        bias=np.asarray([0.25, 0.15, 0.125, 0.5], dtype),
        id="bias after the last event",
    )
    last = replace(
        last, spikes=last.spikes * (np.arange(12) < 3)[:, None], decay=np.asarray([1, 0.98, 1, 0.7], dtype)
    )
    zeros = replace(
        inhibited, weight=-0 * inhibited.weight, bias=-0 * inhibited.bias, threshold=0.0, id="-0.0"
    )
    for each in (held, last, zeros):
        yield each
        yield exact_twin(each)
    for each in (inhibited, exact_twin(inhibited)):
        yield replace(_scaled(each, np.finfo(dtype).minexp - 16, 1.0), id="subnormal")


def calls(neuron: str, dtype: str, rng: np.random.Generator, judge: Judge) -> Iterator[Case]:
    """A call, others of equal shapes with one argument different, each followed by the first again; small and large."""
    other = random_case("call-b", neuron, dtype, rng, SMALL[0], gain=1.2, bias=0.3, decay=(0.1, 0.9))
    other = replace(other, threshold=0.75)
    general = random_case("call-a", neuron, dtype, rng, SMALL[0], gain=1.2)
    large = random_case("call-large", neuron, dtype, rng, SIZES[4], rate=0.1)
    for case in (general, exact_twin(general)):
        for name in ("spikes", "weight", "bias", "decay", "threshold"):
            yield case
            changed: Any = {name: getattr(other, name)}
            yield replace(case, **changed, id=f"call-a with another {name}")
        yield case
        yield large
        yield case
    for _ in range(9):  # with the second call of each: twenty
        yield large


Make = Callable[[str, str, np.random.Generator, Judge], Iterator[Case]]
# In the order in which they are tried, each with what to look for if it alone fails.
FAMILIES: dict[str, tuple[Make, str]] = {
    "values": (values, "signs: a threshold of 0 or below, -0.0, an early end after the last event"),
    "scales": (
        scales,
        "a number that is small or large beside 1: an absolute tolerance, a clamp, an underflow",
    ),
    "memory": (memory, "powers of the decay over many steps: where they end, how they are formed"),
    "sharp": (sharp, "potentials less precise than the dtype, or a comparison in another dtype"),
    "sizes": (sizes, "a size: the rest of a tile, a buffer of fixed length, a counter or index of few bits"),
    "late": (late, "a late step or many crossings: a counter or a time of few bits"),
    "calls": (
        calls,
        "something kept from an earlier call: a state, a buffer, an argument taken for a constant",
    ),
}


def _empty(name: str, neuron: str, dtype: str, shape: tuple[int, int, int, int], decay: float) -> Case:
    """A case without input, to be filled in."""
    batch, n_steps, n_in, n_out = shape
    spikes, weight = np.zeros((batch, n_steps, n_in), dtype), np.zeros((n_in, n_out), dtype)
    return Case(name, neuron, spikes, weight, np.zeros(n_out, dtype), np.full(n_out, decay, dtype))


def _scaled(case: Case, powers: Any, threshold: float) -> Case:
    """Neurons of a case times powers of two, and its threshold times a number."""
    factor = np.exp2(np.asarray(powers, np.float64)).astype(case.dtype)
    theta = case.threshold * threshold
    return replace(case, weight=case.weight * factor, bias=case.bias * factor, threshold=theta)


def forward(
    neuron: str, dtype: str, examples: int, seed: int, judge: Judge
) -> Iterator[tuple[str, Iterable[Case]]]:
    """Batteries of a forward pass, by name."""
    first = golden(neuron, dtype)
    yield "golden", first
    yield "edge", edge(neuron, dtype)
    yield "golden", first[:1]
    yield "drawn", drawn(neuron, dtype, examples, np.random.default_rng([seed, 0]))
    for name, (make, _) in FAMILIES.items():
        yield name, make(neuron, dtype, _stream(seed, 1, dtype), judge)


def backward(
    neuron: str, dtype: str, examples: int, seed: int, judge: Judge, gradients: tuple[str, ...]
) -> Iterator[tuple[str, Iterable[Case]]]:
    """Batteries of a backward pass: cases whose spikes are all decided, with room to spare."""
    yield "golden", [case for case in golden(neuron, dtype, gradients) if judge.decided(case)]
    yield "edge", _edge_gradients(neuron, dtype, gradients, judge.bound, judge.convention)
    rng = _stream(seed, 2, dtype)
    small = drawn(neuron, dtype, examples, np.random.default_rng([seed, 3]))
    yield "drawn", _gradients("drawn", small, gradients, judge, rng)
    for name, (make, _) in FAMILIES.items():
        if name != "sharp":  # where no spike is decided with room to spare
            yield (
                name,
                _gradients(name, make(neuron, dtype, _stream(seed, 1, dtype), judge), gradients, judge, rng),
            )


def _stream(seed: int, purpose: int, dtype: str) -> np.random.Generator:
    return np.random.default_rng([seed, purpose, np.dtype(dtype).itemsize])


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
        elif judge.decided(case):
            rule = gradients[(len(made) + case.dtype.itemsize // 4) % len(gradients)]
            back = made[case] = with_gradient(case, rule, rng)
            grad: Any = back.grad_spikes
            if name == "scales":
                scale = SURROGATE_SCALES[rng.integers(len(SURROGATE_SCALES))]
                grad = grad * np.exp2(rng.choice(POWERS, case.shape[2] if "mixed" in case.id else 1))
                grad = grad.astype(case.dtype)
                back = replace(back, grad_spikes=grad, surrogate_scale=float(np.float32(scale)))
                if case.id.startswith("scale-"):  # all scaled alike, and the surrogate with them
                    yield replace(back, surrogate_scale=float(np.float32(scale / case.threshold)))
            yield back
            if name == "calls":
                others: list[dict[str, Any]] = [{"surrogate_scale": 3.0}, {"grad_spikes": -grad}]
                for other in [*others, *({"gradient": rule} for rule in gradients)]:
                    yield replace(back, **other, id=f"{back.id} with another {next(iter(other))}")
                    yield back
