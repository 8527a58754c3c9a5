"""Options of commands. Names, types and help of many stand once, in a signature and its docstring."""

from __future__ import annotations

import argparse
import contextlib
import inspect
import json
import re
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ..datasets import NAMES
from ..errors import InputError, import_extra
from ..files import write_text
from ..reading import checked_count
from ..streams import say
from ..training.series import How

__all__ = [
    "FOLDER", "WHOLE", "add_cluster", "add_data_dir", "add_dataset", "add_json", "add_options", "choices",
    "draw", "given", "how_of", "text_of", "with_default", "write_json",
]  # fmt: skip

# Options that take a whole number, or a folder.
WHOLE: dict[str, Any] = {"type": int, "metavar": "N"}
FOLDER: dict[str, Any] = {"type": Path, "metavar": "DIR"}


def add_options(
    parser: Any,
    source: Callable[..., Any],
    leave_out: Iterable[str] = (),
    *,
    defaults: Mapping[str, Any] | None = None,
) -> None:
    """Add an option for every parameter of a function or dataclass; it is None if it was not given.

    Its help names its value in `defaults`, or the parameter's own default if there are none.
    """
    texts, hints = _described(source), typing.get_type_hints(source)
    for name, parameter in inspect.signature(source).parameters.items():
        if name in leave_out:
            continue
        hint: Any = hints[name]
        which, text = texts.get(name, (None, ""))  # python -OO leaves no docstrings
        default = None if parameter.default is parameter.empty else parameter.default
        text = with_default(text, default if defaults is None else defaults.get(name))
        kinds = typing.get_args(hint) or (hint,)
        if bool in kinds:
            how: dict[str, Any] = {
                "action": argparse.BooleanOptionalAction if parameter.default else "store_true"
            }
        else:
            how = {"type": next(kind for kind in kinds if kind in (int, float, str)), "metavar": which}
            if ... in kinds or any(typing.get_origin(kind) is not None for kind in kinds):
                how["nargs"] = "*"
        parser.add_argument("--" + name.replace("_", "-"), default=None, help=text, **how)


def with_default(text: str, value: Any) -> str:
    """The help of an option whose default is `value`; None, no and nothing are not worth a word."""
    return text if value is None or value is False or value == () else f"{text} (default {text_of(value)})"


def text_of(value: Any) -> str:
    """A value as one would type it after its option."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return " ".join(map(text_of, value)) or "none"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def given(
    args: argparse.Namespace, source: Callable[..., Any], leave_out: Iterable[str] = ()
) -> dict[str, Any]:
    """The options that were given for parameters of `source`."""
    names = set(inspect.signature(source).parameters) - set(leave_out)
    return {name: value for name, value in vars(args).items() if name in names and value is not None}


def _described(source: Callable[..., Any]) -> dict[str, tuple[str | None, str]]:
    """Of every documented parameter its choices, if they are listed, and its text as a line that argparse takes."""
    section = re.search(r"\nParameters\n-+\n(.*?)(\n\n[A-Z]\w+\n---|\Z)", inspect.getdoc(source) or "", re.S)
    texts: dict[str, tuple[str | None, str]] = {}
    for names, kind, text in re.findall(
        r"^(\w[\w, ]*)(.*)\n((?:    .*\n?)+)", section[1] if section else "", re.M
    ):
        named = re.findall(r'"(.*?)"', kind) if "{" in kind else []
        line = " ".join(text.replace("`", "").replace("%", "%%").split()).removesuffix(".")
        texts |= dict.fromkeys(names.strip().split(", "), (choices(named) if named else None, line))
    return texts


def choices(names: Iterable[str]) -> str:
    """The metavar of an option that takes one of these."""
    return f"{{{','.join(names)}}}"


def add_dataset(add: Callable[..., Any], default: str | None = None) -> None:
    """Add the argument that names a data set; without a `default` it must be given."""
    usual, how = (
        ("", {}) if default is None else (f" (default {default})", {"nargs": "?", "default": default})
    )
    own = "or an .npz file or folder of minisnn.datasets.save_dataset"
    add("dataset", **how, help=f"one of {', '.join(NAMES)}{usual}, {own}")


def add_data_dir(add: Callable[..., Any]) -> None:
    """Add the option that names the folder of the data sets."""
    add("--data-dir", **FOLDER, help="folder of the data set, or its parent (default: MINISNN_DATA)")


def add_json(add: Callable[..., Any]) -> None:
    """Add the option that names a file for the result."""
    add("--json", type=Path, metavar="FILE", help="write the result as JSON")


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


def write_json(path: Path | None, value: Any) -> None:
    """Write `value` as JSON, if a path is given."""
    if path is not None:
        write_text(path, json.dumps(value, indent=2) + "\n")


def draw(module: str, pictures: Callable[[Any], Iterable[Path]]) -> None:
    """Draw pictures with a module of minisnn and name the files; if matplotlib is missing, one line says so."""
    try:
        plotting = import_extra(module, "matplotlib", "plot")
    except InputError as error:
        say(f"no pictures: {error}")
        return
    for path in pictures(plotting):
        print(f"picture {path}")
