"""The sizes that docs/scale.md computes, against the script and against tables that were built."""

from __future__ import annotations

import pytest
from prices import fill
from programs import PROJECT, run
from refreshing import refresh
from sqlalchemy import Engine
from statements import ask

from bench.sizing import TIMEFRAMES, Machine, need, rows, timeframes
from refresh.catalog import legs

START, END = "<!-- sizes: python -m bench.sizing -->\n", "<!-- end of sizes -->"
DAYS = 401


def test_document_has_the_table() -> None:
    """The table of docs/scale.md is what the script prints."""
    printed = run("-m bench.sizing", url="").stdout
    document = (PROJECT / "docs" / "scale.md").read_text(encoding="utf-8")
    assert document.partition(START)[2].partition(END)[0] == printed, f"paste this:\n\n{printed}"


def test_rows_are_those_of_a_build(engine: Engine) -> None:
    """The rows of bars are exact; those of averages differ by what weeks and months are longer or shorter."""
    fill(engine, 1, "2023-01-01", "2024-02-05")
    refresh(engine)
    built = {leg.target: ask(engine, f"SELECT count(*) FROM {leg.target}")[0][0] for _, leg in legs()}
    bars, averages = rows(DAYS, timeframes(TIMEFRAMES[0]))
    assert sum(built[leg.target] for _, leg in legs() if leg.averages) == pytest.approx(averages, rel=0.03)
    assert sum(built[leg.target] for _, leg in legs() if not leg.averages) == pytest.approx(DAYS + bars, rel=0.06)


def test_twice_the_assets_need_twice_the_disk() -> None:
    """Needs grow with assets, and with years by no more than rows do."""
    one, two = (need(assets, 5, 39, Machine()) for assets in (1_000, 2_000))
    assert two.disk_gb == pytest.approx(2 * one.disk_gb)
    assert two.night_seconds < 2 * one.night_seconds
    longer = need(1_000, 10, 39, Machine())
    assert longer.rows > 2 * one.rows
    assert longer.night_wal_gb < 2 * one.night_wal_gb
