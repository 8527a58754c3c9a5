"""The reference by hand; `test_oracle_bounds` compares it with rational arithmetic."""

import numpy as np

from minisnn.oracle import Case
from minisnn.oracle.reference import rational, reference_forward


def test_given_spikes_are_the_resets():
    x, w = np.ones((1, 3, 1)), np.array([[0.25]])
    case = Case("given", "multi-spike", x, w, np.zeros(1), np.ones(1))
    run = reference_forward(case, fired=np.array([[[1], [0], [0]]], dtype=bool), lift=rational)
    assert [float(v) for v in run.potential.ravel()] == [0.25, -0.5, -0.25]


def test_tie_fires_only_by_that_convention():
    case = Case("tie", "single-spike", np.ones((1, 2, 1)), np.array([[0.5]]), np.zeros(1), np.ones(1))
    assert reference_forward(case).spike_times[0, 0] == 2
    assert reference_forward(case, tie_fires=True).spike_times[0, 0] == 1
