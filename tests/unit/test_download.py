"""Downloads: asked for by name, whole and with the right checksum or not at all; from a server of the test's own."""

import gzip
import hashlib
import http.server
import sys
import threading
import types

import numpy as np
import pytest

from minisnn import datasets
from minisnn.datasets import pooch_download, tonic_bridge
from minisnn.datasets.idx import FILES
from minisnn.errors import DataError, InputError
from tests.unit.test_datasets import idx_bytes
from tests.unit.test_recordings import write_nmnist


@pytest.fixture
def server(tmp_path):
    """Serves a folder; yields the folder and its address."""
    folder = tmp_path / "served"
    folder.mkdir()

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args, **options):
            super().__init__(*args, directory=str(folder), **options)

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield folder, f"http://127.0.0.1:{running.server_port}/"
        running.shutdown()
        thread.join()


@pytest.fixture
def published(server, monkeypatch):
    """A tiny Fashion-MNIST on the server, with its checksums as the published ones."""
    pytest.importorskip("pooch")
    folder, address = server
    rng = np.random.default_rng(0)
    checksums = {}
    for part, n in (("train", 12), ("test", 5)):
        arrays = rng.integers(0, 256, (n, 28, 28)), rng.integers(0, 10, n)
        for name, array in zip(FILES[part], arrays):
            content = gzip.compress(idx_bytes(array))
            (folder / f"{name}.gz").write_bytes(content)
            checksums[f"{name}.gz"] = hashlib.md5(content).hexdigest()
    monkeypatch.setitem(pooch_download.IMAGES, "fashion-mnist", (address, checksums))
    monkeypatch.delenv("MINISNN_DATA", raising=False)
    return folder


def test_nothing_is_downloaded_unless_asked(published, tmp_path, monkeypatch):
    monkeypatch.setenv("MINISNN_CACHE", str(tmp_path / "cache"))
    with pytest.raises(DataError, match="no folder for fashion-mnist.*or let --download fetch it into"):
        datasets.load_dataset("fashion-mnist")
    assert not (tmp_path / "cache").exists()


def test_what_was_downloaded_is_found_again(published, tmp_path, monkeypatch):
    monkeypatch.setenv("MINISNN_CACHE", str(tmp_path / "cache"))
    data = datasets.load_dataset("fashion-mnist", download=True)
    assert (len(data.train), len(data.test)) == (12, 5)
    for path in published.iterdir():
        path.unlink()  # no second download can succeed
    again = datasets.load_dataset("fashion-mnist", download=True)
    without = datasets.load_dataset("fashion-mnist")
    for other in (again, without):
        assert np.array_equal(other.train.spikes.indices, data.train.spikes.indices)
    assert datasets.find("fashion-mnist") == tmp_path / "cache" / "fashion-mnist"


def test_a_download_can_be_put_elsewhere(published, tmp_path):
    data = datasets.load_dataset("fashion-mnist", tmp_path / "mine", download=True)
    assert len(data.train) == 12
    assert datasets.find("fashion-mnist", tmp_path / "mine") == tmp_path / "mine" / "fashion-mnist"


def test_a_wrong_checksum_leaves_nothing_behind(published, tmp_path, monkeypatch):
    monkeypatch.setenv("MINISNN_CACHE", str(tmp_path / "cache"))
    name = "train-images-idx3-ubyte.gz"
    (published / name).write_bytes(b"something else")
    with pytest.raises(
        DataError, match=f"{name} of fashion-mnist could not be fetched from .*hash"
    ) as caught:
        datasets.load_dataset("fashion-mnist", download=True)
    assert "\n" not in str(caught.value)
    assert not list((tmp_path / "cache").rglob("*train*"))


def test_a_missing_file_or_server_is_one_line(published, tmp_path, monkeypatch):
    monkeypatch.setenv("MINISNN_CACHE", str(tmp_path / "cache"))
    (published / "train-images-idx3-ubyte.gz").unlink()
    with pytest.raises(DataError, match="404"):
        datasets.load_dataset("fashion-mnist", download=True)
    _, checksums = pooch_download.IMAGES["fashion-mnist"]
    monkeypatch.setitem(pooch_download.IMAGES, "fashion-mnist", ("http://127.0.0.1:9/", checksums))
    with pytest.raises(DataError, match="put the files of the data set into .* instead") as caught:
        datasets.load_dataset("fashion-mnist", download=True)
    assert "\n" not in str(caught.value)


