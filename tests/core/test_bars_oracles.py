"""Snapshots against other people's engines: DuckDB for every column, pandas for the canonical bars."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import duckdb
import numpy as np
import pandas as pd
import pytest
from core.daily_rows import CALENDAR, COLUMNS, ROLLING, YEARS, frame, histories, is_aligned, origin_of, timeframes
from hypothesis import given, settings

from refresh.core.bars import no_snapshots, snapshots
from refresh.core.rows import Rows, count, take
from refresh.core.timeframe import DEFAULT_TIMEFRAMES, Timeframe, Unit
from refresh.families import Alignment

each_history = pytest.mark.parametrize("history", YEARS)


def assert_agrees(rows: Rows, expected: pd.DataFrame, names: Sequence[str] = COLUMNS) -> None:
    """Fail where rows differ from the table of an oracle: sums in the 12th digit, everything else at all."""
    assert count(rows) == len(expected)
    table = frame(rows)
    for name in names:
        ours, theirs = table[name].to_numpy(), expected[name].to_numpy()
        if name == "volume":
            np.testing.assert_allclose(ours, theirs.astype(float), rtol=1e-12, err_msg=name)
        else:
            np.testing.assert_array_equal(ours, theirs.astype(ours.dtype), err_msg=name)


# DuckDB

SNAPSHOTS_SQL = """
    WITH placed AS (
        SELECT *, {bucket} AS bucket, {last} AS last_day FROM daily WHERE {exists}
    ), numbered AS (
        SELECT *, dense_rank() OVER (PARTITION BY id ORDER BY bucket) AS number,
               lead(bucket) OVER (PARTITION BY id ORDER BY timestamp) AS next_bucket FROM placed
    ), grown AS (
        SELECT s.id, s.timestamp, s.day, s.bucket, s.last_day, s.next_bucket, s.first_day, s.number AS bar_seq,
               count(*) AS pos_in_bar, min(d.day) AS first_bar, min(d.time_open) AS time_open, s.time_close,
               first(d.time_high ORDER BY d.high DESC, d.timestamp) AS time_high,
               first(d.time_low ORDER BY d.low, d.timestamp) AS time_low,
               first(d.open ORDER BY d.timestamp) AS open, max(d.high) AS high, min(d.low) AS low, s.close,
               sum(d.volume) AS volume, s.market_cap
        FROM numbered s JOIN numbered d ON d.id = s.id AND d.bucket = s.bucket AND d.timestamp <= s.timestamp
        GROUP BY ALL
    ), bounded AS (SELECT *, {first} AS first_window_day, {effective} AS effective FROM grown
    ), expected AS (SELECT *, unnest(generate_series(effective, day, INTERVAL 1 DAY))::DATE AS calendar_day FROM bounded
    ), missing AS (
        SELECT e.id, e.timestamp, count(*) AS count_missing_days, min(calendar_day) AS first_missing_day,
               count(*) FILTER (calendar_day < first_bar) AS count_missing_days_start,
               count(*) FILTER (calendar_day > first_bar) AS count_missing_days_interior,
               max(calendar_day) AS last_missing_day
        FROM expected e ANTI JOIN daily d ON d.id = e.id AND d.day = e.calendar_day GROUP BY ALL
    )
    SELECT b.*, b.pos_in_bar AS count_days, {tf_days} AS tf_days, {remaining} AS count_days_remaining,
           {partial_start} AS is_partial_start, {partial_end} AS is_partial_end,
           count_missing_days IS NOT NULL AS is_missing_days, first_missing_day, last_missing_day,
           coalesce(count_missing_days, 0) AS count_missing_days,
           coalesce(count_missing_days_start, 0) AS count_missing_days_start,
           coalesce(count_missing_days_interior, 0) AS count_missing_days_interior,
    FROM bounded b LEFT JOIN missing m USING (id, timestamp) ORDER BY id, timestamp
