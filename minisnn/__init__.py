"""Single-spike spiking neural networks you can read, run fast on a CPU, and trust as an oracle.

Read `minisnn.model` first: it holds the equations, with their labels and the names they have in the code.
"""

from typing import Any

from . import solvers
from .layers import multi_spike_backward, multi_spike_forward, single_spike_backward, single_spike_forward
from .model import Gradients, ReadoutTrace, Trace
from .network import Network
from .parameters import NetworkConfig
from .spikes import SpikeEvents

__version__ = "0.1.0"

# Loaded when first asked for: who runs one layer should not wait for training, data sets and the oracle.
_LATER = {
    "Dataset": "datasets",
    "TrainingConfig": "training",
    "datasets": "datasets",
    "evaluate": "training",
    "load_dataset": "datasets",
    "oracle": "oracle",
    "train": "training",
}


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module 'minisnn' has no attribute {name!r}")
    import importlib

    module = importlib.import_module(f".{_LATER[name]}", __name__)
    return module if name == _LATER[name] else getattr(module, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


__all__ = [
    "Dataset", "Gradients", "Network", "NetworkConfig", "ReadoutTrace", "SpikeEvents", "Trace",
    "TrainingConfig", "datasets", "evaluate", "load_dataset", "multi_spike_backward", "multi_spike_forward",
    "oracle", "single_spike_backward", "single_spike_forward", "solvers", "train",
]  # fmt: skip
