"""Whole tables checked in one pass each: every row that the daily bars imply, none besides, and laws of single rows."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

from sqlalchemy import Connection, text

from refresh.catalog import DAILY, BuilderConfig, Kind, Leg
from refresh.core.series import Series
from refresh.core.validity import Finding
from refresh.store.state import followed, has_periods
from refresh.store.tables import value_columns

_TOLERANCE = 1e-9
"""Relative: a mean may lie so far outside its closes for the rounding of its sum."""
_BAR_LAWS = """b.high < greatest(b.open, b.close) OR b.low > least(b.open, b.close) OR b.time_open > b.time_close
    OR NOT (b.low > 0 AND b.high < 'infinity')"""


def first_days(connection: Connection, ids: Sequence[int], tz: str) -> dict[int, date]:
    """The first day of each asset that has daily bars, in order."""
    query = text(f"""SELECT id, (min("timestamp") AT TIME ZONE :tz)::date AS day FROM {DAILY}
                     WHERE id = ANY(:ids) GROUP BY id ORDER BY id""")
    return {row.id: row.day for row in connection.execute(query, {"ids": list(ids), "tz": tz})}


def check_daily(connection: Connection, ids: Sequence[int], tz: str) -> list[Finding]:
    """The daily bars: one a day, numbered without a hole, within their own high and low, and as their state says."""
    query = text(f"""
        SELECT b.id, count(*) AS rows, count(DISTINCT (b."timestamp" AT TIME ZONE :tz)::date) AS days,
               max(b.bar_seq) AS last_number, min(b.bar_seq) AS first_number,
               min(b."timestamp") FILTER (WHERE {_BAR_LAWS}) AS bad,
               min(b."timestamp") AS first, max(b."timestamp") AS last, s.last_src_ts, s.daily_min_seen
        FROM {DAILY} b LEFT JOIN {DAILY}_state s USING (id) WHERE b.id = ANY(:ids)
        GROUP BY b.id, s.last_src_ts, s.daily_min_seen ORDER BY b.id
    """)
    found: list[Finding] = []
    for row in connection.execute(query, {"ids": list(ids), "tz": tz}):
        where = (DAILY, row.id, None, None)
        if row.days != row.rows:
            found.append(Finding(*where, None, f"{row.rows} days", f"{row.days} days in {row.rows} rows"))
        if (row.first_number, row.last_number) != (1, row.rows):
            numbers = f"bar_seq {row.first_number} to {row.last_number}"
            found.append(Finding(*where, None, f"bar_seq 1 to {row.rows}", numbers))
        if row.bad:
            found.append(Finding(*where, row.bad, "low <= open, close <= high and times in order", "a bar without"))
        if (row.first, row.last) != (row.daily_min_seen, row.last_src_ts):
            state = f"{row.daily_min_seen} to {row.last_src_ts}"
            found.append(Finding(*where, None, f"rows from {state}, as the state says", f"{row.first} to {row.last}"))
    return found


def check_leg(
    connection: Connection, builder: BuilderConfig, leg: Leg, series: Sequence[Series], ids: Sequence[int],
    starts: Sequence[tuple[int, str, date]],
) -> list[Finding]:  # fmt: skip
    """Bars over windows or EMAs: their number and first row as the daily bars imply, their laws, and their state.

    ``starts``: (id, timeframe, first day) of aligned bars, whose first day is not that of the asset.
    """
    if not series or not ids:
        return []
    time = "ts" if has_periods(leg) else '"timestamp"'
    period = "b.period" if has_periods(leg) else "0"
    query = text(f"""
        WITH wanted AS (
            SELECT * FROM unnest(CAST(:tfs AS text[]), CAST(:periods AS int[]), CAST(:nominal AS int[]))
                AS w(tf, period, days)
        ),
        starts AS (
            SELECT * FROM unnest(CAST(:start_ids AS int[]), CAST(:start_tfs AS text[]), CAST(:start_days AS date[]))
                AS s(id, tf, day)
        ),
        begins AS ({_begins(builder, leg)}),
        ends AS (
            SELECT id, max(bar_seq) AS number, max("timestamp") AS last, min(close) AS lowest, max(close) AS highest
            FROM {DAILY} WHERE id = ANY(:ids) GROUP BY id
        ),
        expected AS (
            SELECT g.id, g.tf, g.period, g.first, e.last, e.number - g.number + 1 AS rows
            FROM begins g JOIN ends e USING (id)
        ),
        found AS (
            SELECT b.id, b.tf, {period} AS period, count(*) AS rows, min(b.{time}) AS first, max(b.{time}) AS last,
                   min(b.{time}) FILTER (WHERE {_laws(leg)}) AS bad
            FROM {leg.target} b LEFT JOIN ends e USING (id)
            WHERE b.id = ANY(:ids) AND (b.tf, {period}) IN (SELECT tf, period FROM wanted) GROUP BY 1, 2, 3
        ),
        state AS ({_state(leg)})
        SELECT coalesce(x.id, f.id) AS id, coalesce(x.tf, f.tf) AS tf, coalesce(x.period, f.period) AS period,
               coalesce(x.rows, 0) AS wanted_rows, x.first AS wanted_first, coalesce(f.rows, 0) AS rows,
               f.first, f.last, f.bad, s.last_ts
        FROM expected x FULL JOIN found f USING (id, tf, period) LEFT JOIN state s USING (id, tf, period)
        WHERE f.bad IS NOT NULL OR (x.rows, x.first, x.last) IS DISTINCT FROM (f.rows, f.first, f.last)
           OR f.last IS DISTINCT FROM s.last_ts
        ORDER BY 1, 2, 3
    """)
    parameters: dict[str, Any] = {
        "ids": list(ids),
        "tfs": [one.timeframe.tf for one in series],
        "periods": [one.period for one in series],
        "nominal": [one.timeframe.days_nominal for one in series],
        "start_ids": [id for id, _, _ in starts],
        "start_tfs": [tf for _, tf, _ in starts],
        "start_days": [day for _, _, day in starts],
    }
    return [_finding(leg, row) for row in connection.execute(query, parameters)]


def _begins(builder: BuilderConfig, leg: Leg) -> str:
    """The daily bar at which each series begins: its time and its number."""
    if builder.kind is Kind.WINDOWED:
        return f"""
            SELECT d.id, w.tf, w.period, d."timestamp" AS first, d.bar_seq AS number
            FROM (SELECT DISTINCT id FROM {DAILY} WHERE id = ANY(:ids)) AS i CROSS JOIN wanted w
            LEFT JOIN starts s ON s.id = i.id AND s.tf = w.tf CROSS JOIN LATERAL (
                SELECT * FROM {DAILY} d WHERE d.id = i.id AND (s.day IS NULL OR d."timestamp" >= s.day - 1)
                  AND (s.day IS NULL OR (d."timestamp" AT TIME ZONE (
                      SELECT value FROM refresh_settings WHERE name = 'tz'))::date >= s.day)
                ORDER BY d."timestamp" LIMIT 1) AS d"""
    if builder.kind is Kind.EMA_OVER_DAYS:
        return f"""
            SELECT d.id, w.tf, w.period, d."timestamp" AS first, d.bar_seq AS number
            FROM wanted w JOIN {DAILY} d ON d.bar_seq = w.days * w.period WHERE d.id = ANY(:ids)"""
    return f"""
        SELECT b.id, b.tf, w.period, b."timestamp" AS first, d.bar_seq AS number
        FROM {followed(leg)} b JOIN wanted w ON w.tf = b.tf AND w.period = b.bar_seq
        JOIN {DAILY} d ON d.id = b.id AND d."timestamp" = b."timestamp"
        WHERE b.id = ANY(:ids) AND NOT b.is_partial_end"""


def _laws(leg: Leg) -> str:
    """What is wrong with a single row."""
    if not has_periods(leg):
        return _BAR_LAWS
    return " OR ".join(
        f"NOT (b.{name} BETWEEN e.lowest * {1 - _TOLERANCE} AND e.highest * {1 + _TOLERANCE})"
        for name in value_columns(leg)
    )


def _state(leg: Leg) -> str:
    if has_periods(leg):
        return f"SELECT id, tf, unnest(periods) AS period, last_ts FROM {leg.state} WHERE id = ANY(:ids)"
    return f"SELECT id, tf, 0 AS period, last_ts FROM {leg.state} WHERE id = ANY(:ids)"


def _finding(leg: Leg, row: Any) -> Finding:
    where = (leg.target, row.id, row.tf, row.period or None)
    if row.bad:
        law = "an EMA within the closes of its asset" if has_periods(leg) else "low <= open, close <= high"
        return Finding(*where, row.bad, law, "a row without")
    if (row.rows, row.first) != (row.wanted_rows, row.wanted_first):
        wanted = f"{row.wanted_rows} rows from {row.wanted_first}" if row.wanted_rows else "no rows"
        return Finding(*where, row.first, wanted, f"{row.rows} rows from {row.first}" if row.rows else "no rows")
    return Finding(*where, row.last, f"a last row at {row.last_ts}, as the state says", f"one at {row.last}")
