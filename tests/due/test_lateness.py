"""Which assets are not fresh in which tables, in databases that were really built."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest
from prices import fill
from refreshing import FEW, TARGETS, enable, open_scopes, refresh
from sqlalchemy import Engine
from statements import execute
from unpacked import TABLES

from refresh.catalog import BUILDERS, DAILY, SOURCE, by_key
from refresh.due.lateness import NotFresh, not_fresh
from refresh.store.locks import RefreshLock

NOW = datetime(2024, 2, 10, 6, tzinfo=UTC)
DAY = timedelta(days=1)
BARS, EMAS = "cmc_price_bars_multi_tf", "cmc_ema_multi_tf"


@pytest.fixture
def built(engine: Engine) -> Engine:
    """Forty days of assets 1 and 52 up to yesterday, with every table built."""
    enable(engine, FEW, [10, 20])
    for asset in (1, 52):
        fill(engine, asset, "2024-01-01", "2024-02-09")
    refresh(engine, now=NOW)
    return engine


def found(engine: Engine, *, now: datetime = NOW, age: timedelta = timedelta(0)) -> list[NotFresh]:
    """What is not fresh at a time, compared with the source as it was before an age."""
    scopes = open_scopes(engine, now=now)
    with engine.connect() as connection:
        return not_fresh(connection, scopes, [1, 52, 825], now - age)


def reasons(engine: Engine, *, now: datetime = NOW, age: timedelta = timedelta(0)) -> dict[tuple[int, str], str]:
    """Why which assets are not fresh in which tables."""
    return {(entry.id, entry.table): entry.why for entry in found(engine, now=now, age=age)}


def everywhere(id: int, why: str) -> dict[tuple[int, str], str]:
    """The same reason in every table."""
    return {(id, table): why for table in TARGETS}


def test_refreshed_database_is_fresh(built: Engine) -> None:
    """Also timeframes with too few bars for an average, and an asset that is unknown."""
    assert found(built) == []
    assert found(built, now=NOW + 300 * DAY) == [], "a source without new days"


def test_asset_that_was_never_built(built: Engine) -> None:
    """It is in no table."""
    fill(built, 825, "2024-01-01", "2024-02-09")
    assert reasons(built) == everywhere(825, "not built yet")


def test_asset_behind_the_source(built: Engine) -> None:
    """It is behind in every table, and only by days that are old enough."""
    fill(built, 52, "2024-02-10", "2024-02-12")
    later = NOW + 3 * DAY
    assert reasons(built, now=later) == everywhere(52, "3 days behind the source")
    assert reasons(built, now=later, age=DAY) == everywhere(52, "2 days behind the source")
    assert reasons(built, now=later, age=4 * DAY) == {}


def test_one_table_behind(built: Engine) -> None:
    """Only what was not run is behind."""
    fill(built, 1, "2024-02-10", "2024-02-11")
    later = NOW + 2 * DAY
    others = [builder for builder in BUILDERS if builder.key not in {"bars.multi_tf", "emas.multi_tf"}]
    refresh(built, builders=others, now=later)
    assert reasons(built, now=later) == {(1, table): "2 days behind the source" for table in (BARS, EMAS)}


def test_days_since_are_not_late(built: Engine) -> None:
    """A table that lacks only the last days, which others have, is fresh as long as they are new."""
    fill(built, 1, "2024-02-10", "2024-02-11")
    later = NOW + 2 * DAY
    refresh(built, builders=[by_key("bars.1d")], now=later)
    assert set(reasons(built, now=later).values()) == {"2 days behind the source"}
    assert reasons(built, now=later, age=3 * DAY) == {}


def test_refused_days_were_seen(built: Engine) -> None:
    """Days that were refused are not missing, neither the last ones nor all of an asset."""
    bad = "UPDATE cmc_price_histories7 SET close = NULL WHERE id = :id AND \"timestamp\" > '2024-02-09'"
    fill(built, 1, "2024-02-10", "2024-02-11")
    fill(built, 825, "2024-02-10", "2024-02-11")
    execute(built, f"{bad} AND \"timestamp\" > '2024-02-10'", id=1)
    execute(built, bad, id=825)
    later = NOW + 2 * DAY
    refresh(built, now=later)
    assert found(built, now=later) == []


def test_asset_that_is_gone(built: Engine) -> None:
    """An asset that the source no longer has is behind nothing."""
    fill(built, 1, "2024-02-10", "2024-02-11")
    execute(built, f"DELETE FROM {SOURCE} WHERE id = 52")
    later = NOW + 2 * DAY
    refresh(built, now=later)
    assert found(built, now=later) == []


@pytest.mark.parametrize("table", [DAILY, BARS, EMAS, "cmc_ema_multi_tf_v2"])
def test_truncated_table(built: Engine, table: str) -> None:
    """A table without its rows contradicts its state, and without both it is not built."""
    execute(built, f"TRUNCATE {TABLES[table]}")
    assert reasons(built)[1, table] == reasons(built)[52, table] == "the state contradicts the table"
    execute(built, f"TRUNCATE {table}_state")
    assert reasons(built)[1, table] == reasons(built)[52, table] == "not built yet"


def test_other_rows_stay_fresh(built: Engine) -> None:
    """What is lost of one asset in one table says nothing of the others."""
    execute(built, f"DELETE FROM {BARS}_state WHERE id = 52 AND tf = '2D'")
    assert reasons(built) == {(52, BARS): "not built yet"}


def test_new_timeframe_and_period(built: Engine) -> None:
    """Series that were enabled since are not built; those that were disabled are nobody's business."""
    execute(built, "UPDATE dim_period SET is_enabled = true WHERE period = 50")
    emas = [table for table in TARGETS if "_ema_" in table]
    assert reasons(built) == {(id, table): "a period is not built yet" for id in (1, 52) for table in emas}
    execute(built, "UPDATE dim_period SET is_enabled = period = 10")
    execute(built, "UPDATE dim_timeframe SET is_enabled = tf = '7D'")
    assert set(reasons(built).values()) == {"not built yet"}
    execute(built, "UPDATE dim_timeframe SET is_enabled = tf = '2D'")
    assert reasons(built) == {}


