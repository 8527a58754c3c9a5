"""The README's table of conventions: every row is judged as it says, and as the library itself does."""

import numpy as np
import pytest

from minisnn.oracle import check
from minisnn.oracle.judge import CONVENTIONS
from tests import honest_ports as ports


def _run(step, spikes, weight, bias, beta, theta=1.0):
    """Step a neuron ``step(state, current, beta, theta) -> (spike, state, reported)`` through time."""
    current = spikes @ weight + bias
    raster, reported = np.zeros_like(current), np.empty_like(current)
    state = (np.zeros_like(current[:, 0]), np.zeros_like(current[:, 0]))
    for t in range(current.shape[1]):
        raster[:, t], state, reported[:, t] = step(state, current[:, t], beta, theta)
    return raster, reported


def leaky(reset_delay):
    """snnTorch's Leaky."""

    def step(state, current, beta, theta):
        v, fired = state
        u = beta * v + current - (theta * fired if reset_delay else 0)
        now = (u > theta).astype(u.dtype)
        after = u if reset_delay else u - theta * now
        return now, (after, now), after

    return step


def lif_node(v_reset, decay_input):
    """SpikingJelly's LIFNode, ``tau = 1 / (1 - beta)``."""

    def step(state, current, beta, theta):
        v, _ = state
        u = beta * v + ((1 - beta) * current if decay_input else current)
        now = (u >= theta).astype(u.dtype)
        after = u - theta * now if v_reset is None else (1 - now) * u + now * v_reset
        return now, (after, now), after

    return step


def port(step):
    def forward(spikes, weight, bias, decay, threshold):
        return _run(step, spikes, weight, bias, decay, weight.dtype.type(threshold))

    return forward


ROWS = {
    "snntorch": (leaky(True), None, "reset"),
    "snntorch-no-delay": (leaky(False), (), None),
    "spikingjelly": (lif_node(0.0, True), ("tie-fires", "scaled-input"), "reset"),
    "spikingjelly-soft": (lif_node(None, True), ("tie-fires", "scaled-input"), None),
    "spikingjelly-soft-unscaled": (lif_node(None, False), ("tie-fires",), None),
}
OPTIONS = {"neuron": "multi-spike", "dtype": "float64", "examples": 10}


@pytest.mark.parametrize("row", sorted(ROWS))
def test_row_is_judged_as_the_table_says(row):
    step, convention, rule = ROWS[row]
    report = check(port(step), convention=convention, **OPTIONS)
    assert report.passed == (rule is None), str(report)
    if convention:
        assert not check(port(step), **OPTIONS).passed, (
            "passes by the default rules too: the row says nothing"
        )


def test_snntorch_default_is_named():
    assert check(port(leaky(True)), **OPTIONS).findings[0].rule == "reset"
    assert "one step late" in check(port(leaky(True)), **OPTIONS).findings[0].diagnosis.text


def test_scaling_alone_is_named():
    assert check(ports.scaled_input, dtype="float64", examples=10).findings[0].rule == "input-scale"
    assert set(CONVENTIONS) == {"tie-fires", "scaled-input"}


def test_time_first_and_transposed_weights_are_named():
    forward, _ = ports.SINGLE["loop"]

    def time_first(spikes, weight, bias, decay, threshold):
        raster, membrane = forward(spikes.transpose(1, 0, 2), weight, bias, decay, threshold)
        return raster.transpose(1, 0, 2), membrane.transpose(1, 0, 2)

    def linear(spikes, weight, bias, decay, threshold):
        square = weight.shape[0] == weight.shape[1]
        return forward(spikes, weight.T if square else weight, bias, decay, threshold)

    assert check(linear, dtype="float64", examples=10).findings[0].rule == "weight-orientation"
    assert check(time_first, dtype="float64", examples=10).findings[0].rule == "axis-order"


CURRENT = np.array([0.5, 0.5, 0.5, 0.5, 2.0, 0.0, 1.0, 3.0])


def _expected(row, beta):
    raster, membrane = _run(
        ROWS[row][0],
        np.ones((1, len(CURRENT), 1)) * CURRENT[:, None],
        np.eye(1),
        np.zeros(1),
        np.array([beta]),
    )
    return raster.ravel(), membrane.ravel()


@pytest.mark.parametrize(
    ("row", "options"), [("snntorch", {}), ("snntorch-no-delay", {"reset_delay": False})]
)
def test_the_library_itself_snntorch(row, options):
    snntorch = pytest.importorskip("snntorch", reason="needs snntorch to compare with the library itself")
    torch = pytest.importorskip("torch")
    layer = snntorch.Leaky(beta=0.5, **options)
    state, fired, membrane = layer.init_leaky(), [], []
    for value in CURRENT:
        spike, state = layer(torch.tensor([value], dtype=torch.float32), state)
        fired.append(float(spike))
        membrane.append(float(state))
    raster, expected = _expected(row, 0.5)
    assert fired == raster.tolist()
    assert membrane == expected.tolist()


@pytest.mark.parametrize(
    ("row", "options"),
    [
        ("spikingjelly", {}),
        ("spikingjelly-soft", {"v_reset": None}),
        ("spikingjelly-soft-unscaled", {"v_reset": None, "decay_input": False}),
    ],
)
def test_the_library_itself_spikingjelly(row, options):
    reason = "needs spikingjelly to compare with the library itself"
    neuron = pytest.importorskip("spikingjelly.activation_based.neuron", reason=reason)
    torch = pytest.importorskip("torch")
    layer, fired, membrane = neuron.LIFNode(tau=2.0, **options), [], []
    for value in CURRENT:
        fired.append(float(layer(torch.tensor([value], dtype=torch.float32))[0]))
        membrane.append(float(layer.v))
    raster, expected = _expected(row, 0.5)
    assert fired == raster.tolist()
    assert membrane == expected.tolist()
