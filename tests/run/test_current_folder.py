"""What a program starts never imports or runs what lies in the current folder."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from programs import PROJECT
from run.processes import context
from sqlalchemy import Engine
from waiting import eventually

from refresh.errors import CannotStartError
from refresh.run.forking import Forks
from refresh.run.process import Ends, NewPythons, Way
from refresh.server import programs
from refresh.server.psql import find_psql

WAYS = (Forks, NewPythons) if sys.platform == "linux" else (NewPythons,)
NAMES = ("refresh", "json", "numpy", "sqlalchemy", "psycopg2", "sitecustomize", "usercustomize")


@pytest.fixture
def hostile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with modules that leave a trace when they are imported."""
    for name in NAMES:
        (tmp_path / f"{name}.py").write_text(f"open({str(tmp_path / 'imported')!r}, 'a').write('{name} ')\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def build(way: Way) -> int | None:
    """Run a builder to its end. Returns its exit code."""
    ours, theirs = socket.socketpair()
    with ours, theirs, Path(os.devnull).open("wb") as output:
        process = way.start(["bars.1d", "--run-id", "r"], Ends(channel=theirs.fileno(), output=output.fileno()))
        assert eventually(lambda: not process.is_running)
        code = process.exit_code()
        process.close()
        return code


@pytest.mark.parametrize("kind", WAYS)
@pytest.mark.parametrize("paths", ["", ":", ".", "./:{other}:."])
def test_builders_import_nothing_from_there(
    engine: Engine, hostile: Path, tmp_path_factory: pytest.TempPathFactory, kind: type[Way], paths: str
) -> None:
    """Neither a new Python nor the warm process does, whatever relative folders ``PYTHONPATH`` names."""
    other = tmp_path_factory.mktemp("other")
    environ = context(engine, environ={"PYTHONPATH": paths.format(other=other)}).environ
    with closing(kind(environ)) as way:  # type: ignore[call-arg]
        assert build(way) == 0
    assert not (hostile / "imported").exists()


def test_program_imports_nothing_from_there(hostile: Path) -> None:
    """A program of the checkout that is started by its path takes neither modules nor settings from there."""
    (hostile / ".env").write_text("TARGET_DB_URL=postgresql://127.0.0.1:1/strange\n")
    (hostile / ".env").chmod(0o600)
    environ = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "REFRESH_CONFIG": os.devnull}
    command = [sys.executable, str(PROJECT / "run_daily_refresh.py"), "--all", "--show-settings"]
    shown = subprocess.run(command, env=environ, capture_output=True, text=True, check=True, timeout=60)
    assert "strange" not in shown.stdout + shown.stderr
    assert not (hostile / "imported").exists()


def test_folders_that_are_named_in_full_count(engine: Engine, tmp_path: Path) -> None:
    """A module that ``PYTHONPATH`` names by an absolute path is still found."""
    (tmp_path / "sitecustomize.py").write_text(f"open({str(tmp_path / 'imported')!r}, 'a').close()\n")
    environ = context(engine, environ={"PYTHONPATH": f":{tmp_path}"}).environ
    with closing(NewPythons(environ)) as way:
        assert build(way) == 0
    assert (tmp_path / "imported").exists()


@pytest.mark.parametrize("paths", ["", ":", ".", "bin", ".:"])
def test_programs_are_not_run_from_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, paths: str) -> None:
    """A relative or empty entry of ``PATH`` finds neither psql nor a server."""
    for folder in (tmp_path, tmp_path / "bin"):
        folder.mkdir(exist_ok=True)
        for name in ("psql", "initdb", "postgres", "pg_ctl"):
            (folder / name).write_text("#!/bin/sh\n")
            (folder / name).chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(programs, "_PACKAGE", "no_such_package")
    with pytest.raises(CannotStartError, match="no psql found"):
        find_psql({"PATH": paths}, is_embedded=False)
    with pytest.raises(CannotStartError, match="no PostgreSQL found"):
        programs.binaries({"PATH": paths})
