"""Text tables."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["table"]


def table(rows: Sequence[Sequence[str]], left: int = 1) -> str:
    """Rows of cells as lines, the columns as wide as they must be, the first `left` of them flush left.

    Examples
    --------
    >>> print(table([["training", "epoch"], ["run", "2"]]))
    training  epoch
    run           2
    """
    widths = [max(map(len, column)) for column in zip(*rows)]
    lines = (
        (cell.ljust(w) if k < left else cell.rjust(w) for k, (cell, w) in enumerate(zip(row, widths)))
        for row in rows
    )
    return "\n".join("  ".join(line).rstrip() for line in lines)
