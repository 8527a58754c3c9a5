"""Checks of the arguments of the public functions: what was expected, what came, in one line.

A check returns the value to use from there on: a Python number, or an array as compiled code takes it
(`minisnn.reading.kernel_array`). The argument may be of any type and layout, and is not changed.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import InputError
from .model import GRADIENTS, READOUTS, ReadoutTrace, Trace, first_spike_times
from .reading import check_within, checked_count, checked_float, checked_name, kernel_array, read_array
from .spikes import SpikeEvents, check_raster

__all__ = [
    "check_finite", "check_overflow", "checked_count", "checked_decay", "checked_events", "checked_float",
    "checked_gradient", "checked_labels", "checked_layer", "checked_parameter", "checked_readout_trace",
    "checked_spikes", "checked_trace", "made_here",
]  # fmt: skip

Floats = NDArray[np.floating[Any]]
DTYPES = (np.dtype(np.float32), np.dtype(np.float64))

# Traces that a forward pass of this process has handed out: they need no second reading.
_MADE_HERE: weakref.WeakSet[Trace | ReadoutTrace] = weakref.WeakSet()


def checked_gradient(gradient: Any) -> str:
    """`gradient` if it is one of the two choices of g' (Eq. 6)."""
    return checked_name("gradient", gradient, GRADIENTS)


def check_finite(name: str, array: NDArray[Any]) -> None:
    """Raise the `InputError` that names the first number that is not finite."""
    # For almost every array one sum shows that all is finite, without an array of answers.
    with np.errstate(over="ignore", invalid="ignore"):
        if np.isfinite(array.sum()):
            return
    finite = np.isfinite(array)
    if not finite.all():
        place = tuple(int(k) for k in np.unravel_index(int(np.argmin(finite)), array.shape))
        raise InputError(f"{name} must be finite, got {array[place]} at {place}")


def _of_dtype(name: str, value: Any, dtype: np.dtype[Any]) -> NDArray[Any]:
    """`value` as an array of `dtype`, in any byte order."""
    array = read_array(name, value)
    if array.dtype.newbyteorder("=") != dtype:
        raise InputError(f"{name} must have the dtype of weight, {dtype}, got {array.dtype}")
    return array


def checked_parameter(
    name: str,
    value: Any,
    dtype: np.dtype[Any],
    shape: tuple[int, ...],
    *,
    owned: bool = False,
    finite: bool = True,
) -> Floats:
    """`value` as an array of `dtype` and `shape` for compiled code; a copy in any case if `owned`."""
    array = _of_dtype(name, value, dtype)
    if array.shape != shape:
        raise InputError(f"{name} must have shape {shape}, got {array.shape}")
    array = kernel_array(array, owned=owned)
    if finite:
        check_finite(name, array)
    return array


def checked_decay(
    decay: Any, dtype: np.dtype[Any], *shapes: tuple[int, ...], name: str = "decay", owned: bool = False
) -> Floats:
    """`decay` within [0, 1], of `dtype` and one of the `shapes`; a Python number takes the dtype."""
    if isinstance(decay, (int, float)):
        with np.errstate(over="ignore"):  # a number too large for the dtype, or for any, is refused below
            decay = np.asarray(max(-(2**64), min(decay, 2**64)) if decay == decay else decay, dtype=dtype)
    array = _of_dtype(name, decay, dtype)
    if array.shape not in shapes:
        expected = " or have shape ".join("be a scalar" if not shape else str(shape) for shape in shapes)
        expected = expected if () in shapes else f"have shape {expected}"
        raise InputError(f"{name} must {expected}, got {array.shape}")
    array = kernel_array(array, owned=owned)
    within = (array >= 0) & (array <= 1)
    if not within.all():
        raise InputError(f"{name} must lie in [0, 1], got {array[~within].flat[0]}")
    return array


def checked_spikes(spikes: Any, n_in: int, dtype: np.dtype[Any], fit: str = "") -> NDArray[Any] | SpikeEvents:
    """Input spikes of a layer of `n_in` inputs: events, or a raster of `dtype` or uint8."""
    if isinstance(spikes, SpikeEvents):
        spikes = checked_events(spikes)
    else:
        spikes = read_array("spikes", spikes)
        check_raster(spikes)
    if spikes.shape[2] != n_in:
        raise InputError(f"spikes must have shape (batch, time, {n_in}){fit}, got {spikes.shape}")
    if isinstance(spikes, SpikeEvents):
        return spikes
    # Read only now: 0 and 1 are the same in every dtype, and a product by BLAS takes its own as it is.
    keeps = spikes.dtype.newbyteorder("=") == dtype
    return kernel_array(spikes, dtype if keeps else np.uint8)


def checked_events(events: SpikeEvents) -> SpikeEvents:
    """`events` for compiled code; an error if their arrays were changed, and now lead out of memory."""
    n, indptr, indices = events.n_neurons, events.indptr, events.indices
    indptr, indices = kernel_array(indptr, np.int64), kernel_array(indices, np.int32)
    if len(events) == 0:
        raise InputError("spikes must have at least one sample, got none")
    rises = indptr[0] == 0 and indptr[-1] == len(indices) and not (indptr[1:] < indptr[:-1]).any()
    if not rises or (len(indices) and not 0 <= int(indices.min()) <= int(indices.max()) < n):
        raise InputError("the arrays of these events were changed after they were made: make them anew")
    if indptr is events.indptr and indices is events.indices:
        return events
    # Unpickled from a mapped file, or locked.
    return SpikeEvents._unchecked(indptr, indices, events.n_steps, n, events.counts)


