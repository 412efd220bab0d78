"""The speed of a first build, compared with what PostgreSQL can take, and the memory of its largest process.

    .venv/bin/python bench/build.py [--assets 60] [--days 1000] [--pairs 3]

Builds every table from an empty database by the program. Then psql fills the same tables, emptied, from files of the
same rows that are already encoded, in as many sessions as there are cores. The two take turns, with a checkpoint before
each, and every pair has its ratio. An embedded PostgreSQL is set up for all of this, and removed afterwards.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from sqlalchemy import Engine, text
from throwaway import PROGRAM, database, fill, folder, psql, settings, sizes

from refresh.catalog import legs
from refresh.shapes import Shape
from refresh.store.database import Opened
from refresh.store.tables import METADATA

SHAPES = {leg.target: leg.shape for _, leg in legs()}
UNITS_OF_A_MIB = 2**20 // (1 if sys.platform == "darwin" else 1024)
"""Bytes or KiB: the units in which the system reports the memory of a process."""


def main() -> None:
    """Measure and print."""
    size = sizes(__doc__, assets=60, days=1000, pairs=3)
    ratios, speeds, memory = [], [], []
    with folder() as directory, database(directory) as running:
        fill(running.engine, size.assets, size.days)
        for _ in range(size.pairs):
            _empty(running.engine)
            seconds, largest = _build(running, directory)
            rows = _dump(running, directory)
            _empty(running.engine)
            ratios.append(seconds / _load(running, directory))
            speeds.append(rows / seconds)
            memory.append(largest)
    speed = f"median {statistics.median(speeds):,.0f} rows/s"
    print(f"{rows:,} rows of {size.assets} assets x {size.days:,} days: {speed}")
    print(f"compared with psql's binary COPY of the same rows: median ratio {statistics.median(ratios):.2f}")
    print(f"largest process: {max(memory):.0f} MiB")


def _empty(engine: Engine) -> None:
    """Empty every table of ours that exists, and let the server settle."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        existing = connection.execute(text("SELECT relname FROM pg_class WHERE relkind = 'r'")).scalars().all()
        ours = [name for name in METADATA.tables if name in existing]
        if ours:
            connection.execute(text(f"TRUNCATE {', '.join(ours)}"))
        connection.execute(text("CHECKPOINT"))


def _build(running: Opened, directory: Path) -> tuple[float, float]:
    """The seconds of a refresh of everything, and the MiB of its largest process."""
    environ = {**settings(directory), "TARGET_DB_URL": running.url}
    began = time.monotonic()
    process = os.posix_spawn(sys.executable, [sys.executable, str(PROGRAM), "--all", "--quiet"], environ)
    _, status, used = os.wait4(process, 0)
    assert status == 0
    return time.monotonic() - began, used.ru_maxrss / UNITS_OF_A_MIB


def _dump(running: Opened, directory: Path) -> int:
    """Write every table to a file that the server can read. Returns the number of rows."""
    for table, shape in SHAPES.items():
        query = f"SELECT * FROM {table} ORDER BY {_order(shape)}"
        psql(running, f"\\copy ({query}) to '{directory / table}' (format binary)")
    with running.engine.connect() as connection:
        return sum(connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one() for table in SHAPES)


def _order(shape: Shape) -> str:
    """The order in which a builder writes rows: of each asset day after day."""
    return f'id, "{shape.time}", tf'


def _load(running: Opened, directory: Path) -> float:
    """The seconds in which psql fills the tables, several at the same time."""
    began = time.monotonic()
    with ThreadPoolExecutor(os.cpu_count()) as sessions:
        loads = []
        for table in SHAPES:
            command = f"\\copy {table} from '{directory / table}' (format binary)"
            loads.append(sessions.submit(psql, running, command))
    for load in loads:
        load.result()
    return time.monotonic() - began


if __name__ == "__main__":
    main()
