"""The hand-derived gradients, by complex step on the anchored twin: exact to rounding."""

import numpy as np
import pytest

from minisnn import Network, NetworkConfig, solvers, surrogate
from minisnn.oracle import gradcheck
from tests.strategies import MULTI_SOLVERS, SOLVERS

LIMIT = 1e-10


def layer(seed, n_in=5, n_out=6, batch=3, n_steps=14):
    rng = np.random.default_rng(seed)
    spikes = (rng.random((batch, n_steps, n_in)) < 0.3).astype(float)
    return spikes, rng.normal(0, 0.6, (n_in, n_out)), rng.normal(0, 0.1, n_out), rng.uniform(0.3, 1, n_out)


@pytest.mark.parametrize("scale", [0.0, 10.0, 100.0])
@pytest.mark.parametrize("gradient", ["gated", "straight-through"])
@pytest.mark.parametrize("solver", SOLVERS)
def test_single_spike_layer(solver, gradient, scale):
    spikes, weight, bias, decay = layer(1)
    grad_membrane = np.random.default_rng(2).normal(size=(3, 14, 6))
    for decays in (decay, np.float64(0.8)):
        result = gradcheck(
            "single-spike", spikes, weight, bias, decays, gradient=gradient, surrogate_scale=scale,
            grad_membrane=grad_membrane, solver=solver,
        )  # fmt: skip
        assert set(result.errors) == {"spikes", "weight", "bias", "decay"}
        assert result.worst < LIMIT


@pytest.mark.parametrize("detach_reset", [False, True])
@pytest.mark.parametrize("solver", MULTI_SOLVERS)
def test_multi_spike_layer(solver, detach_reset):
    grad_membrane = np.random.default_rng(2).normal(size=(3, 14, 6))
    result = gradcheck(
        "multi-spike", *layer(3), detach_reset=detach_reset, grad_membrane=grad_membrane, solver=solver
    )
    assert result.worst < LIMIT


@pytest.mark.parametrize("readout", ["max", "sum"])
@pytest.mark.parametrize("gradient", ["gated", "straight-through"])
@pytest.mark.parametrize("solver", SOLVERS)
def test_two_hidden_layers_with_readout_and_loss(solver, gradient, readout):
    options = {
        "gradient": gradient,
        "readout": readout,
        "learn_decay": (gradient == "gated") == (readout == "max"),
    }
    options |= {"spike_penalty": 0.2 if readout == "max" else 0, "logit_scale": 0.5}
    check_network(NetworkConfig((5, 7, 6, 3), dtype="float64", **options), solver)


@pytest.mark.parametrize("readout", ["max", "sum"])
@pytest.mark.parametrize("learn_decay", [False, True])
@pytest.mark.parametrize("detach_reset", [False, True])
@pytest.mark.parametrize("solver", MULTI_SOLVERS)
def test_conventional_network(solver, detach_reset, learn_decay, readout):
    options = {"neuron": "multi-spike", "detach_reset": detach_reset, "spike_penalty": 0.2 * detach_reset}
    options |= {"readout": readout, "learn_decay": learn_decay}
    check_network(NetworkConfig((5, 7, 6, 3), dtype="float64", **options), solver)


def check_network(config, solver):
    network = Network.random(config, seed=5)
    rng = np.random.default_rng(6)
    for name, array in network.parameters.items():
        if name.endswith("weight"):
            array[...] = rng.normal(0, 0.8, array.shape)
        elif name.endswith("bias"):
            array[...] = rng.normal(0, 0.1, array.shape)
    spikes = (rng.random((4, 12, 5)) < 0.4).astype(float)
    activity = network.forward(spikes, solver="numpy-sequential")
    assert all(trace.spikes.sum() > 0 for trace in activity.hidden), "a silent layer would prove nothing"
    result = gradcheck(network, spikes, np.array([0, 1, 2, 0]), solver=solver)
    assert result.worst < LIMIT
    assert set(result.errors) == set(network.parameters)


def test_an_independent_twin_of_one_neuron():
    """The check itself, once more from scratch: one neuron, one weight, written out."""
    x, theta, s, beta, w0 = [1, 0, 1, 1, 0, 1], 1.0, 10.0, 0.75, 0.6
    gs = [0.3, -0.2, 0.7, 0.1, -0.5, 0.4]

    def potentials(w):
        v, out = 0.0, []
        for value in x:
            v = beta * v + value * w
            out.append(v)
        return out

    def h(u):
        return u / (1 + s * u * np.sign(np.real(u)))

    hard = potentials(w0)
    z0 = [sum((t - k + 1) * (hard[k] > theta) for k in range(t + 1)) for t in range(len(x))]
    for gradient in ("gated", "straight-through"):
        gate = [1.0 if gradient == "straight-through" or z == 0 else 0.0 for z in z0]

        def loss(w, gate=gate):
            v = potentials(w)
            steps = [h(a - theta) - h(b - theta) for a, b in zip(v, hard)]
            moved = [sum((t - k + 1) * steps[k] for k in range(t + 1)) for t in range(len(x))]
            return sum(g * open_ * m for g, open_, m in zip(gs, gate, moved))

        expected = loss(w0 + 1e-100j).imag / 1e-100
        module = solvers.get("numpy-sequential")
        trace = module.single_spike_forward(
            np.array(x, float).reshape(1, -1, 1), np.array([[w0]]), np.zeros(1), np.array(beta), theta
        )
        grads = module.single_spike_backward(trace, np.array(gs).reshape(1, -1, 1), None, s, gradient)
        assert grads.weight[0, 0] == pytest.approx(expected, rel=1e-13)


def test_gate_is_the_derivative_of_the_polynomial():
    z = np.array([0.0, 1.0, 2.0, 3.0])
    assert np.array_equal(surrogate.first_only_derivative(z, "straight-through", np.float64), np.ones(4))
    gated = surrogate.first_only_derivative(z, "gated", np.float64)
    # g(z) = (z (1 - z) + 1) z near 0 and 1; from z = 2 on the relu has closed.
    step = 1e-100j
    by_complex_step = [(((a + step) * (1 - (a + step)) + 1) * (a + step)).imag / 1e-100 for a in (0.0, 1.0)]
    assert gated[:2] == pytest.approx(by_complex_step, abs=1e-15)
    assert np.array_equal(gated[2:], [0, 0])
    for a in (2.0, 3.0):
        around = surrogate.first_only_polynomial(np.array([a - 1e-3, a + 1e-3]))
        assert np.all(around == 0)
