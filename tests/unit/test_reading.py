"""How numbers and arrays from outside are read."""

import enum

import numpy as np
import pytest

from minisnn.checks import checked_count
from minisnn.errors import InputError
from minisnn.reading import checked_flag, read_array


class Three(enum.IntEnum):
    THREE = 3


@pytest.mark.parametrize(
    "three",
    [3, Three.THREE, np.uint64(3), np.int8(3), np.array(3), np.array([3]), np.array([[3]], dtype=">i2")],
    ids=repr,
)
def test_a_count_becomes_a_python_int(three):
    count = checked_count("epochs", three, low=3, high=3)
    assert type(count) is int
    assert count == 3


@pytest.mark.parametrize(
    "wrong",
    [
        True,
        np.True_,
        3.0,
        np.float32(3),
        np.array(3.0),
        2,
        4,
        -1,
        2**70,
        None,
        "3",
        [3],
        (3,),
        3j,
        np.array([3, 3]),
        np.array([]),
        np.arange(2000),
        np.array(["a\nb"]),
        np.array(np.nan),
        np.datetime64(3, "s"),
        np.ma.array([3], mask=[False]),
    ],
    ids=repr,
)
def test_what_is_no_count_is_refused_in_one_line(wrong):
    with pytest.raises(InputError, match="^epochs must ") as caught:
        checked_count("epochs", wrong, low=3, high=3)
    assert "\n" not in str(caught.value)


def test_a_count_has_no_largest_value_of_a_machine_word():
    assert checked_count("seed", 2**70) == 2**70
    assert checked_count("seed", np.uint64(2**64 - 1)) == 2**64 - 1


class Tensor:
    """Stands for a tensor that requires gradients, on a device: NumPy takes it only after both are undone."""

    def __init__(self, values, state=("detach", "cpu")):
        self.values, self.state = values, state

    @property
    def dtype(self):
        return self.values.dtype

    def detach(self):
        return Tensor(self.values, tuple(s for s in self.state if s != "detach"))

    def cpu(self):
        return Tensor(self.values, tuple(s for s in self.state if s != "cpu"))

    def __array__(self, dtype=None, copy=None):
        if self.state:
            raise TypeError(f"use {self.state[0]} first")
        return self.values


def test_a_tensor_is_fetched():
    np.testing.assert_array_equal(read_array("labels", Tensor(np.array([1, 2]))), [1, 2])
    assert checked_count("epochs", Tensor(np.array(3))) == 3


class Refusing:
    def __array__(self, dtype=None, copy=None):
        raise RuntimeError("not on\nthis device")


@pytest.mark.parametrize(
    "wrong",
    [[[1], [1, 2]], np.ma.array([1, 2]), [1, np.ma.masked], ([np.ma.array([1])], [[2]]), Refusing()],
    ids=["ragged", "masked", "masked value", "masked row", "refusing"],
)
def test_what_is_no_array_is_refused_in_one_line(wrong):
    with pytest.raises(InputError, match="^labels must ") as caught:
        read_array("labels", wrong)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", [True, 1, np.True_, np.uint8(1), np.array(True), np.array([1])], ids=repr)
def test_a_flag_becomes_a_python_bool(value):
    assert checked_flag("counts", value) is True
    assert checked_flag("counts", value == 2) is False


@pytest.mark.parametrize(
    "wrong", ["no", "", None, 2, 1.0, np.nan, [True, False], np.ma.array([True])], ids=repr
)
def test_what_is_no_flag_is_refused_in_one_line(wrong):
    with pytest.raises(InputError, match="^counts must ") as caught:
        checked_flag("counts", wrong)
    assert "\n" not in str(caught.value)
