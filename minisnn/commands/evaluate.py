"""The command ``minisnn evaluate``."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import Any

from .. import solvers
from ..errors import DataError
from ..training import RunFolder, evaluate
from ..training.energy import dense_energy, energy, table
from ..training.experiment import OPERATIONS, Experiment
from .options import add_data_dir, add_json, choices, write_json

__all__ = ["add_parser"]


def add_parser(subparsers: Any) -> None:
    """Add the command ``evaluate`` to the subparsers of an argparse parser."""
    text = "accuracy and spikes of a trained network on the test part"
    command = subparsers.add_parser("evaluate", help=text)
    add = command.add_argument
    add("run_dir", type=Path, help="run folder of minisnn train")
    add_data_dir(add)
    add("--energy", action="store_true", help="with the energy of the arithmetic, from published figures")
    add("--solver", metavar=choices(solvers.ALL), help="how to compute it (default: as the run did)")
    add_json(add)
    command.set_defaults(run=_evaluate)


def _evaluate(args: argparse.Namespace) -> int:
    run = RunFolder.open(args.run_dir)
    experiment = Experiment.of_run(run)
    if experiment.series is not None:
        folders = ", ".join(path.parent.name for path in sorted(run.path.glob("*/config.json")))
        raise DataError(
            f"{run.path} holds several trainings: give one of them, {folders or 'none has begun'}"
        )
    network, epoch = run.network(), run.chosen_epoch()
    data = experiment.load_data(args.data_dir)
    test = data.test
    solver = args.solver or experiment.training.solver
    result = evaluate(network, test, solver=solver)
    values: dict[str, Any] = {"dataset": data.name, "n_samples": len(test), "solver": solver, "epoch": epoch}
    values |= asdict(result)
    totals = ("spikes_per_sample", "silent_neurons", "always_firing", *OPERATIONS)
    values |= {key: getattr(result, key) for key in totals}
    values["footprint"] = sum(array.nbytes for array in network.parameters.values())
    if args.energy:
        acs, updates, dense = (values[key] for key in ("effective_acs", "membrane_updates", "dense"))
        values |= {"nanojoules": energy(acs, updates), "nanojoules_dense": dense_energy(dense, updates)}
    write_json(args.json, values)
    print(
        f"{data.name}: test accuracy {100 * result.accuracy:.2f} % of {len(test)} samples, after epoch "
        f"{epoch}, loss {result.loss:.4f}, {result.spikes_per_sample:.1f} hidden spikes a sample"
    )
    print(
        f"footprint {values['footprint']} bytes, activation sparsity {result.activation_sparsity:.4f}\n"
        + table(values, with_energy=args.energy)
    )
    return 0
