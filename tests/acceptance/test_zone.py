"""The time zone of the tables: named once, and known to every program."""

from __future__ import annotations

from pathlib import Path

import pytest
from prices import fill
from programs import run
from refreshing import FEW, NOW, digests, enable, refresh
from sqlalchemy import Engine
from statements import address, ask, execute

from refresh.catalog import BUILDERS, SOURCE
from refresh.due import survey
from refresh.options.request import Request
from refresh.store import schema
from refresh.store.database import read_committed, transaction
from refresh.store.settings import remember_zone
from refresh.store.tables import METADATA

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
    message = "error: --tz UTC: the tables were built with Asia/Tokyo; use --tz Asia/Tokyo, or change"
    for words in (["--all"], ["--all", "--dry-run"], ["--explain", "1"]):
        refused = run("run_daily_refresh.py", *words, "--tz", "UTC", url=address(tokyo))
        assert refused.returncode == 3
        assert refused.stderr.startswith(message)
    refused = run("-m refresh.builder", "bars.1d", url=address(tokyo), REFRESH_TZ="UTC")
    assert refused.returncode == 3
    assert refused.stderr.startswith(message)
    assert ask(tokyo, DAYS) == []


ROWS = f"""
    INSERT INTO {SOURCE} (id, "timestamp", timeopen, timeclose, open, high, low, close, volume)
    SELECT :asset, at, at, at + interval '23 hours', 10, 20, 5, 10 + extract(day FROM at) / 100, 1000
    FROM generate_series(CAST(:first AS timestamp), CAST(:last AS timestamp), interval '1 day') AS day
    CROSS JOIN LATERAL (SELECT day AT TIME ZONE :zone AS at) AS d
"""
TOKYO = "all times of asset 41 are midnight at +09:00: --tz Asia/Tokyo"
NEW_YORK = "all times of assets 5, 7 are midnight at -05:00 and -04:00: --tz America/New_York"
CHANGE = "; change the zone of all assets with --all --full-rebuild --tz "


def midnights(engine: Engine, asset: int, zone: str, first: str, last: str) -> None:
    """A row for each day of an asset, at midnight in a zone."""
    execute(engine, ROWS, asset=asset, zone=zone, first=first, last=last)


def notices(engine: Engine, request: Request | None = None) -> list[str]:
    """What a plan notices about times."""
    with schema.looking(engine) as connection:
        scopes = survey.open_scopes(connection, BUILDERS, (request or Request()).selection, NOW)
        return [line for line in survey.survey(connection, scopes).notices if "midnight" in line]


@pytest.fixture
def abroad(engine: Engine) -> Engine:
    """Assets whose days begin in Tokyo, in New York, and in UTC, of which few series are built."""
    enable(engine, FEW, [10])
    fill(engine, 1, "2023-01-01", "2023-12-31")
    midnights(engine, 41, "Asia/Tokyo", "2023-01-01", "2023-12-31")
    for asset in (5, 7):
        midnights(engine, asset, "America/New_York", "2023-01-01", "2023-12-31")
    midnights(engine, 8, "UTC", "2023-01-01", "2023-12-31")
    return engine


@pytest.mark.parametrize("is_indexed", [True, False])
def test_times_of_another_zone_are_told(abroad: Engine, *, is_indexed: bool) -> None:
    """A line per zone, with the option that fits and its assets; only of assets that changed."""
    if not is_indexed:
        execute(abroad, f"ALTER TABLE {SOURCE} DROP CONSTRAINT {SOURCE}_pkey")
    told = [f"{NEW_YORK}{CHANGE}America/New_York", f"{TOKYO}{CHANGE}Asia/Tokyo"]
    assert sorted(notices(abroad)) == sorted(told)
    refresh(abroad)
    assert notices(abroad) == []
    midnights(abroad, 41, "Asia/Tokyo", "2024-01-01", "2024-01-01")
    midnights(abroad, 8, "UTC", "2024-01-01", "2024-01-01")
    assert notices(abroad) == [f"{TOKYO}{CHANGE}Asia/Tokyo"]


