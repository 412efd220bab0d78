"""Daily bars for the tests of snapshots: of the answers, random ones, years of a share and a coin; and timeframes."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date

import hvsampledata
import numpy as np
import pandas as pd
from core.answers import read_answers
from hypothesis import strategies as st

from refresh.core.bars import DAILY_COLUMNS
from refresh.core.rows import Array, Rows, stack
from refresh.core.timeframe import DEFAULT_TIMEFRAMES, Timeframe, Unit
from refresh.families import Alignment, Scheme

ROLLING = [timeframe for timeframe in DEFAULT_TIMEFRAMES if timeframe.alignment is Alignment.ROLLING]
CALENDAR = [timeframe for timeframe in DEFAULT_TIMEFRAMES if timeframe.alignment is not Alignment.ROLLING]
BY_LABEL = {timeframe.tf: timeframe for timeframe in DEFAULT_TIMEFRAMES}
MISSING = [
    "is_missing_days", "count_missing_days", "count_missing_days_start", "count_missing_days_interior",
    "first_missing_day", "last_missing_day",
]  # fmt: skip
COLUMNS = [
    "id", "timestamp", "tf_days", "bar_seq", "pos_in_bar", "count_days", "count_days_remaining",
    "time_open", "time_close", "time_high", "time_low", "open", "high", "low", "close", "volume", "market_cap",
    "is_partial_start", "is_partial_end", *MISSING,
]  # fmt: skip
HOURS = {"open": 0, "low": 9, "high": 15, "close": 24}
"""When a day has its open, its extremes and its close; hour 24 is its last millisecond."""
PRICES = ("open", "high", "low", "close", "volume", "market_cap")
ANSWERS = read_answers("snapshots.csv")


def clock(day: Array, hour: int) -> Array:
    """The time of this hour of each day."""
    time = day.astype("M8[us]") + np.timedelta64(hour, "h")
    return time - np.timedelta64(1000, "us") if hour == 24 else time


def daily_bars(asset: int, day: Array, prices: dict[str, Array], *, zone: int = 0) -> Rows:
    """The daily bars of an asset; ``zone`` hours are between its days and UTC."""
    rows: Rows = dict(prices)
    for name, hour in HOURS.items():
        rows[f"time_{name}"] = clock(day, hour) - np.timedelta64(zone, "h")
    rows["id"] = np.full(len(day), asset, np.int32)
    rows["timestamp"] = rows["time_close"]
    rows["day"] = day
    rows["bar_seq"] = np.arange(1, len(day) + 1)
    return {name: rows[name] for name in DAILY_COLUMNS} | {"first_day": np.repeat(day[:1], len(day))}


def select(rows: Rows, names: Iterable[str]) -> Rows:
    """Some columns."""
    return {name: rows[name] for name in names}


def assert_same(rows: Rows, expected: Rows) -> None:
    """Fail where two sets of rows differ in a name, a type or a bit."""
    assert list(rows) == list(expected)
    for name, column in rows.items():
        assert column.dtype == expected[name].dtype, name
        assert column.tobytes() == expected[name].tobytes(), name


# Of the answers


def answers(label: str) -> list[dict[str, str]]:
    """The lines of one timeframe."""
    return [line for line in ANSWERS if line["tf"] == label]


def as_days(lines: list[dict[str, str]], name: str) -> Array:
    """A column of days of 2024; "-" is NaT."""
    return np.array(["NaT" if line[name] == "-" else f"2024-{line[name]}" for line in lines], "M8[D]")


def as_numbers(lines: list[dict[str, str]], name: str) -> Array:
    """A column of numbers; "-" is NaN."""
    return np.array([np.nan if line[name] == "-" else float(line[name]) for line in lines])


def answered_daily() -> Rows:
    """The daily bars of the answers."""
    lines = answers("1D")
    return daily_bars(1, as_days(lines, "day"), {name: as_numbers(lines, name) for name in PRICES})


# As pandas has them


def frame(rows: Rows) -> pd.DataFrame:
    """Rows as a table of pandas, which knows no type for days."""
    columns = {name: column.astype("M8[s]") if is_days(column) else column for name, column in rows.items()}
    return pd.DataFrame(columns)


def is_days(column: Array) -> bool:
    """Whether a column has days."""
    return column.dtype == np.dtype("M8[D]")


def is_aligned(timeframe: Timeframe) -> bool:
    """Whether windows are laid from the asset's first whole unit on."""
    return timeframe.alignment is Alignment.ALIGNED


