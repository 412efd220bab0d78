"""Daily bars -> snapshots: answers by hand, DuckDB and pandas as oracles, and laws."""

from __future__ import annotations

import csv
from datetime import datetime
from itertools import accumulate, pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import hvsampledata
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refresh.catalog import Alignment, Scheme
from refresh.core.bars import DAILY_COLUMNS, running_sum, snapshots
from refresh.core.rows import Array, Rows, count, stack, take
from refresh.core.timeframe import DEFAULT_TIMEFRAMES, Timeframe, Unit

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

NOTHING: Rows = {}
"""No stored snapshots to continue."""

ROLLING = [one for one in DEFAULT_TIMEFRAMES if one.alignment is Alignment.ROLLING]
CALENDAR = [one for one in DEFAULT_TIMEFRAMES if one.alignment is not Alignment.ROLLING]
BY_LABEL = {one.tf: one for one in DEFAULT_TIMEFRAMES}
MISSING = ["is_missing_days", "count_missing_days", "count_missing_days_start", "count_missing_days_interior",
           "first_missing_day", "last_missing_day"]  # fmt: skip
COLUMNS = [
    "id", "timestamp", "tf_days", "bar_seq", "pos_in_bar", "count_days", "count_days_remaining",
    "time_open", "time_close", "time_high", "time_low", "open", "high", "low", "close", "volume", "market_cap",
    "is_partial_start", "is_partial_end", *MISSING,
]  # fmt: skip


def clock(day: Array, hour: int) -> Array:
    """The time of this hour of each day; hour 24 is the last millisecond."""
    return day.astype("M8[us]") + np.timedelta64(hour, "h") - np.timedelta64(1000 if hour == 24 else 0, "us")


def daily_bars(asset: int, day: Array, prices: dict[str, Array], zone: int = 0) -> Rows:
    """The daily bars of one asset; ``zone`` hours lie between its days and UTC."""
    seen = {"open": 0, "low": 9, "high": 15, "close": 24}
    rows: Rows = {f"time_{name}": clock(day, hour) - np.timedelta64(zone, "h") for name, hour in seen.items()}
    rows |= prices | {"id": np.full(len(day), asset, np.int32), "timestamp": rows["time_close"], "day": day}
    rows |= {"bar_seq": np.arange(1, len(day) + 1)}
    return {name: rows[name] for name in DAILY_COLUMNS} | {"first_day": np.repeat(day[:1], len(day))}


def same(one: Rows, other: Rows) -> None:
    """Fail where two sets of rows differ in a name, a type or a bit."""
    assert list(one) == list(other)
    for name, column in one.items():
        assert column.dtype == other[name].dtype, name
        assert column.tobytes() == other[name].tobytes(), name


# Answers by hand


def read_answers() -> list[dict[str, str]]:
    """The lines of tests/answers/snapshots.csv."""
    path = Path(__file__).parents[1] / "answers" / "snapshots.csv"
    lines = [line for line in path.read_text().splitlines() if not line.startswith("#")]
    names, *rows = ([cell.strip() for cell in row] for row in csv.reader(lines))
    return [dict(zip(names, row, strict=True)) for row in rows]


ANSWERS = read_answers()


def answers(label: str) -> list[dict[str, str]]:
    """The lines of one timeframe."""
    return [line for line in ANSWERS if line["tf"] == label]


def as_days(lines: list[dict[str, str]], name: str) -> Array:
    """A column of days of 2024; "-" is NaT."""
    return np.array([None if line[name] == "-" else f"2024-{line[name]}" for line in lines], "M8[D]")


def as_numbers(lines: list[dict[str, str]], name: str) -> Array:
    """A column of numbers; "-" is NaN."""
    return np.array([np.nan if line[name] == "-" else float(line[name]) for line in lines])


def answered_daily() -> Rows:
    """The daily bars that stand in the answers."""
    lines = answers("1D")
    prices = ("open", "high", "low", "close", "volume", "market_cap")
    return daily_bars(1, as_days(lines, "day"), {name: as_numbers(lines, name) for name in prices})


def answered(name: str, lines: list[dict[str, str]]) -> Array:
    """A column of snapshots as the answers tell it."""
    hours = {"timestamp": 24, "time_open": 0, "time_close": 24, "time_high": 15, "time_low": 9}
    if name in hours:
        return clock(as_days(lines, "day" if name == "timestamp" else name), hours[name])
    return as_days(lines, name) if name.endswith("_missing_day") else as_numbers(lines, name)


