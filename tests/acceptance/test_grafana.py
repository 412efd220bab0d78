"""The dashboard: every query of it is run on a database that was refreshed, as Grafana would send it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from databases import database
from prices import fill
from programs import run
from refreshing import FEW, enable
from sqlalchemy import URL, Engine
from statements import address, ask, execute

from refresh.store.database import connect

FILE = Path(__file__).resolve().parents[2] / "examples" / "grafana" / "daily-refresh.json"
BOARD: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
PANELS = {panel["title"]: panel for panel in BOARD["panels"]}
FILTER = re.compile(r"\$__timeFilter\(([^)]+)\)")
EMPTY = {"Assets that fail or need retries, 30 days", "Restated prices"}
"""Panels that a database without trouble leaves empty."""


@pytest.fixture(scope="module")
def engine(server: URL, template: str) -> Iterator[Engine]:
    """A database with the history of a refresh and of a validation."""
    with database(server, template) as url, connect(url) as engine:
        enable(engine, (*FEW, "7D"), (10,))
        for asset in (1, 52):
            fill(engine, asset, "2023-09-01", "2024-03-01")
        execute(engine, "INSERT INTO dim_asset (id, symbol) VALUES (1, 'BTC') ON CONFLICT DO NOTHING")
        assert run("run_daily_refresh.py", "--all", "--validate", url=address(engine)).returncode == 0
        yield engine


def sent(query: str) -> str:
    """A query with the macros and variables of Grafana filled in."""
    return FILTER.sub(r"\1 BETWEEN '2000-01-01Z' AND '2100-01-01Z'", query).replace("${asset}", "1")


@pytest.mark.parametrize("title", PANELS)
def test_panel(engine: Engine, title: str) -> None:
    """A panel's query runs, its rows have what the panel draws, and none is without data that should have some."""
    (target,) = PANELS[title]["targets"]
    found = ask(engine, sent(target["rawSql"]))
    assert bool(found) == (title not in EMPTY)
    if target["format"] == "time_series":
        assert re.match(r'SELECT (started_at|"timestamp") AS time', target["rawSql"])
        assert all(row[0] is not None and row[-1] is not None for row in found)


def test_numbers(engine: Engine) -> None:
    """The tiles show what is known of this database: a refresh of minutes ago, and nothing that is late or failed."""
    tiles = {title: ask(engine, sent(panel["targets"][0]["rawSql"])) for title, panel in PANELS.items()}
    assert 0 <= tiles["Hours since the last good refresh"][0][0] < 1
    assert tiles["Assets behind the source"] == tiles["Assets that failed in the last refresh"] == [(0,)]
    assert {row[1] for row in tiles["The price and its averages"]} == {"close", "EMA 10 of 7D"}
    assert len(tiles["Freshness"]) == 12


def test_choices(engine: Engine) -> None:
    """Assets are chosen by symbol where there is one."""
    (asset,) = [variable for variable in BOARD["templating"]["list"] if variable["name"] == "asset"]
    assert ask(engine, asset["query"]) == [("BTC", 1), ("52", 52)]


def test_board_is_well_formed() -> None:
    """Panels do not overlap, each has a number of its own, and all use the database that is chosen above."""
    assert len({panel["id"] for panel in BOARD["panels"]}) == len(PANELS) == len(BOARD["panels"])
    cells = [
        (place["x"] + column, place["y"] + row)
        for place in (panel["gridPos"] for panel in BOARD["panels"])
        for column in range(place["w"])
        for row in range(place["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(column for column, _ in cells) < 24
    assert {panel["datasource"]["uid"] for panel in BOARD["panels"]} == {"${database}"}
