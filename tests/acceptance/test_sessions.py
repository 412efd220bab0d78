"""Markets with closed days: what is missing, when bars close, and what is late."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime
from importlib.metadata import Distribution, PackageNotFoundError
from pathlib import Path
from typing import Any

import exchange_calendars
import pandas as pd
import pytest
from databases import database
from programs import run
from refreshing import open_scopes, refresh
from sqlalchemy import URL, Engine
from statements import address, ask, execute
from trading import choose, day, lose, prepare, remembered, trade

from refresh.catalog import by_key
from refresh.commands import page
from refresh.due.freshness import lagging, read_freshness, silent
from refresh.due.lateness import not_fresh
from refresh.load.loading import load_sample, sample_file
from refresh.options.load_request import SAMPLE_ID
from refresh.options.request import Request
from refresh.records import Status
from refresh.store.database import connect
from refresh.store.schema import looking
from refresh.validate.validation import validate

NOW = datetime(2025, 1, 1, tzinfo=UTC)
DAILY, ISO = by_key("bars.1d"), by_key("bars.cal_iso")
MISSING = "SELECT sum(count_missing_days)::int FROM cmc_price_bars_1d WHERE id = :id"
WEEKS = """
    SELECT "timestamp"::date, open, high, low, close, volume FROM cmc_price_bars_multi_tf_cal_iso
    WHERE id = :id AND tf = '1W_CAL_ISO' AND NOT is_partial_end ORDER BY 1
"""
LAST = """
    SELECT "timestamp"::date, is_partial_end, count_days_remaining FROM cmc_price_bars_multi_tf_cal_iso
    WHERE id = :id AND tf = '1W_CAL_ISO' ORDER BY 1 DESC LIMIT 1
"""


@pytest.fixture(scope="module")
def apple(server: URL, template: str) -> Iterator[Engine]:
    """The years of a share, whose calendar tests choose."""
    with database(server, template) as url, connect(url) as engine:
        prepare(engine)
        load_sample(engine, NOW)
        yield engine


@pytest.fixture
def market(engine: Engine) -> Engine:
    """A share of six months up to Good Friday's eve, and a coin."""
    prepare(engine)
    trade(engine, 1, "2023-10-02", "2024-03-28")
    for closed in ("2023-11-23", "2023-12-25", "2024-01-01", "2024-01-15", "2024-02-19"):
        lose(engine, 1, closed)
    trade(engine, 2, "2023-10-02", "2024-03-28", (1, 2, 3, 4, 5, 6, 7))
    return engine


def built(engine: Engine, calendar: str) -> dict[int, str | None]:
    """Refresh with a calendar. Returns those in effect."""
    choose(engine, SAMPLE_ID, calendar)
    assert {outcome.status for outcome in refresh(engine, now=NOW)} <= {Status.DONE}
    return remembered(engine)


def oracle() -> pd.DataFrame:
    """The sample as pandas reads it, a row per session."""
    frame = pd.read_csv(sample_file().path)
    frame.columns = [name.lower() for name in frame.columns]
    dates = pd.to_datetime(frame[next(name for name in frame.columns if "date" in name)])
    return frame.set_index(pd.DatetimeIndex(dates))


def weeks_of_pandas() -> list[tuple[Any, ...]]:
    """The weeks from the first whole one on: the last session, and OHLCV as pandas resamples them to ``W-FRI``."""
    frame = oracle()
    frame = frame[frame.index >= pd.Timestamp("2019-01-07")]
    frame["last"] = frame.index
    rules = {"last": "last", "open": "first", "high": "max", "low": "min", "close": "last", "volume": "sum"}
    weeks = frame.resample("W-FRI").agg(rules).dropna()
    return [(week.last.date(), *map(float, week[1:])) for week in weeks[list(rules)].itertuples(index=False)]


# The sample


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of pandas, about exchange_calendars
def test_sample_in_the_calendar_of_its_market(apple: Engine) -> None:
    """No session is missing, and all of pandas' weeks are closed, each on its last session."""
    in_effect = str(built(apple, "XNYS")[SAMPLE_ID])
    assert in_effect.startswith("XNYS ")
    assert ask(apple, MISSING, id=SAMPLE_ID) == [(0,)]
    *whole, unfinished = weeks_of_pandas()
    assert ask(apple, WEEKS, id=SAMPLE_ID) == whole
    assert unfinished[0] == day("2024-12-30")  # a Monday
    sessions = exchange_calendars.get_calendar("XNYS", start="2019-01-01", end="2024-12-31").sessions
    last_of_week = {session.isocalendar()[:2]: session.date() for session in sessions}
    closed = [row[0] for row in ask(apple, WEEKS, id=SAMPLE_ID)]
    assert [last_of_week[session.isocalendar()[:2]] for session in closed] == closed


