"""What is known of one asset: where the source and every table stand, their gaps, and what went wrong last."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import Connection, text

from refresh.catalog import DAILY, SOURCE, BuilderConfig, Kind, Leg
from refresh.core.standing import Failure, Standing, TableStanding
from refresh.outcome import Status
from refresh.store.source import FUTURE_DAYS
from refresh.store.tables import OUTCOMES


def standing(connection: Connection, builders: Sequence[BuilderConfig], id: int, now: datetime) -> Standing:
    """Ask the source, the tables of some builders, and the history."""
    query = text(f"""
        SELECT count(*) AS rows, min("timestamp")::timestamptz AS first, max("timestamp")::timestamptz AS last,
               (SELECT count(*) FROM {DAILY}_rejects WHERE id = :id) AS rejected
        FROM {SOURCE} WHERE id = :id AND "timestamp" > '0001-01-02' AND "timestamp" <= :horizon
    """)
    prices = connection.execute(query, {"id": id, "horizon": now + timedelta(days=FUTURE_DAYS)}).one()
    tables = tuple(_standing(connection, builder, leg, id) for builder in builders for leg in builder.legs)
    return Standing(
        id,
        prices.rows,
        prices.first,
        prices.last,
        prices.rejected,
        tables,
        tuple(failure for builder in builders for failure in _failures(connection, builder, id)),
    )


def _standing(connection: Connection, builder: BuilderConfig, leg: Leg, id: int) -> TableStanding:
    if builder.kind is Kind.DAILY:
        columns = "max(last_src_ts) AS through, NULL::timestamptz AS dirty_from"
    else:
        columns = "min(coalesce(last_ts, seen_ts)) AS through, min(dirty_from) AS dirty_from"
    row = connection.execute(text(f"SELECT {columns} FROM {leg.state} WHERE id = :id"), {"id": id}).one()
    missing = _missing_days(connection, id) if builder.kind is Kind.DAILY else None
    return TableStanding(builder.key, leg.target, row.through, row.dirty_from, missing)


def _missing_days(connection: Connection, id: int) -> int:
    query = text(f"SELECT coalesce(sum(count_missing_days), 0) FROM {DAILY} WHERE id = :id")
    return int(connection.execute(query, {"id": id}).scalar_one())


def _failures(connection: Connection, builder: BuilderConfig, id: int) -> list[Failure]:
    query = text(f"""
        SELECT run_id, status, noted_at, coalesce(error, reason) AS error FROM {OUTCOMES}
        WHERE builder = :builder AND id = :id ORDER BY noted_at DESC LIMIT 1
    """)
    rows = connection.execute(query, {"builder": builder.key, "id": id})
    return [
        Failure(builder.key, row.noted_at, row.run_id, row.error) for row in rows if row.status != Status.DONE.value
    ]
