"""Tables that are right have no finding."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
from programs import run
from refreshing import TARGETS, moved, open_scopes, refresh
from sqlalchemy import Engine, MetaData
from validate.whole_tables import BARS, IDS, ask, execute, fill, judge

from refresh.catalog import DAILY, SOURCE
from refresh.options.request import Request
from refresh.records import Status
from refresh.store.database import connect
from refresh.store.tables import source_table


def test_right_tables_have_no_finding(engine: Engine) -> None:
    """Every asset is judged and none is recomputed; nothing is written."""
    before = moved(engine)
    validity = judge(engine)
    assert (validity.judged, validity.recomputed, validity.pending, validity.findings) == (3, (), (), ())
    assert moved(engine) == before


def test_windows_that_begin_later_are_right(engine: Engine) -> None:
    """An aligned series begins with its first whole unit; one that has not begun has no row, and needs none."""
    first = f"SELECT min(\"timestamp\")::date FROM {BARS[1]} WHERE tf = '{{}}' AND id = {{}}"
    assert ask(engine, first.format("1M_CAL", 1)) == date(2024, 2, 1)
    assert ask(engine, first.format("1M_CAL", 2)) == date(2024, 1, 1)
    assert ask(engine, first.format("1W_CAL_US", 1)) == date(2024, 1, 14)
    assert ask(engine, first.format("1W_CAL_US", 3)) is None
    assert judge(engine).findings == ()


@pytest.mark.parametrize("zone", ["Asia/Tokyo", "America/New_York", "Pacific/Kiritimati"])
def test_days_of_another_zone_are_right(empty_engine: Engine, zone: str) -> None:
    """The first whole unit is one of the run's time zone."""
    request = Request(tz=zone)
    source_table(MetaData()).create(empty_engine)
    open_scopes(empty_engine, request)
    for asset, first in enumerate(("2023-12-31Z", "2024-01-07Z", "2024-01-08Z"), 1):
        fill(empty_engine, asset, first, "2024-02-20Z")
    execute(empty_engine, "INSERT INTO dim_period VALUES (2, true, 0)")
    execute(empty_engine, "UPDATE dim_period SET is_enabled = period < 11")
    assert {outcome.status for outcome in refresh(empty_engine, request)} == {Status.DONE}
    validity = judge(empty_engine, request, number=3)
    assert (validity.findings, validity.recomputed) == ((), IDS)


def test_days_out_of_order_are_right(engine: Engine) -> None:
    """A source may say that a day opened after the next one closed; bars of both have their times from it."""
    times = "timeopen = timeopen + interval '9 days', timeclose = timeclose + interval '9 days'"
    execute(engine, f"UPDATE {SOURCE} SET {times} WHERE id = 1 AND \"timestamp\"::date = '2024-02-12'")
    assert {outcome.status for outcome in refresh(engine)} == {Status.DONE}
    assert ask(engine, f"SELECT count(*) FROM {BARS[0]} WHERE time_open > time_close")
    assert judge(engine).findings == ()


def test_share_without_weekends_is_right(empty_engine: Engine) -> None:
    """The years of a share have no finding in any table, recomputed or not."""
    assert (
        run("-m refresh.load", "--sample", url=empty_engine.url.render_as_string(hide_password=False)).returncode == 0
    )
    execute(empty_engine, f"DELETE FROM {SOURCE} WHERE \"timestamp\" < '2020-06-01Z'")
    assert {outcome.status for outcome in refresh(empty_engine)} == {Status.DONE}
    assert all(ask(empty_engine, f"SELECT count(*) FROM {table}") for table in TARGETS)
    validity = judge(empty_engine, number=1)
    assert (validity.findings, validity.pending, len(validity.recomputed)) == ((), (), 1)


def test_real_prices_are_right(empty_engine: Engine, shared_data: Path) -> None:
    """All assets of the exports, recomputed, are what the tables hold."""
    files = sorted(str(file) for file in (shared_data / "cmc").glob("*.csv") if file.name != "manifest.csv")
    assert run("-m refresh.load", *files, url=empty_engine.url.render_as_string(hide_password=False)).returncode == 0
    assert {outcome.status for outcome in refresh(empty_engine)} == {Status.DONE}
    validity = judge(empty_engine, number=100)
    assert (validity.findings, validity.pending, len(validity.recomputed)) == ((), (), 8)


@pytest.mark.parametrize("change", ["close = NULL", "volume = -1", "low = 0, high = 0, open = 0, close = 0"])
def test_asset_without_a_bar_is_right(engine: Engine, change: str) -> None:
    """An asset whose rows are all refused has no rows, and none are missing, recomputed or not."""
    execute(engine, f"UPDATE {SOURCE} SET {change} WHERE id = 2")
    refresh(engine, Request(accept_restatement=True))
    fill(engine, 5, "2024-03-06Z", "2024-03-17Z")
    execute(engine, f"UPDATE {SOURCE} SET {change} WHERE id = 5")
    refresh(engine)
    assert ask(engine, f"SELECT count(*) FROM {DAILY} WHERE id IN (2, 5)") == 0
    validity = judge(engine, number=9)
    assert (validity.findings, validity.pending, validity.recomputed) == ((), (), (1, 2, 3, 5))


def test_database_without_assets_is_right(prepared_url: str) -> None:
    """Empty tables have no finding."""
    with connect(prepared_url) as engine:
        assert judge(engine, ids=()).findings == ()
