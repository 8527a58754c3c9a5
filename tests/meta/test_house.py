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
    "errors", "faults", "streams", "table", "reading", "model", "surrogate", "spikes", "checks", "activity", "files",
    "checkpoints", "solvers", "layers", "loss", "parameters", "network", "export", "datasets", "training",
    "sklearn", "oracle", "bench", "reproduce", "commands",
]  # fmt: skip
MODULES = [p for p in PACKAGE.rglob("*.py") if p.parent != PACKAGE or p.name[:2] != "__"]


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
        assert not {"training", "datasets"} & set(imported_parts(path)), path


def module_of(path):
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return parts[:-1] if parts[-1] == "__init__" else parts


def imported_modules(path, modules):
    """Modules of minisnn that a module names in its imports, wherever they stand in it."""
    package = path.relative_to(PACKAGE).parts[:-1]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level:
            named = node.module.split(".") if node.module else ()
            base = (*package[: len(package) + 1 - node.level], *named)
            for alias in node.names:
                yield (*base, alias.name) if (*base, alias.name) in modules else base


def test_no_circle():
    """Not by an import inside a function, nor by one for types alone."""
    modules = {module_of(path): path for path in MODULES}
    imports = {name: set(imported_modules(path, modules)) & set(modules) for name, path in modules.items()}
    while free := [name for name, others in imports.items() if not others & set(imports)]:
        for name in free:
            del imports[name]
    assert not imports, "on a circle, or above one: " + ", ".join(".".join(name) for name in imports)


def test_importing_is_light():
    heavy = [
        "numba", "scipy", "matplotlib", "tonic", "tqdm", "h5py", "pooch", "cupy", "distributed", "hypothesis"
    ]  # fmt: skip
    code = f"import sys, minisnn; print([name for name in {heavy} if name in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


@pytest.mark.parametrize("path", sorted((PACKAGE / "solvers").rglob("*.py")), ids=lambda path: path.name)
def test_signatures_stay_short(path):
    """Up to twelve parameters for a kernel, nine for the functions around it; what belongs together is a record."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef):
            decorators = {d.id for d in node.decorator_list if isinstance(d, ast.Name)}
            most = 12 if decorators & {"kernel", "inlined"} else 9
            assert len(node.args.args) + len(node.args.kwonlyargs) <= most, node.name
