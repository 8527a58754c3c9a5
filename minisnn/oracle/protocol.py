"""One protocol for all who answer cases elsewhere: a Python port in a process of its own, a program, a recording.

``golden/PROTOCOL.md`` describes it byte by byte. A message is a header and named arrays in C order, little-endian;
as text it is a JSON object on a line.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from ..errors import shown

_MAGIC = b"mSNN"
_KINDS = ("answer", "forward", "backward", "step")
_HEAD, _ARRAY = struct.Struct("<4s3I"), struct.Struct("<32s4sI")
_TYPES = ("f4", "f8", "f2", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1", "t1")
LARGEST = 2**28  # bytes in a message: many times what a case needs


class Accident(Exception):
    """Why there is no answer: `kind` is that of a violation (`minisnn.oracle.port`)."""

    def __init__(self, kind: str, detail: str) -> None:
        super().__init__(detail)
        self.kind = kind


class Message(NamedTuple):
    """A request, or the answer to the request of the same number."""

    number: int
    kind: str  # of the request: the function that is asked; else "answer"
    parts: Mapping[str, Any]  # arrays by name, and text; as text also lists of numbers


def encode(message: Message, text: bool = False) -> bytes:
    """A message as bytes, or as a line of text.

    Examples
    --------
    >>> encode(Message(7, "answer", {"spikes": np.array([[2]])}), text=True).strip()
    b'{"number": 7, "kind": "answer", "spikes": [[2]]}'
    """
    number, kind, parts = message
    if text:
        head: dict[str, Any] = {"number": number, "kind": kind}
        if "weight" in parts:
            head["dtype"] = str(parts["weight"].dtype)
        lists = {name: part if isinstance(part, str) else part.tolist() for name, part in parts.items()}
        return json.dumps(head | lists).encode() + b"\n"
    pieces = [_HEAD.pack(_MAGIC, number, _KINDS.index(kind), len(parts))]
    for name, part in parts.items():
        if isinstance(part, str):
            code, array = "t1", np.frombuffer(part.encode(errors="replace"), np.uint8)
        else:
            code, array = part.dtype.str[1:], part.astype(part.dtype.newbyteorder("<"), copy=False)
        pieces.append(_ARRAY.pack(name.encode(errors="replace"), code.encode(), array.ndim))
        pieces += [struct.pack(f"<{array.ndim}I", *array.shape), array.tobytes()]
    return b"".join(pieces)


def take(data: bytearray, text: bool = False) -> tuple[Message, int] | None:
    """The first message of `data` and its length in bytes; None if more must come, `Accident` if none begins so."""
    return _take_line(data) if text else _take_bytes(data)


def _take_bytes(data: bytearray) -> tuple[Message, int] | None:
    if not _MAGIC.startswith(data[:4]):
        raise Accident("protocol", f"expected a message, which begins with mSNN, got {_start(data)}")
    if len(data) < _HEAD.size:
        return None
    _, number, kind, count = _HEAD.unpack_from(data)
    if kind >= len(_KINDS) or count > 1000:
        raise Accident("protocol", f"expected a kind 0 ... 3 and at most 1000 arrays, got {kind} and {count}")
    parts: dict[str, Any] = {}
    at = _HEAD.size
    for _ in range(count):
        if len(data) < at + _ARRAY.size:
            return None
        *texts, n_axes = _ARRAY.unpack_from(data, at)
        name, code = (field.rstrip(b"\0").decode(errors="replace") for field in texts)
        if code not in _TYPES or n_axes > 32 or name in parts:
            expected = f"a new name, one of the types {', '.join(_TYPES)} and at most 32 axes"
            raise Accident("protocol", f"expected {expected}, got {shown(name)}, {shown(code)}, {n_axes}")
        at += _ARRAY.size
        if len(data) < at + 4 * n_axes:
            return None
        shape = struct.unpack_from(f"<{n_axes}I", data, at)
        at += 4 * n_axes
        end = at + math.prod(shape) * int(code[1])
        if at + 8 * math.prod(n or 1 for n in shape) > LARGEST:  # NumPy counts what an axis of 0 leaves out
            raise Accident("protocol", f"expected at most {LARGEST} bytes, got {name} of shape {shape}")
        if len(data) < end:
            return None
        if code == "t1":
            parts[name] = data[at:end].decode(errors="replace")
        else:  # a truth value of another program may be a byte that is neither 0 nor 1
            dtype = "u1" if code == "b1" else "<" + code
            parts[name] = np.frombuffer(bytes(data[at:end]), dtype).reshape(shape)
        at = end
    return Message(number, _KINDS[kind], parts), at


def _take_line(data: bytearray) -> tuple[Message, int] | None:
    end = data.find(b"\n")
    if end < 0 and len(data) <= LARGEST:
        return None
    line = data[: max(end, 0)]
    try:
        fields = json.loads(line)
        number, kind = fields.pop("number"), fields.pop("kind", "answer")
        if type(number) is not int or number < 0 or kind not in _KINDS:
            raise ValueError
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        expected = 'a JSON object with a "number" on a line of its own'
        raise Accident("protocol", f"expected {expected}, got {_start(line)}") from None
    fields.pop("dtype", None)
    return Message(number, kind, {name: part for name, part in fields.items() if part is not None}), end + 1


def _start(data: bytearray) -> str:
    return repr(bytes(data[:40]))[1:] + " ..." * (len(data) > 40)
