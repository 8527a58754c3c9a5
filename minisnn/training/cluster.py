"""Trainings side by side, on worker processes of this machine or on any Dask cluster that shares the folder.

A task is the path of a run folder (see `minisnn.training.worker`). If a worker is killed, the scheduler gives its task
to another, which goes on from the checkpoint.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import queue
import signal
import uuid
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from multiprocessing import resource_tracker
from pathlib import Path
from typing import Any

from .. import __version__
from ..errors import DataError, InputError, import_extra, one_line
from ..reading import checked_count
from . import worker
from .loop import progress
from .series import How, Results, Training, accuracy_of

__all__ = ["Cluster", "opened"]

# Seconds to wait for a scheduler, and for the first worker of one.
_PATIENCE = 5
# So many workers may die over a training before it has finished another epoch.
_DEATHS = 4


@contextlib.contextmanager
def opened(workers: int | None, scheduler: str | None) -> Iterator[Cluster]:
    """A cluster of worker processes with one thread each, or the one whose `scheduler` has that address.

    `InputError` is raised if Dask is missing, the scheduler cannot be reached, or its workers cannot train.
    """
    n_workers = 0 if scheduler is not None else checked_count("--workers", workers, low=1)
    with _silence(), contextlib.ExitStack() as stack:
        distributed = import_extra("distributed", "distributed", "sweep", "runs trainings side by side")
        with _ctrl_c_waits():
            try:
                if scheduler is not None:
                    asyncio.run(asyncio.wait_for(_greet(distributed, scheduler), _PATIENCE))
                where = scheduler or stack.enter_context(_local(distributed, n_workers))
                client = distributed.Client(where, timeout=_PATIENCE, set_as_default=False)
            except Exception as error:
                text = one_line(error) or "it does not answer"
                if isinstance(error, MemoryError):  # Dask reads a length in the words of a foreign server
                    text = "no Dask answers there"
                what = (
                    f"--scheduler {scheduler} cannot be reached" if scheduler else "no worker can be started"
                )
                raise InputError(f"{what}: {text}") from None
            stack.enter_context(client)
        try:
            with Cluster(client, scheduler) as cluster:
                cluster.check_workers()
                yield cluster
        finally:
            with _ctrl_c_waits():
                stack.close()


async def _greet(distributed: Any, address: str) -> None:
    """Ask a scheduler who it is: the Dask client waits for ever for one that does not answer."""
    arguments = distributed.Security().get_connection_args("client")
    async with distributed.rpc(address, timeout=_PATIENCE, connection_args=arguments) as server:
        kind = (await server.identity())["type"]
    if kind != "Scheduler":
        raise ValueError(f"there is a {kind} at this address")


def _local(distributed: Any, n_workers: int) -> Any:
    """A cluster on this machine."""
    dask = import_extra("dask", "dask", "sweep")
    # Results are nothing but files, so there is nothing that a worker could spill, and no use in pausing it.
    memory = {f"distributed.worker.memory.{name}": False for name in ("target", "spill", "pause")}
    with dask.config.set(memory):
        return distributed.LocalCluster(
            n_workers=n_workers,
            threads_per_worker=1,
            dashboard_address="127.0.0.1:0",
            scheduler_kwargs={"allowed_failures": _DEATHS - 1},
            preload=[worker.__name__],
        )


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Nothing of Dask's log is shown: what matters is said by an error, or by the end of a training."""
    disabled = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)


@contextlib.contextmanager
def _ctrl_c_waits() -> Iterator[None]:
    """Ctrl-C comes after the block, which starts or stops a cluster: halfway, its threads would complain.

    The signal is blocked for threads and processes that start in the block. So workers never get it, neither those of
    now nor those that replace them: the command ends them itself.
    """
    usual = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if not usual or not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # it lets the signal through again, once it has started its process
    came: list[int] = []
    signal.signal(signal.SIGINT, lambda number, _: came.append(number))
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        if came:
            raise KeyboardInterrupt


