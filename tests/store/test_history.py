"""The history of runs: runs and steps, what failed before, what is left, and what is forgotten."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import Engine
from statements import ask, execute
from store.histories import BARS, CAL, DAILY, ODD, STARTED, Pair, begin, by_asset, done, failed, save, saved, started

from refresh.records import Outcome, PastStep, Status
from refresh.store import history
from refresh.store.history import Remainder

HOUR = timedelta(hours=1)
FILTERS = ("--tfs", "--periods")

# Runs and steps


def test_run(engine: Engine) -> None:
    """A run has no end until it ends."""
    arguments = ("--tfs", "7d,1w", ODD)
    with engine.begin() as connection:
        history.begin_run(connection, started("r", *arguments, resumes="q"))
    query = "SELECT command, arguments, resumes, host, pid, started_at, assets, exit_code, rows, ended_at IS NULL"
    assert ask(engine, f"{query} FROM refresh_runs") == [
        ("run --all", list(arguments), "q", "here", 7, STARTED, 3, None, None, True),
    ]
    assert ask(engine, "SELECT program, builders, asset_ids FROM refresh_runs") == [("daily", [DAILY.key], None)]
    with engine.begin() as connection:
        history.end_run(connection, "r", 1, 3_000_000_000)
    query = "SELECT exit_code, rows, summary, ended_at IS NULL FROM refresh_runs"
    assert ask(engine, query) == [(1, 3_000_000_000, None, False)]


def test_only_the_named_run_ends(engine: Engine) -> None:
    """Other runs go on."""
    begin(engine, "r")
    begin(engine, "s")
    with engine.begin() as connection:
        history.end_run(connection, "s", 0, 1)
    assert ask(engine, "SELECT run_id, exit_code FROM refresh_runs ORDER BY run_id") == [("r", None), ("s", 0)]


def test_step(engine: Engine) -> None:
    """A step has neither seconds nor rows until it ends, and only the named step ends."""
    begin(engine, "r")
    begin(engine, "s")
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


# What failed before


def failed_before(engine: Engine, builder: str, run_id: str, *ids: int) -> set[int]:
    """The assets whose last outcome before a run was a failure."""
    with engine.connect() as connection:
        return set(history.failed_before(connection, builder, run_id, ids))


def test_last_outcome_counts(engine: Engine) -> None:
    """A later outcome of the same builder and asset replaces a failure; other builders and assets do not count."""
    save(engine, "r", failed(1), failed(2), done(3), failed(4, BARS.key), failed(5), failed(6))
    not_reached = Outcome(builder=DAILY.key, id=6, status=Status.NOT_REACHED)
    save(engine, "s", done(1), failed(2), failed(3), not_reached)
    assert failed_before(engine, DAILY.key, "t", 1, 2, 3, 4, 6, 7) == {2, 3}
    assert failed_before(engine, BARS.key, "t", 1, 2, 3, 4, 5, 6, 7) == {4}
    assert failed_before(engine, DAILY.key, "t") == set()


def test_own_outcomes_do_not_count(engine: Engine) -> None:
    """The outcomes of a run are not from before it."""
    save(engine, "r", failed(1), done(2))
    save(engine, "s", done(1), failed(2))
    assert failed_before(engine, DAILY.key, "s", 1, 2) == {1}


# Since when something fails


def noted(engine: Engine, run_id: str, builder: str = DAILY.key) -> datetime:
    """When a run noted the outcome of asset 1."""
    query = "SELECT noted_at FROM refresh_outcomes WHERE (run_id, builder, id) = (:run_id, :builder, 1)"
    ((noted_at,),) = ask(engine, query, run_id=run_id, builder=builder)
    assert isinstance(noted_at, datetime)
    return noted_at


def failing_since(engine: Engine, run_id: str) -> dict[Pair, datetime]:
    """Since when what a run left unfinished has been so."""
    with engine.connect() as connection:
        return history.failing_since(connection, run_id)


def test_failing_since_the_first_of_a_row_of_failures(engine: Engine) -> None:
    """Only failures after the last success count, by builder; one that is new has no earlier time."""
    save(engine, "p", failed(1))
    save(engine, "q", done(1), done(1, CAL.key))
    skipped = Outcome(builder=DAILY.key, id=1, status=Status.SKIPPED)
    save(engine, "r", skipped, failed(1, CAL.key))
    save(engine, "s", failed(1), done(2))
    save(engine, "t", failed(1), failed(2), failed(1, CAL.key), done(3))
    assert failing_since(engine, "t") == {
        (DAILY.key, 1): noted(engine, "r"),
        (CAL.key, 1): noted(engine, "r", CAL.key),
    }


def test_nothing_fails_any_longer(engine: Engine) -> None:
    """What is done in the run itself does not fail; an unknown run left nothing."""
    save(engine, "r", failed(1))
    save(engine, "s", done(1))
    assert failing_since(engine, "s") == {}
    assert failing_since(engine, "none") == {}


# What is left


def remainder(engine: Engine) -> Remainder | None:
    """What there is to resume."""
    with engine.connect() as connection:
        return history.remainder(connection, FILTERS)


def left(run_id: str, *arguments: str, **assets: set[int]) -> Remainder:
    """What a run left: assets of the daily bars and of the calendar EMAs."""
    keys = {"daily": DAILY.key, "cal": CAL.key}
    return Remainder(
        run_id=run_id,
        arguments=arguments,
        assets={keys[name]: frozenset(ids) for name, ids in assets.items()},
    )


def test_nothing_is_left(engine: Engine) -> None:
    """Neither without runs nor after a run in which everything was done."""
    assert remainder(engine) is None
    begin(engine, "r")
    save(engine, "r", done(1))
    assert remainder(engine) is None


def test_everything_that_is_not_done_is_left(engine: Engine) -> None:
    """Failed, skipped and not reached assets are left, by builder, with the arguments of their run."""
    begin(engine, "r", "--tfs", "7d")
    not_reached = Outcome(builder=DAILY.key, id=2, status=Status.NOT_REACHED)
    skipped = Outcome(builder=CAL.key, id=1, status=Status.SKIPPED, reason="bars failed")
    save(engine, "r", failed(1), not_reached, done(3), skipped)
    assert remainder(engine) == left("r", "--tfs", "7d", daily={1, 2}, cal={1})


def test_what_was_done_since_is_not_left(engine: Engine) -> None:
    """A later run that did some of it leaves the rest, whatever other arguments it had."""
    begin(engine, "r", "--prune")
    save(engine, "r", failed(1), failed(2), failed(1, CAL.key))
    begin(engine, "s", at=STARTED + HOUR)
    save(engine, "s", done(1))
    assert remainder(engine) == left("r", "--prune", daily={2}, cal={1})
    save(engine, "s", done(2), done(1, CAL.key))
    assert remainder(engine) is None


def test_run_that_was_narrowed_in_another_way(engine: Engine) -> None:
    """A later run does what an earlier one left only if it had the same filters, or none."""
    begin(engine, "r", "--tfs", "7d")
    save(engine, "r", failed(1), failed(2), failed(3))
    begin(engine, "s", "--tfs", "14d", at=STARTED + HOUR)
    save(engine, "s", done(1))
    assert remainder(engine) == left("r", "--tfs", "7d", daily={1, 2, 3})
    begin(engine, "t", "--tfs", "7d", at=STARTED + 2 * HOUR)
    save(engine, "t", done(2))
    assert remainder(engine) == left("r", "--tfs", "7d", daily={1, 3})
    begin(engine, "u", "--prune", at=STARTED + 3 * HOUR)
    save(engine, "u", done(3))
    assert remainder(engine) == left("r", "--tfs", "7d", daily={1})


def test_done_before_does_not_make_up_for_a_failure(engine: Engine) -> None:
    """What was done in an earlier run and failed in a later one is left."""
    begin(engine, "r")
    save(engine, "r", done(1))
    begin(engine, "s", at=STARTED + HOUR)
    save(engine, "s", failed(1))
    assert remainder(engine) == left("s", daily={1})


def test_latest_run_is_resumed(engine: Engine) -> None:
    """Of several runs that left something the one that began last counts, and only what it left."""
    begin(engine, "z", "--prune")
    begin(engine, "a", at=STARTED + HOUR)
    save(engine, "a", failed(2))
    save(engine, "z", failed(1))
    assert remainder(engine) == left("a", daily={2})
    save(engine, "a", done(2))
    assert remainder(engine) == left("z", "--prune", daily={1})


# What is forgotten


def test_old_and_replaced_outcomes_are_forgotten(engine: Engine) -> None:
    """An old outcome goes if the same asset was done later in the same builder; everything else stays."""
    outcomes = {
        "old": [done(1), failed(2), failed(3), failed(4), done(5)],
        "less old": [failed(3), done(4, BARS.key), done(6)],
        "new": [done(1), done(2), failed(6)],
    }
    for run_id, of_run in outcomes.items():
        save(engine, run_id, *of_run)
    statement = "UPDATE refresh_outcomes SET noted_at = now() - make_interval(days => :days) WHERE run_id = :run_id"
    execute(engine, statement, days=300, run_id="old")
    execute(engine, statement, days=99, run_id="less old")
    with engine.begin() as connection:
        history.forget_old(connection)
    assert set(saved(engine, "old")) == {(DAILY.key, id) for id in (3, 4, 5)}
    for run_id in ("less old", "new"):
        assert saved(engine, run_id) == by_asset(outcomes[run_id])


# What estimates are made from


def test_past_steps(engine: Engine) -> None:
    """The last twenty steps that ended count, newest first, by builder."""
    for number in range(1, 26):
        begin(engine, str(number))
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
        DAILY.key: tuple(PastStep(number, number * 2, number / 2) for number in numbers),
        BARS.key: (PastStep(2, 4, 1.0), PastStep(1, 2, 0.5)),
    }


def test_no_past(engine: Engine) -> None:
    """A database without steps has no past steps."""
    with engine.connect() as connection:
        assert history.past_steps(connection) == {}
