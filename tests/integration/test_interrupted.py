"""Training that is stopped, killed, or cannot write: it goes on to the bits of an uninterrupted run."""

import errno
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time

import pytest

from minisnn.commands.main import main
from minisnn.training.runs import RunFolder

SIZES = "--train-samples 1000 --test-samples 200 --n-steps 50 --hidden 40 --seed 2 --validation 200 --quiet"
EPOCHS = "24"


@pytest.fixture(autouse=True)
def in_a_new_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("minisnn.commands.train._draw", lambda *_: None)  # pictures take most of the time


def start(*arguments, **options):
    """Start ``minisnn train`` in a child process."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "MPLBACKEND": "Agg"}
    command = [sys.executable, "-m", "minisnn", "train", "--quiet", *arguments]
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        **({"preexec_fn": heed_interrupts} | options),
    )


def heed_interrupts():
    """Tests that a shell runs in the background inherit that interrupts are ignored, and so would the child."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def n_epochs(run):
    """Lines of metrics.jsonl; it is replaced as a whole, so that there is no half of one."""
    metrics = run / "metrics.jsonl"
    return metrics.read_text().count("\n") if metrics.exists() else 0


def wait_for_epochs(run, n, process):
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        if n_epochs(run) >= n:
            return
        time.sleep(0.002)
    raise AssertionError(f"no {n} epochs: {process.communicate()}")


def arrays(run):
    return {path.name: path.read_bytes() for path in run.glob("*.npz")}


def metrics(run):
    """Lines of metrics.jsonl without the time they took, which no two runs share."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [json.dumps({key: value for key, value in line.items() if key != "seconds"}) for line in lines]


def test_ctrl_c_leaves_the_last_finished_epoch(tmp_path):
    process = start(*SIZES.split(), "--epochs", "4000", "--out", "run")
    wait_for_epochs(tmp_path / "run", 3, process)
    process.send_signal(signal.SIGINT)
    error = process.communicate(timeout=30)[1]
    assert process.returncode == 130
    assert error.count("\n") == 1, error
    assert "go on with: minisnn train --resume run" in error
    assert main(["evaluate", "run"]) == 0


def kill_and_resume(tmp_path, n_kills, seed):
    """Kill a training that many times, at moments drawn with a seed; returns the moments as epochs finished."""
    rng = random.Random(seed)
    fresh = [*SIZES.split(), "--epochs", EPOCHS]
    assert main(["train", *fresh, "--out", "whole"]) == 0
    run, moments = tmp_path / "killed", []
    while len(moments) < n_kills:
        process = start(
            *(("--resume", "killed") if moments and started(run) else (*fresh, "--out", "killed"))
        )
        # Most kills come while it trains or saves, a few while it starts. Less than an epoch from the last to
        # the next, so that it does not end before all of them.
        done, patience = n_epochs(run), rng.random()
        if patience < 0.25:
            time.sleep(rng.uniform(0, 1.5))
        elif done + 1 < int(EPOCHS):
            wait_for_epochs(run, done + 1, process)
            time.sleep(rng.uniform(0, 0.03))
        process.kill()
        process.communicate()
        moments.append(n_epochs(run))
    assert main(["train", "--resume", "killed", "--quiet"]) == 0
    assert arrays(run) == arrays(tmp_path / "whole")
    assert metrics(run) == metrics(tmp_path / "whole")
    assert not list(run.glob(".*"))
    return moments


def started(run):
    """Whether a killed run got as far as its configuration; otherwise it is begun anew."""
    return (run / "config.json").exists()


def test_two_kills(tmp_path):
    assert len(kill_and_resume(tmp_path, 2, seed=1)) == 2


@pytest.mark.slow
def test_twenty_kills(tmp_path):
    moments = kill_and_resume(tmp_path, 20, seed=7)
    assert len(moments) == 20
    assert len(set(moments)) >= 5, "the kills must be spread over the training"
    print("epochs finished at each kill:", moments)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A run that was interrupted, in the folder ``run``; the whole one is in the folder ``whole``."""
    fresh = [*SIZES.split(), "--epochs", "6"]
    save, saved, place = RunFolder.save_epoch, [], tmp_path_factory.mktemp("folders")

    def stop(self, *arguments):
        if len(saved) == 3:
            raise KeyboardInterrupt
        saved.append(True)
        save(self, *arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        patch.setattr("minisnn.commands.train._draw", lambda *_: None)
        assert main(["train", *fresh, "--out", "whole"]) == 0
        patch.setattr(RunFolder, "save_epoch", stop)
        assert main(["train", *fresh, "--out", "run"]) == 130
    return place


@pytest.fixture
def half_done(folders, tmp_path):
    shutil.copytree(folders, tmp_path, dirs_exist_ok=True)
    return tmp_path / "run"


def check_that_it_survived(run, error, before):
    """One line, the previous checkpoint, and the same end once there is room again."""
    assert error.count("\n") == 1, error
    assert "minisnn: error: cannot save epoch 4 in run: " in error
    assert "the epochs before it are safe (go on with: minisnn train --resume run)" in error
    assert (run / "checkpoint.npz").read_bytes() == before["checkpoint.npz"]
    assert arrays(run).items() >= before.items()
    assert not list(run.glob(".*"))
    assert main(["evaluate", "run"]) == 0
    assert main(["train", "--resume", "run", "--quiet"]) == 0
    assert arrays(run) == arrays(run.parent / "whole")
    assert metrics(run) == metrics(run.parent / "whole")


@pytest.mark.parametrize("room", ["nothing", "all but the checkpoint"])
def test_a_full_disk_leaves_the_previous_checkpoint(half_done, room):
    """No file of the child process may grow beyond a size, as on a disk that is full at that moment."""
    before = arrays(half_done)
    n_bytes = 100 if room == "nothing" else len(before["checkpoint.npz"]) - 1
    process = start(
        "--resume",
        "run",
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, resource.RLIM_INFINITY)),
    )
    error = process.communicate(timeout=60)[1]
    assert process.returncode == 2
    check_that_it_survived(half_done, error, before)


@pytest.mark.parametrize(
    ("call", "number"),
    [
        ("tempfile.mkstemp", errno.EROFS),
        ("tempfile.mkstemp", errno.EACCES),
        ("os.fsync", errno.ENOSPC),
        ("os.replace", errno.EDQUOT),
    ],
)
def test_faults_of_the_file_system(half_done, monkeypatch, capsys, call, number):
    before = arrays(half_done)

    def fail(*args, **kwargs):
        raise OSError(number, os.strerror(number), "some/path")

    capsys.readouterr()
    with monkeypatch.context() as patch:
        patch.setattr(call, fail)
        assert main(["train", "--resume", "run", "--quiet"]) == 2
    error = capsys.readouterr().err
    assert os.strerror(number) in error
    check_that_it_survived(half_done, error, before)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write to a read-only folder")
def test_a_read_only_folder(half_done, capsys):
    before = arrays(half_done)
    half_done.chmod(0o555)
    capsys.readouterr()
    assert main(["train", "--resume", "run", "--quiet"]) == 2
    half_done.chmod(0o755)
    check_that_it_survived(half_done, capsys.readouterr().err, before)
