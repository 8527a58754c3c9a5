"""Shares, threads and workspaces of the compiled solvers."""

import contextlib
import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numba
import numpy as np
import pytest

import minisnn
from minisnn.bench.scaling import makespan
from minisnn.errors import InputError
from minisnn.solvers.compiled import events as event_products
from minisnn.solvers.compiled import threads
from minisnn.solvers.compiled.workspace import Workspace, buffer
from tests.helpers import one_line

FEW, MANY = pytest.mark.parametrize("n", [1, 3]), pytest.mark.parametrize("n", [1, 2, 4, 9])


@pytest.mark.parametrize("batch", [0, 1, 2, 3, 4, 5, 17, 128, 255, 256, 700, 10**5])
@pytest.mark.parametrize("n_steps", [1, 100])
def test_shares_cover_the_batch_whatever_the_threads(batch, n_steps):
    parts = threads.shares(batch, n_steps)
    assert [a for first, last in parts for a in range(first, last)] == list(range(batch))
    assert all(first < last for first, last in parts)
    if batch * n_steps >= threads.WORTH_SHARING:
        assert min(batch, 5) <= len(parts) <= threads.MOST
    else:
        assert len(parts) == (batch > 0)


def test_shares_get_smaller_so_that_threads_end_together():
    assert [last - first for first, last in threads.shares(128, 100)] == [32, 32, 20, 20, 12, 12]


@pytest.mark.parametrize(("batch", "cores"), [(128, 4), (256, 8), (512, 16), (1024, 32), (10**5, 32)])
def test_cores_have_equal_work(batch, cores):
    """If a free core takes the next share, none has more than its part; fewer cores, by powers of two, neither."""
    seconds = [float(last - first) for first, last in threads.shares(batch, 100)]
    while cores > 1:
        assert makespan(seconds, cores) <= 1.01 * batch / cores
        cores //= 2


@pytest.mark.parametrize(
    ("rows", "columns", "shares"), [(784, 10, 1), (784, 200, 6), (2312, 200, 12), (784, 1000, 12)]
)
def test_an_array_is_cut_only_where_the_parts_are_worth_a_call(rows, columns, shares):
    parts = []
    threads.run_rows(lambda *part: parts.append(part), rows, rows * columns)
    assert len(parts) == shares


def test_seconds_of_tasks_are_recorded_call_by_call():
    with threads.recorded_tasks() as calls:
        threads.run_shares(lambda k, *_: time.sleep(0.002 * (k == 1)), 32, 100)
        threads.run_shares(lambda *_: None, 2, 1)
    threads.run_shares(lambda *_: None, 2, 1)
    assert [len(tasks) for tasks in calls] == [6, 1]
    assert calls[0][1] >= 0.002


@MANY
def test_every_share_runs_once(n):
    threads.set_threads(n)
    seen, names = [], set()

    def task(k, first, last):
        names.add(threading.current_thread().name)
        seen.append((k, first, last))

    threads.run_shares(task, 10, 200)
    assert sorted(seen) == [(k, *part) for k, part in enumerate(threads.shares(10, 200))]
    assert len(names) <= n


@FEW
def test_every_thread_has_a_room_of_its_own(n):
    threads.set_threads(n)
    made, used = {}, []

    def room(worker):
        made[worker] = threading.get_ident()
        return worker

    def task(worker, k, first, last):
        assert made[worker] == threading.get_ident()
        used.append(k)

    threads.run_shares_in_rooms(task, 10, 200, room)
    assert sorted(used) == list(range(len(threads.shares(10, 200))))
    assert sorted(made) == list(range(n))
    assert made[0] == threading.get_ident()


@FEW
def test_an_error_in_a_share_comes_out(n):
    threads.set_threads(n)

    def task(k, first, last):
        raise RuntimeError(f"share {k}")

    with one_line(RuntimeError, "share"):
        threads.run_shares(task, 10, 200)


def test_an_error_waits_for_the_other_shares():
    """Nobody writes to an array any more once the call is over."""
    threads.set_threads(4)
    caller, running = threading.get_ident(), []

    def task(k, first, last):
        if threading.get_ident() == caller:
            while not running:
                time.sleep(0.001)
            raise RuntimeError("own share")
        running.append(k)
        time.sleep(0.1)
        running.remove(k)

    with one_line(RuntimeError, "own share"):
        threads.run_shares(task, 32, 100)
    assert running == []


def test_wrong_settings():
    for n in (np.int64(3), np.array([3])):
        threads.set_threads(n)
        assert (type(threads.get_threads()), threads.get_threads()) == (int, 3)
    for n in (0, -1, 1.5, "two", True, None):
        with one_line(InputError, "threads must be a whole number >= 1"):
            threads.set_threads(n)
    with one_line(InputError, "unknown product 'event' .did you mean 'events'"):
        event_products.set_product("event")


