"""Days that only moved: the same prices at other times, by nearly the same span, also where that is another date."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from refresh.core.compare import equal
from refresh.core.rows import Array, Rows, count, take

_NEARLY_ALL = 0.9
_SUMMER = np.timedelta64(1, "h")
"""By so much the span differs where clocks are changed."""
_FEW = 3
"""The least number of days that can have moved to other dates: of fewer, equal prices may be chance."""


def moved(old: Rows, new: Rows, values: Sequence[str]) -> tuple[Array, Array] | None:
    """The indices of the rows that moved, on either side, in pairs, if nearly all old ones did, with equal ``values``.

    Among them are a few with other values, if some changed as well. ``None`` if too few moved. Both sides are of one
    asset, sorted by timestamp, with ``day`` and ``values``; no row is on both sides unchanged.
    """
    size = min(count(old), count(new))
    if size < _FEW:
        return None
    steps = new["timestamp"][:size] - old["timestamp"][:size]
    late_steps = new["timestamp"][-size:] - old["timestamp"][-size:]
    for span in (np.sort(steps)[size // 2], np.sort(late_steps)[size // 2]):
        same, _ = _pairs(old, new, span, values)
        if len(same) >= max(_NEARLY_ALL * count(old), _FEW):
            return _pairs(old, new, span, ())
    return None


def _pairs(old: Rows, new: Rows, span: np.timedelta64, values: Sequence[str]) -> tuple[Array, Array]:
    """The rows that moved by a span, or an hour more or less."""
    partner = np.full(count(old), -1)
    for hours in (0, 1, -1):
        times = old["timestamp"] + (span + hours * _SUMMER)
        index = np.minimum(np.searchsorted(new["timestamp"], times), count(new) - 1)
        is_there = (partner < 0) & (new["timestamp"][index] == times) & (times != old["timestamp"])
        is_there &= ~np.isin(index, partner)
        candidates, found = take(old, is_there), take(new, index[is_there])
        is_same = np.ones(len(found["timestamp"]), bool)
        for name in values:
            is_same &= equal(candidates[name], found[name])
        positions = np.flatnonzero(is_there)[is_same]
        partner[positions] = index[positions]
    where = np.flatnonzero(partner >= 0)
    return where, partner[where]
