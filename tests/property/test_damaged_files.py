"""Whatever bytes stand where a file of a known format should: the documented error or a right answer, nothing else.

A few of every format in the default run; ten thousand, and 500 of HDF5 in a process of their own, with -m slow.
"""

import gzip
import io
import json
import shutil
import subprocess
import sys
import tracemalloc
import warnings
import zipfile
from functools import partial
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minisnn import Network, NetworkConfig, datasets
from minisnn.datasets import cache, encode_recordings, own, read_idx, read_shd
from minisnn.datasets.nmnist import read_recording
from minisnn.datasets.samples import split
from minisnn.errors import DataError
from minisnn.files import read_npz, write_folder, write_npz
from minisnn.spikes import SpikeEvents
from minisnn.training import TrainingConfig, train
from minisnn.training.experiment import Experiment
from minisnn.training.optimiser import Adam
from minisnn.training.runs import RunFolder
from tests.data_files import bin_bytes, idx_bytes, ragged, write_shd
from tests.helpers import one_line

FEW, MANY, MANY_HDF5 = 60, 10_000, 500


class Format(NamedTuple):
    """A file: whole, as it may be damaged, where it lies, and how it is read."""

    good: bytes
    contents: st.SearchStrategy
    path: object
    read: object  # a function of the path


@st.composite
def damaged_bytes(draw, content):
    """`content` cut, with bytes changed, removed, repeated or put in."""
    data = bytearray(content)
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, max(len(data) - 1, 0)))
        length = draw(st.integers(1, 64))
        match draw(st.sampled_from(["change", "cut", "remove", "repeat", "insert", "flip"])):
            case "change":
                data[place : place + 1] = bytes([draw(st.integers(0, 255))])
            case "cut":
                del data[place:]
            case "remove":
                del data[place : place + length]
            case "repeat":
                data[place:place] = data[place : place + length]
            case "insert":
                data[place:place] = draw(st.binary(min_size=1, max_size=16))
            case "flip" if data:
                data[place % len(data)] ^= 1 << draw(st.integers(0, 7))
    return bytes(data)


def any_bytes(good):
    return st.one_of(st.binary(max_size=40), damaged_bytes(good))


@st.composite
def odd_arrays(draw):
    """An array of a kind nobody asked for."""
    shape = tuple(draw(st.lists(st.integers(0, 5), max_size=3)))
    values = draw(st.sampled_from([0, 1, -1, 3, 2**62]))
    dtypes = ["f4", "f8", ">f4", "i8", "u1", "?", "U3", "S3", "c8", "M8[s]", "V4", "f2"]
    with np.errstate(all="ignore"):
        return np.full(shape, values).astype(draw(st.sampled_from(dtypes)))


def npz_bytes(arrays, folder):
    write_npz(folder / "good.npz", arrays)
    return (folder / "good.npz").read_bytes()


# ---- idx --------------------------------------------------------------------------------------------

IDX = idx_bytes(np.arange(60).reshape(3, 4, 5))


@st.composite
def odd_idx(draw):
    """A header of any type and number of axes, and some bytes behind it, sometimes as many as it says."""
    n_axes = draw(st.integers(0, 4) | st.integers(0, 255))
    shape = draw(st.lists(st.sampled_from([0, 1, 1, 2, 3, 2**16, 2**31, 2**32 - 1]), max_size=n_axes))
    shape += [draw(st.sampled_from([0, 1]))] * draw(st.sampled_from([n_axes - len(shape), 0]))
    size = np.prod(shape, dtype=object) if draw(st.booleans()) else draw(st.integers(0, 20))
    kind = draw(st.sampled_from([8, 8, 8, 9, 13]))
    header = bytes([0, 0, kind, n_axes]) + b"".join(n.to_bytes(4, "big") for n in shape)
    return header + draw(st.binary(min_size=min(size, 100), max_size=min(size, 100)))


IDX_CONTENTS = any_bytes(IDX) | odd_idx()


def idx(folder, name="images", pack=bytes, unpack=bytes):
    def read(path):
        assert idx_bytes(read_idx(path)) == unpack(path.read_bytes())

    good = pack(IDX)
    return Format(good, any_bytes(good) | IDX_CONTENTS.map(pack), folder / name, read)


