"""The command ``minisnn``: train, evaluate, bench, check, vectors, doctor.

Exit codes: 0 done, 1 a check failed, 2 wrong use (one line says what was expected and what came), 130
interrupted.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import sys
from collections.abc import Sequence
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Any

from . import __version__, datasets, solvers
from .bench.commands import add_bench_parser, run_bench
from .errors import InputError, unknown_name
from .files import write_text
from .network import Network, NetworkConfig
from .oracle.commands import add_check_parser, add_vectors_parser, run_check, run_vectors
from .recipes import RECIPES, default_solver
from .runs import RunFolder
from .training import EpochMetrics, TrainingConfig, evaluate, train

__all__ = ["main"]

PACKAGES = (
    "numpy",
    "scipy",
    "numba",
    "tqdm",
    "array-api-compat",
    "threadpoolctl",
    "matplotlib",
    "tonic",
    "pooch",
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    parser = _parser()
    try:
        args = parser.parse_args(argv)
        result: int = args.run(args)
    except SystemExit as stop:  # argparse has printed its line already
        return int(stop.code or 0)
    except KeyboardInterrupt:
        print("minisnn: interrupted", file=sys.stderr)
        return 130
    except (InputError, OverflowError, OSError) as error:
        print(f"minisnn: error: {error}", file=sys.stderr)
        return 2
    return result


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one line."""

    def error(self, message: str) -> Any:
        print(f"{self.prog}: error: {message} (see {self.prog} --help)", file=sys.stderr)
        raise SystemExit(2)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="minisnn", description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--version", action="version", version=f"minisnn {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND", parser_class=_Parser)
    _add_train(commands)
    command = commands.add_parser(
        "evaluate", help="accuracy and spikes of a trained network on the test part"
    )
    command.add_argument("run_dir", type=Path, help="run folder of minisnn train")
    command.add_argument("--data-dir", type=Path, help="folder of the data set, or its parent")
    command.add_argument("--solver", help="solver to use (default: the one of the run)")
    command.add_argument("--json", type=Path, metavar="FILE", help="write the result as JSON")
    command.set_defaults(run=_evaluate)
    add_bench_parser(commands).set_defaults(run=run_bench)
    add_check_parser(commands).set_defaults(run=run_check)
    add_vectors_parser(commands).set_defaults(run=run_vectors)
    command = commands.add_parser("doctor", help="versions, usable solvers, data found")
    command.add_argument("--data-dir", type=Path, help="folder to look for data sets in")
    command.add_argument("--json", type=Path, metavar="FILE", help="write the result as JSON")
    command.set_defaults(run=_doctor)
    return parser


def _add_train(commands: Any) -> None:
    command = commands.add_parser(
        "train",
        help="train a network",
        description="Train a network; without options, a single-spike network on Yin-Yang, which needs no download.",
    )
    add = command.add_argument
    add(
        "dataset",
        nargs="?",
        default="yin-yang",
        help=f"one of {', '.join(datasets.NAMES)} (default yin-yang)",
    )
    add("--data-dir", type=Path, help="folder of the data set, or its parent (default: MINISNN_DATA)")
    add("--neuron", choices=solvers.NEURONS, default="single-spike", help="kind of the hidden layers")
    add("--hidden", type=int, nargs="+", metavar="N", help="neurons of the hidden layers")
    add("--n-steps", type=int, metavar="T", help="time steps")
    add("--encoding", choices=("linear", "log"), help="latency encoding of images (default linear)")
    add("--epochs", type=int, metavar="E", help="passes over the training samples")
    add("--batch-size", type=int, metavar="B", help="samples per step")
    add("--lr", type=float, help="learning rate at the start")
    add("--schedule", help="cosine, constant or milestones")
    add("--weight-decay", type=float, help="decoupled weight decay")
    add("--gradient", help="gated or straight-through")
    add("--surrogate-scale", type=float, metavar="S", help="steepness of the surrogate derivative")
    add(
        "--detach-reset", action="store_true", default=None, help="multi-spike: no gradient through the reset"
    )
    add("--readout", help="max or sum over time")
    add("--logit-scale", type=float, metavar="X", help="constant factor of the logits")
    add("--learn-decay", action=argparse.BooleanOptionalAction, help="one learned decay per neuron")
    add("--dtype", help="float32 or float64")
    add("--train-samples", type=int, metavar="N", help="only the first N training samples")
    add("--test-samples", type=int, metavar="N", help="only the first N test samples")
    add("--solver", help="how to compute it, see minisnn doctor (default: the fastest)")
    add(
        "--threads",
        type=int,
        metavar="N",
        help="threads of the compiled solvers; changes no bit of the result",
    )
    add("--product", choices=("auto", "events", "dense"), help="products with spikes by events or by BLAS")
    add("--seed", type=int, default=0, help="of initial weights and sample order")
    add(
        "--out",
        type=Path,
        metavar="DIR",
        help="run folder, must be new (default runs/<dataset>-<date>-<number>)",
    )
    add("--resume", type=Path, metavar="RUN_DIR", help="go on with an interrupted run")
    add("--json", type=Path, metavar="FILE", help="write the result as JSON")
    add("--quiet", action="store_true", help="print the last line only")
    command.set_defaults(run=_train)


def _train(args: argparse.Namespace) -> int:
    if args.resume is not None:
        _refuse_changes(args)
        run = RunFolder.open(args.resume)
        config = run.config()
        network_config, training = run.settings()
    else:
        config = _configuration(args)
        network_config, training = NetworkConfig(**config["network"]), TrainingConfig(**config["training"])
    module = solvers.get(training.solver, network_config.neuron)
    if args.threads is not None:
        if not hasattr(module, "set_threads"):
            raise InputError(f"solver {training.solver!r} has no threads to set; BLAS has its own")
        module.set_threads(args.threads)
    if config["product"] != "auto":
        if not training.solver.startswith("numba"):
            raise InputError(f"--product is for the compiled solvers, got {training.solver!r}")
        from .solvers import event_products

        event_products.set_product(config["product"])
    data = datasets.load_dataset(config["dataset"], args.data_dir, **config["data"])
    if args.resume is None:
        run = RunFolder.create(config, args.out, config["dataset"])
    network = Network.random(network_config, training.seed)

    def report(metrics: EpochMetrics) -> None:
        if not args.quiet:
            print(
                f"epoch {metrics.epoch:3d}/{training.epochs}  loss {metrics.train_loss:.4f}  "
                f"train {100 * metrics.train_accuracy:6.2f} %  test {100 * metrics.test_accuracy:6.2f} %  "
                f"spikes/sample {metrics.spikes_per_sample:7.1f}  {metrics.seconds:6.2f} s",
                flush=True,
            )

    try:
        history = train(network, data, training, run=run, quiet=args.quiet, on_epoch=report)
    except KeyboardInterrupt:
        print(
            f"minisnn: interrupted; {run.finished_epochs()} finished epochs are in {run.path} "
            f"(go on with: minisnn train --resume {run.path})",
            file=sys.stderr,
        )
        return 130
    last = history[-1]
    _warn_about_activity(last, sum(network_config.sizes[1:-1]))
    result = {
        "dataset": config["dataset"],
        "neuron": network_config.neuron,
        "solver": training.solver,
        "seed": training.seed,
        "n_parameters": network.n_parameters,
        "epochs": [
            {
                key: getattr(metrics, key)
                for key in (
                    "epoch", "train_loss", "train_accuracy", "test_accuracy", "spikes_per_sample", "seconds",
                )
            }
            for metrics in history
        ],
        "test_accuracy": last.test_accuracy,
        "spikes_per_sample": last.spikes_per_sample,
        "seconds_per_epoch": statistics.median(metrics.seconds for metrics in history),
    }  # fmt: skip
    if args.json is not None:
        write_text(args.json, json.dumps(result, indent=2) + "\n")
    print(
        f"{config['dataset']}: test accuracy {100 * last.test_accuracy:.2f} % of {len(data.test)} samples, "
        f"{last.spikes_per_sample:.1f} hidden spikes a sample, {result['seconds_per_epoch']:.2f} s an epoch, "
        f"run folder {run.path}"
    )
    _draw(run, network, data)
    return 0


# Options that change nothing about a run, so that they may go with --resume.
_ANY_TIME = {"run", "resume", "data_dir", "threads", "json", "quiet"}


def _refuse_changes(args: argparse.Namespace) -> None:
    """A run goes on as it began: name the options that would change it."""
    parser = _parser()
    defaults = vars(parser.parse_args(["train"]))
    changed = [
        name for name, value in vars(args).items() if name not in _ANY_TIME and value != defaults[name]
    ]
    if changed:
        options = ", ".join("--" + name.replace("_", "-") for name in changed)
        raise InputError(f"--resume goes on with the run as it is; it takes no {options}")


def _configuration(args: argparse.Namespace) -> dict[str, Any]:
    """Everything a run depends on, from the recipe of the data set and the options given."""
    if args.dataset not in RECIPES:
        raise unknown_name("data set", args.dataset, datasets.NAMES)
    recipe = RECIPES[args.dataset]

    def given(*names: str) -> dict[str, Any]:
        return {name: getattr(args, name) for name in names if getattr(args, name) is not None}

    data = {"n_steps": 100} | recipe.data | given("n_steps", "encoding", "train_samples", "test_samples")
    training = recipe.training | {"solver": default_solver(args.neuron)}
    training |= given("epochs", "batch_size", "lr", "schedule", "weight_decay", "solver", "seed")
    network = recipe.network | given(
        "neuron",
        "gradient",
        "surrogate_scale",
        "detach_reset",
        "readout",
        "logit_scale",
        "learn_decay",
        "dtype",
    )
    network["sizes"] = (recipe.n_inputs, *(args.hidden or recipe.hidden), recipe.n_classes)
    return {
        "dataset": args.dataset,
        "data": data,
        "product": args.product or "auto",
        "training": asdict(TrainingConfig(**training)),
        "network": asdict(NetworkConfig(**network)),
    }


def _warn_about_activity(metrics: EpochMetrics, n_hidden: int) -> None:
    for count, what in (
        (metrics.silent_neurons, "never fire"),
        (metrics.always_firing, "fire for every sample"),
    ):
        if count > n_hidden / 10:
            print(f"minisnn: warning: {count} of {n_hidden} hidden neurons {what}", file=sys.stderr)


def _draw(run: RunFolder, network: Network, data: datasets.Dataset) -> None:
    """Pictures of the run, where matplotlib is installed."""
    try:
        from . import plotting
    except ModuleNotFoundError as error:
        if error.name != "matplotlib":
            raise
        print("no pictures: matplotlib is not installed (pip install 'minisnn[plot]')", file=sys.stderr)
        return
    for path in plotting.draw_run(run.path, run.metrics(), network, data):
        print(f"picture {path}")


def _evaluate(args: argparse.Namespace) -> int:
    run = RunFolder.open(args.run_dir)
    config = run.config()
    network = run.network()
    data = datasets.load_dataset(config["dataset"], args.data_dir, **config["data"])
    solver = args.solver or config["training"]["solver"]
    result = evaluate(network, data.test, solver=solver)
    if args.json is not None:
        values = {"dataset": config["dataset"], "n_samples": len(data.test), "solver": solver}
        values |= asdict(result) | {"spikes_per_sample": result.spikes_per_sample}
        write_text(args.json, json.dumps(values, indent=2) + "\n")
    print(
        f"{config['dataset']}: test accuracy {100 * result.accuracy:.2f} % of {len(data.test)} samples, "
        f"loss {result.loss:.4f}, {result.spikes_per_sample:.1f} hidden spikes a sample"
    )
    return 0


def _doctor(args: argparse.Namespace) -> int:
    versions: dict[str, str | None] = {"minisnn": __version__, "python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = None
    reasons = {name: solvers.why_unavailable(name) for name in solvers.ALL}
    found: dict[str, str] = {"yin-yang": "generated, needs no files"}
    for name in datasets.NAMES:
        if name not in found:
            try:
                found[name] = str(datasets.find(name, args.data_dir))
            except InputError as error:
                found[name] = f"not found: {error}"
    for name, version in versions.items():
        print(f"{name:20s} {version or 'not installed'}")
    for name, reason in reasons.items():
        print(
            f"solver {name:18s} {'usable for ' + ', '.join(solvers.ALL[name][1]) if reason is None else reason}"
        )
    for name, place in found.items():
        print(f"data {name:15s} {place}")
    if args.json is not None:
        report = {"versions": versions, "solvers": reasons, "data": found}
        write_text(args.json, json.dumps(report, indent=2) + "\n")
    return 0
