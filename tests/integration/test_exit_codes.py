"""The exit code says whose fault it is, in every command, and one line says the rest."""

import argparse
import re
import tempfile
from pathlib import Path

import pytest

from minisnn import __version__
from minisnn.commands import main as cli
from minisnn.commands.main import main

# Every command: the function that does its work, and its outputs besides that of --json.
COMMANDS = {
    "train": ("train._run", "out"),
    "sweep yin-yang --over lr=1 --out new": ("sweep._run", "out"),
    "evaluate run": ("evaluate._evaluate",),
    "export run --to npz": ("export._run",),
    "reproduce yin-yang": ("reproduce._run", "out"),
    "bench step": ("bench._run", "plot"),
    "bench grid": ("bench._run", "plot"),
    "bench scaling": ("bench._run", "plot"),
    "check port:forward": ("check.run_check", "save"),
    "vectors": ("check.run_vectors",),
    "vectors --check": ("check.run_vectors",),
    "doctor": ("doctor._doctor",),
    "recipes": ("recipes._run",),
}


@pytest.fixture(autouse=True)
def in_a_new_folder(new_folder, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(new_folder))


@pytest.fixture
def ends(monkeypatch, capsys):
    """Runs a command, in which an error may be raised; returns exit code and the single line of the message."""

    def run(command, error=None, at=None):
        if error is not None:

            def fail(*_, **__):
                raise error

            monkeypatch.setattr(at or f"minisnn.commands.{COMMANDS[command][0]}", fail)
        code, line = main(command.split() if isinstance(command, str) else command), capsys.readouterr().err
        assert line.count("\n") == 1, line
        return code, line

    return run


