"""The README and the pages promise nothing that is not there: lines run, commands parse, links lead somewhere."""

import contextlib
import io
import re
import shlex
from pathlib import Path

import pytest

from minisnn.commands.main import _parser

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
PAGES = [path for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))) if path.is_file()]
BLOCK = re.compile(r"^```([^`\n]*)\n(.*?)^```$", re.M | re.S)


def test_the_readme_is_short():
    assert README.count("\n") <= 150


def test_its_python_runs_and_prints_what_it_says():
    (code,) = (text for language, text in BLOCK.findall(README) if language == "python")
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(code, {})
    said = re.findall(r"^print\(.*\)  # (.*?)(?::.*)?$", code, re.M)
    assert printed.getvalue().splitlines() == said


def commands(text):
    """Command lines of minisnn without what is in brackets, and whether they are whole: in a block, not a sentence."""
    blocks = [line for language, block in BLOCK.findall(text) if not language for line in block.splitlines()]
    named = re.findall(r"`(minisnn [a-z]+(?: [^`]+)?)`", BLOCK.sub("", text))
    for line in (*blocks, *named):
        for part in re.split(r" && |; ", line):
            if part.startswith("minisnn "):
                yield shlex.split(re.sub(r"\[.*?\]", "", part), comments=True)[1:], line in blocks


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_every_command_is_one(page, capsys):
    faults = []
    for words, is_whole in commands(page.read_text()):
        try:
            _parser().parse_args(words)
        except SystemExit as stop:
            error = capsys.readouterr().err
            incomplete = re.search(r"arguments? (are )?required|expected (one|at least one) argument", error)
            if stop.code and (is_whole or not incomplete):
                faults.append(f"minisnn {shlex.join(words)}: {error}")
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_every_link_leads_somewhere(page):
    for target in re.findall(r"\]\(([^)#: ]+)(?:#[^)]*)?\)", page.read_text()):
        assert (page.parent / target).exists(), target