def idx_gz(folder):
    return idx(folder, "images.gz", partial(gzip.compress, mtime=0), gzip.decompress)


# ---- recordings -------------------------------------------------------------------------------------


def recording(folder):
    good = bin_bytes(range(0, 4000, 100), [3] * 40, [33] * 40, [0, 1] * 20)
    row = st.integers(0, 36) | st.just(240)  # 240: the clock has overflowed
    event = st.tuples(st.integers(0, 2**23 - 1), st.integers(0, 36), row, st.integers(0, 1))
    events = st.lists(event, max_size=5).map(lambda rows: bin_bytes(*zip(*sorted(rows))) if rows else b"")

    def read(path):
        content = path.read_bytes()
        rows = [content[k : k + 5] for k in range(0, len(content), 5)]
        times = [int.from_bytes(row[2:], "big") % 2**23 for row in rows]
        overflows = [sum(row[1:2] == b"\xf0" for row in rows[: k + 1]) for k in range(len(rows))]
        times = [t + 2**13 * n for t, n, row in zip(times, overflows, rows) if row[1:2] != b"\xf0"]
        rows = [row for row in rows if row[1:2] != b"\xf0"]
        right = bool(rows) and len(content) % 5 == 0 and times == sorted(times)
        right = right and (times[0] == times[-1] or times[-1] >= 1000)  # else it would all be step 0
        right &= all(row[0] < 34 and row[1] < 34 for row in rows if len(row) > 1)
        try:
            encoded = encode_recordings([read_recording(path, "kept")], 2312, n_steps=9000, dt=1, counts=True)
        except DataError:
            assert not right
            raise
        assert right
        steps = np.repeat(np.arange(9000), np.diff(encoded.indptr))
        pixels = [row[1] * 34 + row[0] + (row[2] >> 7) * 1156 for row in rows]
        expected = sorted((t // 1000, pixel) for t, pixel in zip(times, pixels))
        assert list(zip(steps.tolist(), encoded.indices.tolist())) == expected

    return Format(good, any_bytes(good) | events, folder / "1.bin", read)


# ---- npz and cache ----------------------------------------------------------------------------------

HEADERS = st.one_of(
    st.sampled_from(
        [
            "{}", "[]", "1L", "(", "{'descr'", "{'descr': '<f8', 'fortran_order': False, 'shape': (2L,), }",
            "{'descr': '<f8', 1: False, 'shape': ()}", "{[]: 1}", "1if 2else 3", "'\\q'", "-" * 9000 + "1",
        ]
    ),
    st.text(max_size=20),
    st.builds(
        lambda descr, order, shape: str({"descr": descr, "fortran_order": order, "shape": shape}),
        st.sampled_from(
            ["<f8", "|O", "|V0", "<U0", "<U2", "(", "(2,)f4", "f4,O", "<M8[x]", "x", "", 3, None, (), [],
             [("a", "<f8")], [("a",)], [("a", "<f8", (2**40,))], [("a", "<f8"), ("a", "<f8")], {"names": 1}]
        ),
        st.sampled_from([True, False, 1, "no"]),
        st.sampled_from([(), (1,), (2,), (0, 2**62), (-1,), (-1, -2), (2**70,), (2**40,), (2**62, 4),
                         (1,) * 70, 1, "ab", ("a",), None, (True,), [1]]),
    ),
)  # fmt: skip


@st.composite
def odd_archives(draw):
    """A whole zip file whose entries are hardly arrays."""
    file = io.BytesIO()
    kind = draw(st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2]))
    with zipfile.ZipFile(file, "w", kind) as archive:
        for k in range(draw(st.integers(0, 2))):
            header = draw(HEADERS).encode(draw(st.sampled_from(["utf-8", "utf-16"])))
            version = draw(st.sampled_from([b"\1\0", b"\1\0", b"\2\0", b"\3\0", b"\4\0"]))
            length = len(header).to_bytes(2 if version == b"\1\0" else 4, "little")
            content = b"\x93NUMPY" + version + length + header + draw(st.binary(max_size=16))
            name = draw(st.sampled_from(["a.npy", "b.npy", "a", "../c.npy", ".npy", "dir/"]))
            archive.writestr(f"{k}{name}", draw(st.sampled_from([content, content[:9], b""])))
    return file.getvalue()


