"""Steps side by side, in order, stopped, out of date and out of time: real builders on a real database."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from refreshing import NOW, refresh
from sqlalchemy import Connection, Engine, text

from refresh.catalog import BuilderConfig, by_key
from refresh.options.request import Request
from refresh.records import Outcome, Status
from refresh.run import launch, steps
from refresh.run.launch import RunContext
from refresh.run.plan import Plan, Step, Task, make_plan
from refresh.run.steps import LEAST_TIMEOUT, PATIENCE, Limits, run
from refresh.stop import Stop
from refresh.due import survey
from refresh.store.database import connect, transaction

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from refresh.run.report import RunReport, StepReport

DAILY, BARS, CAL_US, EMAS, V2 = (
    by_key(key) for key in ("bars.1d", "bars.multi_tf", "bars.cal_us", "emas.multi_tf", "emas.v2")
)
REQUEST = Request(all=True)
ASSETS = (1, 52, 825)
FILL = """
    INSERT INTO cmc_price_histories7 (id, "timestamp", timeopen, timeclose, open, high, low, close, volume)
    SELECT asset, at, at - interval '1 day - 1 ms', at, 10, 20, 5, 10 + asset / 1000.0, 1000
    FROM generate_series(timestamptz '2024-01-01Z', timestamptz '2024-01-25Z', interval '1 day') AS day
    CROSS JOIN LATERAL (SELECT day + interval '1 day - 1 ms' AS at) AS d
    CROSS JOIN unnest(CAST(:assets AS int[])) AS asset
"""
LONG = 300.0
"""Seconds that no builder of these tests needs, however slow the machine is."""


class Notebook:
    """Notes when steps begin and end and how assets do, and calls whoever wants to know of it."""

    def __init__(self, **calls: Callable[[Any], object]) -> None:
        self.events: list[tuple[str, str]] = []
        self.outcomes: list[Outcome] = []
        self._calls = calls

    def _call(self, name: str, told: object) -> None:
        self._calls.get(name, lambda _: None)(told)

    def begin(self, step: Step, place: int, steps: int) -> None:
        """Note that it begins."""
        assert 1 <= place <= steps
        self.events.append(("begin", step.builder.key))
        self._call("begin", step)

    def outcome(self, outcome: Outcome) -> None:
        """Note the outcome."""
        self.outcomes.append(outcome)
        self._call("outcome", outcome)

    def words(self, step: Step, line: str) -> None:
        """No matter."""

    def end(self, report: StepReport) -> None:
        """Note that it ended."""
        self.events.append(("end", report.builder.key))
        self._call("end", report)


@pytest.fixture
def engine(prepared_url: str) -> Iterator[Engine]:
    """An engine on a database with 25 days of three assets, and their daily bars."""
    engine = connect(prepared_url)
    with engine.begin() as connection:
        connection.execute(text(FILL), {"assets": list(ASSETS)})
    refresh(engine, REQUEST, [DAILY])
    yield engine
    engine.dispose()


def context(engine: Engine, end_sessions: Callable[[int], object] = lambda _: None) -> RunContext:
    """A run on the engine's database."""
    url = engine.url.render_as_string(hide_password=False)
    return RunContext("the run", NOW, {"TARGET_DB_URL": url, "PATH": os.environ["PATH"]}, end_sessions)


def plan(engine: Engine, *builders: BuilderConfig) -> Plan:
    """The plan of these builders."""
    with transaction(engine) as connection:
        scopes = survey.open_scopes(connection, builders, REQUEST, NOW)
        return make_plan(builders, REQUEST, survey.survey(connection, scopes))


def endings(report: RunReport) -> dict[str, dict[int, Status]]:
    """How each asset ended in each step; none is told twice."""
    found = {step.builder.key: {one.id: one.status for one in step.outcomes} for step in report.steps}
    assert {key: len(ids) for key, ids in found.items()} == {
        step.builder.key: len(step.outcomes) for step in report.steps
    }
    return found


def everywhere(status: Status) -> dict[int, Status]:
    """Every asset ended like this."""
    return dict.fromkeys(ASSETS, status)


def errors(report: StepReport) -> set[str | None]:
    """What is said of the assets that were not reached."""
    return {outcome.error for outcome in report.of(Status.NOT_REACHED)}


