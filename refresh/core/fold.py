"""Rows finer than a day -> one raw row per day, and the rejects among them.

What is refused is decided row by row, by the rules of ``daily``; a day is folded from its good rows. A day that has one
good row keeps it as it is, so that a source with one row a day gives the same bars whether it is folded or not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from refresh.core.daily import NUMBERS, DailyBars, Reason, bars_of, ends, in_order, refusals, rejects_of
from refresh.core.rows import Array, Rows, count, stack, starts, take

FLAGS = ("repaired_high", "repaired_low", "repaired_timehigh", "repaired_timelow")
_EXTREMES = ("high", "low")


@dataclass(frozen=True, kw_only=True, slots=True)
class Folded:
    """Some rows of some assets, folded: a raw row per day, and the rejects.

    ``rows`` also has the flags of ``FLAGS``, for what was repaired before folding. ``ids``: the assets, also those
    without a good row.
    """

    rows: Rows
    rejects: Rows
    ids: Sequence[int] = ()


def fold(raw: Rows, *, now: np.datetime64) -> Folded:
    """Fold the rows of whole days, in any order, as ``daily.build_daily_bars`` takes them.

    Of several rows at the same time the last one stays, the others are rejected. The result is the same for every order
    of the rows, and for days that are folded together or in parts.
    """
    rows = in_order(raw)
    reason = refusals(rows, now)
    good = np.flatnonzero(reason == b"")
    is_repeated = ~ends(rows["id"][good], rows["timestamp"][good])
    reason[good[is_repeated]] = Reason.DUPLICATE_DAY.encode()
    is_refused = reason != b""
    days = _days(take(rows, ~is_refused))
    return Folded(rows=days, rejects=rejects_of(take(rows, is_refused), reason[is_refused]))


def joined(parts: Sequence[Folded]) -> Folded:
    """Parts of one asset after another; at least one is given."""
    return Folded(
        rows=stack([part.rows for part in parts]),
        rejects=stacked_rejects([part.rejects for part in parts]),
    )


def stacked_rejects(parts: Sequence[Rows]) -> Rows:
    """Rejects of all parts; their numbers are masked arrays."""
    return {name: _joined(parts, name) for name in parts[0]}


def _joined(parts: Sequence[Rows], name: str) -> Array:
    join = np.ma.concatenate if name in NUMBERS else np.concatenate
    return np.asanyarray(join([part[name] for part in parts]))


def build_folded_bars(folded: Folded, before: Rows) -> DailyBars:
    """The daily bars of folded days; ``before`` as ``daily.build_daily_bars`` takes it."""
    bars = bars_of(folded.rows, before)
    for name in FLAGS:
        bars[name] = bars[name] | folded.rows[name]
    return DailyBars(bars=bars, rejects=folded.rejects)


def _days(rows: Rows) -> Rows:
    """One row per asset and day, with flags; of rows in order, all of which are good."""
    keys = rows["id"], rows["day"]
    first, last = np.flatnonzero(starts(*keys)), np.flatnonzero(ends(*keys))
    days = take(rows, last)
    days |= {"open": rows["open"][first], "timeopen": rows["timeopen"][first]}
    if not len(first):
        return days | {name: np.zeros(0, bool) for name in FLAGS}
    is_several = first < last
    days |= _bounds(rows, first, days, is_several)
    days |= _volumes(rows, first)
    for name in _EXTREMES:
        days |= _extremes(name, rows, first, is_several)
    return days


def _bounds(rows: Rows, first: Array, days: Rows, is_several: Array) -> Rows:
    """The opening time of the first row and the closing time of the last, or the widest ones if these contradict."""
    is_contrary = is_several & (days["timeopen"] > days["timeclose"])
    return {
        "timeopen": np.where(is_contrary, np.minimum.reduceat(rows["timeopen"], first), days["timeopen"]),
        "timeclose": np.where(is_contrary, np.maximum.reduceat(rows["timeclose"], first), days["timeclose"]),
    }


def _volumes(rows: Rows, first: Array) -> Rows:
    """The sums of volumes without NULLs, added in order; NULL where all are."""
    bit = 1 << NUMBERS.index("volume")
    is_null = (rows["nulls"] & bit).astype(bool)
    sizes = np.diff(np.append(first, count(rows)))
    volumes, sums = np.where(is_null, 0.0, rows["volume"]), np.zeros(len(first))
    for position in range(sizes.max()):  # one after another: other orders differ in the last bit
        is_long = sizes > position
        sums[is_long] += volumes[first[is_long] + position]
    all_null = np.logical_and.reduceat(is_null, first)
    last = first + sizes - 1
    others = rows["nulls"][last] & ~bit
    return {
        "volume": np.where(all_null, np.nan, sums),
        "nulls": (others | np.where(all_null, bit, 0)).astype(rows["nulls"].dtype),
    }


def _extremes(name: str, rows: Rows, first: Array, is_several: Array) -> Rows:
    """The extreme of each day, the time of the earliest row that has it, and the flags of both.

    That time is the row's own if it is within the row, else the row's timestamp. A row's open and close are within its
    extremes, as those of a bar are.
    """
    sign = 1.0 if name == "high" else -1.0
    given = rows[name]
    value = sign * np.maximum.reduce([sign * rows[column] for column in (name, "open", "close")])
    extreme = sign * np.maximum.reduceat(sign * value, first)
    as_given = sign * np.maximum.reduceat(sign * given, first)
    sizes = np.diff(np.append(first, count(rows)))
    index = np.where(value == np.repeat(extreme, sizes), np.arange(count(rows)), count(rows))
    row = np.minimum.reduceat(index, first)
    own, opens, closes = (rows[column][row] for column in (f"time{name}", "timeopen", "timeclose"))
    is_inside = ~np.isnat(own) & (own >= opens) & (own <= closes)
    time = np.where(is_several & ~is_inside, rows["timestamp"][row], own)
    return {
        name: np.where(is_several, extreme, given[first]),
        f"time{name}": time,
        f"repaired_{name}": is_several & (extreme != as_given),
        f"repaired_time{name}": is_several & ~is_inside,
    }