def origin_of(timeframe: Timeframe, first_day: pd.Timestamp) -> pd.Timestamp:
    """A day on which a window of the timeframe begins, for an asset with this first day."""
    is_us = timeframe.scheme is Scheme.US
    if is_aligned(timeframe):
        offsets = {
            Unit.WEEK: pd.offsets.Week(weekday=6 if is_us else 0),
            Unit.MONTH: pd.offsets.MonthBegin(),
            Unit.YEAR: pd.offsets.YearBegin(),
        }
        return offsets[timeframe.unit].rollforward(first_day)
    if timeframe.unit is Unit.WEEK:
        return pd.Timestamp("1970-01-04" if is_us else "1970-01-05")
    divisible = 1900 // timeframe.quantity * timeframe.quantity
    return pd.Timestamp(year=divisible if timeframe.unit is Unit.YEAR else 1900, month=1, day=1)


# Random daily bars

ASSET_IDS = [3, 7, 20]
FIRST_DAYS = st.dates(date(1968, 1, 1), date(2040, 1, 1))
GAPS = st.lists(st.sampled_from([1] * 12 + [2, 3, 3, 5, 8, 25, 90]), max_size=45)


def random_prices(random: np.random.Generator, size: int) -> dict[str, Array]:
    """Prices with many ties; volumes and market caps of which some are NULL."""
    opens = random.integers(4, 9, size) / 10
    closes = random.integers(4, 9, size) / 10
    volume = random.integers(0, 1000, size) / 7
    return {
        "open": opens,
        "close": closes,
        "volume": np.where(random.random(size) < 0.3, np.nan, volume),
        "high": np.maximum(opens, closes) + random.integers(0, 3, size) / 10,
        "low": np.minimum(opens, closes) - random.integers(0, 3, size) / 10,
        "market_cap": np.where(random.random(size) < 0.3, np.nan, closes * 1000),
    }


@st.composite
def histories(draw: st.DrawFn) -> Rows:
    """The daily bars of one to three assets of different length, with gaps."""
    random = np.random.default_rng(draw(st.integers(0, 999)))
    zone = draw(st.sampled_from([0, 0, -5, 9]))
    ids = draw(st.lists(st.sampled_from(ASSET_IDS), min_size=1, max_size=3, unique=True))
    assets = []
    for asset in sorted(ids):
        gaps = np.array([0, *draw(GAPS)])
        day = np.datetime64(draw(FIRST_DAYS), "D") + np.cumsum(gaps)
        assets.append(daily_bars(asset, day, random_prices(random, len(day)), zone=zone))
    return stack(assets)


@st.composite
def timeframes(draw: st.DrawFn) -> Timeframe:
    """Any timeframe that the rules of bars.md allow, of a length that tests reach."""
    unit = draw(st.sampled_from(Unit))
    if unit is Unit.DAY:
        return Timeframe(draw(st.integers(1, 12)), unit, Alignment.ROLLING)
    alignment = draw(st.sampled_from([Alignment.ALIGNED, Alignment.ANCHORED]))
    lengths = [1, 1, 2, 3, 4] if alignment is Alignment.ANCHORED else [1, 1, 2, 3, 4, 5, 7]
    scheme = draw(st.sampled_from(Scheme)) if unit is Unit.WEEK else None
    return Timeframe(draw(st.sampled_from(lengths)), unit, alignment, scheme)


# Years


def share() -> Rows:
    """The daily bars of a share: no weekends, no holidays."""
    table = hvsampledata.apple_stocks("pandas")
    prices = {name: table[name].to_numpy(float) for name in ("open", "high", "low", "close", "volume")}
    prices["market_cap"] = np.full(len(table), np.nan)
    return daily_bars(1, table["date"].to_numpy("M8[D]"), prices)


def coin() -> Rows:
    """The daily bars of a coin over five years: no gap but for two months in the third."""
    random = np.random.default_rng(5)
    day = np.arange(np.datetime64("2015-07-15"), np.datetime64("2020-11-03"))
    day = day[(day < np.datetime64("2017-11-20")) | (day > np.datetime64("2018-01-14"))]
    return daily_bars(9, day, random_prices(random, len(day)))


YEARS = {"share": share(), "coin": coin()}
