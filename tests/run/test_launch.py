"""Real builders as child processes on a real database: how they fail, and what becomes of everyone else."""

from __future__ import annotations

import os
import signal
import subprocess
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from refreshing import NOW, refresh
from sqlalchemy import Engine, make_url, text
from statements import ask, execute

from refresh.catalog import by_key
from refresh.faces.console import make_console
from refresh.faces.progress import Quiet
from refresh.options.request import Request
from refresh.records import Outcome, Status
from refresh.run.launch import Crew, RunContext
from refresh.run.plan import Plan, Step, Task, make_plan
from refresh.run.report import StepReport
from refresh.run.steps import run
from refresh.due import survey
from refresh.store.database import connect, transaction

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DAILY, BARS, EMAS = (by_key(key) for key in ("bars.1d", "bars.multi_tf", "emas.multi_tf"))
PASSWORD = "s3cret-of-the-user"  # noqa: S105 - the server trusts everybody; it must not be shown
FILL = """
    INSERT INTO cmc_price_histories7 (id, "timestamp", timeopen, timeclose, open, high, low, close, volume)
    SELECT asset, at, at - interval '1 day - 1 ms', at, 10, 20, 5, 10 + asset / 1000.0, 1000
    FROM generate_series(timestamptz '2024-01-01Z', CAST(:last AS timestamptz), interval '1 day') AS day
    CROSS JOIN LATERAL (SELECT day + interval '1 day - 1 ms' AS at) AS d
    CROSS JOIN unnest(CAST(:assets AS int[])) AS asset
"""


@pytest.fixture
def engine(prepared_url: str) -> Iterator[Engine]:
    """An engine on a database with 25 days of assets 1, 52 and 825 that were never taken in."""
    engine = connect(make_url(prepared_url).set(password=PASSWORD).render_as_string(hide_password=False))
    execute(engine, FILL, last="2024-01-25Z", assets=[1, 52, 825])
    yield engine
    engine.dispose()


def context(engine: Engine, **environ: str) -> RunContext:
    """A run on the engine's database."""
    url = engine.url.render_as_string(hide_password=False)
    return RunContext("the run", NOW, {"TARGET_DB_URL": url, "PATH": os.environ["PATH"], **environ})


class Ear:
    """Hears outcomes, and passes them on."""

    def __init__(self, hear: Callable[[Outcome], object]) -> None:
        self._hear = hear

    def outcome(self, outcome: Outcome) -> None:
        """Pass it on."""
        self._hear(outcome)

    def begin(self, step: Step, place: int, steps: int) -> None:
        """No matter."""

    def words(self, step: Step, line: str) -> None:
        """No matter."""

    def end(self, report: StepReport) -> None:
        """No matter."""


def launch(step: Step, run: RunContext, hear: Callable[[Outcome], object], *, seconds: float = 60) -> StepReport:
    """Run one step to its end."""
    with Crew(run, Ear(hear)) as crew:
        crew.start(step, seconds=seconds)
        while True:
            for report in crew.wait():
                return report


def plan(engine: Engine, *builders: Any, request: Request | None = None) -> Plan:
    """The plan of these builders."""
    request = request or Request(all=True)
    with transaction(engine) as connection:
        scopes = survey.open_scopes(connection, builders, request, NOW)
        return make_plan(builders, request, survey.survey(connection, scopes))


def ignore(_: Outcome) -> None:
    """Watch without a word."""


def endings(outcomes: tuple[Outcome, ...]) -> dict[int, Status]:
    """How each asset ended; none is told twice."""
    assert len({outcome.id for outcome in outcomes}) == len(outcomes)
    return {outcome.id: outcome.status for outcome in outcomes}


def builders_of_ours() -> list[int]:
    """The builder processes that this process started and that are alive."""
    found = subprocess.run(["pgrep", "-P", str(os.getpid()), "-f", "refresh.builder"], capture_output=True, check=False)
    return [int(pid) for pid in found.stdout.split()]


@contextmanager
def stuck_at(engine: Engine, asset: int) -> Iterator[None]:
    """Make whoever builds the daily bars of an asset wait: another transaction has begun to write the first one."""
    row = "jsonb_populate_record(t, jsonb_build_object('id', :asset, 'timestamp', '2024-01-01T23:59:59.999Z'))"
    with engine.connect() as connection:
        copy = f"INSERT INTO cmc_price_bars_1d SELECT ({row}).* FROM cmc_price_bars_1d t WHERE id = 1 LIMIT 1"
        connection.execute(text(copy), {"asset": asset})
        yield
        connection.rollback()


