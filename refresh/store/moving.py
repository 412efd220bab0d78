"""What a user says about an asset, moved into another database: its prices, name and calendar, whether it is folded.

Nothing that is computed is moved; it is built again. Whoever moves compares afterwards, and removes at the end.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Sequence
from typing import IO

from sqlalchemy import Connection, text

from refresh.catalog import SOURCE
from refresh.errors import SchemaError
from refresh.store.database import raw_cursor
from refresh.store.dimension_tables import ASSETS
from refresh.store.existing import existing_columns
from refresh.store.names import qualified
from refresh.store.price_stage import ORIGIN
from refresh.store.prices import open_prices
from refresh.store.schema import prepare
from refresh.store.settings import ALL, remember_folds, remembered_folds, remembered_zone
from refresh.store.source import is_absent_or_empty
from refresh.store.statements import array_of, quoted

_DIMENSIONS = {"dim_timeframe": "tf", "dim_period": "period"}
_OF_IDS = "id = ANY(CAST(:ids AS int[]))"
_IN_MEMORY = 1 << 24


_IDENTITY = text("""
    SELECT pg_postmaster_start_time(), oid FROM pg_database WHERE datname = current_database()
""")


def identity(connection: Connection) -> tuple[object, ...]:
    """What no two databases have in common at a time, whatever their addresses are and without any right."""
    return tuple(connection.execute(_IDENTITY).one())


def common_columns(one: Connection, other: Connection, table: str) -> list[str]:
    """The columns that a table has in both databases, in order; none if it is missing in one."""
    first, second = (existing_columns(connection, [table]).get(table, {}) for connection in (one, other))
    return sorted(name for name in first if name in second)


def digests(connection: Connection, ids: Sequence[int], columns: Sequence[str]) -> Counter[int]:
    """The digests of all rows of some assets in the source, each with the number of such rows."""
    if is_absent_or_empty(connection):
        return Counter()
    query = text(f"SELECT hash_record_extended(ROW({quoted(columns)}), 0) FROM {SOURCE} WHERE {_OF_IDS}")
    return Counter(connection.execute(query, {"ids": array_of(ids)}).scalars())


def are_same(one: Connection, other: Connection, ids: Sequence[int]) -> bool:
    """Whether the prices of assets are the same in both databases, in every column that both have."""
    columns = common_columns(one, other, SOURCE)
    return digests(one, ids, columns) == digests(other, ids, columns)


def are_within(one: Connection, other: Connection, ids: Sequence[int]) -> bool:
    """Whether another database has every price of assets that one has; when and from where they came is no matter."""
    columns = [name for name in common_columns(one, other, SOURCE) if name not in ORIGIN]
    return digests(one, ids, columns) <= digests(other, ids, columns)


def block_prices(connection: Connection) -> None:
    """Let nobody write prices until the transaction ends. Whoever does is waited for, for a minute."""
    connection.execute(text("SET LOCAL lock_timeout = '60s'"))
    connection.execute(text(f"LOCK TABLE {SOURCE} IN SHARE ROW EXCLUSIVE MODE"))


def remove_prices(connection: Connection, ids: Sequence[int]) -> None:
    """Remove assets from the source."""
    connection.execute(text(f"DELETE FROM {SOURCE} WHERE {_OF_IDS}"), {"ids": array_of(ids)})


def prepare_like(origin: Connection, target: Connection) -> None:
    """Give a database without tables of ours the time zone, timeframes and periods of another one.

    Raises ``SchemaError`` if it has others.
    """
    tz, own = remembered_zone(origin) or "UTC", remembered_zone(target)
    if own not in {None, tz}:
        raise SchemaError(f"the time zone of one shard is {tz} and of another {own}; all shards need the same")
    is_new = not existing_columns(target, list(_DIMENSIONS))
    prepare(target, tz)
    for table, key in _DIMENSIONS.items():
        if is_new:
            target.execute(text(f"DELETE FROM {table}"))
            _copy(origin, target, table, "true", [])
        elif _enabled(origin, table, key) != _enabled(target, table, key):
            raise SchemaError(f"{table}: other rows are enabled in one shard than in another; make them the same")


def _enabled(connection: Connection, table: str, key: str) -> list[str]:
    return list(connection.execute(text(f"SELECT {key}::text FROM {table} WHERE is_enabled ORDER BY 1")).scalars())


def copy_assets(origin: Connection, target: Connection, ids: Sequence[int]) -> None:
    """Put the prices of assets, and what is said about them, in the place of what another database has of them."""
    open_prices(target)
    for table in (SOURCE, ASSETS):
        if existing_columns(target, [table]):
            target.execute(text(f"DELETE FROM {table} WHERE {_OF_IDS}"), {"ids": array_of(ids)})
        _copy(origin, target, table, "id = ANY(%s::int[])", [array_of(ids)])
    folds = remembered_folds(origin)
    folded = list(ids) if folds == ALL else [id for id in ids if id in folds]
    if folded and remembered_folds(target) != ALL:
        remember_folds(target, folded)


def _copy(origin: Connection, target: Connection, table: str, condition: str, values: Sequence[object]) -> None:
    """Append rows of a table to that of another database, in the columns that both have."""
    columns = common_columns(origin, target, table)
    if not columns:
        return
    with tempfile.SpooledTemporaryFile(_IN_MEMORY) as rows:
        _copy_out(origin, f"SELECT {quoted(columns)} FROM {table} WHERE {condition}", values, rows)
        rows.seek(0)
        with raw_cursor(target) as cursor:
            cursor.copy_expert(qualified(f"COPY {table} ({quoted(columns)}) FROM STDIN (FORMAT binary)"), rows)


def _copy_out(connection: Connection, query: str, values: Sequence[object], rows: IO[bytes]) -> None:
    with raw_cursor(connection) as cursor:
        statement = cursor.mogrify(qualified(query), values).decode()
        cursor.copy_expert(f"COPY ({statement}) TO STDOUT (FORMAT binary)", rows)
