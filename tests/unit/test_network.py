"""Networks: named parameters, files with every shape checked, and what damaged files get."""

import itertools
import json
from dataclasses import replace

import numpy as np
import pytest

import minisnn
from minisnn import Network, NetworkConfig, SpikeEvents
from minisnn.errors import DataError, InputError
from minisnn.loss import softmax_cross_entropy, softmax_cross_entropy_backward
from tests.helpers import bits, one_line, same_dict

CONFIG = NetworkConfig((4, 6, 5, 3))


def test_names_shapes_and_counts():
    network = Network.random(CONFIG, seed=1)
    layers, parts = ("hidden1", "hidden2", "readout"), ("weight", "bias", "decay")
    assert list(network.parameters) == [f"{layer}.{part}" for layer in layers for part in parts]
    assert {name: a.shape for name, a in network.parameters.items()} == CONFIG.shapes()
    assert network.n_parameters == (4 * 6 + 12) + (6 * 5 + 10) + (5 * 3 + 6)
    assert np.abs(network.parameters["hidden1.weight"]).max() <= 0.5
    fixed = Network(NetworkConfig((4, 6, 3), learn_decay=False))
    assert fixed.parameters["hidden1.decay"].shape == ()
    assert fixed.n_parameters == 4 * 6 + 6 + 6 * 3 + 3


def test_one_seed_one_network():
    one, same, other = (Network.random(CONFIG, seed=s) for s in (1, 1, 2))
    assert bits(one) == bits(same)
    assert bits(one)["hidden1.weight"] != bits(other)["hidden1.weight"]


@pytest.mark.parametrize("neuron", ["single-spike", "multi-spike"])
def test_round_trip_through_a_file(tmp_path, neuron):
    network = Network.random(NetworkConfig((4, 6, 3), neuron=neuron, readout="max", dtype="float64"), seed=2)
    network.save(tmp_path / "network.npz")
    loaded = Network.load(tmp_path / "network.npz")
    assert loaded.config == network.config
    same_dict(loaded.parameters, network.parameters)
    network.save(tmp_path / "again.npz")
    assert (tmp_path / "again.npz").read_bytes() == (tmp_path / "network.npz").read_bytes()


def test_damaged_files(tmp_path):
    path = tmp_path / "network.npz"

    def complains(message):
        with one_line(DataError, f"{path}.*{message}"):
            Network.load(path)

    complains("does not exist")
    Network.random(CONFIG).save(path)
    content = path.read_bytes()
    path.write_bytes(content[:-30])
    complains("not a readable .npz file")
    with open(path, "wb") as file:
        np.save(file, np.zeros(3))
    complains("single array")
    arrays = Network.random(CONFIG).to_arrays()
    for name, value, message in [
        ("config", None, "'config' is missing"),
        ("config", np.array("{]"), "no valid minisnn network"),
        ("parameters/readout.bias", np.zeros(9, "f4"), r"readout.bias must be float32 of shape \(3,\)"),
        ("parameters/readout.bias", np.full(3, np.nan, "f4"), "readout.bias must be finite"),
        ("parameters/hidden1.decay", np.full(6, 2, "f4"), r"decay must lie in \[0, 1\]"),
        ("parameters/extra", np.zeros(1), "missing or unknown: extra"),
    ]:
        np.savez(path, **{k: v for k, v in (arrays | {name: value}).items() if v is not None})
        complains(message)


@pytest.mark.parametrize("call", ["loss_and_gradients", "training_step"])
@pytest.mark.parametrize(
    ("spikes", "labels", "message"),
    [
        (np.zeros((2, 5, 7)), [0, 1], r"spikes must have shape \(batch, time, 4\).*, got \(2, 5, 7\)"),
        (SpikeEvents.from_spike_times(np.zeros((2, 5), int), 5), [0, 1], r"must have shape \(batch, time, 4\)"),
        (np.full((2, 5, 4), 2), [0, 1], "0 or 1"),
        (np.zeros((2, 5, 4)), [0, 3], r"labels must lie in 0 \.\.\. 2, got 0 \.\.\. 3"),
        (np.zeros((2, 5, 4)), [0.5, 1], "labels must be 2 integers"),
        (np.zeros((2, 5, 4)), [0], "labels must be 2 integers"),
    ],
)  # fmt: skip
def test_wrong_input_and_labels(call, spikes, labels, message):
    with one_line(InputError, message):
        getattr(Network.random(CONFIG), call)(spikes, np.array(labels))


@pytest.mark.parametrize("call", ["forward", "predict", "training_step"])
def test_an_input_of_another_width_is_refused(call):
    labels = [np.array([0, 1])] if call == "training_step" else []
    with one_line(InputError, "spikes must have shape"):
        getattr(Network.random(CONFIG), call)(np.ones((2, 4, 7)), *labels)


