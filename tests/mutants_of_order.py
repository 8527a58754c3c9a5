"""Wrong layers whose one lie shows only after some other call."""

import numpy as np

from tests.mutants import Layer, MultiLayer
from tests.mutants_of_size import backward, call, forward, only


class Remembers(Layer):
    """Answers as before where shapes, dtype and what `looks` returns are as before."""

    def __init__(self):
        self.known = {}

    def remembered(self, run, arguments):
        arrays = [np.asarray(a) for a in arguments]
        key = (*[(a.shape, a.dtype.str) for a in arrays], self.looks(*[a.tobytes() for a in arrays]))
        if key not in self.known:
            self.known[key] = run(*arguments)
        return self.known[key]

    def forward(self, *arguments):
        raster, membrane = self.remembered(super().forward, arguments)
        return raster.copy(), membrane.copy()


class RemembersBackward(Remembers):
    def forward(self, *arguments):
        return super(Remembers, self).forward(*arguments)

    def backward(self, *arguments):
        found = self.remembered(super().backward, arguments)
        return {name: gradient.copy() for name, gradient in found.items()}


@forward("remembers answers, whatever the threshold", call(w=2), call(w=2, theta=3.0))
class KeyWithoutThreshold(Remembers):
    def looks(self, x, weight, bias, decay, threshold):
        return x, weight, bias, decay


@forward("remembers answers, whatever the bias", call(w=2), call(w=2, b=1))
class KeyWithoutBias(Remembers):
    def looks(self, x, weight, bias, decay, threshold):
        return x, weight, decay, threshold


@forward("remembers answers, whatever the decay", call(n_steps=2), call(n_steps=2, decay=0.25))
class KeyWithoutDecay(Remembers, MultiLayer):
    def looks(self, x, weight, bias, decay, threshold):
        return x, weight, bias, threshold


@forward("knows weights by their first 16 bytes", call(n_in=3), call(n_in=3, w=[[1], [1], [2]]))
class KeyOfFirstBytes(Remembers):
    def looks(self, x, weight, *rest):
        return x, weight[:16], *rest


@forward("knows spikes by their number", call(n_steps=2, x=only(0, 2)), call(n_steps=2, x=only(1, 2)))
class KeyOfSpikeCount(Remembers):
    def looks(self, x, *rest):
        return sum(x), *rest


@backward("remembers gradients, whatever the scale", call(grad=1, w=2), call(grad=1, w=2, scale=1.0))
class GradientKeyWithoutScale(RemembersBackward):
    def looks(self, x, weight, bias, decay, threshold, scale, *rest):
        return x, weight, bias, decay, threshold, *rest


@backward("remembers gradients, whatever the threshold", call(grad=1), call(grad=1, theta=3.0))
class GradientKeyWithoutThreshold(RemembersBackward, MultiLayer):
    def looks(self, x, weight, bias, decay, threshold, *rest):
        return x, weight, bias, decay, *rest


@backward("remembers gradients, whatever gradient comes in", call(grad=1), call(grad=2))
class GradientKeyWithoutGradient(RemembersBackward):
    def looks(self, *arguments):
        return arguments[:-1]


class Rooms(Layer):
    """Keeps memory from call to call."""

    def __init__(self):
        self.rooms = {}

    def room(self, *key, of):
        """The memory kept under that key and dtype, at first a copy of `of`."""
        return self.rooms.setdefault((*key, of.dtype.str), of.copy())


@forward("returns the potential in memory that the next call writes", call(), call(w=0.5))
class OneMembrane(Rooms):
    def report(self, spikes, membrane):
        room = self.room(membrane.shape, of=membrane)
        room[...] = membrane
        return spikes, room


@forward("returns spikes in memory that the next call writes", call(), call(w=2))
class OneRaster(Rooms, MultiLayer):
    def report(self, spikes, membrane):
        room = self.room(spikes.shape, of=spikes)
        room[...] = spikes
        return room, membrane


