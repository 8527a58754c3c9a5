"""Host side of the fused GPU solver: shapes, buffers and launches, for any NumPy-like namespace.

`FusedSolver` gets the namespace and the function that launches a kernel. `minisnn.solvers.cupy_parallel` gives
CuPy; a test gives a stand-in for it and the same kernels compiled as C++, and so tests this file's index
arithmetic too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...model import Array, Gradients, ReadoutTrace, Trace
from ...spikes import SpikeEvents
from .. import AdamRule
from .device import DeviceArrays, where_parameters_live


class FusedSolver(DeviceArrays):
    """The functions of a single-spike solver, on the arrays of one namespace.

    ``launch(name, dtype, n_threads, arguments)`` runs a kernel of `minisnn.solvers.cuda.kernels`.
    """

    def __init__(self, name: str, xp: Any, launch: Callable[[str, Any, int, tuple[Any, ...]], None]) -> None:
        super().__init__(name, xp)
        self.launch = launch

    @where_parameters_live
    def next_input(self, trace: Trace) -> SpikeEvents:
        """What the next layer reads of this one: at most one event a neuron."""
        xp, (batch, n_steps, n) = self.xp, trace.potential.shape
        times = trace.spike_times.astype(xp.int64)
        rows = xp.arange(batch, dtype=xp.int64)[:, None] * n_steps + times
        # Sorted by sample, step and neuron: the order of `SpikeEvents`.
        cells = (rows * n + xp.arange(n, dtype=xp.int64))[times < n_steps]
        if len(cells):  # nothing is promised about sorting nothing on the device
            cells = xp.sort(cells)
        bounds = xp.arange(batch * n_steps + 1, dtype=xp.int64) * n
        indptr = xp.searchsorted(cells, bounds, side="left").astype(xp.int64)
        return SpikeEvents._unchecked(indptr, (cells % n).astype(xp.int32), n_steps, n, False)

    def input_current_backward(self, grad_current: Array, spikes: Any, weight: Array) -> Array:
        """Gradient of Eq. 1 by the weight: a gather in fixed order for events, a matrix product for rasters."""
        xp, (n_in, n_out) = self.xp, weight.shape
        if not isinstance(spikes, SpikeEvents):
            flat = spikes.reshape(-1, n_in).astype(weight.dtype, copy=False)
            return flat.T @ grad_current.reshape(-1, n_out)
        # Sorted by neuron, then by time: the key holds both, so no stable sort is needed.
        n_events = spikes.n_events
        if n_events == 0:
            return xp.zeros_like(weight)
        key = spikes.indices.astype(xp.int64) * n_events + xp.arange(n_events, dtype=xp.int64)
        order = xp.argsort(key)
        rows = self.event_rows(spikes)[order]
        neurons = xp.arange(n_in + 1, dtype=xp.int32)
        first = xp.searchsorted(spikes.indices[order], neurons, side="left").astype(xp.int64)
        grad_weight = xp.empty_like(weight)
        self.launch(
            "gather_events", weight.dtype, n_in * n_out, (first, rows, grad_current, grad_weight, n_in, n_out)
        )
        return grad_weight

    def _integrate(
        self, spikes: Any, weight: Array, bias: Array, decay: Array, threshold: float
    ) -> tuple[Array, Array]:
        """Eqs. 1 to 5: membrane (B, T, n_out) and spike times (B, n_out)."""
        xp, n_out, dtype = self.xp, weight.shape[1], weight.dtype
        batch, n_steps, n_in = map(int, spikes.shape)
        times = xp.empty((batch, n_out), dtype=xp.int32)
        stride = int(decay.ndim > 0)
        sizes = (batch, n_steps, n_out)
        theta = dtype.type(threshold)
        events: tuple[Any, ...]
        if isinstance(spikes, SpikeEvents):
            membrane = xp.empty(sizes, dtype=dtype)
            events = (spikes.indptr, spikes.indices, weight)
            name = "integrate_events"
        else:
            membrane = (spikes.reshape(-1, n_in).astype(dtype, copy=False) @ weight).reshape(sizes)
            events, name = (), "integrate_dense"
        self.launch(
            name, dtype, batch * n_out, (membrane, times, *events, bias, decay, stride, theta, *sizes)
        )
        return membrane, times

    def _gradients(
        self, trace: Trace | ReadoutTrace, current: Array, bias_part: Array, decay_part: Array
    ) -> Gradients:
        """Sums over the batch, in fixed order, and the weight gradient (Eq. 10)."""
        grad_decay = self._sum_rows(decay_part)
        if trace.decay.ndim == 0:
            grad_decay = self._sum_rows(grad_decay.reshape(-1, 1)).reshape(())
        grad_weight = self.input_current_backward(current, trace.input, trace.weight)
        return Gradients(grad_weight, self._sum_rows(bias_part), grad_decay, current, trace.weight)

    def _sum_rows(self, values: Array) -> Array:
        total = self.xp.empty(values.shape[1], dtype=values.dtype)
        self.launch("sum_rows", values.dtype, values.shape[1], (values, total, *values.shape))
        return total

    @where_parameters_live
    def single_spike_forward(
        self, spikes: Any, weight: Array, bias: Array, decay: Array, threshold: float, workspace: Any = None
    ) -> Trace:
        """The single-spike layer, Eqs. 1 to 5."""
        membrane, times = self._integrate(spikes, weight, bias, decay, threshold)
        return Trace(spikes, weight, bias, decay, threshold, membrane, "single-spike", times)

    @where_parameters_live
    def single_spike_backward(
        self,
        trace: Trace,
        grad_spikes: Array | Gradients | None,
        grad_membrane: Array | None,
        surrogate_scale: float,
        gradient: str,
        keep_current: bool = True,
        workspace: Any = None,
    ) -> Gradients:
        """Backward through the single-spike layer, Eqs. 6 to 10."""
        membrane, dtype = trace.membrane, trace.membrane.dtype
        if isinstance(grad_spikes, Gradients):
            grad_spikes = grad_spikes.spikes
        # An absent gradient still needs an address; the kernel does not read it.
        given = [
            membrane if g is None else self.xp.ascontiguousarray(g) for g in (grad_spikes, grad_membrane)
        ]
        current = self.xp.empty_like(membrane)
        batch, n_steps, n_out = membrane.shape
        bias_part, decay_part = (self.xp.empty((batch, n_out), dtype=dtype) for _ in range(2))
        arguments = (
            *(membrane, trace.spike_times, given[0], int(grad_spikes is not None)),
            *(given[1], int(grad_membrane is not None), trace.decay, int(trace.decay.ndim > 0)),
            *(dtype.type(trace.threshold), dtype.type(surrogate_scale), int(gradient == "gated")),
            *(current, bias_part, decay_part, batch, n_steps, n_out),
        )
        self.launch("single_spike_backward", dtype, batch * n_out, arguments)
        return self._gradients(trace, current, bias_part, decay_part)

    @where_parameters_live
    def readout_forward(
        self,
        spikes: Any,
        weight: Array,
        bias: Array,
        decay: Array,
        readout: str,
        logit_scale: float,
        workspace: Any = None,
    ) -> ReadoutTrace:
        """The readout: Eqs. 1 and 2 with its own parameters, then Eq. 17."""
        membrane, _ = self._integrate(spikes, weight, bias, decay, 0.0)
        batch, n_steps, n_out = membrane.shape
        value = self.xp.empty((batch, n_out), dtype=membrane.dtype)
        peaks = self.xp.empty((batch, n_out), dtype=self.xp.int64)
        arguments = (membrane, value, peaks, int(readout == "sum"), batch, n_steps, n_out)
        self.launch("over_time", membrane.dtype, batch * n_out, arguments)
        return ReadoutTrace(
            *(spikes, weight, bias, decay, readout, logit_scale, membrane, logit_scale * value),
            peaks if readout == "max" else None,
        )

    @where_parameters_live
    def readout_backward(self, trace: ReadoutTrace, grad_logits: Array, workspace: Any = None) -> Gradients:
        """Backward through the readout: Eq. 18, then Eqs. 9 and 10."""
        membrane = trace.membrane
        batch, n_steps, n_out = membrane.shape
        grad_value = self.xp.ascontiguousarray(trace.logit_scale * grad_logits)
        is_sum = trace.peak_times is None
        # The sum has no peaks; the kernel reads the zeros and ignores them.
        peaks = self.xp.zeros((batch, n_out), dtype=self.xp.int64) if is_sum else trace.peak_times
        current = self.xp.empty_like(membrane)
        bias_part, decay_part = (self.xp.empty((batch, n_out), dtype=membrane.dtype) for _ in range(2))
        arguments = (
            *(membrane, peaks, grad_value, int(is_sum), trace.decay, int(trace.decay.ndim > 0)),
            *(current, bias_part, decay_part, batch, n_steps, n_out),
        )
        self.launch("readout_backward", membrane.dtype, batch * n_out, arguments)
        return self._gradients(trace, current, bias_part, decay_part)

    def adam_update(
        self, parameter: Array, gradient: Array, first: Array, second: Array, rule: AdamRule
    ) -> None:
        """Take one step of Adam, in place: the bits of `Solver.adam_update`."""
        real, (lr, beta1, beta2, eps, step, weight_decay) = parameter.dtype.type, rule
        # Differences and powers in double precision, as Python forms them, then rounded once.
        numbers = (
            lr, beta1, 1 - beta1, beta2, 1 - beta2, 1 - beta1**step, 1 - beta2**step, eps, weight_decay
        )  # fmt: skip
        given = parameter, first, second
        there = [self.to_device(array) for array in (parameter, gradient, first, second)]
        self.launch(
            "adam", parameter.dtype, parameter.size, (*there, *map(real, numbers), np.int64(parameter.size))
        )
        for array, changed in zip(given, (there[0], *there[2:])):
            if not self.on_device(array):
                array[...] = self.to_host(changed)
