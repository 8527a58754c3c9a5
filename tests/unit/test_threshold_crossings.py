"""Events of time series: by hand, against a loop in plain Python, and what is refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minisnn.datasets import threshold_crossings
from minisnn.errors import InputError
from tests.helpers import one_line


def listed(events):
    """(sample, step, neuron) of every event."""
    return [tuple(place) for place in np.argwhere(events.to_raster()).tolist()]


def plain(series, thresholds):
    """The same from its description, a cell at a time; thresholds (C, K)."""
    found = []
    for b, sample in enumerate(series.tolist()):
        for t in range(1, len(sample)):
            for c, levels in enumerate(thresholds):
                for k, level in enumerate(levels):
                    before, now = sample[t - 1][c] > level, sample[t][c] > level
                    if before != now:
                        found.append((b, t, 2 * (c * len(levels) + k) + before))
    return sorted(found)


@pytest.mark.parametrize(
    ("series", "thresholds", "expected"),
    [
        ([[[0.0], [1.5], [2.5], [0.5], [0.5]]], [1, 2], [(0, 1, 0), (0, 2, 2), (0, 3, 1), (0, 3, 3)]),
        # A value equal to the threshold is not above it.
        ([[[0], [1], [2], [1], [0]]], [1], [(0, 2, 0), (0, 3, 1)]),
        # Nothing fires in the first step, nor where nothing changes.
        ([[[5]], [[0]]], [1], []),
        (np.full((2, 7, 3), 4), [1, 9], []),
        # Thresholds of every channel.
        ([[[0, 0], [10, 10]], [[10, 0], [0, 0]]], [[-1, 5], [8, 12]], [(0, 1, 2), (0, 1, 4), (1, 1, 3)]),
    ],
)
def test_by_hand(series, thresholds, expected):
    series, thresholds = np.array(series), np.array(thresholds)
    series.setflags(write=False)  # they are left as they were
    thresholds.setflags(write=False)
    events = threshold_crossings(series, thresholds)
    assert events.shape == (*series.shape[:2], 2 * series.shape[2] * thresholds.shape[-1])
    assert listed(events) == expected


@given(st.data())
def test_like_the_loop(data):
    batch, n_steps, channels, k = (data.draw(st.integers(1, n)) for n in (3, 6, 3, 3))
    size = batch * n_steps * channels
    cells = st.lists(st.integers(-3, 3), min_size=size, max_size=size)
    series = np.array(data.draw(cells)).reshape(batch, n_steps, channels)
    levels = st.lists(st.sampled_from([-3, -1, -0.5, 0, 1, 2.5]), min_size=k, max_size=k)
    of_each = st.lists(levels, min_size=channels, max_size=channels)
    thresholds = data.draw(levels | of_each, label="thresholds")
    of_channels = thresholds if isinstance(thresholds[0], list) else [thresholds] * channels
    events = threshold_crossings(series, thresholds)
    assert events.shape == (batch, n_steps, 2 * channels * k)
    assert listed(events) == plain(series, of_channels)
    # Up and down of a threshold take turns, so that their difference is where the series ends against its start.
    up, down = (events.to_raster().sum(axis=1, dtype=int)[:, d::2] for d in (0, 1))
    above = (series[..., None] > np.array(of_channels)).reshape(batch, n_steps, -1).astype(int)
    assert np.array_equal(up - down, above[:, -1] - above[:, 0])


@pytest.mark.parametrize(
    ("series", "thresholds", "message"),
    [
        ([[0, 1]], [0], r"series must have shape \(samples, steps, channels\), none empty, got \(1, 2\)"),
        (np.zeros((2, 0, 3)), [0], r"none empty, got \(2, 0, 3\)"),
        (np.zeros((1, 2, 3)), 0.5, r"thresholds must have shape \(K,\) or \(3, K\) with K >= 1, got \(\)"),
        (np.zeros((1, 2, 3)), [], r"with K >= 1, got \(0,\)"),
        (np.zeros((1, 2, 3)), [[1], [2]], r"or \(3, K\) with K >= 1, got \(2, 1\)"),
        (np.zeros((1, 2, 1)), [[[1]]], r"got \(1, 1, 1\)"),
        ([[[0.0], [np.nan]]], [1], r"series must be finite, got nan at \(0, 1, 0\)"),
        ([[[0.0], [1.0]]], [1, np.inf], r"thresholds must be finite, got inf at \(1,\)"),
        ([[[True], [False]]], [0], "series must be whole or real numbers, got bool"),
    ],
)
def test_what_is_refused(series, thresholds, message):
    with one_line(InputError, message):
        threshold_crossings(series, thresholds)
