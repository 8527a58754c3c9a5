"""The best epoch is chosen on validation samples alone, ends up in the network, and survives interruptions."""

import json
import os
from dataclasses import asdict, replace
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest

from minisnn import Network, NetworkConfig
from minisnn.datasets.samples import Subset, split
from minisnn.errors import DataError, InputError
from minisnn.training import TrainingConfig, chosen_epoch, evaluate, loop, train
from minisnn.training.experiment import Experiment
from minisnn.training.optimiser import Adam
from minisnn.training.runs import RunFolder
from tests.helpers import RUN_ENTRIES, arrays, bits, one_line

NETWORK = NetworkConfig((4, 12, 3), hidden_gain=4.0)
# The accuracy rises and falls again, so that there are several best epochs on the way, and the last is none.
CONFIG = TrainingConfig(epochs=8, batch_size=32, lr=0.01, schedule="constant")


@pytest.fixture(scope="module")
def parted(data):
    return split(data, 60, seed=3)


@pytest.fixture
def run(tmp_path):
    return RunFolder.create(RUN_ENTRIES, tmp_path / "run")


def start(seed=1, sizes=(4, 12, 3)):
    return Network.random(replace(NETWORK, sizes=sizes), seed)


@pytest.fixture(scope="module")
def whole(data, parted, tmp_path_factory):
    """Uninterrupted trainings with validation and without it, and the network and the chosen one after each epoch."""
    made = {}
    for validated, part in ((True, parted), (False, data)):
        run = RunFolder.create(RUN_ENTRIES, tmp_path_factory.mktemp("runs") / "whole")
        network, after, chosen = start(), [], []

        def keep(_, run=run, network=network, after=after, chosen=chosen):
            after.append(bits(network))
            chosen.append(bits(run.network()))

        history = train(network, part, CONFIG, run=run, on_epoch=keep)
        made[validated] = SimpleNamespace(
            part=part, run=run, network=network, history=history, after=after, chosen=chosen
        )
    return made


def test_the_network_ends_with_the_first_best_epoch(whole):
    made = whole[True]
    accuracies = [metrics.validation_accuracy for metrics in made.history]
    best = chosen_epoch(made.history)
    assert 1 < best.epoch == accuracies.index(max(accuracies)) + 1 < CONFIG.epochs
    assert bits(made.network) == made.after[best.epoch - 1] == made.chosen[-1]
    assert evaluate(made.network, made.part.validation).accuracy == best.validation_accuracy
    assert evaluate(made.network, made.part.test).accuracy == best.test_accuracy
    assert set(arrays(made.run.path)) == {"checkpoint.npz", f"best-{best.epoch}.npz"}
    assert made.run.chosen_epoch() == best.epoch
    assert bits(Network.load(made.run.path / f"best-{best.epoch}.npz")) == bits(made.network)


def test_without_validation_the_last_epoch_counts(whole, parted):
    made = whole[False]
    assert bits(made.network) == made.after[-1] == made.chosen[-1]
    assert [metrics.validation_accuracy for metrics in made.history] == [None] * CONFIG.epochs
    assert set(arrays(made.run.path)) == {"checkpoint.npz"}
    network = start()
    with one_line(InputError, "goes on with a validation part if it began with one"):
        train(network, parted, replace(CONFIG, epochs=9), run=made.run)
    assert bits(network) == bits(start())


def test_of_equals_the_first_is_chosen(parted):
    (metrics,) = train(start(), parted, replace(CONFIG, epochs=1))
    history = [
        replace(metrics, epoch=k + 1, validation_accuracy=a) for k, a in enumerate((0.5, 0.7, 0.6, 0.7))
    ]
    assert chosen_epoch(history).epoch == 2
    unvalidated = [replace(m, validation_accuracy=None, test_accuracy=1 / m.epoch) for m in history]
    assert chosen_epoch(unvalidated).epoch == 4


def test_the_test_samples_have_no_say(parted):
    results = []
    for test in (parted.test, Subset(parted.train, np.arange(40))):
        network = start()
        history = train(network, replace(parted, test=test), CONFIG)
        results.append((bits(network), chosen_epoch(history).epoch))
        assert history[0].validation_accuracy is not None
    assert results[0] == results[1]


