"""Arrays into and out of PostgreSQL by binary COPY; no Python object per row.

Read: every selected column is made NOT NULL and of fixed width in SQL, so that the reply is one numpy buffer.
Write: rows are encoded with all fields present, then the bytes of NULL fields are masked out.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from sqlalchemy import BigInteger, Boolean, Connection, Date, DateTime, Double, Integer, Table, Text, text
from sqlalchemy.dialects.postgresql.psycopg2 import PGDialect_psycopg2
from sqlalchemy.types import TypeEngine, UserDefinedType

from refresh.core.rows import DAY, NULL_TEXT, TIME, Array, Rows, count, take
from refresh.store.absent import completed
from refresh.store.database import raw_cursor
from refresh.store.statements import quoted

SIGNATURE = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER = b"\xff\xff"
BLOCK_ROWS = 512
"""A block fits the buffer of a local socket: the server works on it while the next one is encoded."""
BUFFER_BYTES = 1 << 20
POSTGRES_EPOCH = 946_684_800_000_000
"""2000-01-01 in microseconds since 1970."""
POSTGRES_EPOCH_DAY = 10_957
ABSENT_TIME = np.iinfo(np.int64).min
ABSENT_DAY = np.iinfo(np.int32).min


@dataclass(frozen=True, slots=True)
class Field:
    """How a column is transferred: the big-endian type of its bytes, SQL that makes it NOT NULL, and its numpy type."""

    wire: str
    select: str
    native: str

    @property
    def width(self) -> int:
        """Bytes of a value that is not NULL."""
        return np.dtype(self.wire).itemsize


INT = Field(">i4", "{0}::int4", "i4")
BIGINT = Field(">i8", "{0}::int8", "i8")
FLOAT = Field(">f8", "coalesce({0}::float8, 'NaN')", "f8")
BOOL = Field("i1", "{0}", "?")
TIMESTAMP = Field(">i8", "case when isfinite({0}::timestamptz) then {0}::timestamptz else '-infinity' end", TIME)
DATE = Field(">i4", "case when isfinite({0}::date) then {0}::date else '-infinity' end", DAY)


_DIALECT = PGDialect_psycopg2()  # type: ignore[no-untyped-call]

ADDRESS = Field("V6", "{0}", "V6")
"""The position of a row version in its table, ``ctid``: the fastest way to it in the transaction that read it."""


class Address(UserDefinedType[object]):
    """The type of ``ctid``."""

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        """Its name in PostgreSQL."""
        return "tid"


def text_field(width: int) -> Field:
    """Text of at most ``width`` bytes, padded with zero bytes when it is read."""
    value = r"coalesce(convert_to({0}::text, 'UTF8'), '\xff'::bytea)"
    return Field(f"S{width}", f"substr({value} || decode(repeat('00', {width}), 'hex'), 1, {width})", f"S{width}")


LABEL = text_field(32)
"""A timeframe's label or another short name."""

_OF_TYPE: dict[type[TypeEngine[Any]], Field] = {
    Integer: INT,
    BigInteger: BIGINT,
    Double: FLOAT,
    Boolean: BOOL,
    DateTime: TIMESTAMP,
    Date: DATE,
    Text: LABEL,
    Address: ADDRESS,
}


def fields(table: Table, names: Iterable[str]) -> dict[str, Field]:
    """The fields of a table's columns, by name."""
    return {name: _OF_TYPE[type(table.columns[name].type)] for name in names}


def read(connection: Connection, query: str, parameters: Mapping[str, Any], wanted: Mapping[str, Field]) -> Rows:
    """The ``wanted`` columns of a query as arrays, in the query's order. ``query`` binds ``:name``."""
    columns = ", ".join(field.select.format(f'q."{name}"') for name, field in wanted.items())
    buffer = io.BytesIO()
    with raw_cursor(connection) as cursor:
        whole = completed(connection, f"SELECT {columns} FROM ({query}) AS q")
        statement = cursor.mogrify(_with_driver_names(whole), parameters).decode()
        cursor.copy_expert(f"COPY ({statement}) TO STDOUT (FORMAT binary)", buffer, BUFFER_BYTES)
    return _decode(buffer.getbuffer(), wanted)


def _with_driver_names(query: str) -> str:
    """The query with its parameters spelt as psycopg2 binds them."""
    return str(text(query).compile(dialect=_DIALECT))


def text_widths(
    connection: Connection, query: str, parameters: Mapping[str, Any], names: Iterable[str]
) -> dict[str, Field]:
    """Fields wide enough for the longest value of each text column of a query."""
    longest = 'coalesce(max(octet_length(convert_to("{0}", \'UTF8\'))), 0) AS "{0}"'
    lengths = ", ".join(map(longest.format, names))
    if not lengths:
        return {}
    row = connection.execute(text(f"SELECT {lengths} FROM ({query}) AS q"), parameters).mappings().one()
    return {name: text_field(max(width, 1)) for name, width in row.items()}


