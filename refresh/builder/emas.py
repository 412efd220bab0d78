"""Averages in three steps: read what a stretch of days needs, compute it, write it packed.

Between the steps travels one value: ``Inputs``, then ``Averages``. What an average counts is said by ``counting``, what
it continues from by ``carries``, how it is computed by ``core.ema``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from refresh.builder.carries import Before, nothing_before, read_before
from refresh.builder.counting import Counted, Counting
from refresh.builder.done import Done
from refresh.builder.grid import Grid, lay_out
from refresh.builder.reading import Reader, Rebuild, Refresh
from refresh.catalog import Input, Leg, shape_of
from refresh.core import ema
from refresh.core.packing import Lanes, pack
from refresh.core.rows import Array, Rows
from refresh.core.series import Series
from refresh.errors import ViolationError
from refresh.shapes import CLOSED
from refresh.store import state
from refresh.store.ema_inputs import read_prices
from refresh.store.packed import Shelf, replace_shelf
from refresh.store.places import Places, read_places
from refresh.store.replace import Extent
from refresh.store.spans import Spans
from refresh.store.spans import spans as read_spans


@dataclass(frozen=True, kw_only=True, slots=True)
class Inputs:
    """What the averages of a stretch are computed from, and nothing else."""

    leg: Leg
    grid: Grid
    lengths: ema.Lengths
    days: ema.Days
    carries: ema.Carries


@dataclass(frozen=True, kw_only=True, slots=True)
class Averages:
    """The averages of a stretch, with what they were computed from."""

    inputs: Inputs
    result: ema.Result


def refresh(wanted: Refresh, *, counting: Counting) -> Done:
    """Bring some series of a batch up to date, continued from the rows before the first affected day."""
    spans = read_spans(wanted.connection, wanted.batch.dues, bars_back=0)
    places = read_places(wanted.connection, wanted.leg)
    averages = _compute(_read(wanted, spans, places, counting))
    return _write(wanted, spans, places, averages)


def rebuild(wanted: Rebuild, *, counting: Counting) -> Rows:
    """The rows of some series from the rows of their inputs alone, from the first day on."""
    prices = _prices(wanted.tables, wanted.leg.price)
    grid = lay_out(np.unique(prices["id"]).tolist(), prices, wanted.series)
    counted = counting.whole(wanted, grid)
    before = nothing_before(wanted.leg, grid)
    needed = _needed(counting, wanted.series)
    return _rows(_compute(_inputs(wanted.leg, grid, counted, before, needed)))


def _prices(tables: Mapping[str, Rows], price: Input) -> Rows:
    table = tables[price.table]
    prices = {"id": table["id"], "timestamp": table["timestamp"], "price": table[price.columns[0]]}
    if shape_of(price.table).has_timeframes:
        prices["tf"] = table["tf"]
    return prices


def _read(wanted: Refresh, spans: Spans, places: Places, counting: Counting) -> Inputs:
    leg, series = wanted.leg, wanted.series
    tfs = sorted({member.timeframe.tf for member in series})
    prices = read_prices(wanted.connection, leg.price, spans, tfs)
    grid = lay_out(spans.ids, prices, series)
    reader = Reader(connection=wanted.connection, leg=leg, spans=spans, grid=grid, places=places)
    needed = _needed(counting, series)
    counted = counting.continued(reader)
    before = read_before(reader, counted, needed)
    return _inputs(leg, grid, counted, before, needed)


def _needed(counting: Counting, series: Sequence[Series]) -> Array:
    return np.array([counting.needed(member) for member in series])


def _inputs(leg: Leg, grid: Grid, counted: Counted, before: Before, needed: Array) -> Inputs:
    days = ema.Days(
        close=grid.price_of_series,
        canonical=grid.spread(counted.canonical),
        counted=grid.spread(counted.counted),
        count_before=grid.spread(counted.count_before),
        close_sum=grid.spread(before.close_sum),
        earlier=before.earlier,
    )
    lengths = ema.Lengths(period=grid.periods, days_nominal=grid.spread(grid.nominal), needed=needed)
    return Inputs(leg=leg, grid=grid, lengths=lengths, days=days, carries=before.carries)


def _compute(given: Inputs) -> Averages:
    """The averages of the stretch. Raises ``ViolationError`` for the first that no weighted mean of closes can be."""
    result = ema.emas(given.leg.formula, given.lengths, given.days, given.carries)
    violations = np.argwhere(ema.violations(given.days, result, given.carries))
    if len(violations):
        cell = tuple(violations[0].tolist())
        raise ViolationError(f"{given.leg.target}: {_violation(given.grid, result, cell)}")
    return Averages(inputs=given, result=result)


def _violation(grid: Grid, result: ema.Result, cell: tuple[int, int, int]) -> str:
    day, asset, series = cell
    values = ", ".join(f"{name} {column.value[cell]!r}" for name, column in result.columns.items())
    tf = grid.labels[grid.tf_of[series]]
    return (
        f"id {grid.ids[asset]}, tf {tf}, period {grid.periods[series]}, {grid.times[day, asset]}Z: "
        f"{values} is not finite or outside the closes it has seen"
    )


def _write(wanted: Refresh, spans: Spans, places: Places, averages: Averages) -> Done:
    """Write shelf by shelf. A rebuild of all series of a shelf deletes its rows without comparing."""
    connection, leg, grid = wanted.connection, wanted.leg, averages.inputs.grid
    total: Counter[int] = Counter()
    for number, lanes in places.by_shelf(grid.pairs).items():
        extent = Extent(ids=spans.ids, begins=spans.begins, shelf=number)
        shelf = Shelf(lanes=lanes, rows=_packed(averages, number, lanes))
        rewrite = wanted.batch.rewrites and places.are_all(number, lanes)
        total.update(replace_shelf(connection, leg, extent, shelf, rewrite=rewrite))
    needed = averages.inputs.lengths.needed.tolist()
    selected = ((*pair, number) for pair, number in zip(grid.pairs, needed, strict=True))
    state.save_emas(connection, leg, _advances(spans, averages), selected)
    return Done(written=total)


def _packed(averages: Averages, shelf: int, lanes: Lanes) -> Rows:
    """The defined values of a shelf as packed rows in the order of the table's key: id, ts, shelf."""
    given, result = averages.inputs, averages.result
    columns = {CLOSED: given.days.canonical}
    for average in given.leg.averages:
        columns.update(zip(average.columns, result.columns[average.name].parts, strict=True))
    assets, days, packed = pack(columns, result.defined, lanes)
    return {
        "id": given.grid.ids[assets].astype(np.int32),
        "ts": given.grid.times[days, assets],
        "shelf": np.full(len(assets), shelf, np.int32),
        **packed,
    }


