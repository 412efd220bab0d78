"""Real builders as child processes on a real database: how they fail, and what happens to the other assets."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
from prices import fill
from refreshing import refresh
from run.planning import ASSETS, BARS, DAILY, EMAS
from run.processes import EVERYTHING, Recording, builder_pids, context, plan, statuses
from sqlalchemy import Engine, make_url, text
from statements import ask, execute

from refresh.faces.console import make_console
from refresh.faces.progress import Quiet
from refresh.options.request import Request
from refresh.records import Outcome, Status
from refresh.run.context import RunContext
from refresh.run.launch import Crew
from refresh.run.plan import Plan, Step, Task
from refresh.run.report import StepReport
from refresh.run.steps import run
from refresh.store.database import connect

PASSWORD = "s3cret-of-the-user"  # noqa: S105 - the server trusts everybody; it must not be shown


@pytest.fixture
def engine(prepared_url: str) -> Iterator[Engine]:
    """An engine on a database with 25 days of assets 1, 52 and 825 that were never processed."""
    url = make_url(prepared_url).set(password=PASSWORD)
    with connect(url.render_as_string(hide_password=False)) as engine:
        for asset in ASSETS:
            fill(engine, asset, "2024-01-01", "2024-01-25")
        yield engine


@pytest.fixture
def half_done(engine: Engine) -> Engine:
    """Asset 1 has daily bars and a new day. It comes first and by itself, since it has less to do than new assets."""
    refresh(engine, Request(ids=(1,)), [DAILY])
    fill(engine, 1, "2024-01-26", "2024-01-26")
    return engine


def launch(step: Step, run: RunContext, watch: Callable[[Outcome], object], *, seconds: float = 60) -> StepReport:
    """Run one step to its end."""
    with Crew(run, Recording(outcome=watch)) as crew:
        crew.start(step, seconds=seconds)
        while True:
            for report in crew.wait():
                return report


def ignore(_: Outcome) -> None:
    """Do nothing with an outcome."""


@contextmanager
def stuck_at(engine: Engine, asset: int) -> Iterator[None]:
    """Make the builder of daily bars wait at an asset: another transaction has begun to write its first bar."""
    row = "jsonb_populate_record(t, jsonb_build_object('id', :asset, 'timestamp', '2024-01-01T23:59:59.999Z'))"
    with engine.connect() as connection:
        copy = f"INSERT INTO cmc_price_bars_1d SELECT ({row}).* FROM cmc_price_bars_1d t WHERE id = 1 LIMIT 1"
        connection.execute(text(copy), {"asset": asset})
        yield
        connection.rollback()


def test_everything_is_done(engine: Engine) -> None:
    """Every asset ends as done, and the next plan has nothing to do."""
    step, _ = plan(engine, DAILY, EMAS).steps
    watched: list[Outcome] = []
    report = launch(step, context(engine), watched.append)
    assert report.launched
    assert statuses(report.outcomes) == dict.fromkeys(ASSETS, Status.DONE)
    assert watched == list(report.outcomes)
    assert report.rows == 75
    assert {outcome.reason for outcome in watched} == {"build 25 days: not built yet"}
    (step,) = plan(engine, DAILY).steps
    assert (step.tasks, step.skipped) == ((), ())


def test_one_asset_fails(engine: Engine, capsys: pytest.CaptureFixture[str]) -> None:
    """The other assets are committed, its dependants are skipped with the reason, and the next run retries it."""
    execute(engine, "ALTER TABLE cmc_price_bars_1d ADD CONSTRAINT spare CHECK (id <> 825)")
    planned = plan(engine, DAILY, BARS, EMAS)
    report = run(planned, EVERYTHING, context(engine), Quiet(make_console(error=True)))
    daily, bars, emas = (statuses(step.outcomes) for step in report.steps)
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
        "Skipping ID 825 bars (1d bars failed) [bars.multi_tf]",
        "Skipping ID 825 EMAs (bars failed) [emas.multi_tf]",
    ]
    assert [step.ids for step in plan(engine, DAILY, BARS, EMAS).steps] == [[825], [825], [825]]


def test_killed_builder(half_done: Engine) -> None:
    """Assets that were reported stay done; the others are not reached, and the error names the signal."""
    (step,) = plan(half_done, DAILY).steps
    watched: list[Outcome] = []

    def kill(outcome: Outcome) -> None:
        watched.append(outcome)
        if outcome.status is Status.DONE:
            (pid,) = builder_pids()
            os.kill(pid, signal.SIGKILL)

    with stuck_at(half_done, 52):
        report = launch(step, context(half_done), kill)
    assert statuses(report.outcomes) == {1: Status.DONE, 52: Status.NOT_REACHED, 825: Status.NOT_REACHED}
    assert watched == list(report.outcomes)
    for outcome in report.of(Status.NOT_REACHED):
        assert outcome.error is not None
        assert "SIGKILL" in outcome.error
        assert outcome.reason == "build 25 days: not built yet"
    assert ask(half_done, "SELECT id, count(*) FROM cmc_price_bars_1d GROUP BY 1") == [(1, 26)]


def test_run_continues_after_a_killed_builder(half_done: Engine) -> None:
    """Steps that depend on it skip what was not reached and do the rest."""
    planned = plan(half_done, DAILY, BARS)

    def kill(outcome: Outcome) -> None:
        if outcome.builder == DAILY.key and outcome.status is Status.DONE:
            for pid in builder_pids():
                os.kill(pid, signal.SIGKILL)

    with stuck_at(half_done, 52):
        report = run(planned, EVERYTHING, context(half_done), Recording(outcome=kill))
    assert statuses(report.steps[1].outcomes) == {1: Status.DONE, 52: Status.SKIPPED, 825: Status.SKIPPED}
    assert report.exit_code == 1


def test_secrets_are_not_visible(half_done: Engine) -> None:
    """A list of processes shows neither the password nor the address of the database, nor does a ``repr``."""
    (step,) = plan(half_done, DAILY).steps
    lines: list[str] = []

    def look(_: Outcome) -> None:
        for pid in builder_pids():
            command = ["ps", "-ww", "-o", "args=", "-p", str(pid)]
            lines.append(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
            os.kill(pid, signal.SIGKILL)

    with stuck_at(half_done, 52):
        launch(step, context(half_done), look)
    (line,) = lines
    assert "refresh.builder bars.1d --ids all" in line
    for visible in (line, repr(context(half_done))):
        assert PASSWORD not in visible
        assert "postgresql" not in visible


def test_run_that_is_broken_off(half_done: Engine) -> None:
    """No builder process is left, whatever it is waiting for."""
    (step,) = plan(half_done, DAILY).steps

    def interrupt(_: Outcome) -> None:
        assert len(builder_pids()) == 1
        raise KeyboardInterrupt

    with stuck_at(half_done, 52), pytest.raises(KeyboardInterrupt):
        launch(step, context(half_done), interrupt)
    assert builder_pids() == []


def error_of(step: Step, engine: Engine, **environ: str) -> str:
    """The error of a builder that reports no asset: the same for each, in one line, and without the password."""
    report = launch(step, context(engine, environ=environ), ignore)
    assert statuses(report.outcomes) == dict.fromkeys(step.ids, Status.NOT_REACHED)
    (error,) = {outcome.error for outcome in report.outcomes}
    assert error is not None
    assert "\n" not in error
    assert PASSWORD not in error
    return error


def test_unreachable_database(engine: Engine) -> None:
    """If no server answers, every asset has one line that says so."""
    (step,) = plan(engine, DAILY).steps
    step = replace(step, arguments=(*step.arguments, "--retries", "1"))
    error = error_of(step, engine, TARGET_DB_URL=f"postgresql://postgres:{PASSWORD}@127.0.0.1:1/prices")
    assert "exited with 3" in error
    assert "cannot connect to postgresql://127.0.0.1:1/prices" in error


def test_builder_that_refuses_its_arguments(engine: Engine) -> None:
    """The last line of the builder is the error of every asset."""
    (step,) = plan(engine, DAILY).steps
    tasks = (*step.tasks, Task(id=9, reason="gone since"))
    error = error_of(replace(step, tasks=tasks, arguments=("bars.1d", "--ids", "1,52,825,9")), engine)
    assert "exited with 2" in error
    assert "--ids 9: not in cmc_price_histories7" in error


def test_assets_that_were_not_planned(engine: Engine) -> None:
    """An asset that appeared after the plan was made is not in the report."""
    (step,) = plan(engine, DAILY, request=Request(ids=(1, 52))).steps
    report = launch(replace(step, arguments=("bars.1d", "--ids", "all")), context(engine), ignore)
    assert statuses(report.outcomes) == {1: Status.DONE, 52: Status.DONE}


def test_nothing_to_launch(engine: Engine) -> None:
    """A step without assets starts no process, and reports what was skipped."""
    step = Step(builder=DAILY, skipped=(Task(id=825, reason="bars failed"),))
    watcher = Recording()
    planned = Plan(steps=(step,), assets=1)
    (report,) = run(planned, EVERYTHING, context(engine, environ={"TARGET_DB_URL": "nowhere"}), watcher).steps
    assert not report.launched
    assert statuses(report.outcomes) == {825: Status.SKIPPED}
    assert watcher.outcomes == list(report.outcomes)


def test_output_of_a_builder_stays_apart(engine: Engine, capfd: pytest.CaptureFixture[str]) -> None:
    """What a builder writes to stdout and stderr does not mix with what is shown."""
    (step,) = plan(engine, DAILY).steps
    launch(step, context(engine, environ={"PYTHONVERBOSE": "1"}), ignore)
    assert capfd.readouterr() == ("", "")
