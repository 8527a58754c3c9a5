"""Labelled samples that become spike events a batch at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..checks import checked_labels
from ..errors import InputError, shown
from ..reading import check_within, checked_count, checked_indices, checked_type, read_array, whole_number
from ..spikes import LARGEST, SpikeEvents


class Samples(Protocol):
    """One part of a data set, as training uses it."""

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
    labels : (len(spikes),) integer
        Their classes; kept as an int64 array of its own.

    Examples
    --------
    >>> samples = EventSamples(SpikeEvents.from_spike_times(np.array([[0], [1]]), n_steps=2), np.array([0, 1]))
    >>> len(samples), samples.batch(np.array([1])).indptr
    (2, array([0, 0, 1]))
    """

    spikes: SpikeEvents
    labels: NDArray[np.int64]

    def __post_init__(self) -> None:
        if not isinstance(self.spikes, SpikeEvents):
            raise InputError(
                f"spikes must be SpikeEvents, got {type(self.spikes).__name__}; SpikeEvents.from_raster makes them"
            )
        object.__setattr__(self, "labels", checked_labels(self.labels, len(self.spikes), 2**31))

    def __len__(self) -> int:
        return len(self.spikes)

    def batch(self, indices: NDArray[np.integer[Any]], rng: np.random.Generator | None = None) -> SpikeEvents:
        """Events of the samples with these numbers; nothing here is random."""
        return self.spikes[checked_indices(indices, len(self))]


