"""Text tables."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["table", "with_sd"]


def with_sd(mean: float, sd: float | None, digits: int, factor: float = 1) -> str:
    """A mean with its s.d., if there is one, both times `factor`.

    Examples
    --------
    >>> with_sd(0.5, 0.01, 1, factor=100), with_sd(0.5, None, 2)
    ('50.0 +- 1.0', '0.50')
    """
    return f"{factor * mean:.{digits}f}" + ("" if sd is None else f" +- {factor * sd:.{digits}f}")


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
