"""EMAs against the libraries of others: TA-Lib on the closes of bars, pandas between them."""

from __future__ import annotations

from itertools import pairwise
from math import nan

import hvsampledata
import numpy as np
import pandas as pd
import pytest
import talib
from core.averaging import CALENDAR, FORMULAS, Market, compute, markets, only, single, value_columns
from hypothesis import given, settings
from hypothesis import strategies as st

from refresh.core.rows import Array


def assert_close(values: Array, expected: Array) -> None:
    """Fail where values differ in the 12th digit, or one of them is NULL."""
    np.testing.assert_allclose(values, expected, rtol=1e-12, atol=0)


# TA-Lib


def by_talib(closes: Array, period: int) -> Array:
    """TA-Lib's EMA; an EMA of one close is that close, which TA-Lib does not compute."""
    if period == 1:
        return closes
    if len(closes) < period:
        return np.full(len(closes), nan)
    return np.asarray(talib.EMA(closes, timeperiod=period))


@settings(deadline=None)
@given(st.sampled_from(["preview", *CALENDAR]), markets())
def test_canonical_values_equal_talib(formula: str, market: Market) -> None:
    """On days that close a bar the EMA is TA-Lib's of the closes of bars, for every asset and series."""
    column = compute(formula, market).columns[value_columns(formula)[-1]]
    for asset, closes in enumerate(market.closes):
        for series, period, _ in market.series:
            canonical = market.canonical[asset][:, series]
            values = column.value[: len(closes), asset, series][canonical]
            assert_close(values, by_talib(closes[canonical], period))


@settings(deadline=None)
@given(markets())
def test_continuous_values_equal_talib(market: Market) -> None:
    """The continuous EMA is TA-Lib's of the daily closes over N*p days."""
    column = compute("continuous", market).columns["ema"]
    for asset, closes in enumerate(market.closes):
        for series, period, days in market.series:
            assert_close(column.value[: len(closes), asset, series], by_talib(closes, period * days))


@pytest.mark.parametrize("period", [10, 20, 50, 200])
@pytest.mark.parametrize("days", [1, 5, 7])
def test_years_of_a_share_equal_talib(days: int, period: int) -> None:
    """Six years of a share's closes give TA-Lib's EMAs of every n-th close and of the daily ones."""
    closes = hvsampledata.apple_stocks("pandas")["close"].to_numpy(float)
    canonical = np.arange(1, len(closes) + 1) % days == 0
    market = single(closes, canonical, period, nominal=days)
    for formula in ("preview", *CALENDAR):
        column = compute(formula, market).columns[value_columns(formula)[-1]]
        assert_close(only(column.value)[canonical], by_talib(closes[canonical], period))
    column = compute("continuous", market).columns["ema"]
    assert_close(only(column.value), by_talib(closes, period * days))


# pandas


def daily_alpha(formula: str, period: int, days: int) -> float:
    """The smoothing factor between the closes of bars, as emas.md writes it."""
    if formula == "equivalent":
        return float(1 - (1 - 2 / (period + 1)) ** (1 / days))
    return 2 / (days * period + 1)


def by_pandas(first: float, closes: Array, alpha: float) -> Array:
    """Pandas' exponential mean of some closes, continued from a value."""
    means = pd.Series([first, *closes]).ewm(alpha=alpha, adjust=False).mean()
    return np.asarray(means.to_numpy()[1:])


@settings(deadline=None)
@given(st.sampled_from(CALENDAR), markets())
def test_calendar_values_equal_pandas(formula: str, market: Market) -> None:
    """``ema`` continues from its seed and never snaps; ``ema_bar`` continues from the last close of a bar."""
    columns = compute(formula, market).columns
    for asset, closes in enumerate(market.closes):
        for series, period, days in market.series:
            ema, ema_bar = (columns[name].value[: len(closes), asset, series] for name in ("ema", "ema_bar"))
            ends = np.flatnonzero(market.canonical[asset][:, series])
            if len(ends) < period:
                assert np.isnan([ema, ema_bar]).all()
            else:
                alpha = daily_alpha(formula, period, days)
                assert_continued(ema, closes, ends[period - 1], alpha)
                assert_snapping(ema_bar, closes, ends[period - 1 :], alpha)
                assert ema[ends[period - 1]] == ema_bar[ends[period - 1]]


def assert_continued(ema: Array, closes: Array, seeded: int, alpha: float) -> None:
    """The values run on from the day of the seed, and there are none before."""
    assert np.isnan(ema[:seeded]).all()
    assert_close(ema[seeded + 1 :], by_pandas(ema[seeded], closes[seeded + 1 :], alpha))


def assert_snapping(ema_bar: Array, closes: Array, ends: Array, alpha: float) -> None:
    """Between two closes of bars the values run on from the first of them."""
    for end, following in pairwise([*ends, len(closes)]):
        expected = by_pandas(ema_bar[end], closes[end + 1 : following], alpha)
        assert_close(ema_bar[end + 1 : following], expected)


@settings(deadline=None)
@given(markets())
def test_previews_equal_pandas(market: Market) -> None:
    """While a bar forms, the EMA is one step from the last closed bar to the close of the day."""
    value = compute("preview", market).columns["ema"].value
    for asset, closes in enumerate(market.closes):
        for series, period, _ in market.series:
            ends = np.flatnonzero(market.canonical[asset][:, series])[period - 1 :]
            for end, following in pairwise([*ends, len(closes)]):
                last, forming = value[end, asset, series], closes[end + 1 : following, None]
                steps = [by_pandas(last, close, 2 / (period + 1))[0] for close in forming]
                assert_close(value[end + 1 : following, asset, series], np.array(steps))


# Differences


def differences(value: Array, canonical: Array) -> dict[str, Array]:
    """The difference columns of one series by pandas."""
    every = pd.Series(value)
    closing = every[canonical]
    return {
        "d1_roll": every.diff().to_numpy(),
        "d2_roll": every.diff().diff().to_numpy(),
        "d1": closing.diff().reindex(every.index).to_numpy(),
        "d2": closing.diff().diff().reindex(every.index).to_numpy(),
    }


@settings(deadline=None)
@given(st.sampled_from(FORMULAS), markets())
def test_differences_equal_pandas(formula: str, market: Market) -> None:
    """Differences are to the row before and, on days that close a bar, to the last such row; otherwise NULL."""
    for column in compute(formula, market).columns.values():
        for asset, canonical in enumerate(market.canonical):
            for series, *_ in market.series:
                index = (slice(len(canonical)), asset, series)
                expected = differences(column.value[index], canonical[:, series])
                for name, values in expected.items():
                    np.testing.assert_array_equal(getattr(column, name)[index], values, err_msg=name)
