"""The user's price table in whatever shape it has, and what is due on the daily bars when its rows change."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from prices import FILL, fill
from refreshing import NOW, refresh, rows
from sqlalchemy import Engine
from statements import ask, execute

from refresh.catalog import by_key
from refresh.due.decision import Action, Due
from refresh.errors import SchemaError
from refresh.options.request import Request
from refresh.store import source
from refresh.due import survey
from refresh.store.database import connect, transaction
from refresh.store.source import OPTIONAL, TABLE

if TYPE_CHECKING:
    from collections.abc import Iterator

DAILY = by_key("bars.1d")
PRICES = "cmc_price_histories7"
BARS = "cmc_price_bars_1d"
REQUIRED = [name for name in TABLE.columns.keys() if name not in OPTIONAL]  # noqa: SIM118 - a column collection

LEAN = f"""CREATE TABLE {PRICES} (id int, "timestamp" timestamptz, timeopen timestamptz, timeclose timestamptz,
    open float8, high float8, low float8, close float8, volume float8)"""
TYPES_OF_THE_USERS = f"""CREATE TABLE {PRICES} (id bigint, "timestamp" timestamp, timeopen timestamp,
    timeclose timestamp, timehigh timestamp(0), timelow timestamp, open numeric, high numeric(20, 8), low real,
    close numeric, volume bigint, marketcap numeric, circulatingsupply bigint, name varchar(20), source_file text,
    load_ts timestamp)"""
CHANGES = {
    "day after the last": ("INSERT", "2024-04-11", "2024-04-01"),
    "day of a new month": ("INSERT", "2024-05-02", "2024-05-01"),
    "day in a gap": ("INSERT", "2024-02-20", "2024-02-01"),
    "day before the first": ("INSERT", "2023-12-31", "2023-12-01"),
    "close": (f"UPDATE {PRICES} SET close = close + 0.5", "2024-01-31", "2024-01-01"),
    "first day of a month": (f"UPDATE {PRICES} SET high = 21", "2024-03-01", "2024-03-01"),
    "name only": (f"UPDATE {PRICES} SET name = 'Renamed'", "2024-02-10", "2024-02-01"),
    "load time only": (f"UPDATE {PRICES} SET load_ts = now()", "2024-02-10", "2024-02-01"),
    "NULL becomes NaN": (f"UPDATE {PRICES} SET marketcap = 'NaN'", "2024-02-10", "2024-02-01"),
    "deleted": (f"DELETE FROM {PRICES}", "2024-02-10", "2024-02-01"),
    "last one deleted": (f"DELETE FROM {PRICES}", "2024-04-10", "2024-04-01"),
    "time of day": (f"""UPDATE {PRICES} SET "timestamp" = "timestamp" - interval '1 h'""", "2024-03-10", "2024-03-01"),
}


@pytest.fixture
def empty(database_url: str) -> Iterator[Engine]:
    """An engine on a database without any table."""
    engine = connect(database_url)
    yield engine
    engine.dispose()


@pytest.fixture
def known(engine: Engine) -> Engine:
    """Assets 1 and 2 with all of 2024 up to 10 April but the 20th of February, taken in."""
    fill(engine, 1, "2024-01-01", "2024-04-10")
    fill(engine, 2, "2024-01-01", "2024-04-10")
    execute(engine, f"""DELETE FROM {PRICES} WHERE ("timestamp" AT TIME ZONE 'UTC')::date = '2024-02-20'""")
    refresh(engine, builders=[DAILY])
    return engine


def add(engine: Engine, asset: int, timestamp: str | None, close: float = 10.0) -> None:
    """One row of an asset at any time."""
    execute(
        engine,
        f"""INSERT INTO {PRICES} (id, "timestamp", timeopen, timeclose, open, high, low, close, volume)
            VALUES (:asset, :at, '2024-01-01Z', '2024-01-02Z', 10, 20, 5, :close, 1000)""",
        asset=asset,
        at=timestamp,
        close=close,
    )


def due(engine: Engine, *, now: datetime = NOW, request: Request | None = None) -> list[Due]:
    """What is due on the daily bars."""
    with transaction(engine) as connection:
        (scope,) = survey.open_scopes(connection, [DAILY], request or Request(), now)
        return survey.due(connection, scope, DAILY.legs[0])


def since(engine: Engine, **given: Any) -> list[tuple[int, str | None]]:
    """The assets that are due, and from when on in UTC."""
    return [(one.id, f"{one.since:%Y-%m-%dT%H:%M}" if one.since else None) for one in due(engine, **given)]


def test_lean_table(empty: Engine) -> None:
    """Optional columns that the table lacks are NULL in the bars, and the times of the extremes are derived."""
    execute(empty, LEAN)
    fill(empty, 1, "2024-01-01", "2024-01-03")
    (outcome,) = refresh(empty, builders=[DAILY])
    assert (outcome.rows, outcome.error) == (3, None)
    columns = "src_name, src_load_ts, src_file, market_cap, time_high = time_close, time_low = time_open, volume"
    assert ask(empty, f"SELECT DISTINCT {columns} FROM {BARS}") == [(None, None, None, None, True, True, 1000)]


def test_types_of_the_users(empty: Engine) -> None:
    """Numbers of any kind become floats, and times without a zone are UTC."""
    execute(empty, TYPES_OF_THE_USERS)
    fill(empty, 1, "2024-01-01", "2024-01-02")
    execute(
        empty,
        f"""UPDATE {PRICES} SET open = 10.123456789012345678, low = 0.1, marketcap = 1e15, name = 'Zürich ₿',
            timehigh = '2024-01-01 12:00:00', timelow = '2024-01-01 13:00:00.5', load_ts = '2024-01-05 06:00'
            WHERE "timestamp" < '2024-01-02'""",
    )
    (outcome,) = refresh(empty, builders=[DAILY])
    assert (outcome.rows, outcome.error) == (2, None)
    found = ask(
        empty,
        f"""SELECT "timestamp", time_high, time_low, open, low, close, volume, market_cap, src_name, src_load_ts
            FROM {BARS} WHERE bar_seq = 1""",
    )
    assert found == [
        (
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
    ]
    assert due(empty) == []


def test_view_as_source(empty: Engine) -> None:
    """A view of the right columns is as good as a table."""
    execute(
        empty,
        LEAN.replace(PRICES, "raw"),
        FILL.replace(PRICES, "raw").replace(":asset", "1"),
        first="2024-01-01Z",
        last="2024-01-03Z",
    )
    execute(empty, f"CREATE VIEW {PRICES} AS SELECT * FROM raw")
    (outcome,) = refresh(empty, builders=[DAILY])
    assert outcome.rows == 3


@pytest.mark.parametrize(
    "missing", [["close"], ["timestamp"], ["timeopen", "low", "volume"], REQUIRED[1:]], ids=",".join
)
def test_required_columns(empty: Engine, missing: list[str]) -> None:
    """A table that lacks required columns is refused with the names of all of them."""
    execute(empty, LEAN, *(f'ALTER TABLE {PRICES} DROP COLUMN "{name}"' for name in missing))
    with empty.connect() as connection, pytest.raises(SchemaError) as caught:
        source.open_source(connection, "UTC")
    assert str(caught.value).partition(" lacks the column")[2].removeprefix("s").strip() == ", ".join(
        sorted(missing, key=REQUIRED.index)
    )


def test_no_source(empty: Engine) -> None:
    """Without a table the error names it, and how to fill one."""
    with (
        empty.connect() as connection,
        pytest.raises(SchemaError, match=f"table {PRICES} does not exist.*refresh.load"),
    ):
        source.open_source(connection, "UTC")


def test_absent_or_empty(empty: Engine) -> None:
    """No table and a table without rows are both no prices; one row is enough."""
    for statement, nothing in (("SELECT 1", True), (LEAN, True), (FILL, False)):
        execute(empty, statement, asset=1, first="2024-01-01Z", last="2024-01-01Z")
        with empty.connect() as connection:
            assert source.is_absent_or_empty(connection) is nothing


def test_first_time(engine: Engine) -> None:
    """An asset that was never taken in is built from its first day."""
    fill(engine, 1, "2024-01-01", "2024-01-31")
    (one,) = due(engine)
    assert (one.id, one.action, one.since, one.days) == (1, Action.REBUILD, None, 31)


def test_nothing_changed(known: Engine) -> None:
    """Rows that were taken in and are the same, in whatever order they lie, are not due."""
    execute(
        known, f"UPDATE {PRICES} SET close = close", f"CREATE TABLE moved AS SELECT * FROM {PRICES} ORDER BY random()"
    )
    execute(known, f"TRUNCATE {PRICES}", f"INSERT INTO {PRICES} SELECT * FROM moved")
    assert due(known) == []


@pytest.mark.parametrize(("statement", "day", "month"), CHANGES.values(), ids=CHANGES)
def test_change_is_found(known: Engine, statement: str, day: str, month: str) -> None:
    """Whatever changes, the asset alone is due from the first day of the month that changed; afterwards it is not."""
    if statement == "INSERT":
        fill(known, 2, day, day)
    else:
        execute(known, f"""{statement} WHERE id = 2 AND ("timestamp" AT TIME ZONE 'UTC')::date = '{day}'""")
    assert since(known) == [(2, f"{month}T00:00")]
    refresh(known, builders=[DAILY])
    assert due(known) == []
    built = rows(known, BARS)
    refresh(known, Request(full_rebuild=True), [DAILY])
    assert rows(known, BARS) == built


def test_two_changes(known: Engine) -> None:
    """Of several months that changed the first one counts."""
    fill(known, 1, "2024-04-11", "2024-04-12")
    execute(known, f"""DELETE FROM {PRICES} WHERE id = 1 AND "timestamp" BETWEEN '2024-02-05Z' AND '2024-02-06Z'""")
    assert since(known) == [(1, "2024-02-01T00:00")]


def test_values_that_change_places(known: Engine) -> None:
    """Two days of a month that exchange their closes are a change, although the same values are there."""
    execute(
        known,
        f"""UPDATE {PRICES} a SET close = b.close FROM {PRICES} b WHERE a.id = 1 AND b.id = 1
            AND extract(day FROM a.timeclose) + extract(day FROM b.timeclose) = 9
            AND a.timeclose < '2024-01-09Z' AND b.timeclose < '2024-01-09Z'""",
    )
    assert since(known) == [(1, "2024-01-01T00:00")]


def test_only_asked_assets_are_due(known: Engine) -> None:
    """Changes of assets that were not asked for wait."""
    execute(known, f"UPDATE {PRICES} SET close = 11 WHERE timeclose < '2024-01-02Z'")
    assert since(known, request=Request(ids=(2,))) == [(2, "2024-01-01T00:00")]


def test_removed_asset_is_not_due(known: Engine) -> None:
    """The bars of an asset that is gone from the source altogether stay, also when everything is built anew."""
    execute(known, f"DELETE FROM {PRICES} WHERE id = 2")
    assert due(known) == []
    before = rows(known, BARS)
    refresh(known, Request(full_rebuild=True), [DAILY])
    assert rows(known, BARS) == before


def test_removed_asset_with_a_future_row(engine: Engine) -> None:
    """That a row would have matured by now is no reason to touch an asset that is gone from the source."""
    now = datetime(2024, 1, 10, tzinfo=UTC)
    fill(engine, 1, "2024-01-01", "2024-01-09")
    fill(engine, 1, "2024-01-15", "2024-01-15")
    refresh(engine, builders=[DAILY], now=now)
    execute(engine, f"DELETE FROM {PRICES} WHERE id = 1")
    assert since(engine, now=now + timedelta(days=30)) == []
    refresh(engine, builders=[DAILY], now=now + timedelta(days=30))
    assert ask(engine, f"SELECT count(*) FROM {BARS}") == [(9,)]


def test_known_ids(known: Engine) -> None:
    """Assets are known from the source or, once they are gone from it, from their bars; rows without id are none."""
    execute(known, f"DELETE FROM {PRICES} WHERE id = 2", f"ALTER TABLE {PRICES} DROP CONSTRAINT {PRICES}_pkey")
    execute(
        known,
        f"ALTER TABLE {PRICES} ALTER COLUMN id DROP NOT NULL",
        f'INSERT INTO {PRICES} (id, "timestamp") VALUES (NULL, now())',
    )
    fill(known, 3, "2024-01-01", "2024-01-01")
    with known.connect() as connection:
        assert source.known_ids(connection) == [1, 2, 3]


def test_future_rows_mature(engine: Engine) -> None:
    """A row more than two days ahead of the clock is refused, and taken in as soon as it no longer is."""
    now = datetime(2024, 1, 10, tzinfo=UTC)
    fill(engine, 1, "2024-01-09", "2024-01-12")
    refresh(engine, builders=[DAILY], now=now)
    assert ask(engine, f"SELECT count(*) FROM {BARS}") == [(3,)]
    assert ask(engine, f"SELECT reason, count(*) FROM {BARS}_rejects GROUP BY 1") == [("future_timestamp", 1)]
    assert since(engine, now=now + timedelta(hours=20)) == []
    assert since(engine, now=now + timedelta(hours=24)) == [(1, "2024-01-01T00:00")]
    refresh(engine, builders=[DAILY], now=now + timedelta(hours=24))
    assert ask(engine, f"SELECT count(*) FROM {BARS}") == [(4,)]
    assert ask(engine, f"SELECT FROM {BARS}_rejects") == []
    assert since(engine, now=now + timedelta(hours=24)) == []


@pytest.fixture
def keyless(empty: Engine) -> Engine:
    """A source without a primary key, in which asset 1 has three good days and asset 2 has one."""
    execute(empty, LEAN)
    fill(empty, 1, "2024-01-01", "2024-01-03")
    fill(empty, 2, "2024-01-01", "2024-01-01")
    return empty


@pytest.mark.parametrize("timestamp", [None, "infinity", "-infinity"])
def test_rows_without_a_time(keyless: Engine, timestamp: str | None) -> None:
    """A row whose timestamp is NULL or infinite is refused once, before and after it changes, and goes when it goes."""
    refused = f'SELECT id, "timestamp", reason, copy, close FROM {BARS}_rejects'
    add(keyless, 1, timestamp)
    assert [outcome.error for outcome in refresh(keyless, builders=[DAILY])] == [None, None]
    assert ask(keyless, refused) == [(1, None, "null_time", 1, 10)]
    assert due(keyless) == []
    execute(keyless, f"UPDATE {PRICES} SET close = 11 WHERE id = 1 AND close = 10")
    refresh(keyless, builders=[DAILY])
    assert ask(keyless, refused) == [(1, None, "null_time", 1, 11)]
    assert due(keyless) == []
    execute(keyless, f"DELETE FROM {PRICES} WHERE close = 11")
    refresh(keyless, builders=[DAILY])
    assert ask(keyless, refused) == []
    assert ask(keyless, f"SELECT id, count(*) FROM {BARS} GROUP BY 1 ORDER BY 1") == [(1, 3), (2, 1)]


@pytest.mark.parametrize("timestamp", ["20240-01-05Z", "9999-12-31 23:59:59.999999Z"])
def test_rows_far_ahead(keyless: Engine, timestamp: str) -> None:
    """A mistyped year, even one that Python's calendar does not reach, refuses its row and nothing else."""
    add(keyless, 1, timestamp)
    assert [outcome.error for outcome in refresh(keyless, builders=[DAILY])] == [None, None]
    assert ask(keyless, f"SELECT id FROM {BARS}_rejects") == [(1,)]
    assert due(keyless) == []
    execute(keyless, f"UPDATE {PRICES} SET close = 11 WHERE close = 10")
    assert [outcome.error for outcome in refresh(keyless, builders=[DAILY])] == [None]
    assert ask(keyless, f"SELECT close FROM {BARS}_rejects") == [(11,)]
    assert ask(keyless, f"SELECT id, count(*) FROM {BARS} GROUP BY 1 ORDER BY 1") == [(1, 3), (2, 1)]


