"""The one mechanism that all builders share: lock, decide, read, compute, commit, report.

Assets are worked on in pieces. Under the locks of a piece, one transaction decides what is due and commits rows,
watermarks, marks and outcomes. A piece that fails is halved until the asset that fails is alone: it is rolled back, its
siblings are committed. After a transient error, such as a lost connection, what is then due is tried again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from sqlalchemy import Connection, Engine

from refresh.builder.done import Done
from refresh.builder.pieces import Decided, Piece
from refresh.builder.progress import Progress, outcomes
from refresh.builder.reading import Refresh
from refresh.builder.recipes import Recipe, recipe_of
from refresh.catalog import Leg
from refresh.due import survey
from refresh.due.batches import Batch, batches
from refresh.due.decision import Cause
from refresh.due.decisions import Decisions
from refresh.due.scope import Scope
from refresh.errors import RefreshError, ViolationError
from refresh.records import VIOLATIONS, Outcome
from refresh.store import history
from refresh.store.contradictions import forget_contradictions
from refresh.store.database import begin_writing, read_committed, repeatable_read, transaction
from refresh.store.locks import assets_held, claims
from refresh.store.places import give_places
from refresh.store.retry import is_transient, retried
from refresh.store.server_errors import ASSET_ERRORS, first_line

VALUES_AT_ONCE = 7_000_000
"""The number of values of one table that are computed at once: it bounds a builder's memory, whatever the assets."""
LOCKS_AT_ONCE = 1_500
"""The number of locks of a piece: the server has room for some six thousand, and others need it too."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Listeners:
    """Who learns how the work goes on.

    ``report`` gets each asset once, after its last leg; ``note`` what is tried again. Once ``is_stopping`` is true, no
    further batch is begun.
    """

    report: Callable[[Outcome], None]
    note: Callable[[str], None] = lambda _: None
    is_stopping: Callable[[], bool] = lambda: False

    def retry(self, error: Exception) -> None:
        """Note that something is tried again."""
        self.note(f"trying again: {first_line(error)}")


def refresh(
    engine: Engine,
    scope: Scope,
    listeners: Listeners,
    *,
    ids: Sequence[int] | None = None,
    values_at_once: int = VALUES_AT_ONCE,
    again: bool = False,
) -> None:
    """Bring every leg of a builder up to date: these assets of the scope, of which ``again`` some may be done."""
    _Work(engine, scope, listeners, values_at_once, again).run(ids)


def rows_at_once(recipe: Recipe, leg: Leg, values_at_once: int = VALUES_AT_ONCE) -> int:
    """The number of rows of a leg's table that are computed at once."""
    return values_at_once // (recipe.copies_in_memory * len(leg.shape.columns))


@dataclass(frozen=True, kw_only=True, slots=True)
class _Failure:
    """The error of an asset in words, and what is worth counting of it."""

    error: str
    notes: Mapping[str, int]


