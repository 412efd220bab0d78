"""A server of the tests' own, and databases on it.

The server is thrown away: it syncs nothing, listens on loopback only and ends with the tests, however they end.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import cache
from pathlib import Path

import psycopg2
from sqlalchemy import URL, Connection, MetaData
from testing.postgresql import Postgresql

from refresh.server.programs import Programs
from refresh.store.schema import prepare
from refresh.store.tables import source_table

INITDB = "-U postgres -A trust --no-locale -E UTF8 --no-sync"
POSTGRES = "-h 127.0.0.1 -F -c full_page_writes=off -c synchronous_commit=off -c autovacuum=off -c timezone=UTC"
ROOM = 4 << 30
FIRST_WITH_STRATEGIES = 150_000
GUARD = """
read _                      # returns when the tests end, in whatever way
if read pid <"$0/cluster/data/postmaster.pid"; then
    kill -QUIT "$pid"
    while kill -0 "$pid"; do sleep 0.1; done
fi
rm -rf "$0"
"""


@contextmanager
def database(server: URL, template: str) -> Iterator[str]:
    """Clone a database for the length of the block. Yields its URL."""
    name = f"test_{uuid.uuid4().hex}"
    execute(server, f"CREATE DATABASE {name} TEMPLATE {template}{_strategy(server)}")
    try:
        yield server.set(database=name).render_as_string(hide_password=False)
    finally:
        execute(server, f"DROP DATABASE {name} WITH (FORCE)")


@cache
def _strategy(server: URL) -> str:
    """How a database is cloned: the files as they are, which is quicker where nothing is synced."""
    address = server.set(drivername="postgresql").render_as_string(hide_password=False)
    with closing(psycopg2.connect(address)) as connection:
        return " STRATEGY FILE_COPY" if connection.server_version >= FIRST_WITH_STRATEGIES else ""


def execute(server: URL, statement: str) -> None:
    """Run a statement that cannot run in a transaction."""
    address = server.set(drivername="postgresql").render_as_string(hide_password=False)
    with closing(psycopg2.connect(address)) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        cursor.execute(statement)


def create_tables(connection: Connection) -> None:
    """Everything that a refresh finds in a database that was refreshed before."""
    source_table(MetaData()).create(connection)
    prepare(connection)


def fast_folder() -> str | None:
    """A folder in memory, where a database is cloned ten times as fast; ``None`` where there is none with room."""
    memory = Path("/dev/shm")  # noqa: S108 - what is made in it has a name of its own
    if not memory.is_dir() or not os.access(memory, os.W_OK):
        return None
    is_usable = shutil.disk_usage(memory).free > ROOM and not os.statvfs(memory).f_flag & os.ST_NOEXEC
    return str(memory) if is_usable else None


@contextmanager
def guarded_folder() -> Iterator[Path]:
    """A folder that goes, with the server in it, when this process does: even a killed one closes its pipes."""
    folder = Path(tempfile.mkdtemp(prefix="refresh-", dir=fast_folder()))
    folder.chmod(0o755)
    command = ["/bin/sh", "-c", GUARD, str(folder)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    ):
        yield folder


@contextmanager
def closing_server(folder: Path, programs: Programs, settings: str = "") -> Iterator[Postgresql]:
    """A server on a free port of loopback, in ``folder``, with some settings of its own."""
    cluster = folder / "cluster"
    cluster.mkdir()
    commands = {name: str(as_user(folder, programs, name)) for name in ("initdb", "postgres")}
    running = Postgresql(base_dir=str(cluster), initdb_args=INITDB, postgres_args=f"{POSTGRES} {settings}", **commands)
    try:
        yield running
    finally:
        running.stop()


def as_user(folder: Path, programs: Programs, name: str) -> Path:
    """The program, or where PostgreSQL refuses root a script that becomes another user and then the program."""
    program = programs.folder / name
    if programs.user is None:
        return program
    user, group = programs.user.pw_uid, programs.user.pw_gid
    script = folder / name
    script.write_text(
        f"#!/bin/sh\nchown -R {user}:{group} {shlex.quote(str(folder / 'cluster'))}\n"
        f"exec setpriv --reuid {user} --regid {group} --clear-groups "
        f'env ${{SERVER_PRELOAD:+"LD_PRELOAD=$SERVER_PRELOAD"}} {shlex.quote(str(program))} "$@"\n'
    )
    script.chmod(0o755)
    return script
