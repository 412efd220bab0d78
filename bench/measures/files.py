r"""The speed of loading a file of very many lines, compared with psql's \copy into a plain table without a key."""

from __future__ import annotations

import statistics
import time
from pathlib import Path

import numpy as np
from sqlalchemy import text

from bench import programs
from bench.figures import Figure, Unit, ratios
from bench.programs import Usage
from bench.server import Bench, Database, Size, checkpoint
from refresh.catalog import SOURCE

_LINES = 10_000_000
_DAYS = 10_000
_TITLES = "id,date,open,high,low,close,volume"
_PLAIN = (
    "CREATE TABLE public.plain (id int, date date, open float8, high float8, low float8, close float8, volume float8)"
)


def measure(bench: Bench) -> list[Figure]:
    """The ratio of loading and copying, and the peak memory of loading."""
    size = bench.size(_LINES // _DAYS, _DAYS)
    file = bench.directory / "prices.csv"
    bench.say(f"writing a file of {size}")
    _write(file, size)
    loads, copies = [], []
    for _ in range(bench.pairs):
        with bench.database(Size(1, 1)) as database:
            loads.append(_load(bench, database, file))
            copies.append(_copy(bench, database, file))
    seconds = [load.seconds for load in loads]
    ours, plain = statistics.median(seconds), statistics.median(copies)
    lines = size.assets * size.days
    note = f"{lines:,} lines: {lines / ours:,.0f} rows/s; \\copy {lines / plain:,.0f} rows/s"
    peaks = [load.peak / 1e6 for load in loads]
    return [
        Figure(name="loading a file / psql's \\copy", samples=ratios(seconds, copies), note=note),
        Figure(name="peak memory of loading", samples=peaks, unit=Unit.MEGABYTES, note=f"{lines:,} lines"),
    ]


def _write(file: Path, size: Size) -> None:
    random = np.random.default_rng(1)
    first = np.datetime64("1990-01-01")
    dates = [str(first + day) for day in range(size.days)]
    with file.open("w") as lines:
        lines.write(f"{_TITLES}\n")
        for asset in range(1, size.assets + 1):
            for date, price in zip(dates, random.uniform(1, 100, size.days).tolist(), strict=True):
                prices = f"{price:.4f},{price + 1:.4f},{price - 0.5:.4f},{price + 0.2:.4f},{price * 1e4:.0f}"
                lines.write(f"{asset},{date},{prices}\n")


def _load(bench: Bench, database: Database, file: Path) -> Usage:
    """Load the file into an empty price table, from the start of the program to its end."""
    with database.engine.begin() as connection:
        connection.execute(text(f"TRUNCATE {SOURCE}"))
    checkpoint(database)
    bench.say(f"loading {file.name}")
    return programs.load(database.url, bench.directory, str(file))


def _copy(bench: Bench, database: Database, file: Path) -> float:
    with database.engine.begin() as connection:
        connection.execute(text(f"TRUNCATE {SOURCE}"))
        connection.execute(text(_PLAIN))
    checkpoint(database)
    bench.say(f"copying {file.name}")
    began = time.monotonic()
    programs.psql(database.url, f"\\copy public.plain from '{file}' (format csv, header)")
    return time.monotonic() - began
