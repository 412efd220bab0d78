"""Rows finer than a day: refused by name, or folded into days, night after night."""

from __future__ import annotations

from datetime import UTC, datetime
from random import Random

import duckdb
import pytest
from prices import fill
from programs import run
from refreshing import FEW, digests, enable, open_scopes, refresh
from sqlalchemy import Engine
from statements import address, ask, execute

from refresh.builder import daily
from refresh.builder.reading import Refresh
from refresh.catalog import DAILY, SOURCE, by_key
from refresh.due import granularity
from refresh.due.batches import Batch
from refresh.due.decisions import Decisions
from refresh.options.request import Request
from refresh.records import Status
from refresh.store.database import read_committed
from refresh.store.tables import LEDGER

HOURS = f"""
    INSERT INTO {SOURCE} (id, "timestamp", timeopen, timeclose, open, high, low, close, volume, marketcap)
    SELECT :asset, at, at - interval '1 hour', at, 100 + mod(n, 7), 110 + mod(n * 31, 11), 90 - mod(n * 17, 13),
           100 + mod(n * 5, 9), CASE WHEN mod(n, 5) > 0 THEN mod(n, 3) END, n
    FROM generate_series(CAST(:first AS timestamptz), CAST(:last AS timestamptz), interval '1 hour') AS at
    CROSS JOIN LATERAL (SELECT extract(epoch FROM at)::bigint / 3600) AS h(n)
"""
REFUSED = "rows finer than a day: 24 a day; fold them with --fold"
BARS = f"""
    SELECT ("timestamp" AT TIME ZONE 'UTC')::date, "timestamp", open, high, low, close, volume, market_cap, time_open,
           time_close, time_high, time_low FROM {DAILY} WHERE id = :asset ORDER BY 1
"""
ROWS = f"SELECT \"timestamp\" AT TIME ZONE 'UTC', open, high, low, close, volume, marketcap FROM {SOURCE} WHERE id = 2"


@pytest.fixture
def engine(engine: Engine) -> Engine:
    """Asset 1 has a row a day, asset 2 a row an hour, and few series are built."""
    enable(engine, FEW, [10])
    fill(engine, 1, "2024-01-01", "2024-03-10")
    hours(engine, "2024-01-01 01:00", "2024-03-10 23:00")
    return engine


def hours(engine: Engine, first: str, last: str, asset: int = 2) -> None:
    """Rows of each hour of an asset."""
    execute(engine, HOURS, asset=asset, first=f"{first}Z", last=f"{last}Z")


def errors(engine: Engine, request: Request | None = None) -> dict[int, str | None]:
    """How each asset ended in the daily bars."""
    return {outcome.id: outcome.error for outcome in refresh(engine, request) if outcome.builder == "bars.1d"}


def remember(engine: Engine, value: str) -> None:
    """Set what is folded."""
    execute(engine, "INSERT INTO refresh_settings VALUES ('fold', :value)", value=value)


def test_it_is_refused_by_name(engine: Engine) -> None:
    """Plan, run, single builder and retry say the same; the other asset is built, and nothing of this one."""
    url = address(engine)
    planned = run("run_daily_refresh.py", "--all", "--dry-run", url=url)
    assert (planned.returncode, REFUSED in " ".join(planned.stdout.split())) == (0, True)
    for words in (["--all"], ["--all", "--resume"]):
        done = run("run_daily_refresh.py", *words, url=url)
        assert done.returncode == 1
        assert f"failed: bars.1d, ID 2: {REFUSED}" in " ".join(done.stdout.split())
    alone = run("-m refresh.builder", "bars.1d", "--ids", "2", url=url)
    assert alone.returncode == 1
    assert ask(engine, f"SELECT DISTINCT id FROM {DAILY}") == [(1,)]
    checked = run("run_daily_refresh.py", "--check", url=url)
    assert (checked.returncode, REFUSED in checked.stdout) == (1, True)


