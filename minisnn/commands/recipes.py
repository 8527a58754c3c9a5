"""The command ``minisnn recipes``: the values that a training takes unless it is told otherwise."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from typing import Any

from ..datasets import NAMES
from ..datasets.loading import options_of
from ..reading import checked_name
from ..table import table
from ..training.experiment import Experiment
from ..training.recipes import TRADES, Recipe, published_recipes, recipe_of
from .options import add_json, text_of, write_json

__all__ = ["add_parser", "recipes_of", "values_of"]


def add_parser(subparsers: Any) -> None:
    """Add the command ``recipes`` to the subparsers of an argparse parser."""
    text = "the defaults of every data set, or all recipes of one"
    command = subparsers.add_parser(
        "recipes",
        help=text,
        description=f"Print {text}: best, which minisnn train takes, and the others of minisnn reproduce.",
    )
    command.add_argument("dataset", nargs="?", help=f"one of {', '.join(NAMES)}, own (default: best of all)")
    add_json(command.add_argument)
    command.set_defaults(run=_run)


def recipes_of(dataset: str) -> dict[str, Recipe]:
    """The recipes that there are for a data set: of the paper v1 and v2, best (own, if it is yours), and trade."""
    recipes = published_recipes(dataset) | {"best" if dataset in NAMES else "own": recipe_of(dataset)}
    return recipes | ({"trade": TRADES[dataset]} if dataset in TRADES else {})


def values_of(dataset: str, recipe: Recipe) -> dict[str, Any]:
    """The value of every option of ``minisnn train`` that has one, by the option's name."""
    experiment = Experiment.of_recipe(dataset, recipe)
    values = {"hidden": experiment.network.sizes[1:-1]} | options_of(dataset) | experiment.data
    if recipe.validation:
        values["validation"] = recipe.validation
    values |= asdict(experiment.network) | asdict(experiment.training)
    idle = {"sizes", "download"} | ({"milestones"} if experiment.training.schedule != "milestones" else set())
    return {name: value for name, value in values.items() if value is not None and name not in idle}


def _run(args: argparse.Namespace) -> int:
    if args.dataset is None:
        shown = {name: values_of(name, recipe_of(name)) for name in (*NAMES, "own")}
    else:
        checked_name("data set", args.dataset, (*NAMES, "own"))
        shown = {name: values_of(args.dataset, recipe) for name, recipe in recipes_of(args.dataset).items()}
    options = dict.fromkeys(option for values in shown.values() for option in values)
    rows = [["option", *shown]]
    for option in options:
        cells = (text_of(values[option]) if option in values else "-" for values in shown.values())
        rows.append(["--" + option.replace("_", "-"), *cells])
    print(table(rows))
    write_json(args.json, shown)
    return 0