def test_an_interrupted_download_goes_on(published, tmp_path, monkeypatch):
    monkeypatch.setenv("MINISNN_CACHE", str(tmp_path / "cache"))
    last = published / "t10k-labels-idx1-ubyte.gz"
    content = last.read_bytes()
    last.unlink()
    with pytest.raises(DataError, match="404"):
        datasets.load_dataset("fashion-mnist", download=True)
    with pytest.raises(DataError, match="has no file t10k-labels-idx1-ubyte"):
        datasets.load_dataset("fashion-mnist")
    last.write_bytes(content)
    for name in ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz", "t10k-images-idx3-ubyte.gz"):
        (published / name).unlink()  # they are there and are not fetched again
    assert len(datasets.load_dataset("fashion-mnist", download=True).test) == 5


def test_missing_extras_are_named(tmp_path, monkeypatch):
    monkeypatch.setenv("MINISNN_CACHE", str(tmp_path))
    monkeypatch.delenv("MINISNN_DATA", raising=False)
    for name, module, extra in (
        ("mnist", "pooch", "download"),
        ("nmnist", "tonic", "data"),
        ("shd", "tonic", "data"),
    ):
        monkeypatch.setitem(sys.modules, module, None)
        with pytest.raises(
            InputError, match=rf"{module}, which downloads {name}, is .*pip install '.\[{extra}\]'"
        ):
            datasets.load_dataset(name, download=True)


def test_the_published_checksums_are_those_of_four_files_each():
    for _, checksums in pooch_download.IMAGES.values():
        assert sorted(checksums) == sorted(f"{name}.gz" for part in FILES.values() for name in part)
        assert all(len(md5) == 32 and int(md5, 16) for md5 in checksums.values())
    assert len({md5 for _, sums in pooch_download.IMAGES.values() for md5 in sums.values()}) == 8


class StandIn:
    """Looks like the class of a tonic data set, and "downloads" recordings into the folder it is given."""

    asked: list[tuple[str, bool]]

    def __init__(self, save_to, train):
        self.asked.append((save_to, train))
        write_nmnist(self.place(save_to), [("Train", 12)] if train else [("Test", 4)])

    @staticmethod
    def place(save_to):
        from pathlib import Path

        return Path(save_to) / "NMNIST"


def test_tonic_is_asked_for_both_parts_and_its_files_are_read(tmp_path, monkeypatch):
    # A stand-in for tonic: the real one needs the internet for this.
    monkeypatch.setattr(StandIn, "asked", [], raising=False)
    module = types.ModuleType("tonic")
    module.datasets = types.SimpleNamespace(NMNIST=StandIn)
    monkeypatch.setitem(sys.modules, "tonic", module)
    monkeypatch.setenv("MINISNN_CACHE", str(tmp_path))
    monkeypatch.delenv("MINISNN_DATA", raising=False)
    data = datasets.load_dataset("nmnist", download=True)
    assert (len(data.train), len(data.test)) == (12, 4)
    assert StandIn.asked == [(str(tmp_path / "nmnist"), True), (str(tmp_path / "nmnist"), False)]
    datasets.load_dataset("nmnist", download=True)
    assert len(StandIn.asked) == 2


def test_a_failing_download_of_tonic_is_one_line(tmp_path, monkeypatch):
    def fail(save_to, train):
        raise RuntimeError("File not found or corrupted.\nmore")

    module = types.ModuleType("tonic")
    module.datasets = types.SimpleNamespace(SHD=fail)
    monkeypatch.setitem(sys.modules, "tonic", module)
    with pytest.raises(
        DataError, match="shd could not be downloaded to .*: File not found or corrupted. more$"
    ):
        tonic_bridge.download_with_tonic("shd", tmp_path)
