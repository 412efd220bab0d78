"""Two machines instead of one: two servers and two workers, each pair on a core of its own, compared with one pair.

A machine is played by a core: its server, its worker and the share of the run that is on it get no other. Each server
has half of the assets: so few would by their hashes be spread 84 to 116, and the larger part would be what is measured.
Each worker knows the server beside it. Needs two cores and the extras ``cluster`` and ``shards``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import ChainMap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import Engine, MetaData, make_url, text

from bench import programs
from bench.figures import Figure, Goal, Unit, ratios
from bench.server import NAME, Bench, Size, checkpoint_of, fill, keep
from refresh.catalog import legs
from refresh.shards.file import text_of
from refresh.shards.layout import Layout
from refresh.store.database import connect, opened
from refresh.store.tables import TARGET_TABLES, source_table

SHARDS = Layout(shards={"east": "EAST_URL", "west": "WEST_URL"})
_SECONDS_TO_START = 60.0


@dataclass(frozen=True, kw_only=True)
class _Machine:
    """A core with a server; ``url`` is that of its database ``postgres``."""

    core: int
    url: str = field(repr=False)


def measure(bench: Bench) -> list[Figure]:
    """How many times the rows per second of one pair two pairs write. Raises ``RuntimeError`` if digests differ."""
    size = bench.size(200, 500)
    one, two = [], []
    with ExitStack() as stack:
        machines = [stack.enter_context(_machine(bench, core)) for core in sorted(os.sched_getaffinity(0))[:2]]
        for number in range(bench.pairs):
            bench.say(f"{size} on one machine")
            alone, rows = _one(bench, machines[0], size, number)
            bench.say(f"{size} on two machines: one took {alone:.1f} s")
            together, same = _two(bench, machines, size, number)
            if rows != same:
                raise RuntimeError(f"two machines hold other rows than one: {same}, not {rows}")
            one.append(alone)
            two.append(together)
    note = f"{size}: {min(one):.1f} s on one core, {min(two):.1f} s on two; digests equal"
    return [
        Figure(name="two machines / one", samples=ratios(one, two), unit=Unit.TIMES, goal=Goal(1.7, True), note=note)
    ]


@contextmanager
def _machine(bench: Bench, core: int) -> Iterator[_Machine]:
    """A server that has one core."""
    folder = bench.directory / f"machine{core}"
    (folder / "tmp").mkdir(parents=True)
    with ExitStack() as stack:
        with _pinned([core]):
            url = stack.enter_context(opened(None, programs.environment(folder), NAME)).url
        yield _Machine(core=core, url=url)


@contextmanager
def _pinned(cores: Sequence[int]) -> Iterator[None]:
    """What is started in the block has these cores only."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _one(bench: Bench, machine: _Machine, size: Size, number: int) -> tuple[float, dict[str, tuple[int, int]]]:
    """The seconds of a first build by one pair, and what it leaves."""
    with _database(machine, f"one_{number}") as (engine, url):
        fill(engine, size)
        checkpoint_of(engine)
        with _workers(bench, {machine.core: {"TARGET_DB_URL": url}}) as scheduler, _pinned([machine.core]):
            seconds = _run(bench, {"TARGET_DB_URL": url}, scheduler)
        return seconds, _digests([engine])


def _two(
    bench: Bench, machines: Sequence[_Machine], size: Size, number: int
) -> tuple[float, dict[str, tuple[int, int]]]:
    """The same by two pairs, between which the assets are spread."""
    with ExitStack() as stack:
        engines, environs = [], {}
        layout = halves(size.assets)
        split = layout.split(range(1, size.assets + 1))
        for machine, (name, variable) in zip(machines, layout.shards.items(), strict=True):
            engine, url = stack.enter_context(_database(machine, f"{name}_{number}"))
            environs[machine.core] = {variable: url}
            fill(engine, size)
            keep(engine, split[name])
            checkpoint_of(engine)
            engines.append(engine)
        file = bench.directory / "shards.toml"
        file.write_text(text_of(layout, "", str(file)))
        scheduler = stack.enter_context(_workers(bench, environs))
        all_of_them = dict(ChainMap(*environs.values()))
        seconds = _run(bench, {**all_of_them, "REFRESH_SHARDS": str(file)}, scheduler)
        return seconds, _digests(engines)


