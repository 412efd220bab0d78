"""The law of runs: whatever users do between nights, a night ends well, a second one has nothing to do, a check agrees.

A seed decides what happens to prices, to our tables and states, and to what is enabled. At the end the tables equal a
rebuild. ``REFRESH_RUN_HISTORIES`` sets the number of histories, ``REFRESH_RUN_SEED`` the first seed.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from random import Random
from subprocess import CompletedProcess

import pytest
from prices import fill
from programs import run
from refreshing import FEW, digests, enable, refresh
from sqlalchemy import Engine
from statements import address, execute

from refresh.catalog import SOURCE
from refresh.options.request import Request
from refresh.store.tables import METADATA

HISTORIES = int(os.environ.get("REFRESH_RUN_HISTORIES", "2"))
FIRST_SEED = int(os.environ.get("REFRESH_RUN_SEED", "0"))
NIGHTS = 3
ASSETS = 4
"""The last one has no prices at first."""
OURS = sorted(name for name in METADATA.tables if name.startswith("cmc_") and name != SOURCE)
"""Tables of bars and EMAs, and their states: what users may lose and the next run builds again."""
Chance = Callable[[Engine, Random], str]


def an_asset_goes(engine: Engine, draw: Random) -> str:
    """The source forgets an asset."""
    return _done(engine, f"DELETE FROM {SOURCE} WHERE id = {_asset(draw)}")


def days_go(engine: Engine, draw: Random) -> str:
    """The source forgets the last days of an asset."""
    day = f"2024-02-{draw.randint(1, 28):02}"
    return _done(engine, f"DELETE FROM {SOURCE} WHERE id = {_asset(draw)} AND \"timestamp\" > '{day}'")


def days_come(engine: Engine, draw: Random) -> str:
    """Days arrive, over those that were there; perhaps of a new asset, or of one that was gone."""
    asset, first, last = _asset(draw), f"2024-03-{draw.randint(1, 9):02}", f"2024-03-{draw.randint(10, 28):02}"
    done = _done(engine, f"DELETE FROM {SOURCE} WHERE id = {asset} AND \"timestamp\" >= '{first}'")
    fill(engine, asset, first, last)
    return f"{done}, then prices from {first} to {last}"


def days_change(engine: Engine, draw: Random) -> str:
    """The source corrects an asset from some day on."""
    day = f"2024-02-{draw.randint(1, 28):02}"
    where = f"id = {_asset(draw)} AND \"timestamp\" > '{day}'"
    return _done(engine, f"UPDATE {SOURCE} SET close = close * 1.01 WHERE {where}")


def rows_are_lost(engine: Engine, draw: Random) -> str:
    """Somebody deletes an asset from a table or state of ours."""
    return _done(engine, f"DELETE FROM {draw.choice(_with_ids())} WHERE id = {_asset(draw)}")


def tables_are_emptied(engine: Engine, draw: Random) -> str:
    """Somebody truncates tables or states of ours."""
    return _done(engine, f"TRUNCATE {', '.join(draw.sample(OURS, draw.randint(1, 2)))}")


def a_table_is_dropped(engine: Engine, draw: Random) -> str:
    """Somebody drops a table or state of ours, and the views over it."""
    return _done(engine, f"DROP TABLE {draw.choice(OURS)} CASCADE")


def a_timeframe_is_toggled(engine: Engine, draw: Random) -> str:
    """A timeframe is enabled or disabled, perhaps the only one of a table."""
    tf = draw.choice((*FEW, "4D", "2W_CAL_ISO"))
    return _done(engine, f"UPDATE dim_timeframe SET is_enabled = NOT is_enabled WHERE tf = '{tf}'")


def a_period_is_toggled(engine: Engine, draw: Random) -> str:
    """A period is added, enabled or disabled."""
    insertion = f"INSERT INTO dim_period VALUES ({draw.choice((5, 10, 20))}, true, 9)"
    return _done(engine, f"{insertion} ON CONFLICT (period) DO UPDATE SET is_enabled = NOT dim_period.is_enabled")


CHANCES: tuple[Chance, ...] = (
    an_asset_goes, days_go, days_come, days_change, rows_are_lost, rows_are_lost, tables_are_emptied,
    a_timeframe_is_toggled, a_period_is_toggled,
)  # fmt: skip


def _done(engine: Engine, statement: str) -> str:
    execute(engine, statement)
    return statement


def _asset(draw: Random) -> int:
    return draw.randint(1, ASSETS)


def _with_ids() -> list[str]:
    return [name for name in OURS if "id" in METADATA.tables[name].columns]


class Story:
    """What happened, for whoever has to find out why it did not end well."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._lines: list[str] = []

    def happens(self, chance: Chance, draw: Random) -> None:
        """Something happens between two nights."""
        self._lines.append(chance(self._engine, draw))

    def start(self, *arguments: str) -> CompletedProcess[str]:
        """A run, or a look, that ends well."""
        ended = run("run_daily_refresh.py", *arguments, url=address(self._engine))
        self._lines.append(f"{' '.join(arguments)}: {ended.returncode}\n{ended.stdout}{ended.stderr}")
        assert (ended.returncode, ended.stderr) == (0, ""), str(self)
        return ended

    def __str__(self) -> str:
        return "\n".join(self._lines)


@pytest.mark.parametrize("seed", range(FIRST_SEED, FIRST_SEED + HISTORIES))
def test_every_night_ends_well(engine: Engine, seed: int) -> None:
    """A night after anything ends with 0, all is then done and fresh, and at the end as if built today."""
    draw = Random(seed)  # noqa: S311 - a history, no secret
    for asset in range(1, ASSETS):
        fill(engine, asset, f"2024-01-{asset:02}", "2024-03-10")
    enable(engine, FEW, (10, 20))
    story = Story(engine)
    story.start("--all")
    for _ in range(NIGHTS):
        for chance in draw.choices(CHANCES, k=draw.randint(1, 3)):
            story.happens(chance, draw)
        if not draw.randrange(5):  # what else would happen to a table that is gone is an error of the test
            story.happens(a_table_is_dropped, draw)
        pruning = draw.choice([("--prune",), ("--prune",), ()])
        story.start("--all", "--accept-restatement", *pruning)
        assert "Nothing to do: " in story.start("--all", *pruning).stdout, str(story)
        story.start("--check", "--max-lag", "10000d")
    story.start("--all", "--prune")
    found = digests(engine)
    refresh(engine, Request(full_rebuild=True))
    assert digests(engine) == found, str(story)
