"""How far bars lag behind the source, per asset, and which assets the source no longer delivers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from refresh.catalog import shape_of
from refresh.due.scope import Scope
from refresh.store.reach import Reach, daily_reaches, last_times, longest_pauses, seen_times
from refresh.store.source_index import FUTURE_DAYS
from refresh.wording import counted

DAY = timedelta(days=1)
LONGEST_PAUSE = timedelta(days=5)
"""A holiday next to a weekend. An asset with longer gaps is not daily."""
GIVEN_UP = timedelta(days=30)
"""An asset that is silent for longer is delisted, not delayed."""
_NOT_BUILT = "bars stale: not built yet"


@dataclass(frozen=True, kw_only=True, slots=True)
class Freshness:
    """The last time of every asset in the source, how far its daily bars reach, and the time zone of days."""

    now: datetime
    last: Mapping[int, datetime]
    daily: Mapping[int, Reach]
    zone: tzinfo = UTC

    def elapsed(self, id: int, since: datetime, until: datetime) -> timedelta:
        """The time between two times without the days on which an asset does not trade."""
        reach = self.daily.get(id)
        return reach.calendar.elapsed(since, until, self.zone) if reach else until - since


def read_freshness(connection: Connection, now: datetime, tz: str = "UTC") -> Freshness:
    """Ask the source and the state of the daily bars."""
    horizon = now + timedelta(days=FUTURE_DAYS)
    last, daily = last_times(connection, horizon), daily_reaches(connection, horizon)
    return Freshness(now=now, last=last, daily=daily, zone=ZoneInfo(tz))


def lagging(
    connection: Connection, scope: Scope, ids: Sequence[int] | None = None, fresh: Freshness | None = None
) -> dict[int, str]:
    """The assets whose bars lag too far behind the source for EMAs to be built on them, and how far.

    Days of the source that were refused are no lag: they have been seen. An asset that is gone from the source has
    nothing to lag behind.
    """
    fresh = fresh or read_freshness(connection, scope.now, scope.tz)
    reached = _reached(connection, scope)
    reasons: dict[int, str] = {}
    for id in fresh.last if ids is None else ids:
        if id not in fresh.last:
            continue
        bars = [times.get(id) for times in reached]
        reason = _lag(fresh, id, bars, scope.selection.max_lag)
        if reason:
            reasons[id] = reason
    return reasons


def _reached(connection: Connection, scope: Scope) -> list[dict[int, datetime]]:
    """How far each bar table has come, per asset, of which the builder follows a timeframe."""
    return [
        seen_times(connection, leg.follows.table, scope.tfs_of(leg))
        for leg in scope.builder.legs
        if shape_of(leg.follows.table).has_timeframes and scope.tfs_of(leg)
    ]


def _lag(fresh: Freshness, id: int, bars: Sequence[datetime | None], max_lag: timedelta) -> str | None:
    """Why the bars of an asset are too old; ``None`` if they are not. Closed days are no lag.

    ``bars``: how far each bar table that is followed has come.
    """
    daily = fresh.daily.get(id)
    if daily is None or (daily.last_bar and None in bars):
        return _NOT_BUILT
    reach = _slowest(daily, [time for time in bars if time])
    lag = fresh.elapsed(id, reach, fresh.last[id]) if reach else timedelta(0)
    if lag <= max_lag:
        return None
    days = math.ceil(lag / DAY)
    return f"bars stale: {counted(days, 'day')} behind the source"


def _slowest(daily: Reach, bars: Sequence[datetime]) -> datetime | None:
    """How far the source has been seen by the slowest table; ``None`` if it has only rows without a usable time.

    A table that has the last daily bar has seen everything that the daily bars have seen.
    """
    if daily.last_bar is None:
        return daily.last_seen
    slowest = min([daily.last_bar, *bars])
    return daily.last_seen if slowest == daily.last_bar else slowest


def silent(connection: Connection, fresh: Freshness, max_lag: timedelta) -> dict[int, datetime]:
    """The assets that were daily and no longer are, with their last time; not those that ended long ago.

    A day on which an asset does not trade neither makes it silent nor is a pause.
    """
    ages = {id: fresh.elapsed(id, last, fresh.now) for id, last in fresh.last.items()}
    late = [id for id, age in ages.items() if DAY + max_lag < age and fresh.now - fresh.last[id] <= GIVEN_UP]
    calendars = {id: fresh.daily[id].calendar for id in late if id in fresh.daily}
    if not calendars:
        return {}
    silent_since: dict[int, datetime] = {}
    for id, pause in sorted(longest_pauses(connection, calendars, fresh.zone).items()):
        is_daily = pause <= LONGEST_PAUSE
        if is_daily and ages[id] > pause + max_lag:
            silent_since[id] = fresh.last[id]
    return silent_since
