"""Event recordings: N-MNIST and Spiking Heidelberg Digits from their own files, binning, and the cache of both."""

import os
import re
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minisnn import datasets
from minisnn.datasets import cache, nmnist
from minisnn.datasets.nmnist import read_bin
from minisnn.datasets.recordings import encode_recordings, pixel_neurons
from minisnn.datasets.shd import read_shd
from minisnn.errors import DataError, InputError
from tests.data_files import bin_bytes, naive_raster, write_nmnist, write_shd
from tests.helpers import one_line, same

SPIKES = ("indptr", "indices")


@given(
    seed=st.integers(0, 2**32 - 1),
    n_events=st.integers(0, 40),
    n_steps=st.sampled_from([1, 3, 20]),
    dt=st.sampled_from([0.5, 1.0, 2.0]),
    binning=st.sampled_from(["floor", "round"]),
    counts=st.booleans(),
)
def test_binning_is_that_of_a_loop(seed, n_events, n_steps, dt, binning, counts):
    rng = np.random.default_rng(seed)
    # Multiples of half a step too, where rounding and flooring part.
    moments = [0, 250, 500, 750, 1000, 1500, 2999, 9000]
    recordings = [
        (np.sort(rng.choice(moments, n_events)), rng.integers(0, 3, n_events), "r") for _ in range(2)
    ]
    options = {"n_steps": n_steps, "dt": dt, "binning": binning, "counts": counts}
    rasters, late = (
        [naive_raster(times, neurons, 3, **options | more) for times, neurons, _ in recordings]
        for more in ({}, {"n_steps": 99})
    )
    lasting = n_steps > 1 and any(n_events and times[0] != times[-1] for times, _, _ in recordings)
    if n_events and not all(raster.any() for raster in rasters):
        with one_line(DataError, f"none of its {n_events} events falls within the {n_steps} steps"):
            encode_recordings(recordings, 3, **options)
    elif lasting and not np.any([raster[1:] for raster in late]):
        with one_line(DataError, f"fall into step 0 of {n_steps} with"):
            encode_recordings(recordings, 3, **options)
    else:
        events = encode_recordings(recordings, 3, **options)
        assert events.counts == counts
        assert np.array_equal(events.to_raster(), rasters)
        valid = type(events)(events.indptr, events.indices, n_steps, 3, counts)
        datasets.EventSamples(valid, np.zeros(2, int))


MICROSECONDS = [0, 1400, 3000]


def encoded(times, neurons=(1, 0, 2), **options):
    """Spikes in every step of recordings of the same neurons."""
    recordings = [(t, neurons[: len(t)], f"r{k}") for k, t in enumerate(times)]
    spikes = encode_recordings(recordings, 3, **{"n_steps": 5, "dt": 1} | options)
    return spikes.to_raster().sum(axis=2).tolist()


@pytest.mark.parametrize(
    ("times", "options", "message"),
    [
        ([[0, 5, 4]], {}, "r0: times must start at 0 or later and never run backwards, got 4 us as event 2"),
        ([[-1, 5]], {}, "got -1 us as event 0"),
        ([[0.0, np.nan]], {}, "times must be finite numbers"),
        ([[0]], {"neurons": [3]}, r"events beyond the sensor: inputs must lie in 0 \.\.\. 2, got 3 \.\.\. 3"),
        ([[0, 1]], {"neurons": [0]}, "every event needs one time and one neuron"),
        # Of another unit or origin: no silence.
        ([[10_000_000, 10_003_000]], {}, r"r0: none of its 2 events falls within the 5 steps of dt = 1 ms; times "
         r"must be microseconds from the start of the recording, got 10000000 \.\.\. 10003000: subtract the start"),
        ([MICROSECONDS, [5000]], {}, r"r1: none of its 1 events .* got 5000 \.\.\. 5000"),
        ([[1e300, 1e308]], {"dt": 1e-300}, "none of its 2 events"),
        ([[0.0, 0.0014, 0.003]], {}, "r0: all events, and those of every recording before it, fall into step 0 of 5 "
         "with dt = 1 ms; times must be microseconds, got none above 0.003: convert them from seconds or milli"),
        ([[0, 140, 300], [20, 999]], {}, "r1: all events, .* got none above 999:"),
        ([MICROSECONDS, MICROSECONDS], {"dt": 1000}, "r1: all events, .* dt = 1000 ms; .* above 3000: .* smaller dt"),
        ([[], [0, 999], []], {}, "r2: all events"),
    ],
)  # fmt: skip
def test_wrong_recordings_are_named(times, options, message):
    with one_line(DataError, message):
        encoded(times, **options)


