"""What the history says of a week and of the one before."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import Connection, text

from refresh.records import Week
from refresh.store.runs import IS_ALONE
from refresh.store.tables import LEDGER, OUTCOMES, REJECTS, RUNS, VALIDATIONS

WEEK = timedelta(days=7)


_WEEK = text(f"""
    WITH week AS (
        SELECT r.run_id, r.ended_at, r.exit_code, r.rows, extract(epoch FROM ended_at - started_at)::float8 AS seconds
        FROM {RUNS} r WHERE NOT {IS_ALONE} AND r.started_at > :since AND r.started_at <= :until
    )
    SELECT (SELECT count(*) FROM week) AS refreshes,
           (SELECT count(*) FROM week WHERE exit_code = 0) AS good,
           (SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY seconds) FROM week) AS seconds,
           (SELECT coalesce(sum(rows), 0)::bigint FROM week) AS rows,
           (SELECT count(DISTINCT id) FROM {OUTCOMES} WHERE status = 'failed' AND noted_at > :since
                AND noted_at <= :until) AS failed,
           (SELECT count(*) FROM {LEDGER} WHERE noted_at > :since AND noted_at <= :until) AS revisions,
           (SELECT count(*) FROM {REJECTS} WHERE rejected_at > :since AND rejected_at <= :until) AS refused,
           count(v.run_id) AS validations, coalesce(sum(jsonb_array_length(v.findings)), 0)::bigint AS findings
    FROM {VALIDATIONS} v WHERE v.validated_at > :since AND v.validated_at <= :until
""")


def last_weeks(connection: Connection, now: datetime) -> tuple[Week, Week]:
    """The seven days until a time, and the seven days before."""
    return _week(connection, now), _week(connection, now - WEEK)


def _week(connection: Connection, until: datetime) -> Week:
    row = connection.execute(_WEEK, {"since": until - WEEK, "until": until}).mappings().one()
    return Week(**row)
