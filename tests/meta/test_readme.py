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
BLOCK = re.compile(r"^```([^\n`]*)\n(.*?)^```", re.M | re.S)


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
    """Command lines of minisnn in blocks and between backticks, with what their brackets hold left out."""
    lines = [line for language, block in BLOCK.findall(text) if not language for line in block.splitlines()]
    lines += re.findall(r"`(minisnn [a-z]+(?: [^`]+)?)`", BLOCK.sub("", text))
    for line in lines:
        for part in re.split(r" && |; ", line):
            if part.startswith("minisnn "):
                yield shlex.split(re.sub(r"\[.*?\]", "", part), comments=True)[1:]


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_every_command_is_one(page, capsys):
    for words in commands(page.read_text()):
        try:
            _parser().parse_args(words)
        except SystemExit:
            said = capsys.readouterr().err
            if len(words) > 1 or "required" not in said:  # in a text, a command may be named alone
                pytest.fail(f"minisnn {shlex.join(words)}: {said}")


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_every_link_leads_somewhere(page):
    for target in re.findall(r"\]\(([^)#: ]+)(?:#[^)]*)?\)", page.read_text()):
        assert (page.parent / target).exists(), target
