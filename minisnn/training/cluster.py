"""Trainings side by side, on worker processes of this machine or on any Dask cluster that shares the folder.

A task is the path of a run folder. Its worker reads the configuration there, loads the data set (kept for the next
task), and trains from the checkpoint on. If a worker is killed, the scheduler gives its task to another. If the first
only seemed dead, both have the task; the lock of the folder lets the second wait until the first has ended.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import queue
import signal
import threading
import uuid
import warnings
from collections.abc import Iterator, Sequence
from functools import lru_cache
from multiprocessing import resource_tracker
from pathlib import Path
from typing import Any

from .. import __version__
from ..datasets import Dataset, load_dataset
from ..errors import DataError, InputError, import_extra, one_line
from ..files import locked
from ..reading import checked_count
from ..streams import can_say
from .experiment import Experiment, train_run
from .metrics import EpochMetrics
from .runs import RunFolder
from .series import How, Results, Training, accuracy_of

__all__ = ["Cluster", "opened"]

# Seconds to wait for a scheduler, and for the first worker of one.
_PATIENCE = 5
# So many workers may die over a training before it has finished another epoch.
_DEATHS = 4
# Threads, BLAS and products with spikes are settings of the whole process.
_ONE_AT_A_TIME = threading.Lock()


@contextlib.contextmanager
def opened(workers: int | None, scheduler: str | None) -> Iterator[Cluster]:
    """A cluster of worker processes with one thread each, or the one whose `scheduler` has that address.

    Raises
    ------
    InputError
        If Dask is missing, the scheduler cannot be reached, or its workers cannot train.
    """
    distributed = import_extra("distributed", "distributed", "sweep", "runs trainings side by side")
    n_workers = 0 if scheduler is not None else checked_count("--workers", workers, low=1)
    with _silence(), contextlib.ExitStack() as stack:
        with _ctrl_c_waits():
            try:
                if scheduler is not None:
                    asyncio.run(asyncio.wait_for(_greet(distributed, scheduler), _PATIENCE))
                where = scheduler or stack.enter_context(_local(distributed, n_workers))
                client = distributed.Client(where, timeout=_PATIENCE, set_as_default=False)
            except Exception as error:  # a foreign server at that address may cause any
                what = (
                    f"--scheduler {scheduler} cannot be reached"
                    if scheduler
                    else "no worker could be started"
                )
                raise InputError(f"{what}: {one_line(error) or 'it does not answer'}") from None
            stack.enter_context(client)
        try:
            cluster = Cluster(client, scheduler)
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
            preload=[__name__],
        )


def dask_setup(worker: Any) -> None:
    """Dask calls it in every worker of `_local`."""
    logging.disable(logging.CRITICAL)


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
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler or not hasattr(
        signal, "pthread_sigmask"
    ):
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


class Cluster:
    """Runs trainings on the workers of a Dask client; `scheduler` is its address if the workers are not ours."""

    def __init__(self, client: Any, scheduler: str | None) -> None:
        self.client = client
        self.scheduler = scheduler

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
            _check_version(address, answer)

    def __call__(self, trainings: Sequence[Training], how: How, results: Results) -> None:
        """Train all that are not finished, and add every end to the `results`."""
        ours = _Session(self.client, how)
        waiting = []
        for training in trainings:
            try:
                if training.run.finished_epochs() < training.experiment.training.epochs:
                    waiting.append(training)
                else:
                    results.add(training)
            except DataError as error:
                results.add(training, error)
        waiting.sort(key=_data_of)  # workers keep one data set: trainings on the same follow each other
        if waiting and self.scheduler is not None:
            self._check_folder(waiting[0].run.path / "config.json")
        with _bar(len(trainings), how.quiet) as bar, ours:
            for training in waiting:
                ours.submit(training)
            while ours.futures:
                _show(bar, results, len(ours.started & ours.futures.keys()))
                with contextlib.suppress(queue.Empty):
                    training, error = ours.next_end()
                    with bar.external_write_mode():
                        results.add(training, error)
                        if not how.quiet and training.name in results.outcomes:
                            print(_line(results.outcomes[training.name]), flush=True)
            _show(bar, results, 0)

    def _check_folder(self, path: Path) -> None:
        """Raise `InputError` with the workers that do not see a file of this machine."""
        blind = [
            address
            for address, sees in self.client.run(os.path.exists, str(path.resolve())).items()
            if not sees
        ]
        if blind:
            raise InputError(
                f"--out must be a folder that all workers share; {', '.join(blind)}: no {path.resolve()}"
            )


class _Session(contextlib.AbstractContextManager["_Session"]):
    """The tasks of one call: submitted, started, ended; those that are left are cancelled when it is over."""

    def __init__(self, client: Any, how: How) -> None:
        self.client, self.how = client, how
        self.topic = f"minisnn-{uuid.uuid4().hex}"
        self.futures: dict[str, Any] = {}
        self.started: set[str] = set()  # names, told by the workers
        self._epochs: dict[str, int] = {}
        self._ends: queue.SimpleQueue[tuple[Training, Any]] = queue.SimpleQueue()

    def __enter__(self) -> _Session:
        self.client.subscribe_topic(self.topic, lambda event: self.started.add(event[1]))
        return self

    def __exit__(self, *_: object) -> None:
        self.client.unsubscribe_topic(self.topic)
        self.client.cancel(list(self.futures.values()))

    def submit(self, training: Training) -> None:
        """Let the cluster train it, from where it stands."""
        name, folder = training.name, str(training.run.path.resolve())
        self.started.discard(name)
        self._epochs[name] = training.run.finished_epochs()
        places = [self.how.data_dir, os.environ.get("MINISNN_DATA")]
        task = {
            "name": name, "topic": self.topic, "version": __version__, "threads": self.how.threads,
            "places": [None if place is None else str(Path(place).resolve()) for place in places],
        }  # fmt: skip
        key = f"{name or 'training'}-{uuid.uuid4().hex}"
        future = self.client.submit(_train, folder, task, key=key, pure=False)
        self.futures[name] = future
        future.add_done_callback(lambda future: self._ends.put((training, future)))

    def next_end(self) -> tuple[Training, Exception | None]:
        """The next training that ended, and its error; `queue.Empty` if there was none within a second.

        A training whose workers were killed is submitted again if it was not the reason: it had not begun, or it had
        finished another epoch.
        """
        training, future = self._ends.get(timeout=1)
        del self.futures[training.name]
        if future.status == "cancelled":
            raise DataError("the scheduler is gone; what is finished stays, go on with the same command")
        error = future.exception() if future.status == "error" else None
        if type(error).__name__ == "KilledWorker":
            progress = training.run.finished_epochs() > self._epochs[training.name]
            if progress or training.name not in self.started:
                self.submit(training)
                raise queue.Empty
            error = InputError("its workers died, one after the other: killed, or out of memory")
        return training, error


def _train(folder: str, task: dict[str, Any]) -> None:
    """Train in a run folder, on a worker."""
    from distributed import get_worker

    worker = get_worker()
    key = worker.get_current_task()
    _check_version(worker.address, task["version"])

    def stop_if_cancelled(_: EpochMetrics) -> None:
        state = worker.state.tasks.get(key)
        if state is None or state.state == "cancelled":
            raise InterruptedError("nobody waits for this training any more")

    run = RunFolder.open(folder)
    experiment = Experiment.from_json(run.config(), run.path)
    data_dir, data_home = task["places"]
    if data_home is not None:
        os.environ.setdefault("MINISNN_DATA", data_home)
    with _ONE_AT_A_TIME, locked(run.path / "config.json", wait=True):
        worker.log_event(task["topic"], task["name"])
        data = _loaded(_data_of(Training("", run, experiment)), data_dir)
        threads = task["threads"] or worker.state.nthreads
        train_run(run, experiment, data, threads=threads, quiet=True, on_epoch=stop_if_cancelled)


def _check_version(address: str, version: str) -> None:
    """Raise `InputError` if a worker and the command have different versions of minisnn."""
    if version != __version__:
        raise InputError(
            f"worker {address} must have the minisnn of the command: {__version__} is not {version}"
        )


def _data_of(training: Training) -> str:
    """The data set of a training and its options, as text."""
    return json.dumps([training.experiment.dataset, training.experiment.data], sort_keys=True)


@lru_cache(maxsize=1)
def _loaded(what: str, data_dir: str | None) -> Dataset:
    """The data set of `_data_of`."""
    name, options = json.loads(what)
    return load_dataset(name, data_dir, **options)


def _line(outcome: dict[str, Any]) -> str:
    """An outcome in a line."""
    validation = outcome["validation_accuracy"]
    return (
        f"{outcome['name']}: "
        + ("" if validation is None else f"validation {100 * validation:.2f} %, ")
        + (
            f"test accuracy {100 * outcome['test_accuracy']:.2f} %, "
            f"{outcome['spikes_per_sample']:.1f} hidden spikes a sample"
        )
    )


def _bar(total: int, quiet: bool) -> Any:
    """Progress bar on standard error, as that of an epoch."""
    from tqdm import tqdm

    hidden = True if quiet or not can_say() else None
    return tqdm(total=total, desc="trainings", leave=False, disable=hidden, unit=" trainings")


def _show(bar: Any, results: Results, running: int) -> None:
    """Bring the bar up to date."""
    text = f"running {running}, failed {len(results.failed)}"
    if results.outcomes:
        best = max(results.outcomes.values(), key=accuracy_of)
        text += f", best {100 * accuracy_of(best):.2f} % ({best['name']})"
    bar.set_postfix_str(text, refresh=False)
    bar.update(len(results.outcomes) + len(results.failed) - bar.n)
    bar.refresh()
