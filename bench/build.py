"""How near a first build comes to what PostgreSQL can take, and how much memory its largest process takes.

    .venv/bin/python bench/build.py [--assets 60] [--days 1000] [--pairs 3]

Builds every table from an empty database by the program; then fills the same tables, emptied, by psql from files of the
same rows, encoded already, in as many sessions as there are cores. The two in turn, a checkpoint before each, and the
ratio of each pair. Everything happens in an embedded PostgreSQL of its own, which is removed afterwards.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from sqlalchemy import Engine, text
from throwaway import PROGRAM, database, fill, folder, psql, settings

from refresh.catalog import BUILDERS
from refresh.store.database import Opened
from refresh.store.tables import METADATA

TABLES = tuple(leg.target for builder in BUILDERS for leg in builder.legs)
MIB = 2**20 // (1 if sys.platform == "darwin" else 1024)
"""How many of the units in which the system tells a process's memory."""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("assets", 60), ("days", 1000), ("pairs", 3)):
        parser.add_argument(f"--{name}", type=int, default=default)
    asked = parser.parse_args()
    ratios, speeds, sizes = [], [], []
    with folder() as place, database(place) as made:
        fill(made.engine, asked.assets, asked.days)
        for _ in range(asked.pairs):
            _empty(made.engine)
            ours, memory = _build(made, place)
            rows = _dump(made, place)
            _empty(made.engine)
            theirs = _load(made, place)
            ratios.append(ours / theirs)
            speeds.append(rows / ours)
            sizes.append(memory)
    print(
        f"{rows:,} rows of {asked.assets} assets x {asked.days:,} days: median {statistics.median(speeds):,.0f} rows/s"
    )
    print(f"against psql's binary COPY of the same rows: median ratio {statistics.median(ratios):.2f}")
    print(f"largest process: {max(sizes):.0f} MiB")


def _empty(engine: Engine) -> None:
    """Empty every table of ours that is there, and settle the server."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        there = connection.execute(text("SELECT relname FROM pg_class WHERE relkind = 'r'")).scalars().all()
        if ours := [name for name in METADATA.tables if name in there]:
            connection.execute(text(f"TRUNCATE {', '.join(ours)}"))
        connection.execute(text("CHECKPOINT"))


def _build(made: Opened, place: Path) -> tuple[float, float]:
    """The seconds of a refresh of everything, and the MiB of its largest process."""
    environ = {**settings(place), "TARGET_DB_URL": made.url}
    began = time.monotonic()
    process = os.posix_spawn(sys.executable, [sys.executable, str(PROGRAM), "--all", "--quiet"], environ)
    _, status, used = os.wait4(process, 0)
    assert status == 0
    return time.monotonic() - began, used.ru_maxrss / MIB


def _dump(made: Opened, place: Path) -> int:
    """Write every table into a file the server may read as well; returns the rows."""
    for table in TABLES:
        psql(
            made, f"\\copy (SELECT * FROM {table} ORDER BY id, {_time(table)}, tf) to '{place / table}' (format binary)"
        )
    with made.engine.connect() as connection:
        return sum(connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one() for table in TABLES)


def _time(table: str) -> str:
    return next(f'"{name}"' for name in ("timestamp", "ts") if name in METADATA.tables[table].columns)


def _load(made: Opened, place: Path) -> float:
    """The seconds in which psql fills the tables, one after another in each of several sessions."""
    began = time.monotonic()
    with ThreadPoolExecutor(os.cpu_count()) as sessions:
        loads = [
            sessions.submit(psql, made, f"\\copy {table} from '{place / table}' (format binary)") for table in TABLES
        ]
    for load in loads:
        load.result()
    return time.monotonic() - began


if __name__ == "__main__":
    main()
