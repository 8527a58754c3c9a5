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


def in_blocks(trace: Trace | ReadoutTrace) -> Floats:
    """The potential of a trace in blocks: where it is, or packed if the trace comes from another solver."""
    if isinstance(trace, _InBlocks) and "blocks" in vars(trace):
        return trace.blocks
    return packed(trace.potential if isinstance(trace, Trace) else trace.membrane)


def packed(potential: Floats) -> Floats:
    """A potential (B, T, N) in blocks."""
    batch, n_steps, n = potential.shape
    blocks = buffer(None, "blocks", (batch, n_blocks(n), n_steps, LANES), potential.dtype)

    def task(_: int, first: int, last: int) -> None:
        for b in range(first, last):
            pack(blocks[b], potential[b], 0, n_steps)

    run_shares(task, batch, n_steps)
    return blocks


Made = TypeVar("Made", bound="_InBlocks")


class _InBlocks:
    """A trace with its potential in `blocks`; one that is built from its fields has an array as usual."""

    blocks: Floats
    weight: Any

    @classmethod
    def of(cls: type[Made], *values: Any) -> Made:
        """Build one from the fields of the trace, with blocks for the potential."""
        trace = object.__new__(cls)
        names = [field.name for field in fields(cls)]  # type: ignore[arg-type]
        names = ["blocks" if name in ("potential", "membrane") else name for name in names]
        vars(trace).update(zip(names, values))
        return trace

    def unpacked(self) -> Floats:
        """The potential (B, T, N)."""
        batch, _, n_steps, _ = self.blocks.shape
        potential = np.empty((batch, n_steps, self.weight.shape[1]), self.blocks.dtype)

        def task(_: int, first: int, last: int) -> None:
            for b in range(first, last):
                unpack(potential[b], self.blocks[b], 0, n_steps)

        run_shares(task, batch, n_steps)
        return potential

    @property
    def last_potential(self) -> Floats:
        """(B, N) potential in the last step."""
        last = in_blocks(self)[:, :, -1]  # type: ignore[arg-type]
        return last.reshape(len(last), -1)[:, : self.weight.shape[1]]


class BlockTrace(_InBlocks, Trace):
    """A `Trace` in blocks."""

    @cached_property
    def potential(self) -> Floats:
        """(B, T, N), formed when first asked for."""
        return self.unpacked()


class BlockReadoutTrace(_InBlocks, ReadoutTrace):
    """A `ReadoutTrace` in blocks."""

    @cached_property
    def membrane(self) -> Floats:
        """(B, T, n_out), formed when first asked for."""
        return self.unpacked()
