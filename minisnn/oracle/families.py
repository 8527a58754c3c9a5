"""What a port is tried on, family by family: every one goes where a mistake of its own sort shows.

Each family is a small table and a function that makes its forward cases, general ones and their exact twins; the
backward cases are made of those whose spikes are decided (`minisnn.oracle.plan`). Together they keep to few shapes,
see `SIZES`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from .batteries import SMALL, exact_twin
from .cases import Case
from .judge import Judge

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

Draw = Callable[..., Case]  # `random_case` of a name and a shape, for one neuron, dtype and seed


def _both(case: Case) -> tuple[Case, Case]:
    return case, exact_twin(case)


def values(draw: Draw, judge: Judge) -> Iterator[Case]:
    """Thresholds of 0 and below, inhibition, a bias that crosses after the last event, -0.0, subnormal weights."""
    for threshold in (0.0, -0.25, -2.0):
        for case in _both(draw(f"threshold {threshold}", SMALL[4], gain=1.2, bias=0.4)):
            yield replace(case, threshold=threshold)
    case = draw("inhibited", SMALL[4], gain=1.2)
    kind, nothing = case.dtype.type, np.zeros_like(case.bias)
    held = replace(case, weight=-np.abs(case.weight), bias=nothing + kind(1.25))
    yield from _both(held)
    yield from _both(replace(held, bias=-np.abs(case.bias), threshold=-0.75, id="all negative"))
    yield from _both(replace(case, weight=-0 * case.weight, bias=-nothing, threshold=0.0, id="-0.0"))
    last = draw("bias after the last event", SMALL[4], gain=0.3, bias=0.0)
    last.spikes[:, 3:], last.bias[:], last.decay[:] = 0, [0.25, 0.15, 0.125, 0.5], [1, 0.98, 1, 0.7]
    yield from _both(last)
    for each in _both(case):
        yield replace(_scaled(each, np.finfo(case.dtype).minexp - 16, 1.0), id="subnormal")


def scales(draw: Draw, judge: Judge) -> Iterator[Case]:
    """Weights, biases and thresholds times powers of two; and neurons of very different scale side by side."""
    for power in POWERS:
        for case in _both(draw(f"scale-2^{power}", SMALL[0], gain=1.2)):
            yield _scaled(case, power, 2.0**power)
    for case in _both(draw("scales-mixed", SMALL[0], gain=1.2)):
        for threshold in (1.0, 2.0**-60):
            yield _scaled(case, np.array([0, -100, 10, -60, -21]), threshold)


def _scaled(case: Case, powers: Any, threshold: float) -> Case:
    """Neurons of a case times powers of two, and its threshold times a number."""
    factor = np.exp2(np.asarray(powers, np.float64)).astype(case.dtype)
    theta = case.threshold * threshold
    return replace(case, weight=case.weight * factor, bias=case.bias * factor, threshold=theta)


def memory(draw: Draw, judge: Judge) -> Iterator[Case]:
    """One event, remembered by each decay, and a second one that crosses only if the first is."""
    for shape in ((129, 64, 4, 8), (1, 2100, 2, 8)):
        for decays in (DECAYS, (0, 1, 1, 0, 1, 0, 1, 1)):
            case = draw(f"memory-{shape[1]}", shape, rate=0.0, bias=0.0)
            samples = np.arange(shape[0])
            case.spikes[samples, samples % 32, 0] = case.spikes[:, -2, 1] = 1
            case.decay[:], case.weight[:2], case.weight[2:] = decays, 0.75, 0.0
            yield case


def sharp(draw: Draw, judge: Judge) -> Iterator[Case]:
    """Thresholds just beyond the bound above or below a neuron's largest potential."""
    for shape in (SMALL[0], SMALL[4], (1, 2100, 2, 8)):
        for case in _both(draw(f"sharp-{shape[1]}", shape, gain=1.0, decay=(0.5, 0.999))):
            # As long as nobody spikes, the layers agree: where a potential is largest, both are as sharp.
            silent, kind = replace(case, neuron="single-spike"), case.dtype.type
            potential = (forward := judge.reference(silent)).potential
            bound = judge.potential_bound(silent, forward)
            for n in range(0, shape[3], 1 + shape[1] // 300):
                step = int(potential[0, :, n].argmax())
                top, error = float(potential[0, step, n]), float(bound[0, step, n])
                for side in (-1, 1):
                    theta = np.nextafter(kind(top + side * 1.01 * error), kind(side * np.inf))
                    # Some honest ports take a subnormal threshold as 0.
                    normal = theta if abs(theta) >= np.finfo(kind).tiny else side * np.finfo(kind).tiny
                    yield replace(case, threshold=float(normal))
                if not error:
                    yield replace(case, threshold=top)


def sizes(draw: Draw, judge: Judge) -> Iterator[Case]:
    """One axis after the other beyond what hardware and data types hold."""
    for shape in SIZES:
        rate, gain = (1.0, 0.1) if shape == (257, 257, 1, 1) else (0.4 if shape[2] > 1000 else 0.08, 0.6)
        yield from _both(draw(f"size-{shape}", shape, rate=rate, gain=gain, decay=(0.6, 0.98)))


def late(draw: Draw, judge: Judge) -> Iterator[Case]:
    """First spikes in every step and in each boundary step; crossings in every step thereafter."""
    every = draw("every-step", (1, 257, 257, 257), rate=0.0, gain=0.03, bias=0.0, decay=0.9)
    every.spikes[0] = np.eye(257)
    every.weight[:] += 1.5 * every.spikes[0]
    yield from _both(every)
    # Above threshold in every step; and so that a double running sum of crossings is 2^16 + 1 in step 1087.
    steady = draw("stays-above", (1, 2100, 2, 8), rate=0.0, bias=0.0, decay=0.0)
    steady.spikes[0, :, 0] = steady.spikes[0, [0, *range(34, 97)], 1] = 1
    steady.weight[:] = [[1.5, 1.25, 0, 0, 1.1, -0.5, 0.5, 0], [0, 0, 1.5, 1.3, -0.5, 2, 0.25, 9]]
    yield steady
    yield replace(steady, decay=np.arange(8, dtype=steady.dtype) % 2)
    # The longest come last: where 4097 steps take long, 32769 are left out.
    for batch, length, ends in ((12, 4097, (LATE, LATE)), (1, 32769, ((32768,), (32767,)))):
        case = draw(f"late-{length}", (batch, length, 2, 2), rate=0.0)
        # A neuron and an input for each list of steps, a sample for each step; the twelfth of 4097 steps is silent.
        for n, steps in enumerate(ends):
            case.spikes[np.arange(len(steps)), steps, n] = 1
        case.weight[:], case.bias[:], case.decay[:] = np.diag([1.5, 1.3]), [0.0, 0.001], [1.0, 0.9]
        yield case


def calls(draw: Draw, judge: Judge) -> Iterator[Case]:
    """A call, others of equal shapes with one argument different, each followed by the first again; small and large."""
    large = draw("call-large", SIZES[4], rate=0.1)
    for case in _both(draw("call-a", SMALL[0], gain=1.2)):
        for name in ("spikes", "weight", "bias", "decay", "threshold"):
            for other in others(getattr(case, name)):
                yield case
                changed: Any = {name: other}
                yield replace(case, **changed, id=f"call-a with another {name}")
        yield case
        yield large
        yield case
    for _ in range(9):  # with the second call of each: twenty
        yield large
    for n_in in (128, 65):  # in one tile: the second leaves part of what the first wrote
        yield draw(f"call-{n_in}", (127, 31, n_in, 4), rate=0.1)


def others(value: Any) -> list[Any]:
    """Other values of an argument: the same numbers in another order, all but the last one the same."""
    if np.ndim(value) == 0:
        return [0.75 * value]
    last = value.copy()
    last.flat[-1] = 1 - last.flat[-1]
    return [np.flip(value, axis=-1 if np.ndim(value) == 1 else -2).copy(), last]


# In the order in which they are tried, each with what to look for if it alone fails.
FAMILIES: dict[str, tuple[Callable[[Draw, Judge], Iterator[Case]], str]] = {
    "values": (values, "signs: a threshold of 0 or below, -0.0, an early end after the last event"),
    "scales": (scales, "a number small or large beside 1: an absolute tolerance, a clamp, an underflow"),
    "memory": (memory, "powers of the decay over many steps: where they end, how they are formed"),
    "sharp": (sharp, "potentials less precise than the dtype, or a comparison in another dtype"),
    "sizes": (sizes, "a size: the rest of a tile, a buffer of fixed length, a counter or index of few bits"),
    "late": (late, "a late step or many crossings: a counter or a time of few bits"),
    "calls": (calls, "something kept from an earlier call: a state, a buffer, an argument once and for all"),
}
