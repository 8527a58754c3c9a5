"""Standard output and error that are absent, closed, full, or cannot show a character stop nothing."""

import io
import sys

import pytest

from minisnn.streams import can_say, lasting_streams, say


class Full(io.StringIO):
    def write(self, text):
        raise OSError(28, "No space left on device")


CLOSED = io.StringIO()
CLOSED.close()


@pytest.mark.parametrize("stream", [None, CLOSED, Full()])
def test_what_cannot_be_said_is_not(monkeypatch, stream):
    out = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setattr(sys, "stdout", out)
    say("text")
    assert out.getvalue() == ""  # print(file=None) would have meant standard output
    assert can_say() == isinstance(stream, Full)


@pytest.mark.parametrize("stream", [None, CLOSED])
def test_absent_streams_lead_nowhere(monkeypatch, stream):
    monkeypatch.setattr(sys, "stdout", stream)
    monkeypatch.setattr(sys, "stderr", stream)
    before = sys.stdout, sys.stderr
    with lasting_streams() as output:
        print("text", flush=True)
        print("text", file=sys.stderr)
        assert output.fault is None
        assert not sys.stderr.isatty()
    assert (sys.stdout, sys.stderr) == before


def test_the_first_fault_is_kept(monkeypatch):
    monkeypatch.setattr(sys, "stdout", Full())
    with lasting_streams() as output:
        print("text")
        print("more", flush=True)
    assert output.fault.errno == 28


def test_characters_that_cannot_be_shown_are_escaped(monkeypatch):
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
    with lasting_streams():
        print("é \udcff")
    assert raw.getvalue() == b"\\xe9 \\udcff\n"
    assert sys.stdout.errors == "strict"
