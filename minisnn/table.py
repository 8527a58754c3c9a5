"""Text tables."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["table"]


def table(rows: Sequence[Sequence[str]], left: int = 1) -> str:
    """Rows of cells as lines of aligned columns, the first `left` of them flush left.

    Examples
    --------
    >>> print(table([["training", "epoch"], ["run", "2"]]))
    training  epoch
    run           2
    """
    columns = []
    for k, column in enumerate(zip(*rows)):
        width = max(map(len, column))
        columns.append([cell.ljust(width) if k < left else cell.rjust(width) for cell in column])
    return "\n".join("  ".join(line).rstrip() for line in zip(*columns))
