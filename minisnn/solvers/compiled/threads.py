"""Threads for the compiled solvers: fixed tasks, any number of workers, the same bits.

A batch is cut into contiguous shares; how many depends on its size alone, never on the number of threads. Each task
owns one share and writes its own part of the result, and partial sums are added in the order of the shares. Large
shares come first and small ones last, so that the threads end together even where one core is slower than
another. Plain threads run the tasks, since kernels release the interpreter lock. BLAS is held to one
thread meanwhile.
"""

from __future__ import annotations

import importlib
import itertools
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import threadpoolctl

from ...reading import checked_count

# A third of the shares is large, a third middling, a third small, in this ratio: as many threads as there are
# large shares have equal work, and so have twice as many. More shares would balance better, but every share has a
# partial weight gradient of its own that must be cleared and added.
_SIZES = (8, 5, 3)
_LARGE = 32  # samples of a large share from which on there may be more shares
MOST = 48  # shares, and so threads that can work at the same time
# Steps of all samples below which a batch is one share: calling a kernel costs as much as some hundred steps.
WORTH_SHARING = 2**10
# Elements of an array from which on a pass over it is worth waking the other threads.
WORTH_WAKING = 2**14
# Elements of one share of such an array if it is cut into more than 6.
_WORTH_A_CALL = 2**15


class _Pool:
    """Number of threads, and the workers in addition to the calling thread (started when first needed)."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.n_threads = _cores()
        self.executor: ThreadPoolExecutor | None = None
        self.recorded: list[list[float]] | None = None  # seconds of the tasks of every call, if somebody asks

    def workers(self) -> ThreadPoolExecutor:
        with self.lock:
            if self.executor is None:
                self.executor = ThreadPoolExecutor(max_workers=MOST, thread_name_prefix="minisnn")
            return self.executor

    def after_fork(self) -> None:
        """The threads of a parent process do not live on in its fork, nor does the one that held the lock."""
        self.lock, self.executor = threading.Lock(), None


def _cores() -> int:
    """Cores of this process, or fewer if NUMBA_NUM_THREADS says so: joblib sets it in the processes it starts."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    asked = os.environ.get("NUMBA_NUM_THREADS", "")
    return min(cores, int(asked)) if asked.isdecimal() and int(asked) else cores


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
    _POOL.n_threads = checked_count("threads", n_threads, low=1)


