"""The kinds of values that options take: the name of each in the help, how it is read from text and written as text.

Knows no option. Every ``read`` raises ``ArgumentTypeError`` for a text that it cannot read.
"""

from __future__ import annotations

import os
import re
from argparse import ArgumentTypeError
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from refresh.wording import quoted

_DETECTIONS = ("digest", "lookback")
_MAX_PERCENT = 100
_DIGITS = "[0-9]{1,18}"
_NUMBER = f"-?{_DIGITS}"
"""Every whole number that a database can hold, and not so long that Python refuses to read it."""
MOST = 1_000_000
"""The largest number of things."""
LONGEST = timedelta(days=365_250)
"""The longest time: whatever a clock says, the time before and after it is in the calendar."""
_UNITS = {"s": timedelta(seconds=1), "m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}
"""The units of a length of time, from the smallest to the largest."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ValueKind:
    """A kind of value. ``metavar`` is its name in the help; ``read`` reads what ``show`` writes."""

    metavar: str
    read: Callable[[str], Any]
    show: Callable[[Any], str] = str


def _read_text(text: str) -> str:
    """A text that every file, list of processes and database can hold."""
    if not _is_text(text):
        raise ArgumentTypeError(f"{quoted(text)} is no text in UTF-8")
    return text


def _read_address(text: str) -> str:
    """The same, but a message does not repeat it: it may hold a password."""
    if not text.strip():
        raise ArgumentTypeError("the address is empty; leave the option out to use TARGET_DB_URL")
    if not _is_text(text):
        raise ArgumentTypeError("the address is no text in UTF-8")
    return text


def _is_text(text: str) -> bool:
    return not re.search("[\0\ud800-\udfff]", text)


def _read_path(text: str) -> Path:
    """A file of the user's, whatever its name."""
    if "\0" in text:
        raise ArgumentTypeError(f"{quoted(text)} is not the name of a file")
    return Path(text)


def _read_names(text: str) -> tuple[str, ...]:
    parts = map(str.strip, text.split(","))
    names = tuple(dict.fromkeys(filter(None, parts)))
    if not names:
        raise ArgumentTypeError("the list is empty; leave the option out to select everything")
    return names


def _read_numbers(text: str) -> tuple[int, ...]:
    names = _read_names(text)
    if not all(re.fullmatch(_NUMBER, name) for name in names):
        raise ArgumentTypeError(f"{quoted(text)} is not a list of whole numbers such as 10,20,50")
    return tuple(map(int, names))


def _read_ids(text: str) -> tuple[int | str, ...] | None:
    if text.strip().lower() == "all":
        return None
    names = _read_names(_read_text(text))
    if not all(re.fullmatch(rf"{_NUMBER}|.*[^\W\d_].*", name) for name in names):
        raise ArgumentTypeError(f"{quoted(text)} is not a list of ids or symbols such as 1,52,BTC")
    return tuple(int(name) if re.fullmatch(_NUMBER, name) else name for name in names)


def _read_pairs(text: str) -> tuple[tuple[str, int], ...]:
    pairs = []
    for name in _read_names(text):
        match = re.fullmatch(rf"([^:]+):({_DIGITS})", name)
        if match is None:
            raise ArgumentTypeError(f"{quoted(text)} is not a list of timeframe:period such as 7d:10,7d:20")
        pairs.append((match[1], int(match[2])))
    return tuple(pairs)


def _show_list(values: Sequence[object]) -> str:
    return ",".join(map(str, values))


def _show_pairs(pairs: Sequence[tuple[str, int]]) -> str:
    return ",".join(f"{tf}:{period}" for tf, period in pairs)


def _read_choice(text: str, choices: tuple[str, str]) -> str:
    if text not in choices:
        raise ArgumentTypeError(f"{quoted(text)} is neither {choices[0]} nor {choices[1]}")
    return text


def _read_days(text: str) -> int:
    if not re.fullmatch(_DIGITS, text) or not int(text):
        raise ArgumentTypeError(f"{quoted(text)} is not a number of days such as 40")
    return _at_most(text, LONGEST.days, "days, which are 1,000 years")


def _read_count(text: str) -> int:
    if not re.fullmatch(_DIGITS, text):
        raise ArgumentTypeError(f"{quoted(text)} is not a number such as 3")
    return _at_most(text, MOST)


def _at_most(text: str, most: int, unit: str = "") -> int:
    number = int(text)
    if number > most:
        raise ArgumentTypeError(f"{text!r} is more than {most:,} {unit}".rstrip())
    return number


def _read_jobs(text: str) -> int:
    jobs = _read_count(text)
    if not jobs:
        raise ArgumentTypeError("0 builders do nothing; say 1 or more")
    return jobs


def _read_sample(text: str) -> int | str:
    if text == "all":
        return text
    assets = _read_count(text)
    if not assets:
        raise ArgumentTypeError("0 assets prove nothing; say 1 or more, or all")
    return assets


def _read_id(text: str) -> int:
    if not re.fullmatch(_NUMBER, text):
        raise ArgumentTypeError(f"{quoted(text)} is not the id of one asset such as 825")
    return int(text)


def _read_descriptor(text: str) -> int:
    if not re.fullmatch(_DIGITS, text) or not _is_open(int(text)):
        raise ArgumentTypeError(f"{quoted(text)} is not the number of an open file such as 1")
    return int(text)


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except (OSError, OverflowError):
        return False
    return True


def _read_percent(text: str) -> float:
    try:
        percent = float(text)
    except ValueError:
        percent = -1.0
    if not 0 <= percent <= _MAX_PERCENT:
        raise ArgumentTypeError(f"{quoted(text)} is not a percentage from 0 to 100")
    return percent


def _show_percent(percent: float) -> str:
    return repr(percent).removesuffix(".0")


def read_span(text: str) -> timedelta:
    """A length of time: a number and a unit. Raises ``ArgumentTypeError``."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])", text)
    if not match:
        raise ArgumentTypeError(f"{quoted(text)} is not a length of time such as 90s, 10m, 36h or 1d")
    number, unit = float(match[1]), _UNITS[match[2]]
    if number > LONGEST / unit:
        raise ArgumentTypeError(f"{quoted(text)} is more than {LONGEST.days:,}d, which are 1,000 years")
    return number * unit


def show_span(span: timedelta) -> str:
    """A length of time as ``read_span`` reads it, in the largest unit of which it is a whole number."""
    unit = "s"
    for name, length in _UNITS.items():
        if span and not span % length:
            unit = name
    number = f"{span / _UNITS[unit]:.6f}"
    return number.rstrip("0").rstrip(".") + unit


def _read_zone(text: str) -> str:
    try:
        ZoneInfo(text)
    except (KeyError, ValueError, OSError):
        raise ArgumentTypeError(f"{quoted(text)} is not a time zone name such as UTC or Europe/Berlin") from None
    return text


def _read_time(text: str) -> datetime:
    try:
        time = datetime.fromisoformat(text)
        return time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise ArgumentTypeError(f"{quoted(text)} is not a time such as 2026-01-31T02:00:00+00:00") from None


SWITCH = ValueKind(metavar="", read=bool)
"""No value: the option is given or not."""
NAMES = ValueKind(metavar="NAMES", read=_read_names, show=_show_list)
IDS = ValueKind(metavar="IDS", read=_read_ids, show=_show_list)
NUMBERS = ValueKind(metavar="NUMBERS", read=_read_numbers, show=_show_list)
PAIRS = ValueKind(metavar="PAIRS", read=_read_pairs, show=_show_pairs)
DETECTION = ValueKind(metavar="HOW", read=partial(_read_choice, choices=_DETECTIONS))
DAYS = ValueKind(metavar="DAYS", read=_read_days)
COUNT = ValueKind(metavar="N", read=_read_count)
JOBS = ValueKind(metavar="N", read=_read_jobs)
SAMPLE = ValueKind(metavar="N", read=_read_sample)
ID = ValueKind(metavar="ID", read=_read_id)
PERCENT = ValueKind(metavar="PERCENT", read=_read_percent, show=_show_percent)
SPAN = ValueKind(metavar="TIME", read=read_span, show=show_span)
TIME = ValueKind(metavar="TIME", read=_read_time, show=datetime.isoformat)
ZONE = ValueKind(metavar="ZONE", read=_read_zone)
URL = ValueKind(metavar="URL", read=_read_address)
NAME = ValueKind(metavar="NAME", read=_read_text)
TEXT_ID = ValueKind(metavar="ID", read=_read_text)
FILE = ValueKind(metavar="FILE", read=_read_text)
DIR = ValueKind(metavar="DIR", read=_read_text)
PATH = ValueKind(metavar="FILE", read=_read_path)
DESCRIPTOR = ValueKind(metavar="FD", read=_read_descriptor)
