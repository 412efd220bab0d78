"""The builder of daily bars decides once, where it writes: what a change is, and whether it is taken in."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from builder.building import build, recorded
from prices import fill
from refreshing import TARGETS, digest, refresh
from sqlalchemy import Engine
from statements import ask, execute

from refresh.catalog import DAILY, SOURCE, by_key
from refresh.options.request import Request
from refresh.records import Status
from refresh.store.database import connect
from refresh.store.tables import LEDGER, MONTHS, REJECTS

BUILDER = by_key("bars.1d")
TWELVE = range(1, 13)
CHANGED_CLOSE = "close of 2024-01-20 changed from 10.2 to 11.0"
WAY_OUT = "none of it was written; accept it with --accept-restatement, or correct the source"
TABLES = [*TARGETS, *(f"{table}_state" for table in TARGETS), REJECTS, MONTHS, LEDGER]


@pytest.fixture
def engine(prepared_url: str) -> Iterator[Engine]:
    """An engine on a database in which every table of assets 1, 2 and 3 is built; asset 2 has a rejected day."""
    with connect(prepared_url) as engine:
        execute(engine, "INSERT INTO dim_period VALUES (2, true, 0)")
        for asset in (1, 2, 3):
            fill(engine, asset, "2024-01-01", "2024-02-09")
        execute(engine, f"UPDATE {SOURCE} SET volume = -1 WHERE id = 2 AND timeclose::date = '2024-01-10'")
        refresh(engine)
        yield engine


@pytest.fixture
def twelve(prepared_url: str) -> Iterator[Engine]:
    """An engine on a database in which the daily bars of twelve assets are built."""
    with connect(prepared_url) as engine:
        for asset in TWELVE:
            fill(engine, asset, "2024-01-01", "2024-02-09")
        refresh(engine, builders=[BUILDER])
        yield engine


def change_close(engine: Engine, *assets: int) -> None:
    """Change the close of a day of some assets in the source."""
    change = f"UPDATE {SOURCE} SET close = 11 WHERE id = ANY(:assets) AND timeclose::date = '2024-01-20'"
    execute(engine, change, assets=list(assets))


def scale(engine: Engine, asset: int) -> None:
    """Double every price of an asset in the source."""
    prices = "open = 2 * open, high = 2 * high, low = 2 * low, close = 2 * close"
    execute(engine, f"UPDATE {SOURCE} SET {prices} WHERE id = :asset", asset=asset)


def rows_of(engine: Engine, asset: int) -> dict[str, list[tuple[str]]]:
    """Every row of an asset, in every table."""
    query = "SELECT t::text FROM {} t WHERE id = :asset ORDER BY 1"
    return {table: ask(engine, query.format(table), asset=asset) for table in TABLES}


# What is computed


def test_changed_close_is_examined_once(engine: Engine) -> None:
    """One pass over the source finds the change, and the bars are built once."""
    change_close(engine, 1)
    with recorded() as statements:
        code, outcomes = build(engine, "bars.1d")
    assert (statements.whole_digests, statements.raw_reads) == (1, 1)
    assert code == 0
    assert {outcome.id: (outcome.rows, outcome.reason) for outcome in outcomes} == {
        1: (1, CHANGED_CLOSE),
        2: (0, "up to date"),
        3: (0, "up to date"),
    }


def test_appended_days_are_not_examined_before_they_are_written(twelve: Engine) -> None:
    """However many assets get a new day, their raw rows are read once, by the batch that writes them."""
    for asset in TWELVE:
        fill(twelve, asset, "2024-02-10", "2024-02-10")
    with recorded() as statements:
        code, outcomes = build(twelve, "bars.1d")
    assert (statements.whole_digests, statements.raw_reads) == (1, 1)
    assert code == 0
    assert {(outcome.rows, outcome.reason) for outcome in outcomes} == {(1, "1 day appended")}
    assert len(outcomes) == len(TWELVE)


def test_mass_restatement_is_refused_before_anything_is_written(twelve: Engine) -> None:
    """If too many assets are rewritten at once, they are examined once, and none of them is written."""
    change_close(twelve, *TWELVE)
    before = digest(twelve, DAILY)
    with recorded() as statements:
        code, outcomes = build(twelve, "bars.1d")
    assert (statements.whole_digests, statements.raw_reads) == (1, 1)
    assert code == 1
    assert {outcome.id for outcome in outcomes if outcome.status is Status.FAILED} == set(TWELVE)
    refusal = (
        "restatement refused: 12 of 12 assets are restated at once (--restate-limit 20 %), "
        f"this one: {CHANGED_CLOSE}; {WAY_OUT}"
    )
    assert {(outcome.error, outcome.reason) for outcome in outcomes} == {(refusal, refusal)}
    assert digest(twelve, DAILY) == before
    assert build(twelve, "bars.1d", "--accept-restatement")[0] == 0
    assert ask(twelve, f"SELECT count(*) FROM {DAILY} WHERE close = 11") == [(len(TWELVE),)]


# An asset that is refused where it is written


def test_scaled_asset_is_refused_alone(engine: Engine) -> None:
    """An asset whose whole history is scaled fails in a batch of which the others are committed."""
    change_close(engine, 1, 3)
    scale(engine, 2)
    before = rows_of(engine, 2)
    assert all(before[table] for table in TABLES if table != LEDGER)
    with recorded() as statements:
        outcomes = {outcome.id: outcome for outcome in build(engine, "bars.1d")[1]}
    assert (statements.whole_digests, statements.raw_reads) == (1, 1)
    assert {id: outcome.status for id, outcome in outcomes.items()} == {
        1: Status.DONE,
        2: Status.FAILED,
        3: Status.DONE,
    }
    refusal = (
        "restatement refused: its whole history is multiplied by 2 "
        f"(looks like a 1:2 split: close of 2024-01-01 changed from 10.01 to 20.02, 38 more days changed); {WAY_OUT}"
    )
    assert (outcomes[2].error, outcomes[2].reason, outcomes[2].rows, outcomes[2].notes) == (refusal, refusal, 0, {})
    assert rows_of(engine, 2) == before
    assert ask(engine, f"SELECT id FROM {DAILY} WHERE close = 11 ORDER BY 1") == [(1,), (3,)]
    assert ask(engine, f"SELECT id, reason FROM {LEDGER} ORDER BY 1") == [(1, CHANGED_CLOSE), (3, CHANGED_CLOSE)]
    dirty = "SELECT DISTINCT id FROM cmc_price_bars_multi_tf_state WHERE dirty_from IS NOT NULL ORDER BY 1"
    assert ask(engine, dirty) == [(1,), (3,)]


def test_refused_asset_is_refused_again(engine: Engine) -> None:
    """A refused asset stays due: the next run refuses it again, and says that it is a retry."""
    scale(engine, 2)
    _, (refused,) = build(engine, "bars.1d", "--ids", "2")
    _, (again,) = build(engine, "bars.1d", "--ids", "2")
    assert refused.status is again.status is Status.FAILED
    assert again.error == refused.error == refused.reason
    assert again.reason == f"retry (failed last time): {refused.reason}"


@pytest.mark.parametrize("is_refused_first", [False, True])
def test_accepted_restatement_takes_in_everything(engine: Engine, is_refused_first: bool) -> None:
    """With --accept-restatement the scaled asset is written with its siblings, as if all were built from nothing."""
    change_close(engine, 1)
    scale(engine, 2)
    if is_refused_first:
        assert build(engine, "bars.1d")[0] == 1
        change_close(engine, 3)
    outcomes = refresh(engine, Request(accept_restatement=True))
    assert {outcome.status for outcome in outcomes} == {Status.DONE}
    assert rows_of(engine, 2)[LEDGER]
    tables = {table: digest(engine, table) for table in TARGETS}
    refresh(engine, Request(full_rebuild=True))
    assert {table: digest(engine, table) for table in TARGETS} == tables


# What is reported


def test_reason_is_what_was_written(engine: Engine) -> None:
    """After writing, the reason is the revision in words, in the report and in the history."""
    change_close(engine, 1)
    fill(engine, 3, "2024-02-10", "2024-02-11")
    reasons = {outcome.id: outcome.reason for outcome in build(engine, "bars.1d", "--ids", "1,3", "--run-id", "r")[1]}
    assert reasons == {1: CHANGED_CLOSE, 3: "2 days appended"}
    assert dict(ask(engine, "SELECT id, reason FROM refresh_outcomes WHERE run_id = 'r'")) == reasons


def test_reason_of_a_retry(engine: Engine) -> None:
    """A revision that failed last time is reported in the same words, as a retry."""
    change_close(engine, 1)
    execute(engine, f"ALTER TABLE {DAILY} ADD CONSTRAINT spare CHECK (close <> 11)")
    code, (failed,) = build(engine, "bars.1d", "--ids", "1")
    assert (code, failed.status) == (1, Status.FAILED)
    execute(engine, f"ALTER TABLE {DAILY} DROP CONSTRAINT spare")
    code, (outcome,) = build(engine, "bars.1d", "--ids", "1")
    assert (code, outcome.status) == (0, Status.DONE)
    assert outcome.reason == f"retry (failed last time): {CHANGED_CLOSE}"
