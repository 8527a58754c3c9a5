"""The metrics of every epoch, the epoch that they choose, and their mean over trainings."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["EpochMetrics", "Evaluation", "chosen_epoch", "mean_and_sd"]


class _Counts:
    """Neurons without information about the sample, over all hidden layers."""

    silent_per_layer: tuple[int, ...]
    always_firing_per_layer: tuple[int, ...]

    @property
    def silent_neurons(self) -> int:
        """Hidden neurons that fire for no sample."""
        return sum(self.silent_per_layer)

    @property
    def always_firing(self) -> int:
        """Hidden neurons that fire for every sample."""
        return sum(self.always_firing_per_layer)


@dataclass(frozen=True)
class Evaluation(_Counts):
    """Loss, accuracy and activity of a network on samples that it is not trained on.

    Parameters
    ----------
    loss : float
        Mean cross-entropy, in nats.
    accuracy : float
        Share of samples classified right, 0 to 1.
    spikes_per_layer : tuple of float
        Mean number of spikes per sample of every hidden layer.
    silent_per_layer, always_firing_per_layer : tuple of int
        Neurons of every hidden layer that fire for no sample, and for all of them.
    """

    loss: float
    accuracy: float
    spikes_per_layer: tuple[float, ...]
    silent_per_layer: tuple[int, ...]
    always_firing_per_layer: tuple[int, ...]

    @property
    def spikes_per_sample(self) -> float:
        """Mean number of hidden spikes per sample."""
        return sum(self.spikes_per_layer)


@dataclass(frozen=True)
class EpochMetrics(_Counts):
    """One line of metrics.jsonl.

    Accuracies are shares, 0 to 1; `validation_accuracy` is None if nothing was held out for validation. Spikes and
    counts of neurons are those on the test samples; `seconds` is the time of training without evaluation.
    """

    epoch: int
    train_loss: float
    train_accuracy: float
    validation_accuracy: float | None
    test_accuracy: float
    spikes_per_sample: float
    spikes_per_layer: tuple[float, ...]
    silent_per_layer: tuple[int, ...]
    always_firing_per_layer: tuple[int, ...]
    learning_rate: float
    seconds: float


def chosen_epoch(history: Sequence[EpochMetrics]) -> EpochMetrics:
    """The epoch that a training ends with: the first with the best validation accuracy, or the last without validation.

    It does not depend on the test samples.
    """
    if history[-1].validation_accuracy is None:
        return history[-1]
    return max(history, key=lambda metrics: metrics.validation_accuracy or 0.0)


def mean_and_sd(values: Sequence[float | None]) -> tuple[float | None, float | None]:
    """Mean of values, and standard deviation of the population they are a sample of; None if there is none.

    Examples
    --------
    >>> mean_and_sd([1.0, 3.0]), mean_and_sd([1.0]), mean_and_sd([None])
    ((2.0, 1.4142135623730951), (1.0, None), (None, None))
    """
    known = [value for value in values if value is not None]
    if len(known) < len(values):
        return None, None
    return statistics.fmean(known), statistics.stdev(known) if len(known) > 1 else None
