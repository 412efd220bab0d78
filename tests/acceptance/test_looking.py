"""Opening is not preparing: looking at a database needs only the right to read, and works without our tables."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from databases import database
from databases import execute as execute_outside
from programs import page_data, run
from refreshing import FEW, digests, enable, moved, refresh, written
from sqlalchemy import URL, Engine, MetaData, make_url
from statements import address, ask, execute

from refresh.catalog import BUILDERS, DAILY, SOURCE, legs
from refresh.store.database import connect
from refresh.store.tables import source_table

PROGRAM = "run_daily_refresh.py"
DAYS = 40
READER = "reader_of_tests"
BARS, EMAS = "cmc_price_bars_multi_tf", "cmc_ema_multi_tf_v2"
FILL = f"""
    INSERT INTO {SOURCE} (id, name, "timestamp", timeopen, timeclose, open, high, low, close, volume)
    SELECT asset, 'asset ' || asset, at, at - interval '1 day - 1 ms', at, 10, 20, 5, 10 + asset / 1000.0, 1000
    FROM generate_series(CAST(:first AS int), :last) AS n CROSS JOIN unnest(CAST(:assets AS int[])) AS asset
    CROSS JOIN LATERAL (SELECT now()::date - interval '1 ms' - ({DAYS} + 1 - n) * interval '1 day' AS at) AS day
"""
LOOKS = {
    "dry run": ("--all", "--dry-run"),
    "plan as JSON": ("--all", "--dry-run", "--json", "-"),
    "dry run of a resume": ("--all", "--resume", "--dry-run"),
    "explain": ("--explain", "52"),
    "page": ("--html", "PAGE"),
    "check": ("--check",),
    "validate": ("--validate", "--sample", "all"),
    "digest": ("--digest",),
}
SEEN = {
    "dry run": "retry (failed last time): append 1 day: id 52",
    "plan as JSON": '"reason": "retry (failed last time): append 1 day"',
    "dry run of a resume": "resuming the run of ",
    "explain": f"asset 52: {DAYS + 1} prices from ",
    "page": "the page is file://",
    "check": "not fresh: 1 of 3 assets in 1 of 12 tables; worst: ID 52, bars.multi_tf: failed since ",
    "validate": "Valid: 2 assets in 12 tables.",
    "digest": "Seven days: ",
}
"""What each of them prints about the database."""
CODES = {"check": 1}
"""How each ends, if not with 0."""
SECONDS = re.compile(r"\d+(\.\d+)? ?s\b")


def fill(engine: Engine, assets: Sequence[int] = (1, 52, 825), first: int = 1, last: int = DAYS) -> None:
    """Give assets a price a day; the day after the last is yesterday."""
    execute(engine, FILL, assets=list(assets), first=first, last=last)


def relations(engine: Engine) -> list[tuple[Any, ...]]:
    """The tables, views and indexes of the database."""
    query = "SELECT relname, relkind FROM pg_class WHERE relnamespace = 'public'::regnamespace ORDER BY 1"
    return ask(engine, query)


def look(url: str, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the program, with a page in the folder if one is asked for."""
    page = str(folder / "page.html")
    return run(PROGRAM, *[page if argument == "PAGE" else argument for argument in arguments], url=url)


def page_in(folder: Path) -> dict[str, Any]:
    """The content of the page, except the time when it was written."""
    content = page_data(folder / "page.html")
    assert content.pop("generated_at")
    return content


@pytest.fixture(scope="module")
def built(server: URL, template: str) -> Iterator[str]:
    """The name of a database with a successful run and a later one in which asset 52 failed."""
    with database(server, template) as url:
        with connect(url) as engine:
            enable(engine, FEW, [2, 10])
            execute(engine, "INSERT INTO dim_period VALUES (2, true, 0)")
            fill(engine)
            refresh(engine, now=datetime.now(UTC))
            assert run(PROGRAM, "--all", url=url).returncode == 0
            execute(engine, f"ALTER TABLE {BARS} ADD CONSTRAINT not_today CHECK (id <> 52) NOT VALID")
            fill(engine, [52], DAYS + 1, DAYS + 1)
            assert run(PROGRAM, "--bars", "--builders", "1d,multi_tf", url=url).returncode == 1
        yield str(make_url(url).database)


@pytest.fixture
def engine(server: URL, built: str) -> Iterator[Engine]:
    """The owner's sessions in a copy of that database."""
    with database(server, built) as url, connect(url) as engine:
        yield engine