def npz(folder):
    arrays = {"a": np.arange(9.0), "b": np.array("text"), "c": np.zeros((2, 0)), "d": np.eye(3)[::2].T}
    good = npz_bytes(arrays, folder)

    def read(path):
        ours = read_npz(path)
        with np.load(path) as theirs:
            assert set(ours) == set(theirs.files)
            for name, array in ours.items():
                assert array.dtype == theirs[name].dtype
                assert array.shape == theirs[name].shape
                assert array.tobytes() == theirs[name].tobytes()

    archives = odd_archives()
    return Format(
        good, any_bytes(good) | archives | archives.flatmap(damaged_bytes), folder / "file.npz", read
    )


SPIKES = SpikeEvents.from_spike_times(np.arange(12).reshape(3, 4), n_steps=12)
ENCODED = {
    "key": np.array("key"), "indptr": SPIKES.indptr, "indices": SPIKES.indices, "shape": np.array([12, 4, 0]),
    "labels": np.array([2, 0, 1]),
}  # fmt: skip


@st.composite
def odd_samples(draw, folder):
    """A whole file of encoded samples with entries of another kind, shape or value."""
    changed = dict(ENCODED)
    for name in draw(st.lists(st.sampled_from(sorted(ENCODED)), min_size=1, max_size=2, unique=True)):
        if draw(st.booleans()) or name == "key":
            changed[name] = draw(odd_arrays())
        else:
            # Huge steps up add up to small ones, as integers of 64 bits do.
            changed[name] = ENCODED[name].copy()
            first, step = draw(st.integers(0, 3)), draw(st.sampled_from([-1, 1, 2**30, -(2**31)]))
            changed[name][first:] += step
    return npz_bytes(changed, folder)


def encoded(folder):
    good = npz_bytes(ENCODED, folder)

    def read(path):
        samples = cache._read(path, "key")
        again = samples.spikes
        # What is read from a file that no encoding wrote is at least what events must be.
        SpikeEvents(again.indptr, again.indices, again.n_steps, again.n_neurons, again.counts)
        assert len(samples.labels) == len(samples)
        return samples

    return Format(good, any_bytes(good) | odd_samples(folder), folder / "encoded.npz", read)


OWN = {"indptr": SPIKES.indptr, "indices": SPIKES.indices, "n_inputs": np.array(4)}
OWN_FORMS = [
    {"labels": np.array([1, 0, 1]), "n_steps": np.array(12)} | form
    for form in ({"raster": SPIKES.to_raster()}, {"spike_times": SPIKES.first_spike_times()}, OWN)
]
OWN_OTHERS = [
    "n_classes", "class_names", "counts", "n_inputs", "test_labels", "test_raster", "test_indptr", "x"
]  # fmt: skip


def read_data(path):
    """The data set, of which what was read is at least what events and labels must be."""
    data = own.read_own(path)
    for part in (data.train, data.test):
        events = part.batch(np.arange(len(part)))
        SpikeEvents(events.indptr, events.indices, data.n_steps, data.n_inputs, events.counts)
        assert 0 <= part.labels.min() <= part.labels.max() < data.n_classes


def read_data_of_folder(path):
    read_data(path.parent)


@st.composite
def odd_data(draw, folder):
    """A file of one's own with arrays of another kind, that are missing, or that are too many."""
    arrays = dict(draw(st.sampled_from(OWN_FORMS)))
    names = st.sampled_from([*arrays, *OWN_OTHERS])
    for name in draw(st.lists(names, min_size=1, max_size=2, unique=True)):
        if name in arrays and draw(st.booleans()):
            del arrays[name]
        else:
            arrays[name] = draw(odd_arrays())
    return npz_bytes(arrays, folder)


def own_file(folder):
    good = npz_bytes(OWN_FORMS[2], folder)
    return Format(good, any_bytes(good) | odd_data(folder), folder / "own.npz", read_data)


def own_folder(folder):
    write_folder(folder / "own", OWN_FORMS[0])
    path = folder / "own" / "raster.npy"
    good = path.read_bytes()
    return Format(good, any_bytes(good), path, read_data_of_folder)


