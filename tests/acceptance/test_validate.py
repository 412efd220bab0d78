"""``--validate`` as a user types it: exit codes, what is said where, and that nothing is written."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import database
from programs import run
from refreshing import moved, refresh
from sqlalchemy import URL, Engine, make_url, text

from refresh.catalog import SOURCE
from refresh.records import Status
from refresh.run.summary import INVALID
from refresh.store.database import connect
from refresh.store.locks import RefreshLock

DAILY = "run_daily_refresh.py"
TFS = ["2D", "7D", "1W_CAL_US", "1W_CAL_ISO", "1M_CAL", "1W_CAL_ANCHOR_US", "1W_CAL_ANCHOR_ISO", "1M_CAL_ANCHOR"]
FILL = f"""
    INSERT INTO {SOURCE} (id, "timestamp", timeopen, timeclose, open, high, low, close, volume)
    SELECT asset, at, at - interval '1 day - 1 ms', at, 10, 20, 5, 10 + sin(n), 1000
    FROM unnest(CAST(:assets AS int[])) AS asset CROSS JOIN generate_series(CAST(:first AS int), :last) AS n
    CROSS JOIN LATERAL (SELECT timestamptz '2024-01-01 23:59:59.999Z' + n * interval '1 day' AS at) AS made
"""
BARS = "cmc_price_bars_multi_tf"
EMAS = "cmc_ema_multi_tf_cal_us"
LAWFUL = f"UPDATE {EMAS} SET ema = 10 WHERE id = 52 AND tf = '1W_CAL_US' AND period = 2 AND ts::date = '2024-02-09'"
"""A wrong value that breaks no law: only computing it anew tells."""
LAWLESS = f"UPDATE {BARS} SET high = low - 1 WHERE id = 52 AND tf = '7D' AND \"timestamp\"::date = '2024-02-09'"
FOUND = f"wrong: {EMAS}: id 52, tf 1W_CAL_US, period 2, from 2024-02-09 23:59:59Z on: expected ema "


@pytest.fixture(scope="module")
def built(server: URL, template: str) -> Iterator[str]:
    """The name of a database with forty days of assets 1, 52 and 825 in which every table is right."""
    with database(server, template) as url:
        engine = connect(url)
        execute(engine, FILL, assets=[1, 52, 825], first=0, last=40)
        execute(engine, "UPDATE dim_timeframe SET is_enabled = tf = ANY(:tfs)", tfs=TFS)
        execute(engine, "UPDATE dim_period SET is_enabled = false")
        execute(engine, "INSERT INTO dim_period VALUES (1, true, 0), (2, true, 0)")
        assert {outcome.status for outcome in refresh(engine)} == {Status.DONE}
        engine.dispose()
        yield str(make_url(url).database)


@pytest.fixture
def url(server: URL, built: str) -> Iterator[str]:
    """The address of the test's own copy of the database."""
    with database(server, built) as address:
        yield address


@pytest.fixture
def engine(url: str) -> Iterator[Engine]:
    """An engine on that copy."""
    made = connect(url)
    yield made
    made.dispose()


def execute(engine: Engine, statement: str, **values: Any) -> None:
    """Run a statement that changes something, in a transaction of its own."""
    with engine.begin() as connection:
        assert connection.execute(text(statement), values).rowcount != 0


def validated(url: str, *arguments: str, **environ: str) -> tuple[int, list[str]]:
    """The exit code of a validation by itself, and the lines that it prints."""
    done = run(DAILY, "--validate", *arguments, url=url, **environ)
    assert done.stderr == ""
    return done.returncode, done.stdout.splitlines()


# By itself


def test_good_database(engine: Engine, url: str) -> None:
    """It says what it looked at and that all is well, and writes nothing."""
    before = moved(engine)
    code, lines = validated(url)
    assert code == 0
    assert "validated: 3 of 3 assets in 12 tables, 1 computed anew (ID " in "\n".join(lines)
    assert lines[-1] == "Valid: 3 assets in 12 tables."
    assert moved(engine) == before


def test_wrong_value_is_told_everywhere(engine: Engine, url: str, tmp_path: Path) -> None:
    """On the terminal, in the document and in the log: which row it is, what it should hold and what it does."""
    execute(engine, LAWFUL)
    before = moved(engine)
    file, logs = tmp_path / "run.json", tmp_path / "logs"
    code, lines = validated(url, "--sample", "all", "--json", str(file), REFRESH_LOG_DIR=str(logs))
    assert code == INVALID == 4
    (line,) = [line for line in lines if line.startswith("wrong: ")]
    assert line.startswith(FOUND)
    assert line.endswith(", found ema 10")
    assert lines[-1].startswith("Validation failed: 1 finding in 1 table, ID 52. ")
    assert moved(engine) == before
    told = json.loads(file.read_text(encoding="utf-8"))
    assert told["exit_code"] == 4
    assert told["validation"]["recomputed"] == [1, 52, 825]
    (finding,) = told["validation"]["findings"]
    assert (finding["table"], finding["id"], finding["tf"], finding["period"]) == (EMAS, 52, "1W_CAL_US", 2)
    assert (finding["at"], finding["found"]) == ("2024-02-09T23:59:59.999000+00:00", "ema 10")
    logged = "".join(one.read_text(encoding="utf-8") for one in logs.glob("*"))
    assert line.removeprefix("wrong: ") in logged


