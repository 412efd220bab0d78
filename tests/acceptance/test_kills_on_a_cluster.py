"""Runs on a cluster in the middle of which something is killed at a random moment, the whole server included."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest
from clusters import VARIABLE, Cluster, start
from databases import closing_server, create_tables, execute, guarded_folder
from prices import fill
from refreshing import FEW, check_equal, enable
from running import Refresh
from sqlalchemy import URL, Engine, make_url
from statements import address as address_of
from statements import ask
from testing.postgresql import Postgresql
from waiting import eventually

from refresh.catalog import BUILDERS
from refresh.server.programs import binaries, usable
from refresh.store.database import connect

pytest.importorskip("distributed")

HITS = int(os.environ.get("REFRESH_CLUSTER_HITS", "4"))
VICTIMS = ("worker", "builder", "session", "server")
BARS = [builder for builder in BUILDERS if builder.key.startswith("bars.")]
RUNS = 5
Pair = tuple[int, int]
"""A builder, and the process of the server that works for it."""
SECONDS_AWAY = 2.5
"""At most; a refresh retries for longer than that."""


@pytest.fixture(scope="module")
def own() -> Iterator[Postgresql]:
    """A server that nobody else needs, and that loses nothing it has confirmed. ``filled`` has prices."""
    with guarded_folder() as folder:
        programs = usable(binaries(os.environ), folder / "cluster")
        with closing_server(folder, programs, "-c synchronous_commit=on") as running:
            execute(url_of(running, "postgres"), "CREATE DATABASE filled")
            with connect(url_of(running, "filled").render_as_string(hide_password=False)) as engine:
                with engine.begin() as connection:
                    create_tables(connection)
                enable(engine, FEW, [10])
                for asset in (1, 2, 3, 4):
                    fill(engine, asset, "2024-01-01", "2024-03-31")
            yield running


def url_of(server: Postgresql, name: str) -> URL:
    """The URL of a database."""
    return make_url(server.url(database=name)).set(drivername="postgresql+psycopg2")


@pytest.fixture
def address(own: Postgresql) -> Iterator[str]:
    """The address of a copy of these prices: always the same, since workers keep it in their environment."""
    server = url_of(own, "postgres")
    execute(server, "CREATE DATABASE cloned TEMPLATE filled")
    try:
        yield url_of(own, "cloned").render_as_string(hide_password=False)
    finally:
        execute(server, "DROP DATABASE cloned WITH (FORCE)")


@pytest.fixture(scope="module")
def scheduler(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A scheduler without workers."""
    with closing(Cluster(tmp_path_factory.mktemp("cluster"))) as running:
        yield running


@pytest.mark.parametrize("hit", range(HITS))
def test_one_run_makes_good(tmp_path: Path, scheduler: Cluster, own: Postgresql, address: str, hit: int) -> None:
    """A worker, a builder, a session of the server or the server is killed; one ordinary run makes everything equal."""
    chance = random.Random(hit)  # noqa: S311 - a moment, no secret
    victim = VICTIMS[hit % len(VICTIMS)]
    scheduler.need(one={VARIABLE: address}, two={VARIABLE: address})
    with connect(address) as engine:
        run, found = amid(tmp_path, engine, scheduler, chance)
    if victim == "worker":
        scheduler.workers[chance.choice(["one", "two"])].kill()
    elif victim == "server":
        own.terminate(signal.SIGKILL)
        time.sleep(chance.uniform(0, SECONDS_AWAY))
        own.start()
    else:
        builder, session = chance.choice(found)
        os.kill(session if victim == "session" else builder, signal.SIGKILL)
    code = run.wait()
    said = next((line for line in run.err.splitlines() if "not reached" in line), "")
    print(f"hit {hit}: {victim} killed at {len(found)} builders: exit code {code} {said}")  # noqa: T201
    assert code in ({0} if victim == "worker" else {0, 1})
    last = Refresh(tmp_path, address, "--bars")
    assert (last.wait(), last.err) == (0, "")
    with connect(address) as engine:
        check_equal(engine, BARS)


def amid(folder: Path, engine: Engine, scheduler: Cluster, chance: random.Random) -> tuple[Refresh, list[Pair]]:
    """A run at a random moment, and its builders; one that ends too early is followed by another."""
    found: list[Pair] = []
    for _ in range(RUNS):
        run = start(folder, address_of(engine), scheduler.address, "--bars", "--full-rebuild")
        assert eventually(partial(at_work, engine, run))
        time.sleep(chance.uniform(0, 1))
        while not found and run.process.poll() is None:  # between two steps
            found = at_work(engine, run)
        if found:
            return run, found
        run.wait()
    raise AssertionError(f"{RUNS} runs ended before anything could be killed")


def at_work(engine: Engine, run: Refresh) -> list[Pair]:
    """The builders of a run, and the process of the server that works for each."""
    query = """SELECT application_name, pid FROM pg_stat_activity
               WHERE datname = current_database() AND application_name ~ '^refresh [0-9]+@'"""
    found = [(int(name.split()[1].partition("@")[0]), pid) for name, pid in ask(engine, query)]
    return [(builder, session) for builder, session in found if builder != run.process.pid]
