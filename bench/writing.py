"""The speed of writing rows, compared with what PostgreSQL can take: our COPY and psql's of the same bytes.

    .venv/bin/python bench/writing.py [--rows 1000000] [--pairs 5]

Both fill the empty table of EMAs, which has its key, with the same rows in the order of the key: we from arrays, psql
from a file of rows that are already encoded. The two take turns, a checkpoint before each, and every pair has its
ratio. Everything happens in an embedded PostgreSQL of its own, which is removed afterwards.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from sqlalchemy import Engine, text
from throwaway import database, folder, psql, sizes

from refresh.core.rows import Rows
from refresh.core.timeframe import DEFAULT_PERIODS, DEFAULT_TIMEFRAMES
from refresh.families import ROLLING
from refresh.shapes import EMA
from refresh.store import bulk
from refresh.store.database import Opened
from refresh.store.tables import METADATA

TABLE = METADATA.tables["cmc_ema_multi_tf"]
CANONICAL_EVERY = 7


def main() -> None:
    """Measure and print."""
    size = sizes(__doc__, rows=1_000_000, pairs=5)
    rows = emas(size.rows)
    ratios, speeds = [], []
    with folder() as directory, database(directory) as running:
        encoded = directory / "rows"
        with encoded.open("wb") as file:
            file.writelines(bulk.encoded(TABLE, rows))
        TABLE.create(running.engine)
        _seconds(running.engine, lambda: _write(running.engine, rows))  # warms up
        for _ in range(size.pairs):
            ours = _seconds(running.engine, lambda: _write(running.engine, rows))
            theirs = _seconds(running.engine, lambda: _copy(running, encoded, list(rows)))
            ratios.append(ours / theirs)
            speeds.append(size.rows / ours)
    print(f"{size.rows:,} EMAs into an empty table: median {statistics.median(speeds):,.0f} rows/s")
    print(f"compared with psql's binary COPY of the same bytes: median ratio {statistics.median(ratios):.2f}")


def emas(size: int) -> Rows:
    """Rows as an EMA builder writes them, in the order of the key; two columns of most of them are NULL."""
    labels = sorted(timeframe.tf.encode() for timeframe in DEFAULT_TIMEFRAMES if timeframe.belongs_to(ROLLING))
    day, series = np.divmod(np.arange(size), len(labels) * len(DEFAULT_PERIODS))
    timeframe, period = np.divmod(series, len(DEFAULT_PERIODS))
    canonical = (day + series) % CANONICAL_EVERY == 0
    rows: Rows = {
        "id": np.ones(size, np.int32),
        "tf": np.array(labels)[timeframe],
        "ts": np.datetime64("2020-01-01T23:59:59", "us") + day * np.timedelta64(86_400_000_000, "us"),
        "period": np.array(DEFAULT_PERIODS, np.int32)[period],
        "tf_days": np.full(size, 7, np.int32),
        "roll": ~canonical,
    }
    random = np.random.default_rng(1)
    for name in EMA.columns:
        rows[name] = random.random(size)
    for name in ("d1", "d2"):
        rows[name] = np.where(canonical, rows[name], np.nan)
    return rows


def _write(engine: Engine, rows: Rows) -> None:
    with engine.begin() as connection:
        bulk.write(connection, TABLE, rows)


def _copy(running: Opened, encoded: Path, names: list[str]) -> None:
    columns = ", ".join(f'"{name}"' for name in names)
    psql(running, f"\\copy {TABLE.name} ({columns}) from '{encoded}' (format binary)")


def _seconds(engine: Engine, act: Callable[[], None]) -> float:
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text(f"TRUNCATE {TABLE.name}"))
        connection.execute(text("CHECKPOINT"))
    began = time.monotonic()
    act()
    return time.monotonic() - began


if __name__ == "__main__":
    main()
