"""Data sets: Yin-Yang from its description, idx files with every fault named, latency encodings."""

import gzip
import hashlib
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minisnn import datasets
from minisnn.datasets import idx
from minisnn.datasets.encoding import ENCODINGS, latency_linear, latency_log, pixel_times
from minisnn.datasets.idx import FILES, read_idx, read_images
from minisnn.datasets.yin_yang import yin_yang, yin_yang_class
from minisnn.errors import DataError, InputError


def idx_bytes(array):
    header = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
    return header + array.astype(np.uint8).tobytes()


def write_set(folder, n_train=12, n_test=5, zipped=True):
    rng = np.random.default_rng(0)
    images = {}
    for part, n in (("train", n_train), ("test", n_test)):
        pixels = rng.integers(0, 256, (n, 28, 28), dtype=np.uint8)
        labels = rng.integers(0, 10, n, dtype=np.uint8)
        images[part] = pixels, labels
        for name, array in zip(FILES[part], (pixels, labels)):
            content = idx_bytes(array)
            (folder / (name + ".gz" if zipped else name)).write_bytes(
                gzip.compress(content) if zipped else content
            )
    return images


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
    # Every one of these would never end, or draw something else.
    for arguments, message in [
        ((0, 1), "size must be at least 1, got 0"),
        ((2.0, 1), "size must be at least 1, got 2.0"),
        ((True, 1), "size must be at least 1, got True"),
        ((2, -1), "seed must be a whole number >= 0, got -1"),
        ((2, 0.5), "seed must be a whole number >= 0, got 0.5"),
        ((2, 1, 0.0), "r_small must"),
        ((2, 1, 0.3), "r_small must be a finite number > 0 and <= 0.25, got 0.3"),
        ((2, 1, np.nan), "r_small must"),
        ((2, 1, 0.1, np.inf), "r_big must"),
        ((2, 1, 0.1, 0), "r_big must"),
    ]:
        with pytest.raises(InputError, match=message):
            yin_yang(*arguments)


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
    assert linear[0] == 99
    assert linear[255] == 0
    assert np.array_equal(linear, np.floor((1 - np.arange(256) / 255) * 99))
    sparse = pixel_times(bytes_, 100, "sparse")
    assert sparse[0] == 100
    assert np.array_equal(sparse[1:], linear[1:])
    log = pixel_times(bytes_, 100, "log")
    p = np.arange(1.0, 256)
    exact = np.rint(20000 * np.log(p / (p - 0.2)))
    assert log[0] == 100
    assert np.array_equal(log[1:], np.where(exact < 100, exact, 100))
    assert np.abs(exact[40:] - 4000 / p[40:]).max() <= 1
    assert np.array_equal(latency_log(bytes_, 1), np.ones(256))
    assert np.array_equal(latency_linear(np.array([0.0, 1.0]), 1), [0, 0])


def test_wrong_encodings():
    for call, message in [
        (lambda: latency_linear(np.array([1.5]), 10), r"must lie in \[0, 1\]"),
        (lambda: latency_linear(np.array([np.nan]), 10), r"must lie in \[0, 1\]"),
        (lambda: latency_linear(np.array([0.5]), 0), "n_steps must be a whole number >= 1, got 0"),
        (lambda: latency_linear(np.array([0.5]), 10.0), "n_steps must be a whole number >= 1, got 10.0"),
        (lambda: latency_linear(np.array([0.5]), True), "n_steps must be a whole number >= 1, got True"),
        (lambda: latency_linear(np.array([0.5 + 2j]), 10), "intensities must be numbers, got complex128"),
        (lambda: latency_linear(["0.5"], 10), "intensities must be numbers, got <U3"),
        (lambda: latency_linear(np.ma.array([0.5]), 10), "intensities must not be a masked array"),
        (lambda: latency_log(np.ma.array([1], dtype=np.uint8), 10), "pixels must not be a masked array"),
        (lambda: latency_log(np.array([1.0]), 10), "pixels must be uint8, got float64"),
        (lambda: pixel_times(np.zeros(1, np.uint8), 10, "lin"), "did you mean 'linear'"),
    ]:
        with pytest.raises(InputError, match=message):
            call()
    assert ENCODINGS == ("linear", "sparse", "log")


@pytest.mark.parametrize("zipped", [True, False])
def test_image_sets(tmp_path, zipped):
    folder = tmp_path / "mnist"
    folder.mkdir()
    images = write_set(folder, zipped=zipped)
    for place in (folder, tmp_path):
        data = datasets.load_dataset("mnist", place, n_steps=20)
        assert (len(data.train), len(data.test), data.n_inputs) == (12, 5, 784)
        expected = pixel_times(images["train"][0].reshape(12, 784), 20, "linear")
        assert np.array_equal(data.train.batch(np.arange(12)).first_spike_times(), expected)
        assert np.array_equal(data.test.labels, images["test"][1])
    few = datasets.load_dataset("mnist", folder, train_samples=3, test_samples=2, encoding="log")
    assert (len(few.train), len(few.test)) == (3, 2)
    with pytest.raises(InputError, match=r"train_samples must lie in 1 ... 12, got 13"):
        datasets.load_dataset("mnist", folder, train_samples=13)
    with pytest.raises(InputError, match=r"test_samples must lie in 1 ... 5, got 0"):
        datasets.load_dataset("mnist", folder, test_samples=0)


