"""On which days an asset trades: a value with one operation, the number of sessions before a day.

Days are whole numbers, counted from 1 January 1970. Knows no asset, market or table; arrays of days are counted by
``sessions``.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from itertools import accumulate

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
ALWAYS = "24/7"
"""How a calendar without closed days is written."""
LEARNED = " (learned)"
"""How a calendar ends that an asset's own bars have taught."""
LEAST_SPAN = 56
"""The days from the first to the last bar, both included, from which on closed weekdays are learned."""
WHOLE_WEEK = 0b1111111
EPOCH = date(1970, 1, 1)
EPOCH_WEEKDAY = 3
"""1 January 1970 was a Thursday; Monday is 0."""
_WEEK = len(DAYS)
_NUMBERS = {name.lower(): number for number, name in enumerate(DAYS)}
_RANGE = re.compile(r"([a-z]{3})(?:\s*-\s*([a-z]{3}))?")


@dataclass(frozen=True, slots=True)
class Calendar:
    """The days on which an asset trades.

    ``week``: a bit for each weekday with sessions, Monday the lowest. ``closed``: days without a session although their
    weekday has some; ``opened``: days with one although their weekday has none. Both ascend.
    """

    week: int = WHOLE_WEEK
    closed: tuple[int, ...] = ()
    opened: tuple[int, ...] = ()

    @property
    def is_always_open(self) -> bool:
        """Whether every day is a session."""
        return self.week == WHOLE_WEEK and not self.closed

    @property
    def steps(self) -> tuple[int, ...]:
        """The number of sessions in the first 0 to 7 days of a week, and last how many a whole week has."""
        return tuple(accumulate((self.week >> day & 1 for day in range(_WEEK)), initial=0))

    def before(self, day: int) -> int:
        """The number of sessions before a day, counted from a Monday near 1970: only differences mean something."""
        weeks, weekday = divmod(day + EPOCH_WEEKDAY, _WEEK)
        steps = self.steps
        regular = weeks * steps[-1] + steps[weekday]
        return regular - bisect_left(self.closed, day) + bisect_left(self.opened, day)

    def elapsed(self, since: datetime, until: datetime, zone: tzinfo = UTC) -> timedelta:
        """The time from ``since`` to ``until`` without the closed days after the day of ``since``; at least 0.

        ``zone``: the time zone in which a day starts.
        """
        if self.is_always_open or until <= since:
            return until - since
        first, last = (day_number(time.astimezone(zone).date()) + 1 for time in (since, until))
        closed = last - first - (self.before(last) - self.before(first))
        return max(until - since - timedelta(days=closed), timedelta(0))


OPEN = Calendar()
"""The calendar of an asset that trades every day."""


def day_number(day: date) -> int:
    """The number of a day."""
    return (day - EPOCH).days


@dataclass(frozen=True, kw_only=True, slots=True)
class Traded:
    """Bars of an asset: a bit for each of their weekdays, the first and the last day, their number if it is known."""

    weekdays: int
    first: int
    last: int
    bars: int = 0

    @property
    def is_long(self) -> bool:
        """Whether they span eight weeks."""
        return self.last - self.first + 1 >= LEAST_SPAN

    @property
    def calendar(self) -> Calendar:
        """The calendar that all bars of an asset teach: weekdays without any are closed once they span eight weeks."""
        return Calendar(self.weekdays) if self.is_long else OPEN

    def joined(self, others: Traded | None) -> Traded:
        """The same of these bars and others."""
        if others is None:
            return self
        return Traded(
            weekdays=self.weekdays | others.weekdays,
            first=min(self.first, others.first),
            last=max(self.last, others.last),
        )


def is_surely_open(bars: int, shortest: int, longest: int) -> bool:
    """Whether so many bars teach that every day is open: a span of days without one weekday has room for fewer.

    ``shortest``, ``longest``: bounds of the span in days.
    """
    return longest < LEAST_SPAN or bars > longest - shortest // _WEEK


def written(week: int) -> str:
    """Weekdays as they are written, e.g. ``Mon-Fri``, ``Sun-Thu`` or ``Mon,Wed``; ``24/7`` for all of them."""
    if week == WHOLE_WEEK:
        return ALWAYS
    return ",".join(_runs(week))


def _runs(week: int) -> Iterator[str]:
    """The weekdays in a row, from the first one after a closed day on."""
    is_open = [bool(week >> day & 1) for day in range(_WEEK)]
    firsts = [day for day in range(_WEEK) if is_open[day] and not is_open[day - 1]]
    for first in firsts:
        length = next(length for length in range(1, _WEEK) if not is_open[(first + length) % _WEEK])
        last = (first + length - 1) % _WEEK
        yield DAYS[first] if length == 1 else f"{DAYS[first]}-{DAYS[last]}"


def read_week(text: str) -> Calendar | None:
    """The calendar that weekdays such as ``Mon-Fri`` or ``24/7`` mean; ``None`` if the text is something else."""
    plain = text.removesuffix(LEARNED).strip().lower()
    if plain == ALWAYS:
        return OPEN
    week = 0
    for part in plain.split(","):
        match = _RANGE.fullmatch(part.strip())
        days = list(_named(match)) if match else []
        if not days:
            return None
        week |= _bits(days)
    return Calendar(week)


def shown(name: str | None) -> str:
    """A remembered calendar as people write it, e.g. ``24/7``, ``Mon-Fri (learned)`` or ``XNYS``, without a digest."""
    if not name:
        return ALWAYS
    return name if read_week(name) else name.rpartition(" ")[0]


def _named(match: re.Match[str]) -> Iterator[int]:
    first, last = _NUMBERS.get(match[1]), _NUMBERS.get(match[2] or match[1])
    if first is None or last is None:
        return
    for step in range((last - first) % _WEEK + 1):
        yield (first + step) % _WEEK


def _bits(days: Iterable[int]) -> int:
    bits = 0
    for day in days:
        bits |= 1 << day
    return bits


def of_sessions(sessions: Iterable[int], week: int, first: int, last: int) -> Calendar:
    """The calendar whose sessions from the day ``first`` to ``last`` are these; elsewhere every such weekday is one."""
    regular = Calendar(week)
    known = set(sessions)
    expected = {day for day in range(first, last + 1) if regular.before(day + 1) > regular.before(day)}
    return Calendar(week, tuple(sorted(expected - known)), tuple(sorted(known - expected)))
