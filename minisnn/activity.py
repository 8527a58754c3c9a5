"""The results of a pass through a network: the traces of its layers, or only logits and spike times."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .checks import checked_readout_trace, checked_trace
from .errors import InputError
from .model import Array, ReadoutTrace, Trace
from .reading import checked_type
from .spikes import SpikeEvents

__all__ = ["Activity", "Outcome", "checked_activity"]


@dataclass(frozen=True, eq=False)
class Activity:
    """The result of a forward pass through a network: the trace of every layer.

    Parameters
    ----------
    hidden : list of Trace
        One for every hidden layer, in order.
    readout : ReadoutTrace
        With ``.logits`` (B, n_classes) and ``.membrane`` (B, T, n_classes).
    """

    hidden: list[Trace]
    readout: ReadoutTrace

    @property
    def logits(self) -> Array:
        """(B, n_classes)."""
        return self.readout.logits

    def spike_counts(self) -> NDArray[np.int64]:
        """(n_hidden_layers,) number of spikes of every hidden layer, summed over the batch."""
        counts = [
            (trace.potential > trace.threshold).sum()
            if trace.neuron == "multi-spike"
            else (trace.spike_times < trace.shape[1]).sum()
            for trace in self.hidden
        ]
        return np.array([int(count) for count in counts], dtype=np.int64)

    def to_arrays(self) -> dict[str, Array]:
        """Input, spike times, potentials and logits as arrays for a file; `minisnn.export` describes them."""
        spikes = self.hidden[0].input
        if isinstance(spikes, SpikeEvents):
            raster = spikes.to_raster(np.int32 if spikes.counts else np.uint8)
        else:
            raster = spikes.astype(np.uint8)
        arrays: dict[str, Array] = {"input": raster}
        for k, trace in enumerate(self.hidden, start=1):
            arrays |= {f"hidden{k}.spike_times": trace.spike_times, f"hidden{k}.membrane": trace.membrane}
            if trace.neuron == "multi-spike":
                arrays[f"hidden{k}.spikes"] = trace.spikes.astype(np.uint8)
        return arrays | {"readout.membrane": self.readout.membrane, "logits": self.logits}


@dataclass(frozen=True, eq=False)
class Outcome:
    """The part of an `Activity` that remains if a solver keeps no traces.

    Parameters
    ----------
    logits : (B, n_classes)
        Of Eq. 17.
    spike_times : tuple of (B, N) int32
        Of every hidden layer, the first of every neuron; ``n_steps`` is never.
    n_steps : int
        T.
    counts : (n_hidden_layers,) int64, optional
        Spikes, if neurons may fire more than once.
    """

    logits: Array
    spike_times: tuple[NDArray[np.int32], ...]
    n_steps: int
    counts: NDArray[np.int64] | None = None

    def spike_counts(self) -> NDArray[np.int64]:
        """(n_hidden_layers,) number of spikes of every hidden layer, summed over the batch."""
        if self.counts is not None:
            return self.counts
        return np.array([(times < self.n_steps).sum() for times in self.spike_times], dtype=np.int64)


def checked_activity(activity: Any, neuron: str, sizes: tuple[int, ...]) -> Activity:
    """`activity` with traces that fit a network, each as its solver made it or read anew."""
    checked_type("activity", activity, Activity)
    readout = checked_readout_trace(activity.readout)
    hidden = [checked_trace(trace, neuron) for trace in activity.hidden]
    traces: list[Trace | ReadoutTrace] = [*hidden, readout]
    found = [trace.weight.shape for trace in traces]
    inputs = [trace.input.shape[:2] for trace in traces]
    if found != list(pairwise(sizes)) or set(inputs) != {readout.membrane.shape[:2]}:
        raise InputError(
            f"activity must be of a network of sizes {sizes} and one batch, got layers of {found}"
        )
    return Activity(hidden, readout)
