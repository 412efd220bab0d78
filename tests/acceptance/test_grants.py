"""The rights that a role needs: those of the README's table are enough, and none of them is too many."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from databases import database
from databases import execute as execute_outside
from programs import PROJECT, run
from refreshing import FEW, enable
from sqlalchemy import URL, Engine, make_url
from statements import ask, execute

from refresh.catalog import SOURCE
from refresh.store.database import connect
from refresh.store.tables import METADATA

PROGRAM = "run_daily_refresh.py"
ROLE, OWNER = "refresher_of_tests", "owner_of_tests"
PRICES = f"""
    INSERT INTO {SOURCE} (id, "timestamp", timeopen, timeclose, open, high, low, close, volume)
    SELECT asset, at, at - interval '1 day - 1 ms', at, 10, 20, 5, 10 + asset / 100.0, 1000
    FROM generate_series(CAST(:first AS int), :last) AS n CROSS JOIN unnest(ARRAY[1, 52]) AS asset
    CROSS JOIN LATERAL (SELECT timestamptz '2024-01-01 23:59:59.999Z' + n * interval '1 day' AS at) AS day
"""
REVISION = f"UPDATE {SOURCE} SET close = 12 WHERE id = 1 AND \"timestamp\" < '2024-01-12'"
REFUSED = f"UPDATE {SOURCE} SET open = NULL WHERE id = 52 AND \"timestamp\" < '2024-01-12'"

READING = """
import refresh
with refresh.connect() as db:
    for frame in (db.bars([1, 52], "1D"), db.emas(None, "2D"), db.freshness(), db.runs()):
        assert len(frame) > 0
"""

Act = Callable[[Engine, str, Path], Iterator[subprocess.CompletedProcess[str]]]


def look(_: Engine, url: str, folder: Path) -> Iterator[subprocess.CompletedProcess[str]]:
    """Look at a database in every way, validate it, and read it from Python."""
    yield run(PROGRAM, "--all", "--dry-run", url=url)
    yield run(PROGRAM, "--explain", "52", url=url)
    yield run(PROGRAM, "--check", url=url)
    yield run(PROGRAM, "--html", str(folder / "page.html"), url=url)
    yield run(PROGRAM, "--validate", "--sample", "all", url=url)
    yield run("-c", READING, url=url)


def first_run(engine: Engine, url: str, _: Path) -> Iterator[subprocess.CompletedProcess[str]]:
    """Build everything in a database with prices alone."""
    tables = ", ".join(METADATA.tables)
    execute(engine, f"DROP TABLE {tables} CASCADE", "DROP FUNCTION refresh_note_lost_rows()")
    yield run(PROGRAM, "--all", "--tfs", "2D", "--periods", "10", url=url)


def later_runs(engine: Engine, url: str, _: Path) -> Iterator[subprocess.CompletedProcess[str]]:
    """A night, a revision, new series, a rebuild, rows that are refused, and assets that are removed."""
    execute(engine, PRICES, first=41, last=42)
    yield run(PROGRAM, "--all", url=url)
    execute(engine, REVISION)
    yield run(PROGRAM, "--all", url=url)
    execute(engine, REFUSED, "INSERT INTO dim_period VALUES (3, true, 0)")
    yield run(PROGRAM, "--all", url=url)
    yield run(PROGRAM, "--all", "--full-rebuild", url=url)
    execute(engine, f"DELETE FROM {SOURCE} WHERE id = 52")
    yield run(PROGRAM, "--all", "--prune", url=url)


def runs_of_the_owner(engine: Engine, url: str, folder: Path) -> Iterator[subprocess.CompletedProcess[str]]:
    """The same by the role that created the tables."""
    for name in METADATA.tables:
        execute(engine, f"ALTER TABLE {name} OWNER TO {ROLE}")
    views = ask(engine, "SELECT relname FROM pg_class WHERE relkind = 'v' AND relnamespace = 2200")
    execute(engine, *(f"ALTER VIEW {name} OWNER TO {ROLE}" for (name,) in views))
    execute(engine, f"ALTER FUNCTION refresh_note_lost_rows() OWNER TO {ROLE}")
    yield from later_runs(engine, url, folder)


def load(engine: Engine, url: str, folder: Path) -> Iterator[subprocess.CompletedProcess[str]]:
    """Load a file whose row is new, then with another price, then while the day is there twice."""
    file = folder / "prices.csv"
    for close in (11, 12, 13):
        file.write_text(f"id,timestamp,open,high,low,close,volume\n1,2023-12-20,10,20,5,{close},1000\n")
        yield run("-m refresh.load", str(file), url=url)
        execute(
            engine,
            f"""INSERT INTO {SOURCE} SELECT (jsonb_populate_record(p, '{{"timestamp": "2023-12-20"}}')).*
                FROM {SOURCE} p WHERE id = 1 AND close = 12 AND "timestamp"::date = '2023-12-20'""",
        )


def load_into_nothing(engine: Engine, url: str, folder: Path) -> Iterator[subprocess.CompletedProcess[str]]:
    """Load a file where there is no price table."""
    execute(engine, f"DROP TABLE {SOURCE}")
    yield from load(engine, url, folder)


ACTS: dict[str, Act] = {
    "look": look,
    "run for the first time": first_run,
    "run again as the same role": runs_of_the_owner,
    "run again as another role": later_runs,
    "load files": load,
    "load files without a price table": load_into_nothing,
}
"""What is done, by how the first column of the README's table begins."""


