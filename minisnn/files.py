"""Files written whole or not at all, and .npz files read with every fault named."""

from __future__ import annotations

import os
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from .errors import DataError

# What zipfile, zlib and NumPy raise on files that are not what they say; a shape beyond memory among it.
_UNREADABLE = (
    OSError, ValueError, EOFError, KeyError, RuntimeError, MemoryError, OverflowError, struct.error,
    zipfile.BadZipFile, zlib.error,
)  # fmt: skip

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
            archive = np.load(file, allow_pickle=False)
            if not isinstance(archive, np.lib.npyio.NpzFile):
                raise DataError(f"{path} is a single array, not an .npz file")
            with archive:
                kinds = {entry.compress_type for entry in (archive.zip.infolist() if archive.zip else ())}
                if not kinds <= {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
                    raise DataError(f"{path} is not a readable .npz file: NumPy does not compress this way")
                arrays = {name: archive[name] for name in archive.files}
    except FileNotFoundError:
        raise DataError(f"{path} does not exist") from None
    except DataError:
        raise
    except _UNREADABLE as error:
        raise DataError(f"{path} is not a readable .npz file: {' '.join(str(error).split())}") from None
    for name, array in arrays.items():
        if not isinstance(array, np.ndarray):  # NumPy hands out the bytes of what is no .npy file
            raise DataError(f"{path} is not a readable .npz file: entry {name} is not an array")
    return arrays
