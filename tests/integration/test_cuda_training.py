"""Training and measuring on the device with a stand-in for CuPy: the numbers of the CPU, and what stays there."""

import numpy as np
import pytest

from minisnn import Network, NetworkConfig, solvers
from minisnn.bench.timing import Contestant, StepRunner
from minisnn.bench.workloads import make_batch, make_network, workload
from minisnn.commands.main import main
from minisnn.training import TrainingConfig, evaluate, train
from minisnn.training.optimiser import Adam
from minisnn.training.runs import RunFolder
from tests.helpers import RUN_ENTRIES, bits

pytestmark = pytest.mark.usefixtures("cupy")
PAIRS = pytest.mark.parametrize(
    ("neuron", "solver", "on_cpu"),
    [
        ("single-spike", "cupy-parallel", "numba-parallel"),
        ("single-spike", "cupy-sequential", "numba-parallel"),
        ("multi-spike", "cupy-sequential", "numba-sequential"),
    ],
)


def start(neuron):
    network = Network.random(
        NetworkConfig((4, 12, 8, 3), neuron=neuron, dtype="float64", hidden_gain=4.0), seed=1
    )
    network.parameters["hidden2.weight"] *= 4  # so that the second layer fires and everything learns
    return network


def run(data, neuron, solver, folder=None, epochs=2, **options):
    network = start(neuron)
    training = TrainingConfig(epochs=epochs, batch_size=64, lr=5e-3, weight_decay=0.01, solver=solver)
    return network, train(network, data, training, run=folder, **options)


@PAIRS
def test_training_gives_the_numbers_of_the_cpu(data, neuron, solver, on_cpu):
    (network, history), (expected, metrics) = (run(data, neuron, name) for name in (solver, on_cpu))
    before = start(neuron).parameters
    for name, array in network.parameters.items():
        assert type(array) is np.ndarray
        np.testing.assert_allclose(array, expected.parameters[name], rtol=1e-6, atol=1e-9, err_msg=name)
        assert np.abs(array - before[name]).max() > 1e-3
    assert all(spikes > 0 for spikes in history[-1].spikes_per_layer)
    for ours, theirs in zip(history, metrics, strict=True):
        assert ours.train_loss == pytest.approx(theirs.train_loss, rel=1e-9)
        for name in ("test_accuracy", "spikes_per_layer", "silent_neurons"):
            assert getattr(ours, name) == getattr(theirs, name)
    one, other = (evaluate(network, data.test, solver=name) for name in (solver, on_cpu))
    assert one.loss == pytest.approx(other.loss, rel=1e-12)


@PAIRS
def test_parameters_moments_and_batches_stay_on_the_device(data, neuron, solver, on_cpu, cupy, monkeypatch):
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
    assert set(seen) == {cupy.ndarray}


def test_resuming_gives_the_bits_of_an_uninterrupted_run(data, tmp_path):
    def stop(metrics):
        raise KeyboardInterrupt

    folders = [RunFolder.create(RUN_ENTRIES, tmp_path / name) for name in ("whole", "part")]
    whole, _ = run(data, "single-spike", "cupy-parallel", folders[0])
    with pytest.raises(KeyboardInterrupt):
        run(data, "single-spike", "cupy-parallel", folders[1], on_epoch=stop)
    resumed, history = run(data, "single-spike", "cupy-parallel", folders[1])
    assert len(history) == 2
    assert bits(resumed) == bits(whole)
    one, other = ((folder.path / "checkpoint.npz").read_bytes() for folder in folders)
    assert one == other


@PAIRS
def test_everything_is_on_the_device_before_the_clock_starts(neuron, solver, on_cpu, cupy):
    what = workload("shd", batch=4, n_steps=20, n_inputs=12, n_hidden=6, n_classes=3, n_events=40)
    events, labels = make_batch(what)
    way = Contestant(solver, neuron, "events", 1)
    runner = StepRunner(way, make_network(what, "v2", neuron, events), events, labels)
    arrays = [runner.signal.indptr, *runner.network.parameters.values(), *runner.optimiser.first.values()]
    assert {type(array) for array in arrays} == {cupy.ndarray}
    waited = []
    runner.step.synchronise = runner.passes.synchronise = lambda: waited.append(1)
    assert all(seconds > 0 for turn in runner.turn(2) for seconds in turn)
    assert len(waited) >= 2 * 3 + 2 * 2
    assert type(solvers.get(solver, neuron)).synchronise is not solvers.Solver.synchronise
    assert min(runner.predictions.turn(1)[0]) > 0


def test_the_grid_on_the_device(capsys):
    sizes = ["--batch", "3", "--neurons", "5", "--n-steps", "12", "--density", "dense", "--repeats", "1"]
    assert main(["bench", "grid", "--gpu", *sizes]) == 0
    printed = capsys.readouterr().out
    assert "smallest ratio" in printed
    assert "differ" not in printed