@pytest.mark.parametrize("name", COLUMNS[1:])
@pytest.mark.parametrize("label", ["2D", "1W_CAL_US", "1M_CAL", "1W_CAL_ANCHOR_ISO", "1M_CAL_ANCHOR"])
def test_answer_by_hand(label: str, name: str) -> None:
    """Each column of the snapshots is the one that stands in the answers."""
    found = snapshots(BY_LABEL[label], answered_daily(), NOTHING)
    np.testing.assert_array_equal(found[name], answered(name, answers(label)))


def test_columns_and_types() -> None:
    """The columns are those of the snapshot tables but for the label, and their widths those of PostgreSQL."""
    found = snapshots(BY_LABEL["1M_CAL"], answered_daily(), NOTHING)
    kinds = {name: column.dtype.str[1:] for name, column in found.items()}
    floats = dict.fromkeys(("open", "high", "low", "close", "volume", "market_cap"), "f8")
    times = dict.fromkeys(("timestamp", "time_open", "time_close", "time_high", "time_low"), "M8[us]")
    flags = dict.fromkeys(("is_partial_start", "is_partial_end", "is_missing_days"), "b1")
    days = dict.fromkeys(("first_missing_day", "last_missing_day"), "M8[D]")
    assert kinds == dict.fromkeys(COLUMNS, "i4") | floats | times | flags | days | {"bar_seq": "i8"}


# The oracles


def bucket_sql(timeframe: Timeframe) -> tuple[str, str, str]:
    """SQL for a day's window, the window's last day, and whether the day lies in a window at all."""
    if timeframe.alignment is Alignment.ROLLING:
        return f"(bar_seq - 1) // {timeframe.quantity}", "NULL", "true"
    unit = {Unit.WEEK: "week", Unit.MONTH: "month", Unit.YEAR: "year"}[timeframe.unit]
    length = f"INTERVAL {timeframe.quantity} {unit}"
    first = f"time_bucket({length}, day, origin)"
    return first, f"({first} + {length} - INTERVAL 1 DAY)::DATE", "day >= origin" if aligned(timeframe) else "true"


def aligned(timeframe: Timeframe) -> bool:
    """Whether windows are laid from the asset's first whole unit on."""
    return timeframe.alignment is Alignment.ALIGNED


def origin_of(timeframe: Timeframe, first_day: pd.Timestamp) -> pd.Timestamp:
    """A day on which a window of the timeframe begins, for an asset with this first day."""
    sunday = timeframe.scheme is Scheme.US
    if aligned(timeframe):
        offsets = {Unit.WEEK: pd.offsets.Week(weekday=6 if sunday else 0), Unit.MONTH: pd.offsets.MonthBegin(),
                   Unit.YEAR: pd.offsets.YearBegin()}  # fmt: skip
        return offsets[timeframe.unit].rollforward(first_day)
    if timeframe.unit is Unit.WEEK:
        return pd.Timestamp("1970-01-04" if sunday else "1970-01-05")
    divisible = 1900 // timeframe.quantity * timeframe.quantity
    return pd.Timestamp(year=divisible if timeframe.unit is Unit.YEAR else 1900, month=1, day=1)


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


def snapshots_sql(timeframe: Timeframe) -> str:
    """The definition of a snapshot as one query over the table ``daily``."""
    bucket, last, exists = bucket_sql(timeframe)
    if timeframe.alignment is Alignment.ROLLING:
        words = {"first": "first_bar", "effective": "first_bar", "tf_days": timeframe.quantity}
        words |= {"remaining": f"{timeframe.quantity} - pos_in_bar", "partial_start": "false"}
        words |= {"partial_end": f"pos_in_bar < {timeframe.quantity}"}
    else:
        words = {"first": "bucket", "effective": "greatest(bucket, first_day)", "tf_days": "last_day - bucket + 1"}
        words |= {"remaining": "last_day - day", "partial_end": "coalesce(next_bucket = bucket, day < last_day)"}
        words |= {"partial_start": "false" if aligned(timeframe) else "first_day > bucket"}
    return SNAPSHOTS_SQL.format(bucket=bucket, last=last, exists=exists, **words)


