"""Rows that break a law, and states that contradict their table, are found without recomputing."""

from __future__ import annotations

import pytest
from refreshing import TARGETS
from sqlalchemy import Connection, Engine, text
from validate.whole_tables import (
    BARS,
    EMAS,
    MIDDLE,
    SERIES,
    checked,
    execute,
    findings,
    judge,
    middle_row,
    named,
    series_of,
    time_of,
)

from refresh.catalog import DAILY, Leg
from refresh.store.tables import TARGET_TABLES

VALUES = [(leg.target, average.name) for leg in SERIES for average in leg.averages]
NULLABLE = [(leg.target, average.name) for leg in SERIES for average in leg.averages[1:]]
"""The averages beside the first: a row without the first is none."""
LAWLESS = [(*column, value) for value in ("1000", "-1", "'NaN'", "'infinity'", "'-infinity'") for column in VALUES]


# Laws of single rows


@pytest.mark.parametrize("table", [DAILY, *BARS])
@pytest.mark.parametrize(
    "change",
    [
        "high = close - 0.5",
        "low = open + 0.5",
        "low = 0",
        "high = 'infinity'",
        "high = 'NaN'",
        "close = 'NaN'",
        "time_close = time_open - interval '1 second'",
    ],
)
def test_lawless_bar(session: Connection, table: str, change: str) -> None:
    """A bar that is not within its own high and low is found, and named with its time."""
    execute(session, f"UPDATE {table} SET {change} WHERE {middle_row(table)}")
    (finding,) = findings(session, table)
    assert named([finding]) == [series_of(session, table)]
    assert f"{finding.time:%Y-%m-%d}" == MIDDLE[:10]


@pytest.mark.parametrize(("table", "column", "value"), [*LAWLESS, *((*column, "NULL") for column in NULLABLE)])
def test_lawless_ema(session: Connection, table: str, column: str, value: str) -> None:
    """A mean of closes lies within them; whatever does not is found, and named with its time."""
    execute(session, f"UPDATE {table} SET {column} = {value} WHERE {middle_row(table)}")
    (finding,) = findings(session, table)
    assert named([finding]) == [series_of(session, table)]
    assert f"{finding.time:%Y-%m-%d}" == MIDDLE[:10]


@pytest.mark.parametrize("table", EMAS)
def test_row_without_its_average(session: Connection, table: str) -> None:
    """A row whose average is gone is one too few, whatever is left of it."""
    execute(session, f"UPDATE {table} SET ema = NULL WHERE {middle_row(table)}")
    (finding,) = findings(session, table)
    assert named([finding]) == [series_of(session, table)]
    rows = [int(side.split()[0]) for side in (finding.expected, finding.found)]
    assert rows[0] == rows[1] + 1


# What the state says


@pytest.mark.parametrize("leg", SERIES, ids=lambda leg: leg.target)
def test_state_of_a_series_has_another_end(session: Connection, leg: Leg) -> None:
    """The state of a series ends where its rows do."""
    tf = series_of(session, leg.target)[1]
    execute(session, f"UPDATE {leg.state} SET last_ts = last_ts - interval '1 day' WHERE id = 1 AND tf = '{tf}'")
    wrong = checked(session)
    assert {(finding.table, finding.id, finding.tf) for finding in wrong} == {(leg.target, 1, tf)}
    assert all("as the state says" in finding.expected for finding in wrong)


@pytest.mark.parametrize("table", TARGETS)
def test_rows_of_an_unknown_asset(engine: Engine, table: str) -> None:
    """Rows of an asset that neither the source nor the daily bars know are found in every table."""
    columns = ", ".join(f'"{column.name}"' for column in TARGET_TABLES[table].columns if column.name != "id")
    with engine.begin() as connection:
        connection.execute(text(f"INSERT INTO {table} (id, {columns}) SELECT 99, {columns} FROM {table} WHERE id = 1"))
    (finding,) = judge(engine).findings
    assert (finding.table, finding.id, finding.expected) == (table, 99, "no rows of an unknown asset")


@pytest.mark.parametrize(
    "kind",
    ["bars", "EMAs"],
)
def test_state_contradicts_its_table(engine: Engine, kind: str) -> None:
    """A table that does not end where its state says is a finding, and nothing else of the asset is judged."""
    tables = BARS if kind == "bars" else EMAS
    for table in tables:
        execute(engine, f"DELETE FROM {table} WHERE id = 1 AND {time_of(table)} > '2024-03-20Z'")
    validity = judge(engine, number=3)
    assert [(finding.table, finding.id) for finding in validity.findings] == [(table, 1) for table in tables]
    assert validity.pending == (1,)
    assert validity.recomputed == (2, 3)


def test_daily_state_has_another_beginning(session: Connection) -> None:
    """The daily state begins where the daily bars do."""
    execute(session, f"UPDATE {DAILY}_state SET daily_min_seen = daily_min_seen + interval '1 day' WHERE id = 2")
    (finding,) = checked(session)
    assert (finding.table, finding.id) == (DAILY, 2)
    assert finding.expected == (
        "rows from 2024-01-02 23:59:59.999000+00:00 to 2024-03-05 23:59:59.999000+00:00, as the state says"
    )


def test_daily_state_contradicts_the_daily_bars(engine: Engine) -> None:
    """Daily bars that do not end where the state says are a finding."""
    execute(engine, f"UPDATE {DAILY}_state SET last_src_ts = last_src_ts + interval '1 day' WHERE id = 2")
    assert (DAILY, 2) in {(finding.table, finding.id) for finding in judge(engine).findings}
