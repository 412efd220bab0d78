"""Daily bars -> snapshots: answers by hand, and laws."""

from __future__ import annotations

from itertools import accumulate

import numpy as np
import pandas as pd
import pytest
from core.daily_rows import (
    BY_LABEL,
    COLUMNS,
    PRICES,
    answered_daily,
    answers,
    as_days,
    as_numbers,
    assert_same,
    clock,
    frame,
    histories,
    is_aligned,
    origin_of,
    select,
    timeframes,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from refresh.core.bars import no_snapshots, running_sum, snapshots
from refresh.core.rows import Array, Rows, count, take
from refresh.core.timeframe import DEFAULT_TIMEFRAMES, Timeframe

# Answers by hand


def answered(name: str, lines: list[dict[str, str]]) -> Array:
    """A column of snapshots, as the answers have it."""
    hours = {"time_open": 0, "time_close": 24, "time_high": 15, "time_low": 9}
    if name == "timestamp":
        return clock(as_days(lines, "day"), 24)
    if name in hours:
        return clock(as_days(lines, name), hours[name])
    return as_days(lines, name) if name.endswith("_missing_day") else as_numbers(lines, name)


@pytest.mark.parametrize("name", COLUMNS[1:])
@pytest.mark.parametrize("label", ["2D", "1W_CAL_US", "1M_CAL", "1W_CAL_ANCHOR_ISO", "1M_CAL_ANCHOR"])
def test_answer_by_hand(label: str, name: str) -> None:
    """Each column of the snapshots has the values of the answers."""
    rows = snapshots(BY_LABEL[label], answered_daily(), no_snapshots())
    np.testing.assert_array_equal(rows[name], answered(name, answers(label)))


def test_columns_and_types() -> None:
    """The columns are those of the snapshot tables except the label, and their widths those of PostgreSQL."""
    rows = snapshots(BY_LABEL["1M_CAL"], answered_daily(), no_snapshots())
    expected = dict.fromkeys(COLUMNS, "i4")
    expected |= dict.fromkeys(PRICES, "f8")
    expected |= dict.fromkeys(("timestamp", "time_open", "time_close", "time_high", "time_low"), "M8[us]")
    expected |= dict.fromkeys(("is_partial_start", "is_partial_end", "is_missing_days"), "b1")
    expected |= dict.fromkeys(("first_missing_day", "last_missing_day"), "M8[D]")
    assert {name: column.dtype.str[1:] for name, column in rows.items()} == expected | {"bar_seq": "i8"}


# Laws


@settings(deadline=None)
@given(timeframes(), histories())
def test_one_snapshot_per_daily_bar(timeframe: Timeframe, daily: Rows) -> None:
    """Every daily bar from the first window on has exactly one snapshot, every earlier one has none."""
    rows = snapshots(timeframe, daily, no_snapshots())
    begins = daily["first_day"]
    if is_aligned(timeframe):
        begins = np.array([origin_of(timeframe, pd.Timestamp(day)) for day in begins.astype(str)], "M8[D]")
    expected = take(daily, daily["day"] >= begins)
    assert_same(select(rows, ("id", "timestamp")), select(expected, ("id", "timestamp")))


@settings(deadline=None)
@given(timeframes(), histories())
def test_one_canonical_per_closed_window(timeframe: Timeframe, daily: Rows) -> None:
    """Each bar has one canonical snapshot, its last; the newest of an asset only where this day ends it."""
    rows = snapshots(timeframe, daily, no_snapshots())
    for _, of_asset in frame(rows).groupby("id"):
        bars = of_asset.groupby("bar_seq")
        assert list(bars.groups) == list(range(1, len(bars) + 1))
        closed = bars["is_partial_end"].agg(lambda flags: (~flags).sum())
        newest = int(of_asset["count_days_remaining"].iloc[-1] == 0)
        assert list(closed) == [1] * (len(bars) - 1) + [newest]
        assert not bars["is_partial_end"].last().iloc[:-1].any()


@settings(deadline=None)
@given(timeframes(), histories())
def test_assets_do_not_affect_each_other(timeframe: Timeframe, daily: Rows) -> None:
    """The snapshots of an asset are the same, bit for bit, alone and among others."""
    together = snapshots(timeframe, daily, no_snapshots())
    for asset in np.unique(daily["id"]):
        alone = snapshots(timeframe, take(daily, daily["id"] == asset), no_snapshots())
        assert_same(take(together, together["id"] == asset), alone)


@pytest.mark.parametrize(("days", "flags"), [(3, [True, True, True]), (4, [True, True, False, True])])
def test_a_bar_before_a_gap_turns_canonical(days: int, flags: list[bool]) -> None:
    """The last bar of a window that a closed market ends is canonical once a later one exists, and not before."""
    daily = take(answered_daily(), slice(days))
    rows = snapshots(BY_LABEL["1W_CAL_ANCHOR_ISO"], daily, no_snapshots())
    assert list(rows["is_partial_end"]) == flags


# Edges


@pytest.mark.parametrize("timeframe", DEFAULT_TIMEFRAMES, ids=lambda timeframe: timeframe.tf)
def test_no_daily_bars(timeframe: Timeframe) -> None:
    """No daily bars have no snapshots, in the usual columns and types."""
    daily = answered_daily()
    none = snapshots(timeframe, take(daily, slice(0)), no_snapshots())
    some = snapshots(timeframe, daily, no_snapshots())
    assert_same(none, take(some, slice(0)))


def test_an_asset_before_its_first_window() -> None:
    """An asset that has no whole unit yet has no snapshot."""
    first = take(answered_daily(), slice(1))
    assert count(snapshots(BY_LABEL["1M_CAL"], first, no_snapshots())) == 0


def test_arguments_stay_as_they_are() -> None:
    """Neither the daily bars nor the carried snapshots are changed."""
    daily, timeframe = answered_daily(), BY_LABEL["1M_CAL"]
    carry = take(snapshots(timeframe, daily, no_snapshots()), slice(2, 3)) | {"day": daily["day"][3:4]}
    fresh = take(daily, slice(4, None))
    copied_fresh = {name: column.copy() for name, column in fresh.items()}
    copied_carry = {name: column.copy() for name, column in carry.items()}
    snapshots(timeframe, fresh, carry)
    assert_same(fresh, copied_fresh)
    assert_same(carry, copied_carry)


@settings(deadline=None)
@given(st.lists(st.lists(st.floats(0, 1e12), min_size=1, max_size=20), max_size=8))
def test_running_sum(segments: list[list[float]]) -> None:
    """Sums are added one after another from the first value of each segment on, to the last bit."""
    sizes = [len(segment) for segment in segments]
    heads = np.repeat(np.cumsum([0, *sizes])[:-1], sizes)
    values = np.array([value for segment in segments for value in segment], float)
    expected = [total for segment in segments for total in accumulate(segment)]
    assert running_sum(values, heads).tolist() == expected
