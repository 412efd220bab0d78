"""A PostgreSQL for the length of a bench, with a database for each measure, and the refresh on them.

The server is the embedded one with its usual settings, in a folder that is removed at the end.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Self

from sqlalchemy import Engine, MetaData, make_url, text

from bench import programs
from bench.programs import Usage
from refresh.catalog import SOURCE
from refresh.store.database import connect, opened
from refresh.store.tables import source_table
from refresh.wording import counted

NAME = "bench"
"""What others see of the sessions of the bench itself."""
LAST = datetime(2025, 12, 31, 23, 59, 59, tzinfo=UTC)
"""The time of every asset's last price."""
_FILL = f"""
    INSERT INTO {SOURCE} (id, name, timeopen, timeclose, timehigh, timelow, open, high, low, close, volume,
                          marketcap, "timestamp", source_file)
    SELECT a, 'asset ' || a, d - interval '23:59:59', d, d - interval '17h', d - interval '21h',
           100 + random(), 102 + random(), 98 + random(), 100 + random(), 1e6 * random(), 1e9 * random(),
           d, 'prices.csv'
    FROM generate_series(1, :assets) a,
         generate_series(CAST(:first AS timestamptz), :last, interval '1 day') d
"""


@dataclass(frozen=True, slots=True)
class Size:
    """How many assets a database has, and how many days each."""

    assets: int
    days: int

    def __str__(self) -> str:
        return f"{counted(self.assets, 'asset')} x {counted(self.days, 'day')}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Database:
    """A database whose price table is filled. ``build``: what building its tables used; ``None`` before that."""

    size: Size
    url: str = field(repr=False)
    engine: Engine = field(repr=False)
    build: Usage | None = None


class Bench:
    """Lends databases to measures. As a context manager it leaves no server and no file behind.

    ``scale``: by what the number of assets of every measure is multiplied. ``pairs``: how often each side is measured.
    ``peaks``: the bytes of the largest process of every refresh so far, by the size of its database.
    """

    def __init__(self, *, scale: float = 1.0, pairs: int = 3) -> None:
        self.scale, self.pairs = scale, pairs
        self.peaks: dict[str, int] = {}
        self._built: Database | None = None
        self._began = time.monotonic()
        self._databases = 0

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self.directory = stack.enter_context(_folder())
            self._server = stack.enter_context(opened(None, programs.environment(self.directory), NAME))
            self._shared = stack.enter_context(ExitStack())
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def engine(self) -> Engine:
        """An engine on a database of the server that no measure uses."""
        return self._server.engine

    @property
    def seconds(self) -> float:
        """The seconds since the beginning."""
        return time.monotonic() - self._began

    def size(self, assets: int, days: int) -> Size:
        """A size, to scale."""
        return Size(max(1, round(assets * self.scale)), days)

    def say(self, words: str) -> None:
        """Tell whoever waits for the table what goes on."""
        print(f"{self.seconds:5.0f} s  {words}", file=sys.stderr, flush=True)

    @contextmanager
    def database(self, size: Size) -> Iterator[Database]:
        """A database with prices and nothing else, for the length of the block."""
        with self.cloned(size) as database:
            with database.engine.begin() as connection:
                source_table(MetaData()).create(connection)
            fill(database.engine, size)
            yield database

    @contextmanager
    def cloned(self, size: Size, template: str = "template1") -> Iterator[Database]:
        """A database like another one, in which nobody works meanwhile; without another one, an empty one."""
        self._databases += 1
        name = f"bench_{self._databases}"
        _execute(self.engine, f"CREATE DATABASE {name} TEMPLATE {template}")
        url = make_url(self._server.url).set(database=name).render_as_string(hide_password=False)
        try:
            with connect(url, NAME) as engine:
                yield Database(size=size, url=url, engine=engine)
        finally:
            _execute(self.engine, f"DROP DATABASE {name} WITH (FORCE)")

    @contextmanager
    def built(self, size: Size) -> Iterator[Database]:
        """A database whose tables are built, and settled as they are a day later, for the length of the block."""
        with self.database(size) as database:
            self.say(f"building {size}")
            build = self.refresh(database)
            settle(database)
            yield Database(size=size, url=database.url, engine=database.engine, build=build)

    def shared(self, size: Size) -> Database:
        """A built database that the next measure may use as well, if it asks for the same size."""
        if self._built is None or self._built.size != size:
            self._shared.close()
            self._built = None
            self._built = self._shared.enter_context(self.built(size))
        return self._built

    def refresh(self, database: Database, *arguments: str) -> Usage:
        """Refresh everything, from the start of the program to its end."""
        usage = programs.refresh(database.url, self.directory, *arguments)
        title = str(database.size)
        self.peaks[title] = max(usage.peak, self.peaks.get(title, 0))
        return usage


def fill(engine: Engine, size: Size) -> None:
    """Give every asset a price a day, up to ``LAST``; the same prices each time."""
    with engine.begin() as connection:
        connection.execute(text("SELECT setseed(0.5)"))
        first = LAST - timedelta(days=size.days - 1)
        connection.execute(text(_FILL), {"assets": size.assets, "first": first, "last": LAST})
    _execute(engine, f"VACUUM (ANALYZE) {SOURCE}")


def settle(database: Database) -> None:
    """Have the server do now what it would do in the background during the next measurement."""
    _execute(database.engine, "VACUUM (ANALYZE)")
    checkpoint(database)


def checkpoint(database: Database) -> None:
    """Write a checkpoint. A nightly run finds the server like this: the next change of a page is written in full."""
    checkpoint_of(database.engine)


def checkpoint_of(engine: Engine) -> None:
    """The same of any database."""
    _execute(engine, "CHECKPOINT")


def keep(engine: Engine, ids: Sequence[int]) -> None:
    """Keep the prices of these assets alone."""
    with engine.begin() as connection:
        connection.execute(text(f"DELETE FROM {SOURCE} WHERE NOT id = ANY(:ids)"), {"ids": list(ids)})
    _execute(engine, f"VACUUM (FULL, ANALYZE) {SOURCE}")


def written_log(database: Database) -> int:
    """The bytes of PostgreSQL's log (WAL) that were ever written."""
    with database.engine.connect() as connection:
        query = text("SELECT (pg_current_wal_insert_lsn() - '0/0'::pg_lsn)::bigint")
        position: int = connection.execute(query).scalar_one()
    return position


def last_time(database: Database) -> datetime:
    """The time of the last price."""
    with database.engine.connect() as connection:
        found: datetime = connection.execute(text(f'SELECT max("timestamp") FROM {SOURCE}')).scalar_one()
    return found


@contextmanager
def _folder() -> Iterator[Path]:
    """A folder for the length of the block that the user of the server can access."""
    created = Path(tempfile.mkdtemp(prefix="bench-", dir="/var/tmp"))
    created.chmod(0o711)
    (created / "tmp").mkdir()
    try:
        yield created
    finally:
        shutil.rmtree(created, ignore_errors=True)


def _execute(engine: Engine, statement: str) -> None:
    """Run a statement that cannot run in a transaction."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text(statement))
