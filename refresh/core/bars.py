"""Daily bars and windows -> snapshots: the state of every bar at every daily close.

The arithmetic runs over the days of many assets at once; a stretch of days continues from the snapshot before it,
which stands for all earlier days of its bar, and gives the same bits as starting from the first day.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from refresh.catalog import Alignment
from refresh.core.rows import Array, Rows, count, stack, starts, take
from refresh.core.timeframe import Timeframe
from refresh.core.window import windows

DAILY_COLUMNS = (
    "id", "timestamp", "day", "bar_seq", "time_open", "time_close", "time_high", "time_low",
    "open", "high", "low", "close", "volume", "market_cap",
)  # fmt: skip
"""What a daily bar brings; ``day`` is the calendar date of ``timestamp``."""

_NO_DAY = np.datetime64("NaT", "D")


@dataclass(frozen=True, slots=True)
class _Segments:
    """Runs of days of one asset in one window: first day of the run, first day of the asset, place in the run."""

    head: Array
    asset: Array
    offset: Array
    last: Array
    number: Array


def snapshots(timeframe: Timeframe, daily: Rows, carry: Rows) -> Rows:
    """The snapshot of every daily bar that a window of the timeframe holds, columns of the snapshot tables.

    ``daily``: ``DAILY_COLUMNS`` and ``first_day`` (the asset's first), sorted by id, timestamp.
    ``carry``: the stored snapshot of this timeframe at the daily bar before the stretch, at most one per asset, with
    its ``day``; an asset without one begins its first bar here.
    The last daily bar of an asset counts as the last there is: its calendar bar is canonical only on the window's end.
    """
    days = _with_carry(timeframe, daily, carry)
    if timeframe.alignment is Alignment.ROLLING:
        window = (days["daily_seq"] - 1) // timeframe.quantity
        segments = _segments(days, window)
        first, last = days["day"][segments.head], None
    else:
        calendar = windows(timeframe, days["day"], days["first_day"])
        days, first, last = take(days, calendar.exists), calendar.first[calendar.exists], calendar.last[calendar.exists]
        segments = _segments(days, calendar.number[calendar.exists])
    rows = _accumulate(days, segments) | _gaps(days, segments, np.maximum(first, days["first_day"]))
    rows |= _place(timeframe, days, segments, first, last)
    return take(rows, ~days["is_carry"])


def _with_carry(timeframe: Timeframe, daily: Rows, carry: Rows) -> Rows:
    """Daily bars led, per asset, by the snapshot before them in the shape of a daily bar."""
    fresh, size = count(daily), count(carry)
    bars = {name: daily[name] for name in (*DAILY_COLUMNS, "first_day")}
    bars["daily_seq"] = bars["bar_seq"]
    bars |= {
        "is_carry": np.zeros(fresh, bool),
        "bar_seq": np.ones(fresh, np.int64),
        "pos_in_bar": np.ones(fresh, np.int64),
        "count_missing_days_start": np.zeros(fresh, np.int64),
        "count_missing_days_interior": np.zeros(fresh, np.int64),
        "first_missing_day": np.full(fresh, _NO_DAY),
        "last_missing_day": np.full(fresh, _NO_DAY),
    }
    if not size:
        return bars
    lead = {name: carry[name] for name in bars if name in carry}
    lead["is_carry"] = np.ones(size, bool)
    lead["daily_seq"] = (carry["bar_seq"] - 1) * timeframe.quantity + carry["pos_in_bar"]
    lead["first_day"] = bars["first_day"][np.searchsorted(bars["id"], carry["id"])]
    both = stack([bars, lead])
    return take(both, np.lexsort((both["timestamp"], both["id"])))


def _segments(days: Rows, window: Array) -> _Segments:
    index = np.arange(len(window))
    new = starts(days["id"], window)
    head = np.maximum.accumulate(np.where(new, index, 0))
    asset = np.maximum.accumulate(np.where(starts(days["id"]), index, 0))
    last = np.ones(len(index), bool)
    last[:-1] = new[1:]
    return _Segments(head, asset, index - head, last, np.cumsum(new) - 1)


def _accumulate(days: Rows, segments: _Segments) -> Rows:
    """Prices, volume and times of the bar so far."""
    high, low = _leader(days["high"], segments.number), _leader(-days["low"], segments.number)
    return {
        "id": days["id"],
        "timestamp": days["timestamp"],
        "time_open": days["time_open"][segments.head],
        "time_close": days["time_close"],
        "time_high": days["time_high"][high],
        "time_low": days["time_low"][low],
        "open": days["open"][segments.head],
        "high": days["high"][high],
        "low": days["low"][low],
        "close": days["close"],
        "volume": _volume(days["volume"], segments),
        "market_cap": days["market_cap"],
    }


def _leader(values: Array, segment: Array) -> Array:
    """Per row, the index of the earliest largest value of its segment so far.

    A rank that grows with the value and, among equals, falls with time is unique; ranks behind segment numbers grow
    over the rows, so that one running maximum serves all segments.
    """
    size = len(values)
    order = np.lexsort((-np.arange(size), values))
    rank = np.empty(size, np.int64)
    rank[order] = np.arange(size)
    return np.asarray(order[np.maximum.accumulate(segment * size + rank) % max(size, 1)])


def running_sum(values: Array, head: Array) -> Array:
    """The sum of each segment so far, added strictly one after another; ``head`` is the index of its first row."""
    index = np.arange(len(values))
    segment, offset = np.cumsum(head == index) - 1, index - head
    grid = np.zeros((segment.max(initial=-1) + 1, offset.max(initial=0) + 1))
    grid[segment, offset] = values
    return np.asarray(np.cumsum(grid, axis=1)[segment, offset])


def _volume(volume: Array, segments: _Segments) -> Array:
    """The sum so far of the volumes that are known; NULL where none is."""
    known = ~np.isnan(volume)
    total = running_sum(np.where(known, volume, 0.0), segments.head)
    seen = np.cumsum(known)
    return np.where(seen - seen[segments.head] + known[segments.head] > 0, total, np.nan)


def _gaps(days: Rows, segments: _Segments, effective: Array) -> Rows:
    """Calendar days without a daily bar between the effective window start and this day."""
    heads, carried = segments.offset == 0, days["is_carry"]
    before = np.where(heads, effective, np.roll(days["day"], 1) + 1)
    gap = np.where(carried, 0, (days["day"] - before).astype(np.int64))
    start = np.where(carried, days["count_missing_days_start"], gap)[segments.head]
    between = np.cumsum(np.where(heads, days["count_missing_days_interior"], gap))
    interior = between - between[segments.head] + days["count_missing_days_interior"][segments.head]
    any_gap = (gap > 0) | (carried & ~np.isnat(days["first_missing_day"]))
    first_gap, last_gap = _first_and_last(any_gap, segments.head)
    first_day = np.where(carried, days["first_missing_day"], before)
    last_day = np.where(carried, days["last_missing_day"], days["day"] - 1)
    missing = start + interior
    some = missing > 0
    return {
        "is_missing_days": some,
        "count_missing_days": missing.astype(np.int32),
        "count_missing_days_start": start.astype(np.int32),
        "count_missing_days_interior": interior.astype(np.int32),
        "first_missing_day": np.where(some, first_day[first_gap], _NO_DAY),
        "last_missing_day": np.where(some, last_day[last_gap], _NO_DAY),
    }


def _first_and_last(marked: Array, head: Array) -> tuple[Array, Array]:
    """Per row, the first and the last marked row of its segment so far; arbitrary where there is none."""
    places = np.flatnonzero(marked)
    if not len(places):
        return head, head
    first = places[np.minimum(np.searchsorted(places, head), len(places) - 1)]
    last = np.maximum.accumulate(np.where(marked, np.arange(len(marked)), 0))
    return first, last


def _place(timeframe: Timeframe, days: Rows, segments: _Segments, first: Array, last: Array | None) -> Rows:
    """Where the day stands in its bar, and whether it closes the bar."""
    size = len(segments.head)
    position = days["pos_in_bar"][segments.head] + segments.offset
    bar_seq = days["bar_seq"][segments.asset] + segments.number - segments.number[segments.asset]
    if last is None:
        tf_days, remaining = np.full(size, timeframe.quantity), timeframe.quantity - position
        canonical = remaining == 0
    else:
        tf_days, remaining = (last - first).astype(np.int64) + 1, (last - days["day"]).astype(np.int64)
        later = np.zeros(size, bool)
        later[:-1] = days["id"][1:] == days["id"][:-1]
        canonical = segments.last & ((remaining == 0) | later)
    anchored = timeframe.alignment is Alignment.ANCHORED
    return {
        "tf_days": tf_days.astype(np.int32),
        "bar_seq": bar_seq,
        "pos_in_bar": position.astype(np.int32),
        "count_days": position.astype(np.int32),
        "count_days_remaining": remaining.astype(np.int32),
        "is_partial_start": (days["first_day"] > first) & anchored,
        "is_partial_end": ~canonical,
    }
