"""Text tables."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["table"]


def table(rows: Sequence[Sequence[str]], left: int = 1) -> str:
    """Rows of cells as lines, the columns as wide as they must be, the first `left` of them flush left.

    The last cell of a row that is shorter than the first row runs on over the columns that are left.

    Examples
    --------
    >>> print(table([["training", "epoch", "loss"], ["run", "2", "0.1"], ["other", "was interrupted"]]))
    training  epoch  loss
    run           2   0.1
    other     was interrupted
    """
    columns = len(rows[0])
    fitted = [row if len(row) == columns else row[:-1] for row in rows]
    widths = [max(len(row[k]) for row in fitted if k < len(row)) for k in range(columns)]
    lines = []
    for row, fit in zip(rows, fitted):
        cells = [cell.ljust(w) if k < left else cell.rjust(w) for k, (cell, w) in enumerate(zip(fit, widths))]
        lines.append("  ".join([*cells, *row[len(fit) :]]).rstrip())
    return "\n".join(lines)
