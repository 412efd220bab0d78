"""Facts about whole tables, in one pass each: what rows there are, what the daily bars imply, what the states say.

Whether that is right is not decided here.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import Connection, text

from refresh.catalog import DAILY, Leg, shape_of
from refresh.store.statements import lists_of, rows_of
from refresh.store.tables import DAILY_STATE

_PRICES_ARE_LAWLESS = """b.high < greatest(b.open, b.close) OR b.low > least(b.open, b.close)
    OR NOT (b.low > 0 AND b.high < 'infinity')"""
BAR_IS_LAWLESS = f"{_PRICES_ARE_LAWLESS} OR b.time_open > b.time_close"
_SNAPSHOT_IS_LAWLESS = f"""{_PRICES_ARE_LAWLESS} OR (b.time_open > b.time_close AND b.time_close IS DISTINCT FROM (
    SELECT d.time_close FROM {DAILY} d WHERE d.id = b.id AND d."timestamp" = b."timestamp"))"""
"""A source may say of a day that it opened after a later day closed. Bars of several days have their times from it."""

Key = tuple[int, str, int]
"""Asset, timeframe, period (0 for bars)."""
Bounds = tuple[float, float]
"""The lowest and the highest value."""


def first_days(connection: Connection, ids: Sequence[int], tz: str) -> dict[int, date]:
    """The first day of each asset that has daily bars, in order."""
    query = text(f"""SELECT id, (min("timestamp") AT TIME ZONE :tz)::date AS day FROM {DAILY}
                     WHERE id = ANY(:ids) GROUP BY id ORDER BY id""")
    return {row.id: row.day for row in connection.execute(query, {"ids": list(ids), "tz": tz})}


def strangers(connection: Connection, leg: Leg, known: Collection[int]) -> list[int]:
    """The assets of a table that are not known; the key leads from each asset to the next."""
    query = text(f"""
        WITH RECURSIVE owners AS (
            (SELECT id FROM {leg.table} ORDER BY id LIMIT 1) UNION ALL
            SELECT (SELECT t.id FROM {leg.table} t WHERE t.id > o.id ORDER BY t.id LIMIT 1) FROM owners o
            WHERE o.id IS NOT NULL
        ) SELECT id FROM owners WHERE id IS NOT NULL
    """)
    return [id for id in connection.execute(query).scalars() if id not in known]


def daily_facts(connection: Connection, ids: Sequence[int], tz: str) -> list[Any]:
    """Per asset: rows, days, the bounds of bar_seq and of time, the first lawless bar, and what the state says."""
    query = text(f"""
        SELECT b.id, count(*) AS rows, count(DISTINCT (b."timestamp" AT TIME ZONE :tz)::date) AS days,
               max(b.bar_seq) AS last_number, min(b.bar_seq) AS first_number,
               min(b."timestamp") FILTER (WHERE {BAR_IS_LAWLESS}) AS lawless,
               min(b."timestamp") AS first, max(b."timestamp") AS last, s.last_src_ts, s.daily_min_seen
        FROM {DAILY} b LEFT JOIN {DAILY_STATE} s USING (id) WHERE b.id = ANY(:ids)
        GROUP BY b.id, s.last_src_ts, s.daily_min_seen ORDER BY b.id
    """)
    return list(connection.execute(query, {"ids": list(ids), "tz": tz}))


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """A series, and the number of the followed row with which it begins."""

    tf: str
    period: int
    needed: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Start:
    """A timeframe of an asset that begins with the first daily bar from a day on."""

    id: int
    tf: str
    day: date


def expected_series(
    connection: Connection, leg: Leg, ids: Sequence[int], *, wanted: Sequence[Wanted], starts: Sequence[Start], tz: str
) -> dict[Key, Any]:
    """The rows of each series that the daily bars imply (rows, first, last): one per daily bar from the first on."""
    followed = leg.follows.table
    is_counted = "b.tf = w.tf AND NOT b.is_partial_end" if shape_of(followed).has_timeframes else "true"
    query = text(_EXPECTED.format(followed=followed, is_counted=is_counted))
    series = lists_of("w", wanted, "tf", "period", "needed")
    days = lists_of("s", starts, "id", "tf", "day")
    return _by_series(connection, query, {"ids": list(ids), "tz": tz, **series, **days})


_EXPECTED = f"""
    WITH wanted AS (SELECT * FROM {rows_of("w", tf="text", period="int", needed="bigint")}),
    starts AS (SELECT * FROM {rows_of("s", id="int", tf="text", day="date")}),
    ends AS (
        SELECT id, max(bar_seq) AS number, max("timestamp") AS last FROM {DAILY} WHERE id = ANY(:ids) GROUP BY id
    ),
    begins AS MATERIALIZED (
        SELECT e.id, w.tf, w.period, CASE WHEN s.day IS NULL THEN w.needed ELSE (
            SELECT d.bar_seq FROM {DAILY} d WHERE d.id = e.id AND d."timestamp" >= s.day - 1
               AND (d."timestamp" AT TIME ZONE :tz)::date >= s.day ORDER BY d."timestamp" LIMIT 1) END AS needed
        FROM ends e CROSS JOIN wanted w LEFT JOIN starts s ON s.id = e.id AND s.tf = w.tf
    )
    SELECT e.id, w.tf, w.period, b."timestamp" AS first, e.last, e.number - d.bar_seq + 1 AS rows
    FROM begins w JOIN ends e USING (id)
    JOIN {{followed}} b ON b.id = e.id AND b.id = ANY(:ids) AND b.bar_seq = w.needed AND {{is_counted}}
    JOIN {DAILY} d ON d.id = b.id AND d."timestamp" = b."timestamp"
