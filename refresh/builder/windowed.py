"""Bars over windows: daily bars -> the snapshots of every timeframe of one table."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from refresh.builder.done import Done
from refresh.builder.reading import Rebuild, Refresh
from refresh.catalog import DAILY
from refresh.core.bars import DAILY_COLUMNS, no_snapshots, snapshots
from refresh.core.rows import Rows, count, merge, run_heads, take
from refresh.core.series import Series
from refresh.core.sessions import Sessions, sessions_of
from refresh.core.timeframe import Timeframe
from refresh.store import calendars, inputs, state
from refresh.store.replace import Extent, Target, mark_dependants, replace
from refresh.store.spans import Spans
from refresh.store.spans import spans as read_spans


def refresh(wanted: Refresh) -> Done:
    """Bring some timeframes of a batch up to date from the daily bar before the first affected bar on."""
    connection, leg, tz = wanted.connection, wanted.leg, wanted.scope.tz
    timeframes = _timeframes(wanted.series)
    tfs = tuple(timeframe.tf for timeframe in timeframes)
    spans = read_spans(connection, wanted.batch.dues, bars_back=1)
    daily = inputs.read_daily(connection, spans, tz, DAILY_COLUMNS)
    carry = inputs.read_last_snapshots(connection, leg, spans, tfs, tz)
    has_days = np.isin(carry["id"], daily["id"])
    sessions = Sessions(calendars.effective(connection, spans.ids))
    rows = _snapshots(timeframes, daily, take(carry, has_days), sessions)
    extent = Extent(ids=spans.ids, begins=spans.begins, tfs=tfs)
    changes = replace(connection, Target.of(leg), extent, rows, rewrite=wanted.batch.rewrites)
    state.save_bars(connection, leg, _advances(spans, tfs, rows))
    mark_dependants(connection, leg, extent, changes)
    return Done(written=changes.written)


def rebuild(wanted: Rebuild) -> Rows:
    """The snapshots of some timeframes from the daily bars alone, from the first day on."""
    daily = wanted.tables[DAILY]
    first_day = daily["day"][run_heads(daily["id"])]
    sessions = sessions_of(daily, wanted.calendars)
    return _snapshots(_timeframes(wanted.series), daily | {"first_day": first_day}, no_snapshots(), sessions)


def _timeframes(series: Sequence[Series]) -> tuple[Timeframe, ...]:
    return tuple(dict.fromkeys(member.timeframe for member in series))


def _snapshots(timeframes: Sequence[Timeframe], daily: Rows, carry: Rows, sessions: Sessions) -> Rows:
    """The snapshots of all timeframes in the order of the table's key, so that writing them walks the index once."""
    parts = []
    for timeframe in timeframes:
        label = timeframe.tf.encode()
        part = snapshots(timeframe, daily, take(carry, carry["tf"] == label), sessions)
        part["tf"] = np.full(count(part), label)
        parts.append(part)
    return merge(parts, ("id", "timestamp", "tf"))


def _advances(spans: Spans, tfs: Sequence[str], rows: Rows) -> list[state.Advance]:
    """Every timeframe has come to the last daily bar. It has a row there if it has any."""
    advances = []
    for tf in tfs:
        of_tf = rows["id"][rows["tf"] == tf.encode()]
        with_rows = set(np.unique(of_tf).tolist())
        for id, through in zip(spans.ids, spans.throughs, strict=True):
            bars = int(id in with_rows)
            advances.append(state.Advance(id=id, tf=tf, through=through, bars=bars))
    return advances
