"""Events of time series: by hand, against a loop in plain Python, and what is refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minisnn.datasets import threshold_crossings
from minisnn.errors import InputError


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


def test_up_and_down_by_hand():
    events = threshold_crossings(np.array([[[0.0], [1.5], [2.5], [0.5], [0.5]]]), [1, 2])
    assert events.shape == (1, 5, 4)
    assert listed(events) == [(0, 1, 0), (0, 2, 2), (0, 3, 1), (0, 3, 3)]


def test_a_value_equal_to_the_threshold_is_not_above_it():
    assert listed(threshold_crossings([[[0], [1], [2], [1], [0]]], [1])) == [(0, 2, 0), (0, 3, 1)]


def test_nothing_fires_in_the_first_step_nor_where_nothing_changes():
    assert threshold_crossings([[[5]], [[0]]], [1]).n_events == 0
    assert threshold_crossings(np.full((2, 7, 3), 4), [1, 9]).n_events == 0


def test_thresholds_of_every_channel():
    series = np.array([[[0, 0], [10, 10]], [[10, 0], [0, 0]]], dtype=np.uint8)
    events = threshold_crossings(series, [[-1, 5], [8, 12]])
    assert listed(events) == [(0, 1, 2), (0, 1, 4), (1, 1, 3)]


def test_the_series_is_left_as_it_was():
    series, thresholds = np.array([[[0.0], [2.0]]]), np.array([1.0])
    series.setflags(write=False)
    thresholds.setflags(write=False)
    assert threshold_crossings(series, thresholds).n_events == 1


@given(st.data())
def test_like_the_loop(data):
    batch, n_steps, channels, k = (data.draw(st.integers(1, n)) for n in (3, 6, 3, 3))
    cells = st.lists(
        st.integers(-3, 3), min_size=batch * n_steps * channels, max_size=batch * n_steps * channels
    )
    series = np.array(data.draw(cells)).reshape(batch, n_steps, channels)
    levels = st.lists(st.sampled_from([-3, -1, -0.5, 0, 1, 2.5]), min_size=k, max_size=k)
    thresholds = data.draw(
        st.one_of(levels, st.lists(levels, min_size=channels, max_size=channels)), label="thresholds"
    )
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
        ([[[0], [1j]]], [0], "series must be whole or real numbers, got complex128"),
        ([[["a"], ["b"]]], [0], "series must be whole or real numbers, got <U1"),
        ([[[0], [1]]], None, "thresholds must be whole or real numbers, got object"),
        ([[[0], [1, 2]]], [0], "series must be an array of numbers, got rows of different lengths"),
    ],
)
def test_what_is_refused(series, thresholds, message):
    with pytest.raises(InputError, match=message) as error:
        threshold_crossings(series, thresholds)
    assert "\n" not in str(error.value)
