"""The DAG of the example, parsed and run by Airflow itself."""

from __future__ import annotations

import pytest
from examples.schedulers import CHECKOUT, Digests, Scheduler
from refreshing import digests
from sqlalchemy import Engine
from statements import execute

from refresh.catalog import BUILDERS
from refresh.store.locks import RefreshLock

pytest.importorskip("airflow", reason="make test-examples installs Airflow")

NIGHT = CHECKOUT / "tests" / "examples" / "airflow_night.py"


def test_tasks_are_those_of_the_catalogue(scheduler: Scheduler) -> None:
    """There is a task for each builder, behind those whose tables it reads; 75 skips each, and each is tried again."""
    found = scheduler.document(NIGHT, "RESULT")
    assert found["errors"] == {}
    writers = {leg.target: builder.key for builder in BUILDERS for leg in builder.legs}
    expected = {
        builder.key: sorted({writers[table] for table in builder.inputs if table in writers}) for builder in BUILDERS
    }
    upstream = found["upstream"]
    assert upstream.pop("validate") == ["check"]
    assert upstream.pop("check") == sorted(expected)
    assert upstream == expected
    assert set(map(tuple, found["skips"].values())) == {(75,)}
    assert all(found["retries"][key] == 2 for key in expected)


def test_night_of_airflow(prices: Engine, scheduler: Scheduler, refreshed: Digests) -> None:
    """A run builds what a refresh builds; one beside another refresh is skipped from the first task to the last."""
    found = scheduler.document(NIGHT, "RESULT", "run")
    assert found["state"] == "success"
    assert set(found["tasks"].values()) == {"success"}
    assert digests(prices) == refreshed
    lock = RefreshLock(prices)
    lock.take()
    try:
        found = scheduler.document(NIGHT, "RESULT", "run")
    finally:
        lock.release()
    assert set(found["tasks"].values()) == {"skipped"}


def test_failing_asset_in_airflow(prices: Engine, scheduler: Scheduler, refreshed: Digests) -> None:
    """The task of the builder fails, what follows works on the other assets, and the check makes the night red."""
    table = "cmc_price_bars_multi_tf"
    execute(prices, f"ALTER TABLE {table} ADD CONSTRAINT not_today CHECK (id <> 2)")
    found = scheduler.document(NIGHT, "RESULT", "run")
    states = found["tasks"]
    assert (found["state"], states["bars.multi_tf"]) == ("failed", "failed")
    assert (states["check"], states["validate"]) == ("failed", "upstream_failed")
    others = {key for key in states if key.startswith(("bars.cal", "emas.cal"))}
    assert {states[key] for key in others} == {"success"}
    assert digests(prices)["cmc_ema_multi_tf_cal_us"] == refreshed["cmc_ema_multi_tf_cal_us"]
    assert digests(prices)["cmc_ema_multi_tf"][0] > 0
