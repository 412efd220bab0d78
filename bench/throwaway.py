"""An embedded PostgreSQL for the length of a measurement, and the programs of the project on it."""

from __future__ import annotations

import argparse
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
from refresh.server.programs import binaries
from refresh.store.database import Opened, opened
from refresh.store.tables import source_table

PROGRAM = Path(__file__).resolve().parents[1] / "run_daily_refresh.py"
LAST = datetime(2025, 12, 31, tzinfo=UTC)
FILL = f"""
    INSERT INTO {SOURCE} (id, name, timeopen, timeclose, timehigh, timelow, open, high, low, close, volume,
                          marketcap, "timestamp", source_file)
    SELECT a, 'asset ' || a, d, d + interval '23:59:59', d + interval '7h', d + interval '3h',
           100 + random(), 102 + random(), 98 + random(), 100 + random(), 1e6 * random(), 1e9 * random(),
           d + interval '23:59:59', 'prices.csv'
    FROM generate_series(1, :assets) a,
         generate_series(CAST(:first AS timestamptz), :last, interval '1 day') d
"""


def sizes(description: str | None, **defaults: int) -> argparse.Namespace:
    """The numbers that a benchmark takes on its command line."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in defaults.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    return parser.parse_args()


@contextmanager
def folder() -> Iterator[Path]:
    """A folder for the length of the block that the user of the server can access."""
    created = Path(tempfile.mkdtemp(prefix="bench-", dir="/var/tmp"))
    created.chmod(0o711)
    try:
        yield created
    finally:
        shutil.rmtree(created, ignore_errors=True)


def settings(directory: Path) -> dict[str, str]:
    """An environment with the embedded database and the logs in a directory."""
    environ = {**os.environ, "REFRESH_DATA_DIR": f"{directory}/data", "REFRESH_LOG_DIR": f"{directory}/logs"}
    environ.pop("TARGET_DB_URL", None)
    return environ


@contextmanager
def database(directory: Path) -> Iterator[Opened]:
    """A database with an empty price table. It runs for the length of the block, as a server of the user does."""
    with opened(None, settings(directory)) as running:
        with running.engine.begin() as connection:
            source_table(MetaData()).create(connection)
        yield running


def fill(engine: Engine, assets: int, days: int) -> None:
    """Give every asset a price a day, up to ``LAST``."""
    with engine.begin() as connection:
        first = LAST - timedelta(days=days - 1)
        connection.execute(text(FILL), {"assets": assets, "first": first, "last": LAST})
        connection.execute(text(f"ANALYZE {SOURCE}"))


def seconds(running: Opened, directory: Path, *arguments: str) -> float:
    """The seconds of a refresh of everything, from the start of the program to its end."""
    command = [sys.executable, str(PROGRAM), "--all", "--quiet", *arguments]
    environ = {**settings(directory), "TARGET_DB_URL": running.url}
    began = time.monotonic()
    subprocess.run(command, env=environ, check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - began


def psql(running: Opened, command: str) -> None:
    """Run a command in psql."""
    url = running.url.replace("+psycopg2", "")
    program = binaries(os.environ) / "psql"
    subprocess.run([program, "--no-psqlrc", "--quiet", url, "--command", command], check=True)
