"""Traces whose potential stays in blocks, (B, K, T, LANES), until somebody asks for the array."""

from __future__ import annotations

from dataclasses import fields
from functools import cached_property
from typing import Any, TypeVar

import numpy as np

from ...model import ReadoutTrace, Trace
from .lanes import LANES, n_blocks, pack, unpack
from .records import Floats
from .threads import run_shares
from .workspace import buffer

Made = TypeVar("Made", bound=Trace | ReadoutTrace)


def in_blocks(trace: Trace | ReadoutTrace) -> Floats:
    """The potential of a trace in blocks: where it is, or packed if the trace comes from another solver."""
    if isinstance(trace, (BlockTrace, BlockReadoutTrace)) and "blocks" in vars(trace):
        return trace.blocks
    return packed(trace.potential if isinstance(trace, Trace) else trace.membrane)


def packed(potential: Floats) -> Floats:
    """A potential (B, T, N) in blocks."""
    batch, n_steps, n = potential.shape
    blocks = buffer(None, "blocks", (batch, n_blocks(n), n_steps, LANES), potential.dtype)

    def task(_: int, first: int, last: int) -> None:
        for b in range(first, last):
            pack(blocks[b], potential[b], 0, n_steps)

    run_shares(task, batch)
    return blocks


def unpacked(blocks: Floats, n: int) -> Floats:
    """A potential (B, T, N) from its blocks."""
    batch, _, n_steps, _ = blocks.shape
    potential = np.empty((batch, n_steps, n), blocks.dtype)

    def task(_: int, first: int, last: int) -> None:
        for b in range(first, last):
            unpack(potential[b], blocks[b], 0, n_steps)

    run_shares(task, batch)
    return potential


def last_step(blocks: Floats, n: int) -> Floats:
    """The potential (B, N) in the last step."""
    return blocks[:, :, -1].reshape(len(blocks), -1)[:, :n]


def _with_blocks(kind: type[Made], array: str, values: tuple[Any, ...]) -> Made:
    """A trace of that kind from the values of its fields, with blocks in place of `array`."""
    trace = object.__new__(kind)
    names = ("blocks" if field.name == array else field.name for field in fields(kind))
    vars(trace).update(zip(names, values))
    return trace


class BlockTrace(Trace):
    """A `Trace` with its potential in `blocks`; one that is built from its fields has an array as usual."""

    blocks: Floats

    @classmethod
    def of(cls, *values: Any) -> BlockTrace:
        """Build one from the fields of a `Trace`, with blocks for `potential`."""
        return _with_blocks(cls, "potential", values)

    @cached_property
    def potential(self) -> Floats:
        """(B, T, N), formed when first asked for."""
        return unpacked(self.blocks, self.shape[2])

    @property
    def last_potential(self) -> Floats:
        """(B, N) potential in the last step."""
        return last_step(in_blocks(self), self.shape[2])


class BlockReadoutTrace(ReadoutTrace):
    """A `ReadoutTrace` with its potential in `blocks`."""

    blocks: Floats

    @classmethod
    def of(cls, *values: Any) -> BlockReadoutTrace:
        """Build one from the fields of a `ReadoutTrace`, with blocks for `membrane`."""
        return _with_blocks(cls, "membrane", values)

    @cached_property
    def membrane(self) -> Floats:
        """(B, T, n_out), formed when first asked for."""
        return unpacked(self.blocks, self.weight.shape[1])

    @property
    def last_potential(self) -> Floats:
        """(B, n_out) potential in the last step."""
        return last_step(in_blocks(self), self.weight.shape[1])
