"""The daily bars: raw rows of changed months -> bars and rejects, and the memory of what was processed.

What a change means, and whether it is taken in, is decided here, in the transaction that writes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from dataclasses import replace as altered

import numpy as np

from refresh.builder.daily_notes import counts_of, notes_of
from refresh.builder.done import Done
from refresh.builder.reading import Rebuild, Refresh
from refresh.catalog import DAILY, SOURCE, dependants
from refresh.core.daily import DailyBars, build_daily_bars
from refresh.core.fold import FLAGS, Folded, build_folded_bars
from refresh.core.rows import DAY as CALENDAR_DAY
from refresh.core.rows import Array, Rows, count, take, tally
from refresh.core.sessions import sessions_of, with_missing_sessions
from refresh.due.calendars import Setting, save_settings
from refresh.due.comparison import find_revisions
from refresh.due.daily import ROWS_AT_ONCE
from refresh.due.decision import Action, Due
from refresh.due.granularity import refusals
from refresh.due.revision import Revision
from refresh.due.source_bars import build_from_source, examined_whole, with_calendars
from refresh.errors import RefreshError
from refresh.shapes import DAY
from refresh.store import ledger, source, state
from refresh.store.daily_state import NO_BARS, DailyState, daily_states
from refresh.store.granularity import FINE_DAYS
from refresh.store.marks import BEGINNING, Mark, mark_dirty
from refresh.store.replace import (
    Changes,
    Extent,
    Stored,
    Target,
    mark_dependants,
    read_stored,
    replace,
    write_difference,
)
from refresh.store.tables import REJECTS as REJECTS_TABLE

BARS = Target(table=DAILY, key=DAY.key, time=DAY.time, days={"day": '(t."timestamp" AT TIME ZONE :tz)::date'})
REJECTS = Target(
    table=REJECTS_TABLE,
    key=("id", "timestamp", "reason", "copy"),
    time="timestamp",
    not_compared=frozenset({"run_id", "rejected_at"}),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Intake:
    """What is taken in of a batch: the work, and its bars and rejects.

    ``reasons``: what the work turned out to be, also where it is refused; ``refused``: why nothing of an asset is
    taken in; ``is_narrowed``: some of it although its bars were computed.
    """

    dues: Sequence[Due]
    built: DailyBars
    settings: Mapping[int, Setting]
    states: Mapping[int, DailyState]
    reasons: Mapping[int, str] = field(default_factory=dict)
    refused: Mapping[int, str] = field(default_factory=dict)
    is_narrowed: bool = False

    @property
    def ids(self) -> list[int]:
        """The assets that are taken in."""
        return [due.id for due in self.dues]

    def extent(self, tz: str) -> Extent:
        """The days that the bars are of."""
        return Extent(ids=self.ids, begins=[due.since for due in self.dues], tz=tz)


def refresh(wanted: Refresh) -> Done:
    """Bring the daily bars of a batch up to date from the first changed month on; or remove its assets altogether.

    Computed bars are always compared with the stored ones: only so it is known what was restated.
    """
    connection, scope = wanted.connection, wanted.scope
    if wanted.batch.action is Action.PRUNE:
        return _prune(wanted)
    intake = _read(wanted)
    stored = read_stored(connection, BARS, intake.extent(scope.tz), intake.built.bars)
    intake = _examine(wanted, intake, stored)
    if scope.selection.rebuild:
        changes = replace(connection, BARS, intake.extent(scope.tz), intake.built.bars, rewrite=True)
        return _commit(wanted, intake, changes)
    if intake.is_narrowed:
        stored = stored.only(_is_of(stored.rows, intake.ids))
    changes = write_difference(connection, BARS, stored, intake.built.bars)
    return _commit(wanted, intake, changes)


def _read(wanted: Refresh) -> _Intake:
    """The bars of what is not finer than a day. What was not known to be finer until its rows were read is left out."""
    connection, scope = wanted.connection, wanted.scope
    fine = {due.id: due.refusal for due in wanted.batch.dues if due.refusal}
    intake = _build(wanted, [due for due in wanted.batch.dues if not due.refusal])
    rejected = tally(intake.built.rejects["id"])
    doubtful = [due.id for due in intake.dues if not due.fold and rejected.get(due.id, 0) >= FINE_DAYS]
    found = refusals(connection, scope.source, doubtful)
    dues = [due for due in intake.dues if due.id not in found]
    built = _only(intake.built, dues) if found else intake.built
    states = {due.id: intake.states[due.id] for due in dues}
    return altered(intake, dues=dues, built=built, states=states, refused=fine | found)


def _prune(wanted: Refresh) -> Done:
    """Remove the assets that are gone from the source, except where that is refused."""
    connection, daily = wanted.connection, wanted.decisions.daily
    revisions = daily.removals(connection, wanted.batch.dues)
    refused = daily.refused(connection, revisions)
    accepted = [id for id in wanted.batch.ids if id not in refused]
    ledger.prune(connection, accepted)
    _save_lines(wanted, [revisions[id] for id in accepted])
    return Done(errors=refused)


def rebuild(wanted: Rebuild) -> Rows:
    """The daily bars of some assets from their raw or folded rows alone."""
    none_before = {
        "id": np.zeros(0, np.int32),
        "day": np.zeros(0, CALENDAR_DAY),
        "bar_seq": np.zeros(0, np.int64),
    }
    now = np.datetime64(wanted.now.replace(tzinfo=None), "us")
    raw = wanted.tables[SOURCE]
    if FLAGS[0] in raw:  # rows that were folded, and so judged
        bars = build_folded_bars(Folded(rows=raw, rejects={}), none_before).bars
    else:
        bars = build_daily_bars(raw, none_before, now=now).bars
    return with_missing_sessions(bars, none_before, sessions_of(bars, wanted.calendars))


def _build(wanted: Refresh, dues: Sequence[Due]) -> _Intake:
    """The bars of some work; where they lead to another calendar, from the first day on.

    Raises ``RefreshError`` if these are too many for the memory of a builder: then the batch is halved.
    """
    connection, scope, ids = wanted.connection, wanted.scope, [due.id for due in dues]
    states = dict.fromkeys(ids, NO_BARS) | daily_states(connection, ids)
    built = build_from_source(connection, scope, dues, states)
    whole = examined_whole(dues, built.settings, states)
    if whole != list(dues):
        rows = sum(states[due.id].rows for due in whole if due.since is None)
        if rows > ROWS_AT_ONCE and len(whole) > 1:
            raise RefreshError(f"{rows:,} days of {len(whole):,} assets have to be examined at once")
        built = build_from_source(connection, scope, whole, states)
    return _Intake(dues=whole, built=built.bars, settings=built.settings, states=states)


def _examine(wanted: Refresh, intake: _Intake, stored: Stored) -> _Intake:
    """Compare the bars with the stored ones, and keep of the work what is not refused."""
    daily, states = wanted.decisions.daily, intake.states
    rebuilt = daily.rebuilt(wanted.connection, intake.dues, states)
    revisions = find_revisions(stored.rows, intake.built.bars, states, rebuilt, intake.built.rejects)
    revisions = with_calendars(revisions, intake.settings, states)
    refused = daily.refused(wanted.connection, revisions, intake.dues)
    dues = [due.examined(revisions[due.id], refused.get(due.id)) for due in intake.dues]
    accepted = [due for due in dues if not due.refusal]
    return _Intake(
        dues=accepted,
        built=_only(intake.built, accepted) if refused else intake.built,
        settings=intake.settings,
        states=states,
        reasons={due.id: due.reason for due in dues},
        refused={**intake.refused, **refused},
        is_narrowed=bool(refused),
    )


def _only(built: DailyBars, dues: Sequence[Due]) -> DailyBars:
    ids = [due.id for due in dues]
    return DailyBars(
        bars=take(built.bars, _is_of(built.bars, ids)),
        rejects=take(built.rejects, _is_of(built.rejects, ids)),
    )


def _is_of(rows: Rows, ids: Sequence[int]) -> Array:
    return np.isin(rows["id"], ids)


def _commit(wanted: Refresh, intake: _Intake, changes: Changes) -> Done:
    """Write what goes with the bars: rejects, state, memory of the source, ledger, marks."""
    connection, scope = wanted.connection, wanted.scope
    extent = intake.extent(scope.tz)
    run_id = np.full(count(intake.built.rejects), scope.run_id.encode())
    rejects = intake.built.rejects | {"run_id": run_id}
    replace(connection, REJECTS, extent, rejects, rewrite=changes.stale is None)
    notes = notes_of(intake.built, intake.ids)
    folded = [due.fold for due in intake.dues]
    state.save_daily(connection, intake.ids, counts_of(intake.ids, changes, notes), scope.now, folded)
    _save_calendars(wanted, intake)
    source.save_months(connection, scope.source, intake.dues)
    _save_lines(wanted, [due.revision for due in intake.dues if due.revision])
    mark_dependants(connection, wanted.leg, extent, changes)
    return Done(written=changes.written, notes=notes, reasons=intake.reasons, errors=intake.refused)


def _save_calendars(wanted: Refresh, intake: _Intake) -> None:
    """Remember the calendars in effect that are others, and mark the bars of these assets from the first day on."""
    moved = [id for id in intake.ids if intake.settings[id].name != intake.states[id].calendar]
    kept = [id for id in intake.ids if intake.settings[id].market]
    save_settings(wanted.connection, {id: intake.settings[id] for id in {*moved, *kept}})
    marks = [Mark(id=id, tf=None, time=BEGINNING) for id in moved]
    for follower in dependants(wanted.leg.target):
        if not follower.averages:  # averages follow the bars, which close on other days
            mark_dirty(wanted.connection, follower, marks)


def _save_lines(wanted: Refresh, revisions: Iterable[Revision]) -> None:
    lines = [revision.ledger_line for revision in revisions]
    ledger.save_lines(wanted.connection, [line for line in lines if line], wanted.scope.run_id)
