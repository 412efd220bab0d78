"""How far every series has come, what is due on it, and what a change below it marks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from prices import fill
from refreshing import NOW, TARGETS, digest, refresh
from sqlalchemy import Engine
from statements import ask, execute

from refresh.catalog import BUILDERS, BuilderConfig, by_key
from refresh.due.decision import Action, Cause, Due
from refresh.options.request import Request
from refresh.store import state
from refresh.due import survey
from refresh.store.database import transaction
from refresh.store.state import Advance

if TYPE_CHECKING:
    from collections.abc import Sequence

DAILY, BARS, EMAS, V2 = (by_key(key) for key in ("bars.1d", "bars.multi_tf", "emas.multi_tf", "emas.v2"))
BARS_LEG, EMAS_LEG, V2_LEG = BARS.legs[0], EMAS.legs[0], V2.legs[0]
DERIVED = [leg for builder in BUILDERS if builder != DAILY for leg in builder.legs]
LAST = datetime(2024, 2, 9, 23, 59, 59, 999000, tzinfo=UTC)
"""The close of the fortieth day of 2024."""

Row = tuple[int, str, tuple[int, ...], int | None, int | None, int | None, float]


@pytest.fixture
def built(engine: Engine) -> Engine:
    """Forty days of assets 1 and 2, taken in by every builder."""
    for asset in (1, 2):
        fill(engine, asset, "2024-01-01", "2024-02-09")
    refresh(engine)
    return engine


def change(engine: Engine, day: str, *, asset: int = 1) -> None:
    """Another close on one day of the source."""
    execute(
        engine,
        """UPDATE cmc_price_histories7 SET close = close + 1
           WHERE id = :asset AND ("timestamp" AT TIME ZONE 'UTC')::date = CAST(:day AS date)""",
        asset=asset,
        day=day,
    )


def due(engine: Engine, builder: BuilderConfig, request: Request | None = None) -> list[Due]:
    """What is due on a builder's first leg."""
    with transaction(engine) as connection:
        (scope,) = survey.open_scopes(connection, [builder], request or Request(), NOW)
        return survey.due(connection, scope, builder.legs[0])


def labels(engine: Engine, builder: BuilderConfig, one: Due) -> set[str]:
    """The timeframes of what is due."""
    with transaction(engine) as connection:
        (scope,) = survey.open_scopes(connection, [builder], Request(), NOW)
        series = scope.of(builder.legs[0])
    return {series[place].timeframe.tf for place in one.series}


def day(number: int) -> datetime:
    """A day of January 2024."""
    return datetime(2024, 1, number, tzinfo=UTC)


def save(engine: Engine, selected: Sequence[tuple[str, int, int]], *advances: Advance) -> None:
    """Advance series of the rolling EMAs."""
    with engine.begin() as connection:
        state.save_emas(connection, EMAS_LEG, advances, selected)


def saved(engine: Engine) -> list[Row]:
    """The state of the rolling EMAs: id, tf, periods, days of seen_ts, last_ts and dirty_from, close_sum."""
    days = ", ".join(f"extract(day FROM {name})::int" for name in ("seen_ts", "last_ts", "dirty_from"))
    query = f"SELECT id, tf, periods, {days}, close_sum FROM {EMAS_LEG.state} ORDER BY id, tf, periods"
    return [(row[0], row[1], tuple(row[2]), *row[3:]) for row in ask(engine, query)]


def mark(engine: Engine, table: str, *marks: tuple[int, str | None, datetime]) -> None:
    """Mark what follows a table."""
    with engine.begin() as connection:
        state.mark_dirty(connection, table, marks)


# Watermarks of EMA series


def test_periods_that_stand_at_the_same_place_share_a_row(engine: Engine) -> None:
    """Periods that have rows stand together, and so do those that wait for more bars."""
    selected = [("7D", 10, 10), ("7D", 14, 14), ("7D", 20, 20), ("7D", 30, 30)]
    save(engine, selected, Advance(1, "7D", day(9), 15, 150.5))
    assert saved(engine) == [(1, "7D", (10, 14), 9, 9, None, 150.5), (1, "7D", (20, 30), 9, None, None, 150.5)]


def test_periods_that_are_left_out_stay_where_they_are(engine: Engine) -> None:
    """A run that names some periods moves only these."""
    save(engine, [("7D", 10, 10), ("7D", 14, 14)], Advance(1, "7D", day(9), 15, 150.5))
    save(engine, [("7D", 10, 10)], Advance(1, "7D", day(11), 16, 160.5))
    assert saved(engine) == [(1, "7D", (10,), 11, 11, None, 160.5), (1, "7D", (14,), 9, 9, None, 150.5)]


