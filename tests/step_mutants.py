"""Wrong training steps with one lie each, and a correct one in the same form, which must pass.

`Step` is a plain port of a whole network over the correct layers of `tests.mutants`; a mutant overrides a piece of it.
"""

import numpy as np

from tests.mutants import Layer, MultiLayer


class Step:
    """A correct step: ``step(spikes, labels, parameters, config)``."""

    def layer(self, config):
        return MultiLayer() if config["neuron"] == "multi-spike" else Layer()

    def rule(self, config):
        if config["neuron"] == "multi-spike":
            return "detached-reset" if config["detach_reset"] else "through-reset"
        return config["gradient"]

    def of(self, parameters, name):
        return tuple(parameters[f"{name}.{part}"] for part in ("weight", "bias", "decay"))

    def names(self, parameters):
        return [f"hidden{k + 1}" for k in range(len(parameters) // 3 - 1)]

    def over_time(self, potential, config):
        return potential.max(axis=1) if config["readout"] == "max" else potential.sum(axis=1)

    def scaled(self, value, config):
        return value * np.asarray(config["logit_scale"], value.dtype)

    def log_softmax(self, logits):
        shifted = logits - logits.max(axis=1, keepdims=True)
        return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))

    def reduced(self, losses):
        return losses.mean()

    def by_logits(self, log_p, labels):
        return (np.exp(log_p) - np.eye(log_p.shape[1], dtype=log_p.dtype)[labels]) / np.asarray(
            len(labels), log_p.dtype
        )

    def reached(self, potential, config):
        if config["readout"] == "sum":
            return np.ones_like(potential)
        steps = np.arange(potential.shape[1])[:, None]
        return (steps == potential.argmax(axis=1)[:, None]).astype(potential.dtype)

    def readout_back(self, entering, decay):
        return Layer().integrate_back(entering, decay)

    def project(self, grad_current, weight, above):
        return grad_current @ weight.T

    def penalty(self, config, batch):
        return np.asarray(config["spike_penalty"], config["dtype"]) / np.asarray(batch, config["dtype"])

    def decay_gradient(self, each, decay):
        return each if decay.ndim else each.sum()

    def finished(self, gradients, config):
        return gradients

    def __call__(self, spikes, labels, parameters, config):
        layer, signals = self.layer(config), [spikes]
        theta = np.asarray(config["threshold"], spikes.dtype)
        for name in self.names(parameters):
            signals.append(
                layer.forward(signals[-1], *self.of(parameters, name), theta)[0].astype(spikes.dtype)
            )
        weight, bias, decay = self.of(parameters, "readout")
        potential = Layer().integrate(signals[-1] @ weight + bias, decay)
        logits = self.scaled(self.over_time(potential, config), config)
        log_p = self.log_softmax(logits)
        penalty = self.penalty(config, len(labels))
        loss = self.reduced(-log_p[np.arange(len(labels)), labels])
        loss = loss + penalty * sum(signal.sum() for signal in signals[1:])
        by_value = self.scaled(self.by_logits(log_p, labels), config)
        grad_current = self.readout_back(by_value[:, None] * self.reached(potential, config), decay)
        gradients = {
            "readout.weight": np.einsum("bti,btj->ij", signals[-1], grad_current),
            "readout.bias": grad_current.sum(axis=(0, 1)),
            "readout.decay": self.decay_gradient(
                (grad_current[:, 1:] * potential[:, :-1]).sum(axis=(0, 1)), decay
            ),
        }
        arriving = self.project(grad_current, weight, gradients) + penalty
        scale = np.asarray(config["surrogate_scale"], spikes.dtype)
        for name, x in reversed(list(zip(self.names(parameters), signals))):
            weight, bias, decay = self.of(parameters, name)
            each = np.broadcast_to(decay, bias.shape)
            back = layer.backward(x, weight, bias, each, theta, scale, self.rule(config), arriving)
            gradients |= {f"{name}.{part}": back[part] for part in ("weight", "bias")}
            gradients[f"{name}.decay"] = self.decay_gradient(back["decay"], decay)
            arriving = back["spikes"] + penalty
        return {"logits": logits, "loss": loss} | self.finished(gradients, config)


MUTANTS = {}


def mutant(rule):
    """Register a wrong step, and the rule that it breaks."""

    def register(cls):
        MUTANTS[cls.__name__] = (cls, rule)
        return cls

    return register


@mutant("mean")
class SumsLoss(Step):
    """Loss and gradients summed over the batch."""

    def reduced(self, losses):
        return losses.sum()

    def by_logits(self, log_p, labels):
        return super().by_logits(log_p, labels) * len(labels)


@mutant("mean")
class SumsGradients(Step):
    """The loss is a mean, its gradients are not."""

    def by_logits(self, log_p, labels):
        return super().by_logits(log_p, labels) * len(labels)


@mutant("logit-scale")
class NoLogitScale(Step):
    """logit_scale is forgotten."""

    def scaled(self, value, config):
        return value


@mutant("logit-scale")
class NoLogitScaleBackward(Step):
    """logit_scale is forgotten backward."""

    def finished(self, gradients, config):
        return {name: array / config["logit_scale"] for name, array in gradients.items()}


