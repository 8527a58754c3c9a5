"""A network goes elsewhere: every format holds it, and ports made by the recipes answer the probe as minisnn does."""

import json
import re
import shutil
import textwrap
from itertools import accumulate

import numpy as np
import pytest

import minisnn.export
from minisnn import Network, NetworkConfig, SpikeEvents, load_dataset
from minisnn.errors import DataError, InputError
from minisnn.export import export
from minisnn.files import read_npz
from minisnn.training import RunFolder
from tests.helpers import one_line, run, same_dict

SMALL = (
    "train --train-samples 200 --test-samples 50 --epochs 3 --n-steps 20 --hidden 10 --validation 40 --quiet"
)
RNG = np.random.default_rng(3)
RASTER = RNG.random((5, 12, 4)) < 0.3


def exact(**choices):
    """A network whose potentials are exact in float32, so that every order of summation gives the same bits."""
    network = Network.random(NetworkConfig((4, 9, 7, 3), threshold=0.75, logit_scale=0.5, **choices))
    for name, array in network.parameters.items():
        array[...] = 0.5 if name.endswith("decay") else np.round(RNG.uniform(-1, 1.5, array.shape) * 4) / 4
    return network


# ---- recipes -------------------------------------------------------------------------------------------


def recipe(name, **names):
    """The function in the docstring that describes the file."""
    block = re.search(rf"^{name}::\n\n((?:    .*\n)+)", minisnn.export.__doc__, re.M)[1]
    assert block.count("\n") == 4, "a recipe is three lines"
    space = {"accumulate": accumulate, **names}
    exec(textwrap.dedent(block), space)
    return space["layer"]


def torch_port():
    torch = pytest.importorskip("torch", reason="needs torch")
    return recipe("PyTorch", torch=torch), torch.from_numpy


def jax_port():
    jnp = pytest.importorskip("jax.numpy", reason="needs jax")
    return recipe("JAX", jnp=jnp), jnp.asarray


@pytest.mark.parametrize("port", [torch_port, jax_port])
@pytest.mark.parametrize("choices", [{}, {"readout": "max", "learn_decay": False}])
def test_a_recipe_answers_the_probe(port, choices, tmp_path):
    layer, from_numpy = port()
    exact(**choices).save(tmp_path / "network.npz", probe=RASTER)
    with np.load(tmp_path / "network.npz") as file:
        config = json.loads(str(file["config"]))
        x = from_numpy(file["probe/input"].astype(config["dtype"]))
        for name in ("hidden1", "hidden2"):
            membrane, x = layer(file, name, x, config["threshold"])
            times = np.where((fired := np.asarray(x) > 0).any(1), fired.argmax(1), 12)
            np.testing.assert_array_equal(membrane, file[f"probe/{name}.membrane"])
            np.testing.assert_array_equal(times, file[f"probe/{name}.spike_times"])
            assert 0.1 < (times < 12).mean() < 1
        membrane, _ = layer(file, "readout", x)
        np.testing.assert_array_equal(membrane, file["probe/readout.membrane"])
        membrane = np.asarray(membrane)
        logits = membrane.max(1) if config["readout"] == "max" else membrane.sum(1)
        np.testing.assert_array_equal(config["logit_scale"] * logits, file["probe/logits"])


# ---- the file ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("neuron", ["single-spike", "multi-spike"])
@pytest.mark.parametrize(
    "probe",
    [RASTER, RASTER.astype(np.float32), SpikeEvents.from_raster(RASTER),
     SpikeEvents.from_raster(RASTER * 300, counts=True)],
    ids=["bool", "float", "events", "counts"],
)  # fmt: skip
def test_the_probe_holds_the_answers(neuron, probe, tmp_path):
    network = exact(neuron=neuron)
    network.save(tmp_path / "a.npz", probe)
    arrays, activity = read_npz(tmp_path / "a.npz"), network.forward(probe, solver="numpy-sequential")
    counts = isinstance(probe, SpikeEvents) and probe.counts
    assert arrays["probe/input"].dtype == (np.int32 if counts else np.uint8)
    assert np.array_equal(arrays["probe/input"], RASTER * (300 if counts else 1))
    for k, trace in enumerate(activity.hidden, start=1):
        assert np.array_equal(arrays[f"probe/hidden{k}.spike_times"], trace.spike_times)
        assert np.array_equal(arrays[f"probe/hidden{k}.membrane"], trace.membrane)
        if neuron == "multi-spike":
            assert np.array_equal(arrays[f"probe/hidden{k}.spikes"], trace.spikes)
    assert np.array_equal(arrays["probe/logits"], activity.logits)
    same_dict(Network.load(tmp_path / "a.npz").parameters, network.parameters)
    named = set(re.findall(r"^``(\S+)``", minisnn.export.__doc__, re.M))
    assert {re.sub(r"(hidden\d|readout)", "<layer>", name) for name in arrays} <= named


