"""The server of the cluster: started for its first user, stopped after its last one.

Each user holds a shared lock on the users file. A process that starts or stops the server holds the startup lock. The
kernel releases both when the process ends, so a killed user leaves at most a running server, which the next user
takes over and the last one stops. No process is ever signalled by a pid from a file: only a listening socket proves
that a server runs. What the server stores, this module does not know.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import psycopg2
from psycopg2.errors import DuplicateDatabase, UniqueViolation
from sqlalchemy import URL

from refresh.errors import EmbeddedServerError
from refresh.server.cluster import PORT, Cluster, listens, open_cluster, startup_lock
from refresh.server.programs import open_private

_DATABASE = "refresh"
_SECONDS_TO_RESPOND = 600  # a server that crashed replays its log first
_SECONDS_TO_LISTEN = 2  # a server opens its socket milliseconds after it writes its pid file


@dataclass(frozen=True, kw_only=True, slots=True)
class EmbeddedServer:
    """A running server. ``created``: this lease created the cluster or the database, so it is empty."""

    url: str
    directory: Path
    created: bool


@contextmanager
def lease(environ: Mapping[str, str]) -> Iterator[EmbeddedServer]:
    """Keep the server running for the length of the block: started if it is not running, stopped by its last user.

    Programs started within the block hold no lease; a fork without exec shares its parent's.
    Raises ``EmbeddedServerError``.
    """
    cluster = open_cluster(environ)
    with open_private(cluster.users_file) as users:
        try:
            with startup_lock(cluster.directory):
                fcntl.flock(users, fcntl.LOCK_SH)
                server = _serve(cluster)
            yield server
        finally:
            with startup_lock(cluster.directory):
                _stop_if_unused(cluster, users)


def _serve(cluster: Cluster) -> EmbeddedServer:
    cluster.remove_unfinished()
    is_new_cluster = not cluster.is_initialised
    if is_new_cluster:
        cluster.initialise()
    sockets = _find_running(cluster) or _start(cluster)
    is_new_database = _ensure_database(sockets)
    query = {"host": str(sockets)}
    url = URL.create("postgresql+psycopg2", "postgres", port=PORT, database=_DATABASE, query=query)
    return EmbeddedServer(
        url=url.render_as_string(hide_password=False),
        directory=cluster.directory,
        created=is_new_cluster or is_new_database,
    )


def _start(cluster: Cluster) -> Path:
    """Start the server and return the folder of its socket."""
    sockets = cluster.socket_folder()
    settings = {
        "listen_addresses": "''",
        "unix_socket_directories": sockets,
        "unix_socket_permissions": "0700",
        "autovacuum_naptime": "5s",  # by default autovacuum would not start within a lease of a few seconds
    }
    options = [f"-p {PORT}", *(f"-c {name}={value}" for name, value in settings.items())]
    cluster.run("pg_ctl", "start", "-s", "-w", "-t", str(_SECONDS_TO_RESPOND), "-o", " ".join(options))
    return sockets


def _stop_if_unused(cluster: Cluster, users: IO[bytes]) -> None:
    """Stop the server unless it has other users. If it does not stop, the next user takes it over."""
    try:
        fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return
    _, sockets = cluster.read_pid_file()
    if not sockets or not listens(sockets):
        return
    with suppress(EmbeddedServerError, OSError):
        cluster.run("pg_ctl", "stop", "-s", "-w", "-m", "fast")
        if sockets != cluster.directory:
            sockets.rmdir()


def _find_running(cluster: Cluster) -> Path | None:
    """The socket folder of the running server, once it accepts connections. Without one, removes a stale pid file."""
    respond_by = time.monotonic() + _SECONDS_TO_RESPOND
    listen_by = time.monotonic() + _SECONDS_TO_LISTEN
    while cluster.pid_file.exists():
        pid, sockets = cluster.read_pid_file()
        if sockets and listens(sockets):
            if _accepts_connections(sockets):
                return sockets
            if time.monotonic() > respond_by:
                raise EmbeddedServerError(f"the server in {cluster.directory} does not respond: stop its process {pid}")
            listen_by = time.monotonic() + _SECONDS_TO_LISTEN
        elif not _process_exists(pid) or time.monotonic() > listen_by:
            # PostgreSQL takes any living process with this pid for a server. If it is one, its shared memory,
            # which is found by the data directory, still prevents a second server.
            cluster.pid_file.unlink(missing_ok=True)
        time.sleep(0.02)
    return None


def _process_exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return pid != 0


def _connect(sockets: Path) -> psycopg2.extensions.connection:
    return psycopg2.connect(host=str(sockets), port=PORT, user="postgres", dbname="postgres", connect_timeout=10)


def _accepts_connections(sockets: Path) -> bool:
    """Whether the server is up, not starting, recovering or stopping."""
    try:
        _connect(sockets).close()
    except psycopg2.OperationalError as error:
        if "FATAL" in str(error) and "the database system is" not in str(error):
            raise EmbeddedServerError(f"the server in {sockets} refuses connections: {_first_line(error)}") from error
        return False
    return True


def _first_line(error: psycopg2.Error) -> str:
    return str(error).partition("\n")[0]


def _ensure_database(sockets: Path) -> bool:
    """Create the database if it is missing. Returns whether it was missing."""
    try:
        with closing(_connect(sockets)) as connection, connection.cursor() as cursor:
            connection.autocommit = True
            cursor.execute("SELECT FROM pg_database WHERE datname = %s", (_DATABASE,))
            if cursor.rowcount:
                return False
            with suppress(UniqueViolation, DuplicateDatabase):  # the session of a killed user has just created it
                cursor.execute(f"CREATE DATABASE {_DATABASE}")
            return True
    except psycopg2.Error as error:
        raise EmbeddedServerError(f"the database {_DATABASE} cannot be created: {_first_line(error)}") from error
