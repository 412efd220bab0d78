"""Marks on the state tables: the first row from which on a series has to be rewritten because its input changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Connection, text

from refresh.catalog import Leg
from refresh.store.statements import lists_of, rows_of

BEGINNING = datetime(1, 1, 1, tzinfo=UTC)
"""Before every row."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Mark:
    """The first changed row of an asset and timeframe of an input; ``tf`` ``None``: every timeframe follows it."""

    id: int
    tf: str | None
    time: datetime


def mark_dirty(connection: Connection, leg: Leg, marks: Sequence[Mark]) -> None:
    """Mark the series of a leg dirty from the first changed row of their input on.

    Series that have not come that far have nothing to rewrite and are left as they are.
    """
    if not marks:
        return
    rows = rows_of("u", id="int", tf="text", time="timestamptz")
    connection.execute(
        text(f"""
            UPDATE {leg.state} s SET dirty_from = least(s.dirty_from, m.time)
            FROM (SELECT id, tf, min(time) AS time FROM {rows} GROUP BY id, tf) m
            WHERE s.id = m.id AND (m.tf IS NULL OR m.tf = s.tf) AND s.seen_ts >= m.time
        """),
        lists_of("u", marks, "id", "tf", "time"),
    )
