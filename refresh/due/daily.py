"""What is due on the daily bars: changed months, what that means day by day, and what is refused."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from refresh.due.decision import Action, Cause, Due
from refresh.due.revision import FUSE_ASSETS, Revision, mass_refusals, refusals
from refresh.due.scope import Scope
from refresh.store.source import (
    ChangedMonth,
    DailyState,
    changed_months,
    daily_states,
    matured_months,
    only_appended,
    removed_ids,
)

ROWS_AT_ONCE = 100_000


def daily_due(connection: Connection, scope: Scope) -> list[Due]:
    """What the daily bars have to read again, per asset; not yet what that means for its days."""
    selection = scope.selection
    cutoff = None if selection.rebuild else selection.detection.cutoff(scope.now)
    changed = changed_months(connection, scope.source, selection.ids, cutoff=cutoff, everything=selection.rebuild)
    changed += matured_months(connection, scope.source, selection.ids, scope.now)
    states = daily_states(connection, selection.ids)
    dues = decide_daily(changed, states, selection.tz, rebuild=selection.rebuild)
    if selection.detection.prune:
        for id in removed_ids(connection):
            if id in states:
                dues.append(Due(id=id, action=Action.PRUNE, days=states[id].bars))
    return dues


def decide_daily(
    changed: Iterable[ChangedMonth], states: Mapping[int, DailyState], tz: str, *, rebuild: bool
) -> list[Due]:
    """What to read again per asset whose source changed or whose state contradicts its table."""
    months: dict[int, list[ChangedMonth]] = {}
    for id, state in states.items():
        if not state.agrees:
            months[id] = []
    for month in changed:
        months.setdefault(month.id, []).append(month)
    return [_decide(id, months[id], states.get(id), tz, rebuild=rebuild) for id in sorted(months)]


def _decide(id: int, months: Sequence[ChangedMonth], state: DailyState | None, tz: str, *, rebuild: bool) -> Due:
    rows = sum(month.found for month in months)
    if rebuild:
        return Due(id=id, action=Action.REBUILD, days=rows, cause=Cause.REQUESTED)
    if state is None:
        return Due(id=id, action=Action.REBUILD, days=rows, cause=Cause.NEW)
    if not state.agrees:
        return Due(id=id, action=Action.REBUILD, days=max(rows, state.rows), cause=Cause.CONTRADICTION)
    dated = [month.month for month in months if month.month]
    if len(dated) < len(months) or state.last is None:
        return Due(id=id, action=Action.REVISE, days=rows + state.bars)
    since = _midnight(min(dated), tz)
    known_days = max((state.last - since).days, 0)
    return Due(id=id, action=Action.REVISE, since=since, days=rows + known_days)


def _midnight(first: date, tz: str) -> datetime:
    """The start of a day in a time zone, in UTC."""
    return datetime(first.year, first.month, first.day, tzinfo=ZoneInfo(tz)).astimezone(UTC)


def examined(connection: Connection, scope: Scope, dues: Sequence[Due]) -> list[Due]:
    """The work of a plan, with what it means for the days of each asset, and with what is refused until accepted."""
    revisions = _revisions(connection, scope, dues)
    if not revisions:
        return list(dues)
    refused: Mapping[int, str] = {}
    if not scope.selection.detection.accept_restatement:
        refused = refusals(revisions.values(), _assets(connection, scope), _limit(scope))
    examined_dues = []
    for due in dues:
        revision = revisions.get(due.id)
        examined_dues.append(due.examined(revision, refused.get(due.id)) if revision else due)
    return examined_dues


def without_mass_restatement(connection: Connection, scope: Scope, dues: Sequence[Due]) -> list[Due]:
    """The work of a builder. What restates too many assets at once is refused.

    What else a change means is decided where it is written. Only the assets are compared here that may have changed
    known days, and only if there are enough of them.
    """
    revised = _revised(dues)
    if scope.selection.detection.accept_restatement or len(revised) < FUSE_ASSETS:
        return list(dues)
    appended = only_appended(connection, scope.source, revised)
    suspects = [due for due in revised if due.id not in appended]
    if len(suspects) < FUSE_ASSETS:
        return list(dues)
    revisions = _revisions(connection, scope, suspects)
    refused = mass_refusals(revisions.values(), _assets(connection, scope), _limit(scope))
    return [replace(due, refusal=refused.get(due.id)) for due in dues]


def _assets(connection: Connection, scope: Scope) -> int:
    """The number of assets with daily bars, of those that the run is about."""
    return len(daily_states(connection, scope.selection.ids))


def _limit(scope: Scope) -> float:
    return scope.selection.detection.restate_limit


def _revised(dues: Sequence[Due]) -> list[Due]:
    return [due for due in dues if due.action is Action.REVISE]


def _revisions(connection: Connection, scope: Scope, dues: Sequence[Due]) -> dict[int, Revision]:
    """How the daily bars of each asset that is not rebuilt would change, without changing them."""
    revised = _revised(dues)
    if not revised:
        return {}
    from refresh.due.source_bars import compare_daily  # noqa: PLC0415 - numpy is loaded only where something changed

    states = daily_states(connection, [due.id for due in revised])
    revisions: dict[int, Revision] = {}
    for part in _parts(revised):
        revisions |= compare_daily(connection, scope, part, states)
    return revisions


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
