"""What an average counts: the canonical bars of a table, or days, of which every n-th closes a bar."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from refresh.builder.grid import Grid
from refresh.builder.reading import Reader, Rebuild
from refresh.core.rows import Array, Rows, count, take
from refresh.core.series import Series
from refresh.store import ema_inputs


@dataclass(frozen=True, kw_only=True, slots=True)
class Counted:
    """What is counted, on the grid's timeframes.

    ``canonical``, ``counted`` (days, assets, timeframes): the days that close a bar, and those that count.
    ``count_before`` (assets, timeframes): the number counted before the stretch. ``last`` (assets, timeframes): the
    time of the last canonical day before it.
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

    continued: Callable[[Reader], Counted]
    whole: Callable[[Rebuild, Grid], Counted]
    needed: Callable[[Series], int]


def _bars_continued(reader: Reader) -> Counted:
    where = reader.connection, reader.leg, reader.spans, reader.grid.labels
    closing = ema_inputs.read_canonical(*where)
    before = ema_inputs.read_last_canonical(*where)
    cells = reader.grid.asset(before["id"]), reader.grid.timeframe(before["tf"])
    count_before, last = reader.grid.no_counts(), reader.grid.no_times()
    count_before[cells] = before["bar_seq"]
    last[cells] = before["timestamp"]
    return _counted_bars(reader.grid, closing, count_before, last)


def _bars_whole(rebuild: Rebuild, grid: Grid) -> Counted:
    bars = rebuild.tables[rebuild.leg.follows.table]
    closing = take(bars, ~bars["is_partial_end"] & np.isin(bars["tf"], grid.tfs))
    return _counted_bars(grid, closing, grid.no_counts(), grid.no_times())


def _counted_bars(grid: Grid, closing: Rows, count_before: Array, last: Array) -> Counted:
    canonical = np.zeros(grid.shape, bool)
    if count(closing):
        days = grid.day(closing["id"], closing["timestamp"])
        canonical[days, grid.asset(closing["id"]), grid.timeframe(closing["tf"])] = True
    return Counted(canonical=canonical, counted=canonical, count_before=count_before, last=last)


def _days_continued(reader: Reader) -> Counted:
    grid = reader.grid
    lengths = grid.nominal.tolist()
    before = ema_inputs.read_nth_days(reader.connection, reader.spans, lengths)
    count_before, last = grid.no_counts(), grid.no_times()
    for timeframe, length in enumerate(lengths):
        of_length = take(before, before["length"] == length)
        assets = grid.asset(of_length["id"])
        count_before[assets, timeframe] = of_length["count"]
        last[assets, timeframe] = of_length["timestamp"]
    return _counted_days(grid, count_before, last)


def _days_whole(_: Rebuild, grid: Grid) -> Counted:
    return _counted_days(grid, grid.no_counts(), grid.no_times())


def _counted_days(grid: Grid, count_before: Array, last: Array) -> Counted:
    days, _, _ = grid.shape
    number = count_before + np.arange(1, days + 1)[:, None, None]
    is_day = ~np.isnat(grid.times)[:, :, None]
    return Counted(
        canonical=number % grid.nominal == 0,
        counted=np.broadcast_to(is_day, grid.shape),
        count_before=count_before,
        last=last,
    )


BARS = Counting(
    continued=_bars_continued,
    whole=_bars_whole,
    needed=lambda series: series.period,
)
DAYS = Counting(
    continued=_days_continued,
    whole=_days_whole,
    needed=lambda series: series.period * series.timeframe.days_nominal,
)
