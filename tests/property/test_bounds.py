"""On any floats every solver stays within the derived rounding bound, and fires when it may; so do honest ports."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minisnn
from minisnn import oracle
from minisnn.oracle import plan
from minisnn.oracle.bounds import potential_bound
from minisnn.oracle.cases import GRADIENTS
from minisnn.oracle.judge import Judge, judge_spike_times
from minisnn.oracle.port import Output
from minisnn.oracle.reference import first_spikes, reference_backward, reference_forward
from tests import honest_ports as ports
from tests.strategies import SOLVERS, float_cases


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("solver", SOLVERS)
@given(data=st.data())
def test_membrane_and_spike_times(solver, dtype, data):
    case = data.draw(float_cases(dtype=dtype))
    spikes, weight, bias, decay = case.layer
    layer = oracle.Case("drawn", "single-spike", spikes, weight, bias, np.broadcast_to(decay, bias.shape))
    exact, bound = reference_forward(layer), potential_bound(layer)
    trace = minisnn.single_spike_forward(*case.layer, solver=solver)
    assert np.all(np.abs(trace.membrane - exact.potential) <= bound)
    assert judge_spike_times(trace.spike_times, exact.potential, bound).right.all()


# ---- no correct arithmetic is ever refused ------------------------------------------------------------


def _flushed(array):
    """A result as hardware gives it that has no subnormal numbers."""
    return np.where(np.abs(array) < np.finfo(array.dtype).tiny, 0, array).astype(array.dtype)


def _flushing(spikes, weight, bias, decay, threshold, *rest):
    """Both layers' arithmetic where subnormal arguments and results count as zero; powers of the decay ready-made."""
    neuron, *rest = rest
    x, w, b, beta = (_flushed(a) for a in (spikes, weight, bias, decay))
    theta, z = w.dtype.type(threshold), _flushed
    current = z(z(x @ w) + b)
    v, u, fired = (np.zeros_like(current) for _ in range(3))
    state = np.zeros_like(current[:, 0])
    for t in range(current.shape[1]):
        u[:, t] = state = z(z(beta * state) + current[:, t])
        if neuron == "multi-spike":
            fired[:, t] = state > theta
            state = z(state - theta * fired[:, t])
        v[:, t] = state
    if neuron == "single-spike":
        for t in range(
            current.shape[1]
        ):  # once more as a convolution: powers underflow before they are multiplied
            powers = z(beta ** np.arange(t, -1, -1, dtype=w.dtype)[:, None])
            v[:, t] = u[:, t] = z(z(powers * current[:, : t + 1]).sum(axis=1))
        fired = (u > theta) & (np.cumsum(u > theta, axis=1) == 1)
    if not rest:
        return fired, v
    scale, gradient, grad_s = rest
    h = z(1 / (1 + z(w.dtype.type(scale) * np.abs(z(u - theta))))) ** 2
    h, grad_s = z(h), _flushed(grad_s)
    if gradient == "gated":
        grad_s = grad_s * (np.cumsum(u > theta, axis=1) == 0)
    total = crossings = state = np.zeros_like(u[:, 0])
    grad_i = np.empty_like(u)
    for t in reversed(range(u.shape[1])):
        if neuron == "single-spike":
            total = z(total + grad_s[:, t])
            crossings = z(crossings + total)
            state = z(z(crossings * h[:, t]) + z(beta * state))
        else:
            carried = z(beta * state)
            through = 0 if gradient == "detached-reset" else z(theta * carried)
            state = z(carried + z(z(grad_s[:, t] - through) * h[:, t]))
        grad_i[:, t] = state
    return {
        "spikes": z(z(grad_i[:, :, None] * w).sum(axis=3)),
        "weight": z(np.einsum("bti,btn->in", x, grad_i)),
        "bias": z(grad_i.sum(axis=(0, 1))),
        "decay": z(z(grad_i[:, 1:] * v[:, :-1]).sum(axis=(0, 1))),
    }


