"""The best epoch is chosen on validation samples alone, ends up in the network, and survives interruptions."""

import os
from dataclasses import asdict, replace

import numpy as np
import pytest

from minisnn import Network, NetworkConfig, datasets
from minisnn.datasets.samples import Subset, split
from minisnn.errors import DataError, InputError
from minisnn.training import TrainingConfig, chosen_epoch, evaluate, train
from minisnn.training.runs import RunFolder

NETWORK = NetworkConfig((4, 12, 3), hidden_gain=4.0)
# The accuracy rises and falls again, so that there are several best epochs on the way, and the last is none.
CONFIG = TrainingConfig(epochs=8, batch_size=32, lr=0.01, schedule="constant")
ENTRIES = {"dataset": "yin-yang", "data": {}, "product": "auto", "training": {}, "network": {}}


@pytest.fixture(scope="module")
def data():
    whole = datasets.load_dataset("yin-yang", n_steps=20, train_samples=300, test_samples=100)
    return split(whole, 60, seed=3)


def bits(network):
    return {name: array.tobytes() for name, array in network.parameters.items()}


def timeless(history):
    return [asdict(metrics) | {"seconds": 0} for metrics in history]


def contents(folder):
    return {p.name: p.read_bytes() for p in folder.iterdir() if p.suffix == ".npz"}


def test_the_network_ends_with_the_first_best_epoch(data, tmp_path):
    network, run = Network.random(NETWORK, seed=1), RunFolder.create(ENTRIES, tmp_path / "run")
    after = []
    history = train(network, data, CONFIG, run=run, on_epoch=lambda _: after.append(bits(network)))
    accuracies = [metrics.validation_accuracy for metrics in history]
    best = chosen_epoch(history)
    assert 1 < best.epoch == accuracies.index(max(accuracies)) + 1 < CONFIG.epochs
    assert bits(network) == after[best.epoch - 1] == bits(run.network())
    assert evaluate(network, data.validation).accuracy == best.validation_accuracy
    assert evaluate(network, data.test).accuracy == best.test_accuracy
    assert set(contents(run.path)) == {"checkpoint.npz", f"best-{best.epoch}.npz"}
    assert run.chosen_epoch() == best.epoch
    assert bits(Network.load(run.path / f"best-{best.epoch}.npz")) == bits(network)


def test_of_equals_the_first_is_chosen(data):
    (metrics,) = train(Network.random(NETWORK, seed=1), data, replace(CONFIG, epochs=1))
    history = [
        replace(metrics, epoch=k + 1, validation_accuracy=a) for k, a in enumerate((0.5, 0.7, 0.6, 0.7))
    ]
    assert chosen_epoch(history).epoch == 2
    unvalidated = [replace(m, validation_accuracy=None, test_accuracy=1 / m.epoch) for m in history]
    assert chosen_epoch(unvalidated).epoch == 4


def test_the_test_samples_have_no_say(data):
    results = []
    for test in (data.test, Subset(data.train, np.arange(40))):
        network = Network.random(NETWORK, seed=1)
        history = train(network, replace(data, test=test), CONFIG)
        results.append((bits(network), chosen_epoch(history).epoch))
        assert history[0].validation_accuracy is not None
    assert results[0] == results[1]


def test_without_validation_the_last_epoch_counts(data, tmp_path):
    network, run = Network.random(NETWORK, seed=1), RunFolder.create(ENTRIES, tmp_path / "run")
    after = []
    plain = replace(data, validation=None)
    history = train(network, plain, CONFIG, run=run, on_epoch=lambda _: after.append(bits(network)))
    assert bits(network) == after[-1] == bits(run.network())
    assert [metrics.validation_accuracy for metrics in history] == [None] * CONFIG.epochs
    assert set(contents(run.path)) == {"checkpoint.npz"}
    with pytest.raises(InputError, match="goes on with a validation part if it began with one"):
        train(network, data, replace(CONFIG, epochs=9), run=run)


class StopError(Exception):
    pass


