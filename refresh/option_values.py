"""The values of options: how each kind is called in the help, read from text and written as text."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

ALL_PERCENT = 100
DETECTIONS = ("digest", "lookback")


@dataclass(frozen=True, slots=True)
class Text:
    """How an option's value is called in the help, read from text and written as text."""

    metavar: str
    read: Callable[[str], Any]
    show: Callable[[Any], str] = str


def _names(value: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(part.strip() for part in value.split(",") if part.strip()))
    if not names:
        raise argparse.ArgumentTypeError("the list is empty; leave the option out to select everything")
    return names


def _numbers(value: str) -> tuple[int, ...]:
    try:
        return tuple(int(name) for name in _names(value))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{value!r} is not a list of whole numbers such as 10,20,50") from None


def _ids(value: str) -> tuple[int, ...] | None:
    return None if value.strip().lower() == "all" else _numbers(value)


def _combos(value: str) -> tuple[tuple[str, int], ...]:
    pairs = [re.fullmatch(r"([^:]+):(\d+)", name) for name in _names(value)]
    if None in pairs:
        raise argparse.ArgumentTypeError(f"{value!r} is not a list of timeframe:period such as 7d:10,7d:20")
    return tuple((pair[1], int(pair[2])) for pair in pairs if pair)


def _detection(value: str) -> str:
    if value not in DETECTIONS:
        raise argparse.ArgumentTypeError(f"{value!r} is neither of {', '.join(DETECTIONS)}")
    return value


def _days(value: str) -> int:
    if not value.isdecimal() or not int(value):
        raise argparse.ArgumentTypeError(f"{value!r} is not a number of days such as 40")
    return int(value)


def _jobs(value: str) -> int:
    number = _count(value)
    if not number:
        raise argparse.ArgumentTypeError("0 builders do nothing; say 1 or more")
    return number


def _sample(value: str) -> int | str:
    if value == "all":
        return value
    number = _count(value)
    if not number:
        raise argparse.ArgumentTypeError("0 assets prove nothing; say 1 or more, or all")
    return number


def _id(value: str) -> int:
    if not re.fullmatch(r"-?\d+", value):
        raise argparse.ArgumentTypeError(f"{value!r} is not the id of one asset such as 825")
    return int(value)


def read_span(value: str) -> timedelta:
    """A length of time. Raises ``ArgumentTypeError``."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])", value)
    if not found:
        raise argparse.ArgumentTypeError(f"{value!r} is not a length of time such as 90s, 10m, 36h or 1d")
    try:
        return float(found[1]) * _UNITS[found[2]]
    except OverflowError:
        raise argparse.ArgumentTypeError(f"{value!r} is longer than any calendar") from None


def show_span(span: timedelta) -> str:
    """A length of time as ``read_span`` reads it, in the largest unit that is whole."""
    name = next((name for name, unit in reversed(_UNITS.items()) if span and not span % unit), "s")
    return f"{span / _UNITS[name]:.6f}".rstrip("0").rstrip(".") + name


_UNITS = {"s": timedelta(seconds=1), "m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}


def _count(value: str) -> int:
    if not value.isdecimal():
        raise argparse.ArgumentTypeError(f"{value!r} is not a number such as 3")
    return int(value)


def _percent(value: str) -> float:
    try:
        number = float(value)
    except ValueError:
        number = -1.0
    if not 0 <= number <= ALL_PERCENT:
        raise argparse.ArgumentTypeError(f"{value!r} is not a percentage from 0 to 100")
    return number


def read_zone(value: str) -> str:
    """A time zone's name. Raises ``ArgumentTypeError``."""
    try:
        ZoneInfo(value)
    except (KeyError, ValueError, OSError):
        raise argparse.ArgumentTypeError(f"{value!r} is not a time zone name such as UTC or Europe/Berlin") from None
    return value


def _time(value: str) -> datetime:
    try:
        time = datetime.fromisoformat(value)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{value!r} is not a time such as 2026-01-31T02:00:00+00:00") from None
    return time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)


def listed(values: Sequence[object]) -> str:
    """Values with commas between them."""
    return ",".join(map(str, values))


def paired(values: Sequence[tuple[str, int]]) -> str:
    """Pairs with colons inside and commas between them."""
    return ",".join(f"{tf}:{period}" for tf, period in values)


NAMES = Text("NAMES", _names, listed)
IDS = Text("IDS", _ids, listed)
NUMBERS = Text("NUMBERS", _numbers, listed)
PAIRS = Text("PAIRS", _combos, paired)
HOW = Text("HOW", _detection)
DAYS = Text("DAYS", _days)
COUNT = Text("N", _count)
JOBS = Text("N", _jobs)
ID = Text("ID", _id)
SPAN = Text("TIME", read_span, show_span)
SAMPLE = Text("N", _sample, str)
FILE = Text("FILE", str)
PERCENT = Text("PERCENT", _percent, repr)
ZONE = Text("ZONE", read_zone)
URL = Text("URL", str)
RUN = Text("ID", str)
TIME = Text("TIME", _time, datetime.isoformat)
DESCRIPTOR = Text("FD", int)
