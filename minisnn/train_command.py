"""The command ``minisnn train``: options, recipe, and what is printed and written in the end."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from . import datasets, experiment, solvers
from .errors import InputError, import_extra, unknown_name
from .files import write_text
from .network import NetworkConfig
from .recipes import RECIPES, default_solver
from .runs import RunFolder
from .streams import say
from .training import TrainingConfig

__all__ = ["add_train_parser", "run_train"]

_DATA = (
    "n_steps", "encoding", "train_samples", "test_samples", "augment", "dt", "polarities", "counts", "binning",
    "download",
)  # fmt: skip
_TRAINING = ("epochs", "batch_size", "lr", "schedule", "milestones", "weight_decay", "solver", "seed")
_NETWORK = (
    "neuron", "gradient", "surrogate_scale", "detach_reset", "readout", "logit_scale", "hidden_gain", "hidden_decay",
    "readout_decay", "threshold", "learn_decay", "dtype",
)  # fmt: skip
# Options that change nothing about a run, so that they may go with --resume.
_ANY_TIME = {"run", "resume", "data_dir", "threads", "json", "quiet"}


def add_train_parser(subparsers: Any) -> argparse.ArgumentParser:
    """Add the command ``train`` to the subparsers of an argparse parser; run it with `run_train`."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "train",
        help="train a network",
        description="Train a network; without options, a single-spike network on Yin-Yang, which needs no download. "
        "Defaults of a data set are its recipe's.",
    )
    names = ", ".join(datasets.NAMES)
    parser.add_argument("dataset", nargs="?", default="yin-yang", help=f"one of {names} (default yin-yang)")

    add = parser.add_argument_group("data").add_argument
    add("--data-dir", type=Path, help="folder of the data set, or its parent (default: MINISNN_DATA)")
    add("--download", action="store_true", default=None, help="fetch files that are not there")
    add("--n-steps", type=int, metavar="T", help="time steps")
    add("--encoding", help="latency encoding of images: linear, sparse or log")
    add(
        "--augment",
        nargs="*",
        metavar="HOW",
        help="change training images at random: flip, shift, noise, drop",
    )
    add("--dt", type=float, metavar="MS", help="recordings: milliseconds of a time step")
    add("--polarities", help="recordings of a camera: merged or kept apart")
    add("--counts", action="store_true", default=None, help="recordings: count the events of a time step")
    add("--binning", help="recordings: floor or round times to steps")
    add("--train-samples", type=int, metavar="N", help="only the first N training samples")
    add("--test-samples", type=int, metavar="N", help="only the first N test samples")

    add = parser.add_argument_group("network").add_argument
    add("--neuron", choices=solvers.NEURONS, default="single-spike", help="kind of the hidden layers")
    add("--hidden", type=int, nargs="+", metavar="N", help="neurons of the hidden layers")
    add("--gradient", help="gated or straight-through")
    add("--surrogate-scale", type=float, metavar="S", help="steepness of the surrogate derivative")
    add(
        "--detach-reset", action="store_true", default=None, help="multi-spike: no gradient through the reset"
    )
    add("--readout", help="max or sum over time")
    add("--logit-scale", type=float, metavar="X", help="constant factor of the logits")
    add(
        "--hidden-gain",
        type=float,
        metavar="X",
        help="factor on the initial weights of the first hidden layer",
    )
    add("--hidden-decay", type=float, metavar="B", help="decay a step of hidden neurons at the start")
    add("--readout-decay", type=float, metavar="B", help="decay a step of the readout at the start")
    add("--threshold", type=float, help="firing threshold of the hidden neurons (default 1)")
    add("--learn-decay", action=argparse.BooleanOptionalAction, help="one learned decay per neuron")
    add("--dtype", help="float32 or float64")

    add = parser.add_argument_group("training").add_argument
    add("--epochs", type=int, metavar="E", help="passes over the training samples")
    add("--batch-size", type=int, metavar="B", help="samples per step")
    add("--lr", type=float, help="learning rate at the start")
    add("--schedule", help="cosine, constant or milestones")
    add(
        "--milestones",
        type=float,
        nargs="+",
        metavar="SHARE",
        help="with --schedule milestones: shares of the training after which the learning rate falls to a tenth "
        "(default 0.5 0.75)",
    )
    add("--weight-decay", type=float, help="decoupled weight decay")
    add(
        "--seed",
        type=int,
        default=0,
        help="of initial weights, sample order, augmentation and held-out samples",
    )
    add(
        "--validation",
        type=int,
        metavar="N",
        help="hold N training samples out and end with the epoch that is best on them",
    )
    add("--folds", type=int, metavar="K", help="K trainings, each validated on another K-th of the samples")
    add("--seeds", type=int, default=1, metavar="N", help="N trainings, with seeds from --seed on")

    add = parser.add_argument_group("how and where").add_argument
    add("--solver", help="how to compute it, see minisnn doctor (default: the fastest)")
    add(
        "--threads",
        type=int,
        metavar="N",
        help="threads of the compiled solvers; changes no bit of the result",
    )
    add("--product", choices=("auto", "events", "dense"), help="products with spikes by events or by BLAS")
    add(
        "--out",
        type=Path,
        metavar="DIR",
        help="run folder, must be new (default runs/<dataset>-<date>-<number>)",
    )
    add(
        "--resume",
        type=Path,
        metavar="RUN_DIR",
        help="go on with an interrupted run or series, to the same bits",
    )
    add("--json", type=Path, metavar="FILE", help="write the result as JSON")
    add("--quiet", action="store_true", help="print the last line only")
    parser.set_defaults(run=run_train)
    return parser


