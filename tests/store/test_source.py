"""The user's price table in whatever shape it has: columns, types and rows that no good table has."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from prices import FILL, fill
from refreshing import open_scopes, refresh
from sqlalchemy import Engine
from statements import ask, execute

from refresh.catalog import DAILY, SOURCE, by_key
from refresh.due import survey
from refresh.errors import SchemaError
from refresh.options.request import Request
from refresh.store import source
from refresh.store.database import connect, transaction
from refresh.store.source import OPTIONAL, TABLE

BUILDER = by_key("bars.1d")
REQUIRED = [column.name for column in TABLE.columns if column.name not in OPTIONAL]

LEAN = f"""CREATE TABLE {SOURCE} (id int, "timestamp" timestamptz, timeopen timestamptz, timeclose timestamptz,
    open float8, high float8, low float8, close float8, volume float8)"""
OTHER_TYPES = f"""CREATE TABLE {SOURCE} (id bigint, "timestamp" timestamp, timeopen timestamp,
    timeclose timestamp, timehigh timestamp(0), timelow timestamp, open numeric, high numeric(20, 8), low real,
    close numeric, volume bigint, marketcap numeric, circulatingsupply bigint, name varchar(20), source_file text,
    load_ts timestamp)"""


@pytest.fixture
def empty(database_url: str) -> Iterator[Engine]:
    """An engine on a database without any table."""
    with connect(database_url) as engine:
        yield engine


@pytest.fixture
def keyless(empty: Engine) -> Engine:
    """A source without a primary key, in which asset 1 has three good days and asset 2 has one."""
    execute(empty, LEAN)
    fill(empty, 1, "2024-01-01", "2024-01-03")
    fill(empty, 2, "2024-01-01", "2024-01-01")
    return empty


def add(engine: Engine, asset: int, timestamp: str | None, close: float = 10.0) -> None:
    """One row of an asset at any time."""
    execute(
        engine,
        f"""INSERT INTO {SOURCE} (id, "timestamp", timeopen, timeclose, open, high, low, close, volume)
            VALUES (:asset, :timestamp, '2024-01-01Z', '2024-01-02Z', 10, 20, 5, :close, 1000)""",
        asset=asset,
        timestamp=timestamp,
        close=close,
    )


def is_due(engine: Engine) -> bool:
    """Whether anything is due on the daily bars."""
    (scope,) = open_scopes(engine, builders=[BUILDER])
    with transaction(engine) as connection:
        return bool(survey.due(connection, scope, BUILDER.legs[0]))


def refresh_daily(engine: Engine) -> list[str | None]:
    """Bring the daily bars up to date. Returns the error of each asset that was due."""
    return [outcome.error for outcome in refresh(engine, builders=[BUILDER])]


def bars_per_asset(engine: Engine) -> list[tuple[int, int]]:
    """The number of daily bars of each asset."""
    return [(id, number) for id, number in ask(engine, f"SELECT id, count(*) FROM {DAILY} GROUP BY 1 ORDER BY 1")]


# Columns and types


def test_lean_table(empty: Engine) -> None:
    """Optional columns that the table lacks are NULL in the bars, and the times of the extremes are derived."""
    execute(empty, LEAN)
    fill(empty, 1, "2024-01-01", "2024-01-03")
    (outcome,) = refresh(empty, builders=[BUILDER])
    assert (outcome.rows, outcome.error) == (3, None)
    columns = "src_name, src_load_ts, src_file, market_cap, time_high = time_close, time_low = time_open, volume"
    assert ask(empty, f"SELECT DISTINCT {columns} FROM {DAILY}") == [(None, None, None, None, True, True, 1000)]


def test_other_types(empty: Engine) -> None:
    """Numbers of any kind become floats, and times without a zone are UTC."""
    execute(empty, OTHER_TYPES)
    fill(empty, 1, "2024-01-01", "2024-01-02")
    execute(
        empty,
        f"""UPDATE {SOURCE} SET open = 10.123456789012345678, low = 0.1, marketcap = 1e15, name = 'Zürich ₿',
            timehigh = '2024-01-01 12:00:00', timelow = '2024-01-01 13:00:00.5', load_ts = '2024-01-05 06:00'
            WHERE "timestamp" < '2024-01-02'""",
    )
    (outcome,) = refresh(empty, builders=[BUILDER])
    assert (outcome.rows, outcome.error) == (2, None)
    columns = '"timestamp", time_high, time_low, open, low, close, volume, market_cap, src_name, src_load_ts'
    (bar,) = ask(empty, f"SELECT {columns} FROM {DAILY} WHERE bar_seq = 1")
    assert bar == (
        datetime(2024, 1, 1, 23, 59, 59, 999000, tzinfo=UTC),
        datetime(2024, 1, 1, 12, tzinfo=UTC),
        datetime(2024, 1, 1, 13, 0, 0, 500000, tzinfo=UTC),
        10.123456789012345678,
        pytest.approx(0.1, rel=1e-7),
        10.01,
        1000.0,
        1e15,
        "Zürich ₿",
        datetime(2024, 1, 5, 6, tzinfo=UTC),
    )
    assert not is_due(empty)


def test_view_as_source(empty: Engine) -> None:
    """A view of the right columns is as good as a table."""
    execute(
        empty,
        LEAN.replace(SOURCE, "raw"),
        FILL.replace(SOURCE, "raw").replace(":asset", "1"),
        first="2024-01-01Z",
        last="2024-01-03Z",
    )
    execute(empty, f"CREATE VIEW {SOURCE} AS SELECT * FROM raw")
    (outcome,) = refresh(empty, builders=[BUILDER])
    assert outcome.rows == 3


@pytest.mark.parametrize(
    "missing", [["close"], ["timestamp"], ["timeopen", "low", "volume"], REQUIRED[1:]], ids=",".join
)
def test_required_columns(empty: Engine, missing: list[str]) -> None:
    """A table that lacks required columns is refused with the names of all of them."""
    execute(empty, LEAN, *(f'ALTER TABLE {SOURCE} DROP COLUMN "{name}"' for name in missing))
    with empty.connect() as connection, pytest.raises(SchemaError) as caught:
        source.open_source(connection, "UTC")
    noun = "column" if len(missing) == 1 else "columns"
    names = ", ".join(sorted(missing, key=REQUIRED.index))
    assert str(caught.value) == f"table {SOURCE} lacks the {noun} {names}"


def test_no_source(empty: Engine) -> None:
    """Without a table the error names it, and how to fill one."""
    message = f"table {SOURCE} does not exist.*refresh.load"
    with empty.connect() as connection, pytest.raises(SchemaError, match=message):
        source.open_source(connection, "UTC")


def test_absent_or_empty(empty: Engine) -> None:
    """No table and a table without rows are both no prices; one row is enough."""
    for statement, is_empty in (("SELECT 1", True), (LEAN, True), (FILL, False)):
        execute(empty, statement, asset=1, first="2024-01-01Z", last="2024-01-01Z")
        with empty.connect() as connection:
            assert source.is_absent_or_empty(connection) is is_empty


@pytest.mark.parametrize("has_index", [True, False], ids=["indexed", "without an index"])
def test_known_ids(engine: Engine, *, has_index: bool) -> None:
    """Assets are known from the source or, if they are gone from it, from their bars; rows without an id are none."""
    for asset in (1, 2):
        fill(engine, asset, "2024-01-01", "2024-01-03")
    refresh(engine, builders=[BUILDER])
    execute(engine, f"DELETE FROM {SOURCE} WHERE id = 2", f"ALTER TABLE {SOURCE} DROP CONSTRAINT {SOURCE}_pkey")
    execute(
        engine,
        f"ALTER TABLE {SOURCE} ALTER COLUMN id DROP NOT NULL",
        f'INSERT INTO {SOURCE} (id, "timestamp") VALUES (NULL, now())',
    )
    if has_index:
        execute(engine, f'CREATE INDEX ON {SOURCE} (id, "timestamp")')
    fill(engine, 3, "2024-01-01", "2024-01-01")
    with engine.connect() as connection:
        assert source.known_ids(connection) == [1, 2, 3]


# Odd rows


@pytest.mark.parametrize("timestamp", [None, "infinity", "-infinity"])
def test_rows_without_a_time(keyless: Engine, timestamp: str | None) -> None:
    """A row whose timestamp is NULL or infinite is refused once, before and after it changes, and goes when it goes."""
    rejects = f'SELECT id, "timestamp", reason, copy, close FROM {DAILY}_rejects'
    add(keyless, 1, timestamp)
    assert refresh_daily(keyless) == [None, None]
    assert ask(keyless, rejects) == [(1, None, "null_time", 1, 10)]
    assert not is_due(keyless)
    execute(keyless, f"UPDATE {SOURCE} SET close = 11 WHERE id = 1 AND close = 10")
    assert refresh_daily(keyless) == [None]
    assert ask(keyless, rejects) == [(1, None, "null_time", 1, 11)]
    assert not is_due(keyless)
    execute(keyless, f"DELETE FROM {SOURCE} WHERE close = 11")
    assert refresh_daily(keyless) == [None]
    assert ask(keyless, rejects) == []
    assert bars_per_asset(keyless) == [(1, 3), (2, 1)]


@pytest.mark.parametrize("timestamp", ["20240-01-05Z", "9999-12-31 23:59:59.999999Z"])
def test_rows_far_ahead(keyless: Engine, timestamp: str) -> None:
    """A mistyped year, even one that Python's calendar does not reach, refuses its row and nothing else."""
    add(keyless, 1, timestamp)
    assert refresh_daily(keyless) == [None, None]
    assert ask(keyless, f"SELECT id FROM {DAILY}_rejects") == [(1,)]
    assert not is_due(keyless)
    execute(keyless, f"UPDATE {SOURCE} SET close = 11 WHERE close = 10")
    assert refresh_daily(keyless) == [None]
    assert ask(keyless, f"SELECT close FROM {DAILY}_rejects") == [(11,)]
    assert bars_per_asset(keyless) == [(1, 3), (2, 1)]