def test_what_was_built_stays(engine: Engine) -> None:
    """A daily asset that turns hourly keeps its bars, fails each night, and is done once it is daily again."""
    refresh(engine, Request(ids=(1,)))
    before = ask(engine, BARS, asset=1)
    hours(engine, "2024-01-01 01:00", "2024-03-09 22:00", asset=1)
    for _ in range(2):
        assert errors(engine, Request(ids=(1,))) == {1: REFUSED.replace("24 a", "25 a")}
        assert ask(engine, BARS, asset=1) == before
    execute(engine, f'DELETE FROM {SOURCE} WHERE id = 1 AND extract(minute FROM "timestamp") = 0')
    assert errors(engine, Request(ids=(1,))) == {}
    assert ask(engine, BARS, asset=1) == before


def test_a_source_that_changes_while_it_is_read(engine: Engine) -> None:
    """An asset that was daily when the months were compared is refused by what the builder reads."""
    refresh(engine, Request(ids=(1,)))
    fill(engine, 1, "2024-03-11", "2024-03-11")
    (scope,) = open_scopes(engine, Request(ids=(1,)), [by_key("bars.1d")])
    (leg,), decisions = scope.builder.legs, Decisions(scope)
    before = ask(engine, BARS, asset=1)
    with read_committed(engine) as connection:
        assert [due.refusal for due in decisions.due(connection, leg, [1])] == [None]
    hours(engine, "2024-01-01 01:00", "2024-03-09 22:00", asset=1)
    with read_committed(engine) as connection:
        batch = Batch(dues=tuple(decisions.due(connection, leg, [1])))
        assert [due.refusal for due in batch.dues] == [None]
        wanted = Refresh(connection=connection, scope=scope, leg=leg, batch=batch, decisions=decisions)
        assert daily.refresh(wanted).errors == {1: REFUSED.replace("24 a", "25 a")}
    assert ask(engine, BARS, asset=1) == before


def test_some_double_days_are_no_grain(engine: Engine) -> None:
    """Two rows on a fifth of the days are duplicates as ever; one more such day, and the asset is not daily."""
    later = f"""INSERT INTO {SOURCE} (id, "timestamp", timeopen, timeclose, open, high, low, close, volume)
        SELECT id, "timestamp" - interval '1 hour', timeopen, timeclose, open, high, low, close, volume
        FROM {SOURCE} WHERE id = 1 ORDER BY "timestamp" LIMIT :many OFFSET :first"""
    execute(engine, later, first=0, many=14)
    assert errors(engine, Request(ids=(1,))) == {1: None}
    execute(engine, later.replace("ORDER BY", "AND \"timestamp\" > '2024-02-01' ORDER BY"), first=0, many=1)
    assert errors(engine, Request(ids=(1,))) == {1: "rows finer than a day: 2 a day; fold them with --fold"}


def test_folded_bars_are_those_of_duckdb(engine: Engine) -> None:
    """First open, extremes with their times, last close, sums; the timestamp is that of the last row."""
    assert errors(engine, Request(fold=True)) == {1: None, 2: None}
    table = duckdb.connect()
    prices = "open double, high double, low double, close double, volume double, cap double"
    table.execute(f"CREATE TABLE r (t timestamp, {prices})")
    table.executemany("INSERT INTO r VALUES (?, ?, ?, ?, ?, ?, ?)", ask(engine, ROWS))
    expected = table.execute("""
        SELECT t::date AS day, max(t), arg_min(open, t), max(high), min(low), arg_max(close, t), sum(volume),
               arg_max(cap, t), min(t) - interval 1 hour, max(t), arg_min(t, (-high, t)), arg_min(t, (low, t))
        FROM r GROUP BY 1 ORDER BY 1
    """).fetchall()
    bars = ask(engine, BARS, asset=2)
    found = [tuple(cell.astimezone(UTC).replace(tzinfo=None) if isinstance(cell, datetime) else cell for cell in bar)
             for bar in bars]  # fmt: skip
    assert found == expected


def test_daily_assets_are_the_same_folded(engine: Engine) -> None:
    """Folding changes nothing of an asset with one row a day, and once it is built, writes nothing of it."""
    refresh(engine, Request(ids=(1,)))
    before = digests(engine)
    remember(engine, "1")
    assert errors(engine, Request(ids=(1,))) == {1: None}
    assert digests(engine) == before
    assert errors(engine, Request(ids=(1,))) == {}
    assert ask(engine, f"SELECT count(*) FROM {LEDGER}") == [(0,)]


