"""Wrong layers whose one lie shows at some value of an argument."""

import numpy as np

from tests.mutants import Layer, MultiLayer
from tests.mutants_of_size import backward, call, first_spikes, forward, only

# ---- forward ----------------------------------------------------------------------------------------


@forward("takes the size of the threshold", call(theta=-1.0, w=0))
class ThresholdSize(Layer):
    def fires(self, v, threshold):
        return v > abs(threshold)


@forward("takes a threshold of 0 for one that was not given (`threshold or 1.0`)", call(theta=0.0, w=0.5))
class ThresholdOrOne(Layer):
    def fires(self, v, threshold):
        return v > (threshold or 1.0)


@forward("lifts a negative threshold to 0", call(theta=-1.0, w=-0.5))
class ThresholdLifted(MultiLayer):
    def fires(self, v, threshold):
        return v > max(threshold, 0)


@forward("takes off the size of the threshold in a reset", call(theta=-1.0))
class ResetSize(MultiLayer):
    def reset(self, u, fired, threshold):
        return u - abs(threshold) * fired


@forward("compares the bits of floats as integers", call(theta=-0.0, w=0))
class ComparesBits(Layer):
    def fires(self, v, threshold):
        bits = f"i{v.itemsize}"
        return v.view(bits) > np.array(threshold, v.dtype).view(bits)


@forward("skips neurons without a positive weight or bias", call(theta=-1.0, w=-0.5))
class HopelessSkipped(Layer):
    def forward(self, spikes, weight, bias, decay, threshold):
        raster, membrane = super().forward(spikes, weight, bias, decay, threshold)
        return raster * ((weight > 0).any(axis=0) | (bias > 0)), membrane


@forward("fires at once where the bias alone is above the threshold, inhibition or not", call(w=-2, b=1.5))
class BiasFiresAtOnce(Layer):
    def forward(self, spikes, weight, bias, decay, threshold):
        raster, membrane = super().forward(spikes, weight, bias, decay, threshold)
        steps = np.arange(raster.shape[1])[:, None]
        return np.where(bias > threshold, steps == 0, raster), membrane


@forward("looks for no crossing after a sample's last event", call(n_steps=3, x=only(0, 3), w=0.1, b=0.8))
class EndsWithEvents(Layer):
    def forward(self, spikes, weight, bias, decay, threshold):
        raster, membrane = super().forward(spikes, weight, bias, decay, threshold)
        quiet = np.cumsum(spikes.any(axis=2)[:, ::-1], axis=1)[:, ::-1, None] == 0
        return np.where(quiet & ~quiet[:, :1], 0, raster), membrane


@forward("leaves out weights below 1e-8", call(w=2.0**-100, theta=2.0**-101))
class TinyWeights(Layer):
    def drive(self, x, weight, bias):
        return x @ np.where(np.isclose(weight, 0), 0, weight) + bias


@forward("sets potentials below 1e-25 to 0, against slow subnormal numbers", call(w=2.0**-100))
class TinyPotentials(MultiLayer):
    def reset(self, u, fired, threshold):
        v = super().reset(u, fired, threshold)
        return np.where(np.abs(v) < 1e-25, 0, v)


@forward("asks for a crossing by 1e-12 or more", call(w=2.0**-100, theta=2.0**-101))
class Tolerance(Layer):
    def fires(self, v, threshold):
        return v - threshold > 1e-12


@forward("stops potentials at 1000, against overflow", call(w=1024))
class ClipsPotential(Layer):
    def integrate(self, current, decay):
        return np.clip(super().integrate(current, decay), -1000, 1000)


@forward("takes a decay above 0.9995 for 1", call(n_steps=2, decay=0.9999, x=only(0, 2)))
class DecayNearlyOne(Layer):
    def decay_at(self, decay, t):
        return np.where(decay > 0.9995, 1, decay).astype(decay.dtype)


@forward("takes a decay below 0.1 for 0", call(n_steps=2, decay=0.05, x=only(0, 2)))
class DecayNearlyZero(Layer):
    def decay_at(self, decay, t):
        return np.where(decay < 0.1, 0, decay).astype(decay.dtype)


