"""How fine the rows of an asset are, and its rows in slices that fit into memory however many they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from refresh.catalog import SOURCE
from refresh.store.database import use_all_cores
from refresh.store.source import ROWS_SINCE, Source
from refresh.store.statements import columns_of, day_of, lists_of, rows_of

FINE_SHARE = 5
"""An asset of which more than one day in so many has rows at different times of day is not daily."""
FINE_DAYS = 3
"""The least number of such days."""


def clock(local: str) -> str:
    """SQL for what a local time says about the hour: the first and the last second of a day both mean the date."""
    is_date = f"({local})::time = '00:00' OR ({local})::time >= '23:59:59'"
    return f"CASE WHEN {is_date} THEN date_trunc('day', {local}) ELSE {local} END"


ROWS_OF_SLICE = f"""{rows_of("u", id="int", since="timestamptz", until="timestamptz")} CROSS JOIN LATERAL (
    SELECT * FROM {SOURCE} p WHERE p.id = u.id
       AND p."timestamp" >= u.since AND p."timestamp" < coalesce(u.until, 'infinity')
    UNION ALL SELECT * FROM {SOURCE} p WHERE p.id = u.id AND u.since IS NULL
       AND (u.until IS NULL OR p."timestamp" < u.until OR p."timestamp" IS NULL OR p."timestamp" = 'infinity')) AS s"""
"""The source rows s of slices; those without a usable time are in the first slice of an asset that is read whole."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Grain:
    """The days of an asset in its source, those of them that have rows at different times, and the rows of such a day.

    ``rows``: in the middle, if the days were ordered by their number of rows.
    """

    days: int
    fine_days: int
    rows: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Slice:
    """Whole days of one asset; ``None``: from the first row, to the last."""

    id: int
    since: datetime | None
    until: datetime | None


def grains(connection: Connection, source: Source, ids: Sequence[int]) -> dict[int, Grain]:
    """How fine the rows of each asset are that has any with a usable time."""
    use_all_cores(connection)
    hour = clock(f"{source.moment} AT TIME ZONE :tz")
    query = text(f"""
        SELECT id, count(*) AS days, count(*) FILTER (WHERE is_fine) AS fine_days,
               coalesce(percentile_disc(0.5) WITHIN GROUP (ORDER BY number) FILTER (WHERE is_fine), 1) AS rows
        FROM (SELECT s.id::int AS id, {day_of(source.moment)} AS day, count(*) AS number,
                     min({hour}) <> max({hour}) AS is_fine
              FROM {rows_of("u", id="int")} JOIN {SOURCE} s ON s.id = u.id WHERE {source.moment} IS NOT NULL
              GROUP BY 1, 2) AS by_day
        GROUP BY id
    """)
    rows = connection.execute(query, {"tz": source.tz, **columns_of("u", id=ids)})
    return {row.id: Grain(days=row.days, fine_days=row.fine_days, rows=row.rows) for row in rows}


def slices(connection: Connection, source: Source, stretch: Any, most: int) -> list[Slice]:
    """The rows of an asset (``id``, ``since``) in slices of whole months, of at most ``most`` rows if a month has."""
    month = f"date_trunc('month', {source.moment} AT TIME ZONE :tz)"
    query = text(f"""
        SELECT {month} AT TIME ZONE :tz AS month, count(*) AS number
        FROM {rows_of("u", id="int", since="timestamptz")} {ROWS_SINCE}
        WHERE {source.moment} < '9999-12-01' GROUP BY 1 ORDER BY 1
    """)
    begins: list[datetime | None] = [stretch.since]
    size = 0
    for row in connection.execute(query, {"tz": source.tz, **lists_of("u", [stretch], "id", "since")}):
        if size and size + row.number > most:
            begins.append(row.month)
            size = 0
        size += row.number
    ends = [*begins[1:], None]
    pairs = zip(begins, ends, strict=True)
    return [Slice(id=stretch.id, since=begin, until=end) for begin, end in pairs]
