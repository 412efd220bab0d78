"""What a recipe is asked for, and where the rows of a table are computed from: what is stored, or memory alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import Connection

from refresh.builder.grid import Grid
from refresh.catalog import Leg
from refresh.core.calendar import Calendar
from refresh.core.rows import Rows
from refresh.core.series import Series
from refresh.due.batches import Batch
from refresh.due.decisions import Decisions
from refresh.due.scope import Scope
from refresh.store.places import Places
from refresh.store.spans import Spans


@dataclass(frozen=True, kw_only=True, slots=True)
class Refresh:
    """A batch of a leg that is brought up to date, in the transaction that decided about it."""

    connection: Connection
    scope: Scope
    leg: Leg
    batch: Batch
    decisions: Decisions

    @property
    def series(self) -> list[Series]:
        """The series of the batch; daily bars have none."""
        return self.scope.chosen(self.leg, self.batch.series)


@dataclass(frozen=True, kw_only=True, slots=True)
class Rebuild:
    """Some series of a leg, every row of its inputs by table, and the run's clock; daily bars have no series.

    ``calendars``: those that are not learned from the daily bars, by asset.
    """

    leg: Leg
    series: Sequence[Series]
    tables: Mapping[str, Rows]
    now: datetime
    calendars: Mapping[int, Calendar] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Reader:
    """What averages are read by: the transaction, the leg, the days of each asset, their grid and their places."""

    connection: Connection
    leg: Leg
    spans: Spans
    grid: Grid
    places: Places
