"""Files are written whole or not at all, and without pickle."""

import errno
import os
import stat
import subprocess
import sys
import threading
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from minisnn import Network, NetworkConfig, SpikeEvents, load_dataset
from minisnn.datasets import EventSamples, save_dataset
from minisnn.errors import DataError, InputError
from minisnn.export import export
from minisnn.files import (
    checked_file,
    checked_folder,
    locked,
    read_folder,
    read_npz,
    write_atomically,
    write_folder,
    write_npz,
    write_text,
)  # fmt: skip
from minisnn.training import RunFolder
from tests.helpers import one_line, same_dict


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_arrays_round_trip_under_their_names(tmp_path):
    arrays = {"a": np.arange(3), "text": np.array(["x", "yz"]), "empty": np.zeros((0, 2), np.float32)}
    write_folder(tmp_path / "folder", arrays)
    same_dict(read_folder(tmp_path / "folder"), arrays)
    arrays["a/b"] = np.array("x")
    write_npz(tmp_path / "x.npz", arrays)
    same_dict(read_npz(tmp_path / "x.npz"), arrays)
    with np.load(tmp_path / "x.npz") as archive:
        assert sorted(archive.files) == sorted(arrays)
    write_npz(tmp_path / "y.npz", arrays)
    assert (tmp_path / "x.npz").read_bytes() == (tmp_path / "y.npz").read_bytes()


def test_objects_are_refused_and_nothing_is_left(tmp_path):
    with one_line(ValueError, "Object arrays"):
        write_npz(tmp_path / "x.npz", {"a": np.array([{}], dtype=object)})
    assert names(tmp_path) == []


def half_way(file):
    file.write(b"half of the n")
    raise OSError("disk full")


def test_a_failing_write_leaves_the_old_file_and_a_pipe_alone(tmp_path):
    (tmp_path / "file").write_text("old")
    os.mkfifo(tmp_path / "pipe")  # opening it would wait for a reader for ever
    for name in ("file", "pipe"):
        with one_line(OSError, "disk full"):
            write_atomically(tmp_path / name, half_way)
    assert (tmp_path / "file").read_text() == "old"
    assert names(tmp_path) == ["file", "pipe"]


@pytest.mark.parametrize("there", [True, False])
def test_a_link_is_followed(tmp_path, there):
    (tmp_path / "elsewhere").mkdir()
    target, link = tmp_path / "elsewhere" / "real", tmp_path / "link"
    if there:
        target.write_text("old")
    link.symlink_to("elsewhere/real")
    (tmp_path / "second").symlink_to(link)
    write_text(tmp_path / "second", "new")
    assert link.is_symlink()
    assert target.read_text() == "new"
    assert not target.is_symlink()
    assert names(tmp_path) == ["elsewhere", "link", "second"]


def test_mode_and_owner_stay(tmp_path):
    path = tmp_path / "file"
    umask = os.umask(0o022)
    try:
        write_text(path, "old")
        assert stat.S_IMODE(path.stat().st_mode) == 0o644
    finally:
        os.umask(umask)
    path.chmod(0o640)
    if os.geteuid() == 0:
        os.chown(path, 12345, 12346)
    before = path.stat()
    write_text(path, "new")
    after = path.stat()
    assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)


def test_a_pipe_is_written_to(tmp_path):
    pipe, got = tmp_path / "pipe", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: got.append(pipe.read_bytes()))
    reader.start()
    write_npz(pipe, {"a": np.arange(3)})
    reader.join()
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    (tmp_path / "copy.npz").write_bytes(got[0])
    assert np.array_equal(read_npz(tmp_path / "copy.npz")["a"], np.arange(3))
    assert names(tmp_path) == ["copy.npz", "pipe"]


def test_a_device_stays_one(tmp_path):
    """A second /dev/null where the rights allow it, so that a failing test does no harm."""
    device = tmp_path / "null"
    try:
        os.mknod(device, stat.S_IFCHR | 0o666, os.makedev(1, 3))
        device.write_text("")
    except OSError:
        pytest.skip("needs the right to make a device")
    (tmp_path / "link").symlink_to("null")
    for path in (device, tmp_path / "link"):
        write_text(path, "text")
        assert stat.S_ISCHR(device.stat().st_mode)
    assert names(tmp_path) == ["link", "null"]


@pytest.mark.parametrize("name", ["/dev/fd/{}", "/proc/self/fd/{}", "link"])
def test_an_open_file_by_its_number_is_written_to(tmp_path, name):
    """As --json /dev/stdout does, with standard output led to a file: that file is not replaced."""
    with open(tmp_path / "out", "w+b") as file:
        file.write(b"before ")
        file.flush()
        path = name.format(file.fileno())
        if name == "link":
            path = tmp_path / "link"
            path.symlink_to(f"/dev/fd/{file.fileno()}")
        assert checked_file(path) == Path(path)
        write_text(path, "text")
        file.write(b" after")
    assert (tmp_path / "out").read_text() == "before text after"


@pytest.mark.skipif(not os.path.exists("/dev/fd"), reason="needs /dev/fd")
def test_an_open_file_that_takes_nothing_is_known_before(tmp_path, monkeypatch):
    (tmp_path / "in").write_text("")
    monkeypatch.setattr(sys, "__stdout__", None)  # as Python starts if it is closed
    with open(tmp_path / "in") as read_only:
        for path in (f"/dev/fd/{read_only.fileno()}", "/dev/fd/999", "/dev/stdout"):
            with one_line(OSError, "Bad file descriptor") as caught:
                checked_file(path)
            assert caught.value.filename == path


def test_the_longest_name(tmp_path):
    path = tmp_path / ("n" * 255)
    assert checked_file(path) == path
    write_text(path, "text")
    assert path.read_text() == "text"


