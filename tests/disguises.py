"""The same numbers in other clothes: dtype, byte order, layout, writability, owner and container of an array."""

import tempfile
from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st

LAYOUTS = ("C", "F", "transposed", "reversed", "strided", "offset", "unaligned")
HOLDERS = ("array", "read-only", "mapped", "subclass", "duck", "tensor")
RASTER_DTYPES = ("?", "u1", "i1", "u2", "i4", "u8", "i8", "f2", "f4", "f8", "g")
INTEGER_DTYPES = ("i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8")


class Tagged(np.ndarray):
    """A subclass, as many libraries have one."""


class Duck:
    """What NumPy can read, and nothing else."""

    def __init__(self, array):
        self.array = array

    def __array__(self, dtype=None, copy=None):
        return np.array(self.array, dtype=dtype)


class Tensor(Duck):
    """As a tensor that requires gradients on a device: to be detached and fetched before it is read."""

    ready = False

    @property
    def dtype(self):
        return self.array.dtype

    def detach(self):
        return self

    def cpu(self):
        fetched = Tensor(self.array)
        fetched.ready = True
        return fetched

    def __array__(self, dtype=None, copy=None):
        if not self.ready:
            raise RuntimeError("this tensor is on a device and requires gradients")
        return super().__array__(dtype, copy)


@dataclass
class Disguise:
    """How an array is to be handed over."""

    dtype: str | None  # None: its own
    swapped: bool
    layout: str
    holder: str

    def __call__(self, array):
        """`array` in these clothes, and a function that shows that nothing in memory was changed."""
        array = np.asarray(array)
        dtype = np.dtype(self.dtype or array.dtype)
        base, dressed = _laid_out(
            array.astype(dtype.newbyteorder("S") if self.swapped else dtype), self.layout
        )
        before = base.tobytes()

        def unchanged():
            return base.tobytes() == before

        return _held(dressed, self.holder), unchanged


def _laid_out(array, layout):
    """The memory and, in it, an array of equal values; what lies between its elements is 77 or True."""
    if layout == "C" or (array.ndim == 0 and layout in ("F", "transposed", "reversed", "strided")):
        return array, array
    if layout == "F":
        array = np.asfortranarray(array)
        return array, array
    if layout == "transposed":
        base = np.ascontiguousarray(array.T)
        return base, base.T
    if layout == "reversed":
        base = np.ascontiguousarray(array[..., ::-1])
        return base, base[..., ::-1]
    if layout == "strided":
        base = np.full((*array.shape[:-1], array.shape[-1] * 2), 77).astype(array.dtype)
        base[..., ::2] = array
        return base, base[..., ::2]
    gap = array.dtype.itemsize if layout == "offset" else 1
    base = np.full(array.nbytes + gap + 16, 77, np.uint8)
    dressed = base[gap : gap + array.nbytes].view(array.dtype).reshape(array.shape)
    dressed[...] = array
    return base, dressed


def _held(array, holder):
    if holder == "read-only":
        array = array.view()
        array.flags.writeable = False
        return array
    if holder == "mapped" and array.size:
        with tempfile.TemporaryFile() as file:
            file.write(array.tobytes())
            file.flush()
            return np.memmap(file, array.dtype, "r", shape=array.shape)
    return {
        "subclass": lambda: array.view(Tagged),
        "duck": lambda: Duck(array),
        "tensor": lambda: Tensor(array),
    }.get(holder, lambda: array)()


def disguises(dtypes=(None,)):
    """Draw a `Disguise`, with one of `dtypes`."""
    return st.builds(
        Disguise, st.sampled_from(dtypes), st.booleans(), st.sampled_from(LAYOUTS), st.sampled_from(HOLDERS)
    )
