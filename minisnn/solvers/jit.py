"""The one door through which every kernel is compiled.

Options that all kernels share: compiled code is cached on disk; ``fastmath`` is off, so that additions
keep their order and nothing is contracted into fused multiply-adds; the interpreter lock is released, so
that plain threads run kernels side by side. ``NUMBA_DISABLE_JIT=1`` turns compilation off, for coverage
and debugging: the kernels then run as the Python they are.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba

__all__ = ["inlined", "kernel"]


def _source_stamp() -> str:
    """Digest of the solvers' source files."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


_STAMP = _source_stamp()


def _compiled(function: Callable[..., Any], **options: bool) -> Callable[..., Any]:
    """Compile `function` with the options of the house.

    What is cached for a function contains the functions it calls, of other files too, while Numba looks at
    the function's own file only: after a change elsewhere it would go on with the old code. So the cache is
    valid for exactly these sources of all solvers.
    """
    compiled: Callable[..., Any] = numba.njit(
        cache=True, fastmath=False, nogil=True, error_model="numpy", **options
    )(function)
    cache_file = getattr(getattr(compiled, "_cache", None), "_cache_file", None)
    if cache_file is not None:
        cache_file._source_stamp = _STAMP
    return compiled


def kernel(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile `function`."""
    return _compiled(function)


def inlined(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile `function` into the kernels that call it: to hand over a dozen arrays takes longer than a short loop."""
    return _compiled(function, forceinline=True)
