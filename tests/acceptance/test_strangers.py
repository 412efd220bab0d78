"""Others may create what they like in ``public``, and whatever a search path names first: nothing of it is used."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import strangers
from databases import database
from databases import execute as execute_outside
from programs import run
from refreshing import FEW, digests
from sqlalchemy import URL, Engine, make_url, text
from sqlalchemy.exc import DBAPIError
from statements import address, ask, execute

from refresh.catalog import SOURCE
from refresh.store.database import connect, read_committed
from refresh.store.schema import prepare
from refresh.store.tables import METADATA, TARGET_TABLES

PROGRAM = "run_daily_refresh.py"
PRICES = f"""
    INSERT INTO {SOURCE} (id, name, "timestamp", timeopen, timeclose, open, high, low, close, volume)
    SELECT asset, 'asset ' || asset, at, at - interval '1 day - 1 ms', at, 10, 20, 5, 10 + asset / 100.0, 1000
    FROM generate_series(CAST(:first AS int), :last) AS n CROSS JOIN unnest(ARRAY[1, 52]) AS asset
    CROSS JOIN LATERAL (SELECT timestamptz '2024-01-01 23:59:59.999Z' + n * interval '1 day' AS at) AS day
"""
FILE = "id,timestamp,open,high,low,close,volume\n1,2023-12-20,10,20,5,11,1000\n1,2023-12-21,10,20,5,12,1000\n"
Act = Callable[[Engine, Path], None]
READING = """
import refresh
with refresh.connect() as db:
    for frame in (db.bars([1, 52], "1D"), db.emas(None, "2D"), db.freshness(), db.runs()):
        assert len(frame) > 0
"""


def write(engine: Engine, statement: str, **values: Any) -> None:
    """Run a statement as a refresh does: a user's session would meet the strangers."""
    with engine.begin() as connection:
        connection.execute(text(statement), values)


@pytest.fixture(scope="module", autouse=True)
def role(server: URL) -> Iterator[None]:
    """A role that owns nothing of ours."""
    execute_outside(server, f"CREATE ROLE {strangers.ROLE}")
    yield
    execute_outside(server, f"DROP ROLE {strangers.ROLE}")


@pytest.fixture
def alone(server: URL) -> Iterator[Engine]:
    """A database with nothing in it except the tables that a first run creates."""
    with database(server, "template1") as url, connect(url) as engine:
        yield engine


@pytest.fixture(scope="module")
def full(server: URL, role: None) -> Iterator[str]:  # noqa: ARG001 - the role owns what is in the database
    """The name of a database that is full of look-alikes before anything of ours is created."""
    with database(server, "template1") as url:
        with connect(url) as engine:
            strangers.move_in(engine)
        yield str(make_url(url).database)


@pytest.fixture
def beside_strangers(server: URL, full: str) -> Iterator[Engine]:
    """A copy of that database."""
    with database(server, full) as url:
        with connect(url) as engine:
            strangers.come_first(engine)
        with connect(url) as engine:
            yield engine


def go_on(engine: Engine, arguments: Sequence[str], code: int = 0) -> str:
    """Run a program in the database. Returns what it prints."""
    result = run(*arguments, url=address(engine))
    assert strangers.USED not in result.stderr + result.stdout
    assert (result.returncode, result.stderr) == (code, "")
    return result.stdout


def nothing(_: Engine, __: Path) -> None:
    """Do nothing that changes no table."""


def plan(engine: Engine, _: Path) -> None:
    """Ask what a run would do."""
    assert "asset 1: 104 prices" in go_on(engine, [PROGRAM, "--explain", "1"])
    go_on(engine, [PROGRAM, "--all", "--dry-run"])


def look(engine: Engine, folder: Path) -> None:
    """Look at the tables in every way, and validate them."""
    assert "Valid: 2 assets" in go_on(engine, [PROGRAM, "--validate", "--sample", "all"])
    go_on(engine, [PROGRAM, "--check", "--max-age", "26h"])
    go_on(engine, [PROGRAM, "--html", str(folder / "page.html")])
    go_on(engine, [PROGRAM, "--digest"])
    go_on(engine, [PROGRAM, "--metrics", str(folder / "metrics.prom")])
    go_on(engine, ["-c", READING])


