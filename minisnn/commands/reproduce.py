"""The command ``minisnn reproduce``: both networks of the paper on one data set, one table, the figures."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..datasets import NAMES
from ..datasets.own import checked_source, title_of
from ..files import checked_folder, write_text
from ..reading import checked_count, checked_name
from ..reproduce.comparison import NEURONS, Budget, Comparison, compare, trade_off
from ..reproduce.report import curve, table
from ..streams import say
from ..training import RunFolder
from ..training.experiment import Experiment
from . import options
from .recipes import recipes_of

__all__ = ["add_parser"]

CURVED = "trade", "best", "own"  # the first that there is, by spike penalties
QUICK = {"epochs": 2, "train_samples": 1000, "test_samples": 500, "hidden": 100}


def add_parser(subparsers: Any) -> None:
    """Add the command ``reproduce`` to the subparsers of an argparse parser."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "reproduce",
        help="the paper's comparison: single-spike against conventional networks",
        description="Train the single-spike and the conventional network of every recipe with the same seeds, initial "
        "weights and budget; print and write one table beside the published figures, and draw the paper's figures. "
        "Called again with the same --out, it goes on where it stopped.",
    )
    add = parser.add_argument
    options.add_dataset(add)
    add("--quick", action="store_true", help="a minute's budget: shows that it works, reproduces nothing")
    names = (
        "v1, v2 (the paper's), best, trade (spikes against accuracy), own (that of your data), curve (trade, best or "
        "own by spike penalties); default: all there are (minisnn recipes)"
    )
    add("--recipes", nargs="+", metavar="{v1,v2,best,trade,own,curve}", help=names)
    options.add_options(parser, Budget)
    options.add_data_dir(add)
    add("--out", **options.FOLDER, help="folder of runs and results (default reproduce/<dataset>)")
    options.add_json(add)
    add("--threads", **options.WHOLE, help="threads of the compiled solvers")
    options.add_cluster(add, "one after the other, here")
    add("--quiet", action="store_true", help="print the table only")
    parser.set_defaults(run=_run, usual_out=(Path("reproduce"),))


def _run(args: argparse.Namespace) -> int:
    """Train, time, print, write, draw; returns the exit code."""
    dataset = checked_source(args.dataset, args.data_dir)
    title = title_of(dataset)
    recipes = recipes_of(dataset)
    names = [*recipes, "curve"]
    asked_for = dict.fromkeys(args.recipes or names)
    chosen = [checked_name(f"recipe for {title}", name, names) for name in asked_for]
    asked = options.given(args, Budget)
    for name in ("seeds", "epochs", "hidden"):
        if name in asked:
            checked_count(f"--{name}", asked[name], low=1)
    if asked.get("folds"):
        checked_count("--folds", asked["folds"], low=2)
    if args.quick:
        # The recordings of a quick run may be only a part of the data set.
        few = {"train_samples": 200, "test_samples": 50} if dataset in ("nmnist", "shd") else {}
        asked = (QUICK | few if dataset in NAMES else {"epochs": 2}) | asked
    budget = Budget(**asked)
    out = args.out or checked_folder(Path("reproduce") / (title + ("-quick" if args.quick else "")))
    try:
        with options.how_of(args) as how:
            comparisons = [
                compare(dataset, name, recipes[name], budget, out, how) for name in chosen if name in recipes
            ]
            base = next(name for name in CURVED if name in recipes)
            points = trade_off(dataset, base, recipes[base], budget, out, how) if "curve" in chosen else []
    except KeyboardInterrupt:
        say(f"minisnn: interrupted; what is finished is in {out} (go on with the same command)")
        return 130
    parts = ["--quick: this shows that it works; it reproduces nothing"] if args.quick else []
    parts += [table(comparisons)] if comparisons else []
    text = "\n".join([*parts, curve(points)] if points else parts)
    print(text)
    result: dict[str, Any] = {"dataset": title, "quick": args.quick}
    result["comparisons"] = [one.to_json() for one in comparisons]
    result["curve"] = [one.to_json() for one in points]
    out.mkdir(parents=True, exist_ok=True)
    write_text(out / "table.txt", text + "\n")
    for path in (out / "result.json", args.json):
        options.write_json(path, result)
    _draw(comparisons, points, out, args)
    return 1 if any(one.failed for one in (*comparisons, *points)) else 0


def _draw(
    comparisons: list[Comparison], points: list[Comparison], out: Path, args: argparse.Namespace
) -> None:
    """The paper's figures, the trade-off curve, and both networks of every recipe with one sample."""

    def pictures(module: Any) -> list[Path]:
        snapshots = {}
        for one in comparisons:
            if one.outcomes is not None:
                runs = {neuron: RunFolder.open(one.outcomes[neuron][0]["run_dir"]) for neuron in NEURONS}
                run = runs["single-spike"]
                data = Experiment.of_run(run).load_data(args.data_dir)
                snapshots[one.recipe] = ({neuron: run.network() for neuron, run in runs.items()}, data)
        paths: list[Path] = module.write_all(comparisons, points, snapshots, out, args.quick)
        return paths

    options.draw("minisnn.reproduce.pictures", pictures)