def test_rows_that_repeat_themselves(keyless: Engine) -> None:
    """Of equal rows, which only a table without a key has, one is a bar and each other one a reject of its own."""
    for _ in range(3):
        add(keyless, 2, "2024-01-05 12:00Z")
    refresh(keyless, builders=[DAILY])
    assert ask(keyless, f"SELECT reason, copy FROM {BARS}_rejects ORDER BY 2") == [
        ("duplicate_day", 1),
        ("duplicate_day", 2),
    ]
    assert due(keyless) == []


@pytest.mark.parametrize("zone", ["Asia/Tokyo", "America/New_York"])
def test_days_of_another_time_zone(empty: Engine, zone: str) -> None:
    """Rows on either side of local midnight are two days, rows on either side of UTC's midnight are one."""
    midnight = ask(empty, f"SELECT timestamp '2024-02-01 00:00' AT TIME ZONE '{zone}'")[0][0]
    execute(empty, LEAN)
    for hours in (-1, 1, 23):
        add(empty, 1, (midnight + timedelta(hours=hours)).isoformat(), close=10.0 + hours)
    refresh(empty, Request(tz=zone), [DAILY])
    assert ask(empty, f"SELECT close, is_missing_days FROM {BARS} ORDER BY bar_seq") == [(9, False), (33, False)]
    assert ask(empty, f"SELECT close, reason FROM {BARS}_rejects") == [(11, "duplicate_day")]


@pytest.mark.parametrize(
    ("zone", "hour", "first"),
    [
        ("Asia/Tokyo", "2024-01-31 14:59Z", "2023-12-31T15:00"),
        ("Asia/Tokyo", "2024-01-31 15:00Z", "2024-01-31T15:00"),
        ("America/New_York", "2024-04-01 03:59Z", "2024-03-01T05:00"),
        ("America/New_York", "2024-04-01 04:00Z", "2024-04-01T04:00"),
    ],
)
def test_months_of_another_time_zone(empty: Engine, zone: str, hour: str, first: str) -> None:
    """Months begin at local midnight, in summer time and out of it."""
    execute(empty, LEAN)
    fill(empty, 1, "2023-11-01", "2024-06-30")
    refresh(empty, Request(tz=zone), [DAILY])
    add(empty, 1, hour)
    assert since(empty, request=Request(tz=zone)) == [(1, first)]
    refresh(empty, Request(tz=zone), [DAILY])
    assert since(empty, request=Request(tz=zone)) == []
    built = rows(empty, BARS)
    refresh(empty, Request(tz=zone, full_rebuild=True), [DAILY])
    assert rows(empty, BARS) == built
