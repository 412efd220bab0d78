"""An embedded PostgreSQL for the length of a measurement, and the project's programs on it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import Engine, MetaData, text

from refresh.catalog import SOURCE
from refresh.store.database import Opened, opened
from refresh.server.programs import binaries
from refresh.store.tables import source_table

PROGRAM = Path(__file__).resolve().parents[1] / "run_daily_refresh.py"
LAST = datetime(2025, 12, 31, tzinfo=UTC)


@contextmanager
def folder() -> Iterator[Path]:
    """A folder for the length of the block that the server may enter, which may be another user than we are."""
    made = Path(tempfile.mkdtemp(prefix="bench-", dir="/var/tmp"))
    made.chmod(0o711)
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


def settings(place: Path) -> dict[str, str]:
    """An environment whose embedded database and logs are in ``place``."""
    environ = {**os.environ, "REFRESH_DATA_DIR": f"{place}/data", "REFRESH_LOG_DIR": f"{place}/logs"}
    environ.pop("TARGET_DB_URL", None)
    return environ


@contextmanager
def database(place: Path) -> Iterator[Opened]:
    """A database with an empty price table, kept running for the block as a server of the user's own would be."""
    with opened(None, settings(place)) as made:
        with made.engine.begin() as connection:
            source_table(MetaData()).create(connection)
        yield made


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


def seconds(made: Opened, place: Path, *arguments: str) -> float:
    """The seconds that a refresh of everything takes, from the start of the program to its end."""
    command = [sys.executable, str(PROGRAM), "--all", "--quiet", *arguments]
    began = time.monotonic()
    subprocess.run(command, env={**settings(place), "TARGET_DB_URL": made.url}, check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - began


def psql(made: Opened, command: str) -> None:
    """Run a command in psql."""
    address = made.url.replace("+psycopg2", "")
    program = binaries(os.environ) / "psql"
    subprocess.run([program, "--no-psqlrc", "--quiet", address, "--command", command], check=True)
