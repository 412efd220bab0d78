"""The daily bars: raw rows of changed months -> bars and rejects, and the memory of what was processed."""

from __future__ import annotations

import numpy as np
from sqlalchemy import Connection

from refresh.builder.done import Done
from refresh.catalog import DAILY, Leg
from refresh.core.daily import DailyBars
from refresh.core.rows import Array, count
from refresh.core.span import Action, Batch
from refresh.outcome import MISSING_DAYS, REPAIRS
from refresh.store import source, state
from refresh.store.comparison import build_from_source
from refresh.store.replace import Changes, Place, Target, replace
from refresh.store.survey import Scope

BARS = Target(
    DAILY,
    key=("id", "timestamp"),
    time="timestamp",
    followed=(
        "bar_seq", "time_open", "time_close", "time_high", "time_low",
        "open", "high", "low", "close", "volume", "market_cap",
    ),
)  # fmt: skip
REJECTS = Target(
    f"{DAILY}_rejects",
    key=("id", "timestamp", "reason", "copy"),
    time="timestamp",
    unseen=frozenset({"run_id", "rejected_at"}),
)


def refresh(connection: Connection, scope: Scope, leg: Leg, batch: Batch) -> Done:
    """Bring the daily bars of a batch up to date from the first changed month on; or remove its assets altogether."""
    if batch.action is Action.PRUNE:
        return Done({}, state.prune(connection, batch.ids))
    built = build_from_source(connection, scope.source, batch.dues, scope.now)
    place = Place(batch.ids, [due.since for due in batch.dues])
    changes = replace(connection, BARS, place, built.bars, rewrite=batch.rewrites)
    rejects = built.rejects | {"run_id": np.full(count(built.rejects), scope.run_id.encode())}
    replace(connection, REJECTS, place, rejects, rewrite=batch.rewrites)
    notes = _notes(batch.ids, built)
    state.save_daily(connection, batch.ids, _counts(batch.ids, changes, notes), scope.now)
    source.save_months(connection, scope.source, batch.dues)
    state.save_restatements(connection, batch.dues, scope.run_id)
    state.mark_dirty(connection, leg.target, changes.marks)
    return Done(changes.written, changes.deleted, notes)


def _notes(ids: list[int], built: DailyBars) -> dict[int, dict[str, int]]:
    """Per asset, repairs by kind, days without a bar, and rejects by reason in the rows that were read.

    What did not occur is absent.
    """
    notes: dict[int, dict[str, int]] = {id: {} for id in ids}
    gaps = built.bars["count_missing_days"]
    for id, found in _tally(np.repeat(built.bars["id"], gaps)).items():
        notes[id][MISSING_DAYS] = found
    for name in REPAIRS:
        for id, found in _tally(built.bars["id"][built.bars[name]]).items():
            notes[id][name] = found
    for reason in np.unique(built.rejects["reason"]).tolist():
        for id, found in _tally(built.rejects["id"][built.rejects["reason"] == reason]).items():
            notes[id][reason.decode()] = found
    return notes


def _tally(ids: Array) -> dict[int, int]:
    return dict(zip(*(part.tolist() for part in np.unique(ids, return_counts=True)), strict=True))


def _counts(ids: list[int], changes: Changes, notes: dict[int, dict[str, int]]) -> dict[str, list[int]]:
    """The columns of the daily state that count what this run did, one value per asset."""
    counts = {"last_upserted": [changes.written.get(id, 0) for id in ids]}
    counts |= {f"last_{name}": [notes[id].get(name, 0) for id in ids] for name in REPAIRS}
    rejected = [sum(found for name, found in notes[id].items() if name not in {*REPAIRS, MISSING_DAYS}) for id in ids]
    return counts | {"last_rejected": rejected}
