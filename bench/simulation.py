"""The plan, survey and check of very many assets: ``python -m bench.simulation [--assets N ...] [--days N]``.

Two assets are built by a refresh: one with a long history, whose states are those of a database that has run for years,
and one with a few days, whose prices, daily bars and digests are small enough to multiply. All other assets get the
states of the first and the rest of the second, by SQL. Of bars and averages they get the last day, which is what a
survey looks at; the arrays of averages stay empty.
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from sqlalchemy import MetaData, Table, text
from sqlalchemy.dialects.postgresql import ARRAY

from bench.figures import Figure, Unit
from bench.machine import first_line, machine
from bench.programs import Usage, daily
from bench.server import Bench, Database, Size, settle
from bench.table import lines
from refresh.catalog import DAILY, SOURCE, legs
from refresh.store.source import open_source, save_months
from refresh.store.tables import DAILY_STATE, METADATA, OUTCOMES, source_table

LONG, SHORT = 1, 2
"""The two assets that are built."""
LONG_DAYS = 3000
_SHORT_TABLES = (DAILY, DAILY_STATE)
_LONG_TABLES = tuple(leg.state for _, leg in legs() if leg.shape.has_timeframes)
_LAST_DAYS = {leg.table: leg.shape.time for _, leg in legs() if leg.shape.has_timeframes}
_PRICES = f"""
    INSERT INTO {SOURCE} (id, name, timeopen, timeclose, timehigh, timelow, open, high, low, close, volume, "timestamp")
    SELECT :id, 'asset', d - interval '23:59:59', d, d - interval '17h', d - interval '21h',
           100 + random(), 102 + random(), 98 + random(), 100 + random(), 1e6 * random(), d
    FROM generate_series(CAST(:last AS timestamptz) - make_interval(days => :days - 1), :last, interval '1 day') d
"""
_NEW_DAY = f"""
    INSERT INTO {SOURCE} (id, name, timeopen, timeclose, timehigh, timelow, open, high, low, close, volume, "timestamp")
    SELECT id, name, :now - interval '23:59:59', :now, :now - interval '17h', :now - interval '21h', 100, 102, 98, 100,
           volume, :now FROM {SOURCE} WHERE "timestamp" = :now - interval '1 day'
"""
LOOKS = {"dry run": ("--all", "--dry-run", "--restate-limit", "100"), "check": ("--check",)}
"""What is timed, with its options."""


class _Whole(NamedTuple):
    """An asset whose digests of all months are remembered: they depend on the id."""

    id: int
    since: datetime | None = None


@contextmanager
def simulated(bench: Bench, assets: int, days: int) -> Iterator[tuple[Database, datetime]]:
    """A database with this number of assets, and the time of their last prices."""
    last = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(seconds=1)
    with bench.cloned(Size(assets, days)) as database:
        with database.engine.begin() as connection:
            source_table(MetaData()).create(connection)
            for id, number in ((LONG, LONG_DAYS), (SHORT, days)):
                connection.execute(text(_PRICES), {"id": id, "last": last, "days": number})
        bench.refresh(database)
        for statement in _multiplying():
            with database.engine.begin() as connection:
                connection.execute(text(statement), {"first": SHORT + 1, "last": assets, "time": last})
        with database.engine.begin() as connection:
            stretches = [_Whole(id) for id in range(SHORT + 1, assets + 1)]
            save_months(connection, open_source(connection, "UTC"), stretches)
        settle(database)
        yield database, last


def _multiplying() -> Iterator[str]:
    """The statements that give all other assets their rows."""
    source = source_table(MetaData())
    yield _copy(source, f"id = {SHORT}")
    for name in _SHORT_TABLES:
        yield _copy(METADATA.tables[name], f"id = {SHORT}")
    for name in (*_LONG_TABLES, OUTCOMES):
        yield _copy(METADATA.tables[name], f"id = {LONG}")
    for name, time in _LAST_DAYS.items():
        yield _copy(METADATA.tables[name], f'id = {LONG} AND "{time}" = :time')


def _copy(table: Table, condition: str) -> str:
    """The rows of one asset, once for each of the others, without large arrays."""
    columns = [column for column in table.columns if not (isinstance(column.type, ARRAY) and column.nullable)]
    names = [f'"{column.name}"' for column in columns]
    values = ", ".join("g.id" if name == '"id"' else f"t.{name}" for name in names)
    return f"""
        INSERT INTO {table.name} ({", ".join(names)}) SELECT {values}
        FROM generate_series(CAST(:first AS int), CAST(:last AS int)) AS g(id)
        CROSS JOIN (SELECT * FROM {table.name} WHERE {condition}) AS t ORDER BY g.id
    """


def measure(bench: Bench, assets: int, days: int) -> list[Figure]:
    """What looking costs when nothing is due, and when every asset has one new day."""
    bench.say(f"simulating {assets:,} assets")
    with simulated(bench, assets, days) as (database, last):
        bench.say(f"{_gigabytes(database):.1f} GB; nothing is due")
        figures = _looks(bench, database, "nothing due")
        add_day(database, last)
        bench.say("one new day of every asset")
        return [*figures, *_looks(bench, database, "a new day")]


def add_day(database: Database, last: datetime) -> None:
    """Give every asset a price of the day after the last one."""
    with database.engine.begin() as connection:
        connection.execute(text(_NEW_DAY), {"now": last + timedelta(days=1)})
    settle(database)


def _looks(bench: Bench, database: Database, state: str) -> list[Figure]:
    figures = []
    for name, options in LOOKS.items():
        usages = [_look(bench, database, options) for _ in range(bench.pairs)]
        peak = max(usage.peak for usage in usages) / 1e6
        note = f"{peak:,.0f} MB at most, {usages[-1].cpu:.1f} s of CPU beside the server's"
        seconds = [usage.seconds for usage in usages]
        label = f"{database.size.assets:,} assets, {state}: {name}"
        bench.say(f"{label}: {', '.join(f'{each:.1f} s' for each in seconds)}, {note}")
        figures.append(Figure(name=label, samples=seconds, unit=Unit.SECONDS, note=note))
    return figures


def _look(bench: Bench, database: Database, options: tuple[str, ...]) -> Usage:
    """What one look used. A check that finds assets behind ends with 1."""
    return daily(database.url, bench.directory, *options, codes=(0, 1))


def _gigabytes(database: Database) -> float:
    with database.engine.connect() as connection:
        size: int = connection.execute(text("SELECT pg_database_size(current_database())")).scalar_one()
    return size / 1e9


def main() -> None:
    """Simulate each number of assets, and print one table."""
    parser = argparse.ArgumentParser(prog="python -m bench.simulation", description=__doc__)
    parser.add_argument("--assets", type=int, nargs="+", default=[10_000, 100_000], help="default: 10000 100000")
    parser.add_argument("--days", type=int, default=20, help="days of prices of an asset (default: 20)")
    parser.add_argument("--pairs", type=int, default=3, help="look so often (default: 3)")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    figures: list[Figure] = []
    with Bench(pairs=arguments.pairs) as bench:
        print(first_line(machine(bench.engine)), end="\n\n", flush=True)
        try:
            for assets in arguments.assets:
                figures += measure(bench, assets, arguments.days)
        finally:
            print(*lines(figures), sep="\n")


if __name__ == "__main__":
    main()
