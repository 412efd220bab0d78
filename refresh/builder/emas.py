"""EMAs: daily closes and canonical bars -> the rows of every series of one table, continued from the rows before."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sqlalchemy import Connection

from refresh.builder.done import Done
from refresh.builder.grid import Grid, lay_out
from refresh.catalog import Formula, Leg
from refresh.core import ema
from refresh.core.bars import running_sum
from refresh.core.rows import TIME, Array, Rows, count, starts, take
from refresh.core.span import Batch
from refresh.errors import ViolationError
from refresh.store import inputs, state
from refresh.store.replace import Place, Target, replace
from refresh.store.survey import Scope
from refresh.store.tables import DIFFERENCES, difference_columns, value_columns

_PREVIOUS, _CANONICAL = 0, 1


@dataclass(frozen=True, slots=True)
class _Followed:
    """What an EMA counts, on the grid's timeframes.

    ``canonical`` (days, assets, timeframes): the days that close a bar. ``bar_count`` and ``last`` (assets,
    timeframes): the bars counted before the stretch, and the time of the last canonical day.
    """

    canonical: Array
    bar_count: Array
    last: Array


def refresh_over_bars(connection: Connection, scope: Scope, leg: Leg, batch: Batch) -> Done:
    """Bring EMAs up to date that count the canonical closes of a bar table."""
    at = inputs.spans(connection, batch, bars_back=0)
    grid = _grid(connection, scope, leg, batch, at)
    tfs = [tf.decode() for tf in grid.tfs.tolist()]
    closing = inputs.read_canonical(connection, leg, at, tfs)
    canonical = np.zeros((*grid.close.shape, len(tfs)), bool)
    if count(closing):
        rows = grid.day(closing["id"], closing["timestamp"])
        canonical[rows, grid.asset(closing["id"]), grid.timeframe(closing["tf"])] = True
    before = inputs.read_last_canonical(connection, leg, at, tfs)
    bar_count, last = _blank(grid)
    where = (grid.asset(before["id"]), grid.timeframe(before["tf"]))
    bar_count[where], last[where] = before["bar_seq"], before["timestamp"]
    return _refresh(connection, scope, leg, batch, at, grid, _Followed(canonical, bar_count, last))


def refresh_over_days(connection: Connection, scope: Scope, leg: Leg, batch: Batch) -> Done:
    """Bring EMAs up to date that count daily closes; every n-th daily bar of the asset is canonical."""
    at = inputs.spans(connection, batch, bars_back=0)
    grid = _grid(connection, scope, leg, batch, at)
    nominal = _nominal(scope, leg)
    lengths = np.array([nominal[tf] for tf in grid.tfs.tolist()], np.int64)
    before = inputs.read_nth_days(connection, at, lengths.tolist())
    bar_count, last = _blank(grid)
    asset = grid.asset(before["id"])
    for place, length in enumerate(lengths.tolist()):
        of_length = before["length"] == length
        bar_count[asset[of_length], place] = before["count"][of_length]
        last[asset[of_length], place] = before["timestamp"][of_length]
    number = bar_count[:, :1].T + np.arange(1, len(grid.close) + 1)[:, None]
    canonical = number[:, :, None] % lengths == 0
    return _refresh(connection, scope, leg, batch, at, grid, _Followed(canonical, bar_count, last))


def _grid(connection: Connection, scope: Scope, leg: Leg, batch: Batch, at: inputs.Spans) -> Grid:
    daily = inputs.read_daily(connection, at, scope.tz, ("id", "timestamp", "close"))
    return lay_out(at.ids, daily, scope.chosen(leg, batch))


def _blank(grid: Grid) -> tuple[Array, Array]:
    shape = (len(grid.ids), len(grid.tfs))
    return np.zeros(shape, np.int64), np.full(shape, np.datetime64("NaT"), TIME)


def _nominal(scope: Scope, leg: Leg) -> dict[bytes, int]:
    """N of each timeframe by its label."""
    return {one.timeframe.tf.encode(): one.timeframe.days_nominal for one in scope.of(leg)}


def _refresh(
    connection: Connection, scope: Scope, leg: Leg, batch: Batch, at: inputs.Spans, grid: Grid, followed: _Followed
) -> Done:
    """Compute the stretch from what the rows before it left, write it, and advance the state."""
    nominal_days = _nominal(scope, leg)
    nominal = grid.spread(np.array([nominal_days[tf] for tf in grid.tfs.tolist()], np.int64))
    needed = grid.periods * (nominal if leg.formula is Formula.CONTINUOUS else 1)
    rows, advances = _computed(connection, leg, at, grid, followed, nominal, needed)
    chosen = scope.chosen(leg, batch)
    place = Place(at.ids, at.begins, tuple(one.timeframe.tf for one in chosen), tuple(one.period for one in chosen))
    target = Target(leg.target, ("id", "ts", "tf", "period"), "ts")
    changes = replace(connection, target, place, rows, rewrite=batch.rewrites)
    selected = [(one.timeframe.tf, one.period, bars) for one, bars in zip(chosen, needed.tolist(), strict=True)]
    state.save_emas(connection, leg, advances, selected)
    return Done(changes.written, changes.deleted)


def _computed(
    connection: Connection, leg: Leg, at: inputs.Spans, grid: Grid, followed: _Followed, nominal: Array, needed: Array
) -> tuple[Rows, list[state.Advance]]:
    """The rows of the stretch and how far they take each series; ``nominal`` and ``needed`` have shape (series,)."""
    sums = _close_sums(connection, leg, at, grid, followed, needed)
    days = ema.Days(grid.close, grid.spread(followed.canonical), grid.spread(followed.bar_count), grid.spread(sums))
    carries = _carries(connection, leg, at, grid, followed)
    result = ema.emas(leg.formula or Formula.CONTINUOUS, ema.Series(grid.periods, nominal), days, carries)
    _check(leg, grid, days, result, carries)
    return _rows(grid, days, result, nominal), _advances(at, grid, days, result)


def _close_sums(
    connection: Connection, leg: Leg, at: inputs.Spans, grid: Grid, followed: _Followed, needed: Array
) -> Array:
    """The sum of the closes counted before the stretch, (assets, timeframes), where some series still gathers them.

    An append finds it in the state; after a revision it is added up again, in the same order.
    """
    sums = np.zeros(followed.bar_count.shape)
    most = np.array([needed[grid.tf_of == place].max() for place in range(len(grid.tfs))])
    wanted = (followed.bar_count > 0) & (followed.bar_count < most)
    if not wanted.any():
        return sums
    known = inputs.read_state_sums(connection, leg, at, [tf.decode() for tf in grid.tfs.tolist()])
    where = (grid.asset(known["id"]), grid.timeframe(known["tf"]))
    sums[where] = known["close_sum"]
    wanted[where] = False
    assets, timeframes = np.nonzero(wanted)
    if not len(assets):
        return sums
    asked = {"id": grid.ids[assets], "tf": grid.tfs[timeframes], "needed": most[timeframes]}
    closes = inputs.read_closes_before(connection, leg, at, asked)
    index, first = np.arange(count(closes)), starts(closes["id"], closes["tf"])
    totals = running_sum(closes["close"], np.maximum.accumulate(np.where(first, index, 0)))
    final = np.append(first[1:], True)[: len(first)]
    sums[grid.asset(closes["id"][final]), grid.timeframe(closes["tf"][final])] = totals[final]
    return sums


def _carries(
    connection: Connection, leg: Leg, at: inputs.Spans, grid: Grid, followed: _Followed
) -> dict[str, ema.Carry]:
    """What the stored rows before the stretch left, per value column: the last row, and the last canonical one."""
    previous = np.array([time and time.replace(tzinfo=None) for time in at.carries], TIME)
    points = [
        _points(grid, np.repeat(previous[:, None], len(grid.tfs), axis=1), _PREVIOUS),
        _points(grid, followed.last, _CANONICAL),
    ]
    merged = {name: np.concatenate([part[name] for part in points]) for name in points[0]}
    shape = (len(grid.ids), len(grid.periods))
    names = [name for value in value_columns(leg) for name in (value, *difference_columns(value)[::2])]
    found: dict[tuple[int, str], Array] = {
        (place, name): np.full(shape, np.nan) for place in (_PREVIOUS, _CANONICAL) for name in names
    }
    if count(merged):
        _fill(grid, inputs.read_emas(connection, leg, merged), names, found)
    return {value: _carry(value, found) for value in value_columns(leg)}


def _points(grid: Grid, times: Array, place: int) -> Rows:
    assets, timeframes = np.nonzero(~np.isnat(times))
    size = len(assets)
    return {
        "id": grid.ids[assets],
        "tf": grid.tfs[timeframes],
        "timestamp": times[assets, timeframes],
        "place": np.full(size, place),
    }


def _fill(grid: Grid, stored: Rows, names: list[str], found: dict[tuple[int, str], Array]) -> None:
    for place in (_PREVIOUS, _CANONICAL):
        rows = take(stored, stored["place"] == place)
        series = grid.series(rows["tf"], rows["period"])
        rows, series = take(rows, series >= 0), series[series >= 0]
        for name in names:
            found[place, name][grid.asset(rows["id"]), series] = rows[name]


def _carry(value: str, found: dict[tuple[int, str], Array]) -> ema.Carry:
    d1, d1_roll = difference_columns(value)[::2]
    return ema.Carry(
        value=found[_PREVIOUS, value],
        d1_roll=found[_PREVIOUS, d1_roll],
        canonical_value=found[_CANONICAL, value],
        canonical_d1=found[_CANONICAL, d1],
    )


def _check(leg: Leg, grid: Grid, days: ema.Days, result: ema.Result, carries: dict[str, ema.Carry]) -> None:
    """Raise ``ViolationError`` for the first value that no weighted mean of closes can be."""
    wrong = np.argwhere(ema.violations(days, result, carries))
    if not len(wrong):
        return
    day, asset, place = wrong[0].tolist()
    values = ", ".join(f"{name} {column.value[day, asset, place]!r}" for name, column in result.columns.items())
    raise ViolationError(
        f"{leg.target}: id {grid.ids[asset]}, tf {grid.tfs[grid.tf_of[place]].decode()}, period {grid.periods[place]}, "
        f"{grid.times[day, asset]}Z: {values} is not finite or outside the closes it has seen"
    )


def _rows(grid: Grid, days: ema.Days, result: ema.Result, nominal: Array) -> Rows:
    """The defined values as rows in the order of the table's key: id, ts, tf, period."""
    order = np.lexsort((grid.periods, grid.tfs[grid.tf_of]))
    assets, places, series = np.nonzero(result.defined.transpose(1, 0, 2)[:, :, order])
    series = order[series]
    roll = ~days.canonical[places, assets, series]
    rows: Rows = {
        "id": grid.ids[assets].astype(np.int32),
        "tf": grid.tfs[grid.tf_of[series]],
        "ts": grid.times[places, assets],
        "period": grid.periods[series].astype(np.int32),
        "tf_days": nominal[series].astype(np.int32),
    }
    for name, column in result.columns.items():
        rows["roll" + name.removeprefix("ema")] = roll
        parts = (column.value, *(getattr(column, part) for part in DIFFERENCES))
        for target, part in zip((name, *difference_columns(name)), parts, strict=True):
            rows[target] = part[places, assets, series]
    return rows


def _advances(at: inputs.Spans, grid: Grid, days: ema.Days, result: ema.Result) -> list[state.Advance]:
    """Per asset and timeframe, how many bars its series have counted and their sum."""
    one_of = np.array([int(np.flatnonzero(grid.tf_of == place)[0]) for place in range(len(grid.tfs))])
    bars = (days.bar_count + result.counted)[:, one_of].tolist()
    sums = result.close_sum[:, one_of].tolist()
    return [
        state.Advance(id, tf.decode(), through, bars[row][place], sums[row][place])
        for row, (id, through) in enumerate(zip(at.ids, at.throughs, strict=True))
        for place, tf in enumerate(grid.tfs.tolist())
    ]
