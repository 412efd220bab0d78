"""Builders beside each other: whatever overlaps, one ordinary refresh then leaves what a rebuild leaves.

One of them is held at a statement, on a real connection, while the others do all they can.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait

import pytest
from databases import database
from overlapping import A_MOMENT, PATIENCE, held
from prices import fill
from refreshing import FEW, digests, enable, open_scopes, refresh
from sqlalchemy import URL, Engine, make_url
from statements import address, ask, end_other_sessions, execute

from refresh.catalog import BUILDERS, DAILY, SOURCE, BuilderConfig, by_key
from refresh.due import survey
from refresh.options.request import Request
from refresh.records import Outcome, Status
from refresh.store.database import connect, transaction
from refresh.store.tables import DAILY_STATE, LEDGER, MONTHS

DAYS = by_key("bars.1d")
READERS = ("bars.multi_tf", "bars.cal_us", "emas.multi_tf", "emas.cal", "emas.v2")
POINTS = {
    "before its locks": "pg_try_advisory_lock",
    "after it decided": "SET LOCAL enable_mergejoin",
    "before its state": "_ts = ",
    "before its outcome": "INSERT INTO refresh_outcomes (run_id, builder, id, status, rows, seconds, reason, error",
}
CHANGES = {
    "old day": "close = 11 WHERE id = 1 AND timeclose::date = '2024-01-20'",
    "last day": "close = 11 WHERE id = 1 AND timeclose::date = '2024-02-11'",
}
INPUTS = (SOURCE, "dim_timeframe", "dim_period", "dim_asset")
REBUILT: dict[str, dict[str, tuple[int, str]]] = {}
"""The digests that a rebuild leaves, by the rows of all inputs."""
ONCE = "restatement refused: {} of {} assets are restated at once"


@pytest.fixture(scope="module")
def filled(server: URL, template: str) -> Iterator[str]:
    """The name of a database with two assets and a timeframe or two of each family, in which nothing is built."""
    with database(server, template) as url:
        with connect(url) as engine:
            enable(engine, FEW, (10, 21))
            execute(engine, "INSERT INTO dim_period VALUES (2, true, 0)")
            for asset in (1, 2):
                fill(engine, asset, "2024-01-01", "2024-02-09")
        yield str(make_url(url).database)


@pytest.fixture(scope="module")
def built(server: URL, filled: str) -> Iterator[str]:
    """The name of a copy in which everything is built."""
    with database(server, filled) as url:
        with connect(url) as engine:
            refresh(engine)
        yield str(make_url(url).database)


@pytest.fixture
def new_engine(server: URL, filled: str) -> Iterator[Engine]:
    """An engine on a database in which nothing is built."""
    with database(server, filled) as url, connect(url) as engine:
        yield engine


@pytest.fixture
def engine(server: URL, built: str) -> Iterator[Engine]:
    """An engine on a database in which everything is built."""
    with database(server, built) as url, connect(url) as engine:
        yield engine


def inputs_of(builder: BuilderConfig) -> list[BuilderConfig]:
    """The builders that a builder needs, in order."""
    needed = {builder}
    for other in reversed(BUILDERS):
        if any(reader.reads(other) for reader in needed):
            needed.add(other)
    return [other for other in BUILDERS if other in needed and other != builder]


def change(engine: Engine, what: str) -> None:
    """Change prices of the source."""
    execute(engine, f"UPDATE {SOURCE} SET {what}")


def check_whole(engine: Engine) -> None:
    """One ordinary refresh leaves what a rebuild leaves, and a second one finds nothing to do.

    What a rebuild leaves of the same prices is known once one of the tests has rebuilt them.
    """
    assert {outcome.status for outcome in refresh(engine)} <= {Status.DONE}
    refreshed = digests(engine)
    assert refresh(engine, is_prepared=True) == []
    inputs = repr([ask(engine, f"SELECT CAST(t AS text) FROM {table} t ORDER BY 1") for table in INPUTS])
    if inputs not in REBUILT:
        refresh(engine, Request(full_rebuild=True), is_prepared=True)
        REBUILT[inputs] = digests(engine)
    assert refreshed == REBUILT[inputs]


def ledger(engine: Engine) -> list[tuple[int, float | None, float | None]]:
    """Every line of the ledger."""
    return [tuple(row) for row in ask(engine, f"SELECT id, old_close, new_close FROM {LEDGER} ORDER BY id, noted_at")]


# A reader and what it reads


@pytest.mark.parametrize("what", CHANGES)
@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("key", READERS)
@pytest.mark.parametrize("start", ["engine", "new_engine"], ids=["append", "first build"])
def test_input_is_revised_meanwhile(
    request: pytest.FixtureRequest, key: str, point: str, what: str, start: str
) -> None:
    """The builders of the input take in a revision while the reader is held anywhere in its work."""
    engine: Engine = request.getfixturevalue(start)
    reader = by_key(key)
    inputs = inputs_of(reader)
    fill(engine, 1, "2024-02-10", "2024-02-11")
    refresh(engine, builders=inputs)
    (old,) = ask(engine, f"SELECT close FROM {SOURCE} WHERE {CHANGES[what].partition('WHERE ')[2]}")[0]
    with held(address(engine), POINTS[point], reader) as reading, ThreadPoolExecutor() as pool:
        change(engine, CHANGES[what])
        writing = pool.submit(refresh, engine, None, inputs)
        time.sleep(A_MOMENT)
        assert {outcome.status for outcome in reading.outcomes} <= {Status.DONE}
        assert {outcome.status for outcome in writing.result(PATIENCE)} == {Status.DONE}
    check_whole(engine)
    assert ledger(engine) == [(1, old, 11.0)]


@pytest.mark.parametrize("what", CHANGES)
def test_revised_between_two_tables(engine: Engine, what: str) -> None:
    """A builder of two tables is held between them."""
    reader = by_key("emas.cal")
    fill(engine, 1, "2024-02-10", "2024-02-11")
    refresh(engine, builders=inputs_of(reader))
    with held(address(engine), "cmc_ema_multi_tf_cal_iso", reader) as reading, ThreadPoolExecutor() as pool:
        change(engine, CHANGES[what])
        writing = pool.submit(refresh, engine, None, inputs_of(reader))
        wait({writing}, timeout=PATIENCE)
        assert {outcome.status for outcome in reading.outcomes} == {Status.DONE}
        writing.result(PATIENCE)
    check_whole(engine)


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("key", READERS)
def test_reader_loses_its_session(engine: Engine, key: str, point: str) -> None:
    """The session of a reader ends while its input is revised: it works again from what is then due."""
    reader = by_key(key)
    fill(engine, 1, "2024-02-10", "2024-02-11")
    refresh(engine, builders=inputs_of(reader))
    with held(address(engine), POINTS[point], reader) as reading:
        end_other_sessions(engine)
        change(engine, CHANGES["old day"])
        refresh(engine, builders=inputs_of(reader))
        assert {outcome.status for outcome in reading.outcomes} <= {Status.DONE}
    check_whole(engine)
    assert len(ledger(engine)) == 1


# Two of the same builder


@pytest.mark.parametrize("point", POINTS)
def test_two_of_daily_bars(engine: Engine, point: str) -> None:
    """Two builders of daily bars at once leave one line per revision."""
    change(engine, CHANGES["old day"])
    change(engine, "close = 12 WHERE id = 2 AND timeclose::date = '2024-01-21'")
    with held(address(engine), POINTS[point], DAYS) as first, ThreadPoolExecutor() as pool:
        second = pool.submit(refresh, engine, None, [DAYS])
        time.sleep(A_MOMENT)
        outcomes = [*first.outcomes, *second.result(PATIENCE)]
    assert sum(outcome.rows for outcome in outcomes) == 2
    assert [line[0] for line in ledger(engine)] == [1, 2]
    check_whole(engine)
    assert len(ledger(engine)) == 2


@pytest.mark.parametrize(
    "lost",
    [(DAILY,), (DAILY_STATE,), (MONTHS,), (DAILY, DAILY_STATE), (DAILY_STATE, MONTHS)],
    ids="+".join,
)
def test_truncated_in_a_night_with_a_restatement(engine: Engine, lost: Sequence[str]) -> None:
    """One line for the asset that was restated, none for the other, whatever of ours was truncated."""
    change(engine, CHANGES["old day"])
    execute(engine, f"TRUNCATE {', '.join(lost)}")
    refresh(engine)
    old = None if DAILY in lost else 10.2
    assert [(id, before) for id, before, _ in ledger(engine)] == [(1, old)]
    check_whole(engine)
    assert len(ledger(engine)) == 1


# What is refused


@pytest.fixture(scope="module")
def built_sixty(server: URL, template: str) -> Iterator[str]:
    """The name of a database in which the daily bars of sixty assets are built."""
    with database(server, template) as url:
        with connect(url) as engine:
            for asset in range(1, 61):
                fill(engine, asset, "2024-01-01", "2024-02-09")
            refresh(engine, builders=[DAYS])
        yield str(make_url(url).database)


@pytest.fixture
def sixty(server: URL, built_sixty: str) -> Iterator[Engine]:
    """An engine on a copy of that database."""
    with database(server, built_sixty) as url, connect(url) as engine:
        yield engine


def restate(engine: Engine, assets: int) -> None:
    """Change an old close of the first assets."""
    execute(engine, f"UPDATE {SOURCE} SET close = 11 WHERE id <= :last AND timeclose::date = '2024-01-20'", last=assets)


def planned_refusals(engine: Engine, request: Request | None = None) -> set[int]:
    """The assets that a plan refuses."""
    scopes = open_scopes(engine, request, [DAYS])
    with transaction(engine) as connection:
        dues = survey.survey(connection, scopes).dues[DAYS.key]
    return {due.id for due in dues if due.refusal}


def failed(outcomes: Sequence[Outcome]) -> set[int]:
    """The assets that failed, of all that have an outcome."""
    return {outcome.id for outcome in outcomes if outcome.status is Status.FAILED}


@pytest.mark.parametrize("ids", [None, tuple(range(1, 12)), (3,)], ids=["all", "the revised", "one"])
def test_share_is_that_of_all_known_assets(sixty: Engine, ids: tuple[int, ...] | None) -> None:
    """Eleven of sixty are within the limit of 20 %, whichever of them a plan or a builder is about."""
    restate(sixty, 11)
    request = Request(ids=ids)
    assert planned_refusals(sixty, request) == set()
    outcomes = refresh(sixty, request, [DAYS])
    assert failed(outcomes) == set()
    assert sum(outcome.rows for outcome in outcomes) == (1 if ids == (3,) else 11)


@pytest.mark.parametrize("ids", [None, tuple(range(1, 11)), (3,)], ids=["all", "ten", "one"])
def test_slice_of_a_mass_restatement(sixty: Engine, ids: tuple[int, ...] | None) -> None:
    """Eighteen of sixty are refused, also where only some of them are asked for."""
    restate(sixty, 18)
    request = Request(ids=ids)
    expected = set(ids or range(1, 19))
    assert planned_refusals(sixty, request) == expected
    outcomes = refresh(sixty, request, [DAYS])
    assert failed(outcomes) == expected
    assert all(ONCE.format(18, 60) in (outcome.error or "") for outcome in outcomes)
    assert ask(sixty, f"SELECT count(*) FROM {DAILY} WHERE close = 11") == [(0,)]
    assert ledger(sixty) == []


@pytest.mark.parametrize("point", POINTS)
def test_refused_work_is_retried(sixty: Engine, point: str) -> None:
    """Work that is refused stays refused when the session of the builder ends in the middle."""
    restate(sixty, 18)
    with held(address(sixty), POINTS[point], DAYS) as working:
        end_other_sessions(sixty)
        assert failed(working.outcomes) == set(range(1, 19))
    assert ask(sixty, f"SELECT count(*) FROM {DAILY} WHERE close = 11") == [(0,)]
    assert ledger(sixty) == []


def test_source_is_multiplied_before_the_batch(engine: Engine) -> None:
    """A history that is multiplied after the builder began is refused where it would be written."""
    change(engine, CHANGES["old day"])
    prices = ", ".join(f"{name} = round((100 * {name})::numeric, 2)" for name in ("open", "high", "low", "close"))
    with held(address(engine), POINTS["before its locks"], DAYS) as working:
        change(engine, f"{prices} WHERE id = 1")
        (outcome,) = working.outcomes
    assert outcome.status is Status.FAILED
    assert "its whole history is multiplied by 100" in (outcome.error or "")
    assert ledger(engine) == []
    assert ask(engine, f"SELECT count(*) FROM {DAILY} WHERE close > 100") == [(0,)]


def test_removal_of_many(sixty: Engine) -> None:
    """--prune removes a few assets, neither a fifth of all nor all that an emptied source no longer has."""
    prune = Request(prune=True)
    execute(sixty, f"DELETE FROM {SOURCE} WHERE id <= 9")
    assert failed(refresh(sixty, prune, [DAYS])) == set()
    assert ask(sixty, f"SELECT count(DISTINCT id) FROM {DAILY}") == [(51,)]
    execute(sixty, f"DELETE FROM {SOURCE} WHERE id <= 30")
    assert planned_refusals(sixty, prune) == failed(refresh(sixty, prune, [DAYS])) == set(range(10, 31))
    execute(sixty, f"DELETE FROM {SOURCE}")
    assert len(failed(refresh(sixty, prune, [DAYS]))) == 51
    assert ask(sixty, f"SELECT count(DISTINCT id) FROM {DAILY}") == [(51,)]
    assert failed(refresh(sixty, Request(prune=True, accept_restatement=True), [DAYS])) == set()
    assert ask(sixty, f"SELECT count(*) FROM {DAILY}") == [(0,)]
