"""The assets of the example, defined and materialized by Dagster itself."""

from __future__ import annotations

import pytest
from examples.schedulers import CHECKOUT, EXAMPLES, PROGRAMS, Digests, Scheduler
from prices import fill
from refreshing import TARGETS, digests
from sqlalchemy import Engine
from statements import ask, execute

from refresh.catalog import BUILDERS, SOURCE
from refresh.store.locks import RefreshLock

pytest.importorskip("dagster", reason="make test-examples installs Dagster")

NIGHT = (CHECKOUT / "tests" / "examples" / "dagster_night.py", EXAMPLES / "dagster" / "daily_refresh_assets.py")
ROWS = "SELECT o.builder, sum(o.rows) FROM refresh_outcomes o GROUP BY o.builder"


def test_night_of_dagster(prices: Engine, scheduler: Scheduler, refreshed: Digests) -> None:
    """Each table is materialized with its rows and its lag, as a refresh builds it; a second run with 75 is skipped."""
    found = scheduler.document(*NIGHT, "RESULT", "run")
    expected = {leg.target: sorted(set(leg.inputs)) for builder in BUILDERS for leg in builder.legs}
    assert found["deps"] == {SOURCE: [], **expected}
    assert found["success"]
    assert digests(prices) == refreshed
    rows = {builder: int(number) for builder, number in ask(prices, ROWS)}
    for builder in BUILDERS:
        for leg in builder.legs:
            metadata = found["tables"][leg.target]
            assert metadata["rows"] == rows[builder.key] > 0
            assert (metadata["lag_seconds"], metadata["assets_stale"], metadata["assets_done"]) == (0.0, 0, 2)
    assert found["checks"] == dict.fromkeys(expected, True)
    lock = RefreshLock(prices)
    lock.take()
    try:
        found = scheduler.document(*NIGHT, "RESULT", "run")
    finally:
        lock.release()
    assert (found["success"], found["tables"]) == (True, {})
    assert found["checks"] == {"cmc_price_bars_1d": False}
    assert set(found["skipped"]) == {builder.key.replace(".", "_") for builder in BUILDERS if builder.key != "bars.1d"}


def test_failing_asset_in_dagster(prices: Engine, scheduler: Scheduler) -> None:
    """The check of its table fails, with the lag of the table; everything else is materialized."""
    ended = scheduler.run(PROGRAMS / "daily-refresh", "run", "--quiet")
    assert ended.returncode == 0, ended.stderr
    fill(prices, 2, "2025-04-11", "2025-04-12")
    limit = "CHECK (id <> 2 OR \"timestamp\" < '2025-04-11Z')"
    execute(prices, f"ALTER TABLE cmc_price_bars_multi_tf ADD CONSTRAINT not_today {limit}")
    found = scheduler.document(*NIGHT, "RESULT", "run")
    assert found["success"]
    assert len(found["tables"]) == len(TARGETS)
    metadata = found["tables"]["cmc_price_bars_multi_tf"]
    assert (metadata["lag_seconds"], metadata["assets_stale"]) == (2 * 86400.0, 1)
    assert (metadata["assets_failed"], metadata["assets_done"]) == (1, 1)
    assert not found["checks"]["cmc_price_bars_multi_tf"]
    assert found["checks"]["cmc_price_bars_multi_tf_cal_us"]
