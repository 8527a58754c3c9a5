"""Steps that many tests take."""

import dataclasses
import importlib.util
import os
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from minisnn.commands.main import main
from minisnn.solvers.compiled.workspace import Workspace

RUN_ENTRIES = {"dataset": "yin-yang", "data": {}, "product": "auto", "training": {}, "network": {}}
# Seconds, of what will come in the end: a busy machine may take ten times as long as another.
FOR_EVER = 600
EXAMPLES = Path(__file__).parents[1] / "examples"


@contextmanager
def one_line(error, message=""):
    """The block raises `error` with a message of one line, in which the pattern `message` is found."""
    with pytest.raises(error, match=message or None) as caught:
        yield caught
    text = str(caught.value)
    del caught  # whose traceback refers to this frame: sockets and files in it are closed at once
    assert "\n" not in text


def arrays(folder):
    """The bytes of the arrays that a run, or a series of them, left in its folder, by their places in it."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.npz")}


def same(one, other, names):
    """Both have the same bits, native dtype and shape in each of these attributes."""
    for name in names:
        a, b = np.asarray(getattr(one, name)), np.asarray(getattr(other, name))
        np.testing.assert_array_equal(a, b, err_msg=name, strict=True)
        assert a.dtype.isnative


def same_dict(one, other):
    """Both hold the same arrays, bit by bit, under the same names."""
    assert one.keys() == other.keys()
    for name, array in one.items():
        np.testing.assert_array_equal(array, other[name], err_msg=name, strict=True)


def bits(network):
    return {name: array.tobytes() for name, array in network.parameters.items()}


def is_picture(path):
    return path.read_bytes().startswith(b"\x89PNG")


def example(name):
    """The module of one of the examples."""
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def scaled(part, factor):
    """A lie: one of the arrays of a solver's result times a factor."""
    return lambda result: dataclasses.replace(result, **{part: getattr(result, part) * np.float32(factor)})


def one_up(gradients):
    """A lie by one bit."""
    return dataclasses.replace(gradients, bias=np.nextafter(gradients.bias, np.float32(np.inf)))


class UnwrittenIsSeen(Workspace):
    """Hands out every buffer full of NaN, so that a cell nobody writes shows in the result."""

    def part(self, name):
        return self._parts.setdefault(name, UnwrittenIsSeen())

    def array(self, name, shape, dtype):
        array = super().array(name, shape, dtype)
        array.fill(np.nan)
        return array


def run(line, *more):
    """Exit code of the command with the words of a line, and more words."""
    return main([*line.split(), *more])


def start(line, **options):
    """Start the command with the words of a line in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "minisnn", *line.split()], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "MPLBACKEND": "Agg"}, **options,
    )  # fmt: skip


def until(condition):
    """Wait for something."""
    deadline = time.monotonic() + FOR_EVER
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)