@pytest.fixture
def half_done(engine: Engine) -> Engine:
    """Asset 1 is known and has a new day; it comes first and by itself, since it has less to do than new assets."""
    refresh(engine, Request(ids=(1,)), [DAILY])
    execute(
        engine, FILL.replace("timestamptz '2024-01-01Z'", "timestamptz '2024-01-26Z'"), last="2024-01-26Z", assets=[1]
    )
    return engine


def test_everything_is_done(engine: Engine) -> None:
    """Every asset ends as done in every builder, and the next plan is idle."""
    planned = plan(engine, DAILY, EMAS)
    watched: list[Outcome] = []
    report = launch(planned.steps[0], context(engine), watched.append)
    assert report.launched
    assert endings(report.outcomes) == dict.fromkeys((1, 52, 825), Status.DONE)
    assert watched == list(report.outcomes)
    assert report.rows == 75
    assert {outcome.reason for outcome in watched} == {"build 25 days: not built yet"}
    assert plan(engine, DAILY).idle


def test_one_asset_fails(engine: Engine, capsys: pytest.CaptureFixture[str]) -> None:
    """Its siblings are committed, its dependants are skipped and say why, and it is retried by the next run."""
    execute(engine, "ALTER TABLE cmc_price_bars_1d ADD CONSTRAINT spare CHECK (id <> 825)")
    planned = plan(engine, DAILY, BARS, EMAS)
    report = run(planned, Request(all=True), context(engine), Quiet(make_console(error=True)))
    daily, bars, emas = (endings(one.outcomes) for one in report.steps)
    assert daily == {1: Status.DONE, 52: Status.DONE, 825: Status.FAILED}
    assert bars == emas == {1: Status.DONE, 52: Status.DONE, 825: Status.SKIPPED}
    assert report.exit_code == 1
    for table in ("cmc_price_bars_1d", "cmc_price_bars_multi_tf", "cmc_ema_multi_tf"):
        assert ask(engine, f"SELECT DISTINCT id FROM {table} ORDER BY 1") == [(1,), (52,)]
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith(
        'ID 825 bars.1d: failed: new row for relation "cmc_price_bars_1d" violates check constraint'
    )
    assert lines[1:] == [
        "Skipping ID 825 multi_tf bars (1d bars failed)",
        "Skipping ID 825 EMAs (bars failed) [emas.multi_tf]",
    ]
    assert [one.ids for one in plan(engine, DAILY, BARS, EMAS).steps] == [[825], [825], [825]]


def test_killed_builder(half_done: Engine) -> None:
    """What it had reported stays done; every other asset was not reached, and the signal is named."""
    (step,) = plan(half_done, DAILY).steps
    watched: list[Outcome] = []

    def kill(outcome: Outcome) -> None:
        watched.append(outcome)
        if outcome.status is Status.DONE:
            (pid,) = builders_of_ours()
            os.kill(pid, signal.SIGKILL)

    with stuck_at(half_done, 52):
        report = launch(step, context(half_done), kill)
    assert endings(report.outcomes) == {1: Status.DONE, 52: Status.NOT_REACHED, 825: Status.NOT_REACHED}
    assert watched == list(report.outcomes)
    for outcome in report.of(Status.NOT_REACHED):
        assert outcome.error is not None
        assert "SIGKILL" in outcome.error
        assert outcome.reason == "build 25 days: not built yet"
    assert ask(half_done, "SELECT id, count(*) FROM cmc_price_bars_1d GROUP BY 1") == [(1, 26)]


def test_run_goes_on_after_a_killed_builder(half_done: Engine) -> None:
    """Steps that depend on it leave out what was not reached and do the rest."""
    planned = plan(half_done, DAILY, BARS)

    class Killer(Quiet):
        """Ends the first builder as soon as it has done something."""

        def outcome(self, outcome: Outcome) -> None:
            if outcome.builder == DAILY.key and outcome.status is Status.DONE:
                for pid in builders_of_ours():
                    os.kill(pid, signal.SIGKILL)

    with stuck_at(half_done, 52):
        report = run(planned, Request(all=True), context(half_done), Killer(make_console(error=True)))
    assert endings(report.steps[1].outcomes) == {1: Status.DONE, 52: Status.SKIPPED, 825: Status.SKIPPED}
    assert report.exit_code == 1


