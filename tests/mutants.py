"""Wrong layers with one lie each. Every one must be caught; a correct layer in the same form must not.

`Layer` is a plain port of the equations, cut into small methods; a mutant overrides one of them.
"""

from dataclasses import dataclass

import numpy as np


class Layer:
    """A correct port. Shapes are (batch, time, neuron); `self` holds nothing between calls unless a mutant lies."""

    reverse = slice(None, None, -1)

    # ---- forward --------------------------------------------------------------------------------

    def drive(self, x, weight, bias):
        return x @ weight + bias

    def decay_at(self, decay, t):
        return decay

    def start(self, current):
        return np.zeros_like(current[:, 0])

    def integrate(self, current, decay):
        out, v = np.empty_like(current), self.start(current)
        for t in range(current.shape[1]):
            v = self.decay_at(decay, t) * v + current[:, t]
            out[:, t] = v
        return out

    def fires(self, v, threshold):
        return v > threshold

    def select(self, faulty):
        return self.double_sum(faulty) == 1

    def double_sum(self, faulty):
        return np.cumsum(np.cumsum(faulty.astype(np.int64), axis=1), axis=1)

    def report(self, spikes, membrane):
        return spikes, membrane

    def forward(self, spikes, weight, bias, decay, threshold):
        v = self.integrate(self.drive(spikes, weight, bias), decay)
        return self.report(self.select(self.fires(v, threshold)).astype(weight.dtype), v)

    # ---- backward -------------------------------------------------------------------------------

    def gate(self, z, gradient, dtype):
        return np.ones(z.shape, dtype) if gradient == "straight-through" else (z == 0).astype(dtype)

    def double_sum_back(self, gz):
        r = self.reverse
        return np.cumsum(np.cumsum(gz[:, r], axis=1), axis=1)[:, r]

    def surrogate(self, u, scale):
        return (1 / (1 + scale * np.abs(u))) ** 2

    def integrate_back(self, gu, decay):
        return self.plain_integrate(gu[:, self.reverse], decay)[:, self.reverse]

    @staticmethod
    def plain_integrate(current, decay):
        out, v = np.empty_like(current), np.zeros_like(current[:, 0])
        for t in range(current.shape[1]):
            v = decay * v + current[:, t]
            out[:, t] = v
        return out

    def by_weight(self, x, gi):
        return np.einsum("bti,btj->ij", x, gi)

    def by_bias(self, gi):
        return gi.sum(axis=(0, 1))

    def by_decay(self, gi, v, decay):
        return (gi[:, 1:] * v[:, :-1]).sum(axis=(0, 1))

    def by_spikes(self, gi, weight):
        return gi @ weight.T

    def backward(self, spikes, weight, bias, decay, threshold, surrogate_scale, gradient, grad_spikes):
        v = self.plain_integrate(spikes @ weight + bias, decay)
        z = np.cumsum(np.cumsum((v > threshold).astype(np.int64), axis=1), axis=1)
        gz = grad_spikes * self.gate(z, gradient, v.dtype)
        gu = self.double_sum_back(gz) * self.surrogate(v - threshold, surrogate_scale)
        gi = self.integrate_back(gu, decay)
        return {
            "spikes": self.by_spikes(gi, weight),
            "weight": self.by_weight(spikes, gi),
            "bias": self.by_bias(gi),
            "decay": self.by_decay(gi, v, decay),
        }


class MultiLayer(Layer):
    """The conventional layer, correct."""

    def reset(self, u, fired, threshold):
        return u - threshold * fired

    def run(self, spikes, weight, bias, decay, threshold):
        current = self.drive(spikes, weight, bias)
        u, s, v = (np.empty_like(current) for _ in range(3))
        state = self.start(current)
        for t in range(current.shape[1]):
            u[:, t] = decay * state + current[:, t]
            s[:, t] = self.fires(u[:, t], threshold)
            v[:, t] = state = self.reset(u[:, t], s[:, t], threshold)
        return u, s, v

    def forward(self, spikes, weight, bias, decay, threshold):
        _, s, v = self.run(spikes, weight, bias, decay, threshold)
        return self.report(s, v)

    def through_reset(self, gv, threshold, gradient):
        return 0 * gv if gradient == "detached-reset" else threshold * gv

    def carry(self, gu, decay):
        return decay * gu

    def backward(self, spikes, weight, bias, decay, threshold, surrogate_scale, gradient, grad_spikes):
        u, _, v = MultiLayer.run(MultiLayer(), spikes, weight, bias, decay, threshold)
        gi = np.empty_like(u)
        gu = np.zeros_like(u[:, 0])
        for t in reversed(range(u.shape[1])):
            gv = self.carry(gu, decay)
            gs = grad_spikes[:, t] - self.through_reset(gv, threshold, gradient)
            gu = gv + gs * self.surrogate(u[:, t] - threshold, surrogate_scale)
            gi[:, t] = gu
        return {
            "spikes": self.by_spikes(gi, weight),
            "weight": self.by_weight(spikes, gi),
            "bias": self.by_bias(gi),
            "decay": self.by_decay(gi, v, decay),
        }