INTERRUPT = KeyboardInterrupt()
FAULTS = [
    KeyError("a key"), RecursionError("too deep"), AssertionError(), SystemExit(1), SystemExit("text"),
    UnicodeEncodeError("ascii", "é", 0, 1, "two\nlines"), ValueError("no InputError"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("command", "error"),
    [*((command, FAULTS[0]) for command in COMMANDS), *(("doctor", error) for error in FAULTS[1:])],
)
def test_a_fault_of_minisnn(command, error, ends, tmp_path):
    code, line = ends(command, error)
    assert code == 70
    assert f"a fault of minisnn {__version__}" in line
    assert type(error).__name__ in line
    path = Path(re.search(r"the traceback is in (\S+)\)", line)[1])
    assert path.parent == tmp_path
    assert "in fail\n    raise error" in path.read_text()


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (INTERRUPT, 130, "minisnn: interrupted"),
        (MemoryError("Unable to allocate 3 TiB"), 2, "not enough memory.*: Unable to allocate 3 TiB"),
        (
            ValueError("array is too big; `arr.size * arr.dtype.itemsize` is"),
            2,
            "not enough memory.*: array is too",
        ),
        (
            OverflowError("Python int too large to convert to C long"),
            2,
            "not enough memory, take fewer neurons",
        ),
        (OSError(28, "No space left on device", "file"), 2, "minisnn: error: file: No space left on device"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_other_ends(command, error, code, message, ends):
    came, line = ends(command, error)
    assert came == code
    assert re.search(message, line)


def test_a_traceback_that_cannot_be_written_is_printed(monkeypatch, capsys):
    monkeypatch.setattr(tempfile, "tempdir", "nowhere")
    monkeypatch.setattr("minisnn.commands.doctor._doctor", lambda args: {}["a key"])
    assert main(["doctor"]) == 70
    first, *rest = capsys.readouterr().err.splitlines()
    assert "a fault of minisnn" in first
    assert "could not be written" in first
    assert rest[-1] == "KeyError: 'a key'"


@pytest.mark.parametrize(("error", "code"), [(INTERRUPT, 130), (ZeroDivisionError(), 70)])
def test_a_fault_while_the_commands_are_imported(error, code, ends):
    assert ends("doctor", error, at="minisnn.commands.main._parser")[0] == code


def test_an_accident_of_the_checker_is_no_verdict(tmp_path, ends):
    (tmp_path / "port.py").write_text("def forward(*_): pass")
    assert ends("check port.py:forward", IndexError("inside"), at="minisnn.commands.check.check")[0] == 70


# ---- outputs ----------------------------------------------------------------------------------------

IN_FILE = "minisnn: error: file/below: Not a directory\n"


@pytest.mark.parametrize("command", COMMANDS)
def test_outputs_are_looked_at_before_the_work(command, ends, tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    wrong = {
        "none/x.json": "--json must name a file in an existing folder, got none/x.json",
        "folder": "--json must name a file, got the folder 'folder'",
        "": "--json must name a file, got",
    }
    for name in ("json", *COMMANDS[command][1:]):
        for value, message in wrong.items() if name == "json" else [("file/below", IN_FILE)]:
            code, line = ends([*command.split(), f"--{name}", value])
            assert code == 2
            assert message in line
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]


def test_an_output_replaces_nothing_that_is_kept_or_given(ends, tmp_path):
    own = "must name a file of its own"
    for name in ("run/config.json", "run/metrics.jsonl", "sweep/sweep.json", "sweep/lr-1/config.json"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("{}")
    (tmp_path / "own.npz").write_text("data")
    (tmp_path / "link").symlink_to("own.npz")
    for command, message in (
        *(
            (f"doctor --json run/{name}", "a run keeps")
            for name in ("config.json", "metrics.jsonl", "best-3.npz")
        ),
        ("recipes --json sweep/sweep.json", "a run keeps"),
        ("export own.npz --to npz", "own.npz is the network that is read: give --out"),
        ("export run --to npz --out run/checkpoint.npz", "--out must not name a file that a run keeps"),
        ("train --out new --json new/config.json", "a run keeps"),
        ("train --out new --json new", "--json must name a file, got new, which is to be a folder"),
        ("train --out new/run --json new", "which is to be a folder"),
        ("train own.npz --json own.npz", own),
        ("train own.npz --json link", own),
        ("export own.npz --to npz --out own.npz", own),
        (
            "export run --to json --json run/network.json",
            "run/network.json is the file of --json: give --out",
        ),
        ("train --json runs", "--json must name a file, got runs, which is to be a folder"),
        ("reproduce yin-yang --json reproduce", "which is to be a folder"),
        ("vectors new --json new", "which is to be a folder"),
        ("train --json runs/yin-yang-2026-01-01-1", "--json must end in .json to lie in the folder"),
        ("train --seeds 2 --out new --json new/seed-0", "must end in .json"),
        ("sweep yin-yang --over lr=1 --out new --json new/lr-1", "must end in .json"),
        ("sweep yin-yang --over lr=1 --out new --json new/results.csv", "must end in .json"),
        ("sweep yin-yang --over lr=1 --out new --json new/lr-1/x.json", "a file in an existing folder"),
        ("export own.npz --to npz --out x --json x", own),
        ("check port:forward --network own.npz --json ./own.npz", own),
    ):
        code, line = ends(command)
        assert (code, message in line) == (2, True), line
    assert (tmp_path / "own.npz").read_text() == "data"
    (tmp_path / "free").mkdir()
    for _ in range(2):  # nothing of a run is there
        assert main(["recipes", "--json", "free/config.json"]) == 0


def test_every_option_that_names_an_output_is_looked_at():
    """Whoever adds one adds it there, and here."""
    inputs = {"data_dir", "resume", "run_dir", "answers", "folder"}  # `vectors` may read or write its folder
    for parser in parsers(cli._parser()):
        for action in parser._actions:
            if action.metavar in ("FILE", "DIR", "RUN_DIR") or action.type is Path:
                assert action.dest in {*cli.FOLDERS, *cli.FILES, *inputs}, (parser.prog, action.dest)


def parsers(parser):
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for sub in action.choices.values():
                yield from parsers(sub)


def refusing(parser, command=()):
    """Every command with every option, and argument, that takes a text or a path."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, sub in action.choices.items():
                yield from refusing(sub, (*command, name))
        elif action.type in (None, str, Path) and action.nargs != 0:
            yield (*command, *action.option_strings[-1:])


@pytest.mark.parametrize("word", ["a\0b", "a\ud800b"])
def test_a_name_that_the_system_cannot_take_is_refused(ends, word):
    for command in refusing(cli._parser()):
        code, line = ends([*command, word])
        assert (
            code,
            "an argument must be a path, without characters that no name can have, got 'a" in line,
        ) == (2, True), command


LOAD = "minisnn.training.experiment.load_dataset"


@pytest.mark.parametrize(
    ("command", "file", "work", "message"),
    [
        ("vectors file/below", "file", "minisnn.oracle.vectors.generate", IN_FILE),
        ("train", "runs", LOAD, ": Not a directory\n"),
        ("reproduce yin-yang", "reproduce", LOAD, ": Not a directory\n"),
        ("train --out run", "run/x", LOAD,
         "run exists already: give --out a new folder, or --resume run to go on"),
    ],
)  # fmt: skip
def test_a_folder_that_is_in_use_is_known_before_the_work(command, file, work, message, ends, tmp_path):
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_text("")
    code, line = ends(command, INTERRUPT, at=work)
    assert code == 2
    assert message in line


def test_the_result_may_lie_in_the_run_folder(tmp_path):
    options = "--train-samples 50 --test-samples 20 --epochs 1 --n-steps 10 --hidden 5 --quiet --out new/run"
    assert main(["train", *options.split(), "--json", "new/run/result.json"]) == 0
    assert (tmp_path / "new" / "run" / "result.json").exists()
