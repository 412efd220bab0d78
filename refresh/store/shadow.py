"""Tables of the same names that only this session sees: built anew from the source, and compared with the real ones.

PostgreSQL looks for a table among a session's temporary ones first. So whatever a builder does goes into the shadow,
by the same statements that write the real tables, and nothing of it stays.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import Connection, text

from refresh.catalog import Leg
from refresh.core.series import Series
from refresh.core.validity import Finding
from refresh.store.state import has_periods
from refresh.store.tables import METADATA, OUTCOMES

SHOWN = 100
"""How many rows of a table are told of at most."""


def cast_shadow(connection: Connection) -> None:
    """Put an empty temporary table before every table that has rows of assets; they go with the transaction."""
    for name, table in METADATA.tables.items():
        if "id" in table.columns and name != OUTCOMES:
            connection.execute(
                text(
                    f"CREATE TEMP TABLE {name} (LIKE public.{name} INCLUDING DEFAULTS INCLUDING INDEXES) ON COMMIT DROP"
                )
            )


def differences(connection: Connection, leg: Leg, series: Sequence[Series], ids: Sequence[int]) -> Iterator[Finding]:
    """Where a real table does not hold what its shadow does, in some series; daily bars have none."""
    for method in ("hashjoin", "mergejoin", "seqscan"):
        connection.execute(text(f"SET LOCAL enable_{method} = on"))
    table = METADATA.tables[leg.target]
    columns = ", ".join(f'"{column.name}"' for column in table.columns if column.name != "ingested_at")
    period = "period" if has_periods(leg) else "0"
    wanted = f"AND (tf, {period}) IN (SELECT * FROM unnest(CAST(:tfs AS text[]), CAST(:periods AS int[])))"
    real = f"SELECT {columns} FROM public.{leg.target} WHERE id = ANY(:ids) {wanted if leg.family else ''}"
    same = " AND ".join(f'r."{column.name}" = s."{column.name}"' for column in table.primary_key.columns)
    time = "ts" if has_periods(leg) else "timestamp"
    query = text(f"""
        SELECT coalesce(s.id, r.id) AS id, coalesce(s.tf, r.tf) AS tf, coalesce(s."{time}", r."{time}") AS at,
               {"coalesce(s.period, r.period)" if has_periods(leg) else "NULL::int"} AS period,
               CASE WHEN s.id IS NOT NULL THEN to_jsonb(s) END AS expected,
               CASE WHEN r.id IS NOT NULL THEN to_jsonb(r) END AS found
        FROM ({real}) AS r FULL JOIN (SELECT {columns} FROM pg_temp.{leg.target}) AS s ON {same}
        WHERE r IS DISTINCT FROM s ORDER BY 1, 3, 2, 4 LIMIT {SHOWN}
    """)
    parameters: dict[str, Any] = {"ids": list(ids)}
    if leg.family:
        parameters |= {"tfs": [one.timeframe.tf for one in series], "periods": [one.period for one in series]}
    for row in connection.execute(query, parameters):
        expected, found = _told(row.expected, row.found)
        yield Finding(leg.target, row.id, row.tf, row.period, row.at, expected, found)


def _told(expected: dict[str, Any] | None, found: dict[str, Any] | None) -> tuple[str, str]:
    """The columns that differ, on both sides."""
    if expected is None or found is None:
        return ("no row", "a row") if expected is None else ("a row", "none")
    names = [name for name in expected if expected[name] != found[name]]
    one, other = (", ".join(f"{name} {side[name]}" for name in names) for side in (expected, found))
    return one, other
