"""Arrays through binary COPY and back, judged by what psycopg2 reads row by row."""

from __future__ import annotations

import uuid
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import psycopg2.errors
import pytest
from databases import execute
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import (
    URL,
    BigInteger,
    Boolean,
    Column,
    Connection,
    Date,
    DateTime,
    Double,
    Integer,
    MetaData,
    Table,
    Text,
    text,
)

from refresh.core.rows import DAY, NULL_TEXT, TIME, Rows, count
from refresh.store import bulk
from refresh.store.database import connect, raw_cursor

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

TABLE = Table(
    "every_type",
    MetaData(),
    Column("small", Integer, nullable=False),
    Column("large", BigInteger, nullable=False),
    Column("price", Double),
    Column("flag", Boolean, nullable=False),
    Column("moment", DateTime(timezone=True)),
    Column("day", Date),
    Column("words", Text),
    Column("written", Integer, nullable=False, server_default=text("7")),
    prefixes=["TEMPORARY"],
)
NAMES = ("small", "large", "price", "flag", "moment", "day", "words")
INT_MIN, INT_MAX = -(2**31), 2**31 - 1
BIGINT_MIN, BIGINT_MAX = -(2**63), 2**63 - 1

Row = tuple[int, int, float | None, bool, datetime | None, date | None, str | None]

ROWS = st.lists(
    st.tuples(
        st.integers(INT_MIN, INT_MAX),
        st.integers(BIGINT_MIN, BIGINT_MAX),
        st.none() | st.floats(allow_nan=False),
        st.booleans(),
        st.none() | st.datetimes(timezones=st.just(UTC)),
        st.none() | st.dates(),
        st.none() | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40),
    ),
    max_size=30,
)


@pytest.fixture
def connection(database_url: str) -> Iterator[Connection]:
    """A transaction with an empty table that has a column of every type."""
    with connect(database_url) as engine, engine.connect() as connection:
        TABLE.create(connection)
        yield connection


def as_arrays(rows: Sequence[Row]) -> Rows:
    """Rows as columns, with NULL as columns write it."""
    columns = list(zip(*rows, strict=True)) or [()] * len(NAMES)
    small, large, price, flag, moment, day, words = columns
    return {
        "small": np.array(small, np.int32),
        "large": np.array(large, np.int64),
        "price": np.array(price, np.float64),
        "flag": np.array(flag, bool),
        "moment": np.array([time and time.replace(tzinfo=None) for time in moment], TIME),
        "day": np.array(day, DAY),
        "words": np.array(list(map(as_bytes, words)), "S"),
    }


def as_bytes(word: str | None) -> bytes:
    """Text as columns hold it."""
    return NULL_TEXT if word is None else word.encode()


def single_row(**changed: Any) -> Rows:
    """A single row without a NULL, except for what is changed."""
    row: Row = (1, 2, 3.0, True, datetime(2024, 1, 2, 3, tzinfo=UTC), date(2024, 1, 2), "word")
    return as_arrays([row]) | changed


def repeated(times: int) -> Rows:
    """The same row several times."""
    return {name: np.repeat(column, times) for name, column in single_row().items()}


def row_wise(connection: Connection, columns: str = ", ".join(NAMES)) -> list[tuple[Any, ...]]:
    """What the table holds as psycopg2 reads it: a Python value per field."""
    with raw_cursor(connection) as cursor:
        cursor.execute(f"SELECT {columns} FROM every_type ORDER BY ctid")
        return list(cursor.fetchall())


def read_back(connection: Connection, names: Sequence[str] = NAMES) -> Rows:
    """What the table holds as arrays."""
    query = "SELECT * FROM every_type ORDER BY ctid"
    fields = bulk.fields(TABLE, names)
    if "words" in names:
        fields |= bulk.text_widths(connection, query, {}, ["words"])
    return bulk.read(connection, query, {}, fields)


