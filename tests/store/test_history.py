"""What is written down of runs: outcomes with their rows, what failed before, what is left, and what is forgotten."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from prices import FILL
from refreshing import digest, refresh
from sqlalchemy import Engine, text
from statements import ask, execute

from refresh.catalog import by_key
from refresh.run.estimate import Past
from refresh.options.request import Request
from refresh.records import Outcome, Status
from refresh.store import history, views
from refresh.store.history import Started, Unfinished

DAILY, BARS, CAL = (by_key(key) for key in ("bars.1d", "bars.multi_tf", "emas.cal"))
AT = datetime(2024, 1, 1, tzinfo=UTC)
ODD = """it's "odd", {1,NULL}, \\N, %s :id; -- 日本 \t and\na second line"""


@pytest.fixture
def filled(engine: Engine) -> Engine:
    """Forty days of assets 1, 2 and 3 that were never taken in; EMAs begin early."""
    for asset in (1, 2, 3):
        execute(engine, FILL, asset=asset, first="2024-01-01Z", last="2024-02-09Z")
    execute(engine, "INSERT INTO dim_period VALUES (2, true, 0)")
    return engine


def begin(engine: Engine, run_id: str, *arguments: str, at: datetime = AT) -> None:
    """A run begins."""
    with engine.begin() as connection:
        history.begin_run(connection, Started(run_id, "run --all", arguments, "here", 7, at, 3))


def say(engine: Engine, run_id: str, *outcomes: Outcome) -> None:
    """A run says how assets ended, in a transaction of its own."""
    with engine.begin() as connection:
        history.save_outcomes(connection, run_id, outcomes)


def done(id: int, builder: str = DAILY.key) -> Outcome:
    """An asset that is done."""
    return Outcome(builder, id, Status.DONE, rows=4, reason="append 4 days")


def failed(id: int, builder: str = DAILY.key) -> Outcome:
    """An asset that failed."""
    return Outcome(builder, id, Status.FAILED, reason="append 4 days", error=f"id {id}: no")


def outcomes(engine: Engine, run_id: str) -> dict[tuple[str, int], Outcome]:
    """What a run has said of each builder and asset."""
    columns = "builder, id, status, rows, seconds, reason, error, notes, retries"
    with engine.connect() as connection:
        query = text(f"SELECT {columns} FROM refresh_outcomes WHERE run_id = :run_id")
        rows = connection.execute(query, {"run_id": run_id}).mappings()
        found = [Outcome(**{**row, "status": Status(row["status"])}) for row in rows]
    return {(outcome.builder, outcome.id): outcome for outcome in found}


def by_asset(found: list[Outcome]) -> dict[tuple[str, int], Outcome]:
    """Outcomes by builder and asset, none of them twice."""
    named = {(outcome.builder, outcome.id): outcome for outcome in found}
    assert len(named) == len(found)
    return named


# Runs and steps


def test_run(engine: Engine) -> None:
    """A run has no end until it ends."""
    arguments = ("--tfs", "7d,1w", ODD)
    with engine.begin() as connection:
        history.begin_run(connection, Started("r", ODD, arguments, "here", 7, AT, 3, resumes="q"))
    query = "SELECT command, arguments, resumes, host, pid, started_at, assets, exit_code, rows, ended_at IS NULL"
    assert ask(engine, f"{query} FROM refresh_runs") == [
        (ODD, list(arguments), "q", "here", 7, AT, 3, None, None, True),
    ]
    with engine.begin() as connection:
        history.end_run(connection, "r", 1, 3_000_000_000)
    assert ask(engine, "SELECT exit_code, rows, ended_at IS NULL FROM refresh_runs") == [(1, 3_000_000_000, False)]


def test_only_the_named_run_ends(engine: Engine) -> None:
    """Other runs go on."""
    begin(engine, "r")
    begin(engine, "s")
    with engine.begin() as connection:
        history.end_run(connection, "s", 0, 1)
    assert ask(engine, "SELECT run_id, exit_code FROM refresh_runs ORDER BY run_id") == [("r", None), ("s", 0)]


