"""What the tables say about one asset: its prices, the reach of each table, and its last outcomes."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, text

from refresh.catalog import DAILY, SOURCE, Leg
from refresh.records import Status
from refresh.store.source_index import FIRST_TIME, FUTURE_DAYS
from refresh.store.tables import OUTCOMES, REJECTS


def prices_of(connection: Connection, id: int, now: datetime) -> Any:
    """The number of an asset's prices (``rows``) and of those ``rejected``, their ``first`` and ``last`` time."""
    query = text(f"""
        SELECT count(*) AS rows, min("timestamp")::timestamptz AS first, max("timestamp")::timestamptz AS last,
               (SELECT count(*) FROM {REJECTS} WHERE id = :id) AS rejected
        FROM {SOURCE} WHERE id = :id AND "timestamp" > '{FIRST_TIME}' AND "timestamp" <= :horizon
    """)
    return connection.execute(query, {"id": id, "horizon": now + timedelta(days=FUTURE_DAYS)}).one()


def reach_of(connection: Connection, leg: Leg, id: int) -> Any:
    """How far an asset has come in a table (``through``), and from when on rows are rewritten (``dirty_from``).

    Both are those of the series that is furthest behind.
    """
    columns = "max(last_src_ts) AS through, NULL::timestamptz AS dirty_from"
    if leg.shape.has_timeframes:
        columns = "min(coalesce(last_ts, seen_ts)) AS through, min(dirty_from) AS dirty_from"
    query = text(f"SELECT {columns} FROM {leg.state} WHERE id = :id")
    return connection.execute(query, {"id": id}).one()


def missing_days(connection: Connection, id: int) -> int:
    """Days without a bar between the first and the last daily bar of an asset."""
    query = text(f"SELECT coalesce(sum(count_missing_days), 0) FROM {DAILY} WHERE id = :id")
    return int(connection.execute(query, {"id": id}).scalar_one())


def last_failure(connection: Connection, builder: str, id: int) -> Any | None:
    """The last outcome of an asset in a builder (``run_id``, ``noted_at``, ``error``), if it is not done."""
    query = text(f"""
        SELECT * FROM (
            SELECT run_id, status, noted_at, coalesce(error, reason) AS error FROM {OUTCOMES}
            WHERE builder = :builder AND id = :id ORDER BY noted_at DESC LIMIT 1) AS last
        WHERE status <> :done
    """)
    values = {"builder": builder, "id": id, "done": Status.DONE.value}
    return connection.execute(query, values).one_or_none()
