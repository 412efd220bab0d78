"""The one mechanism that all builders share: decide, read, compute, commit, report.

Assets are worked on in batches, each committed as one transaction of rows, watermarks, marks and outcomes. A batch that
fails is halved until the asset that fails is alone: it is rolled back, its siblings are committed. After a transient
error, such as a lost connection, the work is tried again, from what is then due.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain

from sqlalchemy import Connection, Engine

from refresh.builder.done import Done, together
from refresh.builder.progress import Progress, outcomes, waiting
from refresh.builder.reading import Refresh
from refresh.builder.recipes import Recipe, recipe_of
from refresh.catalog import Leg
from refresh.due import survey
from refresh.due.batches import Batch, batches
from refresh.due.daily import without_mass_restatement
from refresh.due.decision import Due
from refresh.due.scope import Scope
from refresh.errors import RefreshError, ViolationError
from refresh.records import VIOLATIONS, Outcome
from refresh.store import history
from refresh.store.database import ASSET_ERRORS, first_line, prefer_indexes, repeatable_read, transaction
from refresh.store.locks import assets_held
from refresh.store.retry import is_transient, retried
from refresh.store.state import forget_contradictions
from refresh.store.tables import METADATA

VALUES_AT_ONCE = 7_000_000
"""The number of values of one table that are computed at once: it bounds a builder's memory, whatever the assets."""
ASSETS_AT_ONCE = 1_000
"""The number of assets that are locked at once: the server has room for some six thousand locks."""


def _ignore(_: str) -> None:
    """Nobody listens."""


def _never() -> bool:
    return False


@dataclass(frozen=True, kw_only=True, slots=True)
class Listeners:
    """Who learns how the work goes on.

    ``report`` gets each asset once, after its last leg; ``note`` what is tried again. Once ``is_stopping`` is true, no
    further batch is begun.
    """

    report: Callable[[Outcome], None]
    note: Callable[[str], None] = _ignore
    is_stopping: Callable[[], bool] = _never

    def retry(self, error: Exception) -> None:
        """Note that something is tried again."""
        self.note(f"trying again: {first_line(error)}")


def refresh(engine: Engine, scope: Scope, listeners: Listeners, *, values_at_once: int = VALUES_AT_ONCE) -> None:
    """Bring every leg of a builder up to date."""
    dues = retried(lambda _: _due(engine, scope), scope.selection.retries, listeners.retry)
    _Work(engine, scope, listeners, values_at_once).run(dues)


def _due(engine: Engine, scope: Scope) -> dict[Leg, list[Due]]:
    """What is due on each leg. Until it is done, its assets are recorded as not reached."""
    with transaction(engine) as connection:
        dues = {leg: _due_on(connection, scope, leg) for leg in scope.builder.legs}
        progress = waiting(chain(*dues.values()))
        history.save_outcomes(connection, scope.run_id, outcomes(scope.builder.key, progress))
    return dues


def _due_on(connection: Connection, scope: Scope, leg: Leg) -> list[Due]:
    dues = survey.due(connection, scope, leg)
    if "source" in scope.builder.accepts:
        return without_mass_restatement(connection, scope, dues)
    if scope.series:
        forget_contradictions(connection, leg, scope.selection.ids)
    return dues


def batches_of(recipe: Recipe, leg: Leg, dues: Iterable[Due], values_at_once: int = VALUES_AT_ONCE) -> Iterator[Batch]:
    """What is computed at once and committed together, of all that is due on a leg and not refused."""
    columns = len(METADATA.tables[leg.target].columns)
    rows_at_once = values_at_once // (recipe.copies_in_memory * columns)
    accepted = (due for due in dues if not due.refusal)
    return batches(accepted, rows_at_once, ASSETS_AT_ONCE)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Failure:
    """The error of an asset in words, and what is worth counting of it."""

    error: str
    notes: Mapping[str, int]


