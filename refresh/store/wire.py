"""The bytes of binary COPY: how columns are asked for, and how arrays are encoded. ``replies`` decodes them.

A reply has every column NOT NULL and of fixed width, made so in SQL, so that its bytes are those of a numpy array. Rows
are encoded with all fields present, then the bytes of NULL fields are masked out.

A column of lists is a matrix, a row of it per row of the table; NaN is NULL, and a list ends with its last number.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from sqlalchemy import BigInteger, Boolean, Date, DateTime, Double, Integer, Table, Text
from sqlalchemy.types import TypeEngine

from refresh.core.rows import DAY, NULL_TEXT, TIME, Array, Rows, count, take

SIGNATURE = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER = b"\xff\xff"
BLOCK_ROWS, BLOCK_MATRIX_ROWS = 512, 64
"""A block fits the buffer of a local socket: the server works on it while the next one is encoded."""
POSTGRES_EPOCH = 946_684_800_000_000
"""2000-01-01 in microseconds since 1970."""
POSTGRES_EPOCH_DAY = 10_957


@dataclass(frozen=True, slots=True)
class Field:
    """How a column is transferred: the big-endian type of its bytes, SQL that makes it NOT NULL, and its numpy type."""

    wire: Any
    select: str
    native: str

    @property
    def width(self) -> int:
        """Bytes of a value that is not NULL."""
        return int(np.dtype(self.wire).itemsize)


INT = Field(">i4", "{0}::int4", "i4")
BIGINT = Field(">i8", "{0}::int8", "i8")
FLOAT = Field(">f8", "coalesce({0}::float8, 'NaN')", "f8")
BOOL = Field("i1", "{0}", "?")
TIMESTAMP = Field(">i8", "coalesce({0}::timestamptz, '-infinity')", TIME)
DATE = Field(">i4", "coalesce({0}::date, '-infinity')", DAY)

ADDRESS = Field("V6", "{0}", "V6")
"""The position of a row version in its table, ``ctid``: the fastest way to it in the transaction that read it."""


def places(addresses: Array) -> Array:
    """The page of each address, and the number of the row in it."""
    return addresses.view([("page", ">u4"), ("number", ">u2")])


def text_field(width: int) -> Field:
    """Text of at most ``width`` bytes, padded with zero bytes when it is read."""
    value = r"coalesce(convert_to({0}::text, 'UTF8'), '\xff'::bytea)"
    return Field(f"S{width}", f"substr({value} || decode(repeat('00', {width}), 'hex'), 1, {width})", f"S{width}")


LABEL = text_field(32)
"""A timeframe's label or another short name."""

_LIST_HEAD = np.dtype(
    [("dimensions", ">i4"), ("has_null", ">i4"), ("type", ">i4"), ("length", ">i4"), ("first", ">i4")]
)
_ITEM, _FLOAT8 = np.dtype([("size", ">i4"), ("value", ">f8")]), 701  # the number of the type


def floats_field(width: int, absent: str = "NaN") -> Field:
    """The first ``width`` numbers of a list, with ``absent`` for NULL; an array of another form has none."""
    is_list = "array_ndims({0}) = 1 AND array_lower({0}, 1) = 1"
    items = f"""CASE WHEN {is_list} AND cardinality({{0}}) <= {width}
                THEN {{0}} || array_fill(NULL::float8, ARRAY[{width} - cardinality({{0}})])
                WHEN {is_list} THEN ({{0}})[1 : {width}] ELSE array_fill(NULL::float8, ARRAY[{width}]) END"""
    wire = np.dtype([("head", _LIST_HEAD), ("items", _ITEM, (width,))])
    return Field(wire, f"array_replace({items}, NULL, '{absent}')", "f8")