def frame(rows: Rows) -> pd.DataFrame:
    """Rows as a table of pandas."""
    return pd.DataFrame({name: column.astype("M8[s]") if column.dtype.str[1:] == "M8[D]" else column
                         for name, column in rows.items()})  # fmt: skip


@pytest.fixture(scope="module")
def duck() -> Iterator[duckdb.DuckDBPyConnection]:
    """A database in memory."""
    with duckdb.connect() as connection:
        connection.execute("SET threads = 1")
        yield connection


def by_duckdb(duck: duckdb.DuckDBPyConnection, timeframe: Timeframe, daily: Rows) -> pd.DataFrame:
    """The snapshots as DuckDB sees them."""
    table = frame(daily)
    if timeframe.alignment is not Alignment.ROLLING:
        origins = {first: origin_of(timeframe, first) for first in table["first_day"].unique()}
        table["origin"] = table["first_day"].map(origins).astype("M8[s]")
    dates = [f"{name}::DATE AS {name}" for name in ("day", "first_day", "origin") if name in table]
    nulls = [f"CASE WHEN NOT isnan({name}) THEN {name} END AS {name}" for name in ("volume", "market_cap")]
    duck.register("frame", table)
    duck.execute(f"CREATE OR REPLACE TEMP TABLE daily AS SELECT * REPLACE ({', '.join(dates + nulls)}) FROM frame")
    return duck.execute(snapshots_sql(timeframe)).df()[COLUMNS]


def agree(found: Rows, expected: pd.DataFrame, names: Sequence[str] = COLUMNS) -> None:
    """Fail where rows differ from an oracle's table: sums in the 12th digit, everything else at all."""
    assert count(found) == len(expected)
    table = frame(found)
    for name in names:
        ours, theirs = table[name].to_numpy(), expected[name].to_numpy()
        if name == "volume":
            np.testing.assert_allclose(ours, theirs.astype(float), rtol=1e-12, err_msg=name)
        else:
            np.testing.assert_array_equal(ours, theirs.astype(ours.dtype), err_msg=name)


# Random daily bars

ASSET_IDS = [3, 7, 20]
FIRST_DAYS = st.dates(datetime(1968, 1, 1).date(), datetime(2040, 1, 1).date())  # noqa: DTZ001 - a date, no time
GAPS = st.lists(st.sampled_from([1] * 12 + [2, 3, 3, 5, 8, 25, 90]), max_size=45)


def random_prices(random: np.random.Generator, size: int) -> dict[str, Array]:
    """Prices with many ties; volumes and market caps of which some are NULL."""
    opens, closes = (random.integers(4, 9, size) / 10 for _ in range(2))
    volume = np.where(random.random(size) < 0.3, np.nan, random.integers(0, 1000, size) / 7)
    return {
        "open": opens, "close": closes, "volume": volume,
        "high": np.maximum(opens, closes) + random.integers(0, 3, size) / 10,
        "low": np.minimum(opens, closes) - random.integers(0, 3, size) / 10,
        "market_cap": np.where(random.random(size) < 0.3, np.nan, closes * 1000),
    }  # fmt: skip


@st.composite
def markets(draw: st.DrawFn) -> Rows:
    """The daily bars of one to three assets of different length, with gaps."""
    random, zone = np.random.default_rng(draw(st.integers(0, 999))), draw(st.sampled_from([0, 0, -5, 9]))
    assets = []
    for asset in draw(st.lists(st.sampled_from(ASSET_IDS), min_size=1, max_size=3, unique=True).map(sorted)):
        gaps = np.array([0, *draw(GAPS)])
        day = np.datetime64(draw(FIRST_DAYS), "D") + np.cumsum(gaps)
        assets.append(daily_bars(asset, day, random_prices(random, len(day)), zone))
    return stack(assets)


@st.composite
def timeframes(draw: st.DrawFn) -> Timeframe:
    """Any timeframe that the rules of bars.md allow, of a length that is met in tests."""
    unit = draw(st.sampled_from(Unit))
    if unit is Unit.DAY:
        return Timeframe(draw(st.integers(1, 12)), unit, Alignment.ROLLING)
    alignment = draw(st.sampled_from([Alignment.ALIGNED, Alignment.ANCHORED]))
    lengths = [1, 1, 2, 3, 4] if alignment is Alignment.ANCHORED else [1, 1, 2, 3, 4, 5, 7]
    scheme = draw(st.sampled_from(Scheme)) if unit is Unit.WEEK else None
    return Timeframe(draw(st.sampled_from(lengths)), unit, alignment, scheme)


