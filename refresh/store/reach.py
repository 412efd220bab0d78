"""How far the source and the tables reach, asset by asset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo

from sqlalchemy import Connection, text

from refresh.catalog import DAILY
from refresh.core.calendar import OPEN, Calendar
from refresh.store.calendars import calendar_of, named
from refresh.store.source_index import LAST_TIMES, is_indexed
from refresh.store.statements import columns_of, rows_of
from refresh.store.tables import DAILY_STATE, REJECTS

_BARS_TO_LEARN_FROM = 30


@dataclass(frozen=True, slots=True)
class Reach:
    """How far the daily bars of an asset reach: the last bar, and the last source row that was taken in or refused.

    ``calendar``: the one in effect.
    """

    last_bar: datetime | None
    last_seen: datetime | None
    calendar: Calendar = OPEN


def daily_reaches(connection: Connection, horizon: datetime) -> dict[int, Reach]:
    """How far the daily bars of every asset reach; refused rows after ``horizon`` do not count."""
    query = text(f"""
        SELECT id, calendar, last_src_ts, greatest(last_src_ts, (
            SELECT max("timestamp") FROM {REJECTS} r WHERE r.id = s.id AND "timestamp" <= :horizon)) AS seen
        FROM {DAILY_STATE} s
    """)
    rows = connection.execute(query, {"horizon": horizon}).all()
    calendars = named(connection, (row.calendar for row in rows))
    return {row.id: Reach(row.last_src_ts, row.seen, calendar_of(row.calendar, calendars)) for row in rows}


def last_times(connection: Connection, horizon: datetime) -> dict[int, datetime]:
    """The last time of each asset of the source, ignoring times after ``horizon``."""
    query = text(LAST_TIMES[is_indexed(connection)].format(horizon=":horizon"))
    rows = connection.execute(query, {"horizon": horizon})
    return {row.id: row.last for row in rows if row.id is not None and row.last is not None}


def seen_times(connection: Connection, table: str, tfs: Sequence[str]) -> dict[int, datetime]:
    """How far each asset has come in a table, in the timeframe that is furthest behind."""
    query = text(f"SELECT id, min(seen_ts) AS seen FROM {table}_state WHERE tf = ANY(:tfs) GROUP BY id")
    return {row.id: row.seen for row in connection.execute(query, {"tfs": list(tfs)}) if row.seen}


def longest_pauses(connection: Connection, calendars: Mapping[int, Calendar], zone: tzinfo) -> dict[int, timedelta]:
    """The longest time between two of the last daily bars of each asset that has several, without closed days."""
    rows = connection.execute(
        text(f"""
            SELECT u.id, b.time, b.pause FROM {rows_of("u", id="int")} CROSS JOIN LATERAL (
                SELECT "timestamp" AS time, "timestamp" - lag("timestamp") OVER (ORDER BY "timestamp") AS pause FROM (
                    SELECT "timestamp" FROM {DAILY} d WHERE d.id = u.id ORDER BY "timestamp" DESC LIMIT :number) d
            ) AS b WHERE b.pause IS NOT NULL
        """),
        {"number": _BARS_TO_LEARN_FROM, **columns_of("u", id=calendars)},
    )
    pauses: dict[int, timedelta] = {}
    for row in rows:
        pause = calendars[row.id].elapsed(row.time - row.pause, row.time, zone)
        pauses[row.id] = max(pause, pauses.get(row.id, pause))
    return pauses
