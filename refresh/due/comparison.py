"""Stored daily bars against those of the present source: the numbers of a ``Revision``, for many assets at once."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np

from refresh.core.compare import difference, rows_in_order
from refresh.core.rows import Array, Rows, count, take
from refresh.due.revision import FUSE_DAYS, ChangedValue, Restatement, Revision
from refresh.store.daily_state import DailyState
from refresh.store.source import ChangedMonth

VALUES = ("close", "open", "high", "low", "volume", "market_cap")
PRICES = (*VALUES, "time_open", "time_close", "time_high", "time_low")
"""The columns whose change is a change of the day, the most informative first."""

SAME_FACTOR = 1e-6
"""The relative difference within which closes are taken for multiples by one factor."""
ROUNDING = 0.01
"""The difference within which they are as well: prices are often rounded to two decimals, on either side."""
LARGEST_ROUNDING = 0.05
"""The relative difference that rounding may make; cheaper assets show no factor then."""
NEAR_ONE = 0.05
"""How much closes may differ from what they were, relative to it, without being others: dividends, corrections."""
WHOLE = 0.9
"""The share of the known days that makes a whole history."""
CLOSES_FOR_FACTOR = 11
"""The factor is that of the largest closes, on which rounding matters least."""

_KEY, _DAY = ("id", "timestamp"), ("id", "day")


@dataclass(frozen=True, kw_only=True, slots=True)
class _Days:
    """Changed days: ``before`` and ``after`` of those on both sides, and those on one side only.

    A day that is on both sides at different times is re-stamped.
    """

    before: Rows
    after: Rows
    deleted: Rows
    added: Rows
    is_rebuilt: bool = False

    @property
    def is_restamped(self) -> Array:
        """Which of the days on both sides are re-stamped."""
        return np.asarray(self.before["timestamp"] != self.after["timestamp"])

    def of(self, id: int) -> _Days:
        """The days of one asset; each side is sorted by id."""
        return _Days(
            before=_of(self.before, id),
            after=_of(self.after, id),
            deleted=_of(self.deleted, id),
            added=_of(self.added, id),
            is_rebuilt=self.is_rebuilt,
        )


def find_revisions(
    stored: Rows,
    computed: Rows,
    states: Mapping[int, DailyState],
    rebuilt: Mapping[int, Collection[ChangedMonth]] | None = None,
) -> dict[int, Revision]:
    """The revision of each asset in ``states``, from its stored and its computed bars.

    Both sides have id, timestamp, day and ``PRICES``, of the same stretch of days; the stored ones in any order, the
    computed ones sorted by id, timestamp. ``rebuilt``: the assets that are built from the first day, and their months
    that have changed in the source; of these assets, stored bars may be missing or wrong.
    """
    changed = difference(stored, computed, _KEY, PRICES)
    old, new = rows_in_order(take(stored, changed.stale), _KEY), take(computed, changed.fresh)
    unpaired = difference(old, new, _DAY, ())
    days = _Days(
        before=take(old, ~unpaired.stale),
        after=take(new, ~unpaired.fresh),
        deleted=take(old, unpaired.stale),
        added=take(new, unpaired.fresh),
    )
    rebuilt = rebuilt or {}
    revisions = {}
    for id, state in states.items():
        of_asset = days.of(id)
        if id in rebuilt:
            of_asset = _restated(of_asset, rebuilt[id])
        revisions[id] = _revision(id, state, of_asset)
    return revisions


def _restated(days: _Days, changed: Collection[ChangedMonth]) -> _Days:
    """The days whose source has changed. Other differences are repaired: bars were missing, or somebody changed them.

    Days without a stored bar count only in months that were processed before.
    """
    known = [month for month in changed if month.known]
    is_paired = _is_in(days.before, changed)
    return _Days(
        before=take(days.before, is_paired),
        after=take(days.after, is_paired),
        deleted=take(days.deleted, _is_in(days.deleted, changed)),
        added=take(days.added, _is_in(days.added, known)),
        is_rebuilt=True,
    )


def _is_in(rows: Rows, months: Collection[ChangedMonth]) -> Array:
    """Which rows are of some months."""
    firsts = [month.month for month in months]
    return np.isin(rows["day"].astype("datetime64[M]"), np.array(firsts, "datetime64[M]"))


def _of(rows: Rows, id: int) -> Rows:
    first, last = np.searchsorted(rows["id"], [id, id + 1])
    return take(rows, slice(first, last))


def _revision(id: int, state: DailyState, days: _Days) -> Revision:
    added_times = days.added["timestamp"]
    is_early = added_times < _time(state.first)
    is_late = added_times > _time(state.processed)
    inside = int((~is_early & ~is_late).sum())
    restamped = int(days.is_restamped.sum())
    return Revision(
        id=id,
        appended=int(is_late.sum()),
        added_before=0 if days.is_rebuilt else int(is_early.sum()),
        added_inside=0 if days.is_rebuilt else inside,
        deleted=count(days.deleted),
        changed=count(days.before) - restamped,
        restamped=restamped,
        unknown=int((~is_late).sum()) if days.is_rebuilt else 0,
        restatement=_restatement(state, days, take(days.added, ~is_late)),
    )


def _restatement(state: DailyState, days: _Days, inserted: Rows) -> Restatement | None:
    affected = np.concatenate([days.before["day"], days.deleted["day"], inserted["day"]])
    if not len(affected):
        return None
    first, last = affected.min(), affected.max()
    known_times = np.concatenate([days.before["timestamp"], days.deleted["timestamp"]])
    is_last = known_times == _time(state.last)
    is_known_only = bool(len(is_last)) and not days.is_rebuilt
    factor = _factor(days, state.bars)
    return Restatement(
        first=first.item(),
        last=last.item(),
        old_close=_close(first, days.before, days.deleted),
        new_close=_close(first, days.after, inserted),
        change=_changed_value(days),
        is_last_day_only=is_known_only and bool(is_last.all()),
        factor=factor,
        is_replaced=factor is None and _is_replaced(days, state.bars),
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
    """The first column of the first changed day that differs; times of re-stamped days do not count."""
    for position, is_restamped in enumerate(days.is_restamped.tolist()):
        columns = VALUES if is_restamped else PRICES
        for column in columns:
            old, new = _plain(days.before[column][position]), _plain(days.after[column][position])
            if old != new:
                return ChangedValue(day=days.before["day"][position].item(), column=column, before=old, after=new)
    return None


def _plain(value: Array) -> object:
    """A value of Python's; ``NULL`` for an absent one."""
    is_absent = np.isnat(value) if value.dtype.kind == "M" else np.isnan(value)
    return "NULL" if is_absent else value.item()


