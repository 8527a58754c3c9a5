"""Data sets: Yin-Yang from its description, idx files with every fault named, latency encodings."""

import gzip
import hashlib

import numpy as np
import pytest

from minisnn import datasets
from minisnn.datasets import idx
from minisnn.datasets.encoding import ENCODINGS, latency_linear, latency_log, pixel_times
from minisnn.datasets.idx import FILES, read_idx, read_images
from minisnn.datasets.yin_yang import yin_yang, yin_yang_class
from minisnn.errors import DataError, InputError
from tests.data_files import idx_bytes, write_images
from tests.helpers import one_line


def test_yin_yang_geometry():
    features, labels = yin_yang(3000, seed=5)
    assert features.shape == (3000, 4)
    assert np.allclose(features[:, :2] + features[:, 2:], 1)
    assert np.all(np.hypot(features[:, 0] - 0.5, features[:, 1] - 0.5) <= 0.5)
    assert np.all(np.abs(np.bincount(labels, minlength=3) / 3000 - 1 / 3) < 0.03)
    assert [yin_yang_class(x, y) for x, y in features[:50, :2]] == labels[:50].tolist()
    # Turned by half a revolution, yin becomes yang and a dot stays a dot.
    for (x, y), label in zip(features[:200, :2], labels[:200]):
        assert yin_yang_class(1 - x, 1 - y) == {0: 1, 1: 0, 2: 2}[label]
    assert np.array_equal(yin_yang(20, seed=5)[0], features[:20])
    assert np.array_equal(yin_yang(np.array(20), np.uint8(5), np.float32(0.1))[1], labels[:20])


def test_yin_yang_as_a_data_set():
    data = datasets.load_dataset("yin-yang", n_steps=50, train_samples=30, test_samples=20)
    features, labels = yin_yang(30, seed=42)
    events = data.train.batch(np.arange(30))
    assert events.n_events == 120
    assert np.array_equal(events.first_spike_times(), np.floor((1 - features) * 49))
    assert np.array_equal(data.train.labels, labels)
    assert np.array_equal(data.test.labels, yin_yang(20, seed=0)[1])
    assert (data.n_inputs, data.n_classes, data.n_steps) == (4, 3, 50)


def test_latency_encodings_at_every_byte():
    bytes_ = np.arange(256, dtype=np.uint8)
    linear = pixel_times(bytes_, 100, "linear")
    assert (linear[0], linear[255]) == (99, 0)
    assert np.array_equal(linear, np.floor((1 - np.arange(256) / 255) * 99))
    sparse = pixel_times(bytes_, 100, "sparse")
    assert sparse[0] == 100
    assert np.array_equal(sparse[1:], linear[1:])
    # The quarter of an intensity has half its root: step 49 of 0 ... 99.
    assert pixel_times(np.array([0, 1, 64, 255], np.uint8), 100, "root").tolist() == [100, 92, 49, 0]
    log = pixel_times(bytes_, 100, "log")
    p = np.arange(1.0, 256)
    exact = np.rint(20000 * np.log(p / (p - 0.2)))
    assert log[0] == 100
    assert np.array_equal(log[1:], np.where(exact < 100, exact, 100))
    assert np.abs(exact[40:] - 4000 / p[40:]).max() <= 1
    assert np.array_equal(latency_log(bytes_, 1), np.ones(256))
    assert np.array_equal(latency_linear(np.array([0.0, 1.0]), 1), [0, 0])
    assert ENCODINGS == ("linear", "sparse", "root", "log")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        # Every one of these would never end, or draw something else.
        (lambda: yin_yang(0, 1), "size must be at least 1, got 0"),
        (lambda: yin_yang(2, -1), "seed must be a whole number >= 0, got -1"),
        (lambda: yin_yang(2, 0.5), "seed must be a whole number >= 0, got 0.5"),
        (lambda: yin_yang(2, 1, 0.0), "r_small must"),
        (lambda: yin_yang(2, 1, 0.3), "r_small must be a finite number > 0 and <= 0.25, got 0.3"),
        (lambda: yin_yang(2, 1, np.nan), "r_small must"),
        (lambda: yin_yang(2, 1, 0.1, np.inf), "r_big must"),
        (lambda: yin_yang(2, 1, 0.1, 0), "r_big must"),
        (lambda: latency_linear(np.array([1.5]), 10), r"must lie in \[0, 1\]"),
        (lambda: latency_linear(np.array([np.nan]), 10), r"must lie in \[0, 1\]"),
        (lambda: latency_log(np.array([1.0]), 10), "pixels must be uint8, got float64"),
        (lambda: pixel_times(np.zeros(1, np.uint8), 10, "lin"), "did you mean 'linear'"),
        (lambda: datasets.load_dataset("fashion_mnist"), "unknown .* 'fashion_mnist' .did you mean 'fashion-mnist'"),
    ],
)  # fmt: skip
def test_wrong_arguments(call, message):
    with one_line(InputError, message):
        call()


