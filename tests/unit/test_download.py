"""Downloads: asked for by name, whole and with the right checksum or not at all; from a server of the test's own."""

import hashlib
import http.server
import sys
import threading
import types
from pathlib import Path

import numpy as np
import pytest

from minisnn import datasets
from minisnn.datasets import places
from minisnn.datasets.idx import FILES
from minisnn.errors import DataError, InputError
from tests.data_files import write_images, write_nmnist
from tests.helpers import one_line


@pytest.fixture
def published(tmp_path, empty_cache, monkeypatch):
    """The folder of a server with a tiny Fashion-MNIST, whose checksums are those in the table."""
    pytest.importorskip("pooch")
    folder = tmp_path / "served"

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args, **options):
            super().__init__(*args, directory=str(folder), **options)

        def log_message(self, *_):
            pass

    write_images(folder)
    names = [f"{name}.gz" for part in FILES.values() for name in part]
    checksums = {name: hashlib.md5((folder / name).read_bytes()).hexdigest() for name in names}
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as running:
        address = f"http://127.0.0.1:{running.server_port}/"
        monkeypatch.setitem(places.IMAGES, "fashion-mnist", (address, checksums))
        thread = threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield folder
        running.shutdown()
        thread.join()


def fetch(*place):
    return datasets.load_dataset("fashion-mnist", *place, download=True)


def test_what_was_downloaded_is_found_again(published, empty_cache):
    with one_line(DataError, "no folder for fashion-mnist.*or let --download fetch it into"):
        datasets.load_dataset("fashion-mnist")
    assert not empty_cache.exists()  # nothing is downloaded unless asked
    data = fetch()
    assert (len(data.train), len(data.test)) == (12, 5)
    for path in published.iterdir():
        path.unlink()  # no second download can succeed
    for other in (fetch(), datasets.load_dataset("fashion-mnist")):
        assert np.array_equal(other.train.spikes.indices, data.train.spikes.indices)
    assert datasets.find("fashion-mnist") == empty_cache / "fashion-mnist"


def test_a_download_can_be_put_elsewhere(published, tmp_path):
    assert len(fetch(tmp_path / "mine").train) == 12
    assert datasets.find("fashion-mnist", tmp_path / "mine") == tmp_path / "mine" / "fashion-mnist"


def test_a_wrong_checksum_leaves_nothing_behind(published, empty_cache):
    name = "train-images-idx3-ubyte.gz"
    (published / name).write_bytes(b"something else")
    with one_line(DataError, f"{name} of fashion-mnist could not be fetched from .*hash"):
        fetch()
    assert not list(empty_cache.rglob("*train*"))


def test_a_missing_server_is_one_line(published, monkeypatch):
    _, checksums = places.IMAGES["fashion-mnist"]
    monkeypatch.setitem(places.IMAGES, "fashion-mnist", ("http://127.0.0.1:9/", checksums))
    with one_line(DataError, "put the files of the data set into .* instead"):
        fetch()


def test_an_interrupted_download_goes_on(published):
    last = published / "t10k-labels-idx1-ubyte.gz"
    content = last.read_bytes()
    last.unlink()
    with one_line(DataError, "404"):
        fetch()
    with one_line(DataError, "has no file t10k-labels-idx1-ubyte"):
        datasets.load_dataset("fashion-mnist")
    for path in published.iterdir():
        path.unlink()  # they are there and are not fetched again
    last.write_bytes(content)
    assert len(fetch().test) == 5


def test_missing_extras_are_named(empty_cache, monkeypatch):
    needs = {"mnist": ("pooch", "download"), "nmnist": ("tonic", "data"), "shd": ("tonic", "data")}
    for name, (module, extra) in needs.items():
        monkeypatch.setitem(sys.modules, module, None)
        with one_line(InputError, rf"{module}, which downloads {name}, is .*pip install '.\[{extra}\]'"):
            datasets.load_dataset(name, download=True)


def test_the_published_checksums_are_those_of_four_files_each():
    for _, checksums in places.IMAGES.values():
        assert sorted(checksums) == sorted(f"{name}.gz" for part in FILES.values() for name in part)
        assert all(len(md5) == 32 and int(md5, 16) for md5 in checksums.values())
    assert len({md5 for _, sums in places.IMAGES.values() for md5 in sums.values()}) == 8


def stand_in_for_tonic(monkeypatch, **classes):
    """The real one needs the internet."""
    module = types.ModuleType("tonic")
    module.datasets = types.SimpleNamespace(**classes)
    monkeypatch.setitem(sys.modules, "tonic", module)


def test_tonic_is_asked_for_both_parts_and_its_files_are_read(empty_cache, monkeypatch):
    asked = []

    def download(save_to, train):
        asked.append((save_to, train))
        write_nmnist(Path(save_to) / "NMNIST", [("Train", 12)] if train else [("Test", 4)])

    stand_in_for_tonic(monkeypatch, NMNIST=download)
    for _ in range(2):  # once is enough
        data = datasets.load_dataset("nmnist", download=True)
        assert (len(data.train), len(data.test)) == (12, 4)
        assert asked == [(str(empty_cache / "nmnist"), True), (str(empty_cache / "nmnist"), False)]


def test_a_failing_download_of_tonic_is_one_line(tmp_path, monkeypatch):
    def fail(save_to, train):
        raise RuntimeError("File not found or corrupted.\nmore")

    stand_in_for_tonic(monkeypatch, SHD=fail)
    with one_line(DataError, "shd could not be downloaded to .*: File not found or corrupted. more$"):
        places._download_with_tonic("shd", tmp_path)