def assert_same(rows: Rows, expected: Rows) -> None:
    """Columns of the same types and values; NaN equals NaN and NaT equals NaT, 0.0 differs from -0.0."""
    assert list(rows) == list(expected)
    for name, column in expected.items():
        np.testing.assert_array_equal(rows[name], column)
        assert rows[name].dtype.kind == column.dtype.kind
        if column.dtype.kind == "f":
            np.testing.assert_array_equal(np.signbit(rows[name]), np.signbit(column))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=ROWS)
def test_round_trip(connection: Connection, rows: list[Row]) -> None:
    """Values and NULLs of every type arrive as psycopg2 sees them, and come back as they were written."""
    connection.execute(text("TRUNCATE every_type"))
    arrays = as_arrays(rows)
    assert bulk.write(connection, TABLE, arrays) == len(rows)
    assert row_wise(connection) == rows
    assert_same(read_back(connection), arrays)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=ROWS)
def test_reads_what_others_wrote(connection: Connection, rows: list[Row]) -> None:
    """Rows that psycopg2 inserted one by one, where -0.0 is 0, come back as the same arrays."""
    arrays = as_arrays(rows)
    arrays["price"] += 0.0  # turns -0.0 into 0.0
    connection.execute(text("TRUNCATE every_type"))
    with raw_cursor(connection) as cursor:
        cursor.executemany(f"INSERT INTO every_type ({', '.join(NAMES)}) VALUES (%s, %s, %s, %s, %s, %s, %s)", rows)
    assert_same(read_back(connection), arrays)


def test_nan_is_null(connection: Connection) -> None:
    """In a plain array NaN means NULL, and that is what the table holds."""
    bulk.write(connection, TABLE, single_row(price=np.array([np.nan])))
    assert row_wise(connection, "price IS NULL") == [(True,)]


def test_masked_is_null_and_nan_is_nan(connection: Connection) -> None:
    """In a masked array only the masked values are NULL; a NaN stays NaN."""
    price = np.ma.MaskedArray([1.5, np.nan, np.nan, 2.5], mask=[False, False, True, True])
    bulk.write(connection, TABLE, repeated(4) | {"price": price})
    kinds = "CASE WHEN price IS NULL THEN 'null' WHEN price = 'NaN' THEN 'nan' ELSE price::text END"
    assert row_wise(connection, kinds) == [("1.5",), ("nan",), ("null",), ("null",)]


def test_masked_array_without_a_mask(connection: Connection) -> None:
    """A masked array that masks nothing holds no NULL."""
    bulk.write(connection, TABLE, single_row(price=np.ma.MaskedArray([np.nan])))
    assert row_wise(connection, "price IS NULL") == [(False,)]


def test_empty_text_is_not_null(connection: Connection) -> None:
    """Empty text, NULL and a space stay different, written and read."""
    words = np.array([b"", NULL_TEXT, b" "])
    bulk.write(connection, TABLE, repeated(3) | {"words": words})
    assert row_wise(connection, "words") == [("",), (None,), (" ",)]
    assert read_back(connection, ["words"])["words"].tolist() == words.tolist()


def test_only_nulls_and_empty_text(connection: Connection) -> None:
    """A column that holds only empty text is written and read."""
    bulk.write(connection, TABLE, single_row(words=np.array([b""])))
    assert read_back(connection, ["words"])["words"].tolist() == [b""]


def test_text_as_wide_as_its_longest_value(connection: Connection) -> None:
    """Widths count bytes and not letters, so that no character is cut in two."""
    words = np.array([NULL_TEXT, ("₿" * 30 + "ü").encode()])
    bulk.write(connection, TABLE, repeated(2) | {"words": words})
    assert bulk.text_widths(connection, "SELECT words FROM every_type", {}, ["words"])["words"].width == 92
    assert read_back(connection, ["words"])["words"].tolist() == words.tolist()


