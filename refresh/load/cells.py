"""One column of text -> one array: the numbers, ids and names that its cells contain.

Knows notations, decimal commas among them; refuses to know files, lines and prices. An unclear cell is never guessed:
its index is returned with the reason.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache, partial
from typing import TypeVar

import numpy as np

from refresh.core.rows import NULL_TEXT, Array

NULLS = frozenset({"", "-", "null", "na", "n/a", "nan", "none"})
"""Texts of an empty cell, in any case. NaN is one of them: PostgreSQL stores it as a value, and it spoils sums."""

IDS = range(1, 2**31)

Texts = Sequence[str]
"""The cells of a column, or of a block of it, as written."""

Wrong = dict[int, str]
"""Index in the column -> why that cell cannot be read."""

Column = tuple[Array, Wrong]
"""The values of a column, and its wrong cells."""

T = TypeVar("T")


class NumberForm(Enum):
    """How a column writes numbers; the values are examples."""

    PLAIN = "1234.5"
    GROUPED = "1,234.5"
    DECIMAL_COMMA = "1.234,5"


class CellError(ValueError):
    """A cell cannot be read; the message is the reason."""


_PLAIN = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?|[+-]?inf(inity)?", re.IGNORECASE | re.ASCII)
_COMMAS = {
    NumberForm.GROUPED: re.compile(
        r"[+-]?(([1-9]\d{0,2}(,\d{3})+|\d+)(\.\d*)?|\.\d+)(e[+-]?\d+)?", re.IGNORECASE | re.ASCII
    ),
    NumberForm.DECIMAL_COMMA: re.compile(
        r"[+-]?(([1-9]\d{0,2}(\.\d{3})+|\d+)(,\d*)?|,\d+)(e[+-]?\d+)?", re.IGNORECASE | re.ASCII
    ),
}
_TO_PLAIN = {
    NumberForm.GROUPED: str.maketrans("", "", ","),
    NumberForm.DECIMAL_COMMA: str.maketrans(",", ".", "."),
}
_NUMBER_BYTES = b"0123456789+-.eE "

_ID = re.compile(r"(\d{1,10})(\.0*)?", re.ASCII)
LONGEST_NAME = 1_000
"""Bytes. In a block of lines every name takes the room of the longest."""
_CACHED_TEXTS = 4096  # thousands of lines repeat the same ids and names
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_NOT_UTF8 = "\N{REPLACEMENT CHARACTER}"


@dataclass(slots=True)
class CommaEvidence:
    """What the cells of a column show about its commas, block by block."""

    forms: frozenset[NumberForm] = frozenset(_COMMAS)
    has_commas: bool = False

    def add_numbers(self, column: Texts) -> None:
        """Take in more cells: a cell that fits only one comma form rules out the other."""
        text = "".join(column)
        self.has_commas = self.has_commas or "," in text
        may_group_by_point = "." in text and NumberForm.DECIMAL_COMMA in self.forms
        if "," not in text and not may_group_by_point:
            return
        for cell in column:
            fitting = {form for form, pattern in _COMMAS.items() if pattern.fullmatch(cell.strip())}
            if len(fitting) == 1:
                self.forms &= fitting

    @property
    def form(self) -> NumberForm:
        """The form of the column: plain without commas, and plain if their meaning stays open."""
        is_settled = self.has_commas and len(self.forms) == 1
        return next(iter(self.forms)) if is_settled else NumberForm.PLAIN


def read_numbers(column: Texts, form: NumberForm) -> Column:
    """The column as float64, NaN for NULL; infinite, negative and zero numbers are numbers."""
    if form is NumberForm.PLAIN and _has_only_number_bytes(column):
        with suppress(ValueError):  # an empty or wrong cell: read cell by cell below
            numbers = map(float, column)
            return np.fromiter(numbers, np.float64, len(column)), {}
    values, wrong = read_cells(column, partial(_number, form=form), null=math.nan)
    return np.array(values, np.float64), wrong


def _has_only_number_bytes(column: Texts) -> bool:
    return not "".join(column).encode().translate(None, _NUMBER_BYTES)


def read_ids(column: Texts) -> Column:
    """The column as int32, 0 for a wrong cell. An empty cell is wrong too."""
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


def _number(text: str, form: NumberForm) -> float:
    if text.lower() in NULLS:
        return math.nan
    if form is not NumberForm.PLAIN and _COMMAS[form].fullmatch(text):
        text = text.translate(_TO_PLAIN[form])
    if _PLAIN.fullmatch(text):
        return float(text)
    if any(pattern.fullmatch(text) for pattern in _COMMAS.values()):
        raise CellError("its comma may group thousands or begin decimals, and the column does not show which")
    raise CellError("not a number")


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
