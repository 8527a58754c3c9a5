"""Wrong layers that hide: each answers small, ordinary calls rightly, and brings calls that show its one lie.

The lies of this file show at some size, those of `mutants_of_value` at some value of an argument, those of
`mutants_of_order` after some other call.
"""

import functools

import numpy as np

from tests.mutants import Layer, MultiLayer, mutant

HIDDEN = []
forward = functools.partial(mutant, "forward", into=HIDDEN)
backward = functools.partial(mutant, "backward", into=HIDDEN)


def call(batch=1, n_steps=1, n_in=1, n_out=1, *, x=1, w=1, b=0, decay=0.5, theta=1.0, **rest):
    """Arguments of a forward call or, with `grad`, of a backward one; every value is spread over its axes."""

    def spread(value, *shape):
        return np.broadcast_to(np.asarray(value, np.float64), shape).copy()

    data = (
        spread(x, batch, n_steps, n_in),
        spread(w, n_in, n_out),
        spread(b, n_out),
        spread(decay, n_out),
        theta,
    )
    if "grad" not in rest:
        return data
    grad = spread(rest["grad"], batch, n_steps, n_out)
    return (*data, rest.get("scale", 10.0), "straight-through", grad)


def only(step, n_steps):
    """Input of one neuron in that step alone."""
    return np.eye(n_steps)[step][:, None]


def whole(size, block):
    """How much of `size` lies in whole blocks; all of it if it is smaller than one."""
    return size // block * block or size


def first_spikes(raster):
    return np.where(raster.any(axis=1), raster.argmax(axis=1), raster.shape[1])


# ---- forward ----------------------------------------------------------------------------------------


@forward("takes inputs in blocks of 64 and drops the remainder", call(n_in=65))
class InputTail(Layer):
    def drive(self, x, weight, bias):
        end = whole(len(weight), 64)
        return x[:, :, :end] @ weight[:end] + bias


@forward("takes neurons in blocks of 32 and leaves the remainder at zero", call(n_out=33))
class NeuronTail(MultiLayer):
    def drive(self, x, weight, bias):
        current = super().drive(x, weight, bias)
        current[:, :, whole(len(bias), 32) :] = 0
        return current


@forward("takes steps in blocks of 1024 and leaves the remainder at zero", call(n_steps=1025))
class StepTail(Layer):
    def integrate(self, current, decay):
        out = super().integrate(current, decay)
        out[:, whole(out.shape[1], 1024) :] = 0
        return out


@forward("adds the last n mod 32 inputs, which are all where the remainder is 0 (`x[-0:]`)", call(n_in=32))
class TailTwice(Layer):
    def drive(self, x, weight, bias):
        rest = len(weight) % 32
        end = len(weight) - rest
        return x[:, :, :end] @ weight[:end] + x[:, :, -rest:] @ weight[-rest:] + bias


@forward(
    "keeps the step of a spike in int8, which indexes the raster", call(n_steps=130, x=only(129, 130), w=2)
)
class Steps8Bits(Layer):
    def select(self, faulty):
        first = first_spikes(faulty)
        raster = np.zeros_like(faulty)
        sample, neuron = np.nonzero(first < faulty.shape[1])
        raster[sample, first[sample, neuron].astype(np.int8), neuron] = True
        return raster


@forward("returns spike times in int16", call(n_steps=32768, w=0))
class Times16Bits(Layer):
    def report(self, spikes, membrane):
        return first_spikes(spikes).astype(np.int16), membrane


@forward("counts the events of a step in uint8", call(n_in=256))
class StepEvents8Bits(Layer):
    def drive(self, x, weight, bias):
        count = x.sum(axis=2, keepdims=True).astype(np.int64) & 255
        return (x * (np.cumsum(x, axis=2) <= count)) @ weight + bias


@forward("lists at most 128 active inputs a step", call(n_in=129))
class ActiveList(MultiLayer):
    def drive(self, x, weight, bias):
        return (x * (np.cumsum(x, axis=2) <= 128)) @ weight + bias


@forward("has room for 1024 events a sample", call(n_steps=5, n_in=257))
class EventBuffer(Layer):
    def drive(self, x, weight, bias):
        order = np.cumsum(x.reshape(len(x), -1), axis=1).reshape(x.shape)
        return (x * (order <= 1024)) @ weight + bias


