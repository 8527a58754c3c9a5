"""Lanes: neighbouring neurons in registers, and the cache of what is compiled from them."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import minisnn
from minisnn.solvers.jit import kernel
from minisnn.solvers.lanes import LANES, full, load, padded, root, store, where, width


@kernel
def _every_operation(out, a, b, number, step):
    """All that lanes can do, a row for each."""
    for column in range(0, out.shape[1], LANES):
        x, y = load(a, 0, column), load(b, 0, column)
        store(out, 0, column, x + y)
        store(out, 1, column, x - number)
        store(out, 2, column, number * y)
        store(out, 3, column, x / y)
        store(out, 4, column, abs(x))
        store(out, 5, column, where(x > y, x, full(number)))
        store(out, 6, column, where(x > number, y, x))
        store(out, 7, column, where(full(step) > step, x, y))
        store(out, 8, column, where(full(step) == step, x, y))
        store(out, 9, column, root(abs(x)))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_each_operation_is_the_one_on_arrays(dtype):
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((2, 1, 3 * LANES)).astype(dtype)
    b[0, :5] = a[0, :5]  # ties
    out = np.full((10, 3 * LANES), np.nan, dtype)
    number = dtype(0.25)
    _every_operation(out, a, b, number, np.int32(3))
    x, y = a[0], b[0]
    right = (
        x + y, x - number, number * y, x / y, np.abs(x),
        np.where(x > y, x, number), np.where(x > number, y, x), y, x, np.sqrt(np.abs(x)),
    )  # fmt: skip
    for row, expected in zip(out, right):
        np.testing.assert_array_equal(row, expected)


@kernel
def _weighted_sum(out, terms, factors):
    for column in range(0, out.shape[1], LANES):
        total = load(out, 0, column)
        for k in range(len(terms)):
            total = factors[k] * total + load(terms, k, column)
        store(out, 0, column, total)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_sums_keep_their_order_and_nothing_is_contracted(dtype):
    rng = np.random.default_rng(1)
    terms, factors = rng.standard_normal((200, 2 * LANES)).astype(dtype), rng.random(200).astype(dtype)
    out = np.zeros((1, 2 * LANES), dtype)
    _weighted_sum(out, terms, factors)
    expected = np.zeros(2 * LANES, dtype)
    for factor, row in zip(factors, terms):
        expected = factor * expected + row
    np.testing.assert_array_equal(out[0], expected)


def test_lanes_refuse_what_would_change_their_dtype():
    if not hasattr(_weighted_sum, "py_func"):
        pytest.skip("compilation is off")
    numba = pytest.importorskip("numba")
    arrays = np.zeros((1, LANES), np.float32), np.zeros((2, LANES), np.float32), np.zeros(2, np.float64)
    with pytest.raises(numba.TypingError):
        _weighted_sum(*arrays)


def test_padding_is_zero_and_keeps_the_values():
    values = np.arange(12.0).reshape(2, 6)
    lanes = padded(values)
    assert lanes.shape == (2, LANES)
    np.testing.assert_array_equal(lanes[:, :6], values)
    assert not lanes[:, 6:].any()


@pytest.mark.parametrize("n", [1, 31, 32, 33, 200, 256, 1000, 1024])
def test_widths_hold_the_neurons_in_whole_lanes(n):
    assert n <= width(n) < n + 2 * LANES
    assert width(n) % LANES == 0
    assert width(n) < 8 * LANES or width(n) // LANES % 2 == 1


def test_a_change_in_one_solver_file_is_not_answered_from_the_cache(tmp_path):
    """Kernels contain what they call, and the cache must notice changes there."""
    package = tmp_path / "minisnn"
    shutil.copytree(
        Path(minisnn.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__", "oracle")
    )
    script = (
        "import numpy as np\n"
        "from minisnn.solvers.event_products import matmul\n"
        "from minisnn.spikes import SpikeEvents\n"
        "events = SpikeEvents.from_raster(np.ones((1, 1, 2), np.float32))\n"
        "print(matmul(events, np.ones((2, 1), np.float32), np.empty((1, 1, 1), np.float32)).item())\n"
    )

    def answer():
        run = subprocess.run(
            [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True
        )
        return float(run.stdout)

    assert answer() == 2.0
    lanes = package / "solvers" / "lanes.py"
    text = lanes.read_text()
    lanes.write_text(
        text.replace('operator.add: "fadd"', 'operator.add: "fsub"').replace(
            "def load(array: Any, row: int, column: int) -> Any:",
            "def load(array: Any, row: int, column: int) -> Any:\n    return -array[row, column : column + LANES]",
        )
    )
    assert answer() == -2.0
