"""What is due on the tables that follow others: series that are behind their input, and why."""

from __future__ import annotations

from collections.abc import Sequence
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
    """Days of one asset that some series have to take in, and why. Series with equal ones are worked on together."""

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
        stretch = _stretch(facts, rebuild=selection.rebuild)
        stretches.setdefault(stretch, []).extend(facts.series)
    if not stretches:
        return []
    numbers = count_daily_bars(connection, list(stretches))
    dues = [_due(stretch, stretches[stretch], days) for stretch, days in zip(stretches, numbers, strict=True)]
    return sorted(dues, key=lambda due: (due.id, due.since or _BEFORE_ALL, due.series))


def _due(stretch: Stretch, positions: Sequence[int], days: int) -> Due:
    return Due(
        id=stretch.id,
        action=stretch.action,
        since=stretch.since,
        through=stretch.through,
        days=days,
        series=tuple(sorted(positions)),
        cause=stretch.cause,
    )


def _stretch(facts: Unsettled, *, rebuild: bool) -> Stretch:
    if rebuild:
        return _rebuilt(facts, Cause.REQUESTED)
    if not facts.is_built:
        return _rebuilt(facts, Cause.NEW)
    is_ahead = (facts.seen_ts or _BEFORE_ALL) > (facts.through or _BEFORE_ALL)
    if facts.contradicts or (is_ahead and facts.dirty_from is None):
        return _rebuilt(facts, Cause.CONTRADICTION)
    if facts.dirty_from is not None:
        return Stretch(id=facts.id, action=Action.REVISE, since=facts.dirty_from, through=facts.through, cause=None)
    since = facts.seen_ts + _NEXT if facts.seen_ts else None
    return Stretch(id=facts.id, action=Action.APPEND, since=since, through=facts.through, cause=None)


def _rebuilt(facts: Unsettled, cause: Cause) -> Stretch:
    return Stretch(id=facts.id, action=Action.REBUILD, since=None, through=facts.through, cause=cause)
