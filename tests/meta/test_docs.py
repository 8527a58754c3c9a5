"""The pages of the site: all can be reached, all their code runs, and every public name and equation has its place."""

import re
from pathlib import Path

import pytest

import minisnn

DOCS = Path(__file__).parents[2] / "docs"
PAGES = {
    path.relative_to(DOCS).with_suffix("").as_posix(): path.read_text()
    for path in DOCS.rglob("*.md")
    if "_build" not in path.parts
}
PUBLIC = [
    "minisnn", "minisnn.datasets", "minisnn.loss", "minisnn.oracle", "minisnn.sklearn", "minisnn.solvers",
    "minisnn.surrogate", "minisnn.training",
]  # fmt: skip


def test_every_page_is_in_a_table_of_contents():
    listed = {"index"}
    for name, text in PAGES.items():
        for block in re.findall(r"```\{toctree\}\n(.*?)```", text, re.S):
            entries = [line for line in block.split("\n") if line and line[0] != ":"]
            listed |= {(Path(name).parent / entry).as_posix() for entry in entries}
    assert listed == set(PAGES)


@pytest.mark.parametrize("name", PAGES)
def test_code_on_pages_is_executed(name):
    """A cell runs when the site is built; a listing, or the lines of a prompt, would run nowhere."""
    assert not re.search(r"^(```\s*python|>>> )", PAGES[name], re.M)


def test_every_equation_is_derived_on_one_page():
    model = (DOCS.parent / "minisnn" / "model.py").read_text()
    numbers = {int(number) for number in re.findall(r" \((\d+)\)", model)}
    labels = [
        int(number) for text in PAGES.values() for number in re.findall(r"^\$\$.*\(eq-(\d+)\)$", text, re.M)
    ]
    assert sorted(labels) == sorted(numbers)


def test_every_public_module_is_in_the_reference():
    """That all their names are there is found when the site is built."""
    pages = "\n".join(text for name, text in PAGES.items() if name.startswith("reference/"))
    assert set(PUBLIC) <= set(re.findall(r"automodule:: ([\w.]+)\n   :members:", pages))


def test_names_that_are_loaded_later_are_listed():
    assert set(minisnn.__all__) <= set(dir(minisnn))
