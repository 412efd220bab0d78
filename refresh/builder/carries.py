"""What the stored rows before a stretch left for the averages to continue from."""

from __future__ import annotations

import numpy as np
from sqlalchemy import Connection

from refresh.builder.counting import Counted
from refresh.builder.grid import Grid
from refresh.catalog import Average, Leg
from refresh.core import ema
from refresh.core.bars import running_sum
from refresh.core.rows import TIME, Array, Rows, count, run_heads, stack, starts, take
from refresh.store import inputs

_PREVIOUS, _CANONICAL = 0, 1
"""Which stored row a value is from: that of the last day, or that of the last canonical day."""


def read_carries(
    connection: Connection, leg: Leg, spans: inputs.Spans, grid: Grid, last_canonical: Array
) -> dict[str, ema.Carry]:
    """What the stored rows before the stretch left, per value column: the last row, and the last canonical one."""
    previous = np.array([time and time.replace(tzinfo=None) for time in spans.carries], TIME)
    last = np.repeat(previous[:, None], len(grid.tfs), axis=1)
    points = stack([_points(grid, last, _PREVIOUS), _points(grid, last_canonical, _CANONICAL)])
    if not count(points):
        return no_carries(leg, grid)
    stored = inputs.read_emas(connection, leg, points)
    previous_rows = take(stored, stored["source"] == _PREVIOUS)
    canonical_rows = take(stored, stored["source"] == _CANONICAL)
    return {average.name: _carry(grid, average, previous_rows, canonical_rows) for average in leg.averages}


def no_carries(leg: Leg, grid: Grid) -> dict[str, ema.Carry]:
    """Nothing to continue from."""
    nothing = np.full((len(grid.ids), len(grid.periods)), np.nan)
    blank = ema.Carry(value=nothing, d1_roll=nothing, canonical_value=nothing, canonical_d1=nothing)
    return {average.name: blank for average in leg.averages}


def _points(grid: Grid, times: Array, source: int) -> Rows:
    assets, timeframes = np.nonzero(~np.isnat(times))
    return {
        "id": grid.ids[assets],
        "tf": grid.tfs[timeframes],
        "timestamp": times[assets, timeframes],
        "source": np.full(len(assets), source),
    }


def _carry(grid: Grid, average: Average, previous: Rows, canonical: Rows) -> ema.Carry:
    d1, _, d1_roll, _ = average.differences
    return ema.Carry(
        value=_matrix(grid, previous, average.name),
        d1_roll=_matrix(grid, previous, d1_roll),
        canonical_value=_matrix(grid, canonical, average.name),
        canonical_d1=_matrix(grid, canonical, d1),
    )


def _matrix(grid: Grid, rows: Rows, name: str) -> Array:
    """One column of stored rows as (assets, series), NaN where there is no row."""
    series = grid.series(rows["tf"], rows["period"])
    is_wanted = series >= 0
    values = np.full((len(grid.ids), len(grid.periods)), np.nan)
    values[grid.asset(rows["id"][is_wanted]), series[is_wanted]] = rows[name][is_wanted]
    return values


def close_sums(
    connection: Connection, leg: Leg, spans: inputs.Spans, grid: Grid, counted: Counted, needed: Array
) -> Array:
    """The sum of the closes counted before the stretch, (assets, timeframes), where some series still gathers them.

    An append finds it in the state; after a revision it is added up again, in the same order.
    """
    sums = np.zeros(counted.count_before.shape)
    most = np.zeros(len(grid.tfs), np.int64)
    np.maximum.at(most, grid.tf_of, needed)
    is_wanted = (counted.count_before > 0) & (counted.count_before < most)
    if not is_wanted.any():
        return sums
    stored = inputs.read_state_sums(connection, leg, spans, grid.labels)
    where = (grid.asset(stored["id"]), grid.timeframe(stored["tf"]))
    sums[where] = stored["close_sum"]
    is_wanted[where] = False
    assets, timeframes = np.nonzero(is_wanted)
    if len(assets):
        wanted = {"id": grid.ids[assets], "tf": grid.tfs[timeframes], "needed": most[timeframes]}
        _add_up(grid, inputs.read_closes_before(connection, leg, spans, wanted), sums)
    return sums


def _add_up(grid: Grid, closes: Rows, sums: Array) -> None:
    """Put the sum of each asset's and timeframe's closes into ``sums``."""
    totals = running_sum(closes["close"], run_heads(closes["id"], closes["tf"]))
    is_final = np.append(starts(closes["id"], closes["tf"])[1:], True)[: len(totals)]
    final = take(closes, is_final)
    sums[grid.asset(final["id"]), grid.timeframe(final["tf"])] = totals[is_final]
