"""Training: Adam, schedules, determinism, run folders, resuming."""

import io
import json
import re
import sys
from functools import partial

import numpy as np
import pytest
import tqdm

from minisnn import Network, NetworkConfig, datasets, solvers
from minisnn.errors import DataError, InputError
from minisnn.training import TrainingConfig, evaluate, optimiser, train
from minisnn.training.experiment import Experiment
from minisnn.training.runs import RunFolder

NETWORK = NetworkConfig((4, 12, 3), hidden_gain=4.0)


@pytest.fixture(scope="module")
def data():
    return datasets.load_dataset("yin-yang", n_steps=20, train_samples=300, test_samples=100)


def train_config(**change):
    return TrainingConfig(
        **({"epochs": 3, "batch_size": 64, "lr": 5e-3, "solver": "numba-parallel"} | change)
    )


def run_config():
    return {"dataset": "yin-yang", "data": {}, "product": "auto", "training": {}, "network": {}}


def bits(network):
    return {name: array.tobytes() for name, array in network.parameters.items()}


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
    before = 1 - 0.15
    assert parameters["a.weight"][0] == pytest.approx(
        before - 0.1 * (first / (second**0.5 + 1e-8) + 0.5 * before)
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [7, 40000])
def test_compiled_adam_has_the_same_bits(dtype, size):
    rng = np.random.default_rng(0)
    runs = []
    for solver in (None, solvers.get("numba-parallel")):
        rng = np.random.default_rng(0)
        parameters = {"x.weight": rng.standard_normal(size).astype(dtype)}
        adam = optimiser.Adam(parameters, solver=solver, weight_decay=0.01)
        for step in range(5):
            adam.step({"x.weight": rng.standard_normal(size).astype(dtype)}, lr=0.01 / (step + 1))
        runs.append(parameters["x.weight"])
    assert np.array_equal(*runs)


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
    with pytest.raises(InputError, match="did you mean 'cosine'"):
        optimiser.learning_rate("cosin", 1.0, 0, 1)


@pytest.mark.parametrize("neuron", ["single-spike", "multi-spike"])
def test_training_learns_and_one_seed_gives_the_same_bits(data, neuron):
    config = NetworkConfig((4, 12, 3), hidden_gain=4.0, neuron=neuron)
    solver = "numba-parallel" if neuron == "single-spike" else "numba-sequential"
    runs = []
    for threads in (1, 3):
        solvers.get(solver, neuron).set_threads(threads)
        network = Network.random(config, seed=1)
        history = train(network, data, train_config(epochs=4, solver=solver))
        runs.append((bits(network), [m.train_loss for m in history]))
    assert runs[0] == runs[1]
    losses = runs[0][1]
    assert losses[-1] < 0.9 * losses[0]
    assert 0 < history[-1].spikes_per_sample <= 12 * (1 if neuron == "single-spike" else 20)


def test_solvers_train_alike(data):
    accuracies = []
    for solver in ("numpy-parallel", "numba-parallel"):
        network = Network.random(NetworkConfig((4, 12, 3), dtype="float64", hidden_gain=4.0), seed=1)
        accuracies.append([m.train_loss for m in train(network, data, train_config(epochs=1, solver=solver))])
    assert accuracies[0] == pytest.approx(accuracies[1], rel=1e-6)