@pytest.mark.parametrize(
    ("name", "failing", "number"),
    [
        ("none/file", None, errno.ENOENT),
        ("file", "fsync", errno.ENOSPC),
        ("file", "replace", errno.EDQUOT),
        ("n" * 300, None, errno.ENAMETOOLONG),
    ],
    ids=lambda value: str(value)[:9],
)
@pytest.mark.parametrize(
    "write",
    [partial(write_text, text="text"), partial(write_folder, arrays={"a": np.arange(3)})],
    ids=["file", "folder"],
)
def test_no_error_names_a_temporary_file(tmp_path, monkeypatch, write, name, failing, number):
    def fail(*paths):
        raise OSError(number, os.strerror(number), *[path for path in paths if not isinstance(path, int)][:1])

    if failing == "fsync" and write.func is write_folder:
        monkeypatch.setattr(np.lib.format, "write_array", lambda *_, **__: fail())
    elif failing:
        monkeypatch.setattr(os, failing, fail)
    path = tmp_path / name
    with one_line(OSError, os.strerror(number)) as caught:
        write(path)
    assert ".part" not in str(caught.value)
    assert caught.value.filename == str(path.parent if name == "none/file" else path)
    assert names(tmp_path) == []


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_device_is_named():
    with one_line(OSError, "No space left") as caught:
        write_text("/dev/full", "text")
    assert caught.value.filename == "/dev/full"


def test_what_no_encoding_has_is_escaped(tmp_path):
    write_text(tmp_path / "file", "a\udcffb")
    assert (tmp_path / "file").read_text() == "a\\udcffb"


@pytest.mark.parametrize("path", [5, True, b"x", ["x"], "a\0b", "a\ud800b"])
def test_what_is_no_path_is_refused_in_one_line(path):
    network, spikes = (
        Network.random(NetworkConfig((4, 5, 3))),
        SpikeEvents.from_spike_times(np.zeros((3, 4), int), 5),
    )
    for door in (
        network.save, Network.load, partial(export, network), partial(load_dataset, "mnist"), RunFolder.open,
        partial(save_dataset, train=EventSamples(spikes, [0, 1, 0])), partial(RunFolder.create, {}),
    ):  # fmt: skip
        with one_line(InputError, "must be a path, without characters that no name can have, got"):
            door(path)


# ---- looked at before -------------------------------------------------------------------------------


def test_a_file_is_looked_at_before_it_is_written(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "there").write_text("")
    (tmp_path / "dangling").symlink_to("none/file")
    for name in ("none/file", "dangling", "there/below"):
        with one_line(InputError, "must name a file in an existing folder"):
            checked_file(tmp_path / name)
    for path, shown in ((tmp_path / "folder", "the folder '.*folder'"), ("", "''")):
        with one_line(InputError, f"must name a file, got {shown}"):
            checked_file(path)
    for name in ("none/file", "dangling"):
        assert checked_file(tmp_path / name, to_be_made=[tmp_path / "none"]) == tmp_path / name
    assert checked_file(tmp_path / "new") == tmp_path / "new"
    assert names(tmp_path) == ["dangling", "folder", "there"]


def test_a_folder_is_looked_at_before_it_is_written(tmp_path, monkeypatch):
    assert checked_folder(tmp_path / "a" / "b") == tmp_path / "a" / "b"
    monkeypatch.chdir(tmp_path)
    assert checked_folder("a/b") == Path("a/b")
    (tmp_path / "file").write_text("")
    (tmp_path / "link").symlink_to("none")
    for path, number in (("file", errno.ENOTDIR), ("file/below", errno.ENOTDIR), ("link", errno.ENOENT)):
        with one_line(OSError) as caught:
            checked_folder(path)
        assert (caught.value.errno, caught.value.filename) == (number, path)
    assert names(tmp_path) == ["file", "link"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write to read-only files and folders")
def test_what_may_not_be_written_is_known_before(tmp_path):
    file = tmp_path / "file"
    file.write_text("")
    file.chmod(0o444)
    tmp_path.chmod(0o555)
    new = tmp_path / "new"
    places = (checked_file, file), (checked_file, new), (checked_folder, tmp_path), (checked_folder, new)
    for check, path in places:
        with pytest.raises(PermissionError):
            check(path)
    tmp_path.chmod(0o755)


HOLD = "import fcntl, sys; file = open(sys.argv[1], 'rb+'); fcntl.flock(file, 2); print(flush=True); input()"


def test_a_file_is_held_until_its_process_is_killed(tmp_path):
    pytest.importorskip("fcntl", reason="needs locks of files")
    path, came = tmp_path / "file", []
    path.write_text("")
    other = subprocess.Popen(
        [sys.executable, "-c", HOLD, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    other.stdout.readline()
    with one_line(DataError, "another process is at work in .*: let it end, or stop it"), locked(path):
        pass

    def wait():
        with locked(path, wait=True):
            came.append(True)

    thread = threading.Thread(target=wait)
    thread.start()
    thread.join(0.1)
    assert not came
    other.kill()
    other.communicate()
    thread.join()
    assert came
    with locked(path), one_line(DataError), locked(path):
        pass


def test_a_file_system_without_locks_holds_nothing(tmp_path, monkeypatch):
    fcntl = pytest.importorskip("fcntl", reason="needs locks of files")
    (tmp_path / "file").write_text("")

    (*without_locks, fault) = errors = [errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS, errno.EIO]

    def flock(*_):
        raise OSError(errors[0], os.strerror(errors.pop(0)))

    monkeypatch.setattr(fcntl, "flock", flock)
    for _ in without_locks:
        with locked(tmp_path / "file"):
            pass
    with one_line(OSError, os.strerror(fault)), locked(tmp_path / "file"):
        pass
