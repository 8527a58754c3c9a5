"""The idx format of MNIST and Fashion-MNIST, gzipped or not, with every fault named."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError

__all__ = ["find_idx", "read_idx", "read_images"]

FILES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
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
        If the file is missing, not gzip where it should be, not idx, not of bytes, or longer or shorter than
        its header says.
    """
    path = Path(path)
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except FileNotFoundError:
        raise DataError(f"{path} does not exist") from None
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} cannot be read: {error}") from None
    if len(content) < 4 or content[:2] != b"\0\0":
        raise DataError(
            f"{path} is not an idx file: it must begin with two zero bytes, got {content[:4].hex() or 'nothing'}"
        )
    if content[2] != 0x08:
        raise DataError(f"{path} must hold unsigned bytes (type 08), got type {content[2]:02x}")
    n_axes = content[3]
    start = 4 + 4 * n_axes
    if n_axes == 0 or len(content) < start:
        raise DataError(f"{path} ends inside its header of {n_axes} axes ({len(content)} bytes)")
    shape = tuple(int.from_bytes(content[k : k + 4], "big") for k in range(4, start, 4))
    expected = start + int(np.prod(shape, dtype=object))
    if len(content) != expected:
        raise DataError(f"{path} must have {expected} bytes for its shape {shape}, got {len(content)}")
    return np.frombuffer(content, dtype=np.uint8, offset=start).reshape(shape)


def find_idx(folder: Path, name: str) -> Path | None:
    """File of that name in `folder`, as such or gzipped, with ``-`` or ``.`` before ``idx``."""
    for stem in (name, name.replace("-idx", ".idx")):
        for candidate in (folder / stem, folder / f"{stem}.gz"):
            if candidate.is_file():
                return candidate
    return None


def read_images(folder: Path, part: str) -> tuple[NDArray[np.uint8], NDArray[Any]]:
    """Images (samples, height, width) uint8 and labels (samples,) of one part, ``"train"`` or ``"test"``."""
    paths = [find_idx(folder, name) for name in FILES[part]]
    for path, name in zip(paths, FILES[part]):
        if path is None:
            raise DataError(f"{folder} has no file {name} or {name}.gz")
    images, labels = (read_idx(path) for path in paths if path is not None)
    if images.ndim != 3 or labels.ndim != 1:
        raise DataError(
            f"{paths[0]} and {paths[1]} must hold images (3 axes) and labels (1), got {images.ndim} and {labels.ndim}"
        )
    if len(images) != len(labels):
        raise DataError(f"{paths[0]} has {len(images)} images, but {paths[1]} has {len(labels)} labels")
    if not len(images):
        raise DataError(f"{paths[0]} holds no images")
    if labels.max() > 9:
        raise DataError(f"{paths[1]}: labels must lie in 0 ... 9, got {labels.max()}")
    return images, labels.astype(np.int64)
