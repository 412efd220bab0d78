"""What the source ends with: the last time of each asset and the assets, with an index and without."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine
from statements import execute

from refresh.store.reach import last_times
from refresh.store.source import known_ids
from refresh.store.source_index import is_indexed

DAY = timedelta(days=1)
LAST = datetime(2024, 2, 9, 23, 59, 59, 999000, tzinfo=UTC)
PRICE = 'INSERT INTO cmc_price_histories7 (id, "timestamp", close) VALUES (:asset, :at, 1)'
DAILY_STATE = "INSERT INTO cmc_price_bars_1d_state VALUES (:asset, :at, :at, now(), 0, 0, 0, 0, 0, 0)"
WITHOUT_A_KEY = (
    "ALTER TABLE cmc_price_histories7 DROP CONSTRAINT cmc_price_histories7_pkey",
    'ALTER TABLE cmc_price_histories7 ALTER id DROP NOT NULL, ALTER "timestamp" DROP NOT NULL',
)
INDEX = 'CREATE INDEX spare ON cmc_price_histories7 (id, "timestamp")'


def deliver(engine: Engine, asset: int, *times: datetime | str) -> None:
    """The source has a row of an asset at each time."""
    for time in times:
        execute(engine, PRICE, asset=asset, at=time)


def ends(engine: Engine, horizon: datetime = LAST) -> tuple[dict[int, datetime], list[int]]:
    """The last time of each asset, and all assets."""
    with engine.connect() as connection:
        return last_times(connection, horizon), known_ids(connection)


def has_index(engine: Engine) -> bool:
    """Whether the source has an index that is of use."""
    with engine.connect() as connection:
        return is_indexed(connection)


@pytest.mark.parametrize(
    ("is_of_use", "index"),
    [
        (True, INDEX),
        (False, "SELECT 1"),
        (False, f"{INDEX} WHERE id > 1"),
        (False, INDEX.replace('id, "timestamp"', '"timestamp", id')),
    ],
    ids=["an index", "none", "an index on some rows", "an index in another order"],
)
def test_ends_of_the_source(engine: Engine, index: str, *, is_of_use: bool) -> None:
    """The last times and the assets are the same with an index and without one that is of use."""
    horizon = LAST + 2 * DAY
    deliver(engine, 1, LAST, LAST - DAY, "infinity", LAST + 9 * DAY)
    deliver(engine, 2, horizon, horizon + timedelta(milliseconds=1))
    deliver(engine, 4, "infinity")
    deliver(engine, 2_000_000_000, LAST - 9 * DAY)
    deliver(engine, 7, "-infinity", LAST)
    for asset in (3, 1):
        execute(engine, DAILY_STATE, asset=asset, at=LAST)
    last = {1: LAST, 2: horizon, 2_000_000_000: LAST - 9 * DAY, 7: LAST}
    assert has_index(engine)
    assert ends(engine, horizon) == (last, [1, 2, 3, 4, 7, 2_000_000_000])
    execute(engine, *WITHOUT_A_KEY, index)
    for values in ("NULL, now()", "5, NULL", "1, NULL", "NULL, NULL"):
        execute(engine, f'INSERT INTO cmc_price_histories7 (id, "timestamp") VALUES ({values})')
    assert has_index(engine) is is_of_use
    assert ends(engine, horizon) == (last, [1, 2, 3, 4, 5, 7, 2_000_000_000])


@pytest.mark.parametrize("changes", [(), WITHOUT_A_KEY], ids=["with a key", "without a key"])
def test_empty_source(engine: Engine, changes: tuple[str, ...]) -> None:
    """A source without rows has no assets and no last times."""
    execute(engine, *changes)
    assert ends(engine) == ({}, [])


@pytest.mark.parametrize("changes", [(), WITHOUT_A_KEY], ids=["with a key", "without a key"])
@pytest.mark.parametrize("time", ["-infinity", "4000-01-01 BC"])
def test_times_that_no_calendar_has(engine: Engine, time: str, changes: tuple[str, ...]) -> None:
    """An asset whose only time is in no calendar of ours is an asset of the source, and has no last time."""
    deliver(engine, 1, time)
    deliver(engine, 2, time, LAST)
    execute(engine, *changes)
    assert ends(engine) == ({2: LAST}, [1, 2])
