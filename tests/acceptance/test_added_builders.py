"""Two builders that only the tests know: each is a row of the catalogue, and everything else follows from it."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import talib
from databases import database
from programs import PROJECT, run
from sqlalchemy import URL, MetaData
from statements import ask, execute

from refresh.store.database import connect
from refresh.store.tables import source_table

PATH = os.pathsep.join([str(PROJECT / "tests" / "added_builders"), str(PROJECT)])
TABLES = {"highs": "cmc_ema_highs", "simple": "cmc_sma"}
VALUES = {"highs": "ema", "simple": "sma"}
FILL = """
    INSERT INTO cmc_price_histories7 (id, "timestamp", timeopen, timeclose, open, high, low, close, volume)
    SELECT asset, at, at - interval '1 day - 1 ms', at, price, price + 7 + sin(n), price - 7, price + cos(n), 1000
    FROM unnest(ARRAY[1, 52]) AS asset CROSS JOIN generate_series(1, 120) AS n
    CROSS JOIN LATERAL (SELECT timestamptz '2024-01-02 23:59:59.999Z' + n * interval '1 day' AS at,
                               100 + asset + 20 * sin(n / 9.0) AS price) AS made
"""
SPIKE = "2024-03-10 23:59:59.999Z"


def refresh(url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the daily refresh with the added builders in every process."""
    return run("run_daily_refresh.py", *arguments, url=url, PYTHONPATH=PATH)


@pytest.fixture(scope="module")
def first_run(server: URL) -> Iterator[tuple[str, str]]:
    """The URL of a database in which all builders ran, and what the run printed."""
    with database(server, "template1") as url:
        with connect(url) as engine:
            source_table(MetaData()).create(engine)
            execute(engine, FILL)
        result = refresh(url, "--all")
        assert result.returncode == 0, result.stderr
        yield url, result.stdout


@pytest.fixture
def url(first_run: tuple[str, str]) -> str:
    """The URL of that database."""
    return first_run[0]


def values(url: str, query: str, **given: Any) -> np.ndarray[Any, Any]:
    """The one column of a query."""
    with connect(url) as engine:
        return np.array([row[0] for row in ask(engine, query, **given)], float)


def test_the_summary_names_them(first_run: tuple[str, str]) -> None:
    """Each has its line in the summary, with its rows."""
    lines = [line.split() for line in first_run[1].splitlines()]
    for name, table in TABLES.items():
        (rows,) = values(first_run[0], f"SELECT count(*) FROM {table}")
        assert rows > 0
        assert [name, "EMAs", "2", f"{rows:,.0f}"] in [words[:4] for words in lines]


def test_the_plan_gives_their_reasons(url: str) -> None:
    """A plan has a step for each, after the builders whose bars it reads, with the reason of every asset."""
    with connect(url) as engine:
        execute(engine, "UPDATE cmc_price_histories7 SET high = high + 5 WHERE id = 1 AND timeclose = :t", t=SPIKE)
    plan = json.loads(refresh(url, "--all", "--dry-run", "--json", "-").stdout)
    steps = {step["builder"]: step for step in plan["steps"]}
    assert list(steps)[-2:] == ["emas.highs", "emas.simple"]
    assert steps["emas.highs"]["tasks"][0]["reason"] == "follows multi_tf bars"
    assert steps["emas.simple"]["tasks"][0]["reason"] == "follows 1d bars"
    before = {table: values(url, f"SELECT sum({VALUES[name]}) FROM {table}") for name, table in TABLES.items()}
    assert refresh(url, "--all").returncode == 0
    assert values(url, "SELECT sum(ema) FROM cmc_ema_highs") != before["cmc_ema_highs"]
    assert values(url, "SELECT sum(sma) FROM cmc_sma") == before["cmc_sma"]
    assert "Nothing to do" in refresh(url, "--all").stdout


def test_highs_equal_talib(url: str) -> None:
    """On canonical days the EMA of highs is that of TA-Lib over the highs of the bars."""
    bars = "FROM cmc_price_bars_multi_tf b WHERE b.id = 1 AND b.tf = '3D' AND NOT b.is_partial_end"
    highs = values(url, f'SELECT b.high {bars} ORDER BY b."timestamp"')
    emas = values(
        url,
        f"""SELECT e.ema FROM cmc_ema_highs e JOIN (SELECT b."timestamp" {bars}) AS b ON e.ts = b."timestamp"
            WHERE e.id = 1 AND e.tf = '3D' AND e.period = 10 ORDER BY e.ts""",
    )
    expected = talib.EMA(highs, 10)
    assert np.allclose(emas, expected[~np.isnan(expected)], rtol=1e-12, atol=0)
    assert len(emas) == len(highs) - 9


def test_simple_averages_equal_talib(url: str) -> None:
    """The simple average is that of TA-Lib over the daily closes, with the days of a timeframe and a period."""
    closes = values(url, 'SELECT close FROM cmc_price_bars_1d WHERE id = 52 ORDER BY "timestamp"')
    averages = values(url, "SELECT sma FROM cmc_sma WHERE id = 52 AND tf = '2D' AND period = 10 ORDER BY ts")
    expected = talib.SMA(closes, 20)
    assert np.allclose(averages, expected[~np.isnan(expected)], rtol=1e-12, atol=0)
    assert len(averages) == len(closes) - 19


@pytest.mark.parametrize("name", TABLES)
def test_validation_finds_a_wrong_value(url: str, name: str) -> None:
    """Their tables are judged and recomputed as all others are."""
    assert refresh(url, "--validate", "--sample", "all").returncode == 0
    column, table = VALUES[name], TABLES[name]
    row = "id = 1 AND shelf = 0 AND ts = (SELECT max(timeclose) FROM cmc_price_histories7)"
    change = f"UPDATE {table}_packed SET {column}[1] = :value WHERE {row}"
    with connect(url) as engine:
        (right,) = values(url, f"SELECT {column}[1] FROM {table}_packed WHERE {row}")
        wrong = math.nextafter(right, 0)
        execute(engine, change, value=wrong)
        result = refresh(url, "--validate", "--sample", "all")
        execute(engine, change, value=float(right))
    assert result.returncode == 4
    assert f"wrong: {table}: id 1, tf " in result.stdout
    assert f"expected {column} {right}, found {column} {wrong}" in result.stdout


def test_the_page_shows_them(url: str, tmp_path: Path) -> None:
    """The page has a column of freshness for each table."""
    page = tmp_path / "page.html"
    assert refresh(url, "--html", str(page)).returncode == 0
    for table in TABLES.values():
        assert table in page.read_text(encoding="utf-8")


def test_one_of_them_may_run_alone(url: str) -> None:
    """Each is a builder by itself, under its key."""
    result = run("-m refresh.builder", "emas.simple", url=url, PYTHONPATH=PATH)
    assert result.returncode == 0
    outcomes = [json.loads(line) for line in result.stdout.splitlines()]
    assert [(outcome["id"], outcome["reason"]) for outcome in outcomes] == [(1, "up to date"), (52, "up to date")]


def test_the_law_holds_for_them() -> None:
    """Whatever happens to the source and to the refresh, their tables end up as if built today."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/acceptance/test_law.py"]
    environ = {**os.environ, "PYTHONPATH": PATH, "REFRESH_LAW_EXAMPLES": "16"}
    result = subprocess.run(command, cwd=PROJECT, env=environ, capture_output=True, text=True, check=False, timeout=600)
    assert result.returncode == 0, result.stdout[-3000:]
    assert "2 passed" in result.stdout