@pytest.mark.parametrize(
    ("zone", "shift", "number"),
    [
        ("UTC", "0 hours", 40), ("Asia/Tokyo", "7 minutes", 40), ("Asia/Tokyo", "0 hours", 19),
        ("UTC", "15 hours 30 minutes 1 second", 40),
    ],
)  # fmt: skip
def test_other_times_say_nothing(engine: Engine, zone: str, shift: str, number: int) -> None:
    """Midnights of the tables' own zone, times that are midnight nowhere, and fewer than twenty, are no reason."""
    midnights(engine, 41, zone, "2023-01-01", "2023-03-01")
    last = f"timestamptz '2022-12-31 15:00Z' + {number - 1} * interval '1 day'"
    execute(engine, f'DELETE FROM {SOURCE} WHERE "timestamp" > {last}')
    execute(engine, f'UPDATE {SOURCE} SET "timestamp" = "timestamp" + interval \'{shift}\'')
    assert notices(engine) == []


def test_the_advice_works(abroad: Engine) -> None:
    """The command of the notice changes the zone of all tables, which are then those built in that zone."""
    url = address(abroad)
    execute(abroad, f"DELETE FROM {SOURCE} WHERE id <> 41")
    first = run("run_daily_refresh.py", "--all", url=url)
    assert (first.returncode, f"{TOKYO}{CHANGE}" in " ".join(first.stdout.split())) == (0, True)
    planned = run("run_daily_refresh.py", "--all", "--full-rebuild", "--tz", "Asia/Tokyo", "--dry-run", url=url)
    assert planned.returncode == 0, planned.stderr
    assert ask(abroad, "SELECT value FROM refresh_settings WHERE name = 'tz'") == [("UTC",)]
    done = run("run_daily_refresh.py", "--all", "--full-rebuild", "--tz", "Asia/Tokyo", "--validate", url=url)
    assert done.returncode == 0, done.stdout
    assert "the time zone of the tables was UTC and is Asia/Tokyo from now on" in done.stdout
    changed = digests(abroad)
    again = run("run_daily_refresh.py", "--all", "--validate", "--sample", "all", url=url)
    assert (again.returncode, "midnight" in again.stdout) == (0, False), again.stdout
    built_in(abroad, "Asia/Tokyo")
    assert digests(abroad) == changed
    narrowed = run("run_daily_refresh.py", "--all", "--full-rebuild", "--ids", "41", "--tz", "UTC", url=url)
    assert narrowed.returncode == 3


def built_in(engine: Engine, zone: str) -> None:
    """Build all tables again, in a zone, from nothing."""
    execute(engine, f"TRUNCATE {', '.join(METADATA.tables)}")
    with read_committed(engine) as connection:
        schema.prepare(connection, zone)
    enable(engine, FEW, [10])
    refresh(engine, Request(tz=zone))


def test_five_nights_across_a_change_of_zone(abroad: Engine) -> None:
    """Days that arrive and change before, while and after the zone is changed, also where that was interrupted."""
    zone = "UTC"
    for night in range(5):
        midnights(abroad, 41, "Asia/Tokyo", f"2024-01-0{night + 1}", f"2024-01-0{night + 1}")
        execute(abroad, f"UPDATE {SOURCE} SET close = 15 WHERE \"timestamp\"::date = '2023-0{night + 2}-11'")
        if night == 2:
            zone = "Asia/Tokyo"
            with read_committed(abroad) as connection:
                schema.rezone(connection, zone)
            refresh(abroad, Request(tz=zone, ids=(5,)), BUILDERS[:3])
        refresh(abroad, Request(tz=zone))
        refreshed = digests(abroad)
        refresh(abroad, Request(full_rebuild=True, tz=zone))
        assert digests(abroad) == refreshed
