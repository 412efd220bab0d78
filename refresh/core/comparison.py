"""Stored daily bars against those that the source now gives: the numbers of a ``Revision``, for many assets at once."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import numpy as np

from refresh.core.compare import difference
from refresh.core.revision import FUSE_DAYS, Change, Restatement, Revision
from refresh.core.rows import Array, Rows, count, take
from refresh.core.span import DailyState

PRICES = (
    "close", "open", "high", "low", "volume", "market_cap", "time_open", "time_close", "time_high", "time_low",
)  # fmt: skip
"""The columns whose change is a change of the day, the most telling first."""

SAME_FACTOR = 1e-6
"""How far, relatively, ratios may differ and still be one factor."""


def find_revisions(stored: Rows, computed: Rows, known: Mapping[int, DailyState]) -> dict[int, Revision]:
    """The revision of each asset in ``known``, from its stored and computed bars of the same stretch of days.

    Both sides have id, timestamp, day and ``PRICES``, sorted by id, timestamp.
    """
    changed = difference(stored, computed, ("id", "timestamp"), PRICES)
    old, new = take(stored, changed.stale), take(computed, changed.fresh)
    pairs = difference(old, new, ("id", "timestamp"), ())
    both = (take(old, ~pairs.stale), take(new, ~pairs.fresh)) if count(old) else (old, take(new, slice(0, 0)))
    deleted, added = take(old, pairs.stale), take(new, pairs.fresh)
    return {id: _revision(id, known[id], *(_of(rows, id) for rows in (*both, deleted, added))) for id in known}


def _of(rows: Rows, id: int) -> Rows:
    first, last = np.searchsorted(rows["id"], [id, id + 1])
    return take(rows, slice(first, last))


def _revision(id: int, known: DailyState, before: Rows, after: Rows, deleted: Rows, added: Rows) -> Revision:
    moment = added["timestamp"]
    early, late = moment < _time(known.first), moment > _time(known.last)
    return Revision(
        id,
        appended=int(late.sum()),
        added_before=int(early.sum()),
        added_inside=int((~early & ~late).sum()),
        deleted=count(deleted),
        changed=count(before),
        restatement=_restatement(known, before, after, deleted, take(added, ~late)),
    )


def _restatement(known: DailyState, before: Rows, after: Rows, deleted: Rows, inserted: Rows) -> Restatement | None:
    days = np.concatenate([part["day"] for part in (before, deleted, inserted)])
    if not len(days):
        return None
    touched = np.concatenate([before["timestamp"], deleted["timestamp"]])
    return Restatement(
        first=days.min().item(),
        last=days.max().item(),
        old_close=_close(days.min(), before, deleted),
        new_close=_close(days.min(), after, inserted),
        change=_change(before, after),
        last_day_only=bool(len(touched)) and bool((touched == _time(known.last)).all()),
        factor=_factor(before, after, known.bars),
    )


def _time(moment: datetime | None) -> np.datetime64:
    return np.datetime64(moment.replace(tzinfo=None) if moment else "NaT", "us")


def _close(day: np.datetime64, *parts: Rows) -> float | None:
    found = np.concatenate([part["close"][part["day"] == day] for part in parts])
    return float(found[0]) if len(found) else None


def _change(before: Rows, after: Rows) -> Change | None:
    if not count(before):
        return None
    for column in PRICES:
        old, new = before[column][0], after[column][0]
        if old != new and not (_absent(old) and _absent(new)):
            return Change(before["day"][0].item(), column, _shown(old), _shown(new))
    return None


def _absent(value: Array) -> bool:
    return bool(np.isnat(value) if value.dtype.kind == "M" else np.isnan(value))


def _shown(value: Array) -> object:
    return "NULL" if _absent(value) else value.item()


def _factor(before: Rows, after: Rows, bars: int) -> float | None:
    """The one factor by which every close of the asset was multiplied; ``None`` where there is no such factor."""
    if count(before) < max(bars, FUSE_DAYS):
        return None
    ratio = after["close"] / before["close"]
    low, high = float(ratio.min()), float(ratio.max())
    same = high - low <= SAME_FACTOR * high and not low <= 1.0 <= high
    return float(np.median(ratio)) if same else None
