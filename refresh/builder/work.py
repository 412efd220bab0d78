"""The one mechanism that all ten builders share: decide, read, compute, commit, report.

Assets are worked on in batches, each committed as one transaction of rows, watermarks, marks and outcomes. Where a
batch fails it is halved until the asset that fails stands alone: it is rolled back, its siblings are committed. What
passes by itself, such as a lost connection, is tried again, from what is then due.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain

from sqlalchemy import Connection, Engine

from refresh.builder.done import Done
from refresh.builder.recipes import RECIPES, Recipe
from refresh.catalog import Group, Leg
from refresh.core.span import Batch, Due, batches
from refresh.errors import RefreshError, ViolationError
from refresh.outcome import VIOLATIONS, Outcome, Status
from refresh.store import history, survey
from refresh.store.database import ASSET_ERRORS, first_line, prefer_indexes, snapshot, transaction
from refresh.store.locks import assets_held
from refresh.store.retry import passes, retried
from refresh.store.state import forget_contradictions
from refresh.store.survey import Scope
from refresh.store.tables import METADATA

VALUES_AT_ONCE = 7_000_000
"""How many values of one table are computed at once: what bounds a builder's memory, whatever the number of assets."""
ASSETS_AT_ONCE = 1_000
"""How many assets are held at once: the server has room for some six thousand locks."""

Report = Callable[[Outcome], None]
Note = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class _Progress:
    """What has been done for one asset so far, over all legs. ``open``: how much of what was due is still to come."""

    open: int
    reasons: tuple[str, ...] = ()
    rows: int = 0
    seconds: float = 0.0
    notes: Mapping[str, int] = field(default_factory=dict)
    errors: tuple[str, ...] = ()
    retries: int = 0

    def after(self, due: Due, *, done: Done | None = None, error: str | None = None, seconds: float) -> _Progress:
        """The progress once something due is done, or has failed."""
        done = done or Done()
        return replace(
            self,
            open=self.open - 1,
            reasons=(*self.reasons, due.reason),
            rows=self.rows + done.written.get(due.id, 0),
            seconds=self.seconds + seconds,
            notes=Counter(self.notes) + Counter(done.notes.get(due.id)),
            errors=(*self.errors, error) if error else self.errors,
        )

    def outcome(self, builder: str, id: int) -> Outcome:
        """How the asset stands: not reached while anything is open that has not failed."""
        status = Status.FAILED if self.errors else Status.NOT_REACHED if self.open else Status.DONE
        reason, error = ", ".join(dict.fromkeys(self.reasons)), "; ".join(self.errors) or None
        seconds = round(self.seconds, 3)
        return Outcome(builder, id, status, self.rows, seconds, reason, error, dict(self.notes), self.retries)


def refresh(
    engine: Engine,
    scope: Scope,
    report: Report,
    *,
    note: Note = lambda _: None,
    stopping: Callable[[], bool] = lambda: False,
    values_at_once: int = VALUES_AT_ONCE,
) -> None:
    """Bring every leg of a builder up to date and report each asset once, when its last leg is through.

    ``note`` is told of what is tried again. Where ``stopping`` turns true no further batch is begun.
    """
    dues = retried(lambda _: _due(engine, scope), scope.retries, lambda error: note(_again(error)))
    _Work(engine, scope, report, note, stopping, values_at_once).run(dues)


def _due(engine: Engine, scope: Scope) -> dict[Leg, list[Due]]:
    """What is due on each leg; nobody has been reached yet."""
    with transaction(engine) as connection:
        dues = {leg: survey.due(connection, scope, leg) for leg in scope.builder.legs}
        for leg in scope.builder.legs if scope.series else ():
            forget_contradictions(connection, leg, scope.ids)
        waiting = {one.id: _Progress(1, (one.reason,)) for each in dues.values() for one in each}
        history.save_outcomes(connection, scope.run_id, _outcomes(scope, waiting))
    return dues


def batches_of(recipe: Recipe, leg: Leg, dues: Iterable[Due], values_at_once: int = VALUES_AT_ONCE) -> Iterator[Batch]:
    """What is computed at once, and committed together, of all that is due on a leg and not refused."""
    rows_at_once = values_at_once // (recipe.held * len(METADATA.tables[leg.target].columns))
    return batches((due for due in dues if not due.refusal), rows_at_once, ASSETS_AT_ONCE)


def _outcomes(scope: Scope, progress: Mapping[int, _Progress]) -> list[Outcome]:
    return [one.outcome(scope.builder.key, id) for id, one in progress.items()]


def _again(error: Exception) -> str:
    return f"trying again: {first_line(error)}"


