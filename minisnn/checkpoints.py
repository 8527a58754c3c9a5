"""The files that a run keeps in its folder: which they are, where the checkpoints lie, and how they are read."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from .errors import DataError
from .files import read_npz

__all__ = ["best_file", "checkpoint_file", "count", "is_kept", "read_checkpoint"]

Arrays = dict[str, NDArray[Any]]


def checkpoint_file(folder: Path) -> Path:
    """File with the state after the last finished epoch."""
    return folder / "checkpoint.npz"


def best_file(folder: Path, epoch: int) -> Path:
    """File with the parameters of an epoch that was the best so far."""
    return folder / f"best-{epoch}.npz"


def is_kept(file: Path) -> bool:
    """Whether a run, or a sweep, keeps a file of that name in its folder, and would be lost without it."""
    names = r"(config|sweep)\.json|metrics\.jsonl|(checkpoint|best-\d+)\.npz"
    return re.fullmatch(names, file.name) is not None


def read_checkpoint(folder: Path) -> tuple[Arrays, int, int]:
    """Arrays of the checkpoint, the last finished epoch, and the chosen one."""
    path = checkpoint_file(folder)
    if not path.exists():
        trainings = ", ".join(sorted(inside.parent.name for inside in folder.glob("*/checkpoint.npz")))
        hint = f"; give one of its trainings: {trainings}" if trainings else ""
        raise DataError(f"{folder} holds no finished epoch yet: it has no checkpoint.npz{hint}")
    arrays = read_npz(path)
    return arrays, count(arrays, "epoch", path), count(arrays, "chosen_epoch", path)


def count(arrays: Arrays, name: str, path: Path) -> int:
    """Entry `name` of the arrays of `path` as a whole number >= 1."""
    array = arrays.get(name)
    if array is None or array.dtype.kind not in "iu" or array.shape != () or array < 1:
        raise DataError(f"{path} is no training checkpoint: entry {name} must be a whole number >= 1")
    return int(array)
