"""The command ``minisnn train``: options, recipe, and the printed and written results."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from typing import Any

from .. import datasets, solvers
from ..datasets.own import checked_source
from ..errors import InputError
from ..parameters import NetworkConfig
from ..reading import checked_count
from ..streams import say
from ..table import with_sd
from ..training import RunFolder, TrainingConfig
from ..training.experiment import PRODUCTS, Experiment, moments, outcome, table
from ..training.recipes import default_solver, recipe_of
from ..training.runs import RUNS
from ..training.series import placed, run_all
from . import options
from .recipes import values_of

__all__ = ["add_parser", "add_training_options", "check_settings", "experiment_of", "held_out"]

# Options that change nothing about a run, so that --resume takes them.
_ANY_TIME = {"run", "resume", "data_dir", "threads", "json", "quiet", "workers", "scheduler"}


def add_parser(subparsers: Any, defaults: Mapping[str, Any] | None = None) -> argparse.ArgumentParser:
    """Add the command ``train`` to the subparsers of an argparse parser; its help names the `defaults`."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "train",
        help="train a network",
        description="Train a network; without options, a single-spike network on Yin-Yang, which needs no download. "
        "Defaults are those of the data set's recipe (minisnn recipes): minisnn train DATASET --help names them. "
        "Data of your own share one recipe.",
        add_help=False,
    )
    # Not argparse's own, which would print before it knows the data set.
    parser.add_argument(
        "-h", "--help", action="store_true", help="show this, with the defaults of the data set"
    )
    options.add_dataset(parser.add_argument, default="yin-yang")
    add = add_training_options(parser, defaults)
    add("--out", **options.FOLDER, help="run folder, must be new (default runs/<dataset>-<date>-<number>)")
    add(
        "--resume",
        **options.FOLDER,
        help="go on with an interrupted run or series in its folder, to the same bits",
    )
    options.add_cluster(add, "one after the other, here")
    parser.set_defaults(run=_run, usual_out=(RUNS,))
    return parser


def add_training_options(
    parser: argparse.ArgumentParser, defaults: Mapping[str, Any] | None = None
) -> Callable[..., Any]:
    """Add the options of a training, or of several; returns the function that adds to the last group of them.

    Their help names the `defaults`.
    """
    defaults = defaults or {}
    group = parser.add_argument_group("data")
    options.add_data_dir(group.add_argument)
    leave_out = ("name", "data_dir", "fingerprint")
    options.add_options(group, datasets.load_dataset, leave_out, defaults=defaults)

    group = parser.add_argument_group("network")
    hidden = options.with_default("neurons of the hidden layers", defaults.get("hidden"))
    group.add_argument("--hidden", type=int, nargs="+", metavar="N", help=hidden)
    options.add_options(group, NetworkConfig, leave_out=("sizes",), defaults=defaults)

    group = parser.add_argument_group("training")
    options.add_options(group, TrainingConfig, defaults=defaults)
    add = group.add_argument
    held = "hold N training samples out and end with the epoch that is best on them"
    held = options.with_default(held, defaults.get("validation"))
    add("--validation", **options.WHOLE, help=held)
    add("--folds", type=int, metavar="K", help="K trainings, each validated on another K-th of the samples")
    add("--seeds", **options.WHOLE, default=1, help="N trainings, with seeds from --seed on (default 1)")

    add = parser.add_argument_group("how and where").add_argument
    add("--threads", **options.WHOLE, help="threads of the compiled solvers; changes no bit of the result")
    add("--product", choices=PRODUCTS, help="products with spikes by events or by BLAS (default auto)")
    options.add_json(add)
    add("--quiet", action="store_true", help="print the last line only")
    return add


