"""Training on the device end to end, with a stand-in for CuPy: the numbers of the CPU, and what stays there."""

import os

import numpy as np
import pytest

from minisnn import Network, NetworkConfig, datasets
from minisnn.training import TrainingConfig, evaluate, train
from minisnn.training.optimiser import Adam
from minisnn.training.runs import RunFolder
from tests.cuda_shim import solver as shim
from tests.cuda_shim import stand_in

pytestmark = pytest.mark.skipif(
    shim.COMPILER is None and not os.environ.get("CI"),
    reason="g++ is missing, which runs the GPU kernels here",
)
PAIRS = [
    ("single-spike", "cupy-parallel", "numba-parallel"),
    ("single-spike", "cupy-sequential", "numba-parallel"),
    ("multi-spike", "cupy-sequential", "numba-sequential"),
]


@pytest.fixture(scope="module", autouse=True)
def cupy():
    with stand_in.installed() as module:
        yield module


@pytest.fixture(scope="module")
def data():
    return datasets.load_dataset("yin-yang", n_steps=20, train_samples=200, test_samples=80)


def start(config):
    network = Network.random(config, seed=1)
    network.parameters["hidden2.weight"] *= 4  # so that the second layer fires and everything learns
    return network


def run(data, neuron, solver, folder=None, epochs=2, **options):
    config = NetworkConfig((4, 12, 8, 3), neuron=neuron, dtype="float64", hidden_gain=4.0)
    network = start(config)
    training = TrainingConfig(epochs=epochs, batch_size=64, lr=5e-3, weight_decay=0.01, solver=solver)
    return network, train(network, data, training, run=folder, **options)


@pytest.mark.parametrize(("neuron", "solver", "on_cpu"), PAIRS)
def test_training_gives_the_numbers_of_the_cpu(data, neuron, solver, on_cpu):
    (network, history), (expected, metrics) = (run(data, neuron, name) for name in (solver, on_cpu))
    for name, array in network.parameters.items():
        assert type(array) is np.ndarray
        np.testing.assert_allclose(array, expected.parameters[name], rtol=1e-6, atol=1e-9, err_msg=name)
    before = start(network.config).parameters
    assert all(np.abs(array - before[name]).max() > 1e-3 for name, array in network.parameters.items())
    assert all(spikes > 0 for spikes in history[-1].spikes_per_layer)
    for ours, theirs in zip(history, metrics, strict=True):
        assert ours.train_loss == pytest.approx(theirs.train_loss, rel=1e-9)
        assert ours.test_accuracy == theirs.test_accuracy
        assert ours.spikes_per_layer == theirs.spikes_per_layer
        assert ours.silent_neurons == theirs.silent_neurons
    results = [evaluate(network, data.test, solver=name) for name in (solver, on_cpu)]
    assert results[0].loss == pytest.approx(results[1].loss, rel=1e-12)


@pytest.mark.parametrize(("neuron", "solver", "_"), PAIRS)
def test_parameters_moments_and_batches_stay_on_the_device(data, neuron, solver, _, cupy, monkeypatch):
    seen, step, loss = [], Adam.step, Network.loss_and_gradients

    def watched_step(self, gradients, lr):
        for arrays in (self.parameters, self.first, self.second, gradients):
            seen.extend(type(array) for array in arrays.values())
        step(self, gradients, lr)
        seen.extend(type(array) for array in (*self.parameters.values(), *self.first.values()))

    def watched_loss(self, spikes, labels, **options):
        seen.extend((type(spikes.indptr), type(spikes.indices)))
        return loss(self, spikes, labels, **options)

    monkeypatch.setattr(Adam, "step", watched_step)
    monkeypatch.setattr(Network, "loss_and_gradients", watched_loss)
    run(data, neuron, solver, epochs=1)
    assert seen
    assert set(seen) == {cupy.ndarray}


def test_resuming_gives_the_bits_of_an_uninterrupted_run(data, tmp_path):
    class StopError(Exception):
        pass

    def stop(metrics):
        raise StopError

    config = {"dataset": "yin-yang", "data": {}, "product": "auto", "training": {}, "network": {}}
    folders = [RunFolder.create(config, tmp_path / name) for name in ("whole", "part")]
    whole, _ = run(data, "single-spike", "cupy-parallel", folders[0])
    with pytest.raises(StopError):
        run(data, "single-spike", "cupy-parallel", folders[1], on_epoch=stop)
    resumed, history = run(data, "single-spike", "cupy-parallel", folders[1])
    assert len(history) == 2
    for name, array in whole.parameters.items():
        assert array.tobytes() == resumed.parameters[name].tobytes()
    one, other = ((folder.path / "checkpoint.npz").read_bytes() for folder in folders)
    assert one == other
