"""What finding changes costs, and that the rest of a nightly refresh does not grow with history.

    .venv/bin/python bench/detection.py [--assets 1000] [--days 2000] [--refreshed 20] [--pairs 5]

Prints the seconds of the digest pass over a source of that size, and the seconds that a refresh of one new day takes,
without that pass, on histories of a quarter and of all the days; the two in turn, and the ratio of each pair.
Everything happens in an embedded PostgreSQL of its own, which is removed afterwards.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import tempfile
import time
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import Engine, MetaData, create_engine, make_url, text

from refresh.builder import work
from refresh.catalog import BUILDERS, SOURCE
from refresh.options import Request
from refresh.outcome import Outcome
from refresh.store import source, survey
from refresh.store.database import connect, read_committed
from refresh.store.embedded import lease
from refresh.store.tables import source_table

LAST = datetime(2025, 12, 31, tzinfo=UTC)


def main() -> None:
    """Measure and print."""
    asked = _arguments()
    folder = Path(tempfile.mkdtemp(prefix="bench-", dir="/var/tmp"))
    folder.chmod(0o711)  # the server may be another user than we are
    try:
        with lease({**os.environ, "REFRESH_DATA_DIR": f"{folder}/data"}) as server, ExitStack() as stack:
            big, short, long = (_database(stack, server.url, name) for name in ("big", "short", "long"))
            fill(big, asked.assets, asked.days)
            _print_digest(big, asked)
            for engine, days in ((short, asked.days // 4), (long, asked.days)):
                fill(engine, asked.refreshed, days)
                _refresh(engine)
            _print_pairs(short, long, asked)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


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


def fill(engine: Engine, assets: int, days: int) -> None:
    """Give every asset ``days`` days that end with ``LAST``."""
    with engine.begin() as connection:
        connection.execute(
            text(f"""
                INSERT INTO {SOURCE} (id, name, timeopen, timeclose, timehigh, timelow, open, high, low, close, volume,
                                      marketcap, "timestamp", source_file)
                SELECT a, 'asset ' || a, d, d + interval '23:59:59', d + interval '7h', d + interval '3h',
                       100 + random(), 102 + random(), 98 + random(), 100 + random(), 1e6 * random(), 1e9 * random(),
                       d + interval '23:59:59', 'prices.csv'
                FROM generate_series(1, :assets) a,
                     generate_series(CAST(:first AS timestamptz), :last, interval '1 day') d
            """),
            {"assets": assets, "first": LAST - timedelta(days=days - 1), "last": LAST},
        )
        connection.execute(text(f"ANALYZE {SOURCE}"))


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
