"""The daily bars: raw rows of changed months -> bars and rejects, and the memory of what was processed.

What a change means, and whether it is taken in, is decided here, in the transaction that writes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from sqlalchemy import Connection

from refresh.builder.done import Done
from refresh.catalog import DAILY, DAY, SOURCE, Leg
from refresh.core.daily import DailyBars, build_daily_bars
from refresh.core.rows import Rows, count, take, tally
from refresh.core.series import Series
from refresh.due.batches import Batch
from refresh.due.comparison import find_revisions
from refresh.due.decision import Action, Due
from refresh.due.revision import scaling_refusals
from refresh.due.scope import Scope
from refresh.due.source_bars import build_from_source
from refresh.records import MISSING_DAYS, REPAIRS
from refresh.store import ledger, source, state
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
from refresh.store.tables import REJECTS

_BARS = Target(table=DAILY, key=DAY.key, time=DAY.time, days={"day": '(t."timestamp" AT TIME ZONE :tz)::date'})
_REJECTS = Target(
    table=REJECTS,
    key=("id", "timestamp", "reason", "copy"),
    time="timestamp",
    not_compared=frozenset({"run_id", "rejected_at"}),
)


def refresh(connection: Connection, scope: Scope, leg: Leg, batch: Batch) -> Done:
    """Bring the daily bars of a batch up to date from the first changed month on; or remove its assets altogether."""
    if batch.action is Action.PRUNE:
        return Done(deleted=ledger.prune(connection, batch.ids))
    built = build_from_source(connection, scope, batch.dues)
    if batch.rewrites:
        extent = _extent(batch.dues, scope)
        changes = replace(connection, _BARS, extent, built.bars, rewrite=True)
        return _committed(connection, scope, leg, batch.dues, built, extent, changes)
    stored = read_stored(connection, _BARS, _extent(batch.dues, scope), built.bars)
    examined = _examine(connection, scope, batch, built, stored)
    extent = _extent(examined.dues, scope)
    changes = write_difference(connection, _BARS, examined.stored, examined.built.bars)
    done = _committed(connection, scope, leg, examined.dues, examined.built, extent, changes)
    return Done(
        written=done.written,
        deleted=done.deleted,
        notes=done.notes,
        reasons=examined.reasons,
        refused=examined.refused,
    )


def rebuild(scope: Scope, _: Leg, __: Sequence[Series], tables: Mapping[str, Rows]) -> Rows:
    """The daily bars of some assets from their raw rows alone."""
    raw = tables[SOURCE]
    none = {"id": np.zeros(0, np.int32), "day": np.zeros(0, "M8[D]"), "bar_seq": np.zeros(0, np.int64)}
    return build_daily_bars(raw, none, now=np.datetime64(scope.now.replace(tzinfo=None), "us")).bars


@dataclass(frozen=True, kw_only=True, slots=True)
class _Examined:
    """What is taken in of a batch, with its stored and its new rows; what is refused, and the reason of either."""

    dues: Sequence[Due]
    built: DailyBars
    stored: Stored
    reasons: Mapping[int, str]
    refused: Mapping[int, str]


def _examine(connection: Connection, scope: Scope, batch: Batch, built: DailyBars, stored: Stored) -> _Examined:
    states = source.daily_states(connection, batch.ids)
    revisions = find_revisions(stored.rows, built.bars, states)
    refused = {} if scope.selection.detection.accept_restatement else scaling_refusals(revisions.values())
    dues = [due.examined(revisions[due.id], refused.get(due.id)) for due in batch.dues]
    reasons = {due.id: due.reason for due in dues}
    if refused:
        dues = [due for due in dues if not due.refusal]
        built, stored = _without(built, stored, list(refused))
    return _Examined(dues=dues, built=built, stored=stored, reasons=reasons, refused=refused)


def _without(built: DailyBars, stored: Stored, ids: list[int]) -> tuple[DailyBars, Stored]:
    bars = take(built.bars, ~np.isin(built.bars["id"], ids))
    rejects = take(built.rejects, ~np.isin(built.rejects["id"], ids))
    return DailyBars(bars, rejects), stored.only(~np.isin(stored.rows["id"], ids))


def _extent(dues: Sequence[Due], scope: Scope) -> Extent:
    return Extent(ids=[due.id for due in dues], begins=[due.since for due in dues], tz=scope.tz)


def _committed(
    connection: Connection,
    scope: Scope,
    leg: Leg,
    dues: Sequence[Due],
    built: DailyBars,
    extent: Extent,
    changes: Changes,
) -> Done:
    """Write what goes with the bars: rejects, state, memory of the source, ledger, marks."""
    ids = [due.id for due in dues]
    run_id = np.full(count(built.rejects), scope.run_id.encode())
    replace(connection, _REJECTS, extent, built.rejects | {"run_id": run_id}, rewrite=changes.stale is None)
    notes = _notes(ids, built)
    state.save_daily(connection, ids, _counts(ids, changes, notes), scope.now)
    source.save_months(connection, scope.source, dues)
    lines = [due.revision.ledger_line for due in dues if due.revision]
    ledger.save_lines(connection, [line for line in lines if line], scope.run_id)
    mark_dependants(connection, leg, extent, changes)
    return Done(written=changes.written, deleted=changes.deleted, notes=notes)


def _notes(ids: Sequence[int], built: DailyBars) -> dict[int, dict[str, int]]:
    """Per asset, repairs by kind, days without a bar, and rejects by reason in the rows that were read.

    What did not occur is absent.
    """
    bars, rejects = built.bars, built.rejects
    counted = {MISSING_DAYS: np.repeat(bars["id"], bars["count_missing_days"])}
    counted |= {name: bars["id"][bars[name]] for name in REPAIRS}
    for reason in np.unique(rejects["reason"]).tolist():
        counted[reason.decode()] = rejects["id"][rejects["reason"] == reason]
    notes: dict[int, dict[str, int]] = {id: {} for id in ids}
    for name, affected in counted.items():
        for id, number in tally(affected).items():
            notes[id][name] = number
    return notes


def _counts(ids: Sequence[int], changes: Changes, notes: Mapping[int, Mapping[str, int]]) -> dict[str, list[int]]:
    """The columns of the daily state that count what this run did, one value per asset."""
    counts = {"last_upserted": [changes.written.get(id, 0) for id in ids]}
    for name in REPAIRS:
        counts[f"last_{name}"] = [notes[id].get(name, 0) for id in ids]
    counts["last_rejected"] = [_rejected(notes[id]) for id in ids]
    return counts


def _rejected(notes: Mapping[str, int]) -> int:
    return sum(number for name, number in notes.items() if name not in {*REPAIRS, MISSING_DAYS})
