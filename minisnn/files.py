"""Files written whole or not at all, and .npz files read with every fault named."""

from __future__ import annotations

import math
import os
import struct
import tempfile
import tokenize
import warnings
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from .errors import DataError

# What zipfile, zlib and NumPy raise on files that are not what they say; NumPy's reader of headers, which
# evaluates a Python literal, has a long list of its own.
_UNREADABLE = (
    OSError, ValueError, EOFError, LookupError, RuntimeError, MemoryError, OverflowError, struct.error,
    zipfile.BadZipFile, zlib.error, TypeError, SyntaxError, AttributeError, tokenize.TokenError, Warning,
)  # fmt: skip

_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}

# An archive may unpack to so many bytes, and to so many times its own size: zeros compress 1000 to 1, and a
# file made to fill the memory looks like them.
_SMALL, _RATIO = 2**24, 100

__all__ = ["read_npz", "write_atomically", "write_npz", "write_text"]


def write_atomically(path: str | Path, write: Callable[[BinaryIO], object]) -> None:
    """Call `write` on a temporary file beside `path`, then move it there: readers see the old file or the new.

    Raises
    ------
    OSError
        If the folder cannot be written or the disk is full; the old file is then untouched.
    """
    path = Path(path)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _umask() -> int:
    """Permission mask of the process (it can be read only by setting it)."""
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def write_text(path: str | Path, text: str) -> None:
    """Write `text` as UTF-8, whole or not at all."""
    write_atomically(path, lambda file: file.write(text.encode()))


def write_npz(path: str | Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write named arrays as ``.npz`` without pickle, whole or not at all; equal arrays give equal bytes."""

    def write(file: BinaryIO) -> None:
        # numpy.savez learned to refuse pickle after NumPy 2.0; the format is a zip of .npy files, without dates.
        with zipfile.ZipFile(file, "w") as archive:
            for name, array in arrays.items():
                with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as entry:
                    np.lib.format.write_array(entry, np.asanyarray(array), allow_pickle=False)

    write_atomically(path, write)


def read_npz(path: str | Path) -> dict[str, NDArray[Any]]:
    """Read every array of an ``.npz`` file (no pickle), or raise `DataError` naming the file and what is wrong."""
    try:
        with open(path, "rb") as file:
            start = file.read(6)
            if start == np.lib.format.MAGIC_PREFIX:
                raise DataError(f"{path} is a single array, not an .npz file")
            if start[:4] not in (b"PK\3\4", b"PK\5\6"):  # zipfile also takes an archive behind other bytes
                raise DataError(
                    f"{path} is not a readable .npz file: it begins with {start.hex() or 'nothing'}"
                )
            with zipfile.ZipFile(file) as archive:
                _check_entries(archive.infolist(), os.fstat(file.fileno()).st_size)
                return {e.filename.removesuffix(".npy"): _read_array(archive, e) for e in archive.infolist()}
    except FileNotFoundError:
        raise DataError(f"{path} does not exist") from None
    except DataError:
        raise
    except _UNREADABLE as error:
        raise DataError(f"{path} is not a readable .npz file: {' '.join(str(error).split())}") from None


def _check_entries(entries: list[zipfile.ZipInfo], size: int) -> None:
    """Raise `ValueError` for what no .npz file has, and for one that would unpack to far more than it is."""
    for entry in entries:
        if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ValueError(f"NumPy does not compress this way (entry {entry.filename!r})")
        if not entry.filename.endswith(".npy"):
            raise ValueError(f"entry {entry.filename!r} is not an array")
    unpacked = sum(entry.file_size for entry in entries)
    if unpacked > _SMALL + _RATIO * size:
        raise ValueError(f"its {size} bytes would unpack to {unpacked}")


def _read_array(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> NDArray[Any]:
    """Read one array, once its header and the size of its entry agree."""
    with archive.open(entry) as file, warnings.catch_warnings():
        # A header that Python would only warn about was not written by NumPy.
        warnings.simplefilter("error")
        version = np.lib.format.read_magic(file)
        if version not in _HEADERS:
            raise ValueError(f"entry {entry.filename!r} has an unknown version, {version}")
        shape, _, dtype = _HEADERS[version](file)
        if min(shape, default=0) < 0 or file.tell() + math.prod(shape) * dtype.itemsize != entry.file_size:
            raise ValueError(
                f"entry {entry.filename!r} of {entry.file_size} bytes cannot hold {dtype} of shape {shape}"
            )
        file.seek(0)
        array: NDArray[Any] = np.lib.format.read_array(file, allow_pickle=False)
        return array
