"""Training: Adam, schedules, determinism, figures of every layer, the progress bar."""

import io
import re
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import tqdm

from minisnn import Network, NetworkConfig, solvers
from minisnn.errors import InputError
from minisnn.training import TrainingConfig, evaluate, optimiser, train
from tests.helpers import bits, one_line

NETWORK = NetworkConfig((4, 12, 3), hidden_gain=4.0)
CONFIG = TrainingConfig(epochs=4, batch_size=64, lr=5e-3)
NEURONS = pytest.mark.parametrize("neuron", ["single-spike", "multi-spike"])


def test_adam_by_hand():
    parameters = {"a.weight": np.array([1.0, -2.0]), "a.decay": np.array([0.95, 0.5])}
    adam = optimiser.Adam(parameters, weight_decay=0.5)
    gradient = {"a.weight": np.array([4.0, -0.5]), "a.decay": np.array([-1.0, 1.0])}
    adam.step(gradient, lr=0.1)
    # In the first step the two moments' corrections cancel: the move is the sign of the gradient.
    assert parameters["a.weight"] == pytest.approx([1 - 0.1 * (1 + 0.5), -2 - 0.1 * (-1 - 1.0)], rel=1e-6)
    assert parameters["a.decay"] == pytest.approx([1.0, 0.4])  # clipped to [0, 1]
    adam.step(gradient, lr=0.1)
    first = (0.9 * 0.4 + 0.4) / (1 - 0.81)
    second = (0.999 * 0.016 + 0.016) / (1 - 0.999**2)
    right = 0.85 - 0.1 * (first / (second**0.5 + 1e-8) + 0.5 * 0.85)
    assert parameters["a.weight"][0] == pytest.approx(right)


def test_schedules():
    rates = {
        name: [optimiser.learning_rate(name, 1.0, k, 8) for k in range(8)] for name in optimiser.SCHEDULES
    }
    assert rates["constant"] == [1.0] * 8
    assert rates["milestones"] == [1.0] * 4 + [0.1] * 2 + [0.01] * 2
    assert rates["cosine"][0] == 1.0
    assert rates["cosine"][4] == pytest.approx(0.5)
    assert all(a > b for a, b in zip(rates["cosine"], rates["cosine"][1:]))
    two = [optimiser.learning_rate("milestones", 1.0, k, 4, milestones=(0.25, 0.75)) for k in range(4)]
    assert two == [1.0, 0.1, 0.1, 0.01]
    with one_line(InputError, "did you mean 'cosine'"):
        optimiser.learning_rate("cosin", 1.0, 0, 1)


@NEURONS
def test_training_learns_and_one_seed_gives_the_same_bits(data, neuron):
    solver = "numba-parallel" if neuron == "single-spike" else "numba-sequential"
    results = []
    for threads in (1, 3):
        solvers.get(solver, neuron).set_threads(threads)
        network = Network.random(replace(NETWORK, neuron=neuron), seed=1)
        history = train(network, data, replace(CONFIG, solver=solver))
        results.append((bits(network), [m.train_loss for m in history]))
    assert results[0] == results[1]
    losses = results[0][1]
    assert losses[-1] < 0.9 * losses[0]
    assert 0 < history[-1].spikes_per_sample <= 12 * (1 if neuron == "single-spike" else 20)


def test_solvers_train_alike(data):
    one, other = (
        train(
            Network.random(replace(NETWORK, dtype="float64"), 1), data, replace(CONFIG, epochs=1, solver=name)
        )
        for name in ("numpy-parallel", "numba-parallel")
    )
    assert one[0].train_loss == pytest.approx(other[0].train_loss, rel=1e-6)


def test_a_network_that_does_not_fit_the_data(data):
    with one_line(InputError, "4 inputs and 3 classes for yin-yang, got 5 and 3"):
        train(Network.random(NetworkConfig((5, 6, 3))), data, CONFIG)


