"""Writing the user's price table: the staged rows of a file are merged by (id, timestamp), one row per asset and day.

The only writer of that table. A row that already has the values of the file is left alone, so that its ``load_ts`` and
``source_file`` still show when its values were loaded and from which file. Refuses to know files and their formats.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, text

from refresh.catalog import SOURCE
from refresh.errors import SchemaError
from refresh.store.existing import existing_columns
from refresh.store.price_days import Kept, Moved, keep_prices, move_days
from refresh.store.price_stage import OF_THE_SOURCE, ORIGIN, STAGE, Staged
from refresh.store.schema import refuse_standby, verify_source
from refresh.store.source import OPTIONAL, TABLE
from refresh.store.statements import quoted, relation
from refresh.wording import listed

_KEY = ("id", "timestamp")
_LOADER_LOCK = 0x6C6F_6164  # "load"

_HAS_KEY = text(f"""
    SELECT EXISTS (
        SELECT FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum IN (i.indkey[0], i.indkey[1])
        WHERE i.indrelid = {relation(":table")} AND i.indisunique AND i.indimmediate AND i.indisvalid
          AND i.indnkeyatts = 2 AND i.indpred IS NULL AND i.indexprs IS NULL
        GROUP BY i.indexrelid HAVING array_agg(a.attname::text ORDER BY a.attname) = ARRAY['id', 'timestamp'])
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
class Origin:
    """What a file gives to the rows that it changes: the columns that it ``provides``, its name, the time of loading.

    Only these columns are compared with and changed in an existing row, so that a file without circulating supply keeps
    the supply that another file brought. ``may_empty``: its empty prices replace stored ones.
    """

    provides: frozenset[str]
    source_file: str
    now: datetime
    tz: str = "UTC"
    may_empty: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Merged:
    """What a file did to the price table: its rows, the days whose prices it would have emptied, and moved times."""

    counts: Counts
    kept: Kept
    moved: Moved


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


def merge_prices(connection: Connection, staged: Staged, origin: Origin) -> Merged:
    """Merge the staged rows into the price table, in the caller's transaction. Afterwards there is no stage."""
    columns = frozenset(existing_columns(connection, [SOURCE])[SOURCE])
    kept = Kept() if origin.may_empty else keep_prices(connection, staged.fine, origin.tz)
    moved = move_days(connection, staged.fine, origin.tz, has_load_ts="load_ts" in columns)
    values = {"source_file": origin.source_file, "load_ts": origin.now}
    counts = _merge(connection, staged.rows - kept.total, _upsert(columns, origin.provides), values)
    connection.execute(text(f"DROP TABLE {STAGE.name}"))
    return Merged(counts=counts, kept=kept, moved=moved)


def _merge(connection: Connection, staged: int, upsert: str, origin: dict[str, object]) -> Counts:
    """Count the existing keys first, then the rows that the upsert writes; the other counts follow.

    The loader's lock keeps other loaders from writing between the two.
    """
    existing = connection.scalar(text(f'SELECT count(*) FROM {STAGE.name} JOIN {SOURCE} USING (id, "timestamp")'))
    written = connection.execute(text(upsert), origin).rowcount
    inserted = staged - existing
    changed = written - inserted
    return Counts(inserted=inserted, changed=changed, unchanged=existing - changed)


def _upsert(columns: frozenset[str], provided: frozenset[str]) -> str:
    """The statement. Unchanged rows are filtered out first, because ON CONFLICT locks, and so writes, every row.

    Its own condition is still needed: it compares values in the types of the user's columns.
    """
    staged = [name for name in OF_THE_SOURCE if name in columns]
    origin = [name for name in ORIGIN if name in columns]
    compared = [name for name in staged if name in provided and name not in _KEY]
    values = [f's."{name}"' for name in staged] + [f":{name}" for name in origin]
    changes = [f'"{name}" = EXCLUDED."{name}"' for name in (*compared, *origin)]
    return f"""
        INSERT INTO {SOURCE} AS stored ({quoted([*staged, *origin])})
        SELECT {listed(values)} FROM {STAGE.name} AS s
        WHERE NOT EXISTS (
            SELECT FROM {SOURCE} AS p WHERE p.id = s.id AND p."timestamp" = s."timestamp"
             AND ({quoted(compared, "p")}) IS NOT DISTINCT FROM ({quoted(compared, "s")}))
        ORDER BY id, "timestamp"
        ON CONFLICT (id, "timestamp") DO UPDATE SET {listed(changes)}
        WHERE ({quoted(compared, "stored")}) IS DISTINCT FROM ({quoted(compared, "EXCLUDED")})
    """
