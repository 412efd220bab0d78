"""Copies of a database: all tables published to another server, and a hot standby to look at."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from databases import create_tables, database, execute
from pandas.testing import assert_frame_equal
from programs import page_data, run
from refreshing import FEW, enable
from replicas import has_followed, primary, standby, subscribed
from sqlalchemy import URL, Engine, make_url
from statements import address, as_user, ask
from statements import execute as execute_in

import refresh as refresh_package
from refresh.catalog import SOURCE
from refresh.store.database import connect
from refresh.store.tables import METADATA, TARGET_TABLES

PROGRAM = "run_daily_refresh.py"
PRICES = f"""
    INSERT INTO {SOURCE} (id, "timestamp", timeopen, timeclose, open, high, low, close, volume)
    SELECT asset, at, at - interval '1 day - 1 ms', at, 10, 20, 5, 10 + asset / 100.0, 1000
    FROM generate_series(CAST(:first AS int), :last) AS n CROSS JOIN unnest(ARRAY[1, 52]) AS asset
    CROSS JOIN LATERAL (SELECT timestamptz '2024-01-01 23:59:59.999Z' + n * interval '1 day' AS at) AS day
"""
LOOKS = {
    "dry run": ("--all", "--dry-run"),
    "explain": ("--explain", "1"),
    "check": ("--check", "--max-age", "26h"),
    "validate": ("--validate", "--sample", "all"),
    "page": ("--html", "PAGE"),
}
SECONDS = re.compile(r"\d+(\.\d+)? ?s\b")


@pytest.fixture(scope="module")
def publisher() -> Iterator[URL]:
    """A server that writes what others need to follow it."""
    with primary() as url:
        yield url


@pytest.fixture(scope="module")
def engine(publisher: URL) -> Iterator[Engine]:
    """A database that publishes all its tables, with prices."""
    with database(publisher, "template1") as url, connect(url) as engine:
        with as_user(engine.url).begin() as connection:
            create_tables(connection)
        execute_in(engine, "CREATE PUBLICATION everything FOR ALL TABLES", "INSERT INTO dim_period VALUES (2, true, 0)")
        enable(engine, FEW, [2])
        execute_in(engine, PRICES, first=1, last=40)
        yield engine


@pytest.fixture(scope="module")
def copied(server: URL, engine: Engine) -> Iterator[Engine]:
    """A database of another server that receives every table from its first row on."""
    with database(server, "template1") as url, connect(url) as copied:
        with as_user(copied.url).begin() as connection:
            create_tables(connection)
        execute_in(copied, f"TRUNCATE {', '.join(METADATA.tables)}")
        with subscribed(engine.url, copied.url, "other_server"):
            yield copied


def contents(engine: Engine) -> dict[str, str]:
    """Every row of every table and view."""
    query = "SELECT coalesce(string_agg(t::text, ' ' ORDER BY t::text), '') FROM {} AS t"
    return {name: ask(engine, query.format(name))[0][0] for name in (SOURCE, *METADATA.tables, *TARGET_TABLES)}


def refresh(engine: Engine, *arguments: str) -> None:
    """A refresh in which nothing fails."""
    result = run(PROGRAM, "--all", *arguments, url=address(engine))
    assert (result.returncode, result.stderr) == (0, "")


def test_published_tables_are_the_same_elsewhere(engine: Engine, copied: Engine) -> None:
    """Builds, nights, revisions and removals reach another server row by row: every table has a key."""
    refresh(engine)
    execute_in(engine, PRICES, first=41, last=42)
    execute_in(engine, f"UPDATE {SOURCE} SET close = 12 WHERE id = 1 AND \"timestamp\" < '2024-01-12'")
    execute_in(engine, f"UPDATE {SOURCE} SET open = NULL WHERE id = 52 AND \"timestamp\" < '2024-01-12'")
    refresh(engine)
    execute_in(engine, f"UPDATE {SOURCE} SET open = 10 WHERE id = 52 AND \"timestamp\" < '2024-01-05'")
    refresh(engine)
    execute_in(engine, f"DELETE FROM {SOURCE} WHERE id = 52")
    refresh(engine, "--prune")
    assert has_followed(engine, "other_server")
    here, there = contents(engine), contents(copied)
    assert {name for name in here if here[name] != there[name]} == set()
    assert ask(engine, "SELECT count(*) > 1 FROM refresh_restatements") == [(True,)]


@pytest.fixture(scope="module")
def replica(publisher: URL, engine: Engine) -> Iterator[URL]:
    """The same database on a hot standby, after a refresh."""
    with standby(publisher) as url:
        refresh(engine, "--full-rebuild")
        assert has_followed(engine, "walreceiver")
        yield url.set(database=engine.url.database)


@pytest.mark.parametrize("name", LOOKS)
def test_looking_from_a_standby(engine: Engine, replica: URL, name: str, tmp_path: Path) -> None:
    """What can be seen of a database can be seen of its standby."""
    shown = []
    for url in (engine.url, make_url(replica)):
        page = tmp_path / f"{url.port}.html"
        arguments = [str(page) if argument == "PAGE" else argument for argument in LOOKS[name]]
        result = run(PROGRAM, *arguments, url=url.render_as_string(hide_password=False))
        assert (result.returncode, result.stderr) == (0, "")
        printed = SECONDS.sub("_ s", result.stdout).replace(str(page), "").replace(f":{url.port}/", "/")
        content = page_data(page) | {"generated_at": None} if page.exists() else {}
        shown.append((printed, content))
    assert shown[0] == shown[1]


def test_reading_from_a_standby(engine: Engine, replica: URL) -> None:
    """What Python reads of a database can be read of its standby."""
    read = []
    for url in (engine.url, make_url(replica)):
        with refresh_package.connect(url.render_as_string(hide_password=False)) as db:
            frames = (db.bars([1], "1D"), db.emas([1], "2D"), db.freshness(), db.runs())
            read.append([frame.to_pandas() for frame in frames])
    for here, there in zip(*read, strict=True):
        assert len(here) > 0
        assert_frame_equal(here, there)


@pytest.mark.parametrize("command", [f"{PROGRAM} --all", "-m refresh.builder bars.1d", "-m refresh.load {file}"])
def test_writing_to_a_standby(replica: URL, command: str, tmp_path: Path) -> None:
    """Nothing is begun, and one line says why and what to do."""
    file = tmp_path / "prices.csv"
    file.write_text("id,timestamp,open,high,low,close,volume\n1,2023-12-20,10,20,5,11,1000\n")
    result = run(command.format(file=file), url=replica.render_as_string(hide_password=False))
    assert (result.returncode, len(result.stdout.splitlines()) < 2) == (3, True)
    assert result.stderr == (
        "error: this server is a standby, on which --dry-run, --explain, --validate, --check and --html work; "
        "to write, name its primary in --db-url or TARGET_DB_URL\n"
    )


def test_tables_without_a_key_would_stop_a_refresh(engine: Engine) -> None:
    """The publication is one that refuses rows that cannot be told apart."""
    execute(engine.url, "CREATE TABLE without_key (id int)")
    execute(engine.url, "INSERT INTO without_key VALUES (1)")
    with pytest.raises(Exception, match="does not have a replica identity"):
        execute(engine.url, "DELETE FROM without_key")
    execute(engine.url, "DROP TABLE without_key")
