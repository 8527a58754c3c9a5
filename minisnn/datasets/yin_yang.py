"""The Yin-Yang data set of Kriener, Göltz and Petrovici (2022), generated from its published description.

The points lie in a disc with the yin-yang sign on it. The three classes are the yin part, the yang part, and the two
dots. Every sample draws its class first, and then points until one is of that class; a point (x, y) becomes the four
features (x, y, 1 - x, 1 - y).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, shown
from ..reading import checked_count, checked_float, whole_number


def yin_yang_class(x: float, y: float, r_small: float = 0.1, r_big: float = 0.5) -> int | None:
    """Class of a point: 0 yang, 1 yin, 2 dot; None outside the disc of radius `r_big` around its centre."""
    if math.hypot(x - r_big, y - r_big) > r_big:
        return None
    to_right = math.hypot(x - 1.5 * r_big, y - r_big)
    to_left = math.hypot(x - 0.5 * r_big, y - r_big)
    if min(to_right, to_left) < r_small:
        return 2
    in_left_bulge = r_small < to_left <= 0.5 * r_big
    upper_half = y > r_big and to_right > 0.5 * r_big
    return int(to_right <= r_small or in_left_bulge or upper_half)


def yin_yang(
    size: int, seed: int, r_small: float = 0.1, r_big: float = 0.5
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Generate points of the Yin-Yang data set.

    Parameters
    ----------
    size : int
        Number of samples.
    seed : int
        Of NumPy's legacy ``RandomState``; the published data set has 42 for training and 0 for the test.
    r_small, r_big : float
        Radius of the dots and of the disc; the first at most half of the second.

    Returns
    -------
    features : (size, 4) float64 in [0, 1]
        x, y, 1 - x, 1 - y.
    labels : (size,) int64
        0 yang, 1 yin, 2 dot.

    Examples
    --------
    >>> features, labels = yin_yang(2, seed=42)
    >>> features[0].round(4), labels
    (array([0.6803, 0.4505, 0.3197, 0.5495]), array([2, 1]))
    """
    number = whole_number(size)
    if number is None or number < 1:
        raise InputError(f"size must be at least 1, got {shown(size)}")
    seed = checked_count("seed", seed, high=2**32 - 1)
    r_big = checked_float("r_big", r_big, low=0, open_low=True)
    # Larger dots would leave no yin and no yang, and the rejection would never end.
    r_small = checked_float("r_small", r_small, low=0, high=r_big / 2, open_low=True)
    random = np.random.RandomState(seed)  # the published data came from this generator
    features, labels = np.empty((number, 4)), np.empty(number, dtype=np.int64)
    for k in range(number):
        wanted = random.randint(3)
        while True:
            x, y = random.rand(2) * 2 * r_big
            if yin_yang_class(x, y, r_small, r_big) == wanted:
                break
        features[k] = x, y, 1 - x, 1 - y
        labels[k] = wanted
    return features, labels
