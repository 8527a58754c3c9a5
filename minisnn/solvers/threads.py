"""Threads for the compiled solvers: fixed tasks, any number of workers, the same bits.

A batch is cut into at most `SHARES` contiguous shares, whatever the number of threads; each task owns one
share and writes its own part of the result, and partial sums are added in the order of the shares. Large
shares come first and small ones last, so that the threads end together even where one core is slower than
another. Plain threads run the tasks, since kernels release the interpreter lock. BLAS is held to one
thread meanwhile.
"""

from __future__ import annotations

import importlib
import itertools
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import lru_cache

import threadpoolctl

from ..errors import InputError

__all__ = [
    "SHARES",
    "WORTH_WAKING",
    "get_threads",
    "one_blas_thread",
    "run_rows",
    "run_shares",
    "set_threads",
    "shares",
]

# Where the shares end, in 32nds of the batch: two large, two middling, two small. More would balance better,
# but every share has a partial weight gradient of its own that must be cleared and added.
_ENDS = (8, 16, 21, 26, 29, 32)
SHARES = len(_ENDS)
# Elements of an array from which on a pass over it is worth waking the other threads.
WORTH_WAKING = 2**14


class _Pool:
    """Number of threads, and the workers beside the calling thread (started when first needed)."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.n_threads = _cores()
        self.executor: ThreadPoolExecutor | None = None
        self.process = os.getpid()

    def workers(self) -> ThreadPoolExecutor:
        with self.lock:
            # The threads of a parent process do not live on in its fork.
            if self.executor is None or self.process != os.getpid():
                self.process = os.getpid()
                self.executor = ThreadPoolExecutor(max_workers=SHARES, thread_name_prefix="minisnn")
            return self.executor


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


_POOL = _Pool()


def get_threads() -> int:
    """Number of threads the compiled solvers use."""
    return _POOL.n_threads


def set_threads(n_threads: int) -> None:
    """Set the number of threads of the compiled solvers; results do not depend on it.

    Raises
    ------
    InputError
        If it is not a whole number >= 1.
    """
    if not isinstance(n_threads, int) or n_threads < 1:
        raise InputError(f"threads must be a whole number >= 1, got {n_threads!r}")
    _POOL.n_threads = n_threads


def shares(batch: int) -> list[tuple[int, int]]:
    """Cut a batch into at most `SHARES` contiguous shares, as (first, past the last).

    Examples
    --------
    >>> shares(32)
    [(0, 8), (8, 16), (16, 21), (21, 26), (26, 29), (29, 32)]
    >>> shares(2)
    [(0, 1), (1, 2)]
    """
    ends = sorted({batch * end // _ENDS[-1] for end in _ENDS} - {0})
    return list(zip([0, *ends], ends))


def run_shares(task: Callable[[int, int, int], None], batch: int) -> None:
    """Call ``task(k, first, last)`` for every share k of the batch, on `get_threads` threads."""
    parts = shares(batch)
    workers = min(get_threads(), len(parts))
    if workers == 1:
        for k, (first, last) in enumerate(parts):
            task(k, first, last)
        return
    tickets = itertools.count()  # next() is atomic: whoever is free takes the next share

    def work() -> None:
        while (k := next(tickets)) < len(parts):
            task(k, *parts[k])

    futures = [_POOL.workers().submit(work) for _ in range(workers - 1)]
    work()
    for future in futures:
        future.result()


def run_rows(task: Callable[[int, int, int], None], n_rows: int, size: int) -> None:
    """As `run_shares` for the rows of an array of `size` elements; at once where others are not worth waking."""
    if size < WORTH_WAKING:
        task(0, 0, n_rows)
    else:
        run_shares(task, n_rows)


@lru_cache(maxsize=1)
def _blas() -> threadpoolctl.ThreadpoolController:
    # Kernels call SciPy's BLAS, products NumPy's: both must be loaded to be found.
    importlib.import_module("scipy.linalg.cython_blas")
    return threadpoolctl.ThreadpoolController()


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Hold BLAS to one thread within the block: the shares have the cores already."""
    with _blas().limit(limits=1, user_api="blas"):
        yield
