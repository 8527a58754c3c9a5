"""Whole spike trains on the GPU, fused: a thread per (sample, neuron).

Equal to `numpy_sequential` bit for bit on exact inputs, within the rounding bound elsewhere. The kernels stand in
`minisnn.solvers.cuda.kernels`, the code that launches them in `minisnn.solvers.cuda.host`. Arrays stay on the device
if the parameters are there; with NumPy arrays the results come back as NumPy arrays.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from .cuda import kernels
from .cuda.device import load_cupy
from .cuda.host import FusedSolver

cupy = load_cupy()


@cache
def _module(dtype: str) -> Any:
    return cupy.RawModule(code=kernels.source(dtype), options=kernels.OPTIONS)


@cache
def _kernel(name: str, dtype: str) -> Any:
    return _module(dtype).get_function(name)


def _launch(name: str, dtype: Any, n_threads: int, arguments: tuple[Any, ...]) -> None:
    # A bare int would be passed as 64 bits; the kernels take int.
    typed = tuple(np.int32(a) if type(a) is int else a for a in arguments)
    _kernel(name, str(dtype))((-(-n_threads // kernels.THREADS),), (kernels.THREADS,), typed)


solver = FusedSolver("cupy-parallel", cupy, _launch)
