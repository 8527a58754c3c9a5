"""Between host and device: is there one, moving arrays, and results that come back to where the parameters live."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from functools import wraps
from typing import Any

import numpy as np

from ...model import Array
from ...spikes import SpikeEvents
from .. import Solver


def load_cupy() -> Any:
    """CuPy with a device behind it, or `ImportError` with one line that says what is missing."""
    if importlib.util.find_spec("cupy") is None:
        raise ImportError(
            "CuPy is missing: pip install '.[gpu-cuda12]' or '.[gpu-cuda13]' in a clone of minisnn, after the CUDA "
            "version that nvidia-smi shows"
        )
    import cupy

    if not cupy.cuda.is_available():
        raise ImportError(
            "CuPy is installed but finds no CUDA device: nvidia-smi shows whether driver and GPU are there"
        )
    return cupy


def _each_array(values: Any, move: Callable[[Any], Any]) -> Any:
    """`values` with every array in it moved, through dictionaries, events, traces and gradients."""
    if isinstance(values, np.ndarray) or hasattr(values, "__cuda_array_interface__"):
        return move(values)
    if isinstance(values, dict):
        return {name: _each_array(value, move) for name, value in values.items()}
    if isinstance(values, SpikeEvents):
        arrays = move(values.indptr), move(values.indices)
        return SpikeEvents._unchecked(*arrays, values.n_steps, values.n_neurons, values.counts)
    if is_dataclass(values) and not isinstance(values, type):
        return type(values)(**{f.name: _each_array(getattr(values, f.name), move) for f in fields(values)})
    return values


class DeviceArrays(Solver):
    """What the solvers of a device share; `xp` is CuPy, in tests a stand-in with NumPy's functions."""

    has_threads, on_host = False, False

    def __init__(self, name: str, xp: Any) -> None:
        self.name, self.xp = name, xp

    def on_device(self, values: Any) -> bool:
        """Whether an array, a trace (by its weight) or events are on the device."""
        array = values.indptr if isinstance(values, SpikeEvents) else getattr(values, "weight", values)
        return isinstance(array, self.xp.ndarray)

    def to_device(self, values: Any) -> Any:
        """Arrays, events, traces, gradients or dictionaries of arrays, on the device; the rest as it is."""
        if not isinstance(values, dict) and self.on_device(values):
            return values
        return _each_array(values, lambda array: self.xp.asarray(array, order="C"))

    def to_host(self, values: Any) -> Any:
        """The same with NumPy arrays."""
        return _each_array(
            values, lambda array: self.xp.asnumpy(array) if self.on_device(array) else np.asarray(array)
        )

    def synchronise(self) -> None:
        """Wait until the device has finished all its work: before a clock is read."""
        self.xp.cuda.Device().synchronize()

    def event_rows(self, events: SpikeEvents) -> Array:
        """Row (sample * n_steps + step) of every event, (n_events,) int64."""
        positions = self.xp.arange(events.n_events, dtype=self.xp.int64)
        return (self.xp.searchsorted(events.indptr, positions, side="right") - 1).astype(self.xp.int64)


def where_parameters_live(method: Callable[..., Any]) -> Callable[..., Any]:
    """Let a solver's function take NumPy arrays too: their results come back as NumPy arrays.

    What decides is the weight, the second argument of a forward function or that of the trace: a network whose
    parameters are on the device keeps everything there.
    """

    @wraps(method)
    def run(self: DeviceArrays, first: Any, *rest: Any, **options: Any) -> Any:
        stays = self.on_device(first if hasattr(first, "weight") else rest[0])
        result = method(self, *map(self.to_device, (first, *rest)), **options)
        return result if stays else self.to_host(result)

    return run
