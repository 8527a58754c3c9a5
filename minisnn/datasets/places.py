"""The folder with the files of a data set: the one given, one in ``MINISNN_DATA``, or one in the cache."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from ..errors import DataError
from ..reading import checked_name
from . import nmnist, shd
from .cache import cache_folder
from .idx import FILES as IDX_FILES
from .idx import check_labels, find_idx
from .pooch_download import IMAGES, download_images
from .tonic_bridge import TONIC_CLASSES, download_with_tonic

__all__ = ["NAMES", "download", "find"]

NAMES = ("yin-yang", "mnist", "fashion-mnist", "nmnist", "shd")

_IDX = [file for part in IDX_FILES.values() for file in part]
_SOURCES = {
    "mnist": "the four idx files of MNIST, from http://yann.lecun.com/exdb/mnist or a mirror",
    "fashion-mnist": "the four idx files of Fashion-MNIST, from https://github.com/zalandoresearch/fashion-mnist",
    "nmnist": "N-MNIST, from https://www.garrickorchard.com/datasets/n-mnist",
    "shd": "Spiking Heidelberg Digits, from https://zenkelab.org/datasets",
}
# The folders that torchvision and tonic make, named after their classes.
_CLASSES = {"mnist": "MNIST", "fashion-mnist": "FashionMNIST"} | TONIC_CLASSES
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
        Images come by pooch (extra ``download``), recordings by tonic (extra ``data``).
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
    return download_images(name, place) if name in IMAGES else download_with_tonic(name, place)