# ---- images -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("zipped", [True, False])
def test_image_sets(tmp_path, zipped):
    folder = tmp_path / "mnist"
    images, _ = write_images(folder, zipped=zipped)
    for place in (folder, tmp_path):
        data = datasets.load_dataset("mnist", place, n_steps=20)
        assert (len(data.train), len(data.test), data.n_inputs) == (12, 5, 784)
        expected = pixel_times(images["train"][0].reshape(12, 784), 20, "linear")
        assert np.array_equal(data.train.batch(np.arange(12)).first_spike_times(), expected)
        assert np.array_equal(data.test.labels, images["test"][1])
    few = datasets.load_dataset("mnist", folder, train_samples=3, test_samples=2, encoding="log")
    assert (len(few.train), len(few.test)) == (3, 2)
    for name, most, wrong in (("train", 12, 13), ("test", 5, 0)):
        with one_line(InputError, rf"{name}_samples must lie in 1 \.\.\. {most}, got {wrong}"):
            datasets.load_dataset("mnist", folder, **{f"{name}_samples": wrong})


def test_where_data_is_looked_for(tmp_path, empty_cache, monkeypatch):
    with one_line(DataError, "give --data-dir DIR or set MINISNN_DATA, and put train-images-idx3-ubyte"):
        datasets.load_dataset("fashion-mnist")
    with one_line(DataError, r"no fashion-mnist files in .*put train-images.*zalandoresearch"):
        datasets.load_dataset("fashion-mnist", tmp_path)
    write_images(tmp_path / "fashion-mnist")
    monkeypatch.setenv("MINISNN_DATA", str(tmp_path))
    assert datasets.find("fashion-mnist") == tmp_path / "fashion-mnist"


GOOD = idx_bytes(np.arange(12).reshape(3, 2, 2))
ZIPPED = gzip.compress(GOOD, mtime=0)  # its bytes are names of tests


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("images", b"", "must begin with two zero bytes, got nothing"),
        ("images", b"PNG\x89more", "must begin with two zero bytes, got 504e4789"),
        ("images", GOOD[:2] + b"\x0d" + GOOD[3:], "unsigned bytes .type 08., got type 0d"),
        ("images", GOOD[:9], "ends inside its header of 3 axes"),
        ("images", GOOD[:3] + b"\0" + GOOD[4:], "ends inside its header of 0 axes"),
        ("images", GOOD[:-1], "must have 28 bytes for its shape .3, 2, 2., got 27"),
        ("images", GOOD + b"\0", "must have 28 bytes .* got 29"),
        ("x.gz", b"", "got nothing"),
        ("x.gz", ZIPPED[:-5], "cannot be read"),
        ("x.gz", ZIPPED[:15], "cannot be read"),
        ("x.gz", b"not gzip", "cannot be read"),
        ("x.gz", ZIPPED[:12] + b"\xff\xff" + ZIPPED[14:], "cannot be read"),
        ("nothing", None, "does not exist"),
        ("", None, "cannot be read"),
    ],
)
def test_damaged_idx_files(tmp_path, name, content, message):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with one_line(DataError, f"{path}.*{message}"):
        read_idx(path)


def test_a_zipped_idx_file(tmp_path):
    (tmp_path / "x.gz").write_bytes(ZIPPED)
    assert read_idx(tmp_path / "x.gz").shape == (3, 2, 2)


def test_parts_that_do_not_match(tmp_path):
    write_images(tmp_path, zipped=False)
    images, labels = (tmp_path / name for name in FILES["train"])
    for path, array, message in [
        (labels, np.zeros(11), "has 12 images, but"),
        (labels, np.full(12, 10), "labels must lie in 0 ... 9, got 10"),
        (labels, np.zeros((12, 1)), r"must hold images \(3 axes\) and labels \(1\), got 3 and 2"),
        (images, np.zeros((0, 28, 28)), "holds no images"),
    ]:
        if path is images:
            labels.write_bytes(idx_bytes(np.zeros(0)))
        path.write_bytes(idx_bytes(array))
        with one_line(DataError, message):
            read_images(tmp_path, "train")
    with one_line(InputError, "unknown part 'validation'.* known: train, test"):
        read_images(str(tmp_path), "validation")
    labels.unlink()
    with one_line(DataError, r"has no file train-labels-idx1-ubyte or train-labels-idx1-ubyte\.gz"):
        read_images(tmp_path, "train")


