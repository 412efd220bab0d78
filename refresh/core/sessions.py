"""Sessions of many assets at once: how many lie between two days, and which are the nearest.

Kinds of calendars differ nowhere here: an asset that is not named trades every day.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from refresh.core.calendar import EPOCH_WEEKDAY, Calendar, Traded
from refresh.core.rows import Array, Rows, count, starts

_WEEK = 7


@dataclass(frozen=True)
class Sessions:
    """The calendars of some assets, by id; every day is a session of any other asset.

    Arrays have shape (rows,): ``ids`` of assets, and days, ``datetime64[D]``.
    """

    calendars: Mapping[int, Calendar]

    @cached_property
    def _groups(self) -> list[tuple[Calendar, Array]]:
        """Each distinct calendar that has closed days, with its assets."""
        members: dict[Calendar, list[int]] = {}
        for id, calendar in self.calendars.items():
            if not calendar.is_always_open:
                members.setdefault(calendar, []).append(id)
        return [(calendar, np.array(ids)) for calendar, ids in members.items()]

    @property
    def are_all_days(self) -> bool:
        """Whether no asset has a closed day."""
        return not self._groups

    def between(self, ids: Array, first: Array, last: Array) -> Array:
        """The number of sessions from ``first`` on and before ``last``, int64."""
        number = (last - first).astype(np.int64)
        for calendar, members in self._groups:
            own = np.isin(ids, members)
            number[own] = _before(calendar, last[own]) - _before(calendar, first[own])
        return number

    def first_from(self, ids: Array, days: Array, has_one: Array) -> Array:
        """The first session on or after each day, where ``has_one`` is true; elsewhere the day itself."""
        return self._moved(ids, days, has_one, 1)

    def last_to(self, ids: Array, days: Array, has_one: Array) -> Array:
        """The last session on or before each day, where ``has_one`` is true; elsewhere the day itself."""
        return self._moved(ids, days, has_one, -1)

    def _moved(self, ids: Array, days: Array, has_one: Array, step: int) -> Array:
        moved = days.copy() if self._groups else days
        for calendar, members in self._groups:
            closed = np.flatnonzero(has_one & np.isin(ids, members))
            while len(closed):
                of_closed = moved[closed]
                closed = closed[_before(calendar, of_closed + 1) == _before(calendar, of_closed)]
                moved[closed] += step
        return moved


ALL_DAYS = Sessions({})
"""Every day is a session of every asset."""


def _before(calendar: Calendar, days: Array) -> Array:
    """The number of sessions before each day, as ``Calendar.before`` counts them, int64."""
    day = days.astype("M8[D]").astype(np.int64)
    weeks, weekday = np.divmod(day + EPOCH_WEEKDAY, _WEEK)
    steps = np.array(calendar.steps)
    regular = weeks * steps[-1] + steps[weekday]
    closed, opened = np.array(calendar.closed, np.int64), np.array(calendar.opened, np.int64)
    return np.asarray(regular - np.searchsorted(closed, day) + np.searchsorted(opened, day))


def traded(bars: Rows) -> dict[int, Traded]:
    """The days of each asset's bars. ``bars``: id and day, sorted by them."""
    if not count(bars):
        return {}
    day = bars["day"].astype(np.int64)
    heads = np.flatnonzero(starts(bars["id"]))
    lasts = np.append(heads[1:], len(day)) - 1
    bits = np.bitwise_or.reduceat(1 << (day + EPOCH_WEEKDAY) % _WEEK, heads)
    numbers = [column.tolist() for column in (bits, day[heads], day[lasts], lasts - heads + 1)]
    facts = [
        Traded(weekdays=week, first=first, last=last, bars=n) for week, first, last, n in zip(*numbers, strict=True)
    ]
    return dict(zip(bars["id"][heads].tolist(), facts, strict=True))


def sessions_of(daily: Rows, chosen: Mapping[int, Calendar]) -> Sessions:
    """The calendars of assets with these daily bars, all there are: the one that is chosen, or the one they teach."""
    learned = {id: days.calendar for id, days in traded(daily).items()}
    return Sessions({**learned, **chosen})


def with_missing_sessions(bars: Rows, before: Rows, sessions: Sessions) -> Rows:
    """Daily bars whose missing days are sessions. ``before``: the last bar of each asset before them, id and day.

    They arrive with every day counted, so nothing is to be done where every day is a session.
    """
    if sessions.are_all_days or not count(bars):
        return bars
    previous = np.roll(bars["day"], 1)
    is_first = starts(bars["id"])
    previous[is_first] = bars["day"][is_first] - 1
    position = np.searchsorted(bars["id"], before["id"])
    has_bars = position < count(bars)
    has_bars[has_bars] = bars["id"][position[has_bars]] == before["id"][has_bars]
    previous[position[has_bars]] = before["day"][has_bars]
    missing = sessions.between(bars["id"], previous + 1, bars["day"]).astype(np.int32)
    return bars | {"is_missing_days": missing > 0, "count_missing_days": missing}
