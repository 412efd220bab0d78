"""How near writing rows comes to what PostgreSQL can take: our COPY against psql's of the same bytes.

    .venv/bin/python bench/writing.py [--rows 1000000] [--pairs 5]

Both fill the empty table of EMAs, its key in place, with the same rows in the order of the key; ours from arrays, psql
from a file that holds them encoded already. The two in turn, a checkpoint before each, and the ratio of each pair.
Everything happens in an embedded PostgreSQL of its own, which is removed afterwards.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from sqlalchemy import Engine, text
from throwaway import database, folder, psql

from refresh.catalog import ROLLING
from refresh.core.rows import Rows
from refresh.core.timeframe import DEFAULT_PERIODS, DEFAULT_TIMEFRAMES
from refresh.store import bulk
from refresh.store.database import Opened
from refresh.store.tables import METADATA, difference_columns

TABLE = METADATA.tables["cmc_ema_multi_tf"]
CANONICAL_EVERY = 7


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--pairs", type=int, default=5)
    asked = parser.parse_args()
    rows = emas(asked.rows)
    ratios, speeds = [], []
    with folder() as place, database(place) as made:
        encoded = place / "rows"
        with encoded.open("wb") as file:
            file.writelines(bulk.encoded(TABLE, rows))
        TABLE.create(made.engine)
        _seconds(made.engine, lambda: _write(made.engine, rows))  # warms up
        for _ in range(asked.pairs):
            ours = _seconds(made.engine, lambda: _write(made.engine, rows))
            theirs = _seconds(made.engine, lambda: _psql(made, encoded, list(rows)))
            ratios.append(ours / theirs)
            speeds.append(asked.rows / ours)
    print(f"{asked.rows:,} EMAs into an empty table: median {statistics.median(speeds):,.0f} rows/s")
    print(f"against psql's binary COPY of the same bytes: median ratio {statistics.median(ratios):.2f}")


def emas(size: int) -> Rows:
    """Rows as an EMA builder writes them, in the order of the key; most of them with two NULLs."""
    labels = sorted(one.tf.encode() for one in DEFAULT_TIMEFRAMES if one.belongs_to(ROLLING))
    series = len(labels) * len(DEFAULT_PERIODS)
    place = np.arange(size)
    day, which = place // series, place % series
    canonical = (day + which) % CANONICAL_EVERY == 0
    values = np.random.default_rng(1).random((5, size))
    rows: Rows = {
        "id": np.ones(size, np.int32),
        "tf": np.array(labels)[which // len(DEFAULT_PERIODS)],
        "ts": np.datetime64("2020-01-01T23:59:59", "us") + day * np.timedelta64(86_400_000_000, "us"),
        "period": np.array(DEFAULT_PERIODS, np.int32)[which % len(DEFAULT_PERIODS)],
        "tf_days": np.full(size, 7, np.int32),
        "roll": ~canonical,
    }
    names = ("ema", *difference_columns("ema"))
    return rows | {
        name: np.where(canonical, column, np.nan) if name in {"d1", "d2"} else column
        for name, column in zip(names, values, strict=True)
    }


def _write(engine: Engine, rows: Rows) -> None:
    with engine.begin() as connection:
        bulk.write(connection, TABLE, rows)


def _psql(made: Opened, encoded: Path, names: list[str]) -> None:
    columns = ", ".join(f'"{name}"' for name in names)
    psql(made, f"\\copy {TABLE.name} ({columns}) from '{encoded}' (format binary)")


def _seconds(engine: Engine, act: Callable[[], None]) -> float:
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text(f"TRUNCATE {TABLE.name}"))
        connection.execute(text("CHECKPOINT"))
    began = time.monotonic()
    act()
    return time.monotonic() - began


if __name__ == "__main__":
    main()
