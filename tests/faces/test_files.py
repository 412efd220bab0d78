"""Files that are written in one piece: what readers find, what stays on errors, and who may read them."""

from __future__ import annotations

import os
import resource
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from programs import PROJECT

from refresh.errors import SettingsError
from refresh.faces.files import check, opened_anew, write_whole
from refresh.faces.paths import followed


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


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    """A folder in which everybody may put files."""
    folder = tmp_path / "shared"
    folder.mkdir()
    folder.chmod(0o777)
    return folder


@pytest.mark.parametrize("act", [write, lambda _, path: opened_anew(followed(path)).close()])
def test_link_in_a_shared_folder(tmp_path: Path, shared: Path, act: Callable[[str, Path], None]) -> None:
    """Anybody may have put it there: it is replaced, and what it leads to is left alone, or not made."""
    precious = tmp_path / "precious"
    precious.write_text("kept", encoding="utf-8")
    precious.chmod(0o640)
    for number, there in enumerate((precious, tmp_path / "absent", tmp_path, Path("/dev/null"))):
        target = shared / f"run{number}.json"
        target.symlink_to(there)
        act("new", target)
        assert target.is_file()
        assert not target.is_symlink()
    assert (precious.read_text(encoding="utf-8"), stat.S_IMODE(precious.stat().st_mode)) == ("kept", 0o640)
    assert names(tmp_path) == ["precious", "shared"]


def test_folder_behind_a_link_in_a_shared_folder(tmp_path: Path, shared: Path) -> None:
    """What is meant for a folder of the user's is not written where somebody else says."""
    (tmp_path / "private").mkdir()
    (shared / "mine").symlink_to(tmp_path / "private")
    with pytest.raises(SettingsError, match=r"shared/mine is a link in a folder that everybody can write to"):
        write("", shared / "mine" / "run.json")
    assert names(tmp_path / "private") == []


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o664, 0o444])
def test_mode_is_kept(tmp_path: Path, mode: int) -> None:
    """Whoever may read the old file may read the new one, and nobody else, also through a link."""
    target, link = tmp_path / "run.json", tmp_path / "link"
    link.symlink_to("run.json")
    for path in (target, link):
        write("", target)
        target.chmod(mode)
        write("new", path)
        assert stat.S_IMODE(target.stat().st_mode) == mode
        assert target.read_text(encoding="utf-8") == "new"


def test_links_in_a_circle(tmp_path: Path) -> None:
    """A link to itself is an error, not a search without end."""
    (tmp_path / "run.json").symlink_to("run.json")
    with pytest.raises(SettingsError, match="Too many levels of symbolic links"):
        write("", tmp_path / "run.json")


@pytest.mark.parametrize("name", ["missing/run.json", "file/run.json", "folder", "/proc/run.json", "/dev/null/x"])
def test_checked_before(tmp_path: Path, name: str) -> None:
    """What cannot be written is refused beforehand, in the same words, and nothing is left behind."""
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    with pytest.raises(SettingsError, match=r"^--html .*: [A-Z].*; name a file that can be written$"):
        check(str(tmp_path / name), "--html")
    assert names(tmp_path) == ["file", "folder"]


def test_check_leaves_nothing(tmp_path: Path) -> None:
    """What can be written is not touched."""
    check(str(tmp_path / "new"), "--html")
    assert names(tmp_path) == []
    for special in ("/dev/null", "/dev/stdout", f"/proc/self/fd/{os.open(os.devnull, os.O_WRONLY)}"):
        check(special, "--html")


def test_full_disk_is_found_before(tmp_path: Path) -> None:
    """A disk without room for a file is found before anything is done for it."""
    with full_disk(), pytest.raises(SettingsError, match="File too large"):
        check(str(tmp_path / "run.json"), "--json")


def test_pipe_without_a_reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for ever for somebody to read."""
    monkeypatch.setattr("refresh.faces.files.SECONDS_TO_BE_READ", 0.2)
    os.mkfifo(tmp_path / "pipe")
    check(str(tmp_path / "pipe"), "--json")
    with pytest.raises(SettingsError, match="Nobody reads the pipe"):
        write("", tmp_path / "pipe")


@pytest.mark.parametrize("name", ["/dev/stdout", "/proc/self/fd/1", "/dev/fd/1"])
@pytest.mark.parametrize("is_file", [False, True])
def test_open_file_is_written_to(tmp_path: Path, name: str, *, is_file: bool) -> None:
    """Stdout by one of its names is written to, also where it is a file: nothing in it is lost."""
    program = (
        f"from refresh.faces.files import write_whole; print('before', flush=True); write_whole('x', {name!r}, '')"
    )
    command = [sys.executable, "-c", program + "; print(' after')"]
    out = tmp_path / "out"
    if is_file:
        with out.open("wb") as file:
            subprocess.run(command, cwd=PROJECT, stdout=file, check=True)
    else:
        out.write_bytes(subprocess.run(command, cwd=PROJECT, stdout=subprocess.PIPE, check=True).stdout)
    assert out.read_text(encoding="utf-8") == "before\nx after\n"
    assert names(tmp_path) == ["out"]
