"""How far bars lag behind the source, asset by asset; and which assets the source itself has stopped telling of."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, text

from refresh.catalog import DAILY, BuilderConfig, Leg
from refresh.store.source import FUTURE_DAYS, last_times
from refresh.store.state import followed

DAY = timedelta(days=1)
DEFAULT_MAX_LAG = DAY
LONGEST_PAUSE = timedelta(days=5)
"""Longer gaps than a holiday beside a weekend: such an asset is not told of daily."""
GIVEN_UP = timedelta(days=30)
"""An asset that is silent for longer has been delisted rather than delayed."""
_BARS_TO_LEARN_FROM = 30


@dataclass(frozen=True, slots=True)
class Reach:
    """How far the daily bars of an asset have come.

    ``bar`` is the last one; ``seen`` the last source row that was taken in or refused.
    """

    bar: datetime | None
    seen: datetime | None


@dataclass(frozen=True, slots=True)
class Freshness:
    """What the source and the daily bars of every asset end with."""

    now: datetime
    last: Mapping[int, datetime]
    daily: Mapping[int, Reach]


def read(connection: Connection, now: datetime) -> Freshness:
    """Ask the source and the state of the daily bars."""
    horizon = now + timedelta(days=FUTURE_DAYS)
    query = text(f"""
        SELECT id, last_src_ts, greatest(last_src_ts, (
            SELECT max("timestamp") FROM {DAILY}_rejects r WHERE r.id = s.id AND "timestamp" <= :horizon)) AS seen
        FROM {DAILY}_state s
    """)
    rows = connection.execute(query, {"horizon": horizon})
    daily = {row.id: Reach(row.last_src_ts, row.seen) for row in rows}
    return Freshness(now, last_times(connection, horizon), daily)


def stale(
    connection: Connection,
    builder: BuilderConfig,
    fresh: Freshness,
    *,
    tfs: Mapping[Leg, Sequence[str]],
    ids: Sequence[int],
    max_lag: timedelta,
) -> dict[int, str]:
    """The assets whose inputs lag behind the source by more than ``max_lag``, and by how much.

    ``tfs``: the timeframes that matter, by leg. Days of the source that were refused are no lag: they have been seen.
    """
    reached = [_reached(connection, leg, tfs[leg]) for leg in builder.legs if followed(leg) != DAILY]
    found: dict[int, str] = {}
    for id in ids:
        last, daily = fresh.last.get(id), fresh.daily.get(id)
        if last is None:
            continue  # gone from the source: nothing to lag behind
        places = [daily.bar if daily else None, *(each.get(id) for each in reached)]
        if daily is None or (daily.bar and None in places):
            found[id] = "bars stale: not built yet"
        elif daily.seen and (lag := last - _place(daily, places)) > max_lag:
            found[id] = f"bars stale: {_days(lag)} behind the source"
    return found


def _reached(connection: Connection, leg: Leg, tfs: Sequence[str]) -> dict[int, datetime]:
    query = text(f"SELECT id, min(seen_ts) AS seen FROM {followed(leg)}_state WHERE tf = ANY(:tfs) GROUP BY id")
    return {row.id: row.seen for row in connection.execute(query, {"tfs": list(tfs)}) if row.seen}


def _place(daily: Reach, places: Sequence[datetime | None]) -> datetime:
    """Where the slowest input stands; one that has the last daily bar has seen what that one has."""
    slowest = min(place for place in (*places, daily.seen) if place is not None)
    return daily.seen if daily.seen and (daily.bar is None or slowest >= daily.bar) else slowest


def _days(lag: timedelta) -> str:
    number = math.ceil(lag / DAY)
    return f"{number:,} day{'s'[: number != 1]}"


def silent(connection: Connection, fresh: Freshness, max_lag: timedelta) -> dict[int, datetime]:
    """The assets that were told of daily and no longer are, with their last time; not those that ended long ago."""
    late = {id: last for id, last in fresh.last.items() if DAY + max_lag < fresh.now - last <= GIVEN_UP}
    if not late:
        return {}
    rows = connection.execute(
        text(f"""
            SELECT u.id, max(b.pause) AS pause FROM unnest(CAST(:ids AS int[])) AS u(id) CROSS JOIN LATERAL (
                SELECT "timestamp" - lag("timestamp") OVER (ORDER BY "timestamp") AS pause FROM (
                    SELECT "timestamp" FROM {DAILY} d WHERE d.id = u.id ORDER BY "timestamp" DESC LIMIT :number) d
            ) AS b GROUP BY u.id
        """),
        {"ids": list(late), "number": _BARS_TO_LEARN_FROM},
    )
    pauses = {row.id: row.pause for row in rows if row.pause and row.pause <= LONGEST_PAUSE}
    return {id: late[id] for id, pause in sorted(pauses.items()) if fresh.now - late[id] > pause + max_lag}