def builders_of_ours() -> list[int]:
    """The builder processes that this process started and that are alive."""
    found = subprocess.run(["pgrep", "-P", str(os.getpid()), "-f", "refresh.builder"], capture_output=True, check=False)
    return [int(pid) for pid in found.stdout.split()]


@contextmanager
def held(engine: Engine, builder: BuilderConfig) -> Iterator[Connection]:
    """Let nobody write what a builder writes, until the block or its transaction ends."""
    with engine.connect() as connection:
        for leg in builder.legs:
            connection.execute(text(f"LOCK TABLE {leg.target} IN SHARE MODE"))
        yield connection
        connection.rollback()


def await_hanging(engine: Engine) -> None:
    """Return when a session of the database waits for a lock."""
    waiting = text(
        "SELECT EXISTS (SELECT FROM pg_locks AS l JOIN pg_database AS d ON d.oid = l.database"
        " WHERE NOT l.granted AND d.datname = current_database())"
    )
    deadline = time.monotonic() + LONG
    with engine.connect() as connection:
        while not connection.scalar(waiting):
            assert time.monotonic() < deadline
            time.sleep(0.05)


def stored(engine: Engine, builder: BuilderConfig) -> int:
    """How many rows a builder's tables hold."""
    with engine.connect() as connection:
        counts = [connection.scalar(text(f"SELECT count(*) FROM {leg.target}")) for leg in builder.legs]
    return sum(count or 0 for count in counts)


def stopping(stop: Stop, number: int = signal.SIGTERM, *, urgent: bool = False) -> Callable[[Any], None]:
    """What asks a run to stop when it is called."""

    def ask(_: object) -> None:
        stop.signal, stop.urgent = number, urgent

    return ask


def test_one_after_another(engine: Engine) -> None:
    """With one job each step ends before the next in order begins."""
    notebook = Notebook()
    report = run(plan(engine, BARS, CAL_US, EMAS), REQUEST, context(engine), notebook, limits=Limits(jobs=1))
    keys = [BARS.key, CAL_US.key, EMAS.key]
    assert notebook.events == [(event, key) for key in keys for event in ("begin", "end")]
    assert endings(report) == dict.fromkeys(keys, everywhere(Status.DONE))
    assert report.exit_code == 0


def test_side_by_side(engine: Engine) -> None:
    """A step overlaps with those that it does not read from, and begins after those that it does."""
    with held(engine, CAL_US) as holding:

        def release(report: StepReport) -> None:
            if report.builder == EMAS:
                holding.rollback()

        notebook = Notebook(end=release)
        limits = Limits(jobs=2, timeout=LONG)
        report = run(plan(engine, BARS, CAL_US, EMAS), REQUEST, context(engine), notebook, limits=limits)
    assert notebook.events == [
        ("begin", BARS.key),
        ("begin", CAL_US.key),
        ("end", BARS.key),
        ("begin", EMAS.key),
        ("end", EMAS.key),
        ("end", CAL_US.key),
    ]
    assert endings(report) == dict.fromkeys([BARS.key, CAL_US.key, EMAS.key], everywhere(Status.DONE))
    assert [step.builder for step in report.steps] == [BARS, CAL_US, EMAS]


def test_free_place_that_nobody_may_take(engine: Engine) -> None:
    """A step waits for its input, however many could run."""
    notebook = Notebook(begin=lambda step: running.append((step.builder, len(builders_of_ours()))))
    running: list[tuple[BuilderConfig, int]] = []
    report = run(plan(engine, BARS, EMAS), REQUEST, context(engine), notebook, limits=Limits(jobs=9))
    assert notebook.events == [("begin", BARS.key), ("end", BARS.key), ("begin", EMAS.key), ("end", EMAS.key)]
    assert running == [(BARS, 0), (EMAS, 0)]
    assert report.exit_code == 0


