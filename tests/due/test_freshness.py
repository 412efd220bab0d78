"""How far bars lag behind the source, and which assets the source no longer delivers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from refreshing import open_scopes, refresh
from sqlalchemy import Engine
from statements import execute

from refresh.catalog import BuilderConfig, by_key
from refresh.due import freshness
from refresh.due.freshness import lagging, read_freshness
from refresh.options.request import Request
from refresh.store.reach import Reach

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


def deliver(engine: Engine, asset: int, *times: datetime) -> None:
    """The source has a row of an asset at each time; on a Friday by default."""
    for time in times or (LAST,):
        execute(engine, PRICE, asset=asset, at=time)


def set_daily(engine: Engine, asset: int, last: datetime | None) -> None:
    """The daily bars of an asset end at a time."""
    execute(engine, DAILY_STATE, asset=asset, at=last)


def set_bars(engine: Engine, tf: str, seen: datetime | None, table: str = "cmc_price_bars_multi_tf") -> None:
    """The bars of a timeframe of asset 1 have seen a time."""
    execute(engine, BARS_STATE.format(table), asset=1, tf=tf, at=seen)


def refuse(engine: Engine, asset: int, time: datetime) -> None:
    """A row of the source was refused."""
    columns = 'id, "timestamp", reason, copy, run_id'
    statement = f"INSERT INTO cmc_price_bars_1d_rejects ({columns}) VALUES (:asset, :at, 'null_ohlc', 1, 'r')"
    execute(engine, statement, asset=asset, at=time)


def stale(
    engine: Engine,
    builder: BuilderConfig = V2,
    *,
    ids: tuple[int, ...] | None = (1,),
    tfs: tuple[str, ...] = ("7D",),
    max_lag: timedelta = DAY,
) -> dict[int, str]:
    """Which of some assets have stale bars for a builder, and why."""
    (scope,) = open_scopes(engine, Request(tfs=tfs, max_lag=max_lag), [builder], now=LAST)
    with engine.connect() as connection:
        return lagging(connection, scope, ids)


def silent(engine: Engine, now: datetime, max_lag: timedelta = DAY) -> dict[int, datetime]:
    """Which assets the source no longer delivers."""
    with engine.connect() as connection:
        return freshness.silent(connection, read_freshness(connection, now), max_lag)


# Lag


def test_reading(engine: Engine) -> None:
    """Source and daily bars are read with what was refused, but not with what lies too far ahead."""
    deliver(engine, 1, LAST, LAST - DAY)
    set_daily(engine, 1, LAST - 3 * DAY)
    refuse(engine, 1, LAST - 2 * DAY)
    refuse(engine, 1, LAST + 9 * DAY)
    set_daily(engine, 2, LAST)
    set_daily(engine, 3, None)
    with engine.connect() as connection:
        fresh = read_freshness(connection, LAST)
    assert (fresh.now, fresh.last) == (LAST, {1: LAST})
    assert fresh.daily == {
        1: Reach(last_bar=LAST - 3 * DAY, last_seen=LAST - 2 * DAY),
        2: Reach(last_bar=LAST, last_seen=LAST),
        3: Reach(last_bar=None, last_seen=None),
    }


@pytest.mark.parametrize(
    ("lag", "reasons"),
    [
        (timedelta(0), {}),
        (DAY, {}),
        (DAY + timedelta(milliseconds=1), {1: "bars stale: 2 days behind the source"}),
        (3 * DAY, {1: "bars stale: 3 days behind the source"}),
        (1234 * DAY, {1: "bars stale: 1,234 days behind the source"}),
    ],
    ids=str,
)
def test_lag(engine: Engine, lag: timedelta, reasons: dict[int, str]) -> None:
    """More than the allowed lag is reported, in days, rounded up."""
    deliver(engine, 1)
    set_daily(engine, 1, LAST - lag)
    assert stale(engine) == reasons


def test_allowed_lag(engine: Engine) -> None:
    """The user may allow any lag, also less than a day."""
    deliver(engine, 1)
    set_daily(engine, 1, LAST - timedelta(hours=12))
    assert stale(engine) == {}
    assert stale(engine, max_lag=timedelta(hours=11)) == {1: "bars stale: 1 day behind the source"}


def test_refused_days_are_no_lag(engine: Engine) -> None:
    """Days that were refused are no lag, but the days after them are."""
    deliver(engine, 1)
    set_daily(engine, 1, LAST - 5 * DAY)
    set_bars(engine, "7D", LAST - 5 * DAY)
    refuse(engine, 1, LAST - 2 * DAY)
    assert stale(engine) == stale(engine, EMAS) == {1: "bars stale: 2 days behind the source"}
    refuse(engine, 1, LAST)
    assert stale(engine) == stale(engine, EMAS) == {}


def test_bars_behind_the_daily_bars(engine: Engine) -> None:
    """Bars that lack the last daily bar have not seen what was refused after it."""
    deliver(engine, 1)
    set_daily(engine, 1, LAST - 5 * DAY)
    set_bars(engine, "7D", LAST - 6 * DAY)
    refuse(engine, 1, LAST)
    assert stale(engine) == {}
    assert stale(engine, EMAS) == {1: "bars stale: 6 days behind the source"}


def test_everything_was_refused(engine: Engine) -> None:
    """An asset without a good day has no lag."""
    deliver(engine, 1)
    set_daily(engine, 1, None)
    refuse(engine, 1, LAST)
    assert stale(engine) == stale(engine, EMAS) == {}


def test_rows_without_a_usable_time(engine: Engine) -> None:
    """An asset of whose rows nothing was seen or refused has no lag."""
    deliver(engine, 1)
    set_daily(engine, 1, None)
    assert stale(engine) == stale(engine, EMAS) == {}


def test_never_taken_in(engine: Engine) -> None:
    """An asset without a daily bar is stale, however new it is."""
    deliver(engine, 1)
    reasons = {1: "bars stale: not built yet"}
    assert stale(engine) == stale(engine, CAL, tfs=("1M_CAL",)) == reasons


def test_gone_from_the_source(engine: Engine) -> None:
    """An asset that the source no longer has is not stale, and neither is an unknown one."""
    set_daily(engine, 1, LAST - 9 * DAY)
    assert stale(engine, ids=(1, 2)) == {}


def test_only_the_given_assets(engine: Engine) -> None:
    """Only the given assets are reported: all of the source without any, and none of no assets."""
    deliver(engine, 1)
    deliver(engine, 2)
    set_daily(engine, 1, LAST)
    assert stale(engine, ids=(1,)) == stale(engine, ids=()) == {}
    assert stale(engine, ids=(1, 2)) == stale(engine, ids=None) == {2: "bars stale: not built yet"}


def test_slowest_timeframe_counts(engine: Engine) -> None:
    """EMAs over bars lag as far as the slowest of their timeframes, and no other."""
    deliver(engine, 1)
    set_daily(engine, 1, LAST)
    assert stale(engine, EMAS) == {1: "bars stale: not built yet"}
    set_bars(engine, "7D", LAST)
    set_bars(engine, "14D", LAST - 4 * DAY)
    assert stale(engine, EMAS) == stale(engine, V2, tfs=("7D", "14D")) == {}
    assert stale(engine, EMAS, tfs=("7D", "14D")) == {1: "bars stale: 4 days behind the source"}


def test_slowest_table_counts(engine: Engine) -> None:
    """EMAs of two tables lag as far as the slower one."""
    deliver(engine, 1)
    set_daily(engine, 1, LAST)
    set_bars(engine, "1M_CAL", LAST, "cmc_price_bars_multi_tf_cal_us")
    assert stale(engine, CAL, tfs=("1M_CAL",)) == {1: "bars stale: not built yet"}
    set_bars(engine, "1M_CAL", LAST - 2 * DAY, "cmc_price_bars_multi_tf_cal_iso")
    assert stale(engine, CAL, tfs=("1M_CAL",)) == {1: "bars stale: 2 days behind the source"}


# Silence


def test_silence(engine: Engine) -> None:
    """An asset is reported if it had a row every day and has none for some days, unless it ended long ago."""
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
    """A share is silent over the weekend, and reported only if it stays silent."""
    execute(engine, FILL, asset=4, last=LAST, weekdays=WORKDAYS)
    refresh(engine, builders=[DAILY])
    assert [silent(engine, LAST + days * DAY) for days in range(1, 5)] == [{}] * 4
    assert silent(engine, LAST + 5 * DAY) == {4: LAST}


def test_given_up(engine: Engine) -> None:
    """An asset is reported for thirty days."""
    execute(engine, FILL, asset=1, last=LAST, weekdays=EVERY_DAY)
    refresh(engine, builders=[DAILY])
    assert silent(engine, LAST + 30 * DAY) == {1: LAST}
    assert silent(engine, LAST + 31 * DAY) == {}


def test_silence_of_an_asset_that_was_never_built(engine: Engine) -> None:
    """Without bars, or with a single one, nothing is known of how often an asset has a row."""
    deliver(engine, 1)
    execute(engine, FILL, asset=2, last=LAST, weekdays=EVERY_DAY)
    assert silent(engine, LAST + 9 * DAY) == {}
    refresh(engine, builders=[DAILY])
    assert silent(engine, LAST + 9 * DAY) == {2: LAST}
