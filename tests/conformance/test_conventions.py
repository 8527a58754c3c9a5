"""The table of conventions of other libraries: every row is judged as it says, and as the library itself does."""

from pathlib import Path

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


def lif_box(subtract):
    """Norse's LIFBoxCell, dt / tau_mem = 1 - beta."""

    def step(state, current, beta, theta):
        v, _ = state
        u = v + (1 - beta) * (current - v)
        now = (u > theta).astype(u.dtype)
        after = u - theta * now if subtract else (1 - now) * u
        return now, (after, now), after

    return step


def lif_cell(state, current, beta, theta):
    """Norse's LIFCell: the current decays too, by 1 - dt / tau_syn = 0.8."""
    v, i = state
    i = i + current
    u = v + (1 - beta) * (i - v)
    now = (u > theta).astype(u.dtype)
    after = (1 - now) * u
    return now, (after, u.dtype.type(0.8) * i), after


def sinabs_lif(many, norm_input):
    """Sinabs' LIF, with MultiSpike or SingleSpike."""

    def step(state, current, beta, theta):
        v, _ = state
        u = beta * v + ((1 - beta) * current if norm_input else current)
        now = np.maximum(np.trunc(u / theta), 0) if many else (u - theta >= 0).astype(u.dtype)
        after = u - now * theta
        return now, (after, now), after

    return step


def rockpool_lif(state, current, beta, theta):
    """Rockpool's LIFTorch: the current decays too, the new input with it, and a step may hold several spikes."""
    v, i = state
    i = current.dtype.type(0.5) * (i + current)
    u = beta * v + i
    now = np.maximum(np.trunc(u / theta), 0)
    after = u - now * theta
    return now, (after, i), after


def spyx_lif(state, current, beta, theta):
    """Spyx' LIF: the spike is that of the potential of the step before."""
    v, _ = state
    now = (v > theta).astype(v.dtype)
    after = beta * v + current - now * theta
    return now, (after, now), after


def cuba(state, current, beta, theta):
    """Lava-dl's slayer.neuron.cuba with a current that decays at once; its fixed-point arithmetic aside."""
    v, _ = state
    u = beta * v + current
    now = (u > theta).astype(u.dtype)
    return now, ((1 - now) * u, now), u


def port(step):
    def forward(spikes, weight, bias, decay, threshold):
        return _run(step, spikes, weight, bias, decay, weight.dtype.type(threshold))

    return forward


# Layer, as the page calls it: its update, the conventions it is judged by, and the rule by which it fails all the same.
ROWS = {
    "Leaky": (leaky(True), None, "reset"),
    "Leaky(reset_delay=False)": (leaky(False), (), None),
    "LIFNode": (lif_node(0.0, True), ("tie-fires", "scaled-input"), "membrane"),
    "LIFNode(v_reset=None)": (lif_node(None, True), ("tie-fires", "scaled-input"), None),
    "LIFNode(v_reset=None, decay_input=False)": (lif_node(None, False), ("tie-fires",), None),
    "LIFBoxCell": (lif_box(False), ("scaled-input",), "membrane"),
    "LIFBoxCell(reset_method=reset_subtract)": (lif_box(True), ("scaled-input",), None),
    "LIFCell": (lif_cell, ("scaled-input",), "membrane"),
    "LIF(spike_fn=MultiSpike)": (sinabs_lif(True, False), ("tie-fires",), "raster"),
    "LIF(spike_fn=SingleSpike, norm_input=False)": (sinabs_lif(False, False), ("tie-fires",), None),
    "LIF(spike_fn=SingleSpike, norm_input=True)": (
        sinabs_lif(False, True),
        ("tie-fires", "scaled-input"),
        None,
    ),
    "LIFTorch": (rockpool_lif, ("tie-fires",), "raster"),
    "spyx.nn.LIF": (spyx_lif, None, "spike-step"),
    "cuba.Neuron(current_decay=1)": (cuba, None, "reset"),
}
OPTIONS = {"neuron": "multi-spike", "dtype": "float64", "examples": 10}


@pytest.mark.usefixtures("few_families")
@pytest.mark.parametrize("row", sorted(ROWS))
def test_row_is_judged_as_the_table_says(row):
    step, convention, rule = ROWS[row]
    report = check(port(step), convention=convention, **OPTIONS)
    assert report.passed == (rule is None), str(report)
    if rule:
        assert report.findings[0].rule == rule, str(report)
    if convention:
        assert not check(port(step), **OPTIONS).passed, (
            "passes by the default rules too: the row says nothing"
        )


