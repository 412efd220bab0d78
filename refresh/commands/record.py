"""Writes the history of a run as it goes on: the run, its steps, and the outcomes that no builder could write.

It also keeps the lock of the refresh: a run whose session was lost takes it again before it starts another builder.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from sqlalchemy import Connection, Engine

from refresh.catalog import BuilderConfig
from refresh.due.freshness import lagging
from refresh.due.scope import Scope
from refresh.faces.document import run_document
from refresh.records import Outcome, Status
from refresh.run.launch import skipped, unlaunched
from refresh.run.plan import Plan, Step
from refresh.run.report import StepReport
from refresh.run.summary import Facts, Summary
from refresh.store import history, ledger, locks
from refresh.store.database import ASSET_ERRORS, first_line, read_committed
from refresh.store.retry import retried

Say = Callable[[str], None]
Result = TypeVar("Result")


@dataclass(frozen=True, kw_only=True, slots=True)
class Recorder:
    """Keeps the history of one run. A history that cannot be written is reported once, and stops nothing."""

    engine: Engine
    lock: locks.RefreshLock
    scopes: Mapping[BuilderConfig, Scope]
    run: history.Started
    retries: int
    say: Say
    _problems: list[str] = field(default_factory=list)

    def start(self, plan: Plan, remainder: Mapping[str, frozenset[int]]) -> None:
        """Note the run, and every asset of the plan as not reached yet.

        ``remainder``: what a resumed run left, by builder key; whatever of it is not in the plan is up to date by now.
        """
        outcomes: list[Outcome] = []
        for step in plan.steps:
            outcomes += unlaunched(step, "the run was broken off").outcomes
        outcomes += _settled(remainder, {(outcome.builder, outcome.id) for outcome in outcomes})

        def write(connection: Connection) -> None:
            history.begin_run(connection, self.run)
            history.save_outcomes(connection, self.run.run_id, outcomes)

        self._write(write)

    def begin(self, step: Step, number: int, _: int) -> None:
        """Note a step that is about to start. Raises ``AlreadyRunningError`` where another refresh took the lock."""
        try:
            retried(lambda _: self.lock.keep(), self._patience, self._note)
        except ASSET_ERRORS as error:  # the server is gone; builders will say so of their assets
            self._complain(error)

        def write(connection: Connection) -> None:
            if step.tasks:
                history.begin_step(
                    connection,
                    self.run.run_id,
                    step.builder.key,
                    place=number,
                    assets=len(step.tasks),
                    estimated_rows=step.estimated_rows,
                )
            history.save_outcomes(connection, self.run.run_id, skipped(step))

        self._write(write)

    def outcome(self, outcome: Outcome) -> None:
        """A builder writes its outcomes itself, with the rows they are about."""

    def words(self, step: Step, line: str) -> None:
        """Words are for the log."""

    def end(self, report: StepReport) -> None:
        """Note how a step ended, and which assets it did not reach."""

        def write(connection: Connection) -> None:
            history.save_outcomes(connection, self.run.run_id, report.of(Status.NOT_REACHED))
            if report.launched:
                history.end_step(
                    connection, self.run.run_id, report.builder.key, seconds=report.seconds, rows=report.rows
                )

        self._write(write)

    def facts(self) -> Facts:
        """What only the database knows about the run; nothing where it is gone."""

        def ask(connection: Connection) -> Facts:
            earlier = history.last_summary(connection) or {}
            return Facts(
                restated=ledger.read_lines(connection, self.run.run_id),
                failing_since=history.failing_since(connection, self.run.run_id),
                known_notices=tuple(earlier.get("notices", ())),
            )

        return self._asked(ask, otherwise=Facts())

    def finish(self, summary: Summary) -> None:
        """Note how the run ended."""

        def write(connection: Connection) -> None:
            history.end_run(connection, self.run.run_id, summary.exit_code, summary.rows, run_document(summary))
            if not summary.idle:
                history.forget_old(connection)

        self._write(write)

    def lagging(self, builder: BuilderConfig) -> dict[int, str]:
        """The assets whose bars lag too far behind the source for this builder, and how far."""
        return self._asked(lambda connection: lagging(connection, self.scopes[builder]), otherwise={})

    def end_sessions(self, pid: int) -> None:
        """End what a killed builder left running in the database; a server that is gone has ended it already."""
        try:
            with read_committed(self.engine) as connection:
                locks.end_sessions(connection, pid)
        except ASSET_ERRORS as error:
            self._note(error)

    def _asked(self, ask: Callable[[Connection], Result], *, otherwise: Result) -> Result:
        try:
            return self._with_connection(ask)
        except ASSET_ERRORS as error:
            self._complain(error)
            return otherwise

    def _write(self, work: Callable[[Connection], None]) -> None:
        self._asked(work, otherwise=None)

    def _with_connection(self, work: Callable[[Connection], Result]) -> Result:
        def attempt(_: int) -> Result:
            with read_committed(self.engine) as connection:
                return work(connection)

        return retried(attempt, self._patience, self._note)

    @property
    def _patience(self) -> int:
        """The number of retries: a server that did not come back once is not waited for again."""
        return 0 if self._problems else self.retries

    def _complain(self, error: Exception) -> None:
        if not self._problems:
            self.say(f"the history of this run is incomplete: {first_line(error)}")
        self._problems.append(first_line(error))

    def _note(self, error: Exception) -> None:
        self.say(f"trying again: {first_line(error)}")


def _settled(remainder: Mapping[str, frozenset[int]], planned: set[tuple[str, int]]) -> list[Outcome]:
    """Outcomes of what was left and is up to date by now."""
    return [
        Outcome(builder=key, id=id, status=Status.DONE, reason="up to date")
        for key, ids in remainder.items()
        for id in sorted(ids)
        if (key, id) not in planned
    ]