def test_repeated_rows(keyless: Engine) -> None:
    """Of equal rows, which only a table without a key has, one is a bar and each other one a reject of its own."""
    for _ in range(3):
        add(keyless, 2, "2024-01-05 12:00Z")
    assert refresh_daily(keyless) == [None, None]
    rejects = ask(keyless, f"SELECT reason, copy FROM {DAILY}_rejects ORDER BY 2")
    assert rejects == [("duplicate_day", 1), ("duplicate_day", 2)]
    assert not is_due(keyless)


@pytest.mark.parametrize("zone", ["Asia/Tokyo", "America/New_York"])
def test_days_of_another_time_zone(empty: Engine, zone: str) -> None:
    """Rows before and after local midnight are two days, rows before and after UTC's midnight are one."""
    ((midnight,),) = ask(empty, f"SELECT timestamp '2024-02-01 00:00' AT TIME ZONE '{zone}'")
    execute(empty, LEAN)
    for hours in (-1, 1, 23):
        add(empty, 1, (midnight + timedelta(hours=hours)).isoformat(), close=10.0 + hours)
    refresh(empty, Request(tz=zone), [BUILDER])
    assert ask(empty, f"SELECT close, is_missing_days FROM {DAILY} ORDER BY bar_seq") == [(9, False), (33, False)]
    assert ask(empty, f"SELECT close, reason FROM {DAILY}_rejects") == [(11, "duplicate_day")]
