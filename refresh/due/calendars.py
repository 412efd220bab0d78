"""Which calendar is in effect on the daily bars of an asset, and whether it is another one than before.

An asset that names none learns its own from the weekdays of its bars. That is asked of the database only where the
number of bars does not tell already that they lie on all weekdays. Imports no numeric library.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from refresh.core.calendar import (
    LEARNED,
    OPEN,
    Calendar,
    Traded,
    day_number,
    is_surely_open,
    read_week,
    shown,
    written,
)
from refresh.due.decision import Due
from refresh.due.markets import Market, UnknownMarketError, market_of, release
from refresh.store import calendars
from refresh.store.daily_state import DailyState
from refresh.store.dimension_tables import ASSETS

States = Mapping[int, DailyState]


@dataclass(frozen=True, kw_only=True, slots=True)
class Setting:
    """The calendar of an asset, under the ``name`` by which it is remembered; ``None`` is 24/7.

    ``market``: what the database has yet to keep with it. ``obstacle``: why there is none.
    """

    name: str | None = None
    calendar: Calendar = OPEN
    market: Market | None = None
    obstacle: str = ""

    def change(self, before: str | None) -> str:
        """How it differs from the one that was remembered, in words; empty if it is the same."""
        if self.obstacle or self.name == before:
            return ""
        old, new = shown(before), shown(self.name)
        return f"sessions of {new} changed" if old == new else f"calendar changed from {old} to {new}"


@dataclass(frozen=True, slots=True)
class _Stretch:
    """The bars of an asset before a time; ``None``: all."""

    id: int
    since: datetime | None


def chosen(connection: Connection, ids: Sequence[int] | None) -> dict[int, Setting]:
    """The calendars that the user has chosen."""
    names = calendars.chosen(connection, ids)
    by_name = {name: _setting(name) for name in set(names.values())}
    markets = [name for name, setting in by_name.items() if setting is None]
    stored = _stored_markets(connection) if markets else {}
    settings: dict[int, Setting] = {}
    for id, name in names.items():
        settings[id] = by_name[name] or _market_setting(id, name, stored)
    return settings


def _setting(name: str) -> Setting | None:
    """The setting that weekdays or 24/7 mean; ``None`` for the name of a market."""
    week = None if name.endswith(LEARNED) else read_week(name)
    if week is None:
        return None
    return Setting(name=None if week.is_always_open else written(week.week), calendar=week)


def _stored_markets(connection: Connection) -> dict[tuple[str, str], Market]:
    """The markets that the database keeps, by name and release of the package."""
    markets = {}
    for name, (market, known_by, calendar) in calendars.markets_of(connection).items():
        markets[market, known_by] = Market(market=market, name=name, release=known_by, calendar=calendar)
    return markets


def _market_setting(id: int, name: str, stored: Mapping[tuple[str, str], Market]) -> Setting:
    try:
        kept = stored.get((name, release()))
        market = kept or market_of(name)
    except UnknownMarketError as error:
        return Setting(obstacle=f"{ASSETS}.calendar: {error}: UPDATE {ASSETS} SET calendar = 'auto' WHERE id = {id}")
    return Setting(name=market.name, calendar=market.calendar, market=None if kept else market)


def revised(connection: Connection, states: States, ids: Sequence[int] | None, tz: str) -> set[int]:
    """The assets whose stored bars are to be examined again: another calendar is in effect, or none can be."""
    settings = chosen(connection, ids)
    known = {id: state for id, state in states.items() if state.bars}
    lost = _lost(connection, known)
    doubtful = [_Stretch(id, None) for id, state in known.items() if id not in settings and _may_learn(state)]
    weekdays = calendars.all_weekdays(connection, doubtful, tz)
    taught = {id for id, facts in weekdays.items() if not _traded(facts).calendar.is_always_open}
    return taught | {id for id, state in known.items() if state.calendar in lost or _is_other(settings.get(id), state)}


def _is_other(setting: Setting | None, state: DailyState) -> bool:
    """Whether what the user has chosen is not what is remembered."""
    if setting is None:
        return state.calendar is not None and not state.calendar.endswith(LEARNED)
    return bool(setting.obstacle) or setting.name != state.calendar


def _lost(connection: Connection, states: States) -> set[str]:
    names = {state.calendar for state in states.values() if state.calendar}
    return names.difference(calendars.named(connection, names))


def _may_learn(state: DailyState) -> bool:
    """Whether an asset that trades every day, as far as is known, may teach otherwise; mostly its bars are too many.

    Their days are known up to the time zone.
    """
    if state.calendar is not None or state.first is None or state.last is None:
        return False
    days = (state.last - state.first).days
    return not is_surely_open(state.bars, days, days + 2)


def _traded(facts: calendars.Weekdays) -> Traded:
    return Traded(weekdays=facts.bits, first=day_number(facts.first), last=day_number(facts.last))


def _learned(days: Traded | None) -> Setting:
    """The calendar that all bars of an asset teach; 24/7 without any."""
    calendar = days.calendar if days else OPEN
    return Setting(name=None if calendar.is_always_open else written(calendar.week) + LEARNED, calendar=calendar)


def decide(
    connection: Connection, dues: Sequence[Due], new: Mapping[int, Traded], before: Mapping[int, int], states: States,
    tz: str,
) -> dict[int, Setting]:  # fmt: skip
    """The calendar of each asset once its new bars, those from ``since`` on, are stored.

    ``before``: the number of bars that stay before them, where there are any.
    """
    settings = chosen(connection, [due.id for due in dues])
    waiting: list[_Stretch] = []
    for due in dues:
        days, state = new.get(due.id), states.get(due.id)
        if due.id in settings:
            continue
        if due.id not in before:
            settings[due.id] = _learned(days)
        elif days and state and _fill_the_weeks(before[due.id] + days.bars, state, days.last):
            settings[due.id] = Setting()
        else:
            waiting.append(_Stretch(due.id, due.since))
    return settings | _taught(connection, waiting, new, states, tz)


def _fill_the_weeks(bars: int, state: DailyState, last: int) -> bool:
    """Whether so many bars up to a day must lie on all weekdays; the first day is known up to the time zone."""
    if state.first is None:
        return False
    days = last - day_number(state.first.date())
    return is_surely_open(bars, days, days + 2)


def _taught(
    connection: Connection, stretches: Sequence[_Stretch], new: Mapping[int, Traded], states: States, tz: str
) -> dict[int, Setting]:
    """What new bars and those before them teach; the latest of these tell mostly what all would.

    They do if no weekday is closed, or if those that were closed still are: no earlier bar is on one of them.
    """
    settings: dict[int, Setting] = {}
    for id, facts in calendars.latest_weekdays(connection, stretches, tz).items():
        setting, state = _learned(_traded(facts).joined(new.get(id))), states.get(id)
        if setting.name is None or (state and setting.name == state.calendar):
            settings[id] = setting
    unsure = [stretch for stretch in stretches if stretch.id not in settings]
    for id, facts in calendars.all_weekdays(connection, unsure, tz).items():
        settings[id] = _learned(_traded(facts).joined(new.get(id)))
    return settings


def save_settings(connection: Connection, settings: Mapping[int, Setting]) -> None:
    """Remember the calendars in effect, and keep those of markets."""
    if not settings:
        return
    markets = {setting.market.name: setting.market for setting in settings.values() if setting.market}
    for market in markets.values():
        calendars.save_market(connection, market.name, market.market, market.release, market.calendar)
    calendars.save(connection, {id: setting.name for id, setting in settings.items()})
