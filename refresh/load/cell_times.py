"""One column of text -> times as they are written: ISO in its variants, epochs, dates in numbers and with names.

Knows notations of time; refuses to know zones, files, lines and prices. An unclear cell is never guessed: its index is
returned with the reason.
"""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from enum import Enum
from functools import lru_cache

import numpy as np

from refresh.core.rows import TIME
from refresh.load.cells import NULLS, CellError, Texts, Wrong, read_cells
from refresh.load.stamps import NO_OFFSET, Stamps, read_uniform


class DateOrder(Enum):
    """The order of day, month and year in 04/05/2013 or 04/05/13; the values are the words of the command line."""

    MDY = "mdy"
    DMY = "dmy"
    YMD = "ymd"


_NOT_A_TIME = np.iinfo(np.int64).min
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - on the writer's clock
_MICROSECOND = timedelta(microseconds=1)
_MINUTE = timedelta(minutes=1)
_MONTHS = 12
_DAYS = 31
_LONGEST_TIME = 100
"""Characters. The patterns below take a time that grows with the square of what they do not fit."""
_CENTURY_BEGINS = 69
"""Of two digits, 69 to 99 are in the last century, as POSIX has it."""

_EPOCH_DIGITS = re.compile(r"(\d{9,19})(\.\d*)?", re.ASCII)
_LEAST_DIGITS = 9  # seconds from 1973 on have 9 to 11 digits, and each finer unit has 3 more
_PER_SECOND = (1, 1_000, 1_000_000, 1_000_000_000)
_SMALL_NUMBER = re.compile(r"-?\d{1,8}(\.\d*)?", re.ASCII)

_NAMES = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_CLOCK = r"""(?: [Tt,\s]+ (?P<hour>\d{1,2})
        (?: (?P<minute>:\d{2}) (?P<second>:\d{2} (?:\.\d+)?)? | (?P<digits>\d{2}(?:\d{2})?) )?
        \s* (?P<half>[AaPp])? (?(half)\.?[Mm]\.?) )?
        \s* (?P<zone>Z|UTC|GMT|[+-]\d{2}:?\d{2}|[+-]\d{2})?"""
_MONTH_NAME = rf"(?P<name>{'|'.join(_NAMES)})[a-z]*\.?"
_DAY_NAME = r"(?: (?:mon|tue|wed|thu|fri|sat|sun)[a-z]*\.? [,\s]\s* )?"
_DAY = r"(?P<day>\d{1,2})(?:st|nd|rd|th)?"
_YEAR = r"(?P<year>\d{4}|'?\d{2})"
_DATES = tuple(
    re.compile(_DAY_NAME + date + _CLOCK, re.VERBOSE | re.ASCII | re.IGNORECASE)
    for date in (
        r"(?P<year>\d{4}) (?P<by>[-/.]) (?P<month>\d{1,2}) (?P=by) (?P<day>\d{1,2})",
        r"(?P<first>\d{1,2}) (?P<by>[-/.]) (?P<second_part>\d{1,2}) (?P=by) (?P<last>\d{4}|\d{2})",
        r"(?P<year>\d{4}) (?P<month>\d{2}) (?P<day>\d{2})",
        rf"{_DAY} [-/.\s]{{1,2}} {_MONTH_NAME} [-/,.\s]{{1,2}} {_YEAR}",
        rf"{_MONTH_NAME} [-/.\s]{{1,2}} {_DAY} [-/,.\s]{{1,2}} {_YEAR}",
        rf"(?P<year>\d{{4}}) [-/,.\s]{{1,2}} {_MONTH_NAME} [-/,.\s]{{1,2}} {_DAY}",
    )
)
"""The notations of a date with a time behind it: a row each."""
_ORDERED = _DATES[1]
_PLACES = {
    DateOrder.MDY: ("first", "second_part", "last"),
    DateOrder.DMY: ("second_part", "first", "last"),
    DateOrder.YMD: ("second_part", "last", "first"),
}
"""Per order, the groups of ``_ORDERED`` that are month, day and year."""
_OF_SIGN = {".": frozenset({DateOrder.DMY})}
"""The order that a sign between the parts implies, if they fit it: with points, nobody writes the month first."""


