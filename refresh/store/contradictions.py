"""States that do not fit their tables, and rows that have no state: what somebody else has deleted of either."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, text

from refresh.catalog import Leg
from refresh.store.database import begin_writing
from refresh.store.statements import ALL_OR_SOME, columns_of, rows_of, some_assets
from refresh.store.tables import ROWS_LOST
from refresh.store.watermarks import contradicting


def forget_contradictions(connection: Connection, leg: Leg, ids: Sequence[int]) -> None:
    """Forget every series of an asset whose table does not hold what the state says, whatever a run was narrowed to.

    Otherwise the series that are rebuilt now would hide that the others are missing. Rows of an asset without a state
    get one that says that they are not to be trusted: those of disabled series are kept, and nobody builds them again.
    """
    if leg.averages:
        has_place = f"SELECT FROM {leg.places} p WHERE p.tf = s.tf AND p.period = ANY(s.periods)"
        nowhere = f"{ALL_OR_SOME} AND version = {ROWS_LOST} AND NOT EXISTS ({has_place})"
        connection.execute(text(f"DELETE FROM {leg.state} s WHERE {nowhere}"), some_assets(ids))
    query = text(f"DELETE FROM {leg.state} WHERE id IN ({contradicting(leg, ALL_OR_SOME)})")
    connection.execute(query, some_assets(ids))
    query = text(f"""
        SELECT u.id FROM {rows_of("u", id="int")}
        WHERE NOT EXISTS (SELECT FROM {leg.state} s WHERE s.id = u.id)
          AND EXISTS (SELECT FROM {leg.table} t WHERE t.id = u.id)
    """)
    unknown = list(connection.execute(query, columns_of("u", id=ids)).scalars())
    if unknown:
        _distrust(connection, leg, unknown)


def _distrust(connection: Connection, leg: Leg, ids: Sequence[int]) -> None:
    """Give each series that has rows a state of lost rows, and remove what belongs to no series."""
    begin_writing(connection)
    time, among = f'"{leg.shape.time}"', "id = ANY(CAST(:ids AS int[]))"
    values = some_assets(ids)
    if leg.averages:  # what lay where no series is any more is seen by nobody
        is_seen = f"SELECT FROM {leg.target} v WHERE v.{among} AND v.id = t.id AND v.{time} = t.{time}"
        connection.execute(text(f"DELETE FROM {leg.table} t WHERE {among} AND NOT EXISTS ({is_seen})"), values)
    period = of_periods = are = ""
    if leg.shape.has_periods:
        period, of_periods, are = ", period", ", periods, close_sum", ", array_agg(period ORDER BY period), 0"
    query = f"""
        INSERT INTO {leg.state} (id, tf, seen_ts, last_ts, version{of_periods})
        SELECT id, tf, last, last, {ROWS_LOST}{are}
        FROM (
            SELECT id, tf{period}, max({time}) AS last FROM {leg.target} WHERE {among} GROUP BY id, tf{period}
        ) AS ends GROUP BY id, tf, last
    """
    connection.execute(text(query), values)
