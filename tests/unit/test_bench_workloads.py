"""Workloads: the sizes, the sparseness and the share of firing neurons that the benchmarks promise."""

import numpy as np
import pytest

from minisnn import solvers
from minisnn.bench.workloads import RULES, WORKLOADS, make_batch, make_network, workload
from minisnn.errors import InputError


@pytest.mark.parametrize("name", WORKLOADS)
def test_the_input_has_the_promised_number_of_events(name):
    what = workload(name, batch=8)
    events, labels = make_batch(what)
    assert events.shape == (8, what.n_steps, what.n_inputs)
    assert labels.shape == (8,)
    assert 0 <= labels.min() <= labels.max() < what.n_classes
    per_sample = events.n_events / 8
    if what.latency:
        assert 0.42 < per_sample / what.n_inputs < 0.48
        assert events.to_raster().sum(axis=1).max() == 1, "an input spikes once"
    else:
        assert 0.97 * what.n_events < per_sample <= what.n_events
        assert events.to_raster().max() == 1


def test_the_same_seed_gives_the_same_input_and_another_seed_another():
    what = workload("shd", batch=2)
    first, again, other = make_batch(what), make_batch(what), make_batch(what, seed=1)
    assert np.array_equal(first[0].indices, again[0].indices)
    assert np.array_equal(first[0].indptr, again[0].indptr)
    assert not np.array_equal(first[0].indptr, other[0].indptr)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("neuron", solvers.NEURONS)
def test_half_of_all_pairs_fire(rule, neuron):
    what = workload("fashion-mnist", batch=16, n_hidden=50)
    events, _ = make_batch(what)
    network = make_network(what, rule, neuron, events)
    trace = network.forward(events, solver="numpy-sequential").hidden[0]
    assert abs(trace.spikes.any(axis=1).mean() - 0.5) < 0.01


def test_wrong_names_and_hopeless_inputs_are_named():
    with pytest.raises(InputError, match="did you mean 'nmnist'"):
        workload("nmnit")
    what = workload("shd", batch=2, n_steps=20, n_events=0)
    events, _ = make_batch(what)
    with pytest.raises(InputError, match="rule"):
        make_network(what, "v3", "single-spike", events)
    with pytest.raises(InputError, match="must rise above 0"):
        make_network(what, "v1", "single-spike", events)
