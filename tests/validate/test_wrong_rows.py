"""Rows that recomputing misses, or that nothing implies, are found and named."""

from __future__ import annotations

import pytest
from refreshing import TARGETS
from sqlalchemy import Connection, text
from validate.varied_prices import Parts, judged, last_row, time_of, undone

from refresh.store.tables import TARGET_TABLES
from refresh.validate.recompute import SHOWN


@pytest.mark.parametrize("table", TARGETS)
def test_missing_rows_are_found(varied_session: Connection, parts: Parts, table: str) -> None:
    """Rows that are gone are named one by one, in the order of their time."""
    time = time_of(table)
    with undone(varied_session):
        query = text(f"""DELETE FROM {table} WHERE id = 2 AND "{time}" BETWEEN '2024-03-01Z' AND '2024-03-05Z'
                         RETURNING "{time}" """)
        gone = sorted(varied_session.execute(query).scalars())
        findings = judged(varied_session, parts[table])
    assert {(lost.table, lost.id, lost.expected, lost.found) for lost in findings} == {(table, 2, "a row", "none")}
    assert [lost.time for lost in findings] == gone
    assert len(gone) >= 4


@pytest.mark.parametrize("table", TARGETS)
def test_rows_too_many_are_found(varied_session: Connection, parts: Parts, table: str) -> None:
    """A row that nothing implies is named."""
    time = time_of(table)
    changes = {time: f"\"{time}\" + interval '1 second'"}
    if table.endswith("_1d"):
        changes["bar_seq"] = "1000 + bar_seq"
    names = [column.name for column in TARGET_TABLES[table].columns]
    columns = ", ".join(f'"{name}"' for name in names)
    values = ", ".join(changes.get(name, f'"{name}"') for name in names)
    row = last_row(varied_session, table, "id = 2")
    with undone(varied_session):
        copy = f"INSERT INTO {table} ({columns}) SELECT {values} FROM {table} WHERE {row.only}"
        varied_session.execute(text(copy))
        (extra,) = judged(varied_session, parts[table])
    assert (extra.table, extra.id, extra.tf, extra.period) == (table, 2, row.tf, row.period)
    assert extra.time is not None
    assert (extra.time - row.time).total_seconds() == 1
    assert (extra.expected, extra.found) == ("no row", "a row")


@pytest.mark.parametrize("change", ["values", "times"])
@pytest.mark.parametrize("table", TARGETS)
def test_first_rows_are_reported(varied_session: Connection, parts: Parts, table: str, change: str) -> None:
    """However many rows are wrong, those are reported that come first by asset, time, timeframe and period."""
    time, has_periods = time_of(table), "period" in TARGET_TABLES[table].columns
    value = "d1" if has_periods else "volume"
    changes = {"values": f"{value} = 7.25", "times": f'"{time}" = "{time}" + interval \'1 hour\''}
    keys = text(f'SELECT id, "{time}", tf, {"period" if has_periods else 0} FROM {table}')
    with undone(varied_session):
        before = {tuple(row) for row in varied_session.execute(keys)}
        varied_session.execute(text(f"UPDATE {table} SET {changes[change]}"))
        after = {tuple(row) for row in varied_session.execute(keys)}
        findings = judged(varied_session, parts[table])
    reported = [(wrong.id, wrong.time, wrong.tf, wrong.period or 0) for wrong in findings]
    assert reported == sorted(before | after)[:SHOWN]
    assert len(reported) == SHOWN


@pytest.mark.parametrize("table", TARGETS)
def test_empty_table_is_found(varied_session: Connection, parts: Parts, table: str) -> None:
    """However many rows are missing, only the first are reported."""
    with undone(varied_session):
        rows = varied_session.execute(text(f"DELETE FROM {table}")).rowcount
        assert len(judged(varied_session, parts[table])) == min(rows, SHOWN)
