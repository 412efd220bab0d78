"""The state tables: how far every series has come, what is behind its input, and what contradicts its table."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import pytest
from prices import fill
from refreshing import open_scopes, refresh
from sqlalchemy import Engine
from statements import ask, execute
from store.table_rows import day

from refresh.catalog import by_key
from refresh.core.timeframe import DEFAULT_PERIODS, DEFAULT_TIMEFRAMES
from refresh.families import Alignment
from refresh.options.request import Request
from refresh.store import state
from refresh.store.marks import Mark, mark_dirty
from refresh.store.state import Advance, Unsettled

DAILY, BARS, EMAS = (by_key(key) for key in ("bars.1d", "bars.multi_tf", "emas.multi_tf"))
BARS_LEG, EMAS_LEG = BARS.legs[0], EMAS.legs[0]
LAST = datetime(2024, 2, 9, 23, 59, 59, 999000, tzinfo=UTC)
"""The close of the fortieth day of 2024."""

Row = tuple[int, str, tuple[int, ...], int | None, int | None, int | None, float]
Selected = tuple[str, int, int]
"""A timeframe, a period, and the bars that it needs before its first row."""

WEEKS: list[Selected] = [("7D", 10, 10), ("7D", 14, 14)]


def advance(asset: int, tf: str, through: datetime | None, bars: int, close_sum: float) -> Advance:
    """How far a timeframe of an asset has come."""
    return Advance(id=asset, tf=tf, through=through, bars=bars, close_sum=close_sum)


def save(engine: Engine, selected: list[Selected], *advances: Advance) -> None:
    """Advance series of the rolling EMAs."""
    with engine.begin() as connection:
        state.save_emas(connection, EMAS_LEG, advances, selected)


def saved(engine: Engine) -> list[Row]:
    """The state of the rolling EMAs: id, tf, periods, days of seen_ts, last_ts and dirty_from, close_sum."""
    days = [f"extract(day FROM {name})::int" for name in ("seen_ts", "last_ts", "dirty_from")]
    query = f"SELECT id, tf, periods, {', '.join(days)}, close_sum FROM {EMAS_LEG.state} ORDER BY id, tf, periods"
    return [(row[0], row[1], tuple(row[2]), *row[3:]) for row in ask(engine, query)]


# Watermarks of EMA series


def test_equally_far_periods_share_a_row(engine: Engine) -> None:
    """Periods that have rows share one state row, and those that wait for more bars share another."""
    selected = [*WEEKS, ("7D", 20, 20), ("7D", 30, 30)]
    save(engine, selected, advance(1, "7D", day(9), 15, 150.5))
    assert saved(engine) == [(1, "7D", (10, 14), 9, 9, None, 150.5), (1, "7D", (20, 30), 9, None, None, 150.5)]


def test_periods_that_are_left_out_stay(engine: Engine) -> None:
    """A run that names some periods moves only these."""
    save(engine, WEEKS, advance(1, "7D", day(9), 15, 150.5))
    save(engine, WEEKS[:1], advance(1, "7D", day(11), 16, 160.5))
    assert saved(engine) == [(1, "7D", (10,), 11, 11, None, 160.5), (1, "7D", (14,), 9, 9, None, 150.5)]


def test_periods_meet_again(engine: Engine) -> None:
    """Periods that come to the same day one after the other share a row again."""
    save(engine, WEEKS, advance(1, "7D", day(9), 15, 150.5))
    for week in WEEKS:
        save(engine, [week], advance(1, "7D", day(11), 16, 160.5))
    assert saved(engine) == [(1, "7D", (10, 14), 11, 11, None, 160.5)]


def test_others_stay(engine: Engine) -> None:
    """Other timeframes and other assets are not touched."""
    selected = [("7D", 10, 10), ("14D", 10, 10)]
    save(engine, selected, *(advance(asset, tf, day(9), 15, 1.5) for asset in (1, 2) for tf in ("7D", "14D")))
    save(engine, [("7D", 10, 10)], advance(1, "7D", day(11), 16, 2.5))
    assert saved(engine) == [
        (1, "14D", (10,), 9, 9, None, 1.5),
        (1, "7D", (10,), 11, 11, None, 2.5),
        (2, "14D", (10,), 9, 9, None, 1.5),
        (2, "7D", (10,), 9, 9, None, 1.5),
    ]


def test_saving_removes_the_marks_of_written_series(engine: Engine) -> None:
    """Only periods that were rewritten lose their mark."""
    save(engine, WEEKS, advance(1, "7D", day(9), 15, 150.5))
    with engine.begin() as connection:
        mark_dirty(connection, EMAS_LEG, [Mark(id=1, tf="7D", time=day(4))])
    save(engine, WEEKS[:1], advance(1, "7D", day(9), 15, 150.5))
    assert saved(engine) == [(1, "7D", (10,), 9, 9, None, 150.5), (1, "7D", (14,), 9, 9, 4, 150.5)]


def test_series_of_an_asset_without_bars(engine: Engine) -> None:
    """A series may have seen that there are no bars at all."""
    save(engine, WEEKS[:1], advance(1, "7D", day(9), 15, 150.5))
    save(engine, WEEKS[:1], advance(1, "7D", None, 0, 0.0))
    assert saved(engine) == [(1, "7D", (10,), None, None, None, 0.0)]


# What is behind its input


@pytest.fixture
def built(engine: Engine) -> Engine:
    """Forty days of assets 1 and 2, taken in by every builder."""
    for asset in (1, 2):
        fill(engine, asset, "2024-01-01", "2024-02-09")
    refresh(engine)
    return engine


def unsettled(engine: Engine, request: Request | None = None, *, everything: bool = False) -> list[Unsettled]:
    """The series of the rolling bars that are not where their input is, by asset and series."""
    (scope,) = open_scopes(engine, request, [BARS])
    with engine.connect() as connection:
        series = scope.series_of(BARS_LEG)
        facts = state.unsettled(connection, BARS_LEG, series, scope.selection.ids, everything=everything)
    return sorted(facts, key=lambda facts: (facts.id, facts.series))


def settled(id: int, *series: int) -> Unsettled:
    """Some series of an asset that are where their input is."""
    return Unsettled(
        id=id, through=LAST, is_built=True, contradicts=False, seen_ts=LAST, dirty_from=None, series=series
    )


def test_settled_series(built: Engine) -> None:
    """Series that are where their input is are listed only together with everything."""
    assert unsettled(built) == []
    assert unsettled(built, everything=True) == [settled(1, *range(15)), settled(2, *range(15))]


def test_facts_of_unsettled_series(built: Engine) -> None:
    """Series that share the same facts are listed together: behind their input, marked, or not built."""
    execute(
        built,
        f"UPDATE {BARS_LEG.state} SET seen_ts = :day WHERE id = 1 AND tf = '2D'",
        f"UPDATE {BARS_LEG.state} SET dirty_from = :day WHERE id = 1 AND tf IN ('3D', '4D')",
        f"DELETE FROM {BARS_LEG.state} WHERE id = 1 AND tf = '5D'",
        day=day(9),
    )
    request = Request(ids=(1,), tfs=("2D", "3D", "4D", "5D", "7D"))
    assert unsettled(built, request) == [
        replace(settled(1, 0), seen_ts=day(9)),
        replace(settled(1, 1, 2), dirty_from=day(9)),
        replace(settled(1, 3), is_built=False, seen_ts=None),
    ]


def test_series_whose_table_lost_its_last_rows(built: Engine) -> None:
    """Every series of the asset contradicts its table, and only of this asset."""
    execute(built, f'DELETE FROM {BARS_LEG.target} WHERE id = 2 AND "timestamp" = :last', last=LAST)
    assert unsettled(built) == [replace(settled(2, *range(15)), contradicts=True)]


def test_pending_inputs(built: Engine) -> None:
    """An asset waits if the bars of a wanted timeframe are marked."""
    change = "UPDATE cmc_price_histories7 SET close = close + 1 WHERE id = 1 AND timeclose::date = '2024-01-20'"
    execute(built, change)
    refresh(built, Request(tfs=("7d",)), [DAILY, BARS])
    with built.connect() as connection:
        assert state.pending_inputs(connection, EMAS_LEG, ["7D"], [1, 2]) == []
        assert state.pending_inputs(connection, EMAS_LEG, ["7D", "14D"], [1, 2]) == [1]
        assert state.pending_inputs(connection, EMAS_LEG, ["14D"], [2]) == []


class Stretch(NamedTuple):
    """Days of an asset."""

    id: int
    since: datetime | None
    through: datetime | None


def test_number_of_daily_bars(built: Engine) -> None:
    """The number of daily bars of each stretch, from its first or from any day on up to its last day."""
    stretches = [
        Stretch(2, None, LAST),
        Stretch(1, LAST - timedelta(days=2), LAST),
        Stretch(1, None, day(4)),
        Stretch(1, LAST, None),
        Stretch(3, None, LAST),
    ]
    with built.connect() as connection:
        assert state.count_daily_bars(connection, stretches) == [40, 3, 3, 0, 0]
        assert state.count_daily_bars(connection, []) == []


def test_built_timeframes_and_periods(built: Engine) -> None:
    """The timeframes and periods that some table has series of, enabled or not."""
    execute(built, "UPDATE dim_period SET is_enabled = false", "UPDATE dim_timeframe SET is_enabled = false")
    with built.connect() as connection:
        tfs = state.built_timeframes(connection, [BARS_LEG, EMAS_LEG])
        periods = state.built_periods(connection, [BARS_LEG, EMAS_LEG])
        assert state.built_periods(connection, [BARS_LEG]) == set()
        assert state.built_timeframes(connection, []) == set()
    rolling = [timeframe.tf for timeframe in DEFAULT_TIMEFRAMES if timeframe.alignment is Alignment.ROLLING]
    assert tfs == set(rolling)
    assert periods == set(DEFAULT_PERIODS)
