"""Tables of the same names that only this session sees: built anew from the source, and compared with the real ones.

PostgreSQL looks for a table among a session's temporary ones first. So whatever a builder does goes into the shadow,
by the same statements that write the real tables, and nothing of it stays.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import Connection, text

from refresh.catalog import BuilderConfig, Leg
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


def differences(connection: Connection, builder: BuilderConfig, ids: Sequence[int]) -> list[Finding]:
    """Where the real tables of a builder do not hold what their shadows do; rows of disabled series are not judged."""
    for method in ("hashjoin", "mergejoin", "seqscan"):
        connection.execute(text(f"SET LOCAL enable_{method} = on"))
    return [finding for leg in builder.legs for finding in _differences(connection, leg, ids)]


def _differences(connection: Connection, leg: Leg, ids: Sequence[int]) -> Iterator[Finding]:
    table = METADATA.tables[leg.target]
    key = [column.name for column in table.primary_key.columns]
    columns = ", ".join(f'"{column.name}"' for column in table.columns if column.name != "ingested_at")
    enabled = "tf = '1D' OR tf IN (SELECT tf FROM dim_timeframe WHERE is_enabled)"
    if has_periods(leg):
        enabled = f"({enabled}) AND period IN (SELECT period FROM dim_period WHERE is_enabled)"
    real = f"SELECT {columns} FROM public.{leg.target} WHERE id = ANY(:ids) AND ({enabled})"
    same = " AND ".join(f'r."{name}" = s."{name}"' for name in key)
    time = "ts" if has_periods(leg) else "timestamp"
    query = text(f"""
        SELECT coalesce(s.id, r.id) AS id, coalesce(s.tf, r.tf) AS tf, coalesce(s."{time}", r."{time}") AS at,
               {"coalesce(s.period, r.period)" if has_periods(leg) else "NULL::int"} AS period,
               CASE WHEN s.id IS NOT NULL THEN to_jsonb(s) END AS expected,
               CASE WHEN r.id IS NOT NULL THEN to_jsonb(r) END AS found
        FROM ({real}) AS r FULL JOIN (SELECT {columns} FROM pg_temp.{leg.target}) AS s ON {same}
        WHERE r IS DISTINCT FROM s ORDER BY 1, 3, 2, 4 LIMIT {SHOWN}
    """)
    for row in connection.execute(query, {"ids": list(ids)}):
        expected, found = _told(row.expected, row.found)
        yield Finding(leg.target, row.id, row.tf, row.period, row.at, expected, found)


def _told(expected: dict[str, Any] | None, found: dict[str, Any] | None) -> tuple[str, str]:
    """The columns that differ, on both sides."""
    if expected is None or found is None:
        return ("no row", "a row") if expected is None else ("a row", "none")
    names = [name for name in expected if expected[name] != found[name]]
    one, other = (", ".join(f"{name} {side[name]}" for name in names) for side in (expected, found))
    return one, other