def test_step(engine: Engine) -> None:
    """A step has neither seconds nor rows until it ends, and only the one that is named does."""
    with engine.begin() as connection:
        for place, builder in enumerate((DAILY.key, BARS.key), 1):
            history.begin_step(connection, "r", builder, place=place, assets=2, estimated_rows=50)
        history.begin_step(connection, "s", BARS.key, place=1, assets=2, estimated_rows=50)
        history.end_step(connection, "r", BARS.key, seconds=1.5, rows=40)
    query = "SELECT run_id, builder, place, assets, estimated_rows, seconds, rows, ended_at IS NULL FROM refresh_steps"
    assert ask(engine, f"{query} ORDER BY 1, 3") == [
        ("r", DAILY.key, 1, 2, 50, None, None, True),
        ("r", BARS.key, 2, 2, 50, 1.5, 40, False),
        ("s", BARS.key, 1, 2, 50, None, None, True),
    ]


# Outcomes


def test_outcomes_are_read_as_they_were_written(engine: Engine) -> None:
    """No text, note or number is changed on its way; what is absent stays absent."""
    told = [
        Outcome(DAILY.key, 1, Status.FAILED, 5_000_000_000, 0.125, ODD, ODD, {"repaired_high": 2, ODD: 1}, 3),
        Outcome(DAILY.key, 2, Status.DONE),
        Outcome(CAL.key, 1, Status.SKIPPED, reason="NULL", error="NULL"),
        Outcome(CAL.key, 2, Status.NOT_REACHED, reason="", error=""),
    ]
    say(engine, "r", *told)
    assert outcomes(engine, "r") == by_asset(told)


def test_later_word_replaces_the_earlier_one(engine: Engine) -> None:
    """Of one run, builder and asset only the last word stays, whole and with its time."""
    say(engine, "r", Outcome(DAILY.key, 1, Status.FAILED, 1, 1.0, "a", "b", {"c": 1}, 1), failed(2))
    say(engine, "s", failed(1))
    ((before,),) = ask(engine, "SELECT noted_at FROM refresh_outcomes WHERE run_id = 'r' AND id = 1")
    last = Outcome(DAILY.key, 1, Status.DONE, 2, 2.0, "d")
    say(engine, "r", last)
    assert outcomes(engine, "r") == by_asset([last, failed(2)])
    assert outcomes(engine, "s") == by_asset([failed(1)])
    ((after,),) = ask(engine, "SELECT noted_at FROM refresh_outcomes WHERE run_id = 'r' AND id = 1")
    assert after > before


def test_no_outcomes(engine: Engine) -> None:
    """Nothing to say is said."""
    say(engine, "r")
    assert outcomes(engine, "r") == {}


def test_outcomes_of_a_refresh(filled: Engine) -> None:
    """What is written down is what is reported, of every builder and asset; two tables of a builder are one sum."""
    told = refresh(filled, Request(run_id="r"))
    written = outcomes(filled, "r")
    assert written == by_asset(told)
    assert {outcome.status for outcome in told} == {Status.DONE}
    rows = {leg.target: digest(filled, leg.target)[0] for leg in CAL.legs}
    assert all(rows.values())
    assert sum(one.rows for one in written.values() if one.builder == CAL.key) == sum(rows.values())


def test_one_asset_fails(filled: Engine) -> None:
    """Of a batch that is refused each asset has its own outcome."""
    execute(filled, "ALTER TABLE cmc_price_bars_1d ADD CONSTRAINT spare CHECK (id <> 2)")
    told = refresh(filled, Request(run_id="r"), [DAILY])
    written = outcomes(filled, "r")
    assert written == by_asset(told)
    assert {id: one.status for (_, id), one in written.items()} == {1: Status.DONE, 2: Status.FAILED, 3: Status.DONE}
    error = 'new row for relation "cmc_price_bars_1d" violates check constraint "spare"'
    assert {id: one.error for (_, id), one in written.items()} == {1: None, 2: error, 3: None}


