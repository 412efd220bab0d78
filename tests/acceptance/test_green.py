"""``--check`` is green only if every asset is fresh in every table: what parts of a refresh prove.

Also the page about a database in which a scheduler runs single builders.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from databases import database
from programs import PROJECT, page_data, run
from refreshing import FEW, enable
from sqlalchemy import URL, Engine, make_url, text
from statements import address, ask, execute
from waiting import eventually

from refresh.catalog import SOURCE
from refresh.store.database import connect

DAILY, BUILDER = "run_daily_refresh.py", "-m refresh.builder"
V2 = "cmc_ema_multi_tf_v2"
FILL = f"""
    INSERT INTO {SOURCE} (id, "timestamp", timeopen, timeclose, open, high, low, close, volume)
    SELECT asset, at, at - interval '1 day - 1 ms', at, 10, 20, 5, 10 + asset / 1000.0, 1000
    FROM generate_series(CAST(:first AS timestamptz), :last, interval '1 day') AS at
    CROSS JOIN unnest(CAST(:assets AS int[])) AS asset
"""


def yesterday() -> datetime:
    """The last millisecond of yesterday."""
    return datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(milliseconds=1)


@pytest.fixture(scope="module")
def filled(server: URL, template: str) -> Iterator[str]:
    """The name of a database with forty days of two assets, up to the day before yesterday, and few timeframes."""
    with database(server, template) as url:
        with connect(url) as engine:
            enable(engine, FEW, [10, 20])
            last = yesterday() - timedelta(days=1)
            execute(engine, FILL, assets=[1, 52], first=last - timedelta(days=39), last=last)
        yield str(make_url(url).database)


@pytest.fixture(scope="module")
def built(server: URL, filled: str) -> Iterator[str]:
    """The name of the same database after a good night two days ago, and with the prices of yesterday."""
    with database(server, filled) as url:
        with connect(url) as engine:
            assert run(DAILY, "--all", url=url).returncode == 0
            shift = "ended_at = ended_at - interval '2 days', started_at = started_at - interval '2 days'"
            execute(engine, f"UPDATE refresh_runs SET {shift}")
            execute(engine, "UPDATE refresh_outcomes SET noted_at = noted_at - interval '2 days'")
            execute(engine, FILL, assets=[1, 52], first=yesterday(), last=yesterday())
        yield str(make_url(url).database)


@pytest.fixture
def new(server: URL, filled: str) -> Iterator[Engine]:
    """A copy of the database in which nothing is built."""
    with database(server, filled) as url, connect(url) as engine:
        yield engine


@pytest.fixture
def engine(server: URL, built: str) -> Iterator[Engine]:
    """A copy of the database that is due for a night."""
    with database(server, built) as url, connect(url) as engine:
        yield engine


def refreshed(engine: Engine, *arguments: str) -> int:
    """The exit code of a refresh."""
    return run(DAILY, *arguments, url=address(engine)).returncode


def alone(engine: Engine, *arguments: str) -> int:
    """The exit code of a single builder."""
    return run(BUILDER, *arguments, url=address(engine)).returncode


def check(engine: Engine, *arguments: str) -> tuple[int, str]:
    """The exit code and the output of --check."""
    ended = run(DAILY, "--check", *arguments, url=address(engine))
    assert ended.stderr == ""
    return ended.returncode, ended.stdout.rstrip("\n")


def break_v2(engine: Engine) -> None:
    """Make the database refuse new EMAs of asset 52 in one table."""
    execute(engine, f"ALTER TABLE {V2}_packed ADD CONSTRAINT not_today CHECK (id <> 52) NOT VALID")


def mend_v2(engine: Engine) -> None:
    """Let it accept them again."""
    execute(engine, f"ALTER TABLE {V2}_packed DROP CONSTRAINT not_today")


# What proves the whole, and what does not


def test_night_proves_everything(engine: Engine) -> None:
    """A night that is too old proves nothing; one of today does, and the line says what was looked at."""
    code, line = check(engine)
    assert code == 1
    assert line.startswith("too old: the last refresh of all assets of bars.1d (")
    assert line.endswith("; the limit is 26 hours")
    assert "ended 48 hours ago" in line
    assert refreshed(engine, "--all") == 0
    code, line = check(engine)
    assert (code, line[:34]) == (0, "fresh: 2 assets in 12 tables; the ")


def test_part_after_a_failed_night(engine: Engine) -> None:
    """A good run about one asset does not make a failed night good; the worst asset is named."""
    break_v2(engine)
    assert refreshed(engine, "--all") == 1
    assert alone(engine, "emas.v2", "--ids", "1") == 0
    code, line = check(engine)
    assert code == 1
    assert line.startswith("not fresh: 1 of 2 assets in 1 of 12 tables; worst: ID 52, emas.v2: failed since ")
    assert "not_today" in line
    mend_v2(engine)
    assert check(engine)[0] == 1, "nothing was refreshed since"
    assert refreshed(engine, "--all", "--resume") == 0
    assert check(engine)[0] == 0


def test_failed_night_and_the_builder_that_failed(engine: Engine) -> None:
    """A run of the builder for that asset completes the night, unless it is about a timeframe only."""
    break_v2(engine)
    assert refreshed(engine, "--all") == 1
    mend_v2(engine)
    assert alone(engine, "emas.v2", "--ids", "52", "--tfs", "2D") == 0
    assert check(engine)[0] == 1
    assert alone(engine, "emas.v2", "--ids", "52") == 0
    assert check(engine)[0] == 0


def test_bars_and_emas_apart(engine: Engine) -> None:
    """Bars alone prove the bars; together with the EMAs they prove everything."""
    assert refreshed(engine, "--bars") == 0
    code, line = check(engine)
    assert code == 1
    assert line.startswith("too old: the last refresh of all assets of emas.multi_tf (")
    assert check(engine, "--bars")[0] == 0
    assert check(engine, "--emas")[0] == 1
    assert refreshed(engine, "--emas") == 0
    assert check(engine)[0] == 0


def test_one_builder_after_the_other(engine: Engine) -> None:
    """A scheduler that runs every builder alone needs no refresh."""
    arguments = ("--bars", "--builders", "1d,multi_tf")
    assert alone(engine, "bars.1d") == 0
    assert check(engine, *arguments)[0] == 1
    assert alone(engine, "bars.multi_tf") == 0
    assert check(engine, *arguments)[0] == 0


@pytest.mark.parametrize("narrowing", [("--tfs", "2D"), ("--ids", "1")])
def test_narrowed_refresh_proves_a_part(new: Engine, narrowing: tuple[str, str]) -> None:
    """A first refresh about a part leaves the rest unproven, and unbuilt."""
    assert refreshed(new, "--all", *narrowing) == 0
    code, line = check(new, "--verbose")
    assert code == 1
    assert line.splitlines()[1].startswith("not proven: no run has refreshed all assets and series of bars.1d, bars.")
    assert check(new, *narrowing)[0] == (0 if narrowing[0] == "--ids" else 1)


def test_killed_night(new: Engine) -> None:
    """A night that was killed proves nothing until another run resumes it."""
    url = address(new)
    environ = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "TARGET_DB_URL": url, "REFRESH_LOG_DIR": os.devnull}
    command = [sys.executable, DAILY, "--all", "--jobs", "1"]
    with new.connect() as holder:
        holder.execute(text(f"LOCK TABLE {V2}_state IN ROW EXCLUSIVE MODE"))
        holder.execute(text(f"LOCK TABLE {V2}_packed IN SHARE ROW EXCLUSIVE MODE"))
        with subprocess.Popen(
            command, cwd=PROJECT, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as night:
            assert eventually(lambda: ask(new, "SELECT FROM refresh_steps WHERE builder = 'emas.v2'") != [])
            night.kill()
    code, line = check(new)
    assert (code, line) == (1, "this database has no successful run yet")
    assert refreshed(new, "--all", "--resume", "--wait-lock", "1m") == 0
    assert check(new)[0] == 0


# Tables


def test_truncated_table(engine: Engine) -> None:
    """After a good night a table loses its rows: --check says which table, and how many are in trouble."""
    assert refreshed(engine, "--all") == 0
    execute(engine, f"TRUNCATE {V2}_packed")
    code, line = check(engine)
    assert code == 1
    assert line == (f"not fresh: 2 of 2 assets in 1 of 12 tables; worst: ID 1, {V2}: the state contradicts the table")
    assert check(engine, "--verbose")[1].splitlines()[1] == f"ID 52, {V2}: the state contradicts the table"
    assert refreshed(engine, "--all") == 0
    assert check(engine)[0] == 0


def test_days_that_a_good_run_did_not_take_in(engine: Engine) -> None:
    """Old days that arrive after the night are late; the days of today are not."""
    assert refreshed(engine, "--all") == 0
    old = yesterday() - timedelta(days=3)
    execute(engine, FILL, assets=[825], first=old, last=old)
    code, line = check(engine)
    assert code == 1
    assert line.startswith("not fresh: 1 of 3 assets in 12 of 12 tables; worst: ID 825, ")
    assert line.endswith(": not built yet")


# The page of a scheduler


@pytest.fixture
def page(tmp_path: Path) -> Path:
    """Where a page is written."""
    return tmp_path / "page.html"


def written(engine: Engine, page: Path) -> dict[str, Any]:
    """The data of a new page."""
    assert refreshed(engine, "--html", str(page)) == 0
    return page_data(page)


def test_page_of_a_scheduler(engine: Engine, page: Path) -> None:
    """Single builders neither push nights off the list nor hide the headline; together they are one entry."""
    headline = written(engine, page)["headline"]
    for _ in range(15):
        assert alone(engine, "emas.v2", "--tfs", "2D") == 0
    break_v2(engine)
    assert alone(engine, "bars.1d") == 0
    assert alone(engine, "emas.v2") == 1
    data = written(engine, page)
    assert data["headline"] == headline == data["summary"]["headline"]
    assert data["since"] == "since then 17 runs of single builders: 1 failed"
    group, night = data["runs"]
    assert (group["kind"], group["number"], group["failed"]) == ("builders", 17, 1)
    assert group["builders"] == ["bars.1d", "emas.v2"]
    assert len(group["runs"]) == 17
    assert group["runs"][0]["command"].startswith("python -m refresh.builder emas.v2 ")
    assert (night["kind"], night["exit_code"], len(night["steps"])) == ("refresh", 0, 10)


def test_page_without_a_refresh(new: Engine, page: Path) -> None:
    """A database in which only single builders ran says that."""
    assert alone(new, "bars.1d") == 0
    data = written(new, page)
    assert data["headline"] == "No refresh has ended yet, but 1 run of a single builder: 0 failed"
    assert (data["summary"], data["since"], len(data["runs"])) == (None, None, 1)
    assert written(new, page)["generated_at"][:10] in page.read_text(encoding="utf-8").split('id="written">written ')[1]
