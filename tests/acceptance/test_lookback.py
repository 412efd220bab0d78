"""``--detect lookback``: what a window of some days sees of each asset, and what it still takes in after a pause."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from prices import fill
from programs import run
from refreshing import FEW, digests, enable, refresh
from sqlalchemy import Engine
from statements import address, ask, execute

from refresh.catalog import DAILY, SOURCE
from refresh.options.request import Request

LOOKBACK = Request(detect="lookback", lookback_days=40)
REACHED = f'SELECT id, max("timestamp")::date::text, count(*) FROM {DAILY} GROUP BY 1 ORDER BY 1'
OLD_CLOSE = f"SELECT close FROM {DAILY} WHERE id = 1 AND \"timestamp\"::date = '2024-01-05'"


@pytest.fixture
def engine(engine: Engine) -> Engine:
    """Prices of two assets until March, of which few series are built."""
    enable(engine, FEW, [10])
    fill(engine, 1, "2024-01-01", "2024-03-10")
    fill(engine, 2, "2024-01-01", "2024-01-20")
    refresh(engine, now=datetime(2024, 3, 11, tzinfo=UTC))
    return engine


def check_equals_rebuild(engine: Engine) -> None:
    """The tables are those of a rebuild."""
    refreshed = digests(engine)
    refresh(engine, Request(full_rebuild=True))
    assert digests(engine) == refreshed


@pytest.mark.parametrize("is_indexed", [True, False])
def test_five_nights(engine: Engine, *, is_indexed: bool) -> None:
    """Days are appended, twice after months of silence; an asset begins, another wakes up; all days are taken in."""
    if not is_indexed:
        execute(engine, f"ALTER TABLE {SOURCE} DROP CONSTRAINT {SOURCE}_pkey")
    nights = [("2024-03-11", "2024-03-11"), ("2024-03-12", "2024-06-20"), ("2024-06-21", "2024-06-21"),
              ("2024-06-22", "2024-10-02"), ("2024-10-03", "2024-10-04")]  # fmt: skip
    for night, (first, last) in enumerate(nights):
        fill(engine, 1, first, last)
        if night == 1:
            fill(engine, 3, "2024-03-15", "2024-04-20")
        if night == 3:
            fill(engine, 2, "2024-01-21", "2024-06-30")
        now = datetime.fromisoformat(f"{last}T03:00+00:00") + timedelta(days=1)
        refresh(engine, LOOKBACK, now=now)
        assert refresh(engine, LOOKBACK, now=now) == []
        assert refresh(engine, now=now) == []
        check_equals_rebuild(engine)
    assert ask(engine, REACHED) == [(1, "2024-10-04", 278), (2, "2024-06-30", 182), (3, "2024-04-20", 37)]


def test_it_still_sees_no_old_change(engine: Engine) -> None:
    """What changed before the window and before the month of the last bar waits for a run without a lookback."""
    now = datetime(2024, 6, 1, tzinfo=UTC)
    execute(engine, f"UPDATE {SOURCE} SET close = 11 WHERE id = 1 AND \"timestamp\"::date = '2024-01-05'")
    execute(engine, f"UPDATE {SOURCE} SET close = 12 WHERE id = 2 AND \"timestamp\"::date = '2024-01-05'")
    (outcome, *_) = refresh(engine, LOOKBACK, now=now)
    assert (outcome.id, outcome.reason) == (2, "close of 2024-01-05 changed from 10.05 to 12.0")
    assert ask(engine, OLD_CLOSE) == [(10.05,)]
    (outcome, *_) = refresh(engine, now=now)
    assert (outcome.id, outcome.reason) == (1, "close of 2024-01-05 changed from 10.05 to 11.0")


def test_after_twelve_weeks(engine: Engine) -> None:
    """A job that was off takes in all days with the same command, EMAs included, and leaves nothing to resume."""
    execute(engine, f"DELETE FROM {SOURCE} WHERE id = 2")
    today = datetime.now(UTC).date()
    fill(engine, 1, "2024-03-11", str(today - timedelta(days=1)))
    words = ["--all", "--detect", "lookback", "--lookback-days", "40"]
    done = run("run_daily_refresh.py", *words, url=address(engine))
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert ask(engine, "SELECT max(ts)::date FROM cmc_ema_multi_tf WHERE id = 1") == [(today - timedelta(days=1),)]
    resumed = run("run_daily_refresh.py", *words, "--resume", url=address(engine))
    assert "Nothing to resume" in resumed.stdout
