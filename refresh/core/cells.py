"""One column of text -> one array: which numbers, ids and names its cells say.

Knows notations, decimal commas among them; knows nothing of files, lines or prices. A cell that cannot be understood is
never guessed at: its place comes back with the reason.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Sequence
from enum import Enum
from functools import lru_cache, partial
from typing import TypeVar

import numpy as np

from refresh.core.rows import NULL_TEXT, Array

NULLS = frozenset({"", "-", "null", "na", "n/a", "nan", "none"})
"""What an empty cell may say, in any case. NaN among them: to PostgreSQL it is a value, and poisons sums."""

IDS = range(1, 2**31)

Wrong = dict[int, str]
"""Place in the column -> why that cell cannot be understood."""

T = TypeVar("T")


class NumberForm(Enum):
    """How a column writes numbers; the values show it."""

    PLAIN = "1234.5"
    GROUPED = "1,234.5"
    DECIMAL_COMMA = "1.234,5"


COMMA_FORMS = frozenset({NumberForm.GROUPED, NumberForm.DECIMAL_COMMA})


class CellError(ValueError):
    """One cell cannot be understood; the message is the reason."""


_PLAIN = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?|[+-]?inf(inity)?", re.IGNORECASE | re.ASCII)
_COMMAS = {
    NumberForm.GROUPED: re.compile(
        r"[+-]?(([1-9]\d{0,2}(,\d{3})+|\d+)(\.\d*)?|\.\d+)(e[+-]?\d+)?", re.IGNORECASE | re.ASCII
    ),
    NumberForm.DECIMAL_COMMA: re.compile(
        r"[+-]?(([1-9]\d{0,2}(\.\d{3})+|\d+)(,\d*)?|,\d+)(e[+-]?\d+)?", re.IGNORECASE | re.ASCII
    ),
}
_TO_PLAIN = {NumberForm.GROUPED: str.maketrans("", "", ","), NumberForm.DECIMAL_COMMA: str.maketrans(",", ".", ".")}
_NUMBER_BYTES = b"0123456789+-.eE "

_ID = re.compile(r"(\d{1,10})(\.0*)?", re.ASCII)
_REMEMBERED = 4096  # ids and names stand in thousands of lines each
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_NOT_UTF8 = "\N{REPLACEMENT CHARACTER}"


def has_comma(column: Sequence[str]) -> bool:
    """Whether any cell has a comma, so that the form of the column matters."""
    return "," in "".join(column)


def narrowed(forms: frozenset[NumberForm], column: Sequence[str]) -> frozenset[NumberForm]:
    """Those of COMMA_FORMS that these cells leave possible: a cell that fits only one of them rules the other out."""
    text = "".join(column)
    if "," not in text and not ("." in text and NumberForm.DECIMAL_COMMA in forms):
        return forms
    fitting = ({form for form in COMMA_FORMS if _COMMAS[form].fullmatch(text.strip())} for text in column)
    for fits in fitting:
        forms = forms & fits if len(fits) == 1 else forms
    return forms


def read_numbers(column: Sequence[str], form: NumberForm) -> tuple[Array, Wrong]:
    """The column as float64, NaN for NULL; infinite, negative and zero numbers are numbers."""
    if form is NumberForm.PLAIN and not "".join(column).encode().translate(None, _NUMBER_BYTES):
        try:
            return np.fromiter(map(float, column), np.float64, len(column)), {}
        except ValueError:
            pass  # an empty cell, or a wrong one: only each by itself can tell
    values, wrong = read_each(column, partial(_number, form=form), null=math.nan)
    return np.array(values, np.float64), wrong


def read_ids(column: Sequence[str]) -> tuple[Array, Wrong]:
    """The column as int32; an empty cell is wrong too. A wrong one stands as 0."""
    values, wrong = read_each(column, _id, null=0)
    return np.array(values, np.int32), wrong


def read_names(column: Sequence[str]) -> tuple[Array, Wrong]:
    """The column as UTF-8 bytes, NULL_TEXT for an empty cell; "NA" and "null" may be symbols and stay."""
    values, wrong = read_each(column, _name, null=NULL_TEXT)
    return np.array(values, np.bytes_), wrong


def read_each(column: Iterable[str], read: Callable[[str], T], *, null: T) -> tuple[list[T], Wrong]:
    """The cells one by one; ``null`` stands for the wrong ones."""
    values: list[T] = []
    wrong: Wrong = {}
    for place, text in enumerate(column):
        try:
            values.append(read(text.strip()))
        except CellError as error:
            values.append(null)
            wrong[place] = str(error)
    return values, wrong


def _number(text: str, form: NumberForm) -> float:
    if text.lower() in NULLS:
        return math.nan
    if form is not NumberForm.PLAIN and _COMMAS[form].fullmatch(text):
        text = text.translate(_TO_PLAIN[form])
    if _PLAIN.fullmatch(text):
        return float(text)
    if any(pattern.fullmatch(text) for pattern in _COMMAS.values()):
        raise CellError("its comma may group thousands or begin decimals, and the column does not tell which")
    raise CellError("not a number")


@lru_cache(_REMEMBERED)
def _id(text: str) -> int:
    if text.lower() in NULLS:
        raise CellError("is missing")
    match = _ID.fullmatch(text)
    if not match or int(match[1]) not in IDS:
        raise CellError(f"not an asset id, a whole number from {IDS[0]} to {IDS[-1]}")
    return int(match[1])


@lru_cache(_REMEMBERED)
def _name(text: str) -> bytes:
    if _NOT_UTF8 in text:
        raise CellError("not UTF-8 text")
    if _CONTROL.search(text):
        raise CellError("holds a control character")
    return text.encode() or NULL_TEXT