@pytest.mark.filterwarnings("ignore:(over|invalid):RuntimeWarning")  # of uncompiled kernels on other threads
@pytest.mark.parametrize("call", ["forward", "predict", "training_step"])
@pytest.mark.parametrize("batch", [1, 300])
@pytest.mark.parametrize(
    ("name", "place", "logit_scale", "message"),
    [
        *(("hidden1.weight", (slice(None), j), 1.0, "potential left the range") for j in (0, 32, 39)),
        ("readout.weight", (slice(None), 2), 1.0, "potential left the range"),
        ("readout.bias", 1, 1e10, "logits left the range"),
    ],
)
def test_whatever_overflows_is_seen(call, batch, name, place, logit_scale, message):
    config = NetworkConfig((4, 40, 3), logit_scale=logit_scale, hidden_gain=20.0)
    network = Network.random(config)
    network.parameters[name][place] = 3e38 if message.startswith("potential") else 1e30
    events = SpikeEvents.from_spike_times(np.zeros((batch, 4), np.int32), 4)
    labels = [np.zeros(batch, int)] if call == "training_step" else []
    with one_line(OverflowError, f"{message} of float32"):
        getattr(network, call)(events, *labels)


@pytest.mark.parametrize("neuron", ["single-spike", "multi-spike"])
def test_solvers_agree_on_loss_penalty_and_every_gradient(neuron):
    rng = np.random.default_rng(3)
    config = NetworkConfig((4, 40, 30, 3), neuron=neuron, dtype="float64", hidden_gain=3.0)
    network = Network.random(config, seed=4)
    network.parameters["hidden2.weight"][...] *= 4
    penalised = Network(replace(config, spike_penalty=0.25), network.parameters)
    batch = SpikeEvents.from_raster(rng.random((6, 20, 4)) < 0.3), rng.integers(0, 3, 6)
    loss, gradients, activity = network.loss_and_gradients(*batch, solver="numpy-sequential")
    counts = activity.spike_counts()
    assert counts.min() > 0
    for solver, call in itertools.product(
        minisnn.solvers.names(neuron), ("loss_and_gradients", "training_step")
    ):
        without, came, result = getattr(network, call)(*batch, solver=solver)
        assert without == pytest.approx(loss, rel=1e-12)
        assert np.array_equal(result.spike_counts(), counts)
        for name, gradient in gradients.items():
            np.testing.assert_allclose(came[name], gradient, rtol=1e-7, atol=1e-10, err_msg=name)
        with_penalty, *_ = getattr(penalised, call)(*batch, solver=solver)
        assert with_penalty == pytest.approx(loss + 0.25 * counts.sum() / 6, rel=1e-12)
        one, other = (net.predict(batch[0], solver=solver).logits for net in (network, penalised))
        assert np.array_equal(one, other)


def test_a_file_from_before_there_was_a_penalty_has_none(tmp_path):
    arrays = Network.random(CONFIG).to_arrays()
    config = json.loads(str(arrays["config"]))
    assert config.pop("spike_penalty") == 0
    np.savez(tmp_path / "old.npz", **arrays | {"config": np.array(json.dumps(config))})
    assert Network.load(tmp_path / "old.npz").config == CONFIG


@pytest.mark.parametrize("gradient", minisnn.model.GRADIENTS)
def test_wide_layers_project_in_blocks_of_waiting_neurons(gradient):
    """Wide enough for the compiled solver's own way to form the gradient of a gated hidden layer."""
    rng = np.random.default_rng(5)
    config = NetworkConfig((10, 300, 150, 3), gradient=gradient, dtype="float64", hidden_gain=4.0)
    batch = rng.random((3, 40, 10)) < 0.2, rng.integers(0, 3, 3)
    network = Network.random(config)
    expected, got = (
        network.loss_and_gradients(*batch, solver=name)[1] for name in ("numpy-parallel", "numba-parallel")
    )
    for name, value in expected.items():
        np.testing.assert_allclose(got[name], value, rtol=1e-7, atol=1e-9 * np.abs(value).max(), err_msg=name)


def test_cross_entropy():
    logits = np.array([[0.0, np.log(3.0)], [1000.0, 0.0]])
    loss, probabilities = softmax_cross_entropy(logits, np.array([1, 1]))
    assert probabilities[0] == pytest.approx([0.25, 0.75])
    assert loss == pytest.approx((np.log(4 / 3) + 1000) / 2)
    grad = softmax_cross_entropy_backward(probabilities, np.array([1, 1]))
    assert grad == pytest.approx(np.array([[0.125, -0.125], [0.5, -0.5]]))
