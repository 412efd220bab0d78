"""``--validate`` as a user types it: exit codes, where findings are reported, and that only the result is written."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import statements
from bot_api import serving
from databases import database
from programs import run
from refreshing import moved, refresh
from sqlalchemy import URL, Engine, make_url, text
from sqlalchemy.exc import DBAPIError
from unpacked import make_writable

from refresh.catalog import SOURCE
from refresh.records import Status
from refresh.store.database import connect
from refresh.store.locks import RefreshLock

DAILY = "run_daily_refresh.py"
TFS = ["2D", "7D", "1W_CAL_US", "1W_CAL_ISO", "1M_CAL", "1W_CAL_ANCHOR_US", "1W_CAL_ANCHOR_ISO", "1M_CAL_ANCHOR"]
FILL = f"""
    INSERT INTO {SOURCE} (id, "timestamp", timeopen, timeclose, open, high, low, close, volume)
    SELECT asset, close_time, close_time - interval '1 day - 1 ms', close_time, 10, 20, 5, 10 + sin(n), 1000
    FROM unnest(CAST(:assets AS int[])) AS asset CROSS JOIN generate_series(CAST(:first AS int), :last) AS n
    CROSS JOIN LATERAL (SELECT timestamptz '2024-01-01 23:59:59.999Z' + n * interval '1 day' AS close_time) AS day
"""
BARS = "cmc_price_bars_multi_tf"
EMAS = "cmc_ema_multi_tf_cal_us"
LAWFUL = f"UPDATE {EMAS} SET ema = 10 WHERE id = 52 AND tf = '1W_CAL_US' AND period = 2 AND ts::date = '2024-02-09'"
"""A wrong value that breaks no law: only recomputing finds it."""
LAWLESS = f"UPDATE {BARS} SET high = low - 1 WHERE id = 52 AND tf = '7D' AND \"timestamp\"::date = '2024-02-09'"
WRONG_VALUE = f"wrong: {EMAS}: id 52, tf 1W_CAL_US, period 2, from 2024-02-09 23:59:59Z on: expected ema "


@pytest.fixture(scope="module")
def built(server: URL, template: str) -> Iterator[str]:
    """The name of a database with forty days of assets 1, 52 and 825 in which every table is right."""
    with database(server, template) as url:
        with connect(url) as engine:
            execute(engine, FILL, assets=[1, 52, 825], first=0, last=40)
            execute(engine, "UPDATE dim_timeframe SET is_enabled = tf = ANY(:tfs)", tfs=TFS)
            execute(engine, "UPDATE dim_period SET is_enabled = false")
            execute(engine, "INSERT INTO dim_period VALUES (1, true, 0), (2, true, 0)")
            assert {outcome.status for outcome in refresh(engine)} == {Status.DONE}
            make_writable(engine)
        yield str(make_url(url).database)


@pytest.fixture
def url(server: URL, built: str) -> Iterator[str]:
    """The URL of the test's own copy of the database."""
    with database(server, built) as url:
        yield url


@pytest.fixture
def engine(url: str) -> Iterator[Engine]:
    """An engine on that copy."""
    with connect(url) as engine:
        yield engine


def execute(engine: Engine, statement: str, **values: Any) -> None:
    """Run a statement that changes something, in a transaction of its own."""
    with engine.begin() as connection:
        assert connection.execute(text(statement), values).rowcount != 0


def validated(url: str, *arguments: str, **environ: str) -> tuple[int, list[str]]:
    """The exit code of a validation by itself, and the lines that it prints."""
    process = run(DAILY, "--validate", *arguments, url=url, **environ)
    assert process.stderr == ""
    return process.returncode, process.stdout.splitlines()


# By itself


def test_good_database(engine: Engine, url: str) -> None:
    """It says what it checked and that all is well, and writes nothing."""
    before = moved(engine)
    code, lines = validated(url)
    assert code == 0
    assert "validated: 3 of 3 assets in 12 tables, 1 recomputed (ID " in "\n".join(lines)
    assert lines[-1] == "Valid: 3 assets in 12 tables."
    assert moved(engine) == before