def damaged_cache(folder):
    """Damage alone, for which the answer must be the samples that were kept, or none."""
    whole = encoded(folder)

    def read(path):
        samples = whole.read(path)
        assert np.array_equal(samples.spikes.to_raster(), SPIKES.to_raster())
        assert samples.labels.tolist() == [2, 0, 1]

    return whole._replace(contents=damaged_bytes(whole.good), read=read)


def test_row_pointers_that_wrap_around_are_refused(tmp_path):
    quarter = 2**62
    indptr = np.array([0, quarter, -2 * quarter, -quarter, 2])
    assert (np.diff(indptr) > 0).all()
    changed = {"indptr": indptr, "indices": np.array([0, 1], np.int32), "shape": np.array([4, 2, 1])}
    write_npz(tmp_path / "x.npz", ENCODED | changed | {"labels": np.array([0])})
    with one_line(DataError, "indptr must rise from 0 to the number of events, 2"):
        cache._read(tmp_path / "x.npz", "key")


# ---- run folders ------------------------------------------------------------------------------------

NETWORK = NetworkConfig((4, 3, 3), hidden_gain=4.0)
TRAINING = TrainingConfig(epochs=3, batch_size=16, lr=0.1, schedule="constant")
RUN_FILES = ("checkpoint.npz", "best-1.npz", "metrics.jsonl", "config.json")


@pytest.fixture(scope="module")
def good_run(tmp_path_factory):
    """A finished run whose best epoch was the first."""
    data = split(datasets.load_dataset("yin-yang", n_steps=8, train_samples=40, test_samples=10), 10)
    config = {"dataset": "yin-yang", "data": {}, "product": "auto"}
    config |= {"training": {"epochs": 3}, "network": {"sizes": [4, 3, 3]}}
    run = RunFolder.create(config, tmp_path_factory.mktemp("runs") / "good")
    train(Network.random(NETWORK, seed=0), data, TRAINING, run=run)
    assert {path.name for path in run.path.iterdir()} == set(RUN_FILES)
    return run.path


def read_run(path):
    """Read everything that is ever read from the run folder that holds this file."""
    run = RunFolder.open(path.parent)
    Experiment.from_json(run.config(), path.parent)
    run.network()
    network = Network.random(NETWORK, seed=0)
    run.restore(network, Adam(network.parameters))
    assert all(np.isfinite(array).all() for array in network.parameters.values())


SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-(10**400), 10**400), st.integers(-3, 300), st.floats(), st.text(max_size=8)
)  # fmt: skip
JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner)
)


@st.composite
def odd_checkpoints(draw, content):
    """A whole .npz file with entries that are missing, of another name, kind, shape or value."""
    with np.load(io.BytesIO(content)) as archive:
        arrays = dict(archive)
    config = json.loads(str(arrays["config"]))
    for name in draw(st.lists(st.sampled_from(sorted(arrays)), min_size=1, max_size=3)):
        array = arrays.get(name)
        match draw(st.sampled_from(["remove", "rename", "replace", "config", "value"])):
            case "remove":
                arrays.pop(name, None)
            case "rename" if array is not None:
                arrays[draw(st.text("ab/.c", min_size=1, max_size=4))] = arrays.pop(name)
            case "replace":
                arrays[name] = draw(odd_arrays())
            case "config":
                changed = config | {draw(st.sampled_from([*config, "colour"])): draw(JSON)}
                arrays["config"] = np.array(json.dumps(changed))
            case "value" if array is not None and array.dtype.kind == "f" and array.size:
                arrays[name] = array.copy()
                arrays[name].flat[0] = draw(st.sampled_from([np.nan, np.inf, -np.inf, -1.0, 2.0]))
    file = io.BytesIO()
    compression = draw(st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA]))
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w") as entry:
                np.lib.format.write_array(entry, array, allow_pickle=False)
    return file.getvalue()


@st.composite
def odd_entries(draw, content):
    """A JSON object with one entry that is missing or anything."""
    values = json.loads(content)
    key = draw(st.sampled_from(sorted(values)))
    if draw(st.booleans()):
        values[key] = draw(JSON)
    else:
        del values[key]
    return json.dumps(values).encode() + b"\n"


