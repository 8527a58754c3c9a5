"""Spikes in memory: exact round trips, cheap slices, clear errors."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from minisnn import SpikeEvents
from minisnn.errors import InputError
from minisnn.model import first_spike_times

rasters = hnp.arrays(np.uint8, st.tuples(*[st.integers(1, 6)] * 3), elements=st.integers(0, 1))


@given(raster=rasters)
def test_raster_round_trip(raster):
    events = SpikeEvents.from_raster(raster)
    assert events.shape == raster.shape
    assert events.n_events == raster.sum()
    assert np.array_equal(events.to_raster(), raster)
    assert events.to_raster(np.float32).dtype == np.float32
    SpikeEvents(events.indptr, events.indices, events.n_steps, events.n_neurons)  # is valid


@given(counts=hnp.arrays(np.int64, st.tuples(*[st.integers(1, 5)] * 3), elements=st.integers(0, 4)))
def test_count_round_trip(counts):
    events = SpikeEvents.from_raster(counts, counts=True)
    assert events.n_events == counts.sum()
    assert np.array_equal(events.to_raster(np.int64), counts)


@given(data=st.data())
def test_spike_times_round_trip(data):
    batch, neurons, n_steps = (data.draw(st.integers(1, top)) for top in (4, 9, 7))
    times = data.draw(hnp.arrays(np.int32, (batch, neurons), elements=st.integers(0, n_steps)))
    events = SpikeEvents.from_spike_times(times, n_steps)
    assert np.array_equal(events.first_spike_times(), times)
    assert np.array_equal(first_spike_times(events.to_raster()), times)
    SpikeEvents(events.indptr, events.indices, n_steps, neurons)


@given(raster=rasters, seed=st.integers(0, 2**31))
def test_lists_in_any_order(raster, seed):
    lists = np.nonzero(raster)
    order = np.random.default_rng(seed).permutation(len(lists[0]))
    events = SpikeEvents.from_lists(*(column[order] for column in lists), shape=raster.shape)
    assert np.array_equal(events.to_raster(), raster)


@given(raster=rasters, data=st.data())
def test_selecting_samples(raster, data):
    events = SpikeEvents.from_raster(raster)
    n = len(raster)
    numbers = data.draw(st.lists(st.integers(-n, n - 1), max_size=8))
    mask = data.draw(hnp.arrays(bool, n))
    for chosen in (numbers, mask, slice(1, n), slice(None, None, -1), slice(n, 0)):
        part = events[np.asarray(chosen, int) if isinstance(chosen, list) else chosen]
        expected = raster[chosen] if len(np.shape(chosen)) == 0 or len(chosen) else raster[:0]
        assert part.shape == expected.shape
        assert np.array_equal(part.to_raster(), expected)


def test_a_slice_shares_the_events():
    events = SpikeEvents.from_raster(np.ones((4, 3, 2)))
    assert np.shares_memory(events[1:3].indices, events.indices)


def test_many_steps_need_wider_keys():
    times = np.array([[70000, 3, 69999]])
    assert np.array_equal(SpikeEvents.from_spike_times(times, 70000).first_spike_times(), times)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: SpikeEvents.from_raster(np.zeros((2, 3))), r"must have shape \(batch, time, neuron\)"),
        (lambda: SpikeEvents.from_raster(np.full((1, 1, 1), 3)), "0 or 1"),
        (lambda: SpikeEvents.from_raster(np.full((1, 1, 1), 1.5), counts=True), "whole numbers >= 0"),
        (lambda: SpikeEvents.from_raster(np.full((1, 1, 1), np.inf), counts=True), "whole numbers >= 0"),
        (lambda: SpikeEvents.from_spike_times(np.zeros((1, 2, 3), int), 4), "integers of shape"),
        (lambda: SpikeEvents.from_spike_times(np.zeros((1, 2)), 4), "integers of shape"),
        (lambda: SpikeEvents.from_spike_times(np.zeros((0, 2), int), 4), "at least one sample"),
        (
            lambda: SpikeEvents.from_spike_times(np.array([[5]]), 4),
            r"must lie in 0 ... 4 \(4 = never\), got 5",
        ),
        (lambda: SpikeEvents.from_lists([0], [4], [0], (1, 4, 1)), "step must lie in 0 ... 3, got 4 ... 4"),
        (lambda: SpikeEvents.from_lists([0], [0], [-1], (1, 4, 1)), "neuron must lie in 0 ... 0"),
        (lambda: SpikeEvents.from_lists([0.5], [0], [0], (1, 4, 1)), "sample must be a list of integers"),
        (lambda: SpikeEvents.from_lists([0, 0], [0], [0], (1, 4, 1)), "equally long"),
        (lambda: SpikeEvents.from_lists([0, 0], [0, 0], [0, 0], (1, 4, 1)), "listed twice in one step"),
        (lambda: SpikeEvents.from_lists([], [], [], (0, 4, 1)), "at least one sample"),
        (lambda: SpikeEvents.from_raster(np.ones((1, 1, 1)))[0], "by a slice or a list"),
        (lambda: events(indices=np.array([0, 7], np.int32)), "neurons must lie in 0 ... 2, got 0 ... 7"),
        (lambda: events(indices=np.array([1, 0], np.int32)), "ascending order"),
        (lambda: events(indptr=np.array([0, 2])), "batch . 2 . 1 entries"),
        (lambda: events(indptr=np.array([0, 3, 2])), "rise from 0 to the number of events"),
        (lambda: events(indptr=np.array([0, 1, 2], np.int32)), "list of int64"),
        (lambda: events(n_neurons=0), "at least one step and neuron"),
    ],
)
def test_wrong_events(build, message):
    with pytest.raises(InputError, match=message) as caught:
        build()
    assert "\n" not in str(caught.value)


def events(**change):
    arrays = {
        "indptr": np.array([0, 2, 2]),
        "indices": np.array([0, 1], np.int32),
        "n_steps": 2,
        "n_neurons": 3,
    }
    return SpikeEvents(**(arrays | change))


def test_a_count_that_does_not_fit():
    many = SpikeEvents.from_raster(np.full((1, 1, 1), 300), counts=True)
    with pytest.raises(InputError, match="300 does not fit into uint8"):
        many.to_raster()
