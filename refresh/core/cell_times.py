"""One column of text -> times in UTC: ISO in its variants, epochs, dates that begin with the day or the month.

A cell that cannot be understood is never guessed at: its place comes back with the reason.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from enum import Enum
from functools import partial

import numpy as np

from refresh.core.cells import NULLS, CellError, Wrong, read_each
from refresh.core.rows import TIME, Array

DAY_START = timedelta(0)
DAY_END = timedelta(days=1, milliseconds=-1)
"""What a date without a time of day means, counted from midnight UTC: where a daily row begins, and where it ends."""


class DateOrder(Enum):
    """Which of day and month comes first in 04/05/2013; the values are the words of the command line."""

    MDY = "mdy"
    DMY = "dmy"


_DIGITS = re.compile(r"(\d{9,17})(\.\d*)?", re.ASCII)
_EPOCH_UTC = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH = _EPOCH_UTC.replace(tzinfo=None)
_NOT_A_TIME = np.iinfo(np.int64).min
_YEAR_1 = np.datetime64("0001-01-01")
_MONTHS = 12

_COMMON = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d:\d\d(\.\d{1,6})?Z?)?", re.ASCII)
_DATE = re.compile(
    r"""(?: (?P<year>\d{4}) (?P<by>[-/.]) (?P<month>\d{1,2}) (?P=by) (?P<day>\d{1,2})
        | (?P<first>\d{1,2}) (?P<and>[-/.]) (?P<second>\d{1,2}) (?P=and) (?P<last>\d{4}) )
        (?: [Tt\s] \s* (?P<hour>\d{1,2}) (?P<rest>:\d{2} (?: :\d{2} (?:\.\d+)? )? ) )?
        \s* (?P<zone>Z|UTC|GMT|[+-]\d{2}:?\d{2}|[+-]\d{2})?""",
    re.VERBOSE | re.ASCII | re.IGNORECASE,
)
_DATE_LENGTH = len("2013-04-29")


def possible_orders(column: Sequence[str]) -> tuple[frozenset[DateOrder], str]:
    """The orders that every date such as 04/29/2013 fits, and the first such date, "" where there is none."""
    orders, example = frozenset(DateOrder), ""
    for text in column:
        if text[:4].isdigit() or not (match := _DATE.fullmatch(text.strip())) or not match["first"]:
            continue
        months = {DateOrder.MDY: int(match["first"]), DateOrder.DMY: int(match["second"])}
        if fitting := {order for order, month in months.items() if month <= _MONTHS}:
            orders, example = orders & fitting, example or match.string
    return orders, example


def read_times(column: Sequence[str], order: DateOrder | None, *, date_means: timedelta) -> tuple[Array, Wrong]:
    """The column as M8[us] in UTC, NaT for NULL. A date alone means midnight UTC plus ``date_means``."""
    if (times := _alike(column, date_means)) is not None:
        return times, {}
    values, wrong = read_each(column, partial(_time, order=order, date_means=date_means), null=_NOT_A_TIME)
    return np.array(values, np.int64).view(TIME), wrong


def _alike(column: Sequence[str], date_means: timedelta) -> Array | None:
    """The times where all are written alike, as in nearly every file: numpy reads them ten times as fast.

    The first cell is checked in full, the others for its punctuation in the same places and digits everywhere else.
    """
    first = column[0].strip() if column else ""
    if not _COMMON.fullmatch(first):
        return None
    pattern = np.frombuffer(first.encode(), np.uint8)
    is_digit = _is_digit(pattern)
    try:
        text = np.array([cell.strip() for cell in column], np.bytes_)
        marks = text.view(np.uint8).reshape(len(column), -1)
        if marks.shape[1] != len(pattern) or (_is_digit(marks) != is_digit).any():
            return None
        if (marks != pattern)[:, ~is_digit].any():
            return None
        times: Array = text.astype(f"S{len(first.rstrip('Z'))}").astype(TIME)
    except ValueError:  # the 31st of some February, or not ASCII: the cells one by one will tell
        return None
    if (times < _YEAR_1).any():
        return None
    return times + np.timedelta64(date_means) if len(first) <= _DATE_LENGTH else times


def _is_digit(marks: Array) -> Array:
    return (marks >= ord("0")) & (marks <= ord("9"))


def _time(text: str, order: DateOrder | None, date_means: timedelta) -> int:
    """Microseconds since 1970."""
    if text[4:5] == "-":  # nearly every time there is, and much faster than a pattern
        try:
            return _micros(_since_epoch(text, date_means))
        except (ValueError, OverflowError):
            pass  # perhaps 2013-4-9
    if text.lower() in NULLS:
        return _NOT_A_TIME
    try:
        return _micros(_rarely_written(text, order, date_means))
    except (ValueError, OverflowError):
        raise CellError("not a time") from None


def _micros(span: timedelta) -> int:
    return (span.days * 86_400 + span.seconds) * 1_000_000 + span.microseconds


def _since_epoch(iso: str, date_means: timedelta) -> timedelta:
    moment = datetime.fromisoformat(iso)
    if len(iso) <= _DATE_LENGTH:
        return moment - _EPOCH + date_means
    return moment - (_EPOCH if moment.tzinfo is None else _EPOCH_UTC)


def _rarely_written(text: str, order: DateOrder | None, date_means: timedelta) -> timedelta:
    """A time in one of the rarer notations. Raises ``ValueError`` where it is none of them."""
    if match := _DATE.fullmatch(text):
        return _since_epoch(_iso(match, order), date_means)
    if match := _DIGITS.fullmatch(text):
        return _of_digits(match[1], match[2] or "")
    if len(text) == len("20130429"):
        return _since_epoch(text, date_means)
    raise ValueError(text)


def _iso(match: re.Match[str], order: DateOrder | None) -> str:
    if match["year"]:
        year, month, day = match["year"], match["month"], match["day"]
    elif order is DateOrder.MDY:
        year, month, day = match["last"], match["first"], match["second"]
    elif order is DateOrder.DMY:
        year, month, day = match["last"], match["second"], match["first"]
    else:
        raise ValueError(match.string)
    date = f"{year}-{month:0>2}-{day:0>2}"
    if not match["hour"]:
        return date
    zone = (match["zone"] or "").upper()
    return f"{date}T{match['hour']:0>2}{match['rest']}{'Z' if zone in {'UTC', 'GMT'} else zone}"


def _of_digits(whole: str, fraction: str) -> timedelta:
    """Seconds from 1973 on have 9 to 11 digits, and each finer unit has three more."""
    units = {range(12): "seconds", range(12, 15): "milliseconds", range(15, 18): "microseconds"}
    unit = next(unit for digits, unit in units.items() if len(whole) in digits)
    return timedelta(**{unit: int(whole)}) + timedelta(**{unit: float(f"0{fraction}")})