class _Work:
    """One builder at work: piece by piece, in each its legs in order."""

    def __init__(self, engine: Engine, scope: Scope, listeners: Listeners, values_at_once: int, again: bool) -> None:
        self._engine, self._scope, self._listeners = engine, scope, listeners
        self._recipe = recipe_of(scope.builder)
        self._values_at_once, self._again = values_at_once, again
        self._decisions = Decisions(scope)
        self._progress: dict[int, Progress] = {}
        self._decided = Decided()

    def run(self, known: Sequence[int] | None) -> None:
        """Look at every asset, and do what is due."""
        legs = self._scope.builder.legs
        ids = retried(lambda _: self._ids(known), self._scope.selection.retries, self._listeners.retry)
        self._progress = {id: Progress(open=len(legs)) for id in ids}
        for piece in self._pieces(ids):
            for leg in legs:
                self._finish(leg, piece)

    def _ids(self, known: Sequence[int] | None) -> Sequence[int]:
        """The assets. Until one is done, or has nothing to do, it is recorded as not reached."""
        scope = self._scope
        with read_committed(self._engine) as connection:
            for leg in scope.builder.legs:
                give_places(connection, leg, scope.series_of(leg))
        with transaction(self._engine) as connection:
            ids = survey.asset_ids(connection, scope) if known is None else known
            history.note_unreached(connection, scope.run_id, scope.builder.key, ids, "not looked at yet")
        return ids

    def _pieces(self, ids: Sequence[int]) -> Iterator[Piece]:
        """All assets, as many at once as can be locked."""
        most = max(len(claims(self._scope.builder, leg)) for leg in self._scope.builder.legs)
        size = LOCKS_AT_ONCE // most
        for first in range(0, len(ids), size):
            yield Piece(ids=tuple(ids[first : first + size]))

    def _finish(self, leg: Leg, piece: Piece) -> None:
        """Settle a piece, and all pieces that it falls into."""
        waiting = [piece]
        while waiting and not self._listeners.is_stopping():
            current = waiting.pop()
            waiting += reversed(self._settle(leg, current))

    def _settle(self, leg: Leg, piece: Piece) -> list[Piece]:
        """Commit what can be committed at once. Returns what is left, or the halves of what failed."""
        began = time.monotonic()
        failure = self._attempt(leg, piece)
        if failure is None:
            return self._decided.others()
        if len(piece.ids) > 1:
            return piece.halves()
        self._fail(piece, failure, seconds=time.monotonic() - began)
        return self._decided.others()

    def _attempt(self, leg: Leg, piece: Piece) -> _Failure | None:
        """Commit a piece. Returns what failed for some asset in it, if anything did; transient errors are raised.

        The error itself is not returned: it would keep the arrays of the batch in memory.
        """
        try:
            progress = self._retried(lambda tries: self._commit(leg, piece, tries), piece)
        except (RefreshError, ArithmeticError, ValueError, MemoryError, *ASSET_ERRORS) as error:
            if is_transient(error):
                raise
            notes = {VIOLATIONS: 1} if isinstance(error, ViolationError) else {}
            return _Failure(error=first_line(error), notes=notes)
        self._keep(progress)
        return None

    def _retried(self, commit: Callable[[int], dict[int, Progress]], piece: Piece) -> dict[int, Progress]:
        def note(error: Exception) -> None:
            self._listeners.retry(error)
            for id in piece.ids:
                self._progress[id] = replace(self._progress[id], retries=self._progress[id].retries + 1)

        return retried(commit, self._scope.selection.retries, note)

    def _commit(self, leg: Leg, piece: Piece, tries: int) -> dict[int, Progress]:
        """One transaction, under the locks of all assets that it may be about. Returns the progress of its assets."""
        began = time.monotonic()
        self._decided = Decided()
        claimed, stopping = claims(self._scope.builder, leg), self._listeners.is_stopping
        with (
            self._engine.connect() as connection,
            assets_held(connection, claimed, piece.ids, stopping) as are_held,
        ):
            if not are_held:
                return {}
            with repeatable_read(connection):
                self._decided = self._decide(connection, leg, piece)
                begin_writing(connection)
                done = Done()
                for batch in self._decided.batches[:1]:
                    done = self._refresh(connection, leg, batch)
                progress = self._after(piece, done, seconds=time.monotonic() - began)
                if tries or self._again:
                    progress |= self._done_before(connection, progress)
                self._record(connection, progress)
        return progress

    def _decide(self, connection: Connection, leg: Leg, piece: Piece) -> Decided:
        """What is due of a piece, as this transaction sees it.

        An asset whose state contradicts its table loses the state of all its series, whatever a run was narrowed to:
        series that are rebuilt now would hide that the others are missing.
        """
        dues = self._decisions.due(connection, leg, piece.ids)
        doubtful = {due.id for due in dues if due.cause in {Cause.CONTRADICTION, Cause.NEW}}
        if doubtful and leg.shape.has_timeframes:
            forget_contradictions(connection, leg, sorted(doubtful))
        limit = rows_at_once(self._recipe, leg, self._values_at_once)
        parts = batches(piece.within(dues), limit, len(piece.ids), series_together=leg.shelf_width)
        return Decided(tuple(parts))

    def _refresh(self, connection: Connection, leg: Leg, batch: Batch) -> Done:
        wanted = Refresh(connection=connection, scope=self._scope, leg=leg, batch=batch, decisions=self._decisions)
        return self._recipe.refresh(wanted)

    def _after(self, piece: Piece, done: Done, *, seconds: float) -> dict[int, Progress]:
        """The progress of the assets of a piece once a part of its work is done."""
        parts, dues = self._decided.parts, self._decided.dues
        progress = {id: self._progress[id].split(parts[id]) for id in piece.ids}
        for due in dues:
            reason = done.reasons.get(due.id, due.reason)
            progress[due.id] = progress[due.id].worked(reason, seconds=seconds / len(dues))
        return {id: state.after(id, done) for id, state in progress.items()}

    def _done_before(self, connection: Connection, progress: Mapping[int, Progress]) -> dict[int, Progress]:
        """What an attempt has committed although it seemed to fail: its connection was lost at the very end."""
        idle = [id for id in progress if id not in self._decided.parts]
        saved = history.outcomes_of(connection, self._scope.run_id, self._scope.builder.key, idle)
        return {id: progress[id].as_saved(outcome) for id, outcome in saved.items() if outcome.error is None}

    def _fail(self, piece: Piece, failure: _Failure, *, seconds: float) -> None:
        """Record the failure of the one asset of a piece. What is left of it is still tried."""
        (id,) = piece.ids
        reasons = [due.reason for due in self._decided.dues] or [""]
        progress = self._progress[id].split(self._decided.parts[id] or 1)
        for reason in reasons:
            progress = progress.worked(reason, seconds=seconds / len(reasons))
        done = Done(notes={id: failure.notes}, errors={id: failure.error})
        self._save({id: progress.after(id, done)})

    def _record(self, connection: Connection, progress: Mapping[int, Progress]) -> None:
        begun = {id: state for id, state in progress.items() if state.is_begun or not state.open}
        history.save_outcomes(connection, self._scope.run_id, outcomes(self._scope.builder.key, begun))

    def _save(self, progress: Mapping[int, Progress]) -> None:
        """Record what no piece could."""

        def save(_: int) -> None:
            with transaction(self._engine) as connection:
                self._record(connection, progress)

        retried(save, self._scope.selection.retries, self._listeners.retry)
        self._keep(progress)

    def _keep(self, progress: Mapping[int, Progress]) -> None:
        """Remember what is committed, and report the assets that have nothing left open."""
        self._progress.update(progress)
        for id, state in progress.items():
            if state.is_begun and not state.open:
                self._listeners.report(state.outcome(self._scope.builder.key, id))