def _factor(days: _Days, bars: int) -> float | None:
    """The factor by which nearly all closes of the asset were multiplied; ``None`` if there is none, or one near 1."""
    before, after = days.before["close"], days.after["close"]
    if not _is_whole(len(before), bars):
        return None
    largest = np.argsort(np.minimum(before, after))[-CLOSES_FOR_FACTOR:]
    factor = float(np.median(after[largest] / before[largest]))
    rounding = np.minimum(ROUNDING * max(1.0, factor), LARGEST_ROUNDING * after)
    is_multiple = np.abs(after - factor * before) <= rounding + SAME_FACTOR * after
    is_one_factor = _is_whole(int(is_multiple.sum()), bars)
    return factor if is_one_factor and _is_other(factor) else None


def _is_replaced(days: _Days, bars: int) -> bool:
    """Whether nearly all known days are gone, or have quite another close."""
    ratio = days.after["close"] / days.before["close"]
    return _is_whole(count(days.deleted) + int(_is_other(ratio).sum()), bars)


def _is_whole(number: int, bars: int) -> bool:
    return bars >= FUSE_DAYS and number >= WHOLE * bars


def _is_other(ratio: Any) -> Any:
    """Whether closes of this ratio are others, and not the same with a dividend or a correction."""
    return np.abs(np.log(ratio)) > np.log1p(NEAR_ONE)
