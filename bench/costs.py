"""What rows cost, as measured on a small database: ``measure`` takes the figures that ``sizing`` computes with."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from sqlalchemy import MetaData, text

from bench.measures.night import append
from bench.server import Bench, Database, Size, checkpoint, fill, settle, written_log
from refresh.catalog import DAILY, SOURCE, legs
from refresh.store.database import read_committed
from refresh.store.overview import table_bytes
from refresh.store.source import changed_months, open_source
from refresh.store.tables import OUTCOMES, source_table

DEEP, LONG, SHORT, SOURCE_ALONE = Size(20, 1500), Size(300, 300), Size(300, 30), Size(500, 1000)
_TICKS = 100
"""Clock ticks of a second, in which Linux counts CPU time."""


def measure(bench: Bench) -> Iterator[tuple[str, float]]:
    """Each cost by its name. Linux only, because the server's CPU time is read from ``/proc``."""
    with bench.database(DEEP) as database:
        yield from _of_building(bench, database)
    with bench.built(LONG) as database:
        long = _night(bench, database)
        yield from _of_states(database)
    with bench.built(SHORT) as database:
        short = _night(bench, database)
    yield from _of_nights(long, short)
    with bench.cloned(SOURCE_ALONE) as database:
        yield "survey cpu of a source row", _survey(bench, database)


def _of_building(bench: Bench, database: Database) -> Iterator[tuple[str, float]]:
    bench.say(f"building {database.size}")
    checkpoint(database)
    server, log = _server_cpu(bench), written_log(database)
    used = bench.refresh(database)
    rows = _rows(database)
    total = sum(rows.values())
    yield "rebuild cpu of a row", (used.cpu + _server_cpu(bench) - server) / total
    yield "rebuild wal of a row", (written_log(database) - log) / total
    settle(database)
    with read_committed(database.engine) as connection:
        sizes = table_bytes(connection)
    snapshots = [leg.table for _, leg in legs() if not leg.averages and leg.table != DAILY]
    averages = [leg for _, leg in legs() if leg.averages]
    yield "bytes of a daily bar", sizes[DAILY] / rows[DAILY]
    yield "bytes of a bar", sum(sizes[name] for name in snapshots) / sum(rows[name] for name in snapshots)
    yield "bytes of an average", sum(sizes[leg.table] for leg in averages) / sum(rows[leg.target] for leg in averages)
    with database.engine.connect() as connection:
        source: int = connection.execute(text(f"SELECT pg_total_relation_size('public.{SOURCE}')")).scalar_one()
    yield "bytes of a source row", source / (database.size.assets * database.size.days)


def _of_states(database: Database) -> Iterator[tuple[str, float]]:
    """What each asset has, however long its history: of so many that pages are full."""
    states = [leg.state for _, leg in legs() if leg.shape.has_timeframes]
    number = sum(_count(database, state) for state in states)
    with read_committed(database.engine) as connection:
        sizes = table_bytes(connection)
    yield "bytes of a state", sum(sizes[state] for state in states) / number
    yield "states of an asset", number / database.size.assets
    yield "bytes of an outcome", sizes[OUTCOMES] / _count(database, OUTCOMES)


def _rows(database: Database) -> dict[str, int]:
    return {leg.target: _count(database, leg.target) for _, leg in legs()}


def _count(database: Database, name: str) -> int:
    with database.engine.connect() as connection:
        number: int = connection.execute(text(f"SELECT count(*) FROM {name}")).scalar_one()
    return number


def _night(bench: Bench, database: Database) -> Mapping[str, float]:
    """What a night costs per asset beyond the first one, for which every builder starts; with the rows of an asset."""
    assets = database.size.assets
    one = _used(bench, database, 1)
    every = _used(bench, database, assets)
    return {name: (every[name] - one[name]) / (assets - 1) for name in every}


def _used(bench: Bench, database: Database, assets: int) -> Mapping[str, float]:
    """What a night with a new day of some assets costs."""
    append(database, range(1, assets + 1))
    settle(database)
    bench.say(f"a night of {assets} of {database.size}")
    server, log, rows = _server_cpu(bench), written_log(database), sum(_rows(database).values())
    cpu = bench.refresh(database).cpu + _server_cpu(bench) - server
    wal = written_log(database) - log
    return {"cpu": cpu, "wal": float(wal), "rows": float(sum(_rows(database).values()) - rows)}


def _of_nights(long: Mapping[str, float], short: Mapping[str, float]) -> Iterator[tuple[str, float]]:
    """Two nights, one with more rows of an asset than the other: what an asset costs, and what a row does."""
    for name in ("cpu", "wal"):
        of_row = max((long[name] - short[name]) / (long["rows"] - short["rows"]), 0.0)
        yield f"night {name} of a row", of_row
        yield f"night {name} of an asset", short[name] - of_row * short["rows"]


def _survey(bench: Bench, database: Database) -> float:
    """The seconds of CPU per row of the digests of all months."""
    with database.engine.begin() as connection:
        source_table(MetaData()).create(connection)
    fill(database.engine, database.size)
    with database.engine.begin() as connection:
        connection.execute(text(_MONTHS))
    before, began = _server_cpu(bench), time.monotonic()
    with read_committed(database.engine) as connection:
        changed_months(connection, open_source(connection, "UTC"), None, cutoff=None, everything=False)
    bench.say(f"digests of {database.size} in {time.monotonic() - began:.1f} s")
    return (_server_cpu(bench) - before) / (database.size.assets * database.size.days)


_MONTHS = "CREATE TABLE cmc_price_bars_1d_source_months (id int, month date, row_count int8, digest numeric)"


def _server_cpu(bench: Bench) -> float:
    """The seconds of CPU of a server's processes so far, those that have ended included."""
    time.sleep(0.3)  # a session that has just ended is counted once the server has noticed
    (file,) = Path(bench.directory).glob("data/*/postmaster.pid")
    server = int(file.read_text(encoding="utf-8").split()[0])
    ticks = sum(_times(server)[2:])
    for task in Path(f"/proc/{server}/task").iterdir():
        for child in (task / "children").read_text(encoding="utf-8").split():
            with suppress(OSError):
                ticks += sum(_times(int(child))[:2])
    return ticks / _TICKS


def _times(pid: int) -> list[int]:
    """The CPU time of a process, user and system, then of its children that have ended."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(") ")[2].split()
    return [int(field) for field in fields[11:15]]
