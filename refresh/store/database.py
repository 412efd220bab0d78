"""Engine and transactions: how a process works with its database. No message from here holds a password."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import psycopg2
from sqlalchemy import URL, Connection, Engine, create_engine, text

from refresh.errors import DatabaseUnreachableError, PoolingError
from refresh.server.embedded import EmbeddedServer, lease
from refresh.store import absent
from refresh.store.address import Address, read_address
from refresh.store.server_errors import first_line
from refresh.store.session import Session, open_session, shares_sessions

DRIVER = "postgresql+psycopg2"
_PREFER_INDEXES = "; ".join(f"SET LOCAL enable_{node} = off" for node in ("seqscan", "hashjoin", "mergejoin"))


@contextmanager
def connect(url: str, name: str = "refresh") -> Iterator[Engine]:
    """An engine on a database that answers, for the length of the block.

    ``name`` is what others see of its sessions. Raises ``SettingsError`` for an address or a setting that cannot be
    used, ``PoolingError``, and ``DatabaseUnreachableError`` with the server's own words.
    """
    address = read_address(url)
    open_one = partial(open_session, address, name)
    opened = [_first_session(address, open_one)]
    engine = create_engine(
        _shown(address),
        creator=lambda: opened.pop() if opened else open_one(),
        pool_size=2,  # one for work, one for a lock
        use_native_hstore=False,  # it would be looked for in every session
    )
    absent.listen(engine)
    try:
        engine.connect().close()
        yield engine
    finally:
        engine.dispose()


def _shown(address: Address) -> URL:
    """The address in the form of SQLAlchemy, which connects nothing by it."""
    rest = dict(address.parameters)
    user, password, name = (rest.pop(part, None) for part in ("user", "password", "dbname"))
    url = URL.create(DRIVER, username=user, password=password, database=name)
    if re.fullmatch(r"[^/,]+ \d+", f"{rest.get('host')} {rest.get('port')}"):
        url = url.set(host=rest.pop("host"), port=int(rest.pop("port")))
    return url.set(query=rest)


def _first_session(address: Address, open_one: Callable[[], Session]) -> Session:
    """A session of a database in which sessions last."""
    try:
        session = open_one()
        if session.is_pooled and shares_sessions(open_one):
            session.close()
            raise PoolingError(
                f"{address.shown} is a pool that gives every transaction another session, in which no lock holds "
                "(PgBouncer's pool_mode = transaction); connect to the server itself, or to a pool with "
                "pool_mode = session"
            )
    except psycopg2.Error as error:
        raise DatabaseUnreachableError(
            f"cannot connect to {address.shown}: {first_line(error)}; check --db-url or TARGET_DB_URL"
        ) from None
    return session


@dataclass(frozen=True, kw_only=True, slots=True)
class Opened:
    """A database that answers. ``embedded`` is set if it is the one that comes with the package."""

    url: str = field(repr=False)
    engine: Engine = field(repr=False)
    embedded: EmbeddedServer | None = None

    def named_by(self, setting: str) -> str:
        """Which database it is, without secrets, and the setting that named it, in a line."""
        if self.embedded:
            return f"embedded PostgreSQL, data in {self.embedded.directory} (TARGET_DB_URL is not set)"
        return f"database {read_address(self.url).shown} ({setting})"


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
    connection.execute(text(_PREFER_INDEXES))


def begin_writing(connection: Connection) -> None:
    """Write in the rest of the transaction as a builder does.

    What it deletes is not noted as lost, and what it reads is read through indexes.
    """
    connection.execute(text(f"SET LOCAL refresh.writing = 'on'; {_PREFER_INDEXES}"))


def use_all_cores(connection: Connection) -> None:
    """Share large passes among all cores for the rest of the transaction, with memory for what they gather."""
    for setting, value in {"work_mem": "64MB", "parallel_setup_cost": "0", "parallel_tuple_cost": "0"}.items():
        connection.execute(text(f"SET LOCAL {setting} = '{value}'"))
