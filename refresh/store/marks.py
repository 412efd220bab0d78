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

    Series that have not come that far have nothing to rewrite and are left as they are. After an append that is every
    series, which is seen by the first mark of an asset alone.
    """
    if not marks:
        return
    rows = rows_of("u", id="int", tf="text", time="timestamptz")
    first_row = "(SELECT min(time) FROM unnest(a.tfs, a.times) AS m(tf, time) WHERE m.tf IS NULL OR m.tf = s.tf)"
    connection.execute(
        text(f"""
            UPDATE {leg.state} s SET dirty_from = least(s.dirty_from, {first_row})
            FROM (
                SELECT id, min(time) AS first, array_agg(tf) AS tfs, array_agg(time) AS times FROM {rows} GROUP BY id
            ) AS a
            WHERE s.id = a.id AND s.seen_ts >= a.first AND s.seen_ts >= {first_row}
        """),
        lists_of("u", marks, "id", "tf", "time"),
    )
