"""What is due on the daily bars: changed months, what that means day by day, and what must not be taken in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
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
    return dues + [Due(id=id, action=Action.PRUNE, days=states[id].bars) for id in _pruned(connection, scope)]


def _pruned(connection: Connection, scope: Scope) -> list[int]:
    if not scope.selection.detection.prune:
        return []
    ids = scope.selection.ids
    return [id for id in removed_ids(connection) if ids is None or id in ids]


def decide_daily(
    changed: Iterable[ChangedMonth], states: Mapping[int, DailyState], tz: str, *, rebuild: bool
) -> list[Due]:
    """What to read again per asset whose source changed or whose state contradicts its table."""
    months: dict[int, list[ChangedMonth]] = {id: [] for id, state in states.items() if not state.agrees}
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
    first = min(dated)
    since = datetime(first.year, first.month, 1, tzinfo=ZoneInfo(tz)).astimezone(UTC)
    return Due(id=id, action=Action.REVISE, since=since, days=rows + max((state.last - since).days, 0))


def examined(connection: Connection, scope: Scope, dues: Sequence[Due]) -> list[Due]:
    """The work with what it means for the days of each asset, and what is refused until it is accepted: for a plan."""
    revisions = _revisions(connection, scope, dues)
    refused: Mapping[int, str] = {}
    detection = scope.selection.detection
    if not detection.accept_restatement:
        assets = len(daily_states(connection, scope.selection.ids))
        refused = refusals(revisions.values(), assets, detection.restate_limit)
    return [due.examined(revisions[due.id], refused.get(due.id)) if due.id in revisions else due for due in dues]


def without_mass_restatement(connection: Connection, scope: Scope, dues: Sequence[Due]) -> list[Due]:
    """The work of a builder, where what is part of a restatement of too many assets is refused.

    A builder learns what else a change means where it writes. Here only those are examined that may have changed known
    days, and only if they are enough to matter.
    """
    detection = scope.selection.detection
    revised = [due for due in dues if due.action is Action.REVISE]
    if detection.accept_restatement or len(revised) < FUSE_ASSETS:
        return list(dues)
    appended = only_appended(connection, scope.source, revised)
    suspects = [due for due in revised if due.id not in appended]
    if len(suspects) < FUSE_ASSETS:
        return list(dues)
    assets = len(daily_states(connection, scope.selection.ids))
    revisions = _revisions(connection, scope, suspects)
    refused = mass_refusals(revisions.values(), assets, detection.restate_limit)
    return [replace(due, refusal=refused.get(due.id)) for due in dues]


def _revisions(connection: Connection, scope: Scope, dues: Sequence[Due]) -> dict[int, Revision]:
    """How the daily bars of each asset that is not rebuilt would change, without changing them."""
    revised = [due for due in dues if due.action is Action.REVISE]
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
