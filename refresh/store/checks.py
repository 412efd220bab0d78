"""Whole tables checked in one pass each: every row that the daily bars imply, none besides, and laws of single rows."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import date, datetime
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


def check_owners(connection: Connection, leg: Leg, known: Collection[int]) -> list[Finding]:
    """Rows of assets that neither the source nor the daily bars know; from one asset to the next over the key."""
    query = text(f"""
        WITH RECURSIVE found AS (
            (SELECT id FROM {leg.target} ORDER BY id LIMIT 1) UNION ALL
            SELECT (SELECT t.id FROM {leg.target} t WHERE t.id > f.id ORDER BY t.id LIMIT 1) FROM found f
            WHERE f.id IS NOT NULL
        ) SELECT id FROM found WHERE id IS NOT NULL
    """)
    strangers = [row.id for row in connection.execute(query) if row.id not in known]
    return [Finding(leg.target, id, None, None, None, "no rows of an unknown asset", "some") for id in strangers]


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
    connection: Connection,
    builder: BuilderConfig,
    leg: Leg,
    series: Sequence[Series],
    ids: Sequence[int],
    starts: Sequence[tuple[int, str, date]],
) -> list[Finding]:
    """Bars over windows or EMAs: their number and first row as the daily bars imply, their laws, and their state.

    ``starts``: (id, timeframe, first day) of aligned bars, whose first day is not that of the asset.
    """
    if not series or not ids:
        return []
    parameters = {
        "ids": list(ids),
        "tfs": [one.timeframe.tf for one in series],
        "periods": [one.period for one in series],
        "nominal": [one.timeframe.days_nominal for one in series],
        "start_ids": [id for id, _, _ in starts],
        "start_tfs": [tf for _, tf, _ in starts],
        "start_days": [day for _, _, day in starts],
    }
    expected = _by_series(connection, _expected(builder, leg), parameters)
    found = _by_series(connection, _found(leg), parameters)
    state = _by_series(connection, _state(leg), parameters)
    closes = _closes(connection, ids)
    wanted = {(one.timeframe.tf, one.period) for one in series}
    findings: list[Finding] = []
    for key in sorted({*expected, *(one for one in found if one[1:] in wanted)}):
        problem = _problem(leg, expected.get(key), found.get(key), state.get(key), closes[key[0]])
        if problem:
            lawless, at, *words = problem
            at = _first_bad(connection, leg, key, closes[key[0]]) if lawless else at
            findings.append(Finding(leg.target, key[0], key[1], key[2] or None, at, *words))
    return findings


_Key = tuple[int, str, int]
_Problem = tuple[bool, datetime | None, str, str]
"""Whether a row breaks a law, else where the trouble begins; what should be there, and what is."""


def _by_series(connection: Connection, query: str, parameters: Mapping[str, Any]) -> dict[_Key, Any]:
    return {(row.id, row.tf, row.period): row for row in connection.execute(text(query), parameters)}


def _closes(connection: Connection, ids: Sequence[int]) -> dict[int, tuple[float, float]]:
    """The lowest and the highest close of each asset: no mean of its closes lies outside."""
    query = text(
        f"SELECT id, min(close) AS lowest, max(close) AS highest FROM {DAILY} WHERE id = ANY(:ids) GROUP BY id"
    )
    known = {row.id: (row.lowest, row.highest) for row in connection.execute(query, {"ids": list(ids)})}
    return {id: known.get(id, (0.0, 0.0)) for id in ids}


def _problem(leg: Leg, expected: Any, found: Any, state: Any, closes: tuple[float, float]) -> _Problem | None:
    """What is wrong with a series, if anything."""
    if found and not found.lawful:
        law = "every EMA" if has_periods(leg) else "low <= open, close <= high and times in order"
        return True, None, law, "a row without"
    if found and found.lowest is not None and not _within(found, closes):
        return True, None, f"EMAs within the closes {closes[0]} to {closes[1]}", f"{found.lowest} to {found.highest}"
    there = (found.rows, found.first, found.last) if found else (0, None, None)
    wanted = (expected.rows, expected.first, expected.last) if expected else (0, None, None)
    if there != wanted:
        return False, there[1] or wanted[1], _told(*wanted), _told(*there)
    said = state.last_ts if state else None
    if said == there[2]:
        return None
    return False, there[2], f"a last row at {said}, as the state says", f"one at {there[2]}"


def _told(rows: int, first: datetime | None, last: datetime | None) -> str:
    return f"{rows} rows from {first} to {last}" if rows else "no rows"


def _within(found: Any, closes: tuple[float, float]) -> bool:
    lowest, highest = closes[0] * (1 - _TOLERANCE), closes[1] * (1 + _TOLERANCE)
    return bool(lowest <= found.lowest and found.highest <= highest)


def _expected(builder: BuilderConfig, leg: Leg) -> str:
    """The rows that the daily bars imply: one per daily bar from the first on."""
    return f"""
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
            SELECT id, max(bar_seq) AS number, max("timestamp") AS last FROM {DAILY} WHERE id = ANY(:ids) GROUP BY id
        )
        SELECT g.id, g.tf, g.period, g.first, e.last, e.number - g.number + 1 AS rows
        FROM begins g JOIN ends e USING (id)
    """


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


def _found(leg: Leg) -> str:
    """The rows that are there, in one pass that all cores share: it joins nothing."""
    if not has_periods(leg):
        return f"""
            SELECT id, tf, 0 AS period, count(*) AS rows, min("timestamp") AS first, max("timestamp") AS last,
                   NOT bool_or({_BAR_LAWS}) AS lawful, NULL AS lowest, NULL AS highest
            FROM {leg.target} b WHERE id = ANY(:ids) GROUP BY 1, 2"""
    names = value_columns(leg)
    lowest, highest = (
        f"{which}({', '.join(f'{extreme}({name})' for name in names)})"
        for which, extreme in (("least", "min"), ("greatest", "max"))
    )
    whole = " AND ".join(f"count({name}) = count(*)" for name in names)
    return f"""
        SELECT id, tf, period, count(*) AS rows, min(ts) AS first, max(ts) AS last, {whole} AS lawful,
               {lowest} AS lowest, {highest} AS highest
        FROM {leg.target} WHERE id = ANY(:ids) GROUP BY 1, 2, 3"""


def _state(leg: Leg) -> str:
    if has_periods(leg):
        return f"SELECT id, tf, unnest(periods) AS period, last_ts FROM {leg.state} WHERE id = ANY(:ids)"
    return f"SELECT id, tf, 0 AS period, last_ts FROM {leg.state} WHERE id = ANY(:ids)"


def _first_bad(connection: Connection, leg: Leg, key: _Key, closes: tuple[float, float]) -> datetime | None:
    """The first row of a series that breaks a law."""
    id, tf, period = key
    if has_periods(leg):
        within = " AND ".join(f"{name} IS NOT NULL AND {name} BETWEEN :low AND :high" for name in value_columns(leg))
        query = f"SELECT min(ts) FROM {leg.target} WHERE id = :id AND tf = :tf AND period = :period AND NOT ({within})"
    else:
        query = f"""SELECT min("timestamp") FROM {leg.target} b WHERE id = :id AND tf = :tf AND ({_BAR_LAWS})"""
    bounds = {"low": closes[0] * (1 - _TOLERANCE), "high": closes[1] * (1 + _TOLERANCE)}
    found: datetime | None = connection.execute(
        text(query), {"id": id, "tf": tf, **({"period": period, **bounds} if has_periods(leg) else {})}
    ).scalar()
    return found
