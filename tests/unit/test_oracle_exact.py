import numpy as np
import pytest

from minisnn.oracle.exact import DoubleDouble, double_double, exact_backward, exact_forward, nearest, rational


def _problem(rng, neuron):
    batch, n_steps, n_in, n_out = (
        rng.integers(1, 3),
        rng.integers(1, 9),
        rng.integers(1, 4),
        rng.integers(1, 4),
    )
    x = (rng.random((batch, n_steps, n_in)) < 0.5).astype(float)
    w, b = rng.normal(0, 0.8, (n_in, n_out)), rng.normal(0, 0.2, n_out)
    return x, w, b, rng.uniform(0, 1, n_out), rng.normal(size=(batch, n_steps, n_out)), neuron


@pytest.mark.parametrize("neuron", ["single-spike", "multi-spike"])
@pytest.mark.parametrize("scaled", [False, True])
def test_double_double_agrees_with_rational_arithmetic_to_thirty_digits(neuron, scaled):
    rng = np.random.default_rng(3)
    for _ in range(6):
        x, w, b, d, g, _ = _problem(rng, neuron)
        both = []
        for lift in (double_double, rational):
            run = exact_forward(x, w, b, d, 0.75, neuron=neuron, lift=lift, input_scaled=scaled)
            back = exact_backward(
                run, x, w, d, 0.75, 10.0, "gated", g, neuron=neuron, lift=lift, bias=b, input_scaled=scaled
            )
            both.append((run, back))
        assert np.array_equal(both[0][0].fired, both[1][0].fired)
        pairs = [(both[0][0].potential, both[1][0].potential)]
        pairs += [
            (both[0][1].gradients[name], both[1][1].gradients[name])
            for name in ("spikes", "weight", "bias", "decay")
        ]
        for ours, exact in pairs:
            hi, lo = nearest(ours)
            exact_hi, exact_lo = nearest(exact)
            assert np.abs((hi - exact_hi) + (lo - exact_lo)).max() <= 1e-28 * (1 + np.abs(exact_hi).max())


def test_division_and_comparison_use_the_low_part():
    one = double_double(np.array([1.0]))
    assert ((one / 3.0) * 3.0 - 1.0).hi[0] == pytest.approx(0.0, abs=1e-31)
    above = DoubleDouble(np.array([1.0]), np.array([1e-20]))
    assert (above > 1.0)[0]
    assert not (one > 1.0)[0]


def test_sum_loses_nothing_that_float64_would():
    values = np.array([1.0, 1e-18, -1.0, 1e-18, 3e-18])[:, None]
    assert DoubleDouble(values).sum(axis=(0,)).hi[0] == pytest.approx(5e-18, rel=1e-12)


def test_given_spikes_are_the_resets():
    x, w = np.ones((1, 3, 1)), np.array([[0.25]])
    run = exact_forward(
        x,
        w,
        np.zeros(1),
        np.ones(1),
        neuron="multi-spike",
        fired=np.array([[[1], [0], [0]]], dtype=bool),
        lift=rational,
    )
    assert [float(v) for v in run.potential.ravel()] == [0.25, -0.5, -0.25]


def test_tie_fires_only_by_that_convention():
    arguments = (np.ones((1, 2, 1)), np.array([[0.5]]), np.zeros(1), np.ones(1))
    assert exact_forward(*arguments).spike_times[0, 0] == 2
    assert exact_forward(*arguments, tie_fires=True).spike_times[0, 0] == 1