def test_wrong_value_is_reported_everywhere(engine: Engine, url: str, tmp_path: Path) -> None:
    """The terminal, the document and the log name the row, its expected value and its stored value."""
    execute(engine, LAWFUL)
    before = moved(engine)
    file, logs = tmp_path / "run.json", tmp_path / "logs"
    code, lines = validated(url, "--sample", "all", "--json", str(file), REFRESH_LOG_DIR=str(logs))
    assert code == 4
    (line,) = [line for line in lines if line.startswith("wrong: ")]
    assert line.startswith(WRONG_VALUE)
    assert line.endswith(", found ema 10")
    assert lines[-1].startswith("Validation failed: 1 finding in 1 table, ID 52. ")
    assert moved(engine) == before
    document = json.loads(file.read_text(encoding="utf-8"))
    assert document["exit_code"] == 4
    assert document["validation"]["recomputed"] == [1, 52, 825]
    (finding,) = document["validation"]["findings"]
    assert (finding["table"], finding["id"], finding["tf"], finding["period"]) == (EMAS, 52, "1W_CAL_US", 2)
    assert (finding["at"], finding["found"]) == ("2024-02-09T23:59:59.999000+00:00", "ema 10")
    logged = "".join(log.read_text(encoding="utf-8") for log in logs.glob("*"))
    assert line.removeprefix("wrong: ") in logged


def test_lawless_row_is_found_without_recomputing(engine: Engine, url: str) -> None:
    """What breaks a law is found in every asset, recomputed or not."""
    execute(engine, LAWLESS)
    code, lines = validated(url, "--sample", "1", "--ids", "1,52")
    assert code == 4
    assert any(line.startswith(f"wrong: {BARS}: id 52, tf 7D, from 2024-02-09 23:59:59Z on") for line in lines)


def test_quiet_reports_what_is_wrong_on_stderr(engine: Engine, url: str) -> None:
    """A wrong value is reported even if the summary is thrown away, as cron does."""
    execute(engine, LAWLESS)
    process = run(DAILY, "--validate", "--quiet", url=url)
    assert process.returncode == 4
    assert process.stderr.startswith("wrong: cmc_")


def test_sample_of_two(url: str) -> None:
    """The sample has the number of assets that was typed."""
    code, lines = validated(url, "--sample", "2")
    assert code == 0
    assert any("validated: 3 of 3 assets in 12 tables, 2 recomputed (ID " in line for line in lines)


def test_assets_narrow_it(engine: Engine, url: str) -> None:
    """Assets that are not selected are not checked."""
    execute(engine, LAWLESS)
    code, lines = validated(url, "--ids", "1,825", "--sample", "all")
    assert (code, lines[-1]) == (0, "Valid: 2 assets in 12 tables.")
    assert validated(url, "--ids", "52")[0] == 4


def test_timeframes_narrow_it(engine: Engine, url: str) -> None:
    """Timeframes that are not selected are not checked."""
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
    """An asset that is not up to date is not judged, and is named."""
    execute(engine, FILL, assets=[52], first=41, last=42)
    execute(engine, LAWFUL)
    code, lines = validated(url, "--sample", "all")
    assert code == 0
    assert "not validated because not up to date: ID 52" in lines
    assert any("validated: 2 of 3 assets in 12 tables, 2 recomputed (ID 1, 825)" in line for line in lines)


def test_nothing_was_judged(engine: Engine, url: str, tmp_path: Path) -> None:
    """If every asset waits to be refreshed that is no success: exit code, verdict, document, log and alert say so."""
    execute(engine, FILL, assets=[1, 52, 825], first=41, last=42)
    file, logs = tmp_path / "run.json", tmp_path / "logs"
    with serving() as bot:
        process = run(
            DAILY, "--validate", "--quiet", "--json", str(file), url=url, REFRESH_LOG_DIR=str(logs), **bot.environ
        )
        texts = bot.texts
    verdict = (
        "Nothing was validated: no asset is up to date, 3 assets (ID 1, 52, 825) wait to be refreshed. "
        "Run a refresh first."
    )
    waiting = "not validated because not up to date: ID 1, 52, 825"
    assert (process.returncode, process.stderr) == (1, f"{verdict}\n")
    lines = process.stdout.splitlines()
    assert lines[-1] == verdict
    assert waiting in lines
    document = json.loads(file.read_text(encoding="utf-8"))
    assert (document["exit_code"], document["severity"], document["headline"]) == (1, "error", verdict)
    assert document["validation"]["judged"] == 0
    assert texts == [f"❌ {verdict}\n{waiting}"]
    assert "exit_code=1" in "".join(log.read_text(encoding="utf-8") for log in logs.glob("*"))


