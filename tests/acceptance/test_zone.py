"""The time zone of the tables: named once, and known to every program."""

from __future__ import annotations

from pathlib import Path

import pytest
from prices import fill
from programs import run
from refreshing import FEW, enable
from sqlalchemy import Engine
from statements import address, ask, execute

from refresh.store.database import transaction
from refresh.store.settings import remember_zone

DAYS = "SELECT (\"timestamp\" AT TIME ZONE 'Asia/Tokyo')::date::text FROM cmc_price_bars_1d ORDER BY 1"
MONTHS = "SELECT month::text, row_count FROM cmc_price_bars_1d_source_months ORDER BY 1"


@pytest.fixture
def tokyo(engine: Engine) -> Engine:
    """Prices of an asset, in tables whose zone is remembered and which hold nothing yet."""
    execute(engine, "DELETE FROM refresh_settings WHERE name = 'tz'")
    fill(engine, 1, "2023-01-01", "2023-01-31")
    enable(engine, FEW, [10])
    with transaction(engine) as connection:
        remember_zone(connection, "Asia/Tokyo")
    return engine


def test_programs_use_the_zone_of_the_tables(tokyo: Engine, tmp_path: Path) -> None:
    """Plan, run, check, validation, page and single builder read days of the remembered zone, which nobody typed."""
    url = address(tokyo)
    planned = run("run_daily_refresh.py", "--all", "--dry-run", url=url)
    assert planned.returncode == 0, planned.stderr
    done = run("run_daily_refresh.py", "--all", "--validate", "--html", str(tmp_path / "page.html"), url=url)
    assert done.returncode == 0, done.stderr
    assert ask(tokyo, MONTHS) == [("2023-01-01", 30), ("2023-02-01", 1)]
    assert ask(tokyo, DAYS)[-1] == ("2023-02-01",)
    for words in (["--check"], ["--explain", "1"], ["--validate"]):
        looked = run("run_daily_refresh.py", *words, url=url)
        assert (looked.returncode, looked.stderr) == (0, ""), looked.stdout
    fill(tokyo, 1, "2023-02-01", "2023-02-01")
    alone = run("-m refresh.builder", "bars.1d", url=url)
    assert (alone.returncode, alone.stderr) == (0, "")
    assert ask(tokyo, DAYS)[-1] == ("2023-02-02",)


def test_what_nobody_typed_is_not_in_the_command(tokyo: Engine) -> None:
    """Builders are told the zone, a run that resumes as well, but the command line stays the user's."""
    run("run_daily_refresh.py", "--all", url=address(tokyo))
    ((command, arguments),) = ask(tokyo, "SELECT command, arguments FROM refresh_runs")
    assert command == "run_daily_refresh.py --all"
    assert list(arguments) == ["--tz", "Asia/Tokyo"]


def test_another_zone_is_refused(tokyo: Engine) -> None:
    """A zone that contradicts the remembered one is refused by everything, before anything is built."""
    message = "error: --tz UTC: the tables were built with Asia/Tokyo; use --tz Asia/Tokyo, or drop the tables"
    for words in (["--all"], ["--all", "--dry-run"], ["--explain", "1"]):
        refused = run("run_daily_refresh.py", *words, "--tz", "UTC", url=address(tokyo))
        assert refused.returncode == 3
        assert refused.stderr.startswith(message)
    refused = run("-m refresh.builder", "bars.1d", url=address(tokyo), REFRESH_TZ="UTC")
    assert refused.returncode == 3
    assert refused.stderr.startswith(message)
    assert ask(tokyo, DAYS) == []