def orders_of(text: str) -> frozenset[DateOrder]:
    """The orders that a date such as 04/29/2013 fits; none for any other text."""
    if text[:4].isdigit() or len(text) > _LONGEST_TIME:
        return frozenset()
    match = _ORDERED.fullmatch(text.strip())
    if not match:
        return frozenset()
    orders = frozenset(order for order in DateOrder if _fits(match, order))
    return orders & _OF_SIGN.get(match["by"], orders) or orders


def _fits(match: re.Match[str], order: DateOrder) -> bool:
    month, day, year = (match[place] for place in _PLACES[order])
    has_year = len(year) == len(match["last"]) and len(day) <= len("31")
    return has_year and 1 <= int(month) <= _MONTHS and 1 <= int(day) <= _DAYS


def read_stamps(column: Texts, order: DateOrder | None) -> tuple[Stamps, Wrong]:
    """The column as it is written, and its wrong cells."""
    stamps = read_uniform(column)
    if stamps is not None:
        return stamps, {}
    values, wrong = read_cells(column, lambda text: _stamp(text, order), null=(_NOT_A_TIME, NO_OFFSET))
    pairs = np.array(values, np.int64).reshape(-1, 2)
    return Stamps(local=pairs[:, 0].copy().view(TIME), offset=pairs[:, 1]), wrong


@lru_cache(16_384)
def _stamp(text: str, order: DateOrder | None) -> tuple[int, int]:
    """Microseconds since 1970 on the writer's clock, and its offset. Raises ``CellError``."""
    if text.lower() in NULLS:
        return _NOT_A_TIME, NO_OFFSET
    if len(text) > _LONGEST_TIME:
        raise CellError("not a time")
    with suppress(ValueError, OverflowError):
        return _read(text, order)
    if _SMALL_NUMBER.fullmatch(text):
        raise CellError(
            "not a time; seconds since 1970 or days of a spreadsheet cannot be told apart: write 2024-01-31"
        )
    raise CellError("not a time")


def _read(text: str, order: DateOrder | None) -> tuple[int, int]:
    if match := _EPOCH_DIGITS.fullmatch(text):
        return _epoch(match[1], match[2] or ""), 0
    for notation in _DATES:
        if match := notation.fullmatch(text):
            moment = datetime.fromisoformat(_iso(match, order))
            local = moment.replace(tzinfo=None) - _EPOCH
            offset = moment.utcoffset()
            return local // _MICROSECOND, NO_OFFSET if offset is None else offset // _MINUTE
    raise ValueError(text)


def _iso(match: re.Match[str], order: DateOrder | None) -> str:
    parts = match.groupdict()
    month, day, year = parts.get("month"), parts.get("day"), parts.get("year")
    if parts.get("name"):
        month = str(_NAMES.index(match["name"].lower()) + 1)
    if parts.get("first"):
        if order is None or not _fits(match, order):
            raise ValueError(match.string)
        month, day, year = (match[place] for place in _PLACES[order])
    return f"{_full_year(year or '')}-{month:0>2}-{day:0>2}{_clock(match)}"


def _full_year(year: str) -> str:
    year = year.removeprefix("'")
    if len(year) > 2:  # noqa: PLR2004 - digits
        return year
    return f"19{year}" if int(year) >= _CENTURY_BEGINS else f"20{year}"


def _clock(match: re.Match[str]) -> str:
    """The time of day and the offset, in ISO; empty for a date."""
    if not match["hour"]:
        return ""
    digits = match["digits"] or ""
    minute = match["minute"] or f":{digits[:2] or '00'}"
    second = match["second"] or f":{digits[2:] or '00'}"
    zone = (match["zone"] or "").upper()
    zone = "Z" if zone in {"UTC", "GMT"} else zone
    return f"T{_hour(match['hour'], match['half'])}{minute}{second}{zone}"


def _hour(hour: str, half: str | None) -> str:
    """The hour of a day of 24; ``half``: the first letter of am or pm."""
    if not half:
        return f"{hour:0>2}"
    if not 1 <= int(hour) <= _MONTHS:
        raise ValueError(hour)
    afternoon = _MONTHS if half.lower() == "p" else 0
    return f"{int(hour) % _MONTHS + afternoon:02}"


def _epoch(whole: str, fraction: str) -> int:
    per_second = _PER_SECOND[(len(whole) - _LEAST_DIGITS) // 3]
    part = int(float(f"0{fraction}") * 1_000_000 / per_second)
    moment = int(whole) * 1_000_000 // per_second + part
    datetime.fromtimestamp(moment // 1_000_000, UTC)  # raises ValueError beyond the year 9999
    return moment
