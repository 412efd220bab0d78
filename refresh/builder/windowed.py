"""Bars over windows: daily bars -> the snapshots of every timeframe of one table."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from sqlalchemy import Connection

from refresh.builder.done import Done
from refresh.catalog import Leg
from refresh.core.bars import DAILY_COLUMNS, snapshots
from refresh.core.rows import Rows, count, merge, take
from refresh.core.span import Batch
from refresh.core.timeframe import Timeframe
from refresh.store import inputs, state
from refresh.store.replace import Place, Target, replace
from refresh.store.survey import Scope


def refresh(connection: Connection, scope: Scope, leg: Leg, batch: Batch) -> Done:
    """Bring some timeframes of a batch up to date from the daily bar before the first affected one."""
    chosen = tuple(dict.fromkeys(one.timeframe for one in scope.chosen(leg, batch)))
    tfs = tuple(timeframe.tf for timeframe in chosen)
    at = inputs.spans(connection, batch, bars_back=1)
    daily = inputs.read_daily(connection, at, scope.tz, DAILY_COLUMNS)
    carry = inputs.read_last_snapshots(connection, leg, at, tfs, scope.tz)
    rows = _all_snapshots(chosen, daily, take(carry, np.isin(carry["id"], daily["id"])))
    target = Target(leg.target, ("id", "timestamp", "tf"), "timestamp", ("close", "is_partial_end", "bar_seq"))
    changes = replace(connection, target, Place(at.ids, at.begins, tfs), rows, rewrite=batch.rewrites)
    state.save_bars(connection, leg, _advances(at, chosen, rows))
    state.mark_dirty(connection, leg.target, changes.marks)
    return Done(changes.written, changes.deleted)


def _all_snapshots(chosen: Sequence[Timeframe], daily: Rows, carry: Rows) -> Rows:
    """The snapshots of all timeframes in the order of the table's key, so that writing them walks the index once."""
    parts = []
    for timeframe in chosen:
        part = snapshots(timeframe, daily, take(carry, carry["tf"] == timeframe.tf.encode()))
        parts.append(part | {"tf": np.full(count(part), timeframe.tf.encode())})
    return merge(parts, ("id", "timestamp", "tf"))


def _advances(at: inputs.Spans, chosen: Sequence[Timeframe], rows: Rows) -> list[state.Advance]:
    """Every timeframe has come to the last daily bar; it has rows where that bar has one."""
    present = {
        timeframe.tf: set(np.unique(rows["id"][rows["tf"] == timeframe.tf.encode()]).tolist()) for timeframe in chosen
    }
    return [
        state.Advance(id, timeframe.tf, through, int(id in present[timeframe.tf]), 0.0)
        for id, through in zip(at.ids, at.throughs, strict=True)
        for timeframe in chosen
    ]