@dataclass(frozen=True, eq=False)
class Subset:
    """Some of the samples of a part, as a part of its own.

    Parameters
    ----------
    samples : Samples
        The part; nothing is copied.
    indices : (n,) integers
        Their numbers there, at least one.

    Examples
    --------
    >>> samples = EventSamples(SpikeEvents.from_spike_times(np.array([[0], [1]]), n_steps=2), np.array([0, 1]))
    >>> part = Subset(samples, np.array([1]))
    >>> len(part), part.labels, part.batch(np.array([0])).indptr
    (1, array([1]), array([0, 0, 1]))
    """

    samples: Samples
    indices: NDArray[np.integer[Any]]

    def __post_init__(self) -> None:
        indices = read_array("indices", self.indices)
        if indices.dtype.kind not in "iu" or indices.ndim != 1 or not indices.size:
            raise InputError(f"indices must be at least one integer, got {shown(self.indices)}")
        check_within("indices", indices, len(self.samples))
        object.__setattr__(self, "indices", indices.astype(np.int64))

    @cached_property
    def labels(self) -> NDArray[np.int64]:
        """(len(self),) classes."""
        labels = checked_labels(self.samples.labels, len(self.samples), 2**31)
        chosen: NDArray[np.int64] = labels[self.indices]
        return chosen

    def __len__(self) -> int:
        return len(self.indices)

    def batch(self, indices: NDArray[np.integer[Any]], rng: np.random.Generator | None = None) -> SpikeEvents:
        """Events of the samples with these numbers, counted within the subset."""
        return self.samples.batch(self.indices[checked_indices(indices, len(self))], rng)


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
    validation : Samples, optional
        Samples to choose the best epoch by; see `split` and `folds`.
    class_names : sequence of str
        A name for every class, or none.
    fingerprint : str
        Digest of the content of a file of your own; see `minisnn.datasets.own`.

    Raises
    ------
    InputError
        If a part is empty, has labels beyond the classes, or events of another number of steps or inputs.
    """

    name: str
    train: Samples
    test: Samples
    n_inputs: int
    n_classes: int
    n_steps: int
    validation: Samples | None = None
    class_names: Sequence[str] = ()
    fingerprint: str = ""

    def __post_init__(self) -> None:
        for name in ("n_inputs", "n_classes", "n_steps"):
            object.__setattr__(self, name, checked_count(name, getattr(self, name), low=1, high=LARGEST))
        names = read_array("class_names", self.class_names)
        if names.size and (names.dtype.kind != "U" or names.shape != (self.n_classes,)):
            raise InputError(
                f"class_names must be {self.n_classes} texts, one for every class, "
                f"got {names.dtype} of shape {names.shape}"
            )
        object.__setattr__(self, "class_names", tuple(names.tolist()))
        for part in ("train", "test", "validation"):
            samples = getattr(self, part)
            if samples is None and part == "validation":
                continue
            checked_part(f"the {part} part", samples, self.n_classes)
            events = samples.batch(np.arange(1))
            if isinstance(events, SpikeEvents) and events.shape[1:] != (self.n_steps, self.n_inputs):
                raise InputError(
                    f"the {part} part must have {self.n_steps} steps and {self.n_inputs} inputs, "
                    f"got {events.n_steps} and {events.n_neurons}"
                )

    @property
    def classes(self) -> list[str]:
        """Name of every class, or its number as text."""
        return list(self.class_names) or [str(number) for number in range(self.n_classes)]


def checked_part(name: str, samples: Any, n_classes: int) -> NDArray[np.int64]:
    """Labels of samples, if there are some and all are classes; `name` names the part in errors."""
    if not all(hasattr(samples, attribute) for attribute in ("labels", "batch", "__len__")):
        raise InputError(
            f"{name} must be samples, got {type(samples).__name__}; EventSamples(spikes, labels) makes them"
        )
    if not len(samples):
        raise InputError(f"{name} must have at least one sample, got none")
    return checked_labels(samples.labels, len(samples), n_classes, f"labels of {name}")


def split(dataset: Dataset, n_validation: int, seed: int = 0) -> Dataset:
    """Hold some training samples out for validation.

    Every class keeps its share in both parts, to the nearest sample. Validation samples are not augmented.

    Parameters
    ----------
    dataset : Dataset
        Without a validation part; left unchanged.
    n_validation : int
        How many training samples to hold out.
    seed : int
        Different seeds hold out different samples.

    Returns
    -------
    dataset : Dataset
        With `train` and `validation` as parts of the training samples, and `test` as it was.

    Raises
    ------
    InputError
        If there is a validation part already, or nothing would be left in one of the parts.

    Examples
    --------
    >>> spikes = SpikeEvents.from_spike_times(np.zeros((8, 1), dtype=int), n_steps=2)
    >>> part = EventSamples(spikes, np.array([0, 0, 0, 0, 0, 0, 1, 1]))
    >>> data = split(Dataset("own", part, part, 1, 2, 2), n_validation=4)
    >>> data.train.labels, data.validation.labels
    (array([0, 0, 0, 1]), array([0, 0, 0, 1]))
    """
    labels, rng = _labels_to_part(dataset, seed)
    number = whole_number(n_validation)
    if number is None or not 1 <= number < len(labels):
        raise InputError(
            f"validation samples must number 1 ... {len(labels) - 1} of the {len(labels)} for training, "
            f"got {shown(n_validation)}"
        )
    classes, counts = np.unique(labels, return_counts=True)
    # Largest remainder, in whole numbers: number * counts / len(labels), rounded to add up.
    taken, left_over = np.divmod(number * counts, len(labels))
    taken[np.argsort(-left_over, kind="stable")[: number - int(taken.sum())]] += 1
    chosen = [rng.permutation(np.flatnonzero(labels == c))[:n] for c, n in zip(classes, taken)]
    return _parted(dataset, np.concatenate(chosen))


def folds(dataset: Dataset, k: int, seed: int = 0) -> list[Dataset]:
    """Divide the training samples into k folds, each of which validates a training on the others.

    Parameters
    ----------
    dataset : Dataset
        Without a validation part; left unchanged.
    k : int
        Number of folds, at least 2 and at most the size of the smallest class.
    seed : int
        Different seeds give different folds.

    Returns
    -------
    datasets : list of Dataset
        One for every fold; sizes of folds differ by one sample at most, and so do the counts of any class.

    Raises
    ------
    InputError
        If there is a validation part already, or k does not fit.
    """
    labels, rng = _labels_to_part(dataset, seed)
    classes, counts = np.unique(labels, return_counts=True)
    number = whole_number(k)
    if number is None or not 2 <= number <= counts.min():
        smallest = f"class {classes[counts.argmin()]} has {counts.min()} training samples"
        raise InputError(
            f"folds must number at least 2 and at most {counts.min()} ({smallest}), got {shown(k)}"
        )
    # Class after class is dealt out like cards, going on with the fold after the last.
    dealt = np.concatenate([rng.permutation(np.flatnonzero(labels == c)) for c in classes])
    return [_parted(dataset, dealt[fold::number]) for fold in range(number)]


def _labels_to_part(dataset: Dataset, seed: int) -> tuple[NDArray[np.int64], np.random.Generator]:
    checked_type("dataset", dataset, Dataset)
    if dataset.validation is not None:
        raise InputError(f"{dataset.name} has a validation part already: split the data set as it was loaded")
    # Three numbers, so that no other use of the same seed draws the same.
    rng = np.random.default_rng([checked_count("seed", seed), 0, 1])
    return checked_labels(dataset.train.labels, len(dataset.train), dataset.n_classes), rng


def _parted(dataset: Dataset, validation: NDArray[np.int64]) -> Dataset:
    kept = np.setdiff1d(np.arange(len(dataset.train)), validation)
    train, held_out = Subset(dataset.train, kept), Subset(dataset.train, np.sort(validation))
    return replace(dataset, train=train, validation=held_out)
