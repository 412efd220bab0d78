"""Missing days: sessions without a daily bar in a bar so far, at its start and in between."""

from __future__ import annotations

import numpy as np

from refresh.core.rows import Array, Rows
from refresh.core.sessions import Sessions

NO_DAY = np.datetime64("NaT", "D")


def gaps(days: Rows, head: Array, effective_start: Array, sessions: Sessions) -> Rows:
    """The missing days between the effective start of a bar's window and each of its days.

    ``days`` has ``id``, ``day``, ``is_carry`` and, where that is true, what was missing up to it. ``head`` (days,): the
    index of the first day of the bar; ``effective_start`` (days,): the first day on which the bar could have had one.
    """
    is_head = head == np.arange(len(head))
    is_carry = days["is_carry"]
    expected = np.where(is_head, effective_start, np.roll(days["day"], 1) + 1)
    gap = np.where(is_carry, 0, sessions.between(days["id"], expected, days["day"]))
    at_start = np.where(is_carry, days["count_missing_days_start"], gap)[head]
    carried = days["count_missing_days_interior"]
    after_start = np.cumsum(np.where(is_head, carried, gap))
    interior = after_start - after_start[head] + carried[head]
    missing = at_start + interior
    is_missing = missing > 0
    first_day, last_day = _first_and_last_day(days, head, gap > 0, expected, sessions)
    return {
        "is_missing_days": is_missing,
        "count_missing_days": missing.astype(np.int32),
        "count_missing_days_start": at_start.astype(np.int32),
        "count_missing_days_interior": interior.astype(np.int32),
        "first_missing_day": np.where(is_missing, first_day, NO_DAY),
        "last_missing_day": np.where(is_missing, last_day, NO_DAY),
    }


def _first_and_last_day(
    days: Rows, head: Array, is_after_gap: Array, expected: Array, sessions: Sessions
) -> tuple[Array, Array]:
    """The first and the last missing day of each bar so far; arbitrary if none is missing."""
    ids, is_carry = days["id"], days["is_carry"]
    begins = np.where(is_carry, days["first_missing_day"], sessions.first_from(ids, expected, is_after_gap))
    ends = np.where(is_carry, days["last_missing_day"], sessions.last_to(ids, days["day"] - 1, is_after_gap))
    has_gap = is_after_gap | (is_carry & ~np.isnat(days["first_missing_day"]))
    first, last = _first_and_last(has_gap, head)
    return begins[first], ends[last]


def _first_and_last(is_marked: Array, head: Array) -> tuple[Array, Array]:
    """Per row, the index of the first and of the last marked row of its bar so far; arbitrary if there is none."""
    marked = np.flatnonzero(is_marked)
    if not len(marked):
        return head, head
    following = np.searchsorted(marked, head)
    first = marked[np.minimum(following, len(marked) - 1)]
    last = np.maximum.accumulate(np.where(is_marked, np.arange(len(is_marked)), 0))
    return first, last
