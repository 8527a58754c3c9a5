"""The idx format of MNIST and Fashion-MNIST, gzipped or not, with every fault named."""

from __future__ import annotations

import gzip
import hashlib
import math
import zlib
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from ..reading import check_within, checked_name

# A megabyte of a gzip file can unpack to a gigabyte, so sizes are limited and files read piece by piece.
_LARGEST = 2**31  # bytes; MNIST has 47 million, the largest of its relatives 550 million
_PIECE = 2**20
_MOST_AXES = 8

FILES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}

# The md5 of every unpacked file as published: both sets have files of the same names.
PUBLISHED = {
    "6bbc9ace898e44ae57da46a324031adb": ("mnist", "train-images-idx3-ubyte"),
    "a25bea736e30d166cdddb491f175f624": ("mnist", "train-labels-idx1-ubyte"),
    "2646ac647ad5339dbf082846283269ea": ("mnist", "t10k-images-idx3-ubyte"),
    "27ae3e4e09519cfbb04c329615203637": ("mnist", "t10k-labels-idx1-ubyte"),
    "f4a8712d7a061bf5bd6d2ca38dc4d50a": ("fashion-mnist", "train-images-idx3-ubyte"),
    "9018921c3c673c538a1fc5bad174d6f9": ("fashion-mnist", "train-labels-idx1-ubyte"),
    "8181f5470baa50b63fa0f6fddb340f0a": ("fashion-mnist", "t10k-images-idx3-ubyte"),
    "15d484375f8d13e6eb1aabb0c3f46965": ("fashion-mnist", "t10k-labels-idx1-ubyte"),
}


def read_idx(path: str | Path) -> NDArray[np.uint8]:
    """Read an idx file of bytes.

    Parameters
    ----------
    path : path
        The file; read through gzip if its name ends in ``.gz``.

    Returns
    -------
    array : uint8, of the shape in the file's header

    Raises
    ------
    DataError
        If the file is missing, not gzip although its name says so, not idx, not of bytes, or does not have the
        length that its header gives.
    """
    path = Path(path)
    try:
        with gzip.open(path) if path.suffix == ".gz" else open(path, "rb") as file:
            shape, content = _read(file)
    except FileNotFoundError:
        raise DataError(f"{path} does not exist") from None
    except DataError as error:
        raise DataError(f"{path} {error}") from None
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} cannot be read: {error}") from None
    return np.frombuffer(content, dtype=np.uint8).reshape(shape)


def _read(file: BinaryIO | gzip.GzipFile) -> tuple[tuple[int, ...], bytearray]:
    """Shape and bytes of an open idx file; errors go on from the file's name."""
    start = file.read(4)
    if len(start) < 4 or start[:2] != b"\0\0":
        raise DataError(
            f"is not an idx file: it must begin with two zero bytes, got {start.hex() or 'nothing'}"
        )
    if start[2] != 0x08:
        raise DataError(f"must hold unsigned bytes (type 08), got type {start[2]:02x}")
    n_axes = start[3]
    if n_axes > _MOST_AXES:
        raise DataError(f"must have at most {_MOST_AXES} axes, got {n_axes}")
    header = file.read(4 * n_axes)
    if n_axes == 0 or len(header) < 4 * n_axes:
        raise DataError(f"ends inside its header of {n_axes} axes ({4 + len(header)} bytes)")
    shape = tuple(int.from_bytes(header[k : k + 4], "big") for k in range(0, len(header), 4))
    # NumPy wants the product of the other axes in range even if one is empty.
    if math.prod(n for n in shape if n) > _LARGEST:
        raise DataError(f"must have at most {_LARGEST} bytes, got the shape {shape}")
    size, content = math.prod(shape), bytearray()
    while len(content) <= size and (piece := file.read(min(_PIECE, size + 1 - len(content)))):
        content += piece
    if len(content) != size:
        before = len(start) + len(header)
        came = f"{before + len(content)}{' or more' if len(content) > size else ''}"
        raise DataError(f"must have {before + size} bytes for its shape {shape}, got {came}")
    return shape, content


def find_idx(folder: Path, name: str) -> Path | None:
    """File of that name in `folder`, as such or gzipped, with ``-`` or ``.`` before ``idx``."""
    for stem in (name, name.replace("-idx", ".idx")):
        for candidate in (folder / stem, folder / f"{stem}.gz"):
            if candidate.is_file():
                return candidate
    return None


def _check_origin(path: Path, content: NDArray[np.uint8], name: str, file: str) -> None:
    """Raise `DataError` if the content is published as another file than `file` of the data set `name`."""
    header = np.array([0x0800 + content.ndim, *content.shape], dtype=">u4").tobytes()
    digest = hashlib.md5(header, usedforsecurity=False)
    digest.update(content.data)
    origin = PUBLISHED.get(digest.hexdigest(), (name, file))
    if origin != (name, file):
        raise DataError(
            f"{path} must be {file} of {name}, but by its published checksum it is {origin[1]} of {origin[0]}: "
            f"put the files of {name} into a folder of their own"
        )


def check_labels(folder: Path, name: str) -> None:
    """Raise `DataError` if a file of labels (small enough to look into) is published as that of another data set."""
    for _, file in FILES.values():
        path = find_idx(folder, file)
        if path is None:
            continue
        try:
            labels = read_idx(path)
        except DataError:  # reported when the data set is read
            continue
        _check_origin(path, labels, name, file)


def read_images(
    folder: str | Path, part: str, name: str | None = None
) -> tuple[NDArray[np.uint8], NDArray[Any]]:
    """Images (samples, height, width) uint8 and labels (samples,) of one part, ``"train"`` or ``"test"``.

    With the `name` of a data set, files that are published as those of another are refused.
    """
    folder, paths, contents = Path(folder), [], []
    for file in FILES[checked_name("part", part, FILES)]:
        path = find_idx(folder, file)
        if path is None:
            raise DataError(f"{folder} has no file {file} or {file}.gz")
        content = read_idx(path)
        if name is not None:
            _check_origin(path, content, name, file)
        paths.append(path)
        contents.append(content)
    images, labels = contents
    if images.ndim != 3 or labels.ndim != 1:
        raise DataError(
            f"{paths[0]} and {paths[1]} must hold images (3 axes) and labels (1), got {images.ndim} and {labels.ndim}"
        )
    if len(images) != len(labels):
        raise DataError(f"{paths[0]} has {len(images)} images, but {paths[1]} has {len(labels)} labels")
    if not images.size:
        raise DataError(f"{paths[0]} holds no images: its shape is {images.shape}")
    check_within(f"{paths[1]}: labels", labels, 10, error=DataError)
    return images, labels.astype(np.int64)
