"""Benchmarks: the inputs they promise, who runs when, which settings hold, and how exponents are fitted."""

import numpy as np
import pytest

from minisnn import solvers
from minisnn.bench.grid import DENSITIES, Cell, exponents, poisson_raster
from minisnn.bench.scaling import default_sizes
from minisnn.bench.timing import Contestant, DenseProducts, StepRunner, by_turns, exponent
from minisnn.bench.workloads import RULES, WORKLOADS, make_batch, make_network, workload
from minisnn.errors import InputError
from minisnn.solvers.compiled import events as event_products
from minisnn.solvers.compiled import threads
from minisnn.solvers.settings import settings
from tests.helpers import one_line, same


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
    (first, _), (again, _), (other, _) = make_batch(what), make_batch(what), make_batch(what, seed=1)
    same(first, again, ("indices", "indptr"))
    assert not np.array_equal(first.indptr, other.indptr)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("neuron", solvers.NEURONS)
def test_half_of_all_pairs_fire(rule, neuron):
    what = workload("fashion-mnist", batch=16, n_hidden=50)
    events, _ = make_batch(what)
    network = make_network(what, rule, neuron, events)
    trace = network.forward(events, solver="numpy-sequential").hidden[0]
    assert abs(trace.spikes.any(axis=1).mean() - 0.5) < 0.01


def test_wrong_names_and_hopeless_inputs_are_named():
    what = workload("shd", batch=2, n_steps=20, n_events=0)
    silent, _ = make_batch(what)
    for call, message in (
        (lambda: workload("nmnit"), "did you mean 'nmnist'"),
        (lambda: make_network(what, "v3", "single-spike", silent), "rule"),
        (lambda: make_network(what, "v1", "single-spike", silent), "must rise above 0"),
        (lambda: poisson_raster("medium", 1, 1, 1), "density"),
    ):
        with one_line(InputError, message):
            call()


def test_poisson_inputs_have_their_density():
    dense, sparse, half = (poisson_raster(d, 200, 10, 100) for d in DENSITIES)
    assert 0.09 < dense.mean() < 0.11
    assert 0.45 < half.mean() < 0.55
    per_sample = sparse.sum(axis=(1, 2))
    assert 80 < per_sample.mean() < 105
    assert per_sample.max() <= 200


def test_contestants_take_turns():
    calls = []
    contestants = [lambda n, name=name: calls.append(name) or [name] * n for name in "ab"]
    results = by_turns(contestants, repeats=9)
    assert calls == ["a", "b"] * 3
    assert [len(r) for r in results] == [9, 9]


def test_settings_are_put_back():
    def in_force():
        return event_products.get_product(), threads.get_threads()

    before = in_force()
    with settings("dense", 3):
        assert in_force() == ("dense", 3)
    with one_line(InputError, "threads"), settings("events", 0):
        pass
    assert in_force() == before


def test_a_runner_trains_a_copy_and_reports_both_passes():
    what = workload("shd", batch=4, n_steps=30, n_inputs=20, n_hidden=5, n_classes=3, n_events=100)
    events, labels = make_batch(what)
    network = make_network(what, "v2", "single-spike", events)
    before = {name: array.copy() for name, array in network.parameters.items()}
    runner = StepRunner(Contestant("numba-parallel", "single-spike", "auto", 1), network, events, labels)
    assert all(seconds > 0 for turn in runner.turn(3) for seconds in turn)
    assert all(np.array_equal(before[name], network.parameters[name]) for name in before)
    assert runner.optimiser.steps == 4
    assert not np.array_equal(before["hidden1.weight"], runner.network.parameters["hidden1.weight"])


def test_the_dense_products_are_five():
    raster = poisson_raster("dense", 2, 5, 7)
    dense = DenseProducts(raster, n_hidden=4, n_classes=3, n_threads=1)
    assert all(seconds > 0 for seconds in dense.turn(2))
    x, hidden, out = raster.reshape(10, 7), dense.hidden, dense.out
    expected = x @ dense.w1, hidden @ dense.w2, hidden.T @ out, out @ dense.w2.T, x.T @ hidden
    for came, right in zip(dense.results, expected, strict=True):
        np.testing.assert_allclose(came, right, rtol=1e-5, atol=1e-5)


def test_exponents_are_those_of_power_laws():
    assert exponent([1, 3, 9], [2.0, 2 * 3**1.5, 2 * 9**1.5]) == pytest.approx(1.5)
    cells = [Cell("dense", 32, 100, t, 0.1, None, (1.0, 1.0, 0.5 * t, 0.5 * t)) for t in (8, 128, 256, 512)]
    assert exponents(cells) == {("dense", 32, 100): pytest.approx(1.0)}
    assert exponents(cells[:2]) == {}
    assert exponents([Cell("dense", 32, 100, t, 0.1, "wrong") for t in (128, 256)]) == {}


def test_threads_are_tried_in_powers_of_two():
    assert default_sizes(True, 1)["threads"] == (1,)
    assert default_sizes(False, 6)["threads"] == (1, 2, 4)
