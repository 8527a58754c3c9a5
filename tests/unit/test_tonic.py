"""Data sets of tonic as events; where tonic is installed, its own reader is the witness for ours."""

import numpy as np
import pytest

from minisnn import datasets
from minisnn.datasets.nmnist import list_recordings, read_bin
from minisnn.datasets.tonic_bridge import download_with_tonic
from minisnn.errors import DataError, InputError
from tests.unit.test_recordings import naive_raster, write_nmnist, write_shd

EVENTS = np.dtype([("t", int), ("x", int), ("y", int), ("p", int)])
# The order in which tonic's reader fills the fields in.
TONIC = np.dtype([("x", int), ("y", int), ("t", int), ("p", int)])


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


def test_times_in_another_unit():
    """As by somebody who thinks dt in microseconds, or whose events are in seconds."""

    class Seconds(Microphone):
        recordings = (
            (np.array([(0.0, 4), (0.3, 4)], dtype=[("t", "f4"), ("x", int)]), 0),
            (np.array([(0.1, 4)], dtype=[("t", "f4"), ("x", int)]), 1),
        )

    class Late(Camera):
        recordings = (Camera.recordings[0], (np.array([(10**7, 1, 1, 1)], dtype=EVENTS), 7))

    for dataset, dt, message in [
        (Camera(), 1000, "recording 1: all events, .* step 0 of 3 with dt = 1000 ms; .* got none above 2500"),
        (Seconds(), 1, "recording 1: all events, .* step 0 of 3 with dt = 1 ms; .* got none above 0.3"),
        (Late(), 1, r"recording 1: none of its 1 events .* the 3 steps .* got 10000000 \.\.\. 10000000"),
    ]:
        with pytest.raises(DataError, match=message):
            datasets.from_tonic(dataset, n_steps=3, dt=dt)


def test_fields_and_labels_of_other_dtypes():
    fields = [("t", ">f8"), ("x", ">i2"), ("y", "u1"), ("p", bool)]

    class Odd(Camera):
        recordings = tuple((events.astype(fields), np.array([label])) for events, label in Camera.recordings)

    plain, odd = (
        datasets.from_tonic(one, n_steps=3, sensor_size=np.array([3, 2, 2])) for one in (Camera(), Odd())
    )
    same_spikes(odd.spikes, plain.spikes)
    assert odd.labels.tolist() == [4, 7]


def test_what_is_no_data_set_of_a_sensor():
    class Halves(Camera):
        recordings = (
            (Camera.recordings[0][0].astype([("t", int), ("x", int), ("y", int), ("p", float)]), 0),
        ) * 2

    class Flagged(Camera):
        recordings = ((Camera.recordings[0][0], True),) * 2

    class Unknown(Camera):
        sensor_size = None

    class Plain(Camera):
        recordings = ((np.zeros((3, 4)), 0),) * 2

    class Labelled(Camera):
        recordings = ((Camera.recordings[0][0], "four"),) * 2

    for dataset, options, error, message in [
        (Unknown(), {}, InputError, "sensor_size must be .*got None"),
        (Camera(), {"sensor_size": (3, 2)}, InputError, r"got \(3, 2\)"),
        (Camera(), {"sensor_size": (3, 2.0, 2)}, InputError, r"got \(3, 2.0, 2\)"),
        (Camera(), {"sensor_size": 6}, InputError, "got 6"),
        (Halves(), {}, DataError, "recording 0: polarity must be integers, got float64"),
        (Flagged(), {}, DataError, "recording 0: the label must be an integer, got True"),
        (Camera(), {"sensor_size": (3, 2, 3)}, InputError, "1 or 2 polarities, got 3"),
        (
            Camera(),
            {"sensor_size": (2, 2, 2)},
            DataError,
            r"recording 0: events beyond the sensor: x must lie in 0 \.\.\. 1",
        ),
        (Camera(), {"polarities": "both"}, InputError, "unknown choice of polarities"),
        (Plain(), {}, DataError, "recording 0: events must be a structured array with fields t and x"),
        (Labelled(), {}, DataError, "recording 0: the label must be an integer, got 'four'"),
    ]:
        with pytest.raises(error, match=message):
            datasets.from_tonic(dataset, n_steps=3, **options)


def test_the_witness_reads_the_same_recordings(tmp_path):
    io = pytest.importorskip("tonic.io", reason="needs tonic: pip install '.[data]'")
    written = write_nmnist(tmp_path)
    for path in sorted(tmp_path.glob("Train/*/*.bin")):
        events = io.read_mnist_file(str(path), dtype=TONIC)
        times, x, y, polarity = read_bin(path)
        assert np.array_equal(events["t"], times)
        assert np.array_equal(events["x"], x)
        assert np.array_equal(events["y"], y)
        assert np.array_equal(events["p"], polarity)
    assert len(written) == 16


def test_the_witness_reads_the_same_real_recordings(data_dir):
    io = pytest.importorskip("tonic.io", reason="needs tonic: pip install '.[data]'")
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
    assert np.array_equal(theirs.spikes.indices, ours.spikes.indices)
    assert np.array_equal(theirs.spikes.indptr, ours.spikes.indptr)
    assert np.array_equal(theirs.labels, ours.labels)
    events, _ = Theirs()[3]
    raster = naive_raster(
        events["t"], events["y"] * 34 + events["x"] + 1156 * events["p"], 2312, 300, 1, "floor", True
    )
    assert np.array_equal(ours.batch(np.array([3])).to_raster()[0], raster)


def tonic_datasets():
    return pytest.importorskip("tonic.datasets", reason="needs tonic: pip install '.[data]'")


def same_spikes(one, other):
    assert one.shape == other.shape
    assert np.array_equal(one.indptr, other.indptr)
    assert np.array_equal(one.indices, other.indices)


@pytest.mark.parametrize("counts", [False, True])
def test_the_witness_makes_the_same_events_of_nmnist(tmp_path, counts):
    class Theirs(tonic_datasets().NMNIST):
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
        same_spikes(samples.spikes[np.array(order)], ours.spikes)
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
    theirs = tonic_datasets().SHD
    make_shd(tmp_path / "SHD")
    ours = datasets.load_dataset("shd", tmp_path, counts=True).train
    samples = datasets.from_tonic(theirs(str(tmp_path), train=True), n_steps=500, dt=2, counts=True)
    assert samples.spikes.n_events > 100
    same_spikes(samples.spikes, ours.spikes)
    assert samples.labels.tolist() == ours.labels.tolist()


def test_tonic_itself_takes_the_call_that_downloads(tmp_path, monkeypatch):
    module = tonic_datasets()
    make_shd(tmp_path / "there" / "SHD")
    assert download_with_tonic("shd", tmp_path / "there") == tmp_path / "there" / "SHD"
    nobody = "http://127.0.0.1:9/"
    monkeypatch.setattr(module.SHD, "base_url", nobody)
    monkeypatch.setattr(module.NMNIST, "train_url", nobody)
    for name in ("shd", "nmnist"):
        with pytest.raises(DataError, match=f"{name} could not be downloaded to .*refused") as caught:
            download_with_tonic(name, tmp_path / "not there")
        assert "\n" not in str(caught.value)
