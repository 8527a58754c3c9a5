"""Trainings side by side: workers that are killed, interrupted, strange, or not there at all."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest

from tests.helpers import FOR_EVER, arrays, run, start, until

distributed = pytest.importorskip("distributed", reason="needs the extra sweep")
psutil = pytest.importorskip("psutil", reason="needs the extra sweep")

EPOCHS = 40
TRAINING = f"--train-samples 600 --test-samples 100 --n-steps 30 --validation 100 --epochs {EPOCHS} --quiet"

pytestmark = pytest.mark.usefixtures("new_folder")


class Processes:
    """A scheduler on loopback, and its workers."""

    def __init__(self, folder):
        self.workers = []
        self.log = open(folder / "log.txt", "w")  # noqa: SIM115
        file, none = folder / "scheduler.json", ("--no-dashboard", "--host", "127.0.0.1")
        self.scheduler = self._dask("scheduler", "--port", "0", "--scheduler-file", str(file), *none)
        until(file.exists)
        self.address = json.loads(file.read_text())["address"]

    def worker(self, **environment):
        words = ("--nthreads", "1", "--no-nanny", "--no-dashboard", "--host", "127.0.0.1")
        self.workers.append(self._dask("worker", self.address, *words, **environment))
        return self.workers[-1]

    def _dask(self, *words, **environment):
        path = os.pathsep.join([environment.pop("first", ""), *sys.path])
        command = [sys.executable, "-m", "dask", *words]
        return subprocess.Popen(
            command, env=os.environ | {"PYTHONPATH": path}, stdout=self.log, stderr=self.log
        )

    def stop_workers(self):
        for process in self.workers:
            process.kill()
            process.wait()
        self.workers.clear()
        self.wait_for(lambda client: not client.scheduler_info()["workers"])

    def wait_for(self, condition):
        """Until it is true of a client of the scheduler."""
        with distributed.Client(self.address, set_as_default=False) as client:
            until(lambda: condition(client))

    def stop(self):
        self.stop_workers()
        self.scheduler.kill()
        self.scheduler.wait()
        self.log.close()


@pytest.fixture(autouse=True)
def patience(monkeypatch):
    """On a busy machine a worker takes longer to start than a user would wait for one."""
    monkeypatch.setattr("minisnn.training.cluster._PATIENCE", FOR_EVER)


@pytest.fixture(scope="module")
def scheduler(tmp_path_factory):
    processes = Processes(tmp_path_factory.mktemp("dask"))
    yield processes
    processes.stop()


@pytest.fixture
def processes(scheduler):
    yield scheduler
    scheduler.stop_workers()


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The trainings of a sweep, in this process."""
    folder = tmp_path_factory.mktemp("alone")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("minisnn.commands.options.draw", lambda *_: None)
        for hidden in (30, 40):
            assert run(f"train {TRAINING} --hidden {hidden} --out {folder / str(hidden)}") == 0
    return {f"hidden-{hidden}": arrays(folder / str(hidden)) for hidden in (30, 40)}


SWEEP = f"sweep yin-yang {TRAINING} --over hidden=30,40 --out out"


def epochs(out):
    """Finished epochs of every training of a sweep."""
    files = {path.parent.name: path.with_name("metrics.jsonl") for path in out.glob("*/config.json")}
    return {name: path.read_text().count("\n") if path.exists() else 0 for name, path in files.items()}


def in_the_middle(out):
    return any(2 <= n < EPOCHS - 6 for n in epochs(out).values())


def kill_in_the_middle(out, pick, n):
    """A thread that kills processes, one after the other, while trainings are under way."""
    killed = []

    def kill():
        for _ in range(n):
            until(lambda: in_the_middle(out))
            before = epochs(out)
            pick().send_signal(signal.SIGKILL)
            killed.append(before)
            until(lambda before=before: epochs(out) != before)

    thread = threading.Thread(target=kill)
    thread.start()
    return thread, killed


def same_as_alone(out, alone):
    assert set(epochs(out).values()) == {EPOCHS}
    assert {name: arrays(out / name) for name in epochs(out)} == alone


