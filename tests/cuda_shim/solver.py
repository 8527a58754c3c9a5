"""The GPU solver on the CPU: its host code with NumPy, its kernels compiled as C++ and run thread by thread."""

import ctypes
import re
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

import numpy as np

from minisnn.solvers.cuda import kernels
from minisnn.solvers.cuda.host import FusedSolver

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


def launch(name, dtype, n_threads, arguments):
    blocks = -(-n_threads // kernels.THREADS)
    sizes = ctypes.c_longlong(blocks), ctypes.c_longlong(kernels.THREADS)
    getattr(library(str(dtype)), f"run_{name}")(*sizes, *map(c_argument, arguments))


class NanFilled:
    """NumPy, but what it leaves uninitialised is NaN, so that a cell nobody wrote is seen."""

    def __getattr__(self, name):
        return getattr(np, name)

    @staticmethod
    def empty(shape, dtype):
        return np.full(shape, np.nan if np.dtype(dtype).kind == "f" else -1, dtype)

    @classmethod
    def empty_like(cls, array):
        return cls.empty(array.shape, array.dtype)


_solver = FusedSolver(NanFilled(), np.asarray, launch)
next_input = _solver.next_input
single_spike_forward = _solver.single_spike_forward
single_spike_backward = _solver.single_spike_backward
readout_forward = _solver.readout_forward
readout_backward = _solver.readout_backward
adam_update = _solver.adam_update
