"""The derivatives the paper puts in place of those that do not exist.

Two functions of the model have no useful derivative: the step at the threshold (Eq. 3) and the
selection of the first crossing (Eq. 5). Each gets its stand-in here, with the primitive it belongs to.
"""

from __future__ import annotations

import array_api_compat

from .model import Array

__all__ = ["fast_sigmoid", "fast_sigmoid_derivative", "first_only_derivative", "first_only_polynomial"]


def fast_sigmoid(u: Array, surrogate_scale: float) -> Array:
    """Primitive of the surrogate derivative, ``h(u) = u / (1 + s |u|)``.

    ``|u|`` is written ``u * sign(Re u)``, so that the function takes complex numbers and a complex step
    gives its derivative to the last bit.

    Parameters
    ----------
    u : array, floating or complex
        Distance from the threshold, in thresholds.
    surrogate_scale : float
        Steepness s, per threshold; 0 makes h the identity.

    Returns
    -------
    h : array, shape and dtype of `u`

    Examples
    --------
    >>> import numpy as np
    >>> fast_sigmoid(np.array([-1.0, 0.0, 0.5]), surrogate_scale=2.0)
    array([-0.33333333,  0.        ,  0.25      ])
    """
    xp = array_api_compat.array_namespace(u)
    real = xp.real(u) if xp.isdtype(u.dtype, "complex floating") else u
    return u / (1 + surrogate_scale * (u * xp.sign(real)))


def fast_sigmoid_derivative(u: Array, surrogate_scale: float) -> Array:
    """Surrogate derivative of the step, ``h'(u) = 1 / (1 + s |u|)^2`` (in Eqs. 8 and 16).

    Parameters
    ----------
    u : array, floating
        Distance from the threshold, in thresholds.
    surrogate_scale : float
        Steepness s, per threshold: 100 in version 1 of the paper, 10 in version 2.

    Returns
    -------
    derivative : array, shape and dtype of `u`, in (0, 1]

    Examples
    --------
    >>> import numpy as np
    >>> fast_sigmoid_derivative(np.array([-1.0, 0.0, 0.5]), surrogate_scale=2.0)
    array([0.11111111, 1.        , 0.25      ])
    """
    # Squared after the division: the square of a large denominator would overflow, and warn, too early.
    root = 1 / (1 + surrogate_scale * abs(u))
    return root * root


def first_only_polynomial(z: Array) -> Array:
    """Selection of the first crossing as a polynomial, ``g(z) = relu(z (1 - z) + 1) z`` (version 1).

    At the whole numbers that z takes it equals Eq. 5: 1 where z is 1, else 0.

    Examples
    --------
    >>> import numpy as np
    >>> first_only_polynomial(np.array([0.0, 1.0, 2.0, 3.0]))
    array([0., 1., 0., 0.])
    """
    xp = array_api_compat.array_namespace(z)
    inner = z * (1 - z) + 1
    return xp.where(inner > 0, inner, xp.zeros_like(inner)) * z


def first_only_derivative(z: Array, gradient: str, dtype: Array) -> Array:
    """Derivative ``g'(z)`` of the selection of the first crossing (in Eq. 6).

    Parameters
    ----------
    z : array, integer or floating
        Double running sum of the crossings (Eq. 4): 0 before the first crossing, 1 at it, more after it.
    gradient : {"gated", "straight-through"}
        ``"gated"``: 1 where z is 0, else 0, the derivative of `first_only_polynomial` at whole numbers.
        ``"straight-through"``: 1 everywhere.
    dtype : dtype
        Dtype of the result.

    Returns
    -------
    derivative : array, shape of `z`

    Examples
    --------
    >>> import numpy as np
    >>> first_only_derivative(np.array([0, 1, 2, 3]), "gated", np.float64)
    array([1., 0., 0., 0.])
    """
    xp = array_api_compat.array_namespace(z)
    if gradient == "straight-through":
        return xp.ones_like(z, dtype=dtype)
    return xp.astype(z == 0, dtype)