@pytest.fixture
def new_engine(database_url: str) -> Iterator[Engine]:
    """The owner's sessions in a database with prices and without any table of ours."""
    with connect(database_url) as engine:
        source_table(MetaData()).create(engine)
        fill(engine)
        yield engine


@pytest.fixture(scope="module")
def reader(server: URL) -> Iterator[str]:
    """A role that may log in and nothing else."""
    execute_outside(server, f"CREATE ROLE {READER} LOGIN")
    yield READER
    execute_outside(server, f"DROP ROLE {READER}")


def only_select(engine: Engine, reader: str) -> str:
    """The URL of a role that may read what there is now, and do nothing else."""
    name = engine.url.database
    execute(
        engine,
        f"REVOKE CREATE ON SCHEMA public FROM PUBLIC; REVOKE TEMPORARY ON DATABASE {name} FROM PUBLIC",
        f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {reader}",
    )
    return engine.url.set(username=reader).render_as_string(hide_password=False)


@pytest.mark.parametrize("name", LOOKS)
def test_looking_needs_no_right_to_write(engine: Engine, reader: str, name: str, tmp_path: Path) -> None:
    """It prints the same as for the owner of the tables, and creates and changes nothing."""
    by_owner = look(address(engine), tmp_path, *LOOKS[name])
    assert (by_owner.returncode, by_owner.stderr) == (CODES.get(name, 0), "")
    assert SEEN[name] in by_owner.stdout
    page = page_in(tmp_path) if name == "page" else {}
    url = only_select(engine, reader)
    before = relations(engine), written(engine)
    by_reader = look(url, tmp_path, *LOOKS[name])
    assert (by_reader.returncode, by_reader.stderr) == (CODES.get(name, 0), "")
    assert SECONDS.sub("_ s", by_reader.stdout) == SECONDS.sub("_ s", by_owner.stdout)
    assert (relations(engine), written(engine)) == before
    if name == "page":
        assert page_in(tmp_path) == page


def test_run_needs_the_right_to_write(engine: Engine, reader: str) -> None:
    """A run is refused in one line before any builder is started."""
    url = only_select(engine, reader)
    before = relations(engine), written(engine)
    refused = run(PROGRAM, "--all", url=url)
    assert (refused.returncode, len(refused.stdout.splitlines())) == (3, 1)
    assert re.fullmatch("error: permission denied.*\n", refused.stderr)
    assert (relations(engine), written(engine)) == before


# A database with prices and without any table of ours


@pytest.fixture
def nothing_is_created(new_engine: Engine) -> Iterator[None]:
    """After the test the database has the source table alone, as it was."""
    before = relations(new_engine), written(new_engine)
    assert list(before[1]) == [SOURCE]
    yield
    assert (relations(new_engine), written(new_engine)) == before


@pytest.mark.usefixtures("nothing_is_created")
def test_plan_without_tables(new_engine: Engine, server: URL, template: str) -> None:
    """Every builder is planned from the defaults of the catalogue, as in a database that is prepared and empty."""
    plan = json.loads(run(PROGRAM, "--all", "--dry-run", "--json", "-", url=address(new_engine)).stdout)
    due = [{"id": id, "reason": f"build {DAYS} days: not built yet"} for id in (1, 52, 825)]
    following = [{"id": id, "reason": "follows 1d bars"} for id in (1, 52, 825)]
    assert [step["builder"] for step in plan["steps"]] == [builder.key for builder in BUILDERS]
    for step, builder in zip(plan["steps"], BUILDERS, strict=True):
        tasks = [{"id": task["id"], "reason": task["reason"]} for task in step["tasks"]]
        assert tasks == (due if DAILY in [leg.target for leg in builder.legs] else following), builder.key
        assert step["skipped"] == []
    with database(server, template) as url, connect(url) as prepared:
        fill(prepared)
        expected = run(PROGRAM, "--all", "--dry-run", "--json", "-", url=url)
    assert json.loads(expected.stdout) == plan


