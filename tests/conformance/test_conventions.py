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


def test_snntorch_default_is_named():
    finding = check(port(leaky(True)), **OPTIONS).findings[0]
    assert finding.rule == "reset"
    assert "one step late" in finding.diagnosis.text


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
    ("row", "options"), [("Leaky", {}), ("Leaky(reset_delay=False)", {"reset_delay": False})]
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
        ("LIFNode", {}),
        ("LIFNode(v_reset=None)", {"v_reset": None}),
        ("LIFNode(v_reset=None, decay_input=False)", {"v_reset": None, "decay_input": False}),
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


@pytest.mark.filterwarnings("ignore")  # norse's and torch's own
@pytest.mark.parametrize(
    ("row", "cell", "parameters", "subtract"),
    [
        ("LIFBoxCell", "LIFBoxCell", "LIFBoxParameters", False),
        ("LIFBoxCell(reset_method=reset_subtract)", "LIFBoxCell", "LIFBoxParameters", True),
        ("LIFCell", "LIFCell", "LIFParameters", False),
    ],
)
def test_the_library_itself_norse(row, cell, parameters, subtract):
    norse = pytest.importorskip("norse.torch", reason="needs norse to compare with the library itself")
    torch = pytest.importorskip("torch")
    options = {"reset_method": norse.functional.reset.reset_subtract} if subtract else {}
    layer = getattr(norse, cell)(
        getattr(norse, parameters)(tau_mem_inv=torch.tensor(500.0), **options), dt=0.001
    )
    state, fired, membrane = None, [], []
    for value in CURRENT:
        spike, state = layer(torch.tensor([[value]], dtype=torch.float32), state)
        fired.append(float(spike))
        membrane.append(float(state.v))
    raster, expected = _expected(row, 0.5)
    assert fired == raster.tolist()
    np.testing.assert_allclose(membrane, expected, rtol=1e-6)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("row", "spike_fn", "norm_input"),
    [
        ("LIF(spike_fn=MultiSpike)", "MultiSpike", False),
        ("LIF(spike_fn=SingleSpike, norm_input=False)", "SingleSpike", False),
        ("LIF(spike_fn=SingleSpike, norm_input=True)", "SingleSpike", True),
    ],
)
def test_the_library_itself_sinabs(row, spike_fn, norm_input):
    sinabs = pytest.importorskip("sinabs", reason="needs sinabs to compare with the library itself")
    torch = pytest.importorskip("torch")
    spike = getattr(sinabs.activation, spike_fn)
    tau = 1 / np.log(2)
    layer = sinabs.layers.LIF(tau, spike_fn=spike, norm_input=norm_input, record_states=True)
    fired = layer(torch.tensor(CURRENT[None, :, None], dtype=torch.float32))
    raster, expected = _expected(row, 0.5)
    assert fired.ravel().tolist() == raster.tolist()
    np.testing.assert_allclose(layer.recordings["v_mem"].detach().ravel(), expected, rtol=1e-6)


@pytest.mark.filterwarnings("ignore")
def test_the_library_itself_rockpool():
    modules = pytest.importorskip(
        "rockpool.nn.modules", reason="needs rockpool to compare with the library itself"
    )
    torch = pytest.importorskip("torch")
    tau = torch.tensor([[1 / np.log(2)]], dtype=torch.float32)
    layer = modules.LIFTorch(1, tau_mem=tau[0], tau_syn=tau, bias=torch.zeros(1), dt=1.0)
    fired, _, record = layer(torch.tensor(CURRENT[None, :, None], dtype=torch.float32), record=True)
    raster, expected = _expected("LIFTorch", 0.5)
    assert fired.ravel().tolist() == raster.tolist()
    np.testing.assert_allclose(record["vmem"].detach().ravel(), expected, rtol=1e-6)
