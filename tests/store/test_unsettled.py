"""What is behind its input, and what contradicts its table."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import pytest
from prices import fill
from refreshing import open_scopes, refresh
from sqlalchemy import Engine
from statements import execute
from store.table_rows import day

from refresh.catalog import BuilderConfig, by_key
from refresh.core.timeframe import DEFAULT_PERIODS, DEFAULT_TIMEFRAMES
from refresh.families import Alignment
from refresh.options.request import Request
from refresh.store import unsettled as waiting
from refresh.store.unsettled import Unsettled

DAILY, BARS, EMAS = (by_key(key) for key in ("bars.1d", "bars.multi_tf", "emas.multi_tf"))
BARS_LEG, EMAS_LEG = BARS.legs[0], EMAS.legs[0]
LAST = datetime(2024, 2, 9, 23, 59, 59, 999000, tzinfo=UTC)
"""The close of the fortieth day of 2024."""


@pytest.fixture
def built(engine: Engine) -> Engine:
    """Forty days of assets 1 and 2, taken in by every builder."""
    for asset in (1, 2):
        fill(engine, asset, "2024-01-01", "2024-02-09")
    refresh(engine)
    return engine


def unsettled(
    engine: Engine, request: Request | None = None, *, everything: bool = False, builder: BuilderConfig = BARS
) -> list[Unsettled]:
    """The series of the rolling bars, or of another builder, that are not where their input is, by asset and series."""
    (scope,) = open_scopes(engine, request, [builder])
    (leg,) = builder.legs
    with engine.connect() as connection:
        series = scope.series_of(leg)
        facts = waiting.unsettled(connection, leg, series, scope.selection.ids, everything=everything)
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
        f"UPDATE {BARS_LEG.state} SET seen_ts = :day, last_ts = :day WHERE id = 1 AND tf = '2D'",
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


@pytest.mark.parametrize("ids", [None, (1, 2)])
def test_periods_of_a_timeframe(built: Engine, ids: tuple[int, ...] | None) -> None:
    """Periods that no row of the state is about are not built; rows of others say nothing about them.

    By when they begin, the series are 2D 10, 3D 10, 2D 20, 2D 30, 3D 20, 3D 30.
    """
    request = Request(ids=ids, tfs=("2D", "3D"), periods=(10, 20, 30))
    assert unsettled(built, request, builder=EMAS) == []
    execute(
        built,
        f"UPDATE {EMAS_LEG.state} SET periods = array_remove(periods, 10) WHERE id = 1 AND tf = '2D'",
        f"UPDATE {EMAS_LEG.state} SET dirty_from = :day WHERE id = 1 AND tf = '3D' AND 20 = ANY (periods)",
        f"DELETE FROM {EMAS_LEG.state} WHERE id = 2 AND tf = '3D'",
        f"UPDATE {EMAS_LEG.state} SET periods = '{{}}' WHERE id = 2 AND tf = '2D' AND 200 = ANY (periods)",
        day=day(9),
    )
    assert unsettled(built, request, builder=EMAS) == [
        replace(settled(1, 0), is_built=False, seen_ts=None),
        replace(settled(1, 4, 5), dirty_from=day(9)),
        replace(settled(2, 1, 4, 5), is_built=False, seen_ts=None),
        replace(settled(2, 3), is_built=False, seen_ts=None),
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
        assert waiting.pending_inputs(connection, EMAS_LEG, ["7D"], [1, 2]) == []
        assert waiting.pending_inputs(connection, EMAS_LEG, ["7D", "14D"], [1, 2]) == [1]
        assert waiting.pending_inputs(connection, EMAS_LEG, ["14D"], [2]) == []


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
        assert waiting.count_daily_bars(connection, stretches) == [40, 3, 3, 0, 0]
        assert waiting.count_daily_bars(connection, []) == []


def test_built_timeframes_and_periods(built: Engine) -> None:
    """The timeframes and periods that some table has series of, enabled or not."""
    execute(built, "UPDATE dim_period SET is_enabled = false", "UPDATE dim_timeframe SET is_enabled = false")
    with built.connect() as connection:
        tfs = waiting.built_timeframes(connection, [BARS_LEG, EMAS_LEG])
        periods = waiting.built_periods(connection, [BARS_LEG, EMAS_LEG])
        assert waiting.built_periods(connection, [BARS_LEG]) == set()
        assert waiting.built_timeframes(connection, []) == set()
    rolling = [timeframe.tf for timeframe in DEFAULT_TIMEFRAMES if timeframe.alignment is Alignment.ROLLING]
    assert tfs == set(rolling)
    assert periods == set(DEFAULT_PERIODS)
