"""Keeps the history of a run while it goes on: the run, its steps, and the outcomes that no builder could write.

It also keeps the lock of the refresh: if its session was lost, the lock is taken again before the next builder starts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

from sqlalchemy import Connection, Engine

from refresh.catalog import BuilderConfig
from refresh.due.freshness import lagging
from refresh.due.scope import Scope
from refresh.errors import ExitCode
from refresh.faces.document import run_document
from refresh.records import Outcome, Status
from refresh.run.launch import skipped, unlaunched
from refresh.run.plan import Plan, Step
from refresh.run.report import StepReport
from refresh.run.summary import Facts, Summary
from refresh.store import history, ledger, locks, runs
from refresh.store.database import read_committed
from refresh.store.retry import retried
from refresh.store.server_errors import ASSET_ERRORS, first_line

Say = Callable[[str], None]
Result = TypeVar("Result")


@dataclass(frozen=True, kw_only=True, slots=True)
class Recorder:
    """Keeps the history of one run. A history that cannot be written is reported once, and stops nothing."""

    engine: Engine = field(repr=False)
    lock: locks.RefreshLock
    scopes: Mapping[BuilderConfig, Scope]
    run: history.Started
    retries: int
    say: Say
    _problems: list[str] = field(default_factory=list)

    def start(self, plan: Plan, remaining: Mapping[str, frozenset[int]]) -> None:
        """Save the run, and every asset of the plan as not reached yet.

        ``remaining``: the assets by builder key that a resumed run left. Those that are not planned are up to date.
        """
        outcomes: list[Outcome] = []
        for step in plan.steps:
            outcomes += unlaunched(step, "the run was broken off").outcomes
        planned = {(outcome.builder, outcome.id) for outcome in outcomes}
        outcomes += _up_to_date(remaining, planned)

        def save_run(connection: Connection) -> None:
            history.begin_run(connection, self.run)
            history.save_outcomes(connection, self._run_id, outcomes)

        self._write(save_run)

    def begin(self, step: Step, position: int, _: int) -> None:
        """Save a step that is about to start. Raises ``AlreadyRunningError`` if another refresh took the lock."""
        try:
            retried(lambda _: self.lock.keep(), self._patience, self._note)
        except ASSET_ERRORS as error:  # the server is gone; builders will report that for their assets
            self._complain(error)

        def save_step(connection: Connection) -> None:
            if step.tasks:
                self._save_start(connection, step, position)
            history.save_outcomes(connection, self._run_id, skipped(step))

        self._write(save_step)

    def _save_start(self, connection: Connection, step: Step, position: int) -> None:
        history.begin_step(
            connection,
            self._run_id,
            step.builder.key,
            place=position,
            assets=len(step.tasks),
            estimated_rows=step.estimated_rows,
        )

    def outcome(self, outcome: Outcome) -> None:
        """Builders save their outcomes themselves, together with the rows."""

    def words(self, step: Step, line: str) -> None:
        """The output of builders is not part of the history."""

    def end(self, report: StepReport) -> None:
        """Save how a step ended, and which assets it did not reach."""

        def save_report(connection: Connection) -> None:
            history.save_outcomes(connection, self._run_id, report.of(Status.NOT_REACHED))
            if report.launched:
                key, seconds = report.builder.key, report.seconds
                history.end_step(connection, self._run_id, key, seconds=seconds, rows=report.rows)

        self._write(save_report)

    def facts(self) -> Facts:
        """What only the database knows about the run; nothing if it cannot be reached."""
        return self._read(self._facts, default=Facts())

    def _facts(self, connection: Connection) -> Facts:
        earlier = runs.last_summary(connection) or {}
        return Facts(
            restated=ledger.read_lines(connection, self._run_id),
            failing_since=history.failing_since(connection, self._run_id),
            known_notices=tuple(earlier.get("notices", ())),
        )

    def finish(self, summary: Summary) -> None:
        """Save how the run ended."""

        def save_end(connection: Connection) -> None:
            history.end_run(connection, self._run_id, summary.exit_code, summary.rows, run_document(summary))
            if not summary.idle:
                history.forget_old(connection)

        self._write(save_end)

    @contextmanager
    def ending(self) -> Iterator[None]:
        """Save that the run failed if the block does, e.g. because the system gives no more files or memory."""
        try:
            yield
        except Exception:
            self._write(lambda connection: history.end_run(connection, self._run_id, ExitCode.FAILED, 0))
            raise

    def lagging(self, builder: BuilderConfig) -> dict[int, str]:
        """The assets whose bars lag too far behind the source for this builder, and how far."""
        return self._read(lambda connection: lagging(connection, self.scopes[builder]), default={})

    def end_sessions(self, pid: int, host: str | None = None) -> None:
        """End the database sessions that a killed builder left; a server that is gone has ended them already.

        ``host``: the machine of the builder, if it is not this one.
        """
        try:
            with read_committed(self.engine) as connection:
                locks.end_sessions(connection, pid, host)
        except ASSET_ERRORS as error:
            self._note(error)

    def _read(self, read: Callable[[Connection], Result], *, default: Result) -> Result:
        try:
            return self._with_connection(read)
        except ASSET_ERRORS as error:
            self._complain(error)
            return default

    def _write(self, save: Callable[[Connection], None]) -> None:
        self._read(save, default=None)

    def _with_connection(self, work: Callable[[Connection], Result]) -> Result:
        def attempt(_: int) -> Result:
            with read_committed(self.engine) as connection:
                return work(connection)

        return retried(attempt, self._patience, self._note)

    @property
    def _run_id(self) -> str:
        return self.run.run_id

    @property
    def _patience(self) -> int:
        """The number of retries: none once a server has not come back."""
        return 0 if self._problems else self.retries

    def _complain(self, error: Exception) -> None:
        if not self._problems:
            self.say(f"the history of this run is incomplete: {first_line(error)}")
        self._problems.append(first_line(error))

    def _note(self, error: Exception) -> None:
        self.say(f"trying again: {first_line(error)}")


def _up_to_date(remaining: Mapping[str, frozenset[int]], planned: set[tuple[str, int]]) -> list[Outcome]:
    """Outcomes of what a resumed run left and later runs have done."""
    left: list[tuple[str, int]] = []
    for key, ids in remaining.items():
        left += [(key, id) for id in sorted(ids)]
    done = [asset for asset in left if asset not in planned]
    return [Outcome(builder=key, id=id, status=Status.DONE, reason="up to date") for key, id in done]