def test_periods_meet_again(engine: Engine) -> None:
    """Periods that come to the same place one after the other share a row again."""
    save(engine, [("7D", 10, 10), ("7D", 14, 14)], Advance(1, "7D", day(9), 15, 150.5))
    for period in (10, 14):
        save(engine, [("7D", period, period)], Advance(1, "7D", day(11), 16, 160.5))
    assert saved(engine) == [(1, "7D", (10, 14), 11, 11, None, 160.5)]


def test_others_stay(engine: Engine) -> None:
    """Other timeframes and other assets are not touched."""
    selected = [("7D", 10, 10), ("14D", 10, 10)]
    save(engine, selected, *(Advance(asset, tf, day(9), 15, 1.5) for asset in (1, 2) for tf in ("7D", "14D")))
    save(engine, [("7D", 10, 10)], Advance(1, "7D", day(11), 16, 2.5))
    assert saved(engine) == [
        (1, "14D", (10,), 9, 9, None, 1.5),
        (1, "7D", (10,), 11, 11, None, 2.5),
        (2, "14D", (10,), 9, 9, None, 1.5),
        (2, "7D", (10,), 9, 9, None, 1.5),
    ]


def test_saving_removes_the_mark_of_what_was_written(engine: Engine) -> None:
    """Only periods that were rewritten lose their mark."""
    save(engine, [("7D", 10, 10), ("7D", 14, 14)], Advance(1, "7D", day(9), 15, 150.5))
    mark(engine, BARS_LEG.target, (1, "7D", day(4)))
    save(engine, [("7D", 10, 10)], Advance(1, "7D", day(9), 15, 150.5))
    assert saved(engine) == [(1, "7D", (10,), 9, 9, None, 150.5), (1, "7D", (14,), 9, 9, 4, 150.5)]


def test_series_of_an_asset_without_bars(engine: Engine) -> None:
    """A series may have seen that there is nothing at all."""
    save(engine, [("7D", 10, 10)], Advance(1, "7D", day(9), 15, 150.5))
    save(engine, [("7D", 10, 10)], Advance(1, "7D", None, 0, 0.0))
    assert saved(engine) == [(1, "7D", (10,), None, None, None, 0.0)]


# Marks


@pytest.fixture
def marked(engine: Engine) -> Engine:
    """Two timeframes of assets 1 and 2 that have seen the ninth of January, without a mark."""
    advances = [Advance(asset, tf, day(9), 15, 1.5) for asset in (1, 2) for tf in ("7D", "14D")]
    save(engine, [("7D", 10, 10), ("14D", 10, 10)], *advances)
    return engine


def dirty(engine: Engine) -> dict[tuple[int, str], int]:
    """The day of January from which on a timeframe of an asset is dirty."""
    return {(row[0], row[1]): row[5] for row in saved(engine) if row[5] is not None}


def test_earliest_mark_counts(marked: Engine) -> None:
    """Of several marks on a series the earliest one stays, whatever their order."""
    mark(marked, BARS_LEG.target, (1, "7D", day(5)), (1, "7D", day(3)), (1, "7D", day(8)), (2, "7D", day(6)))
    assert dirty(marked) == {(1, "7D"): 3, (2, "7D"): 6}


@pytest.mark.parametrize(("later", "stays"), [(2, 2), (7, 5)])
def test_earlier_mark_stays(marked: Engine, later: int, stays: int) -> None:
    """A mark that was there moves back but never forward."""
    mark(marked, BARS_LEG.target, (1, "7D", day(5)))
    mark(marked, BARS_LEG.target, (1, "7D", day(later)))
    assert dirty(marked) == {(1, "7D"): stays}


def test_mark_on_every_timeframe(marked: Engine) -> None:
    """A mark without a timeframe is one on each of the asset's."""
    mark(marked, BARS_LEG.target, (1, None, day(5)), (1, None, day(4)))
    assert dirty(marked) == {(1, "7D"): 4, (1, "14D"): 4}


@pytest.mark.parametrize(("at", "is_marked"), [(9, True), (10, False)])
def test_only_series_that_have_come_so_far_are_marked(marked: Engine, at: int, is_marked: bool) -> None:
    """A change behind a series' watermark is an append to it."""
    mark(marked, BARS_LEG.target, (1, "7D", day(at)))
    assert dirty(marked) == ({(1, "7D"): at} if is_marked else {})


def test_series_that_has_seen_nothing_is_not_marked(engine: Engine) -> None:
    """A series without any bar has nothing to rewrite."""
    save(engine, [("7D", 10, 10)], Advance(1, "7D", None, 0, 0.0))
    mark(engine, BARS_LEG.target, (1, "7D", day(1)))
    assert dirty(engine) == {}


