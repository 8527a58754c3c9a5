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


def bin_bytes(times, x, y, polarity):
    """The published format, written from its description, a byte at a time."""
    content = bytearray()
    for t, column, row, p in zip(times, x, y, polarity):
        content += bytes([column, row, (p << 7) | (t >> 16), (t >> 8) & 255, t & 255])
    return bytes(content)


def write_nmnist(folder, parts=(("Train", 12), ("Test", 4)), n_events=50):
    rng = np.random.default_rng(0)
    written = {}
    for part, n in parts:
        for number in range(1, n + 1):
            times = np.sort(rng.integers(0, 320_000, n_events))
            x, y = rng.integers(0, 34, (2, n_events))
            p = rng.integers(0, 2, n_events)
            path = folder / part / str(number % 10) / f"{number:05d}.bin"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(bin_bytes(times.tolist(), x.tolist(), y.tolist(), p.tolist()))
            written[part, number] = times, x, y, p
    return written


def naive_raster(times, neurons, n_neurons, n_steps, dt, binning, counts):
    raster = np.zeros((n_steps, n_neurons), dtype=int)
    for t, i in zip(times, neurons):
        step = int(t // (1000 * dt)) if binning == "floor" else round(t / (1000 * dt))
        if step < n_steps:
            raster[step, i] = raster[step, i] + 1 if counts else 1
    return raster


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
    recordings = [
        (
            np.sort(rng.choice([0, 250, 500, 750, 1000, 1500, 2999, 9000], n_events)),
            rng.integers(0, 3, n_events),
            "r",
        )
        for _ in range(2)
    ]
    options = {"n_steps": n_steps, "dt": dt, "binning": binning, "counts": counts}
    rasters = [naive_raster(times, neurons, 3, **options) for times, neurons, _ in recordings]
    lasting = n_steps > 1 and any(n_events and times[0] != times[-1] for times, _, _ in recordings)
    late = [
        naive_raster(times, neurons, 3, **options | {"n_steps": 99})[1:] for times, neurons, _ in recordings
    ]
    if n_events and not all(raster.any() for raster in rasters):
        with pytest.raises(
            DataError, match=f"none of its {n_events} events falls within the {n_steps} steps"
        ):
            encode_recordings(recordings, 3, **options)
        return
    if lasting and not np.any(late):
        with pytest.raises(DataError, match=f"fall into step 0 of {n_steps} with"):
            encode_recordings(recordings, 3, **options)
        return
    events = encode_recordings(recordings, 3, **options)
    assert events.counts == counts
    assert np.array_equal(events.to_raster(), rasters)
    datasets.EventSamples(type(events)(events.indptr, events.indices, n_steps, 3, counts), np.zeros(2, int))


@pytest.mark.parametrize(
    ("times", "neurons", "message"),
    [
        (
            [0, 5, 4],
            [0, 0, 0],
            "r: times must start at 0 or later and never run backwards, got 4 us as event 2",
        ),
        ([-1, 5], [0, 0], "got -1 us as event 0"),
        ([0.0, np.nan], [0, 0], "times must be finite numbers"),
        ([0], [3], r"events beyond the sensor: inputs must lie in 0 \.\.\. 2, got 3 \.\.\. 3"),
        ([0], [-1], "got -1"),
        ([0, 1], [0], "every event needs one time and one neuron"),
        ([0], [0.5], "every event needs one time and one neuron"),
    ],
)
def test_wrong_recordings_are_named(times, neurons, message):
    with pytest.raises(DataError, match=message):
        encode_recordings([(np.array(times), np.array(neurons), "r")], 3, n_steps=4, dt=1)


MICROSECONDS = [0, 1400, 3000]


def encoded(times, neurons=(1, 0, 2), **options):
    """Spikes in every step of recordings of the same neurons."""
    recordings = [(t, neurons[: len(t)], f"r{k}") for k, t in enumerate(times)]
    spikes = encode_recordings(recordings, 3, **{"n_steps": 5, "dt": 1} | options)
    return spikes.to_raster().sum(axis=2).tolist()


@pytest.mark.parametrize(
    ("times", "options", "message"),
    [
        ([[10_000_000, 10_003_000]], {}, r"r0: none of its 2 events falls within the 5 steps of dt = 1 ms; times "
         r"must be microseconds from the start of the recording, got 10000000 \.\.\. 10003000: subtract the start"),
        ([MICROSECONDS, [5000]], {}, r"r1: none of its 1 events .* got 5000 \.\.\. 5000"),
        ([MICROSECONDS, [4600]], {"binning": "round"}, "r1: none of its 1 events"),
        ([[1000, 2000]], {"n_steps": 1}, "r0: none of its 2 events falls within the 1 steps"),
        ([[1e300, 1e308]], {"dt": 1e-300}, "none of its 2 events"),
        ([[0.0, 0.0014, 0.003]], {}, "r0: all events, and those of every recording before it, fall into step 0 of 5 "
         "with dt = 1 ms; times must be microseconds, got none above 0.003: convert them from seconds or milli"),
        ([[0, 140, 300], [20, 999]], {}, "r1: all events, .* got none above 999:"),
        ([[3], [0, 499]], {"binning": "round"}, "r1: all events"),
        ([MICROSECONDS, MICROSECONDS], {"dt": 1000}, "r1: all events, .* dt = 1000 ms; .* above 3000: .* smaller dt"),
        ([[], [0, 999], []], {}, "r2: all events"),
    ],
)  # fmt: skip
def test_times_of_another_unit_or_origin_are_no_silence(times, options, message):
    with pytest.raises(DataError, match=message) as caught:
        encoded(times, **options)
    assert "\n" not in str(caught.value)


def test_short_recordings_that_are_right():
    assert encoded([[0, 140, 300]], n_steps=1) == [[3]]  # one step is a wish
    assert encoded([[7], [], [7, 7]]) == [[1, 0, 0, 0, 0], [0] * 5, [2, 0, 0, 0, 0]]  # of one moment each
    assert encoded([[0, 140, 300], [1000]]) == [[3, 0, 0, 0, 0], [0, 1, 0, 0, 0]]
    assert encoded([[0, 140, 9000]]) == [[2, 0, 0, 0, 0]]  # later events are left out
    assert encoded([[], []]) == [[0] * 5] * 2


def test_nmnist_that_begins_late_or_lasts_too_short(tmp_path):
    write_nmnist(tmp_path)
    path = tmp_path / "Train" / "3" / "00003.bin"
    for times, options in (
        ([8_000_000, 8_300_000], {"augment": ["shift"]}),
        ([500_000], {"polarities": "kept"}),
    ):
        path.write_bytes(bin_bytes(times, [1] * len(times), [2] * len(times), [0] * len(times)))
        with pytest.raises(
            DataError, match=f"{re.escape(str(path))}: none of its .* events falls within the 300"
        ):
            datasets.load_dataset("nmnist", tmp_path, **options)
    with pytest.raises(DataError, match="fall into step 0 of 300 with dt = 1000 ms"):
        datasets.load_dataset("nmnist", tmp_path, dt=1000)


@pytest.mark.parametrize("milliseconds", [1000, 1e-3])
def test_shd_in_another_unit(tmp_path, milliseconds):
    times = [np.array([0.02, 0.4, 0.9]) * milliseconds] * 2
    for part in ("train", "test"):
        write_shd(tmp_path / f"shd_{part}.h5", n=2, times=times, dtype="float32")
    with pytest.raises(DataError, match=r"shd_train.h5 \(seconds\): (none of its 3|all) events") as caught:
        datasets.load_dataset("shd", tmp_path)
    assert "\n" not in str(caught.value)


def test_the_clock_of_nmnist_overflows(tmp_path):
    path = tmp_path / "1.bin"
    path.write_bytes(
        bin_bytes([5, 9, 0, 7, 2, 3, 4], [1] * 7, [2, 240, 240, 3, 240, 240, 4], [1, 0, 0, 1, 1, 1, 0])
    )
    times, x, y, polarity = read_bin(path)
    assert times.tolist() == [5, 7 + 2 * 8192, 4 + 4 * 8192]
    assert (x.tolist(), y.tolist(), polarity.tolist()) == ([1, 1, 1], [2, 3, 4], [1, 1, 0])


def test_files_of_macos_and_windows_are_skipped_with_a_count(tmp_path):
    write_nmnist(tmp_path)
    whole = datasets.load_dataset("nmnist", tmp_path)
    for name in ("._00003.bin", "._00013.bin", ".DS_Store", "Thumbs.db"):
        (tmp_path / "Train" / "3" / name).write_bytes(b"Mac OS X")
    (tmp_path / "Train" / "._3").write_bytes(b"Mac OS X")
    with pytest.warns(
        UserWarning, match=r"Train: 2 files of macOS \(\._\*\.bin\), which .* skipped"
    ) as caught:
        data = datasets.load_dataset("nmnist", tmp_path)
    assert len(caught) == 1
    assert np.array_equal(data.train.spikes.indices, whole.train.spikes.indices)
    for path in (tmp_path / "Train").glob("*/0*.bin"):
        path.unlink()
    with (
        pytest.warns(UserWarning, match="2 files of macOS"),
        pytest.raises(DataError, match="holds no recordings"),
    ):
        datasets.load_dataset("nmnist", tmp_path)


@pytest.mark.parametrize(
    "recording",
    [7, ([0], [0]), ([0], [0], "r", 1), (np.ma.array([0]), [0], "r"), ([[0], [0, 1]], [0], "r"), ([0], ["a"], "r"),
     ([0j], [0], "r"), ([True], [0], "r"), (np.array([0], "m8[us]"), [0], "r"), ([2**70], [0], "r")],
    ids=repr,
)  # fmt: skip
def test_what_is_no_recording_is_refused_in_one_line(recording):
    with pytest.raises(InputError, match="^(r: |a recording must be .times, neurons, name.)") as caught:
        encode_recordings([recording], 3, n_steps=4, dt=1)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("binning", ["floor", "round"])
def test_times_beyond_all_integers_and_steps_are_left_out(binning):
    neurons = np.array([0, 2, 1], dtype=np.uint64)
    for times, dt in (([0.0, 1e30, 1e300], 1), ([0.0, 1e300, 1e308], 1e-300), ([0, 2**62, 2**63], 1e-9)):
        recording = np.array(times), neurons, "r"
        events = encode_recordings([recording], 3, n_steps=4, dt=dt, binning=binning)
        assert np.argwhere(events.to_raster()[0]).tolist() == [[0, 0]]


def test_wrong_ways_to_bin():
    one = [(np.array([0]), np.array([0]), "r")]
    for options, message in [
        ({"n_steps": 0, "dt": 1}, "n_steps must be a whole number >= 1"),
        ({"n_steps": 4, "dt": 0}, "dt must"),
        ({"n_steps": 4, "dt": 1, "binning": "ceil"}, "unknown binning 'ceil'"),
        ({"n_steps": 4.0, "dt": 1}, "n_steps must be a whole number >= 1, got 4.0"),
        ({"n_steps": 4, "dt": np.nan}, "dt must"),
        ({"n_steps": 4, "dt": 1, "counts": "no"}, "counts must be True or False, got 'no'"),
    ]:
        with pytest.raises(InputError, match=message):
            encode_recordings(one, 3, **options)
    for n_neurons in (3.0, True, 0):
        with pytest.raises(InputError, match="n_neurons must be a whole number >= 1, got"):
            encode_recordings(one, n_neurons, n_steps=4, dt=1)
    with pytest.raises(InputError, match="at least one recording"):
        encode_recordings([], 3, n_steps=4, dt=1)
    silent = encode_recordings([(np.zeros(0), np.zeros(0, int), "r")], 3, n_steps=4, dt=1)
    assert silent.shape == (1, 4, 3)
    assert silent.n_events == 0
    with pytest.raises(DataError, match="r: y must be integers, got float64"):
        pixel_neurons(np.zeros(1, int), np.zeros(1), np.zeros(1, int), 2, 2, "kept", "r")
    with pytest.raises(InputError, match="unknown choice of polarities 'both'"):
        pixel_neurons(*np.zeros((3, 1), int), 2, 2, "both", "r")


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
    kept = datasets.load_dataset(
        "nmnist", tmp_path / "nmnist", polarities="kept", counts=True, binning="round", n_steps=100, dt=3
    )
    raster = kept.train.batch(np.array([10])).to_raster()[0]
    assert np.array_equal(raster, naive_raster(times, y * 34 + x + 1156 * p, 2312, 100, 3, "round", True))
    few = datasets.load_dataset("nmnist", tmp_path, train_samples=3, test_samples=1)
    assert (len(few.train), len(few.test)) == (3, 1)
    monkeypatch.setenv("MINISNN_DATA", str(tmp_path))
    assert datasets.find("nmnist") == tmp_path / "nmnist"


def test_damaged_nmnist_files_are_named(tmp_path):
    write_nmnist(tmp_path)
    path = tmp_path / "Train" / "3" / "00003.bin"
    good = path.read_bytes()

    def complaint():
        with pytest.raises(DataError) as caught:
            datasets.load_dataset("nmnist", tmp_path)
        assert "\n" not in str(caught.value)
        return str(caught.value)

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
        assert message in complaint()
        assert str(path) in complaint()
    path.write_bytes(good)
    assert len(datasets.load_dataset("nmnist", tmp_path).train) == 12
    twice = tmp_path / "Train" / "4" / "3.bin"
    twice.write_bytes(good)
    assert f"{path} and {twice} are the same recording of Train: keep one" in complaint()
    twice.unlink()
    path.rename(path.with_name("three.bin"))
    assert "must be Train/<digit 0 to 9>/<number>.bin" in complaint()
    path.with_name("three.bin").rename(path)
    (tmp_path / "Train" / "3").rename(tmp_path / "Train" / "three")
    assert "must be Train/<digit 0 to 9>/<number>.bin" in complaint()
    with pytest.raises(DataError, match="cannot be read: No such file"):
        read_bin(tmp_path / "nothing.bin")
    for path in (tmp_path / "Test").glob("*/*.bin"):
        path.unlink()
    (tmp_path / "Train" / "three").rename(tmp_path / "Train" / "3")
    assert "Test holds no recordings" in complaint()


def write_shd(path, n=6, times=None, units=None, labels=None, dtype="float16"):
    h5py = pytest.importorskip("h5py")
    rng = np.random.default_rng(1)
    lists = [np.sort(rng.random(30)).astype(dtype) for _ in range(n)] if times is None else times
    neurons = [rng.integers(0, 700, len(t)) for t in lists] if units is None else units
    with h5py.File(path, "w") as file:
        group = file.create_group("spikes")
        group.create_dataset("times", data=_ragged(lists), dtype=h5py.vlen_dtype(np.dtype(dtype)))
        group.create_dataset("units", data=_ragged(neurons), dtype=h5py.vlen_dtype(np.dtype("uint16")))
        file.create_dataset("labels", data=np.arange(n) % 20 if labels is None else labels)
    return lists, neurons


def _ragged(lists):
    array = np.empty(len(lists), dtype=object)
    for k, one in enumerate(lists):
        array[k] = np.asarray(one)
    return array


def test_shd_from_its_files(tmp_path):
    times, units = write_shd(tmp_path / "shd_train.h5")
    write_shd(tmp_path / "shd_test.h5", n=3)
    data = datasets.load_dataset("shd", tmp_path)
    assert (len(data.train), len(data.test), data.n_inputs, data.n_classes, data.n_steps) == (
        6,
        3,
        700,
        20,
        500,
    )
    assert data.train.labels.tolist() == [0, 1, 2, 3, 4, 5]
    for k in range(6):
        raster = data.train.batch(np.array([k])).to_raster()[0]
        microseconds = times[k].astype(np.float64) * 1e6  # half precision itself overflows at 65504
        assert np.array_equal(raster, naive_raster(microseconds, units[k], 700, 500, 2, "floor", False))
        assert raster.sum() > 20
    few = datasets.load_dataset("shd", tmp_path, train_samples=2, test_samples=1, dt=4, n_steps=250)
    assert (len(few.train), few.n_steps) == (2, 250)
    with pytest.raises(InputError, match=r"train_samples must lie in 1 \.\.\. 6, got 7"):
        datasets.load_dataset("shd", tmp_path, train_samples=7)


def test_damaged_shd_files_are_named(tmp_path):
    h5py = pytest.importorskip("h5py")
    path = tmp_path / "shd_train.h5"

    def complaint():
        with pytest.raises(DataError) as caught:
            encode_recordings(read_shd(path)[0], 700, n_steps=5, dt=1)
        assert "\n" not in str(caught.value)
        assert str(path) in str(caught.value)
        return str(caught.value)

    assert "cannot be read as HDF5" in complaint()
    path.write_bytes(b"no HDF5")
    assert "cannot be read as HDF5" in complaint()
    write_shd(path)
    path.write_bytes(path.read_bytes()[:-700])
    assert "cannot be read as HDF5" in complaint()
    one = [np.array([0.1], np.float16)]
    unit = [np.array([3])]
    for options, message in [
        ({"labels": [20], "n": 1}, "labels must lie in 0 ... 19, got 20 ... 20"),
        ({"labels": [0.5], "n": 1}, "labels must be a list of integers"),
        (
            {"labels": [0, 1], "n": 1},
            "equally many times, units and labels, at least one of each, got 1, 1 and 2",
        ),
        ({"n": 0}, "at least one of each, got 0, 0 and 0"),
        ({"n": 1, "times": one, "units": [np.array([700])]}, "inputs must lie in 0 ... 699, got 700"),
        ({"n": 1, "times": one, "units": [np.array([1, 2])]}, "every event needs one time and one neuron"),
        (
            {"n": 1, "times": [np.array([0.2, 0.1], np.float16)], "units": [np.array([1, 2])]},
            "never run backwards",
        ),
        ({"n": 1, "times": [np.array([np.inf], np.float16)], "units": unit}, "times must be finite"),
        (
            {"n": 1, "times": [np.array([1])], "units": unit, "dtype": "int32"},
            "times must be seconds as floating",
        ),
    ]:
        path.unlink()
        write_shd(path, **options)
        assert message in complaint()
    with h5py.File(path, "w") as file:
        file.create_dataset("labels", data=[1])
    assert "spikes/times is missing" in complaint()
    with h5py.File(path, "w") as file:
        for name in ("spikes/times", "spikes/units", "labels"):
            file.create_dataset(name, data=1)
    assert "must hold a list in spikes/times, got a single value" in complaint()


def test_missing_recordings_say_where_to_put_what(tmp_path, monkeypatch):
    monkeypatch.delenv("MINISNN_DATA", raising=False)
    for name, wanted in (
        ("nmnist", "put Train/<digit>/<number>.bin"),
        ("shd", "put shd_train.h5 and shd_test.h5"),
    ):
        with pytest.raises(
            DataError, match=f"no folder for {name}: give --data-dir DIR or set MINISNN_DATA, and {wanted}"
        ):
            datasets.load_dataset(name)
        with pytest.raises(DataError, match=f"no {name} files in .*{wanted}"):
            datasets.load_dataset(name, tmp_path)
    write_shd(tmp_path / "shd_train.h5")
    with pytest.raises(DataError, match="shd_test.h5 cannot be read as HDF5"):
        datasets.load_dataset("shd", tmp_path)


def test_options_without_a_meaning_are_refused(tmp_path):
    write_nmnist(tmp_path)
    for name, options in [
        ("nmnist", {"encoding": "log"}),
        ("mnist", {"dt": 2.0}),  # refused before files are looked for
        ("shd", {"augment": "flip"}),
        ("yin-yang", {"dt": 2.0}),
        ("yin-yang", {"counts": True}),
        ("yin-yang", {"polarities": "kept"}),
        ("yin-yang", {"download": True}),
    ]:
        option = next(iter(options))
        with pytest.raises(InputError, match=f"{option} has no meaning for {name}"):
            datasets.load_dataset(name, tmp_path, **options)
    for options in ({"n_steps": 0}, {"dt": 0.0}):
        with pytest.raises(InputError, match="n_steps|dt"):
            datasets.load_dataset("nmnist", tmp_path, **options)


def test_the_cache_is_keyed_by_parameters_and_files(tmp_path, monkeypatch):
    monkeypatch.setenv("MINISNN_CACHE", str(tmp_path / "cache"))
    write_nmnist(tmp_path / "data")

    def load(**options):
        return datasets.load_dataset("nmnist", tmp_path / "data", **options)

    def files():
        return sorted((tmp_path / "cache" / "encoded").glob("*.npz"))

    first = load()
    assert len(files()) == 2
    monkeypatch.setattr(nmnist, "read_bin", lambda path: pytest.fail("read again"))
    again = load()
    assert np.array_equal(again.train.spikes.indices, first.train.spikes.indices)
    assert np.array_equal(again.train.spikes.indptr, first.train.spikes.indptr)
    assert np.array_equal(again.train.labels, first.train.labels)
    monkeypatch.setattr(nmnist, "read_bin", read_bin)
    for count, options in enumerate(
        ({"dt": 2.0}, {"counts": True}, {"binning": "round"}, {"polarities": "kept"}, {"n_steps": 90}), 2
    ):
        load(**options)
        assert len(files()) == 2 * count
    load(n_steps=np.int64(90), dt=np.float32(1), counts=np.bool_(True))  # what JSON does not know
    # Another content under the same name is another file.
    path = tmp_path / "data" / "Train" / "3" / "00003.bin"
    path.write_bytes(bin_bytes([7], [1], [2], [0]))
    changed = load()
    assert changed.train.batch(np.array([2])).n_events == 1
    os.utime(path, ns=(1, 1))
    load()
    assert len(files()) == 16


def test_a_damaged_cache_is_made_anew_and_an_unwritable_one_done_without(tmp_path, monkeypatch):
    monkeypatch.setenv("MINISNN_CACHE", str(tmp_path / "cache"))
    write_nmnist(tmp_path / "data")
    first = datasets.load_dataset("nmnist", tmp_path / "data")
    (place,) = (tmp_path / "cache" / "encoded").glob("nmnist-train*.npz")
    (other,) = (tmp_path / "cache" / "encoded").glob("nmnist-test*.npz")
    whole = place.read_bytes()
    for content, message in [
        (b"", "not a readable .npz file"),
        (whole[: len(whole) // 2], "not a readable .npz file"),
        (other.read_bytes(), "made from other files or parameters"),
    ]:
        place.write_bytes(content)
        with pytest.warns(
            UserWarning, match=f"encoding nmnist-train again: {re.escape(str(place))}.*{message}"
        ):
            again = datasets.load_dataset("nmnist", tmp_path / "data")
        assert np.array_equal(again.train.spikes.indices, first.train.spikes.indices)
        assert place.read_bytes() == whole
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        datasets.load_dataset("nmnist", tmp_path / "data")
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("MINISNN_CACHE", str(tmp_path / "file"))
    with pytest.warns(UserWarning, match="nmnist-(train|test) was encoded, but not kept"):
        data = datasets.load_dataset("nmnist", tmp_path / "data")
    assert len(data.train) == 12


def test_where_the_cache_is(tmp_path, monkeypatch):
    monkeypatch.setenv("MINISNN_CACHE", str(tmp_path))
    assert cache.cache_folder() == tmp_path
    monkeypatch.delenv("MINISNN_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache.cache_folder() == tmp_path / "minisnn"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache.cache_folder() == tmp_path / ".cache" / "minisnn"


def test_the_real_recordings(data_dir):
    data = datasets.load_dataset("nmnist", data_dir)
    assert (len(data.train), len(data.test)) == (1000, 100)
    assert np.bincount(data.train.labels).tolist() == [97, 116, 99, 93, 105, 92, 94, 117, 87, 100]
    assert np.bincount(data.test.labels).tolist() == [8, 14, 8, 11, 14, 7, 10, 15, 2, 11]
    paths, _ = nmnist.list_recordings(datasets.find("nmnist", data_dir), "train")
    n_events = [len(read_bin(path)[0]) for path in paths]
    assert 4000 < np.mean(n_events) < 4250