def test_sample_in_learned_weekdays(apple: Engine) -> None:
    """Of a share that learns its weekdays only the holidays of its market are missing; every week is closed as well."""
    assert built(apple, "auto") == {SAMPLE_ID: "Mon-Fri (learned)"}
    closed = pd.bdate_range("2019-01-02", "2024-12-30").difference(oracle().index)
    assert ask(apple, MISSING, id=SAMPLE_ID) == [(len(closed),)] == [(55,)]
    assert ask(apple, WEEKS, id=SAMPLE_ID) == weeks_of_pandas()[:-1]
    validity = validate(apple, open_scopes(apple, now=NOW), (SAMPLE_ID,), 1, date(2025, 1, 1))
    assert (validity.findings, validity.pending, validity.recomputed) == ((), (), (SAMPLE_ID,))


def test_sample_that_trades_every_day(apple: Engine) -> None:
    """Told to trade every day, it misses every weekend."""
    assert built(apple, "24/7") == {SAMPLE_ID: None}
    assert ask(apple, MISSING, id=SAMPLE_ID) == [(681,)]


def test_sample_has_a_name(apple: Engine) -> None:
    """Loading the sample gives it a symbol and a name, and loading it again leaves what the user made of them."""
    query = "SELECT symbol, name FROM dim_asset"
    assert ask(apple, query) == [("AAPL", "Apple (sample)")]
    execute(apple, "UPDATE dim_asset SET symbol = 'X', name = NULL")
    load_sample(apple, NOW)
    assert ask(apple, query) == [("X", None)]


# Closing


@pytest.mark.parametrize(
    ("calendar", "last", "is_forming"),
    [
        ("auto", "2024-03-22", False),
        ("auto", "2024-03-28", True),  # Thursday: only the market's calendar knows of Good Friday
        ("XNYS", "2024-03-28", False),
        ("XNYS", "2024-03-27", True),
        ("24/7", "2024-03-22", True),
        ("Mon-Thu", "2024-03-21", False),
    ],
)
def test_week_closes_on_its_last_session(market: Engine, calendar: str, last: str, *, is_forming: bool) -> None:
    """A week is closed on its last session, although days of it remain, and before the next one begins."""
    lose(market, 1, last, "2024-04-30")
    trade(market, 1, last, last)
    choose(market, 1, calendar)
    refresh(market, builders=[DAILY, ISO])
    remaining = (7 - day(last).isoweekday()) % 7
    assert ask(market, LAST, id=1) == [(day(last), is_forming, remaining)]


def test_row_on_a_closed_day(market: Engine) -> None:
    """A row on a day that the market is closed takes the close of its week over, and misses nothing."""
    choose(market, 1, "XNYS")
    refresh(market, builders=[DAILY, ISO])
    trade(market, 1, "2024-03-29", "2024-03-30", (5, 6))
    refresh(market, builders=[DAILY, ISO])
    assert ask(market, LAST, id=1) == [(day("2024-03-30"), False, 1)]
    per_week = f"SELECT max(n) FROM (SELECT count(*) AS n FROM ({WEEKS}) AS w GROUP BY date_trunc('week', timestamp)) c"
    assert ask(market, per_week, id=1) == [(1,)]
    assert ask(market, MISSING, id=1) == [(0,)]


# Missing sessions


def test_lost_session_is_found_and_recovers(market: Engine) -> None:
    """A session that is deleted by hand is missing in its day, week and month, and no longer once it is back."""
    choose(market, 1, "XNYS")
    refresh(market)
    whole = ask(market, "TABLE cmc_price_bars_multi_tf_cal_iso ORDER BY id, timestamp, tf")
    lose(market, 1, "2024-02-20")  # Tuesday after Presidents' Day
    refresh(market)
    week = """SELECT count_missing_days, count_missing_days_start, first_missing_day, last_missing_day
              FROM cmc_price_bars_multi_tf_cal_iso
              WHERE id = 1 AND tf = :tf AND "timestamp"::date = CAST(:day AS date)"""
    lost = day("2024-02-20")
    assert ask(market, week, tf="1W_CAL_ISO", day="2024-02-23") == [(1, 1, lost, lost)]
    assert ask(market, week, tf="1M_CAL", day="2024-02-29") == [(1, 0, lost, lost)]
    assert ask(market, MISSING, id=1) == [(1,)]
    trade(market, 1, "2024-02-20", "2024-02-20")
    refresh(market)
    now = ask(market, "TABLE cmc_price_bars_multi_tf_cal_iso ORDER BY id, timestamp, tf")
    assert [row[:-1] for row in now] == [row[:-1] for row in whole]


def test_gap_over_closed_days(market: Engine) -> None:
    """The first and the last missing day are sessions, not the closed days beside them."""
    choose(market, 1, "XNYS")
    lose(market, 1, "2024-02-16", "2024-02-26")  # Friday to Monday, with a holiday
    refresh(market, builders=[DAILY, ISO])
    month = """SELECT count_missing_days, first_missing_day, last_missing_day FROM cmc_price_bars_multi_tf_cal_iso
               WHERE id = 1 AND tf = '1M_CAL' AND "timestamp"::date = '2024-02-29'"""
    assert ask(market, month) == [(6, day("2024-02-16"), day("2024-02-26"))]