def test_resuming_gives_the_bits_of_an_uninterrupted_run(data, tmp_path):
    whole = Network.random(NETWORK, seed=1)
    folder = RunFolder.create(run_config(), tmp_path / "whole")
    history = train(whole, data, train_config(epochs=4), run=folder)

    class Stop(Exception):
        pass

    def stop_after_two(metrics):
        if metrics.epoch == 2:
            raise Stop

    part = RunFolder.create(run_config(), tmp_path / "part")
    with pytest.raises(Stop):
        train(
            Network.random(NETWORK, seed=1), data, train_config(epochs=4), run=part, on_epoch=stop_after_two
        )
    resumed = Network.random(NETWORK, seed=99)
    again = train(resumed, data, train_config(epochs=4), run=RunFolder.open(tmp_path / "part"))
    assert bits(resumed) == bits(whole)
    assert [m.test_accuracy for m in again] == [m.test_accuracy for m in history]
    assert (part.path / "checkpoint.npz").read_bytes() == (folder.path / "checkpoint.npz").read_bytes()
    # A finished run has nothing left to do, and metrics that ran ahead of the checkpoint are dropped.
    ahead = part.path / "metrics.jsonl"
    last = json.loads(ahead.read_text().splitlines()[-1])
    ahead.write_text(ahead.read_text() + json.dumps(last | {"epoch": 5}) + "\n")
    assert len(train(resumed, data, train_config(epochs=4), run=part)) == 4


def test_run_folders(tmp_path, monkeypatch, data):
    monkeypatch.chdir(tmp_path)
    first, second = (RunFolder.create(run_config(), dataset="yin-yang").path for _ in range(2))
    assert first != second
    with pytest.raises(InputError, match="exists already"):
        RunFolder.create(run_config(), first)
    with pytest.raises(DataError, match="no run folder: it has no config.json"):
        RunFolder.open(tmp_path)
    run = RunFolder.open(first)
    with pytest.raises(DataError, match="no finished epoch"):
        run.network()
    network = Network.random(NETWORK, seed=1)
    train(network, data, train_config(epochs=1), run=run)
    assert bits(run.network()) == bits(network)
    other = Network.random(NetworkConfig((4, 13, 3)), seed=1)
    with pytest.raises(DataError, match="is of another network"):
        train(other, data, train_config(epochs=2), run=run)
    (first / "metrics.jsonl").write_text("{}\n")
    with pytest.raises(DataError, match="metrics.jsonl is damaged"):
        train(network, data, train_config(epochs=2), run=run)
    (first / "metrics.jsonl").write_text("")
    with pytest.raises(DataError, match="must have 1 lines, got 0"):
        train(network, data, train_config(epochs=2), run=run)
    network.save(first / "checkpoint.npz")
    with pytest.raises(DataError, match="no training checkpoint"):
        train(network, data, train_config(epochs=2), run=run)
    (first / "config.json").write_text("{")
    with pytest.raises(DataError, match="not valid JSON"):
        RunFolder.open(first)
    (first / "config.json").write_text(json.dumps({"dataset": 1}))
    with pytest.raises(
        DataError, match="must hold dataset, data, product, training, network; missing: data, product"
    ):
        RunFolder.open(first)
    (first / "config.json").write_text(
        json.dumps(run_config() | {"network": {"sizes": [4, 5, 3], "colour": "red"}})
    )
    with pytest.raises(DataError, match="not of this version of minisnn: .*colour"):
        Experiment.from_json(RunFolder.open(first).config(), first)


def test_a_checkpoint_that_cannot_be_written_leaves_the_last_one(data, tmp_path, monkeypatch):
    run = RunFolder.create(run_config(), tmp_path / "run")
    network = Network.random(NETWORK, seed=1)
    train(network, data, train_config(epochs=1), run=run)
    before = (run.path / "checkpoint.npz").read_bytes()

    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np.lib.format, "write_array", full)
    with pytest.raises(OSError, match="No space left"):
        train(network, data, train_config(epochs=2), run=run)
    assert (run.path / "checkpoint.npz").read_bytes() == before
    assert [p.name for p in run.path.iterdir() if p.suffix == ".part"] == []


def test_evaluation_counts(data):
    network = Network.random(NETWORK, seed=1)
    result = evaluate(network, data.test)
    activity = network.forward(data.test.batch(np.arange(len(data.test))), solver="numpy-sequential")
    assert result.accuracy == (activity.logits.argmax(1) == data.test.labels).mean()
    assert result.spikes_per_sample == activity.spike_counts().sum() / len(data.test)
    network.parameters["hidden1.bias"][:] = [5] * 6 + [-5] * 6
    extreme = evaluate(network, data.test)
    assert (extreme.always_firing, extreme.silent_neurons) == (6, 6)