@pytest.mark.parametrize("sign", ["x", "\u00fc", "\U0001f6a8"])
def test_widest_text_takes_no_room_of_the_others(connection: Connection, sign: str) -> None:
    """Of a huge text the beginning is read, in whole characters; others are read whole, and no array is wider."""
    size = len(sign.encode())
    whole = sign * (bulk.LONGEST_TEXT // size)
    values = {"huge": sign * 2_000_000, "whole": whole}
    query = "SELECT unnest(ARRAY[CAST(:huge AS text), CAST(:whole AS text), 'short', NULL]) AS words"
    widths = bulk.text_widths(connection, query, values, ["words"])
    words = bulk.read(connection, query, values, widths)["words"]
    assert words.dtype.itemsize == bulk.LONGEST_TEXT
    assert words.tolist() == [(sign * 256).encode(), whole.encode(), b"short", NULL_TEXT]


@pytest.mark.parametrize("words", ["Zürich", "Ã¼"])
def test_database_of_another_encoding(server: URL, words: str) -> None:
    """Text beyond ASCII is the same text in a database that does not store UTF-8."""
    name = f"latin_{uuid.uuid4().hex}"
    execute(server, f"CREATE DATABASE {name} ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
    url = server.set(database=name).render_as_string(hide_password=False)
    with connect(url) as engine, engine.connect() as connection:
        TABLE.create(connection)
        bulk.write(connection, TABLE, single_row(words=np.array([words.encode()])))
        assert row_wise(connection, "words") == [(words,)]
        assert read_back(connection, ["words"])["words"].tolist() == [words.encode()]
    execute(server, f"DROP DATABASE {name} WITH (FORCE)")


def test_more_rows_than_one_block(connection: Connection) -> None:
    """Rows of several blocks are written completely, with NULLs and long text in any block."""
    size = 2 * bulk.BLOCK_ROWS + 1
    index = np.arange(size)
    rows = {
        "small": index.astype(np.int32),
        "large": index * 10**12,
        "price": np.where(index % 7 == 0, np.nan, index / 3),
        "flag": index % 2 == 0,
        "moment": np.where(index % 5 == 0, np.datetime64("NaT"), index.astype(TIME)),
        "day": index.astype(DAY),
        "words": np.where(index % 3 == 0, NULL_TEXT, index.astype("S")),
    }
    assert bulk.write(connection, TABLE, rows) == size
    stored = row_wise(connection, "small, large, price, words")
    assert len(stored) == size
    for number in (0, 1, bulk.BLOCK_ROWS - 1, bulk.BLOCK_ROWS, size - 1):
        price = number / 3 if number % 7 else None
        words = str(number) if number % 3 else None
        assert stored[number] == (number, number * 10**12, price, words)
    assert_same(read_back(connection), rows)


def test_no_rows(connection: Connection) -> None:
    """No rows are written as none, and an empty table is read as empty arrays of the right types."""
    assert bulk.write(connection, TABLE, as_arrays([])) == 0
    assert row_wise(connection) == []
    assert_same(read_back(connection), as_arrays([]))


def test_no_columns(connection: Connection) -> None:
    """Rows without any column count as no rows."""
    assert bulk.write(connection, TABLE, {}) == 0


def test_columns_left_out_take_their_defaults(connection: Connection) -> None:
    """A column that is not given gets its default."""
    bulk.write(connection, TABLE, {name: column for name, column in single_row().items() if name != "words"})
    assert row_wise(connection, "words, written") == [(None, 7)]


@pytest.mark.parametrize("value", ["infinity", "-infinity"])
def test_infinite_times_are_absent(connection: Connection, value: str) -> None:
    """Infinite times arrive as NaT."""
    query = "SELECT CAST(:value AS timestamptz) AS moment, CAST(:value AS date) AS day"
    rows = bulk.read(connection, query, {"value": value}, bulk.fields(TABLE, ["moment", "day"]))
    assert np.isnat(rows["moment"]).all()
    assert np.isnat(rows["day"]).all()
    assert count(rows) == 1


@pytest.mark.parametrize(
    ("value", "moment"),
    [
        ("4713-01-01 00:00:00.000001Z BC", "-4712-01-01T00:00:00.000001"),
        ("0001-01-01 00:00:00Z", "0001-01-01T00:00:00"),
        ("1969-12-31 23:59:59.999999Z", "1969-12-31T23:59:59.999999"),
        ("1999-12-31 23:59:59.999999Z", "1999-12-31T23:59:59.999999"),
        ("9999-12-31 23:59:59.999999Z", "9999-12-31T23:59:59.999999"),
        ("294246-12-31 23:59:59.999999Z", "294246-12-31T23:59:59.999999"),
    ],
)
def test_extreme_times(connection: Connection, value: str, moment: str) -> None:
    """Times around both epochs and at the ends of the calendar are exact, read and written."""
    query = "SELECT CAST(:value AS timestamptz) AS moment, CAST(:value AS timestamptz)::date AS day"
    rows = bulk.read(connection, query, {"value": value}, bulk.fields(TABLE, ["moment", "day"]))
    assert rows["moment"][0] == np.datetime64(moment, "us")
    assert rows["day"][0] == np.datetime64(moment, "D")
    bulk.write(connection, TABLE, single_row() | rows)
    with raw_cursor(connection) as cursor:
        cursor.execute("SELECT moment = %s, day = %s::timestamptz::date FROM every_type", [value, value])
        assert cursor.fetchone() == (True, True)


def test_extreme_numbers(connection: Connection) -> None:
    """The bounds of integers, and the largest, smallest, infinite and signed floats are exact."""
    price = np.array([np.inf, -np.inf, -0.0, 5e-324, 1.7976931348623157e308])
    small = np.array([INT_MIN, INT_MAX, 0, -1, 1], np.int32)
    large = np.array([BIGINT_MIN, BIGINT_MAX, 0, -1, 1])
    bulk.write(connection, TABLE, repeated(5) | {"small": small, "large": large, "price": price})
    assert row_wise(connection, "small, large") == list(zip(small.tolist(), large.tolist(), strict=True))
    texts = [row[0] for row in row_wise(connection, "price::text")]
    assert texts == ["Infinity", "-Infinity", "-0", "5e-324", f"{price[4]}"]
    assert_same(read_back(connection, ["price"]), {"price": price})


@pytest.mark.parametrize("name", ["small", "large", "flag"])
def test_null_that_cannot_be_read(connection: Connection, name: str) -> None:
    """A NULL in an integer or a boolean is an error, never another value."""
    kind = {"small": "int", "large": "bigint", "flag": "bool"}[name]
    query = f"SELECT * FROM (VALUES (NULL::{kind}), (NULL)) AS v({name})"
    with pytest.raises(ValueError, match=f"column '{name}' did not arrive as"):
        bulk.read(connection, query, {}, bulk.fields(TABLE, [name]))


def test_null_that_may_not_be_written(connection: Connection) -> None:
    """The table refuses a NULL in a column that forbids it."""
    connection.execute(text("ALTER TABLE every_type ALTER COLUMN price SET NOT NULL"))
    with pytest.raises(psycopg2.errors.NotNullViolation, match='"price"'):
        bulk.write(connection, TABLE, single_row(price=np.array([np.nan])))


def test_parameters_are_bound(connection: Connection) -> None:
    """Values arrive as values, whatever quotes, colons and percent signs they hold."""
    odd = """it's 100% "so" \\ :odd ₿"""
    rows = bulk.read(connection, "SELECT CAST(:odd AS text) AS words", {"odd": odd}, {"words": bulk.LABEL})
    assert rows["words"].tolist() == [odd.encode()]
    assert count(rows) == 1


def test_query_keeps_its_own_signs(connection: Connection) -> None:
    """Casts, percent signs and quoted names of a query stay what they are beside its parameters."""
    query = """SELECT 5::int % :divisor AS small, '100%'::text || :word AS "words" """
    fields = {"small": bulk.INT, "words": bulk.LABEL}
    rows = bulk.read(connection, query, {"divisor": 3, "word": "!"}, fields)
    assert (rows["small"].tolist(), rows["words"].tolist()) == ([2], [b"100%!"])
