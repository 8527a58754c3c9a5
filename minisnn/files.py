"""Files written whole or not at all, and .npz files and folders of .npy files read with every fault named."""

from __future__ import annotations

import contextlib
import errno
import io
import math
import os
import re
import shutil
import stat
import struct
import sys
import tempfile
import tokenize
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from .errors import DataError, InputError
from .reading import checked_path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

# The errors of zipfile, zlib and NumPy on damaged files. NumPy reads a header by evaluating a Python literal, which can
# raise many of them.
_UNREADABLE = (
    OSError, ValueError, EOFError, LookupError, RuntimeError, MemoryError, OverflowError, struct.error,
    zipfile.BadZipFile, zlib.error, TypeError, SyntaxError, AttributeError, tokenize.TokenError, Warning,
)  # fmt: skip

_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}

# An archive may unpack to so many bytes, plus so many times its own size. Zeros compress 1000 to 1, so that a small
# file could be made to fill the memory.
_SMALL, _RATIO = 2**24, 100

__all__ = [
    "checked_file", "checked_folder", "locked", "read_folder", "read_npz", "write_atomically", "write_folder",
    "write_npz", "write_text",
]  # fmt: skip


def checked_folder(path: str | Path) -> Path:
    """`path` if files can be written into it, whether it is there or still to be made; else `OSError`."""
    path = Path(path)
    for there in (path, *path.parents):
        try:
            os.stat(there)
            break
        except FileNotFoundError:
            if there.is_symlink():
                raise OSError(errno.ENOENT, "a link that leads nowhere", str(there)) from None
    try:
        with tempfile.TemporaryFile(dir=there):  # permissions are not enough: file systems have rules too
            return path
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None


def checked_file(path: str | Path, to_be_made: Sequence[Path] = ()) -> Path:
    """`path` if a file can be written there: a new one, or in place of a regular one, or through a device or pipe.

    Links are followed; the folders `to_be_made`, and those they lie in, count as there. `InputError` is raised for a
    folder and for a file in none, `OSError` if it may not be written.
    """
    descriptor = _own_descriptor(path)
    if descriptor is not None:
        _check_open(descriptor, path)
        return Path(path)
    target = Path(os.path.realpath(path))
    if os.path.isdir(path) or not str(path):
        raise InputError(f"must name a file, got {'the folder ' * bool(str(path))}{str(path)!r}")
    if not target.parent.is_dir():
        made = map(Path, map(os.path.realpath, to_be_made))
        if any(target.parent in (folder, *folder.parents) for folder in made):
            return Path(path)
        raise InputError(f"must name a file in an existing folder, got {path}")
    if _is_regular(path):
        checked_folder(target.parent)
    if os.path.exists(path) and not os.access(path, os.W_OK):
        raise OSError(errno.EACCES, os.strerror(errno.EACCES), str(path))
    return Path(path)


@contextlib.contextmanager
def locked(path: str | Path, *, wait: bool = False) -> Iterator[None]:
    """Hold a file that is never replaced: no other process, on this machine or another, holds it meanwhile.

    If another does, it is waited for, or `DataError` is raised. The system lets go of the file if the process is
    killed. Where there are no locks (Windows, some file systems), nothing is held.
    """
    with open(path, "rb+") as file:  # an exclusive lock over NFS wants a file that is open for writing
        if fcntl is not None:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            except BlockingIOError:
                folder = Path(path).parent
                raise DataError(f"another process is at work in {folder}: let it end, or stop it") from None
            except OSError as error:
                if error.errno not in (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS):
                    raise
        yield


