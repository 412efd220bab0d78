"""Stored daily bars against those of the present source: the numbers of a ``Revision``, for many assets at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from refresh.core.compare import difference, rows_in_order
from refresh.core.rows import Array, Rows, count, take
from refresh.due.revision import FUSE_DAYS, ChangedValue, Restatement, Revision
from refresh.store.source import DailyState

PRICES = (
    "close", "open", "high", "low", "volume", "market_cap", "time_open", "time_close", "time_high", "time_low",
)  # fmt: skip
"""The columns whose change is a change of the day, the most informative first."""

SAME_FACTOR = 1e-6
"""The relative difference within which ratios are taken for one factor."""

_KEY = ("id", "timestamp")


@dataclass(frozen=True, kw_only=True, slots=True)
class _Days:
    """Changed days: ``before`` and ``after`` of those on both sides, and those on one side only."""

    before: Rows
    after: Rows
    deleted: Rows
    added: Rows

    def of(self, id: int) -> _Days:
        """The days of one asset; each side is sorted by id."""
        return _Days(
            before=_of(self.before, id),
            after=_of(self.after, id),
            deleted=_of(self.deleted, id),
            added=_of(self.added, id),
        )


def find_revisions(stored: Rows, computed: Rows, states: Mapping[int, DailyState]) -> dict[int, Revision]:
    """The revision of each asset in ``states``, from its stored and its computed bars.

    Both sides have id, timestamp, day and ``PRICES``, of the same stretch of days; the stored ones in any order, the
    computed ones sorted by id, timestamp.
    """
    changed = difference(stored, computed, _KEY, PRICES)
    old, new = rows_in_order(take(stored, changed.stale), _KEY), take(computed, changed.fresh)
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
    added_times = days.added["timestamp"]
    is_early = added_times < _time(state.first)
    is_late = added_times > _time(state.last)
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
    affected = np.concatenate([days.before["day"], days.deleted["day"], inserted["day"]])
    if not len(affected):
        return None
    first, last = affected.min(), affected.max()
    known_times = np.concatenate([days.before["timestamp"], days.deleted["timestamp"]])
    is_last = known_times == _time(state.last)
    return Restatement(
        first=first.item(),
        last=last.item(),
        old_close=_close(first, days.before, days.deleted),
        new_close=_close(first, days.after, inserted),
        change=_changed_value(days),
        is_last_day_only=bool(len(is_last)) and bool(is_last.all()),
        factor=_factor(days, state.bars),
    )


def _time(moment: datetime | None) -> np.datetime64:
    if moment is None:
        return np.datetime64("NaT", "us")
    return np.datetime64(moment.replace(tzinfo=None), "us")


def _close(day: np.datetime64, *sides: Rows) -> float | None:
    """The close of a day, from the first side that has the day."""
    for rows in sides:
        closes = rows["close"][rows["day"] == day]
        if len(closes):
            return float(closes[0])
    return None


def _changed_value(days: _Days) -> ChangedValue | None:
    """The first column of the first changed day that differs."""
    if not count(days.before):
        return None
    day = days.before["day"][0].item()
    for column in PRICES:
        old = _plain(days.before[column][0])
        new = _plain(days.after[column][0])
        if old != new:
            return ChangedValue(day=day, column=column, before=old, after=new)
    return None


def _plain(value: Array) -> object:
    """A value of Python's; ``NULL`` for an absent one."""
    is_absent = np.isnat(value) if value.dtype.kind == "M" else np.isnan(value)
    return "NULL" if is_absent else value.item()


def _factor(days: _Days, bars: int) -> float | None:
    """The factor by which every close of the asset was multiplied; ``None`` if there is no such factor."""
    if count(days.before) < max(bars, FUSE_DAYS):
        return None
    ratio = days.after["close"] / days.before["close"]
    low, high = float(ratio.min()), float(ratio.max())
    is_one_factor = high - low <= SAME_FACTOR * high and not low <= 1.0 <= high
    return float(np.median(ratio)) if is_one_factor else None