def test_short_recordings_that_are_right():
    assert encoded([[0, 140, 300]], n_steps=1) == [[3]]  # one step is a wish
    assert encoded([[7], [], [7, 7]]) == [[1, 0, 0, 0, 0], [0] * 5, [2, 0, 0, 0, 0]]  # of one moment each
    assert encoded([[0, 140, 300], [1000]]) == [[3, 0, 0, 0, 0], [0, 1, 0, 0, 0]]
    assert encoded([[0, 140, 9000]]) == [[2, 0, 0, 0, 0]]  # later events are left out
    assert encoded([[], []]) == [[0] * 5] * 2


@pytest.mark.parametrize("binning", ["floor", "round"])
def test_times_beyond_all_integers_and_steps_are_left_out(binning):
    neurons = np.array([0, 2, 1], dtype=np.uint64)
    for times, dt in (([0.0, 1e30, 1e300], 1), ([0.0, 1e300, 1e308], 1e-300), ([0, 2**62, 2**63], 1e-9)):
        recording = np.array(times), neurons, "r"
        events = encode_recordings([recording], 3, n_steps=4, dt=dt, binning=binning)
        assert np.argwhere(events.to_raster()[0]).tolist() == [[0, 0]]


@pytest.mark.parametrize(
    "recording",
    [7, ([0], [0]), ([0], [0], "r", 1), ([0], ["a"], "r"), ([True], [0], "r"), ([2**70], [0], "r")],
    ids=repr,
)
def test_what_is_no_recording_is_refused_in_one_line(recording):
    with one_line(InputError, "^(r: |a recording must be .times, neurons, name.)"):
        encode_recordings([recording], 3, n_steps=4, dt=1)


def test_wrong_ways_to_bin():
    for options, message in [
        ({"dt": 0}, "dt must"),
        ({"dt": np.nan}, "dt must"),
        ({"binning": "ceil"}, "unknown binning 'ceil'"),
        ({"counts": "no"}, "counts must be True or False, got 'no'"),
        ({"recordings": []}, "at least one recording"),
    ]:
        given_ = {"recordings": [([0], [0], "r")], "n_neurons": 3, "n_steps": 4, "dt": 1} | options
        with one_line(InputError, message):
            encode_recordings(**given_)
    with one_line(DataError, "r: y must be integers, got float64"):
        pixel_neurons(np.zeros(1, int), np.zeros(1), np.zeros(1, int), 2, 2, "kept", "r")
    with one_line(InputError, "unknown choice of polarities 'both'"):
        pixel_neurons(*np.zeros((3, 1), int), 2, 2, "both", "r")


# ---- N-MNIST ----------------------------------------------------------------------------------------


def test_nmnist_from_its_files(tmp_path, monkeypatch):
    written = write_nmnist(tmp_path / "nmnist")
    times, x, y, p = written["Train", 11]
    read = read_bin(tmp_path / "nmnist" / "Train" / "1" / "00011.bin")
    for came, expected in zip(read, (times, x, y, p)):
        assert np.array_equal(came, expected)
    merged = datasets.load_dataset("nmnist", tmp_path)
    assert (len(merged.train), len(merged.test), merged.n_inputs, merged.n_steps) == (12, 4, 1156, 300)
    assert merged.train.labels.tolist() == [1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1, 2]
    raster = merged.train.batch(np.array([10])).to_raster()[0]
    assert np.array_equal(raster, naive_raster(times, y * 34 + x, 1156, 300, 1, "floor", False))
    options = {"polarities": "kept", "counts": True, "binning": "round", "n_steps": 100, "dt": 3}
    kept = datasets.load_dataset("nmnist", tmp_path / "nmnist", **options)
    raster = kept.train.batch(np.array([10])).to_raster()[0]
    assert np.array_equal(raster, naive_raster(times, y * 34 + x + 1156 * p, 2312, 100, 3, "round", True))
    few = datasets.load_dataset("nmnist", tmp_path, train_samples=3, test_samples=1)
    assert (len(few.train), len(few.test)) == (3, 1)
    monkeypatch.setenv("MINISNN_DATA", str(tmp_path))
    assert datasets.find("nmnist") == tmp_path / "nmnist"


