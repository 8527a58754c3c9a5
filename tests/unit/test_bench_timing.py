"""Timing: who runs when, which settings hold meanwhile, and how exponents are fitted."""

import numpy as np
import pytest

from minisnn.bench.grid import DENSITIES, Cell, exponents, poisson_raster
from minisnn.bench.scaling import default_sizes
from minisnn.bench.timing import Contestant, GemmFloor, StepRunner, by_turns, exponent
from minisnn.bench.workloads import make_batch, make_network, workload
from minisnn.errors import InputError
from minisnn.solvers.compiled import events as event_products
from minisnn.solvers.compiled import threads
from minisnn.solvers.settings import settings


def test_contestants_take_turns():
    calls = []

    def contestant(name):
        return lambda n: calls.append(name) or [name] * n

    results = by_turns([contestant("a"), contestant("b")], repeats=9)
    assert calls == ["a", "b"] * 3
    assert [len(r) for r in results] == [9, 9]


def test_settings_are_put_back():
    before = event_products.get_product(), threads.get_threads()
    with settings("dense", 3):
        assert (event_products.get_product(), threads.get_threads()) == ("dense", 3)
    with pytest.raises(InputError, match="threads"), settings("events", 0):
        pass
    assert (event_products.get_product(), threads.get_threads()) == before


def test_a_runner_trains_a_copy_and_reports_both_passes():
    what = workload("shd", batch=4, n_steps=30, n_inputs=20, n_hidden=5, n_classes=3, n_events=100)
    events, labels = make_batch(what)
    network = make_network(what, "v2", "single-spike", events)
    before = {name: array.copy() for name, array in network.parameters.items()}
    runner = StepRunner(Contestant("numba-parallel", "single-spike", "auto", 1), network, events, labels)
    for total, forward, backward in runner.turn(3):
        assert total > 0
        assert forward > 0
        assert backward > 0
    assert all(np.array_equal(before[name], network.parameters[name]) for name in before)
    assert runner.optimiser.steps == 4
    assert not np.array_equal(before["hidden1.weight"], runner.network.parameters["hidden1.weight"])


def test_the_floor_forms_the_five_products():
    raster = poisson_raster("dense", 2, 5, 7)
    floor = GemmFloor(raster, n_hidden=4, n_classes=3, n_threads=1)
    assert all(seconds > 0 for seconds in floor.turn(2))
    current, logits, grad_w2, grad_hidden, grad_w1 = floor.results
    x = raster.reshape(10, 7)
    for came, expected in (
        (current, x @ floor.w1),
        (logits, floor.hidden @ floor.w2),
        (grad_w2, floor.hidden.T @ floor.out),
        (grad_hidden, floor.out @ floor.w2.T),
        (grad_w1, x.T @ floor.hidden),
    ):
        np.testing.assert_allclose(came, expected, rtol=1e-5, atol=1e-5)


def test_exponents_are_those_of_power_laws():
    assert exponent([1, 3, 9], [2.0, 2 * 3**1.5, 2 * 9**1.5]) == pytest.approx(1.5)
    cells = [Cell("dense", 32, 100, t, 0.1, None, 1.0, 1.0, 0.5 * t, 0.5 * t) for t in (8, 128, 256, 512)]
    assert exponents(cells) == {("dense", 32, 100): pytest.approx(1.0)}
    assert exponents(cells[:2]) == {}
    assert exponents([Cell("dense", 32, 100, t, 0.1, "wrong") for t in (128, 256)]) == {}


def test_poisson_inputs_have_their_density():
    dense, sparse, half = (poisson_raster(d, 200, 10, 100) for d in DENSITIES)
    assert 0.09 < dense.mean() < 0.11
    assert 0.45 < half.mean() < 0.55
    per_sample = sparse.sum(axis=(1, 2))
    assert 80 < per_sample.mean() < 105
    assert per_sample.max() <= 200
    with pytest.raises(InputError, match="density"):
        poisson_raster("medium", 1, 1, 1)


def test_threads_are_tried_in_powers_of_two():
    assert default_sizes(True, 1)["threads"] == (1,)
    assert default_sizes(False, 6)["threads"] == (1, 2, 4)
