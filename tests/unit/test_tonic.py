"""Data sets of tonic as events; where tonic is installed, its own reader is the witness for ours."""

import numpy as np
import pytest

from minisnn import datasets
from minisnn.datasets.nmnist import list_recordings
from minisnn.datasets.places import _download_with_tonic
from minisnn.errors import DataError, InputError
from tests.data_files import naive_raster, write_nmnist, write_shd
from tests.helpers import one_line, same

EVENTS = np.dtype([("t", int), ("x", int), ("y", int), ("p", int)])
# The order in which tonic's reader fills the fields in.
TONIC = np.dtype([("x", int), ("y", int), ("t", int), ("p", int)])
SPIKES = ("shape", "indptr", "indices")


class Camera:
    """Two recordings of a 3 x 2 camera, as a data set of tonic gives them."""

    sensor_size = (3, 2, 2)
    recordings = (
        (np.array([(0, 0, 0, 1), (1200, 2, 1, 0), (1900, 2, 1, 0)], dtype=EVENTS), 4),
        (np.array([(2500, 1, 1, 1)], dtype=EVENTS), np.int64(7)),
    )

    def __len__(self):
        return 2

    def __getitem__(self, k):
        return self.recordings[k]


class Microphone(Camera):
    """The same without rows: events have x and a polarity that is always 1, as those of the Heidelberg sets."""

    sensor_size = (5, 1, 1)
    recordings = (
        (np.array([(0, 4, 1), (100, 4, 1)], dtype=[("t", int), ("x", int), ("p", int)]), 0),
        (np.array([], dtype=[("t", int), ("x", int), ("p", int)]), 1),
    )


def test_a_camera():
    samples = datasets.from_tonic(Camera(), n_steps=3)
    assert samples.labels.tolist() == [4, 7]
    first, second = samples.spikes.to_raster()
    assert first.shape == (3, 12)
    assert np.argwhere(first).tolist() == [[0, 6], [1, 5]]
    assert np.argwhere(second).tolist() == [[2, 10]]
    merged = datasets.from_tonic(Camera(), n_steps=3, polarities="merged", counts=True)
    assert merged.spikes.shape == (2, 3, 6)
    assert merged.spikes.to_raster()[0, 1, 5] == 2
    rounded = datasets.from_tonic(Camera(), n_steps=3, dt=2, binning="round")
    assert np.argwhere(rounded.spikes.to_raster()[0]).tolist() == [[0, 6], [1, 5]]


def test_a_microphone():
    samples = datasets.from_tonic(Microphone(), n_steps=2, dt=0.1)
    assert samples.spikes.shape == (2, 2, 5)
    assert np.argwhere(samples.spikes.to_raster()).tolist() == [[0, 0, 4], [0, 1, 4]]


def camera(*recordings, sensor=Camera):
    """A data set of that sensor with these recordings; of a single one, twice."""
    many = recordings if len(recordings) > 1 else recordings * 2
    return type("Camera", (sensor,), {"recordings": many})()


def test_fields_and_labels_of_other_dtypes():
    fields = [("t", ">f8"), ("x", ">i2"), ("y", "u1"), ("p", bool)]
    odd = camera(*((events.astype(fields), np.array([label])) for events, label in Camera.recordings))
    one, other = (datasets.from_tonic(c, n_steps=3, sensor_size=np.array([3, 2, 2])) for c in (odd, Camera()))
    same(one.spikes, other.spikes, SPIKES)
    assert one.labels.tolist() == [4, 7]


FIRST = Camera.recordings[0][0]
HALVES = FIRST.astype([("t", int), ("x", int), ("y", int), ("p", float)])
UNKNOWN = type("Unknown", (Camera,), {"sensor_size": None})()
# As by somebody who thinks dt in microseconds, or whose events are in seconds.
SECONDS = [("t", "f4"), ("x", int)]
IN_SECONDS = camera(
    (np.array([(0.0, 4), (0.3, 4)], SECONDS), 0), (np.array([(0.1, 4)], SECONDS), 1), sensor=Microphone
)
LATE = camera(Camera.recordings[0], (np.array([(10**7, 1, 1, 1)], dtype=EVENTS), 7))