class Cluster(contextlib.AbstractContextManager["Cluster"]):
    """Runs trainings on the workers of a Dask client; `scheduler` is its address if the workers are not ours.

    Tasks that are left when it is over are cancelled.
    """

    def __init__(self, client: Any, scheduler: str | None) -> None:
        self.client, self.scheduler, self.how = client, scheduler, How()
        self.topic = f"minisnn-{uuid.uuid4().hex}"
        self.futures: dict[str, Any] = {}
        self.started: set[str] = set()  # names, told by the workers
        self._epochs: dict[str, int] = {}  # finished when it was submitted
        self._again: Counter[str] = Counter()  # submissions since it last got on
        self._ends: queue.SimpleQueue[tuple[Training, Any]] = queue.SimpleQueue()

    def __enter__(self) -> Cluster:
        self.client.subscribe_topic(self.topic, lambda event: self.started.add(event[1]))
        return self

    def __exit__(self, *_: object) -> None:
        self.client.unsubscribe_topic(self.topic)
        self.client.cancel(list(self.futures.values()))

    @property
    def dashboard(self) -> str | None:
        """Address of the dashboard, if there is one."""
        has_bokeh = "__import__('importlib.util').util.find_spec('bokeh') is not None"
        link: str | None = (
            self.client.dashboard_link if self.client.run_on_scheduler(eval, has_bokeh) else None
        )
        return link

    def check_workers(self) -> None:
        """Raise `InputError` if there are no workers, or some without this version of minisnn."""
        if self.scheduler is None:
            return
        try:
            self.client.wait_for_workers(1, timeout=_PATIENCE)
        except asyncio.TimeoutError:
            raise InputError(f"--scheduler {self.scheduler} has no workers") from None
        # Built-in functions can be sent to a worker that lacks minisnn.
        answers = self.client.run(eval, "__import__('minisnn').__version__", on_error="return")
        for address, answer in answers.items():
            if isinstance(answer, Exception):
                raise InputError(f"worker {address} cannot import minisnn: {one_line(answer)}")
            worker.check_version(address, answer)

    def __call__(self, trainings: Sequence[Training], how: How, results: Results) -> None:
        """Train all that are not finished, and add every end to the `results`."""
        self.how, waiting = how, []
        for training in trainings:
            try:
                done = training.run.finished_epochs()
                if done < training.experiment.training.epochs:
                    waiting.append((training, done))
                else:
                    results.add(training)
            except DataError as damage:
                results.add(training, damage)
        # Workers keep one data set: trainings on the same follow each other.
        waiting.sort(key=lambda one: worker.data_of(one[0].experiment))
        if waiting and self.scheduler is not None:
            self._check_folder(waiting[0][0].run.path / "config.json")
        with progress(len(trainings), "trainings", how.quiet, "training") as bar:
            for training, done in waiting:
                self.submit(training, done)
            while self.futures:
                _show(bar, results, len(self.started & self.futures.keys()))
                with contextlib.suppress(queue.Empty):
                    training, error = self.next_end()
                    with bar.external_write_mode():
                        results.add(training, error)
                        if not how.quiet and training.name in results.outcomes:
                            print(_line(results.outcomes[training.name]), flush=True)
            _show(bar, results, 0)

    def _check_folder(self, path: Path) -> None:
        """Raise `InputError` with the workers that do not see a file of this machine."""
        seen = self.client.run(os.path.exists, str(path.resolve()))
        blind = ", ".join(address for address, sees in seen.items() if not sees)
        if blind:
            raise InputError(f"--out must be a folder that all workers share; {blind}: no {path.resolve()}")

    def submit(self, training: Training, done: int) -> None:
        """Let the cluster train it, from where it stands: after `done` epochs."""
        name, folder = training.name, str(training.run.path.resolve())
        self.started.discard(name)
        self._epochs[name] = done
        places = [self.how.data_dir, os.environ.get("MINISNN_DATA")]
        task = {
            "name": name, "topic": self.topic, "version": __version__, "threads": self.how.threads,
            "places": [None if place is None else str(Path(place).resolve()) for place in places],
        }  # fmt: skip
        key = f"{name or 'training'}-{uuid.uuid4().hex}"
        future = self.client.submit(worker.train, folder, task, key=key, pure=False)
        self.futures[name] = future
        future.add_done_callback(lambda future: self._ends.put((training, future)))

    def next_end(self) -> tuple[Training, Exception | None]:
        """The next training that ended, and its error; `queue.Empty` if there was none within a second.

        A training whose workers were killed is submitted again if it got on, or if it had not begun: it only waited at
        workers that others brought down. The latter comes to an end too.
        """
        training, future = self._ends.get(timeout=1)
        del self.futures[training.name]
        if future.status == "cancelled":
            raise DataError("the scheduler is gone; what is finished stays, go on with the same command")
        error = future.exception() if future.status == "error" else None
        if type(error).__name__ == "KilledWorker":
            done = training.run.finished_epochs()
            if done > self._epochs[training.name]:
                del self._again[training.name]
            elif training.name in self.started or self._again[training.name] == _DEATHS:
                return training, InputError("its workers died, one after the other: killed, or out of memory")
            self._again[training.name] += 1
            self.submit(training, done)
            raise queue.Empty
        return training, error


def _line(outcome: dict[str, Any]) -> str:
    """An outcome in a line."""
    validation = outcome["validation_accuracy"]
    validated = "" if validation is None else f"validation {100 * validation:.2f} %, "
    tested = f"test accuracy {100 * outcome['test_accuracy']:.2f} %"
    return (
        f"{outcome['name']}: {validated}{tested}, {outcome['spikes_per_sample']:.1f} hidden spikes a sample"
    )


def _show(bar: Any, results: Results, running: int) -> None:
    """Bring the bar up to date."""
    text = f"running {running}, failed {len(results.failed)}"
    if results.outcomes:
        best = max(results.outcomes.values(), key=accuracy_of)
        text += f", best {100 * accuracy_of(best):.2f} % ({best['name']})"
    bar.set_postfix_str(text, refresh=False)
    bar.update(len(results.outcomes) + len(results.failed) - bar.n)
    bar.refresh()