def test_outcome_is_of_the_transaction_of_its_rows(filled: Engine) -> None:
    """An asset whose outcome cannot be written has no rows either, and its siblings have both."""
    execute(filled, "ALTER TABLE refresh_outcomes ADD CONSTRAINT spare CHECK (status <> 'done' OR id <> 2)")
    told = refresh(filled, Request(run_id="r"), [DAILY])
    assert outcomes(filled, "r") == by_asset(told)
    assert {one.id for one in told if one.status is Status.FAILED} == {2}
    for table in ("cmc_price_bars_1d", "cmc_price_bars_1d_state", "cmc_price_bars_1d_source_months"):
        assert ask(filled, f"SELECT DISTINCT id FROM {table} ORDER BY id") == [(1,), (3,)]


def test_one_of_two_tables_fails(filled: Engine) -> None:
    """An asset that fails in one table of two has failed, with the rows of the other one."""
    execute(filled, "ALTER TABLE cmc_ema_multi_tf_cal_iso ADD CONSTRAINT spare CHECK (id <> 2)")
    told = refresh(filled, Request(run_id="r"))
    written = outcomes(filled, "r")
    assert written == by_asset(told)
    assert written[CAL.key, 2].status is Status.FAILED
    ((rows,),) = ask(filled, "SELECT count(*) FROM cmc_ema_multi_tf_cal_us WHERE id = 2")
    assert written[CAL.key, 2].rows == rows > 0


def test_nobody_is_reached_yet(filled: Engine) -> None:
    """A builder that is asked to stop before its first batch leaves word of whom it did not reach, and why."""
    from refresh.builder import work  # noqa: PLC0415 - the one test that stops a builder by hand
    from refresh.due import survey  # noqa: PLC0415

    with filled.begin() as connection:
        (scope,) = survey.open_scopes(connection, [DAILY], Request(run_id="r"), AT + timedelta(days=99))
    told: list[Outcome] = []
    work.refresh(filled, scope, told.append, stopping=lambda: True)
    assert told == []
    blank = Outcome(DAILY.key, 0, Status.NOT_REACHED, reason="build 40 days: not built yet")
    assert outcomes(filled, "r") == by_asset([replace(blank, id=id) for id in (1, 2, 3)])


# What failed before


def before(engine: Engine, builder: str, run_id: str, *ids: int) -> set[int]:
    """Who failed before a run."""
    with engine.connect() as connection:
        return set(history.failed_before(connection, builder, run_id, ids))


def test_last_word_counts(engine: Engine) -> None:
    """Whoever was done since has not failed, and whoever failed again has; other builders and assets do not count."""
    say(engine, "r", failed(1), failed(2), done(3), failed(4, BARS.key), failed(5), failed(6))
    say(engine, "s", done(1), failed(2), failed(3), Outcome(DAILY.key, 6, Status.NOT_REACHED))
    assert before(engine, DAILY.key, "t", 1, 2, 3, 4, 6, 7) == {2, 3}
    assert before(engine, BARS.key, "t", 1, 2, 3, 4, 5, 6, 7) == {4}
    assert before(engine, DAILY.key, "t") == set()


def test_own_words_do_not_count(engine: Engine) -> None:
    """What a run said itself is not from before it."""
    say(engine, "r", failed(1), done(2))
    say(engine, "s", done(1), failed(2))
    assert before(engine, DAILY.key, "s", 1, 2) == {1}


def test_retry_is_called_one(filled: Engine) -> None:
    """An asset that failed last time is tried again under that name, once; the others are not."""
    execute(filled, "ALTER TABLE cmc_price_bars_1d ADD CONSTRAINT spare CHECK (id <> 2)")
    refresh(filled, Request(run_id="r"), [DAILY])
    execute(filled, "ALTER TABLE cmc_price_bars_1d DROP CONSTRAINT spare")
    execute(filled, FILL, asset=1, first="2024-02-10Z", last="2024-02-11Z")
    told = refresh(filled, Request(run_id="s"), [DAILY])
    reasons = {1: "2 days appended", 2: "retry (failed last time): build 40 days: not built yet"}
    assert {one.id: one.reason for one in told} == reasons
    assert outcomes(filled, "s") == by_asset(told)
    execute(filled, FILL, asset=2, first="2024-02-10Z", last="2024-02-10Z")
    (again,) = refresh(filled, Request(run_id="t"), [DAILY])
    assert again.reason == "1 day appended"


