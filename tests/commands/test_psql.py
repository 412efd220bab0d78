"""A session of psql on the database that a refresh would use."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from other_users import public_folder
from programs import PROJECT, run
from sqlalchemy import create_engine, make_url
from sqlalchemy.pool import NullPool
from waiting import PATIENCE, eventually

from refresh.server.programs import binaries

MODULE = "-m refresh.commands.psql"
QUIET = ("--no-psqlrc", "--quiet", "--tuples-only", "--no-align")
PASSWORD = "s3cret-of-the-user"  # noqa: S105 - the server trusts everybody; it must not be shown
UNREACHABLE = f"postgresql://me:{PASSWORD}@127.0.0.1:1/prices"
SLEEP = "SELECT pg_sleep(60)"
needs_proc = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="no /proc to see other processes in")


@pytest.fixture
def data() -> Iterator[Path]:
    """A folder for the embedded server, which root's server can access."""
    with public_folder() as folder:
        yield folder


@contextmanager
def sleeping(url: str, **environ: str) -> Iterator[subprocess.Popen[str]]:
    """A session whose statement is running, in a process group as a terminal would start it."""
    command = [sys.executable, *MODULE.split(), *QUIET, "--command", SLEEP]
    environ = {"PATH": os.environ["PATH"], "TARGET_DB_URL": url, **environ}
    with subprocess.Popen(
        command, cwd=PROJECT, env=environ, stderr=subprocess.PIPE, text=True, process_group=0
    ) as process:
        yield process
        process.kill()


def is_asleep(url: str) -> bool:
    """Whether the statement of the session is running."""
    query = f"SELECT count(*) FROM pg_stat_activity WHERE query = '{SLEEP}' AND state = 'active'"
    with create_engine(make_url(url).set(drivername="postgresql+psycopg2"), poolclass=NullPool).connect() as connection:
        return bool(connection.exec_driver_sql(query).scalar())


def children(pid: int) -> dict[int, str]:
    """The command lines of the children of a process, by their ids."""
    commands: dict[int, str] = {}
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        with suppress(FileNotFoundError):
            commands[int(child)] = Path(f"/proc/{child}/cmdline").read_text()
    return commands


def psql_of(process: subprocess.Popen[str], data: Path) -> int | None:
    """The process of psql, once the embedded server executes its statement."""
    for pid_file in data.glob("*/postmaster.pid"):
        first_line, *_ = pid_file.read_text().splitlines() or [""]
        if not first_line.isdecimal():  # the server is still being initialised
            return None
        if any(title.rstrip("\0").endswith(" SELECT") for title in children(int(first_line)).values()):
            return next((child for child, command in children(process.pid).items() if SLEEP in command), None)
    return None


def script(folder: Path, text: str) -> Mapping[str, str]:
    """An environment in which psql is a shell script."""
    program = folder / "psql"
    program.write_text(f"#!/bin/sh\n{text}\n")
    program.chmod(0o755)
    return {"PATH": f"{folder}:{os.environ['PATH']}"}


def test_session_on_the_users_database(database_url: str) -> None:
    """The arguments reach psql, which is connected to the database of ``TARGET_DB_URL``."""
    result = run(MODULE, *QUIET, "--command", "SELECT current_database()", "--command", "SELECT 42", url=database_url)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.split() == [make_url(database_url).database, "42"]


def test_session_on_the_database_of_the_settings_file(database_url: str, tmp_path: Path) -> None:
    """``TARGET_DB_URL`` may be in the user's file of settings."""
    (tmp_path / "daily-refresh").mkdir()
    (tmp_path / "daily-refresh" / ".env").write_text(f"TARGET_DB_URL={database_url}\n")
    command = [sys.executable, *MODULE.split(), *QUIET, "--command", "SELECT current_database()"]
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": str(PROJECT), "XDG_CONFIG_HOME": str(tmp_path)}
    result = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == make_url(database_url).database


@needs_proc
@pytest.mark.parametrize("is_parameter", [False, True])
def test_password_is_passed_in_the_environment(database_url: str, is_parameter: bool) -> None:
    """The command line of psql does not contain the password, in whichever part of the URL it is."""
    url = make_url(database_url)
    url = url.update_query_dict({"password": PASSWORD}) if is_parameter else url.set(password=PASSWORD)
    show = r'\! tr "\0" " " </proc/$PPID/cmdline; echo; echo "$PGPASSWORD"'
    result = run(MODULE, *QUIET, "--command", show, url=url.render_as_string(hide_password=False))
    arguments, password = result.stdout.splitlines()
    assert f"dbname={url.database}" in arguments
    assert PASSWORD not in arguments
    assert password == PASSWORD


