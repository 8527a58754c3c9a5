"""The command ``minisnn sweep``: trainings over a grid of options, seeds and folds, on a Dask cluster."""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..errors import DataError, InputError, shown, unknown_name
from ..files import locked, write_text
from ..solvers.compiled.threads import get_threads
from ..streams import say
from ..training import RunFolder
from ..training.experiment import Experiment
from ..training.runs import difference, read_json
from ..training.series import placed, run_all
from ..training.sweep import Setting, Sweep
from ..training.worker import data_of
from . import options
from .train import add_training_options, check_settings, experiment_of, held_out

__all__ = ["add_parser"]

# Options of train that are of all trainings of a sweep, or change nothing about a training.
_FIXED = {"seeds", "folds", "threads", "data_dir", "download", "json", "quiet"}


class _Parser(argparse.ArgumentParser):
    """The options of a training, to read the values of one of them."""

    def __init__(self) -> None:
        super().__init__(add_help=False, allow_abbrev=False)
        add_training_options(self)

    def error(self, message: str) -> Any:
        raise InputError(f"--over: {message}")

    def option(self, name: str) -> argparse.Action:
        """The option of that name, if it may vary."""
        dest = name.replace("-", "_")
        known = {action.dest: action for action in self._actions if action.dest not in _FIXED}
        if dest in _FIXED | {"out", "workers", "scheduler"}:
            raise InputError(f"--over: --{name} is the same for all trainings of a sweep: it cannot vary")
        if dest not in known:
            raise unknown_name("option in --over", name, [one.replace("_", "-") for one in known])
        return known[dest]

    def value(self, option: argparse.Action, text: str) -> Any:
        """The value of an option, whose words are separated by spaces if it takes several."""
        flag, words = option.option_strings[0], text.split()
        if option.nargs == 0:
            if text not in ("true", "false"):
                raise InputError(f"--over: {flag} must be true or false, got {shown(text)}")
            return text == "true"
        if option.nargs is None:
            words = [f"{flag}={text}"]
        elif any(re.match(r"-\D", word) for word in words):
            raise InputError(f"--over: {flag} has no value {shown(text)}")
        else:
            words = [flag, *words]
        return getattr(self.parse_args(words), option.dest)


def add_parser(subparsers: Any) -> None:
    """Add the command ``sweep`` to the subparsers of an argparse parser."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "sweep",
        help="many trainings side by side: a grid of options, seeds, folds",
        description="Train with every combination of some options, with several seeds and folds, side by side on "
        "worker processes or on a Dask cluster; write a table, results.csv, results.json and pictures. Called again "
        "with the same options, it goes on where it stopped. Needs the extra sweep.",
    )
    options.add_dataset(parser.add_argument)
    parser.add_argument(
        "--over", action="append", required=True, metavar="NAME=V,V,...",
        help="vary an option of train, e.g. --over hidden=100,200 or --over 'augment=flip,flip shift'; "
        "several: all combinations",
    )  # fmt: skip
    add = add_training_options(parser)
    add(
        "--out", **options.FOLDER, required=True, help="folder of the sweep; one that was interrupted goes on"
    )
    options.add_cluster(add, "the cores")
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    """Check everything, train, print, write, draw; returns the exit code."""
    over = _read_over(args)
    combinations = [dict(zip(over, values)) for values in itertools.product(*over.values())]
    variants = [argparse.Namespace(**(vars(args) | values)) for values in combinations]
    experiments = [experiment_of(variant) for variant in variants]
    for experiment in experiments:
        check_settings(experiment, args.threads)
    _check_out(args.out)
    with options.how_of(args, workers=get_threads()) as how:
        fitted = _fitted(variants, experiments, args.data_dir)
        sweep = Sweep(over, [Setting(*pair) for pair in zip(combinations, fitted)])
        with _claimed(args.out, sweep):
            try:
                trainings = placed(args.out, sweep.variants())
                results = run_all(trainings, how)
            except KeyboardInterrupt:
                say(f"minisnn: interrupted; what is finished is in {args.out} (go on with the same command)")
                return 130
            result = sweep.result(results)
            write_text(args.out / "results.csv", sweep.csv(results))
            for path in (args.out / "results.json", args.json):
                options.write_json(path, result)
    if results.outcomes:
        if not args.quiet:
            print(sweep.table(result))
        options.draw(
            "minisnn.training.sweep_pictures", lambda pictures: pictures.write_all(sweep, result, args.out)
        )
    finished = f"{len(results.outcomes)} of {len(trainings)} trainings finished"
    print(f"{result['dataset']}: {finished}, folder {args.out}")
    return 1 if results.failed else 0


def _read_over(args: argparse.Namespace) -> dict[str, list[Any]]:
    """The varied options and their values."""
    parser = _Parser()
    over: dict[str, list[Any]] = {}
    for text in args.over:
        name, _, values = text.partition("=")
        if not values:
            raise InputError(f"--over must be NAME=V,V,... with at least one value, got {shown(text)}")
        option = parser.option(name)
        if option.dest in over:
            raise InputError(f"--over: {name} is varied twice: give all its values at once")
        if getattr(args, option.dest) is not None:
            raise InputError(f"--{name} is varied by --over: leave it out")
        over[option.dest] = [parser.value(option, value) for value in values.split(",")]
    if "seed" in over and args.seeds > 1:
        raise InputError("--over seed and --seeds both choose the seeds: leave one out")
    return over


def _fitted(
    variants: list[argparse.Namespace], experiments: list[Experiment], data_dir: Path | None
) -> list[Experiment]:
    """The experiments with the sizes of their data sets, each of which is loaded once."""
    wanted = [data_of(experiment) for experiment in experiments]
    fitted: dict[int, Experiment] = {}
    for what in dict.fromkeys(wanted):
        same = [k for k, other in enumerate(wanted) if other == what]
        data = experiments[same[0]].load_data(data_dir)
        fitted |= {k: experiments[k].fitted(data, held_out(variants[k], len(data.train))) for k in same}
    return [fitted[k] for k in range(len(experiments))]


def _check_out(out: Path) -> None:
    """Raise `InputError` if the folder holds something else than a sweep."""
    if (out / "sweep.json").exists():
        return
    try:
        RunFolder.check_new(out)
    except InputError:
        raise InputError(f"{out} exists already and holds no sweep: give --out a new folder") from None


@contextlib.contextmanager
def _claimed(out: Path, sweep: Sweep) -> Iterator[None]:
    """Hold the folder of a sweep, which is made if need be; `DataError` if it holds another, or is at work."""
    path, record = out / "sweep.json", json.loads(json.dumps(sweep.to_json()))
    if not path.exists():
        out.mkdir(parents=True, exist_ok=True)
        options.write_json(path, record)
    with locked(path):
        there = read_json(path)
        if there != record:
            changed = difference(there, record) or "another order of options"
            raise DataError(f"{out} holds another sweep: {changed}; give --out another folder")
        yield
