"""The families: few shapes, an exact twin beside every general case, and mistakes that small cases do not show."""

import re
import time

import numpy as np
import pytest

from minisnn.oracle import check, families
from minisnn.oracle.batteries import random_case
from minisnn.oracle.cases import GRADIENTS, reduce_case
from minisnn.oracle.exact import exact_in_any_order
from minisnn.oracle.judge import Judge
from minisnn.oracle.plan import checked_settings, plan
from tests import honest_ports as ports
from tests import mutants_of_order, mutants_of_value  # noqa: F401 - they put their mutants into HIDDEN
from tests.mutants import Layer
from tests.mutants_of_size import HIDDEN
from tests.prepared import prepared

FORWARD, BACKWARD = ports.SINGLE["loop"]
LIF, LIF_BACKWARD = ports.MULTI["loop"]
ALL = tuple(families.FAMILIES)


@pytest.mark.parametrize("neuron", GRADIENTS)
def test_shapes_are_few_and_every_family_has_exact_and_general_cases(neuron):
    judge, shapes = Judge(), {"forward": set(), "backward": set()}
    settings = checked_settings(judge, neuron, "both", "float32", 100, 0)
    for direction, named in plan(settings, judge):
        exact = {}
        for name, cases in named:
            for case in cases:
                shapes[direction].add((*case.spikes.shape, case.shape[2]))
                exact.setdefault(name, set()).add(bool(exact_in_any_order(case).all()))
        for name in set(ALL) & exact.keys():
            assert exact[name] == {False, True}, (direction, name)
    assert max(len(found) for found in shapes.values()) <= 40


# ---- one mistake, one family --------------------------------------------------------------------------


class Counter16Bits(Layer):
    def double_sum(self, faulty):
        return np.cumsum(np.cumsum(faulty, axis=1), axis=1).astype(np.uint16)


PORTS = {mutant.name: type(mutant.port) for mutant in HIDDEN} | {"Counter16Bits": Counter16Bits}
MISTAKES = [
    ("sizes", "InputTail"),
    ("sizes", "Cells16Bits"),
    ("late", "Times16Bits"),
    ("late", "Counter16Bits"),
    ("memory", "TenPasses"),
    ("scales", "TinyWeights"),
    ("sharp", "HalfThreshold"),
    ("values", "ThresholdSize"),
    ("values", "EndsWithEvents"),
    ("calls", "KeyWithoutThreshold"),
]


@pytest.mark.parametrize(("family", "name"), MISTAKES)
def test_a_mistake_that_only_a_family_shows(family, name):
    assert prepared(dtype="float32", breaks="forward")(PORTS[name]().forward, None).passed
    report = prepared(dtype="float32", breaks="forward", tried=(family,))(PORTS[name]().forward, None)
    (finding,) = report.findings
    assert finding.tried[family].failing
    assert f"only the family {family!r} shows it" in str(report)
    assert str(report).startswith(f"FAIL: single-spike, float32, forward: {finding.diagnosis.text}")


def test_the_longest_run_is_left_out_where_a_port_would_be_too_slow_for_it(only):
    only("late")

    def quadratic(spikes, *rest):
        assert spikes.shape[1] < 32769
        if spikes.shape[1] == 4097:
            time.sleep(0.2)
        return FORWARD(spikes, *rest)

    report = check(quadratic, dtype="float32", examples=5)
    assert report.passed, str(report)
    assert re.search(r"note: forward, float32: 32769 steps were not tried, 4097 took \d\.\d s", str(report))


def test_a_large_case_is_halved_until_it_is_small():
    case, tried = (
        random_case("large", (64, 5000, 3, 9), "single-spike", "float32", np.random.default_rng(0)),
        [],
    )

    def fails(candidate):
        tried.append(candidate)
        batch, n_steps, n_out = candidate.shape
        return batch > 32 and n_steps > 2047 and n_out > 1

    small = reduce_case(case, fails, lambda: len(tried) < 50)
    assert small.spikes.shape == (33, 2048, 1)
    assert small.weight.shape == (1, 2)


# ---- the report ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("neuron", GRADIENTS)
def test_the_report_of_a_right_port_fits_a_screen_and_tells_how_much_was_judged(neuron, only):
    only("values", "scales")
    forward, backward = (FORWARD, BACKWARD) if neuron == "single-spike" else (LIF, LIF_BACKWARD)
    report = check(
        lambda *a: (forward(*a)[0], None), lambda *a: {"bias": backward(*a)["bias"]}, neuron=neuron
    )
    assert report.passed, str(report)
    lines = str(report).splitlines()
    assert len(lines) <= 24 - (len(ALL) - 2)
    assert max(map(len, lines)) <= 100
    assert "note: the port returns no membrane" in str(report)
    assert "note: the port returns no gradient of spikes, weight, decay: not judged" in str(report)
    for tallies in report.tried.values():
        assert sum(tally.judged for tally in tallies.values()) > 1000
    assert {*report.to_dict()["tried"]["forward"]} == {"golden", "edge", "drawn", "values", "scales"}