def file_of_a_run(good_run, folder, name):
    shutil.copytree(good_run, folder, dirs_exist_ok=True)
    good = (folder / name).read_bytes()
    if name.endswith(".npz"):
        odd = odd_checkpoints(good) | odd_checkpoints(good).flatmap(damaged_bytes)
    else:
        odd = JSON.map(lambda value: json.dumps(value).encode()) | odd_entries(
            good.splitlines()[0] if name == "metrics.jsonl" else good
        )
    return Format(good, any_bytes(good) | odd, folder / name, read_run)


@pytest.mark.parametrize("name", RUN_FILES)
def test_files_of_every_wrong_kind(good_run, tmp_path, name):
    content, _, path, read = file_of_a_run(good_run, tmp_path, name)
    array, other = io.BytesIO(), io.BytesIO()
    np.save(array, np.arange(3))
    np.savez(other, x=np.arange(3))
    for wrong in (b"", content[:-2], array.getvalue(), other.getvalue(), b"[1, 2]\n", bytes(len(content))):
        assert refused(read, path, wrong), wrong[:20]
    path.unlink()
    path.mkdir()  # a folder where the file should be
    with one_line(DataError, name.replace(".", r"\.")):
        read(path)


# ---- fuzzing ----------------------------------------------------------------------------------------


@pytest.fixture(
    params=[idx, idx_gz, recording, npz, encoded, damaged_cache, own_file, own_folder, *RUN_FILES]
)
def file_format(request, tmp_path, good_run):
    if isinstance(request.param, str):
        return file_of_a_run(good_run, tmp_path, request.param)
    return request.param(tmp_path)


def refused(read, path, content):
    """Whether a file with this content is refused, with one line that names it, or its folder."""
    path.write_bytes(content)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            read(path)
    except DataError as error:
        assert "\n" not in str(error)
        assert str(path.parent) in str(error)
        assert str(path) in str(error) or read in (read_run, read_data_of_folder)
        return True
    return False


def fuzz(form, n):
    """Read a good file, then n malformed ones; returns how many of these were refused."""
    assert not refused(form.read, form.path, form.good)
    outcomes = []

    @settings(max_examples=n)
    @given(form.contents)
    def check(content):
        outcomes.append(refused(form.read, form.path, content))

    check()
    return sum(outcomes)


def test_a_few_malformed_files(file_format):
    assert fuzz(file_format, FEW) >= FEW // 3


@pytest.mark.slow
def test_ten_thousand_malformed_files(file_format):
    n = fuzz(file_format, MANY)
    print(f"{file_format.path.name}: {n} of {MANY} refused")
    assert n >= MANY // 2


# ---- HDF5 -------------------------------------------------------------------------------------------


@st.composite
def odd_hdf5(draw, path):
    """A whole HDF5 file, laid out in another way than that of the Heidelberg sets."""
    import h5py

    rows = ragged([[0.1, 0.2], [0.3, 0.4]])
    kinds = {
        "lists": lambda group, name: group.create_dataset(name, data=rows, dtype=h5py.vlen_dtype("f4")),
        "integers": lambda group, name: group.create_dataset(name, data=rows, dtype=h5py.vlen_dtype("u8")),
        "table": lambda group, name: group.create_dataset(name, data=[[0.5, 0.25], [0.25, 0.5]]),
        "numbers": lambda group, name: group.create_dataset(name, data=[1, 2]),
        "large": lambda group, name: group.create_dataset(name, data=[1e300, np.inf]),
        "value": lambda group, name: group.create_dataset(name, data=1),
        "text": lambda group, name: group.create_dataset(name, data=["a", "b"]),
        "empty": lambda group, name: group.create_dataset(name, data=h5py.Empty("f4")),
        "none": lambda group, name: group.create_dataset(name, shape=(0,), dtype="i4"),
        "unwritten": lambda group, name: group.create_dataset(name, (2**40,), "i8", chunks=(2**10,)),
        "wide": lambda group, name: group.create_dataset(name, (2,), "S500000000"),
        "group": lambda group, name: group.create_group(name),
        "link": lambda group, name: group.__setitem__(name, h5py.ExternalLink("nowhere.h5", "x")),
        "circle": lambda group, name: group.__setitem__(name, h5py.SoftLink(f"{group.name}/{name}")),
        "type": lambda group, name: group.__setitem__(name, np.dtype("f8")),
        "missing": lambda group, name: None,
    }
    with h5py.File(path, "w") as file:
        group = file.create_group("spikes")
        for where, name in ((group, "times"), (group, "units"), (file, "labels")):
            kinds[draw(st.sampled_from(sorted(kinds)))](where, name)
    return path.read_bytes()