def test_where_data_is_looked_for(tmp_path, monkeypatch):
    monkeypatch.delenv("MINISNN_DATA", raising=False)
    with pytest.raises(
        DataError, match="give --data-dir DIR or set MINISNN_DATA, and put train-images-idx3-ubyte"
    ):
        datasets.load_dataset("fashion-mnist")
    with pytest.raises(DataError, match=r"no fashion-mnist files in .*put train-images.*zalandoresearch"):
        datasets.load_dataset("fashion-mnist", tmp_path)
    (tmp_path / "fashion-mnist").mkdir()
    write_set(tmp_path / "fashion-mnist")
    monkeypatch.setenv("MINISNN_DATA", str(tmp_path))
    assert datasets.find("fashion-mnist") == tmp_path / "fashion-mnist"
    with pytest.raises(InputError, match="unknown data set 'fashion_mnist' .did you mean 'fashion-mnist'"):
        datasets.load_dataset("fashion_mnist")


GOOD = idx_bytes(np.arange(12).reshape(3, 2, 2))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "must begin with two zero bytes, got nothing"),
        (b"PNG\x89more", "must begin with two zero bytes, got 504e4789"),
        (GOOD[:2] + b"\x0d" + GOOD[3:], "unsigned bytes .type 08., got type 0d"),
        (GOOD[:9], "ends inside its header of 3 axes"),
        (GOOD[:3] + b"\0" + GOOD[4:], "ends inside its header of 0 axes"),
        (GOOD[:-1], "must have 28 bytes for its shape .3, 2, 2., got 27"),
        (GOOD + b"\0", "must have 28 bytes .* got 29"),
    ],
)
def test_damaged_idx_files(tmp_path, content, message):
    path = tmp_path / "train-images-idx3-ubyte"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        read_idx(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_damaged_gzip(tmp_path):
    path = tmp_path / "x.gz"
    whole = gzip.compress(GOOD)
    for content in (b"", whole[:-5], whole[:15], b"not gzip", whole[:12] + b"\xff\xff" + whole[14:]):
        path.write_bytes(content)
        if content:
            with pytest.raises(DataError, match="cannot be read"):
                read_idx(path)
        else:
            with pytest.raises(DataError):
                read_idx(path)
    path.write_bytes(whole)
    assert read_idx(path).shape == (3, 2, 2)
    with pytest.raises(DataError, match="does not exist"):
        read_idx(tmp_path / "nothing")
    with pytest.raises(DataError, match="cannot be read"):
        read_idx(tmp_path)


@given(
    content=st.one_of(
        st.binary(max_size=40),
        st.builds(lambda n, b: GOOD[:n] + b, st.integers(0, 28), st.binary(max_size=9)),
    )
)
def test_any_bytes_give_an_array_or_the_documented_error(content, tmp_path_factory):
    path = tmp_path_factory.mktemp("idx") / "file"
    path.write_bytes(content)
    try:
        array = read_idx(path)
    except DataError as error:
        assert "\n" not in str(error)
    else:
        assert idx_bytes(array)[4:] == content[4:]


def test_parts_that_do_not_match(tmp_path):
    write_set(tmp_path, zipped=False)
    images, labels = (tmp_path / name for name in FILES["train"])

    def complaint():
        with pytest.raises(DataError) as caught:
            read_images(tmp_path, "train")
        return str(caught.value)

    good = labels.read_bytes()
    labels.write_bytes(idx_bytes(np.zeros(11)))
    assert "has 12 images, but" in complaint()
    labels.write_bytes(idx_bytes(np.full(12, 10)))
    assert "labels must lie in 0 ... 9, got 10" in complaint()
    labels.write_bytes(idx_bytes(np.zeros((12, 1))))
    assert "must hold images (3 axes) and labels (1), got 3 and 2" in complaint()
    labels.write_bytes(idx_bytes(np.zeros(0)))
    images.write_bytes(idx_bytes(np.zeros((0, 28, 28))))
    assert "holds no images" in complaint()
    with pytest.raises(InputError, match="unknown part 'validation'.* known: train, test"):
        read_images(str(tmp_path), "validation")
    labels.unlink()
    assert "has no file train-labels-idx1-ubyte or train-labels-idx1-ubyte.gz" in complaint()
    labels.write_bytes(good)


def test_images_of_another_size_in_the_test(tmp_path):
    write_set(tmp_path)
    for shape in ((5, 27, 28), (5, 14, 56)):
        name = FILES["test"][0]
        (tmp_path / f"{name}.gz").write_bytes(gzip.compress(idx_bytes(np.zeros(shape))))
        with pytest.raises(
            DataError, match=f"must be 28 x 28 pixels as those for training, got {shape[1]} x {shape[2]}"
        ):
            datasets.load_dataset("mnist", tmp_path)


@pytest.mark.parametrize("wrong", [0.1 * 1000, True, "5", np.nan, [5]])
def test_sample_numbers_and_steps_that_are_none(wrong):
    for option in ("train_samples", "test_samples", "n_steps"):
        with pytest.raises(InputError, match=f"{option} must be a whole number"):
            datasets.load_dataset("yin-yang", **{option: wrong})


def test_sample_numbers_and_steps_of_numpy():
    data = datasets.load_dataset(
        "yin-yang", train_samples=np.int64(5), test_samples=np.array([3]), n_steps=np.uint8(20)
    )
    assert (len(data.train), len(data.test), data.n_steps) == (5, 3, 20)
    assert type(data.n_steps) is type(data.train.spikes.n_steps) is int


def published(monkeypatch, folder, name):
    """A small set of files, entered into the table as the published ones of the data set `name`."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(len(name))
    for part, n in (("train", 12), ("test", 5)):
        for file, array in zip(FILES[part], (rng.integers(0, 256, (n, 28, 28)), rng.integers(0, 10, n))):
            content = idx_bytes(array)
            (folder / f"{file}.gz").write_bytes(gzip.compress(content))
            monkeypatch.setitem(idx.PUBLISHED, hashlib.md5(content).hexdigest(), (name, file))
    return folder


def refused(name, folder, message):
    for call in (datasets.find, datasets.download, datasets.load_dataset):
        with pytest.raises(DataError, match=message) as caught:
            call(name, folder)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("name", "other"), [("mnist", "fashion-mnist"), ("fashion-mnist", "mnist")])
def test_one_set_does_not_pass_for_another(tmp_path, monkeypatch, name, other):
    monkeypatch.setenv("MINISNN_CACHE", str(tmp_path / "no cache"))
    folder = published(monkeypatch, tmp_path / "own", name)
    theirs = published(monkeypatch, tmp_path / "others", other)
    assert datasets.find(name, folder) == folder
    assert len(datasets.load_dataset(name, folder).train) == 12
    refused(
        other,
        folder,
        f"must be train-labels-idx1-ubyte of {other}, but .* it is train-labels.* of {name}: put",
    )
    # A folder of its own is found beside the wrong one, and in the cache.
    monkeypatch.setenv("MINISNN_DATA", str(folder))
    with pytest.raises(DataError, match=f"of {other}, but"):
        datasets.find(other)
    theirs.rename(folder / ("FashionMNIST" if other == "fashion-mnist" else "MNIST"))
    assert datasets.find(other).parent == folder
    assert datasets.find(name) == folder


@pytest.mark.parametrize("file", [file for part in FILES.values() for file in part])
def test_a_single_file_of_another_set_is_refused(tmp_path, monkeypatch, file):
    folder = published(monkeypatch, tmp_path / "own", "mnist")
    theirs = published(monkeypatch, tmp_path / "others", "fashion-mnist")
    (theirs / f"{file}.gz").rename(folder / f"{file}.gz")
    with pytest.raises(
        DataError, match=f"must be {file} of mnist, but .* it is {file} of fashion-mnist: put"
    ):
        datasets.load_dataset("mnist", folder)


def test_files_for_the_test_do_not_train(tmp_path, monkeypatch):
    folder = published(monkeypatch, tmp_path / "own", "mnist")
    for train, test in zip(FILES["train"], FILES["test"]):
        (folder / f"{train}.gz").write_bytes((folder / f"{test}.gz").read_bytes())
    with pytest.raises(DataError, match="it is t10k-labels-idx1-ubyte of"):
        datasets.load_dataset("mnist", folder)


@pytest.mark.parametrize(("name", "folder"), [("mnist", "MNIST"), ("fashion-mnist", "FashionMNIST")])
def test_the_folders_of_torchvision(tmp_path, monkeypatch, name, folder):
    raw = published(monkeypatch, tmp_path / folder / "raw", name)
    for place in (tmp_path, tmp_path / folder, raw):
        assert datasets.find(name, place) == raw
    monkeypatch.setenv("MINISNN_DATA", str(tmp_path))
    assert len(datasets.load_dataset(name).train) == 12


def test_real_digits_do_not_pass_for_fashion(data_dir):
    for name, other in (("mnist", "fashion-mnist"), ("fashion-mnist", "mnist")):
        refused(other, datasets.find(name, data_dir), f"of {other}, but .* of {name}: put")
        for file, md5 in PUBLISHED[name].items():
            assert idx.PUBLISHED[md5][0] == name
            assert idx.PUBLISHED[md5][1].startswith(file)


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


@pytest.mark.parametrize("name", list(PUBLISHED))
def test_the_real_sets_are_the_published_ones(name, data_dir):
    folder = datasets.find(name, data_dir)
    for stem, md5 in PUBLISHED[name].items():
        file = next(folder.glob(f"{stem}*"))
        content = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
        assert hashlib.md5(content).hexdigest() == md5
    data = datasets.load_dataset(name, data_dir, train_samples=500, test_samples=500)
    events = data.train.batch(np.arange(500))
    assert events.n_events == 500 * 784  # linear latency: every pixel fires once
    assert set(data.train.labels) == set(range(10))
