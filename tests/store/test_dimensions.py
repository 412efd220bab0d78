"""Timeframes and periods as the user keeps them: defaults, additions, and rows that break the rules."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine
from statements import ask, execute

from refresh.core.series import Dimensions, Series
from refresh.core.timeframe import DEFAULT_PERIODS, DEFAULT_TIMEFRAMES, Timeframe, Unit
from refresh.errors import DimensionError
from refresh.families import Alignment
from refresh.store.database import transaction
from refresh.store.dimensions import DEFAULT_TIMEFRAME_ROWS, TimeframeRow, read_dimensions, save_alphas, timeframe_of
from refresh.store.schema import prepare


def dimensions(engine: Engine) -> Dimensions:
    """The timeframes and periods in use."""
    with engine.connect() as connection:
        return read_dimensions(connection)


def test_defaults(engine: Engine) -> None:
    """The default rows are the default timeframes and periods in their order, whether or not they were inserted."""
    defaults = Dimensions(DEFAULT_TIMEFRAMES, DEFAULT_PERIODS)
    assert dimensions(engine) == defaults
    execute(engine, "DELETE FROM dim_timeframe WHERE tf_qty > 3", "TRUNCATE dim_period")
    assert dimensions(engine) == defaults
    assert [timeframe_of(TimeframeRow(**row)) for row in DEFAULT_TIMEFRAME_ROWS] == list(DEFAULT_TIMEFRAMES)


def test_disabled_rows_stay_disabled(engine: Engine) -> None:
    """Defaults are inserted only if they are absent; what the user chose stays."""
    execute(
        engine,
        "UPDATE dim_timeframe SET is_enabled = false WHERE tf = '7D'",
        "UPDATE dim_period SET is_enabled = false WHERE period = 10",
        "DELETE FROM dim_timeframe WHERE tf = '14D'",
    )
    with transaction(engine) as connection:
        prepare(connection)
    in_use = dimensions(engine)
    labels = {timeframe.tf for timeframe in in_use.timeframes}
    assert "7D" not in labels
    assert 10 not in in_use.periods
    assert "14D" in labels
    assert ask(engine, "SELECT count(*) FROM dim_timeframe WHERE tf = '14D'") == [(1,)]


def test_added_rows(engine: Engine) -> None:
    """Rows that the user adds come where their sort order puts them."""
    execute(
        engine,
        "INSERT INTO dim_timeframe VALUES ('9D', 'D', 9, 9, 'rolling', NULL, true, 0)",
        "INSERT INTO dim_period VALUES (5, true, 0)",
    )
    in_use = dimensions(engine)
    assert in_use.timeframes == (Timeframe(9, Unit.DAY, Alignment.ROLLING), *DEFAULT_TIMEFRAMES)
    assert in_use.periods == (5, *DEFAULT_PERIODS)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("'9M_CAL_ANCHOR', 'M', 9, 270, 'anchored', NULL, true, 99", "'9M_CAL_ANCHOR'.*months"),
        ("'9M_CAL_ANCHOR', 'M', 9, 270, 'anchored', NULL, false, 99", "'9M_CAL_ANCHOR'.*months"),
        ("'9Q', 'Q', 9, 270, 'anchored', NULL, true, 99", "'9Q'.*'Q'"),
        ("'8D', 'D', 8, 9, 'rolling', NULL, true, 99", "'8D'.*tf_days_nominal.*9.*8"),
        ("'8d', 'D', 8, 8, 'rolling', NULL, true, 99", "'8d'.*tf is '8d'.*'8D'"),
        ("'3W_CAL', 'W', 3, 21, 'aligned', NULL, true, 99", "'3W_CAL'.*calendar_scheme US or ISO"),
    ],
)
def test_bad_timeframe_is_refused(engine: Engine, row: str, message: str) -> None:
    """A timeframe that breaks the rules of its family is refused by its name, even a disabled one."""
    execute(engine, f"INSERT INTO dim_timeframe VALUES ({row})")
    with pytest.raises(DimensionError, match=f"dim_timeframe row {message}.*; correct or delete the row"):
        dimensions(engine)


@pytest.mark.parametrize("column", ["base_unit", "tf_qty", "tf_days_nominal", "alignment", "is_enabled", "sort_order"])
def test_timeframe_without_a_value(engine: Engine, column: str) -> None:
    """A row that lacks a value is refused by its name."""
    execute(
        engine,
        f"ALTER TABLE dim_timeframe ALTER COLUMN {column} DROP NOT NULL",
        f"UPDATE dim_timeframe SET {column} = NULL WHERE tf = '7D'",
    )
    with pytest.raises(DimensionError, match="dim_timeframe row '7D'"):
        dimensions(engine)


@pytest.mark.parametrize("period", [0, -10, 1_000_001, 100_000_000, 2**31 - 1])
def test_bad_period_is_refused(engine: Engine, period: int) -> None:
    """A period that is below 1 or too long is refused by its number."""
    execute(
        engine,
        "ALTER TABLE dim_period DROP CONSTRAINT dim_period_period_check",  # tables of older programs had none
        f"INSERT INTO dim_period VALUES ({period}, true, 99)",
    )
    with pytest.raises(DimensionError, match=f"dim_period row {period}:"):
        dimensions(engine)


@pytest.mark.parametrize("column", ["is_enabled", "sort_order"])
def test_period_without_a_value(engine: Engine, column: str) -> None:
    """A row that lacks a value is refused by its number."""
    execute(
        engine,
        f"ALTER TABLE dim_period ALTER COLUMN {column} DROP NOT NULL",
        f"UPDATE dim_period SET {column} = NULL WHERE period = 20",
    )
    with pytest.raises(DimensionError, match=f"dim_period row 20: {column} is NULL; correct or delete the row"):
        dimensions(engine)


@pytest.mark.parametrize("days", [1_000_001, 2**31 - 1])
def test_timeframe_that_is_too_long(engine: Engine, days: int) -> None:
    """A timeframe of more days than any history has is refused by its name."""
    execute(engine, f"INSERT INTO dim_timeframe VALUES ('{days}D', 'D', {days}, {days}, 'rolling', NULL, true, 99)")
    with pytest.raises(DimensionError, match=f"dim_timeframe row '{days}D': tf_days_nominal is {days:,}, more than"):
        dimensions(engine)


def test_series_that_is_too_long(engine: Engine) -> None:
    """A timeframe and a period that are too long together are both named."""
    execute(engine, "INSERT INTO dim_timeframe VALUES ('9000D', 'D', 9000, 9000, 'rolling', NULL, true, 99)")
    execute(engine, "INSERT INTO dim_period VALUES (900000, true, 99)")
    message = (
        "dim_timeframe row '9000D' and dim_period row 900000: 9,000 days times 900,000 are more than 2,147,483,647"
    )
    with pytest.raises(DimensionError, match=message):
        dimensions(engine)


def test_saved_alphas(engine: Engine) -> None:
    """Every alpha is shown once, with its timeframe, period and the days that they cover; a stored one stays."""
    week = next(timeframe for timeframe in DEFAULT_TIMEFRAMES if timeframe.tf == "7D")
    assert week.alignment is Alignment.ROLLING
    with engine.begin() as connection:
        save_alphas(connection, [Series(week, 10), Series(week, 21)], [(0.1, 0.2, 0.3), (0.4, 0.5, 0.6)])
        save_alphas(connection, [Series(week, 10)], [(0.9, 0.9, 0.9)])
        save_alphas(connection, [], [])
    names = "tf, period, tf_days, effective_days, alpha_bar, alpha_daily_horizon, alpha_daily_equivalent"
    assert ask(engine, f"SELECT {names} FROM ema_alpha_lookup ORDER BY period") == [
        ("7D", 10, 7, 70, 0.1, 0.2, 0.3),
        ("7D", 21, 7, 147, 0.4, 0.5, 0.6),
    ]