def _rows(averages: Averages) -> Rows:
    """The defined values as rows in the order of the table's key: id, ts, tf, period."""
    given, result = averages.inputs, averages.result
    grid, tfs = given.grid, given.grid.spread(given.grid.tfs)
    order = np.lexsort((grid.periods, tfs))
    assets, days, position = np.nonzero(result.defined.transpose(1, 0, 2)[:, :, order])
    series = order[position]
    rows: Rows = {
        "id": grid.ids[assets].astype(np.int32),
        "tf": tfs[series],
        "ts": grid.times[days, assets],
        "period": grid.periods[series].astype(np.int32),
        "tf_days": given.lengths.days_nominal[series].astype(np.int32),
    }
    cells = days, assets, series
    roll = ~given.days.canonical[cells]
    for average in given.leg.averages:
        rows[average.roll] = roll
        for name, values in zip(average.columns, result.columns[average.name].parts, strict=True):
            rows[name] = values[cells]
    return rows


def _advances(spans: Spans, averages: Averages) -> list[state.Advance]:
    """Per asset and timeframe, the number of bars that its series have counted, and the sum of their closes."""
    grid, result = averages.inputs.grid, averages.result
    _, series_of_tf = np.unique(grid.tf_of, return_index=True)
    counts = (averages.inputs.days.count_before + result.counted)[:, series_of_tf].tolist()
    sums = result.close_sum[:, series_of_tf].tolist()
    advances = []
    for id, through, of_asset, sums_of_asset in zip(spans.ids, spans.throughs, counts, sums, strict=True):
        for tf, bars, close_sum in zip(grid.labels, of_asset, sums_of_asset, strict=True):
            advances.append(state.Advance(id=id, tf=tf, through=through, bars=bars, close_sum=close_sum))
    return advances
