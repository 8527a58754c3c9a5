"""Every example runs and ends in its picture."""

import importlib.util
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "examples"


def load(name):
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("name", "arguments", "picture"),
    [
        ("01_one_neuron", [], "one_neuron.png"),
        ("02_from_loop_to_no_loop", ["--longest", "32"], "from_loop_to_no_loop.png"),
    ],
)
def test_example(name, arguments, picture, tmp_path, capsys):
    load(name).main([*arguments, "--out", str(tmp_path)])
    assert (tmp_path / picture).read_bytes()[:4] == b"\x89PNG"
    assert str(tmp_path / picture) in capsys.readouterr().out


def test_digits_beside_an_mlp(capsys):
    load("31_digits_beside_an_mlp").main(["--folds", "2", "--epochs", "5", "--hidden", "30"])
    single, other = (
        float(line.split("accuracy ")[1].split()[0]) for line in capsys.readouterr().out.splitlines()[1:3]
    )
    assert single > 60
    assert other > 60
