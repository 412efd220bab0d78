"""How far bars lag behind the source, what the source no longer tells of, and what it ends with."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from refreshing import refresh
from sqlalchemy import Engine
from statements import execute

from refresh.catalog import BuilderConfig, by_key
from refresh.due import freshness
from refresh.store import source

if TYPE_CHECKING:
    from collections.abc import Sequence

DAILY, EMAS, CAL, V2 = (by_key(key) for key in ("bars.1d", "emas.multi_tf", "emas.cal", "emas.v2"))
DAY = timedelta(days=1)
LAST = datetime(2024, 2, 9, 23, 59, 59, 999000, tzinfo=UTC)
"""The close of a Friday."""
FILL = """
    INSERT INTO cmc_price_histories7 (id, "timestamp", timeopen, timeclose, open, high, low, close, volume)
    SELECT :asset, at, at - interval '1 day - 1 ms', at, 10, 20, 5, 10, 1000
    FROM generate_series(CAST(:last AS timestamptz) - interval '50 days', :last, interval '1 day') AS at
    WHERE extract(isodow FROM at AT TIME ZONE 'UTC') = ANY(:weekdays)
"""
DAILY_STATE = "INSERT INTO cmc_price_bars_1d_state VALUES (:asset, :at, :at, now(), 0, 0, 0, 0, 0, 0)"
BARS_STATE = "INSERT INTO {0}_state (id, tf, seen_ts, last_ts) VALUES (:asset, :tf, :at, :at)"
PRICE = 'INSERT INTO cmc_price_histories7 (id, "timestamp", close) VALUES (:asset, :at, 1)'
EVERY_DAY, WORKDAYS, FRIDAYS = [1, 2, 3, 4, 5, 6, 7], [1, 2, 3, 4, 5], [5]


def told(engine: Engine, asset: int, at: datetime | str = LAST) -> None:
    """The source tells of an asset at a time."""
    execute(engine, PRICE, asset=asset, at=at)


def taken_in(engine: Engine, asset: int, at: datetime | None) -> None:
    """The daily bars of an asset end at a time."""
    execute(engine, DAILY_STATE, asset=asset, at=at)


def built(engine: Engine, asset: int, tf: str, at: datetime | None, table: str = "cmc_price_bars_multi_tf") -> None:
    """The bars of a timeframe of an asset have seen a time."""
    execute(engine, BARS_STATE.format(table), asset=asset, tf=tf, at=at)


def refused(engine: Engine, asset: int, at: datetime) -> None:
    """A row of the source was refused."""
    columns = 'id, "timestamp", reason, copy, run_id'
    statement = f"INSERT INTO cmc_price_bars_1d_rejects ({columns}) VALUES (:asset, :at, 'null_ohlc', 1, 'r')"
    execute(engine, statement, asset=asset, at=at)


def stale(
    engine: Engine,
    builder: BuilderConfig = V2,
    *ids: int,
    tfs: Sequence[str] = ("7D",),
    max_lag: timedelta = DAY,
) -> dict[int, str]:
    """Which of some assets (asset 1) have stale bars for a builder whose legs all want the same timeframes."""
    with engine.connect() as connection:
        fresh = freshness.read(connection, LAST)
        wanted = {leg: list(tfs) for leg in builder.legs}
        return freshness.stale(connection, builder, fresh, tfs=wanted, ids=ids or [1], max_lag=max_lag)


def silent(engine: Engine, now: datetime, max_lag: timedelta = DAY) -> dict[int, datetime]:
    """Which assets the source no longer tells of."""
    with engine.connect() as connection:
        return freshness.silent(connection, freshness.read(connection, now), max_lag)


# Lag


def test_reading(engine: Engine) -> None:
    """Source and daily bars are read with what was refused, but not with what lies too far ahead."""
    told(engine, 1)
    told(engine, 1, LAST - DAY)
    taken_in(engine, 1, LAST - 3 * DAY)
    refused(engine, 1, LAST - 2 * DAY)
    refused(engine, 1, LAST + 9 * DAY)
    taken_in(engine, 2, LAST)
    taken_in(engine, 3, None)
    with engine.connect() as connection:
        fresh = freshness.read(connection, LAST)
    assert fresh.last == {1: LAST}
    assert fresh.daily == {
        1: freshness.Reach(LAST - 3 * DAY, LAST - 2 * DAY),
        2: freshness.Reach(LAST, LAST),
        3: freshness.Reach(None, None),
    }


@pytest.mark.parametrize(
    ("lag", "found"),
    [
        (timedelta(0), {}),
        (DAY, {}),
        (DAY + timedelta(milliseconds=1), {1: "bars stale: 2 days behind the source"}),
        (3 * DAY, {1: "bars stale: 3 days behind the source"}),
        (1234 * DAY, {1: "bars stale: 1,234 days behind the source"}),
    ],
    ids=str,
)
def test_lag(engine: Engine, lag: timedelta, found: dict[int, str]) -> None:
    """More than the allowed lag is told, in days that have begun."""
    told(engine, 1)
    taken_in(engine, 1, LAST - lag)
    assert stale(engine) == found


def test_allowed_lag(engine: Engine) -> None:
    """How much is allowed is the user's to say, also less than a day."""
    told(engine, 1)
    taken_in(engine, 1, LAST - timedelta(hours=12))
    assert stale(engine) == {}
    assert stale(engine, max_lag=timedelta(hours=11)) == {1: "bars stale: 1 day behind the source"}


