"""How numbers and arrays from outside are read."""

import enum

import numpy as np
import pytest

from minisnn.errors import InputError
from minisnn.reading import checked_count, checked_flag, checked_float, checked_name, read_array
from tests.disguises import Tensor
from tests.helpers import one_line


class Three(enum.IntEnum):
    THREE = 3


@pytest.mark.parametrize(
    "three",
    [3, Three.THREE, np.uint64(3), np.int8(3), np.array(3), np.array([3]), np.array([[3]], ">i2")],
    ids=repr,
)
def test_a_count_becomes_a_python_int(three):
    count = checked_count("epochs", three, low=3, high=3)
    assert (type(count), count) == (int, 3)


@pytest.mark.parametrize("value", [True, 1, np.True_, np.uint8(1), np.array(True), np.array([1])], ids=repr)
def test_a_flag_becomes_a_python_bool(value):
    assert checked_flag("counts", value) is True
    assert checked_flag("counts", value == 2) is False


def test_other_values():
    assert checked_count("seed", 2**70) == 2**70  # no largest value of a machine word
    assert checked_count("seed", np.uint64(2**64 - 1)) == 2**64 - 1
    assert checked_float("x", np.array([[0.5]])) == 0.5
    assert checked_name("x", np.array("max"), ("max",)) == "max"
    assert checked_count("epochs", Tensor(np.array(3))) == 3
    np.testing.assert_array_equal(read_array("labels", Tensor(np.array([1, 2]))), [1, 2])


class Refusing:
    def __array__(self, dtype=None, copy=None):
        raise RuntimeError("not on\nthis device")


NO_COUNTS = [
    True, np.True_, 3.0, np.float32(3), np.array(3.0), 2, 4, -1, 2**70, None, "3", [3], (3,), 3j, np.array([3, 3]),
    np.array([]), np.arange(2000), np.array(["a\nb"]), np.array(np.nan), np.datetime64(3, "s"),
    np.ma.array([3], mask=[False]),
]  # fmt: skip
NO_FLAGS = ["no", "", None, 2, 1.0, np.nan, [True, False], np.ma.array([True])]
NO_ARRAYS = [[[1], [1, 2]], np.ma.array([1, 2]), [1, np.ma.masked], ([np.ma.array([1])], [[2]]), Refusing()]


@pytest.mark.parametrize(
    ("read", "wrong"),
    [
        *((lambda wrong: checked_count("it", wrong, low=3, high=3), wrong) for wrong in NO_COUNTS),
        *((lambda wrong: checked_flag("it", wrong), wrong) for wrong in NO_FLAGS),
        *((lambda wrong: read_array("it", wrong), wrong) for wrong in NO_ARRAYS),
    ],
)
def test_what_is_none_is_refused_in_one_line(read, wrong):
    with one_line(InputError, "^it must "):
        read(wrong)
