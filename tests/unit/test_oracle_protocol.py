"""The protocol of programs: its document says what the bytes are, and no bytes break the reader."""

import json
import re

import numpy as np
import pytest

from minisnn.oracle import Case
from minisnn.oracle.golden import SHIPPED
from minisnn.oracle.judge import Judge
from minisnn.oracle.port import read_parts
from minisnn.oracle.protocol import Accident, Message, encode, take

F4 = np.float32
CASE = Case(
    "example", "single-spike", np.ones((1, 2, 1), F4), np.array([[0.75]], F4), np.zeros(1, F4), np.array([0.5], F4)
)  # fmt: skip


def _blocks():
    """The indented blocks of the document, without their indentation."""
    return re.findall(r"(?:^    .*\n)+", (SHIPPED / "PROTOCOL.md").read_text(), re.M)[1:]


def test_the_worked_example_is_what_is_sent_and_read():
    request, answer, text = _blocks()
    assert encode(Message(0, "forward", CASE.request())) == bytes.fromhex(request)
    asked, answered = (line.strip().encode() + b"\n" for line in text.splitlines())
    assert json.loads(encode(Message(0, "forward", CASE.request()), text=True)) == json.loads(asked)
    for data, as_text in ((bytes.fromhex(answer), False), (answered, True)):
        message, n_bytes = take(bytearray(data), as_text)
        assert n_bytes == len(data)
        output = read_parts(message.parts, CASE)
        assert output.spike_times.tolist() == [[1]]
        assert not Judge().verdict(CASE, output).violations
        assert as_text or encode(message) == data


@pytest.mark.parametrize("dtype", ["?", "i1", "u2", ">i4", "u8", "f2", ">f4", "f8"])
def test_arrays_arrive_as_they_were(dtype):
    sent = {
        "a": np.arange(6).reshape(1, 2, 3).T.astype(dtype), "b": np.zeros((0, 2), dtype), "text": "ä",
        "one": np.ones((), dtype),
    }  # fmt: skip
    data = encode(Message(2**32 - 1, "step", sent))
    (number, kind, came), n_bytes = take(bytearray(data + b"mSNN"))
    assert (number, kind, n_bytes, came.pop("text")) == (2**32 - 1, "step", len(data), "ä")
    for name, array in came.items():
        assert np.array_equal(array, sent[name])
        assert array.dtype == (np.dtype(dtype).newbyteorder("<") if dtype != "?" else np.uint8)
    assert all(take(bytearray(data[:k])) is None for k in range(len(data)))


ARRAY = b"spikes".ljust(32, b"\0")


@pytest.mark.parametrize(
    "data",
    [
        b"\n",
        b"mSN0",
        b"hello, here is my answer",
        b"mSNN" + np.array([0, 4, 0], "<u4").tobytes(),
        b"mSNN" + np.array([0, 0, 2**31], "<u4").tobytes(),
        b"mSNN" + np.array([0, 0, 1], "<u4").tobytes() + ARRAY + b"c8\0\0" + bytes(4),
        b"mSNN" + np.array([0, 0, 1], "<u4").tobytes() + ARRAY + b"f8\0\0" + b"\xff" * 4,
        b"mSNN" + np.array([0, 0, 1], "<u4").tobytes() + ARRAY + b"f8\0\0\2\0\0\0" + b"\xff" * 8,
        b"mSNN" + np.array([0, 0, 2], "<u4").tobytes() + 2 * (ARRAY + b"f8\0\0" + bytes(12)),
    ],
)
def test_bytes_that_are_no_message(data):
    with pytest.raises(Accident, match="expected") as caught:
        take(bytearray(data))
    assert caught.value.kind == "protocol"
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    "line", [b"", b"hello", b"[1]", b"3", b"{}", b'{"number": "1"}', b'{"number": true}', b'{"number": 1, "kind": 2}',
             b'{"number": -1}', b"[" * 10**5, b"\xff\xfe", b'{"number": 1} {"number": 2}'],
)  # fmt: skip
def test_lines_that_are_no_message(line):
    assert take(bytearray(line), text=True) is None
    with pytest.raises(Accident, match="expected a JSON object"):
        take(bytearray(line + b"\n"), text=True)


@pytest.mark.parametrize(
    ("parts", "kind"),
    [
        ({}, "answer"),
        ({"membrane": np.zeros((1, 2, 1))}, "answer"),
        ({"spikes": "text"}, "answer"),
        ({"spikes": [[1, 2], [3]]}, "answer"),
        ({"spikes": [[10**400]]}, "answer"),
        ({"spikes": [[1]], "voltage": [1]}, "answer"),
        ({"spikes": [1]}, "shape"),
        ({"spikes": [[1]], "membrane": [[[float("nan")], [0]]]}, "nan"),
        ({"spikes": [[3]]}, "raster"),
        ({"exception": "no room\nfor it"}, "exception"),
        ({"exception": "no room", "spikes": [[1]]}, "exception"),
    ],
)
def test_answers_that_cannot_be_judged(parts, kind):
    (violation,) = read_parts(parts, CASE).violations
    assert violation.kind == kind
    assert "\n" not in violation.detail
