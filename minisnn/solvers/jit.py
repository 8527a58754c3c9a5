"""The one door through which every kernel is compiled.

Options that all kernels share: compiled code is cached on disk; ``fastmath`` is off, so that additions
keep their order and nothing is contracted into fused multiply-adds; the interpreter lock is released, so
that plain threads run kernels side by side. ``NUMBA_DISABLE_JIT=1`` turns compilation off, for coverage
and debugging: the kernels then run as the Python they are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba

__all__ = ["kernel"]


def kernel(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile `function` with the options of the house."""
    compiled: Callable[..., Any] = numba.njit(cache=True, fastmath=False, nogil=True, error_model="numpy")(
        function
    )
    return compiled