# What is left


def left(engine: Engine) -> Unfinished | None:
    """What there is to resume."""
    with engine.connect() as connection:
        return history.unfinished(connection)


def test_nothing_is_left(engine: Engine) -> None:
    """Neither without runs nor after one in which everything was done."""
    assert left(engine) is None
    begin(engine, "r")
    say(engine, "r", done(1))
    assert left(engine) is None


def test_everything_that_is_not_done_is_left(engine: Engine) -> None:
    """Failed, skipped and not reached assets are open, by builder, with the arguments of their run."""
    begin(engine, "r", "--tfs", "7d")
    skipped = Outcome(CAL.key, 1, Status.SKIPPED, reason="bars failed")
    say(engine, "r", failed(1), Outcome(DAILY.key, 2, Status.NOT_REACHED), done(3), skipped)
    assert left(engine) == Unfinished("r", ("--tfs", "7d"), {DAILY.key: frozenset({1, 2}), CAL.key: frozenset({1})})


def test_what_was_done_since_is_not_left(engine: Engine) -> None:
    """A later run that did some of it leaves the rest, whatever that later run was about."""
    begin(engine, "r", "--prune")
    say(engine, "r", failed(1), failed(2), failed(1, CAL.key))
    begin(engine, "s", at=AT + timedelta(hours=1))
    say(engine, "s", done(1))
    assert left(engine) == Unfinished("r", ("--prune",), {DAILY.key: frozenset({2}), CAL.key: frozenset({1})})
    say(engine, "s", done(2), done(1, CAL.key))
    assert left(engine) is None


def test_done_before_is_no_answer_to_a_failure(engine: Engine) -> None:
    """What was done in an earlier run and failed in a later one is left."""
    begin(engine, "r")
    say(engine, "r", done(1))
    begin(engine, "s", at=AT + timedelta(hours=1))
    say(engine, "s", failed(1))
    assert left(engine) == Unfinished("s", (), {DAILY.key: frozenset({1})})


def test_latest_run_is_resumed(engine: Engine) -> None:
    """Of several runs that left something the one that began last counts, and only what it left."""
    begin(engine, "z", "--prune")
    begin(engine, "a", at=AT + timedelta(hours=1))
    say(engine, "a", failed(2))
    say(engine, "z", failed(1))
    assert left(engine) == Unfinished("a", (), {DAILY.key: frozenset({2})})
    say(engine, "a", done(2))
    assert left(engine) == Unfinished("z", ("--prune",), {DAILY.key: frozenset({1})})


# What is forgotten


def test_old_and_replaced_outcomes_are_forgotten(engine: Engine) -> None:
    """What is old goes where the same asset was done later in the same builder; everything else stays."""
    ages = {
        "old": [done(1), failed(2), failed(3), failed(4), done(5)],
        "less old": [failed(3), done(4, BARS.key), done(6)],
        "new": [done(1), done(2), failed(6)],
    }
    for run_id, told in ages.items():
        say(engine, run_id, *told)
    for run_id, days in {"old": 300, "less old": 99}.items():
        statement = "UPDATE refresh_outcomes SET noted_at = now() - make_interval(days => :days) WHERE run_id = :run_id"
        execute(engine, statement, days=days, run_id=run_id)
    with engine.begin() as connection:
        history.forget_old(connection)
    assert set(outcomes(engine, "old")) == {(DAILY.key, id) for id in (3, 4, 5)}
    for run_id in ("less old", "new"):
        assert outcomes(engine, run_id) == by_asset(ages[run_id])


# What estimates are made from


