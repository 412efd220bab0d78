"""Views over all shards: the same rows as the shards have together, and questions about ids answered by the shards."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from databases import closing_server, create_tables, guarded_folder
from databases import execute as say
from refreshing import FEW, enable, refresh
from sqlalchemy import Engine, make_url
from statements import ask, execute

from refresh.catalog import SOURCE
from refresh.server.programs import binaries, usable
from refresh.store.database import connect, read_committed
from refresh.store.shard_views import create_views, viewed

PLACES = (os.environ.get("REFRESH_TEST_FDW_BIN_DIR", ""), *map(str, Path("/usr/lib/postgresql").glob("*/bin")))
DAYS = 60


def programs_with_fdw() -> Path:
    """The programs of a PostgreSQL that has postgres_fdw; the one that comes with the package has not."""
    for place in filter(None, PLACES):
        folder = Path(place)
        shares = [folder.parents[3] / "share" / "postgresql" / folder.parent.name, folder.parent / "share"]
        if any((share / "extension" / "postgres_fdw.control").is_file() for share in shares if share.is_dir()):
            return folder
    pytest.skip("no PostgreSQL with postgres_fdw: name its programs in REFRESH_TEST_FDW_BIN_DIR")


@pytest.fixture(scope="module")
def shards() -> Iterator[dict[str, Engine]]:
    """Two shards with two assets each, and a database for the views."""
    with ExitStack() as stack:
        folder = stack.enter_context(guarded_folder())
        programs = usable(binaries({"PG_BIN_DIR": str(programs_with_fdw())}), folder / "cluster")
        server = stack.enter_context(closing_server(folder, programs))
        engines = {}
        for name in ("east", "west", "views"):
            url = make_url(server.url(database="postgres"))
            say(url.set(drivername="postgresql+psycopg2"), f"CREATE DATABASE {name}")
            address = make_url(server.url(database=name)).render_as_string(hide_password=False)
            engines[name] = stack.enter_context(connect(address))
        for name, ids in {"east": [1, 2], "west": [3, 4]}.items():
            fill(engines[name], ids)
        yield engines


def fill(engine: Engine, ids: list[int]) -> None:
    """Prices of some assets, and all tables built from them."""
    with engine.begin() as connection:
        create_tables(connection)
    enable(engine, FEW, [10])
    prices = f"""
        INSERT INTO {SOURCE} (id, "timestamp", timeopen, timeclose, timehigh, timelow, open, high, low, close, volume)
        SELECT a, at, at - interval '1 day - 1 ms', at, at - interval '2 h', at - interval '3 h', 10, 12 + a, 8,
               9 + n % 3, n
        FROM unnest(CAST(:ids AS int[])) AS a, generate_series(1, {DAYS}) AS n
        CROSS JOIN LATERAL (SELECT timestamptz '2024-01-01Z' + n * interval '1 day' - interval '1 ms' AS at) AS t
    """
    execute(engine, prices, ids=ids)
    refresh(engine)


def made(shards: dict[str, Engine]) -> Engine:
    """The database with the views."""
    addresses = {
        name: engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
        for name, engine in shards.items()
        if name != "views"
    }
    with read_committed(shards["views"]) as connection:
        create_views(connection, addresses)
    return shards["views"]


def test_views_have_all_rows(shards: dict[str, Engine]) -> None:
    """Each view holds what the shards hold, and says of each row where it is from; made again, it is the same."""
    for engine in (made(shards), made(shards)):
        for table in viewed():
            together = ask(engine, f"SELECT shard, count(*) FROM all_shards.{table} GROUP BY shard ORDER BY shard")
            apart = [(name, ask(shards[name], f"SELECT count(*) FROM {table}")[0][0]) for name in ("east", "west")]
            assert together == [(name, number) for name, number in apart if number], table
    averages = "SELECT id, tf, period, ts, ema FROM {} WHERE id = 3 ORDER BY 1, 2, 3, 4"
    through = ask(made(shards), averages.format("all_shards.cmc_ema_multi_tf"))
    assert through == ask(shards["west"], averages.format("cmc_ema_multi_tf"))
    assert through


@pytest.mark.parametrize("table", ["cmc_price_bars_1d", "cmc_ema_multi_tf_cal_us", SOURCE])
def test_ids_are_asked_of_the_shards(shards: dict[str, Engine], table: str) -> None:
    """The condition on ids is in the query that a shard gets."""
    query = f"EXPLAIN (VERBOSE, COSTS OFF) SELECT * FROM all_shards.{table} WHERE id IN (3, 4)"
    plan = [line for (line,) in ask(made(shards), query)]
    remote = [line for line in plan if "Remote SQL" in line]
    assert len(remote) == len(shards) - 1
    assert all("id = ANY ('{3,4}'" in line for line in remote), plan
