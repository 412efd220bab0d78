"""Bars over windows: daily bars -> the snapshots of every timeframe of one table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from sqlalchemy import Connection

from refresh.builder.done import Done
from refresh.catalog import DAILY, Leg
from refresh.core.bars import DAILY_COLUMNS, no_snapshots, snapshots
from refresh.core.rows import Rows, count, merge, run_heads, take
from refresh.core.series import Series
from refresh.core.timeframe import Timeframe
from refresh.due.batches import Batch
from refresh.due.scope import Scope
from refresh.store import inputs, state
from refresh.store.replace import Extent, Target, mark_dependants, replace


def refresh(connection: Connection, scope: Scope, leg: Leg, batch: Batch) -> Done:
    """Bring some timeframes of a batch up to date from the daily bar before the first affected one."""
    timeframes = _timeframes(scope.chosen(leg, batch.series))
    tfs = tuple(timeframe.tf for timeframe in timeframes)
    spans = inputs.spans(connection, batch.dues, bars_back=1)
    daily = inputs.read_daily(connection, spans, scope.tz, DAILY_COLUMNS)
    carry = inputs.read_last_snapshots(connection, leg, spans, tfs, scope.tz)
    rows = _all_snapshots(timeframes, daily, take(carry, np.isin(carry["id"], daily["id"])))
    extent = Extent(ids=spans.ids, begins=spans.begins, tfs=tfs)
    changes = replace(connection, Target.of(leg), extent, rows, rewrite=batch.rewrites)
    state.save_bars(connection, leg, _advances(spans, tfs, rows))
    mark_dependants(connection, leg, extent, changes)
    return Done(written=changes.written, deleted=changes.deleted)


def rebuild(_: Scope, __: Leg, series: Sequence[Series], tables: Mapping[str, Rows]) -> Rows:
    """The snapshots of some timeframes from the daily bars alone, from the first one on."""
    daily = tables[DAILY]
    first_day = daily["day"][run_heads(daily["id"])]
    return _all_snapshots(_timeframes(series), daily | {"first_day": first_day}, no_snapshots())


def _timeframes(series: Sequence[Series]) -> tuple[Timeframe, ...]:
    return tuple(dict.fromkeys(one.timeframe for one in series))


def _all_snapshots(timeframes: Sequence[Timeframe], daily: Rows, carry: Rows) -> Rows:
    """The snapshots of all timeframes in the order of the table's key, so that writing them walks the index once."""
    parts = []
    for timeframe in timeframes:
        label = timeframe.tf.encode()
        part = snapshots(timeframe, daily, take(carry, carry["tf"] == label))
        parts.append(part | {"tf": np.full(count(part), label)})
    return merge(parts, ("id", "timestamp", "tf"))


def _advances(spans: inputs.Spans, tfs: Sequence[str], rows: Rows) -> list[state.Advance]:
    """Every timeframe has come to the last daily bar; it has rows where that bar has one."""
    advances = []
    for tf in tfs:
        present = set(np.unique(rows["id"][rows["tf"] == tf.encode()]).tolist())
        for id, through in zip(spans.ids, spans.throughs, strict=True):
            advances.append(state.Advance(id=id, tf=tf, through=through, bars=int(id in present)))
    return advances
