from fractions import Fraction

import numpy as np
import pytest

import minisnn
from minisnn.errors import InputError
from minisnn.oracle import bounds
from minisnn.oracle.exact import double_double, exact_backward, exact_forward, nearest
from tests.conformance import ports


def _random(rng, dtype, shape=None, rate=0.3, decay=(0.0, 1.0)):
    batch, n_steps, n_in, n_out = shape or (
        rng.integers(1, 4),
        rng.integers(1, 30),
        rng.integers(1, 6),
        rng.integers(1, 5),
    )
    x = (rng.random((batch, n_steps, n_in)) < rate).astype(dtype)
    w, b = rng.normal(0, 0.7, (n_in, n_out)).astype(dtype), rng.normal(0, 0.1, n_out).astype(dtype)
    return (
        x,
        w,
        b,
        rng.uniform(*decay, n_out).astype(dtype),
        rng.normal(size=(batch, n_steps, n_out)).astype(dtype),
    )


def test_gamma_is_the_textbooks_and_infinite_where_it_has_no_meaning():
    unit = Fraction(1, 2**24)
    assert float(bounds.gamma(10, np.float32)) == pytest.approx(float(10 * unit / (1 - 10 * unit)), rel=1e-15)
    assert bounds.gamma(2**25, np.float32) == np.inf


def test_bound_by_hand():
    # V[1] = 0.5 * 0.75 + 0.75: two nonzero terms, m = 2 + 2 * 2, A = 1.125.
    got = bounds.potential_bound(np.ones((1, 2, 1)), np.array([[0.75]]), np.zeros(1), 0.5, np.float64)[
        0, 1, 0
    ]
    m, u = 6, 2.0**-53
    by_hand = m * u / (1 - m * u) * 1.125 + m * 2.2250738585072014e-308
    assert by_hand <= got <= by_hand * 1.0001


def test_a_reset_is_one_more_term():
    arguments = (np.zeros((1, 2, 1)), np.zeros((1, 1)), np.zeros(1), np.ones(1), np.float32)
    silent = bounds.potential_bound(*arguments, fired=np.zeros((1, 2, 1), dtype=bool))
    fired = bounds.potential_bound(*arguments, fired=np.ones((1, 2, 1), dtype=bool), threshold=2.0)
    assert silent.max() < 1e-30
    assert fired[0, 0, 0] < 1e-30  # the reset of step 0 enters in step 1
    assert fired[0, 1, 0] == pytest.approx(5 * 2.0**-24 * 2.0, rel=1e-4)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", sorted(ports.SINGLE))
def test_no_honest_port_exceeds_a_bound(name, dtype):
    forward, backward = ports.SINGLE[name]
    rng = np.random.default_rng(11)
    for _ in range(12):
        x, w, b, d, g = _random(rng, dtype)
        run = exact_forward(x, w, b, d)
        bound = bounds.potential_bound(x, w, b, d, dtype)
        hi, lo = nearest(run.potential)
        assert (np.abs((forward(x, w, b, d, 1.0)[1].astype(float) - hi) - lo) <= bound).all()
        if bounds.judge_spike_times(run.spike_times, run.potential, 4 * bound).undecided.any():
            continue
        for gradient in minisnn.model.GRADIENTS:
            exact = exact_backward(run, x, w, d, 1.0, 10.0, gradient, g)
            allowed = bounds.gradient_bounds(exact, run, x, w, b, d, 1.0, 10.0, gradient, g, dtype)
            for key, came in backward(x, w, b, d, 1.0, 10.0, gradient, g).items():
                hi, lo = nearest(exact.gradients[key])
                assert (np.abs((came.astype(float) - hi) - lo) <= allowed[key]).all(), key


def test_the_gradient_bound_is_not_loose_beyond_use():
    """A relative error of a thousandth exceeds it, in float32, at these sizes."""
    rng = np.random.default_rng(5)
    x, w, b, d, g = _random(rng, np.float32, (2, 20, 4, 3))
    run = exact_forward(x, w, b, d)
    exact = exact_backward(run, x, w, d, 1.0, 10.0, "straight-through", g)
    allowed = bounds.gradient_bounds(exact, run, x, w, b, d, 1.0, 10.0, "straight-through", g, np.float32)
    for name, bound in allowed.items():
        size = np.abs(nearest(exact.gradients[name])[0]).max()
        assert 0 < bound.max() < 1e-3 * size, name


def test_silence_is_right_only_if_no_step_certainly_crosses():
    v = double_double(np.array([[[0.0], [1.0 + 1e-9], [0.0]]]))
    wide, narrow = np.full((1, 3, 1), 1e-8), np.full((1, 3, 1), 1e-10)
    assert bounds.judge_spike_times(np.array([[3]]), v, wide).right.all()
    assert not bounds.judge_spike_times(np.array([[3]]), v, narrow).right.any()
    assert bounds.judge_spike_times(np.array([[1]]), v, narrow).right.all()
    assert bounds.judge_spike_times(np.array([[3]]), v, wide).undecided.all()
    assert not bounds.judge_spike_times(np.array([[2]]), v, wide).right.any()


def test_times_out_of_range_are_wrong():
    v, bound = double_double(np.zeros((1, 2, 1))), np.zeros((1, 2, 1))
    for time in (-1, 3):
        assert not bounds.judge_spike_times(np.array([[time]]), v, bound).right.any()


def test_exact_cases_are_those_whose_bits_fit():
    x, w = np.ones((1, 8, 1)), np.array([[0.75]])
    assert bounds.is_exact_case(x, w, np.zeros(1), np.array([0.75]), np.float32)
    assert not bounds.is_exact_case(np.ones((1, 12, 1)), w, np.zeros(1), np.array([0.75]), np.float32)
    assert bounds.is_exact_case(np.ones((1, 12, 1)), w, np.zeros(1), np.array([0.75]), np.float64)
    assert bounds.is_exact_case(np.ones((1, 1000, 1)), w, np.zeros(1), np.array([1.0]), np.float32)
    assert not bounds.is_exact_case(x, np.array([[0.1]]), np.zeros(1), np.array([1.0]), np.float64)


def test_powers_are_exact_for_every_way_of_forming_them():
    assert bounds.powers_are_exact(np.array([0.0, 1.0]), 500)
    assert bounds.powers_are_exact(0.5, 2)
    assert not bounds.powers_are_exact(0.5, 3)


def test_unknown_bound_is_refused():
    with pytest.raises(InputError, match="unknown bound"):
        bounds.potential_bound(
            np.ones((1, 1, 1)), np.ones((1, 1)), np.zeros(1), 0.5, np.float32, kind="loose"
        )