def halves(assets: int) -> Layout:
    """Ids from 1 on, as many in one shard as in the other, and as few as possible elsewhere than by their hash."""
    split = {**{name: [] for name in SHARDS.shards}, **SHARDS.split(range(1, assets + 1))}
    less, more = sorted(split.items(), key=lambda shard: len(shard[1]))
    moved = more[1][: (len(more[1]) - len(less[1])) // 2]
    return SHARDS.assigned(moved, less[0]).arrived(moved)


@contextmanager
def _database(machine: _Machine, name: str) -> Iterator[tuple[Engine, str]]:
    """A database with an empty price table on a machine, and its address."""
    with connect(machine.url, NAME) as server:
        _say(server, f"CREATE DATABASE {name}")
        url = make_url(machine.url).set(database=name).render_as_string(hide_password=False)
        try:
            with connect(url, NAME) as engine:
                with engine.begin() as connection:
                    source_table(MetaData()).create(connection)
                yield engine, url
        finally:
            _say(server, f"DROP DATABASE {name} WITH (FORCE)")


def _say(engine: Engine, statement: str) -> None:
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text(statement))


@contextmanager
def _workers(bench: Bench, environs: Mapping[int, Mapping[str, str]]) -> Iterator[str]:
    """A scheduler on the first core, and a worker on each. Yields the address."""
    from distributed import Client  # noqa: PLC0415 - an extra that other measures do without

    file = bench.directory / "scheduler"
    file.unlink(missing_ok=True)
    started: list[subprocess.Popen[bytes]] = []
    first = next(iter(environs))
    try:
        started.append(_dask(bench, first, {}, "dask_scheduler", "--port", "0", "--scheduler-file", str(file)))
        address = _address(file)
        for core, environ in environs.items():
            started.append(_dask(bench, core, environ, "dask_worker", address, "--no-nanny", "--nthreads", "1"))
        with Client(address, set_as_default=False) as client:  # type: ignore[no-untyped-call]
            client.wait_for_workers(len(environs), timeout=_SECONDS_TO_START)
        yield address
    finally:
        for process in reversed(started):
            process.terminate()
            process.wait()


def _dask(bench: Bench, core: int, environ: Mapping[str, str], module: str, *arguments: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", f"distributed.cli.{module}", "--no-dashboard", "--host", "127.0.0.1", *arguments]
    paths = {"PYTHONPATH": str(programs.CHECKOUT), "TMPDIR": str(bench.directory / "tmp")}
    quiet = subprocess.DEVNULL
    with _pinned([core]):
        return subprocess.Popen(
            command, env={**os.environ, **environ, **paths}, cwd=bench.directory, stdout=quiet, stderr=quiet
        )


def _address(file: Path) -> str:
    """What the scheduler says of itself once it listens."""
    deadline = time.monotonic() + _SECONDS_TO_START
    while time.monotonic() < deadline:
        if file.exists() and file.read_text().rstrip().endswith("}"):
            return str(json.loads(file.read_text())["address"])
        time.sleep(0.05)
    raise TimeoutError("the scheduler does not start")


def _run(bench: Bench, environ: Mapping[str, str], scheduler: str) -> float:
    """The seconds of a refresh on workers."""
    command = [sys.executable, str(programs.REFRESH), "--all", "--quiet", "--cluster", scheduler]
    began = time.monotonic()
    environment = {**programs.environment(bench.directory), **environ}
    subprocess.run(command, env=environment, cwd=bench.directory, check=True)
    return time.monotonic() - began


def _digests(engines: Sequence[Engine]) -> dict[str, tuple[int, int]]:
    """The rows of each table in all databases, and a digest of them that does not depend on their order."""
    found = {}
    for table in (leg.target for _, leg in legs()):
        names = ", ".join(f'"{column.name}"' for column in TARGET_TABLES[table].columns if column.name != "ingested_at")
        query = f"SELECT count(*), coalesce(sum(hash_record_extended(ROW({names}), 0)), 0)::text FROM {table}"
        rows, digest = 0, 0
        for engine in engines:
            with engine.connect() as connection:
                number, hashes = connection.execute(text(query)).one()
            rows, digest = rows + number, digest + int(hashes)
        found[table] = rows, digest
    return found