def bits_field(width: int) -> Field:
    """At most ``width`` bits in bytes, the lowest first."""
    size = -(-width // 8)
    select = f"substr({{0}} || decode(repeat('00', {size}), 'hex'), 1, {size})"
    return Field(np.dtype(("u1", (size,))), select, f"bits {width}")


def matrix_field(like: Array) -> Field:
    """The field of a matrix with as many columns as this one: of bits, or of lists of numbers."""
    width = like.shape[1]
    return bits_field(width) if like.dtype.kind == "b" else floats_field(width)


_OF_TYPE: dict[type[TypeEngine[Any]], Field] = {
    Integer: INT,
    BigInteger: BIGINT,
    Double: FLOAT,
    Boolean: BOOL,
    DateTime: TIMESTAMP,
    Date: DATE,
    Text: LABEL,
}


def fields(table: Table, names: Iterable[str]) -> dict[str, Field]:
    """The fields of a table's columns, by name."""
    return {name: _OF_TYPE[type(table.columns[name].type)] for name in names}


def fields_as_declared(table: Table, names: Iterable[str]) -> dict[str, Field]:
    """The same, of a table that has no NULL where it declares none: such columns are sent as they are."""
    asked = fields(table, names)
    return {name: _as_declared(field, table.columns[name].nullable) for name, field in asked.items()}


def _as_declared(field: Field, may_be_null: bool | None) -> Field:
    return field if may_be_null or field.native.startswith("S") else replace(field, select="{0}")


def encoded(table: Table, rows: Rows) -> Iterator[bytes]:
    """The bytes of a binary COPY into some columns of a table, block by block."""
    yield SIGNATURE
    at_once = BLOCK_MATRIX_ROWS if any(column.ndim > 1 for column in rows.values()) else BLOCK_ROWS
    for begin in range(0, count(rows), at_once):
        yield _block(table, take(rows, slice(begin, begin + at_once)))
    yield TRAILER


@dataclass(frozen=True, kw_only=True, slots=True)
class _Bytes:
    """The bytes of a column, (rows, width), and the size of each value, -1 for NULL.

    ``used``: which bytes are sent, (rows, width); ``None``: all.
    """

    values: Array
    sizes: Array
    used: Array | None = None


def _block(table: Table, rows: Rows) -> bytes:
    """Rows as COPY's tuples: the number of fields, then per field its size and, if it is not NULL, its bytes."""
    columns = [_field_bytes(table, name, column) for name, column in rows.items()]
    width = 2 + sum(4 + column.values.shape[1] for column in columns)
    buffer = np.empty((count(rows), width), np.uint8)
    keep = np.ones(buffer.shape, bool)
    buffer[:, :2] = np.array([len(columns)], ">i2").view(np.uint8)
    start = 2
    for column in columns:
        body = slice(start + 4, start + 4 + column.values.shape[1])
        if column.used is not None:
            keep[:, body] = column.used
        buffer[:, start : body.start] = column.sizes.astype(">i4")[:, None].view(np.uint8)
        buffer[:, body] = column.values
        start = body.stop
    return buffer[keep].tobytes()


def _field_bytes(table: Table, name: str, column: Array) -> _Bytes:
    """The bytes of a column."""
    if column.dtype.kind == "S":
        width = max(column.dtype.itemsize, 1)
        sizes = np.where(column == NULL_TEXT, -1, np.char.str_len(column))
        values = np.ascontiguousarray(column).view(np.uint8).reshape(-1, width)
        return _Bytes(values=values, sizes=sizes, used=np.arange(width) < sizes[:, None])
    if column.ndim > 1:
        return _bits(column) if column.dtype.kind == "b" else _lists(column)
    field = _OF_TYPE[type(table.columns[name].type)]
    wire = _wire(column, field)[:, None].view(np.uint8)
    is_null = _is_null(column)
    if not is_null.any():
        return _Bytes(values=wire, sizes=np.full(len(column), field.width))
    return _Bytes(values=wire, sizes=np.where(is_null, -1, field.width), used=~is_null[:, None])


def _bits(column: Array) -> _Bytes:
    values = np.packbits(column, axis=1, bitorder="little")
    return _Bytes(values=values, sizes=np.full(len(values), values.shape[1]))


def _lists(column: Array) -> _Bytes:
    """Lists up to their last number: a head, then per item its size and, unless it is NULL, its bytes."""
    rows, width = column.shape
    is_number = ~np.isnan(column)
    lengths = np.where(is_number.any(axis=1), width - np.argmax(is_number[:, ::-1], axis=1), 0)
    is_inside = np.arange(width) < lengths[:, None]
    record = np.zeros(rows, np.dtype([("head", _LIST_HEAD), ("items", _ITEM, (width,))]))
    head = {"dimensions": 1, "has_null": is_inside.sum(axis=1) > is_number.sum(axis=1), "type": _FLOAT8, "first": 1}
    for name, value in {**head, "length": lengths}.items():
        record["head"][name] = value
    record["items"]["size"] = np.where(is_number, _ITEM["value"].itemsize, -1)
    record["items"]["value"] = column
    used = np.concatenate(
        [
            np.broadcast_to(lengths[:, None] > 0, (rows, _LIST_HEAD.itemsize)),
            np.stack([is_inside, is_number], axis=2).repeat([4, 8], axis=2).reshape(rows, -1),
        ],
        axis=1,
    )
    sizes = np.where(lengths > 0, used.sum(axis=1), -1)
    return _Bytes(values=record.view(np.uint8).reshape(rows, -1), sizes=sizes, used=used)


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
