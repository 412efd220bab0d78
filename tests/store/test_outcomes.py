"""Outcomes: saved as they are, in the transaction of their rows, and used by the next run."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from prices import fill
from refreshing import NOW, digest, open_scopes, refresh
from sqlalchemy import Engine
from statements import ask, execute
from store.histories import CAL, DAILY, ODD, by_asset, failed, save, saved

from refresh.builder import work
from refresh.due.survey import run_name
from refresh.records import Outcome, Status

RUN = run_name(NOW)
LATER = NOW + timedelta(hours=1)
REFUSE_ASSET_2 = "ALTER TABLE {0} ADD CONSTRAINT spare CHECK ({1}id <> 2)"


@pytest.fixture
def filled(engine: Engine) -> Engine:
    """Forty days of assets 1, 2 and 3 that were never taken in; EMAs begin early."""
    for asset in (1, 2, 3):
        fill(engine, asset, "2024-01-01", "2024-02-09")
    execute(engine, "INSERT INTO dim_period VALUES (2, true, 0)")
    return engine


def test_outcomes_are_read_as_they_were_written(engine: Engine) -> None:
    """No text, note or number is changed on its way; what is absent stays absent."""
    everything = Outcome(
        builder=DAILY.key,
        id=1,
        status=Status.FAILED,
        rows=5_000_000_000,
        seconds=0.125,
        reason=ODD,
        error=ODD,
        notes={"repaired_high": 2, ODD: 1},
        retries=3,
    )
    outcomes = [
        everything,
        Outcome(builder=DAILY.key, id=2, status=Status.DONE),
        Outcome(builder=CAL.key, id=1, status=Status.SKIPPED, reason="NULL", error="NULL"),
        Outcome(builder=CAL.key, id=2, status=Status.NOT_REACHED, reason="", error=""),
    ]
    save(engine, "r", *outcomes)
    assert saved(engine, "r") == by_asset(outcomes)


def test_later_outcome_replaces_the_earlier_one(engine: Engine) -> None:
    """Of one run, builder and asset only the last outcome stays, whole and with its time."""
    noted_at = "SELECT noted_at FROM refresh_outcomes WHERE run_id = 'r' AND id = 1"
    first = Outcome(
        builder=DAILY.key,
        id=1,
        status=Status.FAILED,
        rows=1,
        seconds=1.0,
        reason="a",
        error="b",
        notes={"c": 1},
        retries=1,
    )
    last = Outcome(builder=DAILY.key, id=1, status=Status.DONE, rows=2, seconds=2.0, reason="d")
    save(engine, "r", first, failed(2))
    save(engine, "s", failed(1))
    ((before,),) = ask(engine, noted_at)
    save(engine, "r", last)
    assert saved(engine, "r") == by_asset([last, failed(2)])
    assert saved(engine, "s") == by_asset([failed(1)])
    ((after,),) = ask(engine, noted_at)
    assert after > before


def test_no_outcomes(engine: Engine) -> None:
    """Without outcomes nothing is saved."""
    save(engine, "r")
    assert saved(engine, "r") == {}


def test_outcomes_of_a_refresh(filled: Engine) -> None:
    """What is saved is what is reported, for every builder and asset; the two tables of a builder are added up."""
    reported = refresh(filled)
    outcomes = saved(filled, RUN)
    assert outcomes == by_asset(reported)
    assert {outcome.status for outcome in reported} == {Status.DONE}
    rows = [digest(filled, leg.target)[0] for leg in CAL.legs]
    assert all(rows)
    assert sum(outcome.rows for outcome in reported if outcome.builder == CAL.key) == sum(rows)


def test_one_asset_fails(filled: Engine) -> None:
    """Each asset of a batch that fails has its own outcome."""
    execute(filled, REFUSE_ASSET_2.format("cmc_price_bars_1d", ""))
    reported = refresh(filled, builders=[DAILY])
    outcomes = saved(filled, RUN)
    assert outcomes == by_asset(reported)
    error = 'new row for relation "cmc_price_bars_1d" violates check constraint "spare"'
    ends = {id: (outcome.status, outcome.error) for (_, id), outcome in outcomes.items()}
    assert ends == {1: (Status.DONE, None), 2: (Status.FAILED, error), 3: (Status.DONE, None)}


def test_outcome_is_in_the_transaction_of_its_rows(filled: Engine) -> None:
    """An asset whose outcome cannot be saved has no rows either, and its siblings have both."""
    execute(filled, REFUSE_ASSET_2.format("refresh_outcomes", "status <> 'done' OR "))
    reported = refresh(filled, builders=[DAILY])
    assert saved(filled, RUN) == by_asset(reported)
    assert {outcome.id for outcome in reported if outcome.status is Status.FAILED} == {2}
    for table in ("cmc_price_bars_1d", "cmc_price_bars_1d_state", "cmc_price_bars_1d_source_months"):
        assert ask(filled, f"SELECT DISTINCT id FROM {table} ORDER BY id") == [(1,), (3,)]


def test_one_of_two_tables_fails(filled: Engine) -> None:
    """An asset that fails in one of two tables has failed, with the rows of the other table."""
    execute(filled, REFUSE_ASSET_2.format("cmc_ema_multi_tf_cal_iso_packed", ""))
    reported = refresh(filled)
    outcomes = saved(filled, RUN)
    assert outcomes == by_asset(reported)
    assert outcomes[CAL.key, 2].status is Status.FAILED
    ((rows,),) = ask(filled, "SELECT count(*) FROM cmc_ema_multi_tf_cal_us WHERE id = 2")
    assert outcomes[CAL.key, 2].rows == rows > 0


def test_nothing_is_reached_yet(filled: Engine) -> None:
    """A builder that is stopped before its first batch has noted which assets it did not reach."""
    (scope,) = open_scopes(filled, builders=[DAILY])
    reported: list[Outcome] = []
    work.refresh(filled, scope, work.Listeners(report=reported.append, is_stopping=lambda: True))
    assert reported == []
    blank = Outcome(builder=DAILY.key, id=0, status=Status.NOT_REACHED, reason="not looked at yet")
    assert saved(filled, RUN) == by_asset(replace(blank, id=id) for id in (1, 2, 3))


def test_retry_is_named_so(filled: Engine) -> None:
    """An asset that failed last time is tried again as a retry, once; the others are not."""
    execute(filled, REFUSE_ASSET_2.format("cmc_price_bars_1d", ""))
    refresh(filled, builders=[DAILY])
    execute(filled, "ALTER TABLE cmc_price_bars_1d DROP CONSTRAINT spare")
    fill(filled, 1, "2024-02-10", "2024-02-11")
    reported = refresh(filled, builders=[DAILY], now=LATER)
    reasons = {1: "2 days appended", 2: "retry (failed last time): build 40 days: not built yet"}
    assert {outcome.id: outcome.reason for outcome in reported} == reasons
    idle = Outcome(builder=DAILY.key, id=3, status=Status.DONE, reason="up to date")
    assert saved(filled, run_name(LATER)) == by_asset([*reported, idle])
    fill(filled, 2, "2024-02-10", "2024-02-10")
    (again,) = refresh(filled, builders=[DAILY], now=LATER + timedelta(hours=1))
    assert again.reason == "1 day appended"
