"""The simulated database against one that a refresh has built."""

from __future__ import annotations

from programs import run
from statements import ask

from bench.server import Bench
from bench.simulation import LONG, add_day, simulated
from refresh.catalog import BUILDERS, legs

ASSETS, DAYS = 7, 20
STATES = [leg.state for _, leg in legs() if leg.shape.has_timeframes]


def test_states_are_those_of_a_refresh() -> None:
    """Nothing is due to any asset, each has the states of a built one, and a new day is due to all in every table."""
    with Bench(pairs=1) as bench, simulated(bench, ASSETS, DAYS) as (database, last):
        plan = run("run_daily_refresh.py", "--all", "--dry-run", url=database.url)
        assert plan.stdout.count(": up to date") == len(BUILDERS)
        assert run("run_daily_refresh.py", "--check", url=database.url).returncode == 0
        for state in STATES:
            rows = dict(ask(database.engine, f"SELECT id, count(*) FROM {state} GROUP BY id"))
            assert {rows[id] for id in range(3, ASSETS + 1)} == {rows[LONG]}
        add_day(database, last)
        plan = run("run_daily_refresh.py", "--all", "--dry-run", "--restate-limit", "100", url=database.url)
        assert plan.returncode == 0
        assert plan.stdout.count(f": {ASSETS} assets, about ") == len(BUILDERS)