def test_refused_days_are_no_lag(engine: Engine) -> None:
    """Days that were looked at and refused lag behind nothing, but those behind them do."""
    told(engine, 1)
    taken_in(engine, 1, LAST - 5 * DAY)
    built(engine, 1, "7D", LAST - 5 * DAY)
    refused(engine, 1, LAST - 2 * DAY)
    assert stale(engine) == stale(engine, EMAS) == {1: "bars stale: 2 days behind the source"}
    refused(engine, 1, LAST)
    assert stale(engine) == stale(engine, EMAS) == {}


def test_everything_was_refused(engine: Engine) -> None:
    """An asset without a good day has nothing to lag behind."""
    told(engine, 1)
    taken_in(engine, 1, None)
    refused(engine, 1, LAST)
    assert stale(engine) == stale(engine, EMAS) == {}


def test_never_taken_in(engine: Engine) -> None:
    """An asset that no bar was built of is stale, however new it is."""
    told(engine, 1)
    assert stale(engine) == stale(engine, CAL) == {1: "bars stale: not built yet"}


def test_gone_from_the_source(engine: Engine) -> None:
    """An asset that the source does not hold any more is not stale, and neither is one that nobody knows."""
    taken_in(engine, 1, LAST - 9 * DAY)
    assert stale(engine, V2, 1, 2) == {}


def test_only_assets_that_are_asked_for(engine: Engine) -> None:
    """Others may be stale as they like."""
    told(engine, 1)
    told(engine, 2)
    taken_in(engine, 1, LAST)
    assert stale(engine, V2, 1) == {}
    assert stale(engine, V2, 1, 2) == {2: "bars stale: not built yet"}


def test_slowest_timeframe_counts(engine: Engine) -> None:
    """EMAs over bars lag as far as the slowest of the timeframes they want, and no other."""
    told(engine, 1)
    taken_in(engine, 1, LAST)
    assert stale(engine, EMAS) == {1: "bars stale: not built yet"}
    built(engine, 1, "7D", LAST)
    built(engine, 1, "14D", LAST - 4 * DAY)
    assert stale(engine, EMAS) == stale(engine, V2, tfs=["7D", "14D"]) == {}
    assert stale(engine, EMAS, tfs=["7D", "14D"]) == {1: "bars stale: 4 days behind the source"}


def test_slowest_table_counts(engine: Engine) -> None:
    """EMAs of two tables lag as far as the slower one."""
    told(engine, 1)
    taken_in(engine, 1, LAST)
    built(engine, 1, "1M_CAL", LAST, "cmc_price_bars_multi_tf_cal_us")
    assert stale(engine, CAL, tfs=["1M_CAL"]) == {1: "bars stale: not built yet"}
    built(engine, 1, "1M_CAL", LAST - 2 * DAY, "cmc_price_bars_multi_tf_cal_iso")
    assert stale(engine, CAL, tfs=["1M_CAL"]) == {1: "bars stale: 2 days behind the source"}


# Silence


def test_silence(engine: Engine) -> None:
    """Told is who had a row every day and has none for some; not who ended long ago or never had one every day."""
    execute(engine, FILL, asset=1, last=LAST, weekdays=EVERY_DAY)
    execute(engine, FILL, asset=2, last=LAST - 60 * DAY, weekdays=EVERY_DAY)
    execute(engine, FILL, asset=3, last=LAST, weekdays=FRIDAYS)
    execute(engine, FILL, asset=4, last=LAST, weekdays=WORKDAYS)
    execute(engine, FILL, asset=5, last=LAST + 3 * DAY, weekdays=EVERY_DAY)
    refresh(engine, builders=[DAILY])
    assert silent(engine, LAST + 3 * DAY) == {1: LAST}
    assert silent(engine, LAST + 2 * DAY) == {}
    assert silent(engine, LAST + 3 * DAY, max_lag=2 * DAY) == {}


