"""What runs prove: which builders they covered, for which assets, and what is not done since."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import Engine
from statements import ask, execute
from store.histories import BARS, CAL, DAILY, STARTED, done, failed, save, started

from refresh.records import Outcome, Status
from refresh.store import history, overview, runs

HOUR = timedelta(hours=1)
FILTERS = ("--tfs", "--periods")
BOTH = (DAILY.key, BARS.key)
NOT_REACHED = Outcome(builder=DAILY.key, id=2, status=Status.NOT_REACHED, reason="the run was broken off")


def ran(
    engine: Engine,
    hour: int,
    *outcomes: Outcome,
    builders: tuple[str, ...] = BOTH,
    arguments: tuple[str, ...] = (),
    ids: tuple[int, ...] | None = None,
    program: str = "daily",
    resumes: int | None = None,
    code: int | None = 0,
) -> str:
    """A run that began at an hour; ``code`` ``None``: it did not end. Returns its name."""
    name = f"r{hour:02}"
    earlier = None if resumes is None else f"r{resumes:02}"
    run = started(
        name, *arguments, at=STARTED + hour * HOUR, builders=builders, ids=ids, program=program, resumes=earlier
    )
    with engine.begin() as connection:
        history.begin_run(connection, run)
    save(engine, name, *outcomes)
    if code is not None:
        with engine.begin() as connection:
            history.end_run(connection, name, code, 5)
    return name


def covered(engine: Engine, ids: tuple[int, ...] | None = None) -> dict[str, str]:
    """The run that covers each builder."""
    with engine.connect() as connection:
        return {key: cover.run_id for key, cover in runs.covers(connection, FILTERS, ids).items()}


def left(engine: Engine, ids: tuple[int, ...] | None = None) -> set[tuple[str, int]]:
    """What is open since the covers, by builder and asset."""
    with engine.connect() as connection:
        covers = runs.covers(connection, FILTERS, ids).values()
        return {(entry.builder, entry.id) for entry in runs.open_since(connection, list(covers), FILTERS, ids)}


# What a run covers


def test_nothing_covers(engine: Engine) -> None:
    """Without runs nothing is covered, and nothing is open."""
    assert (covered(engine), left(engine)) == ({}, set())


def test_last_run_of_each_builder_covers(engine: Engine) -> None:
    """The newest run about a builder covers it, also one that had nothing to do or failed partly."""
    ran(engine, 1, builders=(*BOTH, CAL.key))
    ran(engine, 2, failed(1), code=1)
    assert covered(engine) == {DAILY.key: "r02", BARS.key: "r02", CAL.key: "r01"}


@pytest.mark.parametrize(
    "part",
    [
        {"arguments": ("--tfs", "7D")},
        {"ids": (1, 2)},
        {"ids": (1,), "program": "builder", "builders": (DAILY.key,)},
        {"code": None},
        {"code": None, "program": "builder", "builders": (DAILY.key,)},
        {"code": 143, "program": "builder", "builders": (DAILY.key,)},
    ],
    ids=["timeframes", "assets", "builder of an asset", "killed", "killed builder", "stopped builder"],
)
def test_part_covers_nothing(engine: Engine, part: dict[str, object]) -> None:
    """A run about some series or assets, one without an end, and a stopped builder leave the cover as it was."""
    ran(engine, 1)
    ran(engine, 2, **part)  # type: ignore[arg-type]
    assert covered(engine) == {DAILY.key: "r01", BARS.key: "r01"}


def test_options_that_narrow_nothing(engine: Engine) -> None:
    """Other arguments do not make a part of a run, and a stopped refresh has an outcome for all that it left."""
    ran(engine, 1, arguments=("--prune",))
    ran(engine, 2, NOT_REACHED, code=143)
    assert covered(engine) == {DAILY.key: "r02", BARS.key: "r02"}
    assert left(engine) == {(DAILY.key, 2)}


def test_single_builder_covers_itself(engine: Engine) -> None:
    """A builder that was started alone for all assets covers itself."""
    ran(engine, 1)
    ran(engine, 2, program="builder", builders=(BARS.key,))
    assert covered(engine) == {DAILY.key: "r01", BARS.key: "r02"}


def test_killed_run_that_was_resumed(engine: Engine) -> None:
    """A run that resumes covers nothing by itself; what it resumed to the end is a cover."""
    ran(engine, 1, NOT_REACHED, code=None)
    assert covered(engine) == {}
    ran(engine, 2, done(2), builders=(DAILY.key,), resumes=1, code=None)
    assert covered(engine) == {}
    execute(engine, "UPDATE refresh_runs SET ended_at = started_at, exit_code = 0 WHERE run_id = 'r02'")
    assert covered(engine) == {DAILY.key: "r01", BARS.key: "r01"}
    assert left(engine) == set()


def test_some_assets_are_asked_for(engine: Engine) -> None:
    """For these assets a run about them and others is a cover, and only what they lack is open."""
    ran(engine, 1, failed(3))
    ran(engine, 2, failed(2), ids=(1, 2, 3))
    assert covered(engine, (1, 2)) == {DAILY.key: "r02", BARS.key: "r02"}
    assert covered(engine, (1, 4)) == {DAILY.key: "r01", BARS.key: "r01"}
    assert (left(engine, (1, 2)), left(engine, (1,))) == ({(DAILY.key, 2)}, set())


def test_rows_of_an_older_version(engine: Engine) -> None:
    """Without the new columns the command says whether a run was alone and narrowed, the summary which builders ran."""
    for hour in range(1, 7):
        ran(engine, hour)
    commands = {
        1: "run_daily_refresh.py --all",
        2: "python -m refresh.builder emas.cal --ids all --retries 2",
        3: "python -m refresh.builder emas.cal --ids 1",
        4: "run_daily_refresh.py --all --ids 1,2",
        5: "python -m refresh.builder bars.1d",
        6: "run_daily_refresh.py --all",
    }
    execute(engine, "UPDATE refresh_runs SET program = NULL, builders = NULL")
    for hour, command in commands.items():
        execute(engine, "UPDATE refresh_runs SET command = :c WHERE run_id = :r", c=command, r=f"r0{hour}")
    summary = '{"steps": [{"builder": "bars.1d"}, {"builder": "bars.multi_tf"}]}'
    execute(engine, "UPDATE refresh_runs SET summary = CAST(:s AS jsonb) WHERE run_id IN ('r01', 'r04')", s=summary)
    assert covered(engine) == {DAILY.key: "r05", BARS.key: "r01", CAL.key: "r02"}
    with engine.connect() as connection:
        assert [run["run_id"] for run in overview.refreshes(connection)] == ["r06", "r04", "r01"]


# What is open


def test_failure_stays_until_it_is_done(engine: Engine) -> None:
    """A run about another asset does not make up for a failure; one about this asset does."""
    ran(engine, 1, failed(1), failed(2, BARS.key), code=1)
    ran(engine, 2, done(3), program="builder", builders=(DAILY.key,), ids=(3,))
    assert left(engine) == {(DAILY.key, 1), (BARS.key, 2)}
    ran(engine, 3, done(1), program="builder", builders=(DAILY.key,), ids=(1,))
    assert left(engine) == {(BARS.key, 2)}
    ran(engine, 4, done(2, BARS.key), arguments=("--tfs", "7D"), ids=(2,))
    assert left(engine) == {(BARS.key, 2)}, "a timeframe is a part of the asset"
    ran(engine, 5, done(2, BARS.key), resumes=1)
    assert left(engine) == set()


def test_failure_after_the_cover(engine: Engine) -> None:
    """What a part failed at later is open as well, until a part with the same filters does it."""
    ran(engine, 1)
    ran(engine, 2, failed(1), arguments=("--tfs", "7D"), ids=(1,), code=1)
    assert left(engine) == {(DAILY.key, 1)}
    ran(engine, 3, done(1), arguments=("--tfs", "7D"), ids=(1,))
    assert left(engine) == set()


def test_failure_before_the_cover(engine: Engine) -> None:
    """What a later cover had no reason to try any more is not open."""
    ran(engine, 1, failed(1), code=1)
    ran(engine, 2)
    assert left(engine) == set()


def test_run_that_is_at_work(engine: Engine) -> None:
    """What a run without an end has not reached yet is not open, but what it failed at is."""
    ran(engine, 1)
    ran(engine, 2, NOT_REACHED, failed(1), code=None)
    assert left(engine) == {(DAILY.key, 1)}


def test_open_work_says_since_when(engine: Engine) -> None:
    """The status and error of the last attempt, and the time of the first of a row of failures."""
    ran(engine, 1, failed(1, error="first"), code=1)
    ran(engine, 2, failed(1, error="second"), code=1)
    ((noted_at,),) = ask(engine, "SELECT noted_at FROM refresh_outcomes WHERE run_id = 'r01'")
    with engine.connect() as connection:
        covers = list(runs.covers(connection, FILTERS, None).values())
        (entry,) = runs.open_since(connection, covers, FILTERS, None)
    assert entry == runs.Open(builder=DAILY.key, id=1, status=Status.FAILED, why="second", since=noted_at)


# What a page shows


def test_last_summary_is_that_of_a_refresh(engine: Engine) -> None:
    """It is that of the refresh that began last and ended; single builders have none."""
    with engine.connect() as connection:
        assert (runs.last_summary(connection), runs.any_good(connection)) == (None, False)
    for hour in (1, 2):
        ran(engine, hour, code=None)
        with engine.begin() as connection:
            history.end_run(connection, f"r0{hour}", hour - 1, 1, {"number": hour})
    ran(engine, 3, program="builder")
    ran(engine, 4, code=None)
    with engine.connect() as connection:
        assert (runs.last_summary(connection), runs.any_good(connection)) == ({"number": 2}, True)


def test_builders_between_refreshes(engine: Engine) -> None:
    """However many single builders ran, the last fourteen refreshes are listed, and what ran between two is a group."""
    alone = {"program": "builder", "builders": (CAL.key,)}
    for hour in range(60):
        is_refresh = hour % 4 == 0
        ran(engine, hour, **{} if is_refresh else alone, code=hour % 2)  # type: ignore[arg-type]
    with engine.connect() as connection:
        refreshes, groups = overview.refreshes(connection), overview.runs_alone(connection)
    assert [run["run_id"] for run in refreshes] == [f"r{hour:02}" for hour in range(56, 0, -4)]
    assert sorted(groups) == list(range(14))
    newest = groups[0]
    assert [run["started_at"][11:13] for run in newest.pop("runs")] == ["11", "10", "09"]
    assert newest.pop("ended_at")
    assert newest == {
        "number": 3,
        "builders": [CAL.key],
        "failed": 2,
        "unended": 0,
        "rows": 15,
        "started_at": "2024-01-03T09:00:00.000+00:00",
    }