# Assets that trade every day


def test_coins_learn_nothing(engine: Engine, shared_data: Path) -> None:
    """Real prices of coins have no closed weekday, so nothing of them is counted otherwise than before."""
    files = sorted(str(file) for file in (shared_data / "cmc").glob("*.csv") if file.name != "manifest.csv")
    assert run("-m refresh.load", *files, url=address(engine)).returncode == 0
    refresh(engine, builders=[DAILY])
    assert set(remembered(engine).values()) == {None}


# Calendars that cannot be used


def failures(engine: Engine, request: Request | None = None) -> dict[int, str | None]:
    """The errors of the daily bars by asset."""
    return {outcome.id: outcome.error for outcome in refresh(engine, request, [DAILY])}


def test_unknown_market(market: Engine) -> None:
    """An asset with an unknown market fails, and says which are near; others are built. Mended, it is built."""
    choose(market, 1, "XNYZ")
    for request in (None, None, Request(full_rebuild=True)):
        errors = failures(market, request)
        assert "'XNYZ' is neither auto, 24/7, weekdays such as Mon-Fri nor a market" in str(errors[1])
        assert "XNYS" in str(errors[1])
        assert str(errors[1]).endswith("UPDATE dim_asset SET calendar = 'auto' WHERE id = 1")
        assert errors.get(2) is None
    assert remembered(market) == {2: None}
    execute(market, "UPDATE dim_asset SET calendar = 'auto' WHERE id = 1")
    assert failures(market) == {1: None}


def test_bars_stay_while_the_calendar_is_unknown(market: Engine) -> None:
    """An asset whose calendar becomes unknown keeps its bars as they are, and fails every night."""
    refresh(market, builders=[DAILY])
    choose(market, 1, "NOWHERE")
    trade(market, 1, "2024-04-01", "2024-04-01")
    trade(market, 2, "2024-04-01", "2024-04-01")
    assert list(failures(market)) == [1, 2]
    assert list(failures(market)) == [1]
    assert remembered(market) == {1: "Mon-Fri (learned)", 2: None}
    assert ask(market, "SELECT max(timestamp)::date FROM cmc_price_bars_1d WHERE id = 1") == [(day("2024-03-28"),)]


def test_without_the_package(market: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the package an asset of a market fails and says what to install; others need none."""

    def missing(name: str) -> Distribution:
        raise PackageNotFoundError(name)

    choose(market, 1, "XNYS")
    monkeypatch.setattr(Distribution, "from_name", missing)
    errors = failures(market)
    assert "needs the package exchange_calendars: python -m pip install" in str(errors[1])
    assert errors[2] is None


# Late


def test_source_of_a_share_on_a_weekend(market: Engine) -> None:
    """The source of a share is not silent over a weekend or a holiday, however small the lag that is allowed."""
    choose(market, 1, "XNYS")
    refresh(market, builders=[DAILY])

    def silent_at(now: str) -> set[int]:
        time = datetime.fromisoformat(now).replace(tzinfo=UTC)
        with market.connect() as connection:
            return set(silent(connection, read_freshness(connection, time), time - time))

    assert silent_at("2024-03-31T12:00") == {2}  # Easter Sunday: the coin is missed
    assert silent_at("2024-04-01T12:00") == {2}
    assert silent_at("2024-04-02T22:00") == {1, 2}


def test_check_and_page_count_sessions(market: Engine) -> None:
    """What is behind a source that has Monday is so by the days on which it trades."""
    choose(market, 1, "XNYS")
    refresh(market, builders=[DAILY])
    for id in (1, 2):
        trade(market, id, "2024-04-01", "2024-04-01")
    now = datetime(2024, 4, 2, tzinfo=UTC)
    scopes = open_scopes(market, builders=[DAILY], now=now)
    with looking(market) as connection:
        behind = {entry.id: entry.why for entry in not_fresh(connection, scopes, (1, 2), now)}
        shown = {asset["id"]: asset["lags"][0] for asset in page.freshness(connection, scopes[0], (1, 2))["assets"]}
    assert behind == {1: "1 day behind the source", 2: "4 days behind the source"}
    assert shown == {1: 1, 2: 4}


def test_source_is_counted_in_sessions(market: Engine) -> None:
    """Bars of Thursday are a session, not four days, behind a source that has Monday."""
    choose(market, 1, "XNYS")
    refresh(market, builders=[DAILY])
    for id in (1, 2):
        trade(market, id, "2024-04-01", "2024-04-01")
    (scope,) = open_scopes(market, Request(), [by_key("emas.v2")], now=datetime(2024, 4, 2, tzinfo=UTC))
    with market.connect() as connection:
        assert lagging(connection, scope) == {2: "bars stale: 4 days behind the source"}
