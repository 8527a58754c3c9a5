"""The metrics of every epoch, the epoch that they choose, and their mean over trainings."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["EpochMetrics", "Evaluation", "chosen_epoch", "mean_and_sd"]


class _Counts:
    """Sums over layers: neurons without information about the sample, and operations of an inference."""

    spikes_per_layer: tuple[float, ...]
    silent_per_layer: tuple[int, ...]
    always_firing_per_layer: tuple[int, ...]
    effective_acs_per_layer: tuple[float, ...]
    membrane_updates_per_layer: tuple[float, ...]
    dense_per_layer: tuple[float, ...]

    @property
    def silent_neurons(self) -> int:
        """Hidden neurons that fire for no sample."""
        return sum(self.silent_per_layer)

    @property
    def always_firing(self) -> int:
        """Hidden neurons that fire for every sample."""
        return sum(self.always_firing_per_layer)

    @property
    def effective_acs(self) -> float | None:
        """Additions of weights in an inference; None in the metrics of a version that did not count them."""
        return sum(self.effective_acs_per_layer) if self.effective_acs_per_layer else None

    @property
    def membrane_updates(self) -> float | None:
        """Updates of potentials in an inference, or None as before."""
        return sum(self.membrane_updates_per_layer) if self.membrane_updates_per_layer else None

    @property
    def dense(self) -> float | None:
        """Products of a dense network of the same shape in an inference, or None as before."""
        return sum(self.dense_per_layer) if self.dense_per_layer else None

    @property
    def activation_sparsity(self) -> float | None:
        """Share of hidden neurons and steps without a spike, or None as before."""
        cells = sum(self.membrane_updates_per_layer[:-1])
        return 1 - sum(self.spikes_per_layer) / cells if cells else None


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
    input_events : float
        Mean number of input events per sample.
    effective_acs_per_layer, membrane_updates_per_layer, dense_per_layer : tuple of numbers
        Operations per sample of every layer with weights, see `minisnn.training.energy`.
    """

    loss: float
    accuracy: float
    spikes_per_layer: tuple[float, ...]
    silent_per_layer: tuple[int, ...]
    always_firing_per_layer: tuple[int, ...]
    input_events: float
    effective_acs_per_layer: tuple[float, ...]
    membrane_updates_per_layer: tuple[float, ...]
    dense_per_layer: tuple[float, ...]

    @property
    def spikes_per_sample(self) -> float:
        """Mean number of hidden spikes per sample."""
        return sum(self.spikes_per_layer)


@dataclass(frozen=True)
class EpochMetrics(_Counts):
    """One line of metrics.jsonl.

    Accuracies are shares, 0 to 1; `validation_accuracy` is None if nothing was held out for validation. Spikes, events,
    operations and counts of neurons are those on the test samples; `seconds` is the time of training without
    evaluation. Runs of a version that did not count operations have none.
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
    input_events: float | None = None
    effective_acs_per_layer: tuple[float, ...] = ()
    membrane_updates_per_layer: tuple[float, ...] = ()
    dense_per_layer: tuple[float, ...] = ()


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