def granted() -> dict[str, list[str]]:
    """The statements of the README's table, by what they are for; those for everything come first in each."""
    text = (
        (PROJECT / "README.md").read_text(encoding="utf-8").partition("## Your own database")[2].partition("\n## ")[0]
    )
    rows = re.findall(r"^\| ([^|]+?) \| ([^|]*(?:GRANT|REVOKE)[^|]*) \|$", text, re.MULTILINE)
    return {what.partition(":")[0]: re.findall(r"`([^`]+)`", statements) for what, statements in rows}


GRANTED = granted()
ALWAYS = GRANTED.pop("anything", [])
EACH = [
    (what, statement)
    for what, statements in GRANTED.items()
    for statement in ALWAYS + statements
    if statement.startswith("GRANT")  # a REVOKE takes back what the GRANT before it gives too much
]


@pytest.fixture(scope="module", autouse=True)
def roles(server: URL) -> Iterator[None]:
    """A role that may log in and nothing else."""
    execute_outside(server, f"CREATE ROLE {ROLE} LOGIN")
    yield
    execute_outside(server, f"DROP ROLE {ROLE}")


@pytest.fixture(scope="module")
def built(server: URL, template: str) -> Iterator[str]:
    """The name of a database in which everything is built, and nobody but its owner has any right."""
    with database(server, template) as url:
        with connect(url) as engine:
            execute(engine, "INSERT INTO dim_period VALUES (2, true, 0)", "REVOKE ALL ON SCHEMA public FROM PUBLIC")
            enable(engine, FEW, [2])
            execute(engine, PRICES, first=1, last=40)
            assert run(PROGRAM, "--all", url=url).returncode == 0
        yield str(make_url(url).database)


@pytest.fixture
def engine(server: URL, built: str) -> Iterator[Engine]:
    """The owner's sessions in a copy of that database."""
    with database(server, built) as url, connect(url) as engine:
        execute(engine, f"REVOKE ALL ON DATABASE {engine.url.database} FROM PUBLIC")
        yield engine


def grant(engine: Engine, statements: Sequence[str]) -> str:
    """Give the role its rights. Returns the URL of its sessions."""
    for statement in statements:
        own = statement.replace("refresher", ROLE).replace("DATABASE prices", f"DATABASE {engine.url.database}")
        execute(engine, own)
    return engine.url.set(username=ROLE).render_as_string(hide_password=False)


def test_readme_says_what_is_tested() -> None:
    """Every row of the table is about something that is done here."""
    assert list(GRANTED) == list(ACTS)
    assert ALWAYS


@pytest.mark.parametrize("what", GRANTED)
def test_grants_are_enough(engine: Engine, what: str, tmp_path: Path) -> None:
    """With these rights and no others, everything works."""
    url = grant(engine, ALWAYS + GRANTED[what])
    for result in ACTS[what](engine, url, tmp_path):
        said = [line for line in result.stderr.splitlines() if ": notice: " not in line]
        assert (result.returncode, said) == (0, []), result.args


@pytest.mark.parametrize(("what", "statement"), EACH, ids=[f"{what}, without {grant}" for what, grant in EACH])
def test_each_grant_is_needed(engine: Engine, what: str, statement: str, tmp_path: Path) -> None:
    """Without one of them, something does not work, and one line says what is denied."""
    url = grant(engine, [other for other in ALWAYS + GRANTED[what] if other != statement])
    failed = next(result for result in ACTS[what](engine, url, tmp_path) if result.returncode)
    assert re.fullmatch(r"error: .*permission denied.*\n", failed.stderr)
