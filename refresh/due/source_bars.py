"""The daily bars of the present source, and how they differ from the stored ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from sqlalchemy import Connection

from refresh.core.daily import DailyBars, build_daily_bars
from refresh.core.fold import Folded, build_folded_bars, stacked_rejects
from refresh.core.rows import Rows, merge, take
from refresh.core.sessions import Sessions, traded, with_missing_sessions
from refresh.due import folding
from refresh.due.calendars import Setting, decide
from refresh.due.comparison import PRICES, find_revisions
from refresh.due.decision import Due
from refresh.due.revision import Revision
from refresh.due.scope import Scope
from refresh.store import inputs
from refresh.store.daily_state import DailyState
from refresh.store.source import ChangedMonth
from refresh.store.spans import Spans


@dataclass(frozen=True, kw_only=True, slots=True)
class SourceBars:
    """The daily bars and rejects of some assets from their ``since`` on, and the calendars that these lead to."""

    bars: DailyBars
    settings: Mapping[int, Setting]


def build_from_source(
    connection: Connection, scope: Scope, dues: Sequence[Due], states: Mapping[int, DailyState]
) -> SourceBars:
    """The daily bars and rejects of each asset from its ``since`` on, built from the source."""
    before = inputs.read_daily_before(connection, dues, scope.tz)
    built = _built(connection, scope, dues, before)
    numbers = dict(zip(before["id"].tolist(), before["bar_seq"].tolist(), strict=True))
    days = traded(built.bars)
    decided = decide(connection, dues, days, numbers, states, scope.tz)
    settings = {due.id: decided.get(due.id, Setting()) for due in dues}
    for id in settings.keys() - numbers.keys() - days.keys():
        if not settings[id].obstacle:  # without bars no calendar is in effect, whatever was chosen
            settings[id] = Setting()
    sessions = Sessions({id: setting.calendar for id, setting in settings.items()})
    bars = with_missing_sessions(built.bars, before, sessions)
    return SourceBars(bars=DailyBars(bars=bars, rejects=built.rejects), settings=settings)


def _built(connection: Connection, scope: Scope, dues: Sequence[Due], before: Rows) -> DailyBars:
    """The daily bars with every day counted as a session; those of some assets are folded."""
    now = np.datetime64(scope.now.replace(tzinfo=None), "us")
    plain = [due for due in dues if not due.fold]
    parts = []
    if plain or not dues:
        parts.append(build_daily_bars(inputs.read_raw(connection, scope.source, plain), before, now=now))
    folded = folding.read_folded(connection, scope.source, dues, now)
    parts += [build_folded_bars(part, _of(before, part)) for part in folded]
    if len(parts) == 1:
        return parts[0]
    return DailyBars(
        bars=merge([part.bars for part in parts], ("id", "day")),
        rejects=stacked_rejects([part.rejects for part in parts]),
    )


def _of(before: Rows, folded: Folded) -> Rows:
    """The last bars of the assets that are folded."""
    return take(before, np.isin(before["id"], folded.ids))


def examined_whole(dues: Sequence[Due], settings: Mapping[int, Setting], states: Mapping[int, DailyState]) -> list[Due]:
    """The work, from the first day on where bars of another calendar are stored."""
    moved = {due.id for due in dues if due.since and change(settings[due.id], states[due.id])}
    return [replace(due, since=None) if due.id in moved else due for due in dues]


def with_calendars(
    revisions: Mapping[int, Revision], settings: Mapping[int, Setting], states: Mapping[int, DailyState]
) -> dict[int, Revision]:
    """The revisions, with how the calendars of assets that have bars changed, or why they have none."""
    completed = dict(revisions)
    for id, revision in revisions.items():
        words, obstacle = change(settings[id], states[id]), settings[id].obstacle
        if words or obstacle:
            completed[id] = replace(revision, calendar=words, obstacle=obstacle)
    return completed


def change(setting: Setting, state: DailyState) -> str:
    """How the calendar of an asset changed, in words; empty if it did not, or if there were no bars before."""
    return setting.change(state.calendar) if state.bars else ""


def compare_daily(
    connection: Connection,
    scope: Scope,
    dues: Sequence[Due],
    states: Mapping[int, DailyState],
    rebuilt: Mapping[int, Sequence[ChangedMonth]],
) -> dict[int, Revision]:
    """How the daily bars built from the source differ from the stored ones, per asset.

    ``rebuilt``: the changed months of the assets that are built from the first day.
    """
    built = build_from_source(connection, scope, dues, states)
    whole = Spans(
        ids=[due.id for due in dues],
        begins=[due.since for due in dues],
        carries=[None] * len(dues),
        throughs=[states[due.id].last for due in dues],
    )
    stored = inputs.read_daily(connection, whole, scope.tz, ("id", "timestamp", *PRICES))
    known = {due.id: states[due.id] for due in dues}
    revisions = find_revisions(stored, built.bars.bars, known, rebuilt, built.bars.rejects)
    return with_calendars(revisions, built.settings, states)
