"""A reply of binary COPY becomes arrays while it arrives: the server works on the next rows meanwhile."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import numpy as np

from refresh.core.rows import DAY, TIME, Array, Rows
from refresh.store.wire import POSTGRES_EPOCH, POSTGRES_EPOCH_DAY, SIGNATURE, TRAILER, Field

_NAT = np.iinfo(np.int64).min


class Reply(io.RawIOBase):
    """The file that COPY writes to, in blocks that fit the cache of a processor, and the rows that have arrived."""

    def __init__(self, wanted: Mapping[str, Field]) -> None:
        self._wanted = wanted
        self._layout = _layout(wanted)
        self._blocks: list[Rows] = []
        self._rest = b""
        self._bytes_before_rows = len(SIGNATURE)
        self._error: ValueError | None = None

    def writable(self) -> bool:
        """It is written to."""
        return True

    def write(self, data: Any) -> int:
        """Decode what is complete. After a wrong row the rest is thrown away, so that the session can go on."""
        view = memoryview(data)
        if self._error is None:
            self._take_in(view)
        return len(view)

    def _take_in(self, data: memoryview) -> None:
        block = memoryview(self._rest + bytes(data)) if self._rest else data
        begin = min(self._bytes_before_rows, len(block))
        self._bytes_before_rows -= begin
        number = (len(block) - begin) // self._layout.itemsize
        if number:
            try:
                self._blocks.append(_decoded(np.frombuffer(block, self._layout, number, begin), self._wanted))
            except ValueError as error:
                self._error = error
        self._rest = bytes(block[begin + number * self._layout.itemsize :])

    def rows(self) -> Rows:
        """All rows, once they have arrived. Raises ``ValueError`` if a value is not as wide as it was asked for.

        Afterwards the reply is empty, so that one column at a time is in memory twice.
        """
        if self._error is None and self._rest != TRAILER:
            broken = self._rest.ljust(self._layout.itemsize, b"\0")
            self._error = _not_as_wide(np.frombuffer(broken, self._layout, 1), self._wanted)
        if self._error is not None:
            raise self._error
        if not self._blocks:
            return _decoded(np.empty(0, self._layout), self._wanted)
        if len(self._blocks) == 1:
            return self._blocks.pop()
        return {name: np.concatenate(self._taken(name)) for name in self._wanted}

    def _taken(self, name: str) -> list[Array]:
        return [block.pop(name) for block in self._blocks]


def _layout(wanted: Mapping[str, Field]) -> np.dtype[Any]:
    """The type of a row: the number of its fields, then per field its size and its bytes."""
    parts: list[tuple[str, Any]] = [("(fields)", ">i2")]
    for name, field in wanted.items():
        parts += [(f"{name} size", ">i4"), (name, field.wire)]
    return np.dtype(parts)


def _decoded(rows: Array, wanted: Mapping[str, Field]) -> Rows:
    for name, field in wanted.items():
        if (rows[f"{name} size"] != field.width).any():
            raise _not_as_wide(rows, wanted)
    return {name: _native(rows[name], field) for name, field in wanted.items()}


def _not_as_wide(rows: Array, wanted: Mapping[str, Field]) -> ValueError:
    """The error of the first value that has another width, as NULL does; what comes after it has moved."""
    is_other = np.stack([rows[f"{name} size"] != field.width for name, field in wanted.items()], axis=1)
    name, field = list(wanted.items())[int(np.argmax(is_other)) % len(wanted)]
    return ValueError(f"column {name!r} did not arrive as {field.width} bytes in every row")


def _native(column: Array, field: Field) -> Array:
    """The values of a column, in memory of their own."""
    if field.native == TIME:
        return _since_1970(column, POSTGRES_EPOCH).view(TIME)
    if field.native == DAY:
        return _since_1970(column, POSTGRES_EPOCH_DAY).view(DAY)
    kind, _, width = field.native.partition(" ")
    if kind == "bits":
        return np.unpackbits(column, axis=1, bitorder="little", count=int(width)).astype(bool)
    if column.dtype.names:
        return column["items"]["value"].astype(field.native)
    return column.astype(field.native)


def _since_1970(column: Array, epoch: int) -> Array:
    """Times since 2000 as times since 1970. Infinite ones, which have the least and the largest number, are NaT."""
    values = column.astype(np.int64)
    bounds = np.iinfo(column.dtype)
    is_infinite = (values == bounds.min) | (values == bounds.max)
    values += epoch
    values[is_infinite] = _NAT
    return values
