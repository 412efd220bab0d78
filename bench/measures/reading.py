"""A million rows as arrays, compared with the COPY of the same rows whose bytes are thrown away, in turn."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import psycopg2

import refresh
from bench.figures import Figure, Goal, ratios
from bench.server import Bench, Database, settle

_DAYS = 2_000
_ASSETS = 500
_TIMEFRAME, _PERIOD = "7D", 20
_OTHERS = "cal_us,cal_iso,cal_anchor_us,cal_anchor_iso,cal,cal_anchor,v2"
_FEW = ("--tfs", _TIMEFRAME, "--periods", str(_PERIOD), "--skip", _OTHERS)
_BUFFER_BYTES = 1 << 20
FRAMES: dict[str, Callable[[refresh.Database], refresh.Frame]] = {
    "daily bars": lambda db: db.bars(None, "1D"),
    "bars of a timeframe": lambda db: db.bars(None, _TIMEFRAME),
    "EMAs of a series": lambda db: db.emas(None, _TIMEFRAME, periods=_PERIOD),
}
"""What is read, of all assets and days."""


def measure(bench: Bench) -> list[Figure]:
    """The ratio of times for each kind of table."""
    with bench.database(bench.size(_ASSETS, _DAYS)) as database:
        bench.say(f"building few series of {database.size}")
        bench.refresh(database, *_FEW)
        settle(database)
        return [_compared(bench, database, name) for name in FRAMES]


def _compared(bench: Bench, database: Database, name: str) -> Figure:
    with refresh.connect(database.url) as db:
        frame = FRAMES[name](db)  # and warms up
        query = _query(frame)
        bench.say(f"reading {len(frame):,} rows: {name}")
        ours, raw = [], []
        for _ in range(bench.pairs):
            ours.append(_seconds(lambda: FRAMES[name](db)))
            raw.append(_copy(database, query))
    note = f"{len(frame):,} rows: {statistics.median(ours):.2f} s, COPY {statistics.median(raw):.2f} s"
    return Figure(name=f"reading {name} / COPY", samples=ratios(ours, raw), goal=Goal(1.3), note=note)


def _query(frame: refresh.Frame) -> str:
    """The same rows and columns in the same order, as a user writes it."""
    columns = ", ".join(f'"{name}"' for name in frame)
    is_wanted = f"tf = '{frame.tf}'"
    order = 'id, "timestamp"'
    if "period" in frame:
        is_wanted += f" AND period = {_PERIOD}"
        order = "id, ts, period"
    return f"SELECT {columns} FROM {frame.table} WHERE {is_wanted} ORDER BY {order}"


def _copy(database: Database, query: str) -> float:
    """The seconds of a COPY in a session of its own, until its last byte is thrown away. JIT is off on both sides."""
    session = psycopg2.connect(database.url.replace("+psycopg2", ""), options="-c jit=off")
    with closing(session), session.cursor() as cursor, Path(os.devnull).open("wb", _BUFFER_BYTES) as sink:
        return _seconds(lambda: cursor.copy_expert(f"COPY ({query}) TO STDOUT (FORMAT binary)", sink))


def _seconds(act: Callable[[], object]) -> float:
    began = time.monotonic()
    act()
    return time.monotonic() - began