@pytest.mark.parametrize("neuron", ["single-spike", "multi-spike"])
def test_silent_and_always_firing_neurons_are_counted_in_every_layer(data, neuron):
    network = Network.random(NetworkConfig((4, 12, 8, 5, 3), hidden_gain=4.0, neuron=neuron), seed=1)
    for layer, n_always, n_silent in (("hidden1", 1, 2), ("hidden2", 3, 4), ("hidden3", 5, 0)):
        bias = network.parameters[f"{layer}.bias"]
        bias[:n_always], bias[n_always : n_always + n_silent] = 20, -20
    result = evaluate(network, data.test, solver="numpy-sequential")
    activity = network.forward(data.test.batch(np.arange(len(data.test))), solver="numpy-sequential")
    fired = [trace.spikes.any(axis=1) for trace in activity.hidden]
    assert result.always_firing_per_layer == tuple(int(f.all(axis=0).sum()) for f in fired)
    assert result.silent_per_layer == tuple(int((~f.any(axis=0)).sum()) for f in fired)
    assert result.always_firing_per_layer >= (1, 3, 5)
    assert all(n >= least for n, least in zip(result.silent_per_layer, (2, 4, 0)))
    assert result.silent_neurons == sum(result.silent_per_layer)


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_the_progress_bar_says_loss_accuracy_spikes_and_speed(data, monkeypatch):
    """Drawn where standard error is a terminal; it changes nothing else."""
    networks = [Network.random(NETWORK, seed=1) for _ in range(2)]
    with monkeypatch.context() as patch:
        patch.setattr("tqdm.tqdm", partial(tqdm.tqdm, mininterval=0, miniters=1))
        patch.setattr("sys.stderr", Terminal())
        (metrics,) = train(networks[0], data, train_config(epochs=1), quiet=False)
        drawn = sys.stderr.getvalue().split("\r")
    last = next(line for line in reversed(drawn) if "300/300" in line)
    assert "epoch 1/1: 100%" in last
    assert f"loss {metrics.train_loss:.4f}, accuracy {100 * metrics.train_accuracy:.2f} %, " in last
    assert re.search(r"\d+\.\d spikes/sample", last)
    assert re.search(r"\d samples/s", last)
    with monkeypatch.context() as patch:
        patch.setattr("sys.stderr", Terminal())
        train(networks[1], data, train_config(epochs=1), quiet=True)
        assert sys.stderr.getvalue() == ""
    assert bits(networks[0]) == bits(networks[1])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"epochs": 0}, "epochs must be a whole number >= 1, got 0"),
        ({"batch_size": 2.5}, "batch_size"),
        ({"lr": 0}, "lr must be a finite number > 0"),
        ({"seed": -1}, "seed"),
        ({"schedule": "step"}, "unknown schedule"),
        ({"weight_decay": -1}, "weight_decay"),
        ({"milestones": ()}, r"milestones must be rising shares between 0 and 1, got \(\)"),
        ({"milestones": (0.5, 0.2)}, "milestones must be rising shares"),
        ({"milestones": (0, 0.2)}, "milestones must be rising shares"),
        ({"milestones": (0.5, float("nan"))}, "milestones must be rising shares"),
        ({"milestones": "half"}, "milestones must be rising shares"),
        ({"milestones": 0.5}, "milestones must be rising shares"),
    ],
)
def test_wrong_training_configurations(change, message):
    with pytest.raises(InputError, match=message):
        train_config(**change)


def test_a_network_that_does_not_fit_the_data(data):
    with pytest.raises(InputError, match="4 inputs and 3 classes for yin-yang, got 5 and 3"):
        train(Network.random(NetworkConfig((5, 6, 3))), data, train_config())