@pytest.mark.parametrize("most_rows", [granularity.MOST_ROWS, 100], ids=["at once", "in slices"])
def test_five_nights(engine: Engine, monkeypatch: pytest.MonkeyPatch, most_rows: int) -> None:
    """Hours that arrive during days, change, vanish, are bad, and come late end as if built today."""
    monkeypatch.setattr(granularity, "MOST_ROWS", most_rows)
    monkeypatch.setattr("refresh.due.folding.ROWS_AT_ONCE", 700)
    remember(engine, "2")
    random = Random(5)  # noqa: S311 - made-up prices
    refresh(engine)
    for night in range(5):
        day = 11 + night
        hours(engine, f"2024-03-{day} 00:00", f"2024-03-{day} {random.randint(3, 23)}:00")
        changed = f"2024-0{random.randint(1, 3)}-0{random.randint(1, 9)}"
        execute(
            engine,
            f"UPDATE {SOURCE} SET high = high + 50, volume = NULL WHERE id = 2 AND \"timestamp\" = '{changed} 07:00Z'",
            f"UPDATE {SOURCE} SET close = NULL WHERE id = 2 AND \"timestamp\" = '{changed} 23:00Z'",
            f"DELETE FROM {SOURCE} WHERE id = 2 AND \"timestamp\"::date = '2024-02-{10 + night}'",
        )
        fill(engine, 1, f"2024-03-{day}", f"2024-03-{day}")
        assert not [outcome for outcome in refresh(engine) if outcome.status is not Status.DONE]
        refreshed = digests(engine)
        refresh(engine, Request(full_rebuild=True))
        assert digests(engine) == refreshed


def test_switching_is_a_revision(engine: Engine) -> None:
    """Folding an asset that was built is told, recorded and followed; undoing it as well, where that is possible."""
    twice = f"""INSERT INTO {SOURCE} (id, "timestamp", timeopen, timeclose, open, high, low, close, volume)
        SELECT id, "timestamp" - interval '1 hour', timeopen, timeclose, 7, 99, 5, 10, 1
        FROM {SOURCE} WHERE id = 1 AND "timestamp"::date = '2024-01-05'"""
    execute(engine, twice)
    refresh(engine, Request(ids=(1,)))
    unfolded = digests(engine)
    execute(engine, "INSERT INTO refresh_settings VALUES ('fold', 'all')")
    (outcome, *others) = refresh(engine, Request(ids=(1,)))
    told = "rows are folded into days from now on: open of 2024-01-05 changed from 10.0 to 7.0"
    assert (outcome.error, outcome.reason) == (None, told)
    assert {other.builder for other in others} >= {"bars.multi_tf", "bars.cal_us"}
    assert ask(engine, f"SELECT reason FROM {LEDGER}") == [("open of 2024-01-05 changed from 10.0 to 7.0",)]
    folded = digests(engine)
    refresh(engine, Request(full_rebuild=True, ids=(1,)))
    assert digests(engine) == folded
    execute(engine, "DELETE FROM refresh_settings WHERE name = 'fold'")
    refresh(engine, Request(ids=(1,)))
    assert digests(engine) == unfolded


def test_the_option_is_remembered(engine: Engine) -> None:
    """A run with --fold and --ids folds these assets, later runs do without the option, and validation agrees."""
    url = address(engine)
    done = run("run_daily_refresh.py", "--all", "--fold", "--ids", "2", url=url)
    assert done.returncode == 0, done.stdout
    assert ask(engine, "SELECT value FROM refresh_settings WHERE name = 'fold'") == [("2",)]
    hours(engine, "2024-03-11 00:00", "2024-03-11 05:00")
    done = run("run_daily_refresh.py", "--all", "--validate", "--sample", "all", url=url)
    assert done.returncode == 0, done.stdout
    assert "2 recomputed" in done.stdout
    alone = run("-m refresh.builder", "bars.1d", "--fold", url=url)
    assert alone.returncode == 0
    assert ask(engine, "SELECT value FROM refresh_settings WHERE name = 'fold'") == [("all",)]
    execute(engine, "UPDATE refresh_settings SET value = 'BTC' WHERE name = 'fold'")
    refused = run("run_daily_refresh.py", "--all", url=url)
    assert refused.stderr == "error: refresh_settings, fold: 'BTC' is neither 'all' nor a list of ids\n"
