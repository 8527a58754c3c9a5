"""The check before every time: a training step agrees with the definition, within the rounding bound.

The reference is the definition evaluated in float64 (its own rounding is 2^-29 of what is judged). Spike
decisions of the solver are accepted where the bound leaves them open and then taken over, so that everything after
them is a sum of known terms. For such a sum, whatever its order, the error is at most ``gamma_m`` times the sum of
absolute values, m the roundings a term meets; where a factor carries an error e itself (or a term can underflow,
by eta a rounding), the absolute sum is formed a second time with ``|factor| + e``, and the difference is what that
error can do.

All this with BLAS on one thread: others, once woken, spin for some hundredths of a second more, on the cores that the
first timed runs need.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..loss import softmax_cross_entropy, softmax_cross_entropy_backward
from ..network import Activity, Network
from ..oracle.bounds import gamma, potential_bound
from ..solvers.compiled.threads import one_blas_thread
from ..spikes import SpikeEvents
from ..surrogate import fast_sigmoid_derivative

__all__ = ["disagreement", "layer_disagreement", "same_bits", "step_disagreement"]

Floats = NDArray[np.float64]


@dataclass
class _Judge:
    """Collects the first thing that is wrong."""

    faults: list[str] = field(default_factory=list)

    def within(self, name: str, came: NDArray[Any], exact: NDArray[Any], bound: NDArray[Any]) -> None:
        error = np.abs(came.astype(np.float64) - exact)
        wrong = ~(error <= bound)  # NaN is wrong too
        if wrong.any():
            place = tuple(int(k) for k in np.argwhere(wrong)[0]) if wrong.ndim else ()
            allowed = np.broadcast_to(bound, wrong.shape)[place]
            self.faults.append(
                f"{name}{list(place)}: expected {exact[place]:.7g} +- {allowed:.2g}, got {came[place]:.7g}"
            )

    def true(self, name: str, right: NDArray[np.bool_]) -> None:
        if not right.all():
            self.faults.append(f"{name}: {int((~right).sum())} of {right.size} wrong")

    @property
    def verdict(self) -> str | None:
        return self.faults[0] if self.faults else None


@one_blas_thread()
def disagreement(
    network: Network, spikes: SpikeEvents | NDArray[Any], labels: NDArray[np.int64], solver: str
) -> str | None:
    """First thing in which a training step by `solver` breaks the bound; None if it agrees.

    Parameters
    ----------
    network : Network
        With one hidden layer; left unchanged.
    spikes : SpikeEvents or raster
        A few samples.
    labels : (B,) int64
        Their classes.
    solver : str
        With the settings (`set_product`, `set_threads`) it will be timed with.
    """
    judge = _Judge()
    activity = network.forward(spikes, solver=solver)
    _, probabilities = softmax_cross_entropy(activity.logits, labels)
    grad_logits = softmax_cross_entropy_backward(probabilities, labels)
    gradients = network.backward(activity, grad_logits, solver=solver)
    raster = spikes.to_raster(np.float64) if isinstance(spikes, SpikeEvents) else spikes.astype(np.float64)
    upstream = _judge_readout(judge, network, activity, grad_logits, gradients)
    _judge_layer(
        judge, activity.hidden[0], raster, upstream,
        {part: gradients[f"hidden1.{part}"] for part in ("weight", "bias", "decay")},
        network.config.surrogate_scale, network.config.gradient, network.config.detach_reset,
    )  # fmt: skip
    return judge.verdict


@one_blas_thread()
def layer_disagreement(
    trace: Any, gradients: Any, raster: NDArray[Any], grad_spikes: NDArray[Any], scale: float, gradient: str
) -> str | None:
    """The same for a single layer, given its trace and gradients and the gradient by its spikes."""
    judge = _Judge()
    exact = grad_spikes.astype(np.float64)
    upstream = (exact, np.abs(exact), np.abs(exact), 0)
    parts = {part: getattr(gradients, part) for part in ("weight", "bias", "decay")}
    _judge_layer(judge, trace, raster.astype(np.float64), upstream, parts, scale, gradient, False)
    return judge.verdict


@one_blas_thread()
def same_bits(
    network: Network, spikes: Any, labels: NDArray[np.int64], solver: str, other: str
) -> str | None:
    """First array of a training step whose bits differ between two solvers; None if all are the same."""
    results = [network.loss_and_gradients(spikes, labels, solver=name) for name in (solver, other)]
    for (name, first), second in zip(results[0][1].items(), results[1][1].values()):
        if not np.array_equal(first, second):
            return f"gradient of {name}: bits differ from {other}"
    if results[0][0] != results[1][0]:
        return f"loss: expected {results[1][0]!r} as from {other}, got {results[0][0]!r}"
    return None


@one_blas_thread()
def step_disagreement(network: Network, spikes: Any, labels: NDArray[np.int64], solver: str) -> str | None:
    """Where a training step taken at once differs from the one layer by layer; None where it does not.

    Spikes and logits must have the same bits. The softmax is rounded by another exponential, which every
    gradient is proportional to: they may differ by a thousand roundings of the largest.
    """
    loss, gradients, outcome = network.training_step(spikes, labels, solver=solver)
    expected_loss, expected, activity = network.loss_and_gradients(spikes, labels, solver=solver)
    if (
        not np.array_equal(outcome.logits, activity.logits)
        or abs(loss - expected_loss) > 1e-4 * expected_loss
    ):
        return "the step taken at once has other logits or another loss than layer by layer"
    if not np.array_equal(outcome.spike_counts(), activity.spike_counts()):
        return "the step taken at once has other spikes than layer by layer"
    for name, right in expected.items():
        allowed = 1000 * np.finfo(right.dtype).eps * np.abs(right).max()
        if np.abs(gradients[name] - right).max() > allowed:
            return f"gradient of {name}: the step taken at once differs from layer by layer"
    return None


def _run(values: Floats, factor: Any) -> Floats:
    """``y[t] = values[t] + factor[t] y[t-1]`` along time; the factor may change with time."""
    factor = np.broadcast_to(factor, values.shape)
    out, state = np.empty_like(values), np.zeros_like(values[:, 0])
    for t in range(values.shape[1]):
        state = values[:, t] + factor[:, t] * state
        out[:, t] = state
    return out


def _run_back(values: Floats, factor: Any) -> Floats:
    return _run(values[:, ::-1], np.broadcast_to(factor, values.shape)[:, ::-1])[:, ::-1]


def _shape_of_decay(per_neuron: Floats, decay: NDArray[Any]) -> Floats:
    return per_neuron if decay.ndim else np.asarray(per_neuron.sum())


def _judge_readout(
    judge: _Judge,
    network: Network,
    activity: Activity,
    grad_logits: NDArray[Any],
    gradients: dict[str, NDArray[Any]],
) -> tuple[Floats, Floats, Floats, int]:
    """Readout forward and backward; returns gS, its absolute sum (low and high) and the roundings so far."""
    trace, config = activity.readout, network.config
    hidden = activity.hidden[0].spikes.astype(np.float64)
    weight, bias, decay = (np.asarray(a, np.float64) for a in (trace.weight, trace.bias, trace.decay))
    n_steps = hidden.shape[1]
    potential = _run(hidden @ weight + bias, decay)
    bound = potential_bound(hidden, weight, bias, decay, config.dtype)
    judge.within("readout potential", trace.membrane, potential, bound)
    unit = gamma(n_steps + 2, config.dtype)
    if config.readout == "max":
        assert trace.peak_times is not None
        value, value_bound = potential.max(axis=1), bound.max(axis=1)
        at_peak = np.take_along_axis(potential, trace.peak_times[:, None, :], axis=1)[:, 0]
        judge.true("step of the maximum", at_peak >= value - 2 * value_bound)
        reaches = (np.arange(n_steps)[None, :, None] == trace.peak_times[:, None, :]).astype(np.float64)
    else:
        value, value_bound = potential.sum(axis=1), bound.sum(axis=1)
        value_bound = value_bound + unit * (np.abs(potential) + bound).sum(axis=1)
        reaches = np.ones_like(potential)
    scale = config.logit_scale
    judge.within(
        "logits", trace.logits, scale * value, scale * (value_bound + unit * (np.abs(value) + value_bound))
    )
    grad_u = _run_back(scale * grad_logits.astype(np.float64)[:, None, :] * reaches, decay)
    low = np.abs(grad_u)  # decays are >= 0 and one sample's terms have one sign: nothing cancels
    roundings = 3 * n_steps + 4
    high = low + roundings * float(np.finfo(config.dtype).tiny)
    _judge_parameters(
        judge, "readout", {p: gradients[f"readout.{p}"] for p in ("weight", "bias", "decay")},
        hidden, (grad_u, low, high, roundings), potential, bound, trace.decay, config.dtype,
    )  # fmt: skip
    size = np.abs(weight).T
    return grad_u @ weight.T, low @ size, high @ size, roundings + weight.shape[1] + 2


def _judge_layer(
    judge: _Judge,
    trace: Any,
    raster: Floats,
    upstream: tuple[Floats, Floats, Floats, int],
    gradients: dict[str, NDArray[Any]],
    scale: float,
    gradient: str,
    detach_reset: bool,
) -> None:
    """A hidden layer, forward and backward, given the gradient by its spikes."""
    dtype, theta = trace.potential.dtype, float(trace.threshold)
    weight, bias, decay = (np.asarray(a, np.float64) for a in (trace.weight, trace.bias, trace.decay))
    n_steps = raster.shape[1]
    conventional = trace.neuron == "multi-spike"
    fired = trace.potential > trace.threshold
    current = raster @ weight + bias
    if conventional:  # given the resets, U is linear too
        current[:, 1:] -= decay * theta * fired[:, :-1]
    potential = _run(current, decay)
    bound = potential_bound(
        raster, weight, bias, decay, dtype, fired=fired if conventional else None, threshold=theta
    )
    judge.within("potential", trace.potential, potential, bound)
    if not conventional:
        first = np.where(fired.any(axis=1), fired.argmax(axis=1), n_steps)
        judge.true("spike times", np.asarray(trace.spike_times == first))
    grad_s, low, high, roundings = upstream
    distance, unit = potential - theta, float(np.finfo(dtype).eps) / 2
    near = bound + unit * (np.abs(distance) + bound)
    slope = fast_sigmoid_derivative(distance, scale)
    slope_error = 2 * scale * near / (1 + scale * np.maximum(np.abs(distance) - near, 0)) ** 3 + 10 * unit
    slope_error = np.minimum(slope_error, 1.0)  # h' lies between 0 and 1
    if conventional:
        keep = np.ones_like(slope) if detach_reset else 1 - theta * slope
        keep_error = (
            np.zeros_like(slope) if detach_reset else theta * slope_error + 4 * unit * (1 + theta * slope)
        )
        # gU[t] = c[t] beta gU[t+1] + gS[t] h'[t], c = 1 - theta h'
        grad_i = _run_back(grad_s * slope, keep * decay)
        low = _run_back(low * slope, np.abs(keep) * decay)
        high = _run_back(high * (slope + slope_error), (np.abs(keep) + keep_error) * decay)
    else:
        open_gate = np.ones(slope.shape)
        if gradient == "gated":
            open_gate = (np.arange(n_steps)[None, :, None] < trace.spike_times[:, None, :]).astype(np.float64)
        grad_i, low, high = (
            _run_back(_run_back(_run_back(g * open_gate, 1.0), 1.0) * h, decay)
            for g, h in ((grad_s, slope), (low, slope), (high, slope + slope_error))
        )
    roundings += 8 * n_steps + 8
    high = high + roundings * float(np.finfo(dtype).tiny)
    _judge_parameters(
        judge, "hidden layer", gradients, raster, (grad_i, low, high, roundings),
        potential - theta * fired if conventional else potential,
        bound + 2 * unit * (np.abs(potential) + bound + theta), trace.decay, dtype,
    )  # fmt: skip


def _judge_parameters(
    judge: _Judge,
    layer: str,
    gradients: dict[str, NDArray[Any]],
    raster: Floats,
    grad_current: tuple[Floats, Floats, Floats, int],
    membrane: Floats,
    bound: Floats,
    decay: NDArray[Any],
    dtype: Any,
) -> None:
    """Eqs. 10 and 9: gradients by weight, bias and decay from gI with its absolute sums."""
    grad_i, low, high, roundings = grad_current
    batch, n_steps, n_out = grad_i.shape
    share = float(gamma(roundings + (batch + 1) * n_steps + 8, dtype))
    error = (high - low) + share * high
    flat = raster.reshape(batch * n_steps, -1)
    judge.within(
        f"{layer}: gradient of weight",
        gradients["weight"],
        flat.T @ grad_i.reshape(-1, n_out),
        flat.T @ error.reshape(-1, n_out),
    )
    judge.within(
        f"{layer}: gradient of bias", gradients["bias"], grad_i.sum(axis=(0, 1)), error.sum(axis=(0, 1))
    )
    size = np.abs(membrane[:, :-1]) + bound[:, :-1]
    change = error[:, 1:] * size + low[:, 1:] * bound[:, :-1] + share * high[:, 1:] * size
    judge.within(
        f"{layer}: gradient of decay",
        gradients["decay"],
        _shape_of_decay((grad_i[:, 1:] * membrane[:, :-1]).sum(axis=(0, 1)), decay),
        _shape_of_decay(change.sum(axis=(0, 1)), decay) * (1 + float(gamma(n_out + 2, dtype))),
    )
