"""One column of text -> one array: the ids and names that its cells contain, and what its readers have in common.

Refuses to know files, lines and prices. An unclear cell is never guessed: its index is returned with the reason.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import lru_cache
from typing import TypeVar

import numpy as np

from refresh.core.rows import NULL_TEXT, Array

NULLS = frozenset({"", "-", "--", "null", "na", "n/a", "#n/a", "nan", "none", "nil", "n/d"})
"""Texts of an empty cell, in any case. NaN is one of them: PostgreSQL stores it as a value, and it spoils sums."""

IDS = range(1, 2**31)

Texts = Sequence[str]
"""The cells of a column, or of a block of it, as written."""

Wrong = dict[int, str]
"""Index in the column -> why that cell cannot be read."""

Column = tuple[Array, Wrong]
"""The values of a column, and its wrong cells."""

T = TypeVar("T")


class CellError(ValueError):
    """A cell cannot be read; the message is the reason."""


_ID = re.compile(r"(\d{1,10})(\.0*)?", re.ASCII)
LONGEST_NAME = 1_000
"""Bytes. In a block of lines every name takes the room of the longest."""
_CACHED_TEXTS = 4096  # thousands of lines repeat the same ids and names
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_NOT_UTF8 = "\N{REPLACEMENT CHARACTER}"


def read_ids(column: Texts) -> Column:
    """The column as int32, 0 for a wrong cell. An empty cell is wrong too."""
    joined = "".join(column)
    if joined.isascii() and joined.isdigit() and all(column):  # as nearly always
        with suppress(ValueError):  # more digits than Python reads: read cell by cell below
            numbers = np.fromiter(map(int, column), np.object_, len(column))
            if min(numbers) in IDS and max(numbers) in IDS:
                return numbers.astype(np.int32), {}
    values, wrong = read_cells(column, _id, null=0)
    return np.array(values, np.int32), wrong


def read_names(column: Texts) -> Column:
    """The column as UTF-8 bytes, NULL_TEXT for an empty cell. "NA" and "null" may be symbols and are kept."""
    values, wrong = read_cells(column, _name, null=NULL_TEXT)
    return np.array(values, np.bytes_), wrong


def read_cells(column: Texts, read: Callable[[str], T], *, null: T) -> tuple[list[T], Wrong]:
    """The cells read one by one, ``null`` for the wrong ones."""
    values: list[T] = []
    wrong: Wrong = {}
    for index, text in enumerate(column):
        try:
            values.append(read(text.strip()))
        except CellError as error:
            values.append(null)
            wrong[index] = str(error)
    return values, wrong


@lru_cache(_CACHED_TEXTS)
def _id(text: str) -> int:
    if text.lower() in NULLS:
        raise CellError("is missing")
    match = _ID.fullmatch(text)
    if not match or int(match[1]) not in IDS:
        raise CellError(f"not an asset id, a whole number from {IDS[0]} to {IDS[-1]}")
    return int(match[1])


@lru_cache(_CACHED_TEXTS)
def _name(text: str) -> bytes:
    if _NOT_UTF8 in text:
        raise CellError("not UTF-8 text")
    if _CONTROL.search(text):
        raise CellError("contains a control character")
    name = text.encode()
    if len(name) > LONGEST_NAME:
        raise CellError(f"longer than {LONGEST_NAME:,} bytes")
    return name or NULL_TEXT
