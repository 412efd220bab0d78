"""The state of one asset: source, tables, missing days and failures."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from refreshing import NOW, refresh
from sqlalchemy import Engine
from statements import ask, execute

from refresh.catalog import BUILDERS, BuilderConfig, by_key
from refresh.due import standing
from refresh.due.standing import Failure, Standing, TableStanding
from refresh.options.request import Request

DAILY, BARS, EMAS, CAL, V2 = (
    by_key(key) for key in ("bars.1d", "bars.multi_tf", "emas.multi_tf", "emas.cal", "emas.v2")
)
FIRST = datetime(2024, 1, 1, 23, 59, 59, 999000, tzinfo=UTC)
DAY = timedelta(days=1)
FILL = """
    INSERT INTO cmc_price_histories7 (id, "timestamp", timeopen, timeclose, open, high, low, close, volume)
    SELECT :asset, at, at - interval '1 day - 1 ms', at, 10, 20, 5, 10 + extract(day FROM at) / 100, 1000
    FROM generate_series(CAST(:first AS timestamptz), :first + make_interval(days => :days - 1), interval '1 day') AS at
"""


@pytest.fixture
def filled(engine: Engine) -> Engine:
    """A database with ten days of assets 1 and 2, two days missing in asset 1; EMAs begin early."""
    for asset in (1, 2):
        execute(engine, FILL, asset=asset, first=FIRST, days=10)
    execute(engine, "DELETE FROM cmc_price_histories7 WHERE id = 1 AND timeclose::date IN ('2024-01-04', '2024-01-05')")
    execute(engine, "INSERT INTO dim_period VALUES (2, true, 0)")
    return engine


def state_of(engine: Engine, asset: int, builders: Sequence[BuilderConfig] = BUILDERS, now: datetime = NOW) -> Standing:
    """The state of an asset."""
    with engine.connect() as connection:
        return standing.standing(connection, builders, asset, now)


def test_refreshed_asset(filled: Engine) -> None:
    """Source and tables end on the same day, and nothing is wrong."""
    refresh(filled)
    result = state_of(filled, 1)
    last = FIRST + 9 * DAY
    assert (result.id, result.rows, result.first, result.last, result.rejected) == (1, 8, FIRST, last, 0)
    assert [(table.builder, table.table) for table in result.tables] == [
        (builder.key, leg.target) for builder in BUILDERS for leg in builder.legs
    ]
    assert {table.through for table in result.tables} == {last}
    assert {table.dirty_from for table in result.tables} == {None}
    assert [table.missing_days for table in result.tables] == [2] + [None] * 11
    assert result.failures == ()
    assert state_of(filled, 2).tables[0] == TableStanding(
        builder=DAILY.key,
        table="cmc_price_bars_1d",
        through=last,
        dirty_from=None,
        missing_days=0,
    )


def test_only_the_given_builders(filled: Engine) -> None:
    """A builder with two tables has both."""
    refresh(filled)
    assert [table.table for table in state_of(filled, 1, [CAL]).tables] == [leg.target for leg in CAL.legs]


def test_asset_that_is_unknown(filled: Engine) -> None:
    """An unknown id has no rows, and every table is empty for it."""
    refresh(filled)
    result = state_of(filled, 9)
    assert (result.id, result.rows, result.first, result.last, result.rejected) == (9, 0, None, None, 0)
    assert result.failures == ()
    assert len(result.tables) == 12
    assert {(table.through, table.dirty_from, table.missing_days) for table in result.tables} == {
        (None, None, 0),
        (None, None, None),
    }


def test_asset_that_was_never_taken_in(filled: Engine) -> None:
    """The source has rows, and the tables have none."""
    result = state_of(filled, 1)
    assert (result.rows, result.last) == (8, FIRST + 9 * DAY)
    assert {table.through for table in result.tables} == {None}


def test_dirty_table(filled: Engine) -> None:
    """A change that only the daily bars have taken in marks what follows them, from its day on."""
    refresh(filled)
    execute(filled, "UPDATE cmc_price_histories7 SET close = 11 WHERE id = 1 AND timeclose::date = '2024-01-07'")
    refresh(filled, Request(accept_restatement=True), [DAILY])
    dirty_from = {table.table: table.dirty_from for table in state_of(filled, 1).tables}
    assert dirty_from[DAILY.legs[0].target] is None
    assert dirty_from[BARS.legs[0].target] == dirty_from[V2.legs[0].target] == FIRST + 6 * DAY
    assert {table.dirty_from for table in state_of(filled, 2).tables} == {None}


def test_slowest_series_counts(filled: Engine) -> None:
    """A table has come as far as its slowest series; a series without a row has come as far as its input."""
    refresh(filled)
    execute(filled, FILL, asset=1, first=FIRST + 10 * DAY, days=3)
    refresh(filled, Request(tfs=("2d",)), [DAILY, BARS])
    through = {table.table: table.through for table in state_of(filled, 1).tables}
    assert through[DAILY.legs[0].target] == FIRST + 12 * DAY
    assert through[BARS.legs[0].target] == FIRST + 9 * DAY
    refresh(filled, Request(), [BARS])
    assert state_of(filled, 1, [BARS]).tables[0].through == FIRST + 12 * DAY


def test_rejected_rows(filled: Engine) -> None:
    """Refused rows are counted, and they are still rows of the source."""
    execute(filled, "UPDATE cmc_price_histories7 SET close = NULL WHERE id = 2 AND timeclose::date >= '2024-01-09'")
    refresh(filled)
    result = state_of(filled, 2)
    assert (result.rows, result.rejected, result.last) == (10, 2, FIRST + 9 * DAY)
    assert result.tables[0].through == FIRST + 7 * DAY


def test_times_that_no_calendar_has(filled: Engine) -> None:
    """Rows with infinite times, times far ahead or before our calendar do not count."""
    for time in ("infinity", "-infinity", "4000-01-01 BC", "20000-01-01", "2031-01-01"):
        execute(filled, 'INSERT INTO cmc_price_histories7 (id, "timestamp", close) VALUES (2, :at, 1)', at=time)
    result = state_of(filled, 2)
    assert (result.rows, result.first, result.last) == (10, FIRST, FIRST + 9 * DAY)
    assert state_of(filled, 2, now=datetime(2030, 12, 31, tzinfo=UTC)).rows == 11


def test_failed_asset(filled: Engine) -> None:
    """The last failure is reported per builder, until the asset is done."""
    execute(filled, "ALTER TABLE cmc_price_bars_multi_tf ADD CONSTRAINT spare CHECK (id <> 1)")
    refresh(filled)
    (failure,) = state_of(filled, 1).failures
    ((run_id, noted_at),) = ask(filled, "SELECT run_id, noted_at FROM refresh_outcomes WHERE status = 'failed'")
    error = 'new row for relation "cmc_price_bars_multi_tf" violates check constraint "spare"'
    assert failure == Failure(builder=BARS.key, failed_at=noted_at, run_id=run_id, error=error)
    through = {table.table: table.through for table in state_of(filled, 1).tables}
    assert through[BARS.legs[0].target] is through[EMAS.legs[0].target] is None
    assert state_of(filled, 2).failures == ()
    assert state_of(filled, 1, [DAILY]).failures == ()
    execute(filled, "ALTER TABLE cmc_price_bars_multi_tf DROP CONSTRAINT spare")
    refresh(filled, now=NOW + DAY)
    assert state_of(filled, 1).failures == ()


def test_asset_that_was_not_reached(filled: Engine) -> None:
    """An outcome without an error is reported with its reason."""
    execute(
        filled,
        """INSERT INTO refresh_outcomes (run_id, builder, id, status, rows, seconds, reason, retries, notes)
           VALUES ('r', 'bars.1d', 1, 'not reached', 0, 0, 'append 1 day', 0, '{}')""",
    )
    (failure,) = state_of(filled, 1).failures
    assert (failure.builder, failure.run_id, failure.error) == (DAILY.key, "r", "append 1 day")