def test_parameters_of_the_url_reach_psql(database_url: str) -> None:
    """The session has the connection parameters of the URL."""
    url = make_url(database_url).update_query_dict({"application_name": "look", "connect_timeout": "5"})
    arguments = ("--command", "SHOW application_name")
    result = run(MODULE, *QUIET, *arguments, url=url.render_as_string(hide_password=False))
    assert result.stdout.strip() == "look"


def test_exit_code_is_that_of_psql(database_url: str, tmp_path: Path) -> None:
    """A failed command and a failed script end with the exit codes of psql."""
    failing = tmp_path / "failing.sql"
    failing.write_text("SELEC;\n")
    assert run(MODULE, *QUIET, "--command", "SELEC", url=database_url).returncode == 1
    arguments = ("--set", "ON_ERROR_STOP=1", "--file", str(failing))
    assert run(MODULE, *QUIET, *arguments, url=database_url).returncode == 3


@pytest.mark.parametrize(("text", "code"), [("exit 2", 2), ("exit 3", 3), ("kill -TERM $$", 143)])
def test_exit_code_of_any_end(database_url: str, tmp_path: Path, text: str, code: int) -> None:
    """The exit code is the one that a shell reports for psql."""
    assert run(MODULE, url=database_url, **script(tmp_path, text)).returncode == code


def test_users_psql_comes_first(database_url: str, tmp_path: Path) -> None:
    """On the user's database, the psql on ``PATH`` is used, not the one of the package."""
    assert run(MODULE, url=database_url, **script(tmp_path, "echo mine")).stdout == "mine\n"


def test_session_on_the_embedded_server(data: Path, tmp_path: Path) -> None:
    """Without ``TARGET_DB_URL``, the embedded server runs for the length of the session, with its own psql."""
    environ = {"REFRESH_DATA_DIR": str(data), **script(tmp_path, "echo wrong")}
    query = "SELECT current_database() || ' of ' || current_user || ' by ' || split_part(version(), ' ', 1)"
    result = run(MODULE, *QUIET, "--command", query, "--command", "CREATE TABLE kept ()", url="", **environ)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout == "refresh of postgres by PostgreSQL\n"
    assert not list(data.glob("*/postmaster.pid"))
    assert run(MODULE, *QUIET, "--command", "SELECT FROM kept", url="", **environ).returncode == 0


def test_missing_psql(database_url: str, tmp_path: Path) -> None:
    """Without psql, one line says where it was searched, and the exit code is 3."""
    for name in ("initdb", "postgres", "pg_ctl"):
        (tmp_path / name).symlink_to(binaries({}) / name)
    result = run(MODULE, url=database_url, PATH=str(tmp_path), PG_BIN_DIR=str(tmp_path))
    assert (result.returncode, result.stdout) == (3, "")
    assert re.fullmatch(r"error: no psql found: .*; install a PostgreSQL client\n", result.stderr)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        (UNREACHABLE, r"error: cannot connect to .*\n"),
        (
            "mysql://me@localhost/prices",
            "error: the database URL cannot be read: it does not begin with postgresql://.*\n",
        ),
        (f"postgresql://me:{PASSWORD}@localhost/prices?odd=1", "error: .*no such parameter as number 1 after.*\n"),
    ],
)
def test_database_that_cannot_be_opened(url: str, message: str) -> None:
    """One line says why, without the password, and the exit code is 3."""
    result = run(MODULE, url=url)
    assert (result.returncode, result.stdout) == (3, "")
    assert re.fullmatch(message, result.stderr)
    assert PASSWORD not in result.stderr


def test_unusable_data_directory(tmp_path: Path) -> None:
    """An embedded server that cannot start is an error of one line, with exit code 3."""
    (tmp_path / "file").touch()
    result = run(MODULE, url="", REFRESH_DATA_DIR=str(tmp_path / "file" / "data"))
    assert (result.returncode, result.stdout) == (3, "")
    assert re.fullmatch(r"error: the data directory .* cannot be used .*\n", result.stderr)


def test_interrupt_cancels_the_statement(database_url: str) -> None:
    """Ctrl-C, which a terminal sends to every process of the session, cancels the statement of psql."""
    with sleeping(database_url) as process:
        assert eventually(lambda: is_asleep(database_url))
        os.killpg(process.pid, signal.SIGINT)
        _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    assert "canceling statement due to user request" in errors
    assert "Traceback" not in errors


@needs_proc
def test_termination_ends_psql_and_the_server(data: Path) -> None:
    """SIGTERM ends psql first, then the embedded server, with the exit code of a terminated program."""
    with sleeping("", REFRESH_DATA_DIR=str(data)) as process:
        assert eventually(lambda: psql_of(process, data))
        child = psql_of(process, data)
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=PATIENCE)
    assert (process.returncode, errors) == (143, "")
    assert not Path(f"/proc/{child}").exists()
    assert not list(data.glob("*/postmaster.pid"))
