"""Malformed files of every format the data sets are read from: the documented error or a right answer, nothing else.

A few of every format in the default run; ten thousand, and 500 of HDF5 in a process of their own, with -m slow.
"""

import gzip
import io
import json
import re
import subprocess
import sys
import tracemalloc
import warnings
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minisnn.datasets import cache, encode_recordings, read_idx, read_shd
from minisnn.datasets.nmnist import read_recording
from minisnn.errors import DataError
from minisnn.files import read_npz, write_npz
from minisnn.spikes import SpikeEvents
from tests.property.test_damaged_runs import damaged_bytes, odd_arrays
from tests.unit.test_datasets import idx_bytes
from tests.unit.test_recordings import _ragged, bin_bytes, write_shd

FEW, MANY, MANY_HDF5 = 60, 10_000, 500


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


IDX_CONTENTS = st.one_of(st.binary(max_size=40), damaged_bytes(IDX), odd_idx())


def idx(_):
    def read(path):
        assert idx_bytes(read_idx(path)) == path.read_bytes()

    return IDX, IDX_CONTENTS, read, "images"


def idx_gz(_):
    def read(path):
        assert idx_bytes(read_idx(path)) == gzip.decompress(path.read_bytes())

    whole = IDX_CONTENTS.map(lambda content: gzip.compress(content, 1))
    contents = st.one_of(st.binary(max_size=40), damaged_bytes(gzip.compress(IDX)), whole)
    return gzip.compress(IDX), contents, read, "images.gz"


# ---- recordings -------------------------------------------------------------------------------------


