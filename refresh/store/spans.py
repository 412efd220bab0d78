"""Spans: the daily bars of each asset of a batch that are computed, and the bar that they continue."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from refresh.catalog import DAILY
from refresh.store.statements import columns_of, lists_of, rows_of

ROWS_OF_SPANS = rows_of("s", id="int", begin="timestamptz", carry_at="timestamptz", through="timestamptz")
"""The spans as rows s, of the values of ``Spans.values``."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Spans:
    """Per asset of a batch, in id order: the first and last daily bar to compute, and the bar to continue from.

    ``None`` in ``begins`` is the asset's first bar, in ``throughs`` that it has none, in ``carries`` a fresh start.
    """

    ids: list[int]
    begins: list[datetime | None]
    carries: list[datetime | None]
    throughs: list[datetime | None]

    def values(self, **more: Any) -> dict[str, Any]:
        """The spans as the values of a query."""
        spans = columns_of("s", id=self.ids, begin=self.begins, carry_at=self.carries, through=self.throughs)
        return {**spans, **more}


def spans(connection: Connection, stretches: Sequence[Any], *, bars_back: int) -> Spans:
    """Where to compute from and what to continue: ``bars_back`` daily bars before the first affected one.

    ``stretches`` have ``id``, ``since`` and ``through``. Bars go one back, because the daily bar before a change may
    turn canonical or lose that; EMAs need not.
    """
    earlier = f'SELECT max("timestamp") FROM {DAILY} d WHERE d.id = u.id AND d."timestamp" <'
    query = text(f"""
        SELECT u.id, u.through, u.since, a.time AS last_before, b.time AS next_to_last
        FROM {rows_of("u", id="int", since="timestamptz", through="timestamptz")}
        CROSS JOIN LATERAL ({earlier} u.since) AS a(time) CROSS JOIN LATERAL ({earlier} a.time) AS b(time) ORDER BY u.id
    """)
    rows = connection.execute(query, lists_of("u", stretches, "id", "since", "through")).all()
    chains = [(row.since, row.last_before, row.next_to_last, None)[bars_back:] for row in rows]
    return Spans(
        ids=[row.id for row in rows],
        begins=[chain[0] for chain in chains],
        carries=[chain[1] for chain in chains],
        throughs=[row.through for row in rows],
    )
