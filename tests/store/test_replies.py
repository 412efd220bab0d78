"""Replies of COPY that arrive in many blocks."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from sqlalchemy import Column, Connection, Date, DateTime, Double, Integer, MetaData, Table, text

from refresh.store import bulk
from refresh.store.database import connect

ROWS = 60_000
DECLARED = Table(
    "declared",
    MetaData(),
    Column("number", Integer, nullable=False),
    Column("third", Double),
    Column("price", Double, nullable=False),
    Column("moment", DateTime(timezone=True), nullable=False),
    Column("day", Date),
)
NAMES = [column.name for column in DECLARED.columns]
SERIES = f"""
    SELECT n AS number, CASE WHEN n % 3 = 0 THEN n::float8 END AS third, n / 7.0::float8 AS price,
           timestamptz '2000-01-01Z' + n * interval '1 second' AS moment,
           CASE WHEN n > 9 THEN date '2024-02-29' END AS day
    FROM generate_series(1, {ROWS}) AS n
"""


@pytest.fixture
def connection(database_url: str) -> Iterator[Connection]:
    """A transaction."""
    with connect(database_url) as engine, engine.connect() as connection:
        yield connection


def test_many_blocks(connection: Connection) -> None:
    """Rows that are cut by the ends of blocks are whole, and in their order."""
    asked = bulk.fields_as_declared(DECLARED, NAMES)
    assert sum(2 + 4 + field.width for field in asked.values()) * ROWS > 2 * bulk.BUFFER_BYTES
    rows = bulk.read(connection, SERIES, {}, asked)
    number = np.arange(1, ROWS + 1)
    np.testing.assert_array_equal(rows["number"], number)
    np.testing.assert_array_equal(rows["third"], np.where(number % 3, np.nan, number))
    np.testing.assert_array_equal(rows["price"], number / 7.0)
    seconds = np.datetime64("2000-01-01", "us") + number * np.timedelta64(1, "s")
    np.testing.assert_array_equal(rows["moment"], seconds)
    days = np.where(number > 9, np.datetime64("2024-02-29"), np.datetime64("NaT", "D"))
    np.testing.assert_array_equal(rows["day"], days)


@pytest.mark.parametrize("value", ["infinity", "-infinity"])
def test_infinite_times_as_they_are_sent(connection: Connection, value: str) -> None:
    """Times that may not be NULL are not touched in SQL, and infinite ones are NaT all the same."""
    query = "SELECT CAST(:value AS timestamptz) AS moment"
    rows = bulk.read(connection, query, {"value": value}, bulk.fields_as_declared(DECLARED, ["moment"]))
    assert np.isnat(rows["moment"]).tolist() == [True]


@pytest.mark.parametrize("rows", [1, 3 * ROWS])
def test_undeclared_null(connection: Connection, rows: int) -> None:
    """A NULL where none is declared is an error that names the column, in whichever block; the session can go on."""
    value = f"CASE WHEN n <> {rows // 2 + 1} THEN 1.5::float8 END"
    query = f"SELECT n AS number, {value} AS price FROM generate_series(1, {rows}) AS n"
    with pytest.raises(ValueError, match="column 'price' did not arrive as 8 bytes in every row"):
        bulk.read(connection, query, {}, bulk.fields_as_declared(DECLARED, ["number", "price"]))
    assert connection.execute(text("SELECT 1")).scalar() == 1
