"""Shares in a test database: their rows, their calendars, and a second database that is built from the same source."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime

from databases import database
from refreshing import NOW, TARGETS, digest, enable, refresh, rows
from sqlalchemy import URL, Engine
from statements import ask, execute

from refresh.catalog import SOURCE
from refresh.store.database import connect
from refresh.wording import listed

WORKDAYS, EVERY_DAY = (1, 2, 3, 4, 5), (1, 2, 3, 4, 5, 6, 7)
FEW = ("3D", "1W_CAL_US", "1W_CAL_ISO", "1M_CAL", "1W_CAL_ANCHOR_US", "2W_CAL_ANCHOR_ISO")
STATES = "SELECT id, calendar FROM cmc_price_bars_1d_state ORDER BY id"
_DAYS = f"""
    INSERT INTO {SOURCE} (id, "timestamp", timeopen, timeclose, open, high, low, close, volume)
    SELECT :id, at, at - interval '6 hours', at, 10, 20 + extract(day FROM at) / 7, 5, 10 + extract(doy FROM at) / 9, 7
    FROM generate_series(CAST(:first AS date), CAST(:last AS date), interval '1 day') AS day
    CROSS JOIN LATERAL (SELECT day + interval '21 hours' AS at) AS d
    WHERE extract(isodow FROM day) = ANY(:weekdays) ON CONFLICT DO NOTHING
"""


def trade(engine: Engine, id: int, first: str, last: str, weekdays: tuple[int, ...] = WORKDAYS) -> None:
    """An asset has a row on these weekdays."""
    execute(engine, _DAYS, id=id, first=first, last=last, weekdays=list(weekdays))


def lose(engine: Engine, id: int, first: str, last: str | None = None) -> None:
    """The source loses days of an asset."""
    between = '"timestamp"::date BETWEEN CAST(:first AS date) AND CAST(:last AS date)'
    execute(engine, f"DELETE FROM {SOURCE} WHERE id = :id AND {between}", id=id, first=first, last=last or first)


def choose(engine: Engine, id: int, calendar: str, symbol: str | None = None) -> None:
    """The user chooses the calendar of an asset."""
    row = "INSERT INTO dim_asset (id, symbol, calendar) VALUES (:id, :symbol, :calendar)"
    upsert = f"{row} ON CONFLICT (id) DO UPDATE SET calendar = excluded.calendar"
    execute(engine, upsert, id=id, calendar=calendar, symbol=symbol)


def remembered(engine: Engine) -> dict[int, str | None]:
    """The calendar in effect on the bars of each asset."""
    return dict(ask(engine, STATES))


def day(text: str) -> date:
    """A day as PostgreSQL returns it."""
    return date.fromisoformat(text)


@contextmanager
def rebuilt(server: URL, template: str, engine: Engine, now: datetime = NOW) -> Iterator[Engine]:
    """Another database, built from the present source and dimensions alone."""
    with database(server, template) as url, connect(url) as other:
        for table in (SOURCE, "dim_asset", "dim_timeframe", "dim_period"):
            execute(other, f"DELETE FROM {table}")
            ((records,),) = ask(engine, f"SELECT coalesce(json_agg(t), '[]')::text FROM {table} t")
            columns = listed(column for (column,) in ask(engine, _COLUMNS, table=table))
            copied = f"SELECT {columns} FROM json_populate_recordset(NULL::{table}, CAST(:records AS json))"
            execute(other, f"INSERT INTO {table} ({columns}) {copied}", records=records)
        refresh(other, now=now)
        yield other


_COLUMNS = """SELECT quote_ident(attname) FROM pg_attribute
              WHERE attrelid = CAST(:table AS regclass) AND attnum > 0 ORDER BY attnum"""


def differences(server: URL, template: str, engine: Engine, now: datetime = NOW) -> dict[str, list[str]]:
    """The first rows that a rebuild would not leave, by table; and the calendars, if they are others."""
    found: dict[str, list[str]] = {}
    with rebuilt(server, template, engine, now) as other:
        if remembered(engine) != remembered(other):
            found["calendar"] = [str(remembered(engine)), str(remembered(other))]
        for table in TARGETS:
            if digest(engine, table) != digest(other, table):
                found[table] = sorted(set(rows(engine, table)) ^ set(rows(other, table)))[:4]
    return found


def prepare(engine: Engine) -> None:
    """A timeframe or two of each kind."""
    enable(engine, FEW, [10])