@settings(deadline=None)
@given(timeframes(), markets())
def test_snapshots_equal_duckdb(duck: duckdb.DuckDBPyConnection, timeframe: Timeframe, daily: Rows) -> None:
    """Every column of every snapshot is what DuckDB makes of the definition."""
    agree(snapshots(timeframe, daily, NOTHING), by_duckdb(duck, timeframe, daily))


def apple() -> Rows:
    """The daily bars of a share: no weekends, no holidays."""
    table = hvsampledata.apple_stocks("pandas")
    prices = {name: table[name].to_numpy(float) for name in ("open", "high", "low", "close", "volume")}
    return daily_bars(1, table["date"].to_numpy("M8[D]"), prices | {"market_cap": np.full(len(table), np.nan)})


def coin() -> Rows:
    """The daily bars of a coin over five years: no gap but for two months in the third."""
    random = np.random.default_rng(5)
    day = np.arange(np.datetime64("2015-07-15"), np.datetime64("2020-11-03"))
    day = day[(day < np.datetime64("2017-11-20")) | (day > np.datetime64("2018-01-14"))]
    return daily_bars(9, day, random_prices(random, len(day)))


STRETCHES = {"share": apple(), "coin": coin()}


@pytest.mark.parametrize("stretch", STRETCHES)
@pytest.mark.parametrize("timeframe", DEFAULT_TIMEFRAMES, ids=lambda one: one.tf)
def test_years_of_snapshots_equal_duckdb(duck: duckdb.DuckDBPyConnection, timeframe: Timeframe, stretch: str) -> None:
    """Snapshots of every default timeframe over years are what DuckDB makes of the definition."""
    daily = STRETCHES[stretch]
    agree(snapshots(timeframe, daily, NOTHING), by_duckdb(duck, timeframe, daily))


BARS = {"open": "first", "high": "max", "low": "min", "close": "last", "timestamp": "last", "day": ["last", "count"]}
PANDAS_COLUMNS = ["timestamp", "open", "high", "low", "close", "volume", "count_days", "bar_seq", "tf_days"]


def by_resampling(timeframe: Timeframe, daily: Rows) -> pd.DataFrame:
    """The closed bars of one asset as pandas resamples them."""
    table = frame(daily).set_index("day", drop=False)
    first, n = table["day"].iloc[0], timeframe.quantity
    origin = origin_of(timeframe, first)
    if timeframe.unit is Unit.WEEK:
        length, rule = pd.offsets.Week(n), table.loc[origin:].resample(f"{168 * n}h", origin=origin)
    else:
        months = n * (12 if timeframe.unit is Unit.YEAR else 1)
        marker = pd.DataFrame({"day": pd.NaT}, index=pd.DatetimeIndex([origin]))
        length, rule = pd.DateOffset(months=months), pd.concat([marker, table.loc[origin:]]).resample(f"{months}MS")
    bars = rule.agg(BARS)
    bars.columns = ["open", "high", "low", "close", "timestamp", "day", "count_days"]
    bars["volume"] = rule["volume"].sum(min_count=1)
    bars["tf_days"] = ((bars.index + length) - bars.index).days
    bars = bars[bars["count_days"] > 0]
    bars["bar_seq"] = np.arange(1, len(bars) + 1)
    ends = bars.index + length - pd.Timedelta(days=1)
    return bars[(bars["day"] == ends) | (bars["bar_seq"] < len(bars))]


@pytest.mark.parametrize("stretch", STRETCHES)
@pytest.mark.parametrize("timeframe", CALENDAR, ids=lambda one: one.tf)
def test_canonical_calendar_bars_equal_pandas(timeframe: Timeframe, stretch: str) -> None:
    """The canonical bars of every default calendar timeframe are those of pandas' resampling."""
    found = snapshots(timeframe, STRETCHES[stretch], NOTHING)
    agree(take(found, ~found["is_partial_end"]), by_resampling(timeframe, STRETCHES[stretch]), PANDAS_COLUMNS)