@forward(
    "keeps the index of an input in uint8", call(n_in=257, x=np.eye(257)[256], w=np.arange(257)[:, None] > 0)
)
class InputIndex8Bits(MultiLayer):
    def drive(self, x, weight, bias):
        return x @ weight[np.arange(len(weight)) & 255] + bias


@forward("computes 65536 cells", call(n_out=65537, w=2))
class Cells16Bits(Layer):
    def report(self, spikes, membrane):
        for array in (spikes, membrane):
            array.reshape(-1)[65536:] = 0
        return spikes, membrane


@forward("has states for 16 samples, where those of the next 16 start", call(batch=17))
class SixteenStates(Layer):
    def start(self, current):
        return self.state[: len(current)]

    def integrate(self, current, decay):
        self.state, parts = np.zeros_like(current[:16, 0]), []
        for k in range(0, len(current), 16):
            parts.append(super().integrate(current[k : k + 16], decay))
            self.state = parts[-1][:, -1]
        return np.concatenate(parts)


@forward(
    "doubles the distance ten times, so that it sees 1024 steps back",
    call(n_steps=1025, decay=1, x=only(0, 1025)),
)
class TenPasses(Layer):
    def integrate(self, current, decay):
        v, power = current.copy(), decay.copy()
        for distance in 2 ** np.arange(10):
            v = np.concatenate([v[:, :distance], v[:, distance:] + power * v[:, :-distance]], axis=1)
            power = power * power
        return v


# ---- backward ---------------------------------------------------------------------------------------


@backward("sums the weight gradient over samples in blocks of 32, without the remainder", call(33, grad=1))
class BatchTail(Layer):
    def by_weight(self, x, gi):
        end = whole(len(x), 32)
        return super().by_weight(x[:end], gi[:end])


@backward("sums the bias gradient over rows in blocks of 4096, without the remainder", call(4097, grad=1))
class RowTail(Layer):
    def by_bias(self, gi):
        rows = gi.reshape(-1, gi.shape[2])
        return rows[: whole(len(rows), 4096)].sum(axis=0)


@backward(
    "sums the input gradient over neurons in blocks of 32, without the remainder", call(n_out=33, grad=1)
)
class SumTail(MultiLayer):
    def by_spikes(self, gi, weight):
        end = whole(weight.shape[1], 32)
        return gi[:, :, :end] @ weight[:, :end].T


@backward("adds the sums of 32 samples in a tree that loses an odd one", call(65, grad=1))
class OddLeaf(MultiLayer):
    def by_weight(self, x, gi):
        sums = [super(OddLeaf, self).by_weight(x[k : k + 32], gi[k : k + 32]) for k in range(0, len(x), 32)]
        while len(sums) > 1:
            half = len(sums) // 2
            sums = [a + b for a, b in zip(sums[:half], sums[half:])]
        return sums[0]


@backward("keeps the row of the weight gradient in uint8", call(n_in=257, grad=1))
class GradientRow8Bits(Layer):
    def by_weight(self, x, gi):
        rows = super().by_weight(x, gi)
        out = np.zeros_like(rows)
        np.add.at(out, np.arange(len(rows)) & 255, rows)
        return out


@backward("goes through 65536 cells", call(n_out=65537, grad=1))
class GradientCells16Bits(Layer):
    def integrate_back(self, gu, decay):
        gi = np.ascontiguousarray(super().integrate_back(gu, decay))
        gi.reshape(-1)[65536:] = 0
        return gi


@backward("has a thread for each of 1024 neurons", call(n_out=1025, grad=1))
class ThousandThreads(MultiLayer):
    def surrogate(self, u, scale):
        return super().surrogate(u, scale) * (np.arange(u.shape[-1]) < 1024)


@backward("carries no gradient from one block of 1024 steps to the one before", call(n_steps=1025, grad=1))
class StepBlocksCut(Layer):
    def integrate_back(self, gu, decay):
        blocks = [gu[:, k : k + 1024] for k in range(0, gu.shape[1], 1024)]
        return np.concatenate([super(StepBlocksCut, self).integrate_back(b, decay) for b in blocks], axis=1)


@backward("keeps the ramp t - k + 1 in int16", call(n_steps=32768, grad=1))
class Ramp16Bits(Layer):
    def double_sum_back(self, gz):
        out = super().double_sum_back(gz)
        later = np.cumsum(gz[:, ::-1], axis=1)[:, ::-1]
        out[:, :-32767] -= 65536 * later[:, 32767:]
        return out
