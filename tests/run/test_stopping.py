"""Runs that are stopped by a signal, and builders that are out of time: real builders on a real database."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from refreshing import NOW
from run.planning import ASSETS, BARS, CAL_US, DAILY, EMAS, PENDING, V2
from run.processes import (
    EVERYTHING,
    LONG,
    Recording,
    builder_pids,
    context,
    daily_bars,
    errors,
    everywhere,
    locked,
    plan,
    statuses_by_step,
)
from sqlalchemy import Engine
from statements import ask
from waiting import eventually

from refresh.catalog import BuilderConfig
from refresh.records import Status
from refresh.run import launch, steps
from refresh.run.context import RunContext
from refresh.run.plan import Plan, Step, Task
from refresh.run.report import StepReport
from refresh.run.steps import LEAST_TIMEOUT, PATIENCE, Limits, run
from refresh.stop import Stop

BY_SIGTERM = {"the run was stopped by SIGTERM"}
WAITING = """
    SELECT FROM pg_locks AS l JOIN pg_database AS d ON d.oid = l.database
    WHERE NOT l.granted AND d.datname = current_database()
"""


@pytest.fixture
def engine(prepared_url: str) -> Iterator[Engine]:
    """An engine on a database with 25 days of three assets, and their daily bars."""
    with daily_bars(prepared_url) as engine:
        yield engine


def rows_of(engine: Engine, builder: BuilderConfig) -> int:
    """The number of rows in the table of a builder with one leg."""
    (leg,) = builder.legs
    ((rows,),) = ask(engine, f"SELECT count(*) FROM {leg.target}")
    return int(rows)


def stopping(stop: Stop, *, urgent: bool = False) -> Callable[[object], None]:
    """A function that asks a run to stop when it is called."""

    def ask_to_stop(_: object) -> None:
        stop.signal, stop.urgent = signal.SIGTERM, urgent

    return ask_to_stop


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_stopped_before_the_first_step(number: int, code: int) -> None:
    """Nothing begins and no process starts; what was planned is not reached, what was skipped stays skipped."""
    task, left_out = Task(id=1, reason="append 1 day", days=1, rows=1), Task(id=52, reason=PENDING)
    daily = Step(builder=DAILY, tasks=(task,), arguments=("no such builder",))
    emas = replace(daily, builder=EMAS, skipped=(left_out,))
    stop, watcher = Stop(), Recording()
    stop.signal = number
    nowhere = RunContext(run_id="the run", now=NOW, environ={"TARGET_DB_URL": "nowhere"})
    report = run(Plan(steps=(daily, emas), assets=2), EVERYTHING, nowhere, watcher, stop=stop)
    assert report.exit_code == code
    assert report.stopped_by == number
    assert [(step.launched, step.seconds) for step in report.steps] == [(False, 0.0)] * 2
    assert statuses_by_step(report) == {
        DAILY.key: {1: Status.NOT_REACHED},
        EMAS.key: {1: Status.NOT_REACHED, 52: Status.SKIPPED},
    }
    error = f"the run was stopped by {signal.Signals(number).name}"
    for step in report.steps:
        assert errors(step) == {error}
        assert {outcome.reason for outcome in step.of(Status.NOT_REACHED)} == {"append 1 day"}
    assert watcher.events == [("end", DAILY.key), ("end", EMAS.key)]


def test_stopped_while_a_builder_works(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """The builder may finish its batch; no step begins after it and no process is left."""
    monkeypatch.setattr(launch, "SECONDS_TO_STOP", LONG)
    stop = Stop()
    watcher = Recording(outcome=stopping(stop))
    report = run(plan(engine, BARS, EMAS), EVERYTHING, context(engine), watcher, stop=stop)
    assert report.exit_code == 143
    assert builder_pids() == []
    assert watcher.events[0] == ("begin", BARS.key)
    assert sorted(watcher.events[1:]) == [("end", BARS.key), ("end", EMAS.key)]
    bars, emas = report.steps
    assert (bars.launched, emas.launched) == (True, False)
    assert bars.of(Status.DONE)
    assert len(bars.outcomes) == len(ASSETS)
    assert errors(bars) <= BY_SIGTERM
    assert statuses_by_step(report)[EMAS.key] == everywhere(Status.NOT_REACHED)
    assert errors(emas) == BY_SIGTERM
    assert rows_of(engine, EMAS) == 0


@pytest.mark.parametrize(("seconds", "urgent"), [(1.0, False), (LONG, True)], ids=["once", "twice"])
def test_stopped_while_a_builder_hangs(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, seconds: float, *, urgent: bool
) -> None:
    """A builder that hangs is killed after a while, or at once if the signal is repeated; its session is ended."""
    monkeypatch.setattr(launch, "SECONDS_TO_STOP", seconds)
    stop = Stop()
    killed: list[int] = []
    pids: list[int] = []
    planned = plan(engine, CAL_US, BARS)

    def stop_when_stuck(report: StepReport) -> None:
        if report.builder == BARS:
            assert eventually(lambda: ask(engine, WAITING))
            pids.extend(builder_pids())
            stopping(stop, urgent=urgent)(report)

    with locked(engine, CAL_US):
        started = time.monotonic()
        watcher = Recording(end=stop_when_stuck)
        settings = context(engine, end_sessions=killed.append)
        report = run(planned, EVERYTHING, settings, watcher, limits=Limits(jobs=2, timeout=LONG), stop=stop)
        assert time.monotonic() - started < LONG
        assert builder_pids() == []
    assert report.exit_code == 143
    assert killed == pids
    assert len(pids) == 1
    expected = {CAL_US.key: everywhere(Status.NOT_REACHED), BARS.key: everywhere(Status.DONE)}
    assert statuses_by_step(report) == expected
    assert errors(report.steps[0]) == BY_SIGTERM
    assert rows_of(engine, CAL_US) == 0


def test_stopped_when_everything_is_done(engine: Engine) -> None:
    """A signal after the last asset decides the exit code, and undoes nothing."""
    stop = Stop()
    watcher = Recording(end=stopping(stop))
    report = run(plan(engine, BARS), EVERYTHING, context(engine), watcher, stop=stop)
    assert statuses_by_step(report) == {BARS.key: everywhere(Status.DONE)}
    assert report.exit_code == 143


def test_builder_out_of_time(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """The timeout ends a builder that hangs. Its assets are not reached, and steps that read from it skip them."""
    monkeypatch.setattr(launch, "SECONDS_TO_STOP", 1.0)
    planned = plan(engine, BARS, EMAS)
    with locked(engine, BARS):
        report = run(planned, EVERYTHING, context(engine), Recording(), limits=Limits(timeout=4.0))
        assert builder_pids() == []
    bars, _ = report.steps
    assert 4 <= bars.seconds < LONG
    expected = {BARS.key: everywhere(Status.NOT_REACHED), EMAS.key: everywhere(Status.SKIPPED)}
    assert statuses_by_step(report) == expected
    assert errors(bars) == {"the builder took longer than 4 s (--timeout)"}
    assert report.stopped_by is None
    assert report.exit_code == 1
    assert rows_of(engine, BARS) == 0


def test_run_continues_after_a_timeout(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps that do not read from the builder that hung still run, each with its own time."""
    monkeypatch.setattr(launch, "SECONDS_TO_STOP", 1.0)
    monkeypatch.setattr(steps, "LEAST_TIMEOUT", 3.0)
    planned = plan(engine, BARS, CAL_US, EMAS, V2)
    estimates = {BARS: 0.1, CAL_US: LONG, EMAS: LONG, V2: LONG}
    timed = [replace(step, estimated_seconds=estimates[step.builder]) for step in planned.steps]
    watcher = Recording()
    with locked(engine, BARS):
        report = run(replace(planned, steps=tuple(timed)), EVERYTHING, context(engine), watcher)
    assert statuses_by_step(report) == {
        BARS.key: everywhere(Status.NOT_REACHED),
        CAL_US.key: everywhere(Status.DONE),
        EMAS.key: everywhere(Status.SKIPPED),
        V2.key: everywhere(Status.DONE),
    }
    assert errors(report.steps[0]) == {"the builder took longer than 3 s (--timeout)"}
    assert {outcome.reason for outcome in report.steps[2].outcomes} == {"bars failed"}
    begun = [key for event, key in watcher.events if event == "begin"]
    assert begun == [BARS.key, CAL_US.key, EMAS.key, V2.key]


@pytest.mark.parametrize(
    ("limits", "estimated", "seconds"),
    [
        (Limits(), 0.0, LEAST_TIMEOUT),
        (Limits(), 1000.0, 1000.0 * PATIENCE),
        (Limits(timeout=60.0), 1000.0, 60.0),
        (Limits(timeout=10**6), 0.0, 10**6),
    ],
)
def test_seconds_of_a_step(limits: Limits, estimated: float, seconds: float) -> None:
    """A given timeout holds. Without one a builder may take ten times its estimate, and always half an hour."""
    assert limits.seconds(Step(builder=DAILY, estimated_seconds=estimated)) == seconds
