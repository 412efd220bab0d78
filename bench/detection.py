"""What finding changes costs, and that the rest of a nightly refresh does not grow with history.

    .venv/bin/python bench/detection.py [--assets 1000] [--days 2000] [--refreshed 20] [--pairs 5]

Prints the seconds of the digest pass over a source of that size, and the seconds that a refresh of one new day takes,
without that pass, on histories of a quarter and of all the days; the two in turn, and the ratio of each pair.
Everything happens in an embedded PostgreSQL of its own, which is removed afterwards.
"""

from __future__ import annotations

import argparse
import statistics
import time
from contextlib import ExitStack
from datetime import datetime, timedelta

from sqlalchemy import Engine, MetaData, create_engine, make_url, text
from throwaway import LAST, fill, folder, settings

from refresh.builder import work
from refresh.catalog import BUILDERS, SOURCE
from refresh.options.request import Request
from refresh.records import Outcome
from refresh.store import source
from refresh.due import survey
from refresh.store.database import connect, read_committed
from refresh.server.embedded import lease
from refresh.store.tables import source_table


def main() -> None:
    """Measure and print."""
    asked = _arguments()
    with folder() as place, lease(settings(place)) as server, ExitStack() as stack:
        big, short, long = (_database(stack, server.url, name) for name in ("big", "short", "long"))
        fill(big, asked.assets, asked.days)
        _print_digest(big, asked)
        for engine, days in ((short, asked.days // 4), (long, asked.days)):
            fill(engine, asked.refreshed, days)
            _refresh(engine)
        _print_pairs(short, long, asked)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("assets", 1000), ("days", 2000), ("refreshed", 20), ("pairs", 5)):
        parser.add_argument(f"--{name}", type=int, default=default)
    return parser.parse_args()


def _database(stack: ExitStack, url: str, name: str) -> Engine:
    maker = create_engine(url, isolation_level="AUTOCOMMIT")
    with maker.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    maker.dispose()
    engine = connect(make_url(url).set(database=name).render_as_string(hide_password=False))
    stack.callback(engine.dispose)
    with engine.begin() as connection:
        source_table(MetaData()).create(connection)
    return engine


def _print_digest(engine: Engine, asked: argparse.Namespace) -> None:
    with read_committed(engine) as connection:
        (scope, *_) = survey.open_scopes(connection, BUILDERS[:1], Request(), LAST)
        source.changed_months(connection, scope.source, None, cutoff=None, everything=False)
        seconds = []
        for _ in range(asked.pairs):
            began = time.monotonic()
            source.changed_months(connection, scope.source, None, cutoff=None, everything=False)
            seconds.append(time.monotonic() - began)
    print(f"digest pass, {asked.assets:,} assets x {asked.days:,} days: median {statistics.median(seconds):.2f} s")


def _refresh(engine: Engine) -> list[Outcome]:
    outcomes: list[Outcome] = []
    with read_committed(engine) as connection:
        scopes = survey.open_scopes(connection, BUILDERS, Request(), LAST + timedelta(days=400))
    for scope in scopes:
        work.refresh(engine, scope, outcomes.append)
    return outcomes


def _print_pairs(short: Engine, long: Engine, asked: argparse.Namespace) -> None:
    ratios = []
    for day in range(1, asked.pairs + 1):
        one, other = (_nightly(engine, LAST + timedelta(days=day)) for engine in (short, long))
        ratios.append(other / one)
        print(f"night {day}: {asked.days // 4:,} days {one:.2f} s, {asked.days:,} days {other:.2f} s")
    print(
        f"one new day of {asked.refreshed} assets, four times the history: median ratio {statistics.median(ratios):.2f}"
    )


def _nightly(engine: Engine, day: datetime) -> float:
    """Seconds that a refresh of one new day takes, less those of the digest pass."""
    with engine.begin() as connection:
        connection.execute(
            text(f"""INSERT INTO {SOURCE} (id, timeopen, timeclose, open, high, low, close, volume, "timestamp")
                     SELECT id, :day, :day, 100, 101, 99, 100, 1, :day FROM (SELECT DISTINCT id FROM {SOURCE}) AS a"""),
            {"day": day + timedelta(hours=23)},
        )
    with read_committed(engine) as connection:
        (scope, *_) = survey.open_scopes(connection, BUILDERS[:1], Request(), day)
        began = time.monotonic()
        source.changed_months(connection, scope.source, None, cutoff=None, everything=False)
        digest = time.monotonic() - began
    began = time.monotonic()
    outcomes = _refresh(engine)
    assert all(outcome.rows for outcome in outcomes)
    return time.monotonic() - began - digest


if __name__ == "__main__":
    main()
