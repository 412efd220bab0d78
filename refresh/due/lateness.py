"""Which assets are not fresh in which tables: behind the source, not built, dirty, or lost.

Days of the source that are newer than a limit are not late yet: a refresh may still take them in.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from refresh.catalog import Leg
from refresh.core.calendar import OPEN
from refresh.due.freshness import DAY
from refresh.due.scope import Scope
from refresh.store import late
from refresh.store.locks import is_refreshing
from refresh.store.reach import Reach, daily_reaches, last_times
from refresh.store.source_index import FUTURE_DAYS
from refresh.wording import counted

_BEFORE_ALL = datetime(1, 1, 2, tzinfo=UTC)
NEVER_BUILT = timedelta.max
"""Sorts before any lag."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NotFresh:
    """An asset that is not fresh in a table, and why. ``lag``: how far it is behind the source."""

    table: str
    id: int
    why: str
    lag: timedelta = timedelta(0)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Wanted:
    """What should be there: per asset the last time of the source, and how far the daily bars reach."""

    last: Mapping[int, datetime]
    daily: Mapping[int, Reach]
    bars: Mapping[int, datetime]
    forgives_dirt: bool
    zone: tzinfo

    def lag(self, id: int, seen: datetime) -> timedelta:
        """How far an asset that has been seen up to a time is behind the source; closed days are no lag."""
        reach = self.daily.get(id)
        return (reach.calendar if reach else OPEN).elapsed(seen, self.last[id], self.zone)


def not_fresh(connection: Connection, scopes: Sequence[Scope], ids: Sequence[int], until: datetime) -> list[NotFresh]:
    """The assets that are not fresh in the tables of these scopes, compared with the source up to a time.

    Days that were refused have been seen. An asset that is gone from the source has nothing to be behind.
    """
    selected = set(ids)
    known = {id: time for id, time in last_times(connection, until).items() if id in selected}
    wanted = _Wanted(
        last=known,
        daily=daily_reaches(connection, scopes[0].now + timedelta(days=FUTURE_DAYS)),
        bars=late.last_bars(connection, sorted(known), until),
        forgives_dirt=is_refreshing(connection),
        zone=ZoneInfo(scopes[0].tz),
    )
    found: list[NotFresh] = []
    for scope in scopes:
        for leg in scope.builder.legs:
            found += _of_leg(connection, scope, leg, wanted)
    return found


def _of_leg(connection: Connection, scope: Scope, leg: Leg, wanted: _Wanted) -> Iterator[NotFresh]:
    """What is late in a table. One of which no series is refreshed is as it should be."""
    if leg.shape.has_timeframes and not scope.series_of(leg):
        return
    lost = late.contradictions(connection, leg, scope.series_of(leg)).intersection(wanted.last)
    for id in sorted(lost):
        yield NotFresh(table=leg.target, id=id, why="the state contradicts the table", lag=NEVER_BUILT)
    is_daily = not leg.shape.has_timeframes
    behind = _daily(leg, wanted) if is_daily else _series(connection, scope, leg, wanted)
    for entry in behind:
        if entry.id not in lost:
            yield entry


def _daily(leg: Leg, wanted: _Wanted) -> Iterator[NotFresh]:
    for id, last in wanted.last.items():
        reach = wanted.daily.get(id)
        if reach is None:
            yield _not_built(leg, id)
        elif reach.last_seen and reach.last_seen < last:
            yield _behind(leg, id, wanted.lag(id, reach.last_seen))


def _series(connection: Connection, scope: Scope, leg: Leg, wanted: _Wanted) -> Iterator[NotFresh]:
    """A table has seen everything that the daily bars have seen if it has the last daily bar."""
    slow = {entry.id: entry for entry in late.late(connection, leg, scope.series_of(leg), wanted.bars)}
    for id, last in wanted.last.items():
        reach = wanted.daily.get(id)
        if id in slow:
            yield from _slow(leg, slow[id], wanted)
        elif reach is None:
            yield _not_built(leg, id)
        elif reach.last_seen and reach.last_seen < last:
            yield _behind(leg, id, wanted.lag(id, reach.last_seen))


def _slow(leg: Leg, entry: late.Late, wanted: _Wanted) -> Iterator[NotFresh]:
    """Why a series is late. Rows that a refresh at work has marked are about to be rewritten."""
    bar = wanted.bars[entry.id]
    if entry.is_missing:
        yield _not_built(leg, entry.id)
    elif entry.seen is None or entry.seen < bar:
        yield _behind(leg, entry.id, wanted.lag(entry.id, entry.seen or _BEFORE_ALL))
    elif entry.is_outdated:
        yield NotFresh(table=leg.target, id=entry.id, why="built by an older version")
    elif entry.dirty_from is None:
        yield NotFresh(table=leg.target, id=entry.id, why="a period is not built yet", lag=NEVER_BUILT)
    elif not wanted.forgives_dirt:
        why = f"to be rewritten from {entry.dirty_from:%Y-%m-%d} on"
        yield NotFresh(table=leg.target, id=entry.id, why=why, lag=wanted.lag(entry.id, entry.dirty_from))


def _not_built(leg: Leg, id: int) -> NotFresh:
    return NotFresh(table=leg.target, id=id, why="not built yet", lag=NEVER_BUILT)


def _behind(leg: Leg, id: int, lag: timedelta) -> NotFresh:
    days = counted(max(math.ceil(lag / DAY), 1), "day")
    return NotFresh(table=leg.target, id=id, why=f"{days} behind the source", lag=lag)