@forward(
    "divides by powers of the decay, which it stops at 1e-60 against overflow", call(n_steps=70, decay=0.1)
)
class PowersStopped(Layer):
    def integrate(self, current, decay):
        powers = decay.astype(np.float64) ** np.arange(current.shape[1])[:, None]
        v = powers * np.cumsum(current / np.maximum(powers, 1e-60), axis=1)
        return np.where(decay == 0, current, v).astype(current.dtype)


def shared_exponent(values, guard_bits):
    """`values` as whole multiples of one unit, which is that of the largest less some bits."""
    kind = np.finfo(values.dtype)
    unit = kind.eps * 2.0 ** (np.frexp(np.abs(values).max())[1] - guard_bits)
    unit = values.dtype.type(max(unit, kind.smallest_subnormal))
    return np.round(values / unit) * unit


@forward("gives all weights the exponent of the largest", call(n_out=2, w=[1, 2.0**-80]))
class SharedExponent(Layer):
    def drive(self, x, weight, bias):
        return x @ shared_exponent(weight, 10) + bias


@forward("rounds the threshold to half precision", call(w=0.30001, theta=0.3))
class HalfThreshold(Layer):
    def fires(self, v, threshold):
        return v > float(np.float16(threshold))


@forward("compares in single precision", call(w=1 + 2.0**-30))
class SingleComparison(MultiLayer):
    def fires(self, v, threshold):
        return v.astype(np.float32) > np.float32(threshold)


@forward("rounds the decay to half precision, and returns times alone", call(n_steps=2, decay=0.3, w=0.76921))
class TimesOfHalfDecay(Layer):
    def decay_at(self, decay, t):
        return decay.astype(np.float16).astype(decay.dtype)

    def report(self, spikes, membrane):
        return first_spikes(spikes), None


# ---- backward ---------------------------------------------------------------------------------------


@backward("rounds the surrogate's scale to a whole number", call(grad=1, scale=2.5, w=3))
class WholeScale(Layer):
    def surrogate(self, u, scale):
        return super().surrogate(u, int(scale))


@backward("takes a scale below 0.01 for 0", call(grad=1, scale=0.005, w=3))
class SmallScale(MultiLayer):
    def surrogate(self, u, scale):
        return super().surrogate(u, scale if scale >= 0.01 else 0)


@backward("stops the scale at 1000", call(grad=1, scale=1e4, w=3))
class ScaleStopped(Layer):
    def surrogate(self, u, scale):
        return super().surrogate(u, min(scale, 1000))


@backward("sets a surrogate below 1e-10 to 0", call(grad=1, scale=1e6, w=3))
class TinySurrogate(MultiLayer):
    def surrogate(self, u, scale):
        h = super().surrogate(u, scale)
        return np.where(h < 1e-10, 0, h)


@backward("clips the gradient that comes in at 8", call(grad=16))
class ClipsGradient(Layer):
    def backward(self, *arguments):
        return super().backward(*arguments[:-1], np.clip(arguments[-1], -8, 8))


@backward("stops the double sum at a million", call(grad=2e6))
class ClipsDoubleSum(Layer):
    def double_sum_back(self, gz):
        return np.clip(super().double_sum_back(gz), -1e6, 1e6)


@backward("carries no gradient below 1e-20", call(n_steps=2, w=3, grad=2.0**-100))
class TinyGradients(MultiLayer):
    def carry(self, gu, decay):
        gv = super().carry(gu, decay)
        return np.where(np.abs(gv) < 1e-20, 0, gv)


@backward("gives all gradients the exponent of the largest", call(n_out=2, grad=[1, 2.0**-90]))
class SharedGradientExponent(Layer):
    def integrate_back(self, gu, decay):
        return shared_exponent(super().integrate_back(gu, decay), 30)


@backward("takes the size of the threshold in the reset", call(n_steps=2, theta=-1.0, grad=1))
class GradientResetSize(MultiLayer):
    def through_reset(self, gv, threshold, gradient):
        return super().through_reset(gv, abs(threshold), gradient)