def _run(args: argparse.Namespace) -> int:
    """Train, print, write; returns the exit code."""
    if args.help:
        dataset = checked_source(args.dataset, args.data_dir)
        add_parser(_nobody(), values_of(dataset, recipe_of(dataset))).print_help()
        return 0
    if args.resume is not None:
        _refuse_changes(args)
        root = RunFolder.open(args.resume)
        root.check_writable()
        experiment = Experiment.of_run(root)
    else:
        experiment = experiment_of(args)
        RunFolder.check_new(args.out)
    check_settings(experiment, args.threads)
    if experiment.series is None and (args.workers is not None or args.scheduler is not None):
        raise InputError("--workers and --scheduler are for several trainings: give --seeds or --folds too")
    with options.how_of(args) as how:
        data = experiment.load_data(args.data_dir)
        if args.resume is None:
            # An experiment that does not fit the data is refused before a folder is made.
            experiment = experiment.fitted(data, held_out(args, len(data.train)))
            root = RunFolder.create(experiment.to_json(), args.out, data.name)
        try:
            trainings = placed(root.path, experiment.variants())
            results = run_all(trainings, how, data)
        except KeyboardInterrupt:
            finished = f"{root.finished_epochs()} finished epochs are"
            safe = finished if experiment.series is None else "what is finished is"
            advice = f"go on with: minisnn train --resume {root.path}"
            say(f"minisnn: interrupted; {safe} in {root.path} ({advice})")
            return 130
    outcomes = results.of(one.name for one in trainings)
    options.write_json(args.json, outcome(outcomes, experiment, results.failed))
    if not outcomes:
        return 1
    if not args.quiet:
        print(table(outcomes))
    last = _last_line(outcomes, experiment.series is not None, len(data.test))
    print(f"{last}, run folder {root.path}")
    if experiment.series is None:
        run = root.path, root.metrics(), root.network(), data
        options.draw("minisnn.training.plotting", lambda plotting: plotting.draw_run(*run))
    return 1 if results.failed else 0


def _last_line(outcomes: list[dict[str, Any]], is_series: bool, n_test: int) -> str:
    """The result in a line, of one training or of a series."""
    first = outcomes[0]
    means: dict[str, Any] = moments(outcomes)
    validated = first["validation_accuracy"] is not None

    def quantity(key: str, factor: int, digits: int) -> str:
        mean, sd = means[key]
        return with_sd(mean, sd, digits, factor)

    parts = [f"{first['dataset']}: test accuracy {quantity('test_accuracy', 100, 2)} % of {n_test} samples"]
    if validated:
        parts.append(f"validation {quantity('validation_accuracy', 100, 2)} %")
    parts.append(f"{quantity('spikes_per_sample', 1, 1)} hidden spikes a sample")
    parts.append(f"{quantity('seconds_per_epoch', 1, 2)} s an epoch")
    if is_series:
        parts.append(f"mean +- s.d. of {len(outcomes)} trainings")
    elif validated:
        parts.append(f"epoch {first['chosen_epoch']} of {len(first['epochs'])}")
    return ", ".join(parts)


def _nobody() -> Any:
    """Subparsers of a parser that is not used."""
    return argparse.ArgumentParser(prog="minisnn").add_subparsers()


def _refuse_changes(args: argparse.Namespace) -> None:
    """Refuse options that would change a run that goes on, by name."""
    usual = add_parser(_nobody()).parse_args([])
    changed = [name for name, value in vars(args).items() if value != getattr(usual, name)]
    refused = ", ".join("--" + name.replace("_", "-") for name in changed if name not in _ANY_TIME)
    if refused:
        raise InputError(f"--resume goes on with the run as it is; it takes no {refused}")


def experiment_of(args: argparse.Namespace) -> Experiment:
    """The experiment of the data set's recipe and the given options."""
    dataset = checked_source(args.dataset, args.data_dir)
    checked_count("--seeds", args.seeds, low=1)
    if args.folds is not None:
        checked_count("--folds", args.folds, low=2)
        if args.validation is not None:
            raise InputError("--folds validates every training on its fold: leave --validation out")
    network = options.given(args, NetworkConfig)
    solver = args.solver or default_solver(network.get("neuron", NetworkConfig.neuron))
    experiment = Experiment.of_recipe(
        dataset,
        recipe_of(dataset),
        hidden=tuple(args.hidden or ()),
        data=options.given(args, datasets.load_dataset, leave_out=("data_dir",)),
        training=options.given(args, TrainingConfig) | {"solver": solver},
        network=network,
        product=args.product or "auto",
        series={"seeds": args.seeds, "folds": args.folds or 0} if args.seeds > 1 or args.folds else None,
    )
    if args.milestones is not None and experiment.training.schedule != "milestones":
        raise InputError(f"--milestones is for --schedule milestones, got {experiment.training.schedule}")
    return experiment


def held_out(args: argparse.Namespace, n_train: int) -> int:
    """How many of the training samples are held out for validation."""
    if args.validation is not None or args.folds is not None:
        return checked_count("--validation", args.validation or 0)
    return recipe_of(args.dataset).held_out(n_train)


def check_settings(experiment: Experiment, threads: int | None) -> None:
    """Raise the error that names the settings that the experiment's solver does not have."""
    name, product = experiment.training.solver, experiment.product
    module = solvers.get(name, experiment.network.neuron)
    if threads is not None and not module.has_threads:
        module.set_threads(threads)  # raises the error
    if product != "auto" and not name.startswith("numba"):
        raise InputError(f"--product is for the compiled solvers, got {name!r}")
