"""Operations of an inference: counted by brute force and by hand, and the energy of their arithmetic."""

import json

import numpy as np
import pytest

from minisnn import Network, NetworkConfig, SpikeEvents, TrainingConfig, evaluate, train
from minisnn.datasets import EventSamples
from minisnn.training import RunFolder
from minisnn.training.energy import operations, table
from tests.helpers import RUN_ENTRIES

COUNTS = ("input_events", "effective_acs_per_layer", "membrane_updates_per_layer", "dense_per_layer")


class Dense:
    """Samples whose batches are rasters."""

    def __init__(self, samples):
        self.samples, self.labels = samples, samples.labels

    def __len__(self):
        return len(self.samples)

    def batch(self, indices, rng=None):
        return self.samples.batch(indices).to_raster(np.float32)


@pytest.mark.parametrize("neuron", ["single-spike", "multi-spike"])
@pytest.mark.parametrize("form", ["events", "counts", "raster"])
def test_an_evaluation_counts_what_happens(neuron, form):
    """Beside a loop that takes one step of one sample at a time."""
    rng = np.random.default_rng(1)
    raster = rng.integers(0, 3 if form == "counts" else 2, (300, 6, 5))
    samples = EventSamples(SpikeEvents.from_raster(raster, counts=form == "counts"), np.zeros(300, int))
    network = Network.random(NetworkConfig((5, 8, 7, 2), neuron=neuron, hidden_gain=3.0), seed=1)
    result = evaluate(network, Dense(samples) if form == "raster" else samples, solver="numpy-sequential")
    activity = network.forward(samples.spikes, solver="numpy-sequential")
    trains = [raster, *(trace.spikes for trace in activity.hidden)]
    additions = [0, 0, 0]
    for layer, (spikes, fan_out) in enumerate(zip(trains, (8, 7, 2))):
        for sample in spikes:
            for step in sample:
                for times in step:
                    additions[layer] += int(times) * fan_out
    assert np.allclose(result.effective_acs_per_layer, np.array(additions) / 300, rtol=1e-12)
    assert result.input_events == pytest.approx(raster.sum() / 300)
    assert result.membrane_updates_per_layer == (48, 42, 12)
    assert result.dense_per_layer == (240, 336, 84)
    assert (result.membrane_updates, result.dense) == (102, 660)
    silent = np.concatenate([train.reshape(300, -1) for train in trains[1:]], axis=1) == 0
    assert result.activation_sparsity == pytest.approx(silent.mean())


def test_metrics_hold_the_counts_and_old_ones_load_without(data, tmp_path):
    network = Network.random(NetworkConfig((4, 9, 3)), seed=0)
    run = RunFolder.create(RUN_ENTRIES, tmp_path / "run")
    (metrics,) = train(network, data, TrainingConfig(epochs=1, solver="numpy-parallel"), run=run)
    test = evaluate(network, data.test, solver="numpy-parallel")
    assert [getattr(metrics, name) for name in COUNTS] == [getattr(test, name) for name in COUNTS]
    assert run.metrics() == [metrics]
    path = run.path / "metrics.jsonl"
    line = json.loads(path.read_text())
    path.write_text(json.dumps({name: value for name, value in line.items() if name not in COUNTS}))
    (old,) = run.metrics()
    assert old.test_accuracy == metrics.test_accuracy
    totals = ("input_events", "effective_acs", "membrane_updates", "dense", "activation_sparsity")
    assert [getattr(old, name) for name in totals] == [None] * 5


def test_the_table():
    values = {"input_events": 4.0, "spikes_per_layer": (60.0,)}
    values |= operations((4, 120, 3), 100, 4.0, (60.0,))
    lines = table(values, with_energy=True).splitlines()
    assert lines[0].split()[-3:] == ["nJ", "nJ", "dense"]
    assert lines[1].split() == ["hidden1", "4.0", "60.0", "480.0", "12000", "48000", "55.63", "276.00"]
    assert lines[2].split() == ["readout", "60.0", "0.0", "180.0", "300", "36000", "1.54", "166.98"]
    assert lines[3].split() == ["all", "64.0", "60.0", "660.0", "12300", "84000", "57.17", "442.98"]
    assert lines[4] == "per inference; 95 % of the operations are membrane updates (leak and bias of T x N)"
    assert "Horowitz, ISSCC 2014" in lines[6]
    assert "memory" in lines[6]
    assert len(table(values, with_energy=False).splitlines()) == 5
