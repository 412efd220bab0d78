"""What a page about a database shows: its runs, how fresh every asset is, what is wrong, and prices to look at.

Rows come as dictionaries that JSON can hold, made by the server.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import zip_longest
from typing import Any

from sqlalchemy import Connection, text

from refresh.catalog import BUILDERS, DAILY, BuilderConfig, Kind, Leg
from refresh.outcome import Status
from refresh.store import freshness
from refresh.store.database import prefer_indexes
from refresh.store.dimensions import read_dimensions
from refresh.store.freshness import DAY, Freshness
from refresh.store.state import followed, has_periods
from refresh.store.survey import Scope
from refresh.store.tables import LEDGER, OUTCOMES, RUNS, STEPS

RUNS_SHOWN = 14
LINES_SHOWN = 200
"""Failures and restatements."""
BARS_SHOWN = 150
"""Of each series of a chart."""
LEAST_SERIES, SERIES_IN_ALL = 4, 800
"""How many series an asset's chart has at least, and all charts together about: the page stays small."""
_DAILY_EMAS = "2D"
_TOO_LIKE_DAYS = {"2D", "3D", "4D", "5D", "6D"}
_TIME = "to_char({0} AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"+00:00\"')"

Row = dict[str, Any]


def collect(
    connection: Connection, scopes: Sequence[Scope], ids: Sequence[int], now: datetime
) -> tuple[Row, dict[int, bytes]]:
    """Everything that a page shows, and the charts by asset."""
    fresh = freshness.read(connection, now)
    summary = last_summary(connection) or {}
    data = {
        "generated_at": now.isoformat(timespec="seconds"),
        "database": connection.execute(text("SELECT current_database()")).scalar_one(),
        "headline": summary.get("headline", "No run has ended yet."),
        "severity": summary.get("severity", "info"),
        "details": summary.get("details", []),
        "summary": summary or None,
        "runs": runs(connection),
        "freshness": {"tables": tables(), "assets": assets(connection, fresh, ids)},
        "failures": failures(connection),
        "restatements": restatements(connection),
    }
    wanted = _charted(scopes, max(LEAST_SERIES, SERIES_IN_ALL // max(len(ids), 1)))
    periods = read_dimensions(connection).periods
    prefer_indexes(connection)
    return data, {id: chart(connection, id, wanted, periods) for id in ids}


def _charted(scopes: Sequence[Scope], number: int) -> list[tuple[Leg, Leg, str]]:
    """Which bars, EMAs and timeframes: the daily bars, then one timeframe after the other of each family."""
    legs = {leg.target: leg for scope in scopes for leg in scope.builder.legs}
    followers = [leg for leg in legs.values() if has_periods(leg)]
    daily = [(legs[DAILY], leg, _DAILY_EMAS) for leg in followers if followed(leg) == DAILY]
    families = [
        [
            (legs[followed(leg)], leg, one)
            for one in dict.fromkeys(series.timeframe.tf for series in scope.of(leg))
            if one not in _TOO_LIKE_DAYS
        ]
        for scope in scopes
        for leg in scope.builder.legs
        if has_periods(leg) and followed(leg) != DAILY
    ]
    turns = [one for turn in zip_longest(*families) for one in turn if one]
    return [*daily, *turns][:number]


def _rows(connection: Connection, query: str, parameters: Mapping[str, Any]) -> list[Row]:
    return [dict(row) for row in connection.execute(text(query), parameters).mappings()]


def runs(connection: Connection) -> list[Row]:
    """The last runs, newest first, with their steps and how their assets ended."""
    found = _rows(
        connection,
        f"""SELECT run_id, command, {_TIME.format("started_at")} AS started_at, {_TIME.format("ended_at")} AS ended_at,
                   exit_code, rows, assets FROM {RUNS} ORDER BY {RUNS}.started_at DESC LIMIT {RUNS_SHOWN}""",
        {},
    )
    steps = _rows(
        connection,
        f"""SELECT s.run_id, s.builder, {_TIME.format("s.started_at")} AS started_at,
                   {_TIME.format("s.ended_at")} AS ended_at, s.seconds, s.rows, (
                       SELECT coalesce(jsonb_object_agg(status, n), '{{}}') FROM (
                           SELECT status, count(*) AS n FROM {OUTCOMES} o
                           WHERE o.run_id = s.run_id AND o.builder = s.builder GROUP BY status) AS counts) AS outcomes
            FROM {STEPS} s WHERE s.run_id = ANY(:runs) ORDER BY s.run_id, s.place""",
        {"runs": [run["run_id"] for run in found]},
    )
    titles = {builder.key: builder.title for builder in BUILDERS}
    for run in found:
        run["steps"] = [
            {name: value for name, value in step.items() if name != "run_id"} | {"title": titles[step["builder"]]}
            for step in steps
            if step["run_id"] == run["run_id"]
        ]
    return found


def last_summary(connection: Connection) -> Row | None:
    """The document of the last run that ended."""
    query = text(f"SELECT summary FROM {RUNS} WHERE summary IS NOT NULL ORDER BY started_at DESC LIMIT 1")
    found: Row | None = connection.execute(query).scalar()
    return found


def failures(connection: Connection) -> list[Row]:
    """What is not done, by asset and builder, as its last outcome says; the newest first."""
    return _rows(
        connection,
        f"""SELECT builder, id, status, coalesce(error, reason) AS why, {_TIME.format("noted_at")} AS at, (
                   SELECT {_TIME.format("min(noted_at)")} FROM {OUTCOMES} e
                   WHERE (e.builder, e.id) = (o.builder, o.id) AND e.status <> :done AND e.run_id <> o.run_id
                     AND NOT EXISTS (SELECT FROM {OUTCOMES} g WHERE (g.builder, g.id) = (e.builder, e.id)
                                     AND g.status = :done AND g.noted_at > e.noted_at)) AS since
            FROM (SELECT DISTINCT ON (builder, id) * FROM {OUTCOMES} ORDER BY builder, id, noted_at DESC) AS o
            WHERE status <> :done ORDER BY noted_at DESC, id, builder LIMIT {LINES_SHOWN}""",
        {"done": Status.DONE.value},
    )


def restatements(connection: Connection) -> list[Row]:
    """The last lines of the ledger."""
    return _rows(
        connection,
        f"""SELECT id, first_day::text, last_day::text, rows_changed AS rows, old_close, new_close, reason,
                   {_TIME.format("noted_at")} AS noted_at
            FROM {LEDGER} ORDER BY {LEDGER}.noted_at DESC, id LIMIT {LINES_SHOWN}""",
        {},
    )


def assets(connection: Connection, fresh: Freshness, ids: Sequence[int]) -> list[Row]:
    """Per asset its name, the last day of the source, and by how many days each table lags behind it."""
    names = {
        row.id: row.src_name
        for row in connection.execute(
            text(f"""SELECT u.id, (SELECT src_name FROM {DAILY} d WHERE d.id = u.id ORDER BY "timestamp" DESC LIMIT 1)
                     FROM unnest(CAST(:ids AS int[])) AS u(id)"""),
            {"ids": list(ids)},
        )
    }
    places = [_places(connection, builder, leg) for builder in BUILDERS for leg in builder.legs]
    return [
        {
            "id": id,
            "name": names.get(id) or f"asset {id}",
            "last": f"{fresh.last[id]:%Y-%m-%d}" if id in fresh.last else None,
            "lags": [_lag(fresh, id, place.get(id)) for place in places],
        }
        for id in ids
    ]


def _places(connection: Connection, builder: BuilderConfig, leg: Leg) -> dict[int, Any]:
    """How far the series of each asset have come that are furthest behind."""
    column = "max(last_src_ts)" if builder.kind is Kind.DAILY else "min(seen_ts)"
    return {
        row.id: row.at for row in connection.execute(text(f"SELECT id, {column} AS at FROM {leg.state} GROUP BY id"))
    }


def _lag(fresh: Freshness, id: int, place: Any) -> int | None:
    if place is None:
        return None
    return max((fresh.last[id] - place) // DAY, 0) if id in fresh.last else 0


def tables() -> list[str]:
    """The tables, in the order of ``lags``."""
    return [leg.target for builder in BUILDERS for leg in builder.legs]


def chart(connection: Connection, id: int, wanted: Sequence[tuple[Leg, Leg, str]], periods: Sequence[int]) -> bytes:
    """The last bars of some timeframes of an asset, with the EMAs at their closes, as gzipped JSON.

    ``wanted``: (bars, EMAs, timeframe). EMAs that a calendar table keeps twice are those of whole bars.
    """
    series = [_series(connection, id, bars, emas, tf, periods) for bars, emas, tf in wanted]
    text = json.dumps({"series": [one for one in series if one["days"]]}, separators=(",", ":"))
    return gzip.compress(text.encode(), mtime=0)


def _series(connection: Connection, id: int, bars: Leg, emas: Leg, tf: str, periods: Sequence[int]) -> Row:
    daily = bars.target == DAILY
    closed = (
        ""
        if daily
        else f"""AND (NOT b.is_partial_end OR b."timestamp" = (
        SELECT max("timestamp") FROM {bars.target} WHERE id = :id AND tf = :tf))"""
    )
    forming = "false" if daily else "b.is_partial_end"
    query = text(f"""
        SELECT (b."timestamp" AT TIME ZONE 'UTC')::date - date '1970-01-01' AS day, b.open, b.high, b.low, b.close,
               {forming} AS forming, ARRAY(
                   SELECT e.ema FROM unnest(CAST(:periods AS int[])) AS p(period) LEFT JOIN {emas.target} e
                       ON e.id = b.id AND e.ts = b."timestamp" AND e.tf = :ema_tf AND e.period = p.period
                   ORDER BY p.period) AS emas
        FROM {bars.target} b WHERE b.id = :id AND b.tf = :tf {closed}
        ORDER BY b."timestamp" DESC LIMIT {BARS_SHOWN}
    """)
    label = "1D" if daily else tf
    rows = connection.execute(query, {"id": id, "tf": label, "ema_tf": tf, "periods": sorted(periods)}).all()[::-1]
    return {
        "table": bars.target,
        "tf": label,
        "title": f"1D, EMAs of {tf}" if daily else tf,
        "days": [row.day for row in rows],
        **{name: [_short(getattr(row, name)) for row in rows] for name in ("open", "high", "low", "close")},
        "forming": bool(rows and rows[-1].forming),
        "ema_table": emas.target,
        "emas": {
            str(period): [_short(row.emas[place]) for row in rows] for place, period in enumerate(sorted(periods))
        },
    }


def _short(value: float | None) -> float | None:
    """Five digits are more than a chart can show."""
    return None if value is None else float(f"{value:.5g}")
