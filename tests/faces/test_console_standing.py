"""What the console shows of one asset."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from faces.reports import BARS, DAILY, EMAS, ODD, failure, idle, plan, standing, step, table, task

from refresh.faces.console import make_console, show_standing

pytestmark = pytest.mark.usefixtures("plain_terminal")


def test_standing(shown: Callable[[], list[str]]) -> None:
    """Each table has its last day and what the next run would do; the last failures follow."""
    steps = (step(DAILY, task(52, "append 1 day")), step(EMAS, skipped=(task(52, "bars failed"),)), idle(BARS))
    tables = (table(DAILY, 28, missing=1234), table(EMAS, None), table(BARS, 26, dirty=3))
    state = standing(*tables, failures=(failure("out of range"),), rejected=1000)
    show_standing(make_console(), state, plan(*steps))
    first, head, *rows, last = shown()
    assert first == "asset 52: 3,518 prices from 2024-01-01 to 2026-03-01, 1,000 of them refused"
    assert re.split(r"\s{2,}", head) == ["table", "through", "lag", "missing days", "next run"]
    assert [re.split(r"\s{2,}", row) for row in rows] == [
        ["cmc_price_bars_1d", "2026-02-28", "1 day", "1,234", "append 1 day"],
        ["cmc_ema_multi_tf", "not built", "skip (bars failed)"],
        ["cmc_price_bars_multi_tf", "2026-02-26", "3 days", "revise from 2026-02-03"],
    ]
    assert last == "bars.1d, 2026-03-02 04:05 UTC: out of range"


def test_standing_of_what_is_current(shown: Callable[[], list[str]]) -> None:
    """A table without a lag shows why nothing would be done."""
    state = standing(table(DAILY, 28), last=datetime(2026, 2, 28, 23, 59, 59, 999_000, tzinfo=UTC))
    show_standing(make_console(), state, plan(idle(DAILY)))
    assert re.split(r"\s{2,}", shown()[2]) == ["cmc_price_bars_1d", "2026-02-28", "none", "nothing: up to date"]


def test_standing_without_prices(shown: Callable[[], list[str]]) -> None:
    """An asset without prices in the source has no lag."""
    state = standing(table(DAILY, 28), rows=0, first=None, last=None)
    show_standing(make_console(), state, plan(idle(DAILY)))
    lines = shown()
    assert lines[0] == "asset 52: no prices in the source"
    assert re.split(r"\s{2,}", lines[2]) == ["cmc_price_bars_1d", "2026-02-28", "nothing: up to date"]


def test_odd_text_in_the_table_of_an_asset(shown: Callable[[], list[str]]) -> None:
    """A reason is shown in full, in as many lines as it needs."""
    show_standing(make_console(), standing(table(DAILY, 28)), plan(step(DAILY, task(52, ODD))))
    assert "".join(ODD.split()) in "".join("".join(shown()[2:])[len("cmc_price_bars_1d  2026-02-28  1 day") :].split())
