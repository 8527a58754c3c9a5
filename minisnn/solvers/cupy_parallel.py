"""Whole spike trains on the GPU, fused: a thread per (sample, neuron).

Equal to `numpy_sequential` bit for bit on exact inputs, within the rounding bound elsewhere. The kernels stand in
`minisnn.solvers.cuda.kernels`, what launches them in `minisnn.solvers.cuda.host`. Arrays stay on the device.
"""

from __future__ import annotations

from functools import cache
from typing import Any

try:
    import cupy
except ImportError as error:
    raise ImportError("CuPy is missing: install minisnn[gpu-cuda12] or minisnn[gpu-cuda13]") from error

from .cuda import kernels
from .cuda.host import FusedSolver

if not cupy.cuda.is_available():
    raise ImportError("CuPy is installed but finds no CUDA device: check the driver with nvidia-smi")

NEURONS = ("single-spike",)


@cache
def _kernel(name: str, dtype: str) -> Any:
    return cupy.RawModule(code=kernels.source(dtype), options=kernels.OPTIONS).get_function(name)


def _launch(name: str, dtype: Any, n_threads: int, arguments: tuple[Any, ...]) -> None:
    # A bare int would be passed as 64 bits; the kernels take int.
    typed = tuple(cupy.int32(a) if type(a) is int else a for a in arguments)
    _kernel(name, str(dtype))((-(-n_threads // kernels.THREADS),), (kernels.THREADS,), typed)


_solver = FusedSolver(cupy, _launch)
next_input = _solver.next_input
input_current_backward = _solver.input_current_backward
single_spike_forward = _solver.single_spike_forward
single_spike_backward = _solver.single_spike_backward
readout_forward = _solver.readout_forward
readout_backward = _solver.readout_backward
adam_update = _solver.adam_update
to_device = _solver.to_device
to_host = cupy.asnumpy