@mutant("readout")
class AlwaysSums(Step):
    """The readout is a sum whatever config says."""

    def over_time(self, potential, config):
        return potential.sum(axis=1)

    def reached(self, potential, config):
        return np.ones_like(potential)


@mutant("peak")
class SharesPeak(Step):
    """Equal maxima share the gradient, as with torch.amax."""

    def reached(self, potential, config):
        if config["readout"] == "sum":
            return np.ones_like(potential)
        top = (potential == potential.max(axis=1, keepdims=True)).astype(potential.dtype)
        return top / top.sum(axis=1, keepdims=True)


@mutant("peak")
class LastPeak(Step):
    """The last of equal maxima has the gradient."""

    def reached(self, potential, config):
        return super().reached(potential[:, ::-1], config)[:, ::-1]


@mutant("peak")
class EveryStep(Step):
    """The gradient of the maximum enters in every step."""

    def reached(self, potential, config):
        return np.ones_like(potential)


@mutant("sign")
class WrongSign(Step):
    """onehot - p."""

    def by_logits(self, log_p, labels):
        return -super().by_logits(log_p, labels)


@mutant("nan")
class Overflows(Step):
    """A softmax that does not subtract the maximum."""

    def log_softmax(self, logits):
        with np.errstate(all="ignore"):
            return logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))


@mutant("loss")
class ClipsProbability(Step):
    """log(p + 1e-7), so that it is finite."""

    def log_softmax(self, logits):
        return np.log(np.exp(super().log_softmax(logits)) + np.asarray(1e-7, logits.dtype))


@mutant("decay-gradient")
class NoDecayGradient(Step):
    """The decays are constants."""

    def decay_gradient(self, each, decay):
        return 0 * super().decay_gradient(each, decay)


@mutant("decay-gradient")
class SumsDecayGradients(Step):
    """One gradient for all decays of a layer."""

    def decay_gradient(self, each, decay):
        return each.sum() + 0 * decay


@mutant("shape")
class DecayOfEachNeuron(Step):
    """A decay that neurons share has a gradient for each."""

    def decay_gradient(self, each, decay):
        return each


@mutant("gradient-rule")
class AlwaysGated(Step):
    """Gated whatever config says."""

    def rule(self, config):
        return "gated" if config["neuron"] == "single-spike" else super().rule(config)


@mutant("reset-gradient")
class AlwaysDetached(Step):
    """detach_reset whatever config says."""

    def rule(self, config):
        return "detached-reset" if config["neuron"] == "multi-spike" else super().rule(config)


@mutant("reset-gradient")
class NeverDetached(Step):
    """detach_reset is not read."""

    def rule(self, config):
        return super().rule(config | {"detach_reset": False})


@mutant("neuron")
class FiresAgain(Step):
    """Single-spike neurons where several spikes are asked for."""

    def layer(self, config):
        return Layer()

    def rule(self, config):
        return config["gradient"]


@mutant("threshold")
class FixedThreshold(Step):
    """The threshold is 1."""

    def __call__(self, spikes, labels, parameters, config):
        return super().__call__(spikes, labels, parameters, config | {"threshold": 1.0})


@mutant("surrogate-scale")
class FixedScale(Step):
    """The surrogate's scale is 10."""

    def __call__(self, spikes, labels, parameters, config):
        return super().__call__(spikes, labels, parameters, config | {"surrogate_scale": 10.0})


@mutant("hidden1")
class NoProjection(Step):
    """Every neuron of a layer gets the mean of the gradients above it, not their projection by the weight."""

    def project(self, grad_current, weight, above):
        return grad_current.mean(axis=2, keepdims=True) + np.zeros(len(weight), weight.dtype)


@mutant("shape")
class Transposed(Step):
    """The gradients of weights are (n_out, n_in)."""

    def finished(self, gradients, config):
        return {name: array.T for name, array in gradients.items()}


@mutant("transposed")
class TransposedSquare(Step):
    """The gradients of square weights are transposed, the others are not."""

    def finished(self, gradients, config):
        return {n: a.T if a.ndim == 2 and len(a) == a.shape[1] else a for n, a in gradients.items()}


@mutant("readout")
class DecayShifted(Step):
    """The readout's decay gradient takes the potential of the same step."""

    def readout_back(self, entering, decay):
        return super().readout_back(entering * 1, decay * 0 + np.asarray(0.95, decay.dtype))


@mutant("precision")
class SinglePrecision(Step):
    """float32 inside."""

    def __call__(self, spikes, labels, parameters, config):
        single = {name: array.astype(np.float32) for name, array in parameters.items()}
        return super().__call__(spikes.astype(np.float32), labels, single, config)


@mutant("non-deterministic")
class KeepsState(Step):
    """The gradients are added to those of the last call."""

    def __init__(self):
        self.last = {}

    def finished(self, gradients, config):
        same = {
            n: self.last.get(n, 0) if np.shape(self.last.get(n)) == np.shape(a) else 0
            for n, a in gradients.items()
        }
        self.last = {name: array + same[name] for name, array in gradients.items()}
        return dict(self.last)
