"""A classifier for scikit-learn: features become spike times, and a network of single-spike neurons learns them.

Every feature is scaled to [0, 1] by the samples that the classifier was fitted on and fires once: the larger, the
sooner (`minisnn.datasets.pixel_times`).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import solvers
from .datasets.encoding import ENCODINGS
from .datasets.features import feature_range, feature_times
from .datasets.samples import Dataset, EventSamples, Subset, split
from .errors import InputError, import_extra, shown
from .loss import softmax_cross_entropy
from .network import Network, Outcome
from .parameters import NetworkConfig
from .reading import checked_count, checked_flag, checked_float, checked_name, refuse_masked
from .solvers.compiled.workspace import Workspace
from .spikes import SpikeEvents
from .streams import say
from .training import EpochMetrics, TrainingConfig, chosen_epoch, train
from .training.loop import divergence_named, train_epoch
from .training.optimiser import Adam

import_extra("sklearn", "sklearn", "sklearn", "minisnn.sklearn builds on")

from sklearn.base import BaseEstimator, ClassifierMixin  # noqa: E402
from sklearn.utils import check_random_state  # noqa: E402
from sklearn.utils.multiclass import check_classification_targets  # noqa: E402
from sklearn.utils.validation import check_is_fitted, validate_data  # noqa: E402

__all__ = ["SingleSpikeClassifier"]

_SOLVER = "numba-parallel"
_SEEDS = 2**31 - 1


def _whole_or_not(method: Callable[..., Any]) -> Callable[..., Any]:
    """A method that leaves the classifier with the attributes it had if it raises."""

    @functools.wraps(method)
    def wrapped(self: Any, *arguments: Any, **named: Any) -> Any:
        before = vars(self).copy()
        try:
            return method(self, *arguments, **named)
        except BaseException:
            vars(self).clear()
            vars(self).update(before)
            raise

    return wrapped


class SingleSpikeClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Network of neurons that spike at most once, as a scikit-learn classifier.

    Parameters
    ----------
    hidden : int or tuple of int
        Neurons of every hidden layer.
    encoding : {"linear", "sparse", "root", "log"}
        How a feature becomes a spike time; except in "linear" the smallest value of a feature stays silent.
    n_steps : int
        Time steps T of a sample. Features are read to 1/255 of their range.
    epochs : int
        Passes over the samples in `fit`.
    lr : float
        Learning rate at the start; `fit` lowers it along half a cosine, `partial_fit` keeps it.
    batch_size : int
        Samples per step.
    hidden_gain : float
        Factor on the initial weights of the first hidden layer. With few features a large one lets neurons fire.
    spike_penalty : float
        Weight of the mean number of hidden spikes per sample in the training loss; 0.001 or so saves most of them.
    validation_fraction : float
        Share of the samples that `fit` holds out to choose the best epoch by, of every class alike; 0 holds
        out none, and the last epoch counts.
    random_state : int, RandomState or None
        Of the initial weights, the order of samples, and those held out. One number gives the same bits.
    warm_start : bool
        Whether `fit` goes on from the network there is, with the scaling it was made with.
    verbose : bool
        Say a line for every epoch on standard error.

    Attributes
    ----------
    classes_ : (n_classes,) array
        Labels, in the order of the network's outputs.
    network_ : Network
        The trained network.
    feature_low_, feature_range_ : (n_features,) float64
        Smallest value of every feature, and its range (1 where a feature is constant).
    loss_curve_ : list of float
        Mean training loss of every epoch, in nats: cross-entropy and spike penalty.
    n_iter_ : int
        Epochs trained.
    n_features_in_, feature_names_in_
        As for every scikit-learn estimator.

    Examples
    --------
    >>> features, labels = np.array([[0.0, 1.0], [1.0, 0.0]] * 16), np.array(["late", "early"] * 16)
    >>> classifier = SingleSpikeClassifier(hidden=20, epochs=30, random_state=0).fit(features, labels)
    >>> classifier.predict([[0.1, 0.9], [0.8, 0.2]]).tolist()
    ['late', 'early']
    """

    def __init__(
        self,
        hidden: int | Sequence[int] = (100,),
        *,
        encoding: str = "linear",
        n_steps: int = 30,
        epochs: int = 60,
        lr: float = 5e-3,
        batch_size: int = 32,
        hidden_gain: float = 2.0,
        spike_penalty: float = 0.0,
        validation_fraction: float = 0.0,
        random_state: Any = None,
        warm_start: bool = False,
        verbose: bool = False,
    ) -> None:
        self.hidden = hidden
        self.encoding = encoding
        self.n_steps = n_steps
        self.epochs = epochs
        self.lr = lr
        self.batch_size = batch_size
        self.hidden_gain = hidden_gain
        self.spike_penalty = spike_penalty
        self.validation_fraction = validation_fraction
        self.random_state = random_state
        self.warm_start = warm_start
        self.verbose = verbose

    # ---- fitting -------------------------------------------------------------------------------------

    @_whole_or_not
    def fit(self, X: Any, y: Any) -> SingleSpikeClassifier:
        """Train on features X (n_samples, n_features) and their labels y (n_samples,).

        Raises
        ------
        InputError
            For a parameter that is none, or samples too few to hold any out.
        """
        rng, verbose = check_random_state(self.random_state), checked_flag("verbose", self.verbose)
        going_on = checked_flag("warm_start", self.warm_start) and hasattr(self, "network_")
        X, y = _validated(self, X, y, reset=not going_on)
        if not going_on:
            self._begin(X, _classes(y), rng)
        samples = self._samples(X, self._codes(y))
        config = self._training("cosine", rng)
        seed, share = config.seed, checked_float("validation_fraction", self.validation_fraction, low=0)
        # No samples are tested: the first one stands in.
        tested, sizes = Subset(samples, np.arange(1)), (X.shape[1], len(self.classes_), self.n_steps)
        dataset = Dataset("the samples", samples, tested, *sizes)
        if share:
            if not share < 1:
                raise InputError(f"validation_fraction must be below 1, got {share:g}")
            dataset = split(dataset, max(1, round(share * len(samples))), seed)
        history = train(self.network_, dataset, config, on_epoch=_say if verbose else None)
        self.loss_curve_ = [metrics.train_loss for metrics in history]
        self.n_iter_ = chosen_epoch(history).epoch
        self._moments: dict[str, Any] = {}
        return self

    @_whole_or_not
    def partial_fit(self, X: Any, y: Any, classes: Any = None) -> SingleSpikeClassifier:
        """Train for one pass over these samples, with a constant learning rate.

        Parameters
        ----------
        X, y : (n_samples, n_features), (n_samples,)
            Features and labels. Those of the first call set the scale of every feature.
        classes : array, optional
            All labels there will be; needed in the first call unless `y` has them all.
        """
        rng = check_random_state(self.random_state)
        first = not hasattr(self, "network_")
        X, y = _validated(self, X, y, reset=first)
        if first:
            self._begin(X, _classes(y if classes is None else classes), rng)
        elif classes is not None and not np.array_equal(_classes(classes), self.classes_):
            raise InputError("classes must be those of the first call of partial_fit")
        samples, config = self._samples(X, self._codes(y)), self._training("constant", rng)
        network = self.network_
        optimiser = Adam(network.own_parameters(), network.learns, solvers.get(_SOLVER))
        if self._moments:
            optimiser.load_arrays(self._moments)
        # The number of the pass draws another order of the samples each time.
        with divergence_named(network, optimiser, self.n_iter_):
            loss, _, _ = train_epoch(
                network, samples, samples.labels, config, self.n_iter_, optimiser, Workspace(), quiet=True
            )
        self._moments, self.loss_curve_ = optimiser.to_arrays(), [*self.loss_curve_, loss]
        self.n_iter_ += 1
        return self

    def _begin(self, features: NDArray[Any], classes: NDArray[Any], rng: Any) -> None:
        """Take the classes and the scale of every feature, and draw a network."""
        hidden = self.hidden if isinstance(self.hidden, Sequence) else (self.hidden,)
        checked_name("encoding", self.encoding, ENCODINGS)
        checked_count("n_steps", self.n_steps, low=1)
        config = NetworkConfig(
            (features.shape[1], *hidden, len(classes)),
            hidden_gain=self.hidden_gain,
            # Chosen by three folds of the digits, wine and breast-cancer data of scikit-learn.
            logit_scale=0.2,
            surrogate_scale=20.0,
            hidden_decay=0.98,
        )
        self.classes_ = classes
        self.feature_low_, self.feature_range_ = feature_range(features.astype(np.float64))
        self.network_ = Network.random(config, rng.randint(_SEEDS))
        self.loss_curve_, self.n_iter_, self._moments = [], 0, {}

    def _codes(self, y: Any) -> NDArray[np.int64]:
        """Numbers of labels among the classes."""
        numbers = {label: k for k, label in enumerate(self.classes_.tolist())}
        labels = np.asarray(y).tolist()
        unknown = [label for label in labels if label not in numbers]
        if unknown:
            raise InputError(
                f"y must hold labels of the first fit, {shown(list(numbers))}, got {shown(unknown[0])}"
            )
        return np.array([numbers[label] for label in labels], dtype=np.int64)

    def _training(self, schedule: str, rng: Any) -> TrainingConfig:
        # A copy, so that the one before is left if this fit fails; it may have another penalty.
        config = replace(self.network_.config, spike_penalty=self.spike_penalty)
        self.network_ = Network(config, self.network_.parameters)
        seed = rng.randint(_SEEDS)
        return TrainingConfig(self.epochs, self.batch_size, self.lr, schedule, solver=_SOLVER, seed=seed)

    # ---- predicting ----------------------------------------------------------------------------------

    def decision_function(self, X: Any) -> NDArray[Any]:
        """Logits (n_samples, n_classes); with two classes that of the second less that of the first (n_samples,)."""
        logits = self._logits(X)
        return logits[:, 1] - logits[:, 0] if len(self.classes_) == 2 else logits

    def predict_proba(self, X: Any) -> NDArray[Any]:
        """Softmax of the logits, (n_samples, n_classes)."""
        logits = self._logits(X).astype(np.float64)
        probabilities: NDArray[Any] = softmax_cross_entropy(logits, np.zeros(len(logits), dtype=np.int64))[1]
        return probabilities

    def predict(self, X: Any) -> NDArray[Any]:
        """Labels of the largest logits, (n_samples,)."""
        best = self._logits(X).argmax(axis=1)
        labels: NDArray[Any] = self.classes_[best]
        return labels

    def spikes_per_sample(self, X: Any) -> float:
        """Mean number of hidden spikes of a sample of X."""
        outcome = self._outcome(X)
        return float(outcome.spike_counts().sum()) / len(outcome.logits)

    def _logits(self, X: Any) -> NDArray[Any]:
        logits: NDArray[Any] = self._outcome(X).logits
        return logits

    def _outcome(self, X: Any) -> Outcome:
        check_is_fitted(self)
        X = _validated(self, X, reset=False)
        return self.network_.predict(self._events(X), solver=_SOLVER)

    def _samples(self, features: NDArray[Any], codes: NDArray[np.int64]) -> EventSamples:
        self._encoded = self.n_steps, self.encoding  # which predictions keep until the next fit
        return EventSamples(self._events(features), codes)

    def _events(self, features: NDArray[Any]) -> SpikeEvents:
        """Features as spikes; those beyond the range that was fitted count as its ends."""
        range_, (n_steps, encoding) = (self.feature_low_, self.feature_range_), self._encoded
        times = feature_times(features.astype(np.float64), *range_, n_steps, encoding)
        return SpikeEvents.from_spike_times(times, n_steps)


def _validated(classifier: SingleSpikeClassifier, X: Any, *y: Any, reset: bool) -> Any:
    """scikit-learn's reading of features, and labels if there are any, which would forget a mask."""
    for name, value in zip("Xy", (X, *y)):
        refuse_masked(name, value)
    return validate_data(classifier, X, *y, dtype="numeric", reset=reset)


def _classes(labels: Any) -> NDArray[Any]:
    check_classification_targets(labels)
    return np.unique(labels)


def _say(metrics: EpochMetrics) -> None:
    share = metrics.validation_accuracy
    held_out = "" if share is None else f", validation accuracy {100 * share:.2f} %"
    say(f"epoch {metrics.epoch}: loss {metrics.train_loss:.4f}{held_out}")
