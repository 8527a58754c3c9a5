"""The folder with the files of a data set, and how they get there.

It is the one given, one in ``MINISNN_DATA``, or one in the cache. Images are downloaded by pooch (extra ``download``),
recordings by tonic (extra ``data``); both verify published checksums.
"""

from __future__ import annotations

import http.client
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ..errors import DataError, import_extra, one_line
from ..reading import checked_name
from . import nmnist, shd
from .cache import cache_folder
from .idx import FILES as IDX_FILES
from .idx import check_labels, find_idx

NAMES = ("yin-yang", "mnist", "fashion-mnist", "nmnist", "shd")

# Base address, and the md5 of every file as published with the data set.
IMAGES = {
    "mnist": (
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        {
            "train-images-idx3-ubyte.gz": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
            "train-labels-idx1-ubyte.gz": "d53e105ee54ea40749a09fcbcd1e9432",
            "t10k-images-idx3-ubyte.gz": "9fb629c4189551a2d022fa330f9573f3",
            "t10k-labels-idx1-ubyte.gz": "ec29112dd5afa0611ce80d1b7f02629c",
        },
    ),
    "fashion-mnist": (
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        {
            "train-images-idx3-ubyte.gz": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
            "train-labels-idx1-ubyte.gz": "25c81989df183df01b3e8a0aad5dffbe",
            "t10k-images-idx3-ubyte.gz": "bef4ecab320f06d8554ea6380940ec79",
            "t10k-labels-idx1-ubyte.gz": "bb300cfdad3c16e7a12a480ee83cd310",
        },
    ),
}
_IDX = [file for part in IDX_FILES.values() for file in part]
_SOURCES = {
    "mnist": "the four idx files of MNIST, from http://yann.lecun.com/exdb/mnist or a mirror",
    "fashion-mnist": "the four idx files of Fashion-MNIST, from https://github.com/zalandoresearch/fashion-mnist",
    "nmnist": "N-MNIST, from https://www.garrickorchard.com/datasets/n-mnist",
    "shd": "Spiking Heidelberg Digits, from https://zenkelab.org/datasets",
}
# The folders that torchvision and tonic make, named after their classes.
_CLASSES = {"mnist": "MNIST", "fashion-mnist": "FashionMNIST", "nmnist": "NMNIST", "shd": "SHD"}
_WANTED = dict.fromkeys(IMAGES, f"{', '.join(_IDX)} (.gz or not)") | {
    "nmnist": "Train/<digit>/<number>.bin and Test/<digit>/<number>.bin",
    "shd": " and ".join(shd.FILES.values()),
}
# Which files or folders of a data set a folder has. One is enough to recognise the data set, all make it complete.
_HAS: dict[str, Callable[[Path], list[bool]]] = {
    **dict.fromkeys(IMAGES, lambda folder: [find_idx(folder, file) is not None for file in _IDX]),
    "nmnist": lambda folder: [(folder / part).is_dir() for part in nmnist.PARTS.values()],
    "shd": lambda folder: [(folder / file).is_file() for file in shd.FILES.values()],
}


def _given(data_dir: str | Path | None) -> str | Path | None:
    return data_dir if data_dir is not None else os.environ.get("MINISNN_DATA")


def _candidates(name: str, data_dir: str | Path | None) -> Iterator[Path]:
    """Folders that may have files of the data set, in the order of the search."""
    given = _given(data_dir)
    places = [given, cache_folder() if data_dir is None else None]
    for place in [Path(place) for place in places if place is not None]:
        for folder in (place / name, place, place / name / _CLASSES[name], place / _CLASSES[name]):
            yield folder
            yield folder / "raw"  # as torchvision makes it


def _look(name: str, data_dir: str | Path | None) -> Path | None:
    """Folder with files of the data set, or None; `DataError` if the only ones found are of another data set."""
    foreign = None
    for folder in _candidates(name, data_dir):
        if folder.is_dir() and any(_HAS[name](folder)):
            try:
                if name in IMAGES:
                    check_labels(folder, name)
                return folder
            except DataError as error:
                foreign = foreign or error
    if foreign is not None:
        raise foreign
    return None


def find(name: str, data_dir: str | Path | None = None) -> Path:
    """Folder with the files of a data set.

    Parameters
    ----------
    name : {"mnist", "fashion-mnist", "nmnist", "shd"}
        The data set.
    data_dir : path, optional
        Its folder, or the parent of that folder (or of torchvision's ``MNIST/raw`` and ``FashionMNIST/raw``);
        without it the environment variable ``MINISNN_DATA``, then the cache, which has the downloads.

    Raises
    ------
    DataError
        If no such folder has the files; the error names them and their source. Also if the labels found are
        published as those of another data set.
    """
    name = checked_name("data set with files", name, _HAS)
    found = _look(name, data_dir)
    if found is not None:
        return found
    given = _given(data_dir)
    advice = f"put {_WANTED[name]} there: {_SOURCES[name]}"
    if given is None:
        raise DataError(
            f"no folder for {name}: give --data-dir DIR or set MINISNN_DATA, and {advice}; "
            f"or let --download fetch it into {cache_folder() or 'the folder MINISNN_CACHE'}"
        )
    raise DataError(f"no {name} files in {given}: {advice}")


def download(name: str, data_dir: str | Path | None = None) -> Path:
    """Download a data set, unless both of its parts are there; returns its folder.

    Parameters
    ----------
    name : {"mnist", "fashion-mnist", "nmnist", "shd"}
        Its name; the extra ``download`` (images) or ``data`` is needed.
    data_dir : path, optional
        Folder in which `find` looks first, and for the files; without it the cache.
    """
    name = checked_name("data set to download", name, _HAS)
    folder = _look(name, data_dir)
    if folder is not None and all(_HAS[name](folder)):  # an interrupted download leaves only some
        return folder
    parent = cache_folder() if data_dir is None else Path(data_dir)
    if parent is None:
        raise DataError(f"no home folder to download {name} to: give --data-dir DIR or set MINISNN_CACHE")
    place = parent / name
    return _download_images(name, place) if name in IMAGES else _download_with_tonic(name, place)


def _download_images(name: str, folder: Path) -> Path:
    """Let pooch fetch the four files of an image data set, unless they are there already and right.

    A file is moved there once it is whole and has the published checksum. The progress bar is on standard error.
    """
    pooch = import_extra("pooch", "pooch", "download", f"downloads {name}")
    base, checksums = IMAGES[name]
    store: Any = pooch.create(
        path=folder, base_url=base, registry={file: f"md5:{md5}" for file, md5 in checksums.items()}
    )
    for file in checksums:
        try:
            store.fetch(file, progressbar=True)
        except (OSError, ValueError, RuntimeError) as error:
            # Requests derives its errors from OSError; pooch raises ValueError for a wrong checksum.
            raise DataError(
                f"{file} of {name} could not be fetched from {base}: {one_line(error)}; "
                f"put the files of the data set into {folder} instead"
            ) from None
    return folder


def _download_with_tonic(name: str, folder: Path) -> Path:
    """Let tonic download and verify a data set into `folder`; returns the folder of its files."""
    tonic_datasets = import_extra("tonic", "tonic", "data", f"downloads {name}").datasets
    folder.mkdir(parents=True, exist_ok=True)
    for train in (True, False):
        try:
            getattr(tonic_datasets, _CLASSES[name])(save_to=str(folder), train=train)
        except (OSError, RuntimeError, http.client.HTTPException) as error:
            raise DataError(f"{name} could not be downloaded to {folder}: {one_line(error)}") from None
    return folder / _CLASSES[name]
