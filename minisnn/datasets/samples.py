"""Labelled samples that become spike events a batch at a time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..checks import checked_labels
from ..errors import InputError
from ..spikes import SpikeEvents

__all__ = ["Dataset", "EventSamples", "Samples", "encode_events"]

# Samples encoded at a time: keeps the scratch of a whole training set to a few megabytes.
_CHUNK = 2048


class Samples(Protocol):
    """What training needs of one part of a data set."""

    @property
    def labels(self) -> NDArray[np.int64]:
        """(len(self),) classes, 0 ... n_classes - 1."""
        ...

    def __len__(self) -> int: ...

    def batch(self, indices: NDArray[np.integer[Any]], rng: np.random.Generator | None = None) -> SpikeEvents:
        """Events of the samples with these numbers; `rng` drives augmentation, None turns it off."""
        ...


@dataclass(frozen=True, eq=False)
class EventSamples:
    """Samples that are events already.

    Parameters
    ----------
    spikes : SpikeEvents
        One batch with all samples.
    labels : (len(spikes),) int64
        Their classes.

    Examples
    --------
    >>> samples = EventSamples(SpikeEvents.from_spike_times(np.array([[0], [1]]), n_steps=2), np.array([0, 1]))
    >>> len(samples), samples.batch(np.array([1])).indptr
    (2, array([0, 0, 1]))
    """

    spikes: SpikeEvents
    labels: NDArray[np.int64]

    def __post_init__(self) -> None:
        checked_labels(self.labels, len(self.spikes), 2**31)

    def __len__(self) -> int:
        return len(self.spikes)

    def batch(self, indices: NDArray[np.integer[Any]], rng: np.random.Generator | None = None) -> SpikeEvents:
        """Events of the samples with these numbers; nothing here is random."""
        return self.spikes[np.asarray(indices)]


@dataclass(frozen=True, eq=False)
class Dataset:
    """A data set with its training and test part, as events.

    Parameters
    ----------
    name : str
        Name by which it was asked for.
    train, test : Samples
        The two parts.
    n_inputs, n_classes, n_steps : int
        Input neurons, classes, and T.
    """

    name: str
    train: Samples
    test: Samples
    n_inputs: int
    n_classes: int
    n_steps: int


def encode_events(
    values: NDArray[Any], encode: Callable[[NDArray[Any]], NDArray[np.int32]], n_steps: int
) -> SpikeEvents:
    """Events of a whole part: `encode` turns values (samples, neurons) into spike times, chunk by chunk."""
    if not len(values):
        raise InputError("there must be at least one sample, got none")
    chunks = [
        SpikeEvents.from_spike_times(encode(values[k : k + _CHUNK]), n_steps)
        for k in range(0, len(values), _CHUNK)
    ]
    offsets = np.cumsum([0] + [chunk.n_events for chunk in chunks])
    pointers = [chunk.indptr[:-1] + offset for chunk, offset in zip(chunks, offsets)]
    indptr = np.concatenate([*pointers, offsets[-1:]])
    indices = np.concatenate([chunk.indices for chunk in chunks])
    return SpikeEvents._unchecked(indptr, indices, n_steps, values.shape[1], False)
