"""The order of the house: imports point one way, and importing minisnn stays light."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import minisnn

PACKAGE = Path(minisnn.__file__).parent
# From the ground up; a module may import those before it, and its own package.
ORDER = [
    "errors", "streams", "reading", "model", "surrogate", "spikes", "checks", "files", "solvers", "layers",
    "readout", "network", "datasets", "evaluation", "optimiser", "training", "runs", "plotting", "oracle", "bench",
    "recipes", "experiment", "reproduce", "train_command", "cli",
]  # fmt: skip
MODULES = [
    path
    for path in PACKAGE.rglob("*.py")
    if path.parts[len(PACKAGE.parts)] not in ("__init__.py", "__main__.py")
]


def part_of(path):
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_parts(path):
    """Parts of the house that a module imports when it is imported, type checking aside."""
    depth = len(path.relative_to(PACKAGE).parts)
    tree = ast.parse(path.read_text())
    hidden = {id(n) for node in ast.walk(tree) if isinstance(node, ast.If) for n in ast.walk(node)}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level == depth and id(node) not in hidden:
            names = [node.module.split(".")[0]] if node.module else [alias.name for alias in node.names]
            yield from (name for name in names if name in ORDER)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_one_way(path):
    here = part_of(path)
    if here == "pytest_plugin":
        return
    assert here in ORDER, f"{here} has no place in the order of the house"
    for other in imported_parts(path):
        assert other == here or ORDER.index(other) < ORDER.index(here), f"{path} imports {other}"


def test_the_oracle_knows_nothing_of_training():
    for path in (PACKAGE / "oracle").rglob("*.py"):
        assert not {"evaluation", "training", "optimiser", "runs", "datasets", "experiment"} & set(
            imported_parts(path)
        ), path


def test_importing_is_light():
    heavy = ["numba", "scipy", "matplotlib", "tonic", "tqdm", "hypothesis", "h5py", "pooch", "cupy"]
    code = f"import sys, minisnn; print([name for name in {heavy} if name in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