class _Work:
    """One builder at work: what is due on its legs, batch by batch."""

    def __init__(
        self,
        engine: Engine,
        scope: Scope,
        report: Report,
        note: Note,
        stopping: Callable[[], bool],
        values_at_once: int,
    ) -> None:
        self._engine, self._scope, self._recipe = engine, scope, RECIPES[scope.builder.kind]
        self._report, self._note, self._stopping = report, note, stopping
        self._values_at_once = values_at_once
        self._progress: dict[int, _Progress] = {}

    def run(self, dues: Mapping[Leg, Sequence[Due]]) -> None:
        """Work on everything due, leg by leg."""
        refused = {leg: [due for due in each if due.refusal] for leg, each in dues.items()}
        planned = {leg: list(batches_of(self._recipe, leg, each, self._values_at_once)) for leg, each in dues.items()}
        pieces = chain(*refused.values(), *(batch.dues for each in planned.values() for batch in each))
        self._progress = {id: _Progress(size) for id, size in Counter(due.id for due in pieces).items()}
        for leg in dues:
            self._refuse(refused[leg])
            for batch in planned[leg]:
                if self._stopping():
                    return
                self._settle(leg, batch)

    def _refuse(self, dues: Sequence[Due]) -> None:
        """What must not be taken in fails before anything is read for it."""
        self._save({due.id: self._after(due, error=due.refusal) for due in dues})

    def _settle(self, leg: Leg, batch: Batch) -> None:
        """Commit a batch, or find whoever fails in it."""
        began = time.monotonic()
        try:
            progress = retried(
                lambda tries: self._commit(leg, batch, tries),
                self._scope.retries,
                lambda error: self._tell(batch, error),
            )
        except (RefreshError, ArithmeticError, ValueError, *ASSET_ERRORS) as error:
            if passes(error):
                raise
            if len(batch.dues) > 1:
                for half in batch.halves():
                    self._settle(leg, half)
                return
            seconds = time.monotonic() - began
            of_emas = isinstance(error, ViolationError) and self._scope.builder.group is Group.EMAS
            notes = {VIOLATIONS: 1} if of_emas else {}
            failed = Done(notes={due.id: notes for due in batch.dues})
            progress = {
                due.id: self._after(due, done=failed, error=first_line(error), seconds=seconds) for due in batch.dues
            }
            self._save(progress)
        else:
            self._keep(progress)

    def _commit(self, leg: Leg, batch: Batch, tries: int) -> dict[int, _Progress]:
        """One transaction. What another process, or an attempt that seemed to fail, has done is not done again."""
        began = time.monotonic()
        with self._engine.connect() as connection, assets_held(connection, self._scope.builder, batch.ids) as waited:
            with snapshot(connection):
                prefer_indexes(connection)
                parts = self._still_due(connection, leg, batch) if waited or tries else [batch]
                done = sum((self._recipe.refresh(connection, self._scope, leg, part) for part in parts), Done())
                seconds = (time.monotonic() - began) / len(batch.dues)
                progress = {due.id: self._after(due, done=done, seconds=seconds) for due in batch.dues}
                history.save_outcomes(connection, self._scope.run_id, _outcomes(self._scope, progress))
            return progress

    def _still_due(self, connection: Connection, leg: Leg, batch: Batch) -> Iterator[Batch]:
        """What is due now of the assets and series of a batch."""
        dues = survey.due(connection, replace(self._scope, ids=tuple(batch.ids)), leg)
        wanted = set(batch.series)
        narrowed = (due.on(wanted) for due in dues if not wanted or wanted & set(due.series))
        return batches_of(self._recipe, leg, narrowed, self._values_at_once)

    def _tell(self, batch: Batch, error: Exception) -> None:
        self._note(_again(error))
        for id in batch.ids:
            self._progress[id] = replace(self._progress[id], retries=self._progress[id].retries + 1)

    def _after(
        self, due: Due, *, done: Done | None = None, error: str | None = None, seconds: float = 0.0
    ) -> _Progress:
        return self._progress[due.id].after(due, done=done, error=error, seconds=seconds)

    def _save(self, progress: Mapping[int, _Progress]) -> None:
        """Write down what no batch could."""

        def save(_: int) -> None:
            with transaction(self._engine) as connection:
                history.save_outcomes(connection, self._scope.run_id, _outcomes(self._scope, progress))

        if progress:
            retried(save, self._scope.retries, lambda error: self._note(_again(error)))
            self._keep(progress)

    def _keep(self, progress: Mapping[int, _Progress]) -> None:
        """Remember what is committed, and report whoever is through."""
        self._progress.update(progress)
        for id, one in progress.items():
            if not one.open:
                self._report(one.outcome(self._scope.builder.key, id))