def _flushing_port(neuron):
    return (
        lambda *arguments: _flushing(*arguments, neuron),
        lambda *arguments: _flushing(*arguments[:5], neuron, *arguments[5:]),
    )


HONEST = {
    "single-spike": ports.SINGLE | {"flushing": _flushing_port("single-spike")},
    "multi-spike": ports.MULTI | {"flushing": _flushing_port("multi-spike")},
}


def _any_case(rng, neuron, dtype):
    """Arguments of all signs and magnitudes, up to what the dtype holds after a few products."""
    kind = np.dtype(dtype).type
    lowest = int(np.finfo(dtype).minexp) - 10
    batch, n_in, n_out = rng.integers(1, 4, 3)
    n_steps = rng.choice([1, 2, 7, 40])

    def numbers(*shape, powers=(lowest, -100, -60, -10, 0, 0, 0, 3, 10)):
        return (rng.normal(size=shape) * 2.0 ** rng.choice(powers)).astype(dtype)

    decay = rng.choice([0, 1e-3, 0.1, 0.5, 0.9, 0.9999, 1], n_out).astype(dtype)
    theta = rng.choice([0.0, 1.0, -1.0, 0.3, -0.7, 2.0**-60, -(2.0**-100), 100.0, -1000.0])
    scale = rng.choice([0.0, 0.0, 1.0, 0.3, 10.0, 12345.678, 2.0**-40, 2.0**40, 2.0**100])
    spikes = (rng.random((batch, n_steps, n_in)) < rng.choice([0.0, 0.1, 0.5, 1.0])).astype(dtype)
    layer = (spikes, numbers(n_in, n_out), numbers(n_out), decay, float(kind(theta)))
    grad = numbers(batch, n_steps, n_out, powers=(lowest, -100, -20, 0, 0, 10))
    gradient = rng.choice(GRADIENTS[neuron])
    case = oracle.Case("drawn", neuron, *layer)
    return case, replace(case, grad_spikes=grad, surrogate_scale=float(kind(scale)), gradient=gradient)


def _output(port, case):
    """An answer as the checker reads it, without a process."""
    arguments = [case.spikes, case.weight, case.bias, case.decay, case.threshold]
    with np.errstate(all="ignore"):
        if case.backward:
            came = port[1](*arguments, case.surrogate_scale, case.gradient, case.grad_spikes)
            return Output(gradients={name: np.asarray(value, np.float64) for name, value in came.items()})
        spikes, membrane = (np.asarray(part, np.float64) for part in port[0](*arguments))
    if spikes.ndim == 2:
        return Output(spike_times=spikes.astype(np.int64), membrane=membrane)
    return Output((), spikes != 0, first_spikes(spikes != 0), membrane)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("neuron", HONEST)
@given(seed=st.integers(0, 2**32))
def test_no_correct_arithmetic_is_ever_refused(neuron, dtype, seed):
    judge, rng = Judge(), np.random.default_rng(seed)
    for _ in range(2):
        case, back = _any_case(rng, neuron, dtype)
        gradients = reference_backward(judge.reference(back), back).gradients.values()
        fits = max(np.abs(value).max() for value in gradients) < np.finfo(dtype).max / 1e6
        for name, port in HONEST[neuron].items():
            assert not judge.verdict(case, _output(port, case)).violations, name
            if fits and judge.decided(case):
                assert not judge.verdict(back, _output(port, back)).violations, name


@pytest.mark.parametrize("neuron", HONEST)
def test_a_power_that_underflows_is_off_by_eta_times_its_weight(neuron):
    judge, port = Judge(), HONEST[neuron]["flushing"]
    for case in dict(plan.made(neuron, "float32", 0, judge))["memory"]:
        case = replace(case, weight=case.weight * np.float32(1024), threshold=1e6)
        assert not judge.verdict(case, _output(port, case)).violations
