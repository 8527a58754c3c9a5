"""Golden files keep their bytes on every system: they are compared byte by byte."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
GOLDEN = Path("minisnn/oracle/golden")


@pytest.fixture
def git(tmp_path):
    if shutil.which("git") is None:
        pytest.skip("needs git")
    return lambda *arguments, at=tmp_path: subprocess.run(
        ["git", "-C", at, "-c", "user.name=n", "-c", "user.email=n@n", *arguments],
        check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip


def test_a_clone_that_rewrites_line_ends_leaves_them(git, tmp_path):
    """As Git for Windows does by default."""
    source = tmp_path / "source"
    shutil.copytree(ROOT / GOLDEN, source / GOLDEN)
    shutil.copy(ROOT / ".gitattributes", source)
    (source / "other.json").write_text("{\n}\n")
    git("init", "-q", at=source)
    git("add", ".", at=source)
    git("commit", "-q", "-m", "all", at=source)
    git("-c", "core.autocrlf=true", "clone", "-q", str(source), "clone")
    assert b"\r\n" in (tmp_path / "clone" / "other.json").read_bytes()  # so that the test can fail
    for path in (ROOT / GOLDEN).rglob("*.*"):
        clone = tmp_path / "clone" / path.relative_to(ROOT)
        assert clone.read_bytes() == path.read_bytes(), clone
