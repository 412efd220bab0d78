"""Smoothing factors, as emas.md writes them."""

from __future__ import annotations

import numpy as np
import pytest
from core.averaging import pairs_of
from hypothesis import given, settings
from hypothesis import strategies as st

from refresh.core.ema import alphas
from refresh.core.smoothing import alpha_bar, alpha_equivalent, alpha_horizon


def test_smoothing_factors() -> None:
    """The three factors of each series: over bars, over the horizon in days, and the daily equivalent."""
    first, second = alphas(*pairs_of((10, 7), (20, 30)))
    assert first[:2] == (2 / 11, 2 / 71)
    assert first[2] == pytest.approx(1 - (9 / 11) ** (1 / 7), rel=1e-15)
    assert second[:2] == (2 / 21, 2 / 601)
    assert second[2] == pytest.approx(1 - (19 / 21) ** (1 / 30), rel=1e-15)


@settings(deadline=None)
@given(st.integers(1, 300), st.integers(1, 400))
def test_the_daily_equivalent_weighs_as_much_as_one_bar(period: int, days: int) -> None:
    """N daily steps leave of the old value what one step over a bar leaves of it."""
    left = (1 - alpha_equivalent(np.array([period]), np.array([days]))) ** days
    assert left == pytest.approx(1 - alpha_bar(np.array([period])), rel=1e-9, abs=1e-12)


@settings(deadline=None)
@given(st.integers(1, 300))
def test_factors_of_single_days_agree(period: int) -> None:
    """A bar of one day is smoothed alike by all three factors."""
    periods, days = np.array([period]), np.array([1])
    assert alpha_horizon(periods, days) == alpha_bar(periods)
    assert alpha_equivalent(periods, days) == pytest.approx(alpha_bar(periods), rel=1e-13)