# NumPy warns, and so do kernels that are not compiled, on threads that `np.errstate` does not reach.
@pytest.mark.filterwarnings("ignore:(overflow|invalid value|divide by zero) encountered:RuntimeWarning")
@pytest.mark.parametrize("solver", ["numpy-parallel", "numba-parallel"])
@pytest.mark.parametrize(
    ("penalty", "lr", "message"),
    [
        (0.0, 1e38, "epoch 1, .*: lower lr$"),
        (1e38, 1e-3, "epoch 1, .*: lower lr or spike_penalty$"),
        # The square of the gradient is infinite, and a step along it 0: without an error nothing would be learned.
        (1e25, 1e-3, "epoch 1, the square of the gradient of .* left the range of float32: lower lr or"),
    ],
)
def test_a_training_that_diverges_says_what_to_lower(data, solver, penalty, lr, message):
    network = Network.random(replace(NETWORK, spike_penalty=penalty), seed=1)
    with one_line(OverflowError, f"training diverged in {message}"):
        train(network, data, replace(CONFIG, solver=solver, lr=lr))


def test_weights_that_are_too_large_from_the_start_are_no_divergence(data):
    network = Network.random(NETWORK, seed=1)
    network.parameters["hidden1.weight"][:] = 3e38
    with np.errstate(all="ignore"), one_line(OverflowError, "^the potential left the range.*scale weight"):
        train(network, data, replace(CONFIG, solver="numpy-parallel"))


@NEURONS
def test_silent_and_always_firing_neurons_are_counted_in_every_layer(data, neuron):
    network = Network.random(replace(NETWORK, sizes=(4, 12, 8, 5, 3), neuron=neuron), seed=1)
    for layer, n_always, n_silent in (("hidden1", 1, 2), ("hidden2", 3, 4), ("hidden3", 5, 0)):
        bias = network.parameters[f"{layer}.bias"]
        bias[:n_always], bias[n_always : n_always + n_silent] = 20, -20
    result = evaluate(network, data.test, solver="numpy-sequential")
    activity = network.forward(data.test.batch(np.arange(len(data.test))), solver="numpy-sequential")
    assert result.accuracy == (activity.logits.argmax(1) == data.test.labels).mean()
    assert result.spikes_per_sample == activity.spike_counts().sum() / len(data.test)
    fired = [trace.spikes.any(axis=1) for trace in activity.hidden]
    assert result.always_firing_per_layer == tuple(int(f.all(axis=0).sum()) for f in fired)
    assert result.silent_per_layer == tuple(int((~f.any(axis=0)).sum()) for f in fired)
    assert result.always_firing_per_layer >= (1, 3, 5)
    assert all(n >= least for n, least in zip(result.silent_per_layer, (2, 4, 0)))
    assert result.silent_neurons == sum(result.silent_per_layer)
    assert result.always_firing == sum(result.always_firing_per_layer)


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_the_progress_bar_says_loss_accuracy_spikes_and_speed(data, monkeypatch):
    """Drawn where standard error is a terminal; it changes nothing else, nor does a missing standard error."""
    monkeypatch.setattr("tqdm.tqdm", partial(tqdm.tqdm, mininterval=0, miniters=1))
    shown, hidden, trained = Terminal(), Terminal(), []
    for stream, quiet in ((shown, False), (hidden, True), (None, False)):
        network = Network.random(NETWORK, seed=1)
        with monkeypatch.context() as patch:
            patch.setattr("sys.stderr", stream)
            (metrics,) = train(network, data, replace(CONFIG, epochs=1), quiet=quiet)
        trained.append(bits(network))
    assert hidden.getvalue() == ""
    assert trained == trained[:1] * 3
    last = next(line for line in reversed(shown.getvalue().split("\r")) if "300/300" in line)
    assert "epoch 1/1: 100%" in last
    assert f"loss {metrics.train_loss:.4f}, accuracy {100 * metrics.train_accuracy:.2f} %, " in last
    assert re.search(r"\d+\.\d spikes/sample", last)
    assert re.search(r"\d samples/s", last)
