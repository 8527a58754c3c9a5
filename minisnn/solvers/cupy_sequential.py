"""The stepping layer on the GPU, both kinds of neuron: the baseline that `cupy_parallel` is measured against.

Equal to `numpy_sequential` bit for bit on exact inputs, within the rounding bound elsewhere. The code stands in
`minisnn.solvers.cuda.stepping`. With NumPy arrays the results come back as NumPy arrays.
"""

from __future__ import annotations

from .cuda.device import load_cupy
from .cuda.stepping import SteppingSolver

solver = SteppingSolver("cupy-sequential", load_cupy())
