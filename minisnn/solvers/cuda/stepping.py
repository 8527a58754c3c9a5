"""The stepping baseline on the arrays of a device: array expressions, one step after the other.

Equal to `numpy_sequential` bit for bit on exact inputs, within the rounding bound elsewhere. Its loops over time serve
here too, since NumPy hands the arrays of a device to CuPy. What has no loop is taken from `numpy_parallel`, which
computes on the arrays of any namespace.
"""

from __future__ import annotations

from typing import Any

from ...model import Array, Gradients, ReadoutTrace, Trace
from ...spikes import SpikeEvents
from .. import numpy_parallel as arrays
from .. import numpy_sequential as definition
from .device import DeviceArrays, where_parameters_live


class SteppingSolver(DeviceArrays):
    """The functions of a solver for both kinds of neuron, on the arrays of one namespace."""

    @where_parameters_live
    def next_input(self, trace: Trace) -> Array:
        """What the next layer reads of this one: its raster."""
        return trace.spikes

    def raster(self, spikes: Any, dtype: Any) -> Array:
        """The input as a raster (B, T, n_in) of `dtype`; counts add up."""
        xp = self.xp
        if not isinstance(spikes, SpikeEvents):
            return spikes.astype(dtype, copy=False)
        batch, n_steps, n_in = spikes.shape
        cells = self.event_rows(spikes) * n_in + spikes.indices
        if spikes.counts:
            flat = xp.bincount(cells, minlength=batch * n_steps * n_in).astype(dtype)
        else:
            flat = xp.zeros(batch * n_steps * n_in, dtype=dtype)
            flat[cells] = 1
        return flat.reshape(batch, n_steps, n_in)

    def _gradients(self, trace: Trace | ReadoutTrace, grad_current: Array) -> Gradients:
        """Eq. 10, and the decay's part of Eq. 9."""
        x = self.raster(trace.input, trace.weight.dtype)
        grad_decay = arrays.decay_gradient(grad_current, trace.membrane, trace.decay)
        grad_weight, grad_bias = arrays.input_current_backward(grad_current, x, trace.weight)
        return Gradients(grad_weight, grad_bias, grad_decay, grad_current, trace.weight)

    def _integrate_backward(self, grad_membrane: Array, decay: Array) -> Array:
        """Eq. 9: gI, (B, T, N), by Eq. 2 with time reversed."""
        return self.xp.flip(definition.integrate(self.xp.flip(grad_membrane, axis=1), decay), axis=1)

    @where_parameters_live
    def single_spike_forward(
        self, spikes: Any, weight: Array, bias: Array, decay: Array, threshold: float, workspace: Any = None
    ) -> Trace:
        """The single-spike layer, Eqs. 1 to 5."""
        xp = self.xp
        spikes = self.raster(spikes, weight.dtype)
        membrane = definition.integrate(arrays.input_current(spikes, weight, bias), decay)
        # The spike time is the number of steps before the first crossing.
        silent = xp.ones_like(membrane[:, 0], dtype=bool)
        times = xp.zeros(silent.shape, dtype=xp.int32)
        for t in range(membrane.shape[1]):
            silent = silent & (membrane[:, t] <= threshold)
            times = times + silent
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
        xp, membrane = self.xp, trace.membrane
        grad_v = xp.zeros_like(membrane) if grad_membrane is None else grad_membrane
        if grad_spikes is not None:
            grad_s = grad_spikes.spikes if isinstance(grad_spikes, Gradients) else grad_spikes
            # z of Eq. 4 matters only by being 0, which it is exactly before the spike.
            steps = xp.arange(membrane.shape[1], dtype=xp.int32)[None, :, None]
            z = steps >= trace.spike_times[:, None, :]
            grad_faulty = definition.double_sum_backward(arrays.first_only_backward(grad_s, z, gradient))
            through = definition.crossings_backward(grad_faulty, membrane, trace.threshold, surrogate_scale)
            grad_v = through + grad_v
        return self._gradients(trace, self._integrate_backward(grad_v, trace.decay))

    @where_parameters_live
    def multi_spike_forward(
        self, spikes: Any, weight: Array, bias: Array, decay: Array, threshold: float, workspace: Any = None
    ) -> Trace:
        """The conventional layer, Eqs. 12 to 14."""
        spikes = self.raster(spikes, weight.dtype)
        potential = definition.fire_and_reset(arrays.input_current(spikes, weight, bias), decay, threshold)
        return Trace(spikes, weight, bias, decay, threshold, potential, "multi-spike")

    @where_parameters_live
    def multi_spike_backward(
        self,
        trace: Trace,
        grad_spikes: Array | Gradients | None,
        grad_membrane: Array | None,
        surrogate_scale: float,
        detach_reset: bool,
        keep_current: bool = True,
        workspace: Any = None,
    ) -> Gradients:
        """Backward through time of the conventional layer, Eqs. 15 and 16."""
        grad_s = grad_spikes.spikes if isinstance(grad_spikes, Gradients) else grad_spikes
        grad_current = definition.fire_and_reset_backward(
            grad_s, grad_membrane, trace, surrogate_scale, detach_reset
        )
        return self._gradients(trace, grad_current)

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
        spikes = self.raster(spikes, weight.dtype)
        membrane = definition.integrate(arrays.input_current(spikes, weight, bias), decay)
        value, peak_times = arrays.over_time(membrane, readout)
        return ReadoutTrace(
            spikes, weight, bias, decay, readout, logit_scale, membrane, logit_scale * value, peak_times
        )

    @where_parameters_live
    def readout_backward(self, trace: ReadoutTrace, grad_logits: Array, workspace: Any = None) -> Gradients:
        """Backward through the readout: Eq. 18, then Eqs. 9 and 10."""
        grad_value = trace.logit_scale * grad_logits
        grad_membrane = arrays.over_time_backward(grad_value, trace.peak_times, trace.membrane.shape[1])
        return self._gradients(trace, self._integrate_backward(grad_membrane, trace.decay))
