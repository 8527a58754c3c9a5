"""A scheduler and workers as processes of their own: killed workers, strange ones, and none at all."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest

from minisnn.training import cluster
from tests.helpers import run

pytest.importorskip("distributed", reason="needs the extra sweep")

SMALL = "--train-samples 1000 --test-samples 100 --n-steps 30 --validation 100 --quiet"
EPOCHS = 30

pytestmark = pytest.mark.usefixtures("new_folder")


class Processes:
    """A scheduler on loopback and its workers; all are killed in the end."""

    def __init__(self, folder):
        self.all = []
        self.file, self.log = folder / "scheduler.json", open(folder / "log.txt", "w")  # noqa: SIM115
        self._dask("scheduler", "--host", "127.0.0.1", "--port", "0", "--scheduler-file", self.file, "--no-dashboard")
        until(self.file.exists)
        self.address = json.loads(self.file.read_text())["address"]

    def worker(self, **environment):
        words = ("--nthreads", "1", "--no-nanny", "--no-dashboard", "--host", "127.0.0.1")
        return self._dask("worker", self.address, *words, **environment)

    def _dask(self, *words, **environment):
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)} | environment
        command = [sys.executable, "-m", "dask", *map(str, words)]
        self.all.append(subprocess.Popen(command, env=environment, stdout=self.log, stderr=self.log))
        return self.all[-1]

    def kill(self):
        for process in self.all:
            process.kill()
            process.wait()
        self.log.close()


def until(condition, patience=60):
    for _ in range(100 * patience):
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError("waited in vain")


@pytest.fixture(scope="module")
def processes(tmp_path_factory):
    processes = Processes(tmp_path_factory.mktemp("dask"))
    yield processes
    processes.kill()


def n_epochs(folder):
    metrics = folder / "metrics.jsonl"
    return metrics.read_text().count("\n") if metrics.exists() else 0


def arrays(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.npz")}


def test_two_kills_change_no_bit(processes, tmp_path):
    workers = [processes.worker(), processes.worker()]
    out, stopped = tmp_path / "killed", []

    def in_the_middle():
        return any(2 <= n_epochs(folder) < EPOCHS - 10 for folder in out.glob("*/"))

    def kill_twice():
        for worker in workers:
            until(in_the_middle)
            worker.send_signal(signal.SIGKILL)
            stopped.append({folder.name: n_epochs(folder) for folder in out.glob("*/")})
            processes.worker()
            time.sleep(1)

    killer = threading.Thread(target=kill_twice)
    killer.start()
    options = f"yin-yang {SMALL} --epochs {EPOCHS}"
    began = time.time()
    code = run(f"sweep {options} --over hidden=30,40 --seeds 2 --out killed --scheduler {processes.address}")
    print("seconds", time.time() - began, stopped)
    killer.join()
    assert code == 0
    for hidden in (30, 40):
        assert run(f"train {options} --hidden {hidden} --seeds 2 --out one-{hidden}") == 0
        for seed in (0, 1):
            there, here = out / f"hidden-{hidden}-seed-{seed}", tmp_path / f"one-{hidden}" / f"seed-{seed}"
            assert arrays(there) == arrays(here)
            assert n_epochs(there) == EPOCHS
