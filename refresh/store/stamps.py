"""The last timestamps of some assets in the source, by their time of day."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, text

from refresh.catalog import SOURCE
from refresh.store.source import Source
from refresh.store.source_index import is_indexed
from refresh.store.statements import columns_of, rows_of

_LAST = 40
"""The timestamps of an asset that are looked at each night."""
_WITH_SUMMER = 500
"""Those that show whether clocks are changed where they were written, even if there is none for weekends."""
_QUARTER = 900
"""Seconds: all time zones of today differ by multiples of it."""
_DAY = 86_400


@dataclass(frozen=True, slots=True)
class Stamps:
    """The last timestamps of an asset, newest first."""

    id: int
    times: tuple[datetime, ...]


def regular_stamps(connection: Connection, source: Source, ids: Sequence[int], *, least: int) -> list[Stamps]:
    """The timestamps of those assets of which nearly all are at one or two times of day that may be midnight elsewhere.

    At least ``least`` timestamps are looked at, and in the time zone of the tables hardly any is midnight.
    """
    last = _last_stamps(connection, source)
    second = "extract(epoch FROM at)::numeric"
    query = text(f"""
        SELECT id FROM (
            SELECT u.id, {second} % {_DAY} AS second, count(*) AS number,
                   bool_or(at AT TIME ZONE :tz = date_trunc('day', at AT TIME ZONE :tz)) AS is_midnight
            FROM {rows_of("u", id="int")} {last} GROUP BY 1, 2) AS s
        GROUP BY id HAVING sum(number) >= :least
           AND sum(number) FILTER (WHERE second % {_QUARTER} = 0 AND NOT is_midnight) >= 0.9 * sum(number)
           AND count(*) FILTER (WHERE number >= 0.05 * {_LAST}) <= 2
    """)
    values = {"tz": source.tz, "least": least}
    found = connection.execute(query, {**values, **columns_of("u", id=ids), "most": _LAST}).scalars().all()
    if not found:
        return []
    times = text(
        f"SELECT u.id, array_agg(at ORDER BY at DESC) AS times FROM {rows_of('u', id='int')} {last} GROUP BY 1"
    )
    rows = connection.execute(times, {**columns_of("u", id=found), "most": _WITH_SUMMER})
    return sorted((Stamps(row.id, tuple(row.times)) for row in rows), key=lambda stamps: stamps.id)


def _last_stamps(connection: Connection, source: Source) -> str:
    """After ids u: the last ``:most`` timestamps of each asset, all of them where no index has them in order."""
    usable = f"""{SOURCE} s WHERE {{0}} AND s."timestamp" < '9999-01-01' AND s."timestamp" >= '0001-01-02'"""
    if is_indexed(connection):
        rows = usable.format("s.id = u.id")
        return f"""CROSS JOIN LATERAL (SELECT {source.expression("timestamp")} AS at FROM {rows}
                   ORDER BY s.id DESC, s."timestamp" DESC LIMIT :most) AS t"""
    rows = usable.format("s.id = ANY(CAST(:u_id AS int[])) AND :most > 0")
    return f"JOIN (SELECT s.id, {source.expression('timestamp')} AS at FROM {rows}) AS t ON t.id = u.id"