"""
"""The definition of a snapshot as one query over the table ``daily``."""


def snapshots_sql(timeframe: Timeframe) -> str:
    """The query for a timeframe."""
    if timeframe.alignment is Alignment.ROLLING:
        return SNAPSHOTS_SQL.format(
            bucket=f"(bar_seq - 1) // {timeframe.quantity}",
            last="NULL",
            exists="true",
            first="first_bar",
            effective="first_bar",
            tf_days=timeframe.quantity,
            remaining=f"{timeframe.quantity} - pos_in_bar",
            partial_start="false",
            partial_end=f"pos_in_bar < {timeframe.quantity}",
        )
    unit = {Unit.WEEK: "week", Unit.MONTH: "month", Unit.YEAR: "year"}[timeframe.unit]
    length = f"INTERVAL {timeframe.quantity} {unit}"
    bucket = f"time_bucket({length}, day, origin)"
    return SNAPSHOTS_SQL.format(
        bucket=bucket,
        last=f"({bucket} + {length} - INTERVAL 1 DAY)::DATE",
        exists="day >= origin" if is_aligned(timeframe) else "true",
        first="bucket",
        effective="greatest(bucket, first_day)",
        tf_days="last_day - bucket + 1",
        remaining="last_day - day",
        partial_start="false" if is_aligned(timeframe) else "first_day > bucket",
        partial_end="coalesce(next_bucket = bucket, day < last_day)",
    )


@pytest.fixture(scope="module")
def duck() -> Iterator[duckdb.DuckDBPyConnection]:
    """A database in memory."""
    with duckdb.connect() as connection:
        connection.execute("SET threads = 1")
        yield connection


def by_duckdb(duck: duckdb.DuckDBPyConnection, timeframe: Timeframe, daily: Rows) -> pd.DataFrame:
    """The snapshots that DuckDB computes."""
    table = frame(daily)
    if timeframe.alignment is not Alignment.ROLLING:
        origins = {first: origin_of(timeframe, first) for first in table["first_day"].unique()}
        table["origin"] = table["first_day"].map(origins).astype("M8[s]")
    dates = [f"{name}::DATE AS {name}" for name in ("day", "first_day", "origin") if name in table]
    nulls = [f"CASE WHEN NOT isnan({name}) THEN {name} END AS {name}" for name in ("volume", "market_cap")]
    duck.register("frame", table)
    duck.execute(f"CREATE OR REPLACE TEMP TABLE daily AS SELECT * REPLACE ({', '.join(dates + nulls)}) FROM frame")
    return duck.execute(snapshots_sql(timeframe)).df()[COLUMNS]


@settings(deadline=None)
@given(timeframes(), histories())
def test_snapshots_equal_duckdb(duck: duckdb.DuckDBPyConnection, timeframe: Timeframe, daily: Rows) -> None:
    """Every column of every snapshot has the values that DuckDB computes from the definition."""
    assert_agrees(snapshots(timeframe, daily, no_snapshots()), by_duckdb(duck, timeframe, daily))


@each_history
@pytest.mark.parametrize("timeframe", DEFAULT_TIMEFRAMES, ids=lambda timeframe: timeframe.tf)
def test_years_of_snapshots_equal_duckdb(duck: duckdb.DuckDBPyConnection, timeframe: Timeframe, history: str) -> None:
    """Snapshots of every default timeframe over years have the values that DuckDB computes."""
    daily = YEARS[history]
    assert_agrees(snapshots(timeframe, daily, no_snapshots()), by_duckdb(duck, timeframe, daily))


# pandas

BARS = {"open": "first", "high": "max", "low": "min", "close": "last", "timestamp": "last", "day": ["last", "count"]}
BAR_COLUMNS = ["open", "high", "low", "close", "timestamp", "day", "count_days"]
PANDAS_COLUMNS = ["timestamp", "open", "high", "low", "close", "volume", "count_days", "bar_seq", "tf_days"]


def canonical(timeframe: Timeframe, daily: Rows) -> Rows:
    """The canonical snapshots."""
    rows = snapshots(timeframe, daily, no_snapshots())
    return take(rows, ~rows["is_partial_end"])


def by_resampling(timeframe: Timeframe, daily: Rows) -> pd.DataFrame:
    """The closed bars of one asset as pandas resamples them."""
    table = frame(daily).set_index("day", drop=False)
    origin = origin_of(timeframe, table["day"].iloc[0])
    days = table.loc[origin:]
    length: pd.DateOffset
    if timeframe.unit is Unit.WEEK:
        length = pd.DateOffset(weeks=timeframe.quantity)
        groups = days.resample(f"{168 * timeframe.quantity}h", origin=origin)
    else:
        months = timeframe.quantity * (12 if timeframe.unit is Unit.YEAR else 1)
        length = pd.DateOffset(months=months)
        marker = pd.DataFrame({"day": pd.NaT}, index=pd.DatetimeIndex([origin]))
        groups = pd.concat([marker, days]).resample(f"{months}MS")
    bars = groups.agg(BARS)
    bars.columns = BAR_COLUMNS
    bars["volume"] = groups["volume"].sum(min_count=1)
    bars["tf_days"] = ((bars.index + length) - bars.index).days
    bars = bars[bars["count_days"] > 0]
    bars["bar_seq"] = np.arange(1, len(bars) + 1)
    ends = bars.index + length - pd.Timedelta(days=1)
    return bars[(bars["day"] == ends) | (bars["bar_seq"] < len(bars))]


@each_history
@pytest.mark.parametrize("timeframe", CALENDAR, ids=lambda timeframe: timeframe.tf)
def test_canonical_calendar_bars_equal_pandas(timeframe: Timeframe, history: str) -> None:
    """The canonical bars of every default calendar timeframe are those of pandas' resampling."""
    daily = YEARS[history]
    assert_agrees(canonical(timeframe, daily), by_resampling(timeframe, daily), PANDAS_COLUMNS)


@each_history
@pytest.mark.parametrize("timeframe", ROLLING, ids=lambda timeframe: timeframe.tf)
def test_canonical_rolling_bars_equal_pandas(timeframe: Timeframe, history: str) -> None:
    """The canonical bars of every default rolling timeframe are groups of n rows of pandas."""
    table, size = frame(YEARS[history]), timeframe.quantity
    groups = table.groupby(np.arange(len(table)) // size)
    bars = groups.agg(BARS)
    bars.columns = BAR_COLUMNS
    bars["volume"] = groups["volume"].sum(min_count=1)
    bars["bar_seq"] = bars.index + 1
    bars["tf_days"] = size
    assert_agrees(canonical(timeframe, YEARS[history]), bars[bars["count_days"] == size], PANDAS_COLUMNS)
