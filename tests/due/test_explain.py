"""What is known of one asset before anything runs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from refreshing import NOW, refresh
from sqlalchemy import Engine, text
from statements import execute

from refresh.catalog import BUILDERS, by_key
from refresh.due.standing import Failure, Standing, TableStanding
from refresh.options.request import Request
from refresh.due import explain
from refresh.store.database import connect

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from refresh.catalog import BuilderConfig

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
def engine(prepared_url: str) -> Iterator[Engine]:
    """An engine on a database with ten days of assets 1 and 2, two days missing in asset 1; EMAs begin early."""
    engine = connect(prepared_url)
    for asset in (1, 2):
        execute(engine, FILL, asset=asset, first=FIRST, days=10)
    execute(engine, "DELETE FROM cmc_price_histories7 WHERE id = 1 AND timeclose::date IN ('2024-01-04', '2024-01-05')")
    execute(engine, "INSERT INTO dim_period VALUES (2, true, 0)")
    yield engine
    engine.dispose()


def standing(engine: Engine, asset: int, builders: Sequence[BuilderConfig] = BUILDERS, now: datetime = NOW) -> Standing:
    """Where an asset stands."""
    with engine.connect() as connection:
        return explain.standing(connection, builders, asset, now)


def test_refreshed_asset(engine: Engine) -> None:
    """Source and tables end on the same day, and nothing is wrong."""
    refresh(engine)
    found = standing(engine, 1)
    last = FIRST + 9 * DAY
    assert (found.id, found.rows, found.first, found.last, found.rejected) == (1, 8, FIRST, last, 0)
    assert [(table.builder, table.table) for table in found.tables] == [
        (builder.key, leg.target) for builder in BUILDERS for leg in builder.legs
    ]
    assert {table.through for table in found.tables} == {last}
    assert {table.dirty_from for table in found.tables} == {None}
    assert [table.missing_days for table in found.tables] == [2] + [None] * 11
    assert found.failures == ()
    assert standing(engine, 2).tables[0] == TableStanding(DAILY.key, "cmc_price_bars_1d", last, None, 0)


def test_only_builders_that_are_asked_for(engine: Engine) -> None:
    """A builder with two tables has both."""
    refresh(engine)
    assert [table.table for table in standing(engine, 1, [CAL]).tables] == [leg.target for leg in CAL.legs]


def test_asset_that_is_unknown(engine: Engine) -> None:
    """Of an id that nobody knows there is nothing to say."""
    refresh(engine)
    found = standing(engine, 9)
    assert (found.id, found.rows, found.first, found.last, found.rejected, found.failures) == (9, 0, None, None, 0, ())
    assert len(found.tables) == 12
    assert {(table.through, table.dirty_from, table.missing_days) for table in found.tables} == {
        (None, None, 0),
        (None, None, None),
    }


def test_asset_that_was_never_taken_in(engine: Engine) -> None:
    """The source has rows, and no table is anywhere."""
    found = standing(engine, 1)
    assert (found.rows, found.last) == (8, FIRST + 9 * DAY)
    assert {table.through for table in found.tables} == {None}


def test_dirty_table(engine: Engine) -> None:
    """A change that was taken into the daily bars alone marks what follows them, from its day on."""
    refresh(engine)
    execute(engine, "UPDATE cmc_price_histories7 SET close = 11 WHERE id = 1 AND timeclose::date = '2024-01-07'")
    refresh(engine, Request(accept_restatement=True), [DAILY])
    found = {table.table: table.dirty_from for table in standing(engine, 1).tables}
    assert found[DAILY.legs[0].target] is None
    assert found[BARS.legs[0].target] == found[V2.legs[0].target] == FIRST + 6 * DAY
    assert {table.dirty_from for table in standing(engine, 2).tables} == {None}


def test_slowest_series_counts(engine: Engine) -> None:
    """A table stands where the series does that is furthest behind; one that has no row yet has seen its input."""
    refresh(engine)
    execute(engine, FILL, asset=1, first=FIRST + 10 * DAY, days=3)
    refresh(engine, Request(tfs=("2d",)), [DAILY, BARS])
    found = {table.table: table.through for table in standing(engine, 1).tables}
    assert found[DAILY.legs[0].target] == FIRST + 12 * DAY
    assert found[BARS.legs[0].target] == FIRST + 9 * DAY
    refresh(engine, Request(), [BARS])
    assert standing(engine, 1, [BARS]).tables[0].through == FIRST + 12 * DAY


def test_rejected_rows(engine: Engine) -> None:
    """Rows that were refused are counted, and still rows of the source."""
    execute(engine, "UPDATE cmc_price_histories7 SET close = NULL WHERE id = 2 AND timeclose::date >= '2024-01-09'")
    refresh(engine)
    found = standing(engine, 2)
    assert (found.rows, found.rejected, found.last) == (10, 2, FIRST + 9 * DAY)
    assert found.tables[0].through == FIRST + 7 * DAY


def test_times_that_no_calendar_holds(engine: Engine) -> None:
    """Infinite times and those far ahead or before our calendar are no rows that an asset begins or ends with."""
    for at in ("infinity", "-infinity", "4000-01-01 BC", "20000-01-01", "2031-01-01"):
        execute(engine, 'INSERT INTO cmc_price_histories7 (id, "timestamp", close) VALUES (2, :at, 1)', at=at)
    found = standing(engine, 2)
    assert (found.rows, found.first, found.last) == (10, FIRST, FIRST + 9 * DAY)
    assert standing(engine, 2, now=datetime(2030, 12, 31, tzinfo=UTC)).rows == 11


def test_failed_asset(engine: Engine) -> None:
    """What went wrong last is told per builder, until it is done."""
    execute(engine, "ALTER TABLE cmc_price_bars_multi_tf ADD CONSTRAINT spare CHECK (id <> 1)")
    refresh(engine, Request(run_id="r"))
    (failure,) = standing(engine, 1).failures
    error = 'new row for relation "cmc_price_bars_multi_tf" violates check constraint "spare"'
    assert failure == Failure(BARS.key, failure.at, "r", error)
    with engine.connect() as connection:
        noted = connection.execute(text("SELECT noted_at FROM refresh_outcomes WHERE status = 'failed'")).scalar_one()
    assert failure.at == noted
    found = {table.table: table.through for table in standing(engine, 1).tables}
    assert found[BARS.legs[0].target] is found[EMAS.legs[0].target] is None
    assert standing(engine, 2).failures == ()
    assert standing(engine, 1, [DAILY]).failures == ()
    execute(engine, "ALTER TABLE cmc_price_bars_multi_tf DROP CONSTRAINT spare")
    refresh(engine, Request(run_id="s"))
    assert standing(engine, 1).failures == ()


def test_asset_that_was_not_reached(engine: Engine) -> None:
    """An outcome without an error is told by its reason."""
    execute(
        engine,
        """INSERT INTO refresh_outcomes (run_id, builder, id, status, rows, seconds, reason, retries, notes)
           VALUES ('r', 'bars.1d', 1, 'not reached', 0, 0, 'append 1 day', 0, '{}')""",
    )
    (failure,) = standing(engine, 1).failures
    assert (failure.builder, failure.run_id, failure.error) == (DAILY.key, "r", "append 1 day")
