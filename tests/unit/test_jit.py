"""Compiled code is kept on disk if that works, and compiled anew if it does not."""

import errno
import os
import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("numba")
from minisnn.solvers.compiled import jit

pytestmark = pytest.mark.skipif(
    os.environ.get("NUMBA_DISABLE_JIT", "0") != "0", reason="compilation is switched off"
)


def doubled(x):
    return 2 * x


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A cache of its own."""
    monkeypatch.setattr("numba.core.config.CACHE_DIR", str(tmp_path))
    return tmp_path


def from_cache():
    """Compile or load, and call: whether it was loaded. Each call stands for a new process."""
    compiled = jit.kernel(doubled)
    assert compiled(4) == 8
    return bool(compiled.stats.cache_hits)


def files(folder, kind):
    return sorted(folder.rglob(f"*.{kind}"))


def flip(share, content):
    changed = bytearray(content)
    changed[int(share * (len(content) - 1))] ^= 1
    return bytes(changed)


DAMAGES = {
    "empty": lambda content: b"",
    "its last byte missing": lambda content: content[:-1],
    "text": lambda content: b"not what it was\n" * 9,
    "a hole": lambda content: content[:400] + bytes(len(content) - 400),
    "a pickle of something else": lambda content: b"\x80\x04N.",
    **{f"a bit at {share}": partial(flip, share) for share in (0.3, 0.9)},
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("kind", ["nbi", "nbc"])
def test_a_damaged_file_is_made_anew(folder, kind, damage):
    assert [from_cache(), from_cache()] == [False, True]
    (path,) = files(folder, kind)
    whole = path.read_bytes()
    path.write_bytes(DAMAGES[damage](whole))
    if not from_cache():  # a bit of the index may name an entry that is not there, and nothing is damaged
        assert from_cache()
    else:
        assert kind == "nbi"


def test_a_missing_or_foreign_entry_is_made_anew(folder):
    assert not from_cache()
    for replace in (Path.unlink, lambda path: (path.unlink(), path.mkdir())):
        for kind in ("nbc", "nbi"):
            replace(files(folder, kind)[0])
            assert not from_cache(), (replace, kind)
            for path in folder.rglob("*"):  # what is no file cannot be replaced: it is done without
                if path.is_dir() and path.suffix:
                    path.rmdir()
            from_cache()
            assert from_cache()


def test_a_full_disk_is_done_without(folder, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("os.replace", full)
    assert not from_cache()
    assert files(folder, "nb?") == []


def test_whether_it_is_kept(folder, monkeypatch):
    compiled = jit.kernel(doubled)
    assert not jit.is_kept(compiled)
    compiled(4)
    assert jit.is_kept(jit.kernel(doubled))
    monkeypatch.setattr("numba.core.codegen.CPUCodegen.magic_tuple", lambda self: "another processor")
    assert not jit.is_kept(compiled)
    monkeypatch.undo()
    monkeypatch.setattr("numba.core.config.CACHE_DIR", str(folder))
    monkeypatch.setattr(jit, "_STAMP", "other sources")
    assert not jit.is_kept(jit.kernel(doubled))
    assert not jit.is_kept(doubled)  # as without compilation


def test_no_place_is_done_without(monkeypatch):
    monkeypatch.setattr(jit._Entry, "_locator_classes", [])
    assert not from_cache()
    assert jit.cache_folder() is None


def test_the_folder_is_the_one_that_is_used(folder):
    from_cache()
    assert jit.cache_folder().startswith(str(folder))


def test_an_entry_is_valid_for_these_sources_only(folder, monkeypatch):
    assert [from_cache(), from_cache()] == [False, True]
    monkeypatch.setattr(jit, "_STAMP", "other sources")
    assert [from_cache(), from_cache()] == [False, True]
    assert np.array_equal(jit.kernel(doubled)(np.arange(3)), [0, 2, 4])


def test_a_change_in_any_solver_file_is_another_stamp(tmp_path, monkeypatch):
    """An entry contains all that its function calls, in whatever file that stands."""
    shutil.copytree(Path(jit.__file__).parents[1], tmp_path / "solvers")
    monkeypatch.setattr(jit, "__file__", str(tmp_path / "solvers" / "compiled" / "jit.py"))
    assert jit._source_stamp() == jit._STAMP
    with open(tmp_path / "solvers" / "compiled" / "lanes.py", "a") as file:
        file.write("\n")
    assert jit._source_stamp() != jit._STAMP
