"""What is due on the tables that follow others: series that are behind their input, and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import chain

from sqlalchemy import Connection

from refresh.catalog import Leg
from refresh.due.decision import Action, Cause, Due
from refresh.due.scope import Scope
from refresh.store.unsettled import Unsettled, count_daily_bars, unsettled

_BEFORE_ALL = datetime.min.replace(tzinfo=UTC)
_NEXT = timedelta(microseconds=1)


def series_due(connection: Connection, scope: Scope, leg: Leg) -> list[Due]:
    """What the series of a leg have to take in from its input, per asset and starting point."""
    series = scope.series_of(leg)
    if not series:
        return []
    selection = scope.selection
    behind = unsettled(connection, leg, series, selection.ids, everything=selection.rebuild)
    together: dict[Due, list[tuple[int, ...]]] = {}
    for facts in behind:
        work = _work(facts, rebuild=selection.rebuild)
        together.setdefault(work, []).append(facts.series)
    if not together:
        return []
    dues = []
    for work, days in zip(together, count_daily_bars(connection, list(together)), strict=True):
        dues.append(replace(work, days=days, series=_joined(together[work])))
    return sorted(dues, key=lambda due: (due.id, due.since or _BEFORE_ALL, due.series))


def _joined(parts: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    """The series of all parts in order; equal ones of many assets stay one object, which compares fast."""
    if len(parts) == 1:
        return parts[0]
    return tuple(sorted(chain.from_iterable(parts)))


def _work(facts: Unsettled, *, rebuild: bool) -> Due:
    """The work that the facts lead to, without its days and series. Series with equal work are done together."""
    if rebuild:
        return _rebuild(facts, Cause.REQUESTED)
    if not facts.is_built:
        return _rebuild(facts, Cause.NEW)
    is_ahead = (facts.seen_ts or _BEFORE_ALL) > (facts.through or _BEFORE_ALL)
    if facts.contradicts or (is_ahead and facts.dirty_from is None):
        return _rebuild(facts, Cause.CONTRADICTION)
    if facts.is_outdated:
        return _rebuild(facts, Cause.OUTDATED)
    if facts.dirty_from is not None:
        return Due(id=facts.id, action=Action.REVISE, since=facts.dirty_from, through=facts.through)
    since = facts.seen_ts + _NEXT if facts.seen_ts else None
    return Due(id=facts.id, action=Action.APPEND, since=since, through=facts.through)


def _rebuild(facts: Unsettled, cause: Cause) -> Due:
    return Due(id=facts.id, action=Action.REBUILD, through=facts.through, cause=cause)
