"""Shares, threads and workspaces of the compiled solvers."""

import os
import threading

import numpy as np
import pytest

from minisnn.errors import InputError
from minisnn.solvers import threads
from minisnn.solvers.compiled import events as event_products
from minisnn.solvers.compiled.workspace import Workspace, buffer


@pytest.fixture(autouse=True)
def keep_settings():
    before = threads.get_threads(), event_products.get_product()
    yield
    threads.set_threads(before[0])
    event_products.set_product(before[1])


@pytest.mark.parametrize("batch", [0, 1, 2, 3, 4, 5, 17, 128])
def test_shares_cover_the_batch_whatever_the_threads(batch):
    parts = threads.shares(batch)
    assert [a for first, last in parts for a in range(first, last)] == list(range(batch))
    assert all(first < last for first, last in parts)
    assert min(batch, threads.SHARES - 1) <= len(parts) <= threads.SHARES


def test_shares_get_smaller_so_that_threads_end_together():
    assert [last - first for first, last in threads.shares(128)] == [32, 32, 20, 20, 12, 12]


@pytest.mark.parametrize("n", [1, 2, 4, 9])
def test_every_share_runs_once(n):
    threads.set_threads(n)
    seen, names = [], set()

    def task(k, first, last):
        names.add(threading.current_thread().name)
        seen.append((k, first, last))

    threads.run_shares(task, 10)
    assert sorted(seen) == [(k, *part) for k, part in enumerate(threads.shares(10))]
    assert len(names) <= n


@pytest.mark.parametrize("n", [1, 3])
def test_an_error_in_a_share_comes_out(n):
    threads.set_threads(n)

    def task(k, first, last):
        raise RuntimeError(f"share {k}")

    with pytest.raises(RuntimeError, match="share"):
        threads.run_shares(task, 10)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded")
def test_a_fork_starts_its_own_workers():
    threads.set_threads(2)
    threads.run_shares(lambda *_: None, 8)
    child = os.fork()
    if child == 0:
        seen = []
        threads.run_shares(lambda k, *_: seen.append(k), 8)
        os._exit(0 if len(seen) == len(threads.shares(8)) else 1)
    assert os.waitpid(child, 0)[1] == 0


def test_wrong_settings():
    for n in (0, -1, 1.5, "two"):
        with pytest.raises(InputError, match="threads must be a whole number >= 1"):
            threads.set_threads(n)
    with pytest.raises(InputError, match="unknown product 'event' .did you mean 'events'"):
        event_products.set_product("event")


def test_blas_is_held_to_one_thread():
    import threadpoolctl

    with threads.one_blas_thread():
        assert all(
            pool["num_threads"] == 1 for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas"
        )


def test_workspaces_hand_out_the_same_buffer():
    workspace = Workspace()
    first = workspace.part("a").array("x", (4, 5), np.float32)
    assert workspace.part("a").array("x", (4, 5), np.float32) is first
    smaller = workspace.part("a").array("x", (2, 5), np.float32)
    assert np.shares_memory(first, smaller)
    larger = workspace.part("a").array("x", (9, 5), np.float64)
    assert not np.shares_memory(first, larger)
    assert not np.shares_memory(workspace.part("b").array("x", (4, 5), np.float32), smaller)
    assert buffer(None, "x", (2, 3), np.float64).shape == (2, 3)
