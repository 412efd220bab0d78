"""Which assets are not where they should be in a table: behind a time, dirty, or in contradiction to their state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, text

from refresh.catalog import DAILY, Leg
from refresh.core.series import NO_PERIOD, Series
from refresh.store.statements import columns_of, rows_of, series_of
from refresh.store.tables import DAILY_STATE, ROWS_LOST
from refresh.store.watermarks import contradicting

_WANTED = f"""wanted AS (
    SELECT tf COLLATE "C" AS tf, array_agg(period) AS periods FROM {rows_of("w", tf="text", period="int")} GROUP BY 1
)"""
"""The periods of each timeframe, from the lists of ``series_of``."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Late:
    """An asset that is late in a table with timeframes.

    ``is_missing``: some series is not built. ``seen``: how far the series furthest behind has come. ``dirty_from``: the
    first row that has to be rewritten. ``is_outdated``: older formulas or columns made some rows.
    """

    id: int
    is_missing: bool
    seen: datetime | None
    dirty_from: datetime | None
    is_outdated: bool


def last_bars(connection: Connection, ids: Sequence[int], until: datetime) -> dict[int, datetime]:
    """The last daily bar of each asset that has one up to a time."""
    rows = connection.execute(
        text(f"""SELECT u.id, (SELECT "timestamp" FROM {DAILY} d WHERE d.id = u.id AND "timestamp" <= :until
                               ORDER BY "timestamp" DESC LIMIT 1) AS last FROM {rows_of("u", id="int")}"""),
        {"until": until, **columns_of("u", id=ids)},
    )
    return {row.id: row.last for row in rows if row.last}


def late(connection: Connection, leg: Leg, series: Sequence[Series], due: Mapping[int, datetime]) -> list[Late]:
    """The assets of which some series has not come as far as is ``due`` for the asset, or is not as it should be.

    By a difference of sets, which is hashed or sorted: a join of tables without statistics may be a loop in a loop.
    """
    periods = "s.periods" if leg.shape.has_periods else f"ARRAY[{NO_PERIOD}]"
    query = text(f"""
        WITH due AS (SELECT * FROM {rows_of("d", id="int", at="timestamptz")}),
        {_WANTED},
        settled AS (
            SELECT s.id, s.tf, sum(CASE WHEN {periods} <@ w.periods THEN cardinality({periods}) ELSE (
                SELECT count(*) FROM unnest({periods}) AS period WHERE period = ANY(w.periods)) END)::bigint
            FROM {leg.state} s JOIN wanted w USING (tf) JOIN due d USING (id)
            WHERE s.dirty_from IS NULL AND s.version >= :version AND s.seen_ts >= d.at GROUP BY s.id, s.tf
        ),
        late AS (
            SELECT id, tf, cardinality(periods)::bigint FROM due CROSS JOIN wanted EXCEPT SELECT * FROM settled
        )
        SELECT l.id, bool_or(s.id IS NULL) AS is_missing, min(s.seen_ts) AS seen, min(s.dirty_from) AS dirty_from,
               coalesce(bool_or(s.version < :version), false) AS is_outdated
        FROM late l LEFT JOIN {leg.state} s ON s.id = l.id AND s.tf = l.tf GROUP BY l.id ORDER BY l.id
    """)
    values = {**columns_of("d", id=due, at=due.values()), **series_of("w", series), "version": leg.version}
    return [Late(**row) for row in connection.execute(query, values).mappings()]


def contradictions(connection: Connection, leg: Leg, series: Sequence[Series]) -> set[int]:
    """The assets whose table does not hold what their state says. What other series have lost is no lack."""
    if leg.shape.has_timeframes:
        are_wanted = "s.periods && w.periods" if leg.shape.has_periods else "true"
        query = text(f"""
            WITH {_WANTED}
            SELECT id FROM {leg.state} s JOIN wanted w USING (tf) WHERE version = {ROWS_LOST} AND {are_wanted}
            UNION {contradicting(leg)}
        """)
        return set(connection.execute(query, series_of("w", series)).scalars())
    query = text(f"""
        SELECT id FROM {DAILY_STATE} s WHERE version = {ROWS_LOST}
           OR last_src_ts IS DISTINCT FROM (SELECT max("timestamp") FROM {DAILY} d WHERE d.id = s.id)
    """)
    return set(connection.execute(query).scalars())
