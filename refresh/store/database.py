"""URL, engine, transaction: how a process reaches its database. No message from here holds a password."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import psycopg2
from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError, SQLAlchemyError

from refresh.errors import DatabaseUnreachableError, SettingsError
from refresh.server.embedded import EmbeddedServer, lease
from refresh.store import absent

DRIVER = "postgresql+psycopg2"
CONNECT_SECONDS = 10
CLIENT_CHECK_SECONDS = 1
ASSET_ERRORS = (SQLAlchemyError, psycopg2.Error)
"""What a statement of one asset may raise."""

SESSION = {
    "timezone": "UTC",
    "client_encoding": "UTF8",
    "extra_float_digits": "1",
    "search_path": "pg_catalog,pg_temp",
    "jit": "off",
}


def normalise(url: str) -> URL:
    """The URL for psycopg2. Raises ``SettingsError`` without repeating it: it may hold a password."""
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise SettingsError(
            "the database URL cannot be read; write it as postgresql://user:password@host:5432/database"
        ) from None
    if parsed.drivername.split("+")[0] not in {"postgresql", "postgres"}:
        raise SettingsError(
            f"the database URL begins with {parsed.drivername}://; only postgresql:// databases can be refreshed"
        )
    return parsed.set(drivername=DRIVER)


@contextmanager
def connect(url: str, name: str = "refresh") -> Iterator[Engine]:
    """An engine on a database that answers, for the length of the block.

    ``name`` is what others see of its sessions. Raises ``DatabaseUnreachableError`` with the server's own words.
    """
    parsed = normalise(url)
    options = " ".join(f"-c {option}={value}" for option, value in SESSION.items())
    engine = create_engine(
        parsed,
        pool_size=2,  # one for work, one for the lock of a refresh
        connect_args={"options": options, "connect_timeout": CONNECT_SECONDS, "application_name": name},
    )
    event.listen(engine, "connect", _watch_client)
    absent.listen(engine)
    try:
        _try_connection(engine, parsed)
        yield engine
    finally:
        engine.dispose()


def _try_connection(engine: Engine, url: URL) -> None:
    try:
        engine.connect().close()
    except OperationalError as error:
        raise DatabaseUnreachableError(
            f"cannot connect to {_without_secrets(url)}: {first_line(error)}; check --db-url or TARGET_DB_URL"
        ) from None


def _watch_client(connection: psycopg2.extensions.connection, _: object) -> None:
    """Have the server end a running statement when its client is gone, if it can (PostgreSQL 14 and newer)."""
    connection.autocommit = True
    with connection.cursor() as cursor, suppress(psycopg2.Error):
        cursor.execute(f"SET client_connection_check_interval = '{CLIENT_CHECK_SECONDS}s'")
    connection.autocommit = False


def _without_secrets(url: URL) -> str:
    """The URL without its password, and of its parameters only the host: others may hold secrets too."""
    host = {name: value for name, value in url.query.items() if name == "host"}
    return url.set(drivername="postgresql", query=host).render_as_string(hide_password=True)


@dataclass(frozen=True, kw_only=True, slots=True)
class Opened:
    """A database that answers. ``embedded`` is set if it is the one that comes with the package."""

    url: str = field(repr=False)
    engine: Engine = field(repr=False)
    embedded: EmbeddedServer | None = None


@contextmanager
def opened(url: str | None, environ: Mapping[str, str], name: str = "refresh") -> Iterator[Opened]:
    """The database of ``url`` or ``TARGET_DB_URL``; without either, the embedded PostgreSQL, which runs meanwhile."""
    address = url or environ.get("TARGET_DB_URL")
    with ExitStack() as stack:
        server = None
        if not address:
            server = stack.enter_context(lease(environ))
            address = server.url
        yield Opened(url=address, engine=stack.enter_context(connect(address, name)), embedded=server)


@contextmanager
def read_committed(engine: Engine) -> Iterator[Connection]:
    """A transaction whose statements each see the latest commits: to meet tables that others may be creating."""
    with engine.connect() as connection, connection.begin():
        yield connection


@contextmanager
def transaction(engine: Engine) -> Iterator[Connection]:
    """A transaction on a session of its own that sees one state of the database throughout."""
    with engine.connect() as connection, repeatable_read(connection):
        yield connection


@contextmanager
def repeatable_read(connection: Connection) -> Iterator[None]:
    """A transaction of a session that sees one state of the database from its first statement to its commit."""
    with connection.execution_options(isolation_level="REPEATABLE READ").begin():
        yield


def raw_cursor(connection: Connection) -> closing[Any]:
    """A psycopg2 cursor in the connection's transaction: COPY is out of SQLAlchemy's reach."""
    return closing(connection.connection.cursor())


def prefer_indexes(connection: Connection) -> None:
    """Read through indexes for the rest of the transaction.

    Every read of a batch is a range of a few assets, which the planner cannot see: tables written a moment ago have
    no statistics.
    """
    for node in ("seqscan", "hashjoin", "mergejoin"):
        connection.execute(text(f"SET LOCAL enable_{node} = off"))


def begin_writing(connection: Connection) -> None:
    """Write in the rest of the transaction as a builder does.

    What it deletes is not noted as lost, and what it reads is read through indexes.
    """
    connection.execute(text("SET LOCAL refresh.writing = 'on'"))
    prefer_indexes(connection)


def use_all_cores(connection: Connection) -> None:
    """Share large passes among all cores for the rest of the transaction, with memory for what they gather."""
    for setting, value in {"work_mem": "64MB", "parallel_setup_cost": "0", "parallel_tuple_cost": "0"}.items():
        connection.execute(text(f"SET LOCAL {setting} = '{value}'"))


def connection_lost(error: Exception) -> bool:
    """Whether the error says that the server is gone or out of reach, not that a statement was wrong."""
    if isinstance(error, DBAPIError):
        return error.connection_invalidated or (isinstance(error.orig, Exception) and connection_lost(error.orig))
    return isinstance(error, psycopg2.OperationalError | psycopg2.InterfaceError) and not getattr(error, "pgcode", None)


def sql_state(error: Exception) -> str | None:
    """The SQLSTATE of an error."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    return getattr(cause, "pgcode", None)


def first_line(error: Exception) -> str:
    """The server's message in one line; the first error, if the clean-up failed as well."""
    while isinstance(error.__context__, ASSET_ERRORS):
        error = error.__context__
    cause: object = error
    if isinstance(error, DBAPIError) and error.orig is not None:
        cause = error.orig
    lines = str(cause).strip().splitlines()
    return lines[0] if lines else type(cause).__name__