def test_never_more_than_jobs(engine: Engine) -> None:
    """Steps that could all begin at once begin only as places come free."""
    builders = [by_key(f"bars.{name}") for name in ("multi_tf", "cal_us", "cal_iso", "cal_anchor_us")]
    running: list[int] = []
    notebook = Notebook(begin=lambda _: running.append(len(builders_of_ours())))
    report = run(plan(engine, *builders), REQUEST, context(engine), notebook, limits=Limits(jobs=2))
    assert running[0] == 0
    assert max(running) <= 1
    began = [key for event, key in notebook.events if event == "begin"]
    assert began == [builder.key for builder in builders]
    assert notebook.events[:2] == [("begin", builders[0].key), ("begin", builders[1].key)]
    assert report.exit_code == 0


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_stopped_before_the_first_step(number: int, code: int) -> None:
    """Nothing begins and no process starts; what was planned is not reached, what was skipped stays skipped."""
    missed, left_out = Task(1, "append 1 day", 1, 1), Task(52, "bars pending: run the bar builders first")
    planned = Plan(
        (Step(DAILY, (missed,), (), ("no such builder",)), Step(EMAS, (missed,), (left_out,), ("no such builder",))), 2
    )
    stop, notebook = Stop(), Notebook()
    stop.signal = number
    began = RunContext("the run", NOW, {"TARGET_DB_URL": "nowhere"})
    report = run(planned, REQUEST, began, notebook, stop=stop)
    assert report.exit_code == code
    assert report.stopped_by == number
    assert [(step.launched, step.seconds) for step in report.steps] == [(False, 0.0)] * 2
    assert endings(report) == {
        DAILY.key: {1: Status.NOT_REACHED},
        EMAS.key: {1: Status.NOT_REACHED, 52: Status.SKIPPED},
    }
    said = f"the run was stopped by {signal.Signals(number).name}"
    assert [errors(step) for step in report.steps] == [{said}, {said}]
    assert {outcome.reason for step in report.steps for outcome in step.of(Status.NOT_REACHED)} == {"append 1 day"}
    assert notebook.events == [("end", DAILY.key), ("end", EMAS.key)]


