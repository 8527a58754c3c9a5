"""Buffers that a training loop owns and lends to the solver, so that large arrays are allocated once."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

_LINE = 64  # bytes


class Workspace:
    """Named buffers, made when first asked for and handed out again afterwards.

    The content of a buffer is undefined when it is handed out. Results that live in buffers are valid until
    the next call that gets the same workspace.

    Examples
    --------
    >>> workspace = Workspace()
    >>> first = workspace.part("hidden1").array("potential", (2, 3), np.float32)
    >>> workspace.part("hidden1").array("potential", (2, 3), np.float32) is first
    True
    """

    def __init__(self) -> None:
        self._parts: dict[str, Workspace] = {}
        self._blocks: dict[str, NDArray[Any]] = {}
        self._arrays: dict[str, NDArray[Any]] = {}

    def part(self, name: str) -> Workspace:
        """Return the workspace of one layer, or of one thread."""
        return self._parts.setdefault(name, Workspace())

    def array(self, name: str, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        """Return an array of that shape and dtype in the buffer `name`, grown if it is too small."""
        array = self._arrays.get(name)
        if array is not None and array.shape == shape and array.dtype == dtype:
            return array
        n_bytes = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
        block = self._blocks.get(name)
        if block is None or block.size < n_bytes:
            # From the start of a cache line on: vector loads that cross lines cost a sixth of the speed.
            room = np.empty(n_bytes + _LINE, dtype=np.uint8)
            start = -room.ctypes.data % _LINE
            self._blocks[name] = block = room[start : start + n_bytes]
        self._arrays[name] = array = block[:n_bytes].view(dtype).reshape(shape)
        return array


def part(workspace: Workspace | None, name: str) -> Workspace | None:
    """The workspace of one layer, or of one thread; none of none."""
    return None if workspace is None else workspace.part(name)


def buffer(workspace: Workspace | None, name: str, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
    """Return an uninitialised array: from the workspace if there is one, freshly allocated otherwise."""
    return (Workspace() if workspace is None else workspace).array(name, shape, dtype)