def test_no_marks(marked: Engine) -> None:
    """Nothing that changed marks nothing."""
    mark(marked, BARS_LEG.target)
    assert dirty(marked) == {}


def test_who_follows_whom(built: Engine) -> None:
    """A change of the daily bars marks the windows and the daily EMAs; EMAs over bars wait for their bars."""
    mark(built, "cmc_price_bars_1d", (1, None, day(20)))
    found = {leg.target for leg in DERIVED if ask(built, f"SELECT FROM {leg.state} WHERE dirty_from IS NOT NULL")}
    assert found == {leg.target for leg in DERIVED if len(leg.inputs) == 1}


# Decisions


def test_nothing_is_due_twice(built: Engine) -> None:
    """What was taken in is not due, in no table."""
    assert [builder.key for builder in BUILDERS if due(built, builder)] == []


def test_new_asset(built: Engine) -> None:
    """An asset that a table does not know is built from its first day, all series at once."""
    fill(built, 3, "2024-01-01", "2024-01-05")
    refresh(built, builders=[DAILY])
    (one,) = due(built, BARS)
    assert (one.id, one.action, one.cause, one.since, one.days) == (3, Action.REBUILD, Cause.NEW, None, 5)
    assert len(one.series) == 15


def test_new_timeframe(built: Engine) -> None:
    """A timeframe that was added is built for every asset, and nothing else is."""
    execute(built, "INSERT INTO dim_timeframe VALUES ('9D', 'D', 9, 9, 'rolling', NULL, true, 0)")
    found = due(built, BARS)
    assert [(one.id, one.cause, labels(built, BARS, one)) for one in found] == [
        (1, Cause.NEW, {"9D"}),
        (2, Cause.NEW, {"9D"}),
    ]


def test_new_period(built: Engine) -> None:
    """A period that was added is built in every timeframe."""
    execute(built, "INSERT INTO dim_period VALUES (5, true, 0)")
    assert {(one.cause, len(one.series)) for one in due(built, EMAS)} == {(Cause.NEW, 15)}


def test_append(built: Engine) -> None:
    """Behind the watermark there is something to append, from there to the last bar of the input."""
    fill(built, 1, "2024-02-10", "2024-02-12")
    refresh(built, builders=[DAILY])
    for builder in (BARS, V2):
        (one,) = due(built, builder)
        assert (one.id, one.action, one.days) == (1, Action.APPEND, 3)
        assert (one.since, one.through) == (LAST + timedelta(microseconds=1), LAST + timedelta(days=3))


def test_revision(built: Engine) -> None:
    """What is marked is revised from the mark on."""
    change(built, "2024-01-20", asset=2)
    refresh(built, builders=[DAILY])
    (one,) = due(built, BARS)
    assert (one.id, one.action, one.since) == (2, Action.REVISE, LAST - timedelta(days=20))
    assert (one.through, one.days) == (LAST, 21)


def test_revision_and_append_are_one(built: Engine) -> None:
    """What is appended lies behind what is revised, and needs no turn of its own."""
    change(built, "2024-01-20")
    fill(built, 1, "2024-02-10", "2024-02-10")
    refresh(built, builders=[DAILY])
    (one,) = due(built, BARS)
    assert (one.action, one.days) == (Action.REVISE, 22)


def test_asked(built: Engine) -> None:
    """What is asked for is built anew, of the assets that were named."""
    (one,) = due(built, BARS, Request(full_rebuild=True, ids=(2,)))
    assert (one.id, one.action, one.cause) == (2, Action.REBUILD, Cause.ASKED)


def test_filtered_append_leaves_the_others_due(built: Engine) -> None:
    """A run with a filter does not make the other timeframes look current."""
    fill(built, 1, "2024-02-10", "2024-02-10")
    refresh(built, Request(tfs=("7d",)), [DAILY, BARS])
    (one,) = due(built, BARS)
    assert one.action is Action.APPEND
    assert "7D" not in labels(built, BARS, one)
    assert len(one.series) == 14


def test_series_with_different_watermarks(built: Engine) -> None:
    """Series that stand at different places are due from their own ones."""
    fill(built, 1, "2024-02-10", "2024-02-10")
    refresh(built, Request(tfs=("7d",)), [DAILY, BARS])
    fill(built, 1, "2024-02-11", "2024-02-11")
    refresh(built, builders=[DAILY])
    assert [(one.since, one.days, len(one.series)) for one in due(built, BARS)] == [
        (LAST + timedelta(microseconds=1), 2, 14),
        (LAST + timedelta(days=1, microseconds=1), 1, 1),
    ]


