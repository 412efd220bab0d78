"""The calendars of assets: what the user chose, what is in effect, and the weekdays on which there are daily bars.

A calendar in effect is a text in the state of the daily bars: NULL is 24/7, weekdays are written as they are, and the
sessions of a market are in a table of their own, under a name that ends with a digest of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy import Connection, text

from refresh.catalog import DAILY
from refresh.core.calendar import OPEN, Calendar, read_week
from refresh.errors import RefreshError
from refresh.store.dimension_tables import ASSETS, CALENDARS
from refresh.store.statements import ALL_OR_SOME, array_of, columns_of, day_of, lists_of, rows_of, some_assets
from refresh.store.tables import DAILY_STATE

AUTO = "auto"
_LATEST_BARS = 10
"""How many bars show, as a rule, every weekday on which an asset trades."""


def chosen(connection: Connection, ids: Sequence[int] | None) -> dict[int, str]:
    """The calendar that ``dim_asset`` names for each asset that does not learn its own."""
    query = text(f"""
        SELECT id, btrim(calendar) AS calendar FROM {ASSETS}
        WHERE {ALL_OR_SOME} AND lower(btrim(calendar)) NOT IN ('{AUTO}', '')
    """)
    return {row.id: row.calendar for row in connection.execute(query, some_assets(ids))}


def effective(connection: Connection, ids: Sequence[int]) -> dict[int, Calendar]:
    """The calendars in effect on the daily bars of some assets, except for 24/7.

    Raises ``RefreshError`` if one has been lost.
    """
    query = text(f"SELECT id, calendar FROM {DAILY_STATE} WHERE id = ANY(CAST(:ids AS int[])) AND calendar IS NOT NULL")
    names = {row.id: row.calendar for row in connection.execute(query, {"ids": array_of(ids)})}
    calendars = named(connection, names.values())
    lost = [id for id, name in names.items() if name not in calendars]
    if lost:
        raise RefreshError(f"asset {lost[0]}: {CALENDARS} has no {names[lost[0]]!r}; run the builder bars.1d first")
    return {id: calendars[name] for id, name in names.items()}


def in_effect(connection: Connection, id: int) -> tuple[str | None, Calendar]:
    """The name of the calendar in effect on the daily bars of an asset, and the calendar."""
    name = connection.execute(text(f"SELECT calendar FROM {DAILY_STATE} WHERE id = :id"), {"id": id}).scalar()
    return name, calendar_of(name, named(connection, [name]))


def named(connection: Connection, names: Iterable[str | None]) -> dict[str, Calendar]:
    """The calendars that are in effect under some names; without those of markets that the table has lost."""
    known: dict[str, Calendar] = {}
    markets: set[str] = set()
    for name in set(filter(None, names)):
        week = read_week(name)
        if week is None:
            markets.add(name)
        else:
            known[name] = week
    if markets:
        known |= {name: calendar for name, (_, _, calendar) in markets_of(connection).items() if name in markets}
    return known


def calendar_of(name: str | None, calendars: Mapping[str, Calendar]) -> Calendar:
    """The calendar under a name; 24/7 without one, or if it has been lost."""
    return calendars.get(name, OPEN) if name else OPEN


def markets_of(connection: Connection) -> dict[str, tuple[str, str, Calendar]]:
    """Every calendar of a market, by its name: the market, the release of the package that knew it, the sessions."""
    query = text(f"SELECT calendar, market, release, week, closed, opened FROM {CALENDARS}")
    return {row.calendar: (row.market, row.release, _calendar(row)) for row in connection.execute(query)}


def _calendar(row: Any) -> Calendar:
    return Calendar(row.week, tuple(row.closed), tuple(row.opened))


def save_market(connection: Connection, name: str, market: str, release: str, calendar: Calendar) -> None:
    """Keep the sessions of a market."""
    values = {"closed": array_of(calendar.closed), "opened": array_of(calendar.opened)}
    connection.execute(
        text(f"""
            INSERT INTO {CALENDARS} (calendar, market, release, week, closed, opened)
            VALUES (:calendar, :market, :release, :week, CAST(:closed AS int[]), CAST(:opened AS int[]))
            ON CONFLICT (calendar) DO UPDATE SET release = excluded.release
        """),
        {"calendar": name, "market": market, "release": release, "week": calendar.week, **values},
    )


def save(connection: Connection, names: Mapping[int, str | None]) -> None:
    """Remember the calendars in effect on the daily bars of some assets."""
    connection.execute(
        text(f"""
            UPDATE {DAILY_STATE} s SET calendar = u.calendar FROM {rows_of("u", id="int", calendar="text")}
            WHERE s.id = u.id AND s.calendar IS DISTINCT FROM u.calendar
        """),
        columns_of("u", id=names, calendar=names.values()),
    )


@dataclass(frozen=True, slots=True)
class Weekdays:
    """A bit for each weekday of some bars of an asset, and the days of its first bar and of the last one of these."""

    bits: int
    first: date
    last: date


_WEEKDAY = 'CAST(1 << (extract(isodow FROM d."timestamp" AT TIME ZONE :tz)::int - 1) AS int)'


def latest_weekdays(connection: Connection, stretches: Sequence[Any], tz: str) -> dict[int, Weekdays]:
    """The weekdays of the last few bars before each stretch (``id``, ``since``); ``since`` ``None``: of all bars."""
    return _weekdays(connection, stretches, tz, f"LIMIT {_LATEST_BARS}")


def all_weekdays(connection: Connection, stretches: Sequence[Any], tz: str) -> dict[int, Weekdays]:
    """The weekdays of all bars before each stretch."""
    return _weekdays(connection, stretches, tz, "")


def _weekdays(connection: Connection, stretches: Sequence[Any], tz: str, limit: str) -> dict[int, Weekdays]:
    if not stretches:
        return {}
    day = day_of('"timestamp"')
    first = f'SELECT {day} AS day FROM {DAILY} d WHERE d.id = u.id ORDER BY "timestamp" LIMIT 1'
    query = text(f"""
        SELECT u.id, w.bits, f.day AS first, w.last FROM {rows_of("u", id="int", since="timestamptz")}
        CROSS JOIN LATERAL ({first}) AS f
        CROSS JOIN LATERAL (
            SELECT bit_or({_WEEKDAY}) AS bits, {day_of('max(d."timestamp")')} AS last FROM (
                SELECT "timestamp" FROM {DAILY} d
                WHERE d.id = u.id AND d."timestamp" < coalesce(u.since, 'infinity') ORDER BY "timestamp" DESC {limit}
            ) AS d) AS w
        WHERE w.bits IS NOT NULL
    """)
    rows = connection.execute(query, {"tz": tz, **lists_of("u", stretches, "id", "since")})
    return {row.id: Weekdays(row.bits, row.first, row.last) for row in rows}
