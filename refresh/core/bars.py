"""Daily bars and windows -> snapshots: the state of every bar at every daily close.

The arithmetic runs over the days of many assets at once; a stretch of days continues from the snapshot before it,
which stands for all earlier days of its bar, and gives the same bits as starting from the first day.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from refresh.core.gaps import NO_DAY, gaps
from refresh.core.rows import Array, Rows, count, run_heads, stack, starts, take
from refresh.core.sessions import ALL_DAYS, Sessions
from refresh.core.timeframe import Timeframe
from refresh.core.window import windows
from refresh.families import Alignment

DAILY_COLUMNS = (
    "id", "timestamp", "day", "bar_seq", "time_open", "time_close", "time_high", "time_low",
    "open", "high", "low", "close", "volume", "market_cap",
)  # fmt: skip
"""The columns of a daily bar that snapshots are made from; ``day`` is the calendar date of ``timestamp``."""


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


@dataclass(frozen=True, kw_only=True, slots=True)
class _Layout:
    """The days that some window holds, and per day its run, the window's first day and the bar's progress."""

    days: Rows
    segments: _Segments
    first_day: Array
    progress: Rows


def snapshots(timeframe: Timeframe, daily: Rows, carry: Rows, sessions: Sessions = ALL_DAYS) -> Rows:
    """The snapshot of every daily bar that a window of the timeframe holds, columns of the snapshot tables.

    ``daily``: ``DAILY_COLUMNS`` and ``first_day`` (the asset's first), sorted by id, timestamp.
    ``carry``: the stored snapshot of this timeframe at the daily bar before the stretch, at most one per asset, with
    its ``day``; an asset without one begins its first bar here.
    The last daily bar of an asset counts as the last there is: its calendar bar is canonical only on the window's last
    session.
    """
    days = _with_carry(timeframe, daily, carry)
    is_rolling = timeframe.alignment is Alignment.ROLLING
    layout = _rolling_layout(timeframe, days) if is_rolling else _calendar_layout(timeframe, days, sessions)
    days, segments = layout.days, layout.segments
    rows = _accumulate(days, segments)
    rows |= gaps(days, segments.head, np.maximum(layout.first_day, days["first_day"]), sessions)
    rows |= _position(days, segments)
    rows |= layout.progress
    is_anchored = timeframe.alignment is Alignment.ANCHORED
    rows["is_partial_start"] = (days["first_day"] > layout.first_day) & is_anchored
    return take(rows, ~days["is_carry"])


def no_snapshots() -> Rows:
    """No stored snapshot to continue from."""
    return {"id": np.zeros(0, np.int32), "tf": np.zeros(0, "S1")}


def _with_carry(timeframe: Timeframe, daily: Rows, carry: Rows) -> Rows:
    """Daily bars led, per asset, by the snapshot before them in the shape of a daily bar."""
    bars = _as_snapshots(daily)
    if not count(carry):
        return bars
    lead = {name: carry[name] for name in bars if name in carry}
    lead["is_carry"] = np.ones(count(carry), bool)
    lead["daily_seq"] = (carry["bar_seq"] - 1) * timeframe.quantity + carry["pos_in_bar"]
    lead["first_day"] = bars["first_day"][np.searchsorted(bars["id"], carry["id"])]
    both = stack([bars, lead])
    return take(both, np.lexsort((both["timestamp"], both["id"])))


def _as_snapshots(daily: Rows) -> Rows:
    """Daily bars, each as the first snapshot of a bar of its own."""
    size = count(daily)
    bars = {name: daily[name] for name in (*DAILY_COLUMNS, "first_day")}
    bars["daily_seq"] = bars["bar_seq"]
    bars["is_carry"] = np.zeros(size, bool)
    bars["bar_seq"] = bars["pos_in_bar"] = np.ones(size, np.int64)
    bars["count_missing_days_start"] = bars["count_missing_days_interior"] = np.zeros(size, np.int64)
    bars["first_missing_day"] = bars["last_missing_day"] = np.full(size, NO_DAY)
    return bars


def _rolling_layout(timeframe: Timeframe, days: Rows) -> _Layout:
    """Bars of n daily bars, one after another; the n-th closes its bar."""
    segments = _segments(days, (days["daily_seq"] - 1) // timeframe.quantity)
    remaining = timeframe.quantity - days["pos_in_bar"][segments.head] - segments.offset
    length = np.full(len(remaining), timeframe.quantity)
    return _Layout(
        days=days,
        segments=segments,
        first_day=days["day"][segments.head],
        progress=_progress(length, remaining, is_canonical=remaining == 0),
    )


def _calendar_layout(timeframe: Timeframe, days: Rows, sessions: Sessions) -> _Layout:
    """Bars of calendar windows, which the window's last session closes, or the last daily bar before a later window."""
    calendar = windows(timeframe, days["day"], days["first_day"]).existing
    days = take(days, calendar.exists)
    segments = _segments(days, calendar.number)
    length = (calendar.last - calendar.first).astype(np.int64) + 1
    remaining = (calendar.last - days["day"]).astype(np.int64)
    sessions_remaining = sessions.between(days["id"], days["day"] + 1, calendar.last + 1)
    is_followed = np.zeros(len(remaining), bool)
    is_followed[:-1] = days["id"][1:] == days["id"][:-1]
    is_canonical = segments.is_last & ((sessions_remaining == 0) | is_followed)
    return _Layout(
        days=days,
        segments=segments,
        first_day=calendar.first,
        progress=_progress(length, remaining, is_canonical=is_canonical),
    )


def _progress(length: Array, remaining: Array, *, is_canonical: Array) -> Rows:
    """How long a bar is, how much of it is left, and whether the day closes it."""
    return {
        "tf_days": length.astype(np.int32),
        "count_days_remaining": remaining.astype(np.int32),
        "is_partial_end": ~is_canonical,
    }


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
    high = _leader(days["high"], segments.number)
    low = _leader(-days["low"], segments.number)
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
    highest = np.maximum.accumulate(segment * size + rank)
    return np.asarray(order[highest % max(size, 1)])


def running_sum(values: Array, head: Array) -> Array:
    """The sum of each segment so far, added strictly one after another; ``head`` is the index of its first row."""
    index = np.arange(len(values))
    segment = np.cumsum(head == index) - 1
    offset = index - head
    shape = segment.max(initial=-1) + 1, offset.max(initial=0) + 1
    grid = np.zeros(shape)
    grid[segment, offset] = values
    sums = np.cumsum(grid, axis=1)
    return np.asarray(sums[segment, offset])


def _volume(volume: Array, segments: _Segments) -> Array:
    """The sum so far of the volumes that are known; NULL where none is."""
    is_known = ~np.isnan(volume)
    total = running_sum(np.where(is_known, volume, 0.0), segments.head)
    number = np.cumsum(is_known)
    number_in_bar = number - number[segments.head] + is_known[segments.head]
    return np.where(number_in_bar > 0, total, np.nan)


def _position(days: Rows, segments: _Segments) -> Rows:
    """The number of the bar, and the position of the day in it."""
    position = (days["pos_in_bar"][segments.head] + segments.offset).astype(np.int32)
    bar_seq = days["bar_seq"][segments.asset] + segments.number - segments.number[segments.asset]
    return {"bar_seq": bar_seq, "pos_in_bar": position, "count_days": position}