def run_train(args: argparse.Namespace) -> int:
    """Train, print, write; returns the exit code."""
    if args.resume is not None:
        _refuse_changes(args)
        root = RunFolder.open(args.resume)
        root.check_writable()
        config = root.config()
        network, training = root.settings()
        _prepare_solver(training.solver, network.neuron, config["product"], args.threads)
        data = experiment.load(config, args.data_dir)
    else:
        config = _configuration(args)
        RunFolder.check_new(args.out)
        training, neuron = config["training"], config["network"]["neuron"]
        _prepare_solver(training["solver"], neuron, config["product"], args.threads)
        data = experiment.load(config, args.data_dir)
        _fit_to_data(config, data, args)
        # So that what does not fit the data is said before a folder is made.
        for _, variant in experiment.variants(config):
            experiment.divided(data, variant)
        root = RunFolder.create(config, args.out, config["dataset"])
    try:
        outcomes = experiment.run_all(root, config, data, quiet=args.quiet)
    except KeyboardInterrupt:
        safe = (
            "what is finished is" if "series" in config else f"{root.finished_epochs()} finished epochs are"
        )
        say(f"minisnn: interrupted; {safe} in {root.path} (go on with: minisnn train --resume {root.path})")
        return 130
    result = experiment.outcome(outcomes, config)
    if args.json is not None:
        write_text(args.json, json.dumps(result, indent=2) + "\n")
    if not args.quiet:
        print(experiment.table(outcomes))
    print(f"{_last_line(result, len(data.test))}, run folder {root.path}")
    if "series" not in config:
        _draw(root, data)
    return 0


def _last_line(result: dict[str, Any], n_test: int) -> str:
    """The result in a line, of one training or of a series."""
    series = "runs" in result

    def quantity(key: str, factor: int, digits: int) -> str:
        mean, sd = (result[f"{key}_mean"], result[f"{key}_sd"]) if series else (result[key], None)
        return f"{factor * mean:.{digits}f}" + ("" if sd is None else f" +- {factor * sd:.{digits}f}")

    parts = [f"{result['dataset']}: test accuracy {quantity('test_accuracy', 100, 2)} % of {n_test} samples"]
    if result["validation_accuracy_mean" if series else "validation_accuracy"] is not None:
        parts.append(f"validation {quantity('validation_accuracy', 100, 2)} %")
    parts.append(f"{quantity('spikes_per_sample', 1, 1)} hidden spikes a sample")
    parts.append(f"{quantity('seconds_per_epoch', 1, 2)} s an epoch")
    if series:
        parts.append(f"mean +- s.d. of {len(result['runs'])} trainings")
    elif result["validation_accuracy"] is not None:
        parts.append(f"epoch {result['chosen_epoch']} of {len(result['epochs'])}")
    return ", ".join(parts)


