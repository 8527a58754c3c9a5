"""Single-spike spiking neural networks you can read, run fast on a CPU, and trust as an oracle.

Read `minisnn.model` first: it holds the equations, with their labels and the names they have in the code.
"""

from . import solvers
from .layers import multi_spike_backward, multi_spike_forward, single_spike_backward, single_spike_forward
from .model import Gradients, ReadoutTrace, Trace
from .network import Network, NetworkConfig
from .spikes import SpikeEvents

__version__ = "0.1.0"

__all__ = [
    "Gradients",
    "Network",
    "NetworkConfig",
    "ReadoutTrace",
    "SpikeEvents",
    "Trace",
    "multi_spike_backward",
    "multi_spike_forward",
    "single_spike_backward",
    "single_spike_forward",
    "solvers",
]
