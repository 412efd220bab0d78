"""How far bars lag behind the source, asset by asset; and which assets the source itself has stopped delivering."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection

from refresh.catalog import shape_of
from refresh.due.scope import Scope
from refresh.store.reach import Reach, daily_reaches, last_times, longest_pauses, seen_times
from refresh.store.source import FUTURE_DAYS
from refresh.wording import counted

DAY = timedelta(days=1)
LONGEST_PAUSE = timedelta(days=5)
"""Longer gaps than a holiday beside a weekend: such an asset is not daily."""
GIVEN_UP = timedelta(days=30)
"""An asset that is silent for longer has been delisted rather than delayed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Freshness:
    """The last time of every asset in the source, and how far its daily bars reach."""

    now: datetime
    last: Mapping[int, datetime]
    daily: Mapping[int, Reach]


def read_freshness(connection: Connection, now: datetime) -> Freshness:
    """Ask the source and the state of the daily bars."""
    horizon = now + timedelta(days=FUTURE_DAYS)
    return Freshness(now=now, last=last_times(connection, horizon), daily=daily_reaches(connection, horizon))


def lagging(
    connection: Connection, scope: Scope, ids: Sequence[int] | None = None, fresh: Freshness | None = None
) -> dict[int, str]:
    """The assets whose bars lag too far behind the source for EMAs to be built on them, and how far.

    Days of the source that were refused are no lag: they have been seen.
    """
    fresh = fresh or read_freshness(connection, scope.now)
    reached = _reached(connection, scope)
    reasons: dict[int, str] = {}
    for id in fresh.last if ids is None else ids:
        if id in fresh.last:  # what is gone from the source has nothing to lag behind
            inputs = [times.get(id) for times in reached]
            if reason := _lag(fresh.last[id], fresh.daily.get(id), inputs, scope.selection.max_lag):
                reasons[id] = reason
    return reasons


def _reached(connection: Connection, scope: Scope) -> list[dict[int, datetime]]:
    """How far each bar table that the builder follows has come, per asset."""
    return [
        seen_times(connection, leg.follows.table, scope.tfs_of(leg))
        for leg in scope.builder.legs
        if shape_of(leg.follows.table).has_timeframes
    ]


def _lag(last: datetime, daily: Reach | None, inputs: Sequence[datetime | None], max_lag: timedelta) -> str | None:
    """Why the bars of an asset are too old; ``None`` where they are not."""
    if daily is None:
        return "bars stale: not built yet"
    if daily.last_seen is None:
        return None  # nothing but rows without a usable time
    slowest = daily.last_bar
    if slowest is not None:
        known = [time for time in inputs if time is not None]
        if len(known) < len(inputs):
            return "bars stale: not built yet"
        slowest = min([slowest, *known])
    # whatever has the last daily bar has seen what that bar has seen
    reach = daily.last_seen if slowest == daily.last_bar else slowest
    lag = last - (reach or daily.last_seen)
    return f"bars stale: {counted(math.ceil(lag / DAY), 'day')} behind the source" if lag > max_lag else None


def silent(connection: Connection, fresh: Freshness, max_lag: timedelta) -> dict[int, datetime]:
    """The assets that were daily and no longer are, with their last time; not those that ended long ago."""
    late = {id: last for id, last in fresh.last.items() if DAY + max_lag < fresh.now - last <= GIVEN_UP}
    if not late:
        return {}
    pauses = longest_pauses(connection, list(late))
    return {
        id: late[id]
        for id, pause in sorted(pauses.items())
        if pause <= LONGEST_PAUSE and fresh.now - late[id] > pause + max_lag
    }
