"""What is due on the daily bars: changed months, what that means day by day, and what is refused."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from operator import attrgetter
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from refresh.due import calendars, granularity
from refresh.due.decision import Action, Cause, Due
from refresh.due.granularity import Known
from refresh.due.missing import changed_in_source, removals
from refresh.due.revision import FUSE_ASSETS, Revision, history_refusals, mass_refusals, removal_refusals
from refresh.due.scope import Scope
from refresh.due.selection import Elsewhere
from refresh.store.daily_state import DailyState, daily_states, number_of_assets
from refresh.store.source import (
    ChangedMonth,
    changed_months,
    has_rows,
    known_ids,
    matured_months,
    only_appended,
    removed_ids,
)

ROWS_AT_ONCE = 100_000
Months = Mapping[int, Sequence[ChangedMonth]]
"""The changed months of each asset."""


class DailyDecisions:
    """What one process knows of the changes of the source, and decides from it.

    Which months have changed is found once, in one pass. Everything else is as the present transaction sees it.
    """

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self._months: Months | None = None
        self._rewrites: dict[int, bool] = {}
        self._others: dict[int, bool] = {}

    def due(self, connection: Connection, ids: Sequence[int] | None) -> list[Due]:
        """What the daily bars of some assets have to read again; not yet what that means for their days."""
        if self._months is None:
            self._months = self._changed(connection, self._scope.selection.ids)
        return self._decide(connection, ids, self._months)

    def _changed(self, connection: Connection, ids: Sequence[int] | None) -> Months:
        selection, source, now = self._scope.selection, self._scope.source, self._scope.now
        cutoff = None if selection.rebuild else selection.detection.cutoff(now)
        changed = changed_months(connection, source, ids, cutoff=cutoff, everything=selection.rebuild)
        changed += matured_months(connection, source, ids, now)
        months: dict[int, list[ChangedMonth]] = {}
        for month in changed:
            months.setdefault(month.id, []).append(month)
        return months

    def _decide(self, connection: Connection, ids: Sequence[int] | None, months: Months) -> list[Due]:
        selection = self._scope.selection
        states = daily_states(connection, ids)
        if ids is not None:
            months = {id: months[id] for id in ids if id in months}
        folds = granularity.folds(connection, self._scope.selection.ids, fold=selection.fold)
        due_anyway = {id for id, state in states.items() if state.is_outdated or not state.agrees}
        switched = granularity.switched(states, folds)
        revised = calendars.revised(connection, states, ids, selection.tz)
        gone: Collection[int] = ()
        if due_anyway or switched or revised or selection.detection.prune:
            gone = states.keys() & set(removed_ids(connection))
        wrong = due_anyway.difference(gone)  # what is gone from the source cannot be built again
        dues = decide_daily(months, states, wrong, selection.tz, rebuild=selection.rebuild)
        dues = granularity.switch(dues, states, {id: switched[id] for id in switched if id not in gone})
        dues = with_revised_calendars(dues, revised.difference(gone), states)
        dues = granularity.decide(connection, self._scope.source, dues, Known(months, states, folds))
        if selection.detection.prune:
            dues += [Due(id=id, action=Action.PRUNE, days=states[id].bars) for id in sorted(gone)]
        return dues

    def examined(self, connection: Connection, dues: Sequence[Due]) -> list[Due]:
        """The work of a plan, with what it means for the days of each asset, and with what is refused."""
        revisions = self._revisions(connection, dues)
        refused = self.refused(connection, revisions, dues)
        examined_dues = []
        for due in dues:
            revision = revisions.get(due.id)
            examined_dues.append(due.examined(revision, refused.get(due.id)) if revision else due)
        return examined_dues

    def refused(
        self, connection: Connection, revisions: Mapping[int, Revision], dues: Iterable[Due] = ()
    ) -> dict[int, str]:
        """The assets whose revision looks like a mistake of the source, and why, as the present transaction sees it.

        Counted are all known assets that are restated, also those that others refresh, or that this process has
        restated before. A rebuild or folding that was asked for is not judged: ``dues`` say where.
        """
        asked = {due.id for due in dues if due.is_switched}
        revisions = {id: revision for id, revision in revisions.items() if id not in asked}
        selection = self._scope.selection
        obstacles = {id: revision.obstacle for id, revision in revisions.items() if revision.obstacle}
        if selection.detection.accept_restatement or selection.rebuild:
            return obstacles
        found = {id: revision.rewrites_history for id, revision in revisions.items()}
        news = [id for id, rewrites in found.items() if rewrites and not self._rewriting(id)]
        self._rewrites |= found
        if news:
            self._others = self._examine_others(connection)
        refused = history_refusals(revisions.values())
        if any(revision.is_removed for revision in revisions.values()) and not has_rows(connection):
            refused |= removal_refusals(revisions.values())
        all = self.found(connection) + selection.detection.elsewhere
        limit = selection.detection.restate_limit
        refused |= mass_refusals(revisions.values(), all.restated, all.known, limit)
        return refused | obstacles

    def found(self, connection: Connection) -> Elsewhere:
        """What this database holds, in the eyes of others: its known assets, and those found to be restated."""
        restated = sum(map(self._rewriting, self._rewrites | self._others))
        return Elsewhere(known=number_of_assets(connection), restated=restated)

    def _rewriting(self, id: int) -> bool:
        """Whether an asset is known to be restated: as it was compared, otherwise as it was estimated."""
        return self._rewrites.get(id, self._others.get(id, False))

    def _examine_others(self, connection: Connection) -> dict[int, bool]:
        """Whether each of the other known assets would be restated; not compared if they cannot be too many."""
        others = [id for id in known_ids(connection) if id not in self._rewrites]
        suspects = self._suspects(connection, self._decide(connection, others, self._months_of(connection, others)))
        elsewhere = self._scope.selection.detection.elsewhere.restated
        if sum(self._rewrites.values()) + len(suspects) + elsewhere < FUSE_ASSETS:
            return {due.id: True for due in suspects}
        revisions = self._revisions(connection, suspects)
        return {id: revision.rewrites_history for id, revision in revisions.items()}

    def _months_of(self, connection: Connection, ids: Sequence[int]) -> Months:
        """The changed months of some assets, also of those that this process is not about."""
        selected = self._scope.selection.ids
        if selected is None:
            return self._months or {}
        return {**(self._months or {}), **self._changed(connection, sorted(set(ids).difference(selected)))}

    def _suspects(self, connection: Connection, dues: Iterable[Due]) -> list[Due]:
        """The work that may rewrite known days."""
        known = [due for due in dues if due.cause is not Cause.NEW and not due.refusal and not due.is_switched]
        appended = only_appended(connection, self._scope.source, [due for due in known if due.since])
        return [due for due in known if due.id not in appended]

    def _revisions(self, connection: Connection, dues: Sequence[Due]) -> dict[int, Revision]:
        """How the daily bars of each asset would change, without changing them."""
        removed = [due for due in dues if due.action is Action.PRUNE]
        revisions = self.removals(connection, removed)
        if self._scope.selection.rebuild:
            return revisions
        states = daily_states(connection, [due.id for due in dues])
        compared = [due for due in dues if due.id in states and due.action is not Action.PRUNE and not due.refusal]
        if not compared:
            return revisions
        from refresh.due.source_bars import compare_daily  # noqa: PLC0415 - numpy is loaded only where something changed

        for part in _parts(compared):
            revisions |= compare_daily(connection, self._scope, part, states, self.rebuilt(connection, part, states))
        return revisions

    def removals(self, connection: Connection, dues: Sequence[Due]) -> dict[int, Revision]:
        """The revisions that removing assets is."""
        return removals(connection, dues, self._scope.tz)

    def rebuilt(self, connection: Connection, dues: Sequence[Due], states: Mapping[int, DailyState]) -> Months:
        """The assets that are built from the first day, and their months that have changed since they were processed.

        Only there a difference is a revision. Everything else is repaired.
        """
        whole = [due for due in dues if due.action is Action.REBUILD]
        return changed_in_source(connection, self._scope.source, whole, self._months or {}, states)


def decide_daily(
    months: Months, states: Mapping[int, DailyState], wrong: Collection[int], tz: str, *, rebuild: bool
) -> list[Due]:
    """What to read again per asset whose source changed, or whose state is wrong."""
    ids = sorted({*months, *wrong})
    return [_decide(id, months.get(id, ()), states.get(id), tz, rebuild=rebuild) for id in ids]


def with_revised_calendars(dues: Sequence[Due], ids: Collection[int], states: Mapping[int, DailyState]) -> list[Due]:
    """The work, and that on assets whose calendar changed: their bars are examined from the first day."""
    whole = {id: Due(id=id, action=Action.REVISE, days=states[id].rows + states[id].bars) for id in ids}
    kept = [due if due.rewrites else whole.pop(due.id, due) for due in dues]
    others = whole.keys() - {due.id for due in dues}
    return sorted([*kept, *(whole[id] for id in others)], key=attrgetter("id"))


def _decide(id: int, months: Sequence[ChangedMonth], state: DailyState | None, tz: str, *, rebuild: bool) -> Due:
    rows = sum(month.found for month in months)
    if rebuild:
        return Due(id=id, action=Action.REBUILD, days=rows, cause=Cause.REQUESTED)
    if state is None:
        return Due(id=id, action=Action.REBUILD, days=rows, cause=Cause.NEW)
    if not state.agrees:
        return Due(id=id, action=Action.REBUILD, days=max(rows, state.rows), cause=Cause.CONTRADICTION)
    if state.is_outdated:
        return Due(id=id, action=Action.REBUILD, days=max(rows, state.rows), cause=Cause.OUTDATED)
    dated = [month.month for month in months if month.month]
    if len(dated) < len(months) or state.last is None:
        return Due(id=id, action=Action.REVISE, days=rows + state.bars)
    since = _midnight(min(dated), tz)
    known_days = max((state.last - since).days, 0)
    return Due(id=id, action=Action.REVISE, since=since, days=rows + known_days)


def _midnight(first: date, tz: str) -> datetime:
    """The start of a day in a time zone, in UTC."""
    return datetime(first.year, first.month, first.day, tzinfo=ZoneInfo(tz)).astimezone(UTC)


def _parts(dues: Sequence[Due]) -> Iterator[list[Due]]:
    """Assets whose rows fit into memory together."""
    part: list[Due] = []
    rows = 0
    for due in dues:
        if part and rows + due.days > ROWS_AT_ONCE:
            yield part
            part, rows = [], 0
        part.append(due)
        rows += due.days
    if part:
        yield part
