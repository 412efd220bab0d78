"""A stretch in parts: snapshots continued from stored ones have the bits of those computed at once."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from core.daily_rows import BY_LABEL, answered_daily, assert_same, coin, histories, timeframes
from hypothesis import given, settings
from hypothesis import strategies as st

from refresh.core.bars import no_snapshots, snapshots
from refresh.core.rows import Rows, count, stack, take
from refresh.core.timeframe import DEFAULT_TIMEFRAMES, Timeframe

Sizes = dict[int, int]
"""Per asset, a number of its daily bars."""


def refresh(timeframe: Timeframe, stored: dict[int, Rows], daily: dict[int, Rows], begins: Sizes, ends: Sizes) -> None:
    """Bring what is stored of each asset from its first ``begins`` daily bars to its first ``ends``.

    The daily bar before the first new one is computed again, from the stored snapshot at the bar before that.
    """
    fresh, carries = [], []
    for asset, bars in daily.items():
        begin = max(begins[asset] - 1, 0)
        before = take(bars, slice(max(begin - 1, 0), begin))
        carry = take(stored[asset], np.isin(stored[asset]["timestamp"], before["timestamp"]))
        carries.append(carry | {"day": before["day"][: count(carry)]})
        fresh.append(take(bars, slice(begin, ends[asset])))
        stored[asset] = take(stored[asset], stored[asset]["timestamp"] < bars["timestamp"][begin])
    rows = snapshots(timeframe, stack(fresh), stack(carries))
    for asset in daily:
        stored[asset] = stack([stored[asset], take(rows, rows["id"] == asset)])


@settings(deadline=None)
@given(timeframes(), histories(), st.data())
def test_a_stretch_in_parts(timeframe: Timeframe, daily: Rows, data: st.DataObject) -> None:
    """Refreshing in any steps, each asset in its own, gives the bits of computing everything at once."""
    whole = snapshots(timeframe, daily, no_snapshots())
    assets = {asset: take(daily, daily["id"] == asset) for asset in np.unique(daily["id"]).tolist()}
    sizes = {asset: count(bars) for asset, bars in assets.items()}
    steps: list[Sizes] = [{}, {}, {}]
    for asset, size in sizes.items():
        cuts = data.draw(st.lists(st.integers(0, size), min_size=3, max_size=3))
        for step, cut in zip(steps, sorted(cuts), strict=True):
            step[asset] = cut
    stored = dict.fromkeys(assets, take(whole, slice(0)))
    for begins, ends in pairwise([dict.fromkeys(assets, 0), *steps, sizes]):
        refresh(timeframe, stored, assets, begins, ends)
    assert_same(stack(list(stored.values())), whole)


@pytest.mark.parametrize("timeframe", DEFAULT_TIMEFRAMES, ids=lambda timeframe: timeframe.tf)
def test_day_by_day(timeframe: Timeframe) -> None:
    """A refresh after each daily bar gives the bits of computing everything at once."""
    daily = take(coin(), slice(840, 960))
    daily["bar_seq"] = np.arange(1, 121)
    daily["first_day"] = np.repeat(daily["day"][:1], 120)
    whole = snapshots(timeframe, daily, no_snapshots())
    stored = {9: take(whole, slice(0))}
    for size in range(120):
        refresh(timeframe, stored, {9: daily}, {9: size}, {9: size + 1})
    assert_same(stored[9], whole)


def test_a_stored_canonical_flag_is_not_used() -> None:
    """The flag of the carried snapshot, which may be out of date, changes nothing."""
    daily, timeframe = answered_daily(), BY_LABEL["1W_CAL_ANCHOR_ISO"]
    whole = snapshots(timeframe, daily, no_snapshots())
    for size in range(1, count(daily)):
        last = slice(size - 1, size)
        carry = take(whole, last) | {"day": daily["day"][last]}
        carry["is_partial_end"] = ~carry["is_partial_end"]
        rows = snapshots(timeframe, take(daily, slice(size, None)), carry)
        assert_same(rows, take(whole, slice(size, None)))
