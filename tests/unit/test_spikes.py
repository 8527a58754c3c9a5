"""Spikes in memory: exact round trips, cheap slices, clear errors."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from minisnn import SpikeEvents
from minisnn.errors import InputError
from minisnn.model import first_spike_times
from tests.helpers import one_line

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


def test_many_steps_need_wider_keys():
    times = np.array([[70000, 3, 69999]])
    assert np.array_equal(SpikeEvents.from_spike_times(times, 70000).first_spike_times(), times)


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


def events(**change):
    arrays = {
        "indptr": np.array([0, 2, 2]),
        "indices": np.array([0, 1], np.int32),
        "n_steps": 2,
        "n_neurons": 3,
    }
    return SpikeEvents(**(arrays | change))


ONE = np.ones((1, 1, 1))


def counted(count, *dtype):
    return SpikeEvents.from_raster(np.full((1, 1, 1), count, *dtype), counts=True)


def times(values, n_steps=4):
    return SpikeEvents.from_spike_times(values, n_steps)


def lists(*columns, shape=(1, 4, 1)):
    return SpikeEvents.from_lists(*columns, shape)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: SpikeEvents.from_raster(np.zeros((2, 3))), r"must have shape \(batch, time, neuron\)"),
        (lambda: SpikeEvents.from_raster(3 * ONE), "0 or 1"),
        (lambda: SpikeEvents.from_raster([events(), events()]), "spikes must be .*SpikeEvents are no array"),
        (lambda: counted(1.5), "whole numbers >= 0"),
        (lambda: counted(np.inf), "whole numbers >= 0"),
        (lambda: counted(1e300), "<= 2147483647, got 1e.300"),
        (lambda: counted(np.inf, "f2"), "got inf"),
        (lambda: times(np.zeros((1, 2, 3), int)), "integers of shape"),
        (lambda: times(np.zeros((1, 2))), "integers of shape"),
        (lambda: times(np.zeros((0, 2), int)), "at least one sample"),
        (lambda: times([[5]]), r"must lie in 0 ... 4 \(4 = never\), got 5"),
        (lambda: lists([0], [4], [0]), "step must lie in 0 ... 3, got 4 ... 4"),
        (lambda: lists([0], [0], [-1]), "neuron must lie in 0 ... 0"),
        (lambda: lists([0, 0], [0], [0]), "equally long"),
        (lambda: lists([0, 0], [0, 0], [0, 0]), "listed twice in one step"),
        (lambda: lists([], [], [], shape=(0, 4, 1)), "at least one sample"),
        (lambda: lists([0], [0], [0], shape=(1, 2.0, 1)), "every size of shape must be a whole"),
        (lambda: lists([0], [0], [0], shape=5), r"shape must be \(batch, time, neuron\), got 5"),
        *[
            (lambda key=key: SpikeEvents.from_raster(ONE)[key], "by a slice or a list")
            for key in (0, np.int64(0), 7, -1, 0.5, None, "a", [[0]], [0.5], [True, False])
        ],
        (lambda: SpikeEvents.from_raster(ONE)[0, 0], r"selected alone, events\[samples\]"),
        (lambda: SpikeEvents.from_raster(ONE)[[0, 1]], r"samples must lie in 0 \.\.\. 0, got 0 "),
        (lambda: SpikeEvents.from_raster(ONE)[:0.5], "slice indices must be integers"),
        (lambda: list(events()), "for one use"),
        (lambda: np.asarray(events()), r"SpikeEvents are no array: .*events\.to_raster\(\)"),
        (lambda: np.asarray([events(), events()]), "SpikeEvents are no array"),
        *[
            (lambda dtype=dtype: events().to_raster(dtype), "dtype must be bool, integer or float")
            for dtype in (complex, object, "U1", "M8[s]", "foo", [("a", int)])
        ],
        (lambda: events(indices=np.array([0, 7], np.int32)), "neurons must lie in 0 ... 2, got 0 ... 7"),
        (lambda: events(indices=np.array([1, 0], np.int32)), "ascending order"),
        (lambda: events(indices=np.array([0, 2**32 + 1])), "neurons must lie in 0 ... 2, got 0 ... 4294967297"),
        (lambda: events(indptr=np.array([0, 2])), "batch . 2 . 1 entries"),
        (lambda: events(indptr=np.array([0, 3, 2])), "rise from 0 to the number of events"),
        (lambda: events(indptr=np.array([0, 1, 2**64 - 1], np.uint64)), "rise from 0"),
        (lambda: events(n_neurons=0), "at least one step and neuron"),
        (lambda: events(counts="no"), "counts must be True or False, got 'no'"),
    ],
)  # fmt: skip
def test_wrong_events(build, message):
    with one_line(InputError, message):
        build()


@pytest.mark.parametrize(
    ("count", "dtype"),
    [(300, "uint8"), (2, "bool"), (2049, "float16"), (70000, "float16"), (2**24 + 1, "float32")],
)
def test_a_count_that_does_not_fit(count, dtype):
    many = SpikeEvents([0, count], np.zeros(count, np.int32), 1, 1, counts=True)
    with one_line(InputError, f"{count} does not fit into {dtype}"):
        many.to_raster(dtype)
    assert many.to_raster(">i8").item() == count


def test_events_own_their_arrays():
    indptr, indices = np.array([0, 2, 2]), np.array([0, 1], np.int32)
    kept = events(indptr=indptr, indices=indices)
    indptr[:], indices[:] = 9, 9
    assert kept.to_raster().tolist() == [[[1, 1, 0], [0, 0, 0]]]
