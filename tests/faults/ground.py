"""Where faults strike: a server of their own, databases as they were yesterday, and this morning's other source.

The role that refreshes is an ordinary one, which owns its databases: a superuser would not feel most limits.
"""

from __future__ import annotations

import io
import itertools
import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import psycopg2
from databases import closing_server, create_tables, execute, guarded_folder
from refreshing import FEW, enable, refresh
from sqlalchemy import URL, Engine, make_url
from statements import execute as say
from testing.postgresql import Postgresql

from refresh.catalog import SOURCE
from refresh.server.programs import binaries, usable
from refresh.store.database import connect

ROLE = "nightly"
LIMIT = ("--restate-limit", "60")
"""A third of these few assets is revised every morning."""
ALL = ("--all", *LIMIT)
ASSETS = 9
DAYS = 80
NEW_ASSET = 100
TODAY = datetime.now(UTC).date()
"""Stays what it is at midnight."""
SETTINGS = (
    "-c max_connections=60 -c log_lock_waits=on -c log_min_error_statement=error -c autovacuum=on "
    "-c synchronous_commit=on"
)
"""A server that confirms commits before they are written may lose them, whoever works with it."""

_PRICES = f"""
    INSERT INTO {SOURCE} (id, "timestamp", timeopen, timeclose, timehigh, open, high, low, close, volume)
    SELECT a, at, at - interval '1 day - 1 ms', at, at - interval '7 hours', 100 + 9 * sin(n * a / 7.0),
           111 + 9 * cos(n * a / 5.0), 80 + sin(n * a), 100 + 9 * sin((n + 1) * a / 7.0), 1000 + n
    FROM generate_series(CAST(:first AS int), CAST(:last AS int)) AS a,
         generate_series(CAST(:from_day AS int), CAST(:to_day AS int)) AS n
    CROSS JOIN LATERAL (SELECT timestamptz '{TODAY}Z' + (n + 1) * interval '1 day' - interval '1 ms' AS at) AS t
    ON CONFLICT DO NOTHING
"""
_DAY = f""""timestamp"::date = date '{TODAY}' + CAST(:day AS int)"""


@dataclass(frozen=True, kw_only=True)
class Ground:
    """A server that may be stopped, and the names of databases to clone."""

    server: Postgresql
    folder: Path
    numbers: Iterator[int] = field(default_factory=itertools.count)

    @property
    def url(self) -> URL:
        """The server's database ``postgres``, as its superuser."""
        return make_url(self.server.url(database="postgres")).set(drivername="postgresql+psycopg2")

    def told(self, words: str) -> int:
        """How often the server has said something in its log."""
        log = Path(self.server.base_dir, f"{self.server.name}.log")
        return log.read_text(encoding="utf-8", errors="replace").count(words)

    @contextmanager
    def database(self, template: str, *options: str) -> Iterator[URL]:
        """A clone of a database for the length of the block. Yields its URL, as the superuser."""
        name = f"fault_{next(self.numbers)}"
        self.create(name, template, *options)
        try:
            yield self.url.set(database=name)
        finally:
            execute(self.url, f"DROP DATABASE {name} WITH (FORCE)")

    def create(self, name: str, template: str, *options: str) -> None:
        """Clone a database for good. It belongs to the role that refreshes."""
        execute(self.url, f"CREATE DATABASE {name} TEMPLATE {template} OWNER {ROLE} {' '.join(options)}")


def of_role(url: URL) -> str:
    """The URL with which the refresh connects."""
    return url.set(username=ROLE).render_as_string(hide_password=False)


@contextmanager
def opened() -> Iterator[Ground]:
    """A server with the databases ``bare``, which has tables and no prices, and ``yesterday``, where all is built."""
    with guarded_folder() as folder:
        programs = usable(binaries(os.environ), folder / "cluster")
        with closing_server(folder, programs, SETTINGS) as server:
            ground = Ground(server=server, folder=folder)
            execute(ground.url, f"CREATE ROLE {ROLE} LOGIN")
            ground.create("bare", "template1")
            with connect(of_role(ground.url.set(database="bare"))) as engine:
                be_bare(engine)
            ground.create("yesterday", "bare")
            with connect(of_role(ground.url.set(database="yesterday"))) as engine:
                become_yesterday(engine)
            yield ground


def be_bare(engine: Engine) -> None:
    """Create all tables, with few timeframes and periods."""
    with engine.begin() as connection:
        create_tables(connection)
    enable(engine, FEW, [10])
    say(engine, "INSERT INTO dim_period (period, is_enabled, sort_order) VALUES (2, true, 0)")


def become_yesterday(engine: Engine) -> None:
    """Build all assets up to three days ago, each third one with a day that is still to arrive."""
    say(engine, _PRICES, first=1, last=ASSETS, from_day=-DAYS, to_day=-3)
    say(engine, f"DELETE FROM {SOURCE} WHERE id % 3 = 0 AND {_DAY}", day=-40)
    refresh(engine)


def become_morning(engine: Engine, seed: int) -> None:
    """New, revised, deleted, late and bad days, and a new asset. What is drawn depends on the seed alone."""
    draw = Random(seed)  # noqa: S311 - no secret
    revised, deleted, late = draw.sample(range(3, ASSETS + 1, 3), 3)
    revised, deleted = revised - 1, deleted - 1
    say(engine, _PRICES, first=1, last=ASSETS, from_day=-2, to_day=-1)
    say(engine, _PRICES, first=NEW_ASSET, last=NEW_ASSET, from_day=-draw.randint(30, 90), to_day=-1)
    say(engine, _PRICES, first=late, last=late, from_day=-41, to_day=-39)
    revise(engine, revised, draw.randint(-DAYS + 2, -5))
    say(engine, f"DELETE FROM {SOURCE} WHERE id = :id AND {_DAY}", id=deleted, day=draw.randint(-DAYS + 2, -5))
    for id, price in ((1, "NULL"), (2, "-1"), (NEW_ASSET, "'NaN'")):
        say(engine, f"UPDATE {SOURCE} SET close = {price} WHERE id = :id AND {_DAY}", id=id, day=-1)


def revise(engine: Engine, id: int, day: int) -> None:
    """Correct the close of a day by a little."""
    say(engine, f"UPDATE {SOURCE} SET close = close + 0.25 WHERE id = :id AND {_DAY}", id=id, day=day)


def copy_source(origin: URL, copy: URL) -> None:
    """Copy every row of the source of one database into that of another one, whose source is empty."""
    plain = (url.set(drivername="postgresql").render_as_string(hide_password=False) for url in (origin, copy))
    rows = io.BytesIO()
    with closing(psycopg2.connect(next(plain))) as session, session.cursor() as cursor:
        cursor.copy_expert(f"COPY {SOURCE} TO STDOUT (FORMAT binary)", rows)
    rows.seek(0)
    with closing(psycopg2.connect(next(plain))) as session, session.cursor() as cursor:
        cursor.copy_expert(f"COPY {SOURCE} FROM STDIN (FORMAT binary)", rows)
        session.commit()
