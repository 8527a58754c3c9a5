"""Training that is stopped, killed, or cannot write: it goes on to the bits of an uninterrupted run."""

import json
import random
import resource
import shutil
import signal
import time

import pytest

from minisnn.training.runs import RunFolder
from tests.helpers import FOR_EVER, arrays, run, start, until

FRESH = (
    "train --train-samples 1000 --test-samples 200 --n-steps 50 --hidden 40 --seed 2 --validation 200 --quiet"
)
EPOCHS = 24

pytestmark = pytest.mark.usefixtures("new_folder")


def n_epochs(folder):
    """Lines of metrics.jsonl; it is replaced as a whole, so that there is no half of one."""
    metrics = folder / "metrics.jsonl"
    return metrics.read_text().count("\n") if metrics.exists() else 0


def wait_for_epochs(folder, n, process):
    until(lambda: n_epochs(folder) >= n or process.poll() is not None)
    assert n_epochs(folder) >= n, process.communicate()


def same_runs(one, other):
    """The same but for the time it took; and nothing left lying about."""
    assert arrays(one) == arrays(other)
    lines = [
        [json.loads(line) | {"seconds": 0} for line in (folder / "metrics.jsonl").read_text().splitlines()]
        for folder in (one, other)
    ]
    assert list(map(json.dumps, lines[0])) == list(map(json.dumps, lines[1]))
    assert not list(one.glob(".*"))


def test_ctrl_c_leaves_the_last_finished_epoch(tmp_path):
    process = start(f"{FRESH} --epochs 4000 --out run")
    wait_for_epochs(tmp_path / "run", 3, process)
    process.send_signal(signal.SIGINT)
    error = process.communicate(timeout=FOR_EVER)[1]
    assert process.returncode == 130
    assert error.count("\n") == 1, error
    assert "go on with: minisnn train --resume run" in error
    assert run("evaluate run") == 0


@pytest.mark.parametrize(("n_kills", "seed"), [(2, 1), pytest.param(20, 7, marks=pytest.mark.slow)])
def test_kills_at_moments_drawn_with_a_seed(tmp_path, n_kills, seed):
    rng = random.Random(seed)
    fresh = f"{FRESH} --epochs {EPOCHS}"
    assert run(f"{fresh} --out whole") == 0
    folder, moments = tmp_path / "killed", []
    while len(moments) < n_kills:
        # A killed run that did not get as far as its configuration is begun anew.
        begun = (folder / "config.json").exists()
        process = start("train --resume killed --quiet" if begun else f"{fresh} --out killed")
        # Most kills come while it trains or saves, a few while it starts. Less than an epoch from the last to
        # the next, so that it does not end before all of them.
        done, patience = n_epochs(folder), rng.random()
        if patience < 0.25:
            time.sleep(rng.uniform(0, 1.5))
        elif done + 1 < EPOCHS:
            wait_for_epochs(folder, done + 1, process)
            time.sleep(rng.uniform(0, 0.03))
        process.kill()
        process.communicate()
        moments.append(n_epochs(folder))
    assert run("train --resume killed --quiet") == 0
    same_runs(folder, tmp_path / "whole")
    print("epochs finished at each kill:", moments)
    assert len(set(moments)) >= n_kills // 4, "the kills must be spread over the training"


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A run that was interrupted, in the folder ``run``; the whole one is in the folder ``whole``."""
    save, saved, place = RunFolder.save_epoch, [], tmp_path_factory.mktemp("folders")

    def stop(self, *arguments):
        if len(saved) == 3:
            raise KeyboardInterrupt
        saved.append(True)
        save(self, *arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        patch.setattr("minisnn.commands.options.draw", lambda *_: None)
        assert run(f"{FRESH} --epochs 6 --out whole") == 0
        patch.setattr(RunFolder, "save_epoch", stop)
        assert run(f"{FRESH} --epochs 6 --out run") == 130
    return place


@pytest.mark.parametrize("room", ["nothing", "all but the checkpoint"])
def test_a_full_disk_leaves_the_previous_checkpoint(folders, tmp_path, refused, room):
    """No file may grow beyond a size, as on a disk that is full at that moment."""
    shutil.copytree(folders, tmp_path, dirs_exist_ok=True)
    folder = tmp_path / "run"
    before, limits = arrays(folder), resource.getrlimit(resource.RLIMIT_FSIZE)
    n_bytes = 100 if room == "nothing" else len(before["checkpoint.npz"]) - 1
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, limits[1]))
    try:
        error = refused(
            "train --resume run --quiet", "minisnn: error: cannot save epoch 4 in run: File too large;"
        )
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert "the epochs before it are safe (go on with: minisnn train --resume run)" in error
    assert (folder / "checkpoint.npz").read_bytes() == before["checkpoint.npz"]
    assert arrays(folder).items() >= before.items()
    assert not list(folder.glob(".*"))
    # The same end once there is room again.
    assert run("evaluate run") == 0
    assert run("train --resume run --quiet") == 0
    same_runs(folder, tmp_path / "whole")
