"""The exit code says whose fault it is, in every command, and one line says the rest."""

import argparse
import re
import tempfile
from pathlib import Path

import pytest

from minisnn import __version__
from minisnn.commands import main as cli
from minisnn.commands.main import main

RUNS = {
    "train": "minisnn.commands.train._run",
    "evaluate run": "minisnn.commands.evaluate._evaluate",
    "reproduce yin-yang": "minisnn.commands.reproduce._run",
    "bench step": "minisnn.commands.bench._run",
    "check port:forward": "minisnn.commands.check.run_check",
    "vectors --check": "minisnn.commands.check.run_vectors",
    "doctor": "minisnn.commands.evaluate._doctor",
}


@pytest.fixture(autouse=True)
def in_a_new_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


def ends_with(error, monkeypatch, command):
    """Exit code of a command in which `error` is raised."""

    def fail(args):
        raise error

    monkeypatch.setattr(RUNS[command], fail)
    return main(command.split())


@pytest.mark.parametrize("command", RUNS)
@pytest.mark.parametrize(
    "error",
    [
        KeyError("a key"), RecursionError("too deep"), AssertionError(), SystemExit(1), SystemExit("text"),
        UnicodeEncodeError("ascii", "é", 0, 1, "two\nlines"),
    ],
    ids=lambda error: type(error).__name__,
)  # fmt: skip
def test_a_fault_of_minisnn(command, error, monkeypatch, capsys, tmp_path):
    assert ends_with(error, monkeypatch, command) == 70
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    assert f"a fault of minisnn {__version__}" in line
    assert type(error).__name__ in line
    path = Path(re.search(r"the traceback is in (\S+)\)", line)[1])
    assert path.parent == tmp_path
    assert "in fail\n    raise error" in path.read_text()


@pytest.mark.parametrize("command", RUNS)
@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (KeyboardInterrupt(), 130, "minisnn: interrupted"),
        (MemoryError("Unable to allocate 3 TiB"), 2, "not enough memory.*: Unable to allocate 3 TiB"),
        (OSError(28, "No space left on device", "file"), 2, "minisnn: error: file: No space left on device"),
        (ValueError("no InputError"), 70, "fault of minisnn"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_other_ends(command, error, code, message, monkeypatch, capsys):
    assert ends_with(error, monkeypatch, command) == code
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    assert re.search(message, line)


def test_a_traceback_that_cannot_be_written_is_printed(monkeypatch, capsys):
    monkeypatch.setattr(tempfile, "tempdir", "nowhere")
    assert ends_with(KeyError("a key"), monkeypatch, "doctor") == 70
    first, *rest = capsys.readouterr().err.splitlines()
    assert "a fault of minisnn" in first
    assert "could not be written" in first
    assert rest[-1] == "KeyError: 'a key'"


def test_a_fault_while_the_commands_are_imported(monkeypatch, capsys):
    for error, code in ((KeyboardInterrupt, 130), (ZeroDivisionError, 70)):
        monkeypatch.setattr(
            cli, "_parser", lambda error=error: 1 / 0 if error is ZeroDivisionError else interrupt()
        )
        assert main(["doctor"]) == code
        assert capsys.readouterr().err.count("\n") == 1


def interrupt():
    raise KeyboardInterrupt


PORT = """
def forward(spikes, weight, bias, decay, threshold):
    import minisnn
    trace = minisnn.single_spike_forward(spikes, weight, bias, decay, threshold=threshold)
    return trace.spikes, trace.membrane
"""


def test_an_accident_of_the_checker_is_no_verdict(tmp_path, monkeypatch):
    (tmp_path / "port.py").write_text(PORT)

    def fail(*_, **__):
        raise IndexError("inside the checker")

    monkeypatch.setattr("minisnn.commands.check.check", fail)
    assert main(["check", "port.py:forward"]) == 70


OUTPUTS = {
    "train": ("json", "out"),
    "evaluate run": ("json",),
    "reproduce yin-yang": ("json", "out"),
    "bench step": ("json", "plot"),
    "bench grid": ("json", "plot"),
    "bench scaling": ("json", "plot"),
    "check port:forward": ("json", "save"),
    "vectors": ("json",),
    "vectors --check": ("json",),
    "doctor": ("json",),
}
IN_FILE, NO_FOLDER = "file/below: Not a directory", "must name a file in an existing folder, got none/x.json"


@pytest.mark.parametrize("command", OUTPUTS)
def test_outputs_are_looked_at_before_the_work(command, monkeypatch, capsys, tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    for name in OUTPUTS[command]:
        wrong = {
            "none/x.json": f"--json {NO_FOLDER}",
            "folder": "--json must name a file, got the folder 'folder'",
            "": "--json must name a file, got",
        }
        for value, message in wrong.items() if name == "json" else [("file/below", IN_FILE)]:
            assert main([*command.split(), f"--{name}", value]) == 2
            error = capsys.readouterr().err
            assert message in error
            assert error.count("\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]


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


def test_the_folder_of_the_vectors_is_looked_at(capsys, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setattr("minisnn.oracle.vectors.generate", interrupt)
    assert main(["vectors", "file/below"]) == 2
    assert IN_FILE in capsys.readouterr().err


@pytest.mark.parametrize("command", ["train", "reproduce yin-yang"])
def test_the_folder_of_runs_is_looked_at(command, capsys, tmp_path, monkeypatch):
    monkeypatch.setattr("minisnn.training.experiment.load_dataset", interrupt)
    (tmp_path / command.split()[0].replace("train", "runs")).write_text("")
    assert main(command.split()) == 2
    assert capsys.readouterr().err.endswith(": Not a directory\n")


def test_a_folder_that_is_in_use_is_known_before_the_data_are_loaded(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr("minisnn.training.experiment.load_dataset", interrupt)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "x").write_text("")
    assert main(["train", "--out", "run"]) == 2
    assert "run exists already: give --out a new folder" in capsys.readouterr().err


def test_the_result_may_lie_in_the_run_folder(tmp_path):
    options = "--train-samples 50 --test-samples 20 --epochs 1 --n-steps 10 --hidden 5 --quiet --out new/run"
    assert main(["train", *options.split(), "--json", "new/run/result.json"]) == 0
    assert (tmp_path / "new" / "run" / "result.json").exists()
