"""What one process decides about a builder's legs, each time from what its transaction sees."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sqlalchemy import Connection

from refresh.catalog import Leg
from refresh.due.daily import DailyDecisions
from refresh.due.decision import Due
from refresh.due.downstream import series_due
from refresh.due.scope import Scope
from refresh.store import history


class Decisions:
    """The decisions of one process. ``daily``: those about daily bars, which know which months have changed."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self.daily = DailyDecisions(scope)

    def due(self, connection: Connection, leg: Leg, ids: Sequence[int] | None) -> list[Due]:
        """What a leg has to take in from its input, for some assets; ``None``: for all.

        An asset that failed last time is marked as a retry.
        """
        scope = self._scope
        if leg.shape.has_timeframes:
            dues = series_due(connection, scope.narrowed(ids), leg)
        else:
            dues = self.daily.due(connection, ids)
        failed = history.failed_before(connection, scope.builder.key, scope.run_id, [due.id for due in dues])
        return [replace(due, is_retry=True) if due.id in failed else due for due in dues]