def test_secrets_are_no_arguments(half_done: Engine) -> None:
    """Whoever lists processes sees neither the password nor the address of the database."""
    (step,) = plan(half_done, DAILY).steps
    seen: list[str] = []

    def look(_: Outcome) -> None:
        for pid in builders_of_ours():
            listed = subprocess.run(
                ["ps", "-ww", "-o", "args=", "-p", str(pid)], capture_output=True, text=True, check=True
            )
            seen.append(listed.stdout)
            os.kill(pid, signal.SIGKILL)

    with stuck_at(half_done, 52):
        launch(step, context(half_done), look)
    assert len(seen) == 1
    assert "refresh.builder bars.1d --ids all" in seen[0]
    assert PASSWORD not in seen[0]
    assert "postgresql" not in seen[0]


def test_run_that_is_broken_off(half_done: Engine) -> None:
    """No builder is left behind, whatever it is waiting for."""
    (step,) = plan(half_done, DAILY).steps

    def stop(_: Outcome) -> None:
        assert len(builders_of_ours()) == 1
        raise KeyboardInterrupt

    with stuck_at(half_done, 52), pytest.raises(KeyboardInterrupt):
        launch(step, context(half_done), stop)
    assert builders_of_ours() == []


def unreached(step: Step, engine: Engine, **environ: str) -> str:
    """What is said of the assets of a builder that reports none; the same of each, and without the password."""
    report = launch(step, context(engine, **environ), ignore)
    assert endings(report.outcomes) == dict.fromkeys(step.ids, Status.NOT_REACHED)
    (error,) = {outcome.error for outcome in report.outcomes}
    assert error is not None
    assert "\n" not in error
    assert PASSWORD not in error
    return error


def test_unreachable_database(engine: Engine) -> None:
    """Where no server answers, one line says so of every asset."""
    (step,) = plan(engine, DAILY).steps
    error = unreached(step, engine, TARGET_DB_URL=f"postgresql://postgres:{PASSWORD}@127.0.0.1:1/prices")
    assert "exited with 3" in error
    assert "cannot connect to postgresql://postgres:***@127.0.0.1:1/prices" in error


def test_builder_that_refuses_its_arguments(engine: Engine) -> None:
    """What the builder says on its way out is the reason of every asset."""
    (step,) = plan(engine, DAILY).steps
    stale = replace(step, tasks=(*step.tasks, Task(9, "gone since")), arguments=("bars.1d", "--ids", "1,52,825,9"))
    error = unreached(stale, engine)
    assert "exited with 2" in error
    assert "--ids 9: not in cmc_price_histories7" in error


def test_assets_that_were_not_planned(engine: Engine) -> None:
    """An asset that appeared since the plan was made is no part of the report."""
    (step,) = plan(engine, DAILY, request=Request(ids=(1, 52))).steps
    report = launch(replace(step, arguments=("bars.1d", "--ids", "all")), context(engine), ignore)
    assert endings(report.outcomes) == {1: Status.DONE, 52: Status.DONE}


def test_nothing_to_launch(engine: Engine) -> None:
    """A step without assets starts no process, and passes on what was left out."""
    step = Step(DAILY, (), (Task(825, "bars failed"),), ())
    watched: list[Outcome] = []
    planned = Plan((step,), 1)
    report = run(planned, Request(all=True), context(engine, TARGET_DB_URL="nowhere"), Ear(watched.append))
    (only,) = report.steps
    assert not only.launched
    assert endings(only.outcomes) == {825: Status.SKIPPED}
    assert watched == list(only.outcomes)


def test_words_of_a_builder_stay_apart(engine: Engine, capfd: pytest.CaptureFixture[str]) -> None:
    """What a builder writes on its own streams does not mix with what is shown."""
    (step,) = plan(engine, DAILY).steps
    launch(step, context(engine, PYTHONVERBOSE="1"), ignore)
    assert capfd.readouterr() == ("", "")
