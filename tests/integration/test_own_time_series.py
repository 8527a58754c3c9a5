"""The example with one's own time series: with the recordings, without them, and with a file that is not there."""

import importlib.util
import re
from pathlib import Path

import numpy as np
import pytest

PATH = Path(__file__).parents[2] / "examples" / "30_own_time_series.py"


@pytest.fixture(scope="module")
def example():
    spec = importlib.util.spec_from_file_location("own_time_series", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def accuracy(printed):
    return float(re.search(r"([\d.]+) % of \d+ test samples", printed)[1])


def test_without_the_recordings_it_makes_series_up(example, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("MINISNN_DATA", str(tmp_path))
    out = tmp_path / "new" / "folder"
    example.main(["--epochs", "3", "--out", str(out)])
    printed = capsys.readouterr().out
    assert "made up" in printed
    assert accuracy(printed) > 50  # of six orders; guessing gives 17
    assert re.search(r"[\d.]+ of 200 hidden neurons fire per test sample", printed)
    assert (out / "own_time_series.png").read_bytes()[:4] == b"\x89PNG"


def test_it_reads_a_file_of_that_form(example, tmp_path, capsys, monkeypatch):
    rng = np.random.default_rng(0)
    label, repetition = (np.repeat([0, 1], 50), np.tile(np.arange(50), 2).astype(np.uint8))
    data = rng.integers(90, 95, (100, 20, 2), dtype=np.uint8)
    for c in (0, 1):
        data[label == c, 8:12, c] += 60
    (tmp_path / "braille").mkdir()
    file = tmp_path / "braille" / "braille_taxels.npz"
    np.savez(file, data=data, label=label.astype(np.uint8), repetition=repetition, letters=["A", "B"])
    monkeypatch.setenv("MINISNN_DATA", str(tmp_path))
    example.main(["--epochs", "4", "--out", str(tmp_path)])
    by_environment = capsys.readouterr().out
    assert f"time series: {file}, shape (100, 20, 2)" in by_environment
    assert "of 80 training samples" in by_environment
    assert "100.00 % of 20 test samples" in by_environment
    monkeypatch.delenv("MINISNN_DATA")
    example.main(["--epochs", "4", "--out", str(tmp_path), "--data", str(file)])
    assert capsys.readouterr().out == by_environment  # one seed, same figures


def test_a_file_that_is_not_there(example, tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        example.main(["--data", str(tmp_path / "none.npz")])
    assert stop.value.code == 2
    assert "none.npz is not there: --data must be the file braille_taxels.npz" in capsys.readouterr().err


def test_it_learns_to_read_braille(example, tmp_path, data_dir, capsys):
    file = Path(data_dir) / "braille" / "braille_taxels.npz"
    if not file.is_file():
        pytest.skip(f"needs the Braille recordings: no {file}")
    example.main(["--epochs", "12", "--out", str(tmp_path), "--data", str(file)])
    printed = capsys.readouterr().out
    assert "of 1080 training samples" in printed
    assert accuracy(printed) >= 93
