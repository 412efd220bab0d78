"""Stored daily bars against those of the present source: the numbers of a ``Revision``, for many assets at once."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from refresh.core.compare import difference, rows_in_order
from refresh.core.rows import Array, Rows, count, stack, take
from refresh.due.moves import moved
from refresh.due.multiples import factor_of, is_replaced
from refresh.due.revision import ChangedValue, Restatement, Revision
from refresh.store.daily_state import DailyState
from refresh.store.source import ChangedMonth

VALUES = ("close", "open", "high", "low", "volume", "market_cap")
PRICES = (*VALUES, "time_open", "time_close", "time_high", "time_low")
"""The columns whose change is a change of the day, the most informative first."""

_NO_TIMES: Array = np.zeros(0, "M8[us]")
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
    rejects: Rows | None = None,
) -> dict[int, Revision]:
    """The revision of each asset in ``states``, from its stored and its computed bars.

    Both sides have id, timestamp, day and ``PRICES``, of the same stretch of days; the stored ones in any order, the
    computed ones sorted by id, timestamp. ``rebuilt``: the assets that are built from the first day, and their months
    that have changed in the source; of these assets, stored bars may be missing or wrong. ``rejects``: the rows that
    were refused beside the computed bars.
    """
    changed = difference(stored, computed, _KEY, PRICES)
    old, new = rows_in_order(take(stored, changed.stale), _KEY), take(computed, changed.fresh)
    days = _paired(old, new)
    emptied = _without_prices(rejects)
    rebuilt = rebuilt or {}
    revisions = {}
    for id, state in states.items():
        of_asset = days.of(id)
        if count(of_asset.deleted) or of_asset.is_restamped.any():
            of_asset = _with_moves(of_asset, _of(old, id), _of(new, id))
        if id in rebuilt:
            of_asset = _restated(of_asset, rebuilt[id])
        revisions[id] = _revision(id, state, of_asset, emptied.get(id, _NO_TIMES))
    return revisions


def _paired(old: Rows, new: Rows) -> _Days:
    """Rows of the same day on both sides, and those of a day that is on one side."""
    unpaired = difference(old, new, _DAY, ())
    return _Days(
        before=take(old, ~unpaired.stale),
        after=take(new, ~unpaired.fresh),
        deleted=take(old, unpaired.stale),
        added=take(new, unpaired.fresh),
    )


def _with_moves(days: _Days, old: Rows, new: Rows) -> _Days:
    """The days of an asset; if nearly all of its rows only moved in time, paired by that and not by their dates."""
    pairs = moved(old, new, VALUES)
    if pairs is None:
        return days
    rest = _paired(_without(old, pairs[0]), _without(new, pairs[1]))
    return _Days(
        before=stack([take(old, pairs[0]), rest.before]),
        after=stack([take(new, pairs[1]), rest.after]),
        deleted=rest.deleted,
        added=rest.added,
    )


def _without(rows: Rows, index: Array) -> Rows:
    keep = np.ones(count(rows), bool)
    keep[index] = False
    return take(rows, keep)


def _without_prices(rejects: Rows | None) -> dict[int, Array]:
    """Per asset, the timestamps of the rows that were refused for their prices."""
    if rejects is None or not count(rejects):
        return {}
    empty = take(rejects, np.char.endswith(rejects["reason"].astype("S"), b"_ohlc"))
    return {id: empty["timestamp"][empty["id"] == id] for id in np.unique(empty["id"]).tolist()}


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


def _revision(id: int, state: DailyState, days: _Days, emptied: Array) -> Revision:
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
        restatement=_restatement(state, days, take(days.added, ~is_late), emptied),
    )


def _restatement(state: DailyState, days: _Days, inserted: Rows, emptied: Array) -> Restatement | None:
    affected = np.concatenate([days.before["day"], days.after["day"], days.deleted["day"], inserted["day"]])
    if not len(affected):
        return None
    first, last = affected.min(), affected.max()
    known_times = np.concatenate([days.before["timestamp"], days.deleted["timestamp"]])
    is_last = known_times == _time(state.last)
    is_known_only = bool(len(is_last)) and not days.is_rebuilt
    factor = factor_of(days.before["close"], days.after["close"], state.bars)
    return Restatement(
        first=first.item(),
        last=last.item(),
        old_close=_close(first, days.before, days.deleted),
        new_close=_close(first, days.after, inserted),
        change=_changed_value(days),
        is_last_day_only=is_known_only and bool(is_last.all()),
        factor=factor,
        is_replaced=factor is None and _is_replaced(days, state.bars),
        shifts=_shifts(days),
        emptied=tuple(days.deleted["day"][np.isin(days.deleted["timestamp"], emptied)].tolist()),
    )


def _is_replaced(days: _Days, bars: int) -> bool:
    return is_replaced(days.before["close"], days.after["close"], count(days.deleted), bars)


def _shifts(days: _Days) -> tuple[timedelta, ...]:
    """The least and the largest span by which days are re-stamped, one if they are the same; none if none is."""
    spans = (days.after["timestamp"] - days.before["timestamp"])[days.is_restamped]
    return tuple(np.unique([spans.min(), spans.max()]).tolist()) if len(spans) else ()


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
