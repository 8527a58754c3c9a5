"""Options of commands that run several trainings: one after the other here, or side by side on a cluster."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from ..errors import InputError
from ..reading import checked_count
from ..streams import say
from ..training.series import How
from .options import WHOLE

__all__ = ["add_cluster", "how_of"]


def add_cluster(add: Callable[..., Any], default: str) -> None:
    """Add the options that choose where trainings run."""
    add("--workers", **WHOLE, help=f"train side by side in N processes of a thread each (default: {default})")
    add(
        "--scheduler",
        metavar="ADDRESS",
        help="train on a Dask cluster that shares the folder, e.g. tcp://host:8786",
    )


@contextlib.contextmanager
def how_of(args: argparse.Namespace, workers: int | None = None) -> Iterator[How]:
    """How the trainings of a command run; without its options in so many `workers`, or one after the other here."""
    if args.workers is not None and args.scheduler is not None:
        raise InputError(
            "--workers starts a cluster here and --scheduler takes one that runs: give one of them"
        )
    if args.threads is not None:
        checked_count("--threads", args.threads, low=1)
    n_workers = workers if args.workers is None else args.workers
    if n_workers is None and args.scheduler is None:
        yield How(args.data_dir, args.threads, args.quiet)
        return
    from ..training.cluster import opened  # where a cluster is wanted: it takes asyncio along

    with opened(n_workers, args.scheduler) as cluster:
        if cluster.dashboard and not args.quiet:
            say(f"dashboard: {cluster.dashboard}")
        yield How(args.data_dir, args.threads, args.quiet, cluster)
