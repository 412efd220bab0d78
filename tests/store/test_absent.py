"""Statements that name tables that do not exist, which they read as empty."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import ProgrammingError

from refresh.core.rows import TIME, count
from refresh.store import bulk
from refresh.store.absent import read_as_if_prepared
from refresh.store.database import connect
from refresh.store.tables import METADATA

DAILY, STATE, EMA_STATE = "cmc_price_bars_1d", "cmc_price_bars_1d_state", "cmc_ema_multi_tf_state"


@pytest.fixture
def connection(database_url: str) -> Iterator[Connection]:
    """A session of a database without any table, to which the daily bars and two states read as empty ones."""
    with connect(database_url) as engine, engine.connect() as connection:
        yield read_as_if_prepared(connection, [METADATA.tables[name] for name in (DAILY, STATE, EMA_STATE)])


STATEMENTS = {
    "plain": f"SELECT id FROM {DAILY} WHERE id > :least",
    "leading white space": f"\n   SELECT id FROM {DAILY} WHERE id > :least",
    "quoted": f'SELECT id FROM "{DAILY}" WHERE id > :least',
    "WITH": f"WITH ids AS (SELECT id FROM {DAILY}) SELECT id FROM ids WHERE id > :least",
    "WITH on a line of its own": f"\n  WITH\n  ids AS (SELECT id FROM {DAILY}) SELECT id FROM ids WHERE id > :least",
    "lower case": f"with ids as (select id from {DAILY}) select id from ids where id > :least",
    "WITH RECURSIVE": f"""
        WITH RECURSIVE ids AS (
            (SELECT id FROM {DAILY} ORDER BY id LIMIT 1) UNION ALL
            SELECT (SELECT d.id FROM {DAILY} d WHERE d.id > i.id ORDER BY d.id LIMIT 1) FROM ids i
            WHERE i.id IS NOT NULL
        ) SELECT id FROM ids WHERE id > :least""",
    "lower case, recursive": f"with recursive ids as (select id from {DAILY}) select id from ids where id > :least",
    "several tables": f"SELECT id FROM {DAILY} JOIN {STATE} USING (id) JOIN {EMA_STATE} USING (id) WHERE id > :least",
    "a subquery": f"SELECT id FROM (SELECT id FROM {DAILY}) AS q WHERE EXISTS (SELECT FROM {STATE}) AND id > :least",
    "a name that is the beginning of another": f"SELECT id FROM {STATE} WHERE id > :least",
    "a name like a column": f"SELECT {STATE}.id FROM {STATE} WHERE {STATE}.id > :least",
}


@pytest.mark.parametrize("statement", STATEMENTS.values(), ids=STATEMENTS)
def test_missing_tables_are_empty(connection: Connection, statement: str) -> None:
    """However a statement names a missing table, it finds no rows in it."""
    assert connection.execute(text(statement), {"least": 0}).all() == []


def test_aggregate_of_a_missing_table(connection: Connection) -> None:
    """An aggregate over no rows is an answer."""
    query = f"SELECT count(*), max(bar_seq), (SELECT count(*) FROM {STATE}) FROM {DAILY}"
    assert connection.execute(text(query)).one() == (0, None, 0)


def test_columns_have_their_types(connection: Connection) -> None:
    """Every column of a missing table has the type that it would have."""
    columns = METADATA.tables[EMA_STATE].columns.keys()
    types = ", ".join(f"pg_typeof(s.{name})::text AS {name}" for name in columns)
    query = f"SELECT {types} FROM (SELECT 1) AS row LEFT JOIN {EMA_STATE} s ON true"
    assert connection.execute(text(query)).mappings().one() == {
        "id": "integer",
        "tf": "text",
        "periods": "integer[]",
        "seen_ts": "timestamp with time zone",
        "last_ts": "timestamp with time zone",
        "dirty_from": "timestamp with time zone",
        "close_sum": "double precision",
        "updated_at": "timestamp with time zone",
        "version": "integer",
    }


def test_table_whose_name_begins_with_a_missing_one(connection: Connection) -> None:
    """A table that exists is read, although its name begins with that of a missing one."""
    connection.execute(text(f"CREATE TABLE {DAILY}_rejects AS SELECT 7 AS id"))
    query = f"SELECT id FROM {DAILY}_rejects WHERE NOT EXISTS (SELECT FROM {DAILY})"
    assert connection.execute(text(query)).scalars().all() == [7]
    assert connection.execute(text(f"SELECT id FROM {DAILY}_rejects")).scalars().all() == [7]


def test_other_tables_stay_missing(connection: Connection) -> None:
    """A table that was not named as missing is an error."""
    with pytest.raises(ProgrammingError, match="cmc_price_bars_multi_tf"):
        connection.execute(text(f"SELECT FROM cmc_price_bars_multi_tf, {DAILY}"))


def test_only_this_connection_reads_it_as_empty(connection: Connection) -> None:
    """Another session of the same engine does not find the table."""
    with connection.engine.connect() as other, pytest.raises(ProgrammingError, match=DAILY):
        other.execute(text(f"SELECT FROM {DAILY}"))


@pytest.mark.parametrize(
    "query",
    [
        f'SELECT id, "timestamp" FROM {DAILY} WHERE id > :least',
        f'WITH bars AS (SELECT * FROM {DAILY}) SELECT id, "timestamp" FROM bars WHERE id > :least',
        f'SELECT d.id, d."timestamp" FROM {DAILY} d JOIN {STATE} s USING (id) WHERE d.id > :least',
    ],
    ids=["plain", "WITH", "several tables"],
)
def test_arrays_of_a_missing_table(connection: Connection, query: str) -> None:
    """A missing table is read into empty arrays of the right types."""
    rows = bulk.read(connection, query, {"least": 0}, {"id": bulk.INT, "timestamp": bulk.TIMESTAMP})
    assert count(rows) == 0
    assert (rows["id"].dtype.str, rows["timestamp"].dtype.str) == ("<i4", f"<{TIME}")


def test_widths_of_a_missing_table(connection: Connection) -> None:
    """The texts of a missing table are one byte wide."""
    widths = bulk.text_widths(connection, f"SELECT src_name FROM {DAILY}", {}, ["src_name"])
    assert widths["src_name"].width == 1
