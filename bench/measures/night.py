"""A night: every asset has one new day. Its time, and what it writes into PostgreSQL's log (WAL)."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import text

from bench import former
from bench.figures import Figure, Goal, Unit, ratios
from bench.server import Bench, Database, checkpoint, last_time, settle, written_log
from refresh.catalog import SOURCE

PLAIN_DAYS = 30
"""How much history the plain tables have: so much that the rows of each asset fill pages of their own."""
_APPEND = f"""
    INSERT INTO {SOURCE} (id, timeopen, timeclose, open, high, low, close, volume, "timestamp")
    SELECT id, :time - interval '23:59:59', :time, 100, 101, 99, 100 + 0.01 * (id % 100), 1, :time
    FROM unnest(CAST(:assets AS int[])) AS id
"""


@dataclass(frozen=True, slots=True)
class Written:
    """What an act took: seconds, and bytes of WAL."""

    seconds: float
    wal: int


def measure(bench: Bench) -> list[Figure]:
    """The seconds of nights, and their WAL compared with that of the same new rows in plain tables by COPY."""
    database = bench.shared(bench.size(1000, 300))
    bench.say("nights, and the same rows into plain tables")
    former.fill(database, since=last_time(database) - timedelta(days=PLAIN_DAYS))
    settle(database)
    ours, plain = [], []
    for _ in range(bench.pairs):
        ours.append(night(bench, database))
        plain.append(_copy(bench, database))
    return [_time(database, ours, plain), _wal(database, ours, plain)]


def _time(database: Database, ours: list[Written], plain: list[Written]) -> Figure:
    copies = statistics.median(written.seconds for written in plain)
    note = f"{database.size}; COPY of the same new rows {copies:.2f} s"
    return Figure(name="a night", samples=[each.seconds for each in ours], unit=Unit.SECONDS, goal=Goal(5.0), note=note)


def _wal(database: Database, ours: list[Written], plain: list[Written]) -> Figure:
    our_bytes, plain_bytes = [each.wal for each in ours], [each.wal for each in plain]
    megabytes = statistics.median(our_bytes) / 1e6, statistics.median(plain_bytes) / 1e6
    return Figure(
        name="WAL of that night / COPY of its rows into plain tables",
        samples=ratios(our_bytes, plain_bytes),
        unit=Unit.PERCENT,
        goal=Goal(0.35),
        note=f"{database.size}: {megabytes[0]:,.1f} MB, plain {megabytes[1]:,.1f} MB",
    )


def night(bench: Bench, database: Database) -> Written:
    """Give every asset one more day, and refresh, just after a checkpoint."""
    append(database, range(1, database.size.assets + 1))
    checkpoint(database)
    before = written_log(database)
    seconds = bench.refresh(database).seconds
    return Written(seconds, written_log(database) - before)


def append(database: Database, assets: Iterable[int]) -> None:
    """Give some assets the day after the last one of the price table."""
    with database.engine.begin() as connection:
        values = {"time": last_time(database) + timedelta(days=1), "assets": list(assets)}
        connection.execute(text(_APPEND), values)


def _copy(bench: Bench, database: Database) -> Written:
    """Write the rows of the last day into the plain tables, just after a checkpoint."""
    former.dump(database, bench.directory, since=last_time(database))
    checkpoint(database)
    before, began = written_log(database), time.monotonic()
    former.load(database, bench.directory)
    seconds = time.monotonic() - began
    return Written(seconds, written_log(database) - before)