def test_processes_of_joblib_start_with_the_threads_they_were_given(monkeypatch):
    monkeypatch.delenv("NUMBA_NUM_THREADS", raising=False)
    cores = threads._cores()
    for asked, expected in (("1", 1), ("100000", cores), ("0", cores), ("many", cores), ("", cores)):
        monkeypatch.setenv("NUMBA_NUM_THREADS", asked)
        assert threads._cores() == expected


def test_workspaces_hand_out_the_same_buffer():
    workspace = Workspace()
    part, other = workspace.part("a"), workspace.part("b")
    first = part.array("x", (4, 5), np.float32)
    assert workspace.part("a").array("x", (4, 5), np.float32) is first
    smaller = part.array("x", (2, 5), np.float32)
    assert np.shares_memory(first, smaller)
    assert not np.shares_memory(first, part.array("x", (9, 5), np.float64))
    assert not np.shares_memory(other.array("x", (4, 5), np.float32), smaller)
    assert buffer(None, "x", (2, 3), np.float64).shape == (2, 3)


# ---- threads of BLAS --------------------------------------------------------------------------------


def blas_threads():
    return [library.num_threads for library in threads._libraries()]


@pytest.fixture
def two_blas_threads():
    """More than one on any machine, so that what is held to one can be told from what is not."""
    before = blas_threads()
    for library in threads._libraries():
        library.set_num_threads(2)
    yield blas_threads()
    for library, n_threads in zip(threads._libraries(), before):
        library.set_num_threads(n_threads)


def test_blas_gets_its_threads_back_from_calls_of_several_threads(two_blas_threads):
    """Each in turn the first in and the last out: a saved number is that of another who is inside."""
    rng = np.random.default_rng(0)
    n_samples = 6 if numba.config.DISABLE_JIT else 64  # as Python it takes its time
    layer = rng.random((n_samples, 60, 40)) < 0.6, np.ones((40, 50), "f4"), np.zeros(50, "f4"), 0.9

    def call(_):
        return minisnn.single_spike_forward(*layer, solver="numba-parallel").spike_times

    expected = call(0)
    for _ in range(5):
        with ThreadPoolExecutor(4) as pool:
            assert all(np.array_equal(times, expected) for times in pool.map(call, range(24)))
        assert blas_threads() == two_blas_threads


def test_blas_gets_its_threads_back_where_blocks_overlap(two_blas_threads):
    first, second = threads.one_blas_thread(), threads.one_blas_thread()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert set(blas_threads()) == {1}
    second.__exit__(None, None, None)
    assert blas_threads() == two_blas_threads


def test_blas_gets_its_threads_back_after_an_error_in_a_nested_block(two_blas_threads):
    with contextlib.suppress(RuntimeError), threads.one_blas_thread():
        with threads.one_blas_thread():
            pass
        assert set(blas_threads()) == {1}
        with threads.one_blas_thread():
            raise RuntimeError
    assert blas_threads() == two_blas_threads


def test_a_number_of_blas_threads_that_somebody_sets_meanwhile_is_theirs(two_blas_threads):
    with threads.one_blas_thread():
        threads._libraries()[0].set_num_threads(3)
    assert blas_threads() == [3, *two_blas_threads[1:]]


# ---- forks ------------------------------------------------------------------------------------------


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded")
class TestForks:
    @staticmethod
    def code(child_does):
        """Exit code of a fork that ends well if the function returns True, in time."""
        child = os.fork()
        if child == 0:
            signal.alarm(20)  # it might wait for ever
            os._exit(0 if child_does() else 1)
        return os.waitpid(child, 0)[1]

    @staticmethod
    def all_shares_run():
        seen = []
        threads.run_shares(lambda k, *_: seen.append(k), 8, 200)
        return len(seen) == len(threads.shares(8, 200))

    def test_a_fork_starts_its_own_workers(self):
        threads.set_threads(2)
        assert self.all_shares_run()
        assert self.code(self.all_shares_run) == 0

    def test_a_fork_while_the_workers_are_locked(self):
        threads.set_threads(2)
        with threads._POOL.lock:
            assert self.code(self.all_shares_run) == 0

    def test_a_fork_while_another_thread_is_inside(self, two_blas_threads):
        """The child has no such thread: its BLAS is free, and the forking thread's own block counts on."""
        inside, leave = threading.Event(), threading.Event()

        def stay():
            with threads.one_blas_thread():
                inside.set()
                leave.wait(60)

        def right(own_block):
            seen = set(blas_threads()) == ({1} if own_block else {2})
            with threads.one_blas_thread():
                seen &= set(blas_threads()) == {1}
            if own_block:
                threads._BLAS.leave()
            return seen and blas_threads() == two_blas_threads

        other = threading.Thread(target=stay)
        other.start()
        inside.wait(60)
        free = self.code(lambda: right(False))
        with threads.one_blas_thread():
            held = self.code(lambda: right(True))
        leave.set()
        other.join()
        assert (free, held) == (0, 0)
        assert blas_threads() == two_blas_threads