"""
"""The first number of a series is looked up once, not for every row that may have it: hence MATERIALIZED."""


def stored_series(connection: Connection, leg: Leg, ids: Sequence[int]) -> dict[Key, Any]:
    """The rows of each series (rows, first, last), whether all keep the laws of single rows, and their extremes.

    One pass that all cores share: it joins nothing.
    """
    names = [average.name for average in leg.averages]
    lawful = " AND ".join(f"count({name}) = count(*)" for name in names) or f"NOT bool_or({BAR_IS_LAWLESS})"
    query = text(f"""
        SELECT id, tf, {_period(leg)} AS period, count(*) AS rows, min("{leg.shape.time}") AS first,
               max("{leg.shape.time}") AS last, {lawful} AS is_lawful,
               least({_extremes("min", names)}) AS lowest, greatest({_extremes("max", names)}) AS highest
        FROM {leg.target} b WHERE id = ANY(:ids) GROUP BY 1, 2, 3
    """)
    return _by_series(connection, query, {"ids": list(ids)})


def _extremes(aggregate: str, names: Sequence[str]) -> str:
    return ", ".join(f"{aggregate}({name})" for name in names) or "NULL::float8"


def _period(leg: Leg) -> str:
    return "period" if leg.shape.has_periods else "0"


def state_series(connection: Connection, leg: Leg, ids: Sequence[int]) -> dict[Key, Any]:
    """The last row of each series as the state says (last_ts)."""
    period = "unnest(periods)" if leg.shape.has_periods else "0"
    query = text(f"SELECT id, tf, {period} AS period, last_ts FROM {leg.state} WHERE id = ANY(:ids)")
    return _by_series(connection, query, {"ids": list(ids)})


def _by_series(connection: Connection, query: Any, values: Mapping[str, Any]) -> dict[Key, Any]:
    return {(row.id, row.tf, row.period): row for row in connection.execute(query, values)}


def price_bounds(connection: Connection, leg: Leg, ids: Sequence[int]) -> dict[int, Bounds]:
    """The lowest and the highest price that a leg averages, per asset: no mean of its prices lies outside."""
    if not leg.averages:
        return {}
    column = leg.price.columns[0]
    query = text(f"""SELECT id, min({column}) AS lowest, max({column}) AS highest FROM {leg.price.table}
                     WHERE id = ANY(:ids) GROUP BY id""")
    return {row.id: (row.lowest, row.highest) for row in connection.execute(query, {"ids": list(ids)})}


def first_lawless(connection: Connection, leg: Leg, key: Key, bounds: Bounds) -> datetime | None:
    """The time of the first row of a series that breaks a law of single rows; ``None`` if the source breaks it."""
    id, tf, period = key
    names = [average.name for average in leg.averages]
    within = " AND ".join(f"{name} IS NOT NULL AND {name} BETWEEN :low AND :high" for name in names)
    is_lawless = f"NOT ({within})" if within else _SNAPSHOT_IS_LAWLESS
    query = text(f"""SELECT min("{leg.shape.time}") FROM {leg.target} b
                     WHERE id = :id AND tf = :tf AND {_period(leg)} = :period AND ({is_lawless})""")
    values = {"id": id, "tf": tf, "period": period}
    if within:
        values |= {"low": bounds[0], "high": bounds[1]}
    first: datetime | None = connection.execute(query, values).scalar()
    return first