def test_lawless_row_is_found_without_computing_anew(engine: Engine, url: str) -> None:
    """What breaks a law is found in every asset, computed anew or not."""
    execute(engine, LAWLESS)
    code, lines = validated(url, "--sample", "1", "--ids", "1,52")
    assert code == 4
    assert any(line.startswith(f"wrong: {BARS}: id 52, tf 7D, from 2024-02-09 23:59:59Z on") for line in lines)


def test_quiet_tells_what_is_wrong_on_stderr(engine: Engine, url: str) -> None:
    """Who throws the summary away, as cron does, still learns of a wrong value."""
    execute(engine, LAWLESS)
    ended = run(DAILY, "--validate", "--quiet", url=url)
    assert ended.returncode == 4
    assert ended.stderr.startswith("wrong: cmc_")


def test_sample_of_two(url: str) -> None:
    """As many assets are computed anew as were asked for."""
    code, lines = validated(url, "--sample", "2")
    assert code == 0
    assert any("validated: 3 of 3 assets in 12 tables, 2 computed anew (ID " in line for line in lines)


def test_assets_narrow_it(engine: Engine, url: str) -> None:
    """Assets that were not asked for are not looked at."""
    execute(engine, LAWLESS)
    code, lines = validated(url, "--ids", "1,825", "--sample", "all")
    assert (code, lines[-1]) == (0, "Valid: 2 assets in 12 tables.")
    assert validated(url, "--ids", "52")[0] == 4


def test_timeframes_narrow_it(engine: Engine, url: str) -> None:
    """Timeframes that were not asked for are not looked at."""
    execute(engine, LAWLESS)
    assert validated(url, "--tfs", "7D")[0] == 4
    assert validated(url, "--tfs", "2D")[0] == 0


def test_it_needs_no_lock(engine: Engine, url: str) -> None:
    """It works while a refresh holds the database."""
    lock = RefreshLock(engine)
    lock.take()
    try:
        assert validated(url)[0] == 0
    finally:
        lock.release()


def test_what_is_due_is_named(engine: Engine, url: str) -> None:
    """An asset that has yet to be refreshed is not judged, and that is said."""
    execute(engine, FILL, assets=[52], first=41, last=42)
    execute(engine, LAWFUL)
    code, lines = validated(url, "--sample", "all")
    assert code == 0
    assert "not judged, as they are not up to date: ID 52" in lines
    assert any("validated: 2 of 3 assets in 12 tables, 2 computed anew (ID 1, 825)" in line for line in lines)


@pytest.mark.parametrize(
    "arguments", [["--all", "--sample", "2"], ["--validate", "--sample", "0"], ["--validate", "--sample", "x"]]
)
def test_wrong_usage(url: str, arguments: list[str]) -> None:
    """A sample is one of a validation, and a number or all."""
    done = run(DAILY, *arguments, url=url)
    assert (done.returncode, done.stdout) == (2, "")
    assert "--sample" in done.stderr


# After a refresh


def test_refresh_and_validation(engine: Engine, url: str) -> None:
    """What was just refreshed is right, and a wrong value that was there before is found."""
    execute(engine, FILL, assets=[1], first=41, last=42)
    good = run(DAILY, "--all", "--validate", "--sample", "all", url=url)
    assert (good.returncode, good.stderr) == (0, "")
    assert "validated: 3 of 3 assets in 12 tables, 3 computed anew (ID 1, 52, 825)" in good.stdout
    execute(engine, LAWFUL)
    wrong = run(DAILY, "--all", "--validate", "--sample", "all", url=url)
    assert wrong.returncode == 4
    assert FOUND in wrong.stdout


def test_failure_and_wrong_value(engine: Engine, url: str) -> None:
    """A wrong value decides the exit code, also where an asset failed; the failed one is not judged."""
    execute(engine, FILL, assets=[1, 825], first=41, last=42)
    execute(engine, f"ALTER TABLE {BARS} ADD CONSTRAINT spare CHECK (id <> 825) NOT VALID")
    execute(engine, LAWFUL)
    both = run(DAILY, "--all", "--validate", "--sample", "all", url=url)
    assert both.returncode == 4
    assert FOUND in both.stdout
    assert "failed: bars.multi_tf, ID 825" in both.stdout
    assert "not judged, as they are not up to date: ID 825" in both.stdout
    assert "validated: 2 of 3 assets in 12 tables, 2 computed anew (ID 1, 52)" in both.stdout