def _refuse_changes(args: argparse.Namespace) -> None:
    """A run goes on as it began: name the options that would change it."""
    defaults = vars(add_train_parser(argparse.ArgumentParser().add_subparsers()).parse_args([]))
    changed = [
        name for name, value in vars(args).items() if name not in _ANY_TIME and value != defaults[name]
    ]
    if changed:
        options = ", ".join("--" + name.replace("_", "-") for name in changed)
        raise InputError(f"--resume goes on with the run as it is; it takes no {options}")


def _configuration(args: argparse.Namespace) -> dict[str, Any]:
    """Everything a run depends on, from the recipe of the data set and the options given.

    Numbers of inputs and classes are 1 until `_fit_to_data` knows them.
    """
    if args.dataset not in RECIPES:
        raise unknown_name("data set", args.dataset, datasets.NAMES)
    recipe = RECIPES[args.dataset]

    def given(names: tuple[str, ...]) -> dict[str, Any]:
        return {name: getattr(args, name) for name in names if getattr(args, name) is not None}

    training = TrainingConfig(
        **(recipe.training | {"solver": default_solver(args.neuron)} | given(_TRAINING))
    )
    if args.milestones is not None and training.schedule != "milestones":
        raise InputError(f"--milestones is for --schedule milestones, got {training.schedule}")
    sizes = (1, *(args.hidden or recipe.hidden), 1)
    network = NetworkConfig(**(recipe.network | given(_NETWORK) | {"sizes": sizes}))
    config = {
        "dataset": args.dataset,
        "data": recipe.data | given(_DATA),
        "split": {},
        "product": args.product or "auto",
        "training": asdict(training),
        "network": asdict(network),
    }
    if args.seeds < 1:
        raise InputError(f"--seeds must be a whole number >= 1, got {args.seeds}")
    if args.folds is not None:
        if args.folds < 2:
            raise InputError(f"--folds must be a whole number >= 2, got {args.folds}")
        if args.validation is not None:
            raise InputError("--folds validates every training on its fold: leave --validation out")
    if args.seeds > 1 or args.folds is not None:
        config["series"] = {"seeds": args.seeds, "folds": args.folds or 0}
    return config


def _fit_to_data(config: dict[str, Any], data: datasets.Dataset, args: argparse.Namespace) -> None:
    """Complete a configuration with what the loaded data set says."""
    held_out = args.validation
    if held_out is None and args.folds is None:
        held_out = min(RECIPES[args.dataset].validation, len(data.train) // 10)
    if held_out:
        config["split"] = {"validation": held_out}
    config["data"]["n_steps"] = data.n_steps
    hidden = config["network"]["sizes"][1:-1]
    config["network"]["sizes"] = (data.n_inputs, *hidden, data.n_classes)


def _prepare_solver(name: str, neuron: str, product: str, threads: int | None) -> None:
    """Set what a solver keeps for the whole process: its threads, and how it multiplies with spikes."""
    module = solvers.get(name, neuron)
    if threads is not None:
        module.set_threads(threads)
    if product != "auto":
        if not name.startswith("numba"):
            raise InputError(f"--product is for the compiled solvers, got {name!r}")
        from .solvers.compiled import events

        events.set_product(product)


def _draw(run: RunFolder, data: datasets.Dataset) -> None:
    """Pictures of the run, where matplotlib is installed."""
    try:
        plotting = import_extra("minisnn.plotting", "matplotlib", "plot")
    except InputError as error:
        say(f"no pictures: {error}")
        return
    for path in plotting.draw_run(run.path, run.metrics(), run.network(), data):
        print(f"picture {path}")