def test_the_clock_of_nmnist_overflows(tmp_path):
    content = bin_bytes([5, 9, 0, 7, 2, 3, 4], [1] * 7, [2, 240, 240, 3, 240, 240, 4], [1, 0, 0, 1, 1, 1, 0])
    (tmp_path / "1.bin").write_bytes(content)
    times, x, y, polarity = read_bin(tmp_path / "1.bin")
    assert times.tolist() == [5, 7 + 2 * 8192, 4 + 4 * 8192]
    assert (x.tolist(), y.tolist(), polarity.tolist()) == ([1, 1, 1], [2, 3, 4], [1, 1, 0])


def test_files_of_macos_and_windows_are_skipped_with_a_count(tmp_path):
    write_nmnist(tmp_path)
    whole = datasets.load_dataset("nmnist", tmp_path)
    for name in ("3/._00003.bin", "3/._00013.bin", "3/.DS_Store", "3/Thumbs.db", "._3"):
        (tmp_path / "Train" / name).write_bytes(b"Mac OS X")
    message = r"Train: 2 files of macOS \(\._\*\.bin\), which .* skipped"
    with pytest.warns(UserWarning, match=message) as caught:
        data = datasets.load_dataset("nmnist", tmp_path)
    assert len(caught) == 1
    same(data.train.spikes, whole.train.spikes, SPIKES)
    for path in (tmp_path / "Train").glob("*/0*.bin"):
        path.unlink()
    with pytest.warns(UserWarning, match="2 files of macOS"), one_line(DataError, "holds no recordings"):
        datasets.load_dataset("nmnist", tmp_path)


def test_damaged_nmnist_files_are_named(tmp_path):
    write_nmnist(tmp_path)
    path = tmp_path / "Train" / "3" / "00003.bin"
    good = path.read_bytes()

    def complains(message, **options):
        with one_line(DataError, message):
            datasets.load_dataset("nmnist", tmp_path, **options)

    for content, message in [
        (b"", "must hold at least one event of 5 bytes, got 0 bytes"),
        (good[:-2], "must hold at least one event of 5 bytes, got 248 bytes"),
        (bin_bytes([5, 4], [0, 0], [0, 0], [0, 0]), "never run backwards, got 4 us as event 1"),
        (bin_bytes([5], [34], [0], [0]), "x must lie in 0 ... 33, got 34 ... 34"),
        (bin_bytes([5], [0], [40], [0]), "y must lie in 0 ... 33, got 40 ... 40"),
        (bin_bytes([5], [0], [240], [0]), "must hold at least one event of 5 bytes, got 5 bytes"),
        (bin_bytes([400_000], [0], [0], [0]), "none of its 1 events falls within the 300 steps of dt = 1 ms"),
    ]:
        path.write_bytes(content)
        complains(f"{path}.*{message}")
    path.write_bytes(bin_bytes([8_000_000, 8_300_000], [1, 1], [2, 2], [0, 0]))
    for options in ({"augment": ["shift"]}, {"polarities": "kept"}):
        complains(f"{path}: none of its 2 events falls within the 300", **options)
    path.write_bytes(good)
    complains("fall into step 0 of 300 with dt = 1000 ms", dt=1000)
    assert len(datasets.load_dataset("nmnist", tmp_path).train) == 12
    twice = tmp_path / "Train" / "4" / "3.bin"
    twice.write_bytes(good)
    complains(f"{path} and {twice} are the same recording of Train: keep one")
    twice.unlink()
    for wrong in (path.with_name("three.bin"), tmp_path / "Train" / "three" / "3.bin"):
        wrong.parent.mkdir(exist_ok=True)
        path.rename(wrong)
        complains(r"must be Train/<digit 0 to 9>/<number>\.bin")
        wrong.rename(path)
    with one_line(DataError, "cannot be read: No such file"):
        read_bin(tmp_path / "nothing.bin")
    for path in (tmp_path / "Test").glob("*/*.bin"):
        path.unlink()
    complains("Test holds no recordings")


# ---- Spiking Heidelberg Digits ----------------------------------------------------------------------