class _Work:
    """One builder at work: what is due on its legs, batch by batch."""

    def __init__(self, engine: Engine, scope: Scope, listeners: Listeners, values_at_once: int) -> None:
        self._engine, self._scope, self._listeners = engine, scope, listeners
        self._recipe = recipe_of(scope.builder)
        self._values_at_once = values_at_once
        self._progress: dict[int, Progress] = {}

    def run(self, dues: Mapping[Leg, Sequence[Due]]) -> None:
        """Work on everything due, leg by leg. What is refused fails first."""
        refused = [due for due in chain(*dues.values()) if due.refusal]
        planned = [(leg, batch) for leg, of_leg in dues.items() for batch in self._batches(leg, of_leg)]
        pieces = Counter(due.id for due in refused)
        for _, batch in planned:
            pieces.update(batch.ids)
        self._progress = {id: Progress(open=number) for id, number in pieces.items()}
        self._refuse(refused)
        for leg, batch in planned:
            if self._listeners.is_stopping():
                return
            self._settle(leg, batch)

    def _batches(self, leg: Leg, dues: Iterable[Due]) -> Iterator[Batch]:
        return batches_of(self._recipe, leg, dues, self._values_at_once)

    def _refuse(self, dues: Sequence[Due]) -> None:
        """Refused work fails without being read."""
        refused = Done(errors={due.id: due.refusal for due in dues if due.refusal})
        self._save(self._after(dues, refused, seconds=0.0))

    def _settle(self, leg: Leg, batch: Batch) -> None:
        """Commit a batch, or find the assets that fail in it."""
        began = time.monotonic()
        failure = self._attempt(leg, batch)
        if failure is None:
            return
        if len(batch.dues) > 1:
            for half in batch.halves():
                self._settle(leg, half)
            return
        (due,) = batch.dues
        done = Done(notes={due.id: failure.notes}, errors={due.id: failure.error})
        self._save(self._after([due], done, seconds=time.monotonic() - began))

    def _attempt(self, leg: Leg, batch: Batch) -> _Failure | None:
        """Commit a batch. Returns what failed for some asset in it, if anything did; transient errors are raised.

        The error itself is not returned: it would keep the arrays of the batch in memory.
        """
        try:
            progress = self._retried(lambda tries: self._commit(leg, batch, tries), batch)
        except (RefreshError, ArithmeticError, ValueError, *ASSET_ERRORS) as error:
            if is_transient(error):
                raise
            notes = {VIOLATIONS: 1} if isinstance(error, ViolationError) else {}
            return _Failure(error=first_line(error), notes=notes)
        self._keep(progress)
        return None

    def _retried(self, commit: Callable[[int], dict[int, Progress]], batch: Batch) -> dict[int, Progress]:
        def note(error: Exception) -> None:
            self._listeners.retry(error)
            for id in batch.ids:
                self._progress[id] = replace(self._progress[id], retries=self._progress[id].retries + 1)

        return retried(commit, self._scope.selection.retries, note)

    def _commit(self, leg: Leg, batch: Batch, tries: int) -> dict[int, Progress]:
        """One transaction. What another process, or an attempt that seemed to fail, has done is not done again."""
        began = time.monotonic()
        with self._engine.connect() as connection, assets_held(connection, self._scope.builder, batch.ids) as waited:
            with repeatable_read(connection):
                prefer_indexes(connection)
                is_current = not (waited or tries)
                parts = [batch] if is_current else self._still_due(connection, leg, batch)
                done = together(self._refresh(connection, leg, part) for part in parts)
                seconds = (time.monotonic() - began) / len(batch.dues)
                progress = self._after(batch.dues, done, seconds=seconds)
                self._record(connection, progress)
            return progress

    def _refresh(self, connection: Connection, leg: Leg, batch: Batch) -> Done:
        wanted = Refresh(connection=connection, scope=self._scope, leg=leg, batch=batch)
        return self._recipe.refresh(wanted)

    def _after(self, dues: Iterable[Due], done: Done, *, seconds: float) -> dict[int, Progress]:
        """The progress of some assets once a piece of their work is done, or has failed."""
        return {due.id: self._progress[due.id].after(due, done, seconds=seconds) for due in dues}

    def _still_due(self, connection: Connection, leg: Leg, batch: Batch) -> Iterator[Batch]:
        """What is due now of the assets and series of a batch."""
        dues = survey.due(connection, self._scope.narrowed(batch.ids), leg)
        wanted = set(batch.series)
        if wanted:
            dues = [due.on(wanted) for due in dues if wanted.intersection(due.series)]
        return self._batches(leg, dues)

    def _record(self, connection: Connection, progress: Mapping[int, Progress]) -> None:
        history.save_outcomes(connection, self._scope.run_id, outcomes(self._scope.builder.key, progress))

    def _save(self, progress: Mapping[int, Progress]) -> None:
        """Record what no batch could."""

        def save(_: int) -> None:
            with transaction(self._engine) as connection:
                self._record(connection, progress)

        if progress:
            retried(save, self._scope.selection.retries, self._listeners.retry)
            self._keep(progress)

    def _keep(self, progress: Mapping[int, Progress]) -> None:
        """Remember what is committed, and report the assets that have nothing left open."""
        self._progress.update(progress)
        for id, state in progress.items():
            if not state.open:
                self._listeners.report(state.outcome(self._scope.builder.key, id))