# ---- interruptions ----------------------------------------------------------------------------------


def timeless(history):
    return [asdict(metrics) | {"seconds": 0} for metrics in history]


@pytest.mark.parametrize("validated", [True, False])
@pytest.mark.parametrize("epochs", [(1,), (1, 2, 3, 4, 5, 6, 7, 8)])
def test_an_interrupted_training_ends_in_the_same_bits(whole, run, epochs, validated):
    right = whole[validated]

    def stop(metrics):
        if metrics.epoch in epochs:
            raise KeyboardInterrupt

    for _ in epochs:
        with pytest.raises(KeyboardInterrupt):
            train(start(), right.part, CONFIG, run=run, on_epoch=stop)
    resumed = start(seed=99)
    history = timeless(train(resumed, right.part, CONFIG, run=RunFolder.open(run.path)))
    assert history == timeless(right.history)
    assert bits(resumed) == bits(right.network)
    assert arrays(run.path) == arrays(right.run.path)
    # A finished run has nothing left to do, and metrics that ran ahead of the checkpoint are dropped.
    ahead = run.path / "metrics.jsonl"
    last = json.loads(ahead.read_text().splitlines()[-1])
    ahead.write_text(ahead.read_text() + json.dumps(last | {"epoch": 9}) + "\n")
    assert timeless(train(resumed, right.part, CONFIG, run=run)) == history


@pytest.mark.parametrize("validated", [True, False])
@pytest.mark.parametrize(
    ("place", "name", "finished"),
    [(Adam, "step", 0), (Adam, "step", 5), (loop, "evaluate", 5), (RunFolder, "save_epoch", 6),
     (loop, "progress", 5), (None, "callback", 5), (None, "divergence", 5)],
)  # fmt: skip
def test_a_training_that_fails_ends_with_the_epoch_before(
    whole, run, monkeypatch, place, name, finished, validated
):
    """As if that had been the last: whatever fails, and whatever was in the arrays by then."""
    network, done, given = start(), [], np.zeros(3, np.float32)
    expected = whole[validated].chosen[finished - 1] if finished else bits(network)
    usual = getattr(place, name, None)

    def fail(*arguments, **named):
        if len(done) == finished - (name == "save_epoch"):
            raise KeyboardInterrupt
        return usual(*arguments, **named)

    def report(metrics):
        done.append(metrics)
        if len(done) == finished and name != "save_epoch":
            network.parameters["readout.bias"] = given  # which are not to be written to
            network.parameters["hidden1.weight"][:] = 3e38 if name == "divergence" else 0
            if name == "callback":
                raise KeyboardInterrupt

    if place is not None:
        monkeypatch.setattr(place, name, fail)
    with pytest.raises((KeyboardInterrupt, OverflowError)):
        train(network, whole[validated].part, CONFIG, run=run, on_epoch=report)
    assert bits(network) == expected
    network.predict(whole[validated].part.test.batch(np.arange(2)))
    assert not given.any()


def test_arrays_that_the_callback_assigns_are_not_written_to(parted):
    network, given = start(), np.zeros(3, np.float32)
    train(network, parted, CONFIG, on_epoch=lambda _: network.parameters.update({"readout.bias": given}))
    assert not given.any()
    assert network.parameters["readout.bias"].any()


@pytest.mark.parametrize("failing", ["best-", "metrics.jsonl", "checkpoint.npz"])
def test_a_fault_between_two_files_leaves_what_the_checkpoint_names(whole, run, monkeypatch, failing):
    """Whichever of the files of an epoch could not be written, the run is that of the epochs before."""
    right = whole[True]
    # The epoch to fail is better than all before it, so that it writes every kind of file.
    done, failed, replaced = [], chosen_epoch(right.history).epoch - 1, os.replace
    assert failed > 0

    def full(source, target):
        if len(done) == failed and target.name.startswith(failing):
            raise OSError(28, "No space left on device")
        replaced(source, target)

    message = (
        f"^cannot save epoch {failed + 1} in {run.path}: No space .* device; the epochs before it are safe"
    )
    with monkeypatch.context() as patch:
        patch.setattr("os.replace", full)
        with one_line(OSError, message):
            train(start(), right.part, CONFIG, run=run, on_epoch=done.append)
    assert run.finished_epochs() == failed
    assert bits(run.network()) == right.chosen[failed - 1]
    assert not list(run.path.glob(".*.part"))
    train(start(), right.part, CONFIG, run=run)
    assert arrays(run.path) == arrays(right.run.path)


