"""The command where something is missing around it: streams, a home, a place for compiled code, rights."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import minisnn
from minisnn.commands import main as cli
from tests.helpers import FOR_EVER, start

SIZES = "--train-samples 100 --test-samples 50 --epochs 2 --n-steps 10 --hidden 8"
# Streams, homes and rights are the same whoever computes, and NumPy need not load compiled code.
SMALL = f"train {SIZES} --solver numpy-parallel --out run --json result.json"
PORT = """
def forward(spikes, weight, bias, decay, threshold):
    import minisnn
    trace = minisnn.single_spike_forward(spikes, weight, bias, decay, threshold=threshold)
    return trace.spikes, trace.membrane
def wrong(*arguments):
    spikes, membrane = forward(*arguments)
    return 0 * spikes, membrane
"""
PYTHON = f"{sys.executable} -m minisnn"


@pytest.fixture
def shell(tmp_path):
    """Runs a line of bash in a new folder; returns exit codes of its pipeline, and what came on both streams."""
    (tmp_path / "port.py").write_text(PORT)
    # Pictures take long.
    (tmp_path / "matplotlib.py").write_text("raise ModuleNotFoundError(name='matplotlib')")
    paths = os.pathsep.join([str(tmp_path), *map(os.path.abspath, sys.path)])

    def run(line):
        script = f'{line}\necho "${{PIPESTATUS[*]}}" > codes'
        environment = os.environ | {"PYTHONPATH": paths, "MPLBACKEND": "Agg"}
        done = subprocess.run(
            ["bash", "-c", script], cwd=tmp_path, env=environment, capture_output=True, timeout=FOR_EVER
        )
        codes = [int(code) for code in (tmp_path / "codes").read_text().split()]
        out, error = (stream.decode(errors="replace") for stream in (done.stdout, done.stderr))
        assert "Traceback" not in error
        assert "Exception ignored" not in error
        return codes, out, error

    return run


@pytest.mark.parametrize(("streams", "code"), [("<&- >&- 2>&-", 0), ("2>&1 | true", 0), ("> /dev/full", 2)])
def test_training_goes_on_without_streams(shell, tmp_path, streams, code):
    codes, _, error = shell(f"{PYTHON} {SMALL} {streams}")
    assert codes[0] == code
    assert (tmp_path / "run" / "checkpoint.npz").exists()
    assert (tmp_path / "run" / "metrics.jsonl").read_text().count("\n") == 2
    assert len(json.loads((tmp_path / "result.json").read_text())["epochs"]) == 2
    assert ("standard output: No space left on device" in error) == (code == 2)


@pytest.mark.parametrize(
    ("port", "streams", "code"), [("forward", "> /dev/full", 2), ("wrong", ">&- 2>&-", 1)]
)
def test_a_verdict_needs_no_streams(shell, port, streams, code):
    codes, _, error = shell(f"{PYTHON} check port.py:{port} --examples 3 --dtype float32 {streams}")
    assert codes[0] == code, error


def test_a_path_that_the_terminal_cannot_print(shell, tmp_path):
    name = os.fsdecode(b"run-\xff-\xc3\xa9")  # no UTF-8, and then a letter that ASCII has not
    codes, out, error = shell(
        f"LC_ALL=C PYTHONIOENCODING=ascii {PYTHON} train {SIZES} --solver numpy-parallel --quiet --out {name}"
    )
    assert codes == [0], error
    assert "run folder run-\\udcff-\\xe9\n" in out
    assert (tmp_path / name / "checkpoint.npz").exists()


def test_standard_output_by_its_name(shell, tmp_path):
    codes, out, _ = shell(f"{PYTHON} doctor --json /dev/stdout | cat")
    assert codes == [0, 0]
    assert set(json.loads(out[out.index("{") :])) == {"versions", "machine", "solvers", "compiled", "data"}
    codes, _, _ = shell(f"{PYTHON} doctor --json /dev/stdout > out")
    assert codes == [0]
    assert (tmp_path / "out").read_text() == out


def test_an_interruption_while_it_starts(tmp_path, monkeypatch):
    """Whatever is being imported or compiled: exit code 130, no traceback."""
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    process = start(f"train {SIZES}", cwd=tmp_path)
    assert "loading compiled kernels" in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    error = process.communicate(timeout=FOR_EVER)[1]
    assert process.returncode == 130, error
    assert error.count("\n") == 1


# ---- a user without a name, a home or rights --------------------------------------------------------

NOBODY = [
    "setpriv", "--reuid=12345", "--clear-groups", "--inh-caps=+dac_read_search",
    "--ambient-caps=+dac_read_search", "env", "-i", f"PATH={os.environ['PATH']}", "PYTHONDONTWRITEBYTECODE=1",
    "MPLBACKEND=Agg",
]  # fmt: skip


def let_others_in(folder):
    for place in (folder, *folder.parents):
        if place.stat().st_uid == os.getuid() and place != Path("/"):
            place.chmod(place.stat().st_mode | 0o055)


@pytest.fixture(scope="module")
def nobody(tmp_path_factory):
    """Runs Python as that user, on a package that cannot be written, in the folder `open`, which can be."""
    if shutil.which("setpriv") is None or subprocess.run([*NOBODY, "true"], check=False).returncode:
        pytest.skip("needs setpriv and the right to become another user")
    folder = tmp_path_factory.mktemp("nobody")
    package = Path(minisnn.__file__).parent
    shutil.copytree(package, folder / "package/minisnn", ignore=shutil.ignore_patterns("__pycache__"))
    let_others_in(folder)
    (folder / "open").mkdir()
    (folder / "open").chmod(0o777)
    paths = [str(folder / "package"), *(path for path in sys.path if "site-packages" in path)]
    command = [*NOBODY, f"PYTHONPATH={os.pathsep.join(paths)}", sys.executable]

    def run(line, place="open", program=("-m", "minisnn")):
        done = subprocess.run(
            [*command, *program, *line.split()],
            cwd=folder / place,
            capture_output=True,
            text=True,
            timeout=FOR_EVER,
        )
        assert "Traceback" not in done.stderr, done.stderr
        return done

    return run


def test_the_doctor_always_answers(nobody):
    done = nobody("doctor", place=".")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("usable for") == 4
    assert "compiled code" in done.stdout
    assert "set NUMBA_CACHE_DIR to a folder that can be written" in done.stdout
    assert done.stdout.count("not found: no folder for") == 4


def test_training_without_a_home(nobody):
    done = nobody(f"{SMALL} --quiet")
    assert done.returncode == 0, done.stderr
    assert "run folder run" in done.stdout
    done = nobody(f"train {SIZES} --out run2 --quiet", place=".")
    assert done.returncode == 2
    assert done.stderr == "minisnn: error: run2: Permission denied\n"


@pytest.mark.slow
def test_compiled_training_without_a_place_for_compiled_code(nobody):
    done = nobody(f"train {SIZES} --out run3 --quiet")
    assert done.returncode == 0, done.stderr


def test_recordings_without_a_home(nobody, data_dir):
    options = f"--data-dir {data_dir} {SIZES} --out run4 --quiet --solver numpy-parallel"
    done = nobody(f"train nmnist {options}")
    assert done.returncode == 0, done.stderr
    done = nobody("train mnist --download")
    assert done.returncode == 2
    assert done.stderr.startswith("minisnn: error: no home folder to download mnist to: give --data-dir DIR")


def test_what_nobody_may_write_is_known_before(nobody, tmp_path):
    let_others_in(tmp_path)
    (tmp_path / "file.json").write_text("kept")
    for name in ("file.json", "new.json"):
        done = nobody(f"doctor --json {tmp_path / name}")
        assert (done.returncode, done.stdout) == (2, "")
        assert re.fullmatch(r".*: Permission denied\n", done.stderr)
    assert (tmp_path / "file.json").read_text() == "kept"


@pytest.mark.parametrize(
    ("kept", "text"), [(True, "training is compiled"), (False, "the first training compiles, about 15 s")]
)
def test_the_compiled_folder_is_named(kept, text, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr("numba.core.config.CACHE_DIR", str(tmp_path))
    monkeypatch.setattr("minisnn.solvers.compiled.jit.is_kept", lambda kernel: kept)
    assert cli.main(["doctor"]) == 0
    assert re.search(rf"^compiled code +{tmp_path}.*: {text}$", capsys.readouterr().out, re.M)