def test_shd_from_its_files(tmp_path):
    times, units = write_shd(tmp_path / "shd_train.h5")
    write_shd(tmp_path / "shd_test.h5", n=3)
    data = datasets.load_dataset("shd", tmp_path)
    sizes = len(data.train), len(data.test), data.n_inputs, data.n_classes, data.n_steps
    assert sizes == (6, 3, 700, 20, 500)
    assert data.train.labels.tolist() == [0, 1, 2, 3, 4, 5]
    for k in range(6):
        raster = data.train.batch(np.array([k])).to_raster()[0]
        microseconds = times[k].astype(np.float64) * 1e6  # half precision itself overflows at 65504
        assert np.array_equal(raster, naive_raster(microseconds, units[k], 700, 500, 2, "floor", False))
        assert raster.sum() > 20
    few = datasets.load_dataset("shd", tmp_path, train_samples=2, test_samples=1, dt=4, n_steps=250)
    assert (len(few.train), few.n_steps) == (2, 250)
    with one_line(InputError, r"train_samples must lie in 1 \.\.\. 6, got 7"):
        datasets.load_dataset("shd", tmp_path, train_samples=7)


@pytest.mark.parametrize("milliseconds", [1000, 1e-3])
def test_shd_in_another_unit(tmp_path, milliseconds):
    times = [np.array([0.02, 0.4, 0.9]) * milliseconds] * 2
    for part in ("train", "test"):
        write_shd(tmp_path / f"shd_{part}.h5", n=2, times=times, dtype="float32")
    with one_line(DataError, r"shd_train.h5 \(seconds\): (none of its 3|all) events"):
        datasets.load_dataset("shd", tmp_path)


def test_damaged_shd_files_are_named(tmp_path):
    h5py = pytest.importorskip("h5py")
    path = tmp_path / "shd_train.h5"

    def complains(message):
        with one_line(DataError, f"{path}.*{message}"):
            encode_recordings(read_shd(path)[0], 700, n_steps=5, dt=1)

    complains("cannot be read as HDF5")
    path.write_bytes(b"no HDF5")
    complains("cannot be read as HDF5")
    write_shd(path)
    path.write_bytes(path.read_bytes()[:-700])
    complains("cannot be read as HDF5")
    one, unit = [np.array([0.1], np.float16)], [np.array([3])]
    two, units = [np.array([0.2, 0.1], np.float16)], [np.array([1, 2])]
    for options, message in [
        ({"labels": [20]}, "labels must lie in 0 ... 19, got 20 ... 20"),
        ({"labels": [0.5]}, "labels must be a list of integers"),
        ({"labels": [0, 1]}, "equally many times, units and labels, at least one of each, got 1, 1 and 2"),
        ({"n": 0}, "at least one of each, got 0, 0 and 0"),
        ({"times": one, "units": [np.array([700])]}, "inputs must lie in 0 ... 699, got 700"),
        ({"times": one, "units": units}, "every event needs one time and one neuron"),
        ({"times": two, "units": units}, "never run backwards"),
        ({"times": [np.array([np.inf], np.float16)], "units": unit}, "times must be finite"),
        ({"times": [np.array([1])], "units": unit, "dtype": "int32"}, "times must be seconds as floating"),
    ]:
        path.unlink()
        write_shd(path, **{"n": 1} | options)
        complains(message)
    for data, names, message in (
        ([1], ["labels"], "spikes/times is missing"),
        (
            1,
            ["spikes/times", "spikes/units", "labels"],
            "must hold a list in spikes/times, got a single value",
        ),
    ):
        with h5py.File(path, "w") as file:
            for name in names:
                file.create_dataset(name, data=data)
        complains(message)


# ---- both -------------------------------------------------------------------------------------------


def test_missing_recordings_say_where_to_put_what(tmp_path, empty_cache):
    for name, files in (("nmnist", "Train/<digit>/<number>.bin"), ("shd", "shd_train.h5 and shd_test.h5")):
        with one_line(DataError, f"no folder for {name}: give --data-dir DIR .*, and put {files}"):
            datasets.load_dataset(name)
        with one_line(DataError, f"no {name} files in .*put {files}"):
            datasets.load_dataset(name, tmp_path)
    write_shd(tmp_path / "shd_train.h5")
    with one_line(DataError, "shd_test.h5 cannot be read as HDF5"):
        datasets.load_dataset("shd", tmp_path)


