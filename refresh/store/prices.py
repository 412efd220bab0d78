"""Writing the user's price table: rows are staged by COPY, then merged by (id, timestamp) in one statement.

The only writer of that table. A row that already has the values of the file is left alone, so that its ``load_ts`` and
``source_file`` still show when its values were loaded and from which file. Refuses to know files and their formats.
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
from refresh.store.existing import existing_columns
from refresh.store.schema import refuse_standby, verify_source
from refresh.store.source import OPTIONAL, TABLE
from refresh.store.statements import quoted, relation
from refresh.wording import listed

_KEY = ("id", "timestamp")
_ORIGIN = ("source_file", "load_ts")
_LOADER_LOCK = 0x6C6F_6164  # "load"
_SHOWN_REPEATS = 20


def _uncollated(kind: TypeEngine[Any]) -> TypeEngine[Any]:
    """The type without its own collation, which could contradict that of the user's column."""
    return Text() if isinstance(kind, Text) else kind


_STAGE = Table(
    "prices_stage",
    MetaData(),
    Column("line", BigInteger, nullable=False),
    *(Column(column.name, _uncollated(column.type)) for column in TABLE.columns if column.name not in _ORIGIN),
    prefixes=["TEMPORARY"],
    postgresql_on_commit="DROP",
)

_HAS_KEY = text(f"""
    SELECT EXISTS (
        SELECT FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum IN (i.indkey[0], i.indkey[1])
        WHERE i.indrelid = {relation(":table")} AND i.indisunique AND i.indimmediate AND i.indisvalid
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """The numbers of rows that were inserted, that changed an existing row, and that were stored already."""

    inserted: int = 0
    changed: int = 0
    unchanged: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            inserted=self.inserted + other.inserted,
            changed=self.changed + other.changed,
            unchanged=self.unchanged + other.unchanged,
        )

    @property
    def rows(self) -> int:
        """All rows."""
        return self.inserted + self.changed + self.unchanged


@dataclass(frozen=True, slots=True, kw_only=True)
class Repeats:
    """Lines that a later line with the same id and timestamp replaces: their number, and the first pairs of lines."""

    total: int
    lines: tuple[tuple[int, int], ...]


def open_prices(connection: Connection) -> frozenset[str]:
    """The columns of the price table, which is created if it does not exist.

    Raises ``SchemaError`` if an existing table lacks a column or the key that an upsert needs, and ``SettingsError`` if
    nothing can be written.
    """
    refuse_standby(connection)
    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOADER_LOCK})
    if not existing_columns(connection, [SOURCE]):
        TABLE.create(connection, checkfirst=False)
    columns = frozenset(verify_source(connection, TABLE, OPTIONAL))
    if not connection.scalar(_HAS_KEY, {"table": SOURCE}):
        raise SchemaError(
            f"table {SOURCE} has no unique key on (id, timestamp), which loading a file again needs; add it: "
            f'ALTER TABLE {SOURCE} ADD UNIQUE (id, "timestamp")'
        )
    return columns


def upsert_prices(
    connection: Connection, blocks: Iterable[Rows], *, provided: frozenset[str], source_file: str, now: datetime
) -> tuple[Counts, Repeats]:
    """Merge blocks of rows, as ``load.prices`` makes them, into the price table; in the caller's transaction.

    ``provided`` are the columns that the file itself has. Only these are compared with and changed in an existing row,
    so that a file without circulating supply keeps the supply that another file brought.
    """
    columns = open_prices(connection)
    connection.execute(CreateTable(_STAGE))
    staged = sum(bulk.write(connection, _STAGE, rows) for rows in blocks)
    repeats = _remove_repeats(connection)
    connection.execute(text(f"ANALYZE {_STAGE.name}"))
    origin = {"source_file": source_file, "load_ts": now}
    counts = _merge(connection, staged - repeats.total, _upsert(columns, provided), origin)
    connection.execute(text(f"DROP TABLE {_STAGE.name}"))
    return counts, repeats


def _remove_repeats(connection: Connection) -> Repeats:
    repeats = connection.execute(_REPEATS).all()
    total = repeats[0].total if repeats else 0
    return Repeats(total=total, lines=tuple((row.line, row.last) for row in repeats))


def _merge(connection: Connection, staged: int, upsert: str, origin: dict[str, object]) -> Counts:
    """Count the existing keys first, then the rows that the upsert writes; the other counts follow.

    The loader's lock keeps other loaders from writing between the two.
    """
    existing = connection.scalar(text(f'SELECT count(*) FROM {_STAGE.name} JOIN {SOURCE} USING (id, "timestamp")'))
    written = connection.execute(text(upsert), origin).rowcount
    inserted = staged - existing
    changed = written - inserted
    return Counts(inserted=inserted, changed=changed, unchanged=existing - changed)


def _upsert(columns: frozenset[str], provided: frozenset[str]) -> str:
    """The statement. Unchanged rows are filtered out first, because ON CONFLICT locks, and so writes, every row.

    Its own condition is still needed: it compares values in the types of the user's columns.
    """
    staged = [column.name for column in _STAGE.columns if column.name in columns]
    origin = [name for name in _ORIGIN if name in columns]
    compared = [name for name in staged if name in provided and name not in _KEY]
    values = [f's."{name}"' for name in staged] + [f":{name}" for name in origin]
    changes = [f'"{name}" = EXCLUDED."{name}"' for name in (*compared, *origin)]
    return f"""
        INSERT INTO {SOURCE} AS stored ({quoted([*staged, *origin])})
        SELECT {listed(values)} FROM {_STAGE.name} AS s
        WHERE NOT EXISTS (
            SELECT FROM {SOURCE} AS p WHERE p.id = s.id AND p."timestamp" = s."timestamp"
             AND ({quoted(compared, "p")}) IS NOT DISTINCT FROM ({quoted(compared, "s")}))
        ORDER BY id, "timestamp"
        ON CONFLICT (id, "timestamp") DO UPDATE SET {listed(changes)}
        WHERE ({quoted(compared, "stored")}) IS DISTINCT FROM ({quoted(compared, "EXCLUDED")})
    """