def test_the_page_says_what_is_tested():
    page = (Path(__file__).parents[2] / "docs" / "coming-from.md").read_text()
    told = {
        layer.strip("`"): judged
        for _, layer, *_, judged in (
            line.strip("| ").split(" | ") for line in page.splitlines() if line[:3] == "| ["
        )
    }
    for row, (_, convention, rule) in ROWS.items():
        rules = f"`{' '.join(convention)}`" if convention else "default rules"
        assert told.pop(row) == (f"fails by rule `{rule}`" if rule else rules)
    assert not told


def test_every_convention_has_a_row():
    assert {name for _, names, _ in ROWS.values() for name in names or ()} == set(CONVENTIONS)


@pytest.mark.usefixtures("few_families")
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


def library(name):
    return pytest.importorskip(name, reason=f"needs {name.split('.')[0]} to compare with the library itself")


def run_snntorch(torch, **options):
    layer = library("snntorch").Leaky(beta=0.5, **options)
    state = layer.init_leaky()
    for value in torch.tensor(CURRENT, dtype=torch.float32):
        spike, state = layer(value[None], state)
        yield float(spike), float(state)


def run_spikingjelly(torch, **options):
    layer = library("spikingjelly.activation_based.neuron").LIFNode(tau=2.0, **options)
    for value in torch.tensor(CURRENT, dtype=torch.float32):
        yield float(layer(value[None])[0]), float(layer.v)


def run_norse(torch, cell, parameters, subtract=False):
    norse = library("norse.torch")
    options = {"reset_method": norse.functional.reset.reset_subtract} if subtract else {}
    rates = getattr(norse, parameters)(tau_mem_inv=torch.tensor(500.0), **options)
    layer, state = getattr(norse, cell)(rates, dt=0.001), None
    for value in torch.tensor(CURRENT, dtype=torch.float32):
        spike, state = layer(value[None, None], state)
        yield float(spike), float(state.v)


def run_sinabs(torch, spike_fn, norm_input):
    sinabs = library("sinabs")
    spike, tau = getattr(sinabs.activation, spike_fn), 1 / np.log(2)
    layer = sinabs.layers.LIF(tau, spike_fn=spike, norm_input=norm_input, record_states=True)
    fired = layer(torch.tensor(CURRENT[None, :, None], dtype=torch.float32))
    return zip(fired.ravel().tolist(), layer.recordings["v_mem"].ravel().tolist())


def run_rockpool(torch):
    tau = torch.tensor([[1 / np.log(2)]], dtype=torch.float32)
    layer = library("rockpool.nn.modules").LIFTorch(
        1, tau_mem=tau[0], tau_syn=tau, bias=torch.zeros(1), dt=1.0
    )
    fired, _, record = layer(torch.tensor(CURRENT[None, :, None], dtype=torch.float32), record=True)
    return zip(fired.ravel().tolist(), record["vmem"].ravel().tolist())


@pytest.mark.filterwarnings("ignore")  # the libraries' own
@pytest.mark.parametrize(
    ("row", "run", "options"),
    [
        ("Leaky", run_snntorch, {}),
        ("Leaky(reset_delay=False)", run_snntorch, {"reset_delay": False}),
        ("LIFNode", run_spikingjelly, {}),
        ("LIFNode(v_reset=None)", run_spikingjelly, {"v_reset": None}),
        ("LIFNode(v_reset=None, decay_input=False)", run_spikingjelly, {"v_reset": None, "decay_input": False}),
        ("LIFBoxCell", run_norse, {"cell": "LIFBoxCell", "parameters": "LIFBoxParameters"}),
        ("LIFBoxCell(reset_method=reset_subtract)", run_norse,
         {"cell": "LIFBoxCell", "parameters": "LIFBoxParameters", "subtract": True}),
        ("LIFCell", run_norse, {"cell": "LIFCell", "parameters": "LIFParameters"}),
        ("LIF(spike_fn=MultiSpike)", run_sinabs, {"spike_fn": "MultiSpike", "norm_input": False}),
        ("LIF(spike_fn=SingleSpike, norm_input=False)", run_sinabs, {"spike_fn": "SingleSpike", "norm_input": False}),
        ("LIF(spike_fn=SingleSpike, norm_input=True)", run_sinabs, {"spike_fn": "SingleSpike", "norm_input": True}),
        ("LIFTorch", run_rockpool, {}),
    ],
)  # fmt: skip
def test_the_library_itself(row, run, options):
    fired, membrane = zip(*run(pytest.importorskip("torch", reason="needs torch"), **options))
    raster, expected = _run(ROWS[row][0], CURRENT[None, :, None], np.eye(1), np.zeros(1), np.array([0.5]))
    assert list(fired) == raster.ravel().tolist()
    np.testing.assert_allclose(membrane, expected.ravel(), rtol=1e-6)
