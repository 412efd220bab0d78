"""Rows that are missing or too many are found without recomputing, in every table."""

from __future__ import annotations

import pytest
from refreshing import TARGETS
from sqlalchemy import Connection
from validate.whole_tables import (
    BARS,
    EMAS,
    MIDDLE,
    SERIES,
    ask,
    checked,
    copy,
    execute,
    findings,
    middle_row,
    named,
    series_of,
    time_of,
)

from refresh.catalog import DAILY
from refresh.validate.finding import Finding


@pytest.mark.parametrize("table", TARGETS)
def test_missing_row(session: Connection, table: str) -> None:
    """A row that is gone from the middle is missing in its own series, and in no other."""
    expected = series_of(session, table)
    assert execute(session, f"DELETE FROM {table} WHERE {middle_row(table)}") == 1
    (finding,) = findings(session, table)
    assert named([finding]) == [expected]
    if table == DAILY:
        assert (finding.expected, finding.found) == ("bar_seq 1 to 66", "bar_seq 1 to 67")
    else:
        assert [other.table for other in checked(session)] == [table]
        rows = [int(side.split()[0]) for side in (finding.expected, finding.found)]
        assert rows[0] == rows[1] + 1


@pytest.mark.parametrize("table", TARGETS)
def test_doubled_day(session: Connection, table: str) -> None:
    """A day that has two rows is found in its own series, and in no other."""
    expected, time = series_of(session, table), time_of(table)
    numbers = {"bar_seq": "68"} if table == DAILY else {}
    copy(session, table, middle_row(table), **{time.strip('"'): f"{time} - interval '1 second'"}, **numbers)
    (finding,) = findings(session, table)
    assert named([finding]) == [expected]
    if table == DAILY:
        assert (finding.expected, finding.found) == ("68 days", "67 days in 68 rows")


@pytest.mark.parametrize("table", [leg.target for leg in SERIES])
def test_row_before_the_first(session: Connection, table: str) -> None:
    """A row before the first one that a series should have is one too many."""
    id, tf, period = expected = series_of(session, table)
    time = time_of(table)
    series = f"id = {id} AND tf = '{tf}'" + (f" AND period = {period}" if period else "")
    copy(
        session,
        table,
        f"{series} AND {time} = (SELECT min({time}) FROM {table} WHERE {series})",
        **{time.strip('"'): f"{time} - interval '1 day'"},
    )
    assert named(findings(session, table)) == [expected]


@pytest.mark.parametrize("table", [leg.target for leg in SERIES])
def test_series_that_begins_late(session: Connection, table: str) -> None:
    """A series that lacks its first row is found, from where it now begins."""
    id, tf, period = expected = series_of(session, table)
    time = time_of(table)
    series = f"id = {id} AND tf = '{tf}'" + (f" AND period = {period}" if period else "")
    execute(
        session, f"DELETE FROM {table} WHERE {series} AND {time} = (SELECT min({time}) FROM {table} WHERE {series})"
    )
    (finding,) = findings(session, table)
    assert named([finding]) == [expected]
    assert finding.time == ask(session, f"SELECT min({time}) FROM {table} WHERE {series}")


@pytest.mark.parametrize("table", [leg.target for leg in SERIES])
def test_series_that_is_gone(session: Connection, table: str) -> None:
    """A series without any row is found, though its state says that it is done."""
    id, tf, period = expected = series_of(session, table)
    series = f"id = {id} AND tf = '{tf}'" + (f" AND period = {period}" if period else "")
    execute(session, f"DELETE FROM {table} WHERE {series}")
    (finding,) = findings(session, table)
    assert named([finding]) == [expected]
    assert finding.found == "no rows"


@pytest.mark.parametrize(("table", "tf"), [(BARS[1], "1W_CAL_US"), (BARS[2], "1M_CAL"), (EMAS[1], "1W_CAL_US")])
def test_series_that_should_not_be(session: Connection, table: str, tf: str) -> None:
    """Rows of an enabled timeframe that has not begun for an asset are too many."""
    period = "AND period = 1" if table in EMAS else ""
    copy(session, table, f"id = 2 AND tf = '{tf}' AND {time_of(table)} = '{MIDDLE}' {period}", id="3")
    assert named(checked(session)) == [(3, tf, 1 if table in EMAS else None)]


def test_hole_in_the_numbers(session: Connection) -> None:
    """Daily bars are numbered without a hole."""
    execute(session, f"UPDATE {DAILY} SET bar_seq = bar_seq + 1000 WHERE id = 2 AND bar_seq > 30")
    execute(session, f"UPDATE {DAILY} SET bar_seq = bar_seq - 999 WHERE id = 2 AND bar_seq > 1000")
    (finding,) = findings(session, DAILY)
    assert finding == Finding(table=DAILY, id=2, expected="bar_seq 1 to 61", found="bar_seq 1 to 62")
