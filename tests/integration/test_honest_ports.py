"""Honest ports are not refused, for many seeds; those of other makes too, where these are installed."""

import os
import shutil

import numpy as np
import pytest

from minisnn.oracle import check
from minisnn.oracle.batteries import drawn, with_gradient
from minisnn.oracle.cases import GRADIENTS
from minisnn.oracle.judge import Judge
from minisnn.oracle.port import Port
from tests import foreign_ports, honest_ports

SEEDS = int(os.environ.get("MINISNN_SEEDS", "200"))
NATIVE = [
    (neuron, name)
    for neuron, table in (
        ("single-spike", honest_ports.SINGLE | honest_ports.FFT),
        ("multi-spike", honest_ports.MULTI),
    )
    for name in table
]
FOREIGN = [(neuron, make) for make in ("torch", "jax", "c") for neuron in GRADIENTS]


def port_of(neuron, name, folder):
    """The functions of a port by its name, or a skip with its reason."""
    if name == "c":
        if shutil.which("cc") is None:
            pytest.skip("needs a C compiler (cc) on the path")
        return foreign_ports.c_ports(folder)[neuron]
    if name in ("torch", "jax"):
        pytest.importorskip(name)
        return getattr(foreign_ports, f"{name}_ports")()[neuron]
    table = honest_ports.SINGLE | honest_ports.FFT if neuron == "single-spike" else honest_ports.MULTI
    return table[name]


def test_there_are_enough_of_them():
    assert len({name for _, name in NATIVE + FOREIGN}) >= 12


@pytest.mark.slow
@pytest.mark.parametrize(("neuron", "name"), FOREIGN)
def test_ports_of_other_makes_pass(neuron, name, tmp_path):
    for gradient in ("both",) if neuron == "single-spike" else GRADIENTS[neuron]:
        report = check(*port_of(neuron, name, tmp_path), neuron=neuron, gradient=gradient)
        assert report.passed, str(report)


@pytest.mark.slow
@pytest.mark.parametrize(("neuron", "name"), NATIVE + FOREIGN)
def test_ports_pass_for_many_seeds(neuron, name, tmp_path):
    """Five drawn cases a seed, forward and backward: MINISNN_SEEDS seeds, 200 by default."""
    judge = Judge("fft" if name == "fft" else "standard")
    port, wrong, tried = Port(*port_of(neuron, name, tmp_path), 10.0), [], 0
    for seed in range(SEEDS):
        dtype = ("float32", "float64")[seed % 2]
        rng = np.random.default_rng(seed)
        for case in drawn(neuron, dtype, 5, rng):
            cases = [case]
            if judge.decided(case):
                cases.append(with_gradient(case, GRADIENTS[neuron][tried % 2], rng))
            for each in cases:
                tried += 1
                wrong.extend(judge.verdict(each, port.call(each)).violations)
    port.close()
    assert not wrong, wrong
    assert tried > 5 * SEEDS
