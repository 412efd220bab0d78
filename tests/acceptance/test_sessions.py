"""Markets with closed days: what is missing, when bars close, and what a changed calendar rewrites."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pandas as pd
import pytest
from hvsampledata import apple_stocks
from refreshing import digests, enable, refresh
from sqlalchemy import Engine
from statements import ask, execute

from refresh.load.loading import SAMPLE, load_sample
from refresh.options.request import Request
from refresh.records import Outcome

NOW = datetime(2025, 1, 1, tzinfo=UTC)
WEEKS = ("3D", "1W_CAL_ISO", "1W_CAL_ANCHOR_ISO", "1W_CAL_US", "1M_CAL")
MISSING = "SELECT sum(count_missing_days)::int FROM cmc_price_bars_1d"
CLOSED = """
    SELECT ("timestamp" AT TIME ZONE 'UTC')::date AS day, open, high, low, close, volume FROM cmc_price_bars_multi_tf_cal_iso
    WHERE tf = '1W_CAL_ISO' AND NOT is_partial_end ORDER BY 1
"""


@pytest.fixture
def apple(engine: Engine) -> Engine:
    """The years of a share, with a timeframe or two of each kind."""
    enable(engine, WEEKS, [10])
    load_sample(engine, NOW)
    return engine


def trade(engine: Engine, calendar: str, id: int = SAMPLE.id) -> None:
    """Choose the calendar of an asset."""
    upsert = "INSERT INTO dim_asset (id, calendar) VALUES (:id, :calendar) ON CONFLICT (id) DO UPDATE SET calendar = :calendar"
    execute(engine, upsert, id=id, calendar=calendar)


def test_sessions_of_a_market(apple: Engine) -> None:
    """With the calendar of its market a share has no missing day, and weeks are pandas' weeks, closed on Friday."""
    trade(apple, "XNYS")
    outcomes = refresh(apple, now=NOW)
    print({o.error for o in outcomes})
    print(ask(apple, MISSING), ask(apple, "SELECT calendar FROM cmc_price_bars_1d_state"))
    trade(apple, "auto")
    outcomes = refresh(apple, now=NOW)
    print({(o.builder, o.rows, o.error, o.reason) for o in outcomes})
    print(ask(apple, MISSING), ask(apple, "SELECT calendar FROM cmc_price_bars_1d_state"))
    before = digests(apple)
    refresh(apple, Request(full_rebuild=True), now=NOW)
    assert before == digests(apple)
    trade(apple, "24/7")
    outcomes = refresh(apple, now=NOW)
    print({(o.builder, o.rows, o.error, o.reason) for o in outcomes})
    print(ask(apple, MISSING), ask(apple, "SELECT calendar FROM cmc_price_bars_1d_state"))
    assert 0
