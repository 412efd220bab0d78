"""Whatever is wrong in whichever column of whichever table: recomputing finds it, and names where it is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pytest
from refreshing import TARGETS
from sqlalchemy import Connection, text
from validate.varied_prices import (
    Parts,
    beside,
    columns_of,
    finding,
    in_words,
    judged,
    kind,
    last_row,
    shown,
    time_of,
    undone,
)

from refresh.core.rows import count
from refresh.store.tables import TARGET_TABLES
from refresh.validate.recompute import SHOWN, Part

VALUE_COLUMNS = [
    pytest.param(table, column.name, id=f"{table.removeprefix('cmc_')}-{column.name}")
    for table in TARGETS
    for column in TARGET_TABLES[table].columns
    if column.name != "ingested_at"
]
CHANGES = {
    "INTEGER": ['"{0}" + 1000'],
    "BIGINTEGER": ['"{0}" + 1000'],
    "BOOLEAN": ['NOT "{0}"'],
    "DATE": ['"{0}" + 1', "NULL"],
    "DATETIME": ["\"{0}\" + interval '1 microsecond'", "\"{0}\" + interval '1 second'", "NULL"],
    "TEXT": ["\"{0}\" || ' '", "NULL"],
    "DOUBLE": [":next", ":last", "'NaN'", "'infinity'", "NULL"],
}
"""What becomes of a value, by the type of its column."""
APPEARANCES = {"DATE": "'2024-01-01'", "DATETIME": "'2024-01-01Z'", "TEXT": "''", "DOUBLE": "0"}
"""What becomes of a NULL."""


def check_flip(connection: Connection, parts: Sequence[Part], column: str, row: Any, change: str) -> None:
    """Change one value of a row: that is found, and nothing else."""
    table = parts[0].leg.target
    expected, value = shown(connection, table, column, row.only)
    near = {"next": math.inf, "last": -math.inf}
    given = {name: math.nextafter(value, end) for name, end in near.items() if f":{name}" in change}
    query = f"""UPDATE {table} SET "{column}" = {change.format(column)} WHERE {row.only}
                RETURNING to_jsonb("{column}") AS shown"""
    rows = beside(connection, table, column, row)
    with undone(connection):
        changed = connection.execute(text(query), given).one()
        findings = judged(connection, parts)
    if column in TARGET_TABLES[table].primary_key.columns:
        others = [other for other in findings if other != finding(table, row, "a row", "none")]
        assert len(findings) == len(others) + 1
        assert [(other.expected, other.found) for other in others] == [("no row", "a row")] * (column == time_of(table))
    else:
        found = in_words(table, column, changed.shown)
        assert findings == [finding(table, other, expected, found) for other in rows[:SHOWN]]
        assert findings[0].expected != findings[0].found


@pytest.mark.parametrize(("table", "column"), VALUE_COLUMNS)
def test_every_flip_is_found(varied_session: Connection, parts: Parts, table: str, column: str) -> None:
    """One wrong value, a NULL instead of a value or a value instead of a NULL is one finding with both sides."""
    definition = TARGET_TABLES[table].columns[column]
    row = last_row(varied_session, table, f'"{column}" IS NOT NULL')
    changes = [change for change in CHANGES[kind(definition)] if definition.nullable or change != "NULL"]
    assert row
    for change in changes:
        check_flip(varied_session, parts[table], column, row, change)
    blank = last_row(varied_session, table, f'"{column}" IS NULL') if definition.nullable else None
    if blank:
        check_flip(varied_session, parts[table], column, blank, APPEARANCES[kind(definition)])


TIMES = [
    pytest.param(table, column.name, infinite, id=f"{table.removeprefix('cmc_')}-{column.name}-{infinite}")
    for table in TARGETS
    for column in TARGET_TABLES[table].columns
    for infinite in ("infinity", "-infinity")
    if kind(column) in {"DATE", "DATETIME"} and column.name != "ingested_at"
]


@pytest.mark.parametrize(("table", "column", "infinite"), TIMES)
def test_infinite_times_are_found(
    varied_session: Connection, parts: Parts, table: str, column: str, infinite: str
) -> None:
    """A time that no calendar holds is a finding in place of a time, and in place of a NULL."""
    rows = [last_row(varied_session, table, f'"{column}" IS {null} NULL') for null in ("NOT", "")]
    for row in filter(None, rows):
        with undone(varied_session):
            query = f"UPDATE {table} SET \"{column}\" = '{infinite}' WHERE {row.only}"
            varied_session.execute(text(query))
            findings = judged(varied_session, parts[table])
        if column == time_of(table):
            assert [(wrong.time, wrong.expected, wrong.found) for wrong in findings] == [
                (row.time, "a row", "none"),
                (None, "no row", "a row"),
            ]
        else:
            assert [(wrong.time, wrong.found) for wrong in findings] == [(row.time, f"{column} infinite")]


def test_every_kind_of_row_is_there(varied_session: Connection) -> None:
    """The database has bars that closed and bars that form, EMAs on and between closes, gaps and repairs."""
    for table in TARGETS:
        kinds = [name for name in ("roll", "is_partial_end", "is_missing_days") if name in TARGET_TABLES[table].c]
        if table.endswith("_1d"):
            kinds = ["repaired_high", "repaired_timehigh", "is_missing_days"]
        for name in kinds:
            query = text(f"SELECT count(DISTINCT {name}) FROM {table}")
            assert varied_session.execute(query).scalar_one() == 2, (table, name)


def test_nothing_is_found_where_nothing_is_wrong(varied_session: Connection, parts: Parts) -> None:
    """Recomputed rows are the stored ones, bit for bit."""
    for table in TARGETS:
        assert judged(varied_session, parts[table]) == []
        recomputed = sum(count(part.rows) for part in parts[table])
        stored = varied_session.execute(text(f"SELECT count(*) FROM {table}")).scalar_one()
        assert recomputed == stored > 0


@pytest.mark.parametrize("table", TARGETS)
def test_several_wrong_values_of_a_row_are_one_finding(varied_session: Connection, parts: Parts, table: str) -> None:
    """A row is reported once, with every column that is wrong."""
    value = "ema" if "ema" in TARGET_TABLES[table].columns else "close"
    other = "roll" if value == "ema" else "is_partial_start"
    row = last_row(varied_session, table, "true")
    with undone(varied_session):
        query = f'UPDATE {table} SET "{value}" = 7.5, {other} = NOT {other} WHERE {row.only}'
        varied_session.execute(text(query))
        (wrong,) = judged(varied_session, parts[table])
    sides = [dict(part.split(" ") for part in side.split(", ")) for side in (wrong.expected, wrong.found)]
    others = columns_of(table, other)
    assert [set(side) for side in sides] == [{value, *others}, {value, *others}]
    assert float(sides[1][value]) == 7.5
    for name in others:
        assert {side[name] for side in sides} == {"True", "False"}
