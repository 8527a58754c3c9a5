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

__all__ = ["fetch", "kernel"]


def kernel(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile `function` with the options of the house."""
    compiled: Callable[..., Any] = numba.njit(cache=True, fastmath=False, nogil=True, error_model="numpy")(
        function
    )
    return compiled


@kernel
def fetch(sample: Any) -> Any:
    """Read one number of every cache line of `sample` (T, N), in order, and return their sum.

    A pass from the last step to the first jumps back after every row, which memory prefetchers do not
    follow; read forwards once, the sample waits in the cache (a third less time for the whole backward pass).
    The sum only keeps the compiler from dropping the reads.
    """
    flat = sample.reshape(-1)
    line = 64 // flat.itemsize
    total = flat[0]
    for k in range(line, flat.size, line):
        total += flat[k]
    return total