def test_stopped_while_a_builder_works(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """The builder may end what it has in hand; nothing is begun after it and no process is left."""
    monkeypatch.setattr(launch, "SECONDS_TO_STOP", LONG)
    stop = Stop()
    notebook = Notebook(outcome=stopping(stop))
    planned = plan(engine, BARS, EMAS)
    report = run(planned, REQUEST, context(engine), notebook, stop=stop)
    assert report.exit_code == 143
    assert builders_of_ours() == []
    assert notebook.events[0] == ("begin", BARS.key)
    assert sorted(notebook.events[1:]) == [("end", BARS.key), ("end", EMAS.key)]
    bars, emas = report.steps
    assert (bars.launched, emas.launched) == (True, False)
    assert bars.of(Status.DONE)
    assert len(bars.outcomes) == len(ASSETS)
    assert errors(bars) <= {"the run was stopped by SIGTERM"}
    assert endings(report)[EMAS.key] == everywhere(Status.NOT_REACHED)
    assert errors(emas) == {"the run was stopped by SIGTERM"}
    assert stored(engine, EMAS) == 0


@pytest.mark.parametrize(("seconds", "urgent"), [(1.0, False), (LONG, True)], ids=["once", "twice"])
def test_stopped_while_a_builder_hangs(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, seconds: float, *, urgent: bool
) -> None:
    """A builder that cannot end is killed in the end, or at once where the signal is repeated; its session is ended."""
    monkeypatch.setattr(launch, "SECONDS_TO_STOP", seconds)
    stop = Stop()
    killed: list[int] = []
    pids: list[int] = []
    planned = plan(engine, CAL_US, BARS)

    def wait(report: StepReport) -> None:
        if report.builder == BARS:
            await_hanging(engine)
            pids.extend(builders_of_ours())
            stopping(stop, urgent=urgent)(report)

    with held(engine, CAL_US):
        began = time.monotonic()
        notebook = Notebook(end=wait)
        report = run(
            planned, REQUEST, context(engine, killed.append), notebook, limits=Limits(jobs=2, timeout=LONG), stop=stop
        )
        assert time.monotonic() - began < LONG
        assert builders_of_ours() == []
    assert report.exit_code == 143
    assert killed == pids
    assert len(pids) == 1
    assert endings(report) == {CAL_US.key: everywhere(Status.NOT_REACHED), BARS.key: everywhere(Status.DONE)}
    assert errors(report.steps[0]) == {"the run was stopped by SIGTERM"}
    assert stored(engine, CAL_US) == 0


def test_stopped_when_everything_is_done(engine: Engine) -> None:
    """A signal after the last asset is told by the exit code, and takes nothing back."""
    stop = Stop()
    notebook = Notebook(end=stopping(stop))
    report = run(plan(engine, BARS), REQUEST, context(engine), notebook, stop=stop)
    assert endings(report) == {BARS.key: everywhere(Status.DONE)}
    assert report.exit_code == 143


def test_stale_inputs(engine: Engine) -> None:
    """Assets whose bars turn out to lag are skipped with the reason; only EMAs are asked for, when they begin."""
    asked: list[tuple[BuilderConfig, int]] = []
    notebook = Notebook()

    def stale(builder: BuilderConfig) -> Mapping[int, str]:
        asked.append((builder, len(notebook.events)))
        return {52: "bars end 9 days before the source"} if builder == EMAS else dict.fromkeys(ASSETS, "bars lag")

    report = run(plan(engine, BARS, EMAS, V2), REQUEST, context(engine), notebook, limits=Limits(jobs=1), stale=stale)
    assert asked == [(EMAS, 2), (V2, 4)]
    assert endings(report) == {
        BARS.key: everywhere(Status.DONE),
        EMAS.key: {1: Status.DONE, 52: Status.SKIPPED, 825: Status.DONE},
        V2.key: everywhere(Status.SKIPPED),
    }
    assert [step.launched for step in report.steps] == [True, True, False]
    left_out = [(one.builder, one.id, one.reason) for one in notebook.outcomes if one.status is Status.SKIPPED]
    assert left_out == [
        (EMAS.key, 52, "bars end 9 days before the source"),
        *((V2.key, asset, "bars lag") for asset in ASSETS),
    ]
    assert report.exit_code == 1
    with engine.connect() as connection:
        assert list(connection.scalars(text("SELECT DISTINCT id FROM cmc_ema_multi_tf ORDER BY 1"))) == [1, 825]


def test_builder_out_of_time(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """A builder that hangs is ended by the timeout, its assets are not reached, and who reads from it skips them."""
    monkeypatch.setattr(launch, "SECONDS_TO_STOP", 1)
    planned = plan(engine, BARS, EMAS)
    with held(engine, BARS):
        report = run(planned, REQUEST, context(engine), Notebook(), limits=Limits(timeout=4.0))
        assert builders_of_ours() == []
    bars, _ = report.steps
    assert 4 <= bars.seconds < LONG
    assert endings(report) == {BARS.key: everywhere(Status.NOT_REACHED), EMAS.key: everywhere(Status.SKIPPED)}
    assert errors(bars) == {"the builder took longer than 4 s (--timeout)"}
    assert report.stopped_by is None
    assert report.exit_code == 1
    assert stored(engine, BARS) == 0


def test_run_goes_on_after_a_timeout(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps that do not read from the builder that hung still run, each with its own time."""
    monkeypatch.setattr(launch, "SECONDS_TO_STOP", 1)
    monkeypatch.setattr(steps, "LEAST_TIMEOUT", 3.0)
    planned = plan(engine, BARS, CAL_US, EMAS, V2)
    expected = {BARS: 0.1, CAL_US: LONG, EMAS: LONG, V2: LONG}
    patient = replace(
        planned, steps=tuple(replace(step, estimated_seconds=expected[step.builder]) for step in planned.steps)
    )
    notebook = Notebook()
    with held(engine, BARS):
        report = run(patient, REQUEST, context(engine), notebook)
    assert endings(report) == {
        BARS.key: everywhere(Status.NOT_REACHED),
        CAL_US.key: everywhere(Status.DONE),
        EMAS.key: everywhere(Status.SKIPPED),
        V2.key: everywhere(Status.DONE),
    }
    assert all("--timeout" in (error or "") for error in errors(report.steps[0]))
    assert {outcome.reason for outcome in report.steps[2].outcomes} == {"bars failed"}
    assert [key for event, key in notebook.events if event == "begin"] == [BARS.key, CAL_US.key, EMAS.key, V2.key]


@pytest.mark.parametrize(
    ("limits", "expected", "seconds"),
    [
        (Limits(), 0.0, LEAST_TIMEOUT),
        (Limits(), 1000.0, 1000.0 * PATIENCE),
        (Limits(timeout=60.0), 1000.0, 60.0),
        (Limits(timeout=10**6), 0.0, 10**6),
    ],
)
def test_seconds_of_a_step(limits: Limits, expected: float, seconds: float) -> None:
    """A timeout that was given holds; else a builder has ten times what it should take, and always half an hour."""
    assert limits.seconds(Step(DAILY, (), (), (), estimated_seconds=expected)) == seconds
