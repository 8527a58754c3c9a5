"""Options come from signatures and docstrings: none without help, and what is given reaches the parameter."""

import argparse
import subprocess
import sys

import pytest

from minisnn import NetworkConfig, TrainingConfig, load_dataset
from minisnn.commands.options import add_options, given


def sample(
    n: int,
    name: str = "a",
    share: float | None = None,
    many: tuple[float, ...] = (),
    on: bool = True,
    off: bool = False,
):
    """Do nothing.

    Parameters
    ----------
    n : int
        How many,
        in 100 % of `cases`.
    name, share : {"a", "b"}
        Two in one.
    many : tuple of float
        Many.
    on, off : bool
        Switches.

    Returns
    -------
    None
    """


def parse(*arguments):
    parser = argparse.ArgumentParser()
    add_options(parser, sample, leave_out=())
    return parser, given(parser.parse_args(arguments), sample)


def test_types_and_defaults():
    assert parse()[1] == {}
    arguments = ["--n", "3", "--name", "c", "--share", "0.5", "--many", "1", "2", "--no-on", "--off"]
    expected = {"n": 3, "name": "c", "share": 0.5, "many": [1.0, 2.0], "on": False, "off": True}
    assert parse(*arguments)[1] == expected
    assert given(argparse.Namespace(n=3, other=4), sample) == {"n": 3}
    assert given(argparse.Namespace(n=3), sample, leave_out=["n"]) == {}


def test_help_is_the_docstrings_own_line():
    text = " ".join(parse()[0].format_help().split())
    for line in ("--n N How many, in 100 % of cases", "--name {a,b} Two in one", "--many [MANY ...] Many"):
        assert line in text


@pytest.mark.parametrize("source", [NetworkConfig, TrainingConfig, load_dataset])
def test_no_option_is_without_help(source):
    parser = argparse.ArgumentParser(add_help=False)
    add_options(parser, source, leave_out=())
    assert all(action.help for action in parser._actions)


def test_without_docstrings():
    """As Python leaves them out with -OO."""
    done = subprocess.run(
        [sys.executable, "-OO", "-m", "minisnn", "train", "--epochs", "0"], capture_output=True, text=True
    )
    assert done.returncode == 2
    assert done.stderr == "minisnn: error: epochs must be a whole number >= 1, got 0\n"
