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

__all__ = [
    "adam_update",
    "next_input",
    "readout_backward",
    "readout_forward",
    "single_spike_backward",
    "single_spike_forward",
    "synchronise",
    "to_device",
    "to_host",
]

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


_solver = FusedSolver(cupy, _launch)
next_input = _solver.next_input
single_spike_forward = _solver.single_spike_forward
single_spike_backward = _solver.single_spike_backward
readout_forward = _solver.readout_forward
readout_backward = _solver.readout_backward
adam_update = _solver.adam_update
to_device = _solver.to_device
to_host = _solver.to_host
synchronise = _solver.synchronise
