"""What a revision is where stored bars may be missing, wrong, or go altogether."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from sqlalchemy import Connection

from refresh.due.decision import Due
from refresh.due.revision import Restatement, Revision
from refresh.store.daily_state import DailyEdges, DailyState, daily_edges
from refresh.store.source import ChangedMonth, Source, only_appended

_FIRST = datetime(1, 1, 2, tzinfo=UTC)


def changed_in_source(
    connection: Connection,
    source: Source,
    dues: Sequence[Due],
    months: Mapping[int, Sequence[ChangedMonth]],
    states: Mapping[int, DailyState],
) -> dict[int, list[ChangedMonth]]:
    """Of what is built from the first day, the months that have changed in the source since they were processed.

    Only there a difference is a revision. Everything else is repaired.
    """
    if not dues:
        return {}
    appended = only_appended(connection, source, [replace(due, since=_FIRST) for due in dues])
    changed: dict[int, list[ChangedMonth]] = {}
    for due in dues:
        changed[due.id] = []
        if due.id not in appended:
            differing = [month for month in months.get(due.id, ()) if month.month and month.differs]
            changed[due.id] = _without_appended(differing, states.get(due.id))
    return changed


def _without_appended(months: Sequence[ChangedMonth], state: DailyState | None) -> list[ChangedMonth]:
    """The months without the one that got new days, if that may be all that changed in it."""
    known = [month for month in months if month.known]
    if not known:
        return list(months)
    last = known[-1]
    may_be_appended = last.found > last.known and (len(known) > 1 or state is None)
    return [month for month in months if month is not last or not may_be_appended]


def removals(connection: Connection, dues: Sequence[Due], tz: str) -> dict[int, Revision]:
    """The revisions that removing assets is."""
    edges = daily_edges(connection, [due.id for due in dues], tz) if dues else {}
    return {due.id: _removal(due, edges.get(due.id)) for due in dues}


def _removal(due: Due, edges: DailyEdges | None) -> Revision:
    restatement = None
    if edges:
        restatement = Restatement(first=edges.first, last=edges.last, old_close=edges.close, new_close=None)
    return Revision(id=due.id, deleted=due.days, is_removed=True, restatement=restatement)