def test_emas_follow_their_bars(built: Engine) -> None:
    """EMAs over bars go as far as the bars of their timeframe have come, and no further."""
    fill(built, 1, "2024-02-10", "2024-02-10")
    refresh(built, Request(tfs=("7d",)), [DAILY, BARS])
    (one,) = due(built, EMAS)
    assert (one.action, one.through, labels(built, EMAS, one)) == (Action.APPEND, LAST + timedelta(days=1), {"7D"})


def test_dirty_bars_are_not_followed(built: Engine) -> None:
    """Bars that wait to be rewritten are no input, but those of other assets and timeframes are."""
    change(built, "2024-01-20")
    refresh(built, Request(tfs=("7d",)), [DAILY, BARS])
    (one,) = due(built, EMAS)
    assert (one.id, one.action, labels(built, EMAS, one)) == (1, Action.REVISE, {"7D"})


def test_pending_inputs(built: Engine) -> None:
    """An asset waits where the bars of a wanted timeframe are marked."""
    change(built, "2024-01-20")
    refresh(built, Request(tfs=("7d",)), [DAILY, BARS])
    with built.connect() as connection:
        assert state.pending_inputs(connection, EMAS_LEG, ["7D"], [1, 2]) == []
        assert state.pending_inputs(connection, EMAS_LEG, ["7D", "14D"], [1, 2]) == [1]
        assert state.pending_inputs(connection, EMAS_LEG, ["14D"], [2]) == []
        assert state.pending_inputs(connection, BARS_LEG, ["14D"], [1]) == []
        assert state.pending_inputs(connection, V2_LEG, ["14D"], [1]) == []


def test_nothing_selected(built: Engine) -> None:
    """Without series there is nothing to decide."""
    with built.connect() as connection:
        assert state.series_due(connection, BARS_LEG, [], None, rebuild=True) == []


# Contradictions


@pytest.mark.parametrize("damage", ["TRUNCATE {0}", 'DELETE FROM {0} t USING {0}_state WHERE t."{1}" = last_ts'])
def test_contradiction(built: Engine, damage: str) -> None:
    """A table that lost all its rows, or only its last ones, is built anew, and is what it was."""
    tables = {table: "ts" if "ema" in table else "timestamp" for table in TARGETS}
    before = {table: digest(built, table) for table in tables}
    for table, moment in tables.items():
        if before[table][0]:
            lost = damage.format(table, moment).replace("last_ts", "last_src_ts" if table == TARGETS[0] else "last_ts")
            execute(built, lost)
            assert digest(built, table) != before[table]
            outcomes = refresh(built)
            assert {outcome.reason.partition(": ")[2] for outcome in outcomes} >= {Cause.CONTRADICTION.value}
            assert digest(built, table) == before[table]
    assert {table: digest(built, table) for table in tables} == before


def test_state_ahead_of_its_input(built: Engine) -> None:
    """Series that claim to have seen more than there is are built anew."""
    execute(built, f"UPDATE {BARS_LEG.state} SET seen_ts = seen_ts + interval '1 day' WHERE id = 1 AND tf = '7D'")
    (one,) = due(built, BARS)
    assert (one.id, one.cause, labels(built, BARS, one)) == (1, Cause.CONTRADICTION, {"7D"})


def test_lost_state(built: Engine) -> None:
    """Rows without a state are built anew, and there is one of each afterwards."""
    before = digest(built, BARS_LEG.target)
    execute(built, f"TRUNCATE {BARS_LEG.state}")
    assert {one.cause for one in due(built, BARS)} == {Cause.NEW}
    refresh(built, builders=[BARS])
    assert digest(built, BARS_LEG.target) == before


@pytest.mark.parametrize(
    ("builder", "request_"),
    [
        (BARS, Request(tfs=("2d",))),
        (BARS, Request(tfs=("2d",), full_rebuild=True)),
        (EMAS, Request(tfs=("2d",))),
        (EMAS, Request(periods=(10,))),
        (V2, Request(tf_period_combos=(("2d", 10),))),
    ],
    ids=["bars of a timeframe", "asked-for bars", "EMAs of a timeframe", "EMAs of a period", "one series"],
)
def test_filtered_repair_of_a_contradiction(built: Engine, builder: BuilderConfig, request_: Request) -> None:
    """A run with a filter that meets an emptied table does not make the series that it left out look whole."""
    table = builder.legs[0].target
    before = digest(built, table)
    execute(built, f"TRUNCATE {table}")
    refresh(built, request_, [builder])
    assert 0 < digest(built, table)[0] < before[0]
    refresh(built)
    assert digest(built, table) == before
