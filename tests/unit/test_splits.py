"""Validation splits and folds: every sample in one place, classes in proportion, one seed one split."""

from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minisnn import SpikeEvents
from minisnn.datasets.samples import Dataset, EventSamples, Subset, folds, split
from minisnn.errors import InputError
from tests.helpers import one_line


def dataset(labels):
    """Samples that can be told apart: sample k spikes at step k."""
    n = len(labels)
    part = EventSamples(SpikeEvents.from_spike_times(np.arange(n)[:, None], n_steps=n), np.array(labels))
    return Dataset("own", part, part, n_inputs=1, n_classes=int(max(labels)) + 1, n_steps=n)


def numbers(samples):
    """Which samples of `dataset` these are, told from their spikes."""
    times = samples.batch(np.arange(len(samples))).first_spike_times()[:, 0]
    assert np.array_equal(times, samples.indices)
    return set(times.tolist())


LABELS = st.lists(st.integers(0, 4), min_size=2, max_size=60)


@given(LABELS, st.data(), st.integers(0, 5))
def test_a_split_keeps_every_sample_and_every_share(labels, draw, seed):
    n = draw.draw(st.integers(1, len(labels) - 1))
    data = dataset(labels)
    parts = split(data, n, seed)
    train, validation = numbers(parts.train), numbers(parts.validation)
    assert len(validation) == n
    assert train | validation == set(range(len(labels)))
    assert not train & validation
    for c in set(labels):
        share = n * labels.count(c) / len(labels)
        assert abs(np.count_nonzero(parts.validation.labels == c) - share) < 1
    assert numbers(split(data, n, seed).validation) == validation
    assert parts.test is data.test


@given(LABELS, st.data(), st.integers(0, 5))
def test_every_sample_validates_in_exactly_one_fold(labels, draw, seed):
    smallest = min(labels.count(c) for c in set(labels))
    data = dataset(labels)
    if smallest < 2:
        with one_line(InputError, f"at most {smallest} "):
            folds(data, 2, seed)
        return
    k = draw.draw(st.integers(2, smallest))
    parts = folds(data, k, seed)
    held_out = [numbers(part.validation) for part in parts]
    assert sorted(number for fold in held_out for number in fold) == list(range(len(labels)))
    assert max(map(len, held_out)) - min(map(len, held_out)) <= 1
    for part, fold in zip(parts, held_out, strict=True):
        assert numbers(part.train) == set(range(len(labels))) - fold
    for c in set(labels):
        counts = [np.count_nonzero(part.validation.labels == c) for part in parts]
        assert max(counts) - min(counts) <= 1
    assert [numbers(part.validation) for part in folds(data, k, seed)] == held_out


def test_seeds_split_differently():
    data = dataset([0, 1] * 50)
    assert len({tuple(split(data, 20, seed).validation.indices) for seed in range(5)}) == 5
    assert len({tuple(folds(data, 5, seed)[0].validation.indices) for seed in range(5)}) == 5


def test_training_samples_are_augmented_and_validation_samples_are_not():
    class Watched:
        labels = np.array([0, 1] * 4)

        def __len__(self):
            return 8

        def batch(self, indices, rng=None):
            return indices.tolist(), rng

    parts = split(Dataset("own", Watched(), Watched(), 1, 2, 1), 2, seed=0)
    rng = np.random.default_rng(0)
    assert parts.train.batch(np.array([5]), rng) == ([parts.train.indices[5]], rng)
    assert parts.validation.batch(np.array([1])) == ([parts.validation.indices[1]], None)


PAIRS = dataset([0, 1] * 4)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        *((partial(split, PAIRS, n), r"must number 1 \.\.\. 7 of the 8 for training, got")
          for n in (0, -1, 8, 2.5, None)),
        *((partial(folds, dataset([0, 0, 0, 1, 1]), k), r"at most 2 \(class 1 has 2 training samples\), got")
          for k in (1, 0, 3, 2.0)),
        *((partial(again, split(PAIRS, 2), 2), "own has a validation part already") for again in (split, folds)),
        *((partial(Subset, PAIRS.train, np.array(some)), "indices must") for some in ([], [[0]], [0.5], [-1], [0, 8])),
    ],
)  # fmt: skip
def test_what_does_not_fit(call, message):
    with one_line(InputError, message):
        call()