def test_a_probe_that_does_not_fit(tmp_path):
    with one_line(InputError, r"spikes must have shape \(batch, time, 4\)"):
        exact().save(tmp_path / "a.npz", probe=RASTER[:, :, 1:])
    assert not list(tmp_path.iterdir())


def test_json(tmp_path):
    network = exact(learn_decay=False)
    export(network, tmp_path / "a.json", "json", RASTER)
    export(network, tmp_path / "a.npz", "npz", RASTER)
    content, arrays = json.loads((tmp_path / "a.json").read_text()), read_npz(tmp_path / "a.npz")
    assert content["config"] == json.loads(str(arrays.pop("config")))
    assert content["arrays"].keys() == arrays.keys()
    for name, array in arrays.items():
        assert np.array_equal(np.array(content["arrays"][name], array.dtype), array)


def test_safetensors(tmp_path):
    safetensors = pytest.importorskip("safetensors", reason="needs safetensors")
    network = exact(learn_decay=False)
    export(network, tmp_path / "a.safetensors", "safetensors", RASTER)
    arrays = network.to_arrays(RASTER)
    with safetensors.safe_open(tmp_path / "a.safetensors", framework="numpy") as file:
        assert file.metadata() == {"config": str(arrays.pop("config"))}
        same_dict({name: file.get_tensor(name) for name in file.keys()}, arrays)  # noqa: SIM118


def missing(module):
    raise ModuleNotFoundError(name=module.partition(".")[0])


def test_without_safetensors_one_line_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.import_module", missing)
    with one_line(InputError, r"safetensors .*pip install '.\[export\]'"):
        export(exact(), tmp_path / "a", "safetensors")
    with one_line(InputError, "unknown format 'onnx'; known: npz, safetensors, json"):
        export(exact(), tmp_path / "a", "onnx")
    assert not list(tmp_path.iterdir())


# ---- run folders ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run, made once."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    assert run(f"{SMALL} --solver numpy-parallel --out", str(folder)) == 0
    return folder


@pytest.fixture
def trained(finished, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(finished, "run")
    return RunFolder.open("run")


def test_a_run_is_exported_with_its_answers(trained, tmp_path, capsys):
    network = Network.load("run")
    same_dict(network.parameters, trained.network().parameters)
    assert run("export run --to npz --probe 4 --json result.json") == 0
    assert (
        "network.npz: 4-10-3, 96 learned parameters, with its answers to 4 samples" in capsys.readouterr().out
    )
    data = load_dataset("yin-yang", n_steps=20, test_samples=50)
    same_dict(read_npz("run/network.npz"), network.to_arrays(data.test.batch(np.arange(4))))
    expected = {"file": "run/network.npz", "format": "npz", "probe": 4}
    assert json.loads((tmp_path / "result.json").read_text()) == expected
    assert run("export run/network.npz --to json --out other") == 0
    assert "probe/logits" not in json.loads((tmp_path / "other").read_text())["arrays"]


def test_load_takes_the_chosen_epoch(trained, tmp_path):
    history = trained.metrics()
    best = next(iter(tmp_path.glob("run/best-*.npz")))
    same_dict(Network.load("run").parameters, Network.load(best).parameters)
    assert best.name == f"best-{trained.chosen_epoch()}.npz"
    assert len(history) == 3


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("export run", "the following arguments are required: --to"),
        ("export run --to npz --probe 0", "--probe must be a whole number >= 1"),
        ("export run --to npz --probe 51", "--probe must be a whole number >= 1 and <= 50, got 51"),
        ("export empty --to npz", "empty holds no finished epoch yet: it has no checkpoint.npz"),
        ("export series --to npz", "it has no checkpoint.npz; give one of its trainings: seed-0, seed-1"),
        ("export nowhere --to npz", "nowhere does not exist"),
        ("export run/checkpoint.npz --to json --probe 3", "run/checkpoint.npz is no run folder"),
        ("export run --to npz --out none/x", "--out must name a file in an existing folder, got none/x"),
    ],
)
def test_one_line_for_every_mistake(command, message, trained, tmp_path, refused):
    for folder in ("empty", "series/seed-1", "series/seed-0"):
        (tmp_path / folder).mkdir(parents=True)
        if "series" in folder:
            (tmp_path / folder / "checkpoint.npz").write_text("")
    refused(command, message)
    assert not (tmp_path / "run/network.npz").exists()


def test_a_folder_without_a_run(tmp_path):
    with one_line(DataError, "holds no finished epoch yet"):
        Network.load(tmp_path)
