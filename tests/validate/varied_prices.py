"""Varied prices of two assets, recomputed tables of them, and the findings about rows that tests spoil."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Column, Connection, text
from unpacked import PLACES

from refresh.catalog import SOURCE
from refresh.store.tables import TARGET_TABLES
from refresh.validate.finding import Finding
from refresh.validate.recompute import Part, differences, first_of

IDS = (1, 2)
FILL = f"""
    INSERT INTO {SOURCE} (id, name, "timestamp", timeopen, timeclose, timehigh, open, high, low, close, volume,
                          marketcap, source_file, load_ts)
    SELECT asset, 'Asset ' || asset, close_time, close_time - interval '1 day - 1 ms', close_time,
           CASE WHEN n % 3 > 0 THEN close_time - interval '5 hours' END, value,
           CASE WHEN n % 10 = 4 THEN 1 ELSE value + 7 END, value - 7, value + sin(n),
           CASE WHEN n % 4 > 0 THEN 1000 + n END, CASE WHEN n % 5 > 0 THEN 5000 + n END,
           CASE WHEN n % 6 > 0 THEN 'a.csv' END, CASE WHEN n % 7 > 0 THEN close_time END
    FROM unnest(CAST(:assets AS int[])) AS asset CROSS JOIN generate_series(asset * 3, 75) AS n
    CROSS JOIN LATERAL (SELECT timestamptz '2024-01-07 23:59:59.999Z' + n * interval '1 day' AS close_time,
                               50 + 20 * cos(n * asset / 9.0) AS value) AS price
    WHERE n NOT IN (19, 20, 33, 47, 72)
"""
"""Some seventy days of a few assets, with gaps, and with values that have to be repaired or are absent."""

Parts = Mapping[str, Sequence[Part]]
"""By table, the rows that it should have."""


@contextmanager
def undone(connection: Connection) -> Iterator[None]:
    """A block whose changes are undone."""
    savepoint = connection.begin_nested()
    try:
        yield
    finally:
        savepoint.rollback()


def judged(connection: Connection, parts: Sequence[Part]) -> list[Finding]:
    """The findings in a table of which these parts were recomputed."""
    findings: list[Finding] = []
    for part in parts:
        findings += differences(connection, part)
    return first_of(findings)


def kind(column: Column[Any]) -> str:
    """The type of a column, in one word."""
    return type(column.type).__name__.upper()


def time_of(table: str) -> str:
    """The column that holds the time of a table's rows."""
    return "ts" if "ts" in TARGET_TABLES[table].columns else "timestamp"


def last_row(connection: Connection, table: str, condition: str) -> Any:
    """The last row for which a condition holds, and ``only``, which holds for it alone; ``None`` without such a row."""
    period = "period" if "period" in TARGET_TABLES[table].columns else "NULL::int AS period"
    keys = [column.name for column in TARGET_TABLES[table].primary_key.columns]
    texts = ", ".join(f'"{key}"' for key in keys)
    only = " AND ".join(f'"{key}" = %L' for key in keys)
    query = f"""SELECT format('{only}', {texts}) AS only, id, tf, "{time_of(table)}" AS time, {period} FROM {table}
                WHERE {condition} ORDER BY "{time_of(table)}" DESC, id, tf LIMIT 1"""
    return connection.execute(text(query)).first()


def beside(connection: Connection, table: str, column: str, row: Any) -> Sequence[Any]:
    """The rows in which a change of a value of ``row`` shows: all of its series, if that is where it is stored."""
    if not (table in PLACES and column == "tf_days"):
        return [row]
    query = text(f"SELECT id, tf, ts AS time, period FROM {table} WHERE tf = :tf AND period = :period ORDER BY 1, 3")
    return connection.execute(query, {"tf": row.tf, "period": row.period}).all()


def columns_of(table: str, column: str) -> list[str]:
    """The columns in which a change of one of them shows: the bit of a day is that of all averages."""
    if not (table in PLACES and column.startswith("roll")):
        return [column]
    return [other.name for other in TARGET_TABLES[table].columns if other.name.startswith("roll")]


def shown(connection: Connection, table: str, column: str, condition: str) -> tuple[str, Any]:
    """How a finding shows a value of a row, and the value."""
    query = f'SELECT to_jsonb("{column}"), "{column}" FROM {table} WHERE {condition}'
    in_json, value = connection.execute(text(query)).one()
    return in_words(table, column, in_json), value


def in_words(table: str, column: str, value: Any) -> str:
    """How a finding shows a value, with all columns in which it shows."""
    return ", ".join(f"{name} {value}" for name in columns_of(table, column))


def finding(table: str, row: Any, expected: str, found: str) -> Finding:
    """A finding about a row of ``last_row``."""
    return Finding(table=table, id=row.id, tf=row.tf, period=row.period, time=row.time, expected=expected, found=found)
