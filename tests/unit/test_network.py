"""Networks: named parameters, files with every shape checked, and what damaged files get."""

import numpy as np
import pytest

import minisnn
from minisnn import Network, NetworkConfig, SpikeEvents
from minisnn.errors import DataError, InputError
from minisnn.loss import softmax_cross_entropy, softmax_cross_entropy_backward

CONFIG = NetworkConfig((4, 6, 5, 3))


def test_names_shapes_and_counts():
    network = Network.random(CONFIG, seed=1)
    assert list(network.parameters) == [
        f"{layer}.{part}"
        for layer in ("hidden1", "hidden2", "readout")
        for part in ("weight", "bias", "decay")
    ]
    assert {name: a.shape for name, a in network.parameters.items()} == CONFIG.shapes()
    assert network.n_parameters == (4 * 6 + 12) + (6 * 5 + 10) + (5 * 3 + 6)
    assert np.abs(network.parameters["hidden1.weight"]).max() <= 0.5
    fixed = Network(NetworkConfig((4, 6, 3), learn_decay=False))
    assert fixed.parameters["hidden1.decay"].shape == ()
    assert fixed.n_parameters == 4 * 6 + 6 + 6 * 3 + 3


def test_one_seed_one_network():
    one, same, other = (Network.random(CONFIG, seed=s).parameters for s in (1, 1, 2))
    assert all(np.array_equal(one[name], same[name]) for name in one)
    assert not np.array_equal(one["hidden1.weight"], other["hidden1.weight"])


@pytest.mark.parametrize("neuron", ["single-spike", "multi-spike"])
def test_round_trip_through_a_file(tmp_path, neuron):
    network = Network.random(NetworkConfig((4, 6, 3), neuron=neuron, readout="max", dtype="float64"), seed=2)
    network.save(tmp_path / "network.npz")
    loaded = Network.load(tmp_path / "network.npz")
    assert loaded.config == network.config
    for name, array in network.parameters.items():
        assert np.array_equal(array, loaded.parameters[name])
        assert array.dtype == loaded.parameters[name].dtype
    network.save(tmp_path / "again.npz")
    assert (tmp_path / "again.npz").read_bytes() == (tmp_path / "network.npz").read_bytes()


def test_damaged_files(tmp_path):
    path = tmp_path / "network.npz"
    Network.random(CONFIG).save(path)
    content = path.read_bytes()
    arrays = Network.random(CONFIG).to_arrays()

    def complaint():
        with pytest.raises(DataError) as caught:
            Network.load(path)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    for length in (0, 10, len(content) // 2, len(content) - 30):
        path.write_bytes(content[:length])
        assert "not a readable .npz file" in complaint()
    path.write_bytes(b"something else entirely")
    assert "not a readable .npz file" in complaint()
    np.savez(path, **{k: v for k, v in arrays.items() if k != "config"})
    assert "'config' is missing" in complaint()
    np.savez(path, **(arrays | {"config": np.array("{]")}))
    assert "no valid minisnn network" in complaint()
    np.savez(path, **(arrays | {"parameters/readout.bias": np.zeros(9, np.float32)}))
    assert "readout.bias must be float32 of shape (3,)" in complaint()
    np.savez(path, **(arrays | {"parameters/readout.bias": np.full(3, np.nan, np.float32)}))
    assert "readout.bias must be finite" in complaint()
    np.savez(path, **(arrays | {"parameters/hidden1.decay": np.full(6, 2, np.float32)}))
    assert "decay must lie in [0, 1]" in complaint()
    np.savez(path, **(arrays | {"parameters/extra": np.zeros(1)}))
    assert "missing or unknown: extra" in complaint()
    with open(path, "wb") as file:
        np.save(file, np.zeros(3))
    assert "single array" in complaint()
    path.unlink()
    assert "does not exist" in complaint()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sizes": (4, 3)}, "sizes must be at least"),
        ({"sizes": (4, 0, 3)}, "whole numbers >= 1"),
        ({"neuron": "single"}, "unknown neuron 'single'"),
        ({"readout": "mean"}, "unknown readout"),
        ({"gradient": "gate"}, "did you mean 'gated'"),
        ({"dtype": "float16"}, "unknown dtype"),
        ({"surrogate_scale": -1}, "surrogate_scale"),
        ({"logit_scale": 0}, "logit_scale must be a finite number > 0"),
        ({"hidden_decay": 1.2}, "hidden_decay must be a finite number >= 0 and <= 1"),
    ],
)
def test_wrong_configurations(change, message):
    with pytest.raises(InputError, match=message):
        NetworkConfig(**({"sizes": (4, 6, 3)} | change))


def test_wrong_input_and_labels():
    network = Network.random(CONFIG)
    good = np.zeros((2, 5, 4))
    for spikes, labels, message in [
        (np.zeros((2, 5, 7)), [0, 1], r"shape \(batch, time, 4\), got \(2, 5, 7\)"),
        (good + 2, [0, 1], "0 or 1"),
        (good, [0, 3], r"labels must lie in 0 ... 2, got 0 ... 3"),
        (good, [0.5, 1], "labels must be 2 integers"),
        (good, [0], "labels must be 2 integers"),
    ]:
        with pytest.raises(InputError, match=message):
            network.loss_and_gradients(spikes, np.array(labels))


def test_overflow_in_a_network():
    network = Network.random(CONFIG)
    network.parameters["hidden1.weight"][:] = 3e38
    with np.errstate(all="ignore"), pytest.raises(OverflowError, match="range of float32"):
        network.forward(np.ones((1, 5, 4)))


@pytest.mark.parametrize("neuron", ["single-spike", "multi-spike"])
def test_solvers_agree_on_loss_and_every_gradient(neuron):
    rng = np.random.default_rng(3)
    network = Network.random(
        NetworkConfig((4, 40, 30, 3), neuron=neuron, dtype="float64", hidden_gain=3.0), seed=4
    )
    network.parameters["hidden2.weight"][...] *= 4
    spikes, labels = SpikeEvents.from_raster(rng.random((6, 20, 4)) < 0.3), rng.integers(0, 3, 6)
    runs = [network.loss_and_gradients(spikes, labels, solver=name) for name in minisnn.solvers.names(neuron)]
    assert runs[0][2].spike_counts().min() > 0
    for loss, gradients, activity in runs[1:]:
        assert loss == pytest.approx(runs[0][0], rel=1e-12)
        assert np.array_equal(activity.spike_counts(), runs[0][2].spike_counts())
        for name, gradient in runs[0][1].items():
            np.testing.assert_allclose(gradients[name], gradient, rtol=1e-7, atol=1e-10, err_msg=name)


@pytest.mark.parametrize("gradient", minisnn.model.GRADIENTS)
def test_wide_layers_project_in_blocks_of_waiting_neurons(gradient):
    """Wide enough for the compiled solver's own way to form the gradient of a gated hidden layer."""
    rng = np.random.default_rng(5)
    network = Network.random(
        NetworkConfig((10, 300, 150, 3), gradient=gradient, dtype="float64", hidden_gain=4.0)
    )
    spikes, labels = rng.random((3, 40, 10)) < 0.2, rng.integers(0, 3, 3)
    expected, got = (
        network.loss_and_gradients(spikes, labels, solver=name)[1]
        for name in ("numpy-parallel", "numba-parallel")
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