@pytest.mark.parametrize("shape", [(5, 27, 28), (5, 14, 56)])
def test_images_of_another_size_in_the_test(tmp_path, shape):
    write_images(tmp_path)
    (tmp_path / f"{FILES['test'][0]}.gz").write_bytes(gzip.compress(idx_bytes(np.zeros(shape))))
    with one_line(DataError, f"be 28 x 28 pixels as those for training, got {shape[1]} x {shape[2]}"):
        datasets.load_dataset("mnist", tmp_path)


# ---- one set does not pass for another --------------------------------------------------------------


@pytest.fixture
def published(tmp_path, empty_cache, monkeypatch):
    """Writes a small set of files, entered into the table as the published ones of a data set."""

    def write(name, folder="own"):
        _, checksums = write_images(tmp_path / folder, seed=len(name))
        for file, md5 in checksums.items():
            monkeypatch.setitem(idx.PUBLISHED, md5, (name, file))
        return tmp_path / folder

    return write


def refused(name, folder, message):
    for call in (datasets.find, datasets.download, datasets.load_dataset):
        with one_line(DataError, message):
            call(name, folder)


@pytest.mark.parametrize(("name", "other"), [("mnist", "fashion-mnist"), ("fashion-mnist", "mnist")])
def test_one_set_does_not_pass_for_another(published, monkeypatch, name, other):
    folder, theirs = published(name), published(other, "others")
    assert datasets.find(name, folder) == folder
    assert len(datasets.load_dataset(name, folder).train) == 12
    message = f"must be train-labels-idx1-ubyte of {other}, but .* it is train-labels.* of {name}: put"
    refused(other, folder, message)
    # A folder of its own is found beside the wrong one, and in the cache.
    monkeypatch.setenv("MINISNN_DATA", str(folder))
    with one_line(DataError, f"of {other}, but"):
        datasets.find(other)
    theirs.rename(folder / ("FashionMNIST" if other == "fashion-mnist" else "MNIST"))
    assert datasets.find(other).parent == folder
    assert datasets.find(name) == folder


@pytest.mark.parametrize("file", [file for part in FILES.values() for file in part])
def test_a_single_file_of_another_set_is_refused(published, file):
    folder, theirs = published("mnist"), published("fashion-mnist", "others")
    (theirs / f"{file}.gz").rename(folder / f"{file}.gz")
    with one_line(DataError, f"must be {file} of mnist, but .* it is {file} of fashion-mnist: put"):
        datasets.load_dataset("mnist", folder)


def test_files_for_the_test_do_not_train(published):
    folder = published("mnist")
    for train, test in zip(FILES["train"], FILES["test"]):
        (folder / f"{train}.gz").write_bytes((folder / f"{test}.gz").read_bytes())
    with one_line(DataError, "it is t10k-labels-idx1-ubyte of"):
        datasets.load_dataset("mnist", folder)


@pytest.mark.parametrize(("name", "folder"), [("mnist", "MNIST"), ("fashion-mnist", "FashionMNIST")])
def test_the_folders_of_torchvision(tmp_path, published, monkeypatch, name, folder):
    raw = published(name, f"{folder}/raw")
    for place in (tmp_path, tmp_path / folder, raw):
        assert datasets.find(name, place) == raw
    monkeypatch.setenv("MINISNN_DATA", str(tmp_path))
    assert len(datasets.load_dataset(name).train) == 12


PUBLISHED = {
    "fashion-mnist": {
        "train-images": "f4a8712d7a061bf5bd6d2ca38dc4d50a",
        "train-labels": "9018921c3c673c538a1fc5bad174d6f9",
        "t10k-images": "8181f5470baa50b63fa0f6fddb340f0a",
        "t10k-labels": "15d484375f8d13e6eb1aabb0c3f46965",
    },
    "mnist": {
        "train-images": "6bbc9ace898e44ae57da46a324031adb",
        "train-labels": "a25bea736e30d166cdddb491f175f624",
        "t10k-images": "2646ac647ad5339dbf082846283269ea",
        "t10k-labels": "27ae3e4e09519cfbb04c329615203637",
    },
}


@pytest.mark.parametrize(("name", "other"), [("mnist", "fashion-mnist"), ("fashion-mnist", "mnist")])
def test_the_real_sets_are_the_published_ones(name, other, data_dir):
    folder = datasets.find(name, data_dir)
    refused(other, folder, f"of {other}, but .* of {name}: put")
    for stem, md5 in PUBLISHED[name].items():
        file = next(folder.glob(f"{stem}*"))
        content = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
        assert hashlib.md5(content).hexdigest() == md5
        assert idx.PUBLISHED[md5][0] == name
        assert idx.PUBLISHED[md5][1].startswith(stem)
    data = datasets.load_dataset(name, data_dir, train_samples=500, test_samples=500)
    assert data.train.batch(np.arange(500)).n_events == 500 * 784  # linear latency: every pixel fires once
    assert set(data.train.labels) == set(range(10))