def test_missing_table_is_named(engine: Engine, url: str) -> None:
    """A validation says which tables are missing, and what to do."""
    execute(engine, f"DROP TABLE {BARS}_state CASCADE")
    process = run(DAILY, "--validate", url=url)
    advice = "run a refresh, which creates and fills what is missing"
    assert process.returncode == 3
    assert process.stderr == f"error: cannot validate without the table {BARS}_state; {advice}\n"
    execute(engine, "DROP TABLE refresh_restatements")
    process = run(DAILY, "--validate", url=url)
    assert f"without the tables refresh_restatements, {BARS}_state; " in process.stderr


@pytest.fixture
def reader_url(engine: Engine) -> Iterator[str]:
    """The URL of a role that may read every table and has no other right, not even to create temporary tables."""
    role, name = f"reader_{uuid.uuid4().hex}", engine.url.database
    statements.execute(
        engine,
        f"CREATE ROLE {role} LOGIN",
        f"REVOKE ALL ON DATABASE {name} FROM PUBLIC",
        "REVOKE ALL ON SCHEMA public FROM PUBLIC",
        f"GRANT CONNECT ON DATABASE {name} TO {role}",
        f"GRANT USAGE ON SCHEMA public TO {role}",
        f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}",
    )
    yield engine.url.set(username=role).render_as_string(hide_password=False)
    statements.execute(engine, f"DROP OWNED BY {role}", f"DROP ROLE {role}")


def test_reading_is_enough(engine: Engine, reader_url: str) -> None:
    """Who can only read gets the same verdict: valid, and then a wrong value."""
    refusal = "permission denied to create temporary tables"
    with connect(reader_url) as reading, pytest.raises(DBAPIError, match=refusal), reading.begin() as connection:
        connection.execute(text("CREATE TEMPORARY TABLE own (id int)"))
    assert validated(reader_url, "--sample", "all")[0] == 0
    execute(engine, LAWFUL)
    code, lines = validated(reader_url, "--sample", "all")
    assert code == 4
    (line,) = [line for line in lines if line.startswith("wrong: ")]
    assert line.startswith(WRONG_VALUE)
    assert line.endswith(", found ema 10")


@pytest.mark.parametrize(
    "arguments", [["--all", "--sample", "2"], ["--validate", "--sample", "0"], ["--validate", "--sample", "x"]]
)
def test_wrong_usage(url: str, arguments: list[str]) -> None:
    """A sample is part of a validation, and a number or all."""
    process = run(DAILY, *arguments, url=url)
    assert (process.returncode, process.stdout) == (2, "")
    assert "--sample" in process.stderr


# After a refresh


def test_refresh_and_validation(engine: Engine, url: str) -> None:
    """What was just refreshed is right, and a wrong value that was there before is found."""
    execute(engine, FILL, assets=[1], first=41, last=42)
    good = run(DAILY, "--all", "--validate", "--sample", "all", url=url)
    assert (good.returncode, good.stderr) == (0, "")
    assert "validated: 3 of 3 assets in 12 tables, 3 recomputed (ID 1, 52, 825)" in good.stdout
    execute(engine, LAWFUL)
    wrong = run(DAILY, "--all", "--validate", "--sample", "all", url=url)
    assert wrong.returncode == 4
    assert WRONG_VALUE in wrong.stdout


def test_refresh_that_left_everything(engine: Engine, url: str) -> None:
    """A validated refresh in which nothing could be finished judges nothing, and reports that beside the failures."""
    execute(engine, FILL, assets=[1, 52, 825], first=41, last=42)
    execute(engine, "ALTER TABLE cmc_price_bars_1d ADD CONSTRAINT spare CHECK (id = 0) NOT VALID")
    left = run(DAILY, "--all", "--validate", url=url)
    assert left.returncode == 1
    assert "not validated because not up to date: ID 1, 52, 825" in left.stdout
    assert "validated: 0 of 3 assets in 12 tables, 0 recomputed" in left.stdout


def test_failure_and_wrong_value(engine: Engine, url: str) -> None:
    """A wrong value decides the exit code, even if an asset failed; the failed asset is not judged."""
    execute(engine, FILL, assets=[1, 825], first=41, last=42)
    execute(engine, f"ALTER TABLE {BARS} ADD CONSTRAINT spare CHECK (id <> 825) NOT VALID")
    execute(engine, LAWFUL)
    both = run(DAILY, "--all", "--validate", "--sample", "all", url=url)
    assert both.returncode == 4
    assert WRONG_VALUE in both.stdout
    assert "failed: bars.multi_tf, ID 825" in both.stdout
    assert "not validated because not up to date: ID 825" in both.stdout
    assert "validated: 2 of 3 assets in 12 tables, 2 recomputed (ID 1, 52)" in both.stdout
