"""What a page about a database reads: runs, failures, restatements, names and prices.

The server makes rows of values that JSON can hold.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from refresh.catalog import DAILY, Leg
from refresh.records import Status
from refresh.store.history import OPEN_SINCE
from refresh.store.runs import COVERED, IS_ALONE
from refresh.store.statements import bytes_of, columns_of, relation, rows_of
from refresh.store.tables import LEDGER, METADATA, OUTCOMES, REJECTS, RUNS, STEPS

RUNS_SHOWN = 14
"""Refreshes."""
NIGHTS_SHOWN = 90
"""Refreshes in the curves."""
LINES_SHOWN = 200
"""Failures, restatements, and runs of single builders between two refreshes."""
_TIME = "to_char({0} AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"+00:00\"')"

Row = dict[str, Any]


def _rows(connection: Connection, query: str, values: Mapping[str, Any] | None = None) -> list[Row]:
    return [dict(row) for row in connection.execute(text(query), values or {}).mappings()]


def database_name(connection: Connection) -> str:
    """The name of the database."""
    return str(connection.execute(text("SELECT current_database()")).scalar_one())


def refreshes(connection: Connection) -> list[Row]:
    """The last refreshes, newest first, with their steps and how their assets ended."""
    last_runs = _rows(
        connection,
        f"""SELECT run_id, command, {_TIME.format("started_at")} AS started_at, {_TIME.format("ended_at")} AS ended_at,
                   exit_code, rows, assets
            FROM {RUNS} r WHERE NOT {IS_ALONE} ORDER BY r.started_at DESC, run_id DESC LIMIT {RUNS_SHOWN}""",
    )
    steps = _rows(
        connection,
        f"""SELECT s.run_id, s.builder, {_TIME.format("s.started_at")} AS started_at,
                   {_TIME.format("s.ended_at")} AS ended_at, s.seconds, s.rows, (
                       SELECT coalesce(jsonb_object_agg(status, n), '{{}}') FROM (
                           SELECT status, count(*) AS n FROM {OUTCOMES} o
                           WHERE o.run_id = s.run_id AND o.builder = s.builder GROUP BY status) AS counts) AS outcomes
            FROM {STEPS} s WHERE s.run_id = ANY(:runs) ORDER BY s.run_id, s.place""",
        {"runs": [run["run_id"] for run in last_runs]},
    )
    by_run: dict[str, list[Row]] = {run["run_id"]: [] for run in last_runs}
    for step in steps:
        by_run[step.pop("run_id")].append(step)
    return [run | {"steps": by_run[run["run_id"]]} for run in last_runs]


def nights(connection: Connection) -> list[Row]:
    """The last refreshes that ended, oldest first: how long each took, what it wrote, and how many assets failed."""
    return _rows(
        connection,
        f"""SELECT * FROM (
                SELECT {_TIME.format("started_at")} AS started_at, exit_code, rows, bytes,
                       extract(epoch FROM ended_at - started_at)::float8 AS seconds,
                       (SELECT count(DISTINCT o.id) FROM {OUTCOMES} o
                        WHERE o.run_id = r.run_id AND o.status = 'failed') AS failed
                FROM {RUNS} r WHERE ended_at IS NOT NULL AND NOT {IS_ALONE}
                ORDER BY r.started_at DESC, run_id DESC LIMIT {NIGHTS_SHOWN}) AS n ORDER BY started_at""",
    )


def outcome_counts(connection: Connection, run_id: str | None) -> list[tuple[str, str, int]]:
    """The assets of a run by builder and by how they ended: each way that there is, for each builder with assets."""
    query = text(f"""
        SELECT b.builder, s.status, count(o.id)
        FROM (SELECT DISTINCT builder FROM {OUTCOMES} WHERE run_id = :run_id) AS b
        CROSS JOIN unnest(CAST(:statuses AS text[])) AS s(status)
        LEFT JOIN {OUTCOMES} o ON (o.run_id, o.builder, o.status) = (:run_id, b.builder, s.status)
        GROUP BY 1, 2 ORDER BY 1, 2
    """)
    values = {"run_id": run_id, "statuses": [status.value for status in Status]}
    return [(builder, status, number) for builder, status, number in connection.execute(query, values)]


def runs_alone(connection: Connection) -> dict[int, Row]:
    """The runs of single builders in groups, by the number of refreshes that began after them.

    Of each group: ``number``, ``builders``, how many ``failed`` or have no end (``unended``), ``rows``, the time from
    the first start (``started_at``) to the last end (``ended_at``), and the latest ``runs``. Runs before the refreshes
    that are shown are left out.
    """
    groups = _rows(connection, _ALONE)
    return {group.pop("newer"): group for group in groups}


_ALONE = f"""
    WITH numbered AS (
        SELECT r.run_id, r.command, r.started_at, r.ended_at, r.exit_code, r.rows, {IS_ALONE} AS is_alone,
               CASE WHEN {IS_ALONE} THEN ({COVERED})[1] END AS builder,
               count(*) FILTER (WHERE NOT {IS_ALONE}) OVER (ORDER BY r.started_at DESC, r.run_id DESC) AS newer
        FROM {RUNS} r
    ),
    alone AS (
        SELECT *, row_number() OVER (PARTITION BY newer ORDER BY started_at DESC, run_id DESC) AS position
        FROM numbered WHERE is_alone AND newer < {RUNS_SHOWN}
    )
    SELECT newer, count(*) AS number, array_agg(DISTINCT builder) AS builders,
           count(*) FILTER (WHERE exit_code <> 0) AS failed, count(*) FILTER (WHERE ended_at IS NULL) AS unended,
           coalesce(sum(rows), 0)::bigint AS rows, {_TIME.format("min(started_at)")} AS started_at,
           {_TIME.format("max(ended_at)")} AS ended_at,
           jsonb_agg(jsonb_build_object(
               'builder', builder, 'command', command, 'started_at', {_TIME.format("started_at")},
               'ended_at', {_TIME.format("ended_at")}, 'exit_code', exit_code, 'rows', rows) ORDER BY position)
               FILTER (WHERE position <= {LINES_SHOWN}) AS runs
    FROM alone GROUP BY newer ORDER BY newer
    """


def failures(connection: Connection) -> list[Row]:
    """What is not done according to its last outcome, by asset and builder; the newest first."""
    return _rows(
        connection,
        f"""SELECT builder, id, status, coalesce(error, reason) AS why, {_TIME.format("noted_at")} AS at,
                   {_TIME.format(f"({OPEN_SINCE})")} AS since
            FROM (SELECT DISTINCT ON (builder, id) * FROM {OUTCOMES} ORDER BY builder, id, noted_at DESC) AS o
            WHERE status <> 'done' ORDER BY noted_at DESC, id, builder LIMIT {LINES_SHOWN}""",
    )


def restatements(connection: Connection) -> list[Row]:
    """The last lines of the ledger."""
    return _rows(
        connection,
        f"""SELECT id, first_day::text, last_day::text, rows_changed AS rows, old_close, new_close, reason,
                   {_TIME.format("noted_at")} AS noted_at
            FROM {LEDGER} ORDER BY {LEDGER}.noted_at DESC, id LIMIT {LINES_SHOWN}""",
    )


def names(connection: Connection, ids: Sequence[int]) -> dict[int, str]:
    """The name of each asset that has one, from its last daily bar."""
    rows = connection.execute(
        text(f"""SELECT u.id, (SELECT src_name FROM {DAILY} d WHERE d.id = u.id ORDER BY "timestamp" DESC LIMIT 1)
                 FROM {rows_of("u", id="int")}"""),
        columns_of("u", id=ids),
    )
    return {row.id: row.src_name for row in rows if row.src_name}


def reached(connection: Connection, leg: Leg) -> dict[int, datetime]:
    """How far each asset has come in a table, in the series that is furthest behind."""
    time = "min(seen_ts)" if leg.shape.has_timeframes else "max(last_src_ts)"
    rows = connection.execute(text(f"SELECT id, {time} AS time FROM {leg.state} GROUP BY id"))
    return {row.id: row.time for row in rows if row.time}


def bars_with_averages(
    connection: Connection, id: int, bars: Leg, averaging: Leg, *, tf: str, periods: Sequence[int], number: int
) -> list[Any]:
    """The last closed bars of an asset and timeframe and the forming one, with the averages at their closes.

    ``tf`` is that of the averages; daily bars have one of their own.
    """
    is_forming, is_shown = "false", "true"
    if bars.shape.has_timeframes:
        last = f'SELECT max("timestamp") FROM {bars.target} WHERE id = :id AND tf = :tf'
        is_forming = "b.is_partial_end"
        is_shown = f'b.tf = :tf AND (NOT b.is_partial_end OR b."timestamp" = ({last}))'
    averages = f"""
        SELECT e.{averaging.averages[0].name} FROM {rows_of("p", period="int")} LEFT JOIN {averaging.target} e
            ON e.id = b.id AND e.ts = b."timestamp" AND e.tf = :tf AND e.period = p.period ORDER BY p.period"""
    query = text(f"""
        SELECT (b."timestamp" AT TIME ZONE 'UTC')::date - date '1970-01-01' AS day,
               b.open, b.high, b.low, b.close, b.volume,
               {is_forming} AS is_forming, ARRAY({averages}) AS averages
        FROM {bars.target} b WHERE b.id = :id AND {is_shown} ORDER BY b."timestamp" DESC LIMIT :number
    """)
    rows = connection.execute(query, {"id": id, "tf": tf, "number": number, **columns_of("p", period=periods)}).all()
    return list(reversed(rows))


def marks(connection: Connection, id: int, first: int) -> list[list[Any]]:
    """What is not as the source has it: (day, kind, why) of an asset from a day on, in days since 1970, by day."""
    day = """("timestamp" AT TIME ZONE 'UTC')::date - date '1970-01-01'"""
    names = ("high", "low", "timehigh", "timelow")
    repairs = ", ".join(f"CASE WHEN b.repaired_{name} THEN '{name}' END" for name in names)
    query = text(f"""
        SELECT {day} AS day, 'repaired' AS kind, 'repaired ' || concat_ws(', ', {repairs}) AS why
        FROM {DAILY} b WHERE b.id = :id AND (b.repaired_high OR b.repaired_low)
        UNION ALL
        SELECT {day}, 'missing', CASE b.count_missing_days WHEN 1 THEN 'the day before this bar has none'
               ELSE b.count_missing_days || ' days before this bar have none' END
        FROM {DAILY} b WHERE b.id = :id AND b.count_missing_days > 0
        UNION ALL
        SELECT {day}, 'refused', 'refused: ' || r.reason FROM {REJECTS} r
        WHERE r.id = :id AND r."timestamp" IS NOT NULL
        UNION ALL
        SELECT l.last_day - date '1970-01-01', 'restated', l.reason || ', ' || l.first_day || ' to ' || l.last_day
        FROM {LEDGER} l WHERE l.id = :id
        ORDER BY 1, 2
    """)
    return [list(row) for row in connection.execute(query, {"id": id}) if row.day >= first]


def table_bytes(connection: Connection) -> dict[str, int]:
    """The bytes of each table of ours that exists, with indexes and what lies outside of rows, by name."""
    query = f"""SELECT n AS name, {bytes_of("n")}::bigint AS bytes
                FROM unnest(CAST(:names AS text[])) AS n WHERE {relation("n")} IS NOT NULL ORDER BY 1"""
    return {row["name"]: row["bytes"] for row in _rows(connection, query, {"names": sorted(METADATA.tables)})}
