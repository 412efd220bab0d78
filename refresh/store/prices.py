"""The user's price table, written: rows staged by COPY, then merged by (id, timestamp) in one statement.

The only writer of that table. A row that already holds what the file says is left alone, so that its ``load_ts`` and
``source_file`` keep telling when and from where its values came.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Column, Connection, MetaData, Table, Text, text
from sqlalchemy.schema import CreateTable
from sqlalchemy.types import TypeEngine

from refresh.catalog import SOURCE
from refresh.core.rows import Rows
from refresh.errors import SchemaError
from refresh.store import bulk
from refresh.store.schema import found_columns, verify_source
from refresh.store.source import OPTIONAL, TABLE

_KEY = ("id", "timestamp")
_ORIGIN = ("source_file", "load_ts")
_LOADER_LOCK = 0x6C6F_6164  # "load"
_SHOWN_REPEATS = 20


def _uncollated(kind: TypeEngine[Any]) -> TypeEngine[Any]:
    """The type without a collation of its own, which could contradict that of the user's column."""
    return Text() if isinstance(kind, Text) else kind


_STAGE = Table(
    "prices_stage",
    MetaData(),
    Column("line", BigInteger, nullable=False),
    *(Column(column.name, _uncollated(column.type)) for column in TABLE.columns if column.name not in _ORIGIN),
    prefixes=["TEMPORARY"],
    postgresql_on_commit="DROP",
)

_HAS_KEY = text("""
    SELECT EXISTS (
        SELECT FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum IN (i.indkey[0], i.indkey[1])
        WHERE i.indrelid = to_regclass(:table) AND i.indisunique AND i.indimmediate AND i.indisvalid
          AND i.indnkeyatts = 2 AND i.indpred IS NULL AND i.indexprs IS NULL
        GROUP BY i.indexrelid HAVING array_agg(a.attname::text ORDER BY a.attname) = ARRAY['id', 'timestamp'])
""")

_REPEATS = text(f"""
    WITH repeated AS (
        DELETE FROM {_STAGE.name} s USING (
            SELECT line, max(line) OVER (PARTITION BY id, "timestamp") AS last FROM {_STAGE.name}) AS r
        WHERE r.line = s.line AND r.line < r.last RETURNING s.line, r.last)
    SELECT line, last, count(*) OVER () AS total FROM repeated ORDER BY line LIMIT {_SHOWN_REPEATS}
""")


@dataclass(frozen=True, slots=True)
class Counts:
    """What became of the rows: each is inserted, changes one that is there, or finds it unchanged."""

    inserted: int = 0
    changed: int = 0
    unchanged: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(self.inserted + other.inserted, self.changed + other.changed, self.unchanged + other.unchanged)

    @property
    def rows(self) -> int:
        """All of them."""
        return self.inserted + self.changed + self.unchanged


@dataclass(frozen=True, slots=True)
class Repeats:
    """Lines that a later line with the same id and timestamp displaced: how many, and the first of them as pairs."""

    total: int
    lines: tuple[tuple[int, int], ...]


def open_prices(connection: Connection) -> frozenset[str]:
    """The columns of the price table, which is created where there is none.

    Raises ``SchemaError`` where an existing one lacks a column or the key that an upsert needs.
    """
    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOADER_LOCK})
    if not found_columns(connection, [SOURCE]):
        TABLE.create(connection, checkfirst=False)
    columns = verify_source(connection, TABLE, OPTIONAL)
    if not connection.scalar(_HAS_KEY, {"table": SOURCE}):
        raise SchemaError(
            f"table {SOURCE} has no unique key on (id, timestamp), so a file could not be loaded twice; add it: "
            f'ALTER TABLE {SOURCE} ADD UNIQUE (id, "timestamp")'
        )
    return columns


def upsert_prices(
    connection: Connection, blocks: Iterable[Rows], said: frozenset[str], *, source_file: str, now: datetime
) -> tuple[Counts, Repeats]:
    """Merge blocks of rows, as ``core.prices`` makes them, into the price table; in the caller's transaction.

    ``said`` are the columns that the file itself has: an existing row is compared with, and changed in, these only, so
    that a file without circulating supply does not wipe out what another one brought.
    """
    columns = open_prices(connection)
    connection.execute(CreateTable(_STAGE))
    staged = sum(bulk.write(connection, _STAGE, rows) for rows in blocks)
    repeats = _remove_repeats(connection)
    connection.execute(text(f"ANALYZE {_STAGE.name}"))
    origin = {name: value for name, value in zip(_ORIGIN, (source_file, now), strict=True) if name in columns}
    counts = _merge(connection, staged - repeats.total, columns, said, origin)
    connection.execute(text(f"DROP TABLE {_STAGE.name}"))
    return counts, repeats


def _remove_repeats(connection: Connection) -> Repeats:
    found = connection.execute(_REPEATS).all()
    return Repeats(found[0].total if found else 0, tuple((row.line, row.last) for row in found))


def _merge(
    connection: Connection, staged: int, columns: frozenset[str], said: frozenset[str], origin: dict[str, object]
) -> Counts:
    """Count the keys that exist before and the rows that the upsert touched; the rest follows.

    The loader's lock keeps other loaders from coming between the two.
    """
    existing = connection.scalar(text(f'SELECT count(*) FROM {_STAGE.name} JOIN {SOURCE} USING (id, "timestamp")'))
    written = connection.execute(text(_upsert(columns, said, list(origin))), origin).rowcount
    inserted = staged - existing
    return Counts(inserted, written - inserted, existing - (written - inserted))


def _upsert(columns: frozenset[str], said: frozenset[str], origin: list[str]) -> str:
    """The statement. Rows that are unchanged are left out beforehand, for ON CONFLICT locks, and so writes, each row.

    Its own condition decides none the less: there, values have the types of the user's columns.
    """
    told = [column.name for column in _STAGE.columns if column.name in columns]
    compared = [name for name in told if name in said and name not in _KEY]
    return f"""
        INSERT INTO {SOURCE} AS held ({_listed([*told, *origin])})
        SELECT {_listed(told)}{"".join(f", :{name}" for name in origin)} FROM {_STAGE.name} AS s
        WHERE NOT EXISTS (
            SELECT FROM {SOURCE} AS h WHERE h.id = s.id AND h."timestamp" = s."timestamp"
             AND ({_listed(compared, "h.")}) IS NOT DISTINCT FROM ({_listed(compared, "s.")}))
        ORDER BY id, "timestamp"
        ON CONFLICT (id, "timestamp") DO UPDATE SET {", ".join(f'"{n}" = EXCLUDED."{n}"' for n in [*compared, *origin])}
        WHERE ({_listed(compared, "held.")}) IS DISTINCT FROM ({_listed(compared, "EXCLUDED.")})
    """


def _listed(names: Iterable[str], table: str = "") -> str:
    return ", ".join(f'{table}"{name}"' for name in names)
