"""The sessions of markets as the package ``exchange_calendars`` knows them. It is imported only where one is asked for.

Where the package does not know the days of a market, every weekday on which it trades is a session.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from datetime import date
from functools import cache
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from types import ModuleType
from typing import Any

from refresh.core.calendar import Calendar, day_number, of_sessions
from refresh.wording import nearest, quoted

PACKAGE = "exchange_calendars"
_FIRST, _LAST = "1970-01-01", "2050-12-31"
"""The days that are asked for. They do not depend on the clock: a release has the same sessions every day."""
_WAYS_OUT = "python -m pip install 'exchange_calendars>=4.5', or name weekdays such as Mon-Fri, or auto"


class UnknownMarketError(Exception):
    """The sessions of a market are not known; the message says why, and what to do."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Market:
    """The sessions of a market, as a release of the package knows them. ``name`` ends with a digest of them."""

    market: str
    name: str
    release: str
    calendar: Calendar


def release() -> str:
    """The release of the package that is installed. Raises ``UnknownMarketError`` if none is."""
    try:
        return version(PACKAGE)
    except PackageNotFoundError:
        raise UnknownMarketError(f"the calendar of a market needs the package {PACKAGE}: {_WAYS_OUT}") from None


@cache
def market_of(name: str) -> Market:
    """The market with a name such as XNYS. Raises ``UnknownMarketError``."""
    known_by = release()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # those of pandas about the package
        calendar, bounds = _read(name)
    digest = sha256(repr((calendar, bounds)).encode()).hexdigest()[:8]
    return Market(market=name, name=f"{name} {digest}", release=known_by, calendar=calendar)


def _read(name: str) -> tuple[Calendar, tuple[int, int]]:
    try:
        import exchange_calendars as package  # noqa: PLC0415 - it loads pandas
    except ImportError as error:
        raise UnknownMarketError(f"{PACKAGE} cannot be loaded: {error}: {_WAYS_OUT}") from error
    spelling = _spelling(package, name)
    try:
        return _calendar(package, spelling)
    except Exception as error:  # whatever goes wrong in it concerns the assets of this market alone
        raise UnknownMarketError(f"{PACKAGE} {release()} cannot compute {spelling}: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    return quoted(next(iter(str(error).splitlines()), type(error).__name__))


def _spelling(package: ModuleType, name: str) -> str:
    """The name as the package spells it; case does not matter."""
    known = {spelling.lower(): spelling for spelling in package.get_calendar_names()}
    spelling = known.get(name.lower())
    if spelling is None:
        raise UnknownMarketError(
            f"{quoted(name)} is neither auto, 24/7, weekdays such as Mon-Fri nor a market of {PACKAGE}; "
            f"{nearest(name, known.values())}"
        )
    return str(spelling)


def _calendar(package: ModuleType, name: str) -> tuple[Calendar, tuple[int, int]]:
    """The calendar of a market, and the first and the last day on which its holidays are known."""
    first, last = _bounds(type(package.get_calendar(name)))
    market = package.get_calendar(name, start=first, end=last)
    week = sum(1 << day for day, is_open in enumerate(market.weekmask) if is_open == "1")
    sessions = market.sessions.to_numpy().astype("M8[D]").astype("int64").tolist()
    known = day_number(date.fromisoformat(first)), day_number(date.fromisoformat(last))
    return of_sessions(sessions, week, *known), known


def _bounds(kind: Any) -> tuple[str, str]:
    """The first and the last day for which a kind of calendar can be asked."""
    earliest, latest = kind.bound_min(), kind.bound_max()
    first = max(_FIRST, f"{earliest:%Y-%m-%d}") if earliest else _FIRST
    last = min(_LAST, f"{latest:%Y-%m-%d}") if latest else _LAST
    return first, last