def fuzz_hdf5(folder, n):
    write_shd(folder / "good.h5", n=3)
    good = (folder / "good.h5").read_bytes()

    def read(path):
        recordings, labels = read_shd(path)
        spikes = encode_recordings(recordings, 700, n_steps=50, dt=20)
        assert len(spikes) == len(labels)

    # Where the library looks first, at the head of the file, damage is densest.
    head = damaged_bytes(good[:2048]).map(lambda head: head + good[2048:])
    contents = st.one_of(damaged_bytes(good), head, odd_hdf5(folder / "odd.h5"))
    return fuzz(Format(good, contents, folder / "bad.h5", read), n)


# HDF5 is read by a C library: what it does with a damaged file must not end the test run.
_CHILD = """
import sys
from pathlib import Path
import tests.conftest
from tests.property.test_damaged_files import fuzz_hdf5

print(fuzz_hdf5(Path(sys.argv[1]), int(sys.argv[2])))
"""


@pytest.mark.parametrize("n", [30, pytest.param(MANY_HDF5, marks=pytest.mark.slow)])
def test_malformed_hdf5_files(tmp_path, n):
    pytest.importorskip("h5py")
    command = [sys.executable, "-c", _CHILD, str(tmp_path), str(n)]
    child = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert child.returncode == 0, child.stderr[-4000:]
    assert int(child.stdout) > n // 3


# ---- sizes ------------------------------------------------------------------------------------------


def refused_within(megabytes, read, path, message):
    """The file is refused with this message, and the memory used for finding out stays small."""
    tracemalloc.start()
    try:
        with one_line(DataError, message) as caught:
            read(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert str(path) in str(caught.value)
    assert peak < megabytes * 2**20


def test_idx_files_that_say_too_much(tmp_path):
    # The last: sixty-four megabytes of zeros in sixty-four kilobytes, behind a header of ten.
    for name, megabytes, content, message in (
        ("images", 1, b"\x03" + b"\xff\xff\xff\xff" * 3 + b"\0" * 100, "must have at most 2147483648 bytes"),
        ("images", 4, b"\x01\x70\0\0\0" + b"\0" * 100, r"have 1879048200 bytes for its shape .*, got 108$"),
        ("images", 1, b"\xff" + b"\0\0\0\1" * 255 + b"\0", "must have at most 8 axes, got 255"),
        ("images.gz", 4, b"\x01\0\0\0\x0a" + bytes(2**26), "must have 18 bytes .*, got 19 or more"),
    ):
        content = b"\0\0\x08" + content
        (tmp_path / name).write_bytes(gzip.compress(content, 1) if name.endswith("gz") else content)
        refused_within(megabytes, read_idx, tmp_path / name, message)


def test_npz_files_that_say_too_much(tmp_path):
    path = tmp_path / "huge.npz"
    for shape in ((2**40,), (0, -5)):
        content = io.BytesIO()
        header = {"descr": "<f8", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(content, header)
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("a.npy", content.getvalue() + b"\0" * 64)
        refused_within(1, read_npz, path, "cannot hold float64")
    np.savez_compressed(path, a=np.zeros(2**23))
    assert path.stat().st_size < 2**17
    refused_within(1, read_npz, path, r"its \d+ bytes would unpack to 671089\d\d")


def test_hdf5_files_that_say_too_much(tmp_path):
    h5py = pytest.importorskip("h5py")
    path = tmp_path / "shd_train.h5"
    for name, shape, dtype in (("spikes/times", (2**40,), "f4"), ("labels", (2,), "S500000000")):
        write_shd(path)
        with h5py.File(path, "a") as file:
            del file[name]
            file.create_dataset(name, shape, dtype, chunks=(1,))
        refused_within(4, read_shd, path, f"of [0-9]+ bytes cannot hold {name}")