def test_options_without_a_meaning_are_refused(tmp_path):
    write_nmnist(tmp_path)
    for name, option, value in [  # before files are looked for
        ("nmnist", "encoding", "log"), ("mnist", "dt", 2.0), ("shd", "augment", "flip"), ("yin-yang", "dt", 2.0),
        ("yin-yang", "counts", True), ("yin-yang", "polarities", "kept"), ("yin-yang", "download", True),
    ]:  # fmt: skip
        with one_line(InputError, f"{option} has no meaning for {name}"):
            datasets.load_dataset(name, tmp_path, **{option: value})
    for options in ({"n_steps": 0}, {"dt": 0.0}):
        with one_line(InputError, next(iter(options))):
            datasets.load_dataset("nmnist", tmp_path, **options)


def test_the_cache_is_keyed_by_parameters_and_files(tmp_path, empty_cache, monkeypatch):
    write_nmnist(tmp_path / "data")

    def load(**options):
        return datasets.load_dataset("nmnist", tmp_path / "data", **options)

    def n_files():
        return len(list((empty_cache / "encoded").glob("*.npz")))

    first = load()
    assert n_files() == 2
    with monkeypatch.context() as patch:
        patch.setattr(nmnist, "read_bin", lambda path: pytest.fail("read again"))
        again = load()
    same(again.train.spikes, first.train.spikes, SPIKES)
    same(again.train, first.train, ["labels"])
    ways = {"dt": 2.0, "counts": True, "binning": "round", "polarities": "kept", "n_steps": 90}
    for count, (option, value) in enumerate(ways.items(), 2):
        load(**{option: value})
        assert n_files() == 2 * count
    load(n_steps=np.int64(90), dt=np.float32(1), counts=np.bool_(True))  # what JSON does not know
    # Another content under the same name is another file.
    path = tmp_path / "data" / "Train" / "3" / "00003.bin"
    path.write_bytes(bin_bytes([7], [1], [2], [0]))
    assert load().train.batch(np.array([2])).n_events == 1
    os.utime(path, ns=(1, 1))
    load()
    assert n_files() == 16


def test_a_damaged_cache_is_made_anew_and_an_unwritable_one_done_without(tmp_path, empty_cache, monkeypatch):
    write_nmnist(tmp_path / "data")
    first = datasets.load_dataset("nmnist", tmp_path / "data")
    (place,) = (empty_cache / "encoded").glob("nmnist-train*.npz")
    (other,) = (empty_cache / "encoded").glob("nmnist-test*.npz")
    whole = place.read_bytes()
    for content, message in [
        (b"", "not a readable .npz file"),
        (whole[: len(whole) // 2], "not a readable .npz file"),
        (other.read_bytes(), "made from other files or parameters"),
    ]:
        place.write_bytes(content)
        message = f"encoding nmnist-train again: {re.escape(str(place))}.*{message}"
        with pytest.warns(UserWarning, match=message):
            again = datasets.load_dataset("nmnist", tmp_path / "data")
        same(again.train.spikes, first.train.spikes, SPIKES)
        assert place.read_bytes() == whole
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        datasets.load_dataset("nmnist", tmp_path / "data")
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("MINISNN_CACHE", str(tmp_path / "file"))
    with pytest.warns(UserWarning, match="nmnist-(train|test) was encoded, but not kept"):
        assert len(datasets.load_dataset("nmnist", tmp_path / "data").train) == 12


def test_where_the_cache_is(tmp_path, monkeypatch):
    places = {"MINISNN_CACHE": "", "XDG_CACHE_HOME": "minisnn", "HOME": ".cache/minisnn"}
    for name in places:
        monkeypatch.setenv(name, str(tmp_path))
    for name, below in places.items():
        assert cache.cache_folder() == tmp_path / below
        monkeypatch.delenv(name)


def test_the_real_recordings(data_dir):
    data = datasets.load_dataset("nmnist", data_dir)
    assert (len(data.train), len(data.test)) == (1000, 100)
    assert np.bincount(data.train.labels).tolist() == [97, 116, 99, 93, 105, 92, 94, 117, 87, 100]
    assert np.bincount(data.test.labels).tolist() == [8, 14, 8, 11, 14, 7, 10, 15, 2, 11]
    paths, _ = nmnist.list_recordings(datasets.find("nmnist", data_dir), "train")
    assert 4000 < np.mean([len(read_bin(path)[0]) for path in paths]) < 4250