@lru_cache(maxsize=64)
def _cut(n: int, most: int = MOST) -> tuple[tuple[int, int], ...]:
    """Cut n rows into contiguous shares, as (first, past the last): 6, or up to `most` if they are many."""
    large = 2
    while 6 * large <= most and n >= 4 * _LARGE * large:
        large *= 2
    weights = [size for size in _SIZES for _ in range(large)]
    ends = sorted({n * end // sum(weights) for end in itertools.accumulate(weights)} - {0})
    return tuple(zip([0, *ends], ends))


def shares(batch: int, n_steps: int) -> tuple[tuple[int, int], ...]:
    """Cut a batch into contiguous shares, as (first, past the last): 6, from 256 samples on 12, 24 and at most `MOST`.

    Examples
    --------
    >>> shares(32, 100)
    ((0, 8), (8, 16), (16, 21), (21, 26), (26, 29), (29, 32))
    >>> shares(32, 30), shares(2, 1000)
    (((0, 32),), ((0, 1), (1, 2)))
    >>> len(shares(512, 100))
    24
    """
    return _cut(batch) if batch * n_steps >= WORTH_SHARING or batch == 0 else ((0, batch),)


def run_shares(task: Callable[[int, int, int], None], batch: int, n_steps: int) -> None:
    """Call ``task(k, first, last)`` for every share k of the batch, on `get_threads` threads."""
    _run(lambda _, *share: task(*share), shares(batch, n_steps), lambda _: None)


def run_shares_in_rooms(
    task: Callable[[Any, int, int, int], None], batch: int, n_steps: int, room: Callable[[int], Any]
) -> None:
    """As `run_shares` with a room for every thread: ``task(room(number of the thread), k, first, last)``.

    The calling thread is always number 0, so that it finds its room in its caches.
    """
    _run(task, shares(batch, n_steps), room)


def _run(
    task: Callable[[Any, int, int, int], None], parts: Sequence[tuple[int, int]], room: Callable[[int], Any]
) -> None:
    workers, seconds = min(get_threads(), len(parts)), [0.0] * len(parts)
    tickets = itertools.count()  # next() is atomic: a thread that is free takes the next share

    def work(worker: int) -> None:
        mine = room(worker)
        while (k := next(tickets)) < len(parts):
            started = time.perf_counter()
            task(mine, k, *parts[k])
            seconds[k] = time.perf_counter() - started

    futures = [_POOL.workers().submit(work, worker) for worker in range(1, workers)]
    try:
        work(0)
    finally:
        if futures:
            wait(futures)  # so that nobody writes to these arrays any more, after an error either
    for future in futures:
        future.result()
    if _POOL.recorded is not None:
        _POOL.recorded.append(seconds)


@contextmanager
def recorded_tasks() -> Iterator[list[list[float]]]:
    """Collect the seconds of the tasks of every call within the block: a list for each call, in its tasks' order."""
    recorded: list[list[float]] = []
    _POOL.recorded = recorded
    try:
        yield recorded
    finally:
        _POOL.recorded = None


def run_rows(task: Callable[[int, int, int], None], n_rows: int, size: int) -> None:
    """As `run_shares` for the rows of an array of `size` elements; small ones in the calling thread."""
    if size < WORTH_WAKING:
        task(0, 0, n_rows)
    else:
        _run(lambda _, *rows: task(*rows), _cut(n_rows, size // _WORTH_A_CALL), lambda _: None)


class _Blas:
    """BLAS libraries, held to one thread while anybody is inside `one_blas_thread`.

    Their numbers of threads belong to the whole process: the first who comes in keeps them, the last who goes
    out sets them again.
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.inside = 0
        self.mine = threading.local()  # how many of those inside are this thread's
        self.before: list[tuple[Any, int]] = []

    def enter(self) -> None:
        with self.lock:
            if self.inside == 0:
                self.before = [(library, library.num_threads) for library in _libraries()]
                for library, _ in self.before:
                    library.set_num_threads(1)
            self.inside += 1
            self.mine.count = getattr(self.mine, "count", 0) + 1

    def leave(self) -> None:
        with self.lock:
            self.inside -= 1
            self.mine.count -= 1
            if self.inside == 0:
                for library, n_threads in self.before:
                    if library.num_threads == 1:  # else somebody has set it meanwhile, and it stays theirs
                        library.set_num_threads(n_threads)

    def after_fork(self) -> None:
        """Only the thread that forked lives on: others are not inside any more. BLAS may have forgotten its number."""
        if self.inside:
            self.inside = getattr(self.mine, "count", 0)
            for library, n_threads in self.before:
                library.set_num_threads(1 if self.inside else n_threads)
        self.lock.release()


@lru_cache(maxsize=1)
def _libraries() -> list[Any]:
    # Kernels call SciPy's BLAS, products NumPy's: both must be loaded to be found.
    importlib.import_module("scipy.linalg.cython_blas")
    return list(threadpoolctl.ThreadpoolController().select(user_api="blas").lib_controllers)


_BLAS = _Blas()
if hasattr(os, "register_at_fork"):
    # The lock is taken over a fork, so that the child finds the counts as they belong together.
    os.register_at_fork(
        before=_BLAS.lock.acquire, after_in_parent=_BLAS.lock.release, after_in_child=_BLAS.after_fork
    )
    os.register_at_fork(after_in_child=_POOL.after_fork)


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Hold BLAS to one thread within the block: the shares have the cores already."""
    _BLAS.enter()
    try:
        yield
    finally:
        _BLAS.leave()
