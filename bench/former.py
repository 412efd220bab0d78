"""The same logical rows as plain tables, with the columns, types, keys and indexes that the twelve names stand for.

They are filled from what the names return, whatever is behind a name, in a schema of their own beside ours.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path

from sqlalchemy import Connection, Index, MetaData, UniqueConstraint, text
from sqlalchemy.schema import SchemaItem

from bench.programs import psql
from bench.server import Database
from refresh.catalog import Leg, legs
from refresh.shapes import Shape
from refresh.store.declaration import declared_table

from refresh.store.tables import (  # isort: skip
    DAILY_STATE, LEDGER, MONTHS, OUTCOMES, REJECTS, RUNS, SETTINGS, STEPS,
)  # fmt: skip

SCHEMA = "former"
SHAPES: dict[str, Shape] = {leg.target: leg.shape for _, leg in legs()}
"""The twelve names, in the order in which they are built."""
_STATES = [leg.state for _, leg in legs() if leg.shape.has_timeframes]
_DIMENSIONS = ("dim_timeframe", "dim_period", "ema_alpha_lookup")
BESIDE = (*_DIMENSIONS, SETTINGS, REJECTS, MONTHS, DAILY_STATE, LEDGER, RUNS, STEPS, OUTCOMES, *_STATES)
"""The other tables, which plain tables need as much: they count on both sides."""
_BY_ASSET = {"enable_seqscan": "off", "enable_mergejoin": "off", "enable_hashjoin": "off", "work_mem": "'256MB'"}
"""Settings that read through the index asset after asset, whatever the planner expects."""
_METADATA = MetaData(schema=SCHEMA)


def _declare(leg: Leg) -> None:
    extras: list[SchemaItem] = []
    if leg.shape.unique:
        extras.append(UniqueConstraint(*leg.shape.unique))
    if leg.shape.closed:
        name = f"{leg.target}_canonical"
        extras.append(Index(name, *leg.shape.closed, postgresql_where=text("NOT is_partial_end")))
    declared_table(_METADATA, leg.target, leg.shape.columns, leg.shape.key, *extras)


for _, _leg in legs():
    _declare(_leg)


def create(database: Database) -> None:
    """Create the tables, empty, in place of those that there are."""
    with database.engine.begin() as connection:
        connection.execute(text(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE"))
        connection.execute(text(f"CREATE SCHEMA {SCHEMA}"))
        _METADATA.create_all(connection, checkfirst=False)


def exists(database: Database) -> bool:
    """Whether the tables are there."""
    with database.engine.connect() as connection:
        return bool(connection.execute(text("SELECT to_regnamespace(:name) IS NOT NULL"), {"name": SCHEMA}).scalar())


def fill(database: Database, *, since: datetime | None = None) -> None:
    """Create the tables and copy into them what the names return, from a time on, in the order of the keys."""
    create(database)

    def insert(target: str) -> None:
        with database.engine.begin() as connection:
            _read_by_asset(connection)
            names = _names(SHAPES[target])
            query = rows(database, target, since=since)
            connection.execute(text(f"INSERT INTO {SCHEMA}.{target} ({names}) {query}"))

    _in_sessions(insert, SHAPES, sessions=2)


def rows(database: Database, target: str, *, since: datetime | None = None) -> str:
    """A query for what a name returns, from a time on, in the order of the key: asset after asset."""
    shape = SHAPES[target]
    names = _names(shape)
    later = f""" AND v."{shape.time}" >= '{since.isoformat()}'""" if since else ""
    order = ", ".join(f'"{name}"' for name in shape.key)
    own = f"SELECT {names} FROM public.{target} v WHERE v.id = a{later} ORDER BY {order}"
    return f"SELECT r.* FROM generate_series(1, {database.size.assets}) a, LATERAL ({own}) r"


def count(database: Database, *, asset: int, since: datetime | None = None) -> int:
    """The number of logical rows of an asset in all names, from a time on."""
    total = 0
    with database.engine.begin() as connection:
        _read_by_asset(connection)
        for target, shape in SHAPES.items():
            later = f' AND "{shape.time}" >= :since' if since else ""
            query = text(f"SELECT count(*) FROM {target} WHERE id = :id{later}")
            total += connection.execute(query, {"id": asset, "since": since}).scalar_one()
    return total


def dump(database: Database, directory: Path, *, since: datetime | None = None) -> None:
    """Write what each name returns to a file, encoded as the server reads it."""
    prefer = "; ".join(f"SET {name} = {value}" for name, value in _BY_ASSET.items())

    def write(target: str) -> None:
        copy = f"\\copy ({rows(database, target, since=since)}) to '{directory / target}' (format binary)"
        psql(database.url, prefer, copy)

    _in_sessions(write, SHAPES, sessions=2)


def load(database: Database, directory: Path) -> None:
    """Have psql copy the files into the tables, in as many sessions as a refresh has jobs; the largest first."""

    def copy(target: str) -> None:
        names = _names(SHAPES[target])
        psql(database.url, f"\\copy {SCHEMA}.{target} ({names}) from '{directory / target}' (format binary)")

    largest_first = sorted(SHAPES, key=lambda target: -(directory / target).stat().st_size)
    _in_sessions(copy, largest_first, sessions=os.cpu_count() or 1)


def _in_sessions(act: Callable[[str], None], targets: Iterable[str], *, sessions: int) -> None:
    with ThreadPoolExecutor(sessions) as pool:
        list(pool.map(act, targets))  # raises what an act has raised


def _names(shape: Shape) -> str:
    return ", ".join(f'"{column.name}"' for column in shape.columns)


def _read_by_asset(connection: Connection) -> None:
    for name, value in _BY_ASSET.items():
        connection.execute(text(f"SET LOCAL {name} = {value}"))