def _decode(buffer: memoryview, wanted: Mapping[str, Field]) -> Rows:
    layout: list[tuple[str, str]] = [("(fields)", ">i2")]
    for name, field in wanted.items():
        layout += [(f"{name} size", ">i4"), (name, field.wire)]
    row = np.dtype(layout)
    body = len(buffer) - len(SIGNATURE) - len(TRAILER)
    packed = np.frombuffer(buffer, row, body // row.itemsize, len(SIGNATURE))
    for name, field in wanted.items():
        if body % row.itemsize or (packed[f"{name} size"] != field.width).any():
            raise ValueError(f"column {name!r} did not arrive as {field.width} bytes in every row")
    return {name: _native(packed[name], field) for name, field in wanted.items()}


def _native(column: Array, field: Field) -> Array:
    if field.native == TIME:
        micros = column.astype(np.int64)
        return np.where(micros == ABSENT_TIME, ABSENT_TIME, micros + POSTGRES_EPOCH).view(TIME)
    if field.native == DAY:
        days = column.astype(np.int64)
        return np.where(days == ABSENT_DAY, ABSENT_TIME, days + POSTGRES_EPOCH_DAY).view(DAY)
    return column.astype(field.native)


def write(connection: Connection, table: Table, rows: Rows) -> int:
    """Append rows to a table by COPY; columns that ``rows`` lacks get their defaults. Returns the number of rows."""
    if not count(rows):
        return 0
    statement = f'COPY "{table.name}" ({quoted(rows)}) FROM STDIN (FORMAT binary)'
    with raw_cursor(connection) as cursor:
        cursor.copy_expert(statement, _Stream(encoded(table, rows)), BUFFER_BYTES)
    return count(rows)


class _Stream(io.RawIOBase):
    """Blocks of bytes as the file that COPY reads from."""

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks = blocks
        self._rest = memoryview(b"")

    def read(self, size: int = -1) -> bytes:
        """Up to ``size`` bytes of the current block; empty at the end."""
        if not self._rest:
            self._rest = memoryview(next(self._blocks, b""))
        part, self._rest = self._rest[:size], self._rest[size:]
        return bytes(part)


def encoded(table: Table, rows: Rows) -> Iterator[bytes]:
    """The bytes of a binary COPY into some columns of a table, block by block."""
    yield SIGNATURE
    for begin in range(0, count(rows), BLOCK_ROWS):
        yield _block(table, take(rows, slice(begin, begin + BLOCK_ROWS)))
    yield TRAILER


def _block(table: Table, rows: Rows) -> bytes:
    """Rows as COPY's tuples: the number of fields, then per field its size and, if it is not NULL, its bytes."""
    columns = [_field_bytes(table, name, column) for name, column in rows.items()]
    width = 2 + sum(4 + values.shape[1] for values, _ in columns)
    buffer = np.empty((count(rows), width), np.uint8)
    keep = np.ones(buffer.shape, bool)
    buffer[:, :2] = np.array([len(columns)], ">i2").view(np.uint8)
    start = 2
    for values, used in columns:
        body = slice(start + 4, start + 4 + values.shape[1])
        if used is None:
            sizes = np.full(count(rows), values.shape[1])
        else:
            sizes = used
            keep[:, body] = np.arange(values.shape[1]) < used[:, None]
        buffer[:, start : body.start] = sizes.astype(">i4")[:, None].view(np.uint8)
        buffer[:, body] = values
        start = body.stop
    return buffer[keep].tobytes()


def _field_bytes(table: Table, name: str, column: Array) -> tuple[Array, Array | None]:
    """The bytes of a column, (rows, width), and how many each row uses: -1 for NULL; ``None``: all are used."""
    if column.dtype.kind == "S":
        width = max(column.dtype.itemsize, 1)
        used = np.where(column == NULL_TEXT, -1, np.char.str_len(column))
        return np.ascontiguousarray(column).view(np.uint8).reshape(-1, width), used
    field = _OF_TYPE[type(table.columns[name].type)]
    wire = _wire(column, field)[:, None].view(np.uint8)
    is_null = _is_null(column)
    if not is_null.any():
        return wire, None
    return wire, np.where(is_null, -1, field.width)


def _is_null(column: Array) -> Array:
    if isinstance(column, np.ma.MaskedArray):
        return np.ma.getmaskarray(column)
    if column.dtype.kind == "f":
        return np.isnan(column)
    if column.dtype.kind == "M":
        return np.isnat(column)
    return np.zeros(len(column), bool)


def _wire(column: Array, field: Field) -> Array:
    values = np.ma.getdata(column)
    if field is TIMESTAMP:
        values = values.astype(TIME).view(np.int64) - POSTGRES_EPOCH
    elif field is DATE:
        values = np.where(np.isnat(values), 0, values.astype(DAY).view(np.int64) - POSTGRES_EPOCH_DAY)
    return np.ascontiguousarray(values.astype(field.wire))
