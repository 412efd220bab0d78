"""The PostgreSQL that comes with the package: where its data lives, who starts it and who stops it.

Each user of the server holds a shared lock on one file, and whoever starts or stops it holds the *gate* alone. The
kernel drops both with their process, so a killed user leaves at most a running server, which the next user takes over
and the last one stops. No process is ever signalled by a number found in a file: only a socket that listens proves
that a server runs. What the server stores, this module does not know.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import pwd
import re
import shutil
import socket
import stat
import sys
import tempfile
import time
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

import psycopg2
from psycopg2.errors import DuplicateDatabase, UniqueViolation
from sqlalchemy import URL

from refresh.errors import EmbeddedServerError
from refresh.store.programs import Programs, binaries, major_version, open_own, usable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_DATABASE = "refresh"
_PORT = 5432  # a socket's name holds a port although nothing listens on TCP
_SOCKET_PATH_LIMIT = 103  # bytes; 107 on Linux
_SECONDS_TO_ANSWER = 600  # a server that crashed replays its log first
_SECONDS_TO_LISTEN = 2  # milliseconds lie between a server's pid file and its socket


@dataclass(frozen=True, slots=True)
class EmbeddedServer:
    """A running server. ``created``: this lease made the cluster or the database, so nothing is in it yet."""

    url: str
    directory: Path
    created: bool


@dataclass(frozen=True, slots=True)
class _Cluster:
    directory: Path
    programs: Programs

    @property
    def pid_file(self) -> Path:
        return self.directory / "postmaster.pid"

    def run(self, program: str, *arguments: str | Path) -> None:
        self.programs.run(program, *arguments, data=self.directory, log=_beside(self.directory, ".log"))


@contextmanager
def lease(environ: Mapping[str, str]) -> Iterator[EmbeddedServer]:
    """Keep the server running for the length of the block: started before if need be, stopped after its last user.

    Programs started within the block hold no lease; a fork that never execs holds its parent's.
    Raises ``EmbeddedServerError``.
    """
    cluster = _cluster(environ)
    with open_own(_beside(cluster.directory, ".users")) as users:
        try:
            with _gate(cluster.directory):
                fcntl.flock(users, fcntl.LOCK_SH)
                server = _serve(cluster)
            yield server
        finally:
            with _gate(cluster.directory):
                _leave(cluster, users)


def data_directory(environ: Mapping[str, str]) -> Path:
    """The folder of the clusters: ``REFRESH_DATA_DIR``, else the platform's place for the data of this user.

    Root's is not in its home, which the user that root's server runs as cannot enter.
    """
    if chosen := environ.get("REFRESH_DATA_DIR"):
        return Path(chosen).absolute()
    if os.geteuid() == 0:
        return Path("/var/lib/daily-refresh")
    if sys.platform == "darwin":
        return _home(environ) / "Library/Application Support/daily-refresh"
    return Path(environ.get("XDG_DATA_HOME") or _home(environ) / ".local/share") / "daily-refresh"


def _home(environ: Mapping[str, str]) -> Path:
    if home := environ.get("HOME"):
        return Path(home)
    try:
        return Path(pwd.getpwuid(os.geteuid()).pw_dir)
    except KeyError:
        raise EmbeddedServerError(f"user {os.geteuid()} has no home: set REFRESH_DATA_DIR") from None


def _cluster(environ: Mapping[str, str]) -> _Cluster:
    programs, folder = binaries(environ), data_directory(environ)
    directory = folder / f"pg{major_version(programs)}"  # no version reads another's data
    try:
        if not folder.exists():
            folder.mkdir(parents=True, exist_ok=True)
            folder.chmod(0o755 if os.geteuid() == 0 else 0o700)
        with _gate(directory):
            return _Cluster(directory, usable(programs, directory))
    except OSError as error:
        raise EmbeddedServerError(
            f"the data directory {folder} cannot be used ({error}): set REFRESH_DATA_DIR to a folder that you can write"
        ) from error


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


@contextmanager
def _gate(directory: Path) -> Iterator[None]:
    with open_own(_beside(directory, ".gate")) as gate:
        fcntl.flock(gate, fcntl.LOCK_EX)
        yield


def _serve(cluster: _Cluster) -> EmbeddedServer:
    _sweep(cluster)
    new_cluster = not (cluster.directory / "PG_VERSION").exists()
    if new_cluster:
        _initialise(cluster)
    sockets = _running(cluster) or _start(cluster)
    new_database = _ensure_database(sockets)
    place = {"host": str(sockets)}
    url = URL.create("postgresql+psycopg2", "postgres", port=_PORT, database=_DATABASE, query=place)
    return EmbeddedServer(url.render_as_string(hide_password=False), cluster.directory, new_cluster or new_database)


def _initialise(cluster: _Cluster) -> None:
    """Make the cluster beside its place and move it there, so that a killed ``initdb`` leaves nothing half made."""
    made = Path(tempfile.mkdtemp(prefix=_unfinished(cluster).name, dir=cluster.directory.parent))
    try:
        cluster.programs.give(made)
        cluster.run("initdb", "-D", made, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-locale")
        made.rename(cluster.directory)
    finally:
        _sweep(cluster)


def _sweep(cluster: _Cluster) -> None:
    """Remove what killed users left half made. An ``initdb`` that outlived its user may leave more for the next one."""
    prefix = _unfinished(cluster)
    for left in prefix.parent.glob(f"{prefix.name}*"):
        shutil.rmtree(left, ignore_errors=True)


def _unfinished(cluster: _Cluster) -> Path:
    return _beside(cluster.directory, ".new-")


def _start(cluster: _Cluster) -> Path:
    sockets = _socket_folder(cluster)
    settings = {
        "listen_addresses": "''",
        "unix_socket_directories": sockets,
        "unix_socket_permissions": "0700",
        "autovacuum_naptime": "5s",  # a server that runs for seconds a night would never come to clean up
    }
    options = " ".join([f"-p {_PORT}", *(f"-c {name}={value}" for name, value in settings.items())])
    cluster.run("pg_ctl", "start", "-s", "-w", "-t", str(_SECONDS_TO_ANSWER), "-o", options)
    return sockets


def _leave(cluster: _Cluster, users: IO[bytes]) -> None:
    """Stop the server if nobody else uses it. One that does not stop does no harm: the next user takes it over."""
    try:
        fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return
    _, sockets = _recorded(cluster)
    if sockets and _listens(sockets):
        with suppress(EmbeddedServerError, OSError):
            cluster.run("pg_ctl", "stop", "-s", "-w", "-m", "fast")
            if sockets != cluster.directory:
                sockets.rmdir()


def _running(cluster: _Cluster) -> Path | None:
    """The socket folder of the running server, once it answers; ``None``, without a stale pid file, if none runs."""
    answer_by, listen_by = time.monotonic() + _SECONDS_TO_ANSWER, time.monotonic() + _SECONDS_TO_LISTEN
    while cluster.pid_file.exists():
        pid, sockets = _recorded(cluster)
        if sockets and _listens(sockets):
            if _answers(sockets):
                return sockets
            if time.monotonic() > answer_by:
                raise EmbeddedServerError(f"the server in {cluster.directory} does not answer: stop its process {pid}")
            listen_by = time.monotonic() + _SECONDS_TO_LISTEN
        elif not _exists(pid) or time.monotonic() > listen_by:
            # PostgreSQL would take any living process of this number for a server. Were it one, its shared memory,
            # which is found by the data directory, would still keep a second server out.
            cluster.pid_file.unlink(missing_ok=True)
        time.sleep(0.02)
    return None


def _recorded(cluster: _Cluster) -> tuple[int, Path | None]:
    """The pid and the socket folder in the pid file, as far as a starting, or crashed, server has written them."""
    try:
        pid, _, _, _, sockets, *_ = cluster.pid_file.read_text().splitlines()
        return int(pid), Path(sockets) if sockets else None
    except (FileNotFoundError, ValueError):
        return 0, None


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return pid != 0


def _listens(sockets: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(sockets / f".s.PGSQL.{_PORT}"))
        except (FileNotFoundError, ConnectionRefusedError):
            return False
        return True


def _connect(sockets: Path) -> psycopg2.extensions.connection:
    return psycopg2.connect(host=str(sockets), port=_PORT, user="postgres", dbname="postgres", connect_timeout=10)


def _answers(sockets: Path) -> bool:
    try:
        _connect(sockets).close()
    except psycopg2.OperationalError as error:
        if "FATAL" in str(error) and "the database system is" not in str(error):
            raise EmbeddedServerError(f"the server in {sockets} refuses us: {_first_line(error)}") from error
        return False  # it is starting, recovering or stopping
    return True


def _first_line(error: psycopg2.Error) -> str:
    return str(error).partition("\n")[0]


def _ensure_database(sockets: Path) -> bool:
    """Make the database if it is missing, and tell whether it was."""
    try:
        with closing(_connect(sockets)) as connection, connection.cursor() as cursor:
            connection.autocommit = True
            cursor.execute("SELECT FROM pg_database WHERE datname = %s", (_DATABASE,))
            if cursor.rowcount:
                return False
            with suppress(UniqueViolation, DuplicateDatabase):  # the session of a killed user made it meanwhile
                cursor.execute(f"CREATE DATABASE {_DATABASE}")
            return True
    except psycopg2.Error as error:
        raise EmbeddedServerError(f"the database {_DATABASE} cannot be made: {_first_line(error)}") from error


def _socket_folder(cluster: _Cluster) -> Path:
    """The data directory, which nobody else can enter; where its name is too long or odd, a private one in ``/tmp``."""
    longest = f"{cluster.directory}/.s.PGSQL.{_PORT}"
    if len(longest) <= _SOCKET_PATH_LIMIT and re.fullmatch(r"[\w./-]+", longest, re.ASCII):
        return cluster.directory
    owner = cluster.directory.stat().st_uid
    mark = hashlib.sha256(bytes(cluster.directory)).hexdigest()[:12]
    known = Path(f"/tmp/daily-refresh-{owner}-{mark}")  # noqa: S108  its owner and mode are checked
    with suppress(FileExistsError):
        known.mkdir(mode=0o700)
        cluster.programs.give(known)
    if _is_private(known, owner):
        return known
    other = Path(tempfile.mkdtemp(prefix=f"{known.name}-", dir=known.parent))  # a stranger took the known name
    cluster.programs.give(other)
    return other


def _is_private(folder: Path, owner: int) -> bool:
    found = folder.lstat()
    return stat.S_ISDIR(found.st_mode) and found.st_uid == owner and not stat.S_IMODE(found.st_mode) & 0o077
