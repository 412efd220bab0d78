"""What is due on the tables that follow others: series that are not where their input is, and why."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection

from refresh.catalog import Leg
from refresh.due.decision import Action, Cause, Due
from refresh.due.scope import Scope
from refresh.store.state import Unsettled, count_daily_bars, unsettled

_BEFORE_ALL = datetime.min.replace(tzinfo=UTC)
_NEXT = timedelta(microseconds=1)


@dataclass(frozen=True, kw_only=True, slots=True)
class Stretch:
    """Days of one asset that some series have to take in, and why. Equal ones are one piece of work."""

    id: int
    action: Action
    since: datetime | None
    through: datetime | None
    cause: Cause | None


def series_due(connection: Connection, scope: Scope, leg: Leg) -> list[Due]:
    """What the series of a leg have to take in from its input, per asset and starting point."""
    series = scope.series_of(leg)
    if not series:
        return []
    selection = scope.selection
    behind = unsettled(connection, leg, series, selection.ids, everything=selection.rebuild)
    stretches: dict[Stretch, list[int]] = {}
    for facts in behind:
        stretches.setdefault(_decide(facts, rebuild=selection.rebuild), []).extend(facts.series)
    if not stretches:
        return []
    days = count_daily_bars(connection, list(stretches))
    dues = [
        Due(
            id=stretch.id,
            action=stretch.action,
            since=stretch.since,
            through=stretch.through,
            days=number,
            series=tuple(sorted(positions)),
            cause=stretch.cause,
        )
        for (stretch, positions), number in zip(stretches.items(), days, strict=True)
    ]
    return sorted(dues, key=lambda due: (due.id, due.since or _BEFORE_ALL, due.series))


def _decide(facts: Unsettled, *, rebuild: bool) -> Stretch:
    if rebuild:
        return _rebuilt(facts, Cause.REQUESTED)
    if not facts.is_built:
        return _rebuilt(facts, Cause.NEW)
    seen, through = facts.seen_ts or _BEFORE_ALL, facts.through or _BEFORE_ALL
    if facts.contradicts or (facts.dirty_from is None and seen > through):
        return _rebuilt(facts, Cause.CONTRADICTION)
    if facts.dirty_from is not None:
        return Stretch(id=facts.id, action=Action.REVISE, since=facts.dirty_from, through=facts.through, cause=None)
    since = None if facts.seen_ts is None else facts.seen_ts + _NEXT
    return Stretch(id=facts.id, action=Action.APPEND, since=since, through=facts.through, cause=None)


def _rebuilt(facts: Unsettled, cause: Cause) -> Stretch:
    return Stretch(id=facts.id, action=Action.REBUILD, since=None, through=facts.through, cause=cause)