@dataclass(frozen=True)
class Mutant:
    name: str
    neuron: str  # "single-spike" or "multi-spike"
    breaks: str  # "forward" or "backward"
    lie: str
    port: Layer
    rule: str  # by which a check names it
    witness: tuple = ()  # arguments of calls, one after the other, in the answers to which the lie is seen

    @property
    def forward(self):
        return self.port.forward

    @property
    def backward(self):
        return self.port.backward


MUTANTS = []


def mutant(breaks, lie, *witness, into=MUTANTS, rule=""):
    def register(cls):
        neuron = "multi-spike" if issubclass(cls, MultiLayer) else "single-spike"
        into.append(Mutant(cls.__name__, neuron, breaks, lie, cls(), rule, witness))
        return cls

    return register


# ---- forward --------------------------------------------------------------------------------------


@mutant("forward", "fires at the threshold", rule="tie")
class TieFires(Layer):
    def fires(self, v, threshold):
        return v >= threshold


@mutant("forward", "fires at every crossing", rule="first-only")
class FiresAgain(Layer):
    def select(self, faulty):
        return faulty


@mutant("forward", "fires twice", rule="first-only")
class FiresTwice(Layer):
    def select(self, faulty):
        return faulty & (np.cumsum(faulty, axis=1) <= 2)


@mutant("forward", "reports the spike one step late", rule="spike-step")
class OneStepLate(Layer):
    def report(self, spikes, membrane):
        late = np.zeros_like(spikes)
        late[:, 1:] = spikes[:, :-1]
        return late, membrane


@mutant("forward", "reports the spike one step early", rule="spike-step")
class OneStepEarly(Layer):
    def report(self, spikes, membrane):
        early = np.zeros_like(spikes)
        early[:, :-1] = spikes[:, 1:]
        return early, membrane


@mutant("forward", "keeps the last crossing instead of the first", rule="first-only")
class LastCrossing(Layer):
    def select(self, faulty):
        return super().select(faulty[:, ::-1])[:, ::-1]


@mutant("forward", "never fires in the last step", rule="last-step")
class MissesLastStep(Layer):
    def select(self, faulty):
        spikes = super().select(faulty)
        spikes[:, -1] = False
        return spikes


@mutant("forward", "never fires in the first step", rule="first-step")
class MissesFirstStep(Layer):
    def select(self, faulty):
        faulty = faulty.copy()
        faulty[:, 0] = False
        return super().select(faulty)


@mutant("forward", "leaves out the decay", rule="leak")
class NoDecay(Layer):
    def decay_at(self, decay, t):
        return np.ones_like(decay)


@mutant("forward", "decays the current of the same step too (power k + 1)", rule="leak")
class DecaysTooEarly(Layer):
    def integrate(self, current, decay):
        return decay * super().integrate(current, decay)


@mutant("forward", "uses the first neuron's decay for all", rule="decay-per-neuron")
class FirstDecay(Layer):
    def decay_at(self, decay, t):
        return np.full_like(decay, np.ravel(decay)[0])


@mutant("forward", "scales the input by one minus the decay", rule="input-scale")
class ScaledInput(Layer):
    def integrate(self, current, decay):
        return super().integrate((1 - decay) * current, decay)


@mutant("forward", "adds the bias in the first step only", rule="bias")
class BiasOnce(Layer):
    def drive(self, x, weight, bias):
        current = x @ weight
        current[:, 0] += bias
        return current


@mutant("forward", "forgets the bias", rule="bias")
class NoBias(Layer):
    def drive(self, x, weight, bias):
        return x @ weight


@mutant("forward", "reads the weight transposed where it is square", rule="weight-orientation")
class TransposedWeight(Layer):
    def drive(self, x, weight, bias):
        return x @ (weight.T if weight.shape[0] == weight.shape[1] else weight) + bias


@mutant("forward", "ignores the last input neuron", rule="inputs")
class DropsLastInput(Layer):
    def drive(self, x, weight, bias):
        return (x[:, :, :-1] @ weight[:-1] if x.shape[2] > 1 else x @ weight) + bias


