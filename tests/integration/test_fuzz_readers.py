"""Malformed files of every format the data sets are read from: the documented error or a right answer, nothing else.

A hundred of every format in the default run; ten thousand, and 500 of HDF5 in a process of their own, with -m slow.
"""

import gzip
import io
import json
import subprocess
import sys

import numpy as np
import pytest

from minisnn.datasets import cache, read_bin, read_idx
from minisnn.datasets.recordings import encode_recordings
from minisnn.datasets.samples import EventSamples
from minisnn.errors import DataError
from minisnn.files import read_npz, write_npz
from minisnn.spikes import SpikeEvents
from tests.unit.test_datasets import idx_bytes
from tests.unit.test_recordings import bin_bytes, write_shd

FEW, MANY, MANY_HDF5 = 100, 10_000, 500


def damaged(content, rng):
    """The content with something wrong: bytes changed, left out, put in twice, cut off, added, or all new."""
    content = bytearray(content)
    for _ in range(int(rng.integers(1, 4))):
        place = int(rng.integers(0, len(content) + 1))
        length = int(rng.integers(1, 9))
        kind = int(rng.integers(0, 7))
        if kind == 0 and content:
            content[place % len(content)] ^= 1 << int(rng.integers(0, 8))
        elif kind == 1:
            content[place : place + length] = rng.bytes(length)
        elif kind == 2:
            del content[place : place + length]
        elif kind == 3:
            content[place:place] = content[place : place + 40]
        elif kind == 4:
            del content[place:]
        elif kind == 5:
            content += rng.bytes(length)
        else:
            # Sizes that no file can have.
            content[place : place + 4] = b"\xff\xff\xff\x7f"
    return bytes(content)


def outcomes(good, read, path, n, seed=0):
    """Read n damaged versions; returns how many were refused with one line that names the file, and how many read."""
    rng = np.random.default_rng(seed)
    refused = 0
    for _ in range(n):
        path.write_bytes(damaged(good, rng))
        try:
            read(path)
        except DataError as error:
            assert "\n" not in str(error)
            assert str(path) in str(error)
            refused += 1
    return refused, n - refused


def idx(_):
    return idx_bytes(np.arange(60).reshape(3, 4, 5)), read_idx, "images"


def idx_gz(_):
    return gzip.compress(idx_bytes(np.arange(60).reshape(3, 4, 5))), read_idx, "images.gz"


def recording(_):
    content = bin_bytes(range(0, 4000, 100), [3] * 40, [33] * 40, [0, 1] * 20)

    def read(path):
        times, x, y, polarity = read_bin(path)
        assert len(times) == len(x) == len(y) == len(polarity) == path.stat().st_size // 5
        neurons = y.astype(np.int64) * 34 + x
        events = encode_recordings([(times, neurons, str(path))], 1156, n_steps=5, dt=1, counts=True)
        assert events.n_events == int((times < 5000).sum())

    return content, read, "1.bin"


def npz(folder):
    write_npz(folder / "good.npz", {"a": np.arange(9.0), "b": np.array("text"), "c": np.zeros((2, 0))})

    def read(path):
        assert all(isinstance(array, np.ndarray) for array in read_npz(path).values())

    return (folder / "good.npz").read_bytes(), read, "file.npz"


def encoded(folder):
    spikes = SpikeEvents.from_spike_times(np.arange(12).reshape(3, 4), n_steps=12)
    arrays = {
        "key": np.array("key"),
        "indptr": spikes.indptr,
        "indices": spikes.indices,
        "shape": np.array([12, 4, 0]),
        "labels": np.array([2, 0, 1]),
    }
    write_npz(folder / "good.npz", arrays)

    def read(path):
        samples = cache._read(path, "key")
        # What is read at all is events of the right form (the constructor has checked them).
        assert isinstance(samples, EventSamples)
        assert samples.spikes.to_raster().shape == samples.spikes.shape

    return (folder / "good.npz").read_bytes(), read, "encoded.npz"


FORMATS = [idx, idx_gz, recording, npz, encoded]


@pytest.mark.parametrize("make", FORMATS)
def test_a_hundred_malformed_files(make, tmp_path):
    good, read, name = make(tmp_path)
    refused, accepted = outcomes(good, read, tmp_path / name, FEW)
    assert refused > FEW // 2
    assert refused + accepted == FEW


@pytest.mark.slow
@pytest.mark.parametrize("make", FORMATS)
def test_ten_thousand_malformed_files(make, tmp_path):
    good, read, name = make(tmp_path)
    refused, accepted = outcomes(good, read, tmp_path / name, MANY, seed=1)
    assert refused > MANY // 2
    assert refused + accepted == MANY


def test_the_good_files_are_read(tmp_path):
    for make in FORMATS:
        good, read, name = make(tmp_path)
        (tmp_path / name).write_bytes(good)
        read(tmp_path / name)


def test_sizes_are_checked_before_anything_is_made_of_them(tmp_path):
    path = tmp_path / "images"
    path.write_bytes(b"\0\0\x08\x03" + b"\xff\xff\xff\xff" * 3 + b"\0" * 100)
    with pytest.raises(DataError, match=r"must have .* bytes for its shape .* got 116"):
        read_idx(path)
    content = io.BytesIO()
    np.lib.format.write_array_header_1_0(content, {"descr": "<f8", "fortran_order": False, "shape": (2**40,)})
    path = tmp_path / "huge.npz"
    import zipfile

    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.npy", content.getvalue() + b"\0" * 64)
    with pytest.raises(DataError, match="is not a readable .npz file"):
        read_npz(path)


# HDF5 is read by a C library: what it does with a damaged file must not end the test run.
_CHILD = """
import json, sys
from pathlib import Path
from tests.integration.test_fuzz_readers import outcomes
from minisnn.datasets import encode_recordings, read_shd

def read(path):
    recordings, labels = read_shd(path)
    spikes = encode_recordings(recordings, 700, n_steps=50, dt=20)
    assert len(spikes) == len(labels)

good, place, n, seed = Path(sys.argv[1]).read_bytes(), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
print(json.dumps(outcomes(good, read, place, n, seed)))
"""


def fuzz_hdf5(tmp_path, n, seed):
    pytest.importorskip("h5py")
    write_shd(tmp_path / "good.h5", n=3)
    child = subprocess.run(
        [
            sys.executable,
            "-c",
            _CHILD,
            str(tmp_path / "good.h5"),
            str(tmp_path / "bad.h5"),
            str(n),
            str(seed),
        ],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert child.returncode == 0, child.stderr[-2000:]
    refused, accepted = json.loads(child.stdout)
    assert refused > 0
    assert refused + accepted == n


def test_thirty_malformed_hdf5_files(tmp_path):
    fuzz_hdf5(tmp_path, 30, 0)


@pytest.mark.slow
def test_five_hundred_malformed_hdf5_files(tmp_path):
    fuzz_hdf5(tmp_path, MANY_HDF5, 1)