# ---- run folders ------------------------------------------------------------------------------------


def test_run_folders(tmp_path, monkeypatch, data):
    monkeypatch.chdir(tmp_path)
    first, second = (RunFolder.create(RUN_ENTRIES, dataset="yin-yang").path for _ in range(2))
    assert first != second
    with one_line(InputError, "exists already"):
        RunFolder.create(RUN_ENTRIES, first)
    with one_line(DataError, "no run folder: it has no config.json"):
        RunFolder.open(tmp_path)
    run, network = RunFolder.open(first), start()
    with one_line(DataError, "no finished epoch"):
        run.network()
    train(network, data, replace(CONFIG, epochs=1), run=run)
    assert bits(run.network()) == bits(network)

    def refused(message, network=network):
        with one_line(DataError, message):
            train(network, data, replace(CONFIG, epochs=2), run=run)

    config = json.dumps(RUN_ENTRIES | {"network": {"sizes": [4, 13, 3]}})
    (first / "config.json").write_text(config)
    with one_line(
        DataError, r"checkpoint.npz is not of the run of config.json: network: sizes is \[4, 12, 3\]"
    ):
        RunFolder.open(first).network()
    refused(r"is of another network: sizes is \(.*\) there and \(4, 13, 3\) here", start(sizes=(4, 13, 3)))
    for text, message in (("{}\n", "metrics.jsonl is damaged"), ("", "must have 1 lines, got 0")):
        (first / "metrics.jsonl").write_text(text)
        refused(message)
    network.save(first / "checkpoint.npz")
    refused("no training checkpoint")
    for text, message in (
        ("{", "not valid JSON"),
        ('{"dataset": 1}', "must hold dataset, data, product, training, network; missing: data, product"),
    ):
        (first / "config.json").write_text(text)
        with one_line(DataError, message):
            Experiment.from_json(RunFolder.open(first).config(), first)


@pytest.mark.parametrize("file", ["checkpoint.npz", "best"])
def test_a_checkpoint_of_another_run_of_the_same_network(whole, tmp_path, file):
    """Another seed, rate or data set, in all else the same: its numbers would be reported as those of this run."""
    runs, part = [tmp_path / name for name in ("one", "other")], whole[file == "best"].part
    for seed, folder in enumerate(runs):
        settings = RUN_ENTRIES | {
            "training": {"seed": seed},
            "dataset": f"{folder}/own.npz",
            "network": asdict(NETWORK),
        }
        train(start(), part, CONFIG, run=RunFolder.create(settings, folder))
    name = file if file != "best" else f"best-{RunFolder.open(runs[0]).chosen_epoch()}.npz"
    assert arrays(runs[0]).keys() == arrays(runs[1]).keys()
    (runs[1] / name).write_bytes((runs[0] / name).read_bytes())
    other = RunFolder.open(runs[1])
    fault = "of another run" if file == "best" else "the run: training: seed is 0 there and 1 here"
    for call in (other.network, partial(train, start(), part, CONFIG, run=other)):
        with one_line(DataError, rf"{name} .*{fault}"):
            call()


def test_a_best_file_that_is_not_of_this_run(parted, run):
    network = start()
    best = chosen_epoch(train(network, parted, CONFIG, run=run)).epoch
    path = run.path / f"best-{best}.npz"
    good = path.read_bytes()

    def refused(message):
        for call in (run.network, partial(train, network, parted, CONFIG, run=run)):
            with one_line(DataError, rf"best-{best}\.npz {message}"):
                call()

    start(sizes=(4, 13, 3)).save(path)
    refused("does not belong to this run")
    network.save(path)
    refused("is no training checkpoint: entry epoch")
    for damaged in (b"", good[:-30], b"PK" + good[5:], np.random.default_rng(0).bytes(500)):
        path.write_bytes(damaged)
        refused("is not a readable .npz file")
    path.unlink()
    refused("does not exist")
