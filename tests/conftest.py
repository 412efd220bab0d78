"""A real PostgreSQL for every test that asks: one server a session, a database of its own a test.

The server is thrown away: it syncs nothing, listens on loopback only and ends with the tests, however they end.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import tempfile
import uuid
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg2
import pytest
from sqlalchemy import URL, Connection, Engine, MetaData, create_engine, make_url
from sqlalchemy.pool import NullPool
from testing.postgresql import Postgresql

from refresh.store.database import connect
from refresh.server.programs import Programs, binaries, usable
from refresh.store.schema import prepare
from refresh.store.tables import source_table

if TYPE_CHECKING:
    from collections.abc import Iterator

INITDB = "-U postgres -A trust --no-locale -E UTF8 --no-sync"
POSTGRES = "-h 127.0.0.1 -F -c full_page_writes=off -c synchronous_commit=off -c autovacuum=off -c timezone=UTC"
GUARD = """
read _                      # returns when the tests end, in whatever way
if read pid <"$0/cluster/data/postmaster.pid"; then
    kill -QUIT "$pid"
    while kill -0 "$pid"; do sleep 0.1; done
fi
rm -rf "$0"
"""


@pytest.fixture(scope="session", autouse=True)
def logs(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Programs that the tests start leave no log in the checkout."""
    os.environ["REFRESH_LOG_DIR"] = str(tmp_path_factory.mktemp("logs"))


@pytest.fixture(scope="session")
def server() -> Iterator[URL]:
    """The session's own server: the URL of its database ``postgres``."""
    with guarded_folder() as folder:
        programs = usable(binaries(os.environ), folder / "cluster")
        with closing_server(folder, programs) as running:
            yield make_url(running.url(database="postgres")).set(drivername="postgresql+psycopg2")


@pytest.fixture(scope="session")
def template(server: URL) -> str:
    """The name of a database that has all tables and stays as it is, for others to be cloned from."""
    execute(server, "CREATE DATABASE prepared")
    engine = create_engine(server.set(database="prepared"), poolclass=NullPool)
    with engine.begin() as connection:
        create_tables(connection)
    return "prepared"


@pytest.fixture
def database_url(server: URL) -> Iterator[str]:
    """The URL of a new, empty database."""
    with database(server, "template1") as url:
        yield url


@pytest.fixture
def prepared_url(server: URL, template: str) -> Iterator[str]:
    """The URL of a new database that has the source table and all of ours, empty but for the default dimensions."""
    with database(server, template) as url:
        yield url


@pytest.fixture
def engine(prepared_url: str) -> Iterator[Engine]:
    """An engine on a new database that has all tables, with nothing in them but the default dimensions."""
    with connect(prepared_url) as engine:
        yield engine


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real price files, which are not part of the project."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("REFRESH_TEST_DATA") or beside)
    if not folder.is_dir():
        pytest.skip(f"no price files in {folder}: name their folder in REFRESH_TEST_DATA")
    return folder


def create_tables(connection: Connection) -> None:
    """Everything that a refresh finds in a database that was refreshed before."""
    source_table(MetaData()).create(connection)
    prepare(connection)


@contextmanager
def database(server: URL, template: str) -> Iterator[str]:
    """Clone a database for the length of the block."""
    name = f"test_{uuid.uuid4().hex}"
    execute(server, f"CREATE DATABASE {name} TEMPLATE {template}")
    try:
        yield server.set(database=name).render_as_string(hide_password=False)
    finally:
        execute(server, f"DROP DATABASE {name} WITH (FORCE)")


def execute(server: URL, statement: str) -> None:
    """Run a statement that refuses to stand in a transaction."""
    address = server.set(drivername="postgresql").render_as_string(hide_password=False)
    with closing(psycopg2.connect(address)) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        cursor.execute(statement)


@contextmanager
def guarded_folder() -> Iterator[Path]:
    """A folder that goes, with the server in it, when this process does: even a killed one closes its pipes."""
    folder = Path(tempfile.mkdtemp(prefix="refresh-"))
    folder.chmod(0o755)
    command = ["/bin/sh", "-c", GUARD, str(folder)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    ):
        yield folder


@contextmanager
def closing_server(folder: Path, programs: Programs) -> Iterator[Postgresql]:
    """A server on a free port of loopback, in ``folder``."""
    cluster = folder / "cluster"
    cluster.mkdir()
    commands = {name: str(as_user(folder, programs, name)) for name in ("initdb", "postgres")}
    running = Postgresql(base_dir=str(cluster), initdb_args=INITDB, postgres_args=POSTGRES, **commands)
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
        f'exec setpriv --reuid {user} --regid {group} --clear-groups {shlex.quote(str(program))} "$@"\n'
    )
    script.chmod(0o755)
    return script