@pytest.mark.usefixtures("nothing_is_created")
def test_printed_plan_without_tables(new_engine: Engine) -> None:
    """The printed plan has a headline, a command and a reason for every builder."""
    shown = run(PROGRAM, "--all", "--dry-run", url=address(new_engine))
    assert (shown.returncode, shown.stderr) == (0, "")
    for number, builder in enumerate(BUILDERS, 1):
        assert re.search(rf"^{number}\. {builder.title}: 3 assets, about ", shown.stdout, re.MULTILINE)
        assert f"   python -m refresh.builder {builder.key} --ids all --tz UTC\n" in shown.stdout
    assert shown.stdout.count("follows 1d bars: id 1, 52, 825") == len(BUILDERS) - 1
    assert shown.stdout.endswith("Dry run: nothing was written.\n")


@pytest.mark.usefixtures("nothing_is_created")
def test_plan_of_a_resume_without_tables(new_engine: Engine) -> None:
    """No run left anything."""
    shown = run(PROGRAM, "--all", "--resume", "--dry-run", url=address(new_engine))
    assert (shown.returncode, shown.stderr) == (0, "")
    assert shown.stdout.splitlines()[1:] == ["Nothing to resume: no run left anything unfinished."]


@pytest.mark.usefixtures("nothing_is_created")
def test_explanation_without_tables(new_engine: Engine) -> None:
    """The source has a line, and no table has a row yet."""
    shown = run(PROGRAM, "--explain", "52", url=address(new_engine))
    assert (shown.returncode, shown.stderr) == (0, "")
    source_line, _, *tables = shown.stdout.splitlines()
    assert re.fullmatch(rf"asset 52: {DAYS} prices from \d{{4}}-\d\d-\d\d to \d{{4}}-\d\d-\d\d", source_line)
    for line, (_, leg) in zip(tables, legs(), strict=True):
        assert re.match(f"{leg.target} +not built ", line)


@pytest.mark.usefixtures("nothing_is_created")
def test_page_without_tables(new_engine: Engine, tmp_path: Path) -> None:
    """The page lists the assets of the source, which are in no table, and has no run."""
    assert look(address(new_engine), tmp_path, "--html", "PAGE").returncode == 0
    page = page_in(tmp_path)
    assert (page["headline"], page["summary"], page["runs"]) == ("No run has ended yet.", None, [])
    assert (page["failures"], page["restatements"]) == ([], [])
    assert [asset["id"] for asset in page["freshness"]["assets"]] == [1, 52, 825]
    for asset in page["freshness"]["assets"]:
        assert set(asset["lags"]) == {None}


@pytest.mark.usefixtures("nothing_is_created")
def test_check_and_validation_without_tables(new_engine: Engine) -> None:
    """There is no good run to check, and nothing to validate."""
    check = run(PROGRAM, "--check", url=address(new_engine))
    assert (check.returncode, check.stdout, check.stderr) == (1, "this database has no successful run yet\n", "")
    validation = run(PROGRAM, "--validate", url=address(new_engine))
    assert (validation.returncode, validation.stdout) == (3, "")
    assert validation.stderr == "error: nothing has been built in this database yet; run a refresh first\n"


# A database that lacks one of our tables


@pytest.mark.parametrize(
    ("dropped", "reason"),
    [
        ([f"{EMAS}_packed", f"{EMAS}_state"], "not built yet"),
        ([f"{EMAS}_packed"], "the state contradicts the table"),
        ([f"{EMAS}_series"], "the state contradicts the table"),
        ([f"{EMAS}_state"], "not built yet"),
    ],
    ids=["table and state", "table", "series", "state"],
)
def test_plan_without_one_table(engine: Engine, dropped: list[str], reason: str) -> None:
    """Its rebuild is planned, and no other. A run does it and writes the same rows as before."""
    url = address(engine)
    execute(engine, f"ALTER TABLE {BARS} DROP CONSTRAINT not_today")
    refresh(engine, now=datetime.now(UTC))
    complete = digests(engine)
    execute(engine, f"DROP TABLE {', '.join(dropped)} CASCADE")
    before = relations(engine), moved(engine)
    plan = json.loads(run(PROGRAM, "--all", "--dry-run", "--json", "-", url=url).stdout)
    assert (relations(engine), moved(engine)) == before
    reasons = {(step["builder"], task["id"]): task["reason"] for step in plan["steps"] for task in step["tasks"]}
    days = {1: DAYS, 52: DAYS + 1, 825: DAYS}
    assert reasons == {("emas.v2", id): f"build {number} days: {reason}" for id, number in days.items()}
    assert run(PROGRAM, "--all", url=url).returncode == 0
    assert digests(engine) == complete
