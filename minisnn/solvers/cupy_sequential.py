"""The stepping layer on the GPU, both kinds of neuron: the baseline that `cupy_parallel` is measured against.

Equal to `numpy_sequential` bit for bit on exact inputs, within the rounding bound elsewhere. The code stands in
`minisnn.solvers.cuda.stepping`. With NumPy arrays the results come back as NumPy arrays.
"""

from __future__ import annotations

from .cuda.device import load_cupy
from .cuda.stepping import SteppingSolver

__all__ = [
    "multi_spike_backward",
    "multi_spike_forward",
    "next_input",
    "readout_backward",
    "readout_forward",
    "single_spike_backward",
    "single_spike_forward",
    "synchronise",
    "to_device",
    "to_host",
]

_solver = SteppingSolver(load_cupy())
next_input = _solver.next_input
single_spike_forward = _solver.single_spike_forward
single_spike_backward = _solver.single_spike_backward
multi_spike_forward = _solver.multi_spike_forward
multi_spike_backward = _solver.multi_spike_backward
readout_forward = _solver.readout_forward
readout_backward = _solver.readout_backward
to_device = _solver.to_device
to_host = _solver.to_host
synchronise = _solver.synchronise
