"""Lanes: neighbouring neurons in registers."""

import numpy as np
import pytest

from minisnn.solvers.compiled.jit import kernel
from minisnn.solvers.compiled.lanes import (
    LANES,
    columns,
    copy_in,
    copy_out,
    full,
    load,
    n_blocks,
    padded,
    root,
    store,
    unpadded,
    where,
)  # fmt: skip


@kernel
def _every_operation(out, a, b, number, step):
    """All that lanes can do, a row for each, block by block of matrices (R, K * LANES)."""
    for k in range(out.shape[1] // LANES):
        rows, x, y = columns(out, k), load(columns(a, k), 0), load(columns(b, k), 0)
        store(rows, 0, x + y)
        store(rows, 1, x - number)
        store(rows, 2, number * y)
        store(rows, 3, x / y)
        store(rows, 4, abs(x))
        store(rows, 5, where(x > y, x, full(number)))
        store(rows, 6, where(x > number, y, x))
        store(rows, 7, where(full(step) > step, x, y))
        store(rows, 8, where(full(step) == step, x, y))
        store(rows, 9, root(abs(x)))


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
def _reverse(out, rows):
    for r in range(len(rows)):
        store(out, len(rows) - 1 - r, load(rows, r))


@kernel
def _reverse_columns(out, rows, k):
    _reverse(columns(out, k), columns(rows, k))


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32])
def test_rows_are_found_in_blocks_and_in_columns_of_wider_matrices(dtype):
    rows = np.arange(7 * 3 * LANES).reshape(7, 3 * LANES).astype(dtype)
    out = np.full_like(rows, -1)
    _reverse_columns(out, rows, 1)
    middle = slice(LANES, 2 * LANES)
    np.testing.assert_array_equal(out[:, middle], rows[::-1, middle])
    assert (np.delete(out, np.arange(LANES, 2 * LANES), axis=1) == -1).all()
    block, turned = np.ascontiguousarray(rows[:, middle]), np.empty((7, LANES), dtype)
    _reverse(turned, block)
    np.testing.assert_array_equal(turned, block[::-1])


@kernel
def _weighted_sum(out, terms, factors):
    total = load(out, 0)
    for k in range(len(terms)):
        total = factors[k] * total + load(terms, k)
    store(out, 0, total)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_sums_keep_their_order_and_nothing_is_contracted(dtype):
    rng = np.random.default_rng(1)
    terms, factors = rng.standard_normal((200, LANES)).astype(dtype), rng.random(200).astype(dtype)
    out = np.zeros((1, LANES), dtype)
    _weighted_sum(out, terms, factors)
    expected = np.zeros(LANES, dtype)
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


@pytest.mark.parametrize("n", [1, 31, 32, 33, 200])
def test_padding_keeps_the_values_and_every_block_goes_in_and_out_alone(n):
    values = np.random.default_rng(n).random((5, n)) + 1
    wide = padded(values)
    assert wide.shape == (5, n_blocks(n) * LANES)
    assert np.count_nonzero(wide) == values.size
    np.testing.assert_array_equal(wide[:, :n], values)
    np.testing.assert_array_equal(unpadded(wide, n), values)
    for k in range(n_blocks(n)):
        mine = slice(k * LANES, (k + 1) * LANES)
        found = np.full((5, LANES), np.nan)
        copy_in(found, values, k)
        np.testing.assert_array_equal(found, wide[:, mine])
        result = np.zeros((5, n))
        copy_out(result, found, k)
        np.testing.assert_array_equal(result[:, mine], values[:, mine])
        assert np.count_nonzero(result) == values[:, mine].size
