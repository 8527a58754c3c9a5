"""The command ``minisnn doctor``: what there is on this machine, and what is missing."""

from __future__ import annotations

import argparse
import contextlib
import os
import platform
from importlib import import_module, metadata
from pathlib import Path
from typing import Any

import threadpoolctl

from .. import __version__, datasets, solvers
from ..errors import InputError, not_installed, one_line
from ..solvers.compiled.threads import get_threads
from .options import add_data_dir, add_json, write_json

__all__ = ["add_parser"]

# Every package, and the extra that brings it if minisnn does without.
PACKAGES = {
    "numpy": "", "scipy": "", "numba": "", "tqdm": "", "array-api-compat": "", "threadpoolctl": "",
    "matplotlib": "plot", "pooch": "download", "tonic": "data", "h5py": "data", "scikit-learn": "sklearn",
    "distributed": "sweep", "safetensors": "export",
}  # fmt: skip


def add_parser(subparsers: Any) -> None:
    """Add the command ``doctor`` to the subparsers of an argparse parser."""
    text = "versions, cores, threads, BLAS, usable solvers, compiled code, data found"
    command = subparsers.add_parser("doctor", help=text)
    add_data_dir(command.add_argument)
    add_json(command.add_argument)
    command.set_defaults(run=_doctor)


def _doctor(args: argparse.Namespace) -> int:
    versions: dict[str, str | None] = {"minisnn": __version__, "python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = None
    reasons = {name: solvers.why_unavailable(name) for name in solvers.ALL}
    found = {"yin-yang": "generated, needs no files"}
    for name in datasets.NAMES[1:]:  # all but yin-yang
        try:
            found[name] = str(datasets.find(name, args.data_dir))
        except (InputError, OSError) as error:
            found[name] = f"not found: {one_line(error)}"
    machine, compiled = _machine(), _compiled_code()
    for name, version in versions.items():
        print(f"{name:25s} {version or not_installed(PACKAGES.get(name))}")
    for name, value in machine.items():
        for line in value if isinstance(value, list) else [value]:
            print(f"{name:25s} {line}")
    for name, reason in reasons.items():
        print(f"solver {name:18s} {reason or 'usable for ' + ', '.join(solvers.ALL[name][1])}")
    print(f"{'compiled code':25s} {compiled}")
    for name, place in found.items():
        print(f"data {name:20s} {place}")
    result = {"versions": versions, "machine": machine, "solvers": reasons, "compiled": compiled}
    write_json(args.json, result | {"data": found})
    return 0


def _machine() -> dict[str, Any]:
    """Processor, cores, threads and BLAS libraries."""
    processor = platform.processor() or platform.machine()
    with contextlib.suppress(OSError, IndexError):  # on Linux, where Python knows the family alone
        text = Path("/proc/cpuinfo").read_text()
        processor = text.split("model name")[1].split("\n")[0].strip("\t :")
    cores = os.cpu_count()
    mine = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else cores
    with contextlib.suppress(Exception):  # the solvers' lines name the fault
        import_module("scipy.linalg.cython_blas")  # only the BLAS of NumPy is loaded yet
    blas = [
        f"{library['internal_api']} {library['version']} ({library.get('architecture', 'unknown kernels')}), "
        f"threads: {library['num_threads']}, {library['filepath']}"
        for library in threadpoolctl.threadpool_info()
        if library["user_api"] == "blas"
    ]
    return {
        "processor": processor,
        "cores": f"{cores}, {mine} of them for this process",
        "threads": f"{get_threads()} in the compiled solvers (--threads N changes it, and no bit of a result)",
        "blas": sorted(blas) or ["none that threadpoolctl knows"],
    }


def _compiled_code() -> str:
    """Where the compiled solvers keep their code and whether that of training is there, or why it is nowhere."""
    try:
        from ..solvers.compiled import jit, step
    except Exception as error:  # any fault of Numba's import; the lines of the solvers name it too
        return f"none: {one_line(error)}"
    folder = jit.cache_folder()
    if folder is None:
        return "kept nowhere, so that every run compiles: set NUMBA_CACHE_DIR to a folder that can be written"
    ready = "training is compiled" if jit.is_kept(step._share) else "the first training compiles, about 15 s"
    return f"{folder}: {ready}"