def life(engine: Engine, folder: Path, plan: Act = nothing, look: Act = nothing) -> dict[str, tuple[int, str]]:
    """A first run, a loaded file, a night, a revision, and looks. Returns what the tables then hold."""
    file = folder / "prices.csv"
    file.write_text(FILE)
    go_on(engine, ["-m refresh.load", str(file)])
    with read_committed(engine) as connection:
        prepare(connection)
    write(engine, "UPDATE dim_timeframe SET is_enabled = tf = ANY(:few)", few=list(FEW))
    write(engine, f"UPDATE {SOURCE} SET load_ts = NULL")  # the only value that differs
    write(engine, "UPDATE dim_period SET is_enabled = false")
    write(engine, "INSERT INTO dim_period VALUES (2, true, 0)")
    write(engine, PRICES, first=1, last=100)
    go_on(engine, [PROGRAM, "--all"])
    write(engine, PRICES, first=101, last=102)
    go_on(engine, [PROGRAM, "--all"])
    write(engine, f"UPDATE {SOURCE} SET close = 12 WHERE id = 1 AND \"timestamp\" < '2024-01-12'")
    plan(engine, folder)
    go_on(engine, [PROGRAM, "--all"])
    look(engine, folder)
    write(engine, f"DELETE FROM {SOURCE} WHERE id = 52")
    go_on(engine, [PROGRAM, "--all", "--prune"])
    return digests(engine)


def test_strangers_are_never_used(alone: Engine, beside_strangers: Engine, tmp_path: Path) -> None:
    """Whatever is done, it is done with PostgreSQL's own functions, operators and types, and with our tables."""
    expected = life(alone, tmp_path)
    assert all(rows for rows, _ in expected.values())
    assert life(beside_strangers, tmp_path, plan, look) == expected
    with beside_strangers.connect() as connection:
        full = [name for name in (*METADATA.tables, *TARGET_TABLES) if _rows(connection, name)]
    assert not full


def _rows(connection: Any, name: str) -> int:
    return int(connection.execute(text(f"SELECT count(*) FROM {strangers.SCHEMA}.{name}")).scalar_one())


def test_a_users_session_meets_them(beside_strangers: Engine) -> None:
    """The look-alikes are where a session with the database's own settings finds them."""
    with pytest.raises(DBAPIError, match=strangers.USED):
        ask(beside_strangers, "SELECT hash_record_extended(ROW(1), 0)")
    with pytest.raises(DBAPIError, match=strangers.USED):
        ask(beside_strangers, "SELECT CAST('a' AS pg_catalog.text) = CAST('b' AS pg_catalog.varchar)")


def test_our_trigger_is_not_for_strangers(beside_strangers: Engine) -> None:
    """It works with the rights of whoever created it, on the table that its arguments name: nobody else may use it."""
    with read_committed(beside_strangers) as connection:
        prepare(connection)
    trigger = f"""CREATE TRIGGER mine AFTER TRUNCATE ON {strangers.SCHEMA}.dim_period FOR EACH STATEMENT
                  EXECUTE FUNCTION public.refresh_note_lost_rows('{SOURCE}', 'reject')"""
    with pytest.raises(DBAPIError, match=r"permission denied for function .*refresh_note_lost_rows"):
        execute(beside_strangers, f"SET ROLE {strangers.ROLE}", trigger)


def test_what_a_user_deletes_is_noted_beside_them(beside_strangers: Engine) -> None:
    """Our trigger does what it does for everybody in a session whose search path begins with strangers."""
    with read_committed(beside_strangers) as connection:
        prepare(connection)
    write(
        beside_strangers,
        """INSERT INTO cmc_price_bars_1d_source_months (id, month, row_count, digest) VALUES (1, '2024-01-01', 1, 1)""",
    )
    write(
        beside_strangers,
        """INSERT INTO cmc_price_bars_1d_rejects (id, reason, copy, run_id) VALUES (1, 'null_time', 1, 'run')""",
    )
    execute(beside_strangers, "DELETE FROM public.cmc_price_bars_1d_rejects")
    with beside_strangers.connect() as connection:
        months = connection.execute(text("SELECT count(*) FROM cmc_price_bars_1d_source_months")).scalar_one()
    assert months == 0