def test_marked_rows(built: Engine) -> None:
    """Rows that wait to be rewritten are not fresh, unless a refresh is at work."""
    execute(built, f"UPDATE {BARS}_state SET dirty_from = '2024-01-20Z' WHERE id = 1 AND tf = '2D'")
    assert reasons(built) == {(1, BARS): "to be rewritten from 2024-01-20 on"}
    lock = RefreshLock(built)
    lock.take()
    try:
        assert reasons(built) == {}
    finally:
        lock.release()


def test_older_version(built: Engine) -> None:
    """Rows that older formulas made are due."""
    execute(built, f"UPDATE {EMAS}_state SET version = -1 WHERE id = 1")
    assert reasons(built) == {(1, EMAS): "built by an older version"}


def test_thousand_assets_in_two_seconds(engine: Engine) -> None:
    """Every timeframe and period of a thousand assets are looked at quickly, also before statistics are gathered."""
    price = "INSERT INTO cmc_price_histories7 (id, timestamp, timeopen, timeclose, open, high, low, close, volume)"
    at = "timestamptz '2024-02-09 23:59:59.999Z'"
    times = f"{at}, {at} - interval '1 day - 1 ms', {at}"
    execute(engine, f"{price} SELECT n, {times}, 10, 20, 5, 10, 1000 FROM generate_series(1, 1000) AS n")
    refresh(engine, now=NOW)
    scopes = open_scopes(engine, now=NOW)
    with engine.connect() as connection:
        began = time.monotonic()
        lacking = not_fresh(connection, scopes, range(1, 1001), NOW)
        seconds = time.monotonic() - began
    assert lacking == []
    assert seconds < 2
