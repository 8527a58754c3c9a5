"""From the potential of the readout to a loss: softmax cross-entropy (after Eq. 17)."""

from __future__ import annotations

from typing import Any

import array_api_compat
import numpy as np
from numpy.typing import NDArray

from .checks import checked_labels
from .model import Array

__all__ = ["softmax_cross_entropy", "softmax_cross_entropy_backward"]


def softmax_cross_entropy(logits: Array, labels: NDArray[np.int64]) -> tuple[float, Array]:
    """Softmax cross-entropy, mean over the batch, with the probabilities it was made of.

    Parameters
    ----------
    logits : (B, n_classes) float32 or float64
        Logits of Eq. 17.
    labels : (B,) integer
        Class of every sample, 0 ... n_classes - 1.

    Returns
    -------
    loss : float
        Mean of ``-log p[label]``, in nats.
    probabilities : (B, n_classes)
        ``p = softmax(logits)``.

    Raises
    ------
    InputError
        For labels that are no class: they would count as a loss of 0.

    Examples
    --------
    >>> loss, p = softmax_cross_entropy(np.zeros((1, 4)), np.array([2]))
    >>> round(loss, 4), p[0]
    (1.3863, array([0.25, 0.25, 0.25, 0.25]))
    """
    labels = checked_labels(labels, *logits.shape)
    xp = array_api_compat.array_namespace(logits)
    shifted = logits - xp.max(logits, axis=1, keepdims=True)
    exponential = xp.exp(shifted)
    total = xp.sum(exponential, axis=1, keepdims=True)
    log_p = shifted - xp.log(total)
    loss = -xp.sum(log_p * _one_hot(logits, labels)) / logits.shape[0]
    return float(loss), exponential / total


def softmax_cross_entropy_backward(probabilities: Array, labels: NDArray[np.int64]) -> Array:
    """Gradient of the mean cross-entropy by the logits, ``(p - onehot(label)) / B``, (B, n_classes).

    ``-log p[y] = -l[y] + log sum_k exp(l[k])``: by ``l[k]`` that is ``p[k] - [k == y]``.
    """
    return (probabilities - _one_hot(probabilities, labels)) / probabilities.shape[0]


def _one_hot(like: Array, labels: NDArray[np.int64]) -> Any:
    """(B, n_classes) with a 1 at every label, in the dtype and namespace of `like`."""
    xp = array_api_compat.array_namespace(like)
    device = array_api_compat.device(like)
    classes = xp.arange(like.shape[1], dtype=xp.int64, device=device)
    return xp.astype(xp.asarray(labels, device=device)[:, None] == classes[None, :], like.dtype)
