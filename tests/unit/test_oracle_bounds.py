from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from minisnn.errors import InputError
from minisnn.oracle import Case, bounds
from minisnn.oracle.exact import powers_are_exact, sums_are_exact
from minisnn.oracle.judge import judge_spike_times
from minisnn.oracle.reference import rational, reference_backward, reference_forward


def _random(rng, dtype, shape=None, rate=0.3, decay=(0.0, 1.0)):
    batch, n_steps, n_in, n_out = shape or (
        rng.integers(1, 4),
        rng.integers(1, 30),
        rng.integers(1, 6),
        rng.integers(1, 5),
    )
    x = (rng.random((batch, n_steps, n_in)) < rate).astype(dtype)
    w, b = rng.normal(0, 0.7, (n_in, n_out)).astype(dtype), rng.normal(0, 0.1, n_out).astype(dtype)
    d, g = rng.uniform(*decay, n_out).astype(dtype), rng.normal(size=(batch, n_steps, n_out)).astype(dtype)
    return Case("drawn", "single-spike", x, w, b, d, grad_spikes=g)


def _case(spikes, weight, decay, dtype, threshold=1.0):
    """A single-spike layer with one input and no bias."""
    row = np.atleast_1d(np.asarray(weight, dtype))
    return Case(
        "by hand", "single-spike", spikes, row[None], 0 * row, np.full(len(row), decay, dtype), threshold
    )


def _terms(case):
    return case.spikes, case.weight, case.bias, case.decay


def test_gamma_is_the_textbooks_and_finite_where_that_has_no_meaning():
    unit = Fraction(1, 2**24)
    assert float(bounds.gamma(10, np.float32)) == pytest.approx(float(10 * unit / (1 - 10 * unit)), rel=1e-15)
    assert bounds.gamma(2**25, np.float32) == pytest.approx(np.expm1(2.0))  # (1 + u)^m - 1 for m u = 2


def test_bound_by_hand():
    # V[1] = 0.5 * 0.75 + 0.75: two nonzero terms, m = 2 + 2 * 2, A = 1.125.
    got = bounds.potential_bound(_case(np.ones((1, 2, 1)), 0.75, 0.5, np.float64))[0, 1, 0]
    m, u = 6, 2.0**-53
    by_hand = 2 * (
        m * u / (1 - m * u) * 1.125 + m * 2.2250738585072014e-308
    )  # twice: the reference rounds too
    assert by_hand <= got <= by_hand * 1.0001


def test_a_reset_is_one_more_term():
    case = _case(np.zeros((1, 2, 1)), 0.0, 1.0, np.float32, 2.0)
    silent, fired = (bounds.potential_bound(case, np.full((1, 2, 1), fires)) for fires in (False, True))
    assert silent.max() < 1e-30
    assert fired[0, 0, 0] < 1e-30  # the reset of step 0 enters in step 1
    assert fired[0, 1, 0] == pytest.approx(5 * 2.0**-24 * 2.0, rel=1e-4)


def _excess(came, exact, bound):
    """How far an answer is beyond its bound of the exact result, in rational arithmetic."""
    return np.abs(rational(came) - exact) - rational(bound)


@pytest.mark.parametrize("neuron", ["single-spike", "multi-spike"])
@pytest.mark.parametrize("scaled", [False, True])
def test_the_reference_keeps_the_bound_of_float64(neuron, scaled):
    """Half of every bound of a float64 port belongs to the reference: rational arithmetic shows that it is enough."""
    rng = np.random.default_rng(12)
    for choice in (
        ("gated", "straight-through") if neuron == "single-spike" else ("through-reset", "detached-reset")
    ):
        for _ in range(6):
            case = replace(
                _random(rng, np.float64, (2, 9, 3, 2)), neuron=neuron, gradient=choice, threshold=0.75
            )
            run, exact = (
                reference_forward(case, input_scaled=scaled, **lift) for lift in ({}, {"lift": rational})
            )
            resets = run.fired if neuron == "multi-spike" else None
            bound = bounds.potential_bound(case, resets, input_scaled=scaled)
            assert (run.fired == exact.fired).all()
            assert (_excess(run.potential, exact.potential, bound / 2) <= 0).all()
            back = reference_backward(run, case, input_scaled=scaled)
            allowed = bounds.gradient_bounds(back, run, case, input_scaled=scaled)
            right = reference_backward(exact, case, lift=rational, input_scaled=scaled)
            for name, value in right.gradients.items():
                assert (_excess(back.gradients[name], value, allowed[name] / 2) <= 0).all(), name


def test_the_gradient_bound_is_not_loose_beyond_use():
    """A relative error of a thousandth exceeds it, in float32, at these sizes."""
    case = replace(_random(np.random.default_rng(5), np.float32, (2, 20, 4, 3)), gradient="straight-through")
    run = reference_forward(case)
    exact = reference_backward(run, case)
    for name, bound in bounds.gradient_bounds(exact, run, case).items():
        assert 0 < bound.max() < 1e-3 * np.abs(exact.gradients[name]).max(), name


def test_silence_is_right_only_if_no_step_certainly_crosses():
    v = np.array([[[0.0], [1.0 + 1e-9], [0.0]]])
    wide, narrow = np.full((1, 3, 1), 1e-8), np.full((1, 3, 1), 1e-10)
    assert judge_spike_times(np.array([[3]]), v, wide).right.all()
    assert not judge_spike_times(np.array([[3]]), v, narrow).right.any()
    assert judge_spike_times(np.array([[1]]), v, narrow).right.all()
    assert judge_spike_times(np.array([[3]]), v, wide).undecided.all()
    assert not judge_spike_times(np.array([[2]]), v, wide).right.any()


def test_times_out_of_range_are_wrong():
    v = bound = np.zeros((1, 2, 1))
    for time in (-1, 3):
        assert not judge_spike_times(np.array([[time]]), v, bound).right.any()


def test_exact_cases_are_those_whose_bits_fit():
    for n_steps, weight, decay, dtype, exact in (
        (8, 0.75, 0.75, np.float32, True),
        (12, 0.75, 0.75, np.float32, False),
        (12, 0.75, 0.75, np.float64, True),
        (1000, 0.75, 1.0, np.float32, True),
        (8, 0.1, 1.0, np.float64, False),
    ):
        assert sums_are_exact(_case(np.ones((1, n_steps, 1)), weight, decay, dtype)) == exact


def test_the_reset_of_the_last_step_is_a_sum_too():
    case = _case(np.ones((1, 1, 1)), 2.0**-30, 1.0, np.float32, -0.75)
    assert sums_are_exact(case).all()
    assert not sums_are_exact(replace(case, neuron="multi-spike")).any()


def test_powers_are_exact_for_every_way_of_forming_them():
    assert powers_are_exact(np.array([0.0, 1.0]), 500).all()
    assert powers_are_exact(0.5, 2)
    assert not powers_are_exact(0.5, 3)


def test_exactness_is_asked_of_every_neuron_at_its_own_scale():
    case = _case(np.ones((1, 8, 1)), [0.75, 0.1, 2.0**-100, 1.5 * 2.0**-130, 0.0], 1.0, np.float32)
    assert sums_are_exact(case).tolist() == [True, False, True, False, True]


def test_unknown_bound_is_refused():
    with pytest.raises(InputError, match="unknown bound"):
        bounds.potential_bound(_case(np.ones((1, 1, 1)), 1.0, 0.5, np.float32), kind="loose")