def checked_layer(
    spikes: Any, weight: Any, bias: Any, decay: Any
) -> tuple[NDArray[Any] | SpikeEvents, Floats, Floats, Floats]:
    """Input and parameters of a layer, or an error with their fault."""
    weight = read_array("weight", weight)
    dtype = weight.dtype.newbyteorder("=")
    if dtype not in DTYPES:
        raise InputError(f"weight must be float32 or float64, got {weight.dtype}")
    if weight.ndim != 2 or 0 in weight.shape:
        raise InputError(f"weight must have shape (n_in, n_out), got {weight.shape}")
    n_in, n_out = weight.shape
    weight = checked_parameter("weight", weight, dtype, (n_in, n_out))
    bias = checked_parameter("bias", bias, dtype, (n_out,))
    decay = checked_decay(decay, dtype, (), (n_out,))
    return checked_spikes(spikes, n_in, dtype, " to fit weight"), weight, bias, decay


def made_here(trace: Trace | ReadoutTrace) -> None:
    """Remember that a forward pass of minisnn made this trace."""
    _MADE_HERE.add(trace)


def _was_made_here(trace: Trace | ReadoutTrace) -> bool:
    """Whether `made_here` remembers the trace; its events may have been changed since, and are looked at."""
    known = trace in _MADE_HERE
    if known and isinstance(trace.input, SpikeEvents):
        checked_events(trace.input)
    return known


def checked_trace(trace: Any, neuron: str) -> Trace:
    """`trace` if a forward pass of that neuron made it here; read anew, and made right, if it is foreign."""
    if not isinstance(trace, Trace) or trace.neuron != neuron:
        came = f"a {trace.neuron} trace" if isinstance(trace, Trace) else type(trace).__name__
        raise InputError(f"trace must come from {neuron.replace('-', '_')}_forward, got {came}")
    if _was_made_here(trace):
        return trace
    spikes, weight, bias, decay = checked_layer(trace.input, trace.weight, trace.bias, trace.decay)
    shape = (*spikes.shape[:2], weight.shape[1])
    potential = checked_parameter("the potential of trace", trace.potential, weight.dtype, shape)
    threshold = checked_float("the threshold of trace", trace.threshold, dtype=weight.dtype)
    if neuron == "multi-spike":
        return Trace(spikes, weight, bias, decay, threshold, potential, neuron)
    times = first_spike_times(potential > threshold)
    given = times if trace.first_spikes is None else read_array("first_spikes of trace", trace.first_spikes)
    if given.dtype.kind not in "iu" or not np.array_equal(given, times):
        raise InputError("first_spikes of trace must be the first steps with its potential above threshold")
    return Trace(spikes, weight, bias, decay, threshold, potential, neuron, times)


def checked_readout_trace(trace: Any) -> ReadoutTrace:
    """`trace` if a network made it here; read anew, and made right, if it is foreign."""
    if not isinstance(trace, ReadoutTrace):
        raise InputError(f"the readout of an activity must be a ReadoutTrace, got {type(trace).__name__}")
    if _was_made_here(trace):
        return trace
    spikes, weight, bias, decay = checked_layer(trace.input, trace.weight, trace.bias, trace.decay)
    shape = (*spikes.shape[:2], weight.shape[1])
    membrane = checked_parameter("the membrane of the readout", trace.membrane, weight.dtype, shape)
    readout = checked_name("readout", trace.readout, READOUTS)
    logit_scale = checked_float("logit_scale", trace.logit_scale, low=0, open_low=True, dtype=weight.dtype)
    values = membrane.max(axis=1) if readout == "max" else membrane.sum(axis=1)
    peaks = membrane.argmax(axis=1) if readout == "max" else None
    return ReadoutTrace(
        spikes, weight, bias, decay, readout, logit_scale, membrane, logit_scale * values, peaks
    )


def check_overflow(last_potentials: Iterable[Floats], logits: Floats | None = None) -> None:
    """Raise `OverflowError` if a potential, (B, N) in the last step, or a logit left the range of its dtype.

    The last step is enough: once a potential is infinite or NaN, every later one is too (even with decay 0, because
    0 * inf is NaN).
    """
    for potential in last_potentials:
        if not np.isfinite(potential).all():
            raise OverflowError(
                f"the potential left the range of {potential.dtype}: scale weight and bias down"
            )
    if logits is not None and not np.isfinite(logits).all():
        raise OverflowError(f"the logits left the range of {logits.dtype}: scale weights down")


def checked_labels(labels: Any, n_samples: int, n_classes: int, name: str = "labels") -> NDArray[np.int64]:
    """`labels`, in whatever form, as a new (n_samples,) int64 array within 0 ... n_classes - 1: the one to keep."""
    array = read_array(name, labels)
    if array.dtype.kind not in "iu" or array.shape != (n_samples,):
        raise InputError(f"{name} must be {n_samples} integers, got {array.dtype} of shape {array.shape}")
    check_within(name, array, n_classes)
    return array.astype(np.int64)