@mutant("forward", "reverses the batch", rule="batch")
class BatchMixed(Layer):
    def drive(self, x, weight, bias):
        return x[::-1] @ weight + bias


@mutant("forward", "starts from where the last call ended", rule="non-deterministic")
class KeepsState(Layer):
    left = None

    def start(self, current):
        fresh = np.zeros_like(current[:, 0])
        if self.left is not None and self.left.shape == fresh.shape:
            return self.left.astype(fresh.dtype)
        return fresh

    def integrate(self, current, decay):
        v = super().integrate(current, decay)
        self.left = v[:, -1].copy()
        return v


@mutant("forward", "accumulates in half precision", rule="precision")
class HalfPrecision(Layer):
    def integrate(self, current, decay):
        with np.errstate(over="ignore", invalid="ignore"):
            half = super().integrate(current.astype(np.float16), decay.astype(np.float16))
        return half.astype(current.dtype)


@mutant("forward", "rounds the decay to half precision", rule="precision")
class HalfDecay(Layer):
    def decay_at(self, decay, t):
        return decay.astype(np.float16).astype(decay.dtype)


@mutant("forward", "resets the membrane after the spike", rule="reset")
class Resets(Layer):
    def integrate(self, current, decay):
        return MultiLayer.run(MultiLayer(), current, np.eye(current.shape[2]), 0, decay, 1.0)[2].astype(
            current.dtype
        )


@mutant("forward", "forgets negative potentials", rule="clip")
class Rectifies(Layer):
    def integrate(self, current, decay):
        out, v = np.empty_like(current), self.start(current)
        for t in range(current.shape[1]):
            v = np.maximum(decay * v + current[:, t], 0)
            out[:, t] = v
        return out


@mutant("forward", "uses threshold 1 whatever is asked", rule="threshold")
class FixedThreshold(Layer):
    def fires(self, v, threshold):
        return v > 1.0


@mutant("forward", "does not write the last neuron's last membrane value", rule="nan")
class Uninitialised(Layer):
    def report(self, spikes, membrane):
        membrane = membrane.copy()
        membrane[-1, -1, -1] = np.nan
        return spikes, membrane


@mutant("forward", "counts in eight bits", rule="first-only")
class SmallCounter(Layer):
    def double_sum(self, faulty):
        return np.cumsum(np.cumsum(faulty, axis=1, dtype=np.uint8), axis=1, dtype=np.uint8)


@mutant("forward", "sums once where it should twice: spikes go on until the next crossing", rule="first-only")
class SumsCrossingsOnce(Layer):
    def double_sum(self, faulty):
        return np.cumsum(faulty, axis=1)


@mutant("forward", "keeps the first spikes of a conventional neuron, with its reset", rule="reset")
class LaterSpikesRemoved(Layer):
    def forward(self, spikes, weight, bias, decay, threshold):
        u, s, _ = MultiLayer().run(spikes, weight, bias, decay, threshold)
        return s * (np.cumsum(s, axis=1) == 1), u


# ---- backward -------------------------------------------------------------------------------------


@mutant("backward", "forgets the decay in the gradient", rule="leak-gradient")
class BackwardNoDecay(Layer):
    def integrate_back(self, gu, decay):
        return super().integrate_back(gu, np.ones_like(decay))


@mutant("backward", "does not carry the gradient to earlier steps", rule="leak-gradient")
class BackwardMemoryless(Layer):
    def integrate_back(self, gu, decay):
        return gu


@mutant("backward", "integrates the gradient forward in time", rule="leak-gradient")
class BackwardForward(Layer):
    def integrate_back(self, gu, decay):
        return self.plain_integrate(gu, decay)


@mutant("backward", "lets the gate close one step late", rule="gate")
class GateLate(Layer):
    def gate(self, z, gradient, dtype):
        return super().gate(z, gradient, dtype) if gradient == "straight-through" else (z <= 1).astype(dtype)


@mutant("backward", "closes the gate one step early", rule="gate")
class GateEarly(Layer):
    def gate(self, z, gradient, dtype):
        gate = super().gate(z, gradient, dtype)
        if gradient == "gated":
            gate[:, :-1] *= gate[:, 1:].copy()
        return gate


@mutant("backward", "swaps the two gradients", rule="gate")
class GateSwapped(Layer):
    def gate(self, z, gradient, dtype):
        other = "gated" if gradient == "straight-through" else "straight-through"
        return super().gate(z, other, dtype)


@mutant("backward", "sums once instead of twice", rule="double-sum")
class SumsOnce(Layer):
    def double_sum_back(self, gz):
        return np.cumsum(gz[:, ::-1], axis=1)[:, ::-1]