def interrupted(data, folder, epochs):
    """Train into a folder, stopping after each of these epochs; returns what the last training returned."""
    run = RunFolder.create(ENTRIES, folder)

    def stop(metrics):
        if metrics.epoch in epochs:
            raise StopError

    for _ in epochs:
        with pytest.raises(StopError):
            train(Network.random(NETWORK, seed=1), data, CONFIG, run=run, on_epoch=stop)
    network = Network.random(NETWORK, seed=50)
    return network, train(network, data, CONFIG, run=run)


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory):
    """An uninterrupted training: its metrics, its files, and the chosen network as of every epoch."""
    run = RunFolder.create(ENTRIES, tmp_path_factory.mktemp("runs") / "whole")
    states = []
    network = Network.random(NETWORK, seed=1)
    history = train(network, data, CONFIG, run=run, on_epoch=lambda _: states.append(bits(run.network())))
    assert bits(network) == states[-1]
    return timeless(history), contents(run.path), states


@pytest.mark.parametrize("epochs", [(1,), (8,), (1, 2, 3, 4, 5, 6, 7, 8)])
def test_an_interrupted_training_ends_in_the_same_bits(data, whole, tmp_path, epochs):
    history, files, states = whole
    network, again = interrupted(data, tmp_path / "part", epochs)
    assert bits(network) == states[-1]
    assert timeless(again) == history
    assert contents(tmp_path / "part") == files


@pytest.mark.parametrize("failing", ["best-", "metrics.jsonl", "checkpoint.npz"])
def test_a_fault_between_two_files_leaves_what_the_checkpoint_names(
    data, whole, tmp_path, monkeypatch, failing
):
    """Whichever of the files of an epoch could not be written, the run is that of the epochs before."""
    history, files, states = whole
    # The epoch to fail is better than all before it, so that it writes every kind of file.
    accuracies = [metrics["validation_accuracy"] for metrics in history]
    done, failed, replaced = [], accuracies.index(max(accuracies)), os.replace
    assert failed > 0

    def full(source, target):
        if len(done) == failed and target.name.startswith(failing):
            raise OSError(28, "No space left on device")
        replaced(source, target)

    run = RunFolder.create(ENTRIES, tmp_path / "run")
    with monkeypatch.context() as patch:
        patch.setattr("os.replace", full)
        with pytest.raises(OSError, match="No space left on device; the epochs before it are safe") as caught:
            train(Network.random(NETWORK, seed=1), data, CONFIG, run=run, on_epoch=done.append)
    assert str(caught.value).startswith(f"cannot save epoch {failed + 1} in {run.path}: ")
    assert run.finished_epochs() == failed
    assert bits(run.network()) == states[failed - 1]
    assert not list(run.path.glob(".*.part"))
    network = Network.random(NETWORK, seed=1)
    train(network, data, CONFIG, run=run)
    assert bits(network) == states[-1]
    assert contents(run.path) == files


def test_a_best_file_that_is_not_of_this_run(data, tmp_path):
    run = RunFolder.create(ENTRIES, tmp_path / "run")
    network = Network.random(NETWORK, seed=1)
    best = chosen_epoch(train(network, data, CONFIG, run=run)).epoch
    path = run.path / f"best-{best}.npz"
    good = path.read_bytes()
    Network.random(NetworkConfig((4, 13, 3)), seed=1).save(path)
    with pytest.raises(DataError, match=rf"best-{best}.npz does not belong to this run"):
        run.network()
    network.save(path)
    with pytest.raises(DataError, match=rf"best-{best}.npz is no training checkpoint: entry epoch"):
        run.network()
    for damaged in (b"", good[:-30], b"PK" + good[5:], np.random.default_rng(0).bytes(500)):
        path.write_bytes(damaged)
        with pytest.raises(DataError, match=rf"best-{best}.npz is not a readable .npz file"):
            train(network, data, CONFIG, run=run)
    path.unlink()
    with pytest.raises(DataError, match=rf"best-{best}.npz does not exist"):
        train(network, data, CONFIG, run=run)
