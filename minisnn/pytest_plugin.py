"""Checking a port in its own test suite: the pytest fixture ``minisnn_check``.

It is installed with minisnn, and pytest finds it. In a test::

    def test_my_layer(minisnn_check):
        minisnn_check(my_forward, my_backward, dtype="float32")

It takes the arguments of `minisnn.oracle.check`. If the port is wrong, the test fails with the report, and the smallest
failing case is written to the test's temporary folder, with a pytest file of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from .oracle import Report

__all__ = ["minisnn_check"]


@pytest.fixture  # type: ignore[untyped-decorator]
def minisnn_check(tmp_path: Path) -> Callable[..., Report]:
    """A function with the arguments of `minisnn.oracle.check` that fails the test if the port is wrong.

    Returns
    -------
    check : callable
        Returns the report of a right port.
    """

    def run(
        forward: Callable[..., Any], backward: Callable[..., Any] | None = None, **options: Any
    ) -> Report:
        # Imported here: every pytest run loads the plug-in, but only those that ask load the oracle.
        from .oracle import check

        folder = options.pop("save", tmp_path / "minisnn")
        report = check(forward, backward, save=folder, **options)
        if not report.passed:
            pytest.fail(f"{report}\nsmallest cases saved in {folder}", pytrace=False)
        return report

    return run
