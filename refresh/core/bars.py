"""Daily bars and windows -> snapshots: the state of every bar at every daily close.

The arithmetic runs over the days of many assets at once; a stretch of days continues from the snapshot before it,
which stands for all earlier days of its bar, and gives the same bits as starting from the first day.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from refresh.catalog import Alignment
from refresh.core.rows import Array, Rows, count, run_heads, stack, starts, take
from refresh.core.timeframe import Timeframe
from refresh.core.window import Windows, windows

DAILY_COLUMNS = (
    "id", "timestamp", "day", "bar_seq", "time_open", "time_close", "time_high", "time_low",
    "open", "high", "low", "close", "volume", "market_cap",
)  # fmt: skip
"""What a daily bar brings; ``day`` is the calendar date of ``timestamp``."""

_NO_DAY = np.datetime64("NaT", "D")


@dataclass(frozen=True, kw_only=True, slots=True)
class _Segments:
    """Runs of days of one asset in one window, per day.

    ``head``, ``asset``: the index of the first day of the run, and of the asset. ``offset``: the position in the run.
    ``is_last``: whether the run ends here. ``number``: which run it is.
    """

    head: Array
    asset: Array
    offset: Array
    is_last: Array
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
        segments = _segments(days, (days["daily_seq"] - 1) // timeframe.quantity)
        first_days = days["day"][segments.head]
        progress = _rolling_progress(timeframe, days, segments)
    else:
        calendar = windows(timeframe, days["day"], days["first_day"]).existing
        days = take(days, calendar.exists)
        segments = _segments(days, calendar.number)
        first_days = calendar.first
        progress = _calendar_progress(days, segments, calendar)
    rows = _accumulate(days, segments)
    rows |= _gaps(days, segments, np.maximum(first_days, days["first_day"]))
    rows |= _position(days, segments) | progress
    rows["is_partial_start"] = (days["first_day"] > first_days) & (timeframe.alignment is Alignment.ANCHORED)
    return take(rows, ~days["is_carry"])


def no_snapshots() -> Rows:
    """No stored snapshot to continue from."""
    return {"id": np.zeros(0, np.int32), "tf": np.zeros(0, "S1")}


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
    is_first = starts(days["id"], window)
    head = run_heads(days["id"], window)
    return _Segments(
        head=head,
        asset=run_heads(days["id"]),
        offset=np.arange(len(window)) - head,
        is_last=np.append(is_first[1:], True)[: len(window)],
        number=np.cumsum(is_first) - 1,
    )


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


def _gaps(days: Rows, segments: _Segments, effective_start: Array) -> Rows:
    """Calendar days without a daily bar between the effective window start and this day."""
    is_head, is_carry = segments.offset == 0, days["is_carry"]
    expected = np.where(is_head, effective_start, np.roll(days["day"], 1) + 1)
    gap = np.where(is_carry, 0, (days["day"] - expected).astype(np.int64))
    at_start = np.where(is_carry, days["count_missing_days_start"], gap)[segments.head]
    between = np.cumsum(np.where(is_head, days["count_missing_days_interior"], gap))
    interior = between - between[segments.head] + days["count_missing_days_interior"][segments.head]
    has_gap = (gap > 0) | (is_carry & ~np.isnat(days["first_missing_day"]))
    first_gap, last_gap = _first_and_last(has_gap, segments.head)
    first_day = np.where(is_carry, days["first_missing_day"], expected)
    last_day = np.where(is_carry, days["last_missing_day"], days["day"] - 1)
    missing = at_start + interior
    is_missing = missing > 0
    return {
        "is_missing_days": is_missing,
        "count_missing_days": missing.astype(np.int32),
        "count_missing_days_start": at_start.astype(np.int32),
        "count_missing_days_interior": interior.astype(np.int32),
        "first_missing_day": np.where(is_missing, first_day[first_gap], _NO_DAY),
        "last_missing_day": np.where(is_missing, last_day[last_gap], _NO_DAY),
    }


def _first_and_last(is_marked: Array, head: Array) -> tuple[Array, Array]:
    """Per row, the first and the last marked row of its segment so far; arbitrary where there is none."""
    marked = np.flatnonzero(is_marked)
    if not len(marked):
        return head, head
    first = marked[np.minimum(np.searchsorted(marked, head), len(marked) - 1)]
    last = np.maximum.accumulate(np.where(is_marked, np.arange(len(is_marked)), 0))
    return first, last


def _position(days: Rows, segments: _Segments) -> Rows:
    """The number of the bar, and the position of the day in it."""
    position = (days["pos_in_bar"][segments.head] + segments.offset).astype(np.int32)
    bar_seq = days["bar_seq"][segments.asset] + segments.number - segments.number[segments.asset]
    return {"bar_seq": bar_seq, "pos_in_bar": position, "count_days": position}


def _rolling_progress(timeframe: Timeframe, days: Rows, segments: _Segments) -> Rows:
    """How long the bar is, how much of it is left, and whether the day closes it: with its n-th daily bar."""
    remaining = timeframe.quantity - days["pos_in_bar"][segments.head] - segments.offset
    length = np.full(len(remaining), timeframe.quantity)
    return _progress(length, remaining, is_canonical=remaining == 0)


def _calendar_progress(days: Rows, segments: _Segments, calendar: Windows) -> Rows:
    """The same of a calendar bar, which the window's last day closes, or the last daily bar before a later window."""
    length = (calendar.last - calendar.first).astype(np.int64) + 1
    remaining = (calendar.last - days["day"]).astype(np.int64)
    is_followed = np.zeros(len(remaining), bool)
    is_followed[:-1] = days["id"][1:] == days["id"][:-1]
    return _progress(length, remaining, is_canonical=segments.is_last & ((remaining == 0) | is_followed))


def _progress(length: Array, remaining: Array, *, is_canonical: Array) -> Rows:
    return {
        "tf_days": length.astype(np.int32),
        "count_days_remaining": remaining.astype(np.int32),
        "is_partial_end": ~is_canonical,
    }
