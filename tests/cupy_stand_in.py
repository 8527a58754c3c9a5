"""A stand-in for CuPy on the CPU: NumPy's functions, the kernels, and CuPy's refusals.

The kernels are compiled as C++ and run thread by thread.
Its arrays are a type of their own. Mixing them with NumPy arrays is a TypeError, as it is in CuPy, so that a
missing transfer is seen without a GPU; what is left uninitialised is NaN. It cannot notice `np.asarray` of one.
"""

import ctypes
import re
import shutil
import subprocess
import sys
import tempfile
import types
from contextlib import contextmanager
from functools import cache
from importlib.machinery import ModuleSpec
from pathlib import Path

import array_api_compat
import numpy as np

from minisnn import solvers
from minisnn.solvers.cuda import kernels

SHIM = """
#include <cmath>
using std::sqrt;
#define __global__
static struct { long long x; } blockIdx, blockDim, threadIdx;
"""

COMPILER = shutil.which("g++")


def with_loops(source):
    """Every kernel and, after it, ``run_<kernel>``, which runs it for every block and thread."""
    wrappers = []
    for name, parameters in re.findall(r'extern "C" __global__ void (\w+)\(([^)]*)\)', source):
        arguments = ", ".join(re.findall(r"(\w+)\s*(?:,|$)", parameters.strip()))
        wrappers.append(
            f'extern "C" void run_{name}(long long blocks, long long threads, {parameters}) {{\n'
            "  blockDim.x = threads;\n"
            "  for (blockIdx.x = 0; blockIdx.x < blocks; ++blockIdx.x)\n"
            f"    for (threadIdx.x = 0; threadIdx.x < threads; ++threadIdx.x) {name}({arguments});\n}}\n"
        )
    return SHIM + source + "".join(wrappers)


@cache
def library(dtype):
    with tempfile.TemporaryDirectory() as folder:
        code, built = Path(folder, "kernels.cpp"), Path(folder, "kernels.so")
        code.write_text(with_loops(kernels.source(dtype)))
        flags = ["-O1", "-ffp-contract=off", "-Wall", "-Wno-unknown-pragmas", "-shared", "-fPIC"]
        subprocess.run([COMPILER, *flags, str(code), "-o", str(built)], check=True)
        return ctypes.CDLL(str(built))


def c_argument(value):
    if isinstance(value, np.ndarray):
        assert value.flags.c_contiguous
        return ctypes.c_void_p(value.ctypes.data)
    kinds = {np.float32: ctypes.c_float, np.float64: ctypes.c_double, np.int64: ctypes.c_longlong}
    return kinds.get(type(value), ctypes.c_int)(value)


def lower(value):
    """Views as NumPy arrays, for NumPy to work on; a host array is refused."""
    if isinstance(value, DeviceArray):
        return value.view(np.ndarray)
    if isinstance(value, np.ndarray):
        raise TypeError("Unsupported type <class 'numpy.ndarray'>")
    if isinstance(value, (tuple, list)):
        return type(value)(map(lower, value))
    return value


def lift(value):
    if isinstance(value, tuple):
        return tuple(map(lift, value))
    return np.asarray(value).view(DeviceArray) if isinstance(value, (np.ndarray, np.generic)) else value


class DeviceArray(np.ndarray):
    def __array_ufunc__(self, ufunc, method, *inputs, out=None, **options):
        if out is not None:
            options["out"] = lower(out)
        result = getattr(ufunc, method)(*map(lower, inputs), **options)
        return lift(result) if out is None else out[0]

    def __array_function__(self, function, types, arguments, options):
        return on_device(function)(*arguments, **options)

    def __setitem__(self, key, value):
        super().__setitem__(key, lower(value))


def on_device(function):
    def run(*arguments, **options):
        options.pop("device", None)
        return lift(function(*map(lower, arguments), **{k: lower(v) for k, v in options.items()}))

    return run


class Kernel:
    """A kernel as CuPy calls it: grid, block, arguments whose C types must be those of its parameters."""

    def __init__(self, name, dtype):
        self.name, self.dtype = name, dtype

    def __call__(self, grid, block, arguments):
        for argument in arguments:
            assert isinstance(argument, (DeviceArray, np.int32, np.int64, np.float32, np.float64)), argument
        sizes = ctypes.c_longlong(grid[0]), ctypes.c_longlong(block[0])
        getattr(library(self.dtype), f"run_{self.name}")(*sizes, *map(c_argument, arguments))


class RawModule:
    def __init__(self, code, options):
        assert options == kernels.OPTIONS
        self.dtype = next(d for d in ("float32", "float64") if kernels.source(d) == code)

    def get_function(self, name):
        return Kernel(name, self.dtype)


class StandIn(types.ModuleType):
    ndarray = DeviceArray
    RawModule = RawModule
    cuda = types.SimpleNamespace(
        is_available=lambda: True,
        Device=lambda: types.SimpleNamespace(synchronize=lambda: None),
        runtime=types.SimpleNamespace(getDeviceProperties=lambda k: {"name": b"stand-in"}),
    )

    def __init__(self):
        super().__init__("cupy")
        self.__spec__ = ModuleSpec("cupy", None)

    def __getattr__(self, name):
        value = getattr(np, name)
        return value if isinstance(value, type) or not callable(value) else on_device(value)

    @staticmethod
    def asarray(values, dtype=None, order=None, device=None):
        # A copy, as a transfer is, so that writing to it cannot reach the host array.
        return values if isinstance(values, DeviceArray) else lift(np.array(values, dtype, order=order))

    @staticmethod
    def asnumpy(values):
        return np.array(values.view(np.ndarray))

    @staticmethod
    def empty(shape, dtype):
        return lift(np.full(shape, np.nan if np.dtype(dtype).kind == "f" else -1, dtype))

    @classmethod
    def empty_like(cls, array):
        return cls.empty(array.shape, array.dtype)


@contextmanager
def installed():
    """Let minisnn find the stand-in as CuPy within the block."""
    module, namespace_of = StandIn(), array_api_compat.array_namespace

    def namespace(*values):
        return module if any(isinstance(value, DeviceArray) for value in values) else namespace_of(*values)

    names = ["cupy", "minisnn.solvers.cupy_parallel", "minisnn.solvers.cupy_sequential"]
    before = {name: sys.modules.pop(name) for name in names if name in sys.modules}
    solvers._module.cache_clear()  # which keeps modules that were found, here and when the stand-in has gone
    sys.modules["cupy"] = module
    array_api_compat.array_namespace = namespace
    try:
        yield module
    finally:
        array_api_compat.array_namespace = namespace_of
        for name in names:
            sys.modules.pop(name, None)
        sys.modules.update(before)
        solvers._module.cache_clear()
