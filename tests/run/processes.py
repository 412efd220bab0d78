"""Real builders as child processes on a real database, and a watcher that records what they report."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from prices import fill
from refreshing import NOW, refresh
from run.planning import ASSETS, DAILY
from sqlalchemy import Connection, Engine, text

from refresh.catalog import BuilderConfig
from refresh.due import survey
from refresh.options.request import Request
from refresh.records import Outcome, Status
from refresh.run.context import RunContext
from refresh.run.plan import Plan, Step, make_plan
from refresh.run.report import RunReport, StepReport
from refresh.store.database import connect, transaction

EVERYTHING = Request(all=True)
LONG = 300.0
"""Seconds that no builder of these tests needs, however slow the machine is."""


class Recording:
    """Records when steps begin and end, and every outcome. Calls ``begin``, ``outcome`` and ``end``, if given."""

    def __init__(self, **calls: Callable[[Any], object]) -> None:
        self.events: list[tuple[str, str]] = []
        self.outcomes: list[Outcome] = []
        self._calls = calls

    def _call(self, name: str, value: object) -> None:
        if name in self._calls:
            self._calls[name](value)

    def begin(self, step: Step, position: int, steps: int) -> None:
        """Record the start of a step."""
        assert 1 <= position <= steps
        self.events.append(("begin", step.builder.key))
        self._call("begin", step)

    def outcome(self, outcome: Outcome) -> None:
        """Record an outcome."""
        self.outcomes.append(outcome)
        self._call("outcome", outcome)

    def words(self, step: Step, line: str) -> None:
        """Output is not recorded."""

    def end(self, report: StepReport) -> None:
        """Record the end of a step."""
        self.events.append(("end", report.builder.key))
        self._call("end", report)


def context(
    engine: Engine,
    *,
    environ: Mapping[str, str] | None = None,
    end_sessions: Callable[[int], object] = lambda _: None,
) -> RunContext:
    """A run on the engine's database, with more variables of the environment."""
    url = engine.url.render_as_string(hide_password=False)
    complete = {"TARGET_DB_URL": url, "PATH": os.environ["PATH"], **(environ or {})}
    return RunContext(run_id="the run", now=NOW, environ=complete, end_sessions=end_sessions)


def plan(engine: Engine, *builders: BuilderConfig, request: Request = EVERYTHING) -> Plan:
    """The plan of these builders."""
    with transaction(engine) as connection:
        scopes = survey.open_scopes(connection, builders, request.selection, NOW)
        return make_plan(builders, request, survey.survey(connection, scopes))


def statuses(outcomes: Sequence[Outcome]) -> dict[int, Status]:
    """How each asset ended; no asset is reported twice."""
    by_id = {outcome.id: outcome.status for outcome in outcomes}
    assert len(by_id) == len(outcomes)
    return by_id


def descendants() -> dict[int, str]:
    """The processes that this process or one of these started and that are alive, each with its command."""
    columns = ["ps", "-ww", "-eo", "pid=,ppid=,stat=,args="]
    listed = subprocess.run(columns, capture_output=True, text=True, check=True, errors="replace").stdout
    rows = [line.split(maxsplit=3) for line in listed.splitlines()]
    parents = {int(pid): int(parent) for pid, parent, *_ in rows}
    commands = {int(pid): "".join(words) for pid, _, state, *words in rows if not state.startswith("Z")}
    return {pid: command for pid, command in commands.items() if os.getpid() in ancestors(pid, parents)}


def ancestors(pid: int, parents: Mapping[int, int]) -> Iterator[int]:
    """The parent of a process, its parent, and so on."""
    while pid := parents.get(pid, 0):
        yield pid


def builder_pids() -> list[int]:
    """The builder processes of this process that are alive."""
    return [pid for pid, command in descendants().items() if "-m refresh.builder " in command]


def statuses_by_step(report: RunReport) -> dict[str, dict[int, Status]]:
    """How each asset ended in each step."""
    return {step.builder.key: statuses(step.outcomes) for step in report.steps}


def everywhere(status: Status) -> dict[int, Status]:
    """Every asset ended like this."""
    return dict.fromkeys(ASSETS, status)


def errors(report: StepReport) -> set[str | None]:
    """The errors of the assets that were not reached."""
    return {outcome.error for outcome in report.of(Status.NOT_REACHED)}


@contextmanager
def daily_bars(url: str) -> Iterator[Engine]:
    """An engine on a database with 25 days of three assets, and their daily bars."""
    with connect(url) as engine:
        for asset in ASSETS:
            fill(engine, asset, "2024-01-01", "2024-01-25")
        refresh(engine, EVERYTHING, [DAILY])
        yield engine


@contextmanager
def locked(engine: Engine, builder: BuilderConfig) -> Iterator[Connection]:
    """Let nobody write to the tables of a builder, until the block or its transaction ends."""
    with engine.connect() as connection:
        for leg in builder.legs:
            connection.execute(text(f"LOCK TABLE {leg.table} IN SHARE MODE"))
        yield connection
        connection.rollback()