@pytest.mark.parametrize(
    ("dataset", "options", "error", "message"),
    [
        (Camera(), {"dt": 1000}, DataError,
         "recording 1: all events, .* step 0 of 3 with dt = 1000 ms; .* got none above 2500"),
        (IN_SECONDS, {}, DataError, "recording 1: all events, .* step 0 of 3 with dt = 1 ms; .* got none above 0.3"),
        (LATE, {}, DataError, r"recording 1: none of its 1 events .* the 3 steps .* got 10000000 \.\.\. 10000000"),
        (UNKNOWN, {}, InputError, "sensor_size must be .*got None"),
        (Camera(), {"sensor_size": (3, 2)}, InputError, r"got \(3, 2\)"),
        (Camera(), {"sensor_size": (3, 2.0, 2)}, InputError, r"got \(3, 2.0, 2\)"),
        (Camera(), {"sensor_size": 6}, InputError, "got 6"),
        (Camera(), {"sensor_size": (3, 2, 3)}, InputError, "1 or 2 polarities, got 3"),
        (Camera(), {"sensor_size": (2, 2, 2)}, DataError,
         r"recording 0: events beyond the sensor: x must lie in 0 \.\.\. 1"),
        (Camera(), {"polarities": "both"}, InputError, "unknown choice of polarities"),
        (camera((HALVES, 0)), {}, DataError, "recording 0: polarity must be integers, got float64"),
        (camera((FIRST, True)), {}, DataError, "recording 0: the label must be an integer, got True"),
        (camera((FIRST, "four")), {}, DataError, "recording 0: the label must be an integer, got 'four'"),
        (camera((np.zeros((3, 4)), 0)), {}, DataError,
         "recording 0: events must be a structured array with fields t and x"),
    ],
)  # fmt: skip
def test_what_is_no_data_set_of_a_sensor(dataset, options, error, message):
    with one_line(error, message):
        datasets.from_tonic(dataset, n_steps=3, **options)


def of_tonic(module):
    return pytest.importorskip(f"tonic.{module}", reason="needs tonic: pip install '.[data]'")


def test_the_witness_reads_the_same_real_recordings(data_dir):
    io = of_tonic("io")
    folder = datasets.find("nmnist", data_dir)
    ours = datasets.load_dataset("nmnist", data_dir, polarities="kept", counts=True, train_samples=20).train

    class Theirs:
        sensor_size = (34, 34, 2)
        paths, labels = datasets.nmnist.list_recordings(folder, "train")

        def __len__(self):
            return 20

        def __getitem__(self, k):
            return io.read_mnist_file(str(self.paths[k]), dtype=TONIC), self.labels[k]

    theirs = datasets.from_tonic(Theirs(), n_steps=300, counts=True)
    same(theirs.spikes, ours.spikes, SPIKES)
    same(theirs, ours, ["labels"])
    events, _ = Theirs()[3]
    pixels = events["y"] * 34 + events["x"] + 1156 * events["p"]
    raster = naive_raster(events["t"], pixels, 2312, 300, 1, "floor", True)
    assert np.array_equal(ours.batch(np.array([3])).to_raster()[0], raster)


@pytest.mark.parametrize("counts", [False, True])
def test_the_witness_makes_the_same_events_of_nmnist(tmp_path, counts):
    class Theirs(of_tonic("datasets").NMNIST):
        def _check_exists(self):
            return True  # it would otherwise count to ten thousand

    Theirs.__name__ = "NMNIST"
    write_nmnist(tmp_path / "NMNIST", n_events=3000)
    theirs = Theirs(str(tmp_path), train=True)
    paths, labels = list_recordings(tmp_path / "NMNIST", "train")
    # Tonic goes folder by folder, minisnn by the number of the recording.
    order = [theirs.data.index(str(path)) for path in paths]
    options = {"n_steps": 150, "dt": 2.0, "counts": counts}
    for polarities in ("kept", "merged"):
        ours = datasets.load_dataset("nmnist", tmp_path, polarities=polarities, **options).train
        samples = datasets.from_tonic(theirs, polarities=polarities, **options)
        same(samples.spikes[np.array(order)], ours.spikes, SPIKES)
        assert samples.labels[order].tolist() == ours.labels.tolist() == labels.tolist()


def make_shd(folder):
    """The files of the Heidelberg digits as tonic wants them: with names of classes, and the archive beside."""
    h5py = pytest.importorskip("h5py")
    folder.mkdir(parents=True)
    for part in ("train", "test"):
        write_shd(folder / f"shd_{part}.h5")
        (folder / f"shd_{part}.h5.zip").write_bytes(b"")
        with h5py.File(folder / f"shd_{part}.h5", "a") as file:
            file["extra/keys"] = [f"class {k}" for k in range(20)]
            file["extra/speaker"] = [0] * 6


def test_the_witness_makes_the_same_events_of_shd(tmp_path):
    theirs = of_tonic("datasets").SHD
    make_shd(tmp_path / "SHD")
    ours = datasets.load_dataset("shd", tmp_path, counts=True).train
    samples = datasets.from_tonic(theirs(str(tmp_path), train=True), n_steps=500, dt=2, counts=True)
    assert samples.spikes.n_events > 100
    same(samples.spikes, ours.spikes, SPIKES)
    assert samples.labels.tolist() == ours.labels.tolist()


def test_tonic_itself_takes_the_call_that_downloads(tmp_path, monkeypatch):
    module = of_tonic("datasets")
    make_shd(tmp_path / "there" / "SHD")
    assert _download_with_tonic("shd", tmp_path / "there") == tmp_path / "there" / "SHD"
    nobody = "http://127.0.0.1:9/"
    monkeypatch.setattr(module.SHD, "base_url", nobody)
    monkeypatch.setattr(module.NMNIST, "train_url", nobody)
    for name in ("shd", "nmnist"):
        with one_line(DataError, f"{name} could not be downloaded to .*refused"):
            _download_with_tonic(name, tmp_path / "not there")
