"""What an average counts: the canonical bars of a table, or days, of which every n-th closes a bar."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from sqlalchemy import Connection

from refresh.builder.grid import Grid
from refresh.catalog import Leg
from refresh.core.rows import Array, Rows, take
from refresh.core.series import Series
from refresh.store import inputs


@dataclass(frozen=True, kw_only=True, slots=True)
class Counted:
    """What is counted, on the grid's timeframes.

    ``canonical``, ``counted`` (days, assets, timeframes): the days that close a bar, and those that count.
    ``count_before`` (assets, timeframes): how many counted before the stretch. ``last`` (assets, timeframes): the time
    of the last canonical day before it.
    """

    canonical: Array
    counted: Array
    count_before: Array
    last: Array


@dataclass(frozen=True, kw_only=True, slots=True)
class Counting:
    """One way of counting.

    ``continued`` reads what was counted before a stretch; ``whole`` counts from the rows of the inputs alone.
    ``needed``: the number that a series counts up to its first row.
    """

    continued: Callable[[Connection, Leg, inputs.Spans, Grid], Counted]
    whole: Callable[[Leg, Grid, Mapping[str, Rows]], Counted]
    needed: Callable[[Series], int]


def _bars_continued(connection: Connection, leg: Leg, spans: inputs.Spans, grid: Grid) -> Counted:
    canonical = _canonical(grid, inputs.read_canonical(connection, leg, spans, grid.labels))
    before = inputs.read_last_canonical(connection, leg, spans, grid.labels)
    count_before, last = np.zeros(grid.shape[1:], np.int64), grid.no_times()
    where = (grid.asset(before["id"]), grid.timeframe(before["tf"]))
    count_before[where], last[where] = before["bar_seq"], before["timestamp"]
    return Counted(canonical=canonical, counted=canonical, count_before=count_before, last=last)


def _bars_whole(leg: Leg, grid: Grid, tables: Mapping[str, Rows]) -> Counted:
    bars = tables[leg.follows.table]
    is_wanted = ~bars["is_partial_end"] & np.isin(bars["tf"], grid.tfs)
    canonical = _canonical(grid, take(bars, is_wanted))
    nothing = np.zeros(grid.shape[1:], np.int64)
    return Counted(canonical=canonical, counted=canonical, count_before=nothing, last=grid.no_times())


def _canonical(grid: Grid, closing: Rows) -> Array:
    canonical = np.zeros(grid.shape, bool)
    if len(closing["id"]):
        days = grid.day(closing["id"], closing["timestamp"])
        canonical[days, grid.asset(closing["id"]), grid.timeframe(closing["tf"])] = True
    return canonical


def _days_continued(connection: Connection, _: Leg, spans: inputs.Spans, grid: Grid) -> Counted:
    before = inputs.read_nth_days(connection, spans, grid.nominal.tolist())
    count_before, last = np.zeros(grid.shape[1:], np.int64), grid.no_times()
    assets = grid.asset(before["id"])
    for timeframe, length in enumerate(grid.nominal.tolist()):
        of_length = before["length"] == length
        count_before[assets[of_length], timeframe] = before["count"][of_length]
        last[assets[of_length], timeframe] = before["timestamp"][of_length]
    return _counted_days(grid, count_before, last)


def _days_whole(_: Leg, grid: Grid, __: Mapping[str, Rows]) -> Counted:
    return _counted_days(grid, np.zeros(grid.shape[1:], np.int64), grid.no_times())


def _counted_days(grid: Grid, count_before: Array, last: Array) -> Counted:
    days, _, _ = grid.shape
    number = count_before + np.arange(1, days + 1)[:, None, None]
    is_day = np.broadcast_to(~np.isnat(grid.times)[:, :, None], grid.shape)
    canonical = number % grid.nominal == 0
    return Counted(canonical=canonical, counted=is_day, count_before=count_before, last=last)


BARS = Counting(continued=_bars_continued, whole=_bars_whole, needed=lambda series: series.period)
DAYS = Counting(
    continued=_days_continued,
    whole=_days_whole,
    needed=lambda series: series.period * series.timeframe.days_nominal,
)
