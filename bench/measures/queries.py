"""What readers wait for: the same SQL on our names and on plain tables of the same rows, in turn; and our views."""

from __future__ import annotations

import io
import statistics
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timedelta

import psycopg2

from bench.figures import Figure, Goal
from bench.former import SCHEMA, SHAPES
from bench.measures import views
from bench.measures.size import with_former
from bench.server import Bench, Database, last_time

SECONDS = 0.05
"""A sample repeats a query on each side for about so long."""
MOST_REPEATS = 100
FEWEST_PAIRS = 9
"""Of short queries."""
LONG = 0.2
"""The seconds of a query for which what else goes on hardly matters."""
_VALUES = "ts, ema, d1, d2, d1_roll, d2_roll"
_SERIES = {"rolling": ("cmc_ema_multi_tf", "30D"), "calendar": ("cmc_ema_multi_tf_cal_us", "1M_CAL")}
_BARS, _TIMEFRAME = "cmc_price_bars_multi_tf", "7D"
Connection = psycopg2.extensions.connection


def measure(bench: Bench) -> list[Figure]:
    """The ratio of times of each query."""
    database = with_former(bench)
    bench.say("queries in turn")
    middle = (database.size.assets + 1) // 2
    last = last_time(database)
    same = [*_of_emas(middle, last), *_of_bars(), *_counts()]
    queries = [(name, query, query) for name, query in same]
    queries += views.queries(database.size.assets, middle, last)
    return [_compared(bench, database, name, (ours, plain)) for name, ours, plain in queries]


def _of_emas(asset: int, last: datetime) -> Iterator[tuple[str, str]]:
    """The six queries, on EMAs of rolling bars and on those of calendar bars."""
    month = last - timedelta(days=30)
    for kind, (table, tf) in _SERIES.items():
        series = f"tf = '{tf}' AND period = 20"
        one = f"SELECT {_VALUES} FROM {table} WHERE id = {asset} AND {series}"
        yield f"one series by time, {kind}", f"{one} ORDER BY ts"
        yield f"its last 5 days, {kind}", f"{one} ORDER BY ts DESC LIMIT 5"
        yield f"its last 30 days, {kind}", f"{one} AND ts > '{month}' ORDER BY ts"
        yield (
            f"every series of an asset, last day, {kind}",
            f"SELECT * FROM {table} WHERE id = {asset} AND ts = '{last}'",
        )
        yield f"all assets, one series, last day, {kind}", f"SELECT * FROM {table} WHERE {series} AND ts = '{last}'"
        yield f"all assets, one series, all days, {kind}", f"SELECT id, {_VALUES} FROM {table} WHERE {series}"


def _of_bars() -> Iterator[tuple[str, str]]:
    closed = f"FROM {_BARS} WHERE tf = '{_TIMEFRAME}' AND NOT is_partial_end"
    yield "closed bars of a timeframe, all assets and days", f"SELECT * {closed}"
    yield "last closed bar of all assets", f'SELECT DISTINCT ON (id) * {closed} ORDER BY id, "timestamp" DESC'


def _counts() -> Iterator[tuple[str, str]]:
    for table, shape in SHAPES.items():
        if shape.has_periods:
            yield f"count(*) of {table}", f"SELECT count(*) FROM {table}"


def _compared(bench: Bench, database: Database, name: str, queries: tuple[str, str]) -> Figure:
    is_long = min(_pair(database, *queries)) > LONG  # and warms up
    number = bench.pairs if is_long else max(bench.pairs, FEWEST_PAIRS)
    pairs = [_pair(database, *queries) for _ in range(number)]
    ours, plain = (statistics.median(side) * 1000 for side in zip(*pairs, strict=True))
    note = f"{ours:,.2f} ms, plain {plain:,.2f} ms"
    return Figure(name=name, samples=[our / their for our, their in pairs], goal=Goal(1.2), note=note)


def _pair(database: Database, query: str, plain_query: str) -> tuple[float, float]:
    """The seconds of a query on our names and of one on plain tables; of short ones, medians of many in turn.

    In new sessions, because the system may give one of two sessions the better core for as long as both last.
    """
    with closing(_session(database, "public")) as ours, closing(_session(database, SCHEMA)) as plain:
        once = _seconds(ours, query), _seconds(plain, plain_query)
        if min(once) > LONG:
            return once
        repeats = max(2, min(MOST_REPEATS, round(SECONDS / min(once))))
        pairs = [(_seconds(ours, query), _seconds(plain, plain_query)) for _ in range(repeats)]
    our_times, plain_times = zip(*pairs, strict=True)
    return statistics.median(our_times), statistics.median(plain_times)


def _session(database: Database, schema: str) -> Connection:
    """A session as a reader opens it, in which names mean those of a schema."""
    session = psycopg2.connect(database.url.replace("+psycopg2", ""), options=f"-c search_path={schema}")
    session.autocommit = True
    return session


def _seconds(session: Connection, query: str) -> float:
    """The seconds from asking to the last row. The rows arrive, and are not looked at."""
    with session.cursor() as cursor:
        began = time.monotonic()
        cursor.copy_expert(f"COPY ({query}) TO STDOUT (FORMAT binary)", _Sink())
        return time.monotonic() - began


class _Sink(io.RawIOBase):
    """A file that takes bytes and keeps none."""

    def write(self, data: object) -> int:
        """Take bytes."""
        return len(data) if isinstance(data, bytes) else 0
