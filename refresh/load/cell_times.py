"""One column of text -> times in UTC: ISO in its variants, epochs, dates that begin with the day or the month.

Knows notations of time; refuses to know files, lines and prices. An unclear cell is never guessed: its index is
returned with the reason.
"""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from functools import partial

import numpy as np

from refresh.core.rows import TIME, Array
from refresh.load.cells import NULLS, CellError, Column, Texts, read_cells

DAY_START = timedelta(0)
DAY_END = timedelta(days=1, milliseconds=-1)
"""What a date without a time of day means, counted from midnight UTC: the start or the end of a daily row."""


class DateOrder(Enum):
    """Which of day and month comes first in 04/05/2013; the values are the words of the command line."""

    MDY = "mdy"
    DMY = "dmy"


_EPOCH_UTC = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH = _EPOCH_UTC.replace(tzinfo=None)
_NOT_A_TIME = np.iinfo(np.int64).min
_YEAR_1 = np.datetime64("0001-01-01")
_MICROSECOND = timedelta(microseconds=1)
_MONTHS = 12

_EPOCH_DIGITS = re.compile(r"(\d{9,17})(\.\d*)?", re.ASCII)
_UNITS = ("seconds", "milliseconds", "microseconds")
_LEAST_DIGITS = 9  # seconds from 1973 on have 9 to 11 digits, and each finer unit has 3 more

_COMMON = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d:\d\d(\.\d{1,6})?Z?)?", re.ASCII)
_DATE = re.compile(
    r"""(?: (?P<year>\d{4}) (?P<by>[-/.]) (?P<month>\d{1,2}) (?P=by) (?P<day>\d{1,2})
        | (?P<first>\d{1,2}) (?P<and>[-/.]) (?P<second>\d{1,2}) (?P=and) (?P<last>\d{4}) )
        (?: [Tt\s] \s* (?P<hour>\d{1,2}) (?P<rest>:\d{2} (?: :\d{2} (?:\.\d+)? )? ) )?
        \s* (?P<zone>Z|UTC|GMT|[+-]\d{2}:?\d{2}|[+-]\d{2})?""",
    re.VERBOSE | re.ASCII | re.IGNORECASE,
)
_ISO_DATE_LENGTH = len("2013-04-29")
_BASIC_DATE_LENGTH = len("20130429")


@dataclass(slots=True)
class OrderEvidence:
    """The orders that every date such as 04/29/2013 fits, and the first such date, "" if there is none."""

    orders: frozenset[DateOrder] = frozenset(DateOrder)
    example: str = ""

    def add_dates(self, column: Texts) -> None:
        """Take in more cells."""
        for text in column:
            fitting = _fitting_orders(text)
            if fitting:
                self.orders &= fitting
                self.example = self.example or text.strip()


def _fitting_orders(text: str) -> set[DateOrder]:
    """The orders that a date such as 04/29/2013 fits; none for any other text."""
    begins_with_year = text[:4].isdigit()
    match = None if begins_with_year else _DATE.fullmatch(text.strip())
    if not match or not match["first"]:
        return set()
    months = {DateOrder.MDY: int(match["first"]), DateOrder.DMY: int(match["second"])}
    return {order for order, month in months.items() if month <= _MONTHS}


def read_times(column: Texts, order: DateOrder | None, *, date_means: timedelta) -> Column:
    """The column as M8[us] in UTC, NaT for NULL. A date alone means midnight UTC plus ``date_means``."""
    times = _read_uniform(column, date_means)
    if times is not None:
        return times, {}
    read = partial(_time, order=order, date_means=date_means)
    values, wrong = read_cells(column, read, null=_NOT_A_TIME)
    return np.array(values, np.int64).view(TIME), wrong


def _read_uniform(column: Texts, date_means: timedelta) -> Array | None:
    """The times if all have one common format, as in nearly every file: numpy reads them ten times as fast."""
    first = column[0].strip() if column else ""
    if not _COMMON.fullmatch(first):
        return None
    try:
        text = np.array([cell.strip() for cell in column], np.bytes_)
        if not _has_format(text, first):
            return None
        times: Array = text.astype(f"S{len(first.rstrip('Z'))}").astype(TIME)
    except ValueError:  # a day such as February 31, or not ASCII: reading cell by cell shows which
        return None
    if (times < _YEAR_1).any():
        return None
    is_date = len(first) <= _ISO_DATE_LENGTH
    return times + np.timedelta64(date_means) if is_date else times


def _has_format(text: Array, example: str) -> bool:
    """Whether all cells are as long as the example, have its punctuation and have digits where it has digits."""
    pattern = np.frombuffer(example.encode(), np.uint8)
    marks = text.view(np.uint8).reshape(len(text), -1)
    if marks.shape[1] != len(pattern):
        return False
    is_digit = _is_digit(pattern)
    is_same = np.where(is_digit, _is_digit(marks), marks == pattern)
    return bool(is_same.all())


def _is_digit(marks: Array) -> Array:
    return (marks >= ord("0")) & (marks <= ord("9"))


def _time(text: str, order: DateOrder | None, date_means: timedelta) -> int:
    """Microseconds since 1970. Raises ``CellError``."""
    if text[4:5] == "-":  # nearly always, and much faster than a pattern
        with suppress(ValueError, OverflowError):  # perhaps 2013-4-9
            return _since_epoch(text, date_means) // _MICROSECOND
    if text.lower() in NULLS:
        return _NOT_A_TIME
    try:
        return _read_rare(text, order, date_means) // _MICROSECOND
    except (ValueError, OverflowError):
        raise CellError("not a time") from None


def _since_epoch(iso: str, date_means: timedelta) -> timedelta:
    moment = datetime.fromisoformat(iso)
    if len(iso) <= _ISO_DATE_LENGTH:
        return moment - _EPOCH + date_means
    return moment - (_EPOCH if moment.tzinfo is None else _EPOCH_UTC)


def _read_rare(text: str, order: DateOrder | None, date_means: timedelta) -> timedelta:
    """A time in one of the rarer notations, counted from 1970. Raises ``ValueError`` if it is none of them."""
    if match := _DATE.fullmatch(text):
        return _since_epoch(_iso(match, order), date_means)
    if match := _EPOCH_DIGITS.fullmatch(text):
        return _epoch(match[1], match[2] or "")
    if len(text) == _BASIC_DATE_LENGTH:
        return _since_epoch(text, date_means)
    raise ValueError(text)


def _iso(match: re.Match[str], order: DateOrder | None) -> str:
    year = match["year"] or match["last"]
    month = match["month"] or match["first"]
    day = match["day"] or match["second"]
    if match["first"] and order is None:
        raise ValueError(match.string)
    if match["first"] and order is DateOrder.DMY:
        month, day = day, month
    date = f"{year}-{month:0>2}-{day:0>2}"
    if not match["hour"]:
        return date
    zone = (match["zone"] or "").upper()
    zone = "Z" if zone in {"UTC", "GMT"} else zone
    return f"{date}T{match['hour']:0>2}{match['rest']}{zone}"


def _epoch(whole: str, fraction: str) -> timedelta:
    unit = _UNITS[(len(whole) - _LEAST_DIGITS) // 3]
    part = float(f"0{fraction}")
    return timedelta(**{unit: int(whole)}) + timedelta(**{unit: part})
