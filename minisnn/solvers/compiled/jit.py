"""The one door through which every kernel is compiled.

Options that all kernels share: compiled code is cached on disk, if there is a place for it; ``fastmath`` is
off, so that additions keep their order and nothing is contracted into fused multiply-adds; the interpreter
lock is released, so that plain threads run kernels side by side. ``NUMBA_DISABLE_JIT=1`` turns compilation
off, for coverage and debugging: the kernels then run as the Python they are.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
from numba.core.caching import CompileResultCacheImpl, FunctionCache
from numba.core.serialize import dumps


def _source_stamp() -> str:
    """Digest of the solvers' source files."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parents[1].rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


_STAMP = _source_stamp()


class _Entry(CompileResultCacheImpl):  # type: ignore[misc]
    """How compiled code is kept: with a digest, because damaged machine code would not raise but crash."""

    # Numba's place in the home folder is one called "~" in the working directory, if no home is known.
    _locator_classes = [  # noqa: RUF012
        locator
        for locator in CompileResultCacheImpl._locator_classes
        if "UserWide" not in locator.__name__
        or os.path.isabs(os.path.expanduser("~"))
        or "XDG_CACHE_HOME" in os.environ
    ]

    def reduce(self, result: Any) -> tuple[bytes, bytes]:
        content: bytes = dumps(super().reduce(result))
        return hashlib.sha256(content).digest(), content

    def rebuild(self, context: Any, entry: tuple[bytes, bytes]) -> Any:
        digest, content = entry
        if digest != hashlib.sha256(content).digest():
            raise ValueError("the cached code is damaged")
        return super().rebuild(context, pickle.loads(content))


class _Cache(FunctionCache):  # type: ignore[misc]
    """Numba's cache of a function, valid for exactly these sources; if it fails, the function is compiled anew.

    Numba's cache entry for a function contains the code of every function it calls, but Numba checks only the
    function's own file for changes. After an edit elsewhere it would run old code. So every entry is stamped with a
    digest of all solver files.
    """

    _impl_class = _Entry

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)
        self._cache_file._source_stamp = _STAMP

    def load_overload(self, *arguments: Any) -> Any:
        try:
            return super().load_overload(*arguments)
        except Exception:  # a cut or foreign file raises anything: empty the index, and compile anew
            with contextlib.suppress(OSError):
                self.flush()
            return None

    def save_overload(self, *arguments: Any) -> None:
        # The code runs, whether it can be kept or not.
        with contextlib.suppress(Exception):
            super().save_overload(*arguments)


def cache_folder() -> str | None:
    """Where compiled code of this package is kept; None if there is no place that can be written to."""
    try:
        return str(_Cache(cache_folder).cache_path)
    except RuntimeError:
        return None


def is_kept(compiled: Any) -> bool:
    """Whether code of a kernel is kept that these sources made for this processor."""
    with contextlib.suppress(Exception):  # as for `load_overload`, and without compilation there is no cache
        kept = compiled._cache._cache_file._load_index()
        here = compiled.targetctx.codegen().magic_tuple()
        return any(key[1] == here for key in kept)
    return False


def _compiled(function: Callable[..., Any], **options: bool) -> Callable[..., Any]:
    """Compile `function` with the options of the house; without a place to keep the code, in every process."""
    compiled: Any = numba.njit(fastmath=False, nogil=True, error_model="numpy", **options)(function)
    if compiled is not function:
        with contextlib.suppress(RuntimeError):
            compiled._cache = _Cache(function)
    result: Callable[..., Any] = compiled
    return result


def kernel(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile `function`."""
    return _compiled(function)


def inlined(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile `function` and inline it into its callers: passing a dozen arrays costs more than a short loop."""
    return _compiled(function, forceinline=True)