def write_atomically(path: str | Path, write: Callable[[BinaryIO], object]) -> None:
    """Call `write` on a temporary file, then move it to `path`: readers see the old file or the new.

    A link is followed, and the new file takes the owner and the mode of the file that it replaces. A device, a pipe or
    standard output by its name cannot be replaced; it is written to.

    Raises
    ------
    OSError
        If the folder cannot be written or the disk is full; the old file is then untouched.
    """
    path = checked_path("path", path)
    descriptor = _own_descriptor(path)
    if descriptor is not None or not _is_regular(path):
        whole = io.BytesIO()  # a pipe cannot be searched, and should not get half of it either
        write(whole)
        _write_through(path, descriptor, whole.getvalue())
        return
    target = Path(os.path.realpath(path))
    try:
        handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=".", suffix=".part")
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(Path(path).parent)) from None
    try:
        with os.fdopen(handle, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        _take_over(temporary, target)
        os.replace(temporary, target)
    except BaseException as error:
        Path(temporary).unlink(missing_ok=True)
        raise _named(error, temporary, path) from None


def _named(error: BaseException, temporary: str, path: str | Path) -> BaseException:
    """An error of the system with the name that the user knows in place of that of a temporary file or folder."""
    if isinstance(error, OSError) and error.errno and str(error.filename or temporary).startswith(temporary):
        return OSError(error.errno, error.strerror, str(path))
    return error


def _write_through(path: str | Path, descriptor: int | None, content: bytes) -> None:
    """Write to a path that is no regular file, or to an open file by its number."""
    try:
        if descriptor is None:
            descriptor = os.open(path, os.O_WRONLY)
        else:
            for stream in filter(None, (sys.stdout, sys.stderr)):
                stream.flush()  # earlier prints come first
            descriptor = os.dup(descriptor)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None


def _is_regular(path: str | Path) -> bool:
    """Whether there is a regular file, or nothing yet."""
    try:
        return stat.S_ISREG(os.stat(path).st_mode)
    except FileNotFoundError:
        return True


def _own_descriptor(path: str | Path) -> int | None:
    """Number of the open file of this process that `path` means, as /dev/stdout and /dev/fd/1 do; None if none.

    Such a name leads to a file that is open, which must not be replaced while others write to it.
    """
    path = Path(path)
    for _ in range(40):  # as many links as Linux follows
        folder = os.path.realpath(path.parent)
        if path.name.isdecimal() and re.fullmatch(rf"/dev/fd|/proc/{os.getpid()}/(task/\d+/)?fd", folder):
            return int(path.name)
        if not path.is_symlink():
            break
        path = path.parent / os.readlink(path)
    return None


def _check_open(descriptor: int, path: str | Path) -> None:
    """Raise `OSError` with the path unless an open file of this process, by its number, can be written to."""
    # Python leaves out a standard stream that was closed, and the next file that is opened gets its number.
    closed = {1: sys.__stdout__, 2: sys.__stderr__}.get(descriptor, path) is None
    if not closed:
        try:
            os.fstat(descriptor)
            closed = (
                fcntl is not None and fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY
            )
        except OSError:
            closed = True
    if closed:
        raise OSError(errno.EBADF, os.strerror(errno.EBADF), str(path))


def _take_over(temporary: str, target: Path, mode: int = 0o666) -> None:
    """Give a new file the mode, and if possible the owner, of the one that it replaces, or those of any new file."""
    try:
        old = os.stat(target)
    except FileNotFoundError:
        mask = os.umask(0o022)  # it can be read only by setting it
        os.umask(mask)
        os.chmod(temporary, mode & ~mask)
        return
    if hasattr(os, "chown"):
        with contextlib.suppress(OSError):
            os.chown(temporary, old.st_uid, old.st_gid)
    os.chmod(temporary, stat.S_IMODE(old.st_mode))


def write_text(path: str | Path, text: str) -> None:
    """Write `text` as UTF-8, whole or not at all; characters that UTF-8 lacks are escaped."""
    write_atomically(path, lambda file: file.write(text.encode(errors="backslashreplace")))


def write_npz(path: str | Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write named arrays as ``.npz`` without pickle, whole or not at all; equal arrays give equal bytes."""

    def write(file: BinaryIO) -> None:
        # numpy.savez learned to refuse pickle after NumPy 2.0; the format is a zip of .npy files, without dates.
        with zipfile.ZipFile(file, "w") as archive:
            for name, array in arrays.items():
                with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as entry:
                    np.lib.format.write_array(entry, np.asanyarray(array), allow_pickle=False)

    write_atomically(path, write)


def write_folder(path: str | Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write named arrays as ``.npy`` files without pickle into a new or empty folder, whole or not at all."""
    given = checked_path("path", path)
    path = Path(os.path.realpath(given))
    if path.exists() and not (path.is_dir() and not any(path.iterdir())):
        raise InputError(f"{path} exists already: name a new folder, or a file that ends in .npz")
    try:
        temporary = Path(tempfile.mkdtemp(dir=path.parent, prefix=".", suffix=".part"))
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(Path(given).parent)) from None
    try:
        for name, array in arrays.items():
            with open(temporary / f"{name}.npy", "wb") as file:
                np.lib.format.write_array(file, np.asanyarray(array), allow_pickle=False)
        _take_over(str(temporary), path, 0o777)
        os.replace(temporary, path)
    except BaseException as error:
        shutil.rmtree(temporary, ignore_errors=True)
        raise _named(error, str(temporary), given) from None


def read_npz(path: str | Path, *, ratio: float = _RATIO) -> dict[str, NDArray[Any]]:
    """Read every array of an ``.npz`` file (no pickle), or raise a `DataError` that names the file and its fault.

    An archive that would unpack to more than `ratio` times its own size is refused, unless it is small.
    """
    with _faults_named(path, ".npz file"), open(path, "rb") as file:
        start = file.read(6)
        if start == np.lib.format.MAGIC_PREFIX:
            raise DataError(f"{path} is a single array, not an .npz file")
        if start[:4] not in (b"PK\3\4", b"PK\5\6"):  # zipfile also takes an archive behind other bytes
            raise ValueError(f"it begins with {start!r}" if start else "it is empty")
        with zipfile.ZipFile(file) as archive:
            _check_entries(archive.infolist(), os.fstat(file.fileno()).st_size, ratio)
            arrays = {}
            for entry in archive.infolist():
                with archive.open(entry) as content:
                    name = f"entry {entry.filename!r}"
                    arrays[entry.filename.removesuffix(".npy")] = _read_array(content, entry.file_size, name)
            return arrays


def read_folder(path: str | Path) -> dict[str, NDArray[Any]]:
    """Read every ``.npy`` file of a folder (no pickle) by its name, or raise a `DataError` with the fault of one."""
    arrays = {}
    for file_path in sorted(Path(path).glob("*.npy")):
        with _faults_named(file_path, ".npy file"), open(file_path, "rb") as file:
            arrays[file_path.stem] = _read_array(file, os.fstat(file.fileno()).st_size, "a file")
    return arrays


@contextlib.contextmanager
def _faults_named(path: str | Path, kind: str) -> Iterator[None]:
    """Turn the errors of a damaged file into a `DataError` in one line."""
    try:
        yield
    except FileNotFoundError:
        raise DataError(f"{path} does not exist") from None
    except DataError:
        raise
    except _UNREADABLE as error:
        raise DataError(f"{path} is not a readable {kind}: {' '.join(str(error).split())}") from None


def _check_entries(entries: list[zipfile.ZipInfo], size: int, ratio: float) -> None:
    """Raise `ValueError` if NumPy did not write these entries, or if they would unpack to far more bytes."""
    names: set[str] = set()
    for entry in entries:
        if entry.filename in names:
            raise ValueError(f"entry {entry.filename!r} is there twice")
        names.add(entry.filename)
        if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ValueError(f"NumPy does not compress this way (entry {entry.filename!r})")
        if not entry.filename.endswith(".npy"):
            raise ValueError(f"entry {entry.filename!r} is not an array")
    unpacked = sum(entry.file_size for entry in entries)
    if unpacked > _SMALL + ratio * size:
        raise ValueError(f"its {size} bytes would unpack to {unpacked}")


def _read_array(file: Any, size: int, name: str) -> NDArray[Any]:
    """Read one array of so many bytes with its header, once the two agree."""
    with warnings.catch_warnings():
        # NumPy writes no header that Python warns about.
        warnings.simplefilter("error")
        version = np.lib.format.read_magic(file)
        if version not in _HEADERS:
            raise ValueError(f"{name} has an unknown version, {version}")
        shape, _, dtype = _HEADERS[version](file)
        if dtype.hasobject:
            raise ValueError(f"{name} holds pickled Python objects: save plain numbers or text")
        if min(shape, default=0) < 0 or file.tell() + math.prod(shape) * dtype.itemsize != size:
            raise ValueError(f"{name} of {size} bytes cannot hold {dtype} of shape {shape}")
        file.seek(0)
        array: NDArray[Any] = np.lib.format.read_array(file, allow_pickle=False)
        return array
