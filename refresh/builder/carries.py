"""What the stored rows before a stretch left for the averages to continue from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from refresh.builder.counting import Counted
from refresh.builder.grid import Grid
from refresh.builder.reading import Reader
from refresh.catalog import Leg
from refresh.core import ema
from refresh.core.bars import running_sum
from refresh.core.rows import Array, Rows, positions, run_heads, starts, take
from refresh.store import ema_inputs
from refresh.store.packed import read_last


@dataclass(frozen=True, kw_only=True, slots=True)
class Before:
    """What averages continue from: the values of each, the sums of closes (assets, timeframes), and earlier prices.

    ``earlier`` (days, assets, 1), the last day last; no days for formulas that do not look back.
    """

    carries: Mapping[str, ema.Carry]
    close_sum: Array
    earlier: Array


def read_before(reader: Reader, counted: Counted, needed: Array) -> Before:
    """What the stored rows left. ``needed`` (series,): the number of closes that each counts up to its first row."""
    return Before(
        carries=_read_carries(reader, counted.last),
        close_sum=_read_close_sums(reader, counted, needed),
        earlier=_read_earlier(reader, int(needed.max())),
    )


def nothing_before(leg: Leg, grid: Grid) -> Before:
    """Nothing to continue from."""
    return Before(
        carries=_no_carries(leg, grid),
        close_sum=np.zeros(grid.shape[1:]),
        earlier=_no_days(grid),
    )


def _no_carries(leg: Leg, grid: Grid) -> dict[str, ema.Carry]:
    nothing = np.full((len(grid.ids), len(grid.periods)), np.nan)
    blank = ema.Carry(value=nothing, d1_roll=nothing, canonical_value=nothing, canonical_d1=nothing)
    return {average.name: blank for average in leg.averages}


def _no_days(grid: Grid) -> Array:
    return np.zeros((0, len(grid.ids), 1))


def _read_carries(reader: Reader, last_canonical: Array) -> dict[str, ema.Carry]:
    """Per value column, the last row and the last canonical row before the stretch."""
    previous = _read_previous(reader)
    canonical = ema_inputs.read_emas(reader.connection, reader.leg, _points(reader.grid, last_canonical))
    carries = {}
    for average in reader.leg.averages:
        d1, _, d1_roll, _ = average.differences
        carries[average.name] = ema.Carry(
            value=previous[average.name],
            d1_roll=previous[d1_roll],
            canonical_value=_matrix(reader.grid, canonical, average.name),
            canonical_d1=_matrix(reader.grid, canonical, d1),
        )
    return carries


def _points(grid: Grid, times: Array) -> Rows:
    assets, timeframes = np.nonzero(~np.isnat(times))
    return {"id": grid.ids[assets], "tf": grid.tfs[timeframes], "timestamp": times[assets, timeframes]}


def _read_previous(reader: Reader) -> Rows:
    """The averages and their ``d1_roll`` on the last day before the stretch, each (assets, series), NaN where none."""
    grid, leg = reader.grid, reader.leg
    names = [name for average in leg.averages for name in (average.name, average.differences[2])]
    values = {name: np.full((len(grid.ids), len(grid.periods)), np.nan) for name in names}
    for shelf, lanes in reader.places.by_shelf(grid.pairs).items():
        rows = read_last(reader.connection, leg, reader.spans, shelf, lanes, names)
        for name, of_name in values.items():
            of_name[np.ix_(grid.asset(rows["id"]), lanes.series)] = rows[name][:, lanes.lanes]
    return values


def _matrix(grid: Grid, rows: Rows, name: str) -> Array:
    """One column of stored rows as (assets, series), NaN where there is no row."""
    series = grid.series(rows["tf"], rows["period"])
    is_wanted = series >= 0
    values = np.full((len(grid.ids), len(grid.periods)), np.nan)
    values[grid.asset(rows["id"][is_wanted]), series[is_wanted]] = rows[name][is_wanted]
    return values


def _read_close_sums(reader: Reader, counted: Counted, needed: Array) -> Array:
    """The sum of the closes counted before the stretch, (assets, timeframes), where some series still gathers them.

    An append finds it in the state; after a revision it is added up again, in the same order.
    """
    grid = reader.grid
    sums = np.zeros(counted.count_before.shape)
    longest = np.zeros(len(grid.tfs), np.int64)
    np.maximum.at(longest, grid.tf_of, needed)
    is_wanted = (counted.count_before > 0) & (counted.count_before < longest)
    if not is_wanted.any():
        return sums
    stored = ema_inputs.read_state_sums(reader.connection, reader.leg, reader.spans, grid.labels)
    cells = grid.asset(stored["id"]), grid.timeframe(stored["tf"])
    sums[cells] = stored["close_sum"]
    is_wanted[cells] = False
    assets, timeframes = np.nonzero(is_wanted)
    if len(assets):
        wanted = {"id": grid.ids[assets], "tf": grid.tfs[timeframes], "needed": longest[timeframes]}
        closes = ema_inputs.read_closes_before(reader.connection, reader.leg, reader.spans, wanted)
        _add_up(grid, closes, sums)
    return sums


def _add_up(grid: Grid, closes: Rows, sums: Array) -> None:
    """Put the sum of each asset's and timeframe's closes into ``sums``."""
    keys = closes["id"], closes["tf"]
    totals = running_sum(closes["close"], run_heads(*keys))
    is_final = np.append(starts(*keys)[1:], True)[: len(totals)]
    final = take(closes, is_final)
    sums[grid.asset(final["id"]), grid.timeframe(final["tf"])] = totals[is_final]


def _read_earlier(reader: Reader, days: int) -> Array:
    """The prices of up to ``days`` days before the stretch, if the formula looks back."""
    leg, grid = reader.leg, reader.grid
    if not ema.FORMULAS[leg.formula].looks_back:
        return _no_days(grid)
    prices = ema_inputs.read_earlier_prices(reader.connection, leg.price, reader.spans, days)
    assets = grid.asset(prices["id"])
    lengths = np.bincount(assets, minlength=len(grid.ids))
    most = lengths.max(initial=0)
    first_day = most - lengths
    earlier = np.full((most, len(grid.ids), 1), np.nan)
    earlier[first_day[assets] + positions(prices["id"]), assets, 0] = prices["price"]
    return earlier