@backward("returns the weight gradient in memory that the next call writes", call(grad=1), call(grad=2))
class OneGradient(Rooms):
    def by_weight(self, x, gi):
        gradient = super().by_weight(x, gi)
        room = self.room(gradient.shape, of=gradient)
        room[...] = gradient
        return room


@backward("adds weight gradients up in 16 arrays that it clears when it makes them", *[call(grad=1)] * 17)
class SixteenGradients(Rooms):
    def backward(self, *arguments):
        found = super().backward(*arguments)
        shapes = arguments[0].shape, arguments[1].shape, arguments[-1].dtype
        turn = self.rooms[shapes] = self.rooms.get(shapes, -1) + 1
        room = self.room(shapes, turn % 16, of=0 * found["weight"])
        room += found["weight"]
        return found | {"weight": room.copy()}


@forward("compiles the first threshold of each shape into the kernel", call(w=2), call(w=2, theta=3.0))
class ThresholdBakedIn(Rooms):
    def fires(self, v, threshold):
        return v > self.room(v.shape, of=np.array(threshold, v.dtype))


@forward("keeps the first decay of each shape", call(n_steps=2), call(n_steps=2, decay=0.25))
class DecayBakedIn(Rooms):
    def integrate(self, current, decay):
        return super().integrate(current, self.room(current.shape, of=decay))


@backward(
    "compiles the first scale of each shape into the kernel", call(w=2, grad=1), call(w=2, grad=1, scale=1.0)
)
class ScaleBakedIn(Rooms, MultiLayer):
    def surrogate(self, u, scale):
        return super().surrogate(u, self.room(u.shape, of=np.array(scale, u.dtype)))


@forward("pads 64 inputs and more in memory that it does not clear", call(n_in=128), call(n_in=65))
class DirtyPadding(Rooms):
    def drive(self, x, weight, bias):
        n_in, padded = len(weight), -(-len(weight) // 64) * 64
        if n_in < 64:
            return super().drive(x, weight, bias)
        inputs = self.room(x.shape[:2], padded, of=np.zeros((*x.shape[:2], padded), x.dtype))
        weights = self.room(padded, len(bias), of=np.zeros((padded, len(bias)), x.dtype))
        inputs[:, :, :n_in], weights[:n_in] = x, weight
        return super().drive(inputs, weights, bias)


@backward("sums all rows of memory that a larger call left", call(512, grad=1), call(300, grad=1))
class DirtyRows(Rooms):
    def by_bias(self, gi):
        rows = gi.reshape(-1, gi.shape[2])
        if len(rows) <= 256:
            return super().by_bias(gi)
        kept = self.rooms.get(key := (gi.shape[2], gi.dtype.str), rows)
        self.rooms[key] = np.concatenate([rows, kept[len(rows) :]])
        return self.rooms[key].sum(axis=0)


@forward("copies a large answer before it is there, once in eleven calls", *[call(n_out=4096)] * 11)
class NotSynchronised(Rooms):
    def report(self, spikes, membrane):
        large = self.rooms["calls"] = self.rooms.get("calls", 0) + (membrane.size >= 4096)
        if membrane.size >= 4096 and large % 11 == 0:
            membrane[-1, -1, -32:] = 0
        return spikes, membrane


@backward("loses a thread's share of more than 16 samples, once in seven calls", *[call(17, grad=1)] * 7)
class LostUpdate(Rooms):
    def by_weight(self, x, gi):
        large = self.rooms["calls"] = self.rooms.get("calls", 0) + (len(x) > 16)
        lost = len(x) > 16 and large % 7 == 0
        return super().by_weight(x[: len(x) - lost], gi[: len(x) - lost])


class UsesSaved(Rooms):
    """Differentiates at the potential that the last forward call of that shape left."""

    def report(self, spikes, membrane):
        self.rooms = {membrane.shape: membrane.copy()}
        return spikes, membrane


@backward(
    "differentiates at the potential of the last forward call of that shape",
    call(n_steps=2, w=2),
    call(n_steps=2, w=3, grad=1),
)
class PotentialOfLastCall(UsesSaved):
    def by_decay(self, gi, v, decay):
        return super().by_decay(gi, self.rooms.get(v.shape, v), decay)