@pytest.mark.parametrize("stretch", STRETCHES)
@pytest.mark.parametrize("timeframe", ROLLING, ids=lambda one: one.tf)
def test_canonical_rolling_bars_equal_pandas(timeframe: Timeframe, stretch: str) -> None:
    """The canonical bars of every default rolling timeframe are groups of n rows of pandas."""
    table, n = frame(STRETCHES[stretch]), timeframe.quantity
    groups = table.groupby(np.arange(len(table)) // n)
    bars = groups.agg(BARS)
    bars.columns = ["open", "high", "low", "close", "timestamp", "day", "count_days"]
    bars["volume"], bars["bar_seq"], bars["tf_days"] = groups["volume"].sum(min_count=1), bars.index + 1, n
    found = snapshots(timeframe, STRETCHES[stretch], NOTHING)
    agree(take(found, ~found["is_partial_end"]), bars[bars["count_days"] == n], PANDAS_COLUMNS)


# Laws


@settings(deadline=None)
@given(timeframes(), markets())
def test_one_snapshot_per_daily_bar(timeframe: Timeframe, daily: Rows) -> None:
    """Every daily bar from the first window on has exactly one snapshot, every earlier one none."""
    found = snapshots(timeframe, daily, NOTHING)
    begins = daily["first_day"]
    if timeframe.alignment is Alignment.ALIGNED:
        begins = np.array([origin_of(timeframe, pd.Timestamp(day)) for day in begins.astype(str)], "M8[D]")
    expected = take(daily, daily["day"] >= begins)
    same(take_names(found, ("id", "timestamp")), take_names(expected, ("id", "timestamp")))


def take_names(rows: Rows, names: Sequence[str]) -> Rows:
    """Some columns."""
    return {name: rows[name] for name in names}


@settings(deadline=None)
@given(timeframes(), markets())
def test_one_canonical_per_closed_window(timeframe: Timeframe, daily: Rows) -> None:
    """Each bar has one canonical snapshot, its last; the newest of an asset only where this day ends it."""
    found = snapshots(timeframe, daily, NOTHING)
    for _, of_asset in frame(found).groupby("id"):
        bars = of_asset.groupby("bar_seq")
        assert list(bars.groups) == list(range(1, len(bars) + 1))
        closed = bars["is_partial_end"].agg(lambda flags: (~flags).sum())
        newest = int(of_asset["count_days_remaining"].iloc[-1] == 0)
        assert list(closed) == [1] * (len(bars) - 1) + [newest]
        assert not bars["is_partial_end"].last().iloc[:-1].any()


@settings(deadline=None)
@given(timeframes(), markets())
def test_assets_do_not_touch_each_other(timeframe: Timeframe, daily: Rows) -> None:
    """An asset's snapshots are the same, bit for bit, alone and among others."""
    together = snapshots(timeframe, daily, NOTHING)
    for asset in np.unique(daily["id"]):
        alone = snapshots(timeframe, take(daily, daily["id"] == asset), NOTHING)
        same(take(together, together["id"] == asset), alone)


def test_a_bar_before_a_gap_turns_canonical() -> None:
    """The last bar of a window that a shut market ends is canonical once a later one exists, and not before."""
    daily = answered_daily()
    before = snapshots(BY_LABEL["1W_CAL_ANCHOR_ISO"], take(daily, slice(3)), NOTHING)
    after = snapshots(BY_LABEL["1W_CAL_ANCHOR_ISO"], take(daily, slice(4)), NOTHING)
    assert [list(rows["is_partial_end"]) for rows in (before, after)] == [[True, True, True], [True, True, False, True]]


# A stretch in parts: the way in which builders refresh


Places = dict[int, int]
"""Per asset, how many of its daily bars."""


def refresh(timeframe: Timeframe, stored: dict[int, Rows], daily: dict[int, Rows], known: Places, upto: Places) -> None:
    """Bring what is stored of each asset from its first ``known`` daily bars to its first ``upto``.

    The daily bar before the first new one is computed again, from the stored snapshot at the bar before that.
    """
    fresh, carries = [], []
    for asset, bars in daily.items():
        begin = max(known[asset] - 1, 0)
        carried = slice(max(begin - 1, 0), begin)
        carry = take(stored[asset], np.isin(stored[asset]["timestamp"], bars["timestamp"][carried]))
        carries.append(carry | {"day": bars["day"][carried][: count(carry)]})
        fresh.append(take(bars, slice(begin, upto[asset])))
        stored[asset] = take(stored[asset], stored[asset]["timestamp"] < bars["timestamp"][begin])
    rows = snapshots(timeframe, stack(fresh), stack(carries))
    for asset in daily:
        stored[asset] = stack([stored[asset], take(rows, rows["id"] == asset)])


@settings(deadline=None)
@given(timeframes(), markets(), st.data())
def test_a_stretch_in_parts(timeframe: Timeframe, daily: Rows, data: st.DataObject) -> None:
    """Refreshing in any steps, each asset in its own, gives the bits of computing everything at once."""
    whole = snapshots(timeframe, daily, NOTHING)
    assets = {asset: take(daily, daily["id"] == asset) for asset in np.unique(daily["id"]).tolist()}
    sizes = {asset: count(bars) for asset, bars in assets.items()}
    places = {asset: st.integers(0, size) for asset, size in sizes.items()}
    cuts = {asset: sorted(data.draw(st.tuples(place, place, place))) for asset, place in places.items()}
    steps = [{asset: cut[step] for asset, cut in cuts.items()} for step in range(3)]
    stored = dict.fromkeys(assets, take(whole, slice(0)))
    for known, upto in pairwise([dict.fromkeys(assets, 0), *steps, sizes]):
        refresh(timeframe, stored, assets, known, upto)
    same(stack(list(stored.values())), whole)


@pytest.mark.parametrize("timeframe", DEFAULT_TIMEFRAMES, ids=lambda one: one.tf)
def test_day_by_day(timeframe: Timeframe) -> None:
    """A refresh after each daily bar gives the bits of computing everything at once."""
    daily = {9: take(coin(), slice(840, 960))}
    daily[9] |= {"bar_seq": np.arange(1, 121), "first_day": np.repeat(daily[9]["day"][:1], 120)}
    whole = snapshots(timeframe, daily[9], NOTHING)
    stored = {9: take(whole, slice(0))}
    for known in range(120):
        refresh(timeframe, stored, daily, {9: known}, {9: known + 1})
    same(stored[9], whole)


def test_a_stored_canonical_flag_is_not_believed() -> None:
    """The flag of the carried snapshot, which may be out of date, changes nothing."""
    daily, timeframe = answered_daily(), BY_LABEL["1W_CAL_ANCHOR_ISO"]
    whole = snapshots(timeframe, daily, NOTHING)
    for place in range(1, count(daily)):
        carry = take(whole, slice(place - 1, place)) | {"day": daily["day"][place - 1 : place]}
        carry["is_partial_end"] = ~carry["is_partial_end"]
        same(snapshots(timeframe, take(daily, slice(place, None)), carry), take(whole, slice(place, None)))


# Edges


@pytest.mark.parametrize("timeframe", DEFAULT_TIMEFRAMES, ids=lambda one: one.tf)
def test_no_daily_bars(timeframe: Timeframe) -> None:
    """No daily bars have no snapshots, in the usual columns and types."""
    daily = answered_daily()
    none, some = (snapshots(timeframe, take(daily, size), NOTHING) for size in (slice(0), slice(None)))
    same(none, take(some, slice(0)))


def test_an_asset_before_its_first_window() -> None:
    """An asset that has no whole unit yet has no snapshot."""
    assert count(snapshots(BY_LABEL["1M_CAL"], take(answered_daily(), slice(1)), NOTHING)) == 0


def test_arguments_stay_as_they_are() -> None:
    """Neither the daily bars nor the carried snapshots are changed."""
    daily, timeframe = answered_daily(), BY_LABEL["1M_CAL"]
    carry = take(snapshots(timeframe, daily, NOTHING), slice(2, 3)) | {"day": daily["day"][3:4]}
    fresh = take(daily, slice(4, None))
    copies = [{name: column.copy() for name, column in rows.items()} for rows in (fresh, carry)]
    snapshots(timeframe, fresh, carry)
    same(fresh, copies[0])
    same(carry, copies[1])


@settings(deadline=None)
@given(st.lists(st.lists(st.floats(0, 1e12), min_size=1, max_size=20), max_size=8))
def test_running_sum(segments: list[list[float]]) -> None:
    """Sums are added one after another from each segment's first value on, to the last bit."""
    sizes = [len(segment) for segment in segments]
    heads = np.repeat(np.cumsum([0, *sizes])[:-1], sizes)
    values = np.array([value for segment in segments for value in segment], float)
    assert running_sum(values, heads).tolist() == [total for segment in segments for total in accumulate(segment)]