def test_past_steps(engine: Engine) -> None:
    """The last twenty that ended count, newest first, by builder."""
    statement = """
        INSERT INTO refresh_steps (run_id, builder, place, assets, estimated_rows, started_at, ended_at, seconds, rows)
        SELECT n::text, :builder, 1, 1, n, now() - make_interval(hours => 100 - n), now(), n / 2.0, n * 2
        FROM generate_series(1, CAST(:count AS int)) n
    """
    execute(engine, statement, builder=DAILY.key, count=25)
    execute(engine, statement, builder=BARS.key, count=2)
    execute(engine, "UPDATE refresh_steps SET ended_at = NULL, seconds = NULL, rows = NULL WHERE run_id = '24'")
    with engine.connect() as connection:
        past = history.past_steps(connection)
    numbers = [25, *range(23, 4, -1)]
    assert len(numbers) == history.STEPS_TO_LEARN_FROM
    assert past == {
        DAILY.key: tuple(Past(number, number * 2, number / 2) for number in numbers),
        BARS.key: (Past(2, 4, 1.0), Past(1, 2, 0.5)),
    }


def test_no_past(engine: Engine) -> None:
    """A database without steps has none."""
    with engine.connect() as connection:
        assert history.past_steps(connection) == {}


# Views


def test_views_of_nothing(engine: Engine) -> None:
    """Every view exists and is empty where nothing was run."""
    for view in views.VIEWS:
        assert ask(engine, f"SELECT * FROM {view}") == []


def test_slowest_steps(engine: Engine) -> None:
    """Steps that ended, the slowest first, with their speed where they took any time."""
    with engine.begin() as connection:
        for number, seconds in enumerate((2.0, 8.0, 0.0)):
            history.begin_step(connection, f"r{number}", DAILY.key, place=1, assets=2, estimated_rows=5)
            history.end_step(connection, f"r{number}", DAILY.key, seconds=seconds, rows=1000)
        history.begin_step(connection, "open", DAILY.key, place=1, assets=2, estimated_rows=5)
    found = ask(engine, "SELECT run_id, seconds, rows, assets, rows_per_second FROM refresh_slowest_steps")
    assert found == [("r1", 8.0, 1000, 2, 125), ("r0", 2.0, 1000, 2, 500), ("r2", 0.0, 1000, 2, None)]


def test_flaky_assets(engine: Engine) -> None:
    """Who failed or needed more than one try in recent runs, the most failures first, with the last error."""
    now = datetime.now(UTC)
    for run_id, days in {"long ago": 40, "r": 3, "s": 2, "t": 1}.items():
        begin(engine, run_id, at=now - timedelta(days=days))
    say(engine, "long ago", failed(9))
    say(engine, "r", replace(failed(1), error="first"), failed(2), done(3), replace(done(4), retries=2))
    say(engine, "s", replace(failed(1), error="last"), done(2), done(3))
    say(engine, "t", done(1), done(2), done(3), replace(done(4), retries=1))
    query = "SELECT id, builder, failures, successes, retries, last_error FROM refresh_flaky_assets"
    assert ask(engine, query) == [
        (1, DAILY.key, 2, 1, 0, "last"),
        (2, DAILY.key, 1, 2, 0, "id 2: no"),
        (4, DAILY.key, 0, 2, 3, None),
    ]
    query = "SELECT v.id FROM refresh_flaky_assets v JOIN refresh_outcomes o ON o.noted_at = v.last_failed_at"
    assert ask(engine, f"{query} AND o.run_id = 's'") == [(1,)]


def test_last_good(engine: Engine) -> None:
    """The last time that each asset was done in each builder."""
    say(engine, "r", done(1), done(2), done(1, CAL.key), failed(3))
    say(engine, "s", replace(done(1), rows=9), failed(2))
    query = "SELECT id, builder, run_id, rows FROM refresh_last_good ORDER BY id, builder"
    assert ask(engine, query) == [(1, DAILY.key, "s", 9), (1, CAL.key, "r", 4), (2, DAILY.key, "r", 4)]
