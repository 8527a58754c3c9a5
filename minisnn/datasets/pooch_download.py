"""Download of the image data sets by pooch (extra ``download``), which verifies their published checksums."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..errors import DataError, import_extra, one_line

__all__ = ["IMAGES", "download_images"]

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


def download_images(name: str, folder: Path) -> Path:
    """Fetch the four files of an image data set into `folder`, unless they are there already and right.

    The folder is made if need be. A file is moved there once it is whole and has the published checksum; `DataError` is
    raised if that does not succeed. The progress bar is on standard error.
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
