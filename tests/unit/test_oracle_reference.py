"""The reference in float64 and in rational arithmetic."""

import numpy as np
import pytest

from minisnn.oracle import Case
from minisnn.oracle.reference import rational, reference_backward, reference_forward


def _case(rng, neuron, gradient):
    batch, n_steps, n_in, n_out = rng.integers(1, 4, size=4) + np.array([0, 5, 0, 0])
    return Case(
        "drawn",
        neuron,
        (rng.random((batch, n_steps, n_in)) < 0.5).astype(float),
        rng.normal(0, 0.8, (n_in, n_out)),
        rng.normal(0, 0.2, n_out),
        rng.uniform(0, 1, n_out),
        0.75,
        grad_spikes=rng.normal(size=(batch, n_steps, n_out)),
        gradient=gradient,
    )


@pytest.mark.parametrize(
    ("neuron", "gradient"),
    [
        ("single-spike", "gated"),
        ("single-spike", "straight-through"),
        ("multi-spike", "through-reset"),
        ("multi-spike", "detached-reset"),
    ],
)
@pytest.mark.parametrize("scaled", [False, True])
def test_float64_agrees_with_rational_arithmetic(neuron, gradient, scaled):
    rng = np.random.default_rng(3)
    for _ in range(6):
        case = _case(rng, neuron, gradient)
        double, exact = (
            reference_forward(case, input_scaled=scaled, **lift) for lift in ({}, {"lift": rational})
        )
        assert np.array_equal(double.fired, exact.fired)
        pairs = [(double.potential, exact.potential), (double.membrane, exact.membrane)]
        ours = reference_backward(double, case, input_scaled=scaled).gradients
        theirs = reference_backward(exact, case, lift=rational, input_scaled=scaled).gradients
        for came, right in pairs + [(ours[name], theirs[name]) for name in ours]:
            right = right.astype(float)
            assert np.abs(came - right).max() <= 1e-13 * (1 + np.abs(right).max())


def test_given_spikes_are_the_resets():
    x, w = np.ones((1, 3, 1)), np.array([[0.25]])
    case = Case("given", "multi-spike", x, w, np.zeros(1), np.ones(1))
    run = reference_forward(case, fired=np.array([[[1], [0], [0]]], dtype=bool), lift=rational)
    assert [float(v) for v in run.potential.ravel()] == [0.25, -0.5, -0.25]


def test_tie_fires_only_by_that_convention():
    case = Case("tie", "single-spike", np.ones((1, 2, 1)), np.array([[0.5]]), np.zeros(1), np.ones(1))
    assert reference_forward(case).spike_times[0, 0] == 2
    assert reference_forward(case, tie_fires=True).spike_times[0, 0] == 1
