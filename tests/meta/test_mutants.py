"""Proof that the tests can fail: every wrong layer is caught, the correct one in the same form is not."""

import numpy as np
import pytest

from minisnn import oracle
from tests.mutants import MUTANTS, Layer, MultiLayer

GRADIENTS = {
    "single-spike": ["gated", "straight-through"],
    "multi-spike": ["through-reset", "detached-reset"],
}


def verdict(port, neuron, breaks):
    """Report of the oracle on a port; only the side that is said to be broken is looked at."""
    backward = port.backward if breaks == "backward" else None
    forward = (MultiLayer() if neuron == "multi-spike" else Layer()).forward if backward else port.forward
    gradient = "both" if neuron == "single-spike" else "through-reset"
    return oracle.check(forward, backward, neuron=neuron, gradient=gradient, examples=12)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_the_oracle_catches(mutant):
    with np.errstate(all="ignore"):
        report = verdict(mutant.port, mutant.neuron, mutant.breaks)
    assert not report.passed, f"{mutant.name} survived: {mutant.lie}"


@pytest.mark.parametrize(("port", "neuron"), [(Layer(), "single-spike"), (MultiLayer(), "multi-spike")])
def test_the_oracle_lets_the_correct_layer_pass(port, neuron):
    for breaks in ("forward", "backward"):
        report = verdict(port, neuron, breaks)
        assert report.passed, str(report)


def test_there_are_enough_of_them():
    assert len(MUTANTS) >= 40
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS)
    assert {m.breaks for m in MUTANTS} == {"forward", "backward"}