def test_workers_that_are_killed_twice_change_no_bit(processes, tmp_path, alone):
    workers = [processes.worker(), processes.worker()]

    def pick():
        processes.worker()
        return workers.pop()

    thread, killed = kill_in_the_middle(tmp_path / "out", pick, 2)
    assert run(f"{SWEEP} --scheduler {processes.address}") == 0
    thread.join()
    assert len(killed) == 2
    same_as_alone(tmp_path / "out", alone)
    # The other commands run there too.
    few = "--train-samples 60 --test-samples 30 --epochs 1 --hidden 9 --quiet --seeds 2"
    there = f"--scheduler {processes.address}"
    assert run(f"train {few} --out here") == run(f"train {few} --out there {there}") == 0
    assert arrays(tmp_path / "there" / "seed-1") == arrays(tmp_path / "here" / "seed-1")
    assert run(f"reproduce yin-yang {few} --recipes best --out paper {there}") == 0
    assert (tmp_path / "paper" / "best-multi-spike" / "seed-0" / "checkpoint.npz").exists()


def test_workers_of_this_machine(tmp_path, alone, capsys):
    def pick():
        alive = [p for p in psutil.Process().children() if p.status() != psutil.STATUS_ZOMBIE]
        return next(p for p in alive if "spawn_main" in " ".join(p.cmdline()))

    thread, _ = kill_in_the_middle(tmp_path / "out", pick, 1)
    assert run(f"{SWEEP} --workers 2".replace("--quiet", "")) == 0
    thread.join()
    same_as_alone(tmp_path / "out", alone)
    printed = capsys.readouterr()
    assert {line.split(":")[0] for line in printed.out.splitlines() if "% of" not in line} >= set(alone)
    result = json.loads((tmp_path / "out" / "results.json").read_text())
    assert [one["name"] for one in result["runs"]] == list(alone)  # whatever ended first
    assert "Traceback" not in printed.err
    assert "distributed" not in printed.err


def test_ctrl_c_frees_the_workers_and_the_same_command_goes_on(processes, tmp_path, alone, capsys):
    processes.worker()
    out, command = tmp_path / "out", f"{SWEEP} --scheduler {processes.address}"
    process = start(command, start_new_session=True)
    until(lambda: in_the_middle(out))
    os.killpg(process.pid, signal.SIGINT)
    error = process.communicate(timeout=FOR_EVER)[1]
    assert process.returncode == 130
    assert error == "minisnn: interrupted; what is finished is in out (go on with the same command)\n"
    busy = "[*__import__('distributed').Worker._instances][0].active_threads"
    processes.wait_for(lambda client: not any(client.run(eval, busy).values()))
    assert 0 < max(epochs(out).values()) < EPOCHS
    assert run(command) == 0
    same_as_alone(out, alone)


STRANGE = {
    "another version": ("minisnn/__init__.py", "__version__ = '0.0.9'", "must have the minisnn of the command"),
    "without minisnn": ("minisnn/__init__.py", "raise ImportError('none here')", "cannot import minisnn: none here"),
    "other folders": (
        "sitecustomize.py", "import genericpath, os.path; os.path.exists = genericpath.exists = lambda path: False",
        "--out must be a folder that all workers share",
    ),
}  # fmt: skip


@pytest.mark.parametrize("strange", STRANGE)
def test_a_strange_worker_is_named(processes, tmp_path, capsys, strange):
    file, text, message = STRANGE[strange]
    path = tmp_path / "strange" / file
    path.parent.mkdir(parents=True)
    path.write_text(text)
    processes.worker(first=str(tmp_path / "strange"))
    assert run(f"{SWEEP} --scheduler {processes.address}") == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1, error
    assert message in error
    assert "tcp://127.0.0.1" in error


def test_a_scheduler_without_workers(processes, capsys, monkeypatch):
    monkeypatch.setattr("minisnn.training.cluster._PATIENCE", 1)
    assert run(f"{SWEEP} --scheduler {processes.address}") == 2
    assert capsys.readouterr().err == f"minisnn: error: --scheduler {processes.address} has no workers\n"


def answer(server):
    with server.accept()[0] as there:
        there.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")


@pytest.mark.parametrize("kind", ["closed", "silent", "nonsense", "no port", "other words"])
def test_an_unreachable_scheduler_is_one_line_within_seconds(kind, capsys, monkeypatch):
    monkeypatch.setattr("minisnn.training.cluster._PATIENCE", 1)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        if kind == "closed":
            server.close()
        if kind == "other words":
            threading.Thread(target=answer, args=(server,)).start()
        address = {"nonsense": "://", "no port": "nowhere"}.get(kind, f"tcp://127.0.0.1:{port}")
        began = time.monotonic()
        assert run(f"{SWEEP} --scheduler {address}") == 2
    assert time.monotonic() - began < 25  # Dask alone would take 30, or for ever
    error = capsys.readouterr().err
    assert error.count("\n") == 1, error
    assert f"--scheduler {address} cannot be reached" in error
    assert kind != "other words" or "no Dask answers there" in error
