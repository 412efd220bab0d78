"""Arrays into and out of PostgreSQL by binary COPY; no Python object per row. The bytes are made in ``wire``."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, Table, text
from sqlalchemy.dialects.postgresql.psycopg2 import PGDialect_psycopg2

from refresh.core.rows import Rows, count
from refresh.store.absent import completed
from refresh.store.database import raw_cursor
from refresh.store.names import qualified
from refresh.store.replies import Reply
from refresh.store.statements import quoted
from refresh.store.wire import (
    ADDRESS,
    BIGINT,
    BLOCK_ROWS,
    DATE,
    FLOAT,
    INT,
    LABEL,
    TIMESTAMP,
    Field,
    encoded,
    fields,
    fields_as_declared,
    text_field,
)

__all__ = [
    "ADDRESS", "BIGINT", "BLOCK_ROWS", "DATE", "FLOAT", "INT", "LABEL", "TIMESTAMP", "Field", "encoded",
    "fields", "fields_as_declared", "read", "read_selected", "selected", "text_field", "text_widths", "write",
]  # fmt: skip

BUFFER_BYTES = 1 << 20
LONGEST_TEXT = 1_024
"""The bytes of a text that is kept whole. In an array every text takes the room of the longest."""
_KEPT_CHARACTERS = LONGEST_TEXT // 4
_DIALECT = PGDialect_psycopg2()  # type: ignore[no-untyped-call]


def read(connection: Connection, query: str, parameters: Mapping[str, Any], wanted: Mapping[str, Field]) -> Rows:
    """The ``wanted`` columns of a query as arrays, in the query's order. ``query`` binds ``:name``."""
    return read_selected(connection, f"SELECT {selected(wanted, 'q')} FROM ({query}) AS q", parameters, wanted)


def selected(wanted: Mapping[str, Field], alias: str) -> str:
    """Columns of the table or query that ``alias`` names, as they have to be asked for."""
    return ", ".join(field.select.format(f'{alias}."{name}"') for name, field in wanted.items())


def read_selected(
    connection: Connection, query: str, parameters: Mapping[str, Any], wanted: Mapping[str, Field]
) -> Rows:
    """The same of a query that asks for its columns as ``selected`` does, which saves the server a step per row."""
    reply = Reply(wanted)
    with raw_cursor(connection) as cursor:
        statement = cursor.mogrify(_with_driver_names(completed(connection, query)), parameters).decode()
        with io.BufferedWriter(reply, BUFFER_BYTES) as arriving:  # of each row, no line of Python hears
            cursor.copy_expert(f"COPY ({statement}) TO STDOUT (FORMAT binary)", arriving)
    return reply.rows()


def _with_driver_names(query: str) -> str:
    """The query with its parameters spelt as psycopg2 binds them."""
    return str(text(query).compile(dialect=_DIALECT))


def text_widths(
    connection: Connection, query: str, parameters: Mapping[str, Any], names: Iterable[str]
) -> dict[str, Field]:
    """Fields wide enough for the longest value of each text column of a query, within ``LONGEST_TEXT``.

    Of a longer text they hold the first characters, whoever reads it, so that equal texts stay equal.
    """
    longest = 'coalesce(max(octet_length(convert_to("{0}", \'UTF8\'))), 0) AS "{0}"'
    lengths = ", ".join(map(longest.format, names))
    if not lengths:
        return {}
    row = connection.execute(text(f"SELECT {lengths} FROM ({query}) AS q"), parameters).mappings().one()
    return {name: _field_of_texts(width) for name, width in row.items()}


def _field_of_texts(longest: int) -> Field:
    if longest <= LONGEST_TEXT:
        return text_field(max(longest, 1))
    whole = "{0}::text"
    is_long = f"octet_length(convert_to({whole}, 'UTF8')) > {LONGEST_TEXT}"
    kept = f"(CASE WHEN {is_long} THEN left({whole}, {_KEPT_CHARACTERS}) ELSE {whole} END)"
    field = text_field(LONGEST_TEXT)
    return replace(field, select=field.select.replace("{0}", kept))


def write(connection: Connection, table: Table, rows: Rows) -> int:
    """Append rows to a table by COPY; columns that ``rows`` lacks get their defaults. Returns the number of rows."""
    if not count(rows):
        return 0
    statement = qualified(f"COPY {table.name} ({quoted(rows)}) FROM STDIN (FORMAT binary)")
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
