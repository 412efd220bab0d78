"""What finding changes costs, and that the rest of a nightly refresh does not grow with history.

    .venv/bin/python bench/detection.py [--assets 1000] [--days 2000] [--refreshed 20] [--pairs 5]

Prints the seconds of the digest pass over a source of that size, and the seconds of a refresh of one new day without
that pass, on histories of a quarter of the days and of all. The two take turns, and every pair has its ratio.
Everything happens in an embedded PostgreSQL of its own, which is removed afterwards.
"""

from __future__ import annotations

import argparse
import statistics
import time
from contextlib import ExitStack
from datetime import datetime, timedelta

from sqlalchemy import Connection, Engine, MetaData, create_engine, make_url, text
from throwaway import LAST, fill, folder, settings, sizes

from refresh.builder import work
from refresh.catalog import BUILDERS, SOURCE
from refresh.due import survey
from refresh.options.request import Request
from refresh.records import Outcome, Status
from refresh.server.embedded import lease
from refresh.store import source
from refresh.store.database import connect, read_committed
from refresh.store.schema import prepare
from refresh.store.tables import source_table

APPEND = f"""
    INSERT INTO {SOURCE} (id, timeopen, timeclose, open, high, low, close, volume, "timestamp")
    SELECT id, :time, :time, 100, 101, 99, 100, 1, :time FROM (SELECT DISTINCT id FROM {SOURCE}) AS a
"""


def main() -> None:
    """Measure and print."""
    size = sizes(__doc__, assets=1000, days=2000, refreshed=20, pairs=5)
    with folder() as directory, lease(settings(directory)) as server, ExitStack() as stack:
        big, short, long = (_database(stack, server.url, name) for name in ("big", "short", "long"))
        fill(big, size.assets, size.days)
        _print_digest(big, size)
        for engine, days in ((short, size.days // 4), (long, size.days)):
            fill(engine, size.refreshed, days)
            _refresh(engine)
        _print_pairs(short, long, size)


def _database(stack: ExitStack, url: str, name: str) -> Engine:
    """An engine on a new database that is prepared for a run."""
    creator = create_engine(url, isolation_level="AUTOCOMMIT")
    with creator.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    creator.dispose()
    engine = stack.enter_context(connect(make_url(url).set(database=name).render_as_string(hide_password=False)))
    with read_committed(engine) as connection:
        source_table(MetaData()).create(connection)
        prepare(connection)
    return engine


def _print_digest(engine: Engine, size: argparse.Namespace) -> None:
    with read_committed(engine) as connection:
        _digest_seconds(connection, LAST)
        runs = [_digest_seconds(connection, LAST) for _ in range(size.pairs)]
    print(f"digest pass, {size.assets:,} assets x {size.days:,} days: median {statistics.median(runs):.2f} s")


def _digest_seconds(connection: Connection, day: datetime) -> float:
    (scope,) = survey.open_scopes(connection, BUILDERS[:1], Request().selection, day)
    began = time.monotonic()
    source.changed_months(connection, scope.source, None, cutoff=None, everything=False)
    return time.monotonic() - began


def _refresh(engine: Engine) -> list[Outcome]:
    outcomes: list[Outcome] = []
    with read_committed(engine) as connection:
        scopes = survey.open_scopes(connection, BUILDERS, Request().selection, LAST + timedelta(days=400))
    for scope in scopes:
        work.refresh(engine, scope, work.Listeners(report=outcomes.append))
    return outcomes


def _print_pairs(short: Engine, long: Engine, size: argparse.Namespace) -> None:
    ratios = []
    for number in range(1, size.pairs + 1):
        day = LAST + timedelta(days=number)
        of_short, of_long = _nightly(short, day), _nightly(long, day)
        ratios.append(of_long / of_short)
        print(f"night {number}: {size.days // 4:,} days {of_short:.2f} s, {size.days:,} days {of_long:.2f} s")
    ratio = f"median ratio {statistics.median(ratios):.2f}"
    print(f"one new day of {size.refreshed} assets, four times the history: {ratio}")


def _nightly(engine: Engine, day: datetime) -> float:
    """The seconds of a refresh of one new day, without those of the digest pass."""
    with engine.begin() as connection:
        connection.execute(text(APPEND), {"time": day + timedelta(hours=23)})
    with read_committed(engine) as connection:
        digest = _digest_seconds(connection, day)
    began = time.monotonic()
    outcomes = _refresh(engine)
    assert {outcome.status for outcome in outcomes} == {Status.DONE}
    return time.monotonic() - began - digest


if __name__ == "__main__":
    main()
