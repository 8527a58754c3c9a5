"""Whatever bytes stand where a run folder should have its files: an error that names the file, and no other."""

import io
import json
import shutil
import warnings
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minisnn import Network, NetworkConfig, datasets
from minisnn.datasets.samples import split
from minisnn.errors import DataError
from minisnn.training import TrainingConfig, train
from minisnn.training.experiment import Experiment
from minisnn.training.optimiser import Adam
from minisnn.training.runs import RunFolder

NETWORK = NetworkConfig((4, 3, 3), hidden_gain=4.0)
TRAINING = TrainingConfig(epochs=3, batch_size=16, lr=0.1, schedule="constant")
FILES = ("checkpoint.npz", "best-1.npz", "metrics.jsonl", "config.json")


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """A finished run whose best epoch was the first."""
    data = split(datasets.load_dataset("yin-yang", n_steps=8, train_samples=40, test_samples=10), 10)
    config = {"dataset": "yin-yang", "data": {}, "product": "auto"}
    config |= {"training": {"epochs": 3}, "network": {"sizes": [4, 3, 3]}}
    run = RunFolder.create(config, tmp_path_factory.mktemp("runs") / "good")
    train(Network.random(NETWORK, seed=0), data, TRAINING, run=run)
    assert {path.name for path in run.path.iterdir()} == set(FILES)
    return run.path


@pytest.fixture(scope="module")
def folder(good):
    return good.parent / "damaged"


def read_all(path):
    """Everything that is ever read from a run folder."""
    run = RunFolder.open(path)
    Experiment.from_json(run.config(), path)
    run.network()
    network = Network.random(NETWORK, seed=0)
    run.restore(network, Adam(network.parameters))
    for array in network.parameters.values():
        assert np.isfinite(array).all()


def only_data_errors(good, folder, name, content):
    """Whether the folder with this content in one file is refused; the error is one line that names a file."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(good, folder)
    (folder / name).write_bytes(content)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            read_all(folder)
    except DataError as error:
        assert "\n" not in str(error)
        assert str(folder) in str(error)
        return True
    return False


def test_the_good_folder_is_read(good, folder):
    for name in FILES:
        assert not only_data_errors(good, folder, name, (good / name).read_bytes())


@pytest.mark.parametrize("name", FILES)
def test_files_of_every_wrong_kind(good, folder, name):
    content = (good / name).read_bytes()
    array, other = io.BytesIO(), io.BytesIO()
    np.save(array, np.arange(3))
    np.savez(other, x=np.arange(3))
    cases = {
        "empty": b"",
        "truncated": content[: len(content) // 2],
        "half a line or entry short": content[:-2],
        "an image": b"\x89PNG\r\n\x1a\n" + bytes(100),
        "a gzip file": b"\x1f\x8b\x08" + bytes(100),
        "an array": array.getvalue(),
        "another npz file": other.getvalue(),
        "text": b"hello\n",
        "another JSON": b"[1, 2]\n",
        "zeros": bytes(len(content)),
    }
    for case, damaged in cases.items():
        assert only_data_errors(good, folder, name, damaged), case


def test_a_folder_where_a_file_should_be(good, folder):
    for name in FILES:
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(good, folder)
        (folder / name).unlink()
        (folder / name).mkdir()
        with pytest.raises(DataError, match=name.replace(".", r"\.")):
            read_all(folder)


# ---- fuzzing ----------------------------------------------------------------------------------------


@st.composite
def damaged_bytes(draw, content):
    """`content` cut, with bytes changed, removed, repeated or put in."""
    data = bytearray(content)
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, max(len(data) - 1, 0)))
        length = draw(st.integers(1, 64))
        match draw(st.sampled_from(["change", "cut", "remove", "repeat", "insert", "flip"])):
            case "change":
                data[place : place + 1] = bytes([draw(st.integers(0, 255))])
            case "cut":
                del data[place:]
            case "remove":
                del data[place : place + length]
            case "repeat":
                data[place:place] = data[place : place + length]
            case "insert":
                data[place:place] = draw(st.binary(min_size=1, max_size=16))
            case "flip" if data:
                data[place % len(data)] ^= 1 << draw(st.integers(0, 7))
    return bytes(data)


SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**400), 10**400),
    st.integers(-3, 300),
    st.floats(),
    st.text(max_size=8),
)
JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner)
)
DTYPES = ["f4", "f8", ">f4", "i8", "u1", "?", "U3", "S3", "c8", "M8[s]", "V4", "f2"]


@st.composite
def odd_arrays(draw):
    """An array of a kind nobody asked for."""
    shape = tuple(draw(st.lists(st.integers(0, 5), max_size=3)))
    values = draw(st.sampled_from([0, 1, -1, 3, 2**62]))
    with np.errstate(all="ignore"):
        return np.full(shape, values).astype(draw(st.sampled_from(DTYPES)))


@st.composite
def odd_checkpoints(draw, content):
    """A whole .npz file with entries that are missing, of another name, kind, shape or value."""
    with np.load(io.BytesIO(content)) as archive:
        arrays = dict(archive)
    for name in draw(st.lists(st.sampled_from(sorted(arrays)), min_size=1, max_size=3)):
        array = arrays.get(name)
        match draw(st.sampled_from(["remove", "rename", "replace", "config", "value"])):
            case "remove":
                arrays.pop(name, None)
            case "rename" if array is not None:
                arrays[draw(st.text("ab/.c", min_size=1, max_size=4))] = arrays.pop(name)
            case "replace":
                arrays[name] = draw(odd_arrays())
            case "config":
                config = json.loads(str(np.load(io.BytesIO(content))["config"]))
                config[draw(st.sampled_from([*config, "colour"]))] = draw(JSON)
                arrays["config"] = np.array(json.dumps(config))
            case "value" if array is not None and array.dtype.kind == "f" and array.size:
                arrays[name] = array.copy()
                arrays[name].flat[0] = draw(st.sampled_from([np.nan, np.inf, -np.inf, -1.0, 2.0]))
    file = io.BytesIO()
    compression = draw(st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA]))
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w") as entry:
                np.lib.format.write_array(entry, array, allow_pickle=False)
    return file.getvalue()


def contents(content, name):
    """Malformed contents of a file."""
    kinds = [st.binary(max_size=200), damaged_bytes(content)]
    if name.endswith(".npz"):
        kinds += [odd_checkpoints(content), odd_checkpoints(content).flatmap(damaged_bytes)]
    else:
        kinds += [JSON.map(lambda value: json.dumps(value).encode())]
        kinds += [odd_entries(content.splitlines()[0] if name == "metrics.jsonl" else content)]
    return st.one_of(kinds)


@st.composite
def odd_entries(draw, content):
    """A JSON object with one entry that is missing or anything."""
    values = json.loads(content)
    key = draw(st.sampled_from(sorted(values)))
    if draw(st.booleans()):
        values[key] = draw(JSON)
    else:
        del values[key]
    return json.dumps(values).encode() + b"\n"


def fuzz(good, folder, name, n):
    """Read run folders with `n` malformed contents of a file; returns how many were refused."""
    refused = []

    @settings(max_examples=n)
    @given(contents((good / name).read_bytes(), name))
    def check(content):
        refused.append(only_data_errors(good, folder, name, content))

    check()
    return sum(refused)


@pytest.mark.parametrize("name", FILES)
def test_a_few_malformed_files(good, folder, name):
    assert fuzz(good, folder, name, 60) >= 20


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
def test_ten_thousand_malformed_files(good, folder, name):
    refused = fuzz(good, folder, name, 10000)
    assert refused >= 5000
    print(f"{name}: {refused} of 10000 refused")
