"""Stored daily bars against those that the source now gives: the numbers of a ``Revision``, for many assets at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from refresh.core.compare import difference
from refresh.core.rows import Array, Rows, count, take
from refresh.due.revision import FUSE_DAYS, ChangedValue, Restatement, Revision
from refresh.store.source import DailyState

PRICES = (
    "close", "open", "high", "low", "volume", "market_cap", "time_open", "time_close", "time_high", "time_low",
)  # fmt: skip
"""The columns whose change is a change of the day, the most telling first."""

SAME_FACTOR = 1e-6
"""How far, relatively, ratios may differ and still be one factor."""

_KEY = ("id", "timestamp")


@dataclass(frozen=True, kw_only=True, slots=True)
class _Days:
    """Changed days of one asset or many: those that are on both sides, before and after, and those on one side only."""

    before: Rows
    after: Rows
    deleted: Rows
    added: Rows

    def of(self, id: int) -> _Days:
        """Those of one asset; each side is sorted by id."""
        return _Days(
            before=_of(self.before, id),
            after=_of(self.after, id),
            deleted=_of(self.deleted, id),
            added=_of(self.added, id),
        )


def find_revisions(stored: Rows, computed: Rows, states: Mapping[int, DailyState]) -> dict[int, Revision]:
    """The revision of each asset in ``states``, from its stored and computed bars of the same days.

    Both sides have id, timestamp, day and ``PRICES``, sorted by id, timestamp.
    """
    changed = difference(stored, computed, _KEY, PRICES)
    old, new = take(stored, changed.stale), take(computed, changed.fresh)
    unpaired = difference(old, new, _KEY, ())
    days = _Days(
        before=take(old, ~unpaired.stale),
        after=take(new, ~unpaired.fresh),
        deleted=take(old, unpaired.stale),
        added=take(new, unpaired.fresh),
    )
    return {id: _revision(id, state, days.of(id)) for id, state in states.items()}


def _of(rows: Rows, id: int) -> Rows:
    first, last = np.searchsorted(rows["id"], [id, id + 1])
    return take(rows, slice(first, last))


def _revision(id: int, state: DailyState, days: _Days) -> Revision:
    moment = days.added["timestamp"]
    is_early, is_late = moment < _time(state.first), moment > _time(state.last)
    return Revision(
        id=id,
        appended=int(is_late.sum()),
        added_before=int(is_early.sum()),
        added_inside=int((~is_early & ~is_late).sum()),
        deleted=count(days.deleted),
        changed=count(days.before),
        restatement=_restatement(state, days, take(days.added, ~is_late)),
    )


def _restatement(state: DailyState, days: _Days, inserted: Rows) -> Restatement | None:
    affected = np.concatenate([rows["day"] for rows in (days.before, days.deleted, inserted)])
    if not len(affected):
        return None
    touched = np.concatenate([days.before["timestamp"], days.deleted["timestamp"]])
    first, last = affected.min(), affected.max()
    return Restatement(
        first=first.item(),
        last=last.item(),
        old_close=_close(first, days.before, days.deleted),
        new_close=_close(first, days.after, inserted),
        change=_changed_value(days),
        is_last_day_only=bool(len(touched)) and bool((touched == _time(state.last)).all()),
        factor=_factor(days, state.bars),
    )


def _time(moment: datetime | None) -> np.datetime64:
    return np.datetime64(moment.replace(tzinfo=None) if moment else "NaT", "us")


def _close(day: np.datetime64, *sides: Rows) -> float | None:
    closes = np.concatenate([rows["close"][rows["day"] == day] for rows in sides])
    return float(closes[0]) if len(closes) else None


def _changed_value(days: _Days) -> ChangedValue | None:
    if not count(days.before):
        return None
    for column in PRICES:
        old, new = days.before[column][0], days.after[column][0]
        if old != new and not (_is_absent(old) and _is_absent(new)):
            day = days.before["day"][0].item()
            return ChangedValue(day=day, column=column, before=_shown(old), after=_shown(new))
    return None


def _is_absent(value: Array) -> bool:
    return bool(np.isnat(value) if value.dtype.kind == "M" else np.isnan(value))


def _shown(value: Array) -> object:
    return "NULL" if _is_absent(value) else value.item()


def _factor(days: _Days, bars: int) -> float | None:
    """The one factor by which every close of the asset was multiplied; ``None`` where there is no such factor."""
    if count(days.before) < max(bars, FUSE_DAYS):
        return None
    ratio = days.after["close"] / days.before["close"]
    low, high = float(ratio.min()), float(ratio.max())
    is_one_factor = high - low <= SAME_FACTOR * high and not low <= 1.0 <= high
    return float(np.median(ratio)) if is_one_factor else None
