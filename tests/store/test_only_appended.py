"""Which changed assets only got new days: the others have to be examined day by day."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import NamedTuple

import pytest
from prices import fill
from refreshing import open_scopes, refresh
from sqlalchemy import Engine, text
from statements import execute

from refresh.catalog import SOURCE, by_key
from refresh.due import survey
from refresh.due.decision import Action, Due
from refresh.options.request import Request
from refresh.store.database import transaction
from refresh.store.source import only_appended, open_source
from refresh.store.tables import DAILY_STATE

DAILY = by_key("bars.1d")
MANY = 40_000
ROW = f"""
    INSERT INTO {SOURCE} (id, "timestamp", timeopen, timeclose, open, high, low, close, volume)
    VALUES (:asset, :moment, :moment, :moment, :price, :price, :price, :price, 1000)
"""
ON = """WHERE id = 2 AND ("timestamp" AT TIME ZONE 'UTC')::date ="""


class Stretch(NamedTuple):
    """An asset whose rows from a time on are asked about."""

    id: int
    since: datetime


@pytest.fixture
def known(engine: Engine) -> Engine:
    """Assets 1 and 2 with every day from January to 10 April but the 20th of February, taken in."""
    for asset in (1, 2):
        fill(engine, asset, "2024-01-01", "2024-02-19")
        fill(engine, asset, "2024-02-21", "2024-04-10")
    refresh(engine, builders=[DAILY])
    return engine


def add(engine: Engine, asset: int, moment: str, price: float | None = 10.0) -> None:
    """One row of an asset at any time."""
    execute(engine, ROW, asset=asset, moment=moment, price=price)


def appended(engine: Engine, tz: str = "UTC") -> tuple[set[int], set[int]]:
    """The assets that are due, and those of them that only got new days."""
    (scope,) = open_scopes(engine, Request(tz=tz), [DAILY])
    with transaction(engine) as connection:
        dues = survey.due(connection, scope, DAILY.legs[0])
        return {due.id for due in dues}, only_appended(connection, scope.source, dues)


@pytest.mark.parametrize(
    ("first", "last"),
    [("2024-04-11", "2024-04-11"), ("2024-04-15", "2024-04-20"), ("2024-04-11", "2024-06-05"), ("2024-05-03",) * 2],
    ids=["a day", "days after a gap", "several months", "another month"],
)
def test_new_days(known: Engine, first: str, last: str) -> None:
    """Days after the last known one are only appended, with or without a gap before them."""
    fill(known, 2, first, last)
    assert appended(known) == ({2}, {2})


@pytest.mark.parametrize(
    "statement",
    [
        f"UPDATE {SOURCE} SET close = close + 0.5 {ON} '2024-01-31'",
        f"UPDATE {SOURCE} SET close = close + 0.5 {ON} '2024-04-03'",
        f"UPDATE {SOURCE} SET close = close + 0.5 {ON} '2024-04-10'",
        f"UPDATE {SOURCE} SET name = 'Renamed' {ON} '2024-03-10'",
        f"DELETE FROM {SOURCE} {ON} '2024-02-10'",
        f"DELETE FROM {SOURCE} {ON} '2024-04-10'",
    ],
    ids=["old row", "row of the last month", "last row", "name", "deleted row", "deleted last row"],
)
def test_changed_rows_beside_new_days(known: Engine, statement: str) -> None:
    """A change of any known row is noticed beside new days; an asset with new days alone is not affected."""
    for asset in (1, 2):
        fill(known, asset, "2024-04-11", "2024-05-02")
    execute(known, statement)
    assert appended(known) == ({1, 2}, {1})


@pytest.mark.parametrize("day", ["2024-02-20", "2023-12-31"], ids=["in a gap", "before the first"])
def test_new_days_before_the_last(known: Engine, day: str) -> None:
    """A day that is added before the last known one is no append."""
    for asset in (1, 2):
        fill(known, asset, "2024-04-11", "2024-04-12")
    fill(known, 2, day, day)
    assert appended(known) == ({1, 2}, {1})


def test_second_row_of_the_last_day(known: Engine) -> None:
    """A later row of the last known day may replace its bar, so it is no append."""
    for asset in (1, 2):
        fill(known, asset, "2024-04-11", "2024-04-12")
    add(known, 2, "2024-04-10 23:59:59.9995Z")
    assert appended(known) == ({1, 2}, {1})


def test_last_rows_that_were_rejected(known: Engine) -> None:
    """Rows that were rejected after the last bar have been processed too, so new days after them need a closer look."""
    for asset in (1, 2):
        fill(known, asset, "2024-04-11", "2024-04-11")
    add(known, 2, "2024-04-12 23:59:59.999Z", price=None)
    refresh(known, builders=[DAILY])
    assert appended(known) == (set(), set())
    for asset in (1, 2):
        fill(known, asset, "2024-04-13", "2024-04-14")
    assert appended(known) == ({1, 2}, {1})


def test_rows_without_a_time(known: Engine) -> None:
    """A change of rows without a time is one of an unknown day."""
    execute(
        known,
        f"ALTER TABLE {SOURCE} DROP CONSTRAINT {SOURCE}_pkey",
        f'ALTER TABLE {SOURCE} ALTER COLUMN "timestamp" DROP NOT NULL',
        f"INSERT INTO {SOURCE} (id, close) VALUES (2, 1)",
    )
    assert appended(known) == ({2}, set())


def test_assets_without_bars_or_start(known: Engine) -> None:
    """An asset that is read from its first day, or that has no bars yet, has not only got new days."""
    fill(known, 3, "2024-04-11", "2024-04-11")
    april = datetime(2024, 4, 1, tzinfo=UTC)
    dues = [
        Due(id=1, action=Action.REVISE, since=april),
        Due(id=2, action=Action.REVISE),
        Due(id=3, action=Action.REVISE, since=april),
    ]
    (scope,) = open_scopes(known, builders=[DAILY])
    with transaction(known) as connection:
        assert only_appended(connection, scope.source, dues) == {1}
        assert only_appended(connection, scope.source, []) == set()


@pytest.mark.parametrize(
    ("zone", "last", "new", "is_appended"),
    [
        ("Asia/Tokyo", "2024-04-10 14:00Z", "2024-04-10 14:30Z", False),
        ("Asia/Tokyo", "2024-04-10 14:00Z", "2024-04-10 15:30Z", True),
        ("Asia/Tokyo", "2024-04-30 14:00Z", "2024-04-30 15:30Z", True),
        ("America/New_York", "2024-04-10 23:00Z", "2024-04-11 03:30Z", False),
        ("America/New_York", "2024-04-10 23:00Z", "2024-04-11 04:30Z", True),
        ("America/New_York", "2024-04-30 23:00Z", "2024-05-01 03:30Z", False),
    ],
)
def test_days_of_another_time_zone(engine: Engine, zone: str, last: str, new: str, *, is_appended: bool) -> None:
    """Whether a row is of a later day depends on the time zone of the tables."""
    execute(engine, "UPDATE refresh_settings SET value = :zone WHERE name = 'tz'", zone=zone)
    for moment in ("2024-03-30 12:00Z", "2024-04-01 12:00Z", last):
        add(engine, 1, moment)
    refresh(engine, Request(tz=zone), [DAILY])
    add(engine, 1, new)
    assert appended(engine, zone) == ({1}, {1} if is_appended else set())


def test_time_grows_with_the_assets(engine: Engine) -> None:
    """Where every asset of very many was rewritten, each is looked up once, and not compared with all others."""
    execute(
        engine,
        f"""INSERT INTO {SOURCE} (id, "timestamp", close) SELECT n, '2024-01-01 23:59Z', 10
            FROM generate_series(1, {MANY}) n""",
        f"""INSERT INTO {DAILY_STATE} (id, last_src_ts, last_run_ts, last_upserted, last_repaired_high,
                last_repaired_low, last_repaired_timehigh, last_repaired_timelow, last_rejected)
            SELECT n, '2024-01-01 23:59Z', now(), 0, 0, 0, 0, 0, 0 FROM generate_series(1, {MANY}) n""",
    )
    stretches = [Stretch(id=id, since=datetime(2024, 1, 1, tzinfo=UTC)) for id in range(1, MANY + 1)]
    with transaction(engine) as connection:
        connection.execute(text("SET LOCAL statement_timeout = '20s'"))
        connection.execute(text("SET LOCAL work_mem = '64kB'"))
        assert only_appended(connection, open_source(connection, "UTC"), stretches) == set()
