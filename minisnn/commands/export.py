"""The command ``minisnn export``: a trained network as a file for another program."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from ..export import FORMATS, export
from ..network import Network
from ..reading import checked_count, checked_name
from ..training import RunFolder
from ..training.experiment import Experiment
from .options import WHOLE, add_data_dir, add_json, choices, write_json

__all__ = ["add_parser"]


def add_parser(subparsers: Any) -> None:
    """Add the command ``export`` to the subparsers of an argparse parser."""
    command = subparsers.add_parser(
        "export",
        help="a trained network as npz, safetensors or JSON",
        description="Write a trained network for another program. help('minisnn.export') in Python describes the file, "
        "with recipes that read it in PyTorch and JAX.",
    )
    add = command.add_argument
    add("run_dir", type=Path, help="run folder of minisnn train, or a network's .npz file")
    add("--to", required=True, metavar=choices(FORMATS), help="format of the file")
    place = "the file (default: network.FORMAT in the run folder)"
    add("--out", dest="out_file", type=Path, metavar="FILE", help=place)
    samples = "with the first N test samples and the network's answers, to check a port by"
    add("--probe", **WHOLE, help=samples)
    add_data_dir(add)
    add_json(add)
    command.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    to, probe = checked_name("format", args.to, FORMATS), None
    base = args.run_dir / "network" if args.run_dir.is_dir() else args.run_dir.with_suffix("")
    path = args.out_file or Path(f"{base}.{to}")
    for other, what in ((args.run_dir, "the network that is read"), (args.json, "the file of --json")):
        if other is not None and os.path.realpath(path) == os.path.realpath(other):
            raise InputError(f"{path} is {what}: give --out a file of its own")
    network = Network.load(args.run_dir)
    if args.probe is not None:
        run = RunFolder.open(args.run_dir)
        test = Experiment.of_run(run).load_data(args.data_dir).test
        checked_count("--probe", args.probe, low=1, high=len(test))
        probe = test.batch(np.arange(args.probe))
    export(network, path, to, probe)
    write_json(args.json, {"file": str(path), "format": to, "probe": args.probe or 0})
    answers = f", with its answers to {args.probe} samples" if args.probe else ""
    print(
        f"{path}: {'-'.join(map(str, network.config.sizes))}, {network.n_parameters} learned parameters{answers}"
    )
    return 0
