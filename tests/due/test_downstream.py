"""What is due on the tables that follow others: appends, revisions, rebuilds, and what their inputs wait for."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from prices import fill
from refreshing import TARGETS, digest, open_scopes, refresh
from sqlalchemy import Engine
from statements import execute
from unpacked import TABLES

from refresh.catalog import BUILDERS, BuilderConfig, by_key, legs
from refresh.due import survey
from refresh.due.decision import Action, Cause, Due
from refresh.due.downstream import series_due
from refresh.options.request import Request
from refresh.store.database import transaction

DAILY, BARS, EMAS, V2 = (by_key(key) for key in ("bars.1d", "bars.multi_tf", "emas.multi_tf", "emas.v2"))
LAST = datetime(2024, 2, 9, 23, 59, 59, 999000, tzinfo=UTC)
"""The close of the fortieth day of 2024."""
DAY = timedelta(days=1)
NEXT = timedelta(microseconds=1)


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
    (scope,) = open_scopes(engine, request, [builder])
    with transaction(engine) as connection:
        return survey.due(connection, scope, builder.legs[0])


def labels(engine: Engine, builder: BuilderConfig, work: Due) -> set[str]:
    """The timeframes of what is due."""
    (scope,) = open_scopes(engine, builders=[builder])
    return {series.timeframe.tf for series in scope.chosen(builder.legs[0], work.series)}


def test_nothing_is_due_twice(built: Engine) -> None:
    """What was taken in is not due, in no table."""
    assert [builder.key for builder in BUILDERS if due(built, builder)] == []


def test_new_asset(built: Engine) -> None:
    """An asset that a table does not have is built from its first day, all series at once."""
    fill(built, 3, "2024-01-01", "2024-01-05")
    refresh(built, builders=[DAILY])
    (work,) = due(built, BARS)
    assert (work.id, work.action, work.cause, work.since, work.days) == (3, Action.REBUILD, Cause.NEW, None, 5)
    assert len(work.series) == 15


def test_new_timeframe(built: Engine) -> None:
    """A timeframe that was added is built for every asset, and nothing else is."""
    execute(built, "INSERT INTO dim_timeframe VALUES ('9D', 'D', 9, 9, 'rolling', NULL, true, 0)")
    dues = due(built, BARS)
    assert [(work.id, work.cause) for work in dues] == [(1, Cause.NEW), (2, Cause.NEW)]
    for work in dues:
        assert labels(built, BARS, work) == {"9D"}


def test_new_period(built: Engine) -> None:
    """A period that was added is built in every timeframe."""
    execute(built, "INSERT INTO dim_period VALUES (5, true, 0)")
    assert {(work.cause, len(work.series)) for work in due(built, EMAS)} == {(Cause.NEW, 15)}


@pytest.mark.parametrize("builder", [BARS, V2], ids=["bars", "EMAs"])
def test_append(built: Engine, builder: BuilderConfig) -> None:
    """Days after the watermark are appended, up to the last bar of the input."""
    fill(built, 1, "2024-02-10", "2024-02-12")
    refresh(built, builders=[DAILY])
    (work,) = due(built, builder)
    assert (work.id, work.action, work.days) == (1, Action.APPEND, 3)
    assert (work.since, work.through) == (LAST + NEXT, LAST + 3 * DAY)


def test_revision(built: Engine) -> None:
    """A marked series is revised from the mark on."""
    change(built, "2024-01-20", asset=2)
    refresh(built, builders=[DAILY])
    (work,) = due(built, BARS)
    assert (work.id, work.action, work.since) == (2, Action.REVISE, LAST - 20 * DAY)
    assert (work.through, work.days) == (LAST, 21)


def test_revision_and_append_are_one(built: Engine) -> None:
    """New days of a revised series are part of the revision."""
    change(built, "2024-01-20")
    fill(built, 1, "2024-02-10", "2024-02-10")
    refresh(built, builders=[DAILY])
    (work,) = due(built, BARS)
    assert (work.action, work.days) == (Action.REVISE, 22)


def test_requested_rebuild(built: Engine) -> None:
    """A requested rebuild is of the assets that were named."""
    (work,) = due(built, BARS, Request(full_rebuild=True, ids=(2,)))
    assert (work.id, work.action, work.cause) == (2, Action.REBUILD, Cause.REQUESTED)


def test_filtered_append_leaves_the_others_due(built: Engine) -> None:
    """A run with a filter does not make the other timeframes look current."""
    fill(built, 1, "2024-02-10", "2024-02-10")
    refresh(built, Request(tfs=("7d",)), [DAILY, BARS])
    (work,) = due(built, BARS)
    assert work.action is Action.APPEND
    assert "7D" not in labels(built, BARS, work)
    assert len(work.series) == 14


def test_series_with_different_watermarks(built: Engine) -> None:
    """Series that have come differently far are due from their own watermarks."""
    fill(built, 1, "2024-02-10", "2024-02-10")
    refresh(built, Request(tfs=("7d",)), [DAILY, BARS])
    fill(built, 1, "2024-02-11", "2024-02-11")
    refresh(built, builders=[DAILY])
    assert [(work.since, work.days, len(work.series)) for work in due(built, BARS)] == [
        (LAST + NEXT, 2, 14),
        (LAST + DAY + NEXT, 1, 1),
    ]


def test_emas_follow_their_bars(built: Engine) -> None:
    """EMAs over bars go as far as the bars of their timeframe have come, and no further."""
    fill(built, 1, "2024-02-10", "2024-02-10")
    refresh(built, Request(tfs=("7d",)), [DAILY, BARS])
    (work,) = due(built, EMAS)
    assert (work.action, work.through, labels(built, EMAS, work)) == (Action.APPEND, LAST + DAY, {"7D"})


def test_dirty_bars_are_not_followed(built: Engine) -> None:
    """Bars that wait to be rewritten are no input, but those of other assets and timeframes are."""
    change(built, "2024-01-20")
    refresh(built, Request(tfs=("7d",)), [DAILY, BARS])
    (work,) = due(built, EMAS)
    assert (work.id, work.action, labels(built, EMAS, work)) == (1, Action.REVISE, {"7D"})


def test_pending_inputs(built: Engine) -> None:
    """Only EMAs over bars wait for inputs that are marked; the daily bars are never marked."""
    change(built, "2024-01-20")
    refresh(built, Request(tfs=("7d",)), [DAILY, BARS])
    scopes = open_scopes(built)
    with built.connect() as connection:
        pending = survey.survey(connection, scopes).pending
    waiting = dict.fromkeys(("emas.multi_tf", "emas.cal", "emas.cal_anchor"), (1,))
    assert pending == dict.fromkeys(pending, ()) | waiting
    assert len(pending) == len(BUILDERS)


def test_nothing_selected(built: Engine) -> None:
    """Without series nothing is due."""
    (scope,) = open_scopes(built, Request(full_rebuild=True), [BARS])
    with built.connect() as connection:
        assert series_due(connection, replace(scope, series=()), BARS.legs[0]) == []


# Contradictions

TIMES = {leg.target: leg.shape.time for _, leg in legs()}
WATERMARKS = {leg.target: "last_ts" if leg.shape.has_timeframes else "last_src_ts" for _, leg in legs()}


@pytest.mark.parametrize("damage", ["TRUNCATE {3}", 'DELETE FROM {3} t USING {0}_state WHERE t."{1}" = {2}'])
def test_contradiction(built: Engine, damage: str) -> None:
    """A table that lost all its rows, or only its last ones, is rebuilt, and is what it was."""
    before = {table: digest(built, table) for table in TARGETS}
    tables = [table for table, (number, _) in before.items() if number]
    assert len(tables) > len(TARGETS) / 2
    for table in tables:
        execute(built, damage.format(table, TIMES[table], WATERMARKS[table], TABLES[table]))
        assert digest(built, table) != before[table]
        reasons = {outcome.reason.partition(": ")[2] for outcome in refresh(built)}
        assert Cause.CONTRADICTION.value in reasons
        assert digest(built, table) == before[table]
    assert {table: digest(built, table) for table in TARGETS} == before


def test_state_ahead_of_its_input(built: Engine) -> None:
    """Series whose watermark is beyond their input are rebuilt."""
    state = BARS.legs[0].state
    execute(built, f"UPDATE {state} SET seen_ts = seen_ts + interval '1 day' WHERE id = 1 AND tf = '7D'")
    (work,) = due(built, BARS)
    assert (work.id, work.cause, labels(built, BARS, work)) == (1, Cause.CONTRADICTION, {"7D"})


def test_lost_state(built: Engine) -> None:
    """Rows without a state are rebuilt, and are there once afterwards."""
    leg = BARS.legs[0]
    before = digest(built, leg.target)
    execute(built, f"TRUNCATE {leg.state}")
    assert {work.cause for work in due(built, BARS)} == {Cause.NEW}
    refresh(built, builders=[BARS])
    assert digest(built, leg.target) == before


@pytest.mark.parametrize(
    ("builder", "narrowed"),
    [
        (BARS, Request(tfs=("2d",))),
        (BARS, Request(tfs=("2d",), full_rebuild=True)),
        (EMAS, Request(tfs=("2d",))),
        (EMAS, Request(periods=(10,))),
        (V2, Request(tf_period_combos=(("2d", 10),))),
    ],
    ids=["bars of a timeframe", "requested bars", "EMAs of a timeframe", "EMAs of a period", "one series"],
)
def test_filtered_repair_of_a_contradiction(built: Engine, builder: BuilderConfig, narrowed: Request) -> None:
    """A run with a filter that meets an emptied table does not make the series that it left out look current."""
    table = builder.legs[0].target
    before = digest(built, table)
    execute(built, f"TRUNCATE {TABLES[table]}")
    refresh(built, narrowed, [builder])
    assert 0 < digest(built, table)[0] < before[0]
    refresh(built)
    assert digest(built, table) == before
