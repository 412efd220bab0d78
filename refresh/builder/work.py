"""The one mechanism that all ten builders share: decide, read, compute, commit, report.

Assets are worked on in batches, each committed as one transaction of rows, watermarks and marks. Where a batch fails
it is halved until the asset that fails stands alone: it is rolled back, its siblings are committed.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Engine

from refresh.builder.done import Done
from refresh.builder.recipes import RECIPES, Recipe
from refresh.catalog import Leg
from refresh.core.span import Batch, Due, batches
from refresh.errors import RefreshError
from refresh.outcome import Outcome, Status
from refresh.store import survey
from refresh.store.database import ASSET_ERRORS, connection_lost, first_line, prefer_indexes, transaction
from refresh.store.state import forget_contradictions
from refresh.store.survey import Scope

ROWS_AT_ONCE = 250_000
"""How many rows of one table are computed at once: what bounds a builder's memory, whatever the number of assets."""

Report = Callable[[Outcome], None]


@dataclass(slots=True)
class _Progress:
    """What has been done for one asset so far, over all legs."""

    open: int
    reasons: list[str] = field(default_factory=list)
    rows: int = 0
    seconds: float = 0.0
    notes: Counter[str] = field(default_factory=Counter)
    errors: list[str] = field(default_factory=list)

    def outcome(self, builder: str, id: int) -> Outcome:
        """The asset's outcome, once nothing is open."""
        status = Status.FAILED if self.errors else Status.DONE
        reason, error = ", ".join(dict.fromkeys(self.reasons)), "; ".join(self.errors) or None
        return Outcome(builder, id, status, self.rows, round(self.seconds, 3), reason, error, dict(self.notes))


def refresh(engine: Engine, scope: Scope, report: Report) -> None:
    """Bring every leg of a builder up to date and report each asset once, when its last leg is through."""
    recipe = RECIPES[scope.builder.kind]
    with transaction(engine) as connection:
        due = {leg: survey.due(connection, scope, leg) for leg in scope.builder.legs}
        for leg in scope.builder.legs if scope.series else ():
            forget_contradictions(connection, leg, scope.ids)
    progress = {id: _Progress(size) for id, size in Counter(one.id for dues in due.values() for one in dues).items()}
    for leg, dues in due.items():
        for one, result, seconds in _results(engine, scope, recipe, leg, dues):
            _note(progress[one.id], one, result, seconds)
            if not progress[one.id].open:
                report(progress[one.id].outcome(scope.builder.key, one.id))


def _results(
    engine: Engine, scope: Scope, recipe: Recipe, leg: Leg, dues: Sequence[Due]
) -> Iterator[tuple[Due, Done | str, float]]:
    """What became of everything due on a leg: what must not be taken in, then what was done batch by batch."""
    for due in dues:
        if due.refusal:
            yield due, due.refusal, 0.0
    for batch in batches((due for due in dues if not due.refusal), ROWS_AT_ONCE):
        yield from _attempt(engine, scope, recipe, leg, batch)


def _note(progress: _Progress, due: Due, result: Done | str, seconds: float) -> None:
    progress.open -= 1
    progress.seconds += seconds
    progress.reasons.append(due.reason)
    if isinstance(result, str):
        progress.errors.append(result)
        return
    progress.rows += result.written.get(due.id, 0)
    progress.notes.update(result.notes.get(due.id, {}))


def _attempt(
    engine: Engine, scope: Scope, recipe: Recipe, leg: Leg, batch: Batch
) -> Iterator[tuple[Due, Done | str, float]]:
    """Each asset of the batch with what was done or the error, and its share of the time."""
    began = time.monotonic()
    try:
        with transaction(engine) as connection:
            prefer_indexes(connection)
            result: Done | str = recipe(connection, scope, leg, batch)
    except (RefreshError, ArithmeticError, ValueError, *ASSET_ERRORS) as error:
        if connection_lost(error):
            raise
        result = first_line(error)
    if isinstance(result, str) and len(batch.dues) > 1:
        for half in batch.halves():
            yield from _attempt(engine, scope, recipe, leg, half)
        return
    seconds = (time.monotonic() - began) / len(batch.dues)
    for due in batch.dues:
        yield due, result, seconds
