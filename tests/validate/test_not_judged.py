"""Assets that are not up to date, and what is not selected, are not judged."""

from __future__ import annotations

from typing import Any

import pytest
from refreshing import NOW, open_scopes, refresh
from sqlalchemy import Connection, Engine, event
from validate.whole_tables import BARS, EMAS, IDS, MIDDLE, TODAY, copy, execute, fill, judge, middle_row, named

from refresh.catalog import SOURCE
from refresh.options.request import Request
from refresh.validate.validation import validate


def test_asset_with_new_days_is_not_judged(engine: Engine) -> None:
    """What has yet to be refreshed is named and left alone; all others are judged."""
    fill(engine, 2, "2024-03-06Z", "2024-03-07Z")
    for id in (1, 2):
        execute(engine, f"UPDATE {BARS[0]} SET high = low - 1 WHERE id = {id} AND \"timestamp\" = '{MIDDLE}'")
    validity = judge(engine)
    assert validity.pending == (2,)
    assert {finding.id for finding in validity.findings} == {1}


def test_changed_asset_is_not_judged(engine: Engine) -> None:
    """An asset whose past changed in the source is due as well."""
    execute(engine, f"UPDATE {SOURCE} SET volume = 7 WHERE id = 1 AND timeclose = '{MIDDLE}'")
    validity = judge(engine, number=3)
    assert (validity.pending, validity.recomputed, validity.findings) == ((1,), (2, 3), ())


def test_unbuilt_asset_is_not_judged(engine: Engine) -> None:
    """An asset without any table is due."""
    fill(engine, 4, "2024-03-06Z", "2024-03-07Z")
    assert judge(engine).pending == (4,)


def test_disabled_series_are_not_judged(engine: Engine) -> None:
    """Rows that are kept of disabled timeframes and periods may be anything."""
    execute(engine, f"UPDATE {BARS[0]} SET high = low - 1 WHERE tf = '7D'")
    execute(engine, f"UPDATE {EMAS[0]} SET ema = -1 WHERE period = 3 AND ts = '{MIDDLE}'")
    wrong = {(finding.table, finding.id) for finding in judge(engine).findings}
    assert wrong >= {(BARS[0], 1), (EMAS[0], 1)}
    execute(engine, "UPDATE dim_timeframe SET is_enabled = false WHERE tf = '7D'")
    execute(engine, "UPDATE dim_period SET is_enabled = false WHERE period = 3")
    validity = judge(engine, number=3)
    assert (validity.findings, validity.recomputed) == ((), IDS)


def test_filters_narrow_what_is_judged(engine: Engine) -> None:
    """What is not selected is not judged."""
    execute(engine, f"UPDATE {BARS[0]} SET high = low - 1 WHERE tf = '7D' AND id = 1")
    assert judge(engine).findings
    assert judge(engine, Request(ids=(2,)), ids=(2,), number=1).findings == ()
    assert judge(engine, Request(tfs=("2D",)), ids=IDS).findings == ()


@pytest.mark.parametrize(
    ("filters", "period"),
    [({"tfs": ("2D",)}, 2), ({"periods": (2,)}, 2), ({"tf_period_combos": (("2D", 1), ("7D", 2))}, 1)],
)
def test_filters_narrow_what_is_recomputed(engine: Engine, filters: dict[str, Any], period: int) -> None:
    """Only selected series are compared with what was recomputed; a wrong value in one of them is found."""
    request = Request(**filters)
    spoil = f"UPDATE {EMAS[0]} SET d1_roll = 7 WHERE id = 1 AND tf = :tf AND period = :period AND ts = '{MIDDLE}'"
    execute(engine, spoil, tf="7D", period=1)
    assert judge(engine, request, ids=IDS, number=3).findings == ()
    execute(engine, spoil, tf="2D", period=period)
    assert named(judge(engine, request, ids=IDS, number=3).findings) == [(1, "2D", period)]


@pytest.mark.parametrize(
    ("statement", "is_refreshed", "pending"),
    [("AS lawless", False, (2,)), ("AS lawless", True, ()), ("octet_length", False, ()), ("octet_length", True, ())],
)
def test_source_that_changes_meanwhile(
    engine: Engine, statement: str, is_refreshed: bool, pending: tuple[int, ...]
) -> None:
    """Days that are loaded, and even taken in, while tables are judged or assets recomputed are no finding."""
    scopes = open_scopes(engine)
    loaded: list[str] = []

    @event.listens_for(engine, "before_cursor_execute")
    def load(_connection: Connection, _cursor: Any, running: str, *_: object) -> None:
        if statement in running and not loaded:
            loaded.append(running)
            fill(engine, 2, "2024-03-06Z", "2024-03-07Z")
            if is_refreshed:
                refresh(engine)

    validity = validate(engine, scopes, IDS, 3, TODAY)
    assert loaded
    assert (validity.findings, validity.pending) == ((), pending)
    assert {*validity.recomputed, *pending} == set(IDS)


def test_asset_gone_from_the_source_is_not_judged(engine: Engine) -> None:
    """Bars that are kept of an asset that is gone from the source cannot be judged."""
    execute(engine, f"DELETE FROM {SOURCE} WHERE id = 2")
    execute(engine, f"UPDATE {BARS[0]} SET high = low - 1 WHERE id = 2")
    validity = judge(engine, ids=IDS, number=3)
    assert (validity.findings, validity.pending, validity.recomputed) == ((), (), (1, 3))


def test_rows_of_an_asset_without_a_bar_are_found(engine: Engine) -> None:
    """An asset that has no bars has no other rows either."""
    execute(engine, f"UPDATE {SOURCE} SET close = NULL WHERE id = 3")
    refresh(engine, Request(accept_restatement=True))
    assert judge(engine).findings == ()
    for table in (BARS[0], EMAS[0]):
        copy(engine, table, middle_row(table), id="3")
    assert {(finding.table, finding.id) for finding in judge(engine).findings} == {(BARS[0], 3), (EMAS[0], 3)}


def test_future_days_that_come_true_are_right(engine: Engine) -> None:
    """A day that was refused as too far ahead is due when it comes, and so no finding."""
    fill(engine, 2, "2030-01-03Z", "2030-01-03Z")
    refresh(engine)
    assert (judge(engine, number=3).findings, judge(engine).pending) == ((), ())
    later = open_scopes(engine, now=NOW.replace(day=3))
    validity = validate(engine, later, IDS, 3, TODAY)
    assert (validity.findings, validity.pending) == ((), (2,))