def test_silence_of_a_share(engine: Engine) -> None:
    """A share is silent over the weekend, and told only when it stays so."""
    execute(engine, FILL, asset=4, last=LAST, weekdays=WORKDAYS)
    refresh(engine, builders=[DAILY])
    assert [silent(engine, LAST + days * DAY) for days in range(1, 5)] == [{}] * 4
    assert silent(engine, LAST + 5 * DAY) == {4: LAST}


def test_given_up(engine: Engine) -> None:
    """After thirty days nobody is reminded any more."""
    execute(engine, FILL, asset=1, last=LAST, weekdays=EVERY_DAY)
    refresh(engine, builders=[DAILY])
    assert silent(engine, LAST + 30 * DAY) == {1: LAST}
    assert silent(engine, LAST + 31 * DAY) == {}


def test_silence_of_an_asset_that_was_never_built(engine: Engine) -> None:
    """Without bars, or with a single one, nothing is known of how often an asset is told of."""
    told(engine, 1, LAST)
    execute(engine, FILL, asset=2, last=LAST, weekdays=EVERY_DAY)
    assert silent(engine, LAST + 9 * DAY) == {}
    refresh(engine, builders=[DAILY])
    assert silent(engine, LAST + 9 * DAY) == {2: LAST}


# What the source ends with

UNKEYED = [
    "ALTER TABLE cmc_price_histories7 DROP CONSTRAINT cmc_price_histories7_pkey",
    'ALTER TABLE cmc_price_histories7 ALTER id DROP NOT NULL, ALTER "timestamp" DROP NOT NULL',
]
INDEX = 'CREATE INDEX spare ON cmc_price_histories7 (id, "timestamp")'


@pytest.mark.parametrize(
    ("indexed", "index"),
    [
        (True, INDEX),
        (False, ""),
        (False, f"{INDEX} WHERE id > 1"),
        (False, INDEX.replace('id, "timestamp"', '"timestamp", id')),
    ],
    ids=["an index", "none", "an index on some rows", "an index in another order"],
)
def test_ends_of_the_source(engine: Engine, indexed: bool, index: str) -> None:
    """The last times and the assets are the same with an index and without one that is of use."""
    horizon = LAST + 2 * DAY
    told(engine, 1)
    told(engine, 1, LAST - DAY)
    told(engine, 1, "infinity")
    told(engine, 1, LAST + 9 * DAY)
    told(engine, 2, horizon)
    told(engine, 2, horizon + timedelta(milliseconds=1))
    told(engine, 4, "infinity")
    told(engine, 2_000_000_000, LAST - 9 * DAY)
    told(engine, 7, "-infinity")
    told(engine, 7, LAST)
    taken_in(engine, 3, LAST)
    taken_in(engine, 1, LAST)
    with engine.connect() as connection:
        keyed = source._is_indexed(connection), source.last_times(connection, horizon), source.known_ids(connection)
    for statement in (*UNKEYED, index or "SELECT 1"):
        execute(engine, statement)
    for values in ("NULL, now()", "5, NULL", "1, NULL", "NULL, NULL"):
        execute(engine, f'INSERT INTO cmc_price_histories7 (id, "timestamp") VALUES ({values})')
    last = {1: LAST, 2: horizon, 2_000_000_000: LAST - 9 * DAY, 7: LAST}
    assert keyed == (True, last, [1, 2, 3, 4, 7, 2_000_000_000])
    with engine.connect() as connection:
        assert source._is_indexed(connection) is indexed
        assert source.last_times(connection, horizon) == last
        assert source.known_ids(connection) == [1, 2, 3, 4, 5, 7, 2_000_000_000]


@pytest.mark.parametrize("keyed", [True, False])
def test_empty_source(engine: Engine, keyed: bool) -> None:
    """A source without rows has no assets and no last times."""
    for statement in () if keyed else UNKEYED:
        execute(engine, statement)
    with engine.connect() as connection:
        assert source.last_times(connection, LAST) == {}
        assert source.known_ids(connection) == []


@pytest.mark.parametrize("keyed", [True, False])
@pytest.mark.parametrize("at", ["-infinity", "4000-01-01 BC"])
def test_times_that_no_calendar_holds(engine: Engine, at: str, keyed: bool) -> None:
    """An asset whose only time cannot be told is one of the source, and has no last time."""
    told(engine, 1, at)
    told(engine, 2, at)
    told(engine, 2, LAST)
    for statement in () if keyed else UNKEYED:
        execute(engine, statement)
    with engine.connect() as connection:
        assert source.known_ids(connection) == [1, 2]
        assert source.last_times(connection, LAST) == {2: LAST}