def recording(_):
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
        rows_of = np.repeat(np.arange(9000), np.diff(encoded.indptr))
        expected = sorted(
            (t // 1000, row[1] * 34 + row[0] + (row[2] >> 7) * 1156) for t, row in zip(times, rows)
        )
        assert list(zip(rows_of.tolist(), encoded.indices.tolist())) == expected

    return good, st.one_of(st.binary(max_size=40), damaged_bytes(good), events), read, "1.bin"


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
    contents = st.one_of(
        st.binary(max_size=40), damaged_bytes(good), archives, archives.flatmap(damaged_bytes)
    )
    return good, contents, read, "file.npz"


def encoded(folder):
    spikes = SpikeEvents.from_spike_times(np.arange(12).reshape(3, 4), n_steps=12)
    arrays = {
        "key": np.array("key"),
        "indptr": spikes.indptr,
        "indices": spikes.indices,
        "shape": np.array([12, 4, 0]),
        "labels": np.array([2, 0, 1]),
    }
    good = npz_bytes(arrays, folder)

    @st.composite
    def odd_entries(draw):
        """A whole file with entries of another kind, shape or value."""
        changed = dict(arrays)
        for name in draw(st.lists(st.sampled_from(sorted(arrays)), min_size=1, max_size=2, unique=True)):
            if draw(st.booleans()) or name == "key":
                changed[name] = draw(odd_arrays())
            else:
                # Huge steps up add up to small ones, as integers of 64 bits do.
                changed[name] = arrays[name].copy()
                first, step = draw(st.integers(0, 3)), draw(st.sampled_from([-1, 1, 2**30, -(2**31)]))
                changed[name][first:] += step
        return npz_bytes(changed, folder)

    def read(path):
        samples = cache._read(path, "key")
        again = samples.spikes
        # What is read from a file that no encoding wrote is at least what events must be.
        SpikeEvents(again.indptr, again.indices, again.n_steps, again.n_neurons, again.counts)
        assert len(samples.labels) == len(samples)
        if path.stem.startswith("damaged"):
            assert np.array_equal(again.to_raster(), spikes.to_raster())
            assert samples.labels.tolist() == [2, 0, 1]

    return good, st.one_of(st.binary(max_size=40), damaged_bytes(good), odd_entries()), read, "encoded.npz"


def damaged_cache(folder):
    """Damage alone, for which the answer must be the samples that were kept, or none."""
    good, _, read, _ = encoded(folder)
    return good, damaged_bytes(good), read, "damaged.npz"


def test_row_pointers_that_wrap_around_are_refused(tmp_path):
    quarter = 2**62
    arrays = {
        "key": np.array("key"),
        "indptr": np.array([0, quarter, -2 * quarter, -quarter, 2]),
        "indices": np.array([0, 1], dtype=np.int32),
        "shape": np.array([4, 2, 1]),
        "labels": np.array([0]),
    }
    assert (np.diff(arrays["indptr"]) > 0).all()
    write_npz(tmp_path / "x.npz", arrays)
    with pytest.raises(DataError, match="indptr must rise from 0 to the number of events, 2"):
        cache._read(tmp_path / "x.npz", "key")


# ---- fuzzing ----------------------------------------------------------------------------------------

FORMATS = [idx, idx_gz, recording, npz, encoded, damaged_cache]


def refused(read, path, content):
    """Whether a file with this content is refused, with one line that names it."""
    path.write_bytes(content)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            read(path)
    except DataError as error:
        assert "\n" not in str(error)
        assert str(path) in str(error)
        return True
    return False


def fuzz(contents, read, path, n):
    """Read n malformed files; returns how many were refused."""
    outcomes = []

    @settings(max_examples=n)
    @given(contents)
    def check(content):
        outcomes.append(refused(read, path, content))

    check()
    return sum(outcomes)


@pytest.mark.parametrize("make", FORMATS)
def test_a_few_malformed_files(make, tmp_path):
    good, contents, read, name = make(tmp_path)
    assert not refused(read, tmp_path / name, good)
    assert fuzz(contents, read, tmp_path / name, FEW) > FEW // 2


@pytest.mark.slow
@pytest.mark.parametrize("make", FORMATS)
def test_ten_thousand_malformed_files(make, tmp_path):
    _, contents, read, name = make(tmp_path)
    n = fuzz(contents, read, tmp_path / name, MANY)
    print(f"{name}: {n} of {MANY} refused")
    assert n > MANY // 2


# ---- HDF5 -------------------------------------------------------------------------------------------


@st.composite
def odd_hdf5(draw, path):
    """A whole HDF5 file, laid out in another way than that of the Heidelberg sets."""
    import h5py

    rows = _ragged([[0.1, 0.2], [0.3, 0.4]])
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
    """Read n malformed files; returns how many were refused."""
    write_shd(folder / "good.h5", n=3)
    good = (folder / "good.h5").read_bytes()

    def read(path):
        recordings, labels = read_shd(path)
        spikes = encode_recordings(recordings, 700, n_steps=50, dt=20)
        assert len(spikes) == len(labels)

    assert not refused(read, folder / "bad.h5", good)
    # Where the library looks first, at the head of the file, damage is densest.
    contents = st.one_of(
        damaged_bytes(good),
        damaged_bytes(good[:2048]).map(lambda head: head + good[2048:]),
        odd_hdf5(folder / "odd.h5"),
    )
    return fuzz(contents, read, folder / "bad.h5", n)


# HDF5 is read by a C library: what it does with a damaged file must not end the test run.
_CHILD = """
import json, sys
from pathlib import Path
import tests.conftest
from tests.integration.test_fuzz_readers import fuzz_hdf5

print(json.dumps(fuzz_hdf5(Path(sys.argv[1]), int(sys.argv[2]))))
"""


def fuzz_hdf5_apart(tmp_path, n):
    pytest.importorskip("h5py")
    child = subprocess.run(
        [sys.executable, "-c", _CHILD, str(tmp_path), str(n)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert child.returncode == 0, child.stderr[-4000:]
    assert json.loads(child.stdout) > n // 3


def test_thirty_malformed_hdf5_files(tmp_path):
    fuzz_hdf5_apart(tmp_path, 30)


@pytest.mark.slow
def test_five_hundred_malformed_hdf5_files(tmp_path):
    fuzz_hdf5_apart(tmp_path, MANY_HDF5)


# ---- sizes ------------------------------------------------------------------------------------------


def refused_within(megabytes, read, path, message):
    """The file is refused with this message, and the memory used for finding out stays small."""
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match=message) as caught:
            read(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert re.escape(str(path)) in re.escape(str(caught.value))
    assert peak < megabytes * 2**20


def test_idx_files_that_say_too_much(tmp_path):
    path = tmp_path / "images"
    path.write_bytes(b"\0\0\x08\x03" + b"\xff\xff\xff\xff" * 3 + b"\0" * 100)
    refused_within(1, read_idx, path, "must have at most 2147483648 bytes")
    path.write_bytes(b"\0\0\x08\x01" + b"\x70\0\0\0" + b"\0" * 100)
    refused_within(4, read_idx, path, r"must have 1879048200 bytes for its shape .*, got 108$")
    path.write_bytes(b"\0\0\x08\xff" + b"\0\0\0\1" * 255 + b"\0")
    refused_within(1, read_idx, path, "must have at most 8 axes, got 255")
    # Sixty-four megabytes of zeros in sixty-four kilobytes, behind a header of ten.
    path = tmp_path / "images.gz"
    path.write_bytes(gzip.compress(b"\0\0\x08\x01" + b"\0\0\0\x0a" + bytes(2**26), 1))
    refused_within(4, read_idx, path, "must have 18 bytes .*, got 19 or more")


def test_npz_files_that_say_too_much(tmp_path):
    path = tmp_path / "huge.npz"
    for shape, message in (((2**40,), "cannot hold float64"), ((0, -5), "cannot hold float64")):
        content = io.BytesIO()
        header = {"descr": "<f8", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(content, header)
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("a.npy", content.getvalue() + b"\0" * 64)
        refused_within(1, read_npz, path, message)
    np.savez_compressed(path, a=np.zeros(2**23))
    assert path.stat().st_size < 2**17
    refused_within(1, read_npz, path, r"its \d+ bytes would unpack to 671089\d\d")


def test_hdf5_files_that_say_too_much(tmp_path):
    h5py = pytest.importorskip("h5py")
    path = tmp_path / "shd_train.h5"
    for name, shape, dtype in (("spikes/times", (2**40,), "f4"), ("labels", (2,), "S500000000")):
        path.unlink(missing_ok=True)
        write_shd(path)
        with h5py.File(path, "a") as file:
            del file[name]
            file.create_dataset(name, shape, dtype, chunks=(1,))
        refused_within(4, read_shd, path, f"of [0-9]+ bytes cannot hold {name}")
