"""Files are written whole or not at all, and without pickle."""

import numpy as np
import pytest

from minisnn.files import read_npz, write_atomically, write_npz, write_text


def test_arrays_round_trip_under_their_names(tmp_path):
    arrays = {"a/b": np.arange(3), "text": np.array("x"), "empty": np.zeros((0, 2), np.float32)}
    write_npz(tmp_path / "x.npz", arrays)
    loaded = read_npz(tmp_path / "x.npz")
    assert set(loaded) == set(arrays)
    for name, array in arrays.items():
        assert np.array_equal(loaded[name], array)
        assert loaded[name].dtype == array.dtype
    with np.load(tmp_path / "x.npz") as archive:
        assert sorted(archive.files) == sorted(arrays)
    write_npz(tmp_path / "y.npz", arrays)
    assert (tmp_path / "x.npz").read_bytes() == (tmp_path / "y.npz").read_bytes()


def test_objects_are_refused_and_nothing_is_left(tmp_path):
    with pytest.raises(ValueError, match="Object arrays"):
        write_npz(tmp_path / "x.npz", {"a": np.array([{}], dtype=object)})
    assert list(tmp_path.iterdir()) == []


def test_a_failing_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "file"
    write_text(path, "old")

    def fail(file):
        file.write(b"half of the n")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_atomically(path, fail)
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]
