"""Files that are written in one piece: what readers find, what stays on errors, and who may read them."""

from __future__ import annotations

import os
import resource
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from refresh.errors import SettingsError
from refresh.faces.files import write_whole


@contextmanager
def full_disk() -> Iterator[None]:
    """A disk with room for ten bytes a file."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def names(folder: Path) -> list[str]:
    """The names in a folder."""
    return sorted(path.name for path in folder.iterdir())


def write(text: str, target: Path) -> None:
    """Write a file that the option ``--json`` names."""
    write_whole(text, str(target), "--json")


def test_written(tmp_path: Path) -> None:
    """A file replaces the one before it and leaves nothing beside it."""
    target = tmp_path / "run.json"
    for text in ("first", "Größe"):
        write(text, target)
    assert target.read_text(encoding="utf-8") == "Größe"
    assert names(tmp_path) == ["run.json"]


def test_readers_keep_the_old_file(tmp_path: Path) -> None:
    """Readers that opened the old file read it to its end."""
    target = tmp_path / "run.json"
    write("first", target)
    with target.open(encoding="utf-8") as reader:
        write("second", target)
        assert reader.read() == "first"


def test_full_disk_keeps_the_old_file(tmp_path: Path) -> None:
    """A file that cannot be written in full is not written at all, and leaves nothing behind."""
    target = tmp_path / "run.json"
    write("first", target)
    with full_disk(), pytest.raises(SettingsError, match=f"--json {target}: .*; name a file that can be written"):
        write("x" * 1000, target)
    assert target.read_text(encoding="utf-8") == "first"
    assert names(tmp_path) == ["run.json"]


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o027, 0o640), (0o077, 0o600), (0o002, 0o664)])
def test_mode(tmp_path: Path, mask: int, mode: int) -> None:
    """The user's umask decides who may read the file, and is unchanged afterwards."""
    target = tmp_path / "run.json"
    before = os.umask(mask)
    try:
        write("", target)
    finally:
        assert os.umask(before) == mask
    assert stat.S_IMODE(target.stat().st_mode) == mode


def test_path_in_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bare name is a file in the current folder."""
    monkeypatch.chdir(tmp_path)
    write_whole("", "run.json", "--json")
    assert names(tmp_path) == ["run.json"]


@pytest.mark.parametrize("name", ["missing/run.json", "file/run.json", "folder"])
def test_unwritable_file(tmp_path: Path, name: str) -> None:
    """The error about a file that cannot be written names the option, and nothing is left behind."""
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    target = tmp_path / name
    with pytest.raises(SettingsError, match=f"^--json {target}: [A-Z].*; name a file that can be written$"):
        write("", target)
    assert names(tmp_path) == ["file", "folder"]
    assert names(tmp_path / "folder") == []


def test_what_is_no_file_is_written_to(tmp_path: Path) -> None:
    """The target of a link is written and the link stays."""
    target = tmp_path / "run.json"
    target.symlink_to(tmp_path / "there.json")
    write("first", target)
    assert target.is_symlink()
    assert (tmp_path / "there.json").read_text(encoding="utf-8") == "first"


def test_pipe_is_written_to(tmp_path: Path) -> None:
    """A pipe is not replaced by a file."""
    target = tmp_path / "pipe"
    os.mkfifo(target)
    reader = os.open(target, os.O_RDONLY | os.O_NONBLOCK)
    try:
        write("first", target)
        assert os.read(reader, 100) == b"first"
    finally:
        os.close(reader)
    assert target.is_fifo()
