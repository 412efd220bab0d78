"""Writes the history of a run as it goes on: the run, its steps, and the outcomes that no builder could write.

It also keeps the lock of the refresh: a run whose session was lost takes it again before it starts another builder.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from sqlalchemy import Connection, Engine

from refresh.catalog import BuilderConfig
from refresh.core.story import Facts
from refresh.faces.document import run_document
from refresh.outcome import Outcome, Status
from refresh.run.launch import skipped, unlaunched
from refresh.run.plan import Plan, Step
from refresh.run.report import StepReport
from refresh.run.summary import Summary
from refresh.store import history, locks, survey
from refresh.store.database import ASSET_ERRORS, first_line, read_committed
from refresh.store.retry import retried

Say = Callable[[str], None]
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Recorder:
    """Keeps the history of one run. A history that cannot be written is told of once, and stops nothing."""

    engine: Engine
    lock: locks.RefreshLock
    scopes: Mapping[BuilderConfig, survey.Scope]
    run: history.Started
    retries: int
    say: Say
    _told: list[str] = field(default_factory=list)

    def start(self, plan: Plan, left: Mapping[str, frozenset[int]]) -> None:
        """Note the run, and every asset of the plan as not reached yet.

        ``left``: what a resumed run left, by builder key; of that, what is not in the plan is up to date by now.
        """
        planned = [outcome for step in plan.steps for outcome in unlaunched(step, "the run was broken off").outcomes]
        known = {(outcome.builder, outcome.id) for outcome in planned}
        planned += [
            Outcome(key, id, Status.DONE, reason="up to date")
            for key, ids in left.items()
            for id in sorted(ids)
            if (key, id) not in known
        ]

        def write(connection: Connection) -> None:
            history.begin_run(connection, self.run)
            history.save_outcomes(connection, self.run.run_id, planned)

        self._write(write)

    def begin(self, step: Step, place: int, _: int) -> None:
        """Note a step that is about to start. Raises ``AlreadyRunningError`` where another refresh took our place."""
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
                    place=place,
                    assets=len(step.tasks),
                    estimated_rows=step.estimated_rows,
                )
            history.save_outcomes(connection, self.run.run_id, skipped(step))

        self._write(write)

    def outcome(self, outcome: Outcome) -> None:
        """A builder writes its outcomes itself, with the rows they tell of."""

    def words(self, step: Step, line: str) -> None:
        """Words are for the log."""

    def end(self, report: StepReport) -> None:
        """Note how a step ended, and whom it did not reach."""

        def write(connection: Connection) -> None:
            history.save_outcomes(connection, self.run.run_id, report.of(Status.NOT_REACHED))
            if report.launched:
                history.end_step(
                    connection, self.run.run_id, report.builder.key, seconds=report.seconds, rows=report.rows
                )

        self._write(write)

    def facts(self) -> Facts:
        """What the database alone can tell of the run; nothing where it is gone."""

        def ask(connection: Connection) -> Facts:
            return history.facts(connection, self.run.run_id)

        try:
            return self._with_connection(ask)
        except ASSET_ERRORS as error:
            self._complain(error)
            return Facts()

    def finish(self, summary: Summary) -> None:
        """Note how the run ended."""

        def write(connection: Connection) -> None:
            history.end_run(connection, self.run.run_id, summary.exit_code, summary.rows, run_document(summary))
            if not summary.idle:
                history.forget_old(connection)

        self._write(write)

    def lagging(self, builder: BuilderConfig) -> dict[int, str]:
        """The assets whose bars lag too far behind the source for this builder, and how far."""
        scope = self.scopes[builder]

        def ask(connection: Connection) -> dict[int, str]:
            return survey.lagging(connection, scope)

        try:
            return self._with_connection(ask)
        except ASSET_ERRORS as error:
            self._complain(error)
            return {}

    def end_sessions(self, pid: int) -> None:
        """End what a killed builder left running in the database; a server that is gone has ended it already."""
        try:
            with read_committed(self.engine) as connection:
                locks.end_sessions(connection, pid)
        except ASSET_ERRORS as error:
            self._note(error)

    def _with_connection(self, work: Callable[[Connection], Result]) -> Result:
        def attempt(_: int) -> Result:
            with read_committed(self.engine) as connection:
                return work(connection)

        return retried(attempt, self._patience, self._note)

    @property
    def _patience(self) -> int:
        """How often to try again: a server that was awaited once in vain is not awaited again."""
        return 0 if self._told else self.retries

    def _write(self, work: Callable[[Connection], None]) -> None:
        try:
            self._with_connection(work)
        except ASSET_ERRORS as error:
            self._complain(error)

    def _complain(self, error: Exception) -> None:
        if not self._told:
            self.say(f"the history of this run is incomplete: {first_line(error)}")
        self._told.append(first_line(error))

    def _note(self, error: Exception) -> None:
        self.say(f"trying again: {first_line(error)}")