@mutant("backward", "weighs by t - k instead of t - k + 1", rule="double-sum")
class SumShifted(Layer):
    def double_sum_back(self, gz):
        return super().double_sum_back(gz) - np.cumsum(gz[:, ::-1], axis=1)[:, ::-1]


@mutant("backward", "centres the surrogate at zero", rule="surrogate")
class SurrogateAtZero(Layer):
    def backward(self, spikes, weight, bias, decay, threshold, surrogate_scale, gradient, grad_spikes):
        self.shift = threshold
        rest = threshold, surrogate_scale, gradient, grad_spikes
        return super().backward(spikes, weight, bias, decay, *rest)

    def surrogate(self, u, scale):
        return super().surrogate(u + self.shift, scale)


@mutant("backward", "does not square the surrogate", rule="surrogate")
class SurrogateNotSquared(Layer):
    def surrogate(self, u, scale):
        return 1 / (1 + scale * np.abs(u))


@mutant("backward", "divides the surrogate by its scale", rule="surrogate")
class SurrogateScaled(Layer):
    def surrogate(self, u, scale):
        return super().surrogate(u, scale) / max(scale, 1)


@mutant("backward", "has the wrong sign", rule="sign")
class WrongSign(Layer):
    def integrate_back(self, gu, decay):
        return -super().integrate_back(gu, decay)


@mutant("backward", "pairs the decay's gradient with V[t] instead of V[t-1]", rule="decay-gradient")
class DecayShifted(Layer):
    def by_decay(self, gi, v, decay):
        return (gi * v).sum(axis=(0, 1))


@mutant("backward", "sums the gradient of the decay over the neurons", rule="decay-gradient")
class DecaySummed(Layer):
    def by_decay(self, gi, v, decay):
        by_neuron = super().by_decay(gi, v, decay)
        return np.full_like(by_neuron, by_neuron.sum())


@mutant("backward", "averages over the batch", rule="batch-sum")
class AveragesBatch(Layer):
    def by_weight(self, x, gi):
        return super().by_weight(x, gi) / (len(x) + 1e-300)


@mutant("backward", "leaves the last step out of the bias gradient", rule="last-step")
class BiasMissesStep(Layer):
    def by_bias(self, gi):
        return gi[:, :-1].sum(axis=(0, 1))


@mutant("backward", "multiplies by the weight of the wrong neuron", rule="input-gradient")
class WrongWeight(Layer):
    def by_spikes(self, gi, weight):
        return gi @ np.roll(weight, 1, axis=1).T


@mutant("backward", "shifts the input by one step in the weight gradient", rule="input-step")
class InputShifted(Layer):
    def by_weight(self, x, gi):
        return super().by_weight(np.roll(x, 1, axis=1), gi)


@mutant("backward", "sums the weight gradient in half precision", rule="precision")
class HalfGradient(Layer):
    def by_weight(self, x, gi):
        with np.errstate(over="ignore"):
            return super().by_weight(x.astype(np.float16), gi.astype(np.float16)).astype(gi.dtype)


# ---- the conventional layer -----------------------------------------------------------------------


@mutant("forward", "resets to zero", rule="reset")
class ResetsToZero(MultiLayer):
    def reset(self, u, fired, threshold):
        return np.where(fired > 0, 0, u)


@mutant("forward", "never resets", rule="reset")
class NeverResets(MultiLayer):
    def reset(self, u, fired, threshold):
        return u


@mutant("forward", "fires at the threshold", rule="tie")
class MultiTieFires(MultiLayer):
    def fires(self, v, threshold):
        return v >= threshold


@mutant("forward", "reports the potential before the reset", rule="reset")
class ReportsBeforeReset(MultiLayer):
    def forward(self, spikes, weight, bias, decay, threshold):
        u, s, _ = self.run(spikes, weight, bias, decay, threshold)
        return s, u


@mutant("backward", "treats the reset the other way", rule="reset-gradient")
class ResetSwapped(MultiLayer):
    def through_reset(self, gv, threshold, gradient):
        return threshold * gv if gradient == "detached-reset" else 0 * gv


@mutant("backward", "adds the gradient of the reset", rule="reset-gradient")
class ResetSign(MultiLayer):
    def through_reset(self, gv, threshold, gradient):
        right = super().through_reset(gv, threshold, gradient)
        return threshold * gv if gradient == "detached-reset" else -right


@mutant("backward", "forgets the decay in the gradient", rule="leak-gradient")
class MultiBackwardNoDecay(MultiLayer):
    def carry(self, gu, decay):
        return gu
