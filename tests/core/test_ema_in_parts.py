"""A stretch in parts: EMAs continued from stored rows have the bits of those computed at once."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import nan

import hvsampledata
import numpy as np
import pytest
from core.averaging import FORMULAS, PARTS, Market, bits, compute, markets, only, padded, pairs_of, value_columns
from hypothesis import given, settings
from hypothesis import strategies as st

from refresh.core.ema import Carry, Days, Result, emas, violations
from refresh.core.rows import Array


@dataclass(kw_only=True)
class Stored:
    """The rows of one asset: days that closed a bar, and per column and part (days, series) values."""

    canonical: Array
    columns: dict[str, dict[str, Array]]
    count: Array
    close_sum: Array

    @property
    def days(self) -> int:
        """The number of days that were taken in."""
        return len(self.canonical)


def nothing_stored(formula: str, market: Market) -> list[Stored]:
    """No rows of any asset."""
    size = len(market.periods)
    empty = dict.fromkeys(PARTS, np.zeros((0, size)))
    return [
        Stored(
            canonical=np.zeros((0, size), bool),
            columns=dict.fromkeys(value_columns(formula), empty),
            count=np.zeros(size, np.int64),
            close_sum=np.zeros(size),
        )
        for _ in market.closes
    ]


def last_values(values: Array, days: Array) -> Array:
    """The value of each series on its day, counted from 1; NULL for day 0, (series,)."""
    missing = np.full((1, values.shape[1]), nan)
    return np.concatenate([missing, values])[days, np.arange(values.shape[1])]


def carried(stored: list[Stored], name: str) -> Carry:
    """What the last row of each asset and its last canonical row left, (assets, series)."""
    parts: dict[str, list[Array]] = {"value": [], "d1_roll": [], "canonical_value": [], "canonical_d1": []}
    for asset in stored:
        column = asset.columns[name]
        numbers = np.arange(1, asset.days + 1)[:, None]
        last = np.full(asset.canonical.shape[1], asset.days)
        closed = np.where(asset.canonical, numbers, 0).max(axis=0, initial=0)
        parts["value"].append(last_values(column["value"], last))
        parts["d1_roll"].append(last_values(column["d1_roll"], last))
        parts["canonical_value"].append(last_values(column["value"], closed))
        parts["canonical_d1"].append(last_values(column["d1"], closed))
    return Carry(**{part: np.array(values) for part, values in parts.items()})


def proceed(formula: str, market: Market, stored: list[Stored], ends: list[int]) -> None:
    """Take in the days of each asset up to its end, from what its rows contain."""
    stretches = [slice(asset.days, end) for asset, end in zip(stored, ends, strict=True)]
    assets = list(enumerate(stretches))
    days = Days(
        close=padded([market.closes[asset][stretch] for asset, stretch in assets], nan)[:, :, None],
        canonical=padded([market.canonical[asset][stretch] for asset, stretch in assets], 0),
        counted=padded([market.counted(formula, asset)[stretch] for asset, stretch in assets], 0),
        count_before=np.array([asset.count for asset in stored]),
        close_sum=np.array([asset.close_sum for asset in stored]),
        earlier=np.zeros((0, len(stored), 1)),
    )
    carries = {name: carried(stored, name) for name in value_columns(formula)}
    result = emas(formula, market.lengths(formula), days, carries)
    assert not violations(days, result, carries).any()
    for asset, stretch in assets:
        extend(stored[asset], result, asset, stretch.stop - stretch.start)
        stored[asset].canonical = market.canonical[asset][: stretch.stop]


def extend(stored: Stored, result: Result, asset: int, size: int) -> None:
    """Append the first rows of a result to those of an asset."""
    stored.count = stored.count + result.counted[asset]
    stored.close_sum = result.close_sum[asset]
    columns: dict[str, dict[str, Array]] = {}
    for name, parts in stored.columns.items():
        column = result.columns[name]
        columns[name] = {
            part: np.concatenate([values, getattr(column, part)[:size, asset]]) for part, values in parts.items()
        }
    stored.columns = columns


def assert_same_bits(stored: list[Stored], whole: Result) -> None:
    """Fail where stored values differ from a result in a bit."""
    for name, column in whole.columns.items():
        for part in PARTS:
            for number, asset in enumerate(stored):
                assert bits(asset.columns[name][part]) == bits(getattr(column, part)[: asset.days, number])
    assert bits(np.array([asset.close_sum for asset in stored])) == bits(whole.close_sum)
    assert np.array([asset.count for asset in stored]).tolist() == whole.counted.tolist()


@settings(deadline=None)
@given(st.sampled_from(FORMULAS), markets(), st.data())
def test_a_stretch_in_parts(formula: str, market: Market, data: st.DataObject) -> None:
    """Continuing from stored rows, each asset in steps of its own, gives the bits of computing everything at once."""
    stored = nothing_stored(formula, market)
    sizes = [len(closes) for closes in market.closes]
    cuts = [sorted(data.draw(st.lists(st.integers(0, size), max_size=3, min_size=3))) for size in sizes]
    for step in range(3):
        proceed(formula, market, stored, [cut[step] for cut in cuts])
    proceed(formula, market, stored, sizes)
    assert_same_bits(stored, compute(formula, market))


@pytest.mark.parametrize("formula", FORMULAS)
def test_day_by_day(formula: str) -> None:
    """A year of a share, day by day, gives the bits of computing it at once."""
    closes = hvsampledata.apple_stocks("pandas")["close"].to_numpy(float)[:250]
    periods, days_nominal = pairs_of((2, 7), (3, 7), (10, 7), (10, 30), (20, 5))
    canonical = np.arange(1, 251)[:, None] % days_nominal == 0
    market = Market(periods=periods, days_nominal=days_nominal, closes=[closes], canonical=[canonical])
    stored = nothing_stored(formula, market)
    for end in range(1, 251):
        proceed(formula, market, stored, [end])
    assert_same_bits(stored, compute(formula, market))


@settings(deadline=None)
@given(st.sampled_from(FORMULAS), markets())
def test_assets_and_series_do_not_affect_each_other(formula: str, market: Market) -> None:
    """A series of an asset has the same bits alone and among others."""
    together = compute(formula, market)
    for asset, closes in enumerate(market.closes):
        for series, *_ in market.series:
            alone = compute(formula, market.only(asset, series))
            for name, column in alone.columns.items():
                for part in PARTS:
                    among = getattr(together.columns[name], part)[: len(closes), asset, series]
                    assert bits(only(getattr(column, part))) == bits(among)


@settings(deadline=None)
@given(st.sampled_from(FORMULAS), markets())
def test_what_series_need_is_their_own(formula: str, market: Market) -> None:
    """A series that needs more closes begins later; the others keep their bits."""
    whole = compute(formula, market)
    later = replace(market, periods=np.append(market.periods[:-1], market.periods[-1] + 1))
    changed = compute(formula, later)
    for name, column in whole.columns.items():
        assert bits(changed.columns[name].value[:, :, :-1]) == bits(column.value[:, :, :-1])
    assert (changed.defined[:, :, -1] <= whole.defined[:, :, -1]).all()
