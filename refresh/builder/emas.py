"""EMAs in three steps: read what a stretch needs, compute its rows, write them.

Between the steps travels one value, ``Inputs``. What an average counts is said by ``counting``, how it is computed by
``core.ema``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from sqlalchemy import Connection

from refresh.builder.carries import close_sums, no_carries, read_carries
from refresh.builder.counting import Counted, Counting
from refresh.builder.done import Done
from refresh.builder.grid import Grid, lay_out
from refresh.catalog import Leg, shape_of
from refresh.core import ema
from refresh.core.rows import Array, Rows
from refresh.core.series import Series
from refresh.due.batches import Batch
from refresh.due.scope import Scope
from refresh.errors import ViolationError
from refresh.store import inputs, state
from refresh.store.replace import Extent, Target, replace


@dataclass(frozen=True, kw_only=True, slots=True)
class Inputs:
    """What the rows of a stretch are computed from, and nothing else."""

    grid: Grid
    lengths: ema.Lengths
    days: ema.Days
    carries: ema.Carries


def refresh(connection: Connection, scope: Scope, leg: Leg, batch: Batch, counting: Counting) -> Done:
    """Bring some series of a batch up to date, continued from the rows before the first affected day."""
    series = scope.chosen(leg, batch.series)
    spans = inputs.spans(connection, batch.dues, bars_back=0)
    read = _read(connection, leg, spans, series, counting)
    result = _compute(leg, read)
    extent = Extent(
        ids=spans.ids,
        begins=spans.begins,
        tfs=tuple(one.timeframe.tf for one in series),
        periods=tuple(one.period for one in series),
    )
    changes = replace(connection, Target.of(leg), extent, _rows(leg, read, result), rewrite=batch.rewrites)
    needed = read.lengths.needed.tolist()
    selected = [(one.timeframe.tf, one.period, bars) for one, bars in zip(series, needed, strict=True)]
    state.save_emas(connection, leg, _advances(spans, read, result), selected)
    return Done(written=changes.written, deleted=changes.deleted)


def rebuild(leg: Leg, series: Sequence[Series], tables: Mapping[str, Rows], counting: Counting) -> Rows:
    """The rows of some series from the rows of their inputs alone, from the first day on."""
    table = tables[leg.price.table]
    prices = {"id": table["id"], "timestamp": table["timestamp"], "price": table[leg.price.columns[0]]}
    if shape_of(leg.price.table).has_timeframes:
        prices["tf"] = table["tf"]
    grid = lay_out(np.unique(table["id"]).tolist(), prices, series)
    counted = counting.whole(leg, grid, tables)
    sums = np.zeros(counted.count_before.shape)
    days = _days(grid, counted, sums, _no_days(grid))
    lengths = _lengths(grid, _needed(counting, series))
    read = Inputs(grid=grid, lengths=lengths, days=days, carries=no_carries(leg, grid))
    return _rows(leg, read, _compute(leg, read))


def _read(
    connection: Connection, leg: Leg, spans: inputs.Spans, series: Sequence[Series], counting: Counting
) -> Inputs:
    tfs = sorted({one.timeframe.tf for one in series})
    grid = lay_out(spans.ids, inputs.read_prices(connection, leg.price, spans, tfs), series)
    counted = counting.continued(connection, leg, spans, grid)
    needed = _needed(counting, series)
    sums = close_sums(connection, leg, spans, grid, counted, needed)
    carries = read_carries(connection, leg, spans, grid, counted.last)
    days = _days(grid, counted, sums, _earlier(connection, leg, spans, grid, needed))
    return Inputs(grid=grid, lengths=_lengths(grid, needed), days=days, carries=carries)


def _needed(counting: Counting, series: Sequence[Series]) -> Array:
    return np.array([counting.needed(one) for one in series])


def _lengths(grid: Grid, needed: Array) -> ema.Lengths:
    return ema.Lengths(period=grid.periods, days_nominal=grid.spread(grid.nominal), needed=needed)


def _days(grid: Grid, counted: Counted, sums: Array, earlier: Array) -> ema.Days:
    return ema.Days(
        close=grid.price_of_series,
        canonical=grid.spread(counted.canonical),
        counted=grid.spread(counted.counted),
        count_before=grid.spread(counted.count_before),
        close_sum=grid.spread(sums),
        earlier=earlier,
    )


def _earlier(connection: Connection, leg: Leg, spans: inputs.Spans, grid: Grid, needed: Array) -> Array:
    """The prices of the days before the stretch, (days, assets, 1), the last day last; for formulas that look back."""
    if not ema.FORMULAS[leg.formula].looks_back:
        return _no_days(grid)
    prices = inputs.read_earlier_prices(connection, leg.price, spans, int(needed.max()))
    before = lay_out(spans.ids, prices, ())
    length = (~np.isnan(before.price)).sum(axis=0)[:, 0]
    earlier = np.full(before.price.shape, np.nan)
    for asset, days in enumerate(length.tolist()):
        earlier[len(earlier) - days :, asset] = before.price[:days, asset]
    return earlier


def _no_days(grid: Grid) -> Array:
    return np.zeros((0, len(grid.ids), 1))


def _compute(leg: Leg, read: Inputs) -> ema.Result:
    """The averages of the stretch. Raises ``ViolationError`` for the first that no weighted mean of closes can be."""
    result = ema.emas(leg.formula, read.lengths, read.days, read.carries)
    wrong = np.argwhere(ema.violations(read.days, result, read.carries))
    if len(wrong):
        raise ViolationError(f"{leg.target}: {_violation(read.grid, result, *wrong[0].tolist())}")
    return result


def _violation(grid: Grid, result: ema.Result, day: int, asset: int, series: int) -> str:
    values = ", ".join(f"{name} {column.value[day, asset, series]!r}" for name, column in result.columns.items())
    tf = grid.labels[grid.tf_of[series]]
    return (
        f"id {grid.ids[asset]}, tf {tf}, period {grid.periods[series]}, {grid.times[day, asset]}Z: "
        f"{values} is not finite or outside the closes it has seen"
    )


def _rows(leg: Leg, read: Inputs, result: ema.Result) -> Rows:
    """The defined values as rows in the order of the table's key: id, ts, tf, period."""
    grid = read.grid
    order = np.lexsort((grid.periods, grid.tfs[grid.tf_of]))
    assets, days, ordered = np.nonzero(result.defined.transpose(1, 0, 2)[:, :, order])
    series = order[ordered]
    roll = ~read.days.canonical[days, assets, series]
    rows: Rows = {
        "id": grid.ids[assets].astype(np.int32),
        "tf": grid.tfs[grid.tf_of[series]],
        "ts": grid.times[days, assets],
        "period": grid.periods[series].astype(np.int32),
        "tf_days": read.lengths.days_nominal[series].astype(np.int32),
    }
    for average in leg.averages:
        rows[average.roll] = roll
        for name, values in zip(average.columns, result.columns[average.name].parts, strict=True):
            rows[name] = values[days, assets, series]
    return rows


def _advances(spans: inputs.Spans, read: Inputs, result: ema.Result) -> list[state.Advance]:
    """Per asset and timeframe, how many bars its series have counted and their sum."""
    _, series_of_tf = np.unique(read.grid.tf_of, return_index=True)
    bars = (read.days.count_before + result.counted)[:, series_of_tf].tolist()
    sums = result.close_sum[:, series_of_tf].tolist()
    advances = []
    for asset, (id, through) in enumerate(zip(spans.ids, spans.throughs, strict=True)):
        for timeframe, tf in enumerate(read.grid.labels):
            number, total = bars[asset][timeframe], sums[asset][timeframe]
            advances.append(state.Advance(id=id, tf=tf, through=through, bars=number, close_sum=total))
    return advances
